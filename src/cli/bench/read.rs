//! `nvring bench read`: how fast recordings are listed, found and read back, on a ring with a long history.
//!
//! A volume is filled through the real engine with made-up frames whose times lie in the past: a thin history of many streams (as many
//! chapters as real cameras have), then dense video of some of them at the end. It is closed and opened again as after a restart, then
//! read as the HTTP interface reads it. Reads go past the page cache (O_DIRECT). Before and after the exports fio reads at random places of
//! the segments that they read, with their block size and depth.

use super::{
    fio::{self, FioResult},
    in_folder,
    made_up::{FRAMES_PER_SECOND, MadeUp, POOL, bits},
    percentiles::Percentiles,
    read_figures::{Figures, mean, report},
    usage::Usage,
};
use crate::{
    base::{Clock, Micros, TimeRange, UnixMicros, seed::Seed, units::ByteSize},
    cli::{CliError, Context, progress::Progress},
    format::segment::file_name,
    media::{GapCause, StreamId},
    playback::{
        body::{VideoError, VirtualMp4},
        plan::Plan,
    },
    store::{
        pool::{Store, StoreOptions, VolumeSpec, format_volume},
        recordings::RecordedBlock,
        volume::FormatOptions,
    },
};
use futures_util::{StreamExt, stream};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Fill a ring with a long history, then measure listing, seeking and export; fio runs beside it
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Folder for the volume, which is removed afterwards
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Size of the volume
    #[arg(long, value_name = "SIZE", default_value = "20GiB")]
    size: ByteSize,
    /// Number of streams in the index
    #[arg(long, default_value_t = 500)]
    streams: u32,
    /// Length of the history
    #[arg(long, default_value_t = 30)]
    days: u32,
    /// Streams with dense video at the end
    #[arg(long, default_value_t = 32)]
    dense: u32,
    /// Length of the dense video in minutes
    #[arg(long, default_value_t = 10)]
    minutes: u32,
    /// Bits per second of a dense stream
    #[arg(long, value_name = "BITS", default_value = "2M", value_parser = bits)]
    bitrate: u64,
    /// Seeks to measure
    #[arg(long, default_value_t = 1000)]
    seeks: u32,
    /// Exports at once, and the depth of fio's queue
    #[arg(long, default_value_t = 4)]
    exports: u32,
    /// Leave fio out
    #[arg(long)]
    no_fio: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One frame of the thin history comes so often: ten blocks make a chapter of ten minutes.
const THIN_INTERVAL: Micros = Micros::from_secs(60);
/// Bytes of a frame of the thin history.
const THIN_LEN: usize = 64;
/// Frames wait for the disk when the tails hold so much.
const THIN_HELD_MAX: u64 = 48 << 20;
const DENSE_HELD_MAX: u64 = 512 << 20;
/// Listings to measure.
const LISTINGS: u32 = 1000;
/// What is asked for at each seek.
const SEEK_LEN: Micros = Micros::from_secs(10);

/// Runs the benchmark.
///
/// # Errors
/// When the volume cannot be made, filled or read.
pub(super) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("threads: {error}")))?;
    let measure = |folder: &Path| {
        let bench = Bench {
            args,
            clock: context.clock(),
            folder: folder.to_owned(),
        };
        runtime.block_on(bench.measure())
    };
    in_folder(&args.dir, args.json, measure, report)
}

struct Bench<'a> {
    args: &'a Args,
    clock: Arc<dyn Clock>,
    folder: PathBuf,
}

/// Where the dense video lies.
#[derive(Clone, Copy)]
struct Dense {
    range: TimeRange,
}

