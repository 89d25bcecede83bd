//! Where an index lives: the mapped file of a volume; plain memory where a volume is only looked at, and in simulation.

use crate::{
    base::units::align_up,
    disk::{Disk, MappedFile},
    format::{
        PAGE,
        index::{FILE, IndexLayout},
        superblock::Superblock,
    },
    store::index::{Flusher, IndexMemory},
};
use std::{io, path::Path};

/// Video per chapter record to begin with; the file grows where chapters are smaller.
const BYTES_PER_CHAPTER: u64 = 4 << 20;
/// Chapter records to begin with, at the least.
const CHAPTERS_MIN: u64 = 1024;

/// The length a new index has for a volume.
pub fn index_len(superblock: &Superblock) -> u64 {
    let volume = superblock.segment_len * u64::from(superblock.segment_count);
    let chapters = (volume / BYTES_PER_CHAPTER).max(CHAPTERS_MIN);
    let chapters = u32::try_from(chapters).unwrap_or(u32::MAX);
    align_up(
        IndexLayout::new(superblock.segment_count).len(chapters) as u64,
        PAGE,
    )
}

/// The index file in `folder`, made when it is not there.
///
/// # Errors
/// When it cannot be made or mapped.
pub fn mapped(folder: &Path, superblock: &Superblock) -> io::Result<Box<dyn IndexMemory>> {
    let path = folder.join(FILE);
    let len = index_len(superblock);
    let mut map = match MappedFile::open(&path) {
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
            MappedFile::create(&path, len)
        }
        // An empty file cannot be mapped; it is as good as none.
        Err(error) if error.source.kind() == io::ErrorKind::InvalidInput => {
            return Err(io::Error::other(format!(
                "{error}; delete the file: it is rebuilt"
            )));
        }
        other => other,
    }
    .map_err(|error| error.source)?;
    if (map.as_slice().len() as u64) < len {
        map.grow(len).map_err(|error| error.source)?;
    }
    Ok(Box::new(map))
}

/// A private copy of the volume's index file, or zeroes when there is none: for looking at a volume.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn copied(disk: &dyn Disk, superblock: &Superblock) -> io::Result<Box<dyn IndexMemory>> {
    let len = index_len(superblock) as usize;
    let mut bytes = match disk.open(FILE) {
        // A length that is no whole number of pages is not ours: what is whole is looked at.
        Ok((file, found)) => match (found - found % PAGE) as usize {
            0 => Vec::new(),
            found => super::io::read(disk, file, 0, found)?.to_vec(),
        },
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.source),
    };
    bytes.resize(bytes.len().max(len), 0);
    Ok(Box::new(bytes))
}

impl IndexMemory for MappedFile {
    fn bytes(&self) -> &[u8] {
        self.as_slice()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }

    fn flusher(&self) -> Flusher {
        match self.syncer() {
            Ok(sync) => Box::new(sync),
            Err(error) => {
                Box::new(move || Err(io::Error::new(error.source.kind(), error.to_string())))
            }
        }
    }

    fn grow(&mut self, len: usize) -> io::Result<()> {
        MappedFile::grow(self, len as u64).map_err(|error| error.source)
    }
}

impl IndexMemory for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }

    fn flusher(&self) -> Flusher {
        Box::new(|| Ok(()))
    }

    fn grow(&mut self, len: usize) -> io::Result<()> {
        self.resize(len, 0);
        Ok(())
    }
}
