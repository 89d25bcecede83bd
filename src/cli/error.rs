//! How a command fails: one line on stderr, and an exit status that scripts can tell apart.

use std::{fmt, process::ExitCode};

/// Why a command ends early. Displays as one line: what, where, why; and after a semicolon what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    line: String,
    status: Status,
}

/// What the exit status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 1: what was asked could not be done.
    Failed = 1,
    /// 2: what was asked, or the configuration, is wrong in itself.
    Usage = 2,
}

impl CliError {
    /// Could not be done. `error` says what, where, why and the remedy.
    pub fn failed(error: impl fmt::Display) -> Self {
        Self::new(&error, Status::Failed)
    }

    /// Was wrongly asked. `error` says what, where, why and the remedy.
    pub fn usage(error: impl fmt::Display) -> Self {
        Self::new(&error, Status::Usage)
    }

    /// The exit status.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.status as u8)
    }

    fn new(error: &dyn fmt::Display, status: Status) -> Self {
        // Messages of libraries may hold line ends; names from files may hold anything.
        let line = error
            .to_string()
            .split(|c: char| c.is_control())
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        Self { line, status }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl std::error::Error for CliError {}

impl From<crate::catalog::CatalogError> for CliError {
    fn from(error: crate::catalog::CatalogError) -> Self {
        if error.is_usage() {
            Self::usage(error)
        } else {
            Self::failed(error)
        }
    }
}

impl From<crate::api::control::ControlError> for CliError {
    fn from(error: crate::api::control::ControlError) -> Self {
        Self::failed(error)
    }
}

/// A command line that clap refuses, on one line. Help and version are no errors and are printed by the caller.
impl From<clap::Error> for CliError {
    fn from(error: clap::Error) -> Self {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        // clap writes: what, empty line, tips, `Usage:` lines, and where help is; the last two become the remedy.
        let body = text.split("\n\nUsage:").next().unwrap_or(text);
        let body = body
            .split("\n\nFor more information")
            .next()
            .unwrap_or(body);
        let command: Vec<&str> = text
            .split_once("Usage: ")
            .map_or("nvring", |(_, usage)| usage)
            .split_whitespace()
            .take_while(|word| !word.starts_with(['[', '<', '-']))
            .collect();
        let remedy = format!("see `{} --help`", command.join(" "));
        let body = body.trim().replace("\n\n  tip: ", "; ");
        Self::usage(format!("{body}; {remedy}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_always_one_line() {
        let error = CliError::failed("volume a:\n  no\tspace\u{1b}[31m; free some");
        assert_eq!(error.to_string(), "volume a: no space [31m; free some");
        assert_eq!(error.exit_code(), ExitCode::from(1));
    }
}
