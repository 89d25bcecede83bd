//! One key frame by itself: as the byte stream a decoder takes, or as an MP4 with one picture.
//!
//! The bytes of the frame come from disk and from a camera, so nothing here trusts them: what cannot be taken apart is left out.

use super::{
    movie::{DamagedFrames, FrameTable, Movie, MovieRun, TrackChoice},
    mp4::{LayoutError, Mp4Layout},
};
use crate::{
    base::{Micros, TimeRange, UnixMicros},
    media::{
        Codec, FrameEntry, FrameKind, Track, TrackId, TrackSet, h264, h265, length_prefixed::nals,
    },
};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// How long the picture of an MP4 is shown: one of 25 a second.
const SHOWN: Micros = Micros::from_millis(40);

/// A key frame and what a decoder needs before it.
#[derive(Clone, Debug)]
pub struct Still {
    /// When it was shown, on the recorder's clock.
    pub time: UnixMicros,
    track: Track,
    data: Bytes,
}

impl Still {
    /// The frame with the bytes `data`, shown at `time`, of the video track `track` of its run.
    ///
    /// # Panics
    /// When `track` holds no pictures.
    pub fn new(time: UnixMicros, track: Track, data: Bytes) -> Self {
        assert!(track.codec.is_video(), "a still is a picture");
        Self { time, track, data }
    }

    /// Its track.
    pub fn track(&self) -> &Track {
        &self.track
    }

    /// The frame as stored.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// How it is coded.
    pub fn codec(&self) -> Codec {
        self.track.codec
    }

    /// Every NAL unit a decoder needs, in order: the parameter sets of the run, then the frame as the camera sent it. The camera's own
    /// sets come later and win; a delimiter goes first, where both standards want it.
    pub fn units(&self) -> impl Iterator<Item = &[u8]> {
        let is_delimiter = |nal: &&[u8]| {
            let header = nal.first().copied().unwrap_or_default();
            match self.track.codec {
                Codec::H264 => h264::nal_type_of(header) == h264::nal_type::DELIMITER,
                _ => h265::nal_type_of(header) == h265::nal_type::DELIMITER,
            }
        };
        let delimiter = nals(&self.data).next().filter(is_delimiter);
        let video = self.track.video.iter();
        let sets = video.flat_map(|video| &video.parameter_sets);
        let rest = nals(&self.data).skip(usize::from(delimiter.is_some()));
        delimiter
            .into_iter()
            .chain(sets.map(|set| &set[..]).filter(|set| !set.is_empty()))
            .chain(rest)
    }

    /// A byte stream (Annex B of both standards) that decodes by itself.
    pub fn byte_stream(&self) -> Bytes {
        let mut stream = BytesMut::with_capacity(self.data.len() + 1024);
        for nal in self.units() {
            stream.extend_from_slice(&[0, 0, 0, 1]);
            stream.extend_from_slice(nal);
        }
        stream.freeze()
    }

    /// An MP4 with this picture alone, shown for 40 ms.
    ///
    /// # Errors
    /// When the frame has no bytes.
    pub fn mp4(&self) -> Result<Bytes, LayoutError> {
        let movie = Movie {
            runs: vec![MovieRun {
                tracks: Arc::new(TrackSet {
                    tracks: vec![self.track.clone()],
                }),
                cause: None,
            }],
            range: TimeRange {
                start: self.time,
                end: self.time + SHOWN,
            },
            damaged: DamagedFrames::Keep,
            choice: TrackChoice::AUDIO_VIDEO,
        };
        let layout = Mp4Layout::new(&movie, self)?;
        Ok([&layout.head()[..], &self.data].concat().into())
    }
}

/// One block of one frame.
impl FrameTable for Still {
    fn blocks(&self) -> usize {
        1
    }

    fn run_of(&self, _block: usize) -> usize {
        0
    }

