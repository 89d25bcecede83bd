//! Calendar days of a time zone: when each begins and ends, summer time and abolished days included.
//!
//! The rules of all zones are in the program (the IANA time zone database), so that an installation without them answers the same; where
//! the system has newer ones, those are used.

use super::{TimeRange, UnixMicros, nearest::near};
use std::{fmt, str::FromStr};

/// How many zones an error names that may have been meant.
const NEAR_MAX: usize = 3;

/// A time zone by its IANA name.
#[derive(Clone, Debug)]
pub struct Zone {
    zone: jiff::tz::TimeZone,
    name: String,
}

/// A day of a zone's calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    date: jiff::civil::Date,
    /// From its first instant to the first of the next day: 23 or 25 hours where the clock is set.
    pub range: TimeRange,
}

/// A zone that is not in the database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "time zone `{name}` is not known; {}",
    if near.is_empty() {
        "write its IANA name, such as Asia/Ho_Chi_Minh or UTC".to_owned()
    } else {
        format!("did you mean {}?", near.join(" or "))
    }
)]
pub struct ZoneError {
    name: String,
    near: Vec<String>,
}

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self {
            zone: jiff::tz::TimeZone::UTC,
            name: "UTC".to_owned(),
        }
    }

    /// Its name, as the database writes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The day that `time` lies in; `None` for times no calendar reaches.
    pub fn day(&self, time: UnixMicros) -> Option<Day> {
        let instant = jiff::Timestamp::from_microsecond(time.0).ok()?;
        let here = instant.to_zoned_datetime(self.zone.clone());
        let start = here.start_of_day().ok()?.timestamp();
        let next = here.date().tomorrow().ok()?;
        let end = next.to_zoned_datetime(self.zone.clone()).ok()?.timestamp();
        Some(Day {
            date: here.date(),
            range: TimeRange {
                start: UnixMicros(start.as_microsecond()),
                end: UnixMicros(end.as_microsecond()),
            },
        })
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(name: &str) -> Result<Self, ZoneError> {
        let known = jiff::tz::db().get(name).ok().and_then(|zone| {
            let name = zone.iana_name()?.to_owned();
            Some(Self { zone, name })
        });
        known.ok_or_else(|| ZoneError {
            name: name.chars().take(64).collect(),
            near: near_zones(name),
        })
    }
}

/// The date, such as `2026-11-23`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date.fmt(f)
    }
}

/// Zones whose name is like `word`, or whose city is.
fn near_zones(word: &str) -> Vec<String> {
    if word.len() > 64 {
        return Vec::new();
    }
    let names: Vec<String> = jiff::tz::db()
        .available()
        .map(|name| name.as_str().to_owned())
        .collect();
    let whole = near(word, names.iter().map(String::as_str), NEAR_MAX);
    if !whole.is_empty() {
        return whole.into_iter().map(str::to_owned).collect();
    }
    let city = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let cities: Vec<String> = names.iter().map(|name| city(name)).collect();
    let found = near(&city(word), cities.iter().map(String::as_str), 1);
    let of_city = names
        .iter()
        .filter(|name| found.first().is_some_and(|found| city(name) == **found));
    of_city.take(NEAR_MAX).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Micros;

    const HOUR: i64 = 3_600_000_000;

    fn day(zone: &str, time: &str) -> (String, i64, String) {
        let zone: Zone = zone.parse().unwrap();
        let day = zone.day(time.parse().unwrap()).unwrap();
        let Micros(length) = day.range.duration();
        (day.to_string(), length / HOUR, day.range.start.to_string())
    }

    #[test]
    fn days_begin_at_midnight_of_their_zone() {
        let hanoi = day("Asia/Ho_Chi_Minh", "2026-11-23T18:30:00Z");
        let expected = (
            "2026-11-24".into(),
            24,
            "2026-11-23T17:00:00.000000Z".into(),
        );
        assert_eq!(hanoi, expected);
        let utc = Zone::utc().day("2026-11-23T18:30:00Z".parse().unwrap());
        assert_eq!(utc.unwrap().to_string(), "2026-11-23");
    }

    #[test]
    fn days_on_which_the_clock_is_set_are_shorter_or_longer() {
        let berlin = |time| day("Europe/Berlin", time);
        assert_eq!(berlin("2026-03-29T12:00:00Z").1, 23);
        assert_eq!(berlin("2026-10-25T12:00:00Z").1, 25);
        // Cuba sets the clock forward at midnight: the day begins at one o'clock.
        let havana = day("America/Havana", "2026-03-08T12:00:00Z");
        assert_eq!((havana.1, &havana.2[11..16]), (23, "05:00"));
    }

    #[test]
    fn an_abolished_day_is_nobodys() {
        let zone: Zone = "Pacific/Apia".parse().unwrap();
        let before = zone.day("2011-12-30T00:00:00Z".parse().unwrap()).unwrap();
        let after = zone.day(before.range.end).unwrap();
        assert_eq!(
            (before.to_string(), after.to_string()),
            ("2011-12-29".to_owned(), "2011-12-31".to_owned())
        );
        assert_eq!(before.range.end, after.range.start);
    }

    /// Goal: days never overlap and never leave a hole. Method: every day of some years in every zone.
    #[test]
    fn days_follow_each_other_in_every_zone() {
        let from: UnixMicros = "2024-01-01T00:00:00Z".parse().unwrap();
        let mut zones = 0;
        for name in jiff::tz::db().available() {
            let Ok(zone) = name.as_str().parse::<Zone>() else {
                continue;
            };
            zones += 1;
            let mut day = zone.day(from).unwrap();
            for _ in 0..800 {
                let next = zone.day(day.range.end).unwrap();
                assert_eq!(next.range.start, day.range.end, "{name} {day}");
                assert!(next.date > day.date, "{name} {day}");
                day = next;
            }
        }
        assert!(zones > 400, "{zones} zones");
    }

    #[test]
    fn an_unknown_zone_is_answered_with_its_neighbours() {
        let error = |name: &str| name.parse::<Zone>().unwrap_err().to_string();
        assert!(error("Asia/Ho-Chi-Minh").contains("did you mean Asia/Ho_Chi_Minh"));
        assert!(error("Hochiminh").contains("Asia/Ho_Chi_Minh"));
        assert!(error("Europe/Berln").contains("Europe/Berlin"));
        assert!(error("+07:00").contains("IANA"));
        assert!(error(&"x".repeat(10_000)).len() < 200);
        assert_eq!("utc".parse::<Zone>().unwrap().name(), "UTC");
    }

    #[test]
    fn times_beyond_the_calendar_have_no_day() {
        assert_eq!(Zone::utc().day(UnixMicros::MAX), None);
        assert_eq!(Zone::utc().day(UnixMicros::MIN), None);
    }
}
