//! A stream's chapters in the order of (run, number), searched by time without a look at all of them.
//!
//! A list holds positions of records, not the records: those are in the mapped file, and `read` fetches what is needed of one. Times
//! follow the order only nearly: runs overlap after a step of the wall clock, and chapters of one run by the reordering of
//! pictures. So the list is cut into chunks, each with the earliest beginning from it on and the latest end up to it: both rise
//! along the list, so that a binary search finds the chunks between which everything lies that touches a range. What is looked at
//! grows with the range, and with how far runs overlap, not with the history.

use crate::{
    base::{Micros, TimeRange, UnixMicros},
    format::index::ChapterRecord,
};

/// Positions in a chunk at the most: about five bytes in memory per chapter.
const CHUNK_LEN_MAX: usize = 64;

/// Where a piece stands among those of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PieceKey {
    /// The run.
    pub run: UnixMicros,
    /// Its first block.
    pub number: u32,
}

/// What a chapter's record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: PieceKey,
    /// Earliest presentation time.
    pub(super) first: UnixMicros,
    /// End of the latest frame.
    pub(super) end: UnixMicros,
}

impl Entry {
    /// Of a verified record.
    pub(super) fn of(record: &ChapterRecord) -> Self {
        let first = UnixMicros(record.first_us.get());
        Self {
            key: PieceKey {
                run: UnixMicros(record.run.get()),
                number: record.number.get(),
            },
            first,
            end: first + Micros(i64::from(record.span_us.get())),
        }
    }
}

/// Fetches the entry at a position; `None` when it cannot be read: it is passed over.
pub(super) type Read<'a> = &'a dyn Fn(u32) -> Option<Entry>;

#[derive(Clone, Debug)]
struct Chunk {
    positions: Vec<u32>,
    /// Of the first position.
    key: PieceKey,
    /// Earliest time and latest end in it.
    first: UnixMicros,
    end: UnixMicros,
    /// Earliest time in it and in those behind it.
    first_from_here: UnixMicros,
    /// Latest end in it and in those before it.
    end_up_to_here: UnixMicros,
}

/// The chapters of one stream.
#[derive(Clone, Debug, Default)]
pub(super) struct ChapterList {
    chunks: Vec<Chunk>,
}

impl Chunk {
    /// `None` when nothing in it can be read.
    fn new(positions: Vec<u32>, read: Read<'_>) -> Option<Self> {
        let entries = || positions.iter().filter_map(|position| read(*position));
        Some(Self {
            key: entries().next()?.key,
            first: entries().map(|entry| entry.first).min()?,
            end: entries().map(|entry| entry.end).max()?,
            first_from_here: UnixMicros::MAX,
            end_up_to_here: UnixMicros::MIN,
            positions,
        })
    }

    fn of_one(position: u32, entry: Entry) -> Self {
        Self {
            positions: vec![position],
            key: entry.key,
            first: entry.first,
            end: entry.end,
            first_from_here: UnixMicros::MAX,
            end_up_to_here: UnixMicros::MIN,
        }
    }
}

impl ChapterList {
    /// The list of `positions`, which are in order.
    pub(super) fn of_sorted(positions: &[u32], read: Read<'_>) -> Self {
        let chunks = positions.chunks(CHUNK_LEN_MAX);
        let mut list = Self {
            chunks: chunks
                .filter_map(|chunk| Chunk::new(chunk.to_vec(), read))
                .collect(),
        };
        list.relate();
        list
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Enters a chapter. One with the same key is replaced: its position is given back.
    pub(super) fn insert(&mut self, position: u32, entry: Entry, read: Read<'_>) -> Option<u32> {
        let at = self.chunk_of(entry.key);
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(Chunk::of_one(position, entry));
            self.relate();
            return None;
        };
        // Most chapters are newer than all others, so the place is looked for from the end.
        let mut place = chunk.positions.len();
        while let Some(before) = place.checked_sub(1) {
            match read(chunk.positions[before]).map(|other| other.key.cmp(&entry.key)) {
                Some(std::cmp::Ordering::Less) => break,
                Some(std::cmp::Ordering::Equal) => {
                    let replaced = std::mem::replace(&mut chunk.positions[before], position);
                    self.recount(at, read);
                    return Some(replaced);
                }
                _ => place = before,
            }
        }
        let last = at + 1 == self.chunks.len();
        let chunk = &mut self.chunks[at];
        if last && place == CHUNK_LEN_MAX {
            self.chunks.push(Chunk::of_one(position, entry));
            self.relate_from(at + 1);
            return None;
        }
        chunk.positions.insert(place, position);
        if chunk.positions.len() > CHUNK_LEN_MAX {
            let behind = chunk.positions.split_off(CHUNK_LEN_MAX / 2);
            if let Some(behind) = Chunk::new(behind, read) {
                self.chunks.insert(at + 1, behind);
            }
            self.recount(at, read);
            return None;
        }
        if place == 0 {
            chunk.key = entry.key;
        }
        chunk.first = chunk.first.min(entry.first);
        chunk.end = chunk.end.max(entry.end);
        self.relate_from(at);
        None
    }

