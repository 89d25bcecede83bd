//! A file mapped into memory: for the index only, which is small and can always be rebuilt.
//!
//! Reading a mapped page whose disk has died is a SIGBUS that ends the process, so everything is read in at opening, and video
//! never comes this way. The file is allocated in full when it is made: a hole would be the same SIGBUS on a full disk.
//! The volume's lock keeps other processes of ours from the file; a stranger who truncates it ends this process.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use memmap2::{MmapMut, MmapOptions};

use crate::disk::{DiskError, probe};

/// A whole file as writable memory. What is written reaches the disk when the kernel likes, and at latest by `flush`.
pub struct MappedFile {
    map: MmapMut,
    path: PathBuf,
}

impl MappedFile {
    /// Makes a file of `len` zero bytes, allocated and durable with its folder entry. Fails when it exists.
    pub fn create(path: &Path, len: u64) -> Result<Self, DiskError> {
        let fail = |source| error("create", path, source);
        let options = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true).mode(0o640);
            options
        };
        let file = options().open(path).map_err(fail)?;
        let made = probe::allocate(&file, len)
            .and_then(|()| file.sync_all())
            .and_then(|()| sync_folder(path))
            .and_then(|()| map(&file));
        match made {
            Ok(map) => Ok(Self::new(map, path)),
            Err(source) => {
                // Best effort: the caller hears why the file could not be made.
                let _ = fs::remove_file(path);
                Err(fail(source))
            }
        }
    }

    /// Maps an existing file and reads all of it in.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let opened = || {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            let allocated = file.metadata()?.len();
            // Fills holes that a copy of the file may have; allocated blocks stay as they are.
            probe::allocate(&file, allocated)?;
            map(&file)
        };
        let map = opened().map_err(|source| error("map", path, source))?;
        Ok(Self::new(map, path))
    }

    fn new(map: MmapMut, path: &Path) -> Self {
        Self {
            map,
            path: path.to_owned(),
        }
    }

    /// All bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.map
    }

    /// All bytes, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.map
    }

    /// Makes the bytes in `range` durable; blocks. A failure is final for what it covered (law L6).
    pub fn flush(&self, range: Range<usize>) -> Result<(), DiskError> {
        let done = self.map.flush_range(range.start, range.len());
        done.map_err(|source| error("flush", &self.path, source))
    }

    /// Lengthens the file to `len` bytes, allocated and zero, and maps it anew.
    ///
    /// # Errors
    /// When there is no space; the mapping stays as it was.
    pub fn grow(&mut self, len: u64) -> Result<(), DiskError> {
        let grown = || {
            let file = OpenOptions::new().read(true).write(true).open(&self.path)?;
            probe::allocate(&file, len)?;
            file.sync_all()?;
            map(&file)
        };
        self.map = grown().map_err(|source| error("lengthen", &self.path, source))?;
        Ok(())
    }

    /// What makes every change durable, without borrowing the mapping: fsync writes a file's dirty mapped pages back too.
    ///
    /// # Errors
    /// When the file cannot be opened once more.
    pub fn syncer(&self) -> Result<impl Fn() -> io::Result<()> + Send + use<>, DiskError> {
        let file = File::open(&self.path).map_err(|source| error("open", &self.path, source))?;
        Ok(move || file.sync_data())
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Debug for MappedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedFile")
            .field("path", &self.path)
            .field("len", &self.map.len())
            .finish()
    }
}

fn map(file: &File) -> io::Result<MmapMut> {
    // SAFETY: changes of the file by others would show through references into the map. The volume's lock keeps our own
    // processes out, the file is ours alone by its mode, and this process maps it once, through `&mut` for writing.
    unsafe { MmapOptions::new().populate().map_mut(file) }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn error(action: &'static str, path: &Path, source: io::Error) -> DiskError {
    DiskError {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_and_flushed_is_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let mut file = MappedFile::create(&path, 10_000).unwrap();
        assert!(file.as_slice().len() == 10_000 && file.as_slice().iter().all(|byte| *byte == 0));
        file.as_mut_slice()[5_000..5_003].copy_from_slice(b"abc");
        file.flush(5_000..5_003).unwrap();
        assert_eq!(&fs::read(&path).unwrap()[4_999..5_004], b"\0abc\0");
        drop(file);
        assert_eq!(
            &MappedFile::open(&path).unwrap().as_slice()[5_000..5_003],
            b"abc"
        );
    }

    #[test]
    fn files_that_exist_are_not_made_and_those_that_do_not_are_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        assert!(
            MappedFile::open(&path)
                .unwrap_err()
                .to_string()
                .contains("index")
        );
        MappedFile::create(&path, 4096).unwrap();
        let again = MappedFile::create(&path, 4096).unwrap_err();
        assert_eq!(again.source.kind(), io::ErrorKind::AlreadyExists);
        assert!(path.exists(), "the file that was there is untouched");
    }

    #[test]
    fn a_file_too_large_for_the_disk_is_not_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        assert!(MappedFile::create(&path, 1 << 60).is_err());
        assert!(!path.exists());
    }
}
