//! Files that were made lately: a player or a download asks for one file again and again, byte range by byte range, and each time all of
//! its frame tables would be read and its head computed anew.
//!
//! Kept is only what can no longer change by what is recorded: a range that is over, none of whose frames is still in memory. That the ring
//! takes a segment, or that the recorder's clock is set back into the range, is asked at each use (`Depends::hold`); then the file is made
//! anew, and has another tag. Blocks are verified when they are read in any case (L2). Bounded by weight, number and age (L8).

use super::{
    body::{FileLayout, VideoError, VirtualFile},
    fragmented::FragmentedLayout,
    mp4::Mp4Layout,
    plan::{NEXT_FRAME, Plan},
};
use crate::{
    base::{Micros, TimeRange, UnixMicros},
    media::StreamId,
    store::{lives::Lives, recordings::Recordings},
};
use quick_cache::{OptionsBuilder, Weighter, sync::Cache};
use std::{fmt, sync::Arc};

/// Bytes of files of one layout that are kept: about one of a day at 25 pictures per second, or a hundred of 15 minutes.
const FILES_LEN_MAX: u64 = 64 << 20;
/// Files of one layout that are kept.
const FILES_MAX: u64 = 64;
/// How long a file is kept after it was made.
const AGE_MAX: Micros = Micros::from_secs(600);
/// Frames come no later than this: a range is over so long after its end.
const OVER_AFTER: Micros = Micros::from_secs(10);

/// What a file is found by, besides its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    stream: StreamId,
    range: TimeRange,
}

/// A file, and what it depends on.
struct KeptFile<L> {
    file: Arc<VirtualFile<L>>,
    made: UnixMicros,
    depends: Depends,
}

/// What must be as it was for a file to be the same.
struct Depends {
    /// The lives of segments its blocks are in.
    lives: Lives,
    /// What the index lists from its first block to the frame behind its end.
    listed: Vec<(UnixMicros, u32, UnixMicros)>,
    range: TimeRange,
}

#[derive(Clone)]
struct Weight;

impl<L: FileLayout> Weighter<Key, Arc<KeptFile<L>>> for Weight {
    fn weight(&self, _: &Key, kept: &Arc<KeptFile<L>>) -> u64 {
        // Each counts for so much that no more than `FILES_MAX` find room.
        (kept.file.weight() as u64).max(FILES_LEN_MAX / FILES_MAX)
    }
}

/// The files of one layout.
pub struct FilesOf<L>(Cache<Key, Arc<KeptFile<L>>, Weight>);

/// The files that are kept.
#[derive(Debug, Default)]
pub struct KeptFiles {
    pub(super) progressive: FilesOf<Mp4Layout>,
    pub(super) fragmented: FilesOf<FragmentedLayout>,
}

impl KeptFiles {
    /// The file of `range` of `stream` as it is at `now`: one that was made before, when it still is the same. Who asks for a file that is
    /// being made waits for it.
    ///
    /// # Errors
    /// When nothing that can be decoded is recorded in `range`, or a chapter cannot be read.
    pub async fn file<L: FileLayout>(
        &self,
        recordings: &Recordings,
        stream: StreamId,
        range: TimeRange,
        now: UnixMicros,
    ) -> Result<Arc<VirtualFile<L>>, VideoError> {
        let make = || async {
            VirtualFile::<L>::new(recordings, stream, range)
                .await
                .map(Arc::new)
        };
        if range.end + NEXT_FRAME + OVER_AFTER > now {
            return make().await;
        }
        let files = &L::kept(self).0;
        let is_young = |kept: &KeptFile<L>| now.since(kept.made) < AGE_MAX && kept.made <= now;
        files.retain(|_, kept| is_young(kept));
        let key = Key { stream, range };
        loop {
            let guard = match files.get_value_or_guard_async(&key).await {
                Err(guard) => guard,
                Ok(kept) if kept.depends.hold(recordings, stream) => {
                    return Ok(Arc::clone(&kept.file));
                }
                Ok(stale) => {
                    files.remove_if(&key, |kept| Arc::ptr_eq(kept, &stale));
                    continue;
                }
            };
            let file = make().await?;
            if let Some(depends) = Depends::of(file.plan(), recordings, stream) {
                let kept = KeptFile {
                    file: Arc::clone(&file),
                    made: now,
                    depends,
                };
                // Where there is no room for it, it is not kept.
                let _ = guard.insert(Arc::new(kept));
            }
            return Ok(file);
        }
    }
}

impl Depends {
    /// `None` where frames are still in memory: they are yet to find their place.
    fn of(plan: &Plan, recordings: &Recordings, stream: StreamId) -> Option<Self> {
        let lives = Lives::of(plan.recorded())?;
        let start = plan.recorded().map(|block| block.first()).min()?;
        let range = TimeRange {
            start: start.min(plan.range.start),
            end: plan.range.end + NEXT_FRAME,
        };
        let listed = listed(recordings, stream, range)?;
        // What was taken while the plan was made is not in it.
        let depends = Self {
            lives,
            listed,
            range,
        };
        depends.hold(recordings, stream).then_some(depends)
    }

    fn hold(&self, recordings: &Recordings, stream: StreamId) -> bool {
        let listed = listed(recordings, stream, self.range);
        self.lives.hold() && listed.is_some_and(|listed| listed == self.listed)
    }
}

/// What the index lists of `range`: each piece by run, number and end. `None` where some of it is only in memory.
fn listed(
    recordings: &Recordings,
    stream: StreamId,
    range: TimeRange,
) -> Option<Vec<(UnixMicros, u32, UnixMicros)>> {
    let pieces = recordings.listed(stream, range);
    let pieces = pieces.iter().map(|piece| {
        let stretch = &piece.stretch;
        let settled = !piece.is_of_tail();
        settled.then_some((stretch.run, stretch.number, stretch.end.min(range.end)))
    });
    pieces.collect()
}

impl<L: FileLayout> Default for FilesOf<L> {
    fn default() -> Self {
        let mut options = OptionsBuilder::new();
        // One shard, so that a file may be as large as all that is kept.
        options
            .shards(1)
            .estimated_items_capacity(FILES_MAX as usize)
            .weight_capacity(FILES_LEN_MAX);
        let cache = match options.build() {
            Ok(options) => {
                Cache::with_options(options, Weight, Default::default(), Default::default())
            }
            Err(_) => Cache::with_weighter(FILES_MAX as usize, FILES_LEN_MAX, Weight),
        };
        Self(cache)
    }
}

impl<L> fmt::Debug for FilesOf<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilesOf").finish_non_exhaustive()
    }
}
