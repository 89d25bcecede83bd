//! From an order to a course through the recording: from where to where, which way, how fast, which frames. Pure.
//!
//! Times are those of the recorder's clock. `npt=` counts from the beginning of what the address names: from the key frame with which
//! `?start=` begins, else from the oldest frame that was left when the session first played. A range that reaches over what is recorded is
//! cut to it (GStreamer asks from 1900 on); one that has nothing in it is refused.

use crate::{
    api::rtsp::{
        address::Span,
        order::{FramesWanted, NormalTime, PlayOrder, PlayRange, clock_text},
        response::{Refusal, Status},
    },
    base::{Micros, UnixMicros},
    playback::replay::{Direction, FrameChoice},
};

/// From this scale on only key frames are sent: no client decodes so many pictures.
pub(super) const KEY_FRAMES_FROM: f64 = 4.0;
/// Then a picture is sent so often at most.
const KEY_FRAME_INTERVAL: Micros = Micros::from_millis(100);
/// `npt=` ends so much later in an answer: GStreamer reads no further than it is told, and the last pictures before the end may need one
/// that is shown behind it and sent before them.
const TOLD_BEHIND_END: Micros = Micros::from_secs(1);
/// A client's clock may be ahead by so much.
const CLOCK_DIFFERENCE_MAX: Micros = Micros::from_secs(10);

/// How the recording stands when an order comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// First and last instant recorded.
    pub(super) recorded: (UnixMicros, UnixMicros),
    /// Whether more comes.
    pub(super) grows: bool,
    /// The time.
    pub(super) now: UnixMicros,
    /// The part of the recording that the address names.
    pub(super) span: Option<Span>,
    /// Where `npt=` counts from.
    pub(super) base: UnixMicros,
    /// Where an order without a range begins, when something was played before.
    pub(super) place: Option<UnixMicros>,
}

/// In which unit times are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// `clock=`
    Clock,
    /// `npt=`
    Normal,
}

/// A course.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Course {
    pub(super) start: UnixMicros,
    pub(super) end: Option<UnixMicros>,
    pub(super) direction: Direction,
    pub(super) frames: FrameChoice,
    pub(super) unit: Unit,
    /// How many seconds of the recording pass in a second, whichever way.
    pub(super) scale: f64,
    /// How much faster it is sent.
    pub(super) speed: f64,
    /// Whether the server keeps the pace.
    pub(super) rate_control: bool,
    /// Whether packets carry ONVIF's header extension.
    pub(super) onvif: bool,
    /// The number of the request, as the extension tells it.
    pub(super) sequence: u8,
}

impl Course {
    /// The course that `order` wants.
    ///
    /// # Errors
    /// With 457 when its range makes no sense or nothing is recorded in it.
    pub(super) fn new(order: &PlayOrder, situation: &Situation) -> Result<Self, Refusal> {
        let direction = if order.scale < 0.0 {
            Direction::Reverse
        } else {
            Direction::Forward
        };
        let (start, end) = ends(order, situation, direction)?;
        Ok(Self {
            start,
            end,
            direction,
            frames: frames(order),
            unit: unit(order, situation),
            scale: order.scale.abs(),
            speed: order.speed.unwrap_or(1.0),
            rate_control: order.rate_control,
            onvif: order.onvif,
            sequence: order.cseq as u8,
        })
    }

    /// Whether `order`, which names no range, goes on with this course.
    pub(super) fn is_continued_by(&self, order: &PlayOrder) -> bool {
        let backwards = self.direction == Direction::Reverse;
        let scale = if backwards { -self.scale } else { self.scale };
        order.range.is_none()
            && order.scale == scale
            && order.rate_control == self.rate_control
            && frames(order) == self.frames
    }

    /// Goes on as `order` wants.
    pub(super) fn go_on(&mut self, order: &PlayOrder) {
        self.sequence = order.cseq as u8;
        self.speed = order.speed.unwrap_or(1.0);
        self.onvif |= order.onvif;
    }

    /// The value of `Range` in an answer: from `from` on.
    pub(super) fn range(&self, from: UnixMicros, base: UnixMicros) -> String {
        let text = |time: UnixMicros| match self.unit {
            Unit::Clock => clock_text(time),
            Unit::Normal => format!("{:.6}", time.since(base).0.max(0) as f64 / 1e6),
        };
        let unit = match self.unit {
            Unit::Clock => "clock",
            Unit::Normal => "npt",
        };
        let behind = match (self.unit, self.direction) {
            (Unit::Normal, Direction::Forward) => TOLD_BEHIND_END,
            _ => Micros::ZERO,
        };
        let end = self.end.map(|end| text(end + behind)).unwrap_or_default();
        format!("{unit}={}-{end}", text(from))
    }
}

