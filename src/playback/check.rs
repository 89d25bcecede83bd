//! Reads an MP4 file back and says what is in it and what is wrong with it: `nvring check FILE.mp4`.
//!
//! The boxes are read by the `mp4` crate, which did not write them: an independent reader. It trusts sizes that a damaged file
//! may lie about (a box of size zero inside `moov` makes it loop for ever), so `box_tree` goes over the tree first and hands on
//! only a tree that adds up. Sample tables are then walked chunk by chunk, in time and memory bound by the size of `moov`.
//! Progressive files are checked whole; of a fragmented file only the head.

use super::{
    box_tree::{BoxTreeError, FileBoxes, TrackBoxes},
    wall_clock_box::WallClockEntry,
};
use mp4::{MoovBox, Mp4Reader};
use std::io::{Cursor, Read, Seek};

/// Most problems listed; a file with so many needs no more.
const PROBLEMS_MAX: usize = 100;

/// What a file holds.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct CheckReport {
    /// Major brand, such as `isom`.
    pub brand: String,
    /// How long it plays, in microseconds.
    pub duration_us: u64,
    /// Its tracks.
    pub tracks: Vec<TrackReport>,
    /// Where its runs stand on the recorder's clock; empty in files that other programs wrote.
    pub wall_clock: Vec<WallClockEntry>,
    /// What is wrong with it; empty in a good file.
    pub problems: Vec<String>,
}

/// One track.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct TrackReport {
    /// Its number.
    pub id: u32,
    /// Handler: `vide`, `soun`, `meta`.
    pub kind: String,
    /// Type of the first sample entry, such as `avc1`.
    pub coding: String,
    /// Number of sample entries.
    pub entries: u32,
    /// Shown width in pixels.
    pub width: u16,
    /// Shown height in pixels.
    pub height: u16,
    /// Number of samples.
    pub samples: u32,
    /// Samples at which decoding can start.
    pub key_samples: u32,
    /// Bytes of all samples.
    pub bytes: u64,
    /// How long it plays after its edit list, in microseconds.
    pub duration_us: u64,
}

/// Why a file cannot be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Its boxes do not add up.
    #[error("{0}")]
    Boxes(#[from] BoxTreeError),
    /// The independent reader refuses it.
    #[error("the boxes add up, but their content cannot be read: {0}")]
    Content(#[from] mp4::Error),
}

/// Reads a file of `len` bytes. Never panics, whatever the bytes are.
pub fn check_mp4<R: Read + Seek>(reader: &mut R, len: u64) -> Result<CheckReport, CheckError> {
    let mut boxes = FileBoxes::read(reader, len)?;
    let head = std::mem::take(&mut boxes.head);
    let head_len = head.len() as u64;
    let file = Mp4Reader::read_header(Cursor::new(head), head_len)?;
    let mut problems = Problems::default();
    if boxes.fragments > 0 {
        problems.note(format!(
            "the file has {} fragments, which are not checked; remux it to a progressive file first",
            boxes.fragments
        ));
    }
    let movie = Clock {
        timescale: file.moov.mvhd.timescale,
    };
    if movie.timescale == 0 {
        problems.note("mvhd: the movie's timescale is zero".to_owned());
    }
    if file.moov.traks.is_empty() {
        problems.note("moov: there is no track".to_owned());
    }
    let tracks = boxes.tracks.iter().take(file.moov.traks.len());
    let tracks = tracks
        .enumerate()
        .map(|(number, found)| {
            let mut track = TrackCheck {
                moov: &file.moov,
                number,
                found,
                data: &boxes.data,
                problems: &mut problems,
            };
            track.check(movie)
        })
        .collect();
    Ok(CheckReport {
        brand: file.ftyp.major_brand.to_string(),
        duration_us: movie.micros(file.moov.mvhd.duration),
        tracks,
        wall_clock: boxes.wall_clock,
        problems: problems.list,
    })
}

#[derive(Default)]
struct Problems {
    list: Vec<String>,
}

impl Problems {
    fn note(&mut self, problem: String) {
        match self.list.len() {
            PROBLEMS_MAX.. => {}
            number if number + 1 == PROBLEMS_MAX => self.list.push("and more".to_owned()),
            _ => self.list.push(problem),
        }
    }
}

/// A timescale that may be zero.
#[derive(Clone, Copy)]
struct Clock {
    timescale: u32,
}

impl Clock {
    fn micros(self, ticks: u64) -> u64 {
        let micros = u128::from(ticks) * 1_000_000 / u128::from(self.timescale.max(1));
        u64::try_from(micros).unwrap_or(u64::MAX)
    }
}

/// The check of one track.
struct TrackCheck<'a> {
    /// The crate does not name the type of a track's box, so it is found by its number (which is inside).
    moov: &'a MoovBox,
    number: usize,
    found: &'a TrackBoxes,
    data: &'a [std::ops::Range<u64>],
    problems: &'a mut Problems,
}

