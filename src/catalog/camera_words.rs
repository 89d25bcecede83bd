//! The closed sets of words a camera is described with: its stream, its system, its transport.
//!
//! Each has one text form, used on the command line, in JSON and in the catalog alike, and read back through the same check.

use std::{fmt, str::FromStr};

/// One of a camera's two feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamRole {
    /// The full picture.
    Main,
    /// The small one, for overviews.
    Sub,
}

/// The two camera systems of the operator (regulation R-2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum System {
    /// Owned by the operator.
    #[default]
    SmartCity,
    /// Owned by others who agreed to connect.
    Public,
}

/// How RTP packets travel (RFC 2326 §10.12, §12.39).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Interleaved in the RTSP connection: nothing is lost on the way.
    #[default]
    Tcp,
    /// In datagrams.
    Udp,
}

/// A word that is none of those allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not a {what}; write {allowed}")]
pub struct WordError {
    word: String,
    what: &'static str,
    allowed: &'static str,
}

/// A closed set of words with one text form, for the command line, JSON and the catalog alike.
macro_rules! words {
    ($type:ident, $what:literal, $allowed:literal, $($word:literal => $value:ident),+) => {
        impl $type {
            /// The word in JSON, tables and the catalog.
            pub fn name(self) -> &'static str {
                match self { $(Self::$value => $word),+ }
            }
        }
        impl FromStr for $type {
            type Err = WordError;
            fn from_str(text: &str) -> Result<Self, WordError> {
                match text {
                    $($word => Ok(Self::$value),)+
                    other => Err(WordError {
                        word: other.chars().filter(|c| !c.is_control()).take(80).collect(),
                        what: $what,
                        allowed: $allowed,
                    }),
                }
            }
        }
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                std::borrow::Cow::<str>::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

words!(System, "camera system", "smart-city or public", "smart-city" => SmartCity, "public" => Public);
words!(Transport, "transport", "tcp or udp", "tcp" => Tcp, "udp" => Udp);
words!(StreamRole, "stream", "main or sub", "main" => Main, "sub" => Sub);
