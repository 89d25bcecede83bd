//! Which parts of a stream a range has, and the bytes of one: the shell around `parts`. Lists read chapters only, in windows, never all of
//! a long range at once; a part reads the blocks it is made of, one and those read ahead in memory at a time.

use super::{
    body::chosen_bytes,
    fragment_tracks::{FragmentTracks, Receiver},
    movie::FrameTable,
    mp4::OutputFrame,
    parts::{Part, PartFragment, PartScan},
    plan::{Plan, PlanError},
    read_ahead::read_ahead,
};
use crate::{
    base::{Micros, TimeRange, UnixMicros},
    media::{FrameEntry, FrameKind, StreamId},
    store::{
        reader::ReadError,
        recordings::{RecordedBlock, Recordings},
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use std::{collections::BTreeMap, ops::Range, sync::Arc};

/// How much of a long range is planned at a time.
const WINDOW: Micros = Micros::from_secs(3600);
/// How far around a time the part it is in is looked for, step by step: key frames may be minutes apart.
const LOOK_AROUND: [Micros; 4] = [
    Micros::from_secs(8),
    Micros::from_secs(60),
    Micros::from_secs(600),
    Micros::from_secs(3 * 3600),
];
/// So long after the end of a range nothing comes for it any more: a connection holds its first frames back before they get their times.
const SETTLED: Micros = Micros::from_secs(10);
/// A forecast of the ring is believed with so much room, and a quarter of the time.
const KEPT_MARGIN: Micros = Micros::from_secs(60);
/// So long after its last frame a run of a stream that has no tail is over: until then blocks may be on their way to a volume.
const WRITTEN: Micros = Micros::from_secs(60);

/// Finds parts, plan by plan.
struct Finder<'a> {
    recordings: &'a Recordings,
    stream: StreamId,
    now: UnixMicros,
    growing: Option<UnixMicros>,
    scan: PartScan,
    tracks: BTreeMap<UnixMicros, Option<Arc<FragmentTracks>>>,
    /// Number and time of the first block seen, and the end of the last.
    first: Option<(u32, UnixMicros)>,
    seen_to: UnixMicros,
}

impl<'a> Finder<'a> {
    fn new(recordings: &'a Recordings, stream: StreamId, now: UnixMicros) -> Self {
        Self {
            recordings,
            stream,
            now,
            growing: growing_run(recordings, stream),
            scan: PartScan::default(),
            tracks: BTreeMap::new(),
            first: None,
            seen_to: UnixMicros::MIN,
        }
    }

    /// Takes the blocks from the key frame in force at the start of `range` on; gives their plan.
    async fn look(&mut self, range: TimeRange) -> Result<Option<Plan>, ReadError> {
        let plan = match Plan::new(self.recordings, self.stream, range).await {
            Ok(plan) => plan,
            Err(PlanError::Empty { .. }) => return Ok(None),
            Err(PlanError::Read(error)) => return Err(error),
        };
        for (index, block) in plan.recorded().enumerate() {
            self.first.get_or_insert((block.number(), block.first()));
            self.seen_to = self.seen_to.max(block.end());
            let run = block.run.run;
            let tracks = self.tracks.entry(run).or_insert_with(|| {
                let planned = plan.runs.get(plan.run_of(index))?;
                FragmentTracks::new(&planned.tracks, run, Receiver::Player).map(Arc::new)
            });
            if let Some(tracks) = tracks {
                self.scan
                    .block(run, tracks, block.number(), &block.frames());
            }
        }
        Ok(Some(plan))
    }

    /// The parts found; those that still grow are left out, and the start of the earliest of them is told.
    /// `sees_end` says whether a part that nothing follows was seen to its end.
    fn finish(self, sees_end: impl Fn(&Part) -> bool) -> (Vec<Part>, Option<UnixMicros>) {
        let now_growing = growing_run(self.recordings, self.stream);
        let has_tail = self.recordings.tail(self.stream).is_some();
        let mut open: Option<UnixMicros> = None;
        let parts = self.scan.finish(|part| {
            if !sees_end(part) {
                return false;
            }
            let run = Some(part.run);
            // A run that began while the blocks were looked at is younger than the one that grew before.
            let younger = self.growing.is_some_and(|growing| part.run > growing);
            let written = has_tail || part.end + WRITTEN < self.now;
            let over = run != self.growing && run != now_growing && !younger && written;
            if !over {
                open = Some(open.map_or(part.start, |open| open.min(part.start)));
            }
            over
        });
        (parts, open)
    }
}

/// The run that grows now.
fn growing_run(recordings: &Recordings, stream: StreamId) -> Option<UnixMicros> {
    let run = recordings.tail(stream)?.run()?;
    Some(run.id.run)
}

/// The parts of a range.
#[derive(Debug)]
pub struct PartList {
    /// In order.
    pub parts: Vec<Part>,
    /// Whether none will be added.
    pub ended: bool,
}

impl PartList {
    /// The parts of `stream` that are shown in `range`.
    ///
    /// # Errors
    /// When a chapter cannot be read.
    pub async fn of_range(
        recordings: &Recordings,
        stream: StreamId,
        range: TimeRange,
        now: UnixMicros,
    ) -> Result<Self, ReadError> {
        let mut finder = Finder::new(recordings, stream, now);
        let mut at = range.start;
        for around in LOOK_AROUND {
            let end = range.end.min(range.start + around);
            finder = Finder::new(recordings, stream, now);
            let back = TimeRange {
                start: range.start - around,
                end,
            };
            finder.look(back).await?;
            at = end;
            let begins_here = finder
                .first
                .is_none_or(|(number, first)| number == 0 && first >= back.start);
            if begins_here || finder.scan.knows(range.start) {
                break;
            }
        }
        let newest = recordings
            .bounds(stream)
            .map_or(UnixMicros::MIN, |(_, end)| end);
        // Behind the end the next key frame is looked for: it ends the last part.
        let mut beyond = LOOK_AROUND.into_iter();
        while at < newest {
            let end = if at < range.end {
                range.end.min(at + WINDOW)
            } else if finder.scan.grows_before(range.end) {
                match beyond.next() {
                    Some(step) => at + step,
                    None => break,
                }
            } else {
                break;
            };
            finder.look(TimeRange { start: at, end }).await?;
            at = end;
            // Other requests of this thread have their turn.
            tokio::task::yield_now().await;
        }
        let settled = finder.seen_to > range.end || range.end + SETTLED < now;
        let (mut parts, open) = finder.finish(|_| true);
        parts.retain(|part| part.start < range.end && part.end > range.start);
        Ok(Self {
            parts,
            ended: range.end <= now && settled && open.is_none_or(|open| open >= range.end),
        })
    }

    /// The parts of `stream` in `range`, which ends now, for a live list; where there are none, those of the last hour.
    ///
    /// # Errors
    /// When a chapter cannot be read.
    pub async fn newest(
        recordings: &Recordings,
        stream: StreamId,
        range: TimeRange,
        now: UnixMicros,
    ) -> Result<Vec<Part>, ReadError> {
        let growing = growing_run(recordings, stream);
        let mut parts = Self::of_range(recordings, stream, range, now).await?.parts;
        if parts.is_empty() {
            let start = range.start.min(now - WINDOW);
            let hour = TimeRange { start, ..range };
            parts = Self::of_range(recordings, stream, hour, now).await?.parts;
        }
        // Where the clock was set back, what was recorded before seems to be yet to come.
        parts.retain(|part| growing.is_none_or(|growing| part.run <= growing));
        Ok(parts)
    }
}

/// Whether the ring is expected to leave `part` where it is until `time`.
///
/// # Errors
/// When a chapter cannot be read.
pub async fn is_kept(
    recordings: &Recordings,
    stream: StreamId,
    part: &Part,
    time: UnixMicros,
    now: UnixMicros,
) -> Result<bool, ReadError> {
    let range = TimeRange {
        start: part.start,
        end: part.end,
    };
    let timeline = recordings.timeline_at(stream, range, now).await?;
    let margin = Micros(time.since(now).0.max(0) / 4) + KEPT_MARGIN;
    let mut runs = timeline.runs.iter();
    Ok(runs.all(|run| run.kept_until.is_none_or(|until| until > time + margin)))
}

/// The name of a part within its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartName {
    /// The run, by its start.
    pub run: UnixMicros,
    /// When the first picture of the part is shown.
    pub start: UnixMicros,
}

