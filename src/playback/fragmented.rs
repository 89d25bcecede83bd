//! A range of time as one fragmented MP4 (ISO 14496-12 §8.8) of known length: an init segment and a fragment for each block.
//!
//! The same frames as in the progressive file of the same movie, decoded and shown at the same times, for clients that play while the file
//! comes in pieces. There is no edit list, because few readers heed one in fragmented files: frames that are there only because others
//! refer to them are shown for an instant, at the beginning or at the end, so that playing begins and ends where the range does.
//!
//! The heads of all fragments are computed at once, because their lengths place everything behind them and their checksum tells two files
//! apart, but they are not kept: a head takes 16 bytes a picture, so those of a week would take hundreds of megabytes. Kept is how the
//! computing stood before each group of `GROUP` fragments, and how long the samples last that the groups behind had to tell; from that the
//! heads of a group are computed again when they are read, one group at a time.

use super::{
    body::{FileLayout, Part},
    boxes::BoxWriter,
    cut::Cut,
    fragment_heads::{Closing, GROUP, GroupStart, HeadWriter, PlacedFragment, Squeeze},
    head::{creation_time, write_empty_track, write_extends, write_movie_header},
    kept_files::{FilesOf, KeptFiles},
    movie::{FrameTable, Movie, ShownRun},
    mp4::{LayoutError, OutputFrame, chosen_frames, output_of},
    output_tracks::OutputTracks,
    sample_clock::{SampleClock, TrackEnd},
    wall_clock_box::write_wall_clock,
};
use crate::base::UnixMicros;
use bytes::Bytes;
use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// Most fragments of a file: with what is kept of them less than 64 MiB. Four weeks at one a second, the usual; a week at four.
const FRAGMENTS_MAX: usize = 2_500_000;

/// A fragmented MP4 that is known, but not yet read.
#[derive(Debug)]
pub struct FragmentedLayout {
    init: Bytes,
    fragments: Vec<PlacedFragment>,
    groups: Vec<GroupStart>,
    closings: Vec<Closing>,
    checksum: u32,
    total_len: u64,
    cut: Cut,
    tracks: OutputTracks,
    /// The heads read last.
    read: Mutex<Option<GroupHeads>>,
}

/// The heads of one group, one behind the other.
#[derive(Clone, Debug)]
struct GroupHeads {
    group: usize,
    heads: Bytes,
}

impl FileLayout for FragmentedLayout {
    fn new(movie: &Movie, table: &dyn FrameTable) -> Result<Self, LayoutError> {
        let (start, end) = (movie.range.start, movie.range.end);
        let cut = Cut::new(movie, table);
        let tracks = OutputTracks::new(movie, &cut);
        let mut writer = HeadWriter::new(&cut, &tracks);
        for block in 0..table.blocks() {
            writer.add(block, table);
            if writer.fragments.len() > FRAGMENTS_MAX {
                return Err(LayoutError::TooLong {
                    start,
                    end,
                    len_max: FRAGMENTS_MAX * size_of::<PlacedFragment>(),
                });
            }
        }
        if writer.fragments.is_empty() {
            return Err(LayoutError::Empty { start, end });
        }
        let ends = writer.end();
        writer.end_group();
        let runs: Vec<ShownRun> = cut
            .runs
            .iter()
            .flatten()
            .map(|cut| cut.shown.clone())
            .collect();
        let init = Bytes::from(write_init(&runs, &tracks, &ends));
        let HeadWriter {
            fragments,
            groups,
            mut closings,
            mut hasher,
            len,
            ..
        } = writer;
        hasher.update(&init);
        for closing in &closings {
            hasher.update(&closing.duration.to_be_bytes());
        }
        closings.sort_by_key(|closing| (closing.group, closing.track));
        Ok(Self {
            total_len: init.len() as u64 + len,
            init,
            fragments,
            groups,
            closings,
            checksum: hasher.finalize(),
            cut,
            tracks,
            read: Mutex::default(),
        })
    }

    fn total_len(&self) -> u64 {
        self.total_len
    }

    fn part(&self, offset: u64) -> Option<Part> {
        if offset >= self.total_len {
            return None;
        }
        let Some(offset) = offset.checked_sub(self.init.len() as u64) else {
            return Some(Part::Made(self.init.slice(offset as usize..)));
        };
        let number = self
            .fragments
            .partition_point(|fragment| fragment.start <= offset)
            .checked_sub(1)?;
        let fragment = self.fragments.get(number)?;
        let head_len = u64::from(fragment.head_len);
        let inside = offset - fragment.start;
        match inside.checked_sub(head_len) {
            None => Some(Part::FragmentHead {
                fragment: number,
                offset: inside,
                len: head_len - inside,
            }),
            Some(offset) => Some(Part::Block {
                block: fragment.block as usize,
                offset,
                len: self.body_len(number) - offset,
            }),
        }
    }

