//! `nvring volume rebuild`: the index made again from the recordings.

use crate::{
    cli::{
        context::Context,
        error::CliError,
        output::{print_json, print_line},
        progress::Progress,
    },
    store::rebuild::rebuild_volume,
};
use std::path::PathBuf;

/// Drop a volume's index and make it again from its segments.
///
/// The recordings are not touched. Needed only when `nvring check` finds fault with the index: a lost one is rebuilt by itself at the
/// next start.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The volume's directory
    #[arg(value_name = "DIR")]
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, context: &Context) -> Result<(), CliError> {
    let bar = Progress::count("rebuild", 0);
    let report = rebuild_volume(&args.path, context.clock(), &mut |done, whole| {
        bar.set_total(whole);
        bar.set(done);
    });
    drop(bar);
    let report = report.map_err(CliError::failed)?;
    if args.json {
        return print_json(&report);
    }
    print_line(format!(
        "{}: {} streams, {} chapters and {} blocks that no chapter lists yet, from {} segments",
        args.path.display(),
        report.streams,
        report.chapters,
        report.recovery.unlisted,
        report.recovery.replayed,
    ))
}
