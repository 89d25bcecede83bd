//! Progressive MP4 (ISO 14496-12) whose head is computed from frame tables alone, before any byte of video is read.
//!
//! A layout knows the whole file: its head (`ftyp`, wall clock, `moov`, and the header of `mdat`), its length, and for each byte of
//! the body which block it comes from. So a server can state the length, answer any byte range, and hold one block at a time.
//! Inside `mdat` the blocks stand in order; within a block the frames of one track stand together as one chunk, track behind
//! track. The same movie and table always give the same bytes: nothing depends on when or where the file is made.
//!
//! Pictures, metadata and the movie count microseconds, so the recorder's times are in the file exactly. Sound counts samples: FFmpeg
//! takes the part of a packet that an edit list hides for a number of samples, whatever the track counts. Each time is rounded by
//! itself, so that no error adds up.

use super::{
    boxes::BoxWriter,
    cut::Cut,
    head::{HeadTrack, write_head},
    movie::{FrameTable, Movie, ShownRun},
    output_tracks::{OutputTracks, Target},
    sample_clock::SampleClock,
    sample_tables::{Sample, SampleTables},
};
use crate::{base::UnixMicros, media::FrameEntry};
use bytes::Bytes;
use std::ops::Range;

/// Grows whenever the same movie gives other bytes than before: part of a strong ETag (RFC 9110 §8.8.3).
pub const LAYOUT_VERSION: u32 = 3;

/// Longest sample tables of a file in bytes: about 40 days of one camera with sound.
const TABLES_LEN_MAX: usize = 1 << 30;

/// Why there is no file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Nothing can be decoded in the range.
    #[error(
        "nothing that can be decoded was recorded from {start} to {end}; `nvring timeline` shows what was"
    )]
    Empty {
        /// Start of the range asked for.
        start: UnixMicros,
        /// End of the range asked for.
        end: UnixMicros,
    },
    /// The range is too long for one file.
    #[error(
        "the range from {start} to {end} has too many frames for one MP4 (tables over {} MiB); ask for a shorter one",
        len_max >> 20
    )]
    TooLong {
        /// Start of the range asked for.
        start: UnixMicros,
        /// End of the range asked for.
        end: UnixMicros,
        /// How long the tables of a file may be, in bytes.
        len_max: usize,
    },
    /// The frame table no longer says what it said when the head was made.
    #[error(
        "block {block} of the frame table has {found} bytes to show where {expected} were promised; ask for the file again"
    )]
    TableChanged {
        /// The block.
        block: usize,
        /// Bytes the head promises.
        expected: u64,
        /// Bytes found now.
        found: u64,
    },
}

/// Where a byte of the file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The head, from this byte on.
    Head(u64),
    /// A block of the frame table, from this byte of its output on.
    Block {
        /// The block.
        block: usize,
        /// Byte of its output.
        offset: u64,
    },
}

/// A frame whose bytes go into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputFrame {
    /// Its number among the frames of the block, as the table shows them.
    pub ordinal: u32,
    /// Its length in bytes.
    pub size: u32,
}

/// An MP4 file that is known, but not yet read.
#[derive(Debug)]
pub struct Mp4Layout {
    head: Bytes,
    /// Where the output of each block starts in the body, and behind the last where the body ends.
    starts: Vec<u64>,
    cut: Cut,
    tracks: OutputTracks,
    runs: Vec<ShownRun>,
}

