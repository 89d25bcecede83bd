//! Runs and gaps: what a stream's pieces, from all volumes, say of a range of time. Pure.
//!
//! A run that lost blocks in the middle is shown as several spans with a gap of cause `disk` between them (L7: no gap without a cause).

use crate::{
    base::{Micros, TimeRange, UnixMicros},
    media::GapCause,
    store::{
        index::{Piece, PieceKey, Window},
        tail::TailBlock,
    },
};

/// Blocks of one run that follow each other, wherever they are: on a volume, or still in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The run.
    pub run: UnixMicros,
    /// Number of the first block.
    pub number: u32,
    /// How many blocks.
    pub count: u32,
    /// Earliest presentation time.
    pub first: UnixMicros,
    /// End of the latest frame.
    pub end: UnixMicros,
    /// Why there was a gap before the run.
    pub start_cause: GapCause,
    /// Why the run ended with this stretch.
    pub end_cause: Option<GapCause>,
    /// When the ring is expected to reach it, where that is known.
    pub kept_until: Option<UnixMicros>,
}

impl Stretch {
    /// Its part in `Window`: whether it ends after `range` begins, and begins before it ends.
    pub(crate) fn window(&self, range: TimeRange) -> Window {
        let key = PieceKey {
            run: self.run,
            number: self.number,
        };
        Window {
            from: (self.end > range.start).then_some(key),
            to: (self.first < range.end).then_some(key),
        }
    }
}

impl From<&Piece> for Stretch {
    fn from(piece: &Piece) -> Self {
        Self {
            run: piece.run,
            number: piece.number,
            count: piece.count,
            first: piece.first,
            end: piece.end,
            start_cause: piece.start_cause,
            end_cause: piece.end_cause,
            kept_until: None,
        }
    }
}

impl From<&TailBlock> for Stretch {
    fn from(block: &TailBlock) -> Self {
        Self {
            run: block.run.id.run,
            number: block.number,
            count: 1,
            first: block.first,
            end: block.end,
            start_cause: block.run.description.start_cause,
            end_cause: block.ends,
            kept_until: None,
        }
    }
}

/// A stretch that can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First instant.
    pub start: UnixMicros,
    /// First instant after.
    pub end: UnixMicros,
    /// When the ring is expected to reach its start (`Forecast`); `None` when that is not known.
    pub kept_until: Option<UnixMicros>,
    /// Whether it is still being recorded: `end` is that of the newest frame.
    pub growing: bool,
    /// Gaps inside that are too short to be shown (`Timeline::merged`).
    pub hidden_gaps: u32,
    /// How long those are together.
    pub hidden: Micros,
}

impl Span {
    /// The stretch `start..end`, of which nothing else is known.
    pub fn new(start: UnixMicros, end: UnixMicros) -> Self {
        Self {
            start,
            end,
            kept_until: None,
            growing: false,
            hidden_gaps: 0,
            hidden: Micros::ZERO,
        }
    }
}

/// A stretch without recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// First instant without.
    pub start: UnixMicros,
    /// First instant with.
    pub end: UnixMicros,
    /// Why.
    pub cause: GapCause,
}

/// What is recorded of a stream, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// What can be played, in order.
    pub runs: Vec<Span>,
    /// What lies between, with its causes.
    pub gaps: Vec<Gap>,
}

/// What is known besides the recordings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// The time: nothing is told of what is to come.
    pub now: Option<UnixMicros>,
    /// The run that is being recorded.
    pub growing: Option<UnixMicros>,
}

/// A span before it is cut to the range asked for, with the cause of the gap before it.
type Whole = (Span, Option<GapCause>);

