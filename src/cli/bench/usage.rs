//! What a process used: processor time and memory, from `/proc` (proc(5)). Kernel workers of io_uring count with it.

use std::io;

/// Clock ticks per second in `/proc/PID/stat`: 100 on every Linux.
const TICKS: f64 = 100.0;

/// Use of a process so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) resident_bytes_max: u64,
}

impl Usage {
    /// Of process `pid`, or `self`.
    pub(super) fn of(pid: &str) -> io::Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name in parentheses may hold spaces; utime and stime are the 12th and 13th field after it.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let ticks = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<u64>().ok())
                .unwrap_or(0)
        };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next())
                .and_then(|text| text.parse::<u64>().ok())
                .unwrap_or(0)
                * 1024
        };
        Ok(Self {
            cpu_seconds: (ticks(11) + ticks(12)) as f64 / TICKS,
            resident_bytes: kib("VmRSS:"),
            resident_bytes_max: kib("VmHWM:"),
        })
    }
}
