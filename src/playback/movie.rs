//! What an MP4 is made from: runs, their tracks, and a table of frames that can be read again and again.
//!
//! A day of one camera has millions of frames, so nobody lists them: the table decodes its packed chapters each time it is
//! visited, block by block, and whoever needs two passes visits twice.

use crate::{
    base::{Micros, TimeRange, UnixMicros},
    media::{Codec, FrameEntry, GapCause, Track, TrackSet},
};
use std::sync::Arc;

/// The frames of a movie, block by block, in the order of time of its runs. Inside a block frames stand as they are stored, which
/// is decode order within each track.
///
/// A table must give the same answers each time: the head of the file and the bytes that follow it are computed apart.
pub trait FrameTable {
    /// Number of blocks.
    fn blocks(&self) -> usize;

    /// Which run of the movie block `block` belongs to; never falls from one block to the next.
    fn run_of(&self, block: usize) -> usize;

    /// Shows each frame of block `block` in stored order.
    fn visit(&self, block: usize, visit: &mut dyn FnMut(&FrameEntry));
}

/// One stretch without a loss and with one set of codec parameters.
///
/// A run that lost blocks is given as several: what follows a loss starts at the next key frame, as a new run does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovieRun {
    /// Its tracks.
    pub tracks: Arc<TrackSet>,
    /// Why the recording was interrupted before this run, when it is known.
    pub cause: Option<GapCause>,
}

/// What becomes of frames that follow a loss and cannot be decoded without faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamagedFrames {
    /// They stay: a faulty picture can still show what happened.
    Keep,
    /// They are left out: the picture before stays until the next key frame.
    Drop,
}

/// Which kinds of tracks the file gets; a viewer may not be allowed to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackChoice {
    /// Pictures.
    pub video: bool,
    /// Sound.
    pub audio: bool,
    /// ONVIF metadata (`vnd.onvif.metadata`). Other opaque tracks have no place in MP4 and are always left out.
    pub metadata: bool,
}

impl TrackChoice {
    /// Every kind.
    pub const ALL: Self = Self {
        video: true,
        audio: true,
        metadata: true,
    };

    /// Pictures and sound, what every player takes.
    pub const AUDIO_VIDEO: Self = Self {
        video: true,
        audio: true,
        metadata: false,
    };

    /// Which tracks of a run the file gets: at most one video track, which sets the measure of the run.
    pub(crate) fn wanted(self, tracks: &TrackSet) -> Vec<bool> {
        let mut pictures = false;
        let take = |track: &Track| {
            let wanted = self.takes(track) && !(pictures && track.codec.is_video());
            pictures |= wanted && track.codec.is_video();
            wanted
        };
        tracks.tracks.iter().map(take).collect()
    }

    fn takes(self, track: &Track) -> bool {
        match track.codec {
            Codec::Opaque => self.metadata && track.encoding == ONVIF_METADATA,
            codec if codec.is_video() => self.video && track.video.is_some(),
            _ => self.audio && track.audio.is_some(),
        }
    }
}

/// The RTP encoding name of ONVIF metadata (ONVIF Streaming Specification §5.2.1.1).
pub(crate) const ONVIF_METADATA: &str = "vnd.onvif.metadata";

/// A movie to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movie {
    /// Its runs in the order in which they are shown.
    pub runs: Vec<MovieRun>,
    /// What is shown: the first picture is the one in force at `start`, the last the last one before `end`.
    pub range: TimeRange,
    /// What becomes of damaged frames.
    pub damaged: DamagedFrames,
    /// Which tracks the file gets.
    pub choice: TrackChoice,
}

/// Where a run stands on both clocks: gaps are collapsed in the file, so each run has its own offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownRun {
    /// Which run of the movie.
    pub run: usize,
    /// Recorder's clock at the first instant shown.
    pub wall_start: UnixMicros,
    /// Recorder's time of the first picture shown. It is earlier where the range begins between two pictures: the one in force is shown.
    pub first: UnixMicros,
    /// The same instant as `wall_start` on the movie's clock, which starts at zero.
    pub media_start: Micros,
    /// How long the run is shown.
    pub duration: Micros,
    /// Why the recording was interrupted before it.
    pub cause: Option<GapCause>,
}
