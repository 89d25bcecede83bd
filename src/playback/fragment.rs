//! Fragmented MP4 (ISO 14496-12 §8.8): an init segment for a run, and fragments (`moof` and `mdat`) of any frames of it.
//!
//! HLS parts, live viewers and downloads that grow are all made of these. A fragment is known from frame tables alone: its head first,
//! then the frames chunk by chunk; inside a chunk the frames of one track stand together, track behind track, as in a progressive
//! file. So whoever sends one holds one block at a time. The same frames always give the same bytes.
//!
//! Times count from the run's start in files, and for players from the start of a period that many runs share, so that they go on from
//! one run to the next; in microseconds for pictures and samples for sound (decision 7). Decode times follow
//! from the parameter sets of the run and the frames before (decision 13), so fragments of one run fit together whichever was asked
//! for first; everything is moved on by the delay they need, so that no time is negative.

use super::{
    boxes::BoxWriter,
    decode_times::DecodeTimes,
    head::{
        write_media_header, write_media_information, write_movie_header, write_sample_entries,
        write_track_header,
    },
    movie::TrackChoice,
    mp4::OutputFrame,
    output_tracks::OutputTrack,
    sample_tables::DELTA_MAX,
};
use crate::{
    base::{Micros, UnixMicros},
    media::{Codec, FrameEntry, FrameKind, TrackId, TrackSet, parameter_sets::ParameterSets},
};

/// Grows whenever the same frames give other bytes than before, or parts are cut otherwise: it is in the names of parts, which are kept for
/// ever.
pub const FRAGMENT_LAYOUT: u32 = 1;

/// How far apart frames are decoded before the first is shown, in microseconds. Their real distance is not known when the first
/// comes, and any serves: it only has to be the same whoever asks.
const LEAD_IN_US: i64 = 40_000;

/// Players' clocks begin anew with the first run of each stretch of 100 days since 1970. Not with each run: FFmpeg and mpv leave out up
/// to a second of a list where its times fall. Not never: some players reckon with few digits.
const PERIOD: Micros = Micros::from_secs(100 * 24 * 3600);