    /// Takes out what `is_dead`: the first ones up to one that is not, or all.
    pub(super) fn take(
        &mut self,
        everywhere: bool,
        is_dead: &dyn Fn(u32) -> bool,
        read: Read<'_>,
    ) -> Vec<u32> {
        let mut taken = Vec::new();
        for chunk in &mut self.chunks {
            let before = chunk.positions.len();
            let mut going = true;
            chunk.positions.retain(|position| {
                going = (going || everywhere) && is_dead(*position);
                if going {
                    taken.push(*position);
                }
                !going
            });
            if chunk.positions.len() < before && !chunk.positions.is_empty() {
                let left = std::mem::take(&mut chunk.positions);
                if let Some(counted) = Chunk::new(left, read) {
                    *chunk = counted;
                }
            }
            if !chunk.positions.is_empty() && !everywhere {
                break;
            }
        }
        if !taken.is_empty() {
            self.chunks.retain(|chunk| !chunk.positions.is_empty());
            self.relate();
        }
        taken
    }

    /// The positions among which all that touch `range` are, in order; few others.
    pub(super) fn near(&self, range: TimeRange) -> impl Iterator<Item = u32> {
        let from = self.chunk_ending_after(range.start);
        let to = self.chunks_beginning_before(range.end);
        let chunks = self.chunks.get(from..to).unwrap_or(&[]).iter();
        chunks
            .filter(move |chunk| chunk.first < range.end && chunk.end > range.start)
            .flat_map(|chunk| chunk.positions.iter().copied())
    }

    /// Earliest time and latest end.
    pub(super) fn bounds(&self) -> Option<(UnixMicros, UnixMicros)> {
        let first = self.chunks.first()?.first_from_here;
        Some((first, self.chunks.last()?.end_up_to_here))
    }

    /// The first of the list that ends after `time`.
    pub(super) fn first_ending_after(&self, time: UnixMicros, read: Read<'_>) -> Option<PieceKey> {
        let chunk = self.chunks.get(self.chunk_ending_after(time))?;
        let mut entries = chunk
            .positions
            .iter()
            .filter_map(|position| read(*position));
        entries
            .find(|entry| entry.end > time)
            .map(|entry| entry.key)
    }

    /// The last of the list that begins before `time`.
    pub(super) fn last_beginning_before(
        &self,
        time: UnixMicros,
        read: Read<'_>,
    ) -> Option<PieceKey> {
        let at = self.chunks_beginning_before(time).checked_sub(1)?;
        let positions = self.chunks.get(at)?.positions.iter().rev();
        let mut entries = positions.filter_map(|position| read(*position));
        entries
            .find(|entry| entry.first < time)
            .map(|entry| entry.key)
    }

