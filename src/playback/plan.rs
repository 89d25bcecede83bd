//! The plan: what answers a request. The blocks of a time range in order, each once, with the runs and gaps they make.
//!
//! The range is widened to the key frame in force at its start, however long ago that was, since cameras with "smart" codecs send one
//! in minutes. A run that lost blocks becomes several runs of the movie, so that nothing is decoded across the loss.

use super::{
    groups::main_track,
    movie::{FrameTable, Movie, MovieRun},
};
use crate::{
    base::{Micros, TimeRange, UnixMicros},
    media::{FrameEntry, FrameKind, GapCause, StreamId, TrackSet},
    store::{
        RunDescription,
        reader::ReadError,
        recordings::{RecordedBlock, RecordedPiece, Recordings},
    },
};
use std::sync::Arc;

/// How far back a key frame is looked for, step by step.
const LOOK_BACK: [Micros; 4] = [
    Micros::from_secs(10),
    Micros::from_secs(120),
    Micros::from_secs(1800),
    Micros::from_secs(4 * 3600),
];

/// How far behind the end of a range the next frame is looked for.
pub(super) const NEXT_FRAME: Micros = Micros::from_secs(1);

/// A request that cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Nothing is there.
    #[error("nothing was recorded from {} to {}; `nvring timeline` shows what was", range.start, range.end)]
    Empty {
        /// What was asked for.
        range: TimeRange,
    },
    /// A chapter cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// One run of the plan.
#[derive(Clone, Debug)]
pub struct PlannedRun {
    /// Its description, as recorded.
    pub description: RunDescription,
    /// Its tracks.
    pub tracks: Arc<TrackSet>,
    /// Why there was a gap before it; `None` for the first.
    pub cause: Option<GapCause>,
}

/// The blocks of a time range.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What was asked for.
    pub range: TimeRange,
    /// Its runs in order.
    pub runs: Vec<PlannedRun>,
    blocks: Vec<(usize, RecordedBlock)>,
}

impl Plan {
    /// Plans `range` of `stream`.
    ///
    /// # Errors
    /// When nothing is recorded in it, or a chapter cannot be read.
    pub async fn new(
        recordings: &Recordings,
        stream: StreamId,
        range: TimeRange,
    ) -> Result<Self, PlanError> {
        // The frame behind the end tells how long the last one lasts.
        let range_with_next = TimeRange {
            start: range.start,
            end: range.end + NEXT_FRAME,
        };
        let mut pieces = recordings.blocks(stream, range_with_next).await?;
        let mut ready = pieces.is_empty()
            || starts_with_key(&pieces, range.start)
                && !begins_before(recordings, stream, &pieces, range.start).await?;
        for back in LOOK_BACK {
            if ready {
                break;
            }
            let wide = TimeRange {
                start: range.start - back,
                end: range_with_next.end,
            };
            pieces = recordings.blocks(stream, wide).await?;
            ready = starts_with_key(&pieces, range.start);
        }
        let mut plan = Self {
            range,
            runs: Vec::new(),
            blocks: Vec::new(),
        };
        plan.add(pieces);
        plan.drop_lead_in();
        if plan.blocks.is_empty() {
            Err(PlanError::Empty { range })
        } else {
            Ok(plan)
        }
    }

    fn add(&mut self, pieces: Vec<RecordedPiece>) {
        let mut before: Option<(UnixMicros, Option<GapCause>)> = None;
        let mut next_number = 0;
        for piece in pieces {
            let run = piece.stretch.run;
            let same_run = before.is_some_and(|(other, _)| other == run);
            for block in piece.blocks {
                let number = block.number();
                let first = self.blocks.is_empty();
                let continues = !first && self.last_run() == Some(run) && number == next_number;
                if !first && self.last_run() == Some(run) && number < next_number {
                    // The same block, written a second time after a failed sync, or still in memory too.
                    continue;
                }
                if !continues {
                    let cause = match before {
                        _ if first => None,
                        Some(_) if same_run => Some(GapCause::Disk),
                        Some((_, ended)) => Some(ended.unwrap_or(piece.stretch.start_cause)),
                        None => Some(GapCause::Disk),
                    };
                    let Ok(description) = RunDescription::decode(&piece.description) else {
                        continue;
                    };
                    let tracks = Arc::new(description.tracks.clone());
                    self.runs.push(PlannedRun {
                        description,
                        tracks,
                        cause,
                    });
                }
                next_number = number.saturating_add(1);
                self.blocks.push((self.runs.len() - 1, block));
            }
            before = Some((run, piece.stretch.end_cause));
        }
    }

    fn last_run(&self) -> Option<UnixMicros> {
        self.blocks.last().map(|(_, block)| block.run.run)
    }

