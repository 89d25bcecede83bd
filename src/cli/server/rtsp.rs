//! The RTSP server's part of a running server: its files, its listeners, and threads of its own.
//!
//! It has threads of its own so that hundreds of viewers and a long computation for HTTP do not wait for each other.

use super::bind;
use crate::{
    access::digest::Users,
    api::{
        http::App,
        rtsp::{self, Listeners, Options, session::SessionLimits},
    },
    cli::{
        config::{RtspConfig, RtspTls},
        error::CliError,
    },
};
use std::{future::Future, io::Read, os::unix::fs::PermissionsExt, path::Path, sync::Arc};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};
use tokio_rustls::rustls::{
    self, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use zeroize::Zeroizing;

/// Threads for viewers.
const THREADS: usize = 2;
/// Longest file read, in bytes.
const FILE_LEN_MAX: u64 = 1 << 20;

/// Checked before anything is recorded: all that can be wrong with the files.
pub(super) struct Prepared {
    config: RtspConfig,
    options: Options,
    tls: Option<Arc<ServerConfig>>,
}

/// The listeners, bound.
pub(super) struct Bound {
    listeners: Listeners,
    options: Options,
}

/// It runs; or it is off.
pub(super) struct Running(Option<Runtime>);

impl Prepared {
    /// Reads the files that the configuration names.
    pub(super) fn new(config: &RtspConfig) -> Result<Self, CliError> {
        let users = config.users_file.as_deref().map(users).transpose()?;
        Ok(Self {
            tls: config.tls.as_ref().map(tls).transpose()?,
            options: Options {
                users,
                udp_ports: config.udp_ports.clone(),
                packet_len_max: config.packet_len_max,
                sessions: SessionLimits {
                    all: config.sessions,
                    per_client: config.sessions_per_client,
                },
            },
            config: config.clone(),
        })
    }

    /// Binds the listeners.
    pub(super) async fn bind(self, place: &str) -> Result<Bound, CliError> {
        let plain = bind("RTSP", place, self.config.listen).await?;
        let address = self.config.tls.as_ref().map(|tls| tls.listen);
        let tls = bind("RTSP", "under [rtsp] tls_listen", address).await?;
        Ok(Bound {
            listeners: Listeners {
                plain,
                tls: tls.zip(self.tls),
            },
            options: self.options,
        })
    }
}

impl Bound {
    /// The listener without TLS.
    pub(super) fn plain(&self) -> Option<&TcpListener> {
        self.listeners.plain.as_ref()
    }

    /// The listener with TLS.
    pub(super) fn tls(&self) -> Option<&TcpListener> {
        self.listeners.tls.as_ref().map(|(listener, _)| listener)
    }

    /// Serves on threads of its own until `stop` is done.
    pub(super) fn serve(
        self,
        app: Arc<App>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Running, CliError> {
        if self.plain().is_none() && self.tls().is_none() {
            return Ok(Running(None));
        }
        let failed = |error: std::io::Error| {
            CliError::failed(format!(
                "threads of the RTSP server: {error}; raise the limit of processes"
            ))
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("rtsp")
            .enable_all()
            .build()
            .map_err(failed)?;
        // A listener belongs to the threads it was bound on: it is handed over.
        let moved = |listener: TcpListener| {
            let listener = listener.into_std()?;
            let _inside = runtime.enter();
            TcpListener::from_std(listener)
        };
        let Listeners { plain, tls } = self.listeners;
        let tls = tls.map(|(listener, config)| moved(listener).map(|listener| (listener, config)));
        let listeners = Listeners {
            plain: plain.map(moved).transpose().map_err(failed)?,
            tls: tls.transpose().map_err(failed)?,
        };
        runtime.spawn(rtsp::serve(listeners, app, self.options, stop));
        Ok(Running(Some(runtime)))
    }
}

impl Running {
    /// Ends all connections.
    pub(super) fn stop(self) {
        if let Some(runtime) = self.0 {
            runtime.shutdown_background();
        }
    }
}

/// Whether others than the owner may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Readers {
    Anybody,
    OwnerOnly,
}

fn read(what: &str, path: &Path, readers: Readers) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let failed = |why: &dyn std::fmt::Display| {
        let path = path.display();
        CliError::failed(format!(
            "{what} {path}: {why}; check the path under [rtsp] and who may read it"
        ))
    };
    let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    let metadata = file.metadata().map_err(|error| failed(&error))?;
    if readers == Readers::OwnerOnly && metadata.permissions().mode() & 0o077 != 0 {
        let path = path.display();
        let text = format!("{what} {path} can be read by other users; run `chmod 600 {path}`");
        return Err(CliError::failed(text));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_LEN_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(&error))?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(failed(&"longer than 1 MiB"));
    }
    Ok(bytes)
}

fn users(path: &Path) -> Result<Users, CliError> {
    let bytes = read("users_file", path, Readers::OwnerOnly)?;
    let failed = |why: &dyn std::fmt::Display| {
        CliError::failed(format!("users_file {}: {why}", path.display()))
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| failed(&error))?;
    Users::parse(text).map_err(|error| failed(&error))
}

fn tls(config: &RtspTls) -> Result<Arc<ServerConfig>, CliError> {
    let failed = |what: &str, path: &Path, why: &dyn std::fmt::Display| {
        let path = path.display();
        CliError::failed(format!(
            "{what} {path}: {why}; it must be PEM, and certificate and key belong together"
        ))
    };
    let chain = read("certificate", &config.certificate, Readers::Anybody)?;
    let key = read("key", &config.key, Readers::OwnerOnly)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
    let chain = chain.map_err(|error| failed("certificate", &config.certificate, &error))?;
    let key =
        PrivateKeyDer::from_pem_slice(&key).map_err(|error| failed("key", &config.key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let made = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    made.map(Arc::new)
        .map_err(|error| failed("certificate", &config.certificate, &error))
}
