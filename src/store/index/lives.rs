//! Which life each segment is in, and so what is dead: I2 is kept here.

use super::{Index, OpenChapter};
use crate::{
    base::UnixMicros,
    format::{
        index::{ChapterRecord, Record, SegmentRecord},
        place::{Generation, Place, SegmentNumber},
    },
    store::{forecast::Forecast, ring::SegmentLife},
};
use std::{collections::BTreeSet, sync::Arc};

/// The lives of segments, to ask what is left.
#[derive(Clone, Copy)]
struct Lives<'a> {
    lives: &'a [SegmentLife],
    ring_start: Generation,
}

impl Lives<'_> {
    fn hold(&self, segment: SegmentNumber, generation: Generation) -> bool {
        self.lives.get(segment as usize).is_some_and(|life| {
            life.generation == generation && (!life.quarantined || generation >= self.ring_start)
        })
    }

    fn holds(&self, place: &Place) -> bool {
        self.hold(place.segment, place.generation)
    }

    /// Whether all of the rows are left: the ring takes generations in order, so it is enough to look at the oldest.
    fn hold_all(&self, open: &OpenChapter) -> bool {
        let oldest = open.oldest();
        let mut rows = open.rows.iter();
        rows.any(|row| row.place.generation == oldest && self.holds(&row.place))
    }
}

/// The oldest life that the ring will take: everything older is gone, but what lies in segments that were given up. Never falls: the
/// last segment to be given up is the newest.
fn ring_start(lives: &[SegmentLife]) -> Generation {
    let generations = |quarantined| {
        let some = lives
            .iter()
            .filter(move |life| life.quarantined == quarantined);
        some.map(|life| life.generation)
    };
    let oldest = generations(false).min();
    oldest.or(generations(true).max()).unwrap_or_default()
}

impl Index {
    /// The lives of all segments.
    pub fn lives(&self) -> &[SegmentLife] {
        &self.lives
    }

    /// When the ring is expected to come to each life, as it looks at `now`.
    pub fn forecast(&self, now: UnixMicros) -> Option<Forecast> {
        Forecast::new(&self.lives, &self.taken_us, now)
    }

    /// When a segment was last taken, and with it what it held before.
    pub fn last_taken(&self) -> Option<UnixMicros> {
        let taken = self.taken_us.iter().copied().max();
        taken.filter(|taken| *taken > 0).map(UnixMicros)
    }

    /// Enters the life of a segment in memory: everything of its former life is dead from here on (I2). `life_is_durable` follows.
    pub fn set_life(&mut self, number: SegmentNumber, life: SegmentLife, taken_us: i64) {
        self.set_lives([(number, life, taken_us)]);
    }

    /// Enters the lives of several segments.
    pub fn set_lives(
        &mut self,
        lives: impl IntoIterator<Item = (SegmentNumber, SegmentLife, i64)>,
    ) {
        for (number, life, taken_us) in lives {
            let at = number as usize;
            let before = std::mem::replace(&mut self.lives[at], life);
            self.taken_us[at] = taken_us;
            self.by_generation.remove(&before.generation);
            self.by_generation.insert(life.generation, number);
            if before.generation != life.generation {
                self.renewed.push(number);
            }
        }
        self.survey();
    }

    /// Leaves segments out of the ring that were abandoned (W8).
    pub(crate) fn give_up(&mut self, abandoned: &[SegmentNumber]) {
        for number in abandoned {
            self.lives[*number as usize].quarantined = true;
            self.store_life(*number);
        }
        self.survey();
    }

    /// Where the ring begins, what was left out of it, and what is dead with that.
    pub(super) fn survey(&mut self) {
        self.ring_start = ring_start(&self.lives);
        let numbered = (0..).zip(&self.lives);
        self.given_up = numbered
            .filter(|(_, life)| life.quarantined)
            .map(|(number, _)| number)
            .collect();
        let dead = self.renewed.iter().chain(self.passed()).copied();
        let dead: BTreeSet<SegmentNumber> = dead.collect();
        let records = dead
            .iter()
            .map(|number| self.chapter_counts[*number as usize] as usize)
            .sum::<usize>();
        if records > self.dying.len() {
            self.bury(records - self.dying.len());
        }
    }

