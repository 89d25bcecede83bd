//! `nvring export`: one MP4 of a range of time, from a server or straight from volumes.
//!
//! One block of video is in memory at a time. The file appears under its name only when all of it is there and durable.

use crate::{
    base::UnixMicros,
    base::{TimeRange, units::ByteSize},
    cli::{
        context::Context,
        error::CliError,
        output::print_line,
        part_file::{Existing, PartFile},
        progress::Progress,
        remote::Remote,
        source::{Local, Source, SourceArgs, StreamName, find_stream, time_range},
    },
    playback::body::VirtualMp4,
};
use std::path::PathBuf;

/// Bytes read from a server at once.
const PIECE_LEN: usize = 256 << 10;

/// Write a time range of a camera to one MP4 file.
///
/// The video starts at the picture shown at --from, spans gaps, and is checked frame by frame as it is read. Times are RFC 3339, such as
/// 2026-11-23T14:00:00Z.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The camera's id (or a stream's UUID)
    camera: String,
    /// First instant
    #[arg(long, value_name = "TIME")]
    from: UnixMicros,
    /// First instant after
    #[arg(long, value_name = "TIME")]
    to: UnixMicros,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Which of its streams
    #[arg(long, value_enum, default_value = "main")]
    stream: StreamName,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    source: SourceArgs,
}

/// Runs the command.
pub fn run(args: Args, context: &Context) -> Result<(), CliError> {
    let range = time_range(args.from, args.to)?;
    let existing = if args.force {
        Existing::Replace
    } else {
        Existing::Keep
    };
    let source = args.source.find(context)?;
    // What can fail without a byte read fails before a file is begun.
    let wanted = Wanted {
        camera: &args.camera,
        stream: args.stream,
        range,
    };
    let begin = || PartFile::create(&args.output, existing);
    let (file, len) = match &source {
        Source::Server(server) => from_server(server, wanted, begin)?,
        Source::Local(local) => from_volumes(local, wanted, begin)?,
    };
    file.finish(existing)?;
    print_line(format!("{}: {}", args.output.display(), ByteSize(len)))
}

#[derive(Clone, Copy)]
struct Wanted<'a> {
    camera: &'a str,
    stream: StreamName,
    range: TimeRange,
}

fn from_volumes(
    local: &Local,
    wanted: Wanted<'_>,
    begin: impl FnOnce() -> Result<PartFile, CliError>,
) -> Result<(PartFile, u64), CliError> {
    let id = find_stream(&local.recordings, wanted.camera, wanted.stream)?;
    local.runtime.block_on(async {
        let video = VirtualMp4::new(&local.recordings, id, wanted.range).await;
        let video = video.map_err(CliError::failed)?;
        let mut file = begin()?;
        let bar = Progress::bytes("export", video.len());
        let mut left = 0..video.len();
        while let Some(piece) = video.next(&mut left).await.map_err(CliError::failed)? {
            file.write(&piece)?;
            bar.set(left.start);
        }
        if left.is_empty() {
            Ok((file, video.len()))
        } else {
            Err(CliError::failed(format!(
                "the export broke off after {} of {} bytes; run `nvring check`",
                left.start,
                video.len()
            )))
        }
    })
}

fn from_server(
    server: &Remote,
    wanted: Wanted<'_>,
    begin: impl FnOnce() -> Result<PartFile, CliError>,
) -> Result<(PartFile, u64), CliError> {
    let mut video = server.video(
        &["cameras", wanted.camera, "video.mp4"],
        &[
            ("from", wanted.range.start.to_string()),
            ("to", wanted.range.end.to_string()),
            ("stream", wanted.stream.name().to_owned()),
        ],
    )?;
    let mut file = begin()?;
    let bar = Progress::bytes("export", video.len);
    let mut buffer = vec![0; PIECE_LEN];
    loop {
        let len = video.read(&mut buffer)?;
        if len == 0 {
            return Ok((file, video.len));
        }
        file.write(&buffer[..len])?;
        bar.add(len as u64);
    }
}
