//! A volume: formatting one, opening one, and what its writer and readers share.
//!
//! Opening for writing recovers (`recovery`, which reads only), raises the session before anything is written (W1), and gives a
//! `Writer` to be driven by a thread (`pool`) or by the simulation. Opening for reading changes no byte.

use crate::{
    base::{Clock, UnixMicros, time::TimeRange, units::ByteSize},
    disk::{Disk, DiskError, FileId, SpareBuffers},
    format::{
        DecodeError, PAGE,
        place::{Generation, SegmentNumber},
        segment::file_name,
        superblock::{self, SEGMENT_LEN_MAX, Superblock},
    },
    media::StreamId,
    store::{
        chapter_cache::ChapterCache,
        forecast::Forecast,
        index::{Index, IndexMemory, Piece, PieceKey, StreamName, Window},
        io,
        metrics::VolumeMetrics,
        reader::{READS_MAX, SPARE_BUFFERS},
        recovery::{Progress, RecoveryReport, recover},
        ring::Ring,
        tail::{Tail, TailBlock},
        writer::{OpenSegment, PreviousSegment, Writer, WriterOptions},
    },
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

pub use super::volume_error::VolumeError;

/// A batch is at most so long on volumes of ordinary size.
pub const BATCH_LEN_MAX: u64 = 4 << 20;
/// A volume has at least so many segments: with fewer a ring would lose too much of its history at once.
pub const SEGMENTS_MIN: u64 = 3;
/// The shortest segment: room for a header, a batch of four pages and a directory.
pub const SEGMENT_LEN_MIN: u64 = 64 << 10;

/// How a volume is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatOptions {
    /// Bytes for all segments together; rounded down to whole ones.
    pub size: ByteSize,
    /// Bytes of a segment.
    pub segment_len: ByteSize,
    /// Name of the pool.
    pub pool: String,
    /// Identity of the volume, random.
    pub volume: [u8; 16],
}

/// A volume's files, opened as they are needed.
pub struct Files {
    disk: Arc<dyn Disk>,
    superblock: Superblock,
    open: Mutex<HashMap<SegmentNumber, FileId>>,
}

impl Files {
    /// The disk.
    pub fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// The volume's superblock.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The file of a segment.
    ///
    /// # Errors
    /// When it cannot be opened or is shorter than a segment.
    pub fn segment(&self, number: SegmentNumber) -> Result<FileId, DiskError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(&number) {
            return Ok(*file);
        }
        let name = file_name(number);
        let (file, len) = self.disk.open(&name)?;
        if len < self.superblock.segment_len {
            let source = std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                format!("{len} bytes instead of {}", self.superblock.segment_len),
            );
            return Err(DiskError {
                action: "open",
                path: name.into(),
                source,
            });
        }
        open.insert(number, file);
        Ok(file)
    }
}

/// What the writer and the readers of a volume share.
pub struct VolumeShared {
    /// What it is called in messages and metrics: its path.
    pub name: String,
    /// Identity, geometry, session.
    pub superblock: Superblock,
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// Its segment files.
    pub files: Files,
    /// The clock for what is stamped.
    pub clock: Arc<dyn Clock>,
    /// What it counts.
    pub metrics: VolumeMetrics,
    index: RwLock<Index>,
    tails: Mutex<Vec<Arc<Tail>>>,
    released: Mutex<Vec<Arc<Tail>>>,
    failed: AtomicBool,
    pub(crate) reads: tokio::sync::Semaphore,
    pub(crate) buffers: Arc<SpareBuffers>,
    pub(crate) chapters: ChapterCache,
}

