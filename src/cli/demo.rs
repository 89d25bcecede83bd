//! `nvring demo`: the whole recorder with four simulated cameras, without any set-up: what a newcomer runs first.
//!
//! Everything it makes lies in one folder; a second start goes on with what the first recorded.

use crate::{
    base::{Clock, UnixMicros, units::ByteSize},
    catalog::{Camera, CameraChange, CameraId, CameraUrl, Catalog},
    cli::{
        CliError, Context,
        config::{Config, VolumeConfig},
        output::print,
        progress::Progress,
        server,
    },
    store::{pool::format_volume, volume::FormatOptions},
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Record four simulated cameras to a small volume and serve them on 127.0.0.1: no other set-up
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder for the volume and the catalog; made when it is not there
    #[arg(long, value_name = "DIR", default_value = "nvring-demo")]
    dir: PathBuf,
    /// Size of the volume when it is made
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    size: ByteSize,
    /// Address of HTTP
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Address of RTSP, or "off"
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8554")]
    rtsp: String,
}

/// Segments of the demo's volume: enough that the ring is seen to turn.
const SEGMENTS: u64 = 64;
/// Where the addresses come from.
const PLACES: server::Places = server::Places {
    http: "with --listen",
    rtsp: "with --rtsp",
};
const POOL: &str = "demo";
/// Id, name and clip of each camera.
const CAMERAS: [(&str, &str, &str); 4] = [
    ("gate", "Cổng chính", "h264"),
    ("street", "Street, H.264 with B-frames", "h264b"),
    ("yard", "Yard, H.265", "h265"),
    ("traffic", "Traffic, 1080p", "load"),
];

/// Runs the demo until Ctrl-C.
///
/// # Errors
/// When the folder cannot be used or the address is taken.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let clock = context.clock();
    let config = prepare(args)?;
    let taken = server::take(&config, &clock, PLACES)?;
    make_volume(args, &config, &*clock)?;
    let file = config.file.clone().unwrap_or_default();
    let clips = CAMERAS
        .iter()
        .map(|(_, _, clip)| (*clip).to_owned())
        .collect();
    let options = camsim::Options {
        clips,
        ..camsim::Options::new(CAMERAS.len())
    };
    let cameras = camsim::Server::start(options).map_err(CliError::failed)?;
    let urls = cameras.urls();
    let started = clock.now();
    let result = server::run(config, clock, taken, |catalog, addresses| {
        enrol(catalog, &urls)?;
        print(&welcome(&file, addresses, started))
    });
    cameras.stop();
    result
}

/// Makes the folder, when it is not there, and the configuration.
fn prepare(args: &Args) -> Result<Config, CliError> {
    let failed = |what: &Path, error: std::io::Error| {
        CliError::failed(format!(
            "{}: {error}; choose another folder with --dir",
            what.display()
        ))
    };
    std::fs::create_dir_all(&args.dir).map_err(|error| failed(&args.dir, error))?;
    let dir = args
        .dir
        .canonicalize()
        .map_err(|error| failed(&args.dir, error))?;
    let file = dir.join("nvring.toml");
    let text = format!(
        "# Written by `nvring demo`; use it with `nvring --config {}`.\n[http]\nlisten = \"{}\"\n\n[rtsp]\nlisten = \"{}\"\n\n[data]\ndir = \"data\"\n\n\
         [[pool]]\nname = \"{POOL}\"\n\n[[volume]]\npath = \"volume\"\npool = \"{POOL}\"\n",
        file.display(),
        args.listen,
        args.rtsp
    );
    std::fs::write(&file, text).map_err(|error| failed(&file, error))?;
    let config = Config::load(Some(&file)).map_err(CliError::failed)?;
    assert!(
        config.volumes
            == [VolumeConfig {
                path: dir.join("volume"),
                pool: POOL.to_owned()
            }],
        "the demo's own configuration"
    );
    config.require_loopback().map_err(CliError::usage)?;
    Ok(config)
}

/// Makes the volume when it is not there.
fn make_volume(args: &Args, config: &Config, clock: &dyn Clock) -> Result<(), CliError> {
    for volume in &config.volumes {
        if volume.path.join(crate::format::superblock::FILE).exists() {
            continue;
        }
        let bar = Progress::count("making the volume", SEGMENTS);
        let options = FormatOptions {
            size: args.size,
            segment_len: ByteSize((args.size.0 / SEGMENTS) & !4095),
            pool: volume.pool.clone(),
            volume: *uuid::Uuid::now_v7().as_bytes(),
        };
        format_volume(&volume.path, &options, clock, &mut |done, _| bar.set(done))
            .map_err(CliError::failed)?;
    }
    Ok(())
}

/// Enrols the simulated cameras, or gives those of an earlier start their new address.
fn enrol(catalog: &Catalog, urls: &[String]) -> Result<(), CliError> {
    let known = catalog.list().map_err(CliError::failed)?;
    for ((id, name, _), url) in CAMERAS.iter().zip(urls) {
        let id: CameraId = id.parse().map_err(CliError::failed)?;
        let url = CameraUrl::parse(url).map_err(CliError::failed)?;
        let change = CameraChange {
            url: Some(url),
            ..CameraChange::default()
        };
        let enrolled = known.iter().any(|camera: &Camera| camera.id == id);
        let done = if enrolled {
            catalog.set(&id, change)
        } else {
            let name = Some((*name).to_owned());
            catalog.add(
                &id,
                CameraChange {
                    name,
                    pool: Some(POOL.to_owned()),
                    ..change
                },
            )
        };
        done.map_err(CliError::failed)?;
    }
    Ok(())
}

fn welcome(config: &Path, addresses: server::Addresses, started: UnixMicros) -> String {
    let told = |scheme: &str, address: Option<SocketAddr>| {
        address.map_or_else(
            || "off".to_owned(),
            |address| format!("{scheme}://{address}"),
        )
    };
    let http = told("http", addresses.http);
    let rtsp = told("rtsp", addresses.rtsp);
    let config = config.display();
    let from = UnixMicros(started.0 / 1_000_000 * 1_000_000 + 5_000_000)
        .to_string()
        .replace(".000000", "");
    let to = UnixMicros(started.0 / 1_000_000 * 1_000_000 + 15_000_000)
        .to_string()
        .replace(".000000", "");
    format!(
        "nvring demo: four simulated cameras are being recorded. Ctrl-C ends it; the next start goes on.\n\n\
         Console   {http}/   (open it in a browser)\n\
         Cameras   {http}/api/v1/cameras\n\
         Timeline  {http}/api/v1/cameras/gate/timeline\n\
         Video     {http}/api/v1/cameras/gate/video.mp4?from={from}&to={to}   (in 15 seconds)\n\
         Live      {rtsp}/gate   (for mpv, ffplay, GStreamer and video management systems)\n\
         Metrics   {http}/metrics\n\n\
         In another terminal:\n\
         \x20 export NVRING_CONFIG={config}\n\
         \x20 nvring status\n\
         \x20 nvring timeline gate\n\
         \x20 nvring export gate --from {from} --to {to} -o gate.mp4\n"
    )
}
