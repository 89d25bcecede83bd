//! Goal: a replay gives exactly the frames that were recorded, in the order and with the marks that the rules want.
//! Method: random recordings in real volumes, random requests, and a model that knows the frames and the rules but no block.

mod film;
mod model;

use super::*;
use crate::{base::seed::Seed, media::TrackId};
use film::{Film, PICTURES, Recorder, SOUND, START, STREAM, Style, number_of, random_run};
use model::{Wanted, expected};
use std::{sync::Mutex, time::Duration};

/// What came of a replay.
#[derive(Default)]
struct Got {
    runs: Vec<UnixMicros>,
    frames: Vec<ReplayFrame>,
}

fn block_on<T>(task: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().build().expect("a runtime");
    let limited = async { tokio::time::timeout(Duration::from_secs(60), task).await };
    runtime.block_on(limited).expect("it ends")
}

async fn collect(replay: &mut Replay) -> Got {
    let mut got = Got::default();
    loop {
        match replay.next().await {
            ReplayEvent::Run(run) => got.runs.push(run.started),
            ReplayEvent::Frames(frames) => got.frames.extend(frames),
            ReplayEvent::Live => {}
            ReplayEvent::Ended => return got,
        }
    }
}

impl Got {
    fn of(&self, track: TrackId) -> Vec<Wanted> {
        let frames = self.frames.iter();
        let frames = frames.filter(|frame| frame.frame.track == track);
        frames
            .map(|ReplayFrame { frame, marks }| {
                assert_eq!(
                    marks.clean_point,
                    frame.kind == crate::media::FrameKind::Key
                );
                Wanted {
                    number: number_of(&frame.data.to_bytes()),
                    time: frame.time,
                    jump: marks.discontinuity,
                    ends: marks.end_of_section,
                }
            })
            .collect()
    }
}

fn random_request(seed: &mut Seed, film: &Film) -> ReplayRequest {
    let times = film.picture_times();
    let pick = |seed: &mut Seed| {
        let time = times[seed.below(times.len() as u64) as usize];
        // How long the last frame of a run is shown is an estimate.
        let ends_here = |run: &Vec<Frame>| {
            let end = run.iter().map(|frame| frame.time).max();
            end.is_some_and(|end| time <= end && end.since(time) < Micros(40_000))
        };
        let last = film.runs.iter().any(ends_here);
        let behind = if last {
            0
        } else {
            seed.below(3) as i64 * 11_000
        };
        time + Micros(behind)
    };
    let frames = match seed.below(4) {
        0 => FrameChoice::Predicted,
        1 => FrameChoice::Intra {
            interval: Micros(seed.below(5) as i64 * 700_000),
        },
        _ => FrameChoice::All,
    };
    let (direction, one, other) = (
        if seed.chance(0.5) {
            Direction::Forward
        } else {
            Direction::Reverse
        },
        pick(seed),
        pick(seed),
    );
    let (from, to) = (one.min(other), one.max(other) + Micros(1));
    let far = Micros::from_secs(86_400);
    let (start, end) = match (direction, seed.below(3)) {
        (Direction::Forward, 0) => (from, None),
        (Direction::Forward, 1) => (UnixMicros(START) - far, Some(to)),
        (Direction::Forward, _) => (from, Some(to)),
        (Direction::Reverse, 0) => (to, None),
        (Direction::Reverse, 1) => (UnixMicros(START) + Micros(far.0 * 300), Some(from)),
        (Direction::Reverse, _) => (to, Some(from)),
    };
    ReplayRequest {
        stream: STREAM,
        start,
        end,
        direction,
        frames,
    }
}

