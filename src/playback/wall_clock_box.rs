//! Where each run of the file stands on the recorder's clock: a box that players skip and examiners read.
//!
//! Gaps are collapsed in an MP4, so its own clock says nothing of the time of day after the first gap. This box says it, with the
//! cause of each gap, and so tells when every frame of the file was taken. With *t* the time at which a frame is shown, in microseconds
//! on the movie's clock (after the edit list), in the last run whose `media_us` is not above *t* (the first one for what is earlier):
//!
//! ```text
//! taken = first_us                   the first picture shown in the run
//! taken = wall_us + (t − media_us)   every other one
//! ```
//!
//! Pictures and metadata are exact, sound to half a sample. Pictures that are there only because others refer to them are before *t* = 0,
//! where they stand for an instant and have no time of their own, or behind the end: there it holds too, but not in a fragmented file.
//!
//! It is a `uuid` box of the file (ISO 14496-12 §11.1), right behind `ftyp`:
//!
//! | offset | size | field     | meaning                                                           |
//! |-------:|-----:|-----------|-------------------------------------------------------------------|
//! |      0 |    4 | size      | of the whole box                                                  |
//! |      4 |    4 | type      | `uuid`                                                            |
//! |      8 |   16 | usertype  | `5d0c7a7e-9a3f-4f0b-8f6e-6e7672696e67`                            |
//! |     24 |    1 | version   | 2                                                                 |
//! |     25 |    3 | flags     | zero                                                              |
//! |     28 |    4 | run_count | number of entries that follow                                     |
//!
//! and for each run, in the order shown, all numbers most significant byte first:
//!
//! | offset | size | field     | meaning                                                           |
//! |-------:|-----:|-----------|-------------------------------------------------------------------|
//! |      0 |    8 | wall_us   | recorder's clock at its first instant, microseconds since 1970    |
//! |      8 |    8 | media_us  | the same instant on the movie's clock, microseconds               |
//! |     16 |    8 | length_us | how long the run is shown, microseconds                           |
//! |     24 |    8 | first_us  | when its first picture shown was taken: before `wall_us` where the file begins between two pictures |
//! |     32 |    2 | cause_len | length of the next field; zero when the cause is not known        |
//! |     34 |    n | cause     | UTF-8: why recording was interrupted before this run              |
//!
//! Version 1 had no `first_us`, so that `cause_len` stood at 24.

use super::{boxes::BoxWriter, movie::ShownRun};
use crate::base::{Micros, UnixMicros};

/// The box's own name among `uuid` boxes.
pub const WALL_CLOCK_UUID: [u8; 16] =
    *b"\x5d\x0c\x7a\x7e\x9a\x3f\x4f\x0b\x8f\x6e\x6e\x76\x72\x69\x6e\x67";
const VERSION: u8 = 2;
const HEADER_LEN: usize = 32;
/// Of an entry without its cause, by version.
const ENTRY_LENS: [(u8, usize); 2] = [(1, 26), (VERSION, 34)];

/// One entry as read back.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct WallClockEntry {
    /// Recorder's clock at the first instant of the run.
    pub wall: UnixMicros,
    /// The same instant on the movie's clock, in microseconds.
    pub media_us: i64,
    /// How long the run is shown, in microseconds.
    pub length_us: i64,
    /// When its first picture shown was taken.
    pub first: UnixMicros,
    /// Why recording was interrupted before it; empty when not known.
    pub cause: String,
}

/// Writes the box for `runs`.
pub(crate) fn write_wall_clock(writer: &mut BoxWriter, runs: &[ShownRun]) {
    writer.container(b"uuid", |uuid| {
        uuid.raw(&WALL_CLOCK_UUID);
        uuid.u32(u32::from(VERSION) << 24);
        uuid.u32(runs.len() as u32);
        for run in runs {
            let ShownRun {
                wall_start: UnixMicros(wall_us),
                media_start: Micros(media_us),
                duration: Micros(length_us),
                first: UnixMicros(first_us),
                ..
            } = *run;
            uuid.raw(&wall_us.to_be_bytes());
            uuid.raw(&media_us.to_be_bytes());
            uuid.raw(&length_us.to_be_bytes());
            uuid.raw(&first_us.to_be_bytes());
            let cause = run.cause.map_or("", |cause| cause.name());
            uuid.u16(cause.len() as u16);
            uuid.raw(cause.as_bytes());
        }
    });
}

/// Reads a whole box; `None` when it is another box, or damaged.
pub fn read_wall_clock(bytes: &[u8]) -> Option<Vec<WallClockEntry>> {
    let header = bytes.get(..HEADER_LEN)?;
    if header[4..8] != *b"uuid" || header[8..24] != WALL_CLOCK_UUID {
        return None;
    }
    let (version, entry_len) = ENTRY_LENS
        .into_iter()
        .find(|(version, _)| *version == header[24])?;
    let count = u32::from_be_bytes(header[28..32].try_into().ok()?);
    let mut rest = &bytes[HEADER_LEN..];
    let mut entries = Vec::new();
    for _ in 0..count {
        let (entry, behind) = rest.split_at_checked(entry_len)?;
        let number = |at: usize| Some(i64::from_be_bytes(entry.get(at..at + 8)?.try_into().ok()?));
        let cause_len = u16::from_be_bytes(entry[entry_len - 2..].try_into().ok()?);
        let (cause, behind) = behind.split_at_checked(usize::from(cause_len))?;
        rest = behind;
        entries.push(WallClockEntry {
            wall: UnixMicros(number(0)?),
            media_us: number(8)?,
            length_us: number(16)?,
            first: UnixMicros(if version == 1 {
                number(0)?
            } else {
                number(24)?
            }),
            cause: String::from_utf8(cause.to_vec()).ok()?,
        });
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::GapCause;

    #[test]
    fn what_is_written_is_read_and_nothing_shorter_is() {
        let run = |media: i64, cause| ShownRun {
            run: 0,
            wall_start: UnixMicros(1_795_442_400_000_000 + media),
            first: UnixMicros(1_795_442_399_970_000 + media),
            media_start: Micros(media),
            duration: Micros(10_000_000),
            cause,
        };
        let runs = [run(0, None), run(10_000_000, Some(GapCause::CameraLost))];
        let mut writer = BoxWriter::new();
        write_wall_clock(&mut writer, &runs);
        let bytes = writer.finish();
        let entries = read_wall_clock(&bytes).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].cause, "");
        assert_eq!(entries[1].cause, "camera-lost");
        assert_eq!(entries[1].wall, runs[1].wall_start);
        assert_eq!(entries[1].first, runs[1].first);
        assert_eq!(
            (entries[1].media_us, entries[1].length_us),
            (10_000_000, 10_000_000)
        );
        for length in 0..bytes.len() {
            assert_eq!(read_wall_clock(&bytes[..length]), None, "{length} bytes");
        }
    }

    /// Evidence is kept for years: what an earlier release wrote is read.
    #[test]
    fn version_1_is_read() {
        let mut bytes = vec![0, 0, 0, 58];
        bytes.extend(b"uuid");
        bytes.extend(WALL_CLOCK_UUID);
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 1]);
        for number in [5_i64, 0, 7] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend([0, 0]);
        let entry = WallClockEntry {
            wall: UnixMicros(5),
            media_us: 0,
            length_us: 7,
            first: UnixMicros(5),
            cause: String::new(),
        };
        assert_eq!(read_wall_clock(&bytes), Some(vec![entry]));
        bytes[24] = 3;
        assert_eq!(read_wall_clock(&bytes), None);
    }
}
