//! What a replay of a film must give, by the rules and nothing else: no block, window or read in it.

use super::film::{Film, PICTURES, number_of};
use crate::{
    base::{Micros, UnixMicros},
    media::{Frame, FrameKind, TrackId},
    playback::replay::{Direction, FrameChoice, ReplayRequest},
};

/// A frame that must come: with which marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) number: u64,
    pub(super) time: UnixMicros,
    pub(super) jump: bool,
    pub(super) ends: bool,
}

/// The frames of one track in order.
pub(super) fn expected(film: &Film, request: &ReplayRequest, track: TrackId) -> Vec<Wanted> {
    let mut all = Vec::new();
    match request.direction {
        Direction::Forward => {
            let first = first_run(film, request.start);
            for (number, run) in film.runs.iter().enumerate().skip(first) {
                let enter = (number == first).then_some(request.start);
                let taken = forward(run, enter, request);
                all.extend(marked(run, &taken, request, track));
            }
        }
        Direction::Reverse if track == PICTURES => {
            for run in film.runs.iter().rev() {
                all.extend(reverse(run, request));
            }
            if let FrameChoice::Intra { interval } = request.frames {
                apart(&mut all, interval);
            }
        }
        Direction::Reverse => {}
    }
    all
}

/// The run that holds `start`, else the next.
fn first_run(film: &Film, start: UnixMicros) -> usize {
    let ends_before = |run: &&Vec<Frame>| {
        let end = run.iter().map(|frame| frame.time).max();
        end.is_some_and(|end| end < start)
    };
    film.runs.iter().take_while(ends_before).count()
}

/// Indexes of what is taken of a run.
fn forward(run: &[Frame], enter: Option<UnixMicros>, request: &ReplayRequest) -> Vec<usize> {
    let key = |frame: &Frame| frame.track == PICTURES && frame.kind == FrameKind::Key;
    let at_or_before = |frame: &Frame| key(frame) && Some(frame.time) <= enter;
    let entry = run.iter().rposition(at_or_before);
    let Some(entry) = entry.or_else(|| run.iter().position(key)) else {
        return Vec::new();
    };
    let (mut orphans, mut last_key) = (true, None);
    let mut taken = Vec::new();
    for (index, frame) in run.iter().enumerate().skip(entry) {
        orphans &= index == entry || !key(frame);
        let leads = frame.kind == FrameKind::Leading;
        let wanted = match request.frames {
            FrameChoice::All => true,
            FrameChoice::Predicted => !leads && frame.kind != FrameKind::Disposable,
            FrameChoice::Intra { interval } => {
                let due =
                    last_key.is_none_or(|last: UnixMicros| frame.time.since(last) >= interval);
                if key(frame) && due {
                    last_key = Some(frame.time);
                }
                key(frame) && due
            }
        };
        if wanted && !(leads && orphans) {
            taken.push(index);
        }
    }
    let end = request.end.unwrap_or(UnixMicros::MAX);
    // What a picture refers to was sent before it.
    let picture = |index: &usize| run[*index].track == PICTURES;
    let last = |index: &usize| picture(index) && run[*index].time < end;
    let last = taken.iter().copied().rfind(last);
    taken.retain(|index| {
        run[*index].time < end || picture(index) && last.is_some_and(|last| *index <= last)
    });
    taken
}

/// Those of a track, with their marks.
fn marked(run: &[Frame], taken: &[usize], request: &ReplayRequest, track: TrackId) -> Vec<Wanted> {
    let of_track = |index: &usize| run[*index].track == track;
    let chosen: Vec<usize> = taken.iter().copied().filter(of_track).collect();
    let behind = |frame: &Frame| request.end.is_some_and(|end| frame.time >= end);
    let whole = !run.iter().any(behind);
    let count = chosen.len();
    let wanted = chosen.into_iter().enumerate().map(|(place, index)| Wanted {
        number: number_of(&run[index].data.to_bytes()),
        time: run[index].time,
        jump: place == 0,
        ends: whole && place + 1 == count,
    });
    wanted.collect()
}

/// The groups of a run, newest first.
fn reverse(run: &[Frame], request: &ReplayRequest) -> Vec<Wanted> {
    let pictures: Vec<&Frame> = run.iter().filter(|frame| frame.track == PICTURES).collect();
    let upper = pictures
        .iter()
        .rposition(|frame| frame.time <= request.start);
    let Some(upper) = upper else {
        return Vec::new();
    };
    let whole = upper + 1 == pictures.len();
    let lower = request.end.unwrap_or(UnixMicros::MIN);
    let keys = (0..=upper).filter(|index| pictures[*index].kind == FrameKind::Key);
    let mut end = upper + 1;
    let mut all = Vec::new();
    for start in keys.collect::<Vec<_>>().into_iter().rev() {
        let group = &pictures[start..end];
        let newest = end == upper + 1;
        end = start;
        if group.iter().all(|frame| frame.time < lower) {
            break;
        }
        let chosen: Vec<&&Frame> = group
            .iter()
            .filter(|frame| match request.frames {
                FrameChoice::All => frame.kind != FrameKind::Leading,
                FrameChoice::Predicted => {
                    !matches!(frame.kind, FrameKind::Leading | FrameKind::Disposable)
                }
                FrameChoice::Intra { .. } => frame.kind == FrameKind::Key,
            })
            .collect();
        let count = chosen.len();
        all.extend(chosen.into_iter().enumerate().map(|(place, frame)| Wanted {
            number: number_of(&frame.data.to_bytes()),
            time: frame.time,
            jump: place == 0,
            ends: whole && newest && place + 1 == count,
        }));
    }
    all
}

/// Key frames at least `interval` apart; the newest of a section always.
fn apart(keys: &mut Vec<Wanted>, interval: Micros) {
    let mut last: Option<UnixMicros> = None;
    keys.retain(|key| {
        let due = last.is_none_or(|last| last.since(key.time) >= interval) || key.ends;
        if due {
            last = Some(key.time);
        }
        due
    });
}
