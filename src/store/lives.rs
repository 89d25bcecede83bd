//! The lives of segments that blocks lie in: what was planned from them holds until the ring takes one, and that is asked without looking
//! at each block again.

use super::{recordings::RecordedBlock, volume::VolumeShared};
use crate::format::place::{Generation, SegmentNumber};
use std::sync::Arc;

/// The lives that some blocks lie in, each once.
#[derive(Clone, Debug)]
pub struct Lives(Vec<Life>);

#[derive(Clone, Debug)]
struct Life {
    volume: Arc<VolumeShared>,
    segment: SegmentNumber,
    generation: Generation,
}

impl Lives {
    /// Those of `blocks`; `None` when one of them is not on a volume yet.
    pub fn of<'a>(blocks: impl Iterator<Item = &'a RecordedBlock>) -> Option<Self> {
        let mut lives: Vec<Life> = Vec::new();
        for block in blocks {
            let (volume, place) = block.on_volume()?;
            let is_it = |life: &Life| {
                life.segment == place.segment
                    && life.generation == place.generation
                    && Arc::ptr_eq(&life.volume, volume)
            };
            // Blocks of a stream lie in one segment for a while.
            if lives.last().is_some_and(is_it) || lives.iter().any(is_it) {
                continue;
            }
            lives.push(Life {
                volume: Arc::clone(volume),
                segment: place.segment,
                generation: place.generation,
            });
        }
        Some(Self(lives))
    }

    /// Whether nothing of them was taken.
    pub fn hold(&self) -> bool {
        let mut lives = self.0.iter();
        lives.all(|life| life.volume.index().is_live(life.segment, life.generation))
    }
}
