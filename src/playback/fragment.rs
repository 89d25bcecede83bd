//! Fragmented MP4 (ISO 14496-12 §8.8): fragments (`moof` and `mdat`) of any frames of a run.
//!
//! HLS parts, live viewers and downloads that grow are all made of these. A fragment is known from frame tables alone: its head first,
//! then the frames chunk by chunk; inside a chunk the frames of one track stand together, track behind track, as in a progressive
//! file. So whoever sends one holds one block at a time. The same frames always give the same bytes.
//!
//! Times are those of `fragment_tracks`.

use super::{
    boxes::BoxWriter,
    fragment_tracks::{FragmentTracks, LEAD_IN_US},
    head::sample_flags,
    mp4::OutputFrame,
    output_tracks::OutputTrack,
    sample_tables::DELTA_MAX,
};
use crate::{
    base::Micros,
    media::{Codec, FrameEntry, FrameKind},
};

/// Grows whenever the same frames give other bytes than before, or parts are cut otherwise: it is in the names of parts, which are kept for
/// ever.
pub const FRAGMENT_LAYOUT: u32 = 1;

/// How long a sound packet lasts of which nothing else is known: 1024 samples of AAC (ISO 14496-3 §4.5.1.1), otherwise 20 ms.
const AAC_SAMPLES: i64 = 1024;
const PACKETS_PER_SECOND: i64 = 50;

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
mod tests {
    use super::{
        super::fragment_tracks::{
            Receiver,
            tests::{ORIGIN, run},
        },
        *,
    };
    use crate::media::TrackId;

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
}
