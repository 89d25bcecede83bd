//! Values that must not be shown (design law L10, regulation R-10).
//!
//! A `Secret` has no `Display`, no `Serialize`, and its `Debug` prints `***`, so that a log line, an error or a JSON answer
//! cannot carry it by accident; whoever really needs the text calls `expose`, which is easy to find in review. Memory is
//! wiped when the value is dropped.

use std::fmt;
use zeroize::Zeroizing;

/// What stands in place of anything hidden.
pub const HIDDEN: &str = "***";

/// A password or another text that must stay inside.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes `text` into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for the one who must use it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_text_wherever_it_is_nested() {
        let nested = Some(vec![Secret::new("h0use")]);
        assert_eq!(format!("{nested:?}"), "Some([***])");
        assert!(!format!("{nested:#?}").contains("h0use"));
    }
}
