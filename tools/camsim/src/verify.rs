//! Verification: which of a camera's frames a file holds, in which order, and whether they are byte for byte what was sent.

use crate::mark::{self, Verdict};
use crate::mp4::Video;
use crate::nal::{self, Codec};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// What a recording turned out to hold.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// The camera's name; the first one if there are several.
    pub camera: String,
    /// Marked access units.
    pub frames: u64,
    /// The lowest frame number.
    pub first: Option<u64>,
    /// The highest frame number.
    pub last: Option<u64>,
    /// Unix microseconds in the first and last mark.
    pub first_time_us: Option<u64>,
    /// See `first_time_us`.
    pub last_time_us: Option<u64>,
    /// Frame numbers between first and last that are not there.
    pub missing: u64,
    /// The missing numbers as first and last of each hole.
    pub holes: Vec<(u64, u64)>,
    /// Frames that are there more than once.
    pub duplicates: u64,
    /// Frames that stand behind one with a higher number.
    pub out_of_order: u64,
    /// Frames whose slices are not what was sent.
    pub damaged: u64,
    /// Frames whose slices are, but whose other NAL units (parameter sets, SEI) are not.
    pub altered: u64,
    /// Access units without a readable mark.
    pub unmarked: u64,
    /// Frames of another camera than the first.
    pub foreign: u64,
    #[serde(skip)]
    newest: Option<u64>,
    #[serde(skip)]
    seen: std::collections::BTreeMap<u64, u64>,
}

impl Summary {
    /// Adds an access unit's verdict, in the order in which the recording holds it.
    pub fn add(&mut self, verdict: Verdict) {
        let mark = match verdict {
            Verdict::Unmarked => {
                self.unmarked += 1;
                return;
            }
            Verdict::Identical(mark) => mark,
            Verdict::SlicesIdentical(mark) => {
                self.altered += 1;
                mark
            }
            Verdict::Damaged(mark) => {
                self.damaged += 1;
                mark
            }
        };
        if self.frames == 0 {
            self.camera.clone_from(&mark.name);
            self.first_time_us = Some(mark.time_us);
        }
        self.frames += 1;
        if self.camera != mark.name {
            self.foreign += 1;
            return;
        }
        self.last_time_us = Some(mark.time_us);
        if self.newest.is_some_and(|newest| mark.frame < newest) {
            self.out_of_order += 1;
        }
        self.newest = self.newest.max(Some(mark.frame));
        if self.note(mark.frame) {
            self.count_holes();
        }
        self.first = self.seen.keys().next().copied();
        self.last = self.seen.values().next_back().copied();
    }

    /// Nothing missing, doubled, out of order, damaged, unmarked or of another camera. Says nothing about parameter sets: see `altered`.
    pub fn is_whole(&self) -> bool {
        self.frames > 0 && self.missing == 0 && self.is_sound()
    }

    /// What is there is good, whatever is missing.
    pub fn is_sound(&self) -> bool {
        let faults = [
            self.duplicates,
            self.out_of_order,
            self.damaged,
            self.unmarked,
            self.foreign,
        ];
        faults.iter().all(|count| *count == 0)
    }

    /// Keeps the numbers seen as runs, first to last; `true` when the holes between them have changed.
    fn note(&mut self, frame: u64) -> bool {
        if let Some((first, last)) = self
            .seen
            .range(..=frame)
            .next_back()
            .map(|(first, last)| (*first, *last))
        {
            if frame <= last {
                self.duplicates += 1;
                return false;
            }
            if frame == last + 1 {
                let joined = self.seen.remove(&(frame + 1));
                self.seen.insert(first, joined.unwrap_or(frame));
                return joined.is_some();
            }
        }
        let end = self.seen.remove(&(frame + 1)).unwrap_or(frame);
        self.seen.insert(frame, end);
        true
    }

    fn count_holes(&mut self) {
        let pairs = self.seen.values().zip(self.seen.keys().skip(1));
        self.holes = pairs.map(|(last, first)| (last + 1, first - 1)).collect();
        self.missing = self
            .holes
            .iter()
            .map(|(first, last)| last - first + 1)
            .sum();
    }
}

/// Verifies the video of an MP4 file, progressive or fragmented.
pub fn mp4(path: &Path) -> io::Result<Summary> {
    mp4_in(&mut File::open(path)?)
}

/// The same of a file that is anywhere, such as in memory.
pub fn mp4_in(file: &mut (impl Read + Seek)) -> io::Result<Summary> {
    match beginning(file)? {
        (summary, 0) => Ok(summary),
        (_, cut) => {
            let error = format!("the last {cut} pictures are not in the file; was it cut off?");
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, error))
        }
    }
}

/// Verifies what is there of a file that broke off; also tells how many pictures it promises and lacks.
pub fn beginning(file: &mut (impl Read + Seek)) -> io::Result<(Summary, u64)> {
    let end = file.seek(SeekFrom::End(0))?;
    let video = Video::open(file)?;
    let (mut summary, mut cut) = (Summary::default(), 0);
    let mut sample = Vec::new();
    for (offset, size) in video.samples {
        if offset.saturating_add(u64::from(size)) > end {
            cut += 1;
            continue;
        }
        sample.resize(size as usize, 0);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut sample)?;
        summary.add(match units(&sample, video.length_size) {
            Some(nals) => mark::verify_nals(video.codec, &nals),
            None => Verdict::Unmarked,
        });
    }
    Ok((summary, cut))
}

/// Verifies an Annex B elementary stream.
pub fn annexb(codec: Codec, path: &Path) -> io::Result<Summary> {
    let stream = std::fs::read(path)?;
    let nals: Vec<&[u8]> = nal::annexb(&stream)
        .into_iter()
        .map(|range| &stream[range])
        .collect();
    let mut summary = Summary::default();
    for unit in nal::access_units(codec, nals.iter().copied()) {
        summary.add(mark::verify_nals(codec, &nals[unit]));
    }
    Ok(summary)
}

/// The NAL units of a sample; `None` when the lengths do not add up.
fn units(sample: &[u8], length_size: usize) -> Option<Vec<&[u8]>> {
    let (mut nals, mut rest) = (Vec::new(), sample);
    while !rest.is_empty() {
        let length = rest
            .get(..length_size)?
            .iter()
            .fold(0usize, |value, byte| value << 8 | usize::from(*byte));
        nals.push(rest.get(length_size..length_size.checked_add(length)?)?);
        rest = rest.get(length_size + length..)?;
    }
    Some(nals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark::Mark;

    fn frame(number: u64) -> Verdict {
        Verdict::Identical(Mark {
            name: "cam0".to_owned(),
            frame: number,
            time_us: number,
            slices: 0,
            others: 0,
        })
    }

    #[test]
    fn holes_duplicates_and_order_are_counted() {
        let mut summary = Summary::default();
        for number in [5, 6, 7, 10, 11, 9, 9, 20] {
            summary.add(frame(number));
        }
        assert_eq!((summary.first, summary.last), (Some(5), Some(20)));
        assert_eq!(summary.holes, [(8, 8), (12, 19)]);
        assert_eq!(
            (summary.missing, summary.duplicates, summary.out_of_order),
            (9, 1, 2)
        );
        summary.add(frame(8));
        assert_eq!(summary.holes, [(12, 19)]);
        assert!(!summary.is_sound());
    }

    #[test]
    fn a_whole_recording_is_whole() {
        let mut summary = Summary::default();
        (100..200).for_each(|number| summary.add(frame(number)));
        assert!(summary.is_whole());
        assert!(!Summary::default().is_whole());
    }
}
