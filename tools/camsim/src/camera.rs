//! A simulated camera: which frame is due when, independent of who watches.
//!
//! All sessions of a camera get the same frames with the same marks; a session only decides how they travel. The timeline is a list of
//! segments: a new one begins when the camera goes over to another clip or its RTP clock jumps, so frame numbers and times stay computable.

use crate::clip::{Clip, Unit};
use crate::clock::nanos;
use crate::fault::KeepAlive;
use crate::report::SessionReport;
use crate::sound::Sound;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Older pieces of the timeline are forgotten; a session never lags that many changes behind.
const SEGMENTS_MAX: usize = 64;
/// Stalls remembered.
const STALLS_MAX: usize = 64;

/// One camera.
#[derive(Debug)]
pub(crate) struct Camera {
    pub(crate) name: String,
    segments: VecDeque<Segment>,
    stalls: VecDeque<Stall>,
    sound_start_ns: u64,
    /// Added to audio timestamps by clock jumps.
    pub(crate) sound_jump: u32,
    pub(crate) settings: Settings,
    /// Sessions send nothing before this, then all that was due.
    pub(crate) hold_until_ns: u64,
    /// Connections are closed until then.
    pub(crate) down_until_ns: u64,
    /// Frames below this number have been weighed for random faults.
    pub(crate) weighed: u64,
    pub(crate) ended: Vec<SessionReport>,
}

/// Faults that last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) drop: f64,
    pub(crate) duplicate: f64,
    pub(crate) reorder: f64,
    pub(crate) refuse: bool,
    pub(crate) unauthorized: bool,
    pub(crate) ntp_offset_us: i64,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) strict: bool,
    pub(crate) decoding_order: bool,
}

impl Settings {
    /// Nothing happens to single packets.
    pub(crate) fn spares_packets(&self) -> bool {
        self.drop == 0.0 && self.duplicate == 0.0 && self.reorder == 0.0
    }
}

/// A piece of the timeline: one clip, repeated without end.
#[derive(Debug)]
struct Segment {
    /// Number of its first frame, when that is due, and its RTP time.
    first: u64,
    due_ns: u64,
    ticks: u64,
    clip: Arc<Clip>,
    /// Where in the clip it begins.
    shift: u64,
}

#[derive(Debug)]
struct Stall {
    frames: Range<u64>,
    time_ns: Range<u64>,
}

/// One frame of a camera.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) unit: &'a Unit,
    pub(crate) due_ns: u64,
    /// RTP time before a session's offset.
    pub(crate) ticks: u32,
}

impl Camera {
    /// A camera whose frame 0 is due at `start_ns`, `shift` pictures into the clip.
    pub(crate) fn new(name: String, clip: Arc<Clip>, start_ns: u64, shift: u64) -> Self {
        let segment = Segment {
            first: 0,
            due_ns: start_ns,
            ticks: 0,
            clip,
            shift,
        };
        Self {
            name,
            segments: VecDeque::from([segment]),
            stalls: VecDeque::new(),
            sound_start_ns: start_ns,
            sound_jump: 0,
            settings: Settings::default(),
            hold_until_ns: 0,
            down_until_ns: 0,
            weighed: 0,
            ended: Vec::new(),
        }
    }

    /// The clip that plays at `at_ns`.
    pub(crate) fn clip(&self, at_ns: u64) -> &Arc<Clip> {
        &self.segment_at(at_ns).clip
    }

    /// The sound, if the camera has a microphone.
    pub(crate) fn sound(&self) -> Option<&Sound> {
        self.segments
            .front()
            .and_then(|segment| segment.clip.sound.as_ref())
    }

    pub(crate) fn sound_due_ns(&self, sound: &Sound, number: u64) -> u64 {
        self.sound_start_ns + sound.due_ns(number)
    }

    pub(crate) fn sound_from(&self, sound: &Sound, at_ns: u64) -> u64 {
        sound.first_after(at_ns.saturating_sub(self.sound_start_ns))
    }

    /// Whether the camera is stalled at that time.
    pub(crate) fn silent(&self, at_ns: u64) -> bool {
        self.stalls
            .iter()
            .any(|stall| stall.time_ns.contains(&at_ns))
    }

