//! Changes from outside: cameras added, changed, removed; the recorder restarted; its clock set.

use crate::rig::{Rig, causes, quick, read, spec, verify};
use camsim::{Options, Server};
use nvring::{
    base::{Clock, ClockState, Micros, SystemClock, UnixMicros},
    catalog::Transport,
    media::{GapCause, StreamId},
    store::recordings::Recordings,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// Goal: switching one camera off and on, changing and removing it, touches no frame of another.
#[test]
fn a_change_of_one_camera_touches_no_other() {
    let server = Server::start(Options::new(3)).unwrap();
    let rig = Rig::new();
    let all = |gate_enabled| {
        let mut gate = spec(1, "gate", &server.url(0));
        gate.enabled = gate_enabled;
        vec![gate, spec(2, "roof", &server.url(1))]
    };
    rig.supervisor.apply(all(true));
    rig.wait_frames("gate", 20);
    rig.wait_frames("roof", 20);
    rig.supervisor.apply(all(false));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(rig.supervisor.status().len(), 1);
    rig.supervisor.apply(all(true));
    rig.wait_frames("gate", 20);
    let mut changed = all(true);
    changed[0].source.url = spec(9, "x", &server.url(2)).source.url;
    rig.supervisor.apply(changed.clone());
    rig.supervisor.apply(changed.clone());
    rig.wait_frames("gate", 20);
    changed.remove(0);
    rig.supervisor.apply(changed);
    rig.wait_more("roof", 20);
    rig.supervisor.stop();
    rig.store.close();
    let recordings = Recordings::new(rig.store.shared_volumes());
    let (gate, timeline) = read(&recordings, StreamId([1; 16]));
    let expected = [GapCause::Enrolled, GapCause::Disabled, GapCause::Disabled];
    assert_eq!(causes(&gate), expected);
    assert!(
        timeline
            .gaps
            .iter()
            .all(|gap| gap.cause == GapCause::Disabled)
    );
    assert_eq!(gate[2].end_cause, Some(GapCause::Disabled));
    let (roof, timeline) = read(&recordings, StreamId([2; 16]));
    assert_eq!((roof.len(), timeline.gaps.len()), (1, 0));
    assert!(verify(&roof).is_whole());
}

#[test]
fn a_restart_of_the_recorder_is_a_gap_with_that_cause() {
    let server = Server::start(Options::new(1)).unwrap();
    let rig = Rig::new();
    rig.supervisor.apply(vec![spec(1, "gate", &server.url(0))]);
    rig.wait_frames("gate", 20);
    let rig = rig.restart();
    rig.supervisor.apply(vec![spec(1, "gate", &server.url(0))]);
    rig.wait_frames("gate", 20);
    let (runs, timeline) = rig.read(StreamId([1; 16]));
    assert_eq!(causes(&runs), [GapCause::Enrolled, GapCause::Restart]);
    assert_eq!(timeline.gaps.len(), 1);
    assert_eq!(timeline.gaps[0].cause, GapCause::Restart);
}

/// The machine's clock, with an administrator who sets it.
struct SetClock {
    clock: SystemClock,
    step_us: AtomicI64,
    /// How many more questions for its state are answered before one panics.
    answers: AtomicI64,
}

impl SetClock {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            clock: SystemClock::new(),
            step_us: AtomicI64::new(0),
            answers: AtomicI64::new(i64::MAX),
        })
    }
}