/// What of a part is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// All of it.
    Whole,
    /// Its key frame.
    Key,
}

/// A part that cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// There is none of the name.
    #[error(
        "there is no part of run {} that begins at {}: the ring may have taken it, or the list that named it was of other recordings", 
        name.run, name.start
    )]
    Unknown {
        /// What was asked for.
        name: PartName,
    },
    /// It is not whole yet.
    #[error("the part that begins at {} still grows", name.start)]
    Growing {
        /// What was asked for.
        name: PartName,
    },
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A part as a file: known, but not yet read.
#[derive(Debug)]
pub struct PartFile {
    head: Bytes,
    blocks: Vec<(RecordedBlock, Vec<OutputFrame>)>,
    len: u64,
    end: UnixMicros,
}

impl PartFile {
    /// Finds a part; reads chapters only.
    ///
    /// # Errors
    /// When there is no such part, it still grows, or a chapter cannot be read.
    pub async fn new(
        recordings: &Recordings,
        stream: StreamId,
        name: PartName,
        kind: PartKind,
        now: UnixMicros,
    ) -> Result<Self, PartError> {
        // One chapter, and none where nothing is recorded: a wrong name costs no more.
        if !has_key_at(recordings, stream, name).await? {
            return Err(PartError::Unknown { name });
        }
        let run_end = run_end(recordings, stream, name);
        for around in LOOK_AROUND {
            let mut finder = Finder::new(recordings, stream, now);
            let range = TimeRange {
                start: name.start - around,
                end: name.start + around,
            };
            let Some(plan) = finder.look(range).await? else {
                break;
            };
            let known = finder.scan.knows(name.start);
            let opens = finder.scan.opens(name.start);
            let (parts, open) = finder.finish(|_| run_end <= range.end);
            let named = |part: &Part| part.run == name.run && part.start == name.start;
            if let Some(part) = parts.into_iter().find(named) {
                return Ok(Self::of(&part, &plan, kind));
            }
            if open == Some(name.start) {
                return Err(PartError::Growing { name });
            }
            if known && !opens {
                break;
            }
        }
        Err(PartError::Unknown { name })
    }

