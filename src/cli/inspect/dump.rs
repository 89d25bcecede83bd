//! One line per structure: for people `offset  what  field=value …`, for scripts a JSON object.

use crate::cli::{error::CliError, output::print};
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// Printed when so many bytes are gathered.
const GATHERED_MAX: usize = 64 << 10;

/// What is printed.
pub(super) struct Dump {
    json: bool,
    gathered: String,
    problems: u64,
}

/// One structure.
pub(super) struct Node {
    what: &'static str,
    offset: Option<u64>,
    depth: usize,
    fields: Vec<(String, Value)>,
    problem: Option<String>,
}

impl Node {
    /// The structure `what` at `offset` of the file.
    pub(super) fn new(what: &'static str, offset: u64) -> Self {
        Self {
            offset: Some(offset),
            ..Self::about(what)
        }
    }

    /// What has no place of its own.
    pub(super) fn about(what: &'static str) -> Self {
        Self {
            what,
            offset: None,
            depth: 0,
            fields: Vec::new(),
            problem: None,
        }
    }

    /// Inside the structure before.
    pub(super) fn inside(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    pub(super) fn value(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn text(self, name: &str, text: impl std::fmt::Display) -> Self {
        self.value(name, text.to_string())
    }

    /// What is wrong with it.
    pub(super) fn problem(mut self, why: impl std::fmt::Display) -> Self {
        self.problem = Some(why.to_string());
        self
    }

    fn render(&self, out: &mut String) {
        let indent = 2 * self.depth;
        let offset = self.offset.map(|offset| offset.to_string());
        let offset = offset.unwrap_or_default();
        let _ = write!(out, "{offset:>12}  {:indent$}{}", "", self.what);
        for (name, value) in &self.fields {
            let _ = match value {
                Value::String(text) if text.contains(char::is_whitespace) || text.is_empty() => {
                    write!(out, " {name}={text:?}")
                }
                Value::String(text) => write!(out, " {name}={text}"),
                other => write!(out, " {name}={other}"),
            };
        }
        if let Some(problem) = &self.problem {
            let _ = write!(out, "  DAMAGED: {problem}");
        }
        out.push('\n');
    }

    fn json(self) -> Value {
        let mut all = Map::new();
        all.insert("what".to_owned(), self.what.into());
        if let Some(offset) = self.offset {
            all.insert("offset".to_owned(), offset.into());
        }
        all.extend(self.fields);
        if let Some(problem) = self.problem {
            all.insert("problem".to_owned(), problem.into());
        }
        Value::Object(all)
    }
}

impl Dump {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            gathered: String::new(),
            problems: 0,
        }
    }

    /// Prints a structure.
    pub(super) fn say(&mut self, node: Node) -> Result<(), CliError> {
        self.problems += u64::from(node.problem.is_some());
        if self.json {
            let line = node.json();
            let _ = writeln!(self.gathered, "{line}");
        } else {
            node.render(&mut self.gathered);
        }
        if self.gathered.len() >= GATHERED_MAX {
            self.flush()?;
        }
        Ok(())
    }

    /// Prints text that is no structure.
    pub(super) fn text(&mut self, text: &str) -> Result<(), CliError> {
        self.gathered.push_str(text);
        Ok(())
    }

    /// Prints what is left.
    pub(super) fn finish(mut self) -> Result<(), CliError> {
        if self.problems > 0 && !self.json {
            let _ = writeln!(
                self.gathered,
                "{} damaged; `nvring check` tells whose recordings they were",
                self.problems
            );
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), CliError> {
        print(&std::mem::take(&mut self.gathered))
    }
}
