//! What cannot be recorded is refused with a reason that a person can act on, and is recorded again when that has been done.

use crate::rig::{Rig, causes, read, spec, verify};
use camsim::{Fault, Options, Server};
use nvring::{
    catalog::Transport,
    ingest::StreamState,
    media::{GapCause, StreamId},
    store::recordings::Recordings,
};
use std::time::Duration;

/// Goal: a camera set to send packets out of decoding order (RFC 6184 §5.2, RFC 7798 §7.1) is refused by both clients, with the
/// parameter and what to do; the gap is a bad stream's, and ends when the mode does.
#[test]
fn decoding_order_numbers_are_refused_with_what_to_do() {
    let server = Server::start(Options {
        clips: vec!["h264".into(), "h265".into()],
        ..Options::new(2)
    })
    .unwrap();
    let rig = Rig::new();
    let mut hevc = spec(2, "hevc", &server.url(1));
    hevc.source.transport = Transport::Udp;
    rig.supervisor
        .apply(vec![spec(1, "avc", &server.url(0)), hevc]);
    let cameras = [
        ("avc", "H264 with packetization-mode=2"),
        ("hevc", "H265 with sprop-max-don-diff=4"),
    ];
    let change = |order| {
        for number in 0..2 {
            server.inject_into(number, Fault::DecodingOrder(order));
            server.inject_into(number, Fault::Restart(Duration::ZERO));
        }
    };
    for (name, _) in cameras {
        rig.wait_frames(name, 20);
    }
    change(true);
    for (name, parameter) in cameras {
        rig.wait(name, "the refusal", |status| {
            let error = status.last_error.as_deref().unwrap_or_default();
            error.contains(parameter) && error.ends_with("choose another mode in the camera")
        });
        assert_ne!(rig.status(name).state, StreamState::Recording);
    }
    change(false);
    for (name, _) in cameras {
        rig.wait_more(name, 20);
    }
    rig.supervisor.stop();
    rig.store.close();
    let recordings = Recordings::new(rig.store.shared_volumes());
    for (number, (name, _)) in cameras.into_iter().enumerate() {
        let (runs, timeline) = read(&recordings, StreamId([number as u8 + 1; 16]));
        let expected = [GapCause::Enrolled, GapCause::BadStream];
        assert_eq!(causes(&runs), expected, "{name}");
        assert_eq!(timeline.gaps[0].cause, GapCause::BadStream, "{name}");
        assert!(verify(&runs).is_sound(), "{name}");
    }
}
