//! HLS lists (RFC 8216) as text, from parts. Pure: which parts there are is found elsewhere.
//!
//! Every part has its time of day (`EXT-X-PROGRAM-DATE-TIME`), so a player knows it wherever it seeks. Gaps, other parameters and lost
//! blocks are discontinuities; each run has its own init segment. Names are relative to the list and the same in every list.

use super::{
    fragment::FRAGMENT_LAYOUT,
    parts::{GRID, Part},
};
use crate::base::{Micros, UnixMicros};
use std::fmt::Write;

/// Target durations of lists that grow. RFC 8216 §6.2.1 does not let a list change its own, and of key frames yet to come nobody knows.
/// The last is more than the longest part.
const TARGETS: [u32; 10] = [4, 6, 10, 15, 30, 60, 120, 300, 900, 1810];

/// Lists of discontinuities that are numbered by the clock count these from here on.
const DISCONTINUITIES_SINCE: UnixMicros = UnixMicros(1_767_225_600_000_000);
const DISCONTINUITY_EVERY: Micros = Micros::from_secs(600);

/// Where a list begins among all parts that it ever had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Number of the first part.
    pub sequence: u64,
    /// Discontinuities up to the first part.
    pub discontinuities: u64,
}

impl Numbers {
    /// Those of a list of which nothing else is known but its first part: by its cell of the grid, and the time since 2026. The latter is
    /// small, since hls.js walks through all numbers up to it.
    pub fn by_clock(first: &Part) -> Self {
        let ten_minutes = first.start.since(DISCONTINUITIES_SINCE).0 / DISCONTINUITY_EVERY.0;
        Self {
            sequence: u64::try_from(first.start.0.div_euclid(GRID.0)).unwrap_or(0),
            discontinuities: u64::try_from(ten_minutes).unwrap_or(0),
        }
    }

    /// The higher of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            sequence: self.sequence.max(other.sequence),
            discontinuities: self.discontinuities.max(other.discontinuities),
        }
    }
}

/// Which kind of list it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// All of the range is there.
    Past,
    /// More parts of the range will come: an `EVENT` list.
    Growing(Numbers),
    /// The same, but the ring takes its first parts before it ends.
    Sliding(Numbers),
    /// The range has ended lately: the last state of a list that grew.
    Grown(Numbers),
    /// The last state of one that slid.
    Slid(Numbers),
    /// The newest parts; those before go as others come.
    Live(Numbers),
}

impl ListKind {
    /// Whether no part will be added.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Past | Self::Grown(_) | Self::Slid(_))
    }

    fn playlist_type(self) -> Option<&'static str> {
        match self {
            Self::Past => Some("VOD"),
            Self::Growing(_) | Self::Grown(_) => Some("EVENT"),
            Self::Sliding(_) | Self::Slid(_) | Self::Live(_) => None,
        }
    }

    fn numbers(self) -> Option<Numbers> {
        match self {
            Self::Past => None,
            Self::Growing(numbers)
            | Self::Sliding(numbers)
            | Self::Grown(numbers)
            | Self::Slid(numbers)
            | Self::Live(numbers) => Some(numbers),
        }
    }
}

/// What stands for each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// The whole part.
    Parts,
    /// Its key frame alone, for trick play.
    Keys,
}

/// A list of parts.
#[derive(Clone, Copy, Debug)]
pub struct MediaList<'a> {
    /// Its kind.
    pub kind: ListKind,
    /// What stands for each part.
    pub show: Show,
    /// In the order in which they are played.
    pub parts: &'a [Part],
    /// Whether the last one is to last as long as what it shows itself: behind it nothing brings the pictures that need the next.
    pub ends_itself: bool,
    /// Where playing begins, when that is inside the first part.
    pub from: UnixMicros,
    /// No part lasts longer, in seconds.
    pub target: u32,
    /// Stands behind each name: empty or `?` with the stream.
    pub query: &'a str,
}

/// The target duration of a list of just `parts` in seconds: as long as the longest.
pub fn target_duration(parts: &[Part]) -> u32 {
    parts.iter().map(seconds).max().unwrap_or_default().max(1)
}

