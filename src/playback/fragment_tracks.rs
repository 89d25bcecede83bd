//! The tracks of a run in fragmented form: which of them, their init segment, and their clock.
//!
//! Times count from the run's start in files, and for players from the start of a period that many runs share, so that they go on from
//! one run to the next; in microseconds for pictures and samples for sound (decision 7). Decode times follow
//! from the parameter sets of the run and the frames before (decision 13), so fragments of one run fit together whichever was asked
//! for first; everything is moved on by the delay they need, so that no time is negative.

use super::{
    boxes::BoxWriter,
    decode_times::DecodeTimes,
    head::{write_empty_track, write_extends, write_movie_header},
    movie::TrackChoice,
    output_tracks::OutputTrack,
};
use crate::{
    base::{Micros, UnixMicros},
    media::{Codec, TrackId, TrackSet, parameter_sets::ParameterSets},
};

/// How far apart frames are decoded before the first is shown, in microseconds. Their real distance is not known when the first
/// comes, and any serves: it only has to be the same whoever asks.
pub(super) const LEAD_IN_US: i64 = 40_000;

/// Players' clocks begin anew with the first run of each stretch of 100 days since 1970. Not with each run: FFmpeg and mpv leave out up
/// to a second of a list where its times fall. Not never: some players reckon with few digits.
const PERIOD: Micros = Micros::from_secs(100 * 24 * 3600);

/// What the fragments are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// Browsers and HLS players: the pictures and one sound track, AAC or Opus. They know no G.711.
    Player,
    /// A file: every picture and sound track that MP4 can carry.
    File,
}

/// The tracks of a run in fragmented form.
#[derive(Debug)]
pub struct FragmentTracks {
    pub(super) tracks: Vec<OutputTrack>,
    /// Which output track each track of the run is.
    targets: Vec<Option<usize>>,
    codecs: Vec<Option<String>>,
    main: TrackId,
    origin: UnixMicros,
    depth: usize,
}

impl FragmentTracks {
    /// Of a run that starts at `start`; `None` when it has nothing for `receiver`.
    pub fn new(run: &TrackSet, start: UnixMicros, receiver: Receiver) -> Option<Self> {
        let mut wanted = TrackChoice::AUDIO_VIDEO.wanted(run);
        if receiver == Receiver::Player {
            let mut sound = false;
            for (track, wanted) in run.tracks.iter().zip(&mut wanted) {
                let known = matches!(track.codec, Codec::Aac | Codec::Opus) && !sound;
                *wanted &= track.codec.is_video() || known;
                sound |= *wanted && track.codec.is_audio();
            }
        }
        let chosen = || {
            let numbers = wanted.iter().enumerate().filter(|(_, wanted)| **wanted);
            let tracks = numbers.filter_map(|(number, _)| {
                Some((u8::try_from(number).ok()?, run.tracks.get(number)?))
            });
            let mut tracks: Vec<_> = tracks.collect();
            // Pictures first: simple players show the first track.
            tracks.sort_by_key(|(_, track)| !track.codec.is_video());
            tracks
        };
        let mut this = Self {
            tracks: Vec::new(),
            targets: vec![None; run.tracks.len()],
            codecs: Vec::new(),
            main: TrackId(chosen().first()?.0),
            origin: match receiver {
                Receiver::Player => UnixMicros(start.0 - start.0.rem_euclid(PERIOD.0)),
                Receiver::File => start,
            },
            depth: 0,
        };
        for (number, track) in chosen() {
            if let Some(target) = this.targets.get_mut(usize::from(number)) {
                *target = Some(this.tracks.len());
            }
            if let Some(video) = &track.video {
                let sets = ParameterSets::of(track.codec, video);
                this.depth = usize::from(sets.reorder_frames_max().unwrap_or(0));
            }
            this.codecs.push(track.codec_string());
            this.tracks.push(OutputTrack::single(track));
        }
        Some(this)
    }

    /// The main track: the pictures, else the first sound.
    pub fn main(&self) -> TrackId {
        self.main
    }

    /// Whether frames of `track` are in the fragments.
    pub fn holds(&self, track: TrackId) -> bool {
        self.target(track).is_some()
    }

    /// Which output track `track` is.
    pub(super) fn target(&self, track: TrackId) -> Option<usize> {
        *self.targets.get(usize::from(track.0))?
    }

    /// What players must know: one entry of RFC 6381 for each track that has one.
    pub fn codecs(&self) -> impl Iterator<Item = &str> {
        self.codecs.iter().flatten().map(String::as_str)
    }

    /// Width and height at which the pictures are meant to be shown; `None` without pictures.
    pub fn size(&self) -> Option<(u16, u16)> {
        let video = self.tracks.iter().find(|track| track.codec.is_video());
        video.map(|track| track.size)
    }