impl TrackCheck<'_> {
    fn note(&mut self, problem: String) {
        let id = self.moov.traks[self.number].tkhd.track_id;
        self.problems.note(format!("track {id}: {problem}"));
    }

    fn check(&mut self, movie: Clock) -> TrackReport {
        let trak = &self.moov.traks[self.number];
        let samples = trak.mdia.minf.stbl.stsz.sample_count;
        let media = Clock {
            timescale: trak.mdia.mdhd.timescale,
        };
        if trak.tkhd.track_id == 0 {
            self.note("its number is zero".to_owned());
        }
        if media.timescale == 0 {
            self.note("its timescale is zero".to_owned());
        }
        self.check_times(samples);
        let key_samples = self.check_key_samples(samples);
        let bytes = self.check_chunks(samples);
        TrackReport {
            id: trak.tkhd.track_id,
            kind: trak.mdia.hdlr.handler_type.to_string(),
            coding: self.found.coding.clone(),
            entries: self.found.entries,
            width: trak.tkhd.width.value(),
            height: trak.tkhd.height.value(),
            samples,
            key_samples,
            bytes,
            duration_us: self.shown_us(movie, media),
        }
    }

    fn shown_us(&self, movie: Clock, media: Clock) -> u64 {
        let edits = self.moov.traks[self.number]
            .edts
            .as_ref()
            .and_then(|edts| edts.elst.as_ref());
        match edits {
            Some(edits) => {
                let ticks = edits.entries.iter().map(|entry| entry.segment_duration);
                movie.micros(ticks.fold(0, u64::saturating_add))
            }
            None => media.micros(self.moov.traks[self.number].mdia.mdhd.duration),
        }
    }

    /// Times and offsets are there for each sample, and time never stands still.
    fn check_times(&mut self, samples: u32) {
        let stbl = &self.moov.traks[self.number].mdia.minf.stbl;
        let timed: u64 = stbl
            .stts
            .entries
            .iter()
            .map(|entry| u64::from(entry.sample_count))
            .sum();
        if timed != u64::from(samples) {
            self.note(format!("stts has times for {timed} samples of {samples}"));
        }
        let ticks: u128 = stbl
            .stts
            .entries
            .iter()
            .map(|entry| u128::from(entry.sample_count) * u128::from(entry.sample_delta))
            .sum();
        let told = self.moov.traks[self.number].mdia.mdhd.duration;
        if ticks != u128::from(told) {
            self.note(format!(
                "its samples last {ticks} ticks, but mdhd tells {told}"
            ));
        }
        let stands = stbl
            .stts
            .entries
            .iter()
            .any(|entry| entry.sample_delta == 0);
        if stands {
            self.note("stts has samples that last no time".to_owned());
        }
        if let Some(ctts) = &stbl.ctts {
            let offsets: u64 = ctts
                .entries
                .iter()
                .map(|entry| u64::from(entry.sample_count))
                .sum();
            if offsets != u64::from(samples) {
                self.note(format!(
                    "ctts has offsets for {offsets} samples of {samples}"
                ));
            }
        }
    }

    /// Counts the samples at which decoding can start.
    fn check_key_samples(&mut self, samples: u32) -> u32 {
        let Some(stss) = &self.moov.traks[self.number].mdia.minf.stbl.stss else {
            return samples;
        };
        let rising = stss.entries.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = stss
            .entries
            .iter()
            .all(|entry| (1..=samples).contains(entry));
        if !rising || !inside {
            self.note("stss names samples that are not there, or out of order".to_owned());
        }
        if stss.entries.first() != Some(&1) && samples > 0 {
            self.note("its first sample is no key frame".to_owned());
        }
        stss.entries.len() as u32
    }

    /// Every chunk lies inside an `mdat`; returns the bytes of all samples.
    fn check_chunks(&mut self, samples: u32) -> u64 {
        let stbl = &self.moov.traks[self.number].mdia.minf.stbl;
        let offsets: Vec<u64> = match (&stbl.co64, &stbl.stco) {
            (Some(co64), _) => co64.entries.clone(),
            (None, Some(stco)) => stco.entries.iter().copied().map(u64::from).collect(),
            (None, None) => Vec::new(),
        };
        let mut groups = stbl.stsc.entries.iter().peekable();
        let mut group = None;
        let (mut seen, mut bytes) = (0u64, 0u64);
        for (number, &offset) in (1u32..).zip(&offsets) {
            if let Some(next) = groups.next_if(|next| next.first_chunk <= number) {
                group = Some(next);
            }
            let Some(group) = group else {
                self.note("stsc says nothing of its first chunk".to_owned());
                break;
            };
            if !(1..=self.found.entries).contains(&group.sample_description_index) {
                let index = group.sample_description_index;
                self.note(format!(
                    "chunk {number} has sample entry {index}, which is not there"
                ));
            }
            let behind = seen + u64::from(group.samples_per_chunk);
            if behind > u64::from(samples) {
                self.note(format!("chunk {number} has more samples than the track"));
                break;
            }
            let len = self.chunk_len(seen, behind);
            seen = behind;
            bytes = bytes.saturating_add(len);
            let end = offset.saturating_add(len);
            let inside = |data: &std::ops::Range<u64>| data.start <= offset && end <= data.end;
            if !self.data.iter().any(inside) {
                self.note(format!(
                    "chunk {number} (bytes {offset} to {end}) is not inside the file's data"
                ));
            }
        }
        if seen != u64::from(samples) {
            self.note(format!("its chunks hold {seen} samples of {samples}"));
        }
        bytes
    }

    fn chunk_len(&self, from: u64, behind: u64) -> u64 {
        let stsz = &self.moov.traks[self.number].mdia.minf.stbl.stsz;
        if stsz.sample_size > 0 {
            return u64::from(stsz.sample_size) * (behind - from);
        }
        let sizes = usize::try_from(from).ok().zip(usize::try_from(behind).ok());
        let sizes = sizes.and_then(|(from, behind)| stsz.sample_sizes.get(from..behind));
        sizes
            .unwrap_or_default()
            .iter()
            .copied()
            .map(u64::from)
            .sum()
    }
}
