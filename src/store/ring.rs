//! The ring: which life each segment is in, and which segment is taken next. Pure policy: performs nothing.
//!
//! The oldest life goes first, so the order of generations is the order of time; a quarantined segment is left out until an
//! administrator replaces it. Generations rise and are never used twice (`format::place::Generation`).

use crate::format::place::{Generation, SegmentNumber};

/// What is known of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentLife {
    /// Its life; `Generation::NONE` when never taken.
    pub generation: Generation,
    /// Whether a write or sync to it failed: it is neither read as new data nor taken again.
    pub quarantined: bool,
}

/// The segments of one volume and the session that writes them.
#[derive(Clone, Debug)]
pub struct Ring {
    lives: Vec<SegmentLife>,
    session: u64,
    counter: u32,
}

impl Ring {
    /// The ring of a volume opened in `session`.
    pub fn new(lives: Vec<SegmentLife>, session: u64) -> Self {
        assert!(
            lives
                .iter()
                .all(|life| life.generation < Generation::of_session(session, 0)),
            "W1: sessions rise"
        );
        Self {
            lives,
            session,
            counter: 0,
        }
    }

    /// The life of segment `number`.
    pub fn life(&self, number: SegmentNumber) -> SegmentLife {
        self.lives[number as usize]
    }

    /// All segments in order of number.
    pub fn lives(&self) -> &[SegmentLife] {
        &self.lives
    }

    /// The segment to take next: the one in its oldest life. `None` when every segment is quarantined or `open`.
    pub fn next(&self, open: Option<SegmentNumber>) -> Option<SegmentNumber> {
        order(&self.lives)
            .find(|number| Some(*number) != open && !self.lives[*number as usize].quarantined)
    }

    /// Takes `number` for a new life and gives its generation.
    pub fn take(&mut self, number: SegmentNumber) -> Generation {
        let before = self.lives[number as usize];
        assert!(!before.quarantined, "a quarantined segment is not taken");
        self.counter = self
            .counter
            .checked_add(1)
            .expect("2^32 segments in one session are centuries");
        let generation = Generation::of_session(self.session, self.counter);
        assert!(
            self.lives.iter().all(|life| life.generation < generation),
            "L3: a generation is newer than all"
        );
        self.lives[number as usize].generation = generation;
        generation
    }

    /// Leaves `number` out from now on.
    pub fn quarantine(&mut self, number: SegmentNumber) {
        self.lives[number as usize].quarantined = true;
    }

    /// How many segments are left out.
    pub fn quarantined(&self) -> usize {
        self.lives.iter().filter(|life| life.quarantined).count()
    }
}

/// The segments from the oldest life to the newest.
pub fn order(lives: &[SegmentLife]) -> impl Iterator<Item = SegmentNumber> + use<> {
    let mut numbers: Vec<SegmentNumber> = (0..lives.len() as u32).collect();
    numbers.sort_by_key(|number| (lives[*number as usize].generation, *number));
    numbers.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the oldest goes first on every lap, and no generation comes twice. Method: two laps, a quarantine, a reopening.
    #[test]
    fn the_oldest_life_is_taken_first() {
        let empty = SegmentLife {
            generation: Generation::NONE,
            quarantined: false,
        };
        let mut ring = Ring::new(vec![empty; 4], 1);
        let mut taken = Vec::new();
        let mut open = None;
        for _ in 0..8 {
            let next = ring.next(open).unwrap();
            ring.take(next);
            open = Some(next);
            taken.push(next);
        }
        assert_eq!(taken, [0, 1, 2, 3, 0, 1, 2, 3]);
        ring.quarantine(0);
        assert_eq!(ring.next(Some(3)), Some(1));
        let newest = ring.life(3).generation;
        let mut reopened = Ring::new(ring.lives().to_vec(), 2);
        assert_eq!(reopened.next(None), Some(1));
        assert!(reopened.take(1) > newest);
    }

    #[test]
    fn a_ring_of_quarantined_segments_has_no_next() {
        let mut ring = Ring::new(
            vec![
                SegmentLife {
                    generation: Generation::NONE,
                    quarantined: false
                };
                2
            ],
            1,
        );
        ring.quarantine(1);
        assert_eq!(ring.next(Some(0)), None);
    }
}
