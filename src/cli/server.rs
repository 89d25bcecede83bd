//! The running server: store, ingest, HTTP and control socket, wired together; `serve` and `demo` both are this.
//!
//! Start: catalog (its lock keeps a second server out), listeners, volumes, ingest. Stop, on SIGINT or SIGTERM: listeners (answers under
//! way may end), ingest (each run ends with cause `restart`), then the store, which makes everything in memory durable.

mod rtsp;

use crate::{
    access::Open,
    api::{
        control::{self, CatalogHandler},
        http::{self, App, StreamNumbers},
        mediamtx,
        status::{Status, StreamStatus, VolumeStatus},
    },
    base::{Clock, UnixMicros},
    catalog::Catalog,
    cli::{config::Config, error::CliError, progress::Progress},
    ingest::{self, Supervisor},
    playback::kept_files::KeptFiles,
    store::{
        pool::{Store, StoreOptions, VolumeReport, VolumeSpec},
        tail::TailCounters,
        volume::VolumeShared,
    },
};
use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
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
    addresses: Addresses,
}

/// Where the server really listens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Addresses {
    pub(super) http: Option<SocketAddr>,
    pub(super) rtsp: Option<SocketAddr>,
    pub(super) rtsps: Option<SocketAddr>,
    mediamtx: Option<SocketAddr>,
}

/// Where the user chose the addresses, for errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub(super) http: &'static str,
    pub(super) rtsp: &'static str,
}

impl Places {
    /// In a configuration file.
    pub(super) const FILE: Self = Self {
        http: "under [http] listen",
        rtsp: "under [rtsp] listen",
    };
}

/// What only one server can have: taken before volumes are touched, so that who cannot have it is told at once.
pub(super) struct Taken {
    runtime: Runtime,
    catalog: Arc<Catalog>,
    listeners: Listeners,
}

struct Listeners {
    http: Option<TcpListener>,
    mediamtx: Option<TcpListener>,
    rtsp: rtsp::Bound,
}

/// Takes what only one server can have.
///
/// # Errors
/// When another has it, or a file that the configuration names is of no use.
pub(super) fn take(
    config: &Config,
    clock: &Arc<dyn Clock>,
    places: Places,
) -> Result<Taken, CliError> {
    let rtsp = rtsp::Prepared::new(&config.rtsp)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(SERVER_THREADS)
        .thread_name("server")
        .enable_all()
        .build()
        .map_err(|error| {
            CliError::failed(format!(
                "threads of the server: {error}; raise the limit of processes"
            ))
        })?;
    let catalog = Catalog::open(&config.data_dir, Arc::clone(clock)).map_err(CliError::failed)?;
    let listeners = runtime.block_on(async {
        Ok::<_, CliError>(Listeners {
            http: bind("HTTP", places.http, config.http).await?,
            mediamtx: bind("HTTP", "under [mediamtx] listen", config.mediamtx).await?,
            rtsp: rtsp.bind(places.rtsp).await?,
        })
    })?;
    Ok(Taken {
        runtime,
        catalog: Arc::new(catalog),
        listeners,
    })
}

