//! Which frames of each run are shown, and where the run stands on the movie's clock: the first pass over the frame table.
//!
//! Video sets the measure of a run: it starts at the key frame at or before the range (at the first key frame otherwise) and ends
//! with the last frame before the end of the range, counted in decode order, so that what a shown frame refers to is there. Sound
//! and metadata are taken for the time the pictures are shown, so that every run starts in sync. Where a run has no pictures,
//! its first sound track (else its first metadata track) is the measure.

use super::{
    decode_times::ReorderDepth,
    movie::{DamagedFrames, FrameTable, Movie, MovieRun, ShownRun},
    recent_times::RecentTimes,
};
use crate::{
    base::{Micros, TimeRange, UnixMicros},
    media::{FrameEntry, FrameKind, TrackId},
};
use std::ops::Range;

/// A frame's place: its block and its number inside the block.
pub(crate) type Place = (usize, u32);

/// The shown part of one run.
#[derive(Debug)]
pub(crate) struct RunCut {
    /// Place on both clocks.
    pub(crate) shown: ShownRun,
    /// First instant after the shown part, on the recorder's clock.
    pub(crate) wall_end: UnixMicros,
    /// Earliest presentation time of its video frames.
    pub(crate) video_first: Option<UnixMicros>,
    /// Per track: the frame in force where the range starts, when the run is entered behind it.
    pub(crate) covering: Vec<Option<UnixMicros>>,
    video: Option<VideoCut>,
    /// Per track: what is earlier is not taken.
    starts: Vec<UnixMicros>,
    /// Per track: how long its last frame lasts.
    pub(crate) intervals_us: Vec<i64>,
}

#[derive(Debug)]
struct VideoCut {
    track: TrackId,
    first: Place,
    last: Place,
    /// Where leading pictures refer to frames that are not in the file.
    orphans: Vec<Range<Place>>,
}

/// The shown parts of all runs.
#[derive(Debug)]
pub(crate) struct Cut {
    /// Per run of the movie; `None` where nothing of it is shown.
    pub(crate) runs: Vec<Option<RunCut>>,
    /// How far video frames are reordered.
    pub(crate) depth: usize,
    damaged: DamagedFrames,
}

impl Cut {
    /// Visits every frame of `table` once.
    pub(crate) fn new(movie: &Movie, table: &dyn FrameTable) -> Self {
        let mut surveys: Vec<RunSurvey> = movie
            .runs
            .iter()
            .map(|run| RunSurvey::new(run, movie))
            .collect();
        for block in 0..table.blocks() {
            let Some(survey) = surveys.get_mut(table.run_of(block)) else {
                continue;
            };
            let mut ordinal = 0;
            table.visit(block, &mut |frame| {
                survey.push((block, ordinal), frame);
                ordinal += 1;
            });
        }
        let depth = surveys
            .iter()
            .filter_map(|survey| survey.video.as_ref())
            .map(|video| video.depth_kept)
            .max();
        Self {
            runs: place_runs(movie, surveys),
            depth: depth.unwrap_or(0),
            damaged: movie.damaged,
        }
    }

    /// Whether the frame at `place` of run `run` goes into the file.
    pub(crate) fn keeps(&self, run: usize, place: Place, frame: &FrameEntry) -> bool {
        let Some(Some(cut)) = self.runs.get(run) else {
            return false;
        };
        if frame.size == 0 {
            return false;
        }
        match &cut.video {
            Some(video) if video.track == frame.track => {
                let inside = video.first <= place && place <= video.last;
                let orphan = frame.kind == FrameKind::Leading
                    && video.orphans.iter().any(|range| range.contains(&place));
                let unwanted =
                    frame.kind == FrameKind::Damaged && self.damaged == DamagedFrames::Drop;
                inside && !orphan && !unwanted
            }
            _ => {
                let start = cut.starts.get(usize::from(frame.track.0));
                start.is_some_and(|&start| start <= frame.time && frame.time < cut.wall_end)
            }
        }
    }
}

/// What the first pass learns of one run.
struct RunSurvey {
    range: TimeRange,
    damaged: DamagedFrames,
    video_track: Option<TrackId>,
    video: Option<VideoSurvey>,
    /// Per track; the video track's stays empty.
    others: Vec<OtherSurvey>,
    wanted: Vec<bool>,
}

