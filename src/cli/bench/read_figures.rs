//! What `nvring bench read` found, as it is told.

use super::{fio::FioResult, made_up::KEY_EVERY, percentiles::Percentiles};
use crate::cli::{CliError, output::print_line};

/// The figures; in JSON under these names.
#[derive(Debug, serde::Serialize)]
pub(super) struct Figures {
    pub(super) streams: u32,
    pub(super) days: u32,
    pub(super) chapters: u32,
    pub(super) index_mb: f64,
    pub(super) seed: u64,
    pub(super) fill_seconds: f64,
    pub(super) open_seconds: f64,
    pub(super) resident_mb: f64,
    pub(super) timeline_ms: Percentiles,
    pub(super) cameras_ms: f64,
    pub(super) first_byte_ms: Percentiles,
    pub(super) reads_per_seek: f64,
    pub(super) read_kb_per_seek: f64,
    pub(super) export_mb_per_second: f64,
    pub(super) block_kb: f64,
    pub(super) fio_before: Option<FioResult>,
    pub(super) fio_after: Option<FioResult>,
    pub(super) export_ratio_to_fio: Option<f64>,
}

/// The mean of what fio read before and after, MB/s.
pub(super) fn mean(before: Option<FioResult>, after: Option<FioResult>) -> Option<f64> {
    Some((before?.mb_per_second + after?.mb_per_second) / 2.0)
}

/// Prints them for people.
pub(super) fn report(figures: &Figures) -> Result<(), CliError> {
    print_line(format_args!(
        "{} streams x {} days: {} chapters, index {:.0} MB, filled in {:.0} s, opened in {:.2} s, {:.0} MB resident (SEED={})",
        figures.streams,
        figures.days,
        figures.chapters,
        figures.index_mb,
        figures.fill_seconds,
        figures.open_seconds,
        figures.resident_mb,
        figures.seed
    ))?;
    print_line(format_args!(
        "timeline of {} days: {}; bounds of all {} streams: {:.1} ms",
        figures.days, figures.timeline_ms, figures.streams, figures.cameras_ms
    ))?;
    print_line(format_args!(
        "first byte of video at a random second, cold: {}; {:.2} reads and {:.0} kB per seek (keyed every {} frames)",
        figures.first_byte_ms, figures.reads_per_seek, figures.read_kb_per_seek, KEY_EVERY
    ))?;
    print_line(format_args!(
        "export: {:.0} MB/s, {:.0} kB per read; {}",
        figures.export_mb_per_second,
        figures.block_kb,
        match (
            figures.fio_before,
            figures.fio_after,
            figures.export_ratio_to_fio
        ) {
            (Some(before), Some(after), Some(ratio)) => format!(
                "fio, random reads of that size in the same segments: {:.0} MB/s before, {:.0} MB/s after; ratio {ratio:.2}",
                before.mb_per_second, after.mb_per_second
            ),
            _ => "fio: not run".to_owned(),
        }
    ))
}