impl Bench<'_> {
    async fn measure(&self) -> Result<Figures, CliError> {
        let begun = self.clock.elapsed();
        let dense = self.fill()?;
        let fill_seconds = self.seconds_since(begun);
        let begun = self.clock.elapsed();
        let store = self.open()?;
        let open_seconds = self.seconds_since(begun);
        self.check(&store, dense).await?;
        let number = self.clock.now().0 as u64;
        let mut seed = Seed::new(number);
        let usage =
            Usage::of("self").map_err(|error| CliError::failed(format!("/proc: {error}")))?;
        let timeline_ms = self.list(&store, &mut seed, dense).await?;
        let cameras_ms = self.bounds(&store);
        let seeks = self.seek(&store, &mut seed, dense).await?;
        let (files, block) = self.dense_segments(&store, dense).await?;
        let fio_before = self.fio(&files, block)?;
        let export = self.export(&store, dense).await?;
        let fio_after = self.fio(&files, block)?;
        let (chapters, _) = store.shared_volumes()[0].index().usage();
        drop(store);
        let fio = mean(fio_before, fio_after);
        Ok(Figures {
            streams: self.args.streams,
            days: self.args.days,
            chapters,
            index_mb: f64::from(chapters) * 64.0 / 1e6,
            seed: number,
            fill_seconds,
            open_seconds,
            resident_mb: usage.resident_bytes as f64 / 1e6,
            timeline_ms,
            cameras_ms,
            first_byte_ms: seeks.first_byte_ms,
            reads_per_seek: seeks.reads,
            read_kb_per_seek: seeks.kb,
            export_mb_per_second: export.mb_per_second,
            block_kb: export.block_kb,
            export_ratio_to_fio: fio.map(|fio| export.mb_per_second / fio),
            fio_before,
            fio_after,
        })
    }

    fn seconds_since(&self, begun: Micros) -> f64 {
        (self.clock.elapsed() - begun).as_secs_f64()
    }

    fn open(&self) -> Result<Arc<Store>, CliError> {
        let specs = [VolumeSpec {
            path: self.folder.join("volume"),
            pool: POOL.to_owned(),
        }];
        let clock = Arc::clone(&self.clock);
        let mut options = StoreOptions::default();
        // The ring is filled as fast as it is written, so what the tails hold together may be mostly one stream's.
        options.tail.waiting_max = 2 * DENSE_HELD_MAX as usize;
        let (store, _) =
            Store::open(&specs, options, clock, &mut |_, _| ()).map_err(CliError::failed)?;
        Ok(store)
    }

    /// The volume with its history.
    fn fill(&self) -> Result<Dense, CliError> {
        let options = FormatOptions {
            size: self.args.size,
            segment_len: ByteSize(256 << 20),
            pool: POOL.to_owned(),
            volume: *uuid::Uuid::now_v7().as_bytes(),
        };
        let volume = self.folder.join("volume");
        format_volume(&volume, &options, &*self.clock, &mut |_, _| ()).map_err(CliError::failed)?;
        let store = self.open()?;
        let end = UnixMicros(self.clock.now().0 / 1_000_000 * 1_000_000);
        let dense_start = end - Micros::from_secs(60 * i64::from(self.args.minutes));
        let start = dense_start - Micros::from_secs(86_400 * i64::from(self.args.days));
        let made_up = MadeUp::record(&store, self.args.streams, start)?;
        let rounds = (dense_start.since(start).0 / THIN_INTERVAL.0) as u64;
        let mut shed = 0;
        let bar = Progress::count("making the history", rounds);
        for round in 0..rounds {
            while store.held() > THIN_HELD_MAX {
                std::thread::sleep(Duration::from_millis(1));
            }
            let time = start + Micros(round as i64 * THIN_INTERVAL.0);
            for number in 0..made_up.len() {
                shed += made_up.push_key(number, time, THIN_LEN, self.clock.elapsed());
            }
            bar.set(round);
        }
        drop(bar);
        let frames = FRAMES_PER_SECOND * 60 * u64::from(self.args.minutes);
        let bar = Progress::count("making dense video", frames);
        for round in 0..frames {
            while store.held() > DENSE_HELD_MAX {
                std::thread::sleep(Duration::from_millis(1));
            }
            let time = dense_start + Micros((round * 1_000_000 / FRAMES_PER_SECOND) as i64);
            for number in 0..self.dense() {
                shed += made_up.push(number, round, time, self.args.bitrate, self.clock.elapsed());
            }
            bar.set(round);
        }
        made_up.end(GapCause::Restart);
        store.close();
        if shed > 0 {
            return Err(CliError::failed(format!(
                "{shed} frames were shed while the ring was filled: the disk is too slow for this"
            )));
        }
        let range = TimeRange {
            start: dense_start + Micros::from_secs(2),
            end,
        };
        Ok(Dense { range })
    }

    fn dense(&self) -> usize {
        self.args.dense.min(self.args.streams) as usize
    }

    /// Whether all of the dense video is there: what is measured below is worth nothing where some of it is missing.
    async fn check(&self, store: &Arc<Store>, dense: Dense) -> Result<(), CliError> {
        // Behind the last frame the end of the run is a gap.
        let range = TimeRange {
            end: dense.range.end - Micros::from_secs(1),
            ..dense.range
        };
        for number in 0..self.dense() as u32 {
            let timeline = store
                .recordings()
                .timeline(made_up_stream(number), range)
                .await
                .map_err(CliError::failed)?;
            if timeline.runs.len() != 1 || !timeline.gaps.is_empty() {
                let (runs, gaps) = (timeline.runs, timeline.gaps);
                let what = format!("stream {number} has runs {runs:?} and gaps {gaps:?}");
                return Err(CliError::failed(format!(
                    "some of the video made is not there: {what}; report it"
                )));
            }
        }
        Ok(())
    }

    /// The whole history of random streams.
    async fn list(
        &self,
        store: &Arc<Store>,
        seed: &mut Seed,
        dense: Dense,
    ) -> Result<Percentiles, CliError> {
        let range = TimeRange {
            start: dense.range.end - Micros::from_secs(86_400 * i64::from(self.args.days)),
            end: dense.range.end,
        };
        let mut times = Vec::new();
        for _ in 0..LISTINGS {
            let stream = made_up_stream(seed.below(u64::from(self.args.streams)) as u32);
            let begun = self.clock.elapsed();
            let timeline = store.recordings().timeline(stream, range).await;
            times.push(self.clock.elapsed() - begun);
            let timeline = timeline.map_err(CliError::failed)?;
            if timeline.runs.is_empty() {
                return Err(CliError::failed(
                    "the history was overwritten; choose a larger --size or fewer --days",
                ));
            }
        }
        Ok(Percentiles::of(times))
    }

    /// First and last recording of every stream, as a list of cameras shows them.
    fn bounds(&self, store: &Arc<Store>) -> f64 {
        let begun = self.clock.elapsed();
        let recordings = store.recordings();
        let known = (0..self.args.streams)
            .filter(|number| recordings.bounds(made_up_stream(*number)).is_some())
            .count();
        assert!(known == self.args.streams as usize, "all are recorded");
        self.seconds_since(begun) * 1e3
    }

    /// From asking for a random second to its first byte of video.
    async fn seek(
        &self,
        store: &Arc<Store>,
        seed: &mut Seed,
        dense: Dense,
    ) -> Result<Seeks, CliError> {
        let volumes = store.shared_volumes();
        let metrics = &volumes[0].metrics;
        let (reads, bytes) = (metrics.reads.get(), metrics.read_bytes.get());
        let seconds = dense.range.duration().0 / 1_000_000 - SEEK_LEN.0 / 1_000_000;
        let mut times = Vec::new();
        for _ in 0..self.args.seeks {
            let stream = made_up_stream(seed.below(self.dense() as u64) as u32);
            let start = dense.range.start + Micros(seed.below(seconds as u64) as i64 * 1_000_000);
            let range = TimeRange {
                start,
                end: start + SEEK_LEN,
            };
            volumes[0].forget_chapters();
            let begun = self.clock.elapsed();
            let file = VirtualMp4::new(&store.recordings(), stream, range).await;
            let file = file.map_err(CliError::failed)?;
            let mut body = file.layout().head().len() as u64..file.len();
            let first = file.next(&mut body).await.map_err(CliError::failed)?;
            times.push(self.clock.elapsed() - begun);
            assert!(first.is_some(), "the range has video");
        }
        let seeks = f64::from(self.args.seeks.max(1));
        Ok(Seeks {
            first_byte_ms: Percentiles::of(times),
            reads: (metrics.reads.get() - reads) as f64 / seeks,
            kb: (metrics.read_bytes.get() - bytes) as f64 / 1e3 / seeks,
        })
    }

    /// The dense video of all streams, some at once.
    async fn export(&self, store: &Arc<Store>, dense: Dense) -> Result<Export, CliError> {
        let volumes = store.shared_volumes();
        let reads = volumes[0].metrics.reads.get();
        let begun = self.clock.elapsed();
        let one = |number: usize| {
            let recordings = store.recordings();
            async move {
                let stream = made_up_stream(number as u32);
                let file = Arc::new(VirtualMp4::new(&recordings, stream, dense.range).await?);
                let len = file.len();
                let mut body = std::pin::pin!(file.stream(0..len));
                let mut bytes = 0;
                while let Some(piece) = body.next().await {
                    bytes += piece?.len() as u64;
                }
                Ok::<u64, VideoError>(bytes)
            }
        };
        let exports = stream::iter(0..self.dense()).map(|number| tokio::spawn(one(number)));
        let mut exports = exports.buffer_unordered(self.args.exports.max(1) as usize);
        let mut bytes = 0;
        while let Some(export) = exports.next().await {
            bytes += export
                .map_err(CliError::failed)?
                .map_err(CliError::failed)?;
        }
        let seconds = self.seconds_since(begun);
        let reads = volumes[0].metrics.reads.get() - reads;
        Ok(Export {
            mb_per_second: bytes as f64 / 1e6 / seconds,
            block_kb: bytes as f64 / 1e3 / reads.max(1) as f64,
        })
    }

    /// The segments that hold the dense video, and the mean length of its blocks.
    async fn dense_segments(
        &self,
        store: &Arc<Store>,
        dense: Dense,
    ) -> Result<(Vec<PathBuf>, ByteSize), CliError> {
        let (mut segments, mut blocks, mut bytes) = (BTreeSet::new(), 0, 0);
        for number in 0..self.dense() {
            let stream = made_up_stream(number as u32);
            let plan = Plan::new(&store.recordings(), stream, dense.range).await;
            for place in plan
                .map_err(CliError::failed)?
                .recorded()
                .filter_map(RecordedBlock::place)
            {
                segments.insert(place.segment);
                blocks += 1;
                bytes += u64::from(place.len);
            }
        }
        let volume = self.folder.join("volume");
        let files = segments
            .into_iter()
            .map(|number| volume.join(file_name(number)));
        let mean = bytes / u64::max(blocks, 1);
        Ok((files.collect(), ByteSize(mean.next_multiple_of(4096))))
    }

    fn fio(&self, files: &[PathBuf], block: ByteSize) -> Result<Option<FioResult>, CliError> {
        if self.args.no_fio {
            return Ok(None);
        }
        let depth = self.args.exports;
        fio::run(
            &fio::Job::RandomReads {
                files,
                block,
                depth,
            },
            5,
        )
    }
}

struct Seeks {
    first_byte_ms: Percentiles,
    reads: f64,
    kb: f64,
}

struct Export {
    mb_per_second: f64,
    block_kb: f64,
}

fn made_up_stream(number: u32) -> StreamId {
    super::made_up::stream(number)
}