fn check(recorder: &Recorder, film: &Film, request: ReplayRequest, seed: u64) {
    let pictures = expected(film, &request, PICTURES);
    let sound = match request.frames {
        FrameChoice::Intra { .. } => Vec::new(),
        _ => expected(film, &request, SOUND),
    };
    let got = block_on(async {
        let mut replay = match Replay::open(recorder.now(), request).await {
            Ok(replay) => replay,
            Err(PlanError::Empty { .. }) => return Got::default(),
            Err(error) => panic!("SEED={seed}: {error}"),
        };
        assert_eq!(
            replay.first().is_some(),
            !pictures.is_empty() || !sound.is_empty()
        );
        collect(&mut replay).await
    });
    let what = format!("SEED={seed} {request:?}");
    assert_same(&got.of(PICTURES), &pictures, &what);
    // Where a section ends is told of sound that is not older than the last blocks.
    let mut heard = got.of(SOUND);
    let false_ends = heard
        .iter()
        .zip(&sound)
        .any(|(got, wanted)| got.ends && !wanted.ends);
    assert!(!false_ends, "SEED={seed} {request:?}");
    for (got, wanted) in heard.iter_mut().zip(&sound) {
        got.ends = wanted.ends;
    }
    assert_same(&heard, &sound, &what);
    let mut frames = got.frames.iter();
    let last = frames.rfind(|frame| frame.frame.track == PICTURES);
    // Of a run that begins with pictures before the end and a key frame behind it, it is known too late that nothing is given.
    let begins_at_end = |run: &Vec<Frame>| {
        let first = run.iter().map(|frame| frame.time).min();
        let end = request.end;
        first < end && end.is_some_and(|end| end <= run[0].time + Micros::from_secs(1))
    };
    let told = last.is_none_or(|last| last.marks.terminal);
    assert!(told || film.runs.iter().any(begins_at_end), "{what}");
    let terminal = |frame: &&ReplayFrame| frame.marks.terminal && frame.frame.track == PICTURES;
    assert!(
        got.frames.iter().filter(terminal).count() <= 1,
        "SEED={seed} {request:?}"
    );
    let distinct = got.runs.windows(2).all(|pair| pair[0] != pair[1]);
    assert!(distinct, "SEED={seed} {request:?}");
}

/// Shows where two lists part, not all of them.
fn assert_same<T: PartialEq + std::fmt::Debug>(got: &[T], wanted: &[T], what: &str) {
    let both = got
        .iter()
        .zip(wanted)
        .take_while(|(got, wanted)| got == wanted);
    let at = both.count();
    let near = |list: &[T]| format!("{:?}", list.iter().skip(at).take(3).collect::<Vec<_>>());
    let parted = (at, near(got), near(wanted));
    let lengths = (got.len(), wanted.len());
    assert!(
        got == wanted,
        "{what}: got and wanted {lengths:?} part at {parted:#?}"
    );
}

/// A seed from `NVRING_SEED`, or some.
fn seeds(count: u64) -> Vec<u64> {
    let given = std::env::var("NVRING_SEED").ok();
    match given.and_then(|text| text.parse().ok()) {
        Some(seed) => vec![seed],
        None => (0..count).collect(),
    }
}

#[test]
fn every_replay_gives_what_the_rules_want_and_nothing_else() {
    for number in seeds(10) {
        let mut seed = Seed::new(number);
        let style = Style {
            sound: seed.chance(0.6),
            group_max: seed.between(1, 60),
            groups_max: 12,
        };
        let film = Film::random(&mut seed, style);
        // From one frame a block to several groups' worth.
        let block_len_max = [2_200, 4_000, 40 << 10][seed.below(3) as usize];
        let recorder = Recorder::new(64, block_len_max, style.sound);
        recorder.record(&film);
        for _ in 0..40 {
            check(&recorder, &film, random_request(&mut seed, &film), number);
        }
    }
}

#[test]
fn a_group_of_pictures_longer_than_what_is_remembered_comes_back_whole() {
    let mut seed = Seed::new(11);
    let style = Style {
        sound: false,
        group_max: 0,
        groups_max: 2,
    };
    let mut serial = 0;
    let mut run = random_run(&mut seed, style, START, &mut serial);
    let begin = run.iter().map(|frame| frame.time.0).max().expect("frames") + 40_000;
    for number in 0..3 * GROUP_BLOCKS_MAX as i64 {
        serial += 1;
        let mut data = u64::to_be_bytes(serial).to_vec();
        data.resize(1_500, 0);
        run.push(Frame {
            track: PICTURES,
            kind: crate::media::FrameKind::Reference,
            time: UnixMicros(begin + number * 40_000),
            data: bytes::Bytes::from(data).into(),
        });
    }
    let film = Film { runs: vec![run] };
    let recorder = Recorder::new(64, 2_200, false);
    recorder.record(&film);
    let request = ReplayRequest {
        stream: STREAM,
        start: UnixMicros(START) + Micros::from_secs(3_600),
        end: None,
        direction: Direction::Reverse,
        frames: FrameChoice::All,
    };
    check(&recorder, &film, request, 11);
    let part = ReplayRequest {
        start: UnixMicros(begin + 2 * GROUP_BLOCKS_MAX as i64 * 40_000),
        ..request
    };
    check(&recorder, &film, part, 11);
}

