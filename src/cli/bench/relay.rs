//! `nvring bench relay`: simulated cameras, the whole recorder, and viewers by RTSP, each in a process of its own: what a viewer costs.
//!
//! First the recorder records without viewers, then with them; what it needs more is theirs.

use super::{
    in_folder,
    site::{
        Running, frames_unsent, free_address, gaps, gaps_in_words, metric, metrics, prepare, since,
        start_cameras, start_recorder,
    },
};
use crate::{
    base::Micros,
    cli::{CliError, Context, output::print_line},
};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Relay simulated cameras to many viewers by RTSP and measure what a viewer costs
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Folder for volume and catalog; removed afterwards
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Number of cameras, of 2 Mbit/s each
    #[arg(long, default_value_t = 30)]
    cameras: u32,
    /// Number of viewers, spread over the cameras
    #[arg(long, default_value_t = 300)]
    viewers: u32,
    /// How long is measured, without viewers and then with them, after a warm-up of 5 s each
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The viewers of `bench relay`, until standard input ends (started by it)
#[derive(clap::Args, Debug)]
pub(super) struct ViewersArgs {
    /// Address of the recorder's RTSP
    address: SocketAddr,
    /// Number of cameras
    cameras: u32,
    /// Number of viewers
    viewers: u32,
}

const WARM_UP: Duration = Duration::from_secs(5);

#[derive(Debug, serde::Serialize)]
struct Figures {
    cameras: u32,
    viewers: u32,
    seconds: f64,
    received_mbit_per_second: f64,
    sent_mbit_per_second: f64,
    recorder_cores_without_viewers: f64,
    recorder_cores: f64,
    cores_per_100_mbit_sent: f64,
    recorder_resident_mb_max: f64,
    viewers_cores: f64,
    cameras_cores: f64,
    /// Packets that viewers did not get.
    packets_missed: u64,
    /// Frames that viewers did not get because they were too slow.
    frames_skipped: f64,
    frames_lost: f64,
    gaps: BTreeMap<String, u64>,
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
        "{} viewers of {} cameras, {:.0} s: {:.0} Mbit/s received, {:.0} Mbit/s sent; viewers missed {} packets, {} frames for being slow; \
         recording lost {} frames, {}",
        figures.viewers,
        figures.cameras,
        figures.seconds,
        figures.received_mbit_per_second,
        figures.sent_mbit_per_second,
        figures.packets_missed,
        figures.frames_skipped,
        figures.frames_lost,
        gaps_in_words(&figures.gaps)
    ))?;
    print_line(format_args!(
        "recorder: {:.3} cores, {:.3} without viewers = {:.4} cores per 100 Mbit/s sent, {:.0} MB resident at most; viewers: {:.3} cores; \
         cameras: {:.3} cores",
        figures.recorder_cores,
        figures.recorder_cores_without_viewers,
        figures.cores_per_100_mbit_sent,
        figures.recorder_resident_mb_max,
        figures.viewers_cores,
        figures.cameras_cores
    ))
}

fn measure(args: &Args, context: &Context, folder: &Path) -> Result<Figures, CliError> {
    let program = std::env::current_exe()
        .map_err(|error| CliError::failed(format!("this program: {error}")))?;
    let io = |error: std::io::Error| CliError::failed(format!("{}: {error}", folder.display()));
    let (mut cameras, urls) = start_cameras(&program, args.cameras)?;
    let (http, rtsp) = (free_address().map_err(io)?, free_address().map_err(io)?);
    let sessions = args.viewers + 1;
    let more = format!(
        "[rtsp]\nlisten = \"{rtsp}\"\nsessions = {sessions}\nsessions_per_client = {sessions}\n"
    );
    prepare((folder, &program), http, &urls, &more, context)?;
    let recorder = start_recorder((folder, &program), http, args.cameras, context)?;
    let clock = context.clock();
    let gaps_before = gaps(&metrics(http));
    let alone = cores(&recorder, &*clock, args.seconds)?;
    let mut viewers = start_viewers(&program, rtsp, args)?;
    let numbers = || {
        (
            metric(http, "nvring_stream_bytes_total"),
            metric(http, "nvring_rtsp_bytes_total"),
        )
    };
    std::thread::sleep(WARM_UP);
    let (received, sent) = numbers();
    let (begun, others) = (clock.elapsed(), (viewers.usage()?, cameras.usage()?));
    let watched = cores_of(&recorder, &*clock, args.seconds)?;
    let seconds = (clock.elapsed() - begun).as_secs_f64();
    let (received_after, sent_after) = numbers();
    let others_after = (viewers.usage()?, cameras.usage()?);
    let memory = recorder.usage()?.resident_bytes_max;
    let lost = metric(http, "nvring_stream_lost_packets_total")
        + metric(http, "nvring_stream_shed_frames_total");
    let frames_skipped = metric(http, "nvring_rtsp_skipped_frames_total");
    let gaps = since(&gaps(&metrics(http)), &gaps_before);
    let packets_missed = last_word(&mut viewers)?;
    let unsent = frames_unsent(&mut cameras)?;
    let mbit = |before: f64, after: f64| (after - before) * 8.0 / 1e6 / seconds;
    let sent = mbit(sent, sent_after);
    Ok(Figures {
        cameras: args.cameras,
        viewers: args.viewers,
        seconds,
        received_mbit_per_second: mbit(received, received_after),
        sent_mbit_per_second: sent,
        recorder_cores_without_viewers: alone,
        recorder_cores: watched,
        cores_per_100_mbit_sent: (watched - alone) / sent * 100.0,
        recorder_resident_mb_max: memory as f64 / 1e6,
        viewers_cores: (others_after.0.cpu_seconds - others.0.cpu_seconds) / seconds,
        cameras_cores: (others_after.1.cpu_seconds - others.1.cpu_seconds) / seconds,
        packets_missed,
        frames_skipped,
        frames_lost: lost + unsent,
        gaps,
    })
}

