//! Chapters that were read lately, unpacked: a player asks for the same minutes again and again, byte range by byte range.
//!
//! The key holds the life of the segment, which is never used again, so an entry can never pass for a later chapter (L2); whether its
//! blocks still live is asked at each use. Bounded by weight (L8).

use crate::format::{
    chapter::Chapter,
    place::{Generation, Place},
    row::{BlockRow, RunId},
};
use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};
use std::sync::Arc;

/// Bytes of unpacked chapters that a volume keeps: about a day of two cameras, or the last ten minutes of 200.
const CHAPTER_CACHE_LEN: u64 = 32 << 20;
/// Chapters it is made for; more are kept where they are small.
const CHAPTERS_EXPECTED: usize = 512;

/// A chapter as it was read and verified.
#[derive(Debug)]
pub(crate) struct ReadChapter {
    /// The packed description of the run.
    pub(crate) description: Bytes,
    /// Which run, and its rows.
    pub(crate) chapter: Chapter,
    /// Bytes it was read from.
    pub(crate) len: u32,
}

#[derive(Clone)]
struct Weight;

impl Weighter<(Generation, u64), Arc<ReadChapter>> for Weight {
    fn weight(&self, _: &(Generation, u64), read: &Arc<ReadChapter>) -> u64 {
        u64::from(read.len) + (read.chapter.rows.len() * size_of::<BlockRow>()) as u64
    }
}

/// The chapters of one volume.
pub(crate) struct ChapterCache {
    chapters: Cache<(Generation, u64), Arc<ReadChapter>, Weight>,
}

impl ChapterCache {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            chapters: Cache::with_weighter(CHAPTERS_EXPECTED, CHAPTER_CACHE_LEN, Weight),
        }
    }

    /// The chapter at `place`, if it is kept and is the one that is meant.
    pub(crate) fn get(&self, place: &Place, run: RunId, number: u32) -> Option<Arc<ReadChapter>> {
        let read = self.chapters.get(&(place.generation, place.offset))?;
        let first = read.chapter.rows.first()?.number;
        (read.chapter.run == run && first == number).then_some(read)
    }

    /// Keeps a chapter that was read.
    pub(crate) fn keep(&self, place: &Place, read: &Arc<ReadChapter>) {
        let key = (place.generation, place.offset);
        self.chapters.insert(key, Arc::clone(read));
    }

    /// Forgets all: the next look is cold.
    pub(crate) fn clear(&self) {
        self.chapters.clear();
    }
}
