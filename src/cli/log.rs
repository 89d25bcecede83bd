//! The log of a process: structured lines on stderr, chosen by `NVRING_LOG`, as text or JSON.
//!
//! `NVRING_LOG` is a filter as tracing's `EnvFilter` reads it: `debug`, or `info,nvring::ingest=debug`. The RTSP library prints
//! addresses and whole session descriptions, in its warnings too, and those hold credentials of cameras: nothing of it is
//! ever written, whatever the filter says (regulation R-10). What it has to say comes as `ingest::PullError`, in our own words.

use crate::{cli::error::CliError, ingest::LIBRARY_LOG_TARGET};
use std::io::IsTerminal;
use tracing::Metadata;
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

/// The variable that holds the filter.
pub const FILTER_VARIABLE: &str = "NVRING_LOG";

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// Starts the log of this process; once. `level` holds where `NVRING_LOG` is not set.
///
/// # Errors
/// When `NVRING_LOG` is not a filter.
pub fn start(format: LogFormat, level: &str) -> Result<(), CliError> {
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let filter = if filter.trim().is_empty() {
        level
    } else {
        filter.as_str()
    };
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        CliError::usage(format!(
            "{FILTER_VARIABLE}=`{filter}`: {error}; write a level such as info, or info,nvring::ingest=debug"
        ))
    })?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines
            .with_ansi(std::io::stderr().is_terminal())
            .with_filter(filter_fn(is_safe))
            .boxed(),
        LogFormat::Json => lines.json().with_filter(filter_fn(is_safe)).boxed(),
    };
    // A second start (only in tests) keeps the first log.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    Ok(())
}

/// Whether a line may be written at all.
fn is_safe(metadata: &Metadata<'_>) -> bool {
    metadata.target().split("::").next() != Some(LIBRARY_LOG_TARGET)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// Counts what passes.
    struct Passed(Arc<Mutex<Vec<String>>>);

    impl<S: tracing::Subscriber> Layer<S> for Passed {
        fn on_event(
            &self,
            event: &tracing::Event<'_>,
            _: tracing_subscriber::layer::Context<'_, S>,
        ) {
            let metadata = event.metadata();
            let line = format!("{} {}", metadata.level(), metadata.target());
            self.0.lock().unwrap().push(line);
        }
    }

    /// Goal: R-10. Even a filter that asks for everything gets nothing of the RTSP library.
    #[test]
    fn the_rtsp_library_is_never_heard() {
        let passed = Arc::new(Mutex::new(Vec::new()));
        let layer = Passed(passed.clone()).with_filter(filter_fn(is_safe));
        let subscriber = tracing_subscriber::registry()
            .with(EnvFilter::new("trace,retina::client=trace"))
            .with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!(target: "retina::client", "DESCRIBE rtsp://…");
            tracing::info!(target: "retina", "DESCRIBE rtsp://…");
            tracing::warn!(target: "retina::client", "broken");
            tracing::trace!(target: "nvring::ingest", "frame");
        });
        let passed = passed.lock().unwrap();
        assert_eq!(*passed, ["TRACE nvring::ingest"]);
    }
}