    /// Segments that were given up and that the ring has passed.
    fn passed(&self) -> impl Iterator<Item = &SegmentNumber> {
        self.given_up.iter().filter(|number| {
            let life = self.lives[**number as usize];
            !self.is_live(**number, life.generation)
        })
    }

    /// A segment's life is durable in its header: the records of its former life are free again, and its own is written. Not earlier: a
    /// crash in between leaves the former life, which the file must still know.
    pub fn life_is_durable(&mut self, number: SegmentNumber) {
        for renewed in std::mem::take(&mut self.renewed) {
            self.chapter_counts[renewed as usize] = 0;
        }
        let passed: Vec<SegmentNumber> = self.passed().copied().collect();
        for passed in passed {
            if std::mem::take(&mut self.chapter_counts[passed as usize]) > 0 {
                self.store_life(passed);
            }
        }
        for position in std::mem::take(&mut self.dying) {
            self.free_position(position);
        }
        self.prune();
        self.store_life(number);
    }

    /// Takes `count` chapters that died out of the lists. They are the first of their streams, unless the wall clock was set back or a
    /// segment was given up.
    fn bury(&mut self, count: usize) {
        let mut streams = std::mem::take(&mut self.streams);
        let wanted = self.dying.len() + count;
        let mut dying = std::mem::take(&mut self.dying);
        let is_dead = |position| {
            let record = self.chapter(position);
            record.is_none_or(|record| !self.is_live_chapter(&record))
        };
        for everywhere in [false, true] {
            for stream in streams.values_mut() {
                let read = |at| self.entry(at);
                dying.extend(stream.chapters.take(everywhere, &is_dead, &read));
            }
            if dying.len() >= wanted {
                break;
            }
        }
        (self.streams, self.dying) = (streams, dying);
    }

    /// Forgets the unlisted rows that the ring took: no chapter is written for what is gone.
    fn prune(&mut self) {
        let lives = Lives {
            lives: &self.lives,
            ring_start: self.ring_start,
        };
        for stream in self.streams.values_mut() {
            // One that is being written already is known by its first row, so it stays as it is or goes as a whole.
            stream
                .closing
                .retain(|closing| closing.rows.iter().any(|row| lives.holds(&row.place)));
            if let Some(open) = &mut stream.open
                && !lives.hold_all(open)
            {
                Arc::make_mut(open).retain(|row| lives.holds(&row.place));
            }
            stream.open.take_if(|open| open.rows.is_empty());
        }
    }

    pub(super) fn free_position(&mut self, position: u32) {
        let range = self.layout.chapter(position);
        self.memory.bytes_mut()[range].fill(0);
        self.free.insert(position);
    }

    /// Writes the record of a segment whose life is durable in its header.
    pub(super) fn store_life(&mut self, number: SegmentNumber) {
        let at = number as usize;
        let life = self.lives[at];
        let record = SegmentRecord::new(
            life.generation,
            self.taken_us[at],
            self.chapter_counts[at],
            life.quarantined,
        );
        let range = self.layout.segment(number);
        record.store(
            &self.volume,
            number,
            &[],
            &mut self.memory.bytes_mut()[range],
        );
    }

    fn is_live_chapter(&self, record: &ChapterRecord) -> bool {
        self.live_segment_of(Generation(record.generation.get()))
            .is_some()
    }

    /// The segment in its life `generation`, unless the ring has passed it.
    pub(super) fn live_segment_of(&self, generation: Generation) -> Option<SegmentNumber> {
        self.segment_of(generation)
            .filter(|segment| self.is_live(*segment, generation))
    }

    /// Whether what was written to `segment` in its life `generation` is still there (I2). A segment that failed is not taken again; what
    /// it holds goes when the ring passes it, as it would have otherwise.
    pub fn is_live(&self, segment: SegmentNumber, generation: Generation) -> bool {
        let lives = Lives {
            lives: &self.lives,
            ring_start: self.ring_start,
        };
        lives.hold(segment, generation)
    }

    /// The segment that is in its life `generation`.
    pub fn segment_of(&self, generation: Generation) -> Option<SegmentNumber> {
        self.by_generation.get(&generation).copied()
    }
}
