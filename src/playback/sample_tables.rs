//! The sample tables of one track (ISO 14496-12 §8.6, §8.7), grown sample by sample and packed as they are written.
//!
//! A day of video has millions of samples, so each table is kept as the bytes that go into the file: runs of equal values are
//! one entry, and nothing is held twice. Only chunk offsets stay numbers, because they move by the length of the head.
//! All times are in ticks of the track.

use super::boxes::BoxWriter;

/// Longest time between two samples that every reader takes, in ticks: some read the 32-bit field as signed.
pub(crate) const DELTA_MAX: i64 = i32::MAX as i64;

/// Longest silence between two samples of a track, in ticks: 6 days of microseconds. A frame table that claims more is wrong, and
/// must not grow the file without bound.
const SILENCE_MAX: i64 = 256 * DELTA_MAX;

/// One sample as the tables need it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Length in bytes.
    pub(crate) size: u32,
    /// Decode time in the track's time, rising strictly.
    pub(crate) decode: i64,
    /// Presentation time in the track's time.
    pub(crate) presentation: i64,
    /// Whether decoding can start here.
    pub(crate) sync: bool,
}

/// Values with how often each follows itself, as in `stts` and `ctts`.
#[derive(Debug, Default)]
struct RunLengths {
    packed: Vec<u8>,
    entries: u32,
    last: Option<(u32, u32)>,
}

impl RunLengths {
    fn push(&mut self, value: u32) {
        match &mut self.last {
            Some((count, last)) if *last == value => *count += 1,
            _ => {
                self.flush();
                self.last = Some((1, value));
            }
        }
    }

    fn flush(&mut self) {
        if let Some((count, value)) = self.last.take() {
            self.packed.extend_from_slice(&count.to_be_bytes());
            self.packed.extend_from_slice(&value.to_be_bytes());
            self.entries += 1;
        }
    }

    fn write(&mut self, writer: &mut BoxWriter) {
        self.flush();
        writer.u32(self.entries);
        writer.raw(&self.packed);
    }
}

/// The tables of one track.
#[derive(Debug, Default)]
pub(crate) struct SampleTables {
    durations: RunLengths,
    offsets: RunLengths,
    any_offset: bool,
    any_negative_offset: bool,
    sizes: Vec<u8>,
    first_size: Option<u32>,
    sizes_differ: bool,
    sync: Vec<u8>,
    sync_count: u32,
    samples: u32,
    previous_decode: Option<i64>,
    first_decode: i64,
    duration: u64,
    chunks: Vec<u64>,
    chunk_samples: u32,
    chunk_entry: u32,
    chunk_groups: Vec<u8>,
    chunk_group_count: u32,
    last_group: Option<(u32, u32)>,
}

impl SampleTables {
    /// Starts a chunk at `offset` bytes into the body; its samples use sample entry `entry` (counted from 1).
    pub(crate) fn start_chunk(&mut self, offset: u64, entry: u32) {
        self.end_chunk();
        self.chunks.push(offset);
        self.chunk_entry = entry;
    }

    fn end_chunk(&mut self) {
        if self.chunks.is_empty() || self.chunk_samples == 0 {
            return;
        }
        let group = (self.chunk_samples, self.chunk_entry);
        if self.last_group != Some(group) {
            self.last_group = Some(group);
            self.chunk_group_count += 1;
            // The chunk that just ended is the newest; chunks are counted from 1.
            for value in [self.chunks.len() as u32, group.0, group.1] {
                self.chunk_groups.extend_from_slice(&value.to_be_bytes());
            }
        }
        self.chunk_samples = 0;
    }

    /// Adds the next sample of the chunk.
    pub(crate) fn push(&mut self, sample: &Sample) {
        assert!(!self.chunks.is_empty(), "a sample lies in a chunk");
        match self.previous_decode {
            None => self.first_decode = sample.decode,
            Some(previous) => self.push_duration(previous, sample.decode),
        }
        self.previous_decode = Some(sample.decode);
        self.push_sample(
            sample.size,
            sample.presentation - sample.decode,
            sample.sync,
        );
    }

    /// Notes how long the sample decoded at `from` lasts. A silence longer than `DELTA_MAX` is bridged by samples without bytes.
    fn push_duration(&mut self, from: i64, until: i64) {
        assert!(from < until, "decode times rise strictly");
        let mut rest = (until - from).min(SILENCE_MAX);
        self.duration += rest.unsigned_abs();
        while rest > DELTA_MAX {
            self.durations.push(DELTA_MAX as u32);
            self.push_sample(0, 0, !self.has_dependent_samples());
            rest -= DELTA_MAX;
        }
        self.durations.push(rest as u32);
    }

    fn push_sample(&mut self, size: u32, offset_ticks: i64, sync: bool) {
        let offset = offset_ticks.clamp(-DELTA_MAX, DELTA_MAX) as i32;
        self.any_offset |= offset != 0;
        self.any_negative_offset |= offset < 0;
        self.offsets.push(offset as u32);
        self.sizes_differ |= *self.first_size.get_or_insert(size) != size;
        self.sizes.extend_from_slice(&size.to_be_bytes());
        self.samples += 1;
        self.chunk_samples += 1;
        if sync {
            self.sync_count += 1;
            self.sync.extend_from_slice(&self.samples.to_be_bytes());
        }
    }

