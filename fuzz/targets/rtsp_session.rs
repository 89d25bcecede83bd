//! Property: no bytes of a client, however they are cut, make the RTSP server's parser or its conversation panic; every request has
//! exactly one answer, which is one message; what waits and how many sessions there are stays bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nvring::{
    access::{Open, digest::Users},
    api::rtsp::{
        conversation::{
            Conversation, Deed, Granted, Outcome, Party, Prepared, Rules, Step, TrackStart,
        },
        guesses::Guesses,
        message::{BODY_LEN_MAX, HEAD_LEN_MAX, Inbox, Incoming},
        order::clock_text,
        response::{Refusal, Response, Status},
        session::{SessionId, SessionLimits, Sessions},
    },
    base::{Micros, UnixMicros},
};
use std::sync::Arc;

/// How a deed went: as the next byte says.
fn outcome(deed: &Deed, byte: u8) -> Outcome {
    let refusal = || Refusal::new(Status::NotFound, "nothing\r\nthere");
    let good = byte & 1 == 0;
    match deed {
        Deed::Describe { .. } => Outcome::Described(if good {
            Ok("v=0\r\n".to_owned())
        } else {
            Err(refusal())
        }),
        Deed::SetUp { address, .. } => {
            let track = address.track.unwrap_or(byte >> 4);
            let granted = Granted {
                track,
                server_ports: Some((6970, 6971)),
            };
            Outcome::SetUp(if good { Ok(granted) } else { Err(refusal()) })
        }
        Deed::Play { order, .. } => {
            let start = TrackStart {
                track: byte >> 4,
                sequence: 1,
                timestamp: order.cseq,
            };
            let range = format!("clock={}-", clock_text(UnixMicros(0)));
            let prepared = Prepared {
                range,
                starts: vec![start],
                pace: vec![("Scale", order.scale)],
            };
            Outcome::Playing(if good { Ok(prepared) } else { Err(refusal()) })
        }
        Deed::Pause { .. } | Deed::TearDown { .. } => Outcome::Stopped,
    }
}

fn check(response: &Response, cseq: Option<u32>) {
    let text = response.encode();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head with an end");
    assert_eq!(body, response.body());
    let mut lines = head.split("\r\n");
    assert!(
        lines
            .next()
            .is_some_and(|line| line.starts_with("RTSP/1.0 "))
    );
    assert!(
        lines.all(|line| line.contains(": ") && !line.contains(['\r', '\n'])),
        "{text}"
    );
    if let Some(cseq) = cseq {
        let told: Vec<&str> = response.header("CSeq").collect();
        assert_eq!(told, [cseq.to_string()]);
    }
}

// Input: a byte of options, a byte for the size of the pieces, then what comes on the connection.
fuzz_target!(|data: &[u8]| {
    let Some((&[options, piece], bytes)) = data.split_first_chunk() else {
        return;
    };
    let users = (options & 1 == 1).then(|| Users::parse("a:b").expect("users"));
    let rules = Rules {
        users,
        access: Arc::new(Open),
        datagrams: options & 2 == 2,
        guesses: Guesses::default(),
    };
    let party = Party {
        connection: 1,
        peer: [127, 0, 0, 1].into(),
        private: options & 4 == 4,
        nonce: "n".to_owned(),
    };
    let mut conversation = Conversation::new(Arc::new(rules), party);
    let limits = SessionLimits {
        all: 4,
        per_client: 3,
    };
    let mut number = 0;
    // Ids that a fuzzer finds.
    let mut sessions = Sessions::new(limits, move || {
        number += 1;
        SessionId(number.to_string())
    });
    let (mut inbox, mut now) = (Inbox::default(), Micros::ZERO);
    for piece in bytes.chunks(usize::from(piece).max(1)) {
        inbox.buffer().extend_from_slice(piece);
        now = now + Micros::from_secs(i64::from(options >> 3));
        sessions.expire(now);
        loop {
            match inbox.read() {
                Ok(Some(Incoming::Request(request))) => {
                    let response = match conversation.handle(&request, &mut sessions, now) {
                        Step::Answer(response) | Step::Close(response) => response,
                        Step::Perform(deed) => {
                            let byte = request.cseq.unwrap_or_default() as u8;
                            conversation.done(outcome(&deed, byte), &mut sessions)
                        }
                    };
                    check(&response, request.cseq);
                    assert!(sessions.len() <= limits.per_client);
                }
                Ok(Some(Incoming::Interleaved { channel, .. })) => {
                    let _ = sessions.with_channel(1, channel);
                }
                Ok(None) => break,
                Err(unreadable) => {
                    return check(
                        &Response::refuse(&unreadable.refusal, unreadable.cseq),
                        unreadable.cseq,
                    );
                }
            }
        }
        assert!(
            inbox.buffer().len() <= HEAD_LEN_MAX + BODY_LEN_MAX + 256,
            "what waits is bounded"
        );
    }
    sessions.leave(1);
});