impl std::fmt::Debug for VolumeShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VolumeShared")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl VolumeShared {
    /// The index, to look things up.
    pub fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index, to change it.
    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The streams recorded here.
    pub(crate) fn tails(&self) -> MutexGuard<'_, Vec<Arc<Tail>>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a stream on.
    pub fn attach(&self, tail: Arc<Tail>) {
        self.tails().push(tail);
    }

    /// Gives a stream up once its frames are durable: the writer forgets its tail then. The stream may come back with another tail before.
    pub(crate) fn release(&self, tail: &Arc<Tail>) {
        let mut released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
        released.push(Arc::clone(tail));
    }

    /// Forgets released tails that have nothing left to write.
    pub(crate) fn forget_released(&self) {
        let mut released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
        if released.is_empty() {
            return;
        }
        let mut tails = self.tails();
        released.retain(|tail| {
            let drained = tail.is_drained();
            if drained {
                tails.retain(|other| !Arc::ptr_eq(other, tail));
            }
            !drained
        });
    }

    /// Whether the volume takes no recordings any more.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(crate) fn fail(&self) {
        self.metrics.up.set(0);
        self.failed.store(true, Ordering::Release);
    }

    /// Tells that a block is longer than any batch of this volume. Tails cut their blocks to fit (`TailLimits::within`), so only a run
    /// description of many kilobytes on a volume of tiny segments comes here.
    pub(crate) fn give_up(&self, block: &TailBlock) {
        self.metrics.failures.inc();
        tracing::error!(
            volume = %self.name, stream = %block.run.id.stream, bytes = block.bytes,
            "a block is longer than the volume's batches and is not recorded; format the volume with longer segments"
        );
    }

    /// What is recorded of a stream in `range`.
    pub fn pieces(&self, stream: StreamId, range: TimeRange) -> Vec<Piece> {
        self.index().pieces(stream, range)
    }

    /// When the ring is expected to come to each life; `None` when nothing is recorded here or too little is known.
    pub fn forecast(&self, now: UnixMicros) -> Option<Forecast> {
        if self.has_failed() {
            return None;
        }
        self.index().forecast(now)
    }

    /// Between which pieces of a stream `range` lies.
    pub(crate) fn window(&self, stream: StreamId, range: TimeRange) -> Window {
        self.index().window(stream, range)
    }

    /// The pieces of a stream between `ends`, and what stands next to them.
    pub(crate) fn pieces_around(&self, stream: StreamId, ends: (PieceKey, PieceKey)) -> Vec<Piece> {
        self.index().pieces_around(stream, ends)
    }

    /// First and last instant recorded of a stream.
    pub fn bounds(&self, stream: StreamId) -> Option<(UnixMicros, UnixMicros)> {
        self.index().bounds(stream)
    }

    /// The streams that have recordings here.
    pub fn streams(&self) -> Vec<(StreamId, StreamName)> {
        self.index().streams()
    }

    /// Makes the index durable up to `covered` (W7). Waits for the file system: not on the writer's thread.
    ///
    /// # Errors
    /// When the file cannot be flushed: the checkpoint stays what it was, and recovery replays more.
    pub fn checkpoint(&self, covered: Generation) -> std::io::Result<()> {
        let (checkpoint, flush) = {
            let index = self.index();
            (index.begin_checkpoint(covered), index.flusher())
        };
        flush()?;
        let flush = {
            let mut index = self.index_mut();
            index.finish_checkpoint(checkpoint);
            index.flusher()
        };
        flush()
    }
}

/// Makes a volume on an empty disk.
///
/// # Errors
/// When the geometry makes no ring, or the disk has not the space.
pub fn format(
    disk: &dyn Disk,
    options: &FormatOptions,
    created_us: i64,
    progress: Progress<'_>,
) -> Result<Superblock, VolumeError> {
    let segment_len = options.segment_len.0;
    let geometry = |why: &str| VolumeError::Geometry {
        size: options.size,
        segment_len: options.segment_len,
        why: why.to_owned(),
    };
    if !segment_len.is_multiple_of(PAGE)
        || !(SEGMENT_LEN_MIN..=SEGMENT_LEN_MAX).contains(&segment_len)
    {
        return Err(geometry(
            "segments are 64 KiB to 32 GiB long, in whole 4 KiB",
        ));
    }
    let count = options.size.0 / segment_len;
    if count < SEGMENTS_MIN {
        return Err(geometry(
            "a ring needs at least three segments: choose a larger --size or a smaller --segment-size",
        ));
    }
    let segment_count = u32::try_from(count)
        .map_err(|_| geometry("too many segments: choose a larger --segment-size"))?;
    if options.pool.is_empty() || options.pool.len() > 64 {
        return Err(geometry("the pool's name has 1 to 64 bytes"));
    }
    let batch_len_max = (segment_len / 4 / PAGE * PAGE).min(BATCH_LEN_MAX);
    let superblock = Superblock {
        volume: options.volume,
        sequence: 1,
        session: 0,
        segment_len,
        segment_count,
        batch_len_max: batch_len_max as u32,
        window_len: WINDOW_LEN_MAX.min(segment_len),
        created_us,
        pool: options.pool.clone(),
        refuse_write: 0,
    };
    assert!(superblock.is_sound(), "the limits above make a ring");
    for number in 0..segment_count {
        progress(u64::from(number), count);
        disk.create(&file_name(number), segment_len)?;
    }
    let file = disk.create(superblock::FILE, superblock::FILE_LEN)?;
    write_superblock(disk, file, &superblock).map_err(|source| VolumeError::Io {
        action: "write",
        path: "superblock".into(),
        source,
    })?;
    progress(count, count);
    Ok(superblock)
}

/// What is not synced lies within so many bytes of the log: recovery searches them all.
pub const WINDOW_LEN_MAX: u64 = 128 << 20;
/// More batches are never in flight.
pub const DEPTH_MAX: usize = 8;

/// W1: two copies, sync, the other two, sync.
fn write_superblock(disk: &dyn Disk, file: FileId, superblock: &Superblock) -> std::io::Result<()> {
    for pair in [[0, 1], [2, 3]] {
        for copy in pair {
            io::write(disk, file, u64::from(copy) * PAGE, &superblock.encode(copy))?;
        }
        io::sync(disk, file)?;
    }
    Ok(())
}

