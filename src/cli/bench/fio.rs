//! fio as the yardstick, past the page cache: writes as the writer does, or reads of blocks at random places of the volume's own segments.

use crate::{base::units::ByteSize, cli::CliError};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// What fio measured.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(super) struct FioResult {
    pub(super) mb_per_second: f64,
    pub(super) cpu_seconds_per_gb: f64,
}

/// What fio does.
pub(super) enum Job<'a> {
    /// 1 MiB one behind the other, queue depth 4, into a file allocated in a folder.
    SequentialWrites {
        /// The folder.
        folder: &'a Path,
        /// Length of the file.
        size: ByteSize,
    },
    /// `block` bytes at random places of files that are there. The files are those that the engine reads: what a cache below the
    /// file system holds of them is the same for both.
    RandomReads {
        /// The files.
        files: &'a [PathBuf],
        /// Bytes of a read.
        block: ByteSize,
        /// Reads in flight.
        depth: u32,
    },
}

impl Job<'_> {
    fn direction(&self) -> &'static str {
        match self {
            Self::SequentialWrites { .. } => "write",
            Self::RandomReads { .. } => "read",
        }
    }

    fn arguments(&self) -> Vec<String> {
        match self {
            Self::SequentialWrites { folder, size } => vec![
                "--rw=write".to_owned(),
                "--bs=1M".to_owned(),
                "--iodepth=4".to_owned(),
                "--fallocate=posix".to_owned(),
                "--overwrite=1".to_owned(),
                "--fsync=64".to_owned(),
                format!("--filename={}", escaped(&written(folder))),
                format!("--size={}", size.0),
            ],
            Self::RandomReads {
                files,
                block,
                depth,
            } => {
                let names: Vec<String> = files.iter().map(|file| escaped(file)).collect();
                vec![
                    "--rw=randread".to_owned(),
                    "--readonly".to_owned(),
                    format!("--bs={}", block.0),
                    format!("--iodepth={depth}"),
                    format!("--filename={}", names.join(":")),
                ]
            }
        }
    }
}

/// The file that fio writes.
fn written(folder: &Path) -> PathBuf {
    folder.join("fio.dat")
}

/// A name as fio reads it: a colon would end it.
fn escaped(file: &Path) -> String {
    file.display().to_string().replace(':', "\\:")
}

/// Runs fio for `seconds`; `None` when fio is not installed.
pub(super) fn run(job: &Job<'_>, seconds: u32) -> Result<Option<FioResult>, CliError> {
    let output = Command::new("fio")
        .args(["--name=nvring", "--direct=1", "--ioengine=io_uring"])
        .args(["--time_based", "--output-format=json"])
        .args(job.arguments())
        .arg(format!("--runtime={seconds}"))
        .output();
    if let Job::SequentialWrites { folder, .. } = job {
        let _ = std::fs::remove_file(written(folder));
    }
    let output = match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| CliError::failed(format!("fio: {error}")))?,
    };
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(CliError::failed(format!(
            "fio: {}; try it by hand",
            text.lines().next().unwrap_or("failed")
        )));
    }
    let json: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| CliError::failed(format!("fio: its answer is not JSON: {error}")))?;
    let measured = &json["jobs"][0];
    let number = |value: &serde_json::Value| value.as_f64().unwrap_or(0.0);
    let bytes = number(&measured[job.direction()]["io_bytes"]);
    let seconds = number(&measured[job.direction()]["runtime"]) / 1e3;
    let share = (number(&measured["usr_cpu"]) + number(&measured["sys_cpu"])) / 100.0;
    Ok(Some(FioResult {
        mb_per_second: bytes / 1e6 / seconds,
        cpu_seconds_per_gb: share * seconds / (bytes / 1e9),
    }))
}