impl Clock for SetClock {
    fn now(&self) -> UnixMicros {
        self.clock.now() + Micros(self.step_us.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Micros {
        self.clock.elapsed()
    }

    fn state(&self) -> ClockState {
        let left = self.answers.fetch_sub(1, Ordering::SeqCst);
        assert!(left != 0, "a clock without an answer");
        self.clock.state()
    }
}

/// Goal: when the recorder's clock is set, no frame is lost, and the run before keeps its own time.
#[test]
fn a_step_of_the_recorders_clock_begins_a_run_and_loses_nothing() {
    for step_s in [60, -60] {
        let server = Server::start(Options::new(1)).unwrap();
        let clock = SetClock::new();
        let rig = Rig::with(quick(), Arc::clone(&clock) as Arc<dyn Clock>);
        rig.supervisor.apply(vec![spec(1, "gate", &server.url(0))]);
        rig.wait_frames("gate", 50);
        clock.step_us.store(step_s * 1_000_000, Ordering::SeqCst);
        rig.wait("gate", "a step", |status| status.counters.clock_steps > 0);
        rig.wait_more("gate", 60);
        let (mut runs, _) = rig.read(StreamId([1; 16]));
        // Runs are listed by their time; a clock set back begins the second one before the first.
        runs.sort_by_key(|run| run.description.start_cause as u8);
        assert_eq!(causes(&runs), [GapCause::Enrolled, GapCause::Clock]);
        let summary = verify(&runs);
        assert!(summary.is_whole(), "{step_s}: {summary:?}");
        let spans: Vec<_> = runs
            .iter()
            .map(|run| {
                let times = run.frames.iter().map(|frame| frame.entry.time);
                (times.clone().min().unwrap(), times.max().unwrap())
            })
            .collect();
        let apart = spans[1].0.since(spans[0].1);
        assert!(
            (apart.0 - step_s * 1_000_000).abs() < 1_000_000,
            "{step_s}: {apart}"
        );
        assert!(
            spans[0].1.since(spans[0].0) < Micros::from_secs(15),
            "{step_s}"
        );
    }
}

/// Goal: over UDP every frame is recorded although packets change places and are doubled.
#[test]
fn packets_out_of_order_over_udp_cost_nothing() {
    let options = Options {
        clips: vec!["h264b".into(), "h265".into(), "g711".into()],
        ..Options::new(3)
    };
    let server = Server::start(options).unwrap();
    for number in 0..3 {
        server.inject_into(number, camsim::Fault::Reorder(0.2));
        server.inject_into(number, camsim::Fault::Duplicate(0.05));
    }
    let rig = Rig::new();
    let specs = (0..3u8).map(|number| {
        let mut spec = spec(
            number + 1,
            &format!("cam{number}"),
            &server.url(number.into()),
        );
        spec.source.transport = Transport::Udp;
        spec
    });
    rig.supervisor.apply(specs.collect());
    for number in 0..3 {
        rig.wait_frames(&format!("cam{number}"), 150);
    }
    rig.supervisor.stop();
    let report = server.stop();
    assert!(report.sessions().all(|session| session.transport == "udp"));
    rig.store.close();
    let recordings = Recordings::new(rig.store.shared_volumes());
    for number in 0..3u8 {
        let (runs, _) = read(&recordings, StreamId([number + 1; 16]));
        let summary = verify(&runs);
        assert!(summary.is_whole(), "{number}: {summary:?}");
        assert_eq!(summary.altered, 0);
    }
}

/// Goal: a defect in one stream's task costs that stream a gap and no other anything. Method: the clock panics at one stream's question.
#[test]
fn a_panic_in_one_streams_task_is_caught_and_the_stream_goes_on() {
    let server = Server::start(Options::new(2)).unwrap();
    let clock = SetClock::new();
    let rig = Rig::with(quick(), Arc::clone(&clock) as Arc<dyn Clock>);
    rig.supervisor.apply(vec![
        spec(1, "gate", &server.url(0)),
        spec(2, "roof", &server.url(1)),
    ]);
    rig.wait_frames("gate", 20);
    rig.wait_frames("roof", 20);
    clock.answers.store(0, Ordering::SeqCst);
    let panics = || {
        rig.supervisor
            .status()
            .iter()
            .map(|status| status.counters.panics)
            .sum::<u64>()
    };
    while panics() == 0 {
        std::thread::sleep(Duration::from_millis(50));
    }
    rig.wait_more("gate", 20);
    rig.wait_more("roof", 20);
    assert_eq!(panics(), 1);
    let broken = rig.status("gate").counters.panics == 1;
    rig.supervisor.stop();
    rig.store.close();
    let recordings = Recordings::new(rig.store.shared_volumes());
    for (number, hit) in [(1, broken), (2, !broken)] {
        let (runs, _) = read(&recordings, StreamId([number; 16]));
        let expected = if hit {
            vec![GapCause::Enrolled, GapCause::Restart]
        } else {
            vec![GapCause::Enrolled]
        };
        assert_eq!(causes(&runs), expected);
        assert!(verify(&runs).is_sound());
    }
}
