//! What is recorded on each day of a calendar, from a timeline. Pure.
//!
//! A day without a recording is left out. Where runs overlap (the wall clock was set back), an instant counts once.

use crate::{
    base::{
        Micros, TimeRange, UnixMicros,
        calendar::{Day, Zone},
    },
    store::runs::Timeline,
};

/// A day with recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedDay {
    /// Which day.
    pub day: Day,
    /// How long something was recorded.
    pub recorded: Micros,
    /// First instant recorded.
    pub first: UnixMicros,
    /// First instant after the last one recorded.
    pub last: UnixMicros,
    /// Gaps that touch the day.
    pub gaps: u32,
}

/// The days of `zone` on which `timeline` has recordings, in order, at most `most` (> 0); and where the first day begins that is not told.
pub fn recorded_days(
    timeline: &Timeline,
    zone: &Zone,
    most: usize,
) -> (Vec<RecordedDay>, Option<UnixMicros>) {
    let mut spans: Vec<TimeRange> = timeline
        .runs
        .iter()
        .map(|span| TimeRange {
            start: span.start,
            end: span.end,
        })
        .collect();
    spans.sort_by_key(|span| span.start);
    let mut days: Vec<RecordedDay> = Vec::new();
    let mut next = None;
    let mut covered = UnixMicros::MIN;
    'spans: for span in spans {
        let mut from = span.start.max(covered);
        while from < span.end {
            let Some(day) = day_of(&days, zone, from) else {
                // No calendar reaches there; nor does a clock.
                continue 'spans;
            };
            let until = span.end.min(day.range.end);
            assert!(from < until, "an instant lies in its day");
            let full = days.len() == most;
            match days.last_mut().filter(|last| last.day == day) {
                Some(last) => {
                    last.recorded = last.recorded + until.since(from);
                    last.last = until;
                }
                None if full => {
                    next = Some(day.range.start);
                    break 'spans;
                }
                None => days.push(RecordedDay {
                    day,
                    recorded: until.since(from),
                    first: from,
                    last: until,
                    gaps: 0,
                }),
            }
            (from, covered) = (until, until);
        }
    }
    count_gaps(timeline, &mut days);
    (days, next)
}

/// The day of `time`: the newest of `days`, or a new one.
fn day_of(days: &[RecordedDay], zone: &Zone, time: UnixMicros) -> Option<Day> {
    let last = days.last().filter(|last| last.day.range.contains(time));
    last.map_or_else(|| zone.day(time), |last| Some(last.day))
}

fn count_gaps(timeline: &Timeline, days: &mut [RecordedDay]) {
    for gap in &timeline.gaps {
        let first = days.partition_point(|day| day.day.range.end <= gap.start);
        let touched = days[first..]
            .iter_mut()
            .take_while(|day| day.day.range.start < gap.end);
        touched.for_each(|day| day.gaps += 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::seed::Seed,
        media::GapCause,
        store::runs::{Gap, Span},
    };

    const SECOND: i64 = 1_000_000;

    fn timeline(runs: &[(i64, i64)], gaps: &[(i64, i64)]) -> Timeline {
        Timeline {
            runs: runs
                .iter()
                .map(|(start, end)| Span::new(UnixMicros(*start), UnixMicros(*end)))
                .collect(),
            gaps: gaps
                .iter()
                .map(|(start, end)| Gap {
                    start: UnixMicros(*start),
                    end: UnixMicros(*end),
                    cause: GapCause::CameraLost,
                })
                .collect(),
        }
    }

    fn at(text: &str) -> i64 {
        text.parse::<UnixMicros>().unwrap().0
    }

    type Told = (String, i64, i64, i64, u32);

    fn told(timeline: &Timeline, zone: &str, most: usize) -> (Vec<Told>, Option<i64>) {
        let (days, next) = recorded_days(timeline, &zone.parse().unwrap(), most);
        let told = days.iter().map(|day| {
            let seconds = day.recorded.0 / SECOND;
            (
                day.day.to_string(),
                seconds,
                day.first.0,
                day.last.0,
                day.gaps,
            )
        });
        (told.collect(), next.map(|next| next.0))
    }

    /// A run over the whole night on which Berlin set its clock back, a gap over midnight, and a day with nothing.
    #[test]
    fn days_are_those_of_the_zone() {
        let (a, b) = (at("2026-10-24T10:00:00Z"), at("2026-10-25T22:30:00Z"));
        let (c, d) = (at("2026-10-25T23:30:00Z"), at("2026-10-26T02:00:00Z"));
        let (e, f) = (at("2026-10-28T00:00:00Z"), at("2026-10-28T00:00:01Z"));
        let timeline = timeline(&[(a, b), (c, d), (e, f)], &[(b, c), (d, e)]);
        let midnight = |day| at(&format!("2026-10-{day}:00:00Z"));
        let expected = vec![
            ("2026-10-24".to_owned(), 12 * 3600, a, midnight("24T22"), 0),
            (
                "2026-10-25".to_owned(),
                24 * 3600 + 1800,
                midnight("24T22"),
                b,
                1,
            ),
            ("2026-10-26".to_owned(), 9000, c, d, 2),
            ("2026-10-28".to_owned(), 1, e, f, 1),
        ];
        assert_eq!(
            told(&timeline, "Europe/Berlin", 9),
            (expected.clone(), None)
        );
        let (first, next) = told(&timeline, "Europe/Berlin", 2);
        assert_eq!(
            (&first[..], next),
            (&expected[..2], Some(midnight("25T23")))
        );
    }

    #[test]
    fn an_instant_recorded_twice_counts_once() {
        let start = at("2026-11-23T00:00:00Z");
        let second = |at: i64| start + at * SECOND;
        let runs = [
            (second(0), second(100)),
            (second(40), second(60)),
            (second(90), second(130)),
        ];
        let (days, _) = told(&timeline(&runs, &[]), "UTC", 9);
        assert_eq!(
            days,
            [("2026-11-23".to_owned(), 130, start, second(130), 0)]
        );
    }

    #[test]
    fn times_beyond_all_calendars_are_left_out() {
        let (days, next) = told(&timeline(&[(i64::MAX - 5, i64::MAX)], &[]), "UTC", 9);
        assert_eq!((days.len(), next), (0, None));
    }

    /// Goal: nothing is lost and nothing counted twice. Method: random runs; the days' seconds add up to the seconds covered.
    #[test]
    fn days_add_up_to_what_is_recorded() {
        for number in 0..50 {
            let mut random = Seed::new(number);
            let mut runs = Vec::new();
            let mut time = at("2026-01-01T00:00:00Z");
            let mut sum = 0;
            for _ in 0..random.between(1, 60) {
                time += random.below(2 * 86_400) as i64 * SECOND;
                let end = time + random.between(1, 3 * 86_400) as i64 * SECOND;
                runs.push((time, end));
                sum += end - time;
                time = end;
            }
            for zone in [
                "UTC",
                "Asia/Ho_Chi_Minh",
                "Europe/Berlin",
                "Australia/Lord_Howe",
            ] {
                let (days, next) = told(&timeline(&runs, &[]), zone, usize::MAX);
                let told: i64 = days.iter().map(|day| day.1).sum();
                assert_eq!((told * SECOND, next), (sum, None), "SEED={number} {zone}");
            }
        }
    }
}
