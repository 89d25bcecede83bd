//! `nvring camera …`: enrol, list, change and remove cameras, on a running server or on the catalog itself.

mod add;
mod import;
mod list;
mod remove;
mod secret_file;
mod set;

use crate::{
    api::control::CameraView,
    catalog::{CameraId, CameraUrl, System, Transport, camera_url::SplitUrl},
    cli::{
        client::DoneBy,
        config::{Config, unknown_pool},
        context::Context,
        error::CliError,
    },
};
use clap::builder::{PossibleValuesParser, TypedValueParser, ValueParser};

/// Enrol, list, change and remove cameras.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Add(add::Args),
    List(list::Args),
    Set(set::Args),
    Remove(remove::Args),
    Import(import::Args),
}

/// Runs the command.
pub fn run(args: Args, context: &Context) -> Result<(), CliError> {
    match args.command {
        Command::Add(args) => add::run(args, context),
        Command::List(args) => list::run(args, context),
        Command::Set(args) => set::run(args, context),
        Command::Remove(args) => remove::run(args, context),
        Command::Import(args) => import::run(args, context),
    }
}

fn camera_id(text: &str) -> Result<CameraId, CliError> {
    text.parse().map_err(CliError::usage)
}

/// An address given on the command line, where every user of the machine can read it: credentials are refused.
fn plain_url(option: &str, text: &str) -> Result<CameraUrl, CliError> {
    let SplitUrl {
        url,
        username,
        password,
    } = CameraUrl::split(text).map_err(CliError::usage)?;
    if password.is_some() || username.is_some() {
        return Err(CliError::usage(format!(
            "{option} {} held a user name or password, which every user of this machine can read in the process list; give the URL without them, with --username U --password-file F, and change that password if others may have seen it",
            url.redacted()
        )));
    }
    if url.holds_credentials() {
        return Err(CliError::usage(format!(
            "{option} {} holds credentials, which every user of this machine can read in the process list; put the URL into a file and use `nvring camera import FILE`",
            url.redacted()
        )));
    }
    Ok(url)
}

/// A pool named on the command line must be one of the configuration's, when there is a configuration.
fn check_pool(pool: Option<&String>, config: &Config) -> Result<(), CliError> {
    match pool {
        Some(pool) if config.file.is_some() && !config.pools.contains(pool) => {
            Err(CliError::usage(unknown_pool(pool, &config.pools)))
        }
        _ => Ok(()),
    }
}

/// One of the camera systems; names them in help and errors.
fn system_parser() -> ValueParser {
    PossibleValuesParser::new([System::SmartCity.name(), System::Public.name()])
        .try_map(|text| text.parse::<System>())
        .into()
}

/// One of the transports; names them in help and errors.
fn transport_parser() -> ValueParser {
    PossibleValuesParser::new([Transport::Tcp.name(), Transport::Udp.name()])
        .try_map(|text| text.parse::<Transport>())
        .into()
}

/// What a change of one camera looks like to the one who made it.
fn changed(verb: &str, camera: &CameraView, by: DoneBy) -> String {
    let effect = match (camera.enabled, by) {
        (false, _) => "it is not recorded (disabled)",
        (true, DoneBy::Server) => "the running server applies it now",
        (true, DoneBy::Catalog) => "no server runs; the next start applies it",
    };
    format!("camera {} {verb}: {}; {effect}", camera.id, camera.url)
}