impl Timeline {
    /// The timeline of `stretches`, which are sorted by (run, number) and may overlap where blocks were written twice or are not on
    /// disk yet, cut to `range`.
    pub fn new(stretches: &[Stretch], range: TimeRange, present: Present) -> Self {
        let mut all: Vec<Whole> = Vec::new();
        let mut before: Option<Stretch> = None;
        let mut next_number = 0;
        for stretch in stretches {
            let same_run = before.is_some_and(|before| before.run == stretch.run);
            let end_number = stretch.number.saturating_add(stretch.count);
            let ended = before.and_then(|before| before.end_cause);
            let overlaps = same_run && stretch.number < next_number;
            if !(same_run && stretch.number <= next_number) {
                let cause = match before {
                    Some(_) if same_run => Some(GapCause::Disk),
                    Some(_) => Some(ended.unwrap_or(stretch.start_cause)),
                    None => None,
                };
                all.push((Span::new(stretch.first, stretch.end), cause));
            }
            if let Some((span, _)) = all.last_mut() {
                span.end = span.end.max(stretch.end);
                // What is not asked for may go earlier.
                if stretch.end > range.start {
                    span.kept_until = span.kept_until.or(stretch.kept_until);
                }
            }
            next_number = if same_run {
                next_number.max(end_number)
            } else {
                end_number
            };
            // Of overlapping stretches either may tell the end.
            let end_cause = stretch.end_cause.or(ended.filter(|_| overlaps));
            before = Some(Stretch {
                end_cause,
                ..*stretch
            });
        }
        if let (Some(last), Some((span, _))) = (before, all.last_mut()) {
            span.growing = present.growing == Some(last.run);
        }
        let after = before.and_then(|stretch| stretch.end_cause);
        Self::cut(&all, after, range, present)
    }

    /// `after`: why nothing follows the last span, when its run ended.
    fn cut(all: &[Whole], after: Option<GapCause>, range: TimeRange, present: Present) -> Self {
        let mut timeline = Self::default();
        let clamp = |time: UnixMicros| time.clamp(range.start, range.end);
        let gap = |start: UnixMicros, end: UnixMicros, cause: GapCause, gaps: &mut Vec<Gap>| {
            let (start, end) = (clamp(start), clamp(end));
            if start < end {
                gaps.push(Gap { start, end, cause });
            }
        };
        let mut covered: Option<UnixMicros> = None;
        for (span, cause) in all {
            if let (Some(covered), Some(cause)) = (covered, cause) {
                gap(covered, span.start, *cause, &mut timeline.gaps);
            }
            let (start, end) = (clamp(span.start), clamp(span.end));
            if start < end {
                timeline.runs.push(Span {
                    start,
                    end,
                    growing: span.growing && span.end < range.end,
                    ..*span
                });
            }
            covered = covered.max(Some(span.end));
        }
        let until = present.now.map_or(range.end, |now| now.min(range.end));
        if let (Some(covered), Some(cause)) = (covered, after)
            && until < UnixMicros::MAX
        {
            gap(covered, until, cause, &mut timeline.gaps);
        }
        timeline
    }

    /// The timeline as it looks from afar: gaps shorter than `resolution` are not shown, and the runs they part become one that says how
    /// many it hides. So a picture of so many points needs no more spans than points, whatever was recorded.
    #[must_use]
    pub fn merged(self, resolution: Micros) -> Self {
        let mut runs: Vec<Span> = Vec::new();
        for span in self.runs {
            match runs.last_mut() {
                Some(last) if span.start.since(last.end) < resolution => {
                    let gap = span.start.since(last.end).max(Micros::ZERO);
                    last.hidden_gaps += span.hidden_gaps + u32::from(gap > Micros::ZERO);
                    last.hidden = last.hidden + span.hidden + gap;
                    last.end = last.end.max(span.end);
                    last.growing = span.growing;
                }
                _ => runs.push(span),
            }
        }
        let mut gaps = self.gaps;
        gaps.retain(|gap| gap.end.since(gap.start) >= resolution);
        Self { runs, gaps }
    }

