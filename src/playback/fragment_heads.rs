//! The heads of the fragments of one file, computed in order from frame tables: once for all of them, and again for a group of them from
//! how the computing stood before it.

use super::{
    boxes::BoxWriter,
    cut::Cut,
    head::sample_flags,
    movie::FrameTable,
    mp4::{Chosen, chosen_frames},
    output_tracks::OutputTracks,
    sample_clock::{SampleClock, TrackEnd},
    sample_tables::DELTA_MAX,
};
use crate::media::FrameKind;

/// Fragments whose heads are computed together when one of them is read: about a minute.
pub(super) const GROUP: usize = 64;

/// One fragment of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlacedFragment {
    /// Where it starts, counted from the end of the init segment.
    pub(super) start: u64,
    /// Length of its head.
    pub(super) head_len: u32,
    /// The block whose frames follow its head.
    pub(super) block: u32,
}

/// How the computing stands before a group of fragments.
#[derive(Clone, Debug)]
pub(super) struct GroupStart {
    clocks: Vec<(SampleClock, Option<Squeeze>)>,
    /// Per track: when its last sample before is decoded.
    decoded: Vec<Option<i64>>,
}

/// How long the last sample of a track in a group lasts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub(super) group: u32,
    pub(super) track: u32,
    pub(super) duration: u32,
}

/// A sample on its way into a head.
#[derive(Clone, Copy, Debug)]
struct Row {
    size: u32,
    decode: i64,
    presentation: i64,
    kind: FrameKind,
}

/// The second pass: the head of each fragment.
pub(super) struct HeadWriter<'a> {
    cut: &'a Cut,
    tracks: &'a OutputTracks,
    clocks: Vec<(SampleClock, Option<Squeeze>)>,
    /// Where the last run ends on the movie's clock.
    end_us: i64,
    /// Per track: its last sample, whose duration is to be filled in.
    open: Vec<Option<OpenSample>>,
    /// Number of the first fragment.
    first: usize,
    /// Whether all fragments are there.
    ending: bool,
    /// The heads of the group at hand.
    pub(super) heads: Vec<u8>,
    /// Of the groups that are done, without what the groups behind tell.
    pub(super) hasher: crc32fast::Hasher,
    pub(super) fragments: Vec<PlacedFragment>,
    pub(super) groups: Vec<GroupStart>,
    pub(super) closings: Vec<Closing>,
    pub(super) len: u64,
}

/// A sample that lasts until the next one of its track.
#[derive(Clone, Copy, Debug)]
struct OpenSample {
    decode: i64,
    /// The group it is in, and where among its heads the duration stands.
    place: (usize, usize),
}

impl<'a> HeadWriter<'a> {
    pub(super) fn new(cut: &'a Cut, tracks: &'a OutputTracks) -> Self {
        let last = cut.runs.iter().rev().flatten().next();
        let end = last.map(|cut| cut.shown.media_start + cut.shown.duration);
        Self {
            cut,
            tracks,
            clocks: tracks.tracks.iter().map(|_| Default::default()).collect(),
            end_us: end.map_or(0, |end| end.0),
            open: vec![None; tracks.tracks.len()],
            first: 0,
            ending: false,
            heads: Vec::new(),
            hasher: crc32fast::Hasher::new(),
            fragments: Vec::new(),
            groups: Vec::new(),
            closings: Vec::new(),
            len: 0,
        }
    }

    /// As it stood before fragment `first`, with which a group begins.
    pub(super) fn resumed(
        cut: &'a Cut,
        tracks: &'a OutputTracks,
        start: GroupStart,
        first: usize,
    ) -> Self {
        // What is open was before: it is filled in elsewhere.
        let elsewhere = (usize::MAX, 0);
        let open = start.decoded.iter().map(|decoded| {
            decoded.map(|decode| OpenSample {
                decode,
                place: elsewhere,
            })
        });
        Self {
            open: open.collect(),
            clocks: start.clocks,
            first,
            ..Self::new(cut, tracks)
        }
    }

    /// The number of the fragment at hand.
    fn number(&self) -> usize {
        self.first + self.fragments.len()
    }

    /// Ends a group, and keeps how the computing stands for the next.
    pub(super) fn end_group(&mut self) {
        self.hasher.update(&self.heads);
        self.heads.clear();
    }

