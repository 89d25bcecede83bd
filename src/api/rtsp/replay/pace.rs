//! When a frame is sent, and for which time its RTP timestamp stands. Pure: the time is passed in.
//!
//! Where the server keeps the pace, RTP timestamps stand for the wall-clock times at which frames are to be shown, whatever the scale, and
//! gaps are closed (RFC 2326 §B): a client needs nothing but RTP to show them right. Backwards that is a picture's distance from the
//! start; it is shown in that order, but sent in the order in which it is decoded. Where the client sets the pace, timestamps are those of
//! the recording (ONVIF Streaming Specification, "Replay").

use super::course::Course;
use crate::{
    base::{Micros, UnixMicros},
    playback::replay::{Direction, ReplayFrame},
};

/// What follows a gap is shown so long after what was before it.
const CLOSED_GAP: Micros = Micros::from_millis(40);
/// Frames further apart than this, behind a jump, are parted by a gap.
const GAP_MIN: Micros = Micros::from_secs(1);

/// When a frame is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// The time that its RTP timestamp stands for.
    pub(super) at: UnixMicros,
    /// When it is sent, after playing began; `None` at once.
    pub(super) after: Option<Micros>,
}

/// The pace of a course.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    direction: Direction,
    rate_control: bool,
    scale: f64,
    speed: f64,
    /// Beginning on the clock of timestamps.
    begin: UnixMicros,
    /// A place on that clock and the time of the recording that stands there.
    anchor: Option<(UnixMicros, UnixMicros)>,
    /// The latest time of timestamps so far.
    latest_at: UnixMicros,
    /// The latest time of the recording, forwards; the one before, backwards.
    before: Option<UnixMicros>,
    /// When the last frame was sent, after the beginning.
    sent: Micros,
    live: bool,
}

impl Pace {
    /// Of a course that begins with the frame of time `first`, shown at `now`.
    pub(super) fn new(course: &Course, first: UnixMicros, now: UnixMicros) -> Self {
        Self {
            direction: course.direction,
            rate_control: course.rate_control,
            scale: course.scale,
            speed: course.speed,
            begin: now,
            anchor: Some((now, first)),
            latest_at: now,
            before: None,
            sent: Micros::ZERO,
            live: false,
        }
    }

    /// The time for which the timestamp of an instant of the recording stands, as far as is known.
    pub(super) fn at(&self, time: UnixMicros) -> UnixMicros {
        let Some((at, known)) = self.anchor.filter(|_| self.rate_control) else {
            return time;
        };
        let span = match self.direction {
            Direction::Forward => time.since(known),
            Direction::Reverse => known.since(time),
        };
        let scale = if self.live { 1.0 } else { self.scale };
        at + Micros((span.0 as f64 / scale) as i64)
    }

    /// The time for which timestamps stand so long after playing began; `None` where the client sets the pace.
    pub(super) fn now(&self, after: Micros) -> Option<UnixMicros> {
        let passed = Micros((after.0 as f64 * self.speed) as i64);
        self.rate_control.then(|| self.begin + passed)
    }

    /// The recording was followed to its newest frame: what comes is shown when it comes.
    pub(super) fn turn_live(&mut self, after: Micros) {
        self.live = true;
        let now = self.now(after).unwrap_or(self.latest_at);
        self.latest_at = self.latest_at.max(now);
        self.anchor = None;
    }

    /// The next frame in the order of sending.
    pub(super) fn next(&mut self, frame: &ReplayFrame) -> Due {
        let time = frame.frame.time;
        if !self.rate_control {
            return Due {
                at: time,
                after: None,
            };
        }
        let jump = frame.marks.discontinuity;
        let after_gap = self.latest_at + CLOSED_GAP;
        match self.direction {
            _ if self.anchor.is_none() => self.anchor = Some((after_gap, time)),
            Direction::Forward if jump && self.is_gap(time) => {
                self.anchor = Some((after_gap, time));
            }
            _ => {}
        }
        let at = self.at(time);
        self.sent = match self.direction {
            Direction::Forward => self.forward(at),
            Direction::Reverse => self.reverse(time, jump),
        };
        self.latest_at = self.latest_at.max(at);
        self.before = match self.direction {
            Direction::Forward => self.before.max(Some(time)),
            Direction::Reverse => Some(time),
        };
        Due {
            at,
            after: Some(self.sent).filter(|_| !self.live),
        }
    }

    fn is_gap(&self, time: UnixMicros) -> bool {
        let before = self.before;
        before.is_some_and(|before| time.since(before).0.abs() > GAP_MIN.0)
    }

    /// When it is shown, but not before what was sent before it.
    fn forward(&self, at: UnixMicros) -> Micros {
        let shown = at.since(self.begin).0 as f64 / self.speed;
        self.sent.max(Micros(shown as i64))
    }