    /// The runs and gaps that start at or after `cursor`, at most about `limit` (> 0) of both together; and the cursor of what follows.
    #[must_use]
    pub fn page(mut self, cursor: UnixMicros, limit: usize) -> (Self, Option<UnixMicros>) {
        self.runs.retain(|run| run.start >= cursor);
        self.gaps.retain(|gap| gap.start >= cursor);
        let runs = self.runs.iter().map(|run| run.start);
        let mut starts: Vec<UnixMicros> =
            runs.chain(self.gaps.iter().map(|gap| gap.start)).collect();
        starts.sort_unstable();
        // What starts together stays together, so that the next page begins behind this one.
        let first = starts.first().copied();
        let mut behind = starts.iter().skip(limit).copied();
        let next = behind.find(|start| Some(*start) > first);
        if let Some(next) = next {
            self.runs.retain(|run| run.start < next);
            self.gaps.retain(|gap| gap.start < next);
        }
        (self, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::Seed;

    fn piece(
        run: i64,
        number: u32,
        count: u32,
        first: i64,
        end: i64,
        ends: Option<GapCause>,
    ) -> Stretch {
        Stretch {
            run: UnixMicros(run),
            number,
            count,
            first: UnixMicros(first),
            end: UnixMicros(end),
            start_cause: GapCause::Restart,
            end_cause: ends,
            kept_until: None,
        }
    }

    fn range(from: i64, to: i64) -> TimeRange {
        TimeRange {
            start: UnixMicros(from),
            end: UnixMicros(to),
        }
    }

    type Spans = (Vec<(i64, i64)>, Vec<(i64, i64, GapCause)>);

    fn timeline(pieces: &[Stretch], from: i64, to: i64) -> Spans {
        let timeline = Timeline::new(pieces, range(from, to), Present::default());
        let runs = timeline
            .runs
            .iter()
            .map(|span| (span.start.0, span.end.0))
            .collect();
        let gaps = timeline
            .gaps
            .iter()
            .map(|gap| (gap.start.0, gap.end.0, gap.cause))
            .collect();
        (runs, gaps)
    }

    #[test]
    fn pieces_of_a_run_join_and_gaps_have_the_cause_of_the_end_before_them() {
        let pieces = [
            piece(0, 0, 5, 0, 100, None),
            piece(0, 5, 5, 100, 200, Some(GapCause::CameraLost)),
            piece(300, 0, 1, 300, 400, None),
            piece(500, 0, 1, 500, 600, Some(GapCause::Disabled)),
        ];
        let (runs, gaps) = timeline(&pieces, 50, 1000);
        assert_eq!(runs, [(50, 200), (300, 400), (500, 600)]);
        let expected = [
            (200, 300, GapCause::CameraLost),
            (400, 500, GapCause::Restart),
            (600, 1000, GapCause::Disabled),
        ];
        assert_eq!(gaps, expected);
    }

    #[test]
    fn a_hole_in_the_block_numbers_is_a_gap_of_the_disk() {
        let (runs, gaps) = timeline(
            &[piece(0, 0, 5, 0, 100, None), piece(0, 7, 1, 140, 200, None)],
            0,
            1000,
        );
        assert_eq!(
            (runs, gaps),
            (vec![(0, 100), (140, 200)], vec![(100, 140, GapCause::Disk)])
        );
    }

    #[test]
    fn blocks_written_twice_count_once() {
        let (runs, gaps) = timeline(
            &[piece(0, 0, 5, 0, 100, None), piece(0, 3, 6, 60, 180, None)],
            0,
            1000,
        );
        assert_eq!((runs, gaps.len()), (vec![(0, 180)], 0));
    }

    #[test]
    fn a_run_that_goes_on_at_once_leaves_no_gap() {
        let pieces = [
            piece(0, 0, 1, 0, 100, Some(GapCause::ParametersChanged)),
            piece(100, 0, 1, 100, 200, None),
        ];
        let (runs, gaps) = timeline(&pieces, 0, 1000);
        assert_eq!((runs, gaps.len()), (vec![(0, 100), (100, 200)], 0));
    }

    #[test]
    fn a_run_grows_until_it_is_no_longer_recorded_or_not_asked_for() {
        let pieces = [
            piece(0, 0, 1, 0, 100, Some(GapCause::CameraLost)),
            piece(300, 0, 1, 300, 400, None),
        ];
        let growing = |to, run| {
            let present = Present {
                now: None,
                growing: Some(UnixMicros(run)),
            };
            let timeline = Timeline::new(&pieces, range(0, to), present);
            timeline
                .runs
                .iter()
                .map(|run| run.growing)
                .collect::<Vec<_>>()
        };
        assert_eq!(growing(1000, 300), [false, true]);
        assert_eq!(growing(400, 300), [false, false]);
        assert_eq!(growing(1000, 0), [false, false]);
    }

    #[test]
    fn nothing_is_told_of_what_is_to_come() {
        let present = Present {
            now: Some(UnixMicros(150)),
            growing: None,
        };
        let ended = [piece(0, 0, 1, 0, 100, Some(GapCause::Disabled))];
        let timeline = Timeline::new(&ended, range(0, 1000), present);
        assert_eq!(
            (timeline.gaps[0].start.0, timeline.gaps[0].end.0),
            (100, 150)
        );
        let all = Timeline::new(&ended, TimeRange::ALL, present);
        assert_eq!(all.gaps[0].end.0, 150);
    }

    #[test]
    fn a_span_is_kept_until_the_ring_reaches_what_is_shown_of_it() {
        let kept = |piece, until| Stretch {
            kept_until: Some(UnixMicros(until)),
            ..piece
        };
        let pieces = [
            kept(piece(0, 0, 5, 0, 100, None), 1000),
            kept(piece(0, 5, 5, 100, 200, None), 2000),
            piece(0, 10, 1, 200, 300, None),
            piece(400, 0, 1, 400, 500, None),
        ];
        let told = |from| {
            let timeline = Timeline::new(&pieces, range(from, 1000), Present::default());
            timeline
                .runs
                .iter()
                .map(|run| run.kept_until.map(|time| time.0))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(0), [Some(1000), None]);
        assert_eq!(told(100), [Some(2000), None]);
        assert_eq!(told(250), [None, None]);
    }

    #[test]
    fn from_afar_short_gaps_are_hidden_and_counted() {
        let lost = Some(GapCause::CameraLost);
        let pieces = [
            piece(0, 0, 1, 0, 100, lost),
            piece(105, 0, 1, 105, 200, lost),
            piece(200, 0, 1, 200, 300, lost),
            piece(308, 0, 1, 308, 400, lost),
            piece(900, 0, 1, 900, 950, None),
        ];
        let whole = Timeline::new(&pieces, range(0, 1000), Present::default());
        let merged = whole.merged(Micros(10));
        let spans: Vec<_> = merged
            .runs
            .iter()
            .map(|run| (run.start.0, run.end.0, run.hidden_gaps, run.hidden.0))
            .collect();
        assert_eq!(spans, [(0, 400, 2, 13), (900, 950, 0, 0)]);
        assert_eq!(merged.gaps.len(), 1);
        // Once more changes nothing, and a coarser look adds up.
        assert_eq!(merged.clone().merged(Micros(10)), merged);
        let coarse = merged.merged(Micros(10_000));
        assert_eq!((coarse.runs.len(), coarse.runs[0].hidden.0), (1, 513));
        assert_eq!(coarse.runs[0].hidden_gaps, 3);
    }

    /// Goal: an answer never has more spans than the picture has points. Method: a camera that comes and goes at random.
    #[test]
    fn a_merged_timeline_is_bounded_by_its_resolution() {
        for number in 0..50 {
            let mut random = Seed::new(number);
            let mut time = 0;
            let mut pieces = Vec::new();
            while time < 1_000_000 {
                let end = time + random.between(1, 400) as i64;
                pieces.push(piece(time, 0, 1, time, end, Some(GapCause::CameraLost)));
                time = end + random.below(2000) as i64;
            }
            let asked = range(0, 1_000_000);
            let resolution = random.between(10, 5000) as i64;
            let whole = Timeline::new(&pieces, asked, Present::default());
            let merged = whole.merged(Micros(resolution));
            let most = (1_000_000 / resolution + 1) as usize;
            assert!(merged.runs.len() <= most + 1, "SEED={number}");
            assert!(merged.gaps.len() <= most, "SEED={number}");
        }
    }

    /// Goal: pages together are the whole. Method: random timelines, some with runs that overlap, in pages of every size.
    #[test]
    fn pages_add_up_to_the_whole() {
        for number in 0..200 {
            let mut random = Seed::new(number);
            let mut pieces = Vec::new();
            for run in 0..random.between(1, 30) as i64 {
                let first = run * 100 + random.below(300) as i64;
                let end = first + random.between(1, 250) as i64;
                pieces.push(piece(run, 0, 1, first, end, Some(GapCause::CameraLost)));
            }
            let whole = Timeline::new(&pieces, range(50, 5000), Present::default());
            let limit = random.between(1, 10) as usize;
            let (mut runs, mut gaps) = (Vec::new(), Vec::new());
            let mut cursor = Some(UnixMicros::MIN);
            while let Some(from) = cursor {
                let (page, next) = whole.clone().page(from, limit);
                assert!(next.is_none_or(|next| next > from), "SEED={number}");
                assert!(page.runs.len() + page.gaps.len() > 0, "SEED={number}");
                runs.extend(page.runs);
                gaps.extend(page.gaps);
                cursor = next;
            }
            let by_start = |mut runs: Vec<Span>| {
                runs.sort_by_key(|run| (run.start, run.end));
                runs
            };
            assert_eq!(by_start(runs), by_start(whole.runs), "SEED={number}");
            gaps.sort_by_key(|gap| gap.start);
            let mut expected = whole.gaps;
            expected.sort_by_key(|gap| gap.start);
            assert_eq!(gaps, expected, "SEED={number}");
        }
    }
}
