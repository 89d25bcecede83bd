//! Why a volume cannot be formatted, opened or read: what, where, and what to do.

use crate::{base::units::ByteSize, disk::DiskError, format::DecodeError};
use std::path::PathBuf;

/// A volume that cannot be formatted, opened or read.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The folder is no volume.
    #[error("{} is not a volume: it has no superblock; format it with `nvring volume format {} --size SIZE`", path.display(), path.display())]
    Unformatted {
        /// The folder.
        path: PathBuf,
    },
    /// The superblock is of another version or damaged.
    #[error("the volume {} cannot be opened: {source}", path.display())]
    Superblock {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: DecodeError,
    },
    /// The folder already holds a volume.
    #[error("{} already holds a volume; its recordings would be lost: use another folder, or remove this one yourself", path.display())]
    Formatted {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds something else.
    #[error("{} is not empty (it holds {found}); a volume wants a folder of its own", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// One of the things in it.
        found: String,
    },
    /// A format that did not come to its end.
    #[error("the format of {0} was not finished: it holds empty segments and no superblock; remove them (`rm -rf {0}/segments {0}/superblock`) and format again", path.display())]
    Unfinished {
        /// The folder.
        path: PathBuf,
    },
    /// The segments are there, the superblock is not.
    #[error("{} holds segments with recordings, but its superblock is lost: copy the file `superblock` back from where the volume was before, or read single segments with `nvring inspect`", path.display())]
    SuperblockLost {
        /// The folder.
        path: PathBuf,
    },
    /// The file system is too small.
    #[error("a volume of {size} does not fit {}: {available} are free; choose a smaller --size or make room", path.display())]
    NoSpace {
        /// The folder.
        path: PathBuf,
        /// Bytes asked for.
        size: ByteSize,
        /// Bytes free.
        available: ByteSize,
    },
    /// The geometry makes no ring.
    #[error("a volume of {size} with segments of {segment_len} cannot be made: {why}")]
    Geometry {
        /// Bytes asked for.
        size: ByteSize,
        /// Bytes of a segment.
        segment_len: ByteSize,
        /// What to change.
        why: String,
    },
    /// The file system refused.
    #[error("{source}{}", remedy(source))]
    Disk {
        /// What it said.
        #[from]
        source: DiskError,
    },
    /// A read, write or sync failed.
    #[error("{action} of {} failed: {source}; check the disk (dmesg, smartctl)", path.display())]
    Io {
        /// `read`, `write` or `sync`.
        action: &'static str,
        /// The volume.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

fn remedy(error: &DiskError) -> &'static str {
    match error.source.kind() {
        std::io::ErrorKind::StorageFull => "; choose a smaller --size or make room",
        std::io::ErrorKind::PermissionDenied => {
            "; run as the owner of the folder or change its owner"
        }
        std::io::ErrorKind::NotFound => "; check the path and that the disk is mounted",
        _ => "",
    }
}
