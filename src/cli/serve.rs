//! `nvring serve`: the server.

use crate::cli::{CliError, Context, server};

/// Record the enrolled cameras and answer requests, until SIGINT or SIGTERM
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Let HTTP listen on an address other machines can reach: there are no accounts yet, so anyone who reaches it sees every camera
    #[arg(long)]
    insecure: bool,
}

/// Runs the server of the configuration.
///
/// # Errors
/// When the configuration names no volume, something it needs cannot be had, or a server runs already.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let config = context.config()?;
    config.require_volume().map_err(CliError::usage)?;
    if !args.insecure {
        config.require_loopback().map_err(CliError::usage)?;
    }
    let clock = context.clock();
    let taken = server::take(&config, &clock, server::Places::FILE)?;
    server::run(config, clock, taken, |_, _| Ok(()))
}
