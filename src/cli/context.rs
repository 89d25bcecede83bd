//! What every command is handed: where the configuration is, and the clock.

use crate::{
    base::{Clock, SystemClock},
    cli::{config::Config, error::CliError},
};
use std::{path::PathBuf, sync::Arc};

/// The surroundings of a command.
pub struct Context {
    config_file: Option<PathBuf>,
    clock: Arc<SystemClock>,
}

impl Context {
    /// The surroundings given by the global options.
    pub(crate) fn new(config_file: Option<PathBuf>) -> Self {
        Self {
            config_file,
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// The configuration of `--config`, or the defaults.
    ///
    /// # Errors
    /// When the file is given and cannot be used (exit status 2).
    pub fn config(&self) -> Result<Config, CliError> {
        Config::load(self.config_file.as_deref()).map_err(CliError::usage)
    }

    /// The machine's clock.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }
}
