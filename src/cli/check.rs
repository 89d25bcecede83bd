//! `nvring check`: whether everything that was recorded is still what was recorded; or whether an MP4 file is well formed.
//!
//! Prints what is wrong on stdout and ends with status 1 when there is anything.

use crate::{
    base::{UnixMicros, units::ByteSize},
    cli::{
        context::Context,
        error::CliError,
        output::{Align, Table, print, print_json},
        progress::Progress,
        source::open_to_read,
    },
    playback::check::{CheckReport, check_mp4},
    store::{
        scrub::{ScrubReport, scrub},
        volume::VolumeError,
    },
};
use serde::Serialize;
use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

/// Verify every structure and every frame of volumes, or an MP4 file.
///
/// Without arguments: the volumes of the configuration. Changes nothing. Ends with status 1 when anything is damaged; prints the camera,
/// the time and the place of all damage.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// An MP4 file to check instead of volumes
    #[arg(value_name = "FILE.mp4", conflicts_with = "volume")]
    file: Option<PathBuf>,
    /// Check this volume's directory (may be given again; not while a server records to it)
    #[arg(long, value_name = "DIR")]
    volume: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found in one volume.
#[derive(Debug, Serialize)]
struct VolumeReport {
    volume: String,
    #[serde(flatten)]
    report: ScrubReport,
}

/// Runs the command.
pub fn run(args: Args, context: &Context) -> Result<(), CliError> {
    if let Some(file) = &args.file {
        return movie(file, args.json);
    }
    if !args.volume.is_empty() {
        return volumes(&args.volume, args.json, context);
    }
    let config = context.config()?;
    if config.volumes.is_empty() {
        return Err(CliError::usage(
            "no volume is configured, so there is nothing to check; name a --volume DIR, a FILE.mp4 or the --config FILE",
        ));
    }
    let paths: Vec<PathBuf> = config.volumes.into_iter().map(|one| one.path).collect();
    volumes(&paths, args.json, context)
}

/// Checks volumes, one behind the other; one that cannot be opened does not hide the others.
pub(crate) fn volumes(paths: &[PathBuf], json: bool, context: &Context) -> Result<(), CliError> {
    let mut reports = Vec::new();
    let mut refused = Vec::new();
    for path in paths {
        let opened = match open_to_read(path, context) {
            Ok(opened) => opened,
            Err(VolumeError::Disk { source }) if source.action == "lock" => {
                refused.push(format!(
                    "{} is being recorded to, and a check needs it for itself; stop the server first (`nvring inspect` works beside it)",
                    path.display()
                ));
                continue;
            }
            Err(error) => {
                refused.push(error.to_string());
                continue;
            }
        };
        let bar = Progress::count(&format!("check {}", path.display()), 0);
        let mut report = scrub(&opened.shared, &mut |done, whole| {
            bar.set_total(whole);
            bar.set(done);
        });
        if opened.report.rebuilt && report.segments > 0 {
            report.notes.push(
                "the index has no checkpoint yet, or is lost or unusable; the next start makes it again, and so does `nvring volume rebuild`"
                    .to_owned(),
            );
        }
        reports.push(VolumeReport {
            volume: path.display().to_string(),
            report,
        });
    }
    if json {
        print_json(&reports)?;
    } else {
        print(&render(&reports))?;
    }
    let damaged: usize = reports.iter().map(|one| one.report.damage.len()).sum();
    match refused.first() {
        Some(first) => Err(CliError::failed(first)),
        None if damaged > 0 => Err(CliError::failed(format!(
            "{damaged} damaged {} found; all else can be played; check the disk (dmesg, smartctl) and export what matters",
            if damaged == 1 { "place" } else { "places" }
        ))),
        None => Ok(()),
    }
}

fn render(reports: &[VolumeReport]) -> String {
    let mut text = String::new();
    for VolumeReport { volume, report } in reports {
        let verdict = if report.damage.is_empty() {
            "intact"
        } else {
            "DAMAGED"
        };
        text.push_str(&format!(
            "{volume}: {verdict}; {} segments, {} batches, {} blocks, {} chapters, {} frames, {}\n",
            report.segments,
            report.batches,
            report.blocks,
            report.chapters,
            report.frames,
            ByteSize(report.bytes),
        ));
        for note in &report.notes {
            text.push_str(&format!("note: {note}\n"));
        }
        if report.damage.is_empty() {
            continue;
        }
        let mut table = Table::new(&[
            ("DAMAGED", Align::Left),
            ("CAMERA", Align::Left),
            ("STREAM", Align::Left),
            ("FROM", Align::Left),
            ("TO", Align::Left),
            ("FILE", Align::Left),
            ("OFFSET", Align::Right),
            ("WHY", Align::Left),
        ]);
        let time = |time: Option<UnixMicros>| time.map(|at| at.to_string()).unwrap_or_default();
        for one in &report.damage {
            table.row([
                one.what.to_owned(),
                one.camera.clone().unwrap_or_default(),
                one.stream.clone().unwrap_or_default(),
                time(one.start),
                time(one.end),
                one.file.clone(),
                one.offset.to_string(),
                one.why.clone(),
            ]);
        }
        text.push_str(&table.render());
    }
    text
}

fn movie(path: &Path, json: bool) -> Result<(), CliError> {
    let report = read_movie(path)?;
    if json {
        print_json(&report)?;
    } else {
        print(&render_movie(&report))?;
    }
    match report.problems.len() {
        0 => Ok(()),
        count => Err(CliError::failed(format!(
            "{} has {count} {}; export it again",
            path.display(),
            if count == 1 { "problem" } else { "problems" }
        ))),
    }
}

/// Reads an MP4 file back.
pub(crate) fn read_movie(path: &Path) -> Result<CheckReport, CliError> {
    let opened = File::open(path).and_then(|file| {
        let facts = file.metadata()?;
        if facts.is_file() {
            Ok((file, facts.len()))
        } else {
            Err(std::io::Error::other(
                "not a file; a volume is checked with --volume DIR",
            ))
        }
    });
    let (file, len) = opened.map_err(|error| {
        CliError::failed(format!("open {}: {error}; check the path", path.display()))
    })?;
    check_mp4(&mut BufReader::new(file), len).map_err(|error| {
        CliError::failed(format!(
            "{} is not a whole MP4 file: {error}; export it again",
            path.display()
        ))
    })
}

/// The report for people.
pub(crate) fn render_movie(report: &CheckReport) -> String {
    let seconds = |us: u64| format!("{:.3} s", us as f64 / 1e6);
    let mut text = format!("{}, {}\n", report.brand, seconds(report.duration_us));
    let mut table = Table::new(&[
        ("TRACK", Align::Right),
        ("KIND", Align::Left),
        ("CODING", Align::Left),
        ("SIZE", Align::Left),
        ("SAMPLES", Align::Right),
        ("KEY", Align::Right),
        ("BYTES", Align::Right),
        ("PLAYS", Align::Right),
    ]);
    for track in &report.tracks {
        let size = match (track.width, track.height) {
            (0, 0) => String::new(),
            (width, height) => format!("{width}x{height}"),
        };
        table.row([
            track.id.to_string(),
            track.kind.clone(),
            track.coding.clone(),
            size,
            track.samples.to_string(),
            track.key_samples.to_string(),
            track.bytes.to_string(),
            seconds(track.duration_us),
        ]);
    }
    text.push_str(&table.render());
    for problem in &report.problems {
        text.push_str(&format!("problem: {problem}\n"));
    }
    text
}
