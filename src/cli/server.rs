//! The running server: store, ingest, HTTP and control socket, wired together; `serve` and `demo` both are this.
//!
//! Start: catalog (its lock keeps a second server out), volumes, ingest, listeners. Stop, on SIGINT or SIGTERM: listeners, ingest (each run
//! ends with cause `restart`), then the store, which makes everything in memory durable.

use crate::{
    api::{
        control::{self, CatalogHandler},
        http::{self, App, StreamNumbers},
        status::{Status, StreamStatus, VolumeStatus},
    },
    base::{Clock, UnixMicros},
    catalog::Catalog,
    cli::{config::Config, error::CliError, progress::Progress},
    ingest::{self, Supervisor},
    store::{
        pool::{Store, StoreOptions, VolumeReport, VolumeSpec},
        recordings::Recordings,
        tail::TailCounters,
        volume::VolumeShared,
    },
};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Threads for HTTP and the control socket: recording has its own.
const SERVER_THREADS: usize = 2;

/// Everything a running server consists of.
struct Server {
    config: Config,
    clock: Arc<dyn Clock>,
    started: UnixMicros,
    catalog: Arc<Catalog>,
    store: Arc<Store>,
    supervisor: Arc<Supervisor>,
    http: Option<SocketAddr>,
}

/// Runs a server until it is told to stop. `ready` is called once it records, with the address of HTTP.
///
/// # Errors
/// When something it needs cannot be had; recording that had begun is made durable first.
pub(super) fn run(
    config: Config,
    clock: Arc<dyn Clock>,
    ready: impl FnOnce(&Arc<Catalog>, Option<SocketAddr>) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(SERVER_THREADS)
        .thread_name("server")
        .enable_all()
        .build()
        .map_err(|error| {
            CliError::failed(format!(
                "threads of the server: {error}; raise the limit of processes"
            ))
        })?;
    let catalog =
        Arc::new(Catalog::open(&config.data_dir, Arc::clone(&clock)).map_err(CliError::failed)?);
    let store = open_store(&config, &clock)?;
    let supervisor = Arc::new(
        Supervisor::start(
            Arc::clone(&store),
            Arc::clone(&clock),
            ingest::IngestOptions::default(),
        )
        .map_err(CliError::failed)?,
    );
    let mut server = Server {
        started: clock.now(),
        config,
        clock,
        catalog,
        store: Arc::clone(&store),
        supervisor: Arc::clone(&supervisor),
        http: None,
    };
    let result = runtime.block_on(server.listen(ready));
    tracing::info!("stopping: runs are ended and made durable");
    supervisor.stop();
    store.close();
    runtime.shutdown_background();
    result
}

