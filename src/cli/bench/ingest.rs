//! `nvring bench ingest`: simulated cameras in a process of their own, the whole recorder in another, and what the recorder used.

use super::{
    device::DeviceCounters,
    in_folder,
    made_up::bits,
    site::{
        Running, frames_unsent, free_address, gaps, gaps_in_words, metric, metrics, prepare, since,
        start_cameras, start_recorder,
    },
};
use crate::cli::{CliError, Context, output::print_line};
use std::{
    collections::BTreeMap,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

/// Record many simulated cameras with the whole recorder and measure what it uses
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Folder for volume and catalog; removed afterwards
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Number of cameras
    #[arg(long, default_value_t = 256)]
    cameras: u32,
    /// How long is measured, after all cameras record and a warm-up of 5 s
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Cameras that run already, such as rtsp://127.0.0.1:8554/c{n}, where {n} is the number from 0; default: simulated ones
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Bits per second of each camera when --url is given, to know what is to be expected
    #[arg(long, value_name = "BITS", default_value = "2M", value_parser = bits)]
    bitrate: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The simulated cameras of `bench ingest`, until standard input ends (started by it)
#[derive(clap::Args, Debug)]
pub(super) struct CamerasArgs {
    /// Number of cameras
    cameras: usize,
}

const WARM_UP: Duration = Duration::from_secs(5);

#[derive(Debug, serde::Serialize)]
struct Figures {
    cameras: u32,
    seconds: f64,
    received_mbit_per_second: f64,
    frames_per_second: f64,
    recorder_cores: f64,
    recorder_cores_per_100_mbit: f64,
    recorder_resident_mb: f64,
    recorder_resident_mb_max: f64,
    cameras_cores: Option<f64>,
    device_flushes_per_second: f64,
    frames_lost: f64,
    /// Gaps and seams while it was measured, by cause.
    gaps: BTreeMap<String, u64>,
    /// The same before: between the first picture of a camera and the start of measuring.
    gaps_before: BTreeMap<String, u64>,
}

/// Serves simulated cameras for `bench ingest`: prints their URLs, and at the end how many frames could not be sent.
///
/// # Errors
/// When they cannot be started.
pub(super) fn run_cameras(args: &CamerasArgs) -> Result<(), CliError> {
    let options = camsim::Options {
        clips: vec!["load".to_owned()],
        ..camsim::Options::new(args.cameras)
    };
    let cameras = camsim::Server::start(options).map_err(CliError::failed)?;
    print_line(cameras.urls().join(" "))?;
    let mut rest = String::new();
    let _ = std::io::stdin().read_to_string(&mut rest);
    let report = cameras.stop();
    let slow: u64 = report
        .cameras
        .iter()
        .flat_map(|camera| &camera.sessions)
        .map(|session| session.frames_slow)
        .sum();
    print_line(slow)
}

/// Runs the benchmark.
///
/// # Errors
/// When a process of it cannot be started, or not all cameras record.
pub(super) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let measure = |folder: &Path| measure(args, context, folder);
    in_folder(&args.dir, args.json, measure, report)
}

fn report(figures: &Figures) -> Result<(), CliError> {
    print_line(format_args!(
        "{} cameras, {:.0} s: {:.0} Mbit/s received, {:.0} frames/s, {} frames lost, {}",
        figures.cameras,
        figures.seconds,
        figures.received_mbit_per_second,
        figures.frames_per_second,
        figures.frames_lost,
        gaps_in_words(&figures.gaps)
    ))?;
    if !figures.gaps_before.is_empty() {
        print_line(format_args!(
            "before that, while the cameras started: {}; `clock` means that a camera's first pictures came more than a second late",
            gaps_in_words(&figures.gaps_before)
        ))?;
    }
    print_line(format_args!(
        "recorder: {:.3} cores = {:.4} cores per 100 Mbit/s, {:.0} MB resident ({:.0} MB at most); device: {:.2} flushes/s{}",
        figures.recorder_cores,
        figures.recorder_cores_per_100_mbit,
        figures.recorder_resident_mb,
        figures.recorder_resident_mb_max,
        figures.device_flushes_per_second,
        figures
            .cameras_cores
            .map(|cores| format!("; cameras: {cores:.3} cores"))
            .unwrap_or_default()
    ))
}

fn measure(args: &Args, context: &Context, folder: &Path) -> Result<Figures, CliError> {
    let program = std::env::current_exe()
        .map_err(|error| CliError::failed(format!("this program: {error}")))?;
    let io = |error: std::io::Error| CliError::failed(format!("{}: {error}", folder.display()));
    let (mut cameras, urls) = match &args.url {
        Some(url) => (
            None,
            (0..args.cameras)
                .map(|number| url.replace("{n}", &number.to_string()))
                .collect(),
        ),
        None => {
            let (running, urls) = start_cameras(&program, args.cameras)?;
            (Some(running), urls)
        }
    };
    let http = free_address().map_err(io)?;
    prepare((folder, &program), http, &urls, "", context)?;
    let recorder = start_recorder((folder, &program), http, args.cameras, context)?;
    let clock = context.clock();
    std::thread::sleep(WARM_UP);
    let numbers = || {
        (
            metric(http, "nvring_stream_bytes_total"),
            metric(http, "nvring_stream_frames_total"),
        )
    };
    let (bytes, frames) = numbers();
    let gaps_before = gaps(&metrics(http));
    let (before, device, start) = (
        recorder.usage()?,
        DeviceCounters::of(folder).map_err(io)?,
        clock.elapsed(),
    );
    let cameras_before = cameras.as_ref().map(Running::usage).transpose()?;
    std::thread::sleep(Duration::from_secs(u64::from(args.seconds)));
    let seconds = (clock.elapsed() - start).as_secs_f64();
    let (after, device) = (
        recorder.usage()?,
        DeviceCounters::of(folder).map_err(io)?.since(device),
    );
    let cameras_after = cameras.as_ref().map(Running::usage).transpose()?;
    let (bytes_after, frames_after) = numbers();
    let lost = metric(http, "nvring_stream_lost_packets_total")
        + metric(http, "nvring_stream_shed_frames_total");
    let unsent = cameras.as_mut().map_or(Ok(0.0), frames_unsent)?;
    let cores = (after.cpu_seconds - before.cpu_seconds) / seconds;
    let mbit = (bytes_after - bytes) * 8.0 / 1e6 / seconds;
    Ok(Figures {
        cameras: args.cameras,
        seconds,
        received_mbit_per_second: mbit,
        frames_per_second: (frames_after - frames) / seconds,
        recorder_cores: cores,
        recorder_cores_per_100_mbit: cores / mbit * 100.0,
        recorder_resident_mb: after.resident_bytes as f64 / 1e6,
        recorder_resident_mb_max: after.resident_bytes_max as f64 / 1e6,
        cameras_cores: cameras_after
            .zip(cameras_before)
            .map(|(after, before)| (after.cpu_seconds - before.cpu_seconds) / seconds),
        device_flushes_per_second: device.flushes as f64 / seconds,
        frames_lost: lost + unsent,
        gaps: since(&gaps(&metrics(http)), &gaps_before),
        gaps_before,
    })
}