struct VideoSurvey {
    first: Place,
    last: Option<Place>,
    first_time: UnixMicros,
    last_time: UnixMicros,
    /// The last frame shown at or before the start of the range.
    covering: Option<UnixMicros>,
    times: RecentTimes,
    depth: ReorderDepth,
    depth_kept: usize,
    continues: bool,
    orphans: Vec<Range<Place>>,
    orphans_from: Option<Place>,
    damage: bool,
}

#[derive(Default)]
struct OtherSurvey {
    /// The last frame at or before the start of the range: it is the one in force there.
    covering: Option<UnixMicros>,
    first_inside: Option<UnixMicros>,
    last_time: Option<UnixMicros>,
    times: RecentTimes,
    continues: bool,
}

impl RunSurvey {
    fn new(run: &MovieRun, movie: &Movie) -> Self {
        let wanted = movie.choice.wanted(&run.tracks);
        let video_track = run
            .tracks
            .tracks
            .iter()
            .zip(&wanted)
            .position(|(track, &wanted)| wanted && track.codec.is_video())
            .and_then(|at| u8::try_from(at).ok())
            .map(TrackId);
        Self {
            range: movie.range,
            damaged: movie.damaged,
            video_track,
            video: None,
            others: wanted.iter().map(|_| OtherSurvey::default()).collect(),
            wanted,
        }
    }

    fn push(&mut self, place: Place, frame: &FrameEntry) {
        if frame.size == 0 {
            return;
        }
        let track = usize::from(frame.track.0);
        if self.video_track == Some(frame.track) {
            self.push_video(place, frame);
        } else if self.wanted.get(track) == Some(&true)
            && let Some(other) = self.others.get_mut(track)
        {
            other.push(frame.time, self.range);
        }
    }

    fn push_video(&mut self, place: Place, frame: &FrameEntry) {
        if frame.kind == FrameKind::Key {
            let entry_point = match &self.video {
                None => frame.time < self.range.end,
                Some(video) => frame.time <= self.range.start && video.last_time < self.range.start,
            };
            if entry_point {
                self.video = Some(VideoSurvey::new(place, frame.time));
            }
        }
        if let Some(video) = &mut self.video {
            video.push(place, frame, self.range, self.damaged);
        }
    }

    /// When the frame in force where the range starts was taken: of the track that sets the measure.
    fn in_force(&self) -> Option<UnixMicros> {
        match &self.video {
            Some(video) if video.last.is_some() => video.covering,
            _ => {
                let mut others = self.others.iter();
                let measure = others.find(|other| other.last_time.is_some())?;
                measure.covering
            }
        }
    }

    /// First instant that can be shown, last frame's time, and whether the run goes on after the range.
    fn extent(&self) -> Option<Extent> {
        let start = self.range.start;
        if let Some(video) = &self.video
            && video.last.is_some()
        {
            return Some(Extent {
                start: video.first_time,
                last: video.last_time,
                interval_us: video.times.interval_us(),
                continues: video.continues,
            });
        }
        let other = self.others.iter().find(|other| other.last_time.is_some())?;
        Some(Extent {
            start: other.covering.map_or(other.first_inside?, |_| start),
            last: other.last_time?,
            interval_us: other.times.interval_us(),
            continues: other.continues,
        })
    }
}

#[derive(Clone, Copy)]
struct Extent {
    start: UnixMicros,
    last: UnixMicros,
    interval_us: i64,
    continues: bool,
}

impl VideoSurvey {
    fn new(place: Place, time: UnixMicros) -> Self {
        Self {
            first: place,
            last: None,
            first_time: time,
            last_time: time,
            covering: None,
            times: RecentTimes::default(),
            depth: ReorderDepth::default(),
            depth_kept: 0,
            continues: false,
            orphans: Vec::new(),
            orphans_from: None,
            damage: true,
        }
    }

    fn push(&mut self, place: Place, frame: &FrameEntry, range: TimeRange, damaged: DamagedFrames) {
        match frame.kind {
            FrameKind::Key => {
                if let Some(from) = self.orphans_from.take() {
                    self.orphans.push(from..place);
                }
                // Leading pictures of the first key frame, and of one after damage left out, refer to what is not there.
                if std::mem::take(&mut self.damage) {
                    self.orphans_from = Some(place);
                }
            }
            FrameKind::Leading if self.orphans_from.is_some() => return,
            FrameKind::Damaged if damaged == DamagedFrames::Drop => {
                self.damage = true;
                return;
            }
            _ => {}
        }
        self.depth.push(frame.time.0);
        if frame.time >= range.end {
            self.continues = true;
            return;
        }
        if frame.time <= range.start {
            self.covering = self.covering.max(Some(frame.time));
        }
        self.last = Some(place);
        self.depth_kept = self.depth.depth();
        self.first_time = self.first_time.min(frame.time);
        self.last_time = self.last_time.max(frame.time);
        self.times.push(frame.time);
    }

