//! When each sample of a track is decoded and shown, on the clock of a file whose runs stand behind each other: the second pass over the
//! frame table, the same for progressive and for fragmented files.

use super::{
    cut::Cut, decode_times::DecodeTimes, output_tracks::OutputTrack, sample_tables::Sample,
};
use crate::{
    base::UnixMicros,
    media::{FrameEntry, FrameKind},
};

/// Farthest from the start of the movie that a frame is believed to be, in microseconds: 36 years, so that sums never overflow.
const TIME_US_MAX: i64 = 1 << 50;

/// The samples of one track so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct SampleClock {
    times: Option<DecodeTimes>,
    first_us: i64,
    last_us: i64,
    last_decode: i64,
    last_run: usize,
    last_interval_us: i64,
}

/// Where a track ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TrackEnd {
    /// Its first instant shown, on the movie's clock (≥ 0).
    pub(crate) start_us: i64,
    /// Its first instant not shown any more.
    pub(crate) end_us: i64,
    /// When its last sample is decoded, in ticks.
    pub(crate) last_decode: i64,
    /// How long that one lasts; what is not above 0 must be made so.
    pub(crate) last_duration: i64,
}

impl SampleClock {
    /// The sample of the next frame, of run `run`, which goes to track `output`; `None` when nothing of the run is shown.
    pub(crate) fn place(
        &mut self,
        cut: &Cut,
        output: &OutputTrack,
        run: usize,
        frame: &FrameEntry,
    ) -> Option<Sample> {
        let run_cut = cut.runs.get(run)?.as_ref()?;
        let shown = &run_cut.shown;
        let is_video = output.codec.is_video();
        let number = usize::from(frame.track.0);
        let interval_us = *run_cut.intervals_us.get(number)?;
        // The picture in force where the range starts is shown from there on. Some readers (FFmpeg) hide a sample that begins
        // before the edit and move the next one to its start, which would put pictures and sound out of step. Sound is cut.
        let enters = !output.codec.is_audio() && run_cut.covering.get(number)? == &Some(frame.time);
        let time = if enters { shown.wall_start } else { frame.time };
        let media_us = |time: UnixMicros| {
            let time_us = time.since(shown.wall_start) + shown.media_start;
            time_us.0.clamp(-TIME_US_MAX, TIME_US_MAX)
        };
        let time_us = media_us(time);
        let depth = if is_video { cut.depth } else { 0 };
        let earliest = run_cut.video_first.filter(|_| is_video);
        let earliest_us = media_us(earliest.unwrap_or(frame.time));
        if self.times.is_none() {
            self.first_us = time_us;
            self.last_us = time_us;
        }
        let times = self.times.get_or_insert_with(|| {
            let interval = output.ticks(interval_us).max(1);
            DecodeTimes::new(depth, output.ticks(earliest_us), interval)
        });
        let decode = times.next(output.ticks(time_us));
        self.first_us = self.first_us.min(time_us);
        self.last_us = self.last_us.max(time_us);
        self.last_decode = decode;
        self.last_run = run;
        self.last_interval_us = interval_us;
        Some(Sample {
            size: frame.size,
            decode,
            presentation: output.ticks(time_us),
            sync: !is_video || frame.kind == FrameKind::Key,
        })
    }

    /// How far samples of the run at hand are apart, in ticks.
    pub(crate) fn interval(&self, output: &OutputTrack) -> i64 {
        output.ticks(self.last_interval_us)
    }

    /// The end of the track; `None` when it has no samples.
    pub(crate) fn end(&self, cut: &Cut, output: &OutputTrack) -> Option<TrackEnd> {
        self.times.as_ref()?;
        let shown = &cut.runs.get(self.last_run)?.as_ref()?.shown;
        let run_end_us = (shown.media_start + shown.duration).0.min(TIME_US_MAX);
        // Pictures stay until the run ends; sound ends when its last packet does.
        let end_us = if output.codec.is_video() {
            run_end_us
        } else {
            run_end_us.min(self.last_us + self.last_interval_us)
        };
        let reordered = output.codec.is_video() && cut.depth > 0;
        let last_duration = if reordered {
            output.ticks(self.last_interval_us)
        } else {
            output.ticks(end_us) - self.last_decode
        };
        Some(TrackEnd {
            start_us: self.first_us.max(0),
            end_us,
            last_decode: self.last_decode,
            last_duration,
        })
    }
}
