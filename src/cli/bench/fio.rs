//! fio as the yardstick: sequential 1 MiB O_DIRECT writes, queue depth 4, into an allocated file, as the writer does.

use crate::{base::units::ByteSize, cli::CliError};
use std::{path::Path, process::Command};

/// What fio measured.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(super) struct FioResult {
    pub(super) mb_per_second: f64,
    pub(super) cpu_seconds_per_gb: f64,
}

/// Runs fio in `folder` for `seconds` over a file of `size`; `None` when fio is not installed.
pub(super) fn run(
    folder: &Path,
    size: ByteSize,
    seconds: u32,
) -> Result<Option<FioResult>, CliError> {
    let file = folder.join("fio.dat");
    let output = Command::new("fio")
        .args([
            "--name=write",
            "--rw=write",
            "--bs=1M",
            "--direct=1",
            "--ioengine=io_uring",
            "--iodepth=4",
        ])
        .args([
            "--fallocate=posix",
            "--overwrite=1",
            "--fsync=64",
            "--time_based",
            "--output-format=json",
        ])
        .arg(format!("--filename={}", file.display()))
        .arg(format!("--size={}", size.0))
        .arg(format!("--runtime={seconds}"))
        .output();
    let _ = std::fs::remove_file(&file);
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
    let job = &json["jobs"][0];
    let bytes = job["write"]["io_bytes"].as_f64().unwrap_or(0.0);
    let seconds = job["write"]["runtime"].as_f64().unwrap_or(0.0) / 1e3;
    let share =
        (job["usr_cpu"].as_f64().unwrap_or(0.0) + job["sys_cpu"].as_f64().unwrap_or(0.0)) / 100.0;
    Ok(Some(FioResult {
        mb_per_second: bytes / 1e6 / seconds,
        cpu_seconds_per_gb: share * seconds / (bytes / 1e9),
    }))
}
