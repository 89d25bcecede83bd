//! `nvring bench write`: frames of many streams through tail, writer, disk and index, as fast as the disk takes them or at a given rate.
//!
//! The frames are made up, but everything behind them is what records cameras. fio runs before and after, in the same folder.

use super::{
    device::DeviceCounters,
    fio::{self, FioResult},
    in_folder,
    made_up::{FRAMES_PER_SECOND, MadeUp, POOL, bits},
    usage::Usage,
};
use crate::{
    base::{Clock, Micros, UnixMicros, units::ByteSize},
    cli::{CliError, Context, output::print_line},
    media::GapCause,
    store::{
        pool::{Store, StoreOptions, VolumeSpec, format_volume},
        volume::FormatOptions,
    },
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Write made-up frames of many streams to a volume; fio runs beside it
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Folder for the volume and fio's file; both are removed afterwards
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Size of the volume
    #[arg(long, value_name = "SIZE", default_value = "8GiB")]
    size: ByteSize,
    /// Number of streams
    #[arg(long, default_value_t = 500)]
    streams: u32,
    /// Bits per second of each stream
    #[arg(long, value_name = "BITS", default_value = "4M", value_parser = bits)]
    bitrate: u64,
    /// How long
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Write at the streams' own rate instead of as fast as possible
    #[arg(long)]
    real_time: bool,
    /// Leave fio out
    #[arg(long)]
    no_fio: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Frames wait for the disk when the tails hold so much.
const HELD_MAX: u64 = 640 << 20;

#[derive(Debug, serde::Serialize)]
struct Figures {
    streams: u32,
    seconds: f64,
    media_mb_per_second: f64,
    cpu_seconds_per_gb: f64,
    bytes_written_per_media_byte: f64,
    engine_writes_per_second: f64,
    engine_syncs_per_second: f64,
    device_writes_per_second: f64,
    device_flushes_per_second: f64,
    device_bytes_per_media_byte: f64,
    resident_mb_max: f64,
    frames_shed: u64,
    fio_before: Option<FioResult>,
    fio_after: Option<FioResult>,
    ratio_to_fio: Option<f64>,
}

/// Runs the benchmark.
///
/// # Errors
/// When the volume cannot be made or written.
pub(super) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let measure = |folder: &Path| measure(args, &context.clock(), folder);
    in_folder(&args.dir, args.json, measure, report)
}

fn measure(args: &Args, clock: &Arc<dyn Clock>, folder: &Path) -> Result<Figures, CliError> {
    let fio = |seconds| {
        if args.no_fio {
            Ok(None)
        } else {
            let size = ByteSize(args.size.0.min(4 << 30));
            fio::run(&fio::Job::SequentialWrites { folder, size }, seconds)
        }
    };
    let fio_before = fio(args.seconds.div_ceil(2))?;
    let volume = folder.join("volume");
    let options = FormatOptions {
        size: args.size,
        segment_len: ByteSize(256 << 20),
        pool: POOL.to_owned(),
        volume: *uuid::Uuid::now_v7().as_bytes(),
    };
    format_volume(&volume, &options, &**clock, &mut |_, _| ()).map_err(CliError::failed)?;
    let specs = [VolumeSpec {
        path: volume.clone(),
        pool: POOL.to_owned(),
    }];
    let (store, _) = Store::open(
        &specs,
        StoreOptions::default(),
        Arc::clone(clock),
        &mut |_, _| (),
    )
    .map_err(CliError::failed)?;
    let io = |error: std::io::Error| CliError::failed(format!("{}: {error}", folder.display()));
    let (usage, device, start) = (
        Usage::of("self").map_err(io)?,
        DeviceCounters::of(folder).map_err(io)?,
        clock.elapsed(),
    );
    let shed = feed(args, &**clock, &store)?;
    store.close();
    let seconds = (clock.elapsed() - start).as_secs_f64();
    let (used, device) = (
        Usage::of("self").map_err(io)?,
        DeviceCounters::of(folder).map_err(io)?.since(device),
    );
    let volumes = store.shared_volumes();
    let metrics = &volumes[0].metrics;
    let media = metrics.media_bytes.get() as f64;
    drop(store);
    let written = metrics.written_bytes.get() as f64;
    let (writes, syncs) = (metrics.writes.get() as f64, metrics.syncs.get() as f64);
    std::fs::remove_dir_all(&volume).map_err(io)?;
    let fio_after = fio(args.seconds.div_ceil(2))?;
    let media_mb_per_second = media / 1e6 / seconds;
    let means: Vec<f64> = [fio_before, fio_after]
        .iter()
        .flatten()
        .map(|fio| fio.mb_per_second)
        .collect();
    let mean = (!means.is_empty()).then(|| means.iter().sum::<f64>() / means.len() as f64);
    Ok(Figures {
        streams: args.streams,
        seconds,
        media_mb_per_second,
        cpu_seconds_per_gb: (used.cpu_seconds - usage.cpu_seconds) / (media / 1e9),
        bytes_written_per_media_byte: written / media,
        engine_writes_per_second: writes / seconds,
        engine_syncs_per_second: syncs / seconds,
        device_writes_per_second: device.writes as f64 / seconds,
        device_flushes_per_second: device.flushes as f64 / seconds,
        device_bytes_per_media_byte: device.written_bytes as f64 / media,
        resident_mb_max: used.resident_bytes_max as f64 / 1e6,
        frames_shed: shed,
        fio_before,
        fio_after,
        ratio_to_fio: mean
            .filter(|_| !args.real_time)
            .map(|mean| media_mb_per_second / mean),
    })
}

