//! Sizes as people write them (`256MiB`, `2TiB`, `4M`) and as the engine uses them (bytes).
//!
//! One parser for the command line, the configuration file and the planner, so that a size means the same everywhere.

use std::{fmt, str::FromStr};

/// A number of bytes. Displays with binary units (`1.5 GiB`); parses `512`, `64KiB`, `1.5GiB`, `2TB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// A size that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "size `{text}` is not understood; write a number and a unit, such as 512MiB, 2TiB or 500GB"
)]
pub struct SizeError {
    text: String,
}

const UNITS: [(&str, u64); 13] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("PiB", 1 << 50),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("PB", 1_000_000_000_000_000),
    ("K", 1 << 10),
    ("M", 1 << 20),
];

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let error = || SizeError {
            text: text.to_owned(),
        };
        let trimmed = text.trim();
        let split = trimmed
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        let unit = unit.trim();
        let scale = if unit.is_empty() {
            1
        } else {
            UNITS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                .ok_or_else(error)?
                .1
        };
        let bytes = match number.parse::<u64>() {
            Ok(whole) => whole.checked_mul(scale).ok_or_else(error)?,
            Err(_) => {
                let product = number.parse::<f64>().map_err(|_| error())? * scale as f64;
                if !(0.0..9e18).contains(&product) {
                    return Err(error());
                }
                product as u64
            }
        };
        Ok(Self(bytes))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, scale) = UNITS[..6]
            .iter()
            .rev()
            .find(|(_, scale)| self.0 >= *scale)
            .unwrap_or(&UNITS[0]);
        if self.0.is_multiple_of(*scale) {
            write!(f, "{} {name}", self.0 / scale)
        } else {
            write!(f, "{:.1} {name}", self.0 as f64 / *scale as f64)
        }
    }
}

/// `value` rounded up to a multiple of `alignment` (a power of two).
pub const fn align_up(value: u64, alignment: u64) -> u64 {
    assert!(alignment.is_power_of_two());
    (value + alignment - 1) & !(alignment - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let cases = [
            ("512", 512),
            ("64KiB", 65536),
            ("1.5GiB", 1_610_612_736),
            ("2tb", 2_000_000_000_000),
            ("1 MiB", 1 << 20),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse::<ByteSize>(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "5 XB", "1e30TiB", "99999999999999999999"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        assert_eq!(ByteSize(1 << 28).to_string(), "256 MiB");
        assert_eq!(ByteSize(1_610_612_736).to_string(), "1.5 GiB");
    }
}
