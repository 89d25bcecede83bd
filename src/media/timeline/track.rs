//! One track's clock: ticks without wraps, and a rising piecewise straight line from ticks to wall time.
//!
//! The line is bent only beyond the newest tick seen, so that B-frames, which come later with earlier ticks, fall on the same line
//! as their neighbours (rule T1).

use super::{ALIGN_MAX, ALIGN_PPM_MAX, Arrival, ClockSource, SLEW_PPM_MAX, delay::LeastDelay};
use crate::base::{Micros, UnixMicros};
use std::collections::VecDeque;

/// Media time between two bends of the line, in microseconds.
const BEND_INTERVAL_US: i64 = 1_000_000;
/// An error is slewed away as if within this time: a hundredth of a second of error bends by 1000 ppm.
const SETTLE_SECONDS: i64 = 10;
/// Pieces of the line kept for frames that come later with earlier ticks.
const PIECES_MAX: usize = 32;
/// Times kept to keep times unique.
const RECENT_MAX: usize = 512;
/// A delay is taken for a jump when it lasts so long, on at least so many frames: a network that stood still catches up before.
const LATE_FOR: Micros = Micros::from_secs(2);
const LATE_FRAMES: u32 = 5;

/// How far ticks and time of receipt fell apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct AheadOrBehind(pub(super) Micros);

/// A sender report in this track's terms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report {
    /// The camera's clock.
    pub(super) camera: UnixMicros,
    /// Media time of the same instant in microseconds.
    pub(super) media: i64,
}

/// A piece of the line, from media time `media` on: `time + (m - media) * (1 + ppm / 1e6)`.
#[derive(Debug, Clone, Copy)]
struct Piece {
    media: i64,
    time: i64,
    ppm: i64,
}

impl Piece {
    fn at(&self, media: i64) -> i64 {
        let span = i128::from(media - self.media);
        let bent = span * i128::from(1_000_000 + self.ppm);
        self.time + bent.div_euclid(1_000_000) as i64
    }
}

/// The clock of one track.
#[derive(Debug)]
pub(super) struct TrackTimeline {
    source: ClockSource,
    /// Timestamp seen last and its unwrapped ticks.
    last: Option<(u32, i64)>,
    newest_media: i64,
    pieces: VecDeque<Piece>,
    delay: LeastDelay,
    late: Option<(Micros, u32)>,
    last_placed_media: Option<i64>,
    report: Option<Report>,
    /// A report that came before the first frame.
    early_report: Option<(UnixMicros, u32)>,
    /// Times given lately, rising.
    recent: VecDeque<i64>,
}

impl TrackTimeline {
    pub(super) fn new(source: ClockSource) -> Self {
        if let ClockSource::Ticks { clock_rate } = source {
            assert!(clock_rate > 0);
        }
        Self {
            source,
            last: None,
            newest_media: 0,
            pieces: VecDeque::new(),
            delay: LeastDelay::default(),
            late: None,
            last_placed_media: None,
            report: None,
            early_report: None,
            recent: VecDeque::new(),
        }
    }

    /// Media time in microseconds since the first timestamp; follows wraps.
    fn media_of(&self, rtp_timestamp: u32) -> Option<(i64, i64)> {
        let ClockSource::Ticks { clock_rate } = self.source else {
            return None;
        };
        let ticks = match self.last {
            Some((last, ticks)) => ticks + i64::from(rtp_timestamp.wrapping_sub(last) as i32),
            None => 0,
        };
        let media = i128::from(ticks) * 1_000_000;
        Some((ticks, media.div_euclid(i128::from(clock_rate)) as i64))
    }

    pub(super) fn observe(&mut self, arrival: &Arrival) {
        let Some((ticks, media)) = self.media_of(arrival.rtp_timestamp) else {
            return;
        };
        self.last = Some((arrival.rtp_timestamp, ticks));
        self.delay
            .add(arrival.monotonic, arrival.wall.0.saturating_sub(media));
        if let Some((camera, rtp_timestamp)) = self.early_report.take() {
            self.report(camera, rtp_timestamp);
        }
    }

