//! The description of a run: whose video it is, how it is coded, why it began, and how far its clock can be trusted.
//!
//! It stands in every block and chapter and in each segment's directory, so that a volume explains itself without the catalog
//! (design law L12) and any single block can be played. Packed as:
//!
//! ```text
//! text camera, text name, text stream, byte start cause, signed started (µs), byte clock synchronised, varint clock error (µs),
//! byte camera offset known, [signed camera clock − recorder clock (µs)], byte track count, then per track:
//!   byte codec, varint clock rate, text encoding,
//!   byte has video, [varint width, varint height, varint set count, bytes …],
//!   byte has audio, [varint sample rate, byte channels, bytes config]
//! ```

use super::{
    DecodeError,
    cursor::{Cursor, put_bytes, put_signed, put_varint},
};
use crate::{
    base::{ClockState, Micros, UnixMicros},
    media::{AudioParameters, Codec, GapCause, Track, TrackSet, VideoParameters},
};
use bytes::Bytes;

/// Longest packed description.
pub const DESCRIPTION_LEN_MAX: usize = 64 * 1024;
const TEXT_LEN_MAX: usize = 1024;
const TRACKS_MAX: u8 = 16;
const SETS_MAX: u64 = 512;

/// What is true of a whole run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDescription {
    /// The camera's id, as in URLs and commands.
    pub camera: String,
    /// The camera's name for people.
    pub name: String,
    /// Which of its streams: `main` or `sub`.
    pub stream: String,
    /// Why there was a gap before this run.
    pub start_cause: GapCause,
    /// When the run began, on the recorder's clock.
    pub started: UnixMicros,
    /// How far the recorder's clock could be trusted then.
    pub clock: ClockState,
    /// The camera's clock minus the recorder's (from RTCP), when the camera told.
    pub camera_offset: Option<Micros>,
    /// The tracks and their codec parameters.
    pub tracks: TrackSet,
}

impl RunDescription {
    /// Packs the description.
    ///
    /// # Panics
    /// When it is longer than `DESCRIPTION_LEN_MAX`: ingest bounds names and parameter sets.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        put_bytes(&mut out, self.camera.as_bytes());
        put_bytes(&mut out, self.name.as_bytes());
        put_bytes(&mut out, self.stream.as_bytes());
        out.push(self.start_cause as u8);
        put_signed(&mut out, self.started.0);
        out.push(u8::from(self.clock.synchronised));
        put_varint(&mut out, u64::from(self.clock.error_us_max));
        out.push(u8::from(self.camera_offset.is_some()));
        if let Some(offset) = self.camera_offset {
            put_signed(&mut out, offset.0);
        }
        assert!(self.tracks.tracks.len() <= usize::from(TRACKS_MAX));
        out.push(self.tracks.tracks.len() as u8);
        for track in &self.tracks.tracks {
            encode_track(track, &mut out);
        }
        assert!(
            out.len() <= DESCRIPTION_LEN_MAX,
            "description of {} is too long",
            self.camera
        );
        out
    }

    /// Unpacks a description.
    ///
    /// # Errors
    /// When the bytes are not one whole description.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new("description", bytes);
        let camera = cursor.text(TEXT_LEN_MAX)?.to_owned();
        let name = cursor.text(TEXT_LEN_MAX)?.to_owned();
        let stream = cursor.text(TEXT_LEN_MAX)?.to_owned();
        let start_cause =
            GapCause::from_number(cursor.byte()?).ok_or_else(|| cursor.value("start cause"))?;
        let started = UnixMicros(cursor.signed()?);
        let synchronised = cursor.byte()? == 1;
        let clock = ClockState {
            synchronised,
            error_us_max: cursor.varint32()?,
        };
        let camera_offset = if cursor.byte()? == 1 {
            Some(Micros(cursor.signed()?))
        } else {
            None
        };
        let count = cursor.byte()?;
        if count > TRACKS_MAX {
            return Err(cursor.value("track count"));
        }
        let tracks = (0..count)
            .map(|_| decode_track(&mut cursor))
            .collect::<Result<_, _>>()?;
        // What follows was added by a later release.
        Ok(Self {
            camera,
            name,
            stream,
            start_cause,
            started,
            clock,
            camera_offset,
            tracks: TrackSet { tracks },
        })
    }
}

