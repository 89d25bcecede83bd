//! Runs and gaps: what a stream's pieces, from all volumes, say of a range of time. Pure.
//!
//! A run that lost blocks in the middle is shown as several spans with a gap of cause `disk` between them (L7: no gap without a cause).

use crate::{
    base::{TimeRange, UnixMicros},
    media::GapCause,
    store::index::Piece,
};

/// A stretch that can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Span {
    /// First instant.
    pub start: UnixMicros,
    /// First instant after.
    pub end: UnixMicros,
}

/// A stretch without recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Gap {
    /// First instant without.
    pub start: UnixMicros,
    /// First instant with.
    pub end: UnixMicros,
    /// Why.
    pub cause: GapCause,
}

/// What is recorded of a stream, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Timeline {
    /// What can be played, in order.
    pub runs: Vec<Span>,
    /// What lies between, with its causes.
    pub gaps: Vec<Gap>,
}

impl Timeline {
    /// The timeline of `pieces`, which are sorted by (run, number) and may overlap where blocks were written twice, cut to `range`.
    pub fn new(pieces: &[Piece], range: TimeRange) -> Self {
        let mut all: Vec<(Span, Option<GapCause>)> = Vec::new();
        let mut before: Option<&Piece> = None;
        let mut next_number = 0;
        for piece in pieces {
            let same_run = before.is_some_and(|before| before.run == piece.run);
            let end_number = piece.number.saturating_add(piece.count);
            if same_run && piece.number <= next_number {
                if let Some((span, _)) = all.last_mut() {
                    span.end = span.end.max(piece.end);
                }
            } else {
                let cause = match before {
                    Some(_) if same_run => Some(GapCause::Disk),
                    Some(before) => Some(before.end_cause.unwrap_or(piece.start_cause)),
                    None => None,
                };
                all.push((
                    Span {
                        start: piece.first,
                        end: piece.end,
                    },
                    cause,
                ));
            }
            next_number = if same_run {
                next_number.max(end_number)
            } else {
                end_number
            };
            before = Some(piece);
        }
        let after = before.and_then(|piece| piece.end_cause);
        Self::cut(&all, after, range)
    }

    /// `after`: why nothing follows the last span, when its run ended.
    fn cut(all: &[(Span, Option<GapCause>)], after: Option<GapCause>, range: TimeRange) -> Self {
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
                timeline.runs.push(Span { start, end });
            }
            covered = covered.max(Some(span.end));
        }
        if let (Some(covered), Some(cause)) = (covered, after)
            && range.end < UnixMicros::MAX
        {
            gap(covered, range.end, cause, &mut timeline.gaps);
        }
        timeline
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        format::place::{Generation, Place},
        store::index::PieceSource,
    };

    fn piece(
        run: i64,
        number: u32,
        count: u32,
        first: i64,
        end: i64,
        ends: Option<GapCause>,
    ) -> Piece {
        let place = Place {
            segment: 0,
            generation: Generation(1),
            offset: 0,
            len: 0,
        };
        Piece {
            run: UnixMicros(run),
            number,
            count,
            first: UnixMicros(first),
            end: UnixMicros(end),
            start_cause: GapCause::Restart,
            end_cause: ends,
            clipped: false,
            source: PieceSource::Chapter(place),
        }
    }

    type Spans = (Vec<(i64, i64)>, Vec<(i64, i64, GapCause)>);

    fn timeline(pieces: &[Piece], from: i64, to: i64) -> Spans {
        let timeline = Timeline::new(
            pieces,
            TimeRange {
                start: UnixMicros(from),
                end: UnixMicros(to),
            },
        );
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
}
