//! `nvring bench ingest`: simulated cameras in a process of their own, the whole recorder in another, and what the recorder used.

use super::{device::DeviceCounters, usage::Usage, write::bits};
use crate::{
    base::units::ByteSize,
    cli::{
        CliError, Context,
        output::{print_json, print_line},
    },
    store::{pool::format_volume, volume::FormatOptions},
};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
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

const SEGMENTS: u64 = 64;
const START_MAX: Duration = Duration::from_secs(60);
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
    gaps: f64,
}

/// A child process that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn usage(&self) -> Result<Usage, CliError> {
        Usage::of(&self.0.id().to_string()).map_err(|error| {
            CliError::failed(format!(
                "a process of the benchmark ended: {error}; see its output"
            ))
        })
    }
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
    let folder = args
        .dir
        .join(format!("nvring-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| {
        CliError::failed(format!(
            "{}: {error}; choose another folder with --dir",
            folder.display()
        ))
    })?;
    let result = measure(args, context, &folder);
    let _ = std::fs::remove_dir_all(&folder);
    let figures = result?;
    if args.json {
        return print_json(&figures);
    }
    print_line(format_args!(
        "{} cameras, {:.0} s: {:.0} Mbit/s received, {:.0} frames/s, {} frames lost, {} gaps",
        figures.cameras,
        figures.seconds,
        figures.received_mbit_per_second,
        figures.frames_per_second,
        figures.frames_lost,
        figures.gaps
    ))?;
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
    prepare(folder, http, &urls, &program, context)?;
    let log = std::fs::File::create(folder.join("log")).map_err(io)?;
    let recorder = Command::new(&program)
        .env("NVRING_CONFIG", folder.join("nvring.toml"))
        .arg("serve")
        .stderr(log)
        .spawn();
    let recorder = Running(recorder.map_err(io)?);
    let clock = context.clock();
    let begun = clock.elapsed();
    while metric(http, "nvring_stream_recording") < f64::from(args.cameras) {
        if (clock.elapsed() - begun).to_std() > START_MAX {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            let last = log
                .lines()
                .next_back()
                .unwrap_or("nothing was logged")
                .to_owned();
            return Err(CliError::failed(format!(
                "not all cameras record after 60 s: {last}; try fewer with --cameras"
            )));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(WARM_UP);
    let numbers = || {
        (
            metric(http, "nvring_stream_bytes_total"),
            metric(http, "nvring_stream_frames_total"),
        )
    };
    let (bytes, frames) = numbers();
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
    let gaps = metric(http, "nvring_stream_runs_total") - f64::from(args.cameras);
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
        gaps,
    })
}

fn start_cameras(program: &Path, cameras: u32) -> Result<(Running, Vec<String>), CliError> {
    let failed =
        |error: std::io::Error| CliError::failed(format!("the simulated cameras: {error}"));
    let child = Command::new(program)
        .args(["bench", "cameras", &cameras.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut running = Running(child);
    let mut line = String::new();
    let stdout = running
        .0
        .stdout
        .as_mut()
        .ok_or_else(|| CliError::failed("the simulated cameras have no output"))?;
    BufReader::with_capacity(1, stdout)
        .read_line(&mut line)
        .map_err(failed)?;
    let urls: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    if urls.is_empty() {
        return Err(CliError::failed(
            "the simulated cameras did not start; see the message above",
        ));
    }
    Ok((running, urls))
}

/// Ends the cameras; how many frames they could not send.
fn frames_unsent(cameras: &mut Running) -> Result<f64, CliError> {
    drop(cameras.0.stdin.take());
    let mut text = String::new();
    if let Some(stdout) = cameras.0.stdout.as_mut() {
        stdout
            .read_to_string(&mut text)
            .map_err(|error| CliError::failed(format!("the simulated cameras: {error}")))?;
    }
    text.trim()
        .parse()
        .map_err(|_| CliError::failed("the simulated cameras gave no report"))
}

fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Makes volume, configuration and cameras.
fn prepare(
    folder: &Path,
    http: SocketAddr,
    urls: &[String],
    program: &Path,
    context: &Context,
) -> Result<(), CliError> {
    let io = |error: std::io::Error| CliError::failed(format!("{}: {error}", folder.display()));
    let options = FormatOptions {
        size: ByteSize(SEGMENTS * (128 << 20)),
        segment_len: ByteSize(128 << 20),
        pool: "default".to_owned(),
        volume: *uuid::Uuid::now_v7().as_bytes(),
    };
    format_volume(
        &folder.join("volume"),
        &options,
        &*context.clock(),
        &mut |_, _| (),
    )
    .map_err(CliError::failed)?;
    let config = folder.join("nvring.toml");
    std::fs::write(
        &config,
        format!(
            "[http]\nlisten = \"{http}\"\n[data]\ndir = \"data\"\n[[volume]]\npath = \"volume\"\n"
        ),
    )
    .map_err(io)?;
    let list: String = urls
        .iter()
        .enumerate()
        .map(|(number, url)| format!("{{\"id\":\"cam{number}\",\"url\":\"{url}\"}}\n"))
        .collect();
    let file = folder.join("cameras.jsonl");
    std::fs::write(&file, list).map_err(io)?;
    let output = Command::new(program)
        .env("NVRING_CONFIG", &config)
        .args(["camera", "import"])
        .arg(&file)
        .output()
        .map_err(io)?;
    if output.status.success() {
        return Ok(());
    }
    Err(CliError::failed(
        String::from_utf8_lossy(&output.stderr)
            .trim()
            .trim_start_matches("nvring: ")
            .to_owned(),
    ))
}

/// A number of the recorder's `/metrics`, summed over all labels; 0 while it does not answer.
fn metric(http: SocketAddr, name: &str) -> f64 {
    let get = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(http)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    let text = get().unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