fn two_runs(seed: &mut Seed) -> Film {
    let style = Style {
        sound: true,
        group_max: 30,
        groups_max: 6,
    };
    let first = random_run(seed, style, START, &mut 0);
    let second = random_run(seed, style, START + 3_600_000_000, &mut 1_000_000);
    Film {
        runs: vec![first, second],
    }
}

/// Records a film as it comes, while it is replayed from its start.
fn live(seed: &mut Seed, film: &Film, pause: u64, end: Option<UnixMicros>) -> (Got, bool) {
    let recorder = Recorder::new(64, 6_000, true);
    let frames: Vec<(bool, Frame)> = film
        .runs
        .iter()
        .flat_map(|run| {
            run.iter()
                .enumerate()
                .map(|(index, frame)| (index == 0, frame.clone()))
        })
        .collect();
    let half = frames.len() / 3;
    let record = |part: &[(bool, Frame)], seed: &mut Seed, slowly: bool| {
        for (first, frame) in part {
            if *first {
                recorder.tail.end(crate::media::GapCause::CameraLost);
                recorder.begin(frame.time);
            }
            recorder.push(frame);
            if slowly && seed.chance(0.2) {
                std::thread::sleep(Duration::from_micros(seed.below(20_000)));
            }
        }
    };
    record(&frames[..half], seed, false);
    let went_live = Mutex::new(false);
    let got = std::thread::scope(|scope| {
        let mut other = seed.split();
        let (recorder, rest) = (&recorder, &frames[half..]);
        scope.spawn(move || {
            record(rest, &mut other, true);
            recorder.tail.end(crate::media::GapCause::CameraLost);
            recorder.settle();
            recorder.store.release(STREAM);
        });
        let request = ReplayRequest {
            stream: STREAM,
            start: UnixMicros(START),
            end,
            direction: Direction::Forward,
            frames: FrameChoice::All,
        };
        block_on(async {
            let mut replay = Replay::open(recorder.now(), request)
                .await
                .expect("a replay");
            let mut got = Got::default();
            loop {
                if seed.chance(0.3) {
                    tokio::time::sleep(Duration::from_millis(seed.below(pause))).await;
                }
                // Dropped now and then before it is there.
                let patience = Duration::from_millis(seed.below(5));
                let event = tokio::time::timeout(patience, replay.next()).await;
                match event {
                    Err(_) => {}
                    Ok(ReplayEvent::Run(run)) => got.runs.push(run.started),
                    Ok(ReplayEvent::Frames(frames)) => got.frames.extend(frames),
                    Ok(ReplayEvent::Live) => *went_live.lock().expect("a lock") = true,
                    Ok(ReplayEvent::Ended) => return got,
                }
            }
        })
    });
    (got, went_live.into_inner().expect("a lock"))
}

fn numbers(wanted: &[Wanted]) -> Vec<(u64, bool)> {
    wanted
        .iter()
        .map(|wanted| (wanted.number, wanted.jump))
        .collect()
}

/// A growing recording is followed to its end, by fast readers from memory and by slow ones from the volume; none misses a frame or
/// gets one twice.
#[test]
fn a_recording_that_grows_is_followed_frame_by_frame() {
    let mut lives = 0;
    for number in seeds(10) {
        let mut seed = Seed::new(number);
        let pause = [2, 60][number as usize % 2];
        let film = two_runs(&mut seed);
        let (got, went_live) = live(&mut seed, &film, pause, None);
        lives += u32::from(went_live);
        let request = ReplayRequest {
            stream: STREAM,
            start: UnixMicros(START),
            end: None,
            direction: Direction::Forward,
            frames: FrameChoice::All,
        };
        for track in [PICTURES, SOUND] {
            let wanted = numbers(&expected(&film, &request, track));
            let what = format!("SEED={number} {track:?} {request:?}");
            assert_same(&numbers(&got.of(track)), &wanted, &what);
        }
        assert_eq!(got.runs.len(), 2, "SEED={number}");
    }
    assert!(lives > 0, "none came to the newest frame");
}