    /// What comes at or behind `key`, in order.
    pub(super) fn from<'a>(&'a self, key: PieceKey, read: Read<'a>) -> impl Iterator<Item = u32> {
        let at = self.chunk_of(key);
        let chunks = self.chunks.get(at..).unwrap_or(&[]).iter();
        chunks.enumerate().flat_map(move |(number, chunk)| {
            let behind = move |position: &u32| {
                number > 0 || read(*position).is_some_and(|entry| entry.key >= key)
            };
            chunk.positions.iter().copied().filter(behind)
        })
    }

    /// What comes before `key`, the nearest first.
    pub(super) fn before<'a>(&'a self, key: PieceKey, read: Read<'a>) -> impl Iterator<Item = u32> {
        let end = (self.chunk_of(key) + 1).min(self.chunks.len());
        let chunks = self.chunks[..end].iter().rev();
        chunks.enumerate().flat_map(move |(number, chunk)| {
            let before = move |position: &u32| {
                number > 0 || read(*position).is_some_and(|entry| entry.key < key)
            };
            chunk.positions.iter().rev().copied().filter(before)
        })
    }

    /// The chunk in which `key` is, if it is anywhere: the last that does not begin behind it.
    fn chunk_of(&self, key: PieceKey) -> usize {
        let behind = self.chunks.partition_point(|chunk| chunk.key <= key);
        behind.saturating_sub(1)
    }

    fn chunk_ending_after(&self, time: UnixMicros) -> usize {
        self.chunks
            .partition_point(|chunk| chunk.end_up_to_here <= time)
    }

    fn chunks_beginning_before(&self, time: UnixMicros) -> usize {
        self.chunks
            .partition_point(|chunk| chunk.first_from_here < time)
    }

    /// Looks at all of chunk `at` again.
    fn recount(&mut self, at: usize, read: Read<'_>) {
        let positions = std::mem::take(&mut self.chunks[at].positions);
        match Chunk::new(positions, read) {
            Some(chunk) => self.chunks[at] = chunk,
            None => drop(self.chunks.remove(at)),
        }
        self.relate();
    }

    /// Makes the times along the list right.
    fn relate(&mut self) {
        let mut end = UnixMicros::MIN;
        for chunk in &mut self.chunks {
            end = end.max(chunk.end);
            chunk.end_up_to_here = end;
        }
        let mut first = UnixMicros::MAX;
        for chunk in self.chunks.iter_mut().rev() {
            first = first.min(chunk.first);
            chunk.first_from_here = first;
        }
    }

    /// Makes them right after chunk `at` grew: what lies far from it seldom changes.
    fn relate_from(&mut self, at: usize) {
        let before = at.checked_sub(1).and_then(|before| self.chunks.get(before));
        let mut end = before.map_or(UnixMicros::MIN, |before| before.end_up_to_here);
        for chunk in &mut self.chunks[at..] {
            end = end.max(chunk.end);
            if std::mem::replace(&mut chunk.end_up_to_here, end) == end {
                break;
            }
        }
        let behind = self.chunks.get(at + 1);
        let mut first = behind.map_or(UnixMicros::MAX, |behind| behind.first_from_here);
        for chunk in self.chunks[..=at].iter_mut().rev() {
            first = first.min(chunk.first);
            if std::mem::replace(&mut chunk.first_from_here, first) == first {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::Seed;
    use std::collections::HashMap;

    /// A list and the same as a plain vector.
    #[derive(Default)]
    struct Twin {
        list: ChapterList,
        records: HashMap<u32, Entry>,
        plain: Vec<(u32, Entry)>,
        next: u32,
    }

    impl Twin {
        fn insert(&mut self, entry: Entry) {
            let position = self.next;
            self.next += 1;
            self.records.insert(position, entry);
            let records = &self.records;
            let replaced = self
                .list
                .insert(position, entry, &|at| records.get(&at).copied());
            let at = self
                .plain
                .partition_point(|(_, other)| other.key < entry.key);
            match self
                .plain
                .get_mut(at)
                .filter(|(_, other)| other.key == entry.key)
            {
                Some(other) => {
                    assert_eq!(replaced, Some(other.0));
                    *other = (position, entry);
                }
                None => {
                    assert_eq!(replaced, None);
                    self.plain.insert(at, (position, entry));
                }
            }
        }

        fn check(&self, random: &mut Seed) {
            let read = |at: u32| self.records.get(&at).copied();
            let all = TimeRange::ALL;
            let listed: Vec<u32> = self.list.near(all).collect();
            let plain: Vec<u32> = self.plain.iter().map(|(position, _)| *position).collect();
            assert_eq!(listed, plain);
            let bounds = self
                .plain
                .iter()
                .map(|(_, entry)| (entry.first, entry.end))
                .reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)));
            assert_eq!(self.list.bounds(), bounds);
            assert_eq!(self.list.is_empty(), bounds.is_none());
            for _ in 0..8 {
                let start = UnixMicros(random.below(2_500) as i64 - 100);
                let end = UnixMicros(start.0 + random.below(300) as i64 + 1);
                let range = TimeRange { start, end };
                let touches = |entry: &Entry| entry.first < end && entry.end > start;
                let found: Vec<u32> = self
                    .list
                    .near(range)
                    .filter(|at| read(*at).is_some_and(|entry| touches(&entry)))
                    .collect();
                let scanned = self.plain.iter().filter(|(_, entry)| touches(entry));
                assert_eq!(found, scanned.map(|(at, _)| *at).collect::<Vec<_>>());
                let mut entries = self.plain.iter().map(|(_, entry)| entry);
                let first = entries.find(|entry| entry.end > start).map(|one| one.key);
                assert_eq!(self.list.first_ending_after(start, &read), first);
                let mut entries = self.plain.iter().map(|(_, entry)| entry).rev();
                let last = entries.find(|entry| entry.first < end).map(|one| one.key);
                assert_eq!(self.list.last_beginning_before(end, &read), last);
                let key = PieceKey {
                    run: UnixMicros(random.below(2_000) as i64),
                    number: random.below(30) as u32,
                };
                let at = self.plain.partition_point(|(_, entry)| entry.key < key);
                let from: Vec<u32> = self.list.from(key, &read).collect();
                assert_eq!(from, plain[at..]);
                let mut before: Vec<u32> = self.list.before(key, &read).collect();
                before.reverse();
                assert_eq!(before, plain[..at]);
            }
        }
    }

    /// Goal: the list finds what a scan finds. Method: histories with steps of the clock either way, chapters that come late or twice,
    /// and a ring that takes the oldest or any.
    #[test]
    fn a_search_finds_what_a_scan_finds() {
        let seed = std::env::var("NVRING_SEED")
            .ok()
            .and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or(23);
        println!("SEED={seed}");
        let mut random = Seed::new(seed);
        for _ in 0..60 {
            let mut twin = Twin::default();
            let mut late = Vec::new();
            let changes = random.between(1, 10) as f64 / 100.0;
            let mut clock = 0;
            let (mut run, mut number) = (0, 0);
            for _ in 0..random.between(1, 600) {
                if random.chance(changes) {
                    let far = if random.chance(0.2) { 900 } else { 200 };
                    clock += random.below(far) as i64 - random.below(far * 5 / 6) as i64;
                    (run, number) = (clock, 0);
                }
                let count = random.between(1, 3) as u32;
                let entry = Entry {
                    key: PieceKey {
                        run: UnixMicros(run),
                        number,
                    },
                    first: UnixMicros(clock - random.below(3) as i64),
                    end: UnixMicros(clock + random.between(1, 4) as i64),
                };
                clock += random.below(5) as i64;
                number += count;
                if random.chance(0.1) {
                    late.push(entry);
                } else {
                    twin.insert(entry);
                }
                if random.chance(0.1) && !late.is_empty() {
                    twin.insert(late.swap_remove(random.below(late.len() as u64) as usize));
                    twin.check(&mut random);
                }
                if random.chance(0.05) {
                    let again = random.below(twin.plain.len() as u64) as usize;
                    if let Some((_, entry)) = twin.plain.get(again).copied() {
                        twin.insert(entry);
                    }
                }
                if random.chance(0.03) {
                    take(&mut twin, &mut random);
                }
                if random.chance(0.05) {
                    twin.check(&mut random);
                }
            }
            twin.check(&mut random);
            let records = &twin.records;
            let sorted: Vec<u32> = twin.plain.iter().map(|(at, _)| *at).collect();
            twin.list = ChapterList::of_sorted(&sorted, &|at| records.get(&at).copied());
            twin.check(&mut random);
        }
    }

    fn take(twin: &mut Twin, random: &mut Seed) {
        let everywhere = random.chance(0.3);
        let limit = random.below(u64::from(twin.next) + 1) as u32 / 2;
        let is_dead = |position: u32| position < limit;
        let records = &twin.records;
        let taken = twin
            .list
            .take(everywhere, &is_dead, &|at| records.get(&at).copied());
        let mut going = true;
        let mut expected = Vec::new();
        twin.plain.retain(|(position, _)| {
            going = (going || everywhere) && is_dead(*position);
            if going {
                expected.push(*position);
            }
            !going
        });
        assert_eq!(taken, expected);
    }
}
