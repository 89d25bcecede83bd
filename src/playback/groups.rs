//! Groups of pictures of a plan: from one key frame to the frame before the next. What is played backwards, by key frames alone, or cut
//! into parts is counted in groups. Computed from frame tables; no video is read.

use super::{movie::FrameTable, plan::Plan};
use crate::{
    base::UnixMicros,
    media::{FrameKind, TrackId, TrackSet},
};

/// A frame of a plan: its block, and its number inside the block as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FramePlace {
    /// The block.
    pub block: usize,
    /// The frame.
    pub ordinal: u32,
}

/// A group of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Which run of the plan.
    pub run: usize,
    /// Its key frame.
    pub key: FramePlace,
    /// The frame of the main track behind its last one; where the run ends, the block behind its last.
    pub end: FramePlace,
    /// Presentation time of the key frame.
    pub time: UnixMicros,
}

/// The track that sets the measure of a run: the pictures, else the first.
pub fn main_track(tracks: &TrackSet) -> TrackId {
    let video = tracks
        .tracks
        .iter()
        .position(|track| track.codec.is_video());
    TrackId(video.unwrap_or(0) as u8)
}

impl Plan {
    /// The groups of pictures, in order. Frames of a run before its first key frame belong to none.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut run = None;
        for block in 0..self.blocks() {
            let here = FramePlace { block, ordinal: 0 };
            let same_run = run == Some(self.run_of(block));
            if !same_run {
                run = Some(self.run_of(block));
                end_last(&mut groups, here);
            }
            let number = self.run_of(block);
            let main = main_track(&self.runs[number].tracks);
            let mut ordinal = 0;
            self.visit(block, &mut |frame| {
                if frame.track == main && frame.kind == FrameKind::Key {
                    let key = FramePlace { block, ordinal };
                    end_last(&mut groups, key);
                    groups.push(Group {
                        run: number,
                        key,
                        end: OPEN,
                        time: frame.time,
                    });
                }
                ordinal += 1;
            });
        }
        let behind = FramePlace {
            block: self.blocks(),
            ordinal: 0,
        };
        end_last(&mut groups, behind);
        groups
    }
}

/// Where a group ends that has no end yet.
const OPEN: FramePlace = FramePlace {
    block: usize::MAX,
    ordinal: u32::MAX,
};

fn end_last(groups: &mut [Group], end: FramePlace) {
    if let Some(last) = groups.last_mut().filter(|group| group.end == OPEN) {
        last.end = end;
    }
}