    /// Ends the track: its last sample lasts `duration` (> 0).
    pub(crate) fn end(&mut self, duration: i64) {
        if self.previous_decode.take().is_some() {
            let duration = duration.clamp(1, DELTA_MAX);
            self.durations.push(duration as u32);
            self.duration += duration.unsigned_abs();
        }
        self.end_chunk();
    }

    /// Bytes of all tables, about.
    pub(crate) fn weight(&self) -> usize {
        self.durations.packed.len()
            + self.offsets.packed.len()
            + self.sizes.len()
            + self.sync.len()
            + self.chunk_groups.len()
            + self.chunks.len() * size_of::<u64>()
    }

    /// Decode time of the first sample: where the track's time starts.
    pub(crate) fn first_decode(&self) -> i64 {
        self.first_decode
    }

    /// Time from the first sample's decode time to the end of the last sample.
    pub(crate) fn duration(&self) -> u64 {
        self.duration
    }

    /// Whether some samples cannot start decoding, so that the track needs `stss`.
    fn has_dependent_samples(&self) -> bool {
        self.sync_count < self.samples
    }

    /// Writes `stts`, `ctts`, `stss`, `stsc`, `stsz` and an open chunk offset table, and returns where its offsets begin.
    pub(crate) fn write(&mut self, writer: &mut BoxWriter, wide: bool) -> usize {
        writer.full(b"stts", 0, 0, |stts| self.durations.write(stts));
        if self.any_offset {
            let version = u8::from(self.any_negative_offset);
            writer.full(b"ctts", version, 0, |ctts| self.offsets.write(ctts));
        }
        if self.has_dependent_samples() {
            writer.full(b"stss", 0, 0, |stss| {
                stss.u32(self.sync_count);
                stss.raw(&self.sync);
            });
        }
        writer.full(b"stsc", 0, 0, |stsc| {
            stsc.u32(self.chunk_group_count);
            stsc.raw(&self.chunk_groups);
        });
        writer.full(b"stsz", 0, 0, |stsz| {
            let same = match self.first_size {
                Some(size) if !self.sizes_differ => size,
                _ => 0,
            };
            stsz.u32(same);
            stsz.u32(self.samples);
            if same == 0 {
                stsz.raw(&self.sizes);
            }
        });
        let kind = if wide { b"co64" } else { b"stco" };
        let width = if wide { 8 } else { 4 };
        let mut table = 0;
        writer.full(kind, 0, 0, |offsets| {
            offsets.u32(self.chunks.len() as u32);
            table = offsets.len();
            offsets.zeros(self.chunks.len() * width);
        });
        table
    }

    /// Fills the open offset table at `table` now that the body is known to start at byte `body` of the file.
    pub(crate) fn fill_offsets(&self, writer: &mut BoxWriter, table: usize, body: u64, wide: bool) {
        let width = if wide { 8 } else { 4 };
        for (number, chunk) in self.chunks.iter().enumerate() {
            let bytes = (body + chunk).to_be_bytes();
            assert!(wide || bytes[..4] == [0; 4], "32-bit offsets suffice");
            writer.patch(table + number * width, &bytes[8 - width..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(size: u32, decode: i64, presentation: i64, sync: bool) -> Sample {
        Sample {
            size,
            decode,
            presentation,
            sync,
        }
    }

    #[test]
    fn equal_chunks_and_durations_share_one_entry() {
        let mut tables = SampleTables::default();
        for chunk in 0..3u64 {
            tables.start_chunk(chunk * 200, 1);
            for at in 0..2 {
                let time = (chunk as i64 * 2 + at) * 40;
                tables.push(&sample(100, time, time, at == 0));
            }
        }
        tables.end(40);
        let mut writer = BoxWriter::new();
        let table = tables.write(&mut writer, false);
        tables.fill_offsets(&mut writer, table, 1000, false);
        let expected = [
            b"\0\0\0\x18stts\0\0\0\0\0\0\0\x01\0\0\0\x06\0\0\0\x28".as_slice(),
            b"\0\0\0\x1cstss\0\0\0\0\0\0\0\x03\0\0\0\x01\0\0\0\x03\0\0\0\x05",
            b"\0\0\0\x1cstsc\0\0\0\0\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\0\0\x01",
            b"\0\0\0\x14stsz\0\0\0\0\0\0\0\x64\0\0\0\x06",
            b"\0\0\0\x1cstco\0\0\0\0\0\0\0\x03\0\0\x03\xe8\0\0\x04\xb0\0\0\x05\x78",
        ]
        .concat();
        assert_eq!(writer.finish(), expected);
        assert_eq!(tables.duration(), 240);
    }

    #[test]
    fn a_silence_of_hours_is_bridged_by_samples_without_bytes() {
        let mut tables = SampleTables::default();
        tables.start_chunk(0, 1);
        tables.push(&sample(10, 0, 0, true));
        tables.start_chunk(10, 1);
        let hours_us = 2 * 3_600_000_000;
        tables.push(&sample(10, hours_us, hours_us, true));
        tables.end(1);
        assert_eq!(tables.samples, 2 + 3);
        assert_eq!(tables.duration(), hours_us as u64 + 1);
    }
}
