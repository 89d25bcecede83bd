//! Wall-clock instants and durations in whole microseconds, and their one text form (RFC 3339).
//!
//! Frames, runs, requests and reports all speak `UnixMicros`; conversion from and to text, 90 kHz ticks or NTP happens here only.

use std::{
    fmt,
    ops::{Add, Sub},
    str::FromStr,
};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMicros(pub i64);

/// A signed span of time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub i64);

/// The half-open range of time `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First instant inside.
    pub start: UnixMicros,
    /// First instant after.
    pub end: UnixMicros,
}

/// A time that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "time `{text}` is not understood; write RFC 3339 with a zone, such as 2026-11-23T14:00:00Z or 2026-11-23T21:00:00+07:00"
)]
pub struct TimeError {
    text: String,
}

/// Seconds from the NTP epoch (1900) to the Unix epoch (1970), RFC 5905 §6.
const NTP_TO_UNIX_SECONDS: i64 = 2_208_988_800;

/// The first instant that RFC 3339 can write, 0000-01-01T00:00:00Z.
const FIRST_WRITTEN: i64 = -62_167_219_200_000_000;
/// The last, 9999-12-31T23:59:59.999999Z.
const LAST_WRITTEN: i64 = 253_402_300_799_999_999;

const EPOCH: jiff::civil::DateTime = jiff::civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl UnixMicros {
    /// Before every instant in use.
    pub const MIN: Self = Self(i64::MIN);
    /// After every instant in use.
    pub const MAX: Self = Self(i64::MAX);

    /// The 64-bit NTP timestamp (seconds since 1900 in 32.32 fixed point) of RTCP sender reports, RFC 3550 §4.
    /// The era is taken so that the result lies between 1968 and 2104.
    pub fn from_ntp(ntp: u64) -> Self {
        let mut seconds = (ntp >> 32) as i64;
        if seconds < 0x8000_0000 {
            seconds += 1 << 32;
        }
        let micros = ((ntp & 0xffff_ffff) * 1_000_000 + (1 << 31)) >> 32;
        Self((seconds - NTP_TO_UNIX_SECONDS) * 1_000_000 + micros as i64)
    }

    /// The NTP timestamp of this instant, RFC 3550 §4.
    pub fn to_ntp(self) -> u64 {
        let seconds = self.0.div_euclid(1_000_000) + NTP_TO_UNIX_SECONDS;
        let micros = self.0.rem_euclid(1_000_000) as u64;
        ((seconds as u64) << 32) | ((micros << 32) / 1_000_000)
    }

    /// The time from `earlier` to `self`.
    pub fn since(self, earlier: Self) -> Micros {
        Micros(self.0.saturating_sub(earlier.0))
    }
}

impl Micros {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// `seconds` whole seconds.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds * 1_000_000)
    }

    /// `millis` milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis * 1_000)
    }

    /// As seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// As a standard duration; negative spans become zero.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_micros(self.0.max(0) as u64)
    }
}

impl TimeRange {
    /// The range `start..end`; `None` when it is empty or reversed.
    pub fn new(start: UnixMicros, end: UnixMicros) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// All time.
    pub const ALL: Self = Self {
        start: UnixMicros::MIN,
        end: UnixMicros::MAX,
    };

    /// Whether `time` lies inside.
    pub fn contains(&self, time: UnixMicros) -> bool {
        self.start <= time && time < self.end
    }

    /// How long the range is.
    pub fn duration(&self) -> Micros {
        self.end.since(self.start)
    }
}