/// Cores that `process` uses, after a warm-up.
fn cores(process: &Running, clock: &dyn crate::base::Clock, seconds: u32) -> Result<f64, CliError> {
    std::thread::sleep(WARM_UP);
    cores_of(process, clock, seconds)
}

fn cores_of(
    process: &Running,
    clock: &dyn crate::base::Clock,
    seconds: u32,
) -> Result<f64, CliError> {
    let (before, start) = (process.usage()?, clock.elapsed());
    std::thread::sleep(Micros::from_secs(i64::from(seconds)).to_std());
    let elapsed = (clock.elapsed() - start).as_secs_f64();
    Ok((process.usage()?.cpu_seconds - before.cpu_seconds) / elapsed)
}

/// Starts the viewers and waits until all of them play.
fn start_viewers(program: &Path, rtsp: SocketAddr, args: &Args) -> Result<Running, CliError> {
    let failed = |error: std::io::Error| CliError::failed(format!("the viewers: {error}"));
    let child = Command::new(program)
        .args([
            "bench",
            "viewers",
            &rtsp.to_string(),
            &args.cameras.to_string(),
            &args.viewers.to_string(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut running = Running(child);
    let stdout = running
        .0
        .stdout
        .as_mut()
        .ok_or_else(|| CliError::failed("the viewers have no output"))?;
    let mut line = String::new();
    BufReader::with_capacity(1, stdout)
        .read_line(&mut line)
        .map_err(failed)?;
    if line.trim() == "playing" {
        Ok(running)
    } else {
        Err(CliError::failed(
            "not all viewers play; see the message above",
        ))
    }
}

/// Ends the viewers; how many packets they missed.
fn last_word(viewers: &mut Running) -> Result<u64, CliError> {
    drop(viewers.0.stdin.take());
    let mut text = String::new();
    if let Some(stdout) = viewers.0.stdout.as_mut() {
        stdout
            .read_to_string(&mut text)
            .map_err(|error| CliError::failed(format!("the viewers: {error}")))?;
    }
    text.trim()
        .parse()
        .map_err(|_| CliError::failed("the viewers gave no report"))
}

/// Views for `bench relay`: says `playing` once all do, and at the end how many packets did not come.
///
/// # Errors
/// When a viewer cannot play.
pub(super) fn run_viewers(args: &ViewersArgs) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime =
        runtime.map_err(|error| CliError::failed(format!("threads of the viewers: {error}")))?;
    let missed = Arc::new(AtomicU64::new(0));
    let failed = |error: std::io::Error| CliError::failed(format!("a viewer: {error}"));
    runtime.block_on(async {
        for number in 0..args.viewers {
            let viewer = Viewer::play(args.address, number % args.cameras)
                .await
                .map_err(failed)?;
            tokio::spawn(viewer.watch(Arc::clone(&missed)));
        }
        print_line("playing")?;
        let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
        print_line(missed.load(Ordering::Relaxed))
    })
}

/// Reads and forgets.
struct Viewer {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Viewer {
    async fn play(address: SocketAddr, camera: u32) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let mut viewer = Self {
            stream,
            buffer: Vec::new(),
        };
        let url = format!("rtsp://{address}/cam{camera}");
        let set_up = format!(
            "SETUP {url}/trackID=0 RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"
        );
        let answer = viewer.ask(&set_up).await?;
        let session = answer
            .lines()
            .find_map(|line| line.strip_prefix("Session: "))
            .unwrap_or_default();
        let session = session.split(';').next().unwrap_or_default().to_owned();
        viewer
            .ask(&format!(
                "PLAY {url} RTSP/1.0\r\nCSeq: 2\r\nSession: {session}\r\n\r\n"
            ))
            .await?;
        Ok(viewer)
    }

    async fn ask(&mut self, request: &str) -> std::io::Result<String> {
        self.stream.write_all(request.as_bytes()).await?;
        loop {
            let end = self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n");
            if let Some(end) = end {
                let answer: Vec<u8> = self.buffer.drain(..end + 4).collect();
                let answer = String::from_utf8_lossy(&answer).into_owned();
                let good = answer.starts_with("RTSP/1.0 200");
                return if good {
                    Ok(answer)
                } else {
                    Err(std::io::Error::other(answer))
                };
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Until the connection ends.
    async fn watch(mut self, missed: Arc<AtomicU64>) {
        let mut next: Option<u16> = None;
        loop {
            let mut at = 0;
            while let Some(&[_, channel, high, low]) =
                self.buffer.get(at..).and_then(|rest| rest.first_chunk())
            {
                let len = usize::from(u16::from_be_bytes([high, low]));
                let Some(packet) = self.buffer.get(at + 4..at + 4 + len) else {
                    break;
                };
                if let (0, Some(&[_, _, high, low])) = (channel, packet.first_chunk()) {
                    let sequence = u16::from_be_bytes([high, low]);
                    let gap = next.map_or(0, |next| sequence.wrapping_sub(next));
                    missed.fetch_add(u64::from(gap), Ordering::Relaxed);
                    next = Some(sequence.wrapping_add(1));
                }
                at += 4 + len;
            }
            self.buffer.drain(..at);
            self.buffer.reserve(64 << 10);
            if !matches!(self.stream.read_buf(&mut self.buffer).await, Ok(len) if len > 0) {
                return;
            }
        }
    }
}
