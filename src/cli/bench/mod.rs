//! `nvring bench`: figures anybody can measure again, beside fio in the same folder and minutes.

mod device;
mod fio;
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
}

/// Runs one benchmark.
///
/// # Errors
/// When it cannot be run, or frames were lost.
pub fn run(args: Args, context: &Context) -> Result<(), CliError> {
    match args.bench {
        Bench::Write(args) => write::run(&args, context),
    }
}
