//! Where commands read recordings from: a server, or volumes that nobody records to.
//!
//! `--volume DIR` is read as it lies, on any machine and without catalog or configuration (design law L12); `--server URL` is asked
//! over HTTP. With neither, the server that runs on this configuration is asked, and when none runs, the configuration's volumes
//! are read. Reading changes no byte of a volume.

use crate::{
    api::control::{Answer, Request},
    base::{TimeRange, UnixMicros, nearest},
    cli::{
        client::{Client, unexpected},
        context::Context,
        error::CliError,
        output::warn,
        progress::Progress,
        remote::Remote,
    },
    disk::EngineChoice,
    media::StreamId,
    store::{
        pool::open_volume,
        recordings::{RecordedStream, Recordings},
        volume::{Access, Opened, VolumeError},
    },
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
};

/// The options that say where from.
#[derive(clap::Args, Debug)]
pub struct SourceArgs {
    /// Read this volume's directory (may be given again for more; not while a server records to it)
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    volume: Vec<PathBuf>,
    /// Ask this server, such as http://127.0.0.1:8080 [default: the one that runs on this configuration]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

/// Where recordings are read from.
pub enum Source {
    /// A server.
    Server(Remote),
    /// Volumes on this machine.
    Local(Local),
}

/// Volumes opened for reading, and the runtime that waits for their reads.
pub struct Local {
    /// What they hold.
    pub recordings: Recordings,
    /// Runs what reads them.
    pub runtime: tokio::runtime::Runtime,
}

/// Which of a camera's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StreamName {
    /// The first.
    Main,
    /// The second.
    Sub,
}

impl StreamName {
    /// The word in URLs and recordings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Sub => "sub",
        }
    }
}

/// The range of two times, or the words for a reversed one.
pub fn time_range(from: UnixMicros, to: UnixMicros) -> Result<TimeRange, CliError> {
    TimeRange::new(from, to)
        .ok_or_else(|| CliError::usage(format!("--from {from} is not before --to {to}; swap them")))
}

impl SourceArgs {
    /// Finds it.
    pub fn find(self, context: &Context) -> Result<Source, CliError> {
        if let Some(url) = &self.server {
            return Ok(Source::Server(Remote::new(url)?));
        }
        if !self.volume.is_empty() {
            let opened = self.volume.iter().map(|path| open_to_read(path, context));
            let opened = opened.collect::<Result<Vec<_>, _>>();
            return local(opened.map_err(CliError::failed)?);
        }
        let config = context.config()?;
        if let Some(mut client) = Client::connect(&config.data_dir)? {
            return match client.ask(Request::Status)? {
                Answer::Status { status } => Ok(Source::Server(Remote::new(&base_url(
                    status.http.as_deref(),
                )?)?)),
                answer => Err(unexpected(&answer)),
            };
        }
        if config.volumes.is_empty() {
            return Err(CliError::usage(
                "no server runs and no volume is configured, so there is nothing to read; name a --volume DIR, a --server URL or the --config FILE",
            ));
        }
        // One dead disk must not hide what the others hold.
        let mut opened = Vec::new();
        let mut refused = None;
        for volume in &config.volumes {
            match open_to_read(&volume.path, context) {
                Ok(one) => opened.push(one),
                Err(error) => {
                    if let Some(before) = refused.replace(error) {
                        warn(before);
                    }
                }
            }
        }
        match refused {
            Some(error) if opened.is_empty() => return Err(CliError::failed(error)),
            Some(error) => warn(error),
            None => {}
        }
        local(opened)
    }
}

fn local(opened: Vec<Opened>) -> Result<Source, CliError> {
    let volumes = opened.into_iter().map(|opened| opened.shared).collect();
    Ok(Source::Local(Local {
        recordings: Recordings::new(volumes),
        runtime: runtime()?,
    }))
}

/// A runtime for one command.
pub fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            CliError::failed(format!(
                "the asynchronous runtime: {error}; check the limits of open files and threads"
            ))
        })
}

