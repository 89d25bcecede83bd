//! The id of a camera: the one name that scripts, URLs and file names use.

use crate::catalog::camera::CameraError;
use std::{fmt, str::FromStr};

/// The longest camera id, in bytes.
pub const CAMERA_ID_LEN_MAX: usize = 64;

/// The short name by which a camera is addressed everywhere: 1 to 64 of `A-Z a-z 0-9 . _ -`, the first a letter or digit,
/// so that it needs no escaping in a URL, a file name or a shell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct CameraId(String);

impl CameraId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CameraId {
    type Err = CameraError;

    fn from_str(text: &str) -> Result<Self, CameraError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let well_formed = (1..=CAMERA_ID_LEN_MAX).contains(&text.len())
            && text.bytes().all(allowed)
            && text
                .as_bytes()
                .first()
                .is_some_and(u8::is_ascii_alphanumeric);
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(CameraError::Id {
                id: text.chars().filter(|c| !c.is_control()).take(80).collect(),
            })
        }
    }
}

impl fmt::Display for CameraId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for CameraId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_safe_in_urls_files_and_shells() {
        for id in ["gate", "7", "A.b_c-d", &"x".repeat(64)] {
            assert_eq!(id.parse::<CameraId>().unwrap().as_str(), id);
        }
        for id in [
            "",
            ".",
            "..",
            "-x",
            "_x",
            "a b",
            "a/b",
            "cổng",
            "a\n",
            "%41",
            &"x".repeat(65),
        ] {
            let error = id.parse::<CameraId>().unwrap_err().to_string();
            assert!(error.contains("1 to 64") && !error.contains('\n'), "{id}");
        }
    }
}
