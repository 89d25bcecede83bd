//! What a block device counted: writes, bytes and flushes, from `/sys/dev/block/MAJOR:MINOR/stat` (kernel Documentation/block/stat.rst).

use std::{io, os::unix::fs::MetadataExt, path::Path};

const SECTOR: u64 = 512;

/// Totals since the machine started. All zero for a file system without a device (tmpfs).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DeviceCounters {
    pub(super) writes: u64,
    pub(super) written_bytes: u64,
    pub(super) flushes: u64,
}

impl DeviceCounters {
    /// The counters of the device that holds `path`.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let device = std::fs::metadata(path)?.dev();
        let (major, minor) = (libc::major(device), libc::minor(device));
        let text = match std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other?,
        };
        let fields: Vec<u64> = text
            .split_whitespace()
            .filter_map(|field| field.parse().ok())
            .collect();
        let field = |index: usize| fields.get(index).copied().unwrap_or(0);
        Ok(Self {
            writes: field(4),
            written_bytes: field(6) * SECTOR,
            flushes: field(15),
        })
    }

    /// What was counted since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            writes: self.writes - before.writes,
            written_bytes: self.written_bytes - before.written_bytes,
            flushes: self.flushes - before.flushes,
        }
    }
}