fn unit(order: &PlayOrder, situation: &Situation) -> Unit {
    match order.range {
        Some(PlayRange::Normal { .. }) => Unit::Normal,
        None if situation.span.is_some() && !order.onvif => Unit::Normal,
        _ => Unit::Clock,
    }
}

fn frames(order: &PlayOrder) -> FrameChoice {
    let fast = order.rate_control && order.scale.abs() >= KEY_FRAMES_FROM;
    match order.frames {
        FramesWanted::All if fast => {
            let interval = KEY_FRAME_INTERVAL.0 as f64 * order.scale.abs();
            FrameChoice::Intra {
                interval: Micros(interval as i64),
            }
        }
        FramesWanted::All => FrameChoice::All,
        FramesWanted::Predicted => FrameChoice::Predicted,
        FramesWanted::Intra { interval } => FrameChoice::Intra { interval },
    }
}

/// The times an order names.
fn named(order: &PlayOrder, situation: &Situation) -> (Option<UnixMicros>, Option<UnixMicros>) {
    let time = |time: NormalTime| match time {
        NormalTime::Now => situation.now,
        NormalTime::At(after) => situation.base + after,
    };
    match order.range {
        None => (situation.place, None),
        Some(PlayRange::Clock { start, end }) => (start, end),
        Some(PlayRange::Normal { start, end }) => (start.map(time), end.map(time)),
    }
}

