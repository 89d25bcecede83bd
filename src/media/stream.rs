//! Which stream a frame belongs to, and why a stream has gaps: the two words every layer above `media` shares.

use std::{fmt, str::FromStr};

/// The identity of one encoded feed of one enrolled camera, given at enrolment and never given again.
///
/// Sixteen random bytes (a UUID), so that a camera id used again for another place never inherits the old recordings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId(pub [u8; 16]);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({self})")
    }
}

impl FromStr for StreamId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Ok(Self(*uuid::Uuid::parse_str(text)?.as_bytes()))
    }
}

/// Why recording was interrupted (design law L7). The numbers are on disk (format v1): never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum GapCause {
    /// Nothing was recorded before: the camera was just enrolled.
    Enrolled = 1,
    /// The camera could not be reached, went silent or closed the connection.
    CameraLost = 2,
    /// The camera restarted its stream: new session, sequence or clock base.
    CameraRestarted = 3,
    /// The camera sent other codec parameters; usually a gap of no length.
    ParametersChanged = 4,
    /// The recorder could not keep up and shed whole groups of pictures.
    Overload = 5,
    /// The volume failed or lost written data.
    Disk = 6,
    /// The recorder was stopped, killed or without power.
    Restart = 7,
    /// The recorder's or the camera's clock stepped.
    Clock = 8,
    /// Recording was switched off or the camera removed by an administrator.
    Disabled = 9,
    /// The camera sent what is not video (garbage, no decodable picture).
    BadStream = 10,
}

impl GapCause {
    /// Every cause, in the order of its numbers.
    pub const ALL: [Self; 10] = [
        Self::Enrolled,
        Self::CameraLost,
        Self::CameraRestarted,
        Self::ParametersChanged,
        Self::Overload,
        Self::Disk,
        Self::Restart,
        Self::Clock,
        Self::Disabled,
        Self::BadStream,
    ];

    /// The cause with this number on disk.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| *cause as u8 == number)
    }

    /// The name in JSON, metrics and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::CameraLost => "camera-lost",
            Self::CameraRestarted => "camera-restarted",
            Self::ParametersChanged => "parameters-changed",
            Self::Overload => "overload",
            Self::Disk => "disk",
            Self::Restart => "restart",
            Self::Clock => "clock",
            Self::Disabled => "disabled",
            Self::BadStream => "bad-stream",
        }
    }
}

impl fmt::Display for GapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl serde::Serialize for GapCause {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_read_back() {
        for cause in GapCause::ALL {
            assert_eq!(GapCause::from_number(cause as u8), Some(cause));
            assert_eq!(
                GapCause::ALL
                    .iter()
                    .filter(|other| other.name() == cause.name())
                    .count(),
                1
            );
        }
        assert_eq!(GapCause::from_number(0), None);
    }
}
