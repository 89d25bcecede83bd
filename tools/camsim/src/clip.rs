//! Clips: the short pieces of video and sound that the simulated cameras repeat for ever.
//!
//! They are made by `tools/make-clips`, built into the program, and prepared when first used: cut into access units, marked, and
//! packetised. A clip begins with an IDR picture and needs nothing from before its start, so its end joins its beginning.

use crate::mark::{self, MarkText};
use crate::nal::{self, Codec};
use crate::packet::{Cutting, Wire};
use crate::sound::Sound;

/// Units of the video clock per second (RFC 6184 §8.2.1).
pub(crate) const VIDEO_HZ: u64 = 90_000;

/// What is built in about one clip.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The name on the command line and in URLs.
    pub name: &'static str,
    /// What it shows and what it is good for.
    pub about: &'static str,
    /// The video codec.
    pub codec: Codec,
    /// Pictures per second.
    pub rate: u32,
    video: &'static [u8],
    order: &'static str,
    sound: RawSound,
    aggregate: bool,
}

#[derive(Clone, Copy, Debug)]
enum RawSound {
    None,
    Adts(&'static [u8]),
    Alaw(&'static [u8]),
}

macro_rules! clip {
    ($name:literal, $codec:ident, $rate:literal, $file:literal, $about:literal) => {
        Source {
            name: $name,
            about: $about,
            codec: Codec::$codec,
            rate: $rate,
            video: include_bytes!(concat!("../clips/", $file)),
            order: "",
            sound: RawSound::None,
            aggregate: false,
        }
    };
}

/// All clips.
pub const CLIPS: [Source; 9] = [
    Source {
        sound: RawSound::Adts(include_bytes!("../clips/h264.aac")),
        ..clip!(
            "h264",
            H264,
            15,
            "h264.264",
            "640x360, 15 fps, H.264 without B-frames, AAC 16 kHz, key frame each 2 s"
        )
    },
    Source {
        order: include_str!("../clips/h264b.order"),
        aggregate: true,
        ..clip!(
            "h264b",
            H264,
            25,
            "h264b.264",
            "640x360, 25 fps, H.264 with B-frame pyramid, 4 slices per picture, STAP-A, key frame each 2 s"
        )
    },
    clip!(
        "h265",
        H265,
        15,
        "h265.265",
        "640x360, 15 fps, H.265 without B-frames, closed GOP of 2 s"
    ),
    Source {
        order: include_str!("../clips/h265b.order"),
        aggregate: true,
        ..clip!(
            "h265b",
            H265,
            15,
            "h265b.265",
            "640x360, 15 fps, H.265 with B-frames, open GOP of 2 s (CRA with leading pictures), aggregated"
        )
    },
    clip!(
        "load",
        H264,
        15,
        "load.264",
        "1920x1080, 15 fps, H.264 at constant 2 Mbit/s, key frame each 2 s: for load"
    ),
    clip!(
        "multi",
        H264,
        15,
        "multi.264",
        "640x360, 15 fps, H.264 with two SPS and two PPS that take turns each second"
    ),
    Source {
        sound: RawSound::Alaw(include_bytes!("../clips/g711.alaw")),
        ..clip!(
            "g711",
            H264,
            10,
            "g711.264",
            "480x272, 10 fps, H.264, G.711 A-law sound, key frame each second"
        )
    },
    clip!(
        "smart",
        H264,
        5,
        "smart.264",
        "640x360, 5 fps, H.264 with one key frame a minute, as smart codecs do"
    ),
    clip!(
        "refresh",
        H264,
        15,
        "refresh.264",
        "480x272, 15 fps, H.264 with intra refresh: recovery points, an IDR only each 8 s"
    ),
];

/// The clips that cameras get in turn when none are named: different pictures, codecs and kinds of sound.
pub const DEFAULT: [&str; 4] = ["h264", "h264b", "h265", "g711"];

/// The built-in clip of that name.
pub fn find(name: &str) -> Option<&'static Source> {
    CLIPS.iter().find(|source| source.name == name)
}

/// A clip, prepared for sending.
#[derive(Debug)]
pub(crate) struct Clip {
    pub(crate) name: &'static str,
    pub(crate) codec: Codec,
    /// 90 kHz units from picture to picture.
    pub(crate) period: u64,
    pub(crate) units: Vec<Unit>,
    /// Pictures by which presentation lags behind decoding.
    pub(crate) delay: u64,
    /// All parameter sets, in the order of their first appearance.
    pub(crate) parameter_sets: Vec<Vec<u8>>,
    pub(crate) sound: Option<Sound>,
}

/// One access unit of a clip.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) wire: Wire,
    /// Decoding can start here.
    pub(crate) key: bool,
    /// Decoding can start here, and nothing after looks or is shown before it.
    pub(crate) closed: bool,
    /// Place in presentation order.
    pub(crate) shown: u64,
    /// Checksums for the mark.
    pub(crate) slices: u32,
    pub(crate) others: u32,
}