/// That of a list that begins with `parts` and grows: the smallest of `TARGETS` from `least` on that they all keep. With a key frame every
/// two seconds or more often, a part lasts less than twice the distance of grid lines.
pub fn lasting_target(parts: &[Part], least: u32) -> u32 {
    let least = least.max(target_duration(parts));
    let longest = TARGETS[TARGETS.len() - 1];
    let target = TARGETS.into_iter().find(|target| *target >= least);
    target.unwrap_or(longest)
}

/// How long a part lasts, as it is compared with a target duration (RFC 8216 §4.3.3.1).
pub fn seconds(part: &Part) -> u32 {
    u32::try_from((part.duration().0 + 500_000) / 1_000_000).unwrap_or(u32::MAX)
}

/// The name of a part in the folder of its run. It holds what the bytes depend on besides the recording, so that they may be kept for
/// ever also by who meets another version of this program later.
pub fn part_file(start: UnixMicros, show: Show) -> String {
    let kind = match show {
        Show::Parts => "",
        Show::Keys => ".key",
    };
    format!("{}-{FRAGMENT_LAYOUT}{kind}.m4s", start.0)
}

impl MediaList<'_> {
    /// The list as text.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(256 + 160 * self.parts.len());
        self.write(&mut text)
            .expect("writing to a string cannot fail");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        text.push_str("#EXTM3U\n#EXT-X-VERSION:7\n");
        writeln!(text, "#EXT-X-TARGETDURATION:{}", self.target)?;
        if let Some(kind) = self.kind.playlist_type() {
            writeln!(text, "#EXT-X-PLAYLIST-TYPE:{kind}")?;
        }
        if let Some(numbers) = self.kind.numbers() {
            writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{}", numbers.sequence)?;
            let discontinuities = numbers.discontinuities;
            writeln!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}")?;
        }
        if self.show == Show::Keys {
            text.push_str("#EXT-X-I-FRAMES-ONLY\n");
        } else if self.kind == ListKind::Past && !self.parts.iter().any(|part| part.leans_back) {
            // Of parts that are yet to come nobody knows, and what a list has said stays (RFC 8216 §6.2.1).
            text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
        }
        // Where the first part goes one day, what is said of its inside cannot stay.
        let stays = self.kind.playlist_type().is_some();
        let first = self.parts.first().filter(|_| stays);
        let inside = first.map(|first| self.from.since(first.start));
        if let Some(offset) = inside.filter(|offset| offset.0 > 0 && self.show == Show::Parts) {
            let seconds = offset.as_secs_f64();
            writeln!(text, "#EXT-X-START:TIME-OFFSET={seconds:.6},PRECISE=YES")?;
        }
        let mut before: Option<&Part> = None;
        let last = self.parts.len().saturating_sub(1);
        for (number, part) in self.parts.iter().enumerate() {
            let own = number == last && self.ends_itself && self.show == Show::Parts;
            let end = if own { part.own_end } else { part.end };
            self.write_part(text, before, part, end)?;
            before = Some(part);
        }
        if self.kind.has_ended() {
            text.push_str("#EXT-X-ENDLIST\n");
        }
        Ok(())
    }

    fn write_part(
        &self,
        text: &mut String,
        before: Option<&Part>,
        part: &Part,
        end: UnixMicros,
    ) -> std::fmt::Result {
        if before.is_some() && !part.follows {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        let (run, query) = (part.run.0, self.query);
        if before.is_none_or(|before| before.run != part.run) {
            writeln!(text, "#EXT-X-MAP:URI=\"{run}/init.mp4{query}\"")?;
        }
        let seconds = end.since(part.start).as_secs_f64();
        writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", part.start)?;
        writeln!(text, "#EXTINF:{seconds:.6},")?;
        let name = part_file(part.start, self.show);
        writeln!(text, "{run}/{name}{query}")
    }
}

/// What a player must know of a stream before it takes its list; measured from the parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    codecs: Vec<String>,
    size: Option<(u16, u16)>,
    frame_rate: f64,
    rates: Rates,
    key_rates: Rates,
    leans_back: bool,
}

/// Bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rates {
    peak: u64,
    average: u64,
}

