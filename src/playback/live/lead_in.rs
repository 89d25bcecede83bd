//! The frames between the last key frame and now, for whoever joins: found by tables alone, then read block by block.
//!
//! Blocks hold their frames track by track, and sound beside pictures: of the first block only what is shown from the key frame on counts,
//! of all blocks no sound before it, so that nothing comes before the instant a viewer is told to begin at. Leading pictures, shown before
//! the key frame they follow, come with it.

use crate::{
    base::UnixMicros,
    media::{Frame, FrameEntry, FrameKind, TrackId},
    playback::groups::main_track,
    store::{reader::BlockBytes, recordings::RecordedBlock, tail::Run},
};
use std::{collections::VecDeque, sync::Arc};

/// The frames.
#[derive(Debug)]
pub(super) struct LeadIn {
    run: Arc<Run>,
    /// The run was told.
    begun: bool,
    main: TrackId,
    /// When the key frame is shown.
    time: UnixMicros,
    /// Where it stands in the first block; 0 for the blocks behind.
    key: usize,
    blocks: VecDeque<RecordedBlock>,
}

impl LeadIn {
    /// Those of `blocks` from the last key frame on; `None` when there is none, or they have more than `len_max` bytes.
    pub(super) fn find(run: &Arc<Run>, blocks: Vec<RecordedBlock>, len_max: usize) -> Option<Self> {
        let main = main_track(&run.description.tracks);
        let mut len = 0;
        let mut found = None;
        for (number, block) in blocks.iter().enumerate().rev() {
            let frames = block.frames();
            let is_key = |frame: &FrameEntry| frame.track == main && frame.kind == FrameKind::Key;
            let key = frames.iter().rposition(is_key);
            let before = |(index, frame): &(usize, &FrameEntry)| {
                frame.track == main && key.is_some_and(|key| *index < key)
            };
            let counted = frames.iter().enumerate().filter(|frame| !before(frame));
            len += counted.map(|(_, frame)| frame.size as usize).sum::<usize>();
            if len > len_max {
                return None;
            }
            if let Some((key, time)) = key.and_then(|key| Some((key, frames.get(key)?.time))) {
                found = Some((number, key, time));
                break;
            }
        }
        let (number, key, time) = found?;
        Some(Self {
            run: Arc::clone(run),
            begun: false,
            main,
            time,
            key,
            blocks: blocks.into_iter().skip(number).collect(),
        })
    }

    /// Which run they are of.
    pub(super) fn run(&self) -> Arc<Run> {
        Arc::clone(&self.run)
    }

    /// The run, the first time.
    pub(super) fn begin(&mut self) -> Option<Arc<Run>> {
        let begun = std::mem::replace(&mut self.begun, true);
        (!begun).then(|| self.run())
    }

    /// The block to be read next.
    pub(super) fn next(&self) -> Option<RecordedBlock> {
        self.blocks.front().cloned()
    }

    /// The frames of the block that was read.
    pub(super) fn take(&mut self, bytes: &BlockBytes) -> Vec<Frame> {
        let entries = bytes.frames.iter().enumerate();
        let wanted = entries.filter(|(index, entry)| self.wants(*index, entry));
        let frames = wanted.map(|(index, entry)| Frame {
            track: entry.track,
            kind: entry.kind,
            time: entry.time,
            data: bytes.frame(index).into(),
        });
        let frames = frames.collect();
        self.blocks.pop_front();
        self.key = 0;
        frames
    }

    fn wants(&self, index: usize, entry: &FrameEntry) -> bool {
        if entry.track == self.main {
            index >= self.key
        } else {
            entry.time >= self.time
        }
    }

    /// Frames not read yet.
    pub(super) fn left(&self) -> u64 {
        let blocks = self.blocks.iter().map(|block| block.frames().len() as u64);
        blocks.sum()
    }
}