fn ends(
    order: &PlayOrder,
    situation: &Situation,
    direction: Direction,
) -> Result<(UnixMicros, Option<UnixMicros>), Refusal> {
    let wrong = |why: String| Refusal::new(Status::InvalidRange, why);
    let (oldest, newest) = situation.recorded;
    let lower = situation.span.map_or(oldest, |span| span.start.max(oldest));
    let until = situation.span.and_then(|span| span.end);
    let upper = until.map_or(newest, |until| until.min(newest));
    // What a camera sends now may be a little ahead of what is listed.
    let open = situation.grows && until.is_none_or(|until| until > newest);
    let nothing = || {
        let (from, to) = (clock_text(lower), clock_text(upper));
        wrong(format!(
            "nothing was recorded in this range; there is video from {from} to {to}"
        ))
    };
    match (direction, named(order, situation)) {
        (Direction::Forward, (Some(start), Some(end))) if end <= start => Err(wrong(
            "the range ends before it starts; write the earlier time first, or a Scale below zero to play backwards".to_owned(),
        )),
        (Direction::Forward, (start, end)) => {
            let start = start.unwrap_or(lower).max(lower);
            let end = [end, until].into_iter().flatten().min();
            let ahead = start >= upper;
            let soon = open && start <= situation.now.max(newest) + CLOCK_DIFFERENCE_MAX;
            if ahead && !soon || end.is_some_and(|end| end <= lower) {
                return Err(nothing());
            }
            Ok((start, end))
        }
        (Direction::Reverse, (start, end)) => {
            // A range whose ends were not exchanged for playing backwards is meant so.
            let (start, end) = match (start, end) {
                (Some(start), Some(end)) if start < end => (Some(end), Some(start)),
                other => other,
            };
            let start = start.unwrap_or(upper).min(upper);
            let bounded = situation.span.map(|span| span.start);
            let end = [end, bounded].into_iter().flatten().max();
            if start < lower || end.is_some_and(|end| end >= upper) {
                return Err(nothing());
            }
            Ok((start, end))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn at(seconds: i64) -> UnixMicros {
        UnixMicros(1_795_442_400_000_000 + seconds * SECOND)
    }

    fn situation() -> Situation {
        Situation {
            recorded: (at(0), at(100)),
            grows: true,
            now: at(100),
            span: None,
            base: at(0),
            place: None,
        }
    }

    fn order(range: Option<PlayRange>, scale: f64) -> PlayOrder {
        PlayOrder {
            cseq: 0x1_07,
            range,
            scale,
            speed: None,
            rate_control: true,
            frames: FramesWanted::All,
            immediate: false,
            onvif: false,
        }
    }

    fn clock(start: Option<UnixMicros>, end: Option<UnixMicros>) -> Option<PlayRange> {
        Some(PlayRange::Clock { start, end })
    }

    fn npt(start: i64, end: Option<i64>) -> Option<PlayRange> {
        let time = |seconds| NormalTime::At(Micros::from_secs(seconds));
        Some(PlayRange::Normal {
            start: Some(time(start)),
            end: end.map(time),
        })
    }

    type Ends = Result<(UnixMicros, Option<UnixMicros>), u16>;

    fn course(range: Option<PlayRange>, scale: f64, situation: Situation) -> Ends {
        let course = Course::new(&order(range, scale), &situation);
        course
            .map(|course| (course.start, course.end))
            .map_err(|refusal| refusal.status.code())
    }

    #[test]
    fn ranges_are_cut_to_what_is_recorded_and_refused_when_nothing_is() {
        let now = situation();
        let ended = Situation {
            grows: false,
            ..now
        };
        let year_1900 = UnixMicros(-2_208_988_800 * SECOND);
        let cases: [(Option<PlayRange>, f64, Situation, Ends); 12] = [
            (clock(Some(year_1900), None), 1.0, now, Ok((at(0), None))),
            (
                clock(Some(at(5)), Some(at(9))),
                1.0,
                now,
                Ok((at(5), Some(at(9)))),
            ),
            (clock(Some(at(9)), Some(at(5))), 1.0, now, Err(457)),
            (clock(Some(at(101)), None), 1.0, now, Ok((at(101), None))),
            (clock(Some(at(101)), None), 1.0, ended, Err(457)),
            (clock(Some(at(900)), None), 1.0, now, Err(457)),
            (clock(Some(year_1900), Some(at(-1))), 1.0, now, Err(457)),
            (
                clock(Some(at(9)), Some(at(5))),
                -1.0,
                now,
                Ok((at(9), Some(at(5)))),
            ),
            (
                clock(Some(at(5)), Some(at(9))),
                -1.0,
                now,
                Ok((at(9), Some(at(5)))),
            ),
            (clock(Some(at(5)), None), -1.0, now, Ok((at(5), None))),
            (None, -1.0, now, Ok((at(100), None))),
            (clock(Some(at(-1)), None), -1.0, now, Err(457)),
        ];
        for (range, scale, situation, expected) in cases {
            assert_eq!(
                course(range, scale, situation),
                expected,
                "{range:?} {scale}"
            );
        }
    }

    #[test]
    fn an_address_with_times_is_a_recording_of_its_own() {
        let span = Some(Span {
            start: at(10),
            end: Some(at(20)),
        });
        let part = Situation {
            span,
            base: at(9),
            ..situation()
        };
        assert_eq!(course(None, 1.0, part), Ok((at(10), Some(at(20)))));
        assert_eq!(course(npt(0, None), 1.0, part), Ok((at(10), Some(at(20)))));
        assert_eq!(
            course(npt(4, Some(6)), 1.0, part),
            Ok((at(13), Some(at(15))))
        );
        assert_eq!(course(npt(30, None), 1.0, part), Err(457));
        assert_eq!(course(None, -1.0, part), Ok((at(20), Some(at(10)))));
        let told = Course::new(&order(npt(4, Some(6)), 1.0), &part)
            .map(|course| course.range(at(12), at(9)));
        assert_eq!(told, Ok("npt=3.000000-7.000000".to_owned()));
    }

    #[test]
    fn fast_forward_shows_key_frames_and_without_a_pace_the_client_decides() {
        let wanted =
            |order: PlayOrder| Course::new(&order, &situation()).map(|course| course.frames);
        let every = |millis| {
            Ok(FrameChoice::Intra {
                interval: Micros::from_millis(millis),
            })
        };
        assert_eq!(wanted(order(None, 2.0)), Ok(FrameChoice::All));
        assert_eq!(wanted(order(None, 8.0)), every(800));
        assert_eq!(wanted(order(None, -16.0)), every(1_600));
        let unpaced = PlayOrder {
            rate_control: false,
            ..order(None, 8.0)
        };
        assert_eq!(wanted(unpaced), Ok(FrameChoice::All));
        let course = Course::new(&order(None, 2.0), &situation()).expect("a course");
        assert_eq!(course.sequence, 7);
        assert!(course.is_continued_by(&order(None, 2.0)));
        assert!(!course.is_continued_by(&order(None, -2.0)));
    }
}
