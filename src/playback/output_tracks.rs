//! Which track of the file each track of each run goes to.
//!
//! Runs of one codec share a track, with one sample entry for each distinct set of parameters. A stream that changed its codec
//! gets one track for each, because players take one kind of sample entry in a track.

use super::{
    cut::Cut,
    movie::Movie,
    sample_entry::{sample_entry, shown_size},
};
use crate::media::{Codec, FrameEntry, Track};

/// Ticks per second of the movie.
pub(crate) const MOVIE_TIMESCALE: u32 = 1_000_000;

/// Most sample entries of a track; later ones of a stream that changes its parameters so often share the last.
const ENTRIES_MAX: usize = 4096;

/// A track of the file.
#[derive(Debug)]
pub(crate) struct OutputTrack {
    pub(crate) codec: Codec,
    /// The how manieth track of its codec in its run.
    occurrence: usize,
    parameters: Vec<Track>,
    /// The boxes of `stsd`.
    pub(crate) entries: Vec<Vec<u8>>,
    /// Largest shown width and height.
    pub(crate) size: (u16, u16),
    /// Ticks per second: samples of sound, microseconds of everything else.
    pub(crate) timescale: u32,
}

/// Where a track of a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Number of the output track.
    pub(crate) track: usize,
    /// Its sample entry, counted from 1.
    pub(crate) entry: u32,
}

/// All tracks of the file.
#[derive(Debug)]
pub(crate) struct OutputTracks {
    pub(crate) tracks: Vec<OutputTrack>,
    by_run: Vec<Vec<Option<Target>>>,
}

impl OutputTracks {
    /// Tracks for the shown runs, pictures first.
    pub(crate) fn new(movie: &Movie, cut: &Cut) -> Self {
        let mut this = Self {
            tracks: Vec::new(),
            by_run: Vec::new(),
        };
        for (run, cut) in movie.runs.iter().zip(&cut.runs) {
            let mut targets = vec![None; run.tracks.tracks.len()];
            if cut.is_some() {
                let wanted = movie.choice.wanted(&run.tracks);
                for (number, track) in run.tracks.tracks.iter().enumerate() {
                    let before = &run.tracks.tracks[..number];
                    let occurrence = before.iter().filter(|other| other.codec == track.codec);
                    if wanted[number] {
                        targets[number] = Some(this.target(track, occurrence.count()));
                    }
                }
            }
            this.by_run.push(targets);
        }
        this.order_by_kind();
        this
    }

    fn target(&mut self, parameters: &Track, occurrence: usize) -> Target {
        let same =
            |track: &OutputTrack| track.codec == parameters.codec && track.occurrence == occurrence;
        let track = self.tracks.iter().position(same).unwrap_or_else(|| {
            self.tracks.push(OutputTrack {
                codec: parameters.codec,
                occurrence,
                parameters: Vec::new(),
                entries: Vec::new(),
                size: (0, 0),
                timescale: timescale_of(parameters),
            });
            self.tracks.len() - 1
        });
        let entry = self.tracks[track].entry(parameters);
        Target { track, entry }
    }

    /// Pictures, then sound, then metadata: simple players show the first track of a kind.
    fn order_by_kind(&mut self) {
        let kind = |track: &OutputTrack| match track.codec {
            codec if codec.is_video() => 0,
            codec if codec.is_audio() => 1,
            _ => 2,
        };
        let mut order: Vec<usize> = (0..self.tracks.len()).collect();
        order.sort_by_key(|&track| kind(&self.tracks[track]));
        let mut place = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            place[old] = new;
        }
        self.tracks.sort_by_key(kind);
        for target in self.by_run.iter_mut().flatten().flatten() {
            target.track = place[target.track];
        }
    }

    /// Where `frame` of run `run` goes.
    pub(crate) fn target_of(&self, run: usize, frame: &FrameEntry) -> Option<Target> {
        *self.by_run.get(run)?.get(usize::from(frame.track.0))?
    }
}

fn timescale_of(parameters: &Track) -> u32 {
    let rate = match (parameters.codec, &parameters.audio) {
        (Codec::Opus, _) => 48_000, // Opus in ISOBMFF §4.3
        (codec, Some(audio)) if codec.is_audio() => audio.sample_rate,
        _ => MOVIE_TIMESCALE,
    };
    if (1..=MOVIE_TIMESCALE).contains(&rate) {
        rate
    } else {
        MOVIE_TIMESCALE
    }
}

impl OutputTrack {
    /// A track of one run alone.
    pub(crate) fn single(parameters: &Track) -> Self {
        Self {
            codec: parameters.codec,
            occurrence: 0,
            parameters: Vec::new(),
            entries: vec![sample_entry(parameters)],
            size: shown_size(parameters),
            timescale: timescale_of(parameters),
        }
    }

    /// A time in microseconds in ticks of this track, rounded to the nearest.
    pub(crate) fn ticks(&self, time_us: i64) -> i64 {
        let product = i128::from(time_us) * i128::from(self.timescale);
        let half = i128::from(MOVIE_TIMESCALE) / 2;
        let ticks = (product + half).div_euclid(i128::from(MOVIE_TIMESCALE));
        i64::try_from(ticks).unwrap_or(i64::MAX)
    }

    fn entry(&mut self, parameters: &Track) -> u32 {
        let known = self.parameters.iter().position(|known| known == parameters);
        let at = known.unwrap_or_else(|| {
            if self.entries.len() == ENTRIES_MAX {
                return ENTRIES_MAX - 1;
            }
            let (width, height) = shown_size(parameters);
            self.size = (self.size.0.max(width), self.size.1.max(height));
            self.entries.push(sample_entry(parameters));
            self.parameters.push(parameters.clone());
            self.entries.len() - 1
        });
        at as u32 + 1
    }
}