    /// So long after the frame before as they are apart; the next group follows at once, as does what is behind a gap.
    fn reverse(&self, time: UnixMicros, jump: bool) -> Micros {
        let Some(before) = self.before else {
            return self.sent;
        };
        let apart = Micros(time.since(before).0.abs());
        // Groups of one frame are as far apart as their frames.
        let step = if jump && apart > GAP_MIN && self.scale < super::course::KEY_FRAMES_FROM {
            CLOSED_GAP
        } else if jump || time > before {
            apart
        } else {
            Micros::ZERO
        };
        let step = step.0 as f64 / (self.scale * self.speed);
        self.sent + Micros(step as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::course::Unit, *};
    use crate::{
        media::{Frame, FrameKind, TrackId},
        playback::replay::{FrameChoice, Marks},
    };

    fn course(direction: Direction, scale: f64, rate_control: bool) -> Course {
        Course {
            start: UnixMicros(0),
            end: None,
            direction,
            frames: FrameChoice::All,
            unit: Unit::Clock,
            scale,
            speed: 1.0,
            rate_control,
            onvif: true,
            sequence: 0,
        }
    }

    fn frame(millis: i64, jump: bool) -> ReplayFrame {
        ReplayFrame {
            frame: Frame {
                track: TrackId(0),
                kind: FrameKind::Key,
                time: UnixMicros(millis * 1_000),
                data: bytes::Bytes::from_static(b"x").into(),
            },
            marks: Marks {
                discontinuity: jump,
                ..Marks::default()
            },
        }
    }

    /// Milliseconds at which frames are shown and sent, from the beginning.
    fn paced(course: &Course, frames: &[(i64, bool)]) -> Vec<(i64, i64)> {
        let begin = UnixMicros(50_000_000);
        let first = UnixMicros(frames[0].0 * 1_000);
        let mut pace = Pace::new(course, first, begin);
        let due = frames.iter().map(|(millis, jump)| {
            let due = pace.next(&frame(*millis, *jump));
            let after = due.after.unwrap_or_default();
            (due.at.since(begin).0 / 1_000, after.0 / 1_000)
        });
        due.collect()
    }

    #[test]
    fn pictures_are_sent_when_they_are_shown_and_those_shown_earlier_with_them() {
        let normal = course(Direction::Forward, 1.0, true);
        let frames = [
            (0, true),
            (120, false),
            (40, false),
            (80, false),
            (160, false),
        ];
        let expected = [(0, 0), (120, 120), (40, 120), (80, 120), (160, 160)];
        assert_eq!(paced(&normal, &frames), expected);
        let double = course(Direction::Forward, 2.0, true);
        let frames = [(0, true), (40, false), (80, false)];
        assert_eq!(paced(&double, &frames), [(0, 0), (20, 20), (40, 40)]);
        let fast = Course {
            speed: 4.0,
            ..normal
        };
        assert_eq!(paced(&fast, &frames), [(0, 0), (40, 10), (80, 20)]);
    }

    #[test]
    fn a_gap_is_closed_and_a_run_that_goes_on_is_none() {
        let normal = course(Direction::Forward, 1.0, true);
        let frames = [
            (0, true),
            (40, false),
            (3_600_000, true),
            (3_600_040, false),
        ];
        assert_eq!(
            paced(&normal, &frames),
            [(0, 0), (40, 40), (80, 80), (120, 120)]
        );
        let frames = [(0, true), (40, false), (80, true), (120, false)];
        assert_eq!(
            paced(&normal, &frames),
            [(0, 0), (40, 40), (80, 80), (120, 120)]
        );
    }

    #[test]
    fn backwards_the_newest_picture_is_shown_first_and_groups_follow_each_other() {
        let back = course(Direction::Reverse, 1.0, true);
        let frames = [
            (1_000, true),
            (1_040, false),
            (1_080, false),
            (900, true),
            (940, false),
        ];
        let paced = paced(&back, &frames);
        let shown: Vec<i64> = paced.iter().map(|(shown, _)| *shown).collect();
        assert_eq!(shown, [0, -40, -80, 100, 60]);
        assert!(
            paced.windows(2).all(|pair| pair[0].1 <= pair[1].1),
            "{paced:?}"
        );
    }

    #[test]
    fn without_a_pace_timestamps_are_those_of_the_recording() {
        let free = course(Direction::Reverse, 1.0, false);
        let mut pace = Pace::new(&free, UnixMicros(0), UnixMicros(7));
        let due = pace.next(&frame(1_000, true));
        assert_eq!((due.at, due.after), (UnixMicros(1_000_000), None));
        assert_eq!(pace.now(Micros::ZERO), None);
    }
}
