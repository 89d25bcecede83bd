//! What the benchmarks of the whole recorder share: simulated cameras in a process of their own, a recorder in another, and its metrics.

use super::usage::Usage;
use crate::{
    base::units::ByteSize,
    cli::{CliError, Context},
    media::GapCause,
    store::{pool::format_volume, volume::FormatOptions},
};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

const SEGMENTS: u64 = 64;
const START_MAX: Duration = Duration::from_secs(60);

/// A child process that ends with this value.
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    pub(super) fn usage(&self) -> Result<Usage, CliError> {
        Usage::of(&self.0.id().to_string()).map_err(|error| {
            CliError::failed(format!(
                "a process of the benchmark ended: {error}; see its output"
            ))
        })
    }
}

/// Starts the recorder of `folder` and waits until all cameras record.
pub(super) fn start_recorder(
    (folder, program): (&Path, &Path),
    http: SocketAddr,
    cameras: u32,
    context: &Context,
) -> Result<Running, CliError> {
    let io = |error: std::io::Error| CliError::failed(format!("{}: {error}", folder.display()));
    let log = std::fs::File::create(folder.join("log")).map_err(io)?;
    let recorder = Command::new(program)
        .env("NVRING_CONFIG", folder.join("nvring.toml"))
        .arg("serve")
        .stderr(log)
        .spawn();
    let recorder = Running(recorder.map_err(io)?);
    let clock = context.clock();
    let begun = clock.elapsed();
    while metric(http, "nvring_stream_recording") < f64::from(cameras) {
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
    Ok(recorder)
}

pub(super) fn start_cameras(
    program: &Path,
    cameras: u32,
) -> Result<(Running, Vec<String>), CliError> {
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
pub(super) fn frames_unsent(cameras: &mut Running) -> Result<f64, CliError> {
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

pub(super) fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Makes volume, configuration and cameras. `more`: further lines of the configuration.
pub(super) fn prepare(
    (folder, program): (&Path, &Path),
    http: SocketAddr,
    urls: &[String],
    more: &str,
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
            "[http]\nlisten = \"{http}\"\n[data]\ndir = \"data\"\n[[volume]]\npath = \"volume\"\n{more}"
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
pub(super) fn metric(http: SocketAddr, name: &str) -> f64 {
    let text = metrics(http);
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

pub(super) fn metrics(http: SocketAddr) -> String {
    let get = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(http)?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    get().unwrap_or_default()
}

/// Runs begun after the first one of each camera, by the cause of the gap before them.
pub(super) fn gaps(metrics: &str) -> BTreeMap<String, u64> {
    let mut gaps = BTreeMap::new();
    for line in metrics.lines() {
        let Some(labels) = line.strip_prefix("nvring_stream_runs_total{") else {
            continue;
        };
        let cause = labels.split("cause=\"").nth(1);
        let cause = cause.and_then(|rest| rest.split('"').next());
        let count = line
            .rsplit(' ')
            .next()
            .and_then(|count| count.parse::<u64>().ok());
        if let (Some(cause), Some(count)) = (cause, count)
            && cause != GapCause::Enrolled.name()
        {
            *gaps.entry(cause.to_owned()).or_insert(0) += count;
        }
    }
    gaps
}

/// What was added.
pub(super) fn since(
    now: &BTreeMap<String, u64>,
    before: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let added = now.iter().map(|(cause, count)| {
        let before = before.get(cause).copied().unwrap_or(0);
        (cause.clone(), count.saturating_sub(before))
    });
    added.filter(|(_, count)| *count > 0).collect()
}

/// `no gap`, or `3 gaps (2 camera-lost, 1 clock)`.
pub(super) fn gaps_in_words(gaps: &BTreeMap<String, u64>) -> String {
    let by_cause: Vec<String> = gaps
        .iter()
        .map(|(cause, count)| format!("{count} {cause}"))
        .collect();
    match gaps.values().sum::<u64>() {
        0 => "no gap".to_owned(),
        1 => format!("1 gap ({})", by_cause.join(", ")),
        all => format!("{all} gaps ({})", by_cause.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_told_by_their_causes_and_a_first_run_is_none() {
        let text = "# TYPE nvring_stream_runs_total counter\n\
            nvring_stream_runs_total{camera=\"a\",cause=\"enrolled\",stream=\"main\"} 1\n\
            nvring_stream_runs_total{camera=\"a\",cause=\"clock\",stream=\"main\"} 2\n\
            nvring_stream_runs_total{camera=\"b\",cause=\"clock\",stream=\"main\"} 1\n\
            nvring_stream_runs_total{camera=\"b\",cause=\"camera-lost\",stream=\"main\"} 1\n";
        let words = gaps_in_words(&gaps(text));
        assert_eq!(words, "4 gaps (1 camera-lost, 3 clock)");
        assert_eq!(gaps_in_words(&gaps("")), "no gap");
        let more = text.replace(
            "\"clock\",stream=\"main\"} 2",
            "\"clock\",stream=\"main\"} 3",
        );
        let added = since(&gaps(&more), &gaps(text));
        assert_eq!(gaps_in_words(&added), "1 gap (1 clock)");
    }
}