    /// The frame of that number.
    pub(crate) fn frame(&self, number: u64) -> Frame<'_> {
        let segment = self.segment_of(number);
        let unit = segment.unit(number);
        let steps = number.saturating_sub(segment.first) + unit.shown;
        let index = segment.index(number);
        let ticks = segment
            .ticks
            .wrapping_add(steps.wrapping_sub(index).wrapping_mul(segment.clip.period));
        Frame {
            unit,
            due_ns: segment.due_of(number),
            ticks: ticks as u32,
        }
    }

    /// The first frame due at or after `at_ns`.
    pub(crate) fn first_from(&self, at_ns: u64) -> u64 {
        let segment = self.segment_at(at_ns);
        let scaled = u128::from(at_ns.saturating_sub(segment.due_ns)) * 9;
        segment.first + scaled.div_ceil(u128::from(segment.clip.period) * 100_000) as u64
    }

    /// `number`, or where the camera goes on if it stalled over that frame.
    pub(crate) fn past_stalls(&self, number: u64) -> u64 {
        let over = self
            .stalls
            .iter()
            .find(|stall| stall.frames.contains(&number));
        over.map_or(number, |stall| stall.frames.end)
    }

    /// The first key frame from `number` on.
    pub(crate) fn next_key(&self, number: u64) -> u64 {
        self.next_where(number, |unit| unit.key)
    }

    /// The last key frame at or before `number`; the next one if there is none yet.
    pub(crate) fn last_key(&self, number: u64) -> u64 {
        let oldest = self.segments.front().map_or(0, |segment| segment.first);
        let back = (oldest..=number)
            .rev()
            .take(self.clip_len(number))
            .find(|n| self.frame(*n).unit.key);
        back.unwrap_or_else(|| self.next_key(number))
    }

    /// The RTP time of a picture taken at `at_ns`: it is sent later by the reordering delay.
    pub(crate) fn ticks_at(&self, at_ns: u64) -> u32 {
        let segment = self.segment_at(at_ns);
        let since = u128::from(at_ns.saturating_sub(segment.due_ns)) * 9 / 100_000;
        let delay = segment.clip.delay * segment.clip.period;
        (u128::from(segment.ticks) + since + u128::from(delay)) as u32
    }

    /// The RTP time of sound taken at `at_ns`.
    pub(crate) fn sound_ticks_at(&self, sound: &Sound, at_ns: u64) -> u32 {
        let since = at_ns.saturating_sub(self.sound_start_ns);
        let samples = u128::from(since) * u128::from(sound.hz) / 1_000_000_000;
        (samples as u32).wrapping_add(self.sound_jump)
    }

    /// Makes no frames from `now_ns` for `time`, and then until a key frame.
    pub(crate) fn stall(&mut self, now_ns: u64, time: Duration) {
        let from = self.first_from(now_ns);
        let until = self.next_key(self.first_from(now_ns.saturating_add(nanos(time))));
        let time_ns = now_ns..self.frame(until).due_ns;
        self.stalls.push_back(Stall {
            frames: from..until,
            time_ns,
        });
        if self.stalls.len() > STALLS_MAX {
            self.stalls.pop_front();
        }
    }

    /// Moves the RTP clock by `jump_ms` from the next frame on.
    pub(crate) fn jump(&mut self, now_ns: u64, jump_ms: i64) {
        let first = self.first_from(now_ns).max(self.last().first);
        let (clip, shift) = (Arc::clone(&self.last().clip), self.last().index(first));
        self.begin(first, clip, shift, (jump_ms * 90) as u64);
        if let Some(hz) = self.sound().map(|sound| sound.hz) {
            self.sound_jump = self
                .sound_jump
                .wrapping_add((jump_ms * hz as i64 / 1_000) as u32);
        }
    }

    /// Goes over to another clip at the next picture that nothing later looks behind.
    pub(crate) fn switch(&mut self, now_ns: u64, clip: Arc<Clip>) {
        let from = self.first_from(now_ns).max(self.last().first);
        let first = self.next_where(from, |unit| unit.closed);
        self.begin(first, clip, 0, 0);
    }

    fn begin(&mut self, first: u64, clip: Arc<Clip>, shift: u64, jump: u64) {
        let last = self.last();
        let ticks = last
            .ticks
            .wrapping_add((first - last.first) * last.clip.period)
            .wrapping_add(jump);
        let due_ns = last.due_of(first);
        self.segments.push_back(Segment {
            first,
            due_ns,
            ticks,
            clip,
            shift,
        });
        if self.segments.len() > SEGMENTS_MAX {
            self.segments.pop_front();
        }
    }

    fn next_where(&self, number: u64, wanted: impl Fn(&Unit) -> bool) -> u64 {
        let reach = number..number + 2 * self.clip_len(number) as u64;
        let mut reach = reach.filter(|n| wanted(self.frame(*n).unit));
        reach
            .next()
            .expect("every clip begins with a closed key frame")
    }

    fn clip_len(&self, number: u64) -> usize {
        self.segment_of(number).clip.units.len()
    }

    fn last(&self) -> &Segment {
        self.segments.back().expect("a camera has a segment")
    }

    fn segment_of(&self, number: u64) -> &Segment {
        let newest = self
            .segments
            .iter()
            .rev()
            .find(|segment| segment.first <= number);
        newest
            .or(self.segments.front())
            .expect("a camera has a segment")
    }

    fn segment_at(&self, at_ns: u64) -> &Segment {
        let newest = self
            .segments
            .iter()
            .rev()
            .find(|segment| segment.due_ns <= at_ns);
        newest
            .or(self.segments.front())
            .expect("a camera has a segment")
    }
}