/// Pushes frames until the time is over; gives the number of frames shed.
fn feed(args: &Args, clock: &dyn Clock, store: &Arc<Store>) -> Result<u64, CliError> {
    let made_up = MadeUp::record(store, args.streams, clock.now())?;
    let (start, wall) = (clock.elapsed(), clock.now());
    let end = start + Micros::from_secs(i64::from(args.seconds));
    let mut shed = 0;
    for round in 0u64.. {
        let due = start + Micros((round * 1_000_000 / FRAMES_PER_SECOND) as i64);
        while store.held() > HELD_MAX || args.real_time && clock.elapsed() < due {
            std::thread::sleep(Duration::from_millis(1));
        }
        if clock.elapsed() >= end {
            break;
        }
        let time = UnixMicros(wall.0 + (round * 1_000_000 / FRAMES_PER_SECOND) as i64);
        for number in 0..made_up.len() {
            shed += made_up.push(number, round, time, args.bitrate, clock.elapsed());
        }
    }
    made_up.end(GapCause::Restart);
    Ok(shed)
}

fn report(figures: &Figures) -> Result<(), CliError> {
    print_line(format_args!(
        "{} streams, {:.1} s: {:.0} MB/s of video, {:.3} CPU s/GB, {:.4} bytes written per byte of video",
        figures.streams,
        figures.seconds,
        figures.media_mb_per_second,
        figures.cpu_seconds_per_gb,
        figures.bytes_written_per_media_byte
    ))?;
    print_line(format_args!(
        "engine: {:.1} writes/s, {:.2} syncs/s; device: {:.1} writes/s, {:.2} flushes/s, {:.4} bytes per byte of video; memory {:.0} MB at most; {} frames shed",
        figures.engine_writes_per_second,
        figures.engine_syncs_per_second,
        figures.device_writes_per_second,
        figures.device_flushes_per_second,
        figures.device_bytes_per_media_byte,
        figures.resident_mb_max,
        figures.frames_shed
    ))?;
    let Some((before, after)) = figures.fio_before.zip(figures.fio_after) else {
        return print_line("fio: not run");
    };
    print_line(format_args!(
        "fio (1 MiB, direct, depth 4): {:.0} MB/s before, {:.0} MB/s after; {:.3} CPU s/GB{}",
        before.mb_per_second,
        after.mb_per_second,
        after.cpu_seconds_per_gb,
        figures
            .ratio_to_fio
            .map(|ratio| format!("; ratio {ratio:.2}"))
            .unwrap_or_default()
    ))
}