/// Reads the superblock of the volume on `disk`, changing nothing.
///
/// # Errors
/// When there is no intact superblock of this version.
pub fn read_superblock(
    disk: &dyn Disk,
    path: &std::path::Path,
) -> Result<(FileId, Superblock), VolumeError> {
    let opened = disk.open(superblock::FILE);
    let (file, len) = match opened {
        Ok(opened) => opened,
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => {
            return Err(VolumeError::Unformatted { path: path.into() });
        }
        Err(error) => return Err(error.into()),
    };
    if len < superblock::FILE_LEN {
        return Err(VolumeError::Superblock {
            path: path.into(),
            source: DecodeError::Short {
                what: "superblock",
                len: len as usize,
            },
        });
    }
    // Page by page: one unreadable copy must not hide the others.
    let mut bytes = Vec::new();
    let mut failed = None;
    for copy in 0..superblock::COPIES {
        match io::read(disk, file, u64::from(copy) * PAGE, PAGE as usize) {
            Ok(page) => bytes.extend_from_slice(&page),
            Err(error) => {
                failed = Some(error);
                bytes.resize(bytes.len() + PAGE as usize, 0);
            }
        }
    }
    match (Superblock::choose(&bytes), failed) {
        (Ok(superblock), _) => Ok((file, superblock)),
        (Err(_), Some(source)) => Err(VolumeError::Io {
            action: "read",
            path: path.into(),
            source,
        }),
        (Err(source), None) => Err(VolumeError::Superblock {
            path: path.into(),
            source,
        }),
    }
}

/// A volume that was opened: what is shared, what recovery did, and where the log goes on.
pub struct Opened {
    /// For readers and the writer.
    pub shared: Arc<VolumeShared>,
    /// What recovery did.
    pub report: RecoveryReport,
    ring: Ring,
    segment: Option<OpenSegment>,
    previous: PreviousSegment,
}

/// Whether a volume may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For recording: the session rises.
    Write,
    /// For looking: no byte changes.
    Read,
}

/// Opens the volume on `disk`, called `path` in messages. `memory` makes the index's memory for a given length.
///
/// # Errors
/// When it is no volume, of another version, damaged beyond its redundancy, or the disk fails.
pub fn open(
    disk: Arc<dyn Disk>,
    path: &std::path::Path,
    access: Access,
    clock: Arc<dyn Clock>,
    memory: impl FnOnce(&Superblock) -> std::io::Result<Box<dyn IndexMemory>>,
    progress: Progress<'_>,
) -> Result<Opened, VolumeError> {
    let (file, mut superblock) = read_superblock(&*disk, path)?;
    let write = access == Access::Write;
    if write && superblock.refuse_write != 0 {
        let source = DecodeError::Feature {
            what: "superblock",
            bits: superblock.refuse_write,
        };
        return Err(VolumeError::Superblock {
            path: path.into(),
            source,
        });
    }
    let memory = memory(&superblock).map_err(|source| VolumeError::Io {
        action: "open",
        path: path.join("index"),
        source,
    })?;
    let (mut index, checkpoint) = Index::load(&superblock, memory);
    let files = Files {
        disk: Arc::clone(&disk),
        superblock: superblock.clone(),
        open: Mutex::new(HashMap::new()),
    };
    let recovered = recover(&files, &mut index, checkpoint, write, progress);
    superblock.session = recovered.session + 1;
    superblock.sequence += 1;
    if write {
        write_superblock(&*disk, file, &superblock).map_err(|source| VolumeError::Io {
            action: "write",
            path: path.into(),
            source,
        })?;
    }
    let (segment, previous, report) = (recovered.segment, recovered.previous, recovered.report);
    let files = Files {
        superblock: superblock.clone(),
        ..files
    };
    let ring = Ring::new(index.lives().to_vec(), superblock.session);
    let name = path.display().to_string();
    let metrics = VolumeMetrics::new(&name);
    metrics.up.set(1);
    let shared = Arc::new(VolumeShared {
        name,
        superblock,
        disk,
        files,
        clock,
        metrics,
        index: RwLock::new(index),
        tails: Mutex::new(Vec::new()),
        released: Mutex::new(Vec::new()),
        failed: AtomicBool::new(false),
        reads: tokio::sync::Semaphore::new(READS_MAX),
        buffers: SpareBuffers::new(SPARE_BUFFERS),
        chapters: ChapterCache::new(),
    });
    Ok(Opened {
        shared,
        report,
        ring,
        segment,
        previous,
    })
}

impl Opened {
    /// The writer of a volume opened for writing. `on_covered`: see `Writer`.
    pub fn into_writer(
        self,
        options: WriterOptions,
        on_covered: Box<dyn FnMut(Generation) + Send>,
    ) -> Writer {
        assert!(
            (1..=DEPTH_MAX).contains(&options.depth),
            "the depth is bounded"
        );
        Writer::new(
            self.shared,
            options,
            self.ring,
            self.segment,
            self.previous,
            on_covered,
        )
    }
}
