//! Durations as MediaMTX takes them: seconds (`60.5`), or as the Go language writes them (`1m30s`).

use crate::base::Micros;

/// The longest duration that is believed: 100 years.
const DURATION_MAX: Micros = Micros::from_secs(100 * 366 * 86_400);

/// A duration that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid duration: `{text}` is neither a number of seconds above 0, such as 60.5, nor like 1m30s"
)]
pub(super) struct DurationError {
    text: String,
}

/// Reads a duration, which must be longer than nothing.
pub(super) fn duration(text: &str) -> Result<Micros, DurationError> {
    let micros = match text.parse::<f64>() {
        Ok(seconds) => Some(seconds * 1e6),
        Err(_) => of_go(text),
    };
    let micros = micros.map(f64::round);
    let believed = micros.filter(|micros| (1.0..=DURATION_MAX.0 as f64).contains(micros));
    let read = believed.map(|micros| Micros(micros as i64));
    read.ok_or_else(|| DurationError {
        text: text.chars().take(64).collect(),
    })
}

/// `time.ParseDuration` of Go, without a sign: numbers with a unit, one behind the other. In microseconds.
fn of_go(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-3),
        ("us", 1.0),
        ("µs", 1.0),
        ("μs", 1.0),
        ("ms", 1e3),
        ("s", 1e6),
        ("m", 60e6),
        ("h", 3600e6),
    ];
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|c| !is_number(c))?);
        let (unit, behind) = behind.split_at(behind.find(is_number).unwrap_or(behind.len()));
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum += number.parse::<f64>().ok()? * scale;
        rest = behind;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_go_durations_are_read() {
        let cases = [
            ("60.5", 60_500_000),
            ("1e2", 100_000_000),
            (".5", 500_000),
            ("1m30s", 90_000_000),
            ("1h15m30.918273s", 4_530_918_273),
            ("300ms", 300_000),
            ("1.5h", 5_400_000_000),
            ("2500µs", 2_500),
            ("1500ns", 2),
        ];
        for (text, micros) in cases {
            assert_eq!(duration(text), Ok(Micros(micros)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "", "0", "-5", "-1m", "NaN", "inf", "1e300", "1 s", "1x", "s", "1m30", "..s", "1..5s",
        ] {
            let error = duration(text).unwrap_err().to_string();
            assert!(error.starts_with("invalid duration"), "{text}");
        }
        assert!(
            duration(&"9".repeat(100_000))
                .unwrap_err()
                .to_string()
                .len()
                < 200
        );
    }
}
