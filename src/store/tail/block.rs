//! Runs and blocks while they are in memory: what the writer takes, and what readers see of frames that are not on disk yet.

use crate::{
    base::{Micros, UnixMicros},
    format::{description::RunDescription, row::RunId},
    media::{Frame, FrameEntry, GapCause},
};
use bytes::Bytes;
use std::sync::Arc;

/// What is true of one run and goes into each of its blocks.
#[derive(Debug)]
pub struct Run {
    /// Which run of which stream.
    pub id: RunId,
    /// For people and players.
    pub description: RunDescription,
    /// The description as it is on disk.
    pub packed: Bytes,
}

/// Frames of one run that make one block on disk. Immutable once cut.
#[derive(Debug)]
pub struct TailBlock {
    /// The run.
    pub run: Arc<Run>,
    /// Number within the run.
    pub number: u32,
    /// Number of the first frame among all frames this tail ever took.
    pub sequence: u64,
    /// The frames in order of arrival.
    pub frames: Vec<Frame>,
    /// Bytes of the frames.
    pub bytes: usize,
    /// When the first frame arrived, monotonic.
    pub arrived: Micros,
    /// Earliest presentation time.
    pub first: UnixMicros,
    /// End of the latest frame.
    pub end: UnixMicros,
    /// Why the run ends with this block.
    pub ends: Option<GapCause>,
}

impl TailBlock {
    /// Indexes of the frames in the order in which their bytes stand in a block: grouped by track, else as they arrived.
    pub fn payload_order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.frames.len() as u32).collect();
        order.sort_by_key(|index| self.frames[*index as usize].track);
        order
    }

    /// The rows of the frames in payload order.
    pub fn entries(&self) -> Vec<FrameEntry> {
        let order = self.payload_order().into_iter();
        order
            .map(|index| self.frames[index as usize].entry())
            .collect()
    }

    /// Number of the frame behind the last among all frames of the tail.
    pub fn sequence_end(&self) -> u64 {
        self.sequence + self.frames.len() as u64
    }
}