    fn block_output(
        &self,
        table: &dyn FrameTable,
        block: usize,
    ) -> Result<Vec<OutputFrame>, LayoutError> {
        let number = self
            .fragments
            .binary_search_by_key(&block, |fragment| fragment.block as usize);
        let expected = number.map_or(0, |number| self.body_len(number));
        let chosen = chosen_frames(&self.cut, &self.tracks, table, block);
        output_of(chosen, block, expected)
    }

    fn fragment_head(&self, table: &dyn FrameTable, fragment: usize) -> Bytes {
        let group = fragment / GROUP;
        let first = group * GROUP;
        let lens = |range: Range<usize>| {
            let fragments = self.fragments.get(range).into_iter().flatten();
            fragments.map(|one| one.head_len as usize).sum::<usize>()
        };
        let from = lens(first..fragment);
        let range = from..from + lens(fragment..fragment + 1);
        self.group_heads(table, group).slice(range)
    }

    fn checksum(&self) -> u32 {
        self.checksum
    }

    fn weight(&self) -> usize {
        let group = size_of::<GroupStart>() + self.tracks.tracks.len() * TRACK_STATE_LEN;
        self.init.len()
            + self.fragments.len() * size_of::<PlacedFragment>()
            + self.groups.len() * group
            + self.closings.len() * size_of::<Closing>()
    }

    fn kept(files: &KeptFiles) -> &FilesOf<Self> {
        &files.fragmented
    }
}

/// What a track's clock takes in memory with its waiting times, about.
const TRACK_STATE_LEN: usize =
    size_of::<(SampleClock, Option<Squeeze>)>() + size_of::<Option<i64>>() + 64;

impl FragmentedLayout {
    /// The heads of a group: those read last, or computed again.
    fn group_heads(&self, table: &dyn FrameTable, group: usize) -> Bytes {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = read.as_ref().filter(|last| last.group == group) {
            return last.heads.clone();
        }
        let heads = self.compute_heads(table, group);
        *read = Some(GroupHeads {
            group,
            heads: heads.clone(),
        });
        heads
    }

    fn compute_heads(&self, table: &dyn FrameTable, group: usize) -> Bytes {
        let first = group * GROUP;
        let last = self.fragments.len().min(first + GROUP);
        let (Some(start), Some(fragments)) =
            (self.groups.get(group), self.fragments.get(first..last))
        else {
            return Bytes::new();
        };
        let mut writer = HeadWriter::resumed(&self.cut, &self.tracks, start.clone(), first);
        for fragment in fragments {
            writer.add(fragment.block as usize, table);
        }
        let from = self
            .closings
            .partition_point(|closing| (closing.group as usize) < group);
        let closings = self.closings.iter().skip(from);
        for closing in closings.take_while(|closing| closing.group as usize == group) {
            writer.fill_in(closing.track as usize, closing.duration);
        }
        writer.heads.into()
    }

    fn body_len(&self, number: usize) -> u64 {
        let next = self.fragments.get(number + 1);
        let end = next.map_or(self.total_len - self.init.len() as u64, |next| next.start);
        let fragment = &self.fragments[number];
        end - fragment.start - u64::from(fragment.head_len)
    }
}

/// `ftyp`, the wall clock and a `moov` without samples.
fn write_init(runs: &[ShownRun], tracks: &OutputTracks, ends: &[Option<TrackEnd>]) -> Vec<u8> {
    let mut writer = BoxWriter::new();
    writer.container(b"ftyp", |ftyp| {
        ftyp.raw(b"iso5");
        ftyp.u32(0x200);
        ftyp.raw(b"iso5iso6mp41");
    });
    write_wall_clock(&mut writer, runs);
    let creation = creation_time(runs.first().map_or(UnixMicros(0), |run| run.wall_start));
    let end_us = ends.iter().flatten().map(|end| end.end_us).max();
    let numbered = || {
        let all = (1..).zip(tracks.tracks.iter()).zip(ends);
        all.filter(|(_, end)| end.is_some()).map(|(track, _)| track)
    };
    writer.container(b"moov", |moov| {
        write_movie_header(moov, creation, 0, tracks.tracks.len());
        for (id, track) in numbered() {
            write_empty_track(moov, creation, id, track);
        }
        write_extends(moov, end_us.map(i64::unsigned_abs), numbered());
    });
    writer.finish()
}
