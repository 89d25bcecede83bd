//! Goal: what the index finds is what a scan of everything finds. Method: streams of chapters written into a turning ring, with steps of
//! the clock, segments that are given up, chapters written twice and restarts, held against a plain list.

use super::{Index, IndexRun, Piece, PieceKey, Window};
use crate::{
    base::{ClockState, TimeRange, UnixMicros, seed::Seed},
    format::{
        description::RunDescription,
        index::IndexLayout,
        place::{Generation, Place},
        row::{BlockRow, ChapterRow, RunId},
        superblock::Superblock,
    },
    media::{GapCause, StreamId, TrackSet},
    store::ring::{Ring, SegmentLife},
};
use bytes::Bytes;

const SEGMENTS: u32 = 7;
const STREAMS: usize = 3;

/// A chapter as it was written, or rows that are not in one yet.
#[derive(Clone, Copy, Debug)]
struct Known {
    stream: usize,
    key: PieceKey,
    first: UnixMicros,
    end: UnixMicros,
    place: Generation,
    oldest: Generation,
}

/// Where a stream is in its run.
#[derive(Clone, Copy, Debug, Default)]
struct Pen {
    clock: i64,
    run: i64,
    number: u32,
}

struct World {
    index: Index,
    ring: Ring,
    open: Generation,
    known: Vec<Known>,
    pens: [Pen; STREAMS],
    random: Seed,
}

fn superblock() -> Superblock {
    Superblock {
        volume: [9; 16],
        sequence: 1,
        session: 1,
        segment_len: 1 << 20,
        segment_count: SEGMENTS,
        batch_len_max: 1 << 18,
        window_len: 1 << 20,
        created_us: 0,
        pool: "default".to_owned(),
        refuse_write: 0,
    }
}

fn stream(number: usize) -> StreamId {
    StreamId([number as u8 + 1; 16])
}

fn run(number: usize, started: i64) -> IndexRun {
    let description = RunDescription {
        camera: format!("camera-{number}"),
        name: String::new(),
        stream: "main".to_owned(),
        start_cause: GapCause::Restart,
        started: UnixMicros(started),
        clock: ClockState::UNKNOWN,
        camera_offset: None,
        tracks: TrackSet::default(),
    };
    IndexRun {
        id: RunId {
            stream: stream(number),
            run: UnixMicros(started),
        },
        start_cause: GapCause::Restart,
        packed: description.encode().into(),
    }
}

impl World {
    fn new(seed: Seed) -> Self {
        let memory = vec![0; IndexLayout::new(SEGMENTS).len(16)];
        let (index, _) = Index::load(&superblock(), Box::new(memory));
        let ring = Ring::new(index.lives().to_vec(), 1);
        let mut world = Self {
            index,
            ring,
            open: Generation::NONE,
            known: Vec::new(),
            pens: [Pen::default(); STREAMS],
            random: seed,
        };
        world.index.clear();
        world.take_segment();
        world
    }

    /// The next segment is taken; what is asked while its header is on its way is checked too.
    fn take_segment(&mut self) {
        let number = self.ring.next(None).expect("a segment is left");
        self.open = self.ring.take(number);
        self.index.set_life(number, self.ring.life(number), 1);
        self.check();
        self.index.life_is_durable(number);
    }

    /// A write failed: the segment is given up.
    fn give_up(&mut self) {
        let left = self.ring.lives().iter().filter(|life| !life.quarantined);
        if left.count() <= 3 {
            return;
        }
        let number = self.index.segment_of(self.open).expect("it is open");
        self.ring.quarantine(number);
        self.index.set_life(number, self.ring.life(number), 1);
        self.index.life_is_durable(number);
        self.take_segment();
    }

    /// The file as it is now, read again.
    fn restart(&mut self) {
        let covered = Generation(self.open.0 + 1);
        let checkpoint = self.index.begin_checkpoint(covered);
        self.index.finish_checkpoint(checkpoint);
        let memory = self.index.memory.bytes().to_vec();
        let (index, found) = Index::load(&superblock(), Box::new(memory));
        assert_eq!(found, Some(checkpoint), "no record is missing");
        self.index = index;
    }

    fn write_chapter(&mut self) {
        let number = self.random.below(STREAMS as u64) as usize;
        let pen = &mut self.pens[number];
        if self.random.chance(0.15) {
            pen.clock += self.random.below(200) as i64 - self.random.below(150) as i64;
            (pen.run, pen.number) = (pen.clock, 0);
        }
        let key = PieceKey {
            run: UnixMicros(pen.run),
            number: pen.number,
        };
        let first = UnixMicros(pen.clock - self.random.below(4) as i64);
        let end = UnixMicros(pen.clock + self.random.between(1, 9) as i64);
        pen.clock += self.random.below(10) as i64;
        pen.number += 2;
        let lives = self.ring.lives();
        let oldest = lives[self.random.below(lives.len() as u64) as usize].generation;
        let oldest = if oldest == Generation::NONE || self.random.chance(0.7) {
            self.open
        } else {
            oldest
        };
        self.enter(Known {
            stream: number,
            key,
            first,
            end,
            place: self.open,
            oldest,
        });
    }