/// Runs a server until it is told to stop. `ready` is called once it records, with its addresses.
///
/// # Errors
/// When something it needs cannot be had; recording that had begun is made durable first.
pub(super) fn run(
    config: Config,
    clock: Arc<dyn Clock>,
    taken: Taken,
    ready: impl FnOnce(&Arc<Catalog>, Addresses) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let Taken {
        runtime,
        catalog,
        listeners,
    } = taken;
    let store = open_store(&config, &clock)?;
    let supervisor = Arc::new(
        Supervisor::start(
            Arc::clone(&store),
            Arc::clone(&clock),
            ingest::IngestOptions::default(),
        )
        .map_err(CliError::failed)?,
    );
    let server = Arc::new(Server {
        started: clock.now(),
        config,
        clock,
        catalog,
        store: Arc::clone(&store),
        supervisor: Arc::clone(&supervisor),
        addresses: listeners.addresses(),
    });
    let result = runtime.block_on(server.serve(listeners, ready));
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

impl Listeners {
    fn addresses(&self) -> Addresses {
        Addresses {
            http: address(self.http.as_ref()),
            mediamtx: address(self.mediamtx.as_ref()),
            rtsp: address(self.rtsp.plain()),
            rtsps: address(self.rtsp.tls()),
        }
    }
}

impl Server {
    async fn serve(
        self: Arc<Self>,
        listeners: Listeners,
        ready: impl FnOnce(&Arc<Catalog>, Addresses) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let control = control::Server::bind(&self.config.data_dir).map_err(CliError::failed)?;
        let server = self;
        let changes = server.catalog.changes();
        ready(&server.catalog, server.addresses)?;
        server.apply_cameras();
        let (stop, stopped) = watch::channel(false);
        let status = Arc::clone(&server);
        let handler = CatalogHandler::new(Arc::clone(&server.catalog), move || status.status());
        let control = tokio::spawn(control.run(handler));
        let cameras = tokio::spawn(Arc::clone(&server).follow_cameras(changes));
        let app = Arc::new(app(&server).map_err(CliError::failed)?);
        let until = || until(stopped.clone());
        let Listeners {
            http,
            mediamtx,
            rtsp,
        } = listeners;
        let http = http.map(|at| tokio::spawn(http::serve(at, Arc::clone(&app), until())));
        let mediamtx =
            mediamtx.map(|at| tokio::spawn(mediamtx::serve(at, Arc::clone(&app), until())));
        let rtsp = rtsp.serve(app, until())?;
        let Addresses {
            http: at,
            rtsp: rtsp_at,
            ..
        } = server.addresses;
        tracing::info!(http = ?at, rtsp = ?rtsp_at, data = %server.config.data_dir.display(), "recording");
        wait_for_signal().await?;
        let _ = stop.send(true);
        control.abort();
        cameras.abort();
        // Meanwhile recording goes on.
        let listeners = futures_util::future::join_all(http.into_iter().chain(mediamtx));
        let _ = tokio::time::timeout(http::STOP_GRACE, listeners).await;
        rtsp.stop();
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
            http: self.addresses.http.map(|address| address.to_string()),
            rtsp: self.addresses.rtsp.map(|address| address.to_string()),
            rtsps: self.addresses.rtsps.map(|address| address.to_string()),
            mediamtx: self.addresses.mediamtx.map(|address| address.to_string()),
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

async fn bind(
    what: &str,
    place: &str,
    address: Option<SocketAddr>,
) -> Result<Option<TcpListener>, CliError> {
    let Some(address) = address else {
        return Ok(None);
    };
    let bound = TcpListener::bind(address).await.map_err(|error| {
        CliError::failed(format!(
            "{what} listener {address}: {error}; choose another address {place}"
        ))
    });
    bound.map(Some)
}

fn address(listener: Option<&TcpListener>) -> Option<SocketAddr> {
    listener.and_then(|listener| listener.local_addr().ok())
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

fn app(server: &Arc<Server>) -> prometheus::Result<App> {
    let registry = prometheus::Registry::new();
    for volume in server.store.shared_volumes() {
        if let Err(error) = volume.metrics.register(&registry) {
            tracing::error!(volume = %volume.name, %error, "the volume's metrics are not shown");
        }
    }
    let (for_recordings, for_status, for_streams) =
        (Arc::clone(server), Arc::clone(server), Arc::clone(server));
    let options = server.config.http_options.clone();
    Ok(App {
        admission: Arc::new(http::Admission::new(options, &registry)?),
        catalog: Arc::clone(&server.catalog),
        recordings: Box::new(move || for_recordings.store.recordings()),
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
        access: Arc::new(Open),
        document: OnceLock::new(),
        lists: http::ListMemory::default(),
        files: KeptFiles::default(),
    })
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