    fn visit(&self, _block: usize, visit: &mut dyn FnMut(&FrameEntry)) {
        visit(&FrameEntry {
            track: TrackId(0),
            kind: FrameKind::Key,
            time: self.time,
            size: u32::try_from(self.data.len()).unwrap_or(u32::MAX),
        });
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::media::{ParameterSets, VideoParameters, annex_b};

    /// The first picture of a clip of the camera simulator, with all its parameter sets.
    pub(crate) fn clip(codec: Codec, stream: &[u8]) -> Still {
        let theirs = match codec {
            Codec::H264 => camsim::Codec::H264,
            _ => camsim::Codec::H265,
        };
        let nals: Vec<&[u8]> = camsim::nal::annexb(stream)
            .into_iter()
            .map(|range| &stream[range])
            .collect();
        let mut sets = ParameterSets::new(codec);
        for nal in nals.iter().filter(|nal| theirs.is_parameter_set(nal)) {
            sets.insert(nal).unwrap();
        }
        let first = camsim::nal::access_units(theirs, nals.iter().copied()).remove(0);
        let mut data = Vec::new();
        for nal in &nals[first] {
            data.extend((nal.len() as u32).to_be_bytes());
            data.extend_from_slice(nal);
        }
        let track = Track {
            codec,
            clock_rate: 90_000,
            video: sets.video_parameters(None),
            audio: None,
            encoding: String::new(),
        };
        Still::new(UnixMicros(1_795_000_000_123_456), track, data.into())
    }

    fn units(still: &Still) -> Vec<&[u8]> {
        still.units().collect()
    }

    fn still(data: &[u8]) -> Still {
        let set = Bytes::from_static;
        let track = Track {
            codec: Codec::H264,
            clock_rate: 90_000,
            video: Some(VideoParameters {
                width: 64,
                height: 64,
                parameter_sets: vec![set(&[0x67, 0x42, 0, 0x1f]), set(&[]), set(&[0x68, 0xce])],
            }),
            audio: None,
            encoding: String::new(),
        };
        Still::new(UnixMicros(7), track, Bytes::copy_from_slice(data))
    }

    #[test]
    fn parameter_sets_stand_behind_the_delimiter_and_before_the_frame() {
        let (sps, pps): (&[u8], &[u8]) = (&[0x67, 0x42, 0, 0x1f], &[0x68, 0xce]);
        let plain = still(&[0, 0, 0, 2, 0x65, 0x88]);
        assert_eq!(units(&plain), [sps, pps, &[0x65, 0x88]]);
        let delimited = still(&[0, 0, 0, 2, 9, 0x10, 0, 0, 0, 2, 0x65, 0x88]);
        assert_eq!(units(&delimited), [&[9, 0x10], sps, pps, &[0x65, 0x88]]);
        let stream = delimited.byte_stream();
        assert_eq!(&stream[..10], [0, 0, 0, 1, 9, 0x10, 0, 0, 0, 1]);
    }

    #[test]
    fn a_byte_stream_comes_apart_into_its_units() {
        let h264 = include_bytes!("../../tools/camsim/clips/h264.264");
        let h265 = include_bytes!("../../tools/camsim/clips/h265.265");
        for (codec, stream) in [(Codec::H264, &h264[..]), (Codec::H265, h265)] {
            let still = clip(codec, stream);
            let apart: Vec<Bytes> = annex_b::nals(still.byte_stream()).collect();
            assert!(apart.len() > 3, "{codec:?}");
            assert_eq!(apart, units(&still), "{codec:?}");
        }
    }

    #[test]
    fn an_mp4_holds_the_frame_as_it_is() {
        let still = still(&[0, 0, 0, 2, 0x65, 0x88]);
        let file = still.mp4().unwrap();
        assert!(file.ends_with(&[0, 0, 0, 14, b'm', b'd', b'a', b't', 0, 0, 0, 2, 0x65, 0x88]));
        assert!(self::still(&[]).mp4().is_err());
    }
}
