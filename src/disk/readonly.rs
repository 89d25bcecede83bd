//! A disk that is only looked at: files opened for reading, through the page cache, so that a volume on a read-only mount, a copy
//! of one, or a single file beside a running server can be read without changing a byte.
//!
//! Reads are done where they are submitted. Everything that would change something is answered with an error. A folder can be
//! held against recorders meanwhile by a shared lock on its lock file, which is never made here: where there is none, no
//! recorder ever held the folder.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use crate::disk::{
    Completion, Disk, DiskError, FileId, Operation, Properties, Request, Slab, SlabOptions,
    check_inside, folder, lock, name,
};

/// What readers do about recorders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadLock {
    /// No recorder runs on the folder as long as it is read.
    Shared,
    /// A recorder may change what is read.
    None,
}

/// Files that are read and nothing else.
#[derive(Debug)]
struct ReadOnlyDisk {
    folder: PathBuf,
    files: Mutex<Vec<Arc<ReadFile>>>,
    slab: Slab,
    /// Holds the shared lock as long as it is open.
    _lock: Option<File>,
}

#[derive(Debug)]
struct ReadFile {
    name: String,
    file: File,
    len: u64,
}

/// Opens the files of a folder for reading.
///
/// # Errors
/// When the folder is not there, or `lock` is asked for while a recorder holds it.
pub fn open_folder_to_read(path: &Path, lock: ReadLock) -> Result<Arc<dyn Disk>, DiskError> {
    let fail = |action| {
        move |source| DiskError {
            action,
            path: path.to_owned(),
            source,
        }
    };
    if !fs::metadata(path).map_err(fail("open"))?.is_dir() {
        let source = io::Error::new(io::ErrorKind::NotADirectory, "not a folder");
        return Err(fail("open")(source));
    }
    let lock = match lock {
        ReadLock::Shared => shared_lock(&path.join(name::LOCK)).map_err(fail("lock"))?,
        ReadLock::None => None,
    };
    Ok(Arc::new(
        ReadOnlyDisk::new(path, lock).map_err(fail("map memory for"))?,
    ))
}

/// Opens one file for reading, whatever its name; with its id and length.
///
/// # Errors
/// When it cannot be opened, or is no plain file.
pub fn open_file_to_read(path: &Path) -> Result<(Arc<dyn Disk>, FileId, u64), DiskError> {
    let fail = |source| DiskError {
        action: "open",
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let disk = ReadOnlyDisk::new(folder, None).map_err(fail)?;
    let file = ReadFile::open(path, String::new()).map_err(fail)?;
    let (id, len) = disk.add(file);
    Ok((Arc::new(disk), id, len))
}

/// Takes the lock shared with other readers; `None` when the folder has no lock file.
fn shared_lock(path: &Path) -> io::Result<Option<File>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(lock::held_by_another(&file)),
        Err(TryLockError::Error(source)) => Err(source),
    }
}

impl ReadFile {
    fn open(path: &Path, name: String) -> io::Result<Self> {
        // A pipe or device by that name must not hold the reader up.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?;
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
        }
        let len = facts.len();
        Ok(Self { name, file, len })
    }
}

impl ReadOnlyDisk {
    fn new(folder: &Path, lock: Option<File>) -> io::Result<Self> {
        // Nothing is written, but a disk has a slab.
        let slab = Slab::new(SlabOptions {
            slots: 1,
            slot_len: crate::disk::ALIGNMENT,
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            files: Mutex::new(Vec::new()),
            slab,
            _lock: lock,
        })
    }

    fn add(&self, file: ReadFile) -> (FileId, u64) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let len = file.len;
        files.push(Arc::new(file));
        (FileId((files.len() - 1) as u32), len)
    }

    fn refuse(&self, action: &'static str, name: &str) -> DiskError {
        DiskError {
            action,
            path: self.folder.join(name),
            source: refusal(),
        }
    }
}

fn refusal() -> io::Error {
    io::Error::new(
        io::ErrorKind::ReadOnlyFilesystem,
        "the volume was opened for reading only",
    )
}

impl Disk for ReadOnlyDisk {
    fn create(&self, name: &str, _len: u64) -> Result<FileId, DiskError> {
        Err(self.refuse("create", name))
    }