impl Add<Micros> for UnixMicros {
    type Output = Self;
    fn add(self, span: Micros) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Micros> for UnixMicros {
    type Output = Self;
    fn sub(self, span: Micros) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Add for Micros {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Micros {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl FromStr for UnixMicros {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let read = match text.trim().parse::<jiff::Timestamp>() {
            Ok(instant) => Some(instant.as_microsecond()),
            Err(_) => far(text.trim()),
        };
        let read = read.map(|micros| Self(micros.clamp(FIRST_WRITTEN, LAST_WRITTEN)));
        read.ok_or_else(|| TimeError {
            text: text.to_owned(),
        })
    }
}

/// Reads a time in the last day of the year 9999 (or beyond it, by its zone), which the library's own instants leave out.
fn far(text: &str) -> Option<i64> {
    let pieces = jiff::fmt::temporal::Pieces::parse(text).ok()?;
    let offset = i128::from(pieces.to_numeric_offset()?.seconds()) * 1_000_000;
    let local = pieces.date().to_datetime(pieces.time()?);
    let micros = local.duration_since(EPOCH).as_micros() - offset;
    let micros = i64::try_from(micros).ok()?;
    // What is within their range was refused for another reason.
    let beyond = jiff::Timestamp::from_microsecond(micros).is_err();
    beyond.then_some(micros)
}

/// A span that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "duration `{text}` is not understood; write a number and a unit, such as 500ms, 1s, 5m or 2h"
)]
pub struct DurationError {
    text: String,
}

/// A number and one unit: `250us`, `500ms`, `1s`, `1.5s`, `5m`, `2h`, `30d`. A number without a unit is refused.
impl FromStr for Micros {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        const UNITS: [(&str, f64); 6] = [
            ("us", 1.0),
            ("ms", 1e3),
            ("s", 1e6),
            ("m", 60e6),
            ("h", 3600e6),
            ("d", 86400e6),
        ];
        let error = || DurationError {
            text: text.to_owned(),
        };
        let trimmed = text.trim();
        let split = trimmed
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(error)?;
        let (number, unit) = trimmed.split_at(split);
        let (_, scale) = UNITS
            .iter()
            .find(|(name, _)| *name == unit.trim())
            .ok_or_else(error)?;
        let micros = number.parse::<f64>().map_err(|_| error())? * scale;
        if micros > 9e18 {
            return Err(error());
        }
        Ok(Self(micros.round() as i64))
    }
}

/// RFC 3339 in UTC with six decimals, the one form in every answer. What is farther than it can write is told as the first
/// or last instant that it can.
impl fmt::Display for UnixMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.clamp(FIRST_WRITTEN, LAST_WRITTEN);
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(instant) => write!(f, "{instant:.6}"),
            Err(_) => {
                let since = jiff::SignedDuration::from_micros(micros);
                write!(f, "{:.6}Z", EPOCH.saturating_add(since))
            }
        }
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.as_secs_f64())
    }
}

impl serde::Serialize for UnixMicros {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for UnixMicros {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_utc_with_six_decimals_and_reads_back() {
        let time: UnixMicros = "2026-11-23T21:00:00.25+07:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-23T14:00:00.250000Z");
        assert_eq!(time.to_string().parse(), Ok(time));
        assert!(
            "2026-11-23 21:00".parse::<UnixMicros>().is_err(),
            "a time without a zone is ambiguous"
        );
    }

    /// Clients say "for ever" with the last day that can be written.
    #[test]
    fn times_as_far_as_can_be_written_are_read_and_farther_ones_stop_there() {
        for text in [
            "9999-12-31T23:59:59.000000Z",
            "9999-12-31T23:59:59.999999Z",
            "9999-12-30T22:00:00.000000Z",
            "0000-01-01T00:00:00.000000Z",
        ] {
            let time: UnixMicros = text.parse().unwrap();
            assert_eq!(time.to_string(), text);
        }
        let cases = [
            ("9999-12-31T23:59:59+00:00", "9999-12-31T23:59:59.000000Z"),
            ("9999-12-31T06:59:59+07:00", "9999-12-30T23:59:59.000000Z"),
            ("9999-12-31T23:59:59-07:00", "9999-12-31T23:59:59.999999Z"),
            ("0000-01-01T00:00:00+07:00", "0000-01-01T00:00:00.000000Z"),
        ];
        for (text, read) in cases {
            let time: UnixMicros = text.parse().unwrap();
            assert_eq!(time.to_string(), read, "{text}");
        }
        assert_eq!(UnixMicros::MAX.to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(UnixMicros::MIN.to_string(), "0000-01-01T00:00:00.000000Z");
        for text in [
            "9999-12-31T23:59:59",
            "9999-12-32T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "9999-12-31T25:00:00Z",
        ] {
            assert!(text.parse::<UnixMicros>().is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        let cases = [
            ("1s", 1_000_000),
            ("500ms", 500_000),
            ("1.5 s", 1_500_000),
            ("2h", 7_200_000_000),
            ("30d", 2_592_000_000_000),
        ];
        for (text, micros) in cases {
            assert_eq!(text.parse(), Ok(Micros(micros)), "{text}");
        }
        for text in ["", "1", "s", "-1s", "1 sec", "1..2s", "1e3s"] {
            assert!(text.parse::<Micros>().is_err(), "{text}");
        }
    }

    #[test]
    fn ntp_round_trips_across_the_2036_era() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2026-11-23T14:00:00.123456Z",
            "2036-02-07T06:28:16Z",
            "2050-01-01T00:00:00.5Z",
        ] {
            let time: UnixMicros = text.parse().unwrap();
            assert!(
                (UnixMicros::from_ntp(time.to_ntp()).0 - time.0).abs() <= 1,
                "{text}"
            );
        }
    }
}
