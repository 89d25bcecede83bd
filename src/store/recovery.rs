//! Recovery: from the bytes of a volume to the state of its ring and index (`docs/format.md` §3). Reads only; the first thing
//! written afterwards is the next batch.

use crate::{
    format::{
        PAGE,
        block::Address,
        chapter::Chapter,
        directory::DirectoryTrailer,
        index::Checkpoint,
        place::{Generation, SegmentNumber},
        row::{BlockRow, ChapterRow, Item, RunId},
        segment::{HEADER_LEN, SegmentEnd, SegmentHeader},
    },
    media::GapCause,
    store::{
        index::{Index, IndexRun},
        io,
        ring::{SegmentLife, order},
        volume::Files,
        walk::{Contents, Walk},
        writer::{OpenSegment, PreviousSegment},
    },
};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, HashSet};

/// After so many segments in ring order without a newer life, the newest is known (R3). More than one, since a segment that could not
/// be taken is passed over.
const PROBES_WITHOUT_NEWS_MAX: u32 = 8;

/// What recovery did, for the log and `status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct RecoveryReport {
    /// Whether the index was rebuilt from all segments.
    pub rebuilt: bool,
    /// Segments whose header was read.
    pub probed: u32,
    /// Segments whose directory or batches were read.
    pub replayed: u32,
    /// Blocks and chapters that were torn and left out.
    pub dropped: u32,
    /// Blocks that no chapter listed.
    pub unlisted: u32,
}

/// Tells how far long work is: done and whole.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Where the log goes on, and the highest session seen anywhere.
pub(crate) struct Recovered {
    pub(crate) segment: Option<OpenSegment>,
    /// The newest segment and how it was left, for the header of the next.
    pub(crate) previous: PreviousSegment,
    pub(crate) session: u64,
    pub(crate) report: RecoveryReport,
}

/// Brings `index` up to the log and finds the segment in which the log goes on. With `sync`, what a dead process wrote there is made
/// durable before anything is decided on it (R8).
pub(crate) fn recover(
    files: &Files,
    index: &mut Index,
    mut checkpoint: Option<Checkpoint>,
    sync: bool,
    progress: Progress<'_>,
) -> Recovered {
    let mut report = RecoveryReport::default();
    if let Some(Checkpoint { covered, .. }) = checkpoint
        && !probe(files, index, covered, &mut report)
    {
        index.clear();
        checkpoint = None;
    }
    if checkpoint.is_none() {
        report.rebuilt = true;
        read_headers(files, index, &mut report, progress);
    }
    let from = checkpoint.map_or(Generation(1), |checkpoint| checkpoint.replay_from);
    let covered = checkpoint.map_or(Generation::NONE, |checkpoint| checkpoint.covered);
    let lives = index.lives().to_vec();
    let replay: Vec<SegmentNumber> = order(&lives)
        .filter(|number| lives[*number as usize].generation >= from)
        .collect();
    let whole = replay.len() as u64;
    let mut listing = Listing::default();
    let mut segment = None;
    let mut previous = newest_life(&lives, covered);
    for (done, number) in replay.iter().enumerate() {
        progress(done as u64, whole);
        let life = lives[*number as usize];
        let Ok(file) = files.segment(*number) else {
            continue;
        };
        let newest = done + 1 == replay.len() && !life.quarantined;
        // Others that are not sealed were given up.
        let unsynced = sync && (newest || life.quarantined);
        let durable = !unsynced || io::sync(files.disk(), file).is_ok();
        let contents = Walk::new(
            files.disk(),
            file,
            files.superblock(),
            *number,
            life.generation,
        )
        .abandoned(life.quarantined)
        .contents();
        report.replayed += 1;
        report.dropped += contents.dropped;
        // The header must be there too: an index may know of a life that was never made durable.
        let on = newest
            && durable
            && read_header(files, *number).is_ok_and(|header| header.generation == life.generation);
        segment = if on {
            open_segment(*number, life, &contents)
        } else {
            None
        };
        if newest && contents.sealed {
            previous.2 = SegmentEnd::Sealed;
        }
        listing.add(files, contents.items, covered);
    }
    report.dropped += listing.damaged;
    report.unlisted = listing.enter(index);
    progress(whole, whole);
    let newest = lives
        .iter()
        .map(|life| life.generation.session())
        .max()
        .unwrap_or(0);
    Recovered {
        segment,
        previous,
        session: newest.max(files.superblock().session),
        report,
    }
}

