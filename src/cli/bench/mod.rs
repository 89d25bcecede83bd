//! `nvring bench`: figures anybody can measure again, beside fio in the same folder and minutes.

mod device;
mod fio;
mod ingest;
mod made_up;
mod percentiles;
mod read;
mod read_figures;
mod relay;
mod site;
mod usage;
mod write;

use crate::cli::{CliError, Context, output::print_json};
use std::path::Path;

/// Measure this machine: writing, reading, or the whole recorder with simulated cameras and viewers
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(clap::Subcommand, Debug)]
enum Bench {
    Write(write::Args),
    Ingest(ingest::Args),
    Read(read::Args),
    Relay(relay::Args),
    #[command(hide = true)]
    Cameras(ingest::CamerasArgs),
    #[command(hide = true)]
    Viewers(relay::ViewersArgs),
}

/// Runs one benchmark.
///
/// # Errors
/// When it cannot be run, or frames were lost.
pub fn run(args: Args, context: &Context) -> Result<(), CliError> {
    match args.bench {
        Bench::Write(args) => write::run(&args, context),
        Bench::Ingest(args) => ingest::run(&args, context),
        Bench::Read(args) => read::run(&args, context),
        Bench::Relay(args) => relay::run(&args, context),
        Bench::Cameras(args) => ingest::run_cameras(&args),
        Bench::Viewers(args) => relay::run_viewers(&args),
    }
}

/// Measures in a folder of its own in `dir`, which is removed afterwards, and prints the figures: as JSON, or as `report` words them.
fn in_folder<F: serde::Serialize>(
    dir: &Path,
    json: bool,
    measure: impl FnOnce(&Path) -> Result<F, CliError>,
    report: impl FnOnce(&F) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let folder = dir.join(format!("nvring-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| {
        CliError::failed(format!(
            "{}: {error}; choose another folder with --dir",
            folder.display()
        ))
    })?;
    let result = measure(&folder);
    let _ = std::fs::remove_dir_all(&folder);
    let figures = result?;
    if json {
        print_json(&figures)
    } else {
        report(&figures)
    }
}