/// A range that ends in what is still to be recorded ends there.
#[test]
fn a_range_that_ends_in_the_future_waits_for_it() {
    for number in seeds(6) {
        let mut seed = Seed::new(number);
        let film = two_runs(&mut seed);
        let times = film.picture_times();
        let end = times[seed.below(times.len() as u64) as usize] + Micros(1);
        let (got, _) = live(&mut seed, &film, 20, Some(end));
        let request = ReplayRequest {
            stream: STREAM,
            start: UnixMicros(START),
            end: Some(end),
            direction: Direction::Forward,
            frames: FrameChoice::All,
        };
        for track in [PICTURES, SOUND] {
            let wanted = numbers(&expected(&film, &request, track));
            let what = format!("SEED={number} {track:?} {request:?}");
            assert_same(&numbers(&got.of(track)), &wanted, &what);
        }
    }
}

/// While the ring laps a slow reader, every frame given is whole and in order, and each place where some are missing is marked and begins
/// at a key frame.
#[test]
fn a_reader_that_the_ring_overtakes_jumps_to_what_is_left() {
    for number in seeds(4) {
        let mut seed = Seed::new(number);
        let style = Style {
            sound: false,
            group_max: 20,
            groups_max: 400,
        };
        let mut run = Vec::new();
        while run.len() < 3_000 {
            run = random_run(&mut seed, style, START, &mut 0);
        }
        let recorder = Recorder::new(3, 4_000, false);
        recorder.begin(UnixMicros(START));
        let some = run.len() / 8;
        run[..some].iter().for_each(|frame| recorder.push(frame));
        let request = ReplayRequest {
            stream: STREAM,
            start: UnixMicros(START),
            end: None,
            direction: Direction::Forward,
            frames: FrameChoice::All,
        };
        let (got, jumps) = block_on(async {
            let mut replay = Replay::open(recorder.now(), request)
                .await
                .expect("a replay");
            let (mut got, mut jumps): (Vec<ReplayFrame>, _) = (Vec::new(), 0);
            let mut rest = run[some..].chunks(60);
            loop {
                match rest.next() {
                    Some(chunk) => chunk.iter().for_each(|frame| recorder.push(frame)),
                    None => {
                        recorder.tail.end(crate::media::GapCause::CameraLost);
                        recorder.store.release(STREAM);
                    }
                }
                recorder.settle();
                let ended = match replay.next().await {
                    ReplayEvent::Frames(frames) => {
                        jumps += frames
                            .iter()
                            .filter(|frame| frame.marks.discontinuity)
                            .count();
                        got.extend(frames);
                        false
                    }
                    event => matches!(event, ReplayEvent::Ended),
                };
                if ended {
                    return (got, jumps);
                }
            }
        });
        assert!(
            jumps > 1,
            "SEED={number}: the ring never overtook the reader"
        );
        assert_jumps_are_marked(&run, &got, number);
    }
}

/// Fails when a frame is not what was recorded, comes late, or is missing behind no mark.
fn assert_jumps_are_marked(run: &[Frame], got: &[ReplayFrame], number: u64) {
    let mut place = 0;
    for (index, given) in got.iter().enumerate() {
        let number_given = number_of(&given.frame.data.to_bytes());
        let same = |frame: &Frame| number_of(&frame.data.to_bytes()) == number_given;
        let at = run[place..].iter().position(same).map(|at| place + at);
        let at = at.unwrap_or_else(|| panic!("SEED={number}: frame {number_given} came late"));
        assert_eq!(
            run[at].data.to_bytes(),
            given.frame.data.to_bytes(),
            "SEED={number}"
        );
        let between = &run[place..at];
        let skipped = |frame: &Frame| frame.kind != crate::media::FrameKind::Leading;
        if between.iter().any(skipped) || index == 0 {
            assert!(
                given.marks.discontinuity && given.marks.clean_point,
                "SEED={number}"
            );
        }
        place = at + 1;
    }
    assert_eq!(place, run.len(), "SEED={number}: the end is given");
}