    fn begin_group(&mut self) {
        self.end_group();
        self.groups.push(GroupStart {
            clocks: self.clocks.clone(),
            decoded: self
                .open
                .iter()
                .map(|open| open.map(|open| open.decode))
                .collect(),
        });
    }

    pub(super) fn add(&mut self, block: usize, table: &dyn FrameTable) {
        let run = table.run_of(block);
        let chosen = chosen_frames(self.cut, self.tracks, table, block);
        if chosen.is_empty() {
            return;
        }
        if self.number().is_multiple_of(GROUP) {
            self.begin_group();
        }
        let start = self.heads.len();
        let body_len: u64 = chosen.iter().map(|one| u64::from(one.frame.size)).sum();
        let sequence = self.number() as u32 + 1;
        let mut writer = BoxWriter::new();
        let (mut offsets, mut at) = (Vec::new(), 0);
        writer.container(b"moof", |moof| {
            moof.full(b"mfhd", 0, 0, |mfhd| mfhd.u32(sequence));
            for group in chosen.chunk_by(|a, b| a.target.track == b.target.track) {
                let rows = self.rows(run, group);
                self.write_track(moof, group, &rows, (start, at), &mut offsets);
                at += rows.iter().map(|row| u64::from(row.size)).sum::<u64>();
            }
        });
        let head_len = writer.len() as u64 + 8;
        for (field, at) in offsets {
            let offset = u32::try_from(head_len + at).unwrap_or(u32::MAX);
            writer.patch(field, &offset.to_be_bytes());
        }
        writer.u32(u32::try_from(body_len + 8).unwrap_or(u32::MAX));
        writer.raw(b"mdat");
        self.fragments.push(PlacedFragment {
            start: self.len,
            head_len: head_len as u32,
            block: block as u32,
        });
        self.heads.extend(writer.finish());
        self.len += head_len + body_len;
    }

    /// The samples of one track in a block. Nothing is decoded or shown before the beginning, and no two at once.
    fn rows(&mut self, run: usize, group: &[Chosen]) -> Vec<Row> {
        let mut rows = Vec::with_capacity(group.len());
        for chosen in group {
            let track = chosen.target.track;
            let (Some(output), Some((clock, squeezes))) =
                (self.tracks.tracks.get(track), self.clocks.get_mut(track))
            else {
                continue;
            };
            let Some(sample) = clock.place(self.cut, output, run, &chosen.frame) else {
                continue;
            };
            let interval = clock.interval(output);
            let end = output.ticks(self.end_us);
            let squeeze =
                *squeezes.get_or_insert_with(|| Squeeze::new(sample.decode, interval, end));
            let before = rows.last().map(|row: &Row| row.decode);
            let before = before.or(self.open[track].map(|open| open.decode));
            let decode = squeeze
                .of(sample.decode)
                .max(before.map_or(0, |before| before + 1));
            let presentation = squeeze.of(sample.presentation);
            rows.push(Row {
                size: sample.size,
                decode,
                presentation: if sample.decode <= sample.presentation {
                    presentation.max(decode)
                } else {
                    presentation
                },
                kind: chosen.frame.kind,
            });
        }
        rows
    }

    /// `traf` with one `trun` (ISO 14496-12 §8.8.6 to §8.8.8, §8.8.12). `place`: where the head starts among all heads, and the track's
    /// bytes in the body.
    fn write_track(
        &mut self,
        moof: &mut BoxWriter,
        group: &[Chosen],
        rows: &[Row],
        (head, at): (usize, u64),
        offsets: &mut Vec<(usize, u64)>,
    ) {
        const DESCRIPTION_AND_BASE_IS_MOOF: u32 = 0x02_0002;
        const OFFSET_DURATION_SIZE: u32 = 0x301;
        const FLAGS_COMPOSITION: u32 = 0xc00;
        let (Some(target), Some(first)) = (group.first().map(|one| one.target), rows.first())
        else {
            return;
        };
        let video = self.tracks.tracks[target.track].codec.is_video();
        let group_number = self.number() / GROUP;
        let kinds = if video { FLAGS_COMPOSITION } else { 0 };
        self.close(target.track, first.decode);
        moof.container(b"traf", |traf| {
            traf.full(b"tfhd", 0, DESCRIPTION_AND_BASE_IS_MOOF, |tfhd| {
                tfhd.u32(target.track as u32 + 1);
                tfhd.u32(target.entry);
            });
            traf.full(b"tfdt", 1, 0, |tfdt| {
                tfdt.u64(first.decode.max(0).unsigned_abs());
            });
            traf.full(b"trun", 1, OFFSET_DURATION_SIZE | kinds, |trun| {
                trun.u32(rows.len() as u32);
                offsets.push((trun.len(), at));
                trun.u32(0);
                for (number, row) in rows.iter().enumerate() {
                    let next = rows.get(number + 1);
                    if next.is_none() {
                        self.open[target.track] = Some(OpenSample {
                            decode: row.decode,
                            place: (group_number, head + trun.len()),
                        });
                    }
                    trun.u32(next.map_or(0, |next| bounded(next.decode - row.decode)));
                    trun.u32(row.size);
                    if video {
                        trun.u32(sample_flags(row.kind));
                        let shown_after = row.presentation - row.decode;
                        trun.u32(shown_after.clamp(-DELTA_MAX, DELTA_MAX) as i32 as u32);
                    }
                }
            });
        });
    }

