//! Progress of long work (format, export, rebuild, check): a bar on a terminal, nothing in a pipe or a log.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// A bar on stderr; invisible unless that is a terminal.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Progress over `total` bytes.
    pub fn bytes(what: &str, total: u64) -> Self {
        Self::new(
            what,
            total,
            "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
        )
    }

    /// Progress over `total` things (segments, files).
    pub fn count(what: &str, total: u64) -> Self {
        Self::new(what, total, "{msg} {wide_bar} {pos}/{len} {eta}")
    }

    fn new(what: &str, total: u64, template: &str) -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.expect("the templates of this file are well formed"));
        bar.set_message(what.to_owned());
        Self(bar)
    }

    /// `done` of the total are done.
    pub fn set(&self, done: u64) {
        self.0.set_position(done);
    }

    /// `more` of the total are done.
    pub fn add(&self, more: u64) {
        self.0.inc(more);
    }

    /// The total turned out to be another one.
    pub fn set_total(&self, total: u64) {
        self.0.set_length(total);
    }
}

/// The bar goes with its work, however that ends, so that the result or the error stands alone.
impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_bar_can_be_made_and_moved() {
        for bar in [Progress::bytes("format", 10), Progress::count("check", 0)] {
            bar.set(3);
            bar.add(20);
            bar.set_total(30);
            assert_eq!(bar.0.position(), 23);
        }
    }
}