    /// Drops the blocks before the last one in the first run that has a key frame at or before the start of the range.
    fn drop_lead_in(&mut self) {
        let start = self.range.start;
        let first_after = self
            .blocks
            .partition_point(|(_, block)| block.first() <= start);
        let keep = self.blocks[..first_after].iter().rposition(|(run, block)| {
            let tracks = &self.runs[*run].tracks;
            has_key(tracks, block, start)
        });
        let Some(keep) = keep.filter(|keep| *keep > 0) else {
            return;
        };
        self.blocks.drain(..keep);
        let gone = self.blocks.first().map_or(0, |(run, _)| *run);
        self.runs.drain(..gone);
        for (run, _) in &mut self.blocks {
            *run -= gone;
        }
        if let Some(run) = self.runs.first_mut() {
            run.cause = None;
        }
    }

    /// The movie of the plan.
    pub fn movie(
        &self,
        damaged: super::movie::DamagedFrames,
        choice: super::movie::TrackChoice,
    ) -> Movie {
        let runs = self.runs.iter().map(|run| MovieRun {
            tracks: Arc::clone(&run.tracks),
            cause: run.cause,
        });
        Movie {
            runs: runs.collect(),
            range: self.range,
            damaged,
            choice,
        }
    }

    /// When what is shown last changed: with its newest frame, which also tells how long the one before lasts; and where the range begins
    /// before all that is left of `stream`, with what the ring last took. `None` when there is no frame.
    pub fn last_change(&self, recordings: &Recordings, stream: StreamId) -> Option<UnixMicros> {
        let newest = self.recorded().map(RecordedBlock::end).max()?;
        let newest = newest.min(self.range.end + NEXT_FRAME);
        let bounds = recordings.bounds(stream);
        let taken = recordings.last_taken();
        let shrinks = bounds.is_none_or(|(first, _)| self.range.start < first);
        Some(
            taken
                .filter(|_| shrinks)
                .map_or(newest, |taken| newest.max(taken)),
        )
    }

    /// The blocks in order.
    pub fn recorded(&self) -> impl Iterator<Item = &RecordedBlock> {
        self.blocks.iter().map(|(_, block)| block)
    }

    /// Bytes it takes in memory.
    pub(super) fn weight(&self) -> usize {
        let blocks = self.blocks.iter();
        let blocks = blocks.map(|(_, block)| size_of::<usize>() + block.weight());
        blocks.sum::<usize>() + self.runs.len() * size_of::<PlannedRun>()
    }

    /// The block with this number in the plan.
    pub fn block(&self, number: usize) -> Option<&RecordedBlock> {
        self.blocks.get(number).map(|(_, block)| block)
    }
}

impl FrameTable for Plan {
    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn run_of(&self, block: usize) -> usize {
        self.blocks[block].0
    }

    fn visit(&self, block: usize, visit: &mut dyn FnMut(&FrameEntry)) {
        self.blocks[block].1.frames().iter().for_each(visit);
    }
}

/// Whether decoding can start at or before `start`, or there is nothing before that would help.
fn starts_with_key(pieces: &[RecordedPiece], start: UnixMicros) -> bool {
    let Some(piece) = pieces.first() else {
        return true;
    };
    let Ok(description) = RunDescription::decode(&piece.description) else {
        return true;
    };
    let in_first_run = pieces
        .iter()
        .filter(|other| other.stretch.run == piece.stretch.run);
    let mut blocks = in_first_run.flat_map(|piece| &piece.blocks);
    let begins_later = piece
        .blocks
        .first()
        .is_none_or(|block| block.first() > start || block.number() == 0);
    begins_later || blocks.any(|block| has_key(&description.tracks, block, start))
}

/// Whether the frame in force at `start` is in the block before those that were found: how long its last frame lasts is only estimated, so
/// it may end a little before the next begins.
async fn begins_before(
    recordings: &Recordings,
    stream: StreamId,
    pieces: &[RecordedPiece],
    start: UnixMicros,
) -> Result<bool, ReadError> {
    let first = pieces.first().and_then(|piece| piece.blocks.first());
    let Some(first) = first.filter(|block| block.first() > start && block.number() > 0) else {
        return Ok(false);
    };
    let before = TimeRange {
        start: start - LOOK_BACK[0],
        end: start + Micros(1),
    };
    let before = recordings.blocks(stream, before).await?;
    let mut blocks = before.iter().flat_map(|piece| &piece.blocks);
    let follows = |block: &RecordedBlock| {
        block.run == first.run && block.number().checked_add(1) == Some(first.number())
    };
    Ok(blocks.any(follows))
}

/// Whether the block has a frame of the main track at or before `time` at which decoding can start.
fn has_key(tracks: &TrackSet, block: &RecordedBlock, time: UnixMicros) -> bool {
    let main = main_track(tracks);
    let frames = block.frames();
    frames
        .iter()
        .any(|frame| frame.track == main && frame.kind == FrameKind::Key && frame.time <= time)
}
