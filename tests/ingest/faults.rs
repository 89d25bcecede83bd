//! Cameras that misbehave: each interruption ends in a gap or a new run with its cause, and the stream goes on.

use crate::rig::{ReadRun, Rig, causes, spec, verify};
use camsim::{Fault, Garbage, Handle, Options, Rule, Server, When, Which};
use nvring::{
    ingest::StreamState,
    media::{FrameKind, GapCause, StreamId},
    store::runs::Timeline,
};
use std::time::Duration;

const STREAM: StreamId = StreamId([1; 16]);

fn camera(clip: &str) -> Handle {
    Server::start(Options {
        clips: vec![clip.into()],
        ..Options::new(1)
    })
    .unwrap()
}

/// Records a camera, lets `fault` happen, waits for 40 more frames of recording, and reads all of it back.
fn record(server: &Handle, fault: impl FnOnce(&Rig)) -> (Vec<ReadRun>, Timeline) {
    let rig = Rig::new();
    rig.supervisor.apply(vec![spec(1, "gate", &server.url(0))]);
    rig.wait_frames("gate", 20);
    fault(&rig);
    rig.wait_more("gate", 40);
    rig.read(STREAM)
}

fn assert_gap(timeline: &Timeline, cause: GapCause) {
    let causes: Vec<_> = timeline.gaps.iter().map(|gap| gap.cause).collect();
    assert_eq!(causes, [cause], "{timeline:?}");
}

#[test]
fn lost_packets_cost_only_their_frames_and_mark_the_rest_of_the_group() {
    let server = camera("h264");
    let (runs, timeline) = record(&server, |rig| {
        server.inject_into(0, Fault::Drop(0.02));
        rig.wait("gate", "losses", |status| status.counters.incomplete >= 5);
        server.inject_into(0, Fault::Drop(0.0));
    });
    assert_eq!(causes(&runs), [GapCause::Enrolled]);
    assert!(timeline.gaps.is_empty());
    let summary = verify(&runs);
    assert!(summary.is_sound() && summary.missing > 0, "{summary:?}");
    let video = runs[0]
        .frames
        .iter()
        .filter(|frame| frame.entry.track.0 == 0);
    let mut expected = None;
    let mut damaged = 0;
    for frame in video {
        let number = camsim::mark::find(&frame.bytes).unwrap().frame;
        let whole = expected.is_none_or(|expected| expected == number);
        let kind = frame.entry.kind;
        damaged += u64::from(kind == FrameKind::Damaged);
        assert!(
            whole || matches!(kind, FrameKind::Damaged | FrameKind::Key),
            "frame {number} follows a hole and is {kind:?}"
        );
        expected = Some(number + 1);
    }
    assert!(damaged > 0);
}

#[test]
fn a_camera_that_goes_silent_is_lost_and_found_again() {
    let server = camera("h264");
    let (runs, timeline) = record(&server, |rig| {
        server.inject_into(0, Fault::Stall(Duration::from_secs(5)));
        rig.wait("gate", "backing off", |status| {
            status.state != StreamState::Recording
        });
        let error = rig.status("gate").last_error.unwrap();
        assert!(error.contains("sent nothing for 2 s"), "{error}");
    });
    assert_gap(&timeline, GapCause::CameraLost);
    assert_eq!(causes(&runs), [GapCause::Enrolled, GapCause::CameraLost]);
    assert!(verify(&runs).is_sound());
    let gap = timeline.gaps[0].end.since(timeline.gaps[0].start);
    assert!(
        gap.0 > 3_500_000,
        "the silence is not shown as recording: {gap}"
    );
}

#[test]
fn stray_packets_and_broken_pictures_end_no_run() {
    let server = camera("h264");
    let (runs, timeline) = record(&server, |rig| {
        for _ in 0..10 {
            server.inject_into(0, Fault::Garbage(Garbage::Packet));
            rig.wait_more("gate", 3);
        }
        server.inject_into(0, Fault::Garbage(Garbage::Payload));
    });
    assert_eq!(causes(&runs), [GapCause::Enrolled]);
    assert!(timeline.gaps.is_empty());
    let summary = verify(&runs);
    let spoiled = summary.missing + summary.unmarked + summary.damaged;
    assert!(summary.frames > 50 && spoiled <= 2, "{summary:?}");
}

#[test]
fn a_connection_out_of_step_is_a_bad_stream() {
    let server = camera("h264");
    let (runs, timeline) = record(&server, |rig| {
        server.inject_into(0, Fault::Garbage(Garbage::Framing));
        rig.wait("gate", "a failure", |status| status.counters.failures > 0);
    });
    assert_gap(&timeline, GapCause::BadStream);
    assert_eq!(causes(&runs), [GapCause::Enrolled, GapCause::BadStream]);
    assert!(verify(&runs).is_sound());
}