impl Clip {
    /// Prepares a clip; `rate` overrides its pictures per second.
    pub(crate) fn load(source: &'static Source, payload_max: usize, rate: Option<u32>) -> Self {
        let stream = source.video;
        let nals: Vec<&[u8]> = nal::annexb(stream)
            .into_iter()
            .map(|range| &stream[range])
            .collect();
        let order: Vec<u64> = source
            .order
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        let cutting = Cutting {
            codec: source.codec,
            payload_max,
            aggregate: source.aggregate,
        };
        let mut units = Vec::new();
        for (index, range) in nal::access_units(source.codec, nals.iter().copied())
            .into_iter()
            .enumerate()
        {
            let shown = order.get(index).copied().unwrap_or(index as u64);
            units.push(Unit::prepare(cutting, &nals[range], shown));
        }
        assert!(
            units.first().is_some_and(|unit| unit.closed),
            "{}: a clip starts with an IDR picture",
            source.name
        );
        assert!(
            order.is_empty() || order.len() == units.len(),
            "{}: order and pictures disagree",
            source.name
        );
        let delay = units
            .iter()
            .enumerate()
            .map(|(index, unit)| (index as u64).saturating_sub(unit.shown))
            .max();
        let mut parameter_sets: Vec<Vec<u8>> = Vec::new();
        for nal in nals.iter().filter(|nal| source.codec.is_parameter_set(nal)) {
            if !parameter_sets.iter().any(|known| known == nal) {
                parameter_sets.push(nal.to_vec());
            }
        }
        Self {
            name: source.name,
            codec: source.codec,
            period: VIDEO_HZ / u64::from(rate.unwrap_or(source.rate).max(1)),
            units,
            delay: delay.unwrap_or(0),
            parameter_sets,
            sound: match source.sound {
                RawSound::None => None,
                RawSound::Adts(bytes) => Some(Sound::aac(bytes)),
                RawSound::Alaw(bytes) => Some(Sound::pcma(bytes)),
            },
        }
    }
}

impl Unit {
    fn prepare(cutting: Cutting, nals: &[&[u8]], shown: u64) -> Self {
        let codec = cutting.codec;
        let (slices, others) = mark::checksums(codec, nals.iter().copied());
        let (mark, text_at) = MarkText::new("", 0, 0, 0, 0).nal(codec);
        let place = nals.iter().position(|nal| codec.is_slice(nal)).unwrap_or(0);
        let mut marked = nals.to_vec();
        marked.insert(place, &mark);
        let first = nals.get(place).copied().unwrap_or(&[]);
        Self {
            wire: Wire::video(cutting, &marked, (place, text_at)),
            key: codec.is_random_access(first),
            closed: codec.is_closed(first),
            shown,
            slices,
            others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clip_loads_and_is_what_it_says() {
        for source in &CLIPS {
            let clip = Clip::load(source, 1400, None);
            let sets = clip.parameter_sets.len();
            match source.name {
                "multi" => assert_eq!(sets, 4),
                "h265" | "h265b" => assert_eq!(sets, 3),
                name => assert_eq!(sets, 2, "{name}"),
            }
            assert_eq!(
                clip.delay > 0,
                source.name.ends_with('b'),
                "{}",
                source.name
            );
            let bytes: usize = clip.units.iter().map(|unit| unit.wire.len()).sum();
            let seconds = clip.units.len() as f64 / f64::from(source.rate);
            let bits = bytes as f64 * 8.0 / seconds;
            assert_eq!(
                (1.9e6..2.2e6).contains(&bits),
                source.name == "load",
                "{}: {bits}",
                source.name
            );
        }
    }
}