    fn cut(mut self, track: TrackId) -> Option<VideoCut> {
        if let Some(from) = self.orphans_from {
            self.orphans.push(from..(usize::MAX, u32::MAX));
        }
        Some(VideoCut {
            track,
            first: self.first,
            last: self.last?,
            orphans: self.orphans,
        })
    }
}

impl OtherSurvey {
    fn push(&mut self, time: UnixMicros, range: TimeRange) {
        if time >= range.end {
            self.continues = true;
            return;
        }
        if time <= range.start {
            self.covering = Some(time);
        } else if self.first_inside.is_none() {
            self.first_inside = Some(time);
        }
        self.last_time = self.last_time.max(Some(time));
        self.times.push(time);
    }
}

/// Puts the shown parts behind each other on the movie's clock.
fn place_runs(movie: &Movie, surveys: Vec<RunSurvey>) -> Vec<Option<RunCut>> {
    let extents: Vec<Option<Extent>> = surveys.iter().map(RunSurvey::extent).collect();
    let mut media_start = Micros::ZERO;
    let mut any_shown = false;
    let mut cuts = Vec::with_capacity(surveys.len());
    for (number, survey) in surveys.into_iter().enumerate() {
        let next = extents.iter().skip(number + 1).flatten().next();
        let Some(extent) = extents[number] else {
            cuts.push(None);
            continue;
        };
        let range = movie.range;
        // Only the first shown run can be entered between its frames: the edit list has one entry.
        let wall_start = if any_shown {
            extent.start
        } else {
            extent.start.max(range.start)
        };
        let wall_end = extent.end(range, next);
        if wall_end <= wall_start {
            cuts.push(None);
            continue;
        }
        let duration = wall_end.since(wall_start);
        let entered_inside = !any_shown && wall_start == range.start;
        let in_force = survey.in_force().filter(|_| entered_inside);
        let shown = ShownRun {
            run: number,
            wall_start,
            first: in_force.unwrap_or(wall_start),
            media_start,
            duration,
            cause: movie.runs[number].cause,
        };
        cuts.push(Some(survey.cut(shown, wall_end, entered_inside)));
        media_start = media_start + duration;
        any_shown = true;
    }
    cuts
}

impl Extent {
    /// Where the last frame ends: at the end of the range when the run goes on there, else after its typical interval, but not
    /// after the next run has begun.
    fn end(&self, range: TimeRange, next: Option<&Self>) -> UnixMicros {
        if self.continues {
            return range.end;
        }
        let typical = (self.last + Micros(self.interval_us)).min(range.end);
        match next {
            Some(next) if self.last < next.start && next.start < typical => next.start,
            _ => typical,
        }
    }
}

impl RunSurvey {
    fn cut(self, shown: ShownRun, wall_end: UnixMicros, entered_inside: bool) -> RunCut {
        let mut intervals_us: Vec<i64> = self
            .others
            .iter()
            .map(|other| other.times.interval_us())
            .collect();
        let mut starts: Vec<UnixMicros> = self
            .others
            .iter()
            .zip(&self.wanted)
            .map(|(other, &wanted)| match other.covering {
                _ if !wanted => UnixMicros::MAX,
                Some(time) if entered_inside => time,
                _ => shown.wall_start,
            })
            .collect();
        if let Some(track) = self.video_track {
            starts[usize::from(track.0)] = UnixMicros::MAX;
        }
        let mut covering: Vec<Option<UnixMicros>> =
            self.others.iter().map(|other| other.covering).collect();
        if let Some((track, video)) = self.video_track.zip(self.video.as_ref()) {
            covering[usize::from(track.0)] = video.covering;
        }
        if !entered_inside {
            covering.fill(None);
        }
        let video_first = self.video.as_ref().map(|video| video.first_time);
        let video = self.video_track.zip(self.video).and_then(|(track, video)| {
            intervals_us[usize::from(track.0)] = video.times.interval_us();
            video.cut(track)
        });
        RunCut {
            shown,
            wall_end,
            video_first,
            covering,
            video,
            starts,
            intervals_us,
        }
    }
}
