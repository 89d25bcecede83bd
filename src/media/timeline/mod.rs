//! From RTP ticks to wall time on the recorder's clock: one timeline per run, a clock per track.
//!
//! A camera counts ticks with its own crystal; the recorder knows when packets came. The path between them only ever delays, so
//! the least delayed packets of the last half minute tell where the camera's clock stands, and frame times follow them slowly
//! (`SLEW_PPM_MAX`): jitter of the network never reaches a frame time, and after days times still agree with the recorder's clock.
//!
//! Rules kept: (T1) times of a track are unique and rise strictly in presentation order; (T2) the distance of two frames is that of
//! their ticks but for the slew; (T3) a jump of the camera's ticks or a step of the wall clock is never hidden: `place` answers with
//! a `Step`, and the caller ends the run with cause `clock` and begins a new timeline.
//!
//! RTCP sender reports do two things: they align the other tracks with track 0, and they tell the camera's own clock, which is
//! recorded beside the recorder's and never replaces it.

mod delay;
mod track;

use super::TrackId;
use crate::base::{Micros, UnixMicros};
use track::{AheadOrBehind, TrackTimeline};

/// How far the rate of track 0 is bent to follow the camera's crystal, in parts per million. Crystals err by 20 to 100.
pub const SLEW_PPM_MAX: i64 = 1000;
/// How far the other tracks are bent, which must reach track 0 within a minute.
pub const ALIGN_PPM_MAX: i64 = 5000;
/// Sender reports which would move a track further than this from its time of receipt are not believed: cameras set their clock
/// between the reports of two tracks. Half of `TimelineLimits::DEFAULT.ticks`, so that alignment alone is never a step.
pub const ALIGN_MAX: Micros = Micros::from_millis(500);

/// Where a track's times come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSource {
    /// Its RTP timestamps.
    Ticks {
        /// Ticks per second.
        clock_rate: u32,
    },
    /// Only its times of receipt: for metadata, and for cameras whose RTP clock stands still or jumps all the time.
    Receipt,
}

/// From where on a difference is a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineLimits {
    /// Ticks against time of receipt.
    pub ticks: Micros,
    /// Wall clock against monotonic clock.
    pub wall: Micros,
}

impl TimelineLimits {
    /// One second, half a second.
    pub const DEFAULT: Self = Self {
        ticks: Micros::from_secs(1),
        wall: Micros::from_millis(500),
    };
}

/// A frame (or packet) that came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Its track.
    pub track: TrackId,
    /// Its RTP timestamp.
    pub rtp_timestamp: u32,
    /// When it came, by the wall clock.
    pub wall: UnixMicros,
    /// When it came, by the monotonic clock.
    pub monotonic: Micros,
}

/// What an RTCP sender report says of a track (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug)]
pub struct SenderReport {
    /// Its track.
    pub track: TrackId,
    /// The camera's clock, as a 64-bit NTP timestamp; 0 when it has none.
    pub ntp: u64,
    /// The same instant in ticks of the track.
    pub rtp_timestamp: u32,
    /// When the report came, by the recorder's wall clock.
    pub wall: UnixMicros,
}

/// Time does not go on: the run must end here, with cause `clock`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Step {
    /// The camera's ticks jumped.
    #[error("the RTP clock of track {} jumped by {by} against the time of receipt", track.0)]
    Ticks {
        /// The track that jumped.
        track: TrackId,
        /// How far; positive when the camera's clock jumped ahead.
        by: Micros,
    },
    /// The recorder's wall clock was set.
    #[error("the wall clock stepped by {by} against the monotonic clock")]
    Wall {
        /// How far; positive when it was set forward.
        by: Micros,
    },
}

/// The timeline of one run.
#[derive(Debug)]
pub struct Timeline {
    limits: TimelineLimits,
    tracks: Vec<TrackTimeline>,
    /// Wall minus monotonic time when the run began.
    wall_ahead: Option<Micros>,
    camera_offset: Option<Micros>,
}

impl Timeline {
    /// A timeline for tracks in order of their ids.
    ///
    /// # Panics
    /// When a clock rate is 0: depacketisers refuse such tracks.
    pub fn new(tracks: &[ClockSource], limits: TimelineLimits) -> Self {
        Self {
            limits,
            tracks: tracks
                .iter()
                .map(|source| TrackTimeline::new(*source))
                .collect(),
            wall_ahead: None,
            camera_offset: None,
        }
    }

    /// Learns from an arrival without giving it a time. Cameras that send the pictures since their last key frame in a burst are
    /// timed right when the caller holds the first frames of a connection for some hundred milliseconds, observes them as they
    /// come, and places them then (with their own times of receipt).
    ///
    /// # Panics
    /// When the track is not one of the timeline's.
    pub fn observe(&mut self, arrival: &Arrival) {
        self.tracks[usize::from(arrival.track.0)].observe(arrival);
    }

    /// The presentation time of a frame, in decode order within its track.
    ///
    /// # Panics
    /// When the track is not one of the timeline's.
    pub fn place(&mut self, arrival: &Arrival) -> Result<UnixMicros, Step> {
        let ahead = Micros(arrival.wall.0.saturating_sub(arrival.monotonic.0));
        let by = ahead - *self.wall_ahead.get_or_insert(ahead);
        if by.0.abs() > self.limits.wall.0 {
            return Err(Step::Wall { by });
        }
        let index = usize::from(arrival.track.0);
        let aligned = self.aligned_offset(index);
        let track = &mut self.tracks[index];
        track.observe(arrival);
        track
            .place(arrival, aligned, self.limits.ticks)
            .map_err(|AheadOrBehind(by)| Step::Ticks {
                track: arrival.track,
                by,
            })
    }

    /// Takes a sender report. Reports of a camera without a clock are ignored.
    ///
    /// # Panics
    /// When the track is not one of the timeline's.
    pub fn sender_report(&mut self, report: &SenderReport) {
        if report.ntp == 0 {
            return;
        }
        let camera = UnixMicros::from_ntp(report.ntp);
        let track = &mut self.tracks[usize::from(report.track.0)];
        let recorder = track.report(camera, report.rtp_timestamp);
        if report.track.0 == 0 || self.camera_offset.is_none() {
            self.camera_offset = Some(camera.since(recorder.unwrap_or(report.wall)));
        }
    }

    /// The camera's clock minus the recorder's, by the latest sender report.
    pub fn camera_offset(&self) -> Option<Micros> {
        self.camera_offset
    }

    /// Where the clock of a track other than 0 should stand so that the same instant of the camera's clock has the same time in
    /// both tracks.
    fn aligned_offset(&self, index: usize) -> Option<i64> {
        let (master, others) = self.tracks.split_first()?;
        let report = others.get(index.checked_sub(1)?)?.last_report()?;
        let time = master.time_of_camera(report.camera)?;
        Some(time.0 - report.media)
    }
}