/// How long a sound packet lasts of which nothing else is known: 1024 samples of AAC (ISO 14496-3 §4.5.1.1), otherwise 20 ms.
const AAC_SAMPLES: i64 = 1024;
const PACKETS_PER_SECOND: i64 = 50;

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
    tracks: Vec<OutputTrack>,
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

    fn target(&self, track: TrackId) -> Option<usize> {
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

/// `mvex`: the samples are in fragments (ISO 14496-12 §8.8.1 to §8.8.3). `duration` of all of them, when it is known.
pub(crate) fn write_extends<'a>(
    moov: &mut BoxWriter,
    duration: Option<u64>,
    tracks: impl Iterator<Item = (u32, &'a OutputTrack)>,
) {
    moov.container(b"mvex", |mvex| {
        if let Some(duration) = duration {
            mvex.full(b"mehd", 1, 0, |mehd| mehd.u64(duration));
        }
        for (id, track) in tracks {
            mvex.full(b"trex", 0, 0, |trex| {
                trex.u32(id);
                trex.u32(1); // the first sample entry
                trex.zeros(8); // duration and size: told by each sample
                let kind = if track.codec.is_video() {
                    FrameKind::Reference
                } else {
                    FrameKind::Key
                };
                trex.u32(sample_flags(kind));
            });
        }
    });
}

/// A track whose samples are all in fragments.
pub(crate) fn write_empty_track(moov: &mut BoxWriter, creation: u64, id: u32, track: &OutputTrack) {
    moov.container(b"trak", |trak| {
        write_track_header(trak, creation, id, 0, track);
        trak.container(b"mdia", |mdia| {
            write_media_header(mdia, creation, 0, track);
            mdia.container(b"minf", |minf| {
                write_media_information(minf, track);
                minf.container(b"stbl", |stbl| {
                    write_sample_entries(stbl, track);
                    for kind in [b"stts", b"stsc"] {
                        stbl.full(kind, 0, 0, |table| table.u32(0));
                    }
                    stbl.full(b"stsz", 0, 0, |stsz| stsz.zeros(8));
                    stbl.full(b"stco", 0, 0, |stco| stco.u32(0));
                });
            });
        });
    });
}

/// ISO 14496-12 §8.8.3.1: what the sample depends on, whether any depends on it, and whether decoding can start at it.
pub(crate) fn sample_flags(kind: FrameKind) -> u32 {
    const LEADING: u32 = 1 << 26;
    const DEPENDS: u32 = 1 << 24;
    const DEPENDS_ON_NONE: u32 = 2 << 24;
    const NONE_DEPENDS: u32 = 2 << 22;
    const NO_SYNC: u32 = 1 << 16;
    match kind {
        FrameKind::Key => DEPENDS_ON_NONE,
        FrameKind::Reference | FrameKind::Damaged => DEPENDS | NO_SYNC,
        FrameKind::Disposable => DEPENDS | NONE_DEPENDS | NO_SYNC,
        FrameKind::Leading => LEADING | DEPENDS | NO_SYNC,
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

/// A fragment that is known, but not yet read.
#[derive(Debug)]
pub struct Fragment {
    /// `moof` and the header of `mdat`.
    pub head: Vec<u8>,
    /// Bytes of frames behind it.
    pub body_len: u64,
    /// The frames of each chunk in the order in which they follow.
    pub chunks: Vec<Vec<OutputFrame>>,
}

/// Puts a fragment together.
#[derive(Debug)]
pub struct FragmentBuilder<'a> {
    tracks: &'a FragmentTracks,
    samples: Vec<Vec<Sample>>,
    chunks: u32,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    chunk: u32,
    frame: OutputFrame,
    /// Ticks of its track.
    decode: i64,
    presentation: i64,
    kind: FrameKind,
}

impl<'a> FragmentBuilder<'a> {
    /// A fragment without frames, of chunks yet to be started.
    pub fn new(tracks: &'a FragmentTracks) -> Self {
        Self {
            tracks,
            samples: tracks.tracks.iter().map(|_| Vec::new()).collect(),
            chunks: 0,
        }
    }

    /// What follows stands behind all before.
    pub fn start_chunk(&mut self) {
        self.chunks += 1;
    }

    /// Adds a frame that is number `ordinal` of its chunk. `decode` is the time of its decoding where it is a picture.
    ///
    /// # Panics
    /// When no chunk was started.
    pub fn push(&mut self, ordinal: u32, frame: &FrameEntry, decode: Option<Micros>) {
        let chunk = self
            .chunks
            .checked_sub(1)
            .expect("a frame stands in a chunk");
        let Some(target) = self.tracks.target(frame.track) else {
            return;
        };
        let track = &self.tracks.tracks[target];
        let presentation = track.ticks(self.tracks.media_time(frame.time).0);
        let wanted = decode.map_or(presentation, |decode| track.ticks(decode.0));
        let samples = &mut self.samples[target];
        let after = samples.last().map_or(0, |last| last.decode + 1);
        samples.push(Sample {
            chunk,
            frame: OutputFrame {
                ordinal,
                size: frame.size,
            },
            decode: wanted.max(after),
            presentation,
            kind: frame.kind,
        });
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.samples.iter().all(Vec::is_empty)
    }

    /// The fragment with number `sequence`. `next` is the decode time of the picture that follows, when it is known.
    ///
    /// # Panics
    /// When it is 2 GiB long: who chooses the frames bounds them far below.
    pub fn finish(self, sequence: u32, next: Option<Micros>) -> Fragment {
        let mut chunks = vec![Vec::new(); self.chunks as usize];
        let mut body_len = 0;
        let mut places = Vec::new();
        for chunk in 0..self.chunks {
            for (target, samples) in self.samples.iter().enumerate() {
                let here = samples_of(samples, chunk);
                if !here.is_empty() {
                    places.push((target, chunk, body_len));
                    body_len += here.iter().map(|s| u64::from(s.frame.size)).sum::<u64>();
                    chunks[chunk as usize].extend(here.iter().map(|sample| sample.frame));
                }
            }
        }
        assert!(body_len < 1 << 31, "offsets of a fragment have 31 bits");
        let mut writer = BoxWriter::new();
        let mut offsets = Vec::new();
        writer.container(b"moof", |moof| {
            moof.full(b"mfhd", 0, 0, |mfhd| mfhd.u32(sequence));
            for target in 0..self.samples.len() {
                let here = places.iter().filter(|place| place.0 == target);
                let here: Vec<_> = here.map(|&(_, chunk, at)| (chunk, at)).collect();
                self.write_track(moof, target, &here, next, &mut offsets);
            }
        });
        let body = writer.len() as u64 + 8;
        for (field, at) in offsets {
            writer.patch(field, &((body + at) as u32).to_be_bytes());
        }
        writer.u32((body_len + 8) as u32);
        writer.raw(b"mdat");
        Fragment {
            head: writer.finish(),
            body_len,
            chunks,
        }
    }

    /// `traf` (ISO 14496-12 §8.8.6) with one `trun` per chunk; notes where their offsets are to be filled in.
    fn write_track(
        &self,
        moof: &mut BoxWriter,
        target: usize,
        places: &[(u32, u64)],
        next: Option<Micros>,
        offsets: &mut Vec<(usize, u64)>,
    ) {
        const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
        let samples = &self.samples[target];
        let Some(first) = samples.first() else {
            return;
        };
        let track = &self.tracks.tracks[target];
        let durations = durations(track, samples, next);
        moof.container(b"traf", |traf| {
            traf.full(b"tfhd", 0, DEFAULT_BASE_IS_MOOF, |tfhd| {
                tfhd.u32(target as u32 + 1);
            });
            traf.full(b"tfdt", 1, 0, |tfdt| {
                tfdt.u64(first.decode.max(0).unsigned_abs());
            });
            let mut at = 0;
            for &(chunk, offset) in places {
                let here = samples_of(samples, chunk);
                let rows = here.iter().zip(&durations[at..]);
                at += here.len();
                write_track_run(traf, track, rows, here.len(), offset, offsets);
            }
        });
    }
}

/// ISO 14496-12 §8.8.8, version 1: offsets from decoding to showing may be negative.
fn write_track_run<'a>(
    traf: &mut BoxWriter,
    track: &OutputTrack,
    rows: impl Iterator<Item = (&'a Sample, &'a u32)>,
    count: usize,
    offset: u64,
    offsets: &mut Vec<(usize, u64)>,
) {
    const DATA_OFFSET: u32 = 0x001;
    const DURATION: u32 = 0x100;
    const SIZE: u32 = 0x200;
    const FLAGS: u32 = 0x400;
    const COMPOSITION: u32 = 0x800;
    let video = track.codec.is_video();
    let kinds = if video { FLAGS | COMPOSITION } else { 0 };
    traf.full(b"trun", 1, DATA_OFFSET | DURATION | SIZE | kinds, |trun| {
        trun.u32(count as u32);
        offsets.push((trun.len(), offset));
        trun.u32(0);
        for (sample, duration) in rows {
            trun.u32(*duration);
            trun.u32(sample.frame.size);
            if video {
                trun.u32(sample_flags(sample.kind));
                let shown_after = sample.presentation - sample.decode;
                trun.u32(shown_after.clamp(-DELTA_MAX, DELTA_MAX) as i32 as u32);
            }
        }
    });
}

/// The samples of one chunk: they stand in the order of chunks.
fn samples_of(samples: &[Sample], chunk: u32) -> &[Sample] {
    let from = samples.partition_point(|sample| sample.chunk < chunk);
    let to = samples.partition_point(|sample| sample.chunk <= chunk);
    &samples[from..to]
}

/// How long each sample lasts. The last lasts until the next is decoded, else as long as the one before it.
fn durations(track: &OutputTrack, samples: &[Sample], next: Option<Micros>) -> Vec<u32> {
    let bounded = |ticks: i64| ticks.clamp(1, DELTA_MAX) as u32;
    let mut durations: Vec<u32> = samples
        .windows(2)
        .map(|pair| bounded(pair[1].decode - pair[0].decode))
        .collect();
    let until_next = next
        .filter(|_| track.codec.is_video())
        .zip(samples.last())
        .map(|(next, last)| bounded(track.ticks(next.0) - last.decode));
    let nominal = match track.codec {
        codec if codec.is_video() => track.ticks(LEAD_IN_US),
        Codec::Aac => AAC_SAMPLES,
        _ => i64::from(track.timescale) / PACKETS_PER_SECOND,
    };
    let last = until_next
        .or(durations.last().copied())
        .unwrap_or_else(|| bounded(nominal));
    durations.push(last);
    durations
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::media::{AudioParameters, Track, VideoParameters};
    use bytes::Bytes;

    const ORIGIN: UnixMicros = UnixMicros(208 * PERIOD.0);

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

    fn frame(track: u8, kind: FrameKind, after_us: i64, size: u32) -> FrameEntry {
        FrameEntry {
            track: TrackId(track),
            kind,
            time: ORIGIN + Micros(after_us),
            size,
        }
    }

    /// Goal: the bytes are those of the standard. Method: two pictures and a sound packet in two chunks, against boxes written by hand.
    #[test]
    fn a_fragment_is_byte_for_byte_what_the_standard_says() {
        let tracks = FragmentTracks::new(&run(), ORIGIN, Receiver::Player).unwrap();
        assert_eq!(tracks.main(), TrackId(1));
        assert_eq!(
            tracks.codecs().collect::<Vec<_>>(),
            ["avc1.42C00D", "mp4a.40.2"]
        );
        let mut builder = FragmentBuilder::new(&tracks);
        let mut clock = tracks.decode_clock(ORIGIN);
        builder.start_chunk();
        let frames = [
            frame(1, FrameKind::Key, 0, 1000),
            frame(0, FrameKind::Key, 3, 160),
            frame(2, FrameKind::Key, 10_000, 90),
        ];
        for (ordinal, frame) in (0..).zip(&frames) {
            let decode = (ordinal == 0).then(|| clock.next(tracks.media_time(frame.time)));
            builder.push(ordinal, frame, decode);
        }
        builder.start_chunk();
        let second = frame(1, FrameKind::Disposable, 40_000, 300);
        let decode = clock.next(tracks.media_time(second.time));
        builder.push(7, &second, Some(decode));
        let fragment = builder.finish(5, Some(Micros(80_500)));
        let expected = [
            b"\0\0\0\xd4moof\0\0\0\x10mfhd\0\0\0\0\0\0\0\x05".as_slice(),
            b"\0\0\0\x74traf\0\0\0\x10tfhd\0\x02\0\0\0\0\0\x01",
            b"\0\0\0\x14tfdt\x01\0\0\0\0\0\0\0\0\0\0\0",
            b"\0\0\0\x24trun\x01\0\x0f\x01\0\0\0\x01\0\0\0\xdc",
            b"\0\0\x9c\x40\0\0\x03\xe8\x02\0\0\0\0\0\0\0",
            b"\0\0\0\x24trun\x01\0\x0f\x01\0\0\0\x01\0\0\x05\x1e",
            b"\0\0\x9e\x34\0\0\x01\x2c\x01\x81\0\0\0\0\0\0",
            b"\0\0\0\x48traf\0\0\0\x10tfhd\0\x02\0\0\0\0\0\x02",
            b"\0\0\0\x14tfdt\x01\0\0\0\0\0\0\0\0\0\x01\xe0",
            b"\0\0\0\x1ctrun\x01\0\x03\x01\0\0\0\x01\0\0\x04\xc4",
            b"\0\0\x04\0\0\0\0\x5a",
            b"\0\0\x05\x76mdat",
        ]
        .concat();
        assert_eq!(fragment.head, expected);
        // Who changes these bytes gives them another number.
        assert_eq!(FRAGMENT_LAYOUT, 1);
        assert_eq!(fragment.body_len, 1390);
        let output = |ordinal, size| OutputFrame { ordinal, size };
        let chunks = [vec![output(0, 1000), output(2, 90)], vec![output(7, 300)]];
        assert_eq!(fragment.chunks, chunks);
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
