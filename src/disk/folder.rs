//! A real folder of files: what the two real disks share. Creating, opening, listing and removing block, and are durable on
//! return; transfers are each disk's own affair.
//!
//! Opening syncs: a process that died may have left writes that no sync covered, and nothing may be decided on data that the
//! next power cut can take back.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::disk::{
    ALIGNMENT, DiskError, FileId,
    lock::FolderLock,
    name,
    probe::{self, Direct},
};

/// A folder that `mkfs` leaves in the root of a filesystem; not ours, and not always readable.
const LOST_AND_FOUND: &str = "lost+found";

/// Makes a folder and those above it where they are missing; an existing one is left as it is.
///
/// # Errors
/// When it cannot be made, or something else has its name.
pub fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// An open file. Whoever holds it keeps the file from being removed.
#[derive(Debug)]
pub(in crate::disk) struct OpenFile {
    pub(in crate::disk) file: File,
    pub(in crate::disk) len: u64,
    name: String,
}

/// A folder, locked for this process.
#[derive(Debug)]
pub(in crate::disk) struct Folder {
    path: PathBuf,
    direct: Direct,
    /// By `FileId`; `None` once removed.
    files: Mutex<Vec<Option<Arc<OpenFile>>>>,
    _lock: FolderLock,
}

impl Folder {
    /// Locks `path`, which must exist: a volume whose filesystem is not mounted must not be made anew under the mount point.
    pub(in crate::disk) fn open(path: &Path) -> Result<Self, DiskError> {
        let lock = FolderLock::take(path)?;
        let direct = probe::direct(lock.path()).map_err(|source| DiskError {
            action: "probe",
            path: lock.path().to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            direct,
            files: Mutex::new(Vec::new()),
            _lock: lock,
        })
    }

    pub(in crate::disk) fn is_direct(&self) -> bool {
        self.direct == Direct::Yes
    }

    /// Why transfers go through the page cache, if they do.
    pub(in crate::disk) fn notes(&self) -> Vec<String> {
        match &self.direct {
            Direct::Yes => Vec::new(),
            Direct::No(why) => vec![format!("transfers go through the page cache: {why}")],
        }
    }

