//! Rebuilding a lost or doubtful index: dropped, then made again from the segments alone (`docs/format.md` §3, R7).
//!
//! A crash at any moment of it is harmless: the index is a cache, and the next opening rebuilds it as well.

use crate::{
    base::Clock,
    disk::{EngineChoice, SlabOptions, open_folder},
    format::index::FILE,
    store::{
        memory,
        recovery::{Progress, RecoveryReport},
        volume::{self, Access, SEGMENT_LEN_MIN, VolumeError},
    },
};
use std::{path::Path, sync::Arc};

/// What a rebuild found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RebuildReport {
    /// Streams with recordings.
    pub streams: usize,
    /// Chapters entered.
    pub chapters: u32,
    /// What recovery did.
    pub recovery: RecoveryReport,
}

/// Makes the index of the volume in `path` anew. The recordings are not touched.
///
/// # Errors
/// When it is no volume, in use, or the disk fails.
pub fn rebuild_volume(
    path: &Path,
    clock: Arc<dyn Clock>,
    progress: Progress<'_>,
) -> Result<RebuildReport, VolumeError> {
    let slab = SlabOptions {
        slots: 1,
        slot_len: SEGMENT_LEN_MIN as usize,
    };
    let disk = open_folder(path, slab, EngineChoice::Plain)?;
    // The volume is ours now, and it is one: only then is anything removed.
    volume::read_superblock(&*disk, path)?;
    match disk.remove(FILE) {
        Err(error) if error.source.kind() != std::io::ErrorKind::NotFound => {
            return Err(error.into());
        }
        _ => {}
    }
    let opened = volume::open(
        disk,
        path,
        Access::Write,
        clock,
        |superblock| memory::mapped(path, superblock),
        progress,
    )?;
    let shared = opened.shared;
    // Chapters of the newest segment may still come, so it is the first that a start has to look at.
    let covered = {
        let index = shared.index();
        let lives = index.lives().iter().map(|life| life.generation);
        lives.max().unwrap_or_default()
    };
    shared
        .checkpoint(covered)
        .map_err(|source| VolumeError::Io {
            action: "write",
            path: path.join(FILE),
            source,
        })?;
    let (chapters, _) = shared.index().usage();
    Ok(RebuildReport {
        streams: shared.streams().len(),
        chapters,
        recovery: opened.report,
    })
}