    /// Fills in how long the last sample of `track` lasts: until `next`.
    fn close(&mut self, track: usize, next: i64) {
        let Some(OpenSample { decode, place }) = self.open[track] else {
            return;
        };
        let duration = bounded(next - decode);
        // What ends the file is told by no fragment, so it is kept for when the heads are computed again.
        if place.0 == self.group_at_hand() && !self.ending {
            self.fill_in(track, duration);
            return;
        }
        self.open[track] = None;
        if let Ok(group) = u32::try_from(place.0) {
            self.closings.push(Closing {
                group,
                track: track as u32,
                duration,
            });
        }
    }

    /// The group whose heads are in memory.
    fn group_at_hand(&self) -> usize {
        self.first / GROUP + self.groups.len().saturating_sub(1)
    }

    /// Fills in how long the open sample of `track` lasts, whose head is in memory.
    pub(super) fn fill_in(&mut self, track: usize, duration: u32) {
        let open = self.open.get_mut(track).and_then(Option::take);
        let field = open.and_then(|open| {
            let from = open.place.1;
            self.heads.get_mut(from..from + size_of::<u32>())
        });
        if let Some(field) = field {
            field.copy_from_slice(&duration.to_be_bytes());
        }
    }

    /// Ends all tracks; `None` for those without samples.
    pub(super) fn end(&mut self) -> Vec<Option<TrackEnd>> {
        self.ending = true;
        let mut ends = Vec::new();
        for (number, output) in self.tracks.tracks.iter().enumerate() {
            let (clock, squeeze) = &self.clocks[number];
            let (end, squeeze) = (clock.end(self.cut, output), squeeze.unwrap_or_default());
            if let Some(end) = end {
                self.close(number, squeeze.of(end.last_decode + end.last_duration));
            }
            ends.push(end);
        }
        ends
    }
}

/// Moves the times of one track so that nothing is before the beginning and little behind the end, and everything stays in its order: a
/// decoder that finds the times in disorder makes up its own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Squeeze {
    /// How long before the beginning the first sample is decoded, in ticks.
    lead: i64,
    /// Into how much that is squeezed.
    room: i64,
    /// The end of what is to be seen.
    end: i64,
}

impl Squeeze {
    /// Of a track whose first sample is decoded at `first`, and whose samples are `interval` apart. A thousandth of the time is left,
    /// because FFmpeg takes a step a thousand times as long as those before for a fault; but not more than half a picture.
    fn new(first: i64, interval: i64, end: i64) -> Self {
        let lead = first.saturating_neg().max(0);
        let room = (lead / 1000 + 1).min(interval / 2).max(1);
        Self { lead, room, end }
    }

    fn of(&self, time: i64) -> i64 {
        let behind = time.saturating_sub(self.end).max(0);
        self.before_end(time.min(self.end)) + behind / 1000
    }

    fn before_end(&self, time: i64) -> i64 {
        if self.lead == 0 || time >= 2 * self.room {
            return time;
        }
        if time >= 0 {
            return self.room + time / 2;
        }
        let share = i128::from(time.saturating_add(self.lead)) * i128::from(self.room);
        (share / i128::from(self.lead)) as i64
    }
}

fn bounded(ticks: i64) -> u32 {
    ticks.clamp(1, DELTA_MAX) as u32
}