fn open_store(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<Store>, CliError> {
    let specs: Vec<VolumeSpec> = config
        .volumes
        .iter()
        .map(|volume| VolumeSpec {
            path: volume.path.clone(),
            pool: volume.pool.clone(),
        })
        .collect();
    let mut options = StoreOptions::default();
    options.writer.commit_interval = config.commit_interval;
    options.writer.sync_interval = config.sync_interval;
    let bar = Progress::count("opening volumes", 0);
    let (store, reports) = Store::open(&specs, options, Arc::clone(clock), &mut |done, total| {
        bar.set_total(total);
        bar.set(done);
    })
    .map_err(CliError::failed)?;
    drop(bar);
    reports.iter().for_each(log_report);
    Ok(store)
}

fn log_report(report: &VolumeReport) {
    let recovery = &report.recovery;
    tracing::info!(
        volume = %report.path.display(),
        replayed = recovery.replayed,
        unlisted = recovery.unlisted,
        dropped = recovery.dropped,
        rebuilt = recovery.rebuilt,
        "volume opened"
    );
    for note in &report.notes {
        tracing::warn!(volume = %report.path.display(), "{note}");
    }
}

impl Server {
    async fn listen(
        &mut self,
        ready: impl FnOnce(&Arc<Catalog>, Option<SocketAddr>) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let listener = match self.config.http {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        self.http = listener
            .as_ref()
            .and_then(|listener| listener.local_addr().ok());
        let control = control::Server::bind(&self.config.data_dir).map_err(CliError::failed)?;
        let server = Arc::new(Server {
            config: self.config.clone(),
            clock: Arc::clone(&self.clock),
            catalog: Arc::clone(&self.catalog),
            store: Arc::clone(&self.store),
            supervisor: Arc::clone(&self.supervisor),
            ..*self
        });
        let changes = self.catalog.changes();
        ready(&self.catalog, self.http)?;
        server.apply_cameras();
        let (stop, stopped) = watch::channel(false);
        let status = Arc::clone(&server);
        let handler = CatalogHandler::new(Arc::clone(&self.catalog), move || status.status());
        let control = tokio::spawn(control.run(handler));
        let cameras = tokio::spawn(Arc::clone(&server).follow_cameras(changes));
        let http = listener.map(|listener| {
            tokio::spawn(http::serve(
                listener,
                Arc::new(app(&server)),
                until(stopped),
            ))
        });
        tracing::info!(http = ?self.http, data = %self.config.data_dir.display(), "recording");
        wait_for_signal().await?;
        let _ = stop.send(true);
        control.abort();
        cameras.abort();
        if let Some(http) = http {
            // Downloads are cut off: their clients resume from where they were.
            let _ = tokio::time::timeout(std::time::Duration::from_secs(1), http).await;
        }
        Ok(())
    }

    /// Records what the catalog says, and nothing else.
    fn apply_cameras(&self) {
        match self.catalog.list() {
            Ok(cameras) => self.supervisor.apply(ingest::StreamSpec::of_all(&cameras)),
            Err(error) => {
                tracing::error!(%error, "the catalog cannot be read: cameras go on as they were")
            }
        }
    }

    async fn follow_cameras(self: Arc<Self>, mut changes: watch::Receiver<u64>) {
        while changes.changed().await.is_ok() {
            let server = Arc::clone(&self);
            let _ = tokio::task::spawn_blocking(move || server.apply_cameras()).await;
        }
    }

    /// Every stream with what its tail counts.
    fn streams(&self) -> Vec<(ingest::StreamStatus, TailCounters)> {
        let counters = |stream| {
            self.store
                .tail(stream)
                .map(|tail| tail.counters())
                .unwrap_or_default()
        };
        self.supervisor
            .status()
            .into_iter()
            .map(|status| (counters(status.stream), status))
            .map(|(tail, status)| (status, tail))
            .collect()
    }

    fn status(&self) -> Status {
        let pools = self.config.volumes.iter().map(|volume| volume.pool.clone());
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.started,
            data_dir: self.config.data_dir.display().to_string(),
            http: self.http.map(|address| address.to_string()),
            rtsp: None,
            volumes: self
                .store
                .shared_volumes()
                .iter()
                .zip(pools)
                .map(|(volume, pool)| volume_status(volume, pool))
                .collect(),
            streams: self
                .streams()
                .iter()
                .map(|(stream, tail)| stream_status(stream, *tail))
                .collect(),
        }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(|error| {
        CliError::failed(format!(
            "HTTP listener {address}: {error}; choose another address under [http] listen"
        ))
    })
}

async fn until(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn wait_for_signal() -> Result<(), CliError> {
    let failed = |error| CliError::failed(format!("signals: {error}; report it as a defect"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn app(server: &Arc<Server>) -> App {
    let registry = prometheus::Registry::new();
    for volume in server.store.shared_volumes() {
        if let Err(error) = volume.metrics.register(&registry) {
            tracing::error!(volume = %volume.name, %error, "the volume's metrics are not shown");
        }
    }
    let (for_recordings, for_status, for_streams) =
        (Arc::clone(server), Arc::clone(server), Arc::clone(server));
    App {
        catalog: Arc::clone(&server.catalog),
        recordings: Box::new(move || Recordings::new(for_recordings.store.shared_volumes())),
        status: Box::new(move || for_status.status()),
        streams: Box::new(move || {
            for_streams
                .streams()
                .iter()
                .map(|(stream, tail)| stream_numbers(stream, *tail))
                .collect()
        }),
        registry,
        clock: Arc::clone(&server.clock),
    }
}

fn volume_status(volume: &VolumeShared, pool: String) -> VolumeStatus {
    let superblock = &volume.superblock;
    let index = volume.index();
    let used = index
        .lives()
        .iter()
        .filter(|life| life.generation.0 != 0)
        .count() as u64;
    let streams: Vec<_> = index
        .streams()
        .into_iter()
        .map(|(stream, _)| stream)
        .collect();
    drop(index);
    let recordings = |stream| {
        volume
            .pieces(stream, crate::base::TimeRange::ALL)
            .into_iter()
            .map(|piece| piece.first)
            .min()
    };
    VolumeStatus {
        path: volume.name.clone(),
        pool,
        state: if volume.has_failed() {
            "failed"
        } else {
            "writing"
        }
        .to_owned(),
        size_bytes: superblock.segment_len * u64::from(superblock.segment_count),
        used_bytes: superblock.segment_len * used,
        written_bytes: volume.metrics.written_bytes.get(),
        oldest: streams.into_iter().filter_map(recordings).min(),
    }
}

fn stream_status(stream: &ingest::StreamStatus, tail: TailCounters) -> StreamStatus {
    let state = serde_json::to_value(stream.state)
        .ok()
        .and_then(|state| state.as_str().map(str::to_owned));
    StreamStatus {
        camera: stream.camera.to_string(),
        stream: stream.role,
        state: state.unwrap_or_default(),
        cause: stream
            .last_error
            .clone()
            .filter(|_| stream.state != ingest::StreamState::Recording),
        since: Some(stream.since),
        frames: tail.frames,
        bytes: tail.bytes,
        gaps: tail.runs.iter().sum::<u64>().saturating_sub(1),
        last_frame: tail.newest,
        durable: tail.durable,
    }
}

fn stream_numbers(stream: &ingest::StreamStatus, tail: TailCounters) -> StreamNumbers {
    StreamNumbers {
        camera: stream.camera.to_string(),
        role: stream.role,
        recording: stream.state == ingest::StreamState::Recording,
        tail,
        packets: stream.counters.packets,
        lost: stream.counters.lost_packets,
        errors: stream.counters.errors,
        reconnects: stream.counters.sessions.saturating_sub(1),
    }
}
