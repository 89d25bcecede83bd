//! One process at a time on a volume: an exclusive `flock` on the file `lock` in its folder.
//!
//! The kernel drops the lock with the process, so none is ever stale. It may do so late: requests of a killed process that
//! are still in flight keep its files open, so taking the lock is tried for a while before giving up.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::disk::{DiskError, name};

/// How often the lock is tried, and how long apart: 2 s in all.
const ATTEMPTS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// Longest text read from a lock file that another process wrote: a process id.
const HOLDER_LEN_MAX: u64 = 20;

/// The lock of a folder, held until dropped.
#[derive(Debug)]
pub struct FolderLock {
    path: PathBuf,
    /// Holds the lock as long as it is open.
    file: File,
}

impl FolderLock {
    /// Takes the lock of `folder`, which must exist. Blocks up to 2 s while another process holds it, then fails naming that
    /// process.
    pub fn take(folder: &Path) -> Result<Self, DiskError> {
        let path = folder.join(name::LOCK);
        let fail = |source| DiskError {
            action: "lock",
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(&path)
            .map_err(fail)?;
        let mut lock = Self {
            path: path.clone(),
            file,
        };
        for attempt in 1.. {
            match lock.file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempt < ATTEMPTS => thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => return Err(fail(held_by_another(&lock.file))),
                Err(TryLockError::Error(source)) => return Err(fail(source)),
            }
        }
        // Only for the message above in another process: a disk too full for it is no reason not to run.
        let _ = lock.write_holder();
        Ok(lock)
    }

    /// The lock file itself.
    pub(in crate::disk) fn path(&self) -> &Path {
        &self.path
    }

    fn write_holder(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{}", std::process::id())
    }
}

/// The error of a lock that another process holds, naming that process.
pub(in crate::disk) fn held_by_another(file: &File) -> io::Error {
    let mut text = String::new();
    let read = file.take(HOLDER_LEN_MAX).read_to_string(&mut text);
    let holder = match (read, text.trim().parse::<u32>()) {
        // A reader leaves no id, so the one there may be of a process that ended.
        (Ok(_), Ok(id)) if Path::new(&format!("/proc/{id}")).exists() => {
            format!(" (process {id})")
        }
        _ => String::new(),
    };
    io::Error::new(
        io::ErrorKind::WouldBlock,
        format!(
            "the volume is in use by another nvring process{holder}; stop that one, or ask it by --server"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_once_and_free_again_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        let refused = FolderLock::take(folder.path()).unwrap_err().to_string();
        let holder = format!("process {}", std::process::id());
        assert!(refused.contains(&holder), "{refused}");
        drop(lock);
        FolderLock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_lock_held_for_a_moment_only_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(folder.path()).unwrap();
        let path = folder.path().to_owned();
        let waiting = thread::spawn(move || FolderLock::take(&path).map(drop));
        thread::sleep(PAUSE * 3);
        drop(lock);
        waiting.join().unwrap().unwrap();
    }
}
