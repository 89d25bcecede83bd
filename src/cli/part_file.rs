//! A file that appears whole or not at all: written as `FILE.part`, made durable, then renamed.
//!
//! Whatever ends the command early (an error, Ctrl-C, a terminate signal) removes the part; after a kill a part may stay, and the next
//! export to the same place begins it anew. Two exports to one place exclude each other by a lock on the part.

use crate::cli::{error::CliError, source::runtime};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

/// A file being written.
#[derive(Debug)]
pub struct PartFile {
    file: File,
    path: PathBuf,
    part: PathBuf,
    finished: bool,
}

/// What to do about a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Refuse.
    Keep,
    /// Replace it at the end.
    Replace,
}

impl PartFile {
    /// Begins `path`.
    pub fn create(path: &Path, existing: Existing) -> Result<Self, CliError> {
        if path.file_name().is_none() || path.is_dir() {
            return Err(CliError::usage(format!(
                "{} is a directory; name a file in it",
                path.display()
            )));
        }
        if existing == Existing::Keep && path.symlink_metadata().is_ok() {
            return Err(CliError::failed(format!(
                "{} exists; choose another name, or replace it with --force",
                path.display()
            )));
        }
        let mut part = OsString::from(path);
        part.push(".part");
        let part = PathBuf::from(part);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&part)
            .map_err(|error| failed(&part, "create", &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(CliError::failed(format!(
                    "{} is being written by another export; wait for it or choose another name",
                    part.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(&part, "lock", &error)),
        }
        let begun = Self {
            file,
            path: path.to_owned(),
            part,
            finished: false,
        };
        begun
            .file
            .set_len(0)
            .map_err(|error| begun.failed(&error))?;
        begun.remove_on_signal()?;
        Ok(begun)
    }

    /// Adds bytes at the end.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.file
            .write_all(bytes)
            .map_err(|error| self.failed(&error))
    }

    /// Makes it durable and gives it its name.
    pub fn finish(mut self, existing: Existing) -> Result<(), CliError> {
        self.file.sync_all().map_err(|error| self.failed(&error))?;
        let renamed = match existing {
            Existing::Replace => fs::rename(&self.part, &self.path),
            // A file that came to be there meanwhile is not replaced.
            Existing::Keep => match fs::hard_link(&self.part, &self.path) {
                Ok(()) => fs::remove_file(&self.part),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
                // The file system has no hard links.
                Err(_) => fs::rename(&self.part, &self.path),
            },
        };
        renamed.map_err(|error| failed(&self.path, "finish", &error))?;
        self.finished = true;
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| failed(folder, "sync", &error))
    }

    fn failed(&self, error: &io::Error) -> CliError {
        failed(&self.part, "write", error)
    }

    /// Ctrl-C and a terminate signal end the program; the part goes first.
    fn remove_on_signal(&self) -> Result<(), CliError> {
        let part = self.part.clone();
        let runtime = runtime()?;
        let wait = move || {
            let signal = runtime.block_on(async {
                let mut terminate =
                    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
                tokio::select! {
                    ended = tokio::signal::ctrl_c() => ended,
                    _ = terminate.recv() => Ok(()),
                }
            });
            // Without a handler the signal ends the program by itself and the part stays.
            if signal.is_ok() {
                let _ = fs::remove_file(&part);
                let _ = writeln!(
                    io::stderr(),
                    "nvring: interrupted; {} was removed",
                    part.display()
                );
                std::process::exit(1);
            }
        };
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(wait)
            .map(drop)
            .map_err(|error| failed(&self.part, "start a thread for", &error))
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.finished {
            // Best effort: the error that ended the export is the one to hear.
            let _ = fs::remove_file(&self.part);
        }
    }
}

fn failed(path: &Path, action: &str, error: &io::Error) -> CliError {
    let remedy = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room or choose another disk",
        ErrorKind::NotFound => "make the directory first",
        ErrorKind::PermissionDenied => "choose a directory you may write to",
        ErrorKind::AlreadyExists => "choose another name, or replace it with --force",
        _ => "choose another place",
    };
    CliError::failed(format!("{action} {}: {error}; {remedy}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.mp4");
        let count = || fs::read_dir(place.path()).unwrap().count();
        let mut broken = PartFile::create(&path, Existing::Keep).unwrap();
        broken.write(b"half").unwrap();
        assert!(PartFile::create(&path, Existing::Keep).is_err(), "busy");
        drop(broken);
        assert_eq!(count(), 0);
        fs::write(place.path().join("a.mp4.part"), b"left by a kill").unwrap();
        let mut whole = PartFile::create(&path, Existing::Keep).unwrap();
        whole.write(b"whole").unwrap();
        whole.finish(Existing::Keep).unwrap();
        assert_eq!((fs::read(&path).unwrap(), count()), (b"whole".to_vec(), 1));
        assert!(PartFile::create(&path, Existing::Keep).is_err(), "there");
        let mut newer = PartFile::create(&path, Existing::Replace).unwrap();
        newer.write(b"newer").unwrap();
        newer.finish(Existing::Replace).unwrap();
        assert_eq!((fs::read(&path).unwrap(), count()), (b"newer".to_vec(), 1));
    }
}