impl Segment {
    fn index(&self, number: u64) -> u64 {
        (number.saturating_sub(self.first) + self.shift) % self.clip.units.len() as u64
    }

    fn unit(&self, number: u64) -> &Unit {
        &self.clip.units[self.index(number) as usize]
    }

    fn due_of(&self, number: u64) -> u64 {
        let ticks = u128::from(number.saturating_sub(self.first)) * u128::from(self.clip.period);
        self.due_ns + (ticks * 100_000 / 9) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clip;

    fn camera(name: &str, shift: u64) -> Camera {
        let clip = Arc::new(Clip::load(clip::find(name).unwrap(), 1400, None));
        Camera::new("cam0".to_owned(), clip, 5_000_000, shift)
    }

    /// Goal: over the loop point the timestamps go on as if the clip had no end. Method: presentation times of three laps, sorted.
    #[test]
    fn time_goes_on_over_the_loop_point() {
        for shift in [0, 7] {
            let camera = camera("h264b", shift);
            let mut times: Vec<i32> = (0..450).map(|n| camera.frame(n).ticks as i32).collect();
            times.sort_unstable();
            let steps: Vec<i32> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
            // The first group may begin in the middle, with pictures whose neighbours were never made.
            assert!(
                steps[10..440].iter().all(|step| *step == 3600),
                "shift {shift}: {steps:?}"
            );
        }
    }

    #[test]
    fn first_from_is_the_inverse_of_due() {
        let camera = camera("h264", 3);
        for number in [0, 1, 2, 119, 120, 1_000_003] {
            let due = camera.frame(number).due_ns;
            assert_eq!(camera.first_from(due), number);
            assert_eq!(camera.first_from(due + 12), number + 1);
        }
    }

    #[test]
    fn a_switch_waits_for_an_idr_picture_and_keeps_the_beat() {
        let mut camera = camera("h264", 0);
        let other = Arc::new(Clip::load(clip::find("multi").unwrap(), 1400, None));
        camera.switch(3_000_000_000, other);
        assert_eq!(camera.clip(4_100_000_000).name, "multi");
        assert_eq!(camera.clip(3_900_000_000).name, "h264");
        assert!(camera.frame(60).unit.closed);
        assert_eq!(camera.frame(60).ticks - camera.frame(59).ticks, 6000);
        camera.jump(5_000_000_000, -2_000);
        let step = |n: u64| {
            camera
                .frame(n + 1)
                .ticks
                .wrapping_sub(camera.frame(n).ticks) as i32
        };
        let steps: Vec<i32> = (60..90).map(step).filter(|step| *step != 6000).collect();
        assert_eq!(steps, [6000 - 180_000]);
    }

    #[test]
    fn a_stall_ends_at_a_key_frame() {
        let mut camera = camera("h264", 0);
        camera.stall(1_000_000_000, Duration::from_millis(100));
        let resumed = camera.past_stalls(20);
        assert_eq!(resumed, 30);
        assert!(camera.frame(resumed).unit.key);
        assert!(camera.silent(1_500_000_000) && !camera.silent(2_100_000_000));
    }
}
