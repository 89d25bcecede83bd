//! `nvring volume …`: make, list, check and mend volumes.

mod format;
mod list;
mod rebuild;

use crate::cli::{check, context::Context, error::CliError};
use std::path::PathBuf;

/// Make, list, check and mend volumes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Format(format::Args),
    List(list::Args),
    Rebuild(rebuild::Args),
    Scrub(ScrubArgs),
}

/// Read and verify every structure and every frame of a volume (the same as `nvring check --volume DIR`).
#[derive(clap::Args, Debug)]
struct ScrubArgs {
    /// The volume's directory
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: Args, context: &Context) -> Result<(), CliError> {
    match args.command {
        Command::Format(args) => format::run(args, context),
        Command::List(args) => list::run(args, context),
        Command::Rebuild(args) => rebuild::run(args, context),
        Command::Scrub(ScrubArgs { path, json }) => check::volumes(&[path], json, context),
    }
}
