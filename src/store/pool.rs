//! The store: all volumes of a recorder, a thread for each, and which stream records where.
//!
//! A stream records to one volume of its pool. When that volume fails, its streams go on, with the frames still in their tails, on the
//! volume of the pool with the fewest streams (L5). Threads live here and nowhere else in `store`.

use crate::{
    base::{Clock, Micros, units::ByteSize},
    disk::{
        DiskError, EngineChoice, ReadLock, SlabOptions, open_folder, open_folder_to_read,
        probe::volume_space,
    },
    format::{place::Generation, superblock::Superblock},
    media::StreamId,
    store::{
        memory,
        recordings::Recordings,
        recovery::{Progress, RecoveryReport},
        remains,
        tail::{Tail, TailBudget, TailLimits},
        volume::{self, Access, BATCH_LEN_MAX, DEPTH_MAX, VolumeError, VolumeShared},
        writer::{Writer, WriterOptions},
    },
};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// A writer looks for due blocks so often; completions wake it earlier.
const BEAT: Duration = Duration::from_millis(20);
/// Write slots of a volume: those in flight, the one being filled, and one to spare.
const SLOTS: usize = DEPTH + 2;
/// Batches in flight: more only adds latency.
const DEPTH: usize = 3;
const _: () = assert!(DEPTH <= DEPTH_MAX);
/// A stop waits so long for what is in memory to become durable.
const FLUSH_MAX: Micros = Micros::from_secs(30);

/// A volume to open and the pool it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Its folder.
    pub path: PathBuf,
    /// Its pool.
    pub pool: String,
}

/// How a store works.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// When data go to disk.
    pub writer: WriterOptions,
    /// What one stream may hold in memory.
    pub tail: TailLimits,
    /// What all streams together may hold in memory.
    pub tails_len_max: u64,
    /// How disks are worked.
    pub engine: EngineChoice,
}

impl Default for StoreOptions {
    /// Commit and sync once a second; 32 MiB a stream and 1 GiB in all.
    fn default() -> Self {
        Self {
            writer: WriterOptions {
                commit_interval: Micros::from_secs(1),
                sync_interval: Micros::from_secs(1),
                depth: DEPTH,
            },
            tail: TailLimits {
                waiting_max: 32 << 20,
                block_len_max: 1 << 20,
                frame_len_max: 3 << 20,
            },
            tails_len_max: 1 << 30,
            engine: EngineChoice::Auto,
        }
    }
}

/// A stream that cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// No volume of the pool takes recordings.
    #[error(
        "pool `{pool}` has no volume that takes recordings; add a `[[volume]]` to the configuration or replace the failed disk"
    )]
    NoVolume {
        /// The pool.
        pool: String,
    },
}

/// What opening a volume found.
#[derive(Debug)]
pub struct VolumeReport {
    /// The volume's folder.
    pub path: PathBuf,
    /// What recovery did.
    pub recovery: RecoveryReport,
    /// What the disk refused, in words.
    pub notes: Vec<String>,
}

struct Mounted {
    shared: Arc<VolumeShared>,
    pool: String,
    thread: Option<JoinHandle<()>>,
    /// Ends when the writer is gone and its last checkpoint is written.
    checkpoints: Option<JoinHandle<()>>,
}

/// All volumes of a recorder.
pub struct Store {
    clock: Arc<dyn Clock>,
    options: StoreOptions,
    budget: Arc<TailBudget>,
    volumes: Mutex<Vec<Mounted>>,
    streams: Mutex<HashMap<StreamId, (Arc<Tail>, String)>>,
    stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the volumes for recording and starts their writers.
    ///
    /// # Errors
    /// When one cannot be opened: none is then.
    pub fn open(
        specs: &[VolumeSpec],
        options: StoreOptions,
        clock: Arc<dyn Clock>,
        progress: Progress<'_>,
    ) -> Result<(Arc<Self>, Vec<VolumeReport>), VolumeError> {
        let store = Arc::new(Self {
            clock,
            options,
            budget: TailBudget::new(options.tails_len_max),
            volumes: Mutex::new(Vec::new()),
            streams: Mutex::new(HashMap::new()),
            stop: Arc::new(AtomicBool::new(false)),
        });
        let mut reports = Vec::new();
        for spec in specs {
            reports.push(store.mount(spec, progress)?);
        }
        Ok((store, reports))
    }