/// The newest segment, as far as it can be told before it is read: the index covers what was sealed.
fn newest_life(lives: &[SegmentLife], covered: Generation) -> PreviousSegment {
    let newest = (0..).zip(lives).max_by_key(|(_, life)| life.generation);
    let (number, life) = newest.expect("a volume has segments");
    let end = match (life.quarantined, life.generation < covered) {
        (true, _) => SegmentEnd::Abandoned,
        (false, true) => SegmentEnd::Sealed,
        (false, false) => SegmentEnd::Unknown,
    };
    (life.generation, number, end)
}

/// R3: the segments that were taken since the index was written. False when they do not hang together, or when the record of a life is
/// gone whose chapters the index claims to hold (those below `covered`): the index is of no use.
fn probe(
    files: &Files,
    index: &mut Index,
    covered: Generation,
    report: &mut RecoveryReport,
) -> bool {
    let known = index
        .lives()
        .iter()
        .map(|life| life.generation)
        .max()
        .unwrap_or_default();
    let mut found = Vec::new();
    let mut without_news = 0;
    for number in order(index.lives()) {
        let life = index.lives()[number as usize];
        report.probed += 1;
        match read_header(files, number) {
            Ok(header) if header.generation > life.generation => {
                // Its chapters were left out with its record, and taking it for unused would give its recordings to the ring first.
                if header.generation < covered {
                    return false;
                }
                without_news = 0;
                found.push(header);
            }
            _ if life.quarantined => {}
            _ => without_news += 1,
        }
        if without_news >= PROBES_WITHOUT_NEWS_MAX {
            break;
        }
    }
    enter_headers(index, &found);
    // Each newer header names the one before it: all of them must have been met.
    found.iter().all(|header| {
        let (generation, number) = header.previous;
        generation <= known
            || index
                .lives()
                .get(number as usize)
                .is_some_and(|life| life.generation >= generation)
    })
}

/// R7: the life of every segment from its header.
fn read_headers(
    files: &Files,
    index: &mut Index,
    report: &mut RecoveryReport,
    progress: Progress<'_>,
) {
    let count = files.superblock().segment_count;
    let mut found = Vec::new();
    for number in 0..count {
        progress(u64::from(number), u64::from(count));
        report.probed += 1;
        match read_header(files, number) {
            Ok(header) => found.push(header),
            Err(Unread::Empty) => {}
            Err(Unread::Damaged) => {
                tracing::error!(
                    segment = number,
                    "the header of a segment cannot be read: its recordings are kept and the segment is left out of the ring; check the disk"
                );
                let life = SegmentLife {
                    generation: trailer_generation(files, number),
                    quarantined: true,
                };
                index.set_life(number, life, 0);
                index.life_is_durable(number);
            }
        }
    }
    enter_headers(index, &found);
}

fn enter_headers(index: &mut Index, found: &[SegmentHeader]) {
    index.set_lives(found.iter().map(|header| {
        let life = SegmentLife {
            generation: header.generation,
            quarantined: !header.ring,
        };
        (header.segment, life, header.taken_us)
    }));
    let given_up = given_up(index.lives(), found);
    index.give_up(&given_up);
    for header in found {
        index.life_is_durable(header.segment);
    }
}

