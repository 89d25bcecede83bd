//! When the ring is expected to come to each life of a segment, from how fast it has taken segments lately. Pure, and an estimate: cameras
//! that are added, removed or set to another bit rate change it.
//!
//! The pace is the mean time from one taking to the next over the newest day of takings (cameras send less at night), or over the newest
//! two where they lie further apart. A segment that takes longer than that to fill slows the pace down, so that the estimate moves away
//! when recording stops. Segments never taken are taken first.

use crate::{
    base::{Micros, UnixMicros},
    format::place::Generation,
    store::ring::SegmentLife,
};

/// How far back the pace is measured: a day, with its night.
const WINDOW: Micros = Micros::from_secs(86_400);

/// The estimate changes once in so long, so that a client who asks again is told the same.
const STEP: Micros = Micros::from_secs(60);

/// What is expected of one volume's ring.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// The lives in the ring, oldest first, with one entry for each segment never taken.
    lives: Vec<Generation>,
    /// When the next segment is taken.
    next: UnixMicros,
    pace: Micros,
}

impl Forecast {
    /// From the lives of all segments and when each began. `None` when too little was recorded to tell: fewer than two takings.
    pub fn new(lives: &[SegmentLife], taken_us: &[i64], now: UnixMicros) -> Option<Self> {
        let now = next_step(now);
        let in_ring = lives
            .iter()
            .zip(taken_us)
            .filter(|(life, _)| !life.quarantined);
        let mut ring: Vec<(Generation, UnixMicros)> = in_ring
            .map(|(life, taken)| (life.generation, UnixMicros(*taken)))
            .collect();
        // The ring lies in memory as one or two rising stretches, which this sort takes in one pass.
        ring.sort();
        let mut takings = ring
            .iter()
            .rev()
            .take_while(|(generation, taken)| *generation != Generation::NONE && taken.0 > 0)
            .map(|(_, taken)| *taken);
        let newest = takings.next()?;
        let (mut count, mut first) = (0, newest);
        for taken in takings {
            if count > 0 && newest.since(taken) > WINDOW {
                break;
            }
            (count, first) = (count + 1, taken);
        }
        // After a step of the clock the takings say nothing.
        if count == 0 || first >= newest || newest > now {
            return None;
        }
        let finished = newest.since(first).0 / count;
        let with_unfinished = now.since(first).0 / (count + 1);
        let pace = Micros(finished.max(with_unfinished).max(1));
        Some(Self {
            lives: ring.into_iter().map(|(generation, _)| generation).collect(),
            next: (newest + pace).max(now),
            pace,
        })
    }

    /// When the ring is expected to take the segment in its life `generation`: what it holds is kept until then.
    pub fn reaches(&self, generation: Generation) -> UnixMicros {
        let before = self.lives.partition_point(|life| *life < generation);
        self.next + Micros(self.pace.0.saturating_mul(before as i64))
    }
}

/// The end of the step that `now` is in.
fn next_step(now: UnixMicros) -> UnixMicros {
    UnixMicros(now.0.saturating_add(STEP.0 - 1).div_euclid(STEP.0) * STEP.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    /// Lives 1, 2, 3, … taken at these hours, and `free` segments never taken.
    fn ring(hours: &[i64], free: usize) -> (Vec<SegmentLife>, Vec<i64>) {
        let life = |number| SegmentLife {
            generation: Generation(number),
            quarantined: false,
        };
        let mut lives: Vec<SegmentLife> = (1..=hours.len() as u64).map(life).collect();
        lives.resize(hours.len() + free, life(0));
        let mut taken: Vec<i64> = hours.iter().map(|hour| hour * HOUR).collect();
        taken.resize(lives.len(), 0);
        (lives, taken)
    }

    fn hours(ring: &(Vec<SegmentLife>, Vec<i64>), now: i64) -> Option<Vec<i64>> {
        let forecast = Forecast::new(&ring.0, &ring.1, UnixMicros(now * HOUR))?;
        let taken = ring.0.iter().filter(|life| life.generation.0 > 0);
        Some(
            taken
                .map(|life| forecast.reaches(life.generation).0 / HOUR)
                .collect(),
        )
    }

    #[test]
    fn a_full_ring_takes_its_oldest_segment_next() {
        let ring = ring(&[100, 102, 104, 106], 0);
        assert_eq!(hours(&ring, 107), Some(vec![108, 110, 112, 114]));
    }

    #[test]
    fn segments_never_taken_go_first() {
        let ring = ring(&[100, 102], 5);
        assert_eq!(hours(&ring, 102), Some(vec![114, 116]));
    }

    #[test]
    fn a_segment_given_up_goes_with_its_neighbours() {
        let mut ring = ring(&[100, 102, 104, 106], 0);
        ring.0[1].quarantined = true;
        assert_eq!(hours(&ring, 106), Some(vec![109, 112, 112, 115]));
    }

    #[test]
    fn the_pace_is_that_of_the_last_day() {
        let mut takings: Vec<i64> = (0..10).map(|at| at * 20).collect();
        takings.extend((0..=24).map(|at| 1000 + at));
        let told = hours(&ring(&takings, 0), 1024).unwrap();
        assert_eq!((told[0], told[1]), (1025, 1026));
    }

    #[test]
    fn takings_days_apart_are_still_a_pace() {
        assert_eq!(hours(&ring(&[1000, 1100], 0), 1100), Some(vec![1200, 1300]));
    }

    #[test]
    fn when_recording_stops_the_estimate_moves_away() {
        let ring = ring(&[100, 102, 104], 0);
        let at = |now| hours(&ring, now).unwrap()[1];
        assert_eq!(at(105), 108);
        assert!(at(200) > 230, "{}", at(200));
    }

    #[test]
    fn nothing_is_told_without_two_takings_or_after_a_step_of_the_clock() {
        assert_eq!(hours(&ring(&[], 4), 10), None);
        assert_eq!(hours(&ring(&[100], 3), 110), None);
        assert_eq!(hours(&ring(&[100, 90], 0), 110), None);
        assert_eq!(hours(&ring(&[100, 102], 0), 50), None);
    }
}