    fn enter(&mut self, known: Known) {
        let segment = self.index.segment_of(self.open).expect("it is open");
        let row = ChapterRow {
            number: known.key.number,
            count: 2,
            place: Place {
                segment,
                generation: known.place,
                offset: 4096,
                len: 512,
            },
            head_len: 128,
            first: known.first,
            end: known.end,
            oldest: known.oldest,
            start_cause: GapCause::Restart,
            end_cause: None,
        };
        self.index
            .add_chapter(&run(known.stream, known.key.run.0), &row);
        self.known
            .retain(|other| (other.stream, other.key) != (known.stream, known.key));
        self.known.push(known);
    }

    /// What is live, in order.
    fn live(&self, number: usize) -> Vec<Known> {
        let lives = self.ring.lives();
        let ring = lives.iter().filter(|life| !life.quarantined);
        let start = ring.map(|life| life.generation).min().unwrap();
        let is_live = |generation: Generation| {
            let life = lives.iter().find(|life| life.generation == generation);
            life.is_some_and(|life: &SegmentLife| !life.quarantined || generation >= start)
        };
        let mut live: Vec<Known> = self.known.clone();
        live.retain(|known| known.stream == number && is_live(known.place));
        live.sort_by_key(|known| known.key);
        live
    }

    fn check(&mut self) {
        for number in 0..STREAMS {
            let live = self.live(number);
            let id = stream(number);
            let keys = |pieces: &[Piece]| pieces.iter().map(Piece::key).collect::<Vec<_>>();
            let all: Vec<PieceKey> = live.iter().map(|known| known.key).collect();
            let pieces = self.index.pieces(id, TimeRange::ALL);
            assert_eq!(keys(&pieces), all);
            let bounds = live
                .iter()
                .map(|known| (known.first, known.end))
                .reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)));
            assert_eq!(self.index.bounds(id), bounds);
            for _ in 0..4 {
                let start = UnixMicros(self.random.below(2_000) as i64 - 200);
                let end = UnixMicros(start.0 + self.random.below(200) as i64 + 1);
                let range = TimeRange { start, end };
                let touching = live
                    .iter()
                    .filter(|known| known.first < end && known.end > start);
                let touching: Vec<PieceKey> = touching.map(|known| known.key).collect();
                assert_eq!(keys(&self.index.pieces(id, range)), touching);
                let window = Window {
                    from: live
                        .iter()
                        .find(|known| known.end > start)
                        .map(|known| known.key),
                    to: live
                        .iter()
                        .rfind(|known| known.first < end)
                        .map(|known| known.key),
                };
                assert_eq!(self.index.window(id, range), window);
                let Some((from, to)) = window.ends() else {
                    continue;
                };
                let around = self.index.pieces_around(id, (from, to));
                let at = all.partition_point(|key| *key < from);
                let clipped = pieces[..at].iter().rev();
                let clipped = clipped.take_while(|piece| piece.clipped).count();
                let first = at.saturating_sub(clipped + 1);
                let last = all.partition_point(|key| *key <= to);
                assert_eq!(keys(&around), all[first..(last + 1).min(all.len())]);
            }
        }
    }
}

#[test]
fn the_index_finds_what_a_scan_finds() {
    let seed = std::env::var("NVRING_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(29);
    println!("SEED={seed}");
    let mut random = Seed::new(seed);
    for _ in 0..30 {
        let mut world = World::new(random.split());
        // Few segments and many chapters in some, so that lists have many chunks.
        let takings = world.random.between(20, 200);
        for _ in 0..world.random.between(50, 1_500) {
            match world.random.below(takings) {
                0..=2 => world.take_segment(),
                3 => world.give_up(),
                4 => world.restart(),
                5 => {
                    let at = world.random.below(world.known.len() as u64) as usize;
                    if let Some(known) = world.known.get(at).copied() {
                        let place = world.open;
                        world.enter(Known { place, ..known });
                    }
                }
                _ => world.write_chapter(),
            }
            if world.random.chance(0.1) {
                world.check();
            }
        }
        world.check();
    }
}

/// Rows that are in no chapter yet are found like chapters; a reader keeps them as they were.
#[test]
fn rows_in_memory_are_found_and_readers_keep_what_they_have() {
    let mut world = World::new(Seed::new(31));
    let segment = world.index.segment_of(world.open).unwrap();
    let row = |number: u32| BlockRow {
        number,
        place: Place {
            segment,
            generation: world.open,
            offset: 4096,
            len: 512,
        },
        head_len: 128,
        first: UnixMicros(i64::from(number) * 10),
        end: UnixMicros(i64::from(number) * 10 + 12),
        head_crc: 0,
        table: Bytes::new(),
    };
    let run = run(0, 0);
    world.index.add_block(&run, row(0));
    let range = TimeRange {
        start: UnixMicros(0),
        end: UnixMicros(1),
    };
    let before = world.index.pieces(stream(0), range);
    world.index.add_block(&run, row(1));
    assert_eq!((before.len(), before[0].count), (1, 1));
    let after = world.index.pieces(stream(0), range);
    assert_eq!((after[0].count, after[0].end), (2, UnixMicros(22)));
    let bounds = Some((UnixMicros(0), UnixMicros(22)));
    assert_eq!(world.index.bounds(stream(0)), bounds);
    world.index.end_run(run.id, None);
    world.index.add_block(&run, row(7));
    let window = world.index.window(stream(0), range);
    let key = after[0].key();
    assert_eq!((window.from, window.to), (Some(key), Some(key)));
    let around = world.index.pieces_around(stream(0), (key, key));
    assert_eq!(around.len(), 2);
}