    /// The time of a frame already observed. `aligned` is where sender reports want the offset (time minus media time) to be.
    pub(super) fn place(
        &mut self,
        arrival: &Arrival,
        aligned: Option<i64>,
        limit: Micros,
    ) -> Result<UnixMicros, AheadOrBehind> {
        let Some((_, media)) = self.media_of(arrival.rtp_timestamp) else {
            let after = self.recent.back().map_or(i64::MIN, |last| last + 1);
            return Ok(self.unique(arrival.wall.0.max(after)));
        };
        let offset = arrival.wall.0.saturating_sub(media);
        if self.pieces.is_empty() {
            self.begin(media, aligned);
        }
        self.check(arrival.monotonic, media, offset, limit)?;
        self.last_placed_media = Some(media);
        self.bend(media, aligned);
        let time = self.time_of_media(media);
        Ok(self.unique(time))
    }

    fn begin(&mut self, media: i64, aligned: Option<i64>) {
        let least = self.delay.least().expect("observed before placed");
        let offset = believed(aligned, least).unwrap_or(least);
        self.newest_media = media;
        self.pieces.push_back(Piece {
            media,
            time: media + offset,
            ppm: 0,
        });
    }

    /// Rule T3.
    fn check(
        &mut self,
        now: Micros,
        media: i64,
        offset: i64,
        limit: Micros,
    ) -> Result<(), AheadOrBehind> {
        if let Some(last) = self.last_placed_media
            && media < last - limit.0
        {
            return Err(AheadOrBehind(Micros(media - last)));
        }
        let error = offset - (self.time_of_media(media) - media);
        if error < -limit.0 {
            return Err(AheadOrBehind(Micros(-error)));
        }
        if error <= limit.0 {
            self.late = None;
            return Ok(());
        }
        let (since, frames) = self.late.get_or_insert((now, 0));
        *frames += 1;
        if now - *since >= LATE_FOR && *frames >= LATE_FRAMES {
            return Err(AheadOrBehind(Micros(-error)));
        }
        Ok(())
    }

    /// Bends the line towards the wanted offset, beyond the newest media time.
    fn bend(&mut self, media: i64, aligned: Option<i64>) {
        if media <= self.newest_media {
            return;
        }
        self.newest_media = media;
        let last = *self.pieces.back().expect("begun");
        if media < last.media + BEND_INTERVAL_US {
            return;
        }
        let least = self.delay.least().expect("observed before placed");
        let (wanted, ppm_max) = match believed(aligned, least) {
            Some(aligned) => (aligned, ALIGN_PPM_MAX),
            None => (least, SLEW_PPM_MAX),
        };
        let time = last.at(media);
        let error = wanted - (time - media);
        self.pieces.push_back(Piece {
            media,
            time,
            ppm: (error / SETTLE_SECONDS).clamp(-ppm_max, ppm_max),
        });
        if self.pieces.len() > PIECES_MAX {
            self.pieces.pop_front();
        }
    }

    fn time_of_media(&self, media: i64) -> i64 {
        let piece = self
            .pieces
            .iter()
            .rev()
            .find(|piece| piece.media <= media)
            .or(self.pieces.front());
        piece.expect("begun").at(media)
    }

    /// The same time, or the next that no frame of this track has (rule T1; cameras repeat timestamps).
    fn unique(&mut self, mut time: i64) -> UnixMicros {
        let mut at = self.recent.partition_point(|given| *given < time);
        while self.recent.get(at) == Some(&time) {
            time += 1;
            at += 1;
        }
        self.recent.insert(at, time);
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
        UnixMicros(time)
    }

    /// Takes a sender report; answers with the recorder's time of the same instant, once frames have times.
    pub(super) fn report(&mut self, camera: UnixMicros, rtp_timestamp: u32) -> Option<UnixMicros> {
        if self.last.is_none() {
            self.early_report = Some((camera, rtp_timestamp));
            return None;
        }
        let (_, media) = self.media_of(rtp_timestamp)?;
        self.report = Some(Report { camera, media });
        (!self.pieces.is_empty()).then(|| UnixMicros(self.time_of_media(media)))
    }

    pub(super) fn last_report(&self) -> Option<Report> {
        self.report
    }

    /// The recorder's time of an instant of the camera's clock.
    pub(super) fn time_of_camera(&self, camera: UnixMicros) -> Option<UnixMicros> {
        let report = self.report.filter(|_| !self.pieces.is_empty())?;
        let media = report.media.checked_add(camera.since(report.camera).0)?;
        // Far beyond what was seen the line means nothing: the camera set its clock.
        let near = media.abs_diff(self.newest_media) < 3600 * 1_000_000;
        near.then(|| UnixMicros(self.time_of_media(media)))
    }
}

fn believed(aligned: Option<i64>, least: i64) -> Option<i64> {
    aligned.filter(|aligned| aligned.abs_diff(least) <= ALIGN_MAX.0.unsigned_abs())
}
