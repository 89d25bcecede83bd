//! What a volume counts, as Prometheus values: the store measures, `/metrics` only prints.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Opts, Registry, core::Collector};

/// The numbers of one volume, labelled with its path.
#[derive(Debug)]
pub struct VolumeMetrics {
    /// Seconds from handing a batch to the disk until it is written.
    pub write_seconds: Histogram,
    /// Seconds a sync took.
    pub sync_seconds: Histogram,
    /// Writes handed to the disk.
    pub writes: IntCounter,
    /// Syncs done: device flushes.
    pub syncs: IntCounter,
    /// Bytes handed to the disk.
    pub written_bytes: IntCounter,
    /// Bytes of video, sound and metadata among them.
    pub media_bytes: IntCounter,
    /// Segments taken.
    pub segments_taken: IntCounter,
    /// Failed writes and syncs.
    pub failures: IntCounter,
    /// Reads for playback and export.
    pub reads: IntCounter,
    /// Chapters that needed no read because they were in memory.
    pub chapters_from_memory: IntCounter,
    /// Bytes read for playback, export and checks.
    pub read_bytes: IntCounter,
    /// Blocks that failed verification when read.
    pub damaged: IntCounter,
    /// Slots of the slab in use.
    pub slots_in_use: IntGauge,
    /// The writer's queue: bytes of finished blocks that no batch holds yet.
    pub waiting_bytes: IntGauge,
    /// The disk's queue: writes, syncs and reads handed to it and not done.
    pub disk_requests: IntGauge,
    /// 1 while the volume takes recordings.
    pub up: IntGauge,
}

impl VolumeMetrics {
    /// Numbers for the volume called `volume`.
    pub fn new(volume: &str) -> Self {
        let counter = |name: &str, help: &str| {
            let opts = Opts::new(name, help).const_label("volume", volume);
            IntCounter::with_opts(opts).expect("the name is valid")
        };
        let gauge = |name: &str, help: &str| {
            let opts = Opts::new(name, help).const_label("volume", volume);
            IntGauge::with_opts(opts).expect("the name is valid")
        };
        let histogram = |name: &str, help: &str| {
            let buckets =
                prometheus::exponential_buckets(0.000_25, 2.0, 16).expect("valid buckets");
            let opts = HistogramOpts::new(name, help)
                .const_label("volume", volume)
                .buckets(buckets);
            Histogram::with_opts(opts).expect("the name is valid")
        };
        Self {
            write_seconds: histogram(
                "nvring_volume_write_seconds",
                "From handing a batch to the disk until it is written",
            ),
            sync_seconds: histogram(
                "nvring_volume_sync_seconds",
                "Time a sync of the volume took",
            ),
            writes: counter("nvring_volume_writes_total", "Writes handed to the disk"),
            syncs: counter("nvring_volume_syncs_total", "Syncs (device flushes) done"),
            written_bytes: counter(
                "nvring_volume_written_bytes_total",
                "Bytes handed to the disk",
            ),
            media_bytes: counter(
                "nvring_volume_media_bytes_total",
                "Bytes of video, sound and metadata written",
            ),
            segments_taken: counter(
                "nvring_volume_segments_taken_total",
                "Segments taken by the ring",
            ),
            failures: counter("nvring_volume_failures_total", "Failed writes and syncs"),
            reads: counter(
                "nvring_volume_reads_total",
                "Reads handed to the disk for playback and export",
            ),
            chapters_from_memory: counter(
                "nvring_volume_chapters_from_memory_total",
                "Chapters that needed no read because they were in memory",
            ),
            read_bytes: counter(
                "nvring_volume_read_bytes_total",
                "Bytes read for playback, export and checks",
            ),
            damaged: counter(
                "nvring_volume_damaged_blocks_total",
                "Blocks that failed verification when read",
            ),
            slots_in_use: gauge(
                "nvring_volume_slots_in_use",
                "Slots of the write slab in use",
            ),
            waiting_bytes: gauge(
                "nvring_volume_waiting_bytes",
                "Bytes of finished blocks that no batch holds yet: the writer's queue",
            ),
            disk_requests: gauge(
                "nvring_volume_disk_requests",
                "Writes, syncs and reads handed to the disk and not done: the disk's queue",
            ),
            up: gauge("nvring_volume_up", "1 while the volume takes recordings"),
        }
    }

    /// Adds all of them to `registry`.
    ///
    /// # Errors
    /// When a volume of the same name is registered already.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        let all: [Box<dyn Collector>; 16] = [
            Box::new(self.write_seconds.clone()),
            Box::new(self.sync_seconds.clone()),
            Box::new(self.writes.clone()),
            Box::new(self.syncs.clone()),
            Box::new(self.written_bytes.clone()),
            Box::new(self.media_bytes.clone()),
            Box::new(self.segments_taken.clone()),
            Box::new(self.failures.clone()),
            Box::new(self.reads.clone()),
            Box::new(self.chapters_from_memory.clone()),
            Box::new(self.read_bytes.clone()),
            Box::new(self.damaged.clone()),
            Box::new(self.slots_in_use.clone()),
            Box::new(self.waiting_bytes.clone()),
            Box::new(self.disk_requests.clone()),
            Box::new(self.up.clone()),
        ];
        all.into_iter().try_for_each(|one| registry.register(one))
    }
}
