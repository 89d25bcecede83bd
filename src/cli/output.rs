//! What commands print: results on stdout (tables for people, JSON for scripts), warnings on stderr.
//!
//! No colours and no decoration, so that the same text serves a terminal and a pipe. A reader that closes the pipe early
//! (`nvring camera list | head`) ends the command quietly.

use crate::cli::error::CliError;
use std::io::{ErrorKind, Write};
use unicode_width::UnicodeWidthStr;

/// Prints text as it is.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CliError::failed(format!(
            "standard output: {error}; write to another place"
        ))),
        _ => Ok(()),
    }
}

/// Prints one line.
pub fn print_line(line: impl std::fmt::Display) -> Result<(), CliError> {
    print(&format!("{line}\n"))
}

/// Prints a value as indented JSON.
pub fn print_json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let json = serde_json::to_string_pretty(value).map_err(|error| {
        CliError::failed(format!("JSON output: {error}; report it as a defect"))
    })?;
    print_line(json)
}

/// Says on stderr what is not an error but should be mended.
pub fn warn(message: impl std::fmt::Display) {
    // Nothing can be done when stderr is closed.
    let _ = writeln!(std::io::stderr(), "nvring: warning: {message}");
}

/// Which side of its column a value stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a heading, in columns as wide as their widest value on the screen (Vietnamese letters may be several code
/// points, CJK ones two cells).
#[derive(Debug)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. An absent value is shown as `-`.
    pub fn row(&mut self, values: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = values.into_iter().collect();
        assert_eq!(row.len(), self.columns.len(), "a value for each column");
        for value in &mut row {
            if value.is_empty() {
                "-".clone_into(value);
            }
        }
        self.rows.push(row);
    }

    /// The table as text; nothing is added after the last column.
    pub fn render(&self) -> String {
        let heading = self.columns.iter().map(|(name, _)| (*name).to_owned());
        let lines: Vec<Vec<String>> = std::iter::once(heading.collect())
            .chain(self.rows.iter().cloned())
            .collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| {
                let cells = lines.iter().filter_map(|line| line.get(at));
                cells.map(|cell| cell.width()).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for line in &lines {
            let mut shown = String::new();
            for ((cell, width), (_, align)) in line.iter().zip(&widths).zip(&self.columns) {
                if !shown.is_empty() {
                    shown.push_str("  ");
                }
                let padding = " ".repeat(width - cell.width());
                match align {
                    Align::Left => shown.extend([cell.as_str(), &padding]),
                    Align::Right => shown.extend([padding.as_str(), cell]),
                }
            }
            text.push_str(shown.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_on_the_screen_whatever_the_letters() {
        let mut table = Table::new(&[
            ("NAME", Align::Left),
            ("FRAMES", Align::Right),
            ("AREA", Align::Left),
        ]);
        let decomposed = "Ca\u{302}\u{309}m".to_owned();
        table.row(["Yên Bái".into(), "7".into(), "x".into()]);
        table.row([decomposed, "1234567".into(), String::new()]);
        table.row(["監視".into(), String::new(), "y".into()]);
        let expected = "NAME      FRAMES  AREA\n\
                        Yên Bái        7  x\n\
                        Ca\u{302}\u{309}m      1234567  -\n\
                        監視           -  y\n";
        assert_eq!(table.render(), expected);
    }
}
