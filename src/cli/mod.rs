//! The command line: one file per subcommand, each with its `Args` and `run`.
//!
//! To add a command: a file with `pub struct Args` (clap) and `pub fn run(Args, &Context) -> Result<(), CliError>`, and a
//! line in `Command` and `run` below. Conventions all commands keep:
//! - results on stdout, everything else on stderr; `--json` on every listing;
//! - an error is one line, `nvring: WHAT WHERE: WHY; REMEDY`, with exit status 1 (failed) or 2 (wrong usage or configuration);
//! - `--config FILE` or `NVRING_CONFIG` before or after any subcommand;
//! - no secret is taken from an argument, and none is printed.

pub mod config;
pub mod context;
pub mod error;
pub mod output;

pub mod log;
pub mod progress;

pub mod client;
pub mod part_file;
pub mod remote;
pub mod source;

pub mod demo;
pub mod serve;

mod server;

pub mod bench;
pub mod camera;
pub mod check;
pub mod export;
pub mod inspect;
pub mod status;
pub mod timeline;
pub mod volume;

pub use context::Context;
pub use error::CliError;

use clap::{
    Parser,
    builder::{OsStringValueParser, TypedValueParser},
    error::ErrorKind,
};
use std::{io::Write, path::PathBuf, process::ExitCode};

/// Network video recorder: hundreds of camera streams into ring volumes, and back out, exactly.
#[derive(Parser, Debug)]
#[command(name = "nvring", version, max_term_width = 100)]
struct Cli {
    /// Configuration file
    #[arg(
        long,
        global = true,
        env = "NVRING_CONFIG",
        hide_env_values = true,
        value_name = "FILE",
        help_heading = "Global options",
        // An empty variable is as good as none; clap's own parser of paths refuses it.
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    config: Option<PathBuf>,
    /// How log lines are written (what is written: NVRING_LOG, such as info or debug)
    #[arg(
        long,
        global = true,
        env = "NVRING_LOG_FORMAT",
        hide_env_values = true,
        value_name = "FORMAT",
        help_heading = "Global options",
        value_enum,
        default_value = "text",
        hide_default_value = true
    )]
    log_format: log::LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    Camera(Box<camera::Args>),
    Volume(volume::Args),
    Timeline(timeline::Args),
    Export(export::Args),
    Check(check::Args),
    Inspect(inspect::Args),
    Status(status::Args),
    Bench(bench::Args),
}

impl Command {
    /// What is logged unless `NVRING_LOG` says otherwise: a server tells its story, a command only what went wrong.
    fn log_level(&self) -> &'static str {
        match self {
            Self::Demo(_) => "nvring=warn,error",
            Self::Serve(_) => "info",
            Self::Camera(_)
            | Self::Volume(_)
            | Self::Timeline(_)
            | Self::Export(_)
            | Self::Check(_)
            | Self::Inspect(_)
            | Self::Status(_)
            | Self::Bench(_) => "warn",
        }
    }

    fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::Demo(args) => demo::run(&args, context),
            Self::Serve(args) => serve::run(&args, context),
            Self::Camera(args) => camera::run(*args, context),
            Self::Volume(args) => volume::run(args, context),
            Self::Timeline(args) => timeline::run(args, context),
            Self::Export(args) => export::run(args, context),
            Self::Check(args) => check::run(args, context),
            Self::Inspect(args) => inspect::run(args, context),
            Self::Status(args) => status::run(args, context),
            Self::Bench(args) => bench::run(args, context),
        }
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return end(answer_parser(error)),
    };
    end(run(cli))
}

fn run(cli: Cli) -> Result<(), CliError> {
    log::start(cli.log_format, cli.command.log_level())?;
    let config = cli.config.filter(|file| !file.as_os_str().is_empty());
    cli.command.run(&Context::new(config))
}

/// Help and version are what was asked for; the rest is an error.
fn answer_parser(error: clap::Error) -> Result<(), CliError> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::print(&error.render().to_string())
        }
        _ => Err(error.into()),
    }
}

fn end(result: Result<(), CliError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing can be done when stderr is closed; the exit status still tells.
            let _ = writeln!(std::io::stderr(), "nvring: {error}");
            error.exit_code()
        }
    }
}