/// Goal: a camera whose RTP clock jumps, forward or backward, loses no frame, and times rise all the same.
#[test]
fn a_jump_of_the_cameras_clock_begins_a_run_and_loses_nothing() {
    for jump_ms in [5_000, -5_000] {
        let server = camera("h264b");
        let (runs, timeline) = record(&server, |rig| {
            server.inject_into(0, Fault::ClockJump(jump_ms));
            rig.wait("gate", "a step", |status| status.counters.clock_steps > 0);
        });
        assert_eq!(
            causes(&runs),
            [GapCause::Enrolled, GapCause::Clock],
            "{jump_ms}"
        );
        let summary = verify(&runs);
        assert!(summary.is_whole(), "{jump_ms}: {summary:?}");
        let lost: i64 = timeline
            .gaps
            .iter()
            .map(|gap| gap.end.since(gap.start).0)
            .sum();
        assert!(lost < 500_000, "{jump_ms}: {timeline:?}");
        let times: Vec<_> = runs
            .iter()
            .flat_map(|run| &run.frames)
            .map(|frame| frame.entry.time)
            .collect();
        let span = times
            .iter()
            .max()
            .unwrap()
            .since(*times.iter().min().unwrap());
        let expected = summary.last_time_us.unwrap() - summary.first_time_us.unwrap();
        assert!(
            (span.0 - expected as i64).abs() < 500_000,
            "{jump_ms}: {span}"
        );
    }
}

#[test]
fn other_parameters_begin_a_run_at_their_key_frame_and_lose_nothing() {
    let server = camera("h264");
    let (runs, timeline) = record(&server, |rig| {
        server.inject_into(0, Fault::Switch("h264b".into()));
        std::thread::sleep(Duration::from_secs(3));
        let _ = rig;
    });
    assert_eq!(
        causes(&runs),
        [GapCause::Enrolled, GapCause::ParametersChanged]
    );
    let summary = verify(&runs);
    assert!(summary.is_whole(), "{summary:?}");
    assert_eq!(runs[1].frames[0].entry.kind, FrameKind::Key);
    let sets = |run: &ReadRun| run.description.tracks.tracks[0].video.clone().unwrap();
    assert_ne!(sets(&runs[0]), sets(&runs[1]));
    let gap: i64 = timeline
        .gaps
        .iter()
        .map(|gap| gap.end.since(gap.start).0)
        .sum();
    assert!(gap < 200_000, "{timeline:?}");
}

#[test]
fn a_camera_that_comes_back_at_once_restarted_and_one_that_stays_away_is_lost() {
    for (down, cause) in [
        (Duration::ZERO, GapCause::CameraRestarted),
        (Duration::from_secs(3), GapCause::CameraLost),
    ] {
        let server = camera("h265");
        let (runs, timeline) = record(&server, |rig| {
            server.inject_into(0, Fault::Restart(down));
            rig.wait("gate", "a failure", |status| status.counters.failures > 0);
        });
        assert_gap(&timeline, cause);
        assert_eq!(causes(&runs), [GapCause::Enrolled, cause]);
        assert!(verify(&runs).is_sound());
    }
}

#[test]
fn a_camera_that_cannot_be_reached_is_recorded_as_soon_as_it_can() {
    let server = camera("h264");
    server.set_listening(false);
    let rig = Rig::new();
    rig.supervisor.apply(vec![spec(1, "gate", &server.url(0))]);
    rig.wait("gate", "two attempts", |status| {
        status.counters.failures >= 2
    });
    let error = rig.status("gate").last_error.unwrap();
    assert!(
        error.contains("cannot be reached: Connection refused"),
        "{error}"
    );
    server.set_listening(true);
    rig.wait_frames("gate", 10);
    let (runs, _) = rig.read(STREAM);
    assert_eq!(causes(&runs), [GapCause::Enrolled]);
}

/// Goal: a camera that sends nothing decodable is a bad stream, neither recorded for ever nor believed to be well.
#[test]
fn a_camera_that_sends_only_garbage_is_a_bad_stream() {
    let always = Rule {
        which: Which::All,
        fault: Fault::Garbage(Garbage::Payload),
        when: When::Chance(1.0),
    };
    let server = Server::start(Options {
        rules: vec![always],
        ..Options::new(1)
    })
    .unwrap();
    let rig = Rig::new();
    rig.supervisor.apply(vec![spec(1, "gate", &server.url(0))]);
    rig.wait("gate", "a judgement", |status| {
        let error = status.last_error.as_deref();
        error.is_some_and(|error| error.contains("nothing decodable"))
    });
    rig.wait("gate", "another attempt", |status| {
        status.counters.sessions >= 2
    });
}