    fn open(&self, name: &str) -> Result<(FileId, u64), DiskError> {
        let known = {
            let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            let known = files.iter().position(|file| file.name == name);
            known.map(|at| (FileId(at as u32), files[at].len))
        };
        if let Some(known) = known {
            return Ok(known);
        }
        let path = self.folder.join(name);
        let opened = name::check(name).and_then(|()| ReadFile::open(&path, name.to_owned()));
        let file = opened.map_err(|source| DiskError {
            action: "open",
            path,
            source,
        })?;
        Ok(self.add(file))
    }

    fn list(&self) -> Result<Vec<String>, DiskError> {
        folder::list(&self.folder)
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        Err(self.refuse("remove", name))
    }

    fn submit(&self, request: Request) {
        request.operation.check();
        let Request {
            file,
            mut operation,
            done,
        } = request;
        let file = {
            let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            files.get(file.0 as usize).cloned()
        };
        let result = match (&mut operation, file) {
            (Operation::Read { offset, buffer }, Some(file)) => {
                check_inside(*offset, buffer.len(), file.len)
                    .and_then(|()| file.file.read_exact_at(buffer, *offset))
            }
            (Operation::Read { .. }, None) => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the file was never opened",
            )),
            (Operation::Write { .. } | Operation::Sync, _) => Err(refusal()),
        };
        let completion: Completion = operation.complete(result);
        done(completion);
    }

    fn slab(&self) -> &Slab {
        &self.slab
    }

    fn properties(&self) -> Properties {
        Properties {
            engine: "read-only",
            direct: false,
            registered: false,
            notes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{ALIGNMENT, AlignedBuffer, lock::FolderLock};
    use std::sync::mpsc;

    fn run(disk: &dyn Disk, file: FileId, operation: Operation) -> Completion {
        let (sender, receiver) = mpsc::channel();
        let done = Box::new(move |completion| sender.send(completion).unwrap());
        disk.submit(Request {
            file,
            operation,
            done,
        });
        receiver.recv().unwrap()
    }

    /// Goal: nothing is changed, whatever is asked.
    #[test]
    fn reads_are_answered_and_everything_else_is_refused() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("a"), vec![7; 2 * ALIGNMENT + 1]).unwrap();
        let disk = open_folder_to_read(place.path(), ReadLock::Shared).unwrap();
        let (file, len) = disk.open("a").unwrap();
        assert_eq!((disk.open("a").unwrap().0, len), (file, 2 * 4096 + 1));
        let read = |offset| {
            let buffer = AlignedBuffer::new(ALIGNMENT);
            run(&*disk, file, Operation::Read { offset, buffer })
        };
        assert_eq!(read(4096).buffer.unwrap()[..], [7; ALIGNMENT]);
        assert!(read(8192).result.is_err(), "past the end");
        let slot = disk.slab().take().unwrap();
        let write = Operation::Write {
            offset: 0,
            slot,
            len: ALIGNMENT,
        };
        assert!(run(&*disk, file, write).result.is_err());
        assert!(run(&*disk, file, Operation::Sync).result.is_err());
        assert!(disk.create("b", 4096).is_err() && disk.remove("a").is_err());
        assert_eq!(disk.list().unwrap(), ["a"]);
        assert_eq!(
            fs::read_dir(place.path()).unwrap().count(),
            1,
            "no lock made"
        );
    }

    #[test]
    fn readers_share_and_recorders_exclude_them() {
        let place = tempfile::tempdir().unwrap();
        let recorder = FolderLock::take(place.path()).unwrap();
        let refused = open_folder_to_read(place.path(), ReadLock::Shared)
            .map(drop)
            .unwrap_err();
        let holder = format!("process {}", std::process::id());
        assert!(refused.to_string().contains(&holder), "{refused}");
        open_folder_to_read(place.path(), ReadLock::None).unwrap();
        drop(recorder);
        let one = open_folder_to_read(place.path(), ReadLock::Shared).unwrap();
        let two = open_folder_to_read(place.path(), ReadLock::Shared).unwrap();
        assert!(FolderLock::take(place.path()).is_err());
        drop((one, two));
        FolderLock::take(place.path()).unwrap();
    }

    #[test]
    fn one_file_is_read_under_any_name() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("odd name (1)");
        fs::write(&path, vec![3; ALIGNMENT]).unwrap();
        let (disk, file, len) = open_file_to_read(&path).unwrap();
        assert_eq!(len, ALIGNMENT as u64);
        let buffer = AlignedBuffer::new(ALIGNMENT);
        let read = run(&*disk, file, Operation::Read { offset: 0, buffer });
        assert_eq!(read.buffer.unwrap()[..], [3; ALIGNMENT]);
        assert!(open_file_to_read(place.path()).is_err(), "a folder");
    }
}
