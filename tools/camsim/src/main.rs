//! Camera simulator, command line: serve cameras, list the clips, verify what was recorded of them, or measure what sending costs.

use camsim::fault::Which;
use camsim::{Auth, Begin, Codec, Options, Rule, Scheme, Server, clip, verify};
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

mod drain;
mod measure;

/// Endless RTSP cameras from small built-in clips, with marked frames and faults on request.
///
/// Cameras are rtsp://ADDRESS/cam0, /cam1, …; any other can be named by its clip: /h264b/7. Stop with Ctrl-C.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// List the built-in clips.
    Clips,
    /// Check which frames of a simulated camera a file holds, and that they are what was sent.
    Verify(Verify),
    /// Read streams and throw them away, to measure the sender.
    Drain(drain::Drain),
    /// Serve cameras in a process of their own, read them all, and print the processor time that serving took.
    Measure(measure::Measure),
}

#[derive(Args)]
struct Serve {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8554")]
    listen: SocketAddr,
    /// Number of cameras.
    #[arg(long, default_value_t = 4)]
    cameras: usize,
    /// Clips that the cameras get in turn, separated by commas.
    #[arg(long = "clip", value_delimiter = ',', default_values = clip::DEFAULT)]
    clips: Vec<String>,
    /// Where in the stream a client begins.
    #[arg(long, value_enum, default_value = "anywhere")]
    begin: Begin,
    /// Ask clients for these credentials: USER:PASSWORD.
    #[arg(long)]
    auth: Option<String>,
    /// How credentials are asked for.
    #[arg(long, value_enum, default_value = "digest")]
    scheme: Scheme,
    /// Pictures per second instead of the clips' own.
    #[arg(long)]
    fps: Option<u32>,
    /// Milliseconds between two rounds of sending.
    #[arg(long, default_value_t = 10)]
    beat_ms: u64,
    /// Longest RTP payload in bytes.
    #[arg(long, default_value_t = 1400)]
    payload: usize,
    /// MiB that may wait for a slow client before its frames are left out.
    #[arg(long, default_value_t = 4)]
    backlog_mib: usize,
    /// Seed of phases, identifiers and random faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A fault, CAMERA:FAULT[=VALUE][@WHEN]; may be given several times.
    ///
    /// CAMERA is a number, a name, or *. FAULT is drop=P, duplicate=P, reorder=P, refuse[=off], unauthorized[=off], ntp=TIME,
    /// deaf[=off|misnumbered], strict[=off], order[=off], stall=TIME, lag=TIME, garbage=packet|payload|framing, jump=TIME,
    /// switch=CLIP or restart[=TIME DOWN].
    /// WHEN is 20s (once), every30s, or p0.001 (at each frame with that probability). Example: 3:stall=5s@20s
    #[arg(long = "fault", verbatim_doc_comment)]
    faults: Vec<Rule>,
    /// Stop by itself after this many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Write what was sent to this file as JSON at the end.
    #[arg(long)]
    report: Option<PathBuf>,
}

#[derive(Args)]
struct Verify {
    /// The file: MP4, or with --annexb an elementary stream.
    file: PathBuf,
    /// The file is an Annex B elementary stream of this codec.
    #[arg(long, value_parser = parse_codec, value_name = "h264|h265")]
    annexb: Option<Codec>,
    /// Holes between the first and the last frame are no fault.
    #[arg(long)]
    holes_allowed: bool,
    /// Changed or missing parameter sets and SEI are a fault too.
    #[arg(long)]
    strict: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => serve(cli.serve),
        Some(Command::Clips) => {
            for source in &clip::CLIPS {
                println!("{:8} {}", source.name, source.about);
            }
            Ok(true)
        }
        Some(Command::Verify(arguments)) => check(&arguments),
        Some(Command::Drain(arguments)) => drain::run(&arguments),
        Some(Command::Measure(arguments)) => measure::run(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("camsim: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: Serve) -> Result<bool, String> {
    let auth = arguments.auth.map(|pair| match pair.split_once(':') {
        Some((user, password)) => Ok(Auth {
            user: user.to_owned(),
            password: password.to_owned(),
            scheme: arguments.scheme,
        }),
        None => Err("--auth wants USER:PASSWORD".to_owned()),
    });
    let options = Options {
        listen: arguments.listen,
        clips: arguments.clips,
        begin: arguments.begin,
        auth: auth.transpose()?,
        rate: arguments.fps,
        beat: Duration::from_millis(arguments.beat_ms),
        payload_max: arguments.payload,
        backlog_max: arguments.backlog_mib << 20,
        seed: arguments.seed,
        rules: arguments.faults,
        ..Options::new(arguments.cameras)
    };
    for rule in &options.rules {
        if let Which::Named(name) = &rule.which
            && !name.contains('/')
            && !(0..options.cameras).any(|number| format!("cam{number}") == *name)
        {
            return Err(format!(
                "--fault names {name}, but there are {} cameras, from cam0",
                options.cameras
            ));
        }
    }
    let server = Server::start(options).map_err(|error| error.to_string())?;
    let urls = server.urls();
    match urls.as_slice() {
        [first, .., last] if urls.len() > 8 => {
            println!("ready: {} cameras, {first} to {last}", urls.len())
        }
        _ => println!("ready: {}", urls.join(" ")),
    }
    wait(arguments.seconds.map(Duration::from_secs)).map_err(|error| error.to_string())?;
    let report = server.stop();
    println!(
        "sent {} frames in {} sessions; {} left out for slow clients",
        report.frames(),
        report.sessions().count(),
        report.frames_slow()
    );
    if let Some(path) = arguments.report {
        let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
        std::fs::write(&path, text)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(true)
}

/// Waits for Ctrl-C, a termination signal, or the end of the time.
fn wait(limit: Option<Duration>) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        );
        let signals = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        match limit {
            // Reaching the time is as good as a signal.
            Some(limit) => drop(tokio::time::timeout(limit, signals).await),
            None => signals.await,
        }
        Ok(())
    })
}

fn check(arguments: &Verify) -> Result<bool, String> {
    let summary = match arguments.annexb {
        Some(codec) => verify::annexb(codec, &arguments.file),
        None => verify::mp4(&arguments.file),
    };
    let summary =
        summary.map_err(|error| format!("cannot verify {}: {error}", arguments.file.display()))?;
    if arguments.json {
        println!(
            "{}",
            serde_json::to_string(&summary).map_err(|error| error.to_string())?
        );
    } else {
        let number = |value: Option<u64>| value.map_or("none".to_owned(), |n| n.to_string());
        println!(
            "{}: {} frames, {} to {}; missing {}, duplicates {}, out of order {}, damaged {}, altered {}, unmarked {}, foreign {}",
            summary.camera,
            summary.frames,
            number(summary.first),
            number(summary.last),
            summary.missing,
            summary.duplicates,
            summary.out_of_order,
            summary.damaged,
            summary.altered,
            summary.unmarked,
            summary.foreign,
        );
        for (first, last) in &summary.holes {
            println!("missing {first} to {last}");
        }
    }
    let whole = if arguments.holes_allowed {
        summary.frames > 0 && summary.is_sound()
    } else {
        summary.is_whole()
    };
    Ok(whole && (!arguments.strict || summary.altered == 0))
}

fn parse_codec(text: &str) -> Result<Codec, String> {
    match text {
        "h264" => Ok(Codec::H264),
        "h265" | "hevc" => Ok(Codec::H265),
        _ => Err("give h264 or h265".to_owned()),
    }
}