/// The segments that were given up, as the headers tell: one says so of the segment before it; and where the segment before it was taken
/// again, which is done to the lowest generation, all lower ones that are still there had been left out.
fn given_up(lives: &[SegmentLife], found: &[SegmentHeader]) -> Vec<SegmentNumber> {
    let life_of = |number: SegmentNumber| lives.get(number as usize).map(|life| life.generation);
    let taken_again = found.iter().map(|header| header.previous);
    let taken_again = taken_again.filter(|(before, number)| life_of(*number) > Some(*before));
    let passed = taken_again.map(|(generation, _)| generation).max();
    let passed = passed.unwrap_or_default();
    let numbered = (0..).zip(lives);
    let lower = numbered
        .filter(|(_, life)| life.generation > Generation::NONE && life.generation < passed)
        .map(|(number, _)| number);
    let abandoned = found
        .iter()
        .filter(|header| header.previous_end == SegmentEnd::Abandoned)
        .map(|header| header.previous)
        .filter(|(generation, number)| life_of(*number) == Some(*generation))
        .map(|(_, number)| number);
    abandoned.chain(lower).collect()
}

/// Why a header gives no life.
enum Unread {
    /// The segment was never taken.
    Empty,
    /// There was one, or the disk does not say.
    Damaged,
}

fn read_header(files: &Files, number: SegmentNumber) -> Result<SegmentHeader, Unread> {
    let file = files.segment(number).map_err(|_| Unread::Damaged)?;
    let page = io::read(files.disk(), file, 0, PAGE as usize).map_err(|_| Unread::Damaged)?;
    let empty = page.iter().all(|byte| *byte == 0);
    SegmentHeader::decode(&page, &files.superblock().volume, number).map_err(|_| {
        if empty {
            Unread::Empty
        } else {
            Unread::Damaged
        }
    })
}

/// The life of a segment whose header is lost, from its directory.
fn trailer_generation(files: &Files, number: SegmentNumber) -> Generation {
    let superblock = files.superblock();
    let page = files.segment(number).ok().and_then(|file| {
        io::read(
            files.disk(),
            file,
            superblock.segment_len - PAGE,
            PAGE as usize,
        )
        .ok()
    });
    page.and_then(|page| DirectoryTrailer::peek_generation(&page, &superblock.volume, number))
        .unwrap_or_default()
}

fn open_segment(
    number: SegmentNumber,
    life: SegmentLife,
    contents: &Contents,
) -> Option<OpenSegment> {
    let end = contents.open?;
    let mut items = Vec::new();
    let mut described = HashSet::new();
    for item in &contents.items {
        item.encode(&mut items);
        if let Item::Description(run, _) = item {
            described.insert(*run);
        }
    }
    assert!(end.offset >= HEADER_LEN);
    Some(OpenSegment {
        number,
        generation: life.generation,
        log_end: end.offset,
        next_batch: end.next_batch,
        synced: end.next_batch,
        items,
        described,
    })
}

/// What the replayed segments list, by run.
#[derive(Default)]
struct Listing {
    descriptions: HashMap<RunId, Bytes>,
    blocks: BTreeMap<RunId, BTreeMap<u32, BlockRow>>,
    /// Chapters that the index does not have yet.
    chapters: Vec<(RunId, ChapterRow)>,
    /// Why a run ended, where the chapter that said so is damaged.
    ends: HashMap<RunId, GapCause>,
    /// Chapters that are damaged: their blocks are listed anew.
    damaged: u32,
}

impl Listing {
    fn add(&mut self, files: &Files, items: Vec<Item>, covered: Generation) {
        for item in items {
            match item {
                Item::Description(run, packed) => drop(self.descriptions.insert(run, packed)),
                Item::Block(run, row) => {
                    drop(self.blocks.entry(run).or_default().insert(row.number, row))
                }
                Item::Chapter(_, row) if row.place.generation < covered => {}
                Item::Chapter(run, row) if is_intact(files, run, &row) => {
                    self.chapters.push((run, row))
                }
                Item::Chapter(run, row) => {
                    self.damaged += 1;
                    self.ends.extend(row.end_cause.map(|cause| (run, cause)));
                }
            }
        }
    }