    /// The file behind an id.
    pub(in crate::disk) fn file(&self, id: FileId) -> io::Result<Arc<OpenFile>> {
        let file = self.lock().get(id.0 as usize).cloned().flatten();
        file.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "the file was removed or never opened",
            )
        })
    }

    /// See `Disk::create`.
    pub(in crate::disk) fn create(&self, name: &str, len: u64) -> Result<FileId, DiskError> {
        let path = self.path.join(name);
        let created = || {
            name::check(name)?;
            check_file_len(len)?;
            self.make_parent(name)?;
            let file = self.options().create_new(true).mode(0o640).open(&path)?;
            let allocated = probe::allocate(&file, len)
                .and_then(|()| file.sync_all())
                .and_then(|()| self.sync_parent(name));
            if let Err(source) = allocated {
                // Best effort: the caller hears why the file could not be made.
                let _ = fs::remove_file(&path);
                return Err(source);
            }
            Ok(file)
        };
        let file = created().map_err(|source| self.error("create", name, source))?;
        Ok(add(
            &mut self.lock(),
            OpenFile {
                file,
                len,
                name: name.to_owned(),
            },
        ))
    }

    /// See `Disk::open`.
    pub(in crate::disk) fn open_file(&self, name: &str) -> Result<(FileId, u64), DiskError> {
        let mut files = self.lock();
        if let Some((id, file)) = find(&files, name) {
            return Ok((id, file.len));
        }
        let opened = || {
            name::check(name)?;
            let file = self.options().open(self.path.join(name))?;
            let facts = file.metadata()?;
            if !facts.is_file() {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
            }
            file.sync_all()?;
            self.sync_parent(name)?;
            Ok((file, facts.len()))
        };
        let (file, len) = opened().map_err(|source| self.error("open", name, source))?;
        let id = add(
            &mut files,
            OpenFile {
                file,
                len,
                name: name.to_owned(),
            },
        );
        Ok((id, len))
    }

    /// See `Disk::list`.
    pub(in crate::disk) fn list(&self) -> Result<Vec<String>, DiskError> {
        list(&self.path)
    }

    /// See `Disk::remove`.
    pub(in crate::disk) fn remove(&self, name: &str) -> Result<(), DiskError> {
        let mut files = self.lock();
        let mut removed = || {
            name::check(name)?;
            let known = find(&files, name).map(|(id, _)| id.0 as usize);
            if known
                .and_then(|index| files[index].as_ref())
                .is_some_and(|file| Arc::strong_count(file) > 1)
            {
                return Err(io::Error::from_raw_os_error(libc::EBUSY));
            }
            fs::remove_file(self.path.join(name))?;
            if let Some(index) = known {
                files[index] = None;
            }
            self.sync_parent(name)
        };
        removed().map_err(|source| self.error("remove", name, source))
    }

    fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        if self.is_direct() {
            options.custom_flags(libc::O_DIRECT);
        }
        options
    }

    /// Makes the folder that `name` names, if it names one, durably.
    fn make_parent(&self, name: &str) -> io::Result<()> {
        let Some((folder, _)) = name.split_once('/') else {
            return Ok(());
        };
        match fs::create_dir(self.path.join(folder)) {
            Ok(()) => File::open(&self.path)?.sync_all(),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(source) => Err(source),
        }
    }

    /// Makes the entry of `name` durable, and that of the folder it is in.
    fn sync_parent(&self, name: &str) -> io::Result<()> {
        if let Some((folder, _)) = name.split_once('/') {
            File::open(self.path.join(folder))?.sync_all()?;
        }
        File::open(&self.path)?.sync_all()
    }

    fn error(&self, action: &'static str, name: &str, source: io::Error) -> DiskError {
        DiskError {
            action,
            path: self.path.join(name),
            source,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Arc<OpenFile>>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names in the folder `root`; see `Disk::list`.
pub(in crate::disk) fn list(root: &Path) -> Result<Vec<String>, DiskError> {
    let mut names = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        let mut walk = || {
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                let own = entry.file_name().to_string_lossy().into_owned();
                let is_folder = entry.file_type()?.is_dir();
                match (folder.as_str(), is_folder) {
                    ("", true) if own != LOST_AND_FOUND => folders.push(own),
                    ("", false) if own != name::LOCK => names.push(own),
                    ("", _) | (_, true) => {}
                    (folder, false) => names.push(format!("{folder}/{own}")),
                }
            }
            Ok(())
        };
        walk().map_err(|source| DiskError {
            action: "list",
            path: path.clone(),
            source,
        })?;
    }
    names.sort_unstable();
    Ok(names)
}

/// Refuses a length no transfer could fill (D5).
pub(in crate::disk) fn check_file_len(len: u64) -> io::Result<()> {
    if len > 0 && len.is_multiple_of(ALIGNMENT as u64) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("a file is a positive multiple of {ALIGNMENT} bytes long, not {len}"),
    ))
}

fn add(files: &mut Vec<Option<Arc<OpenFile>>>, file: OpenFile) -> FileId {
    files.push(Some(Arc::new(file)));
    FileId((files.len() - 1) as u32)
}

fn find<'a>(files: &'a [Option<Arc<OpenFile>>], name: &str) -> Option<(FileId, &'a OpenFile)> {
    let named = |file: &'a Option<Arc<OpenFile>>| file.as_deref().filter(|file| file.name == name);
    (0..)
        .zip(files)
        .find_map(|(id, file)| named(file).map(|file| (FileId(id), file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_use_is_not_removed() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let id = folder.create("a", ALIGNMENT as u64).unwrap();
        let in_use = folder.file(id).unwrap();
        let refused = folder.remove("a").unwrap_err();
        assert_eq!(refused.source.raw_os_error(), Some(libc::EBUSY));
        drop(in_use);
        folder.remove("a").unwrap();
        assert!(folder.file(id).is_err());
    }

    #[test]
    fn what_mkfs_and_the_lock_leave_is_not_listed() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        fs::create_dir_all(place.path().join("lost+found/x")).unwrap();
        fs::create_dir_all(place.path().join("deep/deeper")).unwrap();
        for stray in ["lost+found/a", "deep/deeper/b", "deep/lock", "stray file"] {
            fs::write(place.path().join(stray), b"").unwrap();
        }
        assert_eq!(folder.list().unwrap(), ["deep/lock", "stray file"]);
    }
}