/// Opens a volume for reading.
///
/// # Errors
/// When it is none, is being recorded to, or cannot be read.
pub fn open_to_read(path: &Path, context: &Context) -> Result<Opened, VolumeError> {
    let bar = Progress::count(&format!("reading {}", path.display()), 0);
    open_volume(
        path,
        Access::Read,
        EngineChoice::Plain,
        context.clock(),
        &mut |done, whole| {
            bar.set_total(whole);
            bar.set(done);
        },
    )
}

/// The URL of the server that listens at `http`.
fn base_url(http: Option<&str>) -> Result<String, CliError> {
    let address = http.ok_or_else(|| {
        CliError::failed(
            "a server runs on this configuration, but its HTTP is off; set `[http] listen`, or stop it and read with --volume DIR",
        )
    })?;
    // A listener on all addresses is reached by the machine's own.
    Ok(match address.parse::<SocketAddr>() {
        Ok(at) if at.ip().is_unspecified() => {
            let own: IpAddr = match at.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
            format!("http://{}", SocketAddr::new(own, at.port()))
        }
        Ok(at) => format!("http://{at}"),
        Err(_) => address.to_owned(),
    })
}

/// The stream of `camera`: by the camera's id, or by the stream's own UUID. An id that was enrolled several times means the
/// camera recorded last.
///
/// # Errors
/// When nothing of it is recorded.
pub fn find_stream(
    recordings: &Recordings,
    camera: &str,
    stream: StreamName,
) -> Result<StreamId, CliError> {
    let all = recordings.streams();
    if let Ok(id) = StreamId::from_str(camera)
        && all.iter().any(|recorded| recorded.stream == id)
    {
        return Ok(id);
    }
    let of_camera = |recorded: &&RecordedStream| recorded.name.camera == camera;
    let mut found: Vec<&RecordedStream> = all
        .iter()
        .filter(of_camera)
        .filter(|recorded| recorded.name.kind == stream.name())
        .collect();
    found.sort_by_key(|recorded| recordings.bounds(recorded.stream).map(|(_, last)| last));
    let Some(newest) = found.pop() else {
        return Err(CliError::failed(unknown(&all, camera, stream)));
    };
    if !found.is_empty() {
        let others: Vec<String> = found.iter().map(|one| one.stream.to_string()).collect();
        warn(format!(
            "camera `{camera}` was enrolled more than once; this is the one recorded last ({}), the others are asked for by {}",
            newest.stream,
            others.join(", ")
        ));
    }
    Ok(newest.stream)
}

fn unknown(all: &[RecordedStream], camera: &str, stream: StreamName) -> String {
    let kinds: Vec<&str> = all
        .iter()
        .filter(|recorded| recorded.name.camera == camera)
        .map(|recorded| recorded.name.kind.as_str())
        .collect();
    if !kinds.is_empty() {
        return format!(
            "camera `{camera}` has no recordings of its {} stream; ask for --stream {}",
            stream.name(),
            kinds.join(" or ")
        );
    }
    if let Some(named) = all.iter().find(|recorded| recorded.name.name == camera) {
        return format!(
            "camera `{camera}` is not known by this id; its id is `{}`",
            named.name.camera
        );
    }
    let ids = all.iter().map(|recorded| recorded.name.camera.as_str());
    match nearest(camera, ids) {
        Some(near) => {
            format!("camera `{camera}` has no recordings here; did you mean `{near}`?")
        }
        None => format!(
            "camera `{camera}` has no recordings here; `nvring timeline` lists the cameras that have"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_where_it_can_be_reached() {
        let url = |http| base_url(Some(http)).unwrap();
        assert_eq!(url("127.0.0.1:8080"), "http://127.0.0.1:8080");
        assert_eq!(url("0.0.0.0:80"), "http://127.0.0.1:80");
        assert_eq!(url("[::]:80"), "http://[::1]:80");
        assert!(base_url(None).is_err());
    }
}