    /// How many frames are decoded before the first of them is shown.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// How long before it is shown the first picture is decoded.
    fn delay_us(&self) -> i64 {
        self.depth as i64 * LEAD_IN_US
    }

    /// Where `time` stands on the clock of the fragments.
    pub fn media_time(&self, time: UnixMicros) -> Micros {
        Micros(time.since(self.origin).0.saturating_add(self.delay_us()))
    }

    /// Decode times from the frame of the measuring track on that is shown at `first`.
    pub fn decode_clock(&self, first: UnixMicros) -> DecodeClock {
        let first_us = self.media_time(first).0;
        DecodeClock(DecodeTimes::new(self.depth, first_us, LEAD_IN_US))
    }

    /// The init segment: `ftyp`, and a `moov` without samples.
    pub fn init(&self) -> Vec<u8> {
        let mut writer = BoxWriter::new();
        writer.container(b"ftyp", |ftyp| {
            ftyp.raw(b"iso5");
            ftyp.u32(0x200);
            ftyp.raw(b"iso5iso6mp41");
        });
        writer.container(b"moov", |moov| {
            write_movie_header(moov, 0, 0, self.tracks.len());
            for (id, track) in (1..).zip(&self.tracks) {
                write_empty_track(moov, 0, id, track);
            }
            write_extends(moov, None, (1..).zip(&self.tracks));
        });
        writer.finish()
    }
}

/// Gives the pictures of a run their decode times, in the order in which they are stored.
#[derive(Clone, Debug)]
pub struct DecodeClock(DecodeTimes);

impl DecodeClock {
    /// The decode time, in microseconds of the fragments' clock, of the next picture, which is shown at `time` of that clock.
    pub fn next(&mut self, time: Micros) -> Micros {
        Micros(self.0.next(time.0))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::media::{AudioParameters, Track, VideoParameters};
    use bytes::Bytes;

    pub(in crate::playback) const ORIGIN: UnixMicros = UnixMicros(208 * PERIOD.0);

    pub(in crate::playback) fn run() -> TrackSet {
        let track = |codec, clock_rate| Track {
            codec,
            clock_rate,
            video: None,
            audio: None,
            encoding: String::new(),
        };
        let audio = |sample_rate, config: &'static [u8]| AudioParameters {
            sample_rate,
            channels: 1,
            config: Bytes::from_static(config),
        };
        TrackSet {
            tracks: vec![
                Track {
                    audio: Some(audio(8000, b"")),
                    ..track(Codec::PcmMu, 8000)
                },
                Track {
                    video: Some(VideoParameters {
                        width: 320,
                        height: 180,
                        // Baseline, so nothing is reordered.
                        parameter_sets: vec![Bytes::from_static(
                            b"\x67\x42\xc0\x0d\xda\x05\x07\xe8\x40\x00\x00\x03\x00\x40\x00\x00\x0c\x83\xc5\x0a\xa8",
                        )],
                    }),
                    ..track(Codec::H264, 90_000)
                },
                Track {
                    audio: Some(audio(48_000, &[0x11, 0x88])),
                    ..track(Codec::Aac, 48_000)
                },
            ],
        }
    }

    #[test]
    fn players_get_one_sound_they_know_and_files_get_all() {
        let player = FragmentTracks::new(&run(), ORIGIN, Receiver::Player).unwrap();
        let holds = |tracks: &FragmentTracks| [0, 1, 2].map(|track| tracks.holds(TrackId(track)));
        assert_eq!(holds(&player), [false, true, true]);
        let file = FragmentTracks::new(&run(), ORIGIN, Receiver::File).unwrap();
        assert_eq!(holds(&file), [true; 3]);
        let mut sound = run();
        sound.tracks.truncate(1);
        assert!(FragmentTracks::new(&sound, ORIGIN, Receiver::Player).is_none());
        let file = FragmentTracks::new(&sound, ORIGIN, Receiver::File).unwrap();
        assert_eq!((file.main(), file.size()), (TrackId(0), None));
    }

    #[test]
    fn an_init_segment_has_tracks_and_no_samples() {
        let tracks = FragmentTracks::new(&run(), ORIGIN, Receiver::Player).unwrap();
        let init = tracks.init();
        assert!(init.starts_with(b"\0\0\0\x1cftypiso5\0\0\x02\0iso5iso6mp41"));
        let mvex = [
            b"\0\0\0\x48mvex".as_slice(),
            b"\0\0\0\x20trex\0\0\0\0\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\x01\x01\0\0",
            b"\0\0\0\x20trex\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0\0\x02\0\0\0",
        ]
        .concat();
        assert!(init.ends_with(&mvex));
        let count = |kind: &[u8]| init.windows(4).filter(|four| *four == kind).count();
        assert_eq!(count(b"trak"), 2);
        assert_eq!(count(b"mdat"), 0);
    }
}