    fn mount(
        self: &Arc<Self>,
        spec: &VolumeSpec,
        progress: Progress<'_>,
    ) -> Result<VolumeReport, VolumeError> {
        let opened = open_volume(
            &spec.path,
            Access::Write,
            self.options.engine,
            Arc::clone(&self.clock),
            progress,
        )?;
        let report = VolumeReport {
            path: spec.path.clone(),
            recovery: opened.report,
            notes: opened.shared.disk.properties().notes,
        };
        let shared = Arc::clone(&opened.shared);
        let (sender, checkpoints) = mpsc::channel();
        let writer = opened.into_writer(
            self.options.writer,
            Box::new(move |covered| {
                let _ = sender.send(covered);
            }),
        );
        let checkpoints = spawn_checkpoints(Arc::clone(&shared), checkpoints)
            .map_err(thread_error(&spec.path))?;
        let (stop, clock, store) = (
            Arc::clone(&self.stop),
            Arc::clone(&self.clock),
            Arc::downgrade(self),
        );
        let thread = thread::Builder::new()
            .name("volume-writer".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || run_writer(writer, &shared, &*clock, &stop, &store)
            })
            .map_err(thread_error(&spec.path))?;
        self.volumes().push(Mounted {
            shared,
            pool: spec.pool.clone(),
            thread: Some(thread),
            checkpoints: Some(checkpoints),
        });
        Ok(report)
    }

    fn volumes(&self) -> MutexGuard<'_, Vec<Mounted>> {
        self.volumes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<StreamId, (Arc<Tail>, String)>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The volumes, for readers.
    pub fn shared_volumes(&self) -> Vec<Arc<VolumeShared>> {
        self.volumes()
            .iter()
            .map(|mounted| Arc::clone(&mounted.shared))
            .collect()
    }

    /// Starts recording a stream to a volume of `pool`; gives the tail to push frames to. A stream that records already keeps its
    /// tail.
    ///
    /// # Errors
    /// When no volume of the pool takes recordings.
    pub fn record(&self, stream: StreamId, pool: &str) -> Result<Arc<Tail>, RecordError> {
        if let Some((tail, _)) = self.streams().get(&stream) {
            return Ok(Arc::clone(tail));
        }
        let volume = self.emptiest(pool).ok_or_else(|| RecordError::NoVolume {
            pool: pool.to_owned(),
        })?;
        let tail = Tail::new(stream, Arc::clone(&self.budget), self.limits(pool));
        volume.attach(Arc::clone(&tail));
        self.streams()
            .insert(stream, (Arc::clone(&tail), pool.to_owned()));
        Ok(tail)
    }

    /// Stops recording a stream. Its run must have been ended; what is in memory is still written.
    pub fn release(&self, stream: StreamId) {
        let Some((tail, _)) = self.streams().remove(&stream) else {
            return;
        };
        tail.retire();
        for volume in self.shared_volumes() {
            volume.release(&tail);
        }
    }

    /// The tails of all streams that record.
    pub fn tails(&self) -> Vec<Arc<Tail>> {
        self.streams()
            .values()
            .map(|(tail, _)| Arc::clone(tail))
            .collect()
    }

    /// The tail of a stream that records.
    pub fn tail(&self, stream: StreamId) -> Option<Arc<Tail>> {
        self.streams()
            .get(&stream)
            .map(|(tail, _)| Arc::clone(tail))
    }

    /// What the volumes and the tails hold, for readers.
    pub fn recordings(&self) -> Recordings {
        Recordings::new(self.shared_volumes()).with_tails(self.tails())
    }

    /// Bytes all tails hold.
    pub fn held(&self) -> u64 {
        self.budget.held()
    }

    /// What a stream of `pool` may hold: whichever volume it goes to, its blocks fit.
    fn limits(&self, pool: &str) -> TailLimits {
        let volumes = self.volumes();
        let of_pool = volumes.iter().filter(|mounted| mounted.pool == pool);
        let batches = of_pool.map(|mounted| mounted.shared.superblock.batch_len_max);
        batches.fold(self.options.tail, TailLimits::within)
    }

    fn emptiest(&self, pool: &str) -> Option<Arc<VolumeShared>> {
        let volumes = self.volumes();
        let healthy = volumes
            .iter()
            .filter(|mounted| mounted.pool == pool && !mounted.shared.has_failed());
        healthy
            .min_by_key(|mounted| mounted.shared.tails().len())
            .map(|mounted| Arc::clone(&mounted.shared))
    }

    /// L5: the streams of a failed volume go on elsewhere, with all that was not durable.
    fn move_streams(&self, failed: &VolumeShared) {
        let tails = std::mem::take(&mut *failed.tails());
        for tail in tails {
            tail.rollback();
            let pool = self
                .streams()
                .get(&tail.stream())
                .map(|(_, pool)| pool.clone());
            match pool.and_then(|pool| self.emptiest(&pool)) {
                Some(volume) => {
                    tracing::warn!(stream = %tail.stream(), from = %failed.name, to = %volume.name, "a stream goes on on another volume");
                    volume.attach(tail);
                }
                None => {
                    tracing::error!(stream = %tail.stream(), volume = %failed.name, "no volume of the pool is left: the stream is not recorded; add a volume or replace the disk")
                }
            }
        }
    }

    /// Makes all frames durable, stops the writers, and writes a checkpoint of each index, so that the next start has little to read (L11).
    /// Runs must have been ended.
    pub fn close(&self) {
        self.stop.store(true, Ordering::Release);
        let (mut writers, mut checkpoints) = (Vec::new(), Vec::new());
        for mounted in self.volumes().iter_mut() {
            writers.extend(mounted.thread.take());
            checkpoints.extend(mounted.checkpoints.take());
        }
        writers.iter().for_each(|writer| writer.thread().unpark());
        for thread in writers.into_iter().chain(checkpoints) {
            let _ = thread.join();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

fn thread_error(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> VolumeError + use<'_> {
    move |source| VolumeError::Io {
        action: "start of a thread",
        path: path.into(),
        source,
    }
}

/// Opens the volume in `path`.
///
/// # Errors
/// When it is no volume, in use, of another version, or the disk fails.
pub fn open_volume(
    path: &std::path::Path,
    access: Access,
    engine: EngineChoice,
    clock: Arc<dyn Clock>,
    progress: Progress<'_>,
) -> Result<volume::Opened, VolumeError> {
    let name = crate::format::superblock::FILE;
    if !path.join(name).exists() {
        return Err(remains::of(path).unwrap_or(VolumeError::Unformatted { path: path.into() }));
    }
    let slab = match access {
        Access::Write => SlabOptions {
            slots: SLOTS,
            slot_len: BATCH_LEN_MAX as usize,
        },
        // Nothing is written through it.
        Access::Read => SlabOptions {
            slots: 1,
            slot_len: crate::disk::ALIGNMENT,
        },
    };
    let disk = match access {
        Access::Write => open_folder(path, slab, engine)?,
        Access::Read => open_folder_to_read(path, ReadLock::Shared)?,
    };
    let folder = path.to_owned();
    let looked_at = Arc::clone(&disk);
    let opened = volume::open(
        disk,
        path,
        access,
        clock,
        move |superblock| match access {
            Access::Write => memory::mapped(&folder, superblock),
            Access::Read => memory::copied(&*looked_at, superblock),
        },
        progress,
    );
    match opened {
        // Format writes the superblock last: one that was never written is the sign of an aborted format.
        Err(error @ VolumeError::Superblock { .. }) => Err(remains::of(path).unwrap_or(error)),
        other => other,
    }
}

/// Makes a volume in `path`, an empty folder or one to be made. What was made is removed again when it fails.
///
/// # Errors
/// When the folder holds anything, the geometry makes no ring, or the space is not there.
pub fn format_volume(
    path: &std::path::Path,
    options: &volume::FormatOptions,
    clock: &dyn Clock,
    progress: Progress<'_>,
) -> Result<Superblock, VolumeError> {
    let fail = |action: &'static str| {
        move |source| VolumeError::Disk {
            source: DiskError {
                action,
                path: path.into(),
                source,
            },
        }
    };
    crate::disk::make_folder(path).map_err(fail("make"))?;
    // Looked at before the lock file is made in it: a folder that is refused stays as it was.
    remains::refuse(path)?;
    let slab = SlabOptions {
        slots: 1,
        slot_len: volume::SEGMENT_LEN_MIN as usize,
    };
    let disk = open_folder(path, slab, EngineChoice::Plain)?;
    remains::refuse(path)?;
    let space = volume_space(path).map_err(fail("ask the space of"))?;
    if space.available < options.size.0 {
        return Err(VolumeError::NoSpace {
            path: path.into(),
            size: options.size,
            available: ByteSize(space.available),
        });
    }
    let formatted = volume::format(&*disk, options, clock.now().0, progress);
    if formatted.is_err() {
        // The folder was empty, so all of it is ours; best effort: the caller hears why there is no volume.
        for name in disk.list().unwrap_or_default() {
            let _ = disk.remove(&name);
        }
    }
    formatted
}

fn run_writer(
    mut writer: Writer,
    shared: &Arc<VolumeShared>,
    clock: &dyn Clock,
    stop: &AtomicBool,
    store: &Weak<Store>,
) {
    writer.wake(thread::current());
    while !stop.load(Ordering::Acquire) {
        writer.tick(clock.elapsed(), false);
        let slab = shared.disk.slab();
        shared.metrics.slots_in_use.set(slab.in_use() as i64);
        shared.forget_released();
        if writer.has_failed() {
            if let Some(store) = store.upgrade() {
                store.move_streams(shared);
            }
            return;
        }
        thread::park_timeout(BEAT);
    }
    let deadline = clock.elapsed() + FLUSH_MAX;
    while !writer.has_failed() && clock.elapsed() < deadline {
        writer.tick(clock.elapsed(), true);
        if writer.is_idle() && shared.tails().iter().all(|tail| tail.is_drained()) {
            return;
        }
        thread::park_timeout(Duration::from_millis(1));
    }
    tracing::error!(volume = %shared.name, "not all frames could be made durable before the stop");
}

/// Flushes the index off the writer's thread (W7).
fn spawn_checkpoints(
    shared: Arc<VolumeShared>,
    covered: mpsc::Receiver<Generation>,
) -> std::io::Result<JoinHandle<()>> {
    let run = move || {
        while let Ok(mut newest) = covered.recv() {
            while let Ok(newer) = covered.try_recv() {
                newest = newer;
            }
            if let Err(error) = shared.checkpoint(newest) {
                tracing::error!(volume = %shared.name, %error, "the index could not be flushed: the next start takes longer; check the disk");
            }
        }
    };
    thread::Builder::new()
        .name("volume-index".into())
        .spawn(run)
}
