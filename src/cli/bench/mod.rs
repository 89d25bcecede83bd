//! `nvring bench`: figures anybody can measure again, beside fio in the same folder and minutes.

mod device;
mod fio;
mod ingest;
mod usage;
mod write;

use crate::cli::{CliError, Context};

/// Measure this machine: writing alone, or the whole recorder with simulated cameras
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(clap::Subcommand, Debug)]
enum Bench {
    Write(write::Args),
    Ingest(ingest::Args),
    #[command(hide = true)]
    Cameras(ingest::CamerasArgs),
}

/// Runs one benchmark.
///
/// # Errors
/// When it cannot be run, or frames were lost.
pub fn run(args: Args, context: &Context) -> Result<(), CliError> {
    match args.bench {
        Bench::Write(args) => write::run(&args, context),
        Bench::Ingest(args) => ingest::run(&args, context),
        Bench::Cameras(args) => ingest::run_cameras(&args),
    }
}