impl Mp4Layout {
    /// The file for `movie`, whose frames are in `table`. Visits the table twice.
    pub fn new(movie: &Movie, table: &dyn FrameTable) -> Result<Self, LayoutError> {
        let (start, end) = (movie.range.start, movie.range.end);
        let cut = Cut::new(movie, table);
        let runs: Vec<ShownRun> = cut
            .runs
            .iter()
            .flatten()
            .map(|cut| cut.shown.clone())
            .collect();
        let tracks = OutputTracks::new(movie, &cut);
        let mut body = Body::new(&cut, &tracks);
        for block in 0..table.blocks() {
            body.add(block, table);
            if body.weight() > TABLES_LEN_MAX {
                let len_max = TABLES_LEN_MAX;
                return Err(LayoutError::TooLong {
                    start,
                    end,
                    len_max,
                });
            }
        }
        let (starts, mut head_tracks) = body.end();
        if head_tracks.is_empty() {
            return Err(LayoutError::Empty { start, end });
        }
        let body_len = starts.last().copied().unwrap_or(0);
        let mut writer = BoxWriter::new();
        write_head(&mut writer, &runs, &mut head_tracks, body_len);
        Ok(Self {
            head: writer.finish().into(),
            starts,
            cut,
            tracks,
            runs,
        })
    }

    /// The first bytes of the file, up to and with the header of `mdat`.
    pub fn head(&self) -> &Bytes {
        &self.head
    }

    /// Length of the file in bytes.
    pub fn total_len(&self) -> u64 {
        self.head.len() as u64 + self.starts.last().copied().unwrap_or(0)
    }

    /// The runs shown, and where they stand on both clocks.
    pub fn runs(&self) -> &[ShownRun] {
        &self.runs
    }

    /// Bytes it takes in memory.
    pub(super) fn weight(&self) -> usize {
        self.head.len() + self.starts.len() * size_of::<u64>()
    }

    /// Where byte `offset` of the file comes from; `None` behind its end.
    pub fn locate(&self, offset: u64) -> Option<Source> {
        let Some(offset) = offset.checked_sub(self.head.len() as u64) else {
            return Some(Source::Head(offset));
        };
        // The last block that starts at or before the byte is the one that holds it: blocks without output start where it starts.
        let block = self.starts.partition_point(|&start| start <= offset) - 1;
        let inside = block + 1 < self.starts.len();
        inside.then(|| Source::Block {
            block,
            offset: offset - self.starts[block],
        })
    }

    /// Which bytes of the file the output of `block` is.
    ///
    /// # Panics
    /// When the table has no such block.
    pub fn block_range(&self, block: usize) -> Range<u64> {
        let head = self.head.len() as u64;
        head + self.starts[block]..head + self.starts[block + 1]
    }

    /// Which frames of `block` follow each other in the file. `table` is the one the layout was made from.
    pub fn block_output(
        &self,
        table: &dyn FrameTable,
        block: usize,
    ) -> Result<Vec<OutputFrame>, LayoutError> {
        let chosen = chosen_frames(&self.cut, &self.tracks, table, block);
        let range = self.block_range(block);
        output_of(chosen, block, range.end - range.start)
    }
}

/// The frames of `block` that were chosen, of which the head promised `expected` bytes.
pub(crate) fn output_of(
    chosen: Vec<Chosen>,
    block: usize,
    expected: u64,
) -> Result<Vec<OutputFrame>, LayoutError> {
    let sizes = chosen.iter().map(|chosen| u64::from(chosen.frame.size));
    let found = sizes.sum();
    if found != expected {
        return Err(LayoutError::TableChanged {
            block,
            expected,
            found,
        });
    }
    let output = chosen.into_iter().map(|chosen| OutputFrame {
        ordinal: chosen.ordinal,
        size: chosen.frame.size,
    });
    Ok(output.collect())
}

/// A frame of a block that goes into the file.
pub(crate) struct Chosen {
    pub(crate) target: Target,
    pub(crate) ordinal: u32,
    pub(crate) frame: FrameEntry,
}

/// The frames of `block` that go into the file, track by track.
pub(crate) fn chosen_frames(
    cut: &Cut,
    tracks: &OutputTracks,
    table: &dyn FrameTable,
    block: usize,
) -> Vec<Chosen> {
    let run = table.run_of(block);
    let mut chosen = Vec::new();
    let mut ordinal = 0;
    table.visit(block, &mut |frame| {
        if let Some(target) = tracks.target_of(run, frame)
            && cut.keeps(run, (block, ordinal), frame)
        {
            chosen.push(Chosen {
                target,
                ordinal,
                frame: *frame,
            });
        }
        ordinal += 1;
    });
    chosen.sort_by_key(|chosen| chosen.target.track);
    chosen
}