impl Rates {
    /// RFC 8216 §4.3.4.2: the peak is that of parts that follow each other for half to one and a half target durations.
    fn of(parts: &[Part], target: u32, len: impl Fn(&Part) -> u64) -> Self {
        let target_us = i64::from(target) * 1_000_000;
        let rate = |len: u64, span_us: i64| {
            let bits = u128::from(len) * 8_000_000;
            u64::try_from(bits / span_us.max(1).unsigned_abs() as u128).unwrap_or(u64::MAX)
        };
        let mut peak = 0;
        for from in 0..parts.len() {
            let (mut bytes, mut span_us) = (0, 0);
            for part in &parts[from..] {
                bytes += len(part);
                span_us += part.duration().0;
                if span_us * 2 > target_us * 3 {
                    break;
                }
                if span_us * 2 >= target_us {
                    peak = peak.max(rate(bytes, span_us));
                }
            }
        }
        let bytes = parts.iter().map(&len).sum();
        let span_us = parts.iter().map(|part| part.duration().0).sum();
        let average = rate(bytes, span_us);
        Self {
            peak: peak.max(average),
            average,
        }
    }
}

impl Variant {
    /// Of the parts of one stream; `None` where there are none.
    pub fn of(parts: &[Part], target: u32) -> Option<Self> {
        let mut codecs: Vec<String> = Vec::new();
        let mut size: Option<(u16, u16)> = None;
        let mut run = None;
        for part in parts
            .iter()
            .filter(|part| run.replace(part.run) != Some(part.run))
        {
            for codec in part.tracks.codecs() {
                if !codecs.iter().any(|known| known == codec) {
                    codecs.push(codec.to_owned());
                }
            }
            if let Some((width, height)) = part.tracks.size() {
                let (widest, highest) = size.unwrap_or_default();
                size = Some((widest.max(width), highest.max(height)));
            }
        }
        let span: Micros = parts
            .iter()
            .map(Part::duration)
            .fold(Micros::ZERO, |a, b| a + b);
        let frames: u64 = parts.iter().map(|part| u64::from(part.frames)).sum();
        (!parts.is_empty()).then(|| Self {
            codecs,
            size,
            frame_rate: frames as f64 / span.as_secs_f64().max(1e-6),
            rates: Rates::of(parts, target, |part| part.len),
            key_rates: Rates::of(parts, target, |part| part.key_len),
            leans_back: parts.iter().any(|part| part.leans_back),
        })
    }

    /// The attributes both tags share.
    fn write_common(&self, text: &mut String, rates: Rates, codecs: &[&str]) -> std::fmt::Result {
        write!(
            text,
            "BANDWIDTH={},AVERAGE-BANDWIDTH={}",
            rates.peak, rates.average
        )?;
        if !codecs.is_empty() {
            write!(text, ",CODECS=\"{}\"", codecs.join(","))?;
        }
        match self.size {
            Some((width, height)) => write!(text, ",RESOLUTION={width}x{height}"),
            None => Ok(()),
        }
    }
}

/// The list of lists: one variant for each stream, each with the query that its own lists are asked for with.
pub fn multivariant_list(variants: &[(Variant, String)]) -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:7\n");
    if !variants.iter().any(|(variant, _)| variant.leans_back) {
        text.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
    }
    for (variant, query) in variants {
        write_variant(&mut text, variant, query).expect("writing to a string cannot fail");
    }
    text
}

fn write_variant(text: &mut String, variant: &Variant, query: &str) -> std::fmt::Result {
    let all: Vec<&str> = variant.codecs.iter().map(String::as_str).collect();
    text.push_str("#EXT-X-STREAM-INF:");
    variant.write_common(text, variant.rates, &all)?;
    if variant.size.is_some() {
        write!(text, ",FRAME-RATE={:.3}", variant.frame_rate)?;
    }
    writeln!(text, "\nmedia.m3u8{query}")?;
    if variant.size.is_some() {
        let is_picture = |codec: &&str| codec.starts_with("avc") || codec.starts_with("hvc");
        let pictures: Vec<&str> = all.into_iter().filter(is_picture).collect();
        text.push_str("#EXT-X-I-FRAME-STREAM-INF:");
        variant.write_common(text, variant.key_rates, &pictures)?;
        writeln!(text, ",URI=\"keys.m3u8{query}\"")?;
    }
    Ok(())
}
