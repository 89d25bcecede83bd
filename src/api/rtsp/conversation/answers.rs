//! The answers to requests whose deeds were performed.

use super::{Conversation, Deed, Granted, Outcome, Prepared, TrackStart, ok, refuse};
use crate::api::rtsp::{
    address::Address,
    response::{Refusal, Response, Status},
    session::{SessionId, Sessions, State, TIMEOUT},
    transport::Transport,
};

impl Conversation {
    /// The answer to the request whose deed went so.
    pub fn done(&mut self, outcome: Outcome, sessions: &mut Sessions) -> Response {
        let Some((cseq, deed)) = self.pending.take() else {
            let refusal = Refusal::new(
                Status::InternalError,
                "an answer without a request; report it",
            );
            return Response::refuse(&refusal, None);
        };
        let answer = match (deed, outcome) {
            (Deed::Describe { address, .. }, Outcome::Described(described)) => {
                described.map(|text| {
                    ok(cseq)
                        .with("Content-Base", address.base())
                        .with("Cache-Control", "no-cache")
                        .with_body("application/sdp", text)
                })
            }
            (
                Deed::SetUp {
                    session, transport, ..
                },
                Outcome::SetUp(granted),
            ) => set_up_answer(cseq, &session, transport, granted, sessions),
            (Deed::Play { session, order, .. }, Outcome::Playing(prepared)) => {
                prepared.and_then(|prepared| {
                    let known = sessions.get_mut(&session);
                    let known = known.ok_or_else(|| {
                        Refusal::new(Status::SessionNotFound, "the session is over")
                    })?;
                    known.state = State::Playing;
                    known.client_paced = !order.rate_control;
                    Ok(play_answer(cseq, &session, &known.address, &prepared))
                })
            }
            (Deed::Pause { session }, Outcome::Stopped) => {
                if let Some(known) = sessions.get_mut(&session) {
                    known.state = State::Ready;
                }
                Ok(ok(cseq).with("Session", session.0))
            }
            (Deed::TearDown { .. }, Outcome::Stopped) => Ok(ok(cseq)),
            _ => Err(Refusal::new(
                Status::InternalError,
                "the answer does not belong to the request; report it",
            )),
        };
        answer.unwrap_or_else(|refusal| refuse(&refusal, cseq))
    }
}

fn set_up_answer(
    cseq: u32,
    id: &SessionId,
    transport: Transport,
    granted: Result<Granted, Refusal>,
    sessions: &mut Sessions,
) -> Result<Response, Refusal> {
    let session = sessions.get_mut(id);
    let session =
        session.ok_or_else(|| Refusal::new(Status::SessionNotFound, "the session is over"))?;
    let granted = match granted {
        Ok(granted) => granted,
        Err(refusal) => {
            if session.tracks.is_empty() {
                sessions.remove(id);
            }
            return Err(refusal);
        }
    };
    session.tracks.insert(granted.track, transport);
    let given = match transport {
        Transport::Interleaved { channel } => {
            let channel = u16::from(channel.unwrap_or_default());
            format!("RTP/AVP/TCP;unicast;interleaved={channel}-{}", channel + 1)
        }
        Transport::Datagrams { rtp, rtcp } => {
            let (from, from_rtcp) = granted.server_ports.unwrap_or_default();
            format!("RTP/AVP;unicast;client_port={rtp}-{rtcp};server_port={from}-{from_rtcp}")
        }
    };
    let seconds = TIMEOUT.0 / 1_000_000;
    Ok(ok(cseq)
        .with("Transport", given)
        .with("Session", format!("{id};timeout={seconds}")))
}

fn play_answer(cseq: u32, id: &SessionId, address: &Address, prepared: &Prepared) -> Response {
    let start = |start: &TrackStart| {
        let url = address.of_track(start.track);
        format!(
            "url={url};seq={};rtptime={}",
            start.sequence, start.timestamp
        )
    };
    let starts: Vec<String> = prepared.starts.iter().map(start).collect();
    let mut response = ok(cseq)
        .with("Session", id.0.clone())
        .with("Range", prepared.range.clone());
    for (name, value) in &prepared.pace {
        response = response.with(name, format!("{value}"));
    }
    if starts.is_empty() {
        response
    } else {
        response.with("RTP-Info", starts.join(","))
    }
}