/// The second pass: sample tables and the place of each block.
struct Body<'a> {
    cut: &'a Cut,
    tracks: &'a OutputTracks,
    starts: Vec<u64>,
    end: u64,
    growing: Vec<GrowingTrack>,
}

/// A track of the file while its samples come in.
#[derive(Default)]
struct GrowingTrack {
    tables: SampleTables,
    clock: SampleClock,
    hidden: Hidden,
}

/// Squeezes the time before the beginning, from the key frame on that decoding starts at, into a thousandth of it. The edit list hides it;
/// but some readers do not look there (mpv, VLC show it), and GStreamer 1.22 ends as much too early as is hidden.
#[derive(Default)]
struct Hidden {
    decode: Option<i64>,
}

impl Hidden {
    /// Not into nothing: FFmpeg takes a step more than a thousand times as long as those before it for a fault.
    const SHARE: i64 = 1000;

    fn squeeze(&mut self, sample: Sample) -> Sample {
        let squeezed = |time: i64| {
            if time < 0 {
                time.div_euclid(Self::SHARE)
            } else {
                time
            }
        };
        let earliest = self.decode.map_or(i64::MIN, |before| before + 1);
        let decode = squeezed(sample.decode).max(earliest);
        self.decode = Some(decode);
        Sample {
            decode,
            presentation: squeezed(sample.presentation),
            ..sample
        }
    }
}

impl<'a> Body<'a> {
    fn new(cut: &'a Cut, tracks: &'a OutputTracks) -> Self {
        let growing = tracks.tracks.iter().map(|_| GrowingTrack::default());
        Self {
            cut,
            tracks,
            starts: vec![0],
            end: 0,
            growing: growing.collect(),
        }
    }

    fn weight(&self) -> usize {
        let tables = self.growing.iter().map(|track| track.tables.weight());
        tables.sum::<usize>() + self.starts.len() * size_of::<u64>()
    }

    fn add(&mut self, block: usize, table: &dyn FrameTable) {
        let run = table.run_of(block);
        let mut open = None;
        for chosen in chosen_frames(self.cut, self.tracks, table, block) {
            let Target { track, entry } = chosen.target;
            if open != Some(track) {
                open = Some(track);
                self.growing[track].tables.start_chunk(self.end, entry);
            }
            self.add_frame(track, run, &chosen.frame);
            self.end += u64::from(chosen.frame.size);
        }
        self.starts.push(self.end);
    }

    fn add_frame(&mut self, track: usize, run: usize, frame: &FrameEntry) {
        let output = &self.tracks.tracks[track];
        let growing = &mut self.growing[track];
        if let Some(sample) = growing.clock.place(self.cut, output, run, frame) {
            growing.tables.push(&match output.codec.is_video() {
                true => growing.hidden.squeeze(sample),
                // Sound before the beginning is cut by the edit list at a sample.
                false => sample,
            });
        }
    }

    /// Ends all tracks; those without samples are left out.
    fn end(self) -> (Vec<u64>, Vec<HeadTrack<'a>>) {
        let mut ended = Vec::new();
        for (output, mut track) in self.tracks.tracks.iter().zip(self.growing) {
            let Some(end) = track.clock.end(self.cut, output) else {
                continue;
            };
            let last_duration = match output.codec.is_video() {
                // The sample decoded last may be shown before others: the track lasts until all have been shown.
                true => end
                    .last_duration
                    .max(output.ticks(end.end_us) - end.last_decode),
                false => end.last_duration,
            };
            track.tables.end(last_duration);
            ended.push(HeadTrack {
                output,
                tables: track.tables,
                start_us: end.start_us,
                end_us: end.end_us,
            });
        }
        (self.starts, ended)
    }
}