    /// Enters the chapters, then the rows no chapter lists, as unfinished chapters; gives the number of the latter.
    fn enter(mut self, index: &mut Index) -> u32 {
        for (run, row) in &self.chapters {
            if let Some(run) = index_run(*run, &self.descriptions) {
                index.add_chapter(&run, row);
            }
        }
        // Asked of the index, not of what was read: a chapter may have been replaced, or not be there.
        for (run, rows) in &mut self.blocks {
            for (number, count) in index.chapters_of(*run) {
                let end = number.saturating_add(count);
                rows.retain(|block, _| !(number..end).contains(block));
            }
        }
        self.blocks.retain(|_, rows| !rows.is_empty());
        let mut unlisted = 0;
        for (id, rows) in self.blocks {
            let Some(run) = index_run(id, &self.descriptions) else {
                continue;
            };
            let last = rows.keys().next_back().copied().unwrap_or_default();
            for row in rows.into_values() {
                unlisted += 1;
                index.add_block(&run, row);
            }
            let chapters = index.chapters_of(id);
            let goes_on = chapters.iter().any(|(number, _)| *number > last);
            let cause = self.ends.get(&id).copied().unwrap_or(GapCause::Restart);
            index.end_run(id, (!goes_on).then_some(cause));
        }
        unlisted
    }
}

/// Whether a chapter is what was written. A directory tells of it long after: entered with rot in it, it would hide its blocks.
fn is_intact(files: &Files, run: RunId, row: &ChapterRow) -> bool {
    let place = &row.place;
    let bytes = files
        .segment(place.segment)
        .ok()
        .and_then(|file| io::read(files.disk(), file, place.offset, place.len as usize).ok());
    let address = Address::of(files.superblock().volume, place);
    bytes.is_some_and(|bytes| Chapter::decode(&bytes, address, run, row.number).is_ok())
}

fn index_run(id: RunId, descriptions: &HashMap<RunId, Bytes>) -> Option<IndexRun> {
    let packed = descriptions.get(&id)?.clone();
    let start_cause = crate::format::description::RunDescription::decode(&packed)
        .ok()?
        .start_cause;
    Some(IndexRun {
        id,
        start_cause,
        packed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments 0 and 1 failed, one told by its follower and one whose follower's header is gone; 2 and 3 have been taken in turn since.
    #[test]
    fn headers_tell_which_segments_were_given_up() {
        let life = |generation, quarantined| SegmentLife {
            generation: Generation(generation),
            quarantined,
        };
        let header = |segment, generation, previous: (u64, u32), previous_end| SegmentHeader {
            segment,
            generation: Generation(generation),
            previous: (Generation(previous.0), previous.1),
            previous_end,
            ring: true,
            taken_us: 0,
        };
        let lives = [
            life(3, false),
            life(8, false),
            life(9, false),
            life(7, false),
            life(0, false),
        ];
        let found = [
            header(0, 3, (2, 3), SegmentEnd::Sealed),
            header(1, 8, (7, 3), SegmentEnd::Sealed),
            header(2, 9, (8, 1), SegmentEnd::Abandoned),
            header(3, 7, (6, 2), SegmentEnd::Sealed),
        ];
        assert_eq!(given_up(&lives, &found), [1, 0]);
        // In a ring that lost nothing the oldest names one that was taken again, and nothing is lower.
        let lives = [life(3, false), life(4, false), life(5, false)];
        let found = [
            header(0, 3, (2, 2), SegmentEnd::Sealed),
            header(1, 4, (3, 0), SegmentEnd::Sealed),
            header(2, 5, (4, 1), SegmentEnd::Unknown),
        ];
        assert!(given_up(&lives, &found).is_empty());
        // A header that did not reach the disk leaves the old life, which nobody has passed.
        let lives = [life(3, false), life(4, false), life(2, false)];
        let found = [
            header(0, 3, (2, 2), SegmentEnd::Sealed),
            header(1, 6, (5, 2), SegmentEnd::Abandoned),
        ];
        assert!(given_up(&lives, &found).is_empty());
    }
}
