//! Cameras that listen to their clients in ways of their own: they leave keep-alives without an answer, or stop when nobody reports.

use crate::rig::{Rig, causes, read, spec, verify};
use camsim::{Fault, Handle, KeepAlive, Options, Server};
use nvring::{
    catalog::Transport,
    media::{GapCause, StreamId},
    store::recordings::Recordings,
};
use std::time::Duration;

/// Cameras with so short a session that its keep-alives are seen in a test.
fn cameras(count: usize, session_timeout: u64) -> Handle {
    Server::start(Options {
        clips: vec!["h264".into(), "g711".into()],
        session_timeout: Duration::from_secs(session_timeout),
        ..Options::new(count)
    })
    .unwrap()
}

/// Goal: a camera that never answers keep-alives, or with the number of another request, is recorded without a gap. Method: sessions of
/// 2 s, so that the first keep-alive comes after 1 s and is given up after 2.
#[test]
fn keep_alives_without_their_answer_cost_no_frame() {
    let server = cameras(2, 2);
    server.inject_into(0, Fault::KeepAlive(KeepAlive::Unanswered));
    server.inject_into(1, Fault::KeepAlive(KeepAlive::Misnumbered));
    let rig = Rig::new();
    let specs = (0..2u8).map(|number| {
        let url = server.url(number.into());
        spec(number + 1, &format!("cam{number}"), &url)
    });
    rig.supervisor.apply(specs.collect());
    for camera in ["cam0", "cam1"] {
        rig.wait_frames(camera, 7 * 25);
        assert_eq!(rig.status(camera).counters.sessions, 1);
    }
    rig.supervisor.stop();
    rig.store.close();
    let recordings = Recordings::new(rig.store.shared_volumes());
    for number in 1..=2 {
        let (runs, timeline) = read(&recordings, StreamId([number; 16]));
        assert_eq!(causes(&runs), [GapCause::Enrolled]);
        assert!(timeline.gaps.is_empty(), "{timeline:?}");
        let summary = verify(&runs);
        assert!(summary.is_whole(), "{summary:?}");
    }
}

/// Goal: one that also ends sessions it hears nothing in is lost once; from then on keep-alives go on without answers, and it stays.
#[test]
fn a_camera_that_needs_keep_alives_and_answers_none_is_lost_once() {
    let server = cameras(2, 2);
    server.inject_into(1, Fault::KeepAlive(KeepAlive::Unanswered));
    server.inject_into(1, Fault::Strict(true));
    let rig = Rig::new();
    rig.supervisor.apply(vec![spec(1, "gate", &server.url(1))]);
    rig.wait_frames("gate", 20);
    rig.wait("gate", "the end of the first session", |status| {
        status.counters.failures > 0
    });
    // Both tracks: more than ten seconds, so five times as long as a session without keep-alives.
    rig.wait_more("gate", 10 * (25 + 50));
    assert_eq!(rig.status("gate").counters.sessions, 2);
    let (runs, timeline) = rig.read(StreamId([1; 16]));
    let report = server.stop();
    assert_eq!(
        causes(&runs),
        [GapCause::Enrolled, GapCause::CameraRestarted]
    );
    assert_eq!(timeline.gaps.len(), 1);
    let summary = verify(&runs);
    assert!(
        summary.is_sound() && summary.holes.len() == 1,
        "{summary:?}"
    );
    let sessions: Vec<_> = report.sessions().collect();
    let [first, second] = sessions[..] else {
        panic!("{sessions:?}");
    };
    assert_eq!(first.ended.as_deref(), Some("timed out"));
    // Inside the connection.
    assert!(second.reports >= 2, "{second:?}");
    assert_eq!(second.reports_wrong, 0, "{second:?}");
    assert_eq!(second.transport, "tcp");
}

/// Goal: a camera that stops when it hears no receiver report over UDP goes on, and what it hears is true.
#[test]
fn cameras_hear_of_their_packets_over_udp() {
    // Longer than the 7.5 s that may lie between two reports.
    let server = cameras(2, 8);
    server.inject_into(1, Fault::Strict(true));
    server.inject_into(1, Fault::Drop(0.05));
    let rig = Rig::new();
    let mut gate = spec(1, "gate", &server.url(1));
    gate.source.transport = Transport::Udp;
    rig.supervisor.apply(vec![gate]);
    rig.wait_frames("gate", 12 * (25 + 50));
    server.inject_into(1, Fault::Drop(0.0));
    rig.wait_more("gate", 8 * (25 + 50));
    let (runs, _) = rig.read(StreamId([1; 16]));
    let report = server.stop();
    assert_eq!(causes(&runs), [GapCause::Enrolled]);
    let session = report.sessions().next().expect("a session");
    assert!(session.reports >= 4, "{session:?}");
    assert_eq!((session.reports_wrong, session.byes), (0, 2), "{session:?}");
    let lost = session.reported_lost as u64;
    assert!(lost > 0 && lost <= session.packets_dropped, "{session:?}");
    // A time that is not the one there and back is somewhere in eighteen hours.
    assert!(session.round_trip_us < Some(10_000_000), "{session:?}");
    assert!(session.round_trip_us.is_some(), "{session:?}");
}
