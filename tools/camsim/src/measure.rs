//! What sending costs: a simulator in a process of its own, the cheapest possible receiver in this one.

use crate::drain::Streams;
use clap::Args;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Before it is measured, streams play for so long.
const WARM_UP: Duration = Duration::from_secs(2);
const BEAT: Duration = Duration::from_millis(50);
/// Ticks of processor time per second in `/proc`: the same on every Linux (`USER_HZ`, proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Args)]
pub(crate) struct Measure {
    /// Number of streams of 2 Mbit/s, one per camera.
    #[arg(long, default_value_t = 1000)]
    streams: usize,
    /// Seconds to measure.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// The clip that every camera plays.
    #[arg(long, default_value = "load")]
    clip: String,
}

/// A simulator that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that ended by itself is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Seconds of processor time so far.
    fn cpu_seconds(&self) -> Result<f64, String> {
        let path = format!("/proc/{}/stat", self.0.id());
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        // The name in brackets may hold spaces; utime and stime are the 14th and 15th fields (proc(5)).
        let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut fields = rest.split_whitespace().skip(11);
        let mut ticks = || fields.next().and_then(|field| field.parse::<f64>().ok());
        match (ticks(), ticks()) {
            (Some(user), Some(system)) => Ok((user + system) / TICKS_PER_SECOND),
            _ => Err(format!("{path} has no processor times")),
        }
    }
}

/// Starts a simulator, reads all its cameras and prints what it used. `false` when the streams did not come whole.
pub(crate) fn run(arguments: &Measure) -> Result<bool, String> {
    let failed = |error: std::io::Error| format!("measuring the simulator: {error}");
    let (simulator, server) = start(arguments)?;
    let mut streams = Streams::open(server, arguments.streams).map_err(failed)?;
    streams.drain(WARM_UP, BEAT).map_err(failed)?;
    let before = simulator.cpu_seconds()?;
    let time = Duration::from_secs(arguments.seconds);
    let drained = streams.drain(time, BEAT).map_err(failed)?;
    let cores = (simulator.cpu_seconds()? - before) / drained.seconds;
    println!(
        "{} streams, {:.0} Mbit/s, {} lost; the simulator used {cores:.3} cores",
        arguments.streams, drained.mbit_per_second, drained.lost
    );
    Ok(drained.lost == 0 && drained.mbit_per_second > 0.0)
}

fn start(arguments: &Measure) -> Result<(Running, SocketAddr), String> {
    let failed = |error: std::io::Error| format!("starting the simulator: {error}");
    let program = std::env::current_exe().map_err(failed)?;
    let cameras = arguments.streams.to_string();
    let child = Command::new(program)
        .args(["--listen", "127.0.0.1:0", "--clip", &arguments.clip])
        .args(["--cameras", &cameras])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut running = Running(child);
    let mut line = String::new();
    if let Some(stdout) = running.0.stdout.take() {
        BufReader::new(stdout)
            .read_line(&mut line)
            .map_err(failed)?;
    }
    // "ready: … rtsp://ADDRESS/cam0 …"
    let server = line
        .split("rtsp://")
        .nth(1)
        .and_then(|rest| rest.split('/').next()?.parse().ok());
    server
        .map(|server| (running, server))
        .ok_or_else(|| format!("the simulator did not start: {line}"))
}