fn encode_track(track: &Track, out: &mut Vec<u8>) {
    out.push(track.codec as u8);
    put_varint(out, u64::from(track.clock_rate));
    put_bytes(out, track.encoding.as_bytes());
    out.push(u8::from(track.video.is_some()));
    if let Some(video) = &track.video {
        put_varint(out, u64::from(video.width));
        put_varint(out, u64::from(video.height));
        put_varint(out, video.parameter_sets.len() as u64);
        for set in &video.parameter_sets {
            put_bytes(out, set);
        }
    }
    out.push(u8::from(track.audio.is_some()));
    if let Some(audio) = &track.audio {
        put_varint(out, u64::from(audio.sample_rate));
        out.push(audio.channels);
        put_bytes(out, &audio.config);
    }
}

fn decode_track(cursor: &mut Cursor<'_>) -> Result<Track, DecodeError> {
    let codec = Codec::from_number(cursor.byte()?).ok_or_else(|| cursor.value("codec"))?;
    let clock_rate = cursor.varint32()?;
    let encoding = cursor.text(TEXT_LEN_MAX)?.to_owned();
    let video = if cursor.byte()? == 1 {
        let width = u16::try_from(cursor.varint()?).map_err(|_| cursor.value("width"))?;
        let height = u16::try_from(cursor.varint()?).map_err(|_| cursor.value("height"))?;
        let count = cursor.varint()?;
        if count > SETS_MAX {
            return Err(cursor.value("parameter set count"));
        }
        let parameter_sets = (0..count)
            .map(|_| Ok(Bytes::copy_from_slice(cursor.bytes(DESCRIPTION_LEN_MAX)?)))
            .collect::<Result<_, _>>()?;
        Some(VideoParameters {
            width,
            height,
            parameter_sets,
        })
    } else {
        None
    };
    let audio = if cursor.byte()? == 1 {
        let sample_rate = cursor.varint32()?;
        let channels = cursor.byte()?;
        let config = Bytes::copy_from_slice(cursor.bytes(TEXT_LEN_MAX)?);
        Some(AudioParameters {
            sample_rate,
            channels,
            config,
        })
    } else {
        None
    };
    Ok(Track {
        codec,
        clock_rate,
        video,
        audio,
        encoding,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> RunDescription {
        RunDescription {
            camera: "gate-1".into(),
            name: "Cổng chính Ủy ban".into(),
            stream: "main".into(),
            start_cause: GapCause::Restart,
            started: UnixMicros(1_795_000_000_123_456),
            clock: ClockState {
                synchronised: true,
                error_us_max: 15_000,
            },
            camera_offset: Some(Micros(-250_000)),
            tracks: TrackSet {
                tracks: vec![
                    Track {
                        codec: Codec::H264,
                        clock_rate: 90_000,
                        video: Some(VideoParameters {
                            width: 1920,
                            height: 1080,
                            parameter_sets: vec![
                                Bytes::from_static(&[0x67, 0x42, 0, 0x1f]),
                                Bytes::from_static(&[0x68, 0xce]),
                            ],
                        }),
                        audio: None,
                        encoding: String::new(),
                    },
                    Track {
                        codec: Codec::Aac,
                        clock_rate: 48_000,
                        video: None,
                        audio: Some(AudioParameters {
                            sample_rate: 48_000,
                            channels: 2,
                            config: Bytes::from_static(&[0x11, 0x90]),
                        }),
                        encoding: String::new(),
                    },
                ],
            },
        }
    }

    #[test]
    fn a_description_round_trips_and_every_shortening_is_refused() {
        let description = sample();
        let bytes = description.encode();
        assert_eq!(RunDescription::decode(&bytes), Ok(description));
        for len in 0..bytes.len() {
            assert!(RunDescription::decode(&bytes[..len]).is_err(), "{len}");
        }
    }
}