    fn of(part: &Part, plan: &Plan, kind: PartKind) -> Self {
        let needed = part.context.block..=part.behind.block;
        let blocks: BTreeMap<u32, &RecordedBlock> = plan
            .recorded()
            .filter(|block| block.run.run == part.run && needed.contains(&block.number()))
            .map(|block| (block.number(), block))
            .collect();
        let PartFragment {
            fragment,
            blocks: numbers,
        } = match kind {
            PartKind::Whole => {
                let tables = blocks.iter();
                part.fragment(tables.map(|(number, block)| (*number, block.frames())))
            }
            PartKind::Key => {
                let block = blocks.get(&part.first.block);
                part.key_fragment(&block.map_or_else(Vec::new, |block| block.frames()))
            }
        };
        let chunks = numbers.iter().zip(fragment.chunks);
        let chunks = chunks.filter_map(|(number, frames)| {
            let block = *blocks.get(number)?;
            Some((block.clone(), frames))
        });
        Self {
            len: fragment.head.len() as u64 + fragment.body_len,
            head: fragment.head.into(),
            blocks: chunks.collect(),
            end: part.end,
        }
    }

    /// Its length.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// A part is never empty.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The end of its newest frame.
    pub fn end(&self) -> UnixMicros {
        self.end
    }

    /// A checksum of its head, which lists every frame's size and time.
    pub fn head_checksum(&self) -> u32 {
        crc32fast::hash(&self.head)
    }

    /// The bytes of `range`, piece by piece, with at most `READ_AHEAD` blocks read before they are asked for.
    pub fn stream(
        &self,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes, ReadError>> + use<> {
        let cut = move |at: u64, len: u64| {
            let from = range.start.clamp(at, at + len) - at;
            let to = range.end.clamp(at, at + len) - at;
            from as usize..to as usize
        };
        let head = self.head.slice(cut(0, self.head.len() as u64));
        let mut at = self.head.len() as u64;
        let mut pieces = Vec::new();
        for (block, frames) in &self.blocks {
            let len = frames.iter().map(|frame| u64::from(frame.size)).sum();
            let wanted = cut(at, len);
            at += len;
            if !wanted.is_empty() {
                pieces.push((block.clone(), frames.clone(), wanted));
            }
        }
        let read = |(block, frames, wanted): (RecordedBlock, Vec<OutputFrame>, Range<usize>)| async move {
            Ok(chosen_bytes(&block, &frames).await?.slice(wanted))
        };
        let body = read_ahead(stream::iter(pieces).map(read));
        stream::iter((!head.is_empty()).then_some(Ok(head))).chain(body)
    }
}

/// Whether the run has a key frame at the time of the part.
async fn has_key_at(
    recordings: &Recordings,
    stream: StreamId,
    name: PartName,
) -> Result<bool, ReadError> {
    let instant = TimeRange {
        start: name.start,
        end: UnixMicros(name.start.0.saturating_add(1)),
    };
    let key = |frame: &FrameEntry| frame.kind == FrameKind::Key && frame.time == name.start;
    for piece in recordings.listed(stream, instant) {
        if piece.stretch.run != name.run {
            continue;
        }
        let Some(piece) = piece.read().await? else {
            continue;
        };
        let mut blocks = piece.blocks.iter();
        if blocks.any(|block| block.first() <= name.start && block.frames().iter().any(key)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The end of the run that a part is of.
fn run_end(recordings: &Recordings, stream: StreamId, name: PartName) -> UnixMicros {
    let behind = TimeRange {
        start: name.start,
        end: UnixMicros::MAX,
    };
    let pieces = recordings.listed(stream, behind).into_iter();
    let of_run = pieces.filter(|piece| piece.stretch.run == name.run);
    of_run
        .map(|piece| piece.stretch.end)
        .max()
        .unwrap_or(UnixMicros::MIN)
}

/// The init segment of a run, from any of its blocks at or behind its start.
///
/// # Errors
/// When a chapter cannot be read.
pub async fn init_segment(
    recordings: &Recordings,
    stream: StreamId,
    run: UnixMicros,
) -> Result<Option<Vec<u8>>, ReadError> {
    let description = recordings.run(stream, run).await?;
    let tracks = description.and_then(|run_description| {
        FragmentTracks::new(&run_description.tracks, run, Receiver::Player)
    });
    Ok(tracks.map(|tracks| tracks.init()))
}
