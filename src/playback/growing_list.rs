//! The list of a range whose end is to come: its parts so far. Pure.
//!
//! Kept while the server runs and somebody asks: (G1) a part that was listed stays, unless the ring takes it, and nothing comes
//! before it or between; (G2) a part has one number for ever; (G3) the target duration stays (RFC 8216 §6.2.1), and a longer part is left
//! out, until the range is one of the past.
//!
//! An `EVENT` list may not lose a part (§4.3.3.5). So a range is one only where the ring is not expected to reach its first part before
//! it ends; otherwise its list has no type from the beginning on, and loses parts from its front, counted by its media sequence
//! (§6.2.2). The forecast may fail, when cameras send more than before: then the list goes on as one without a type. Players read type
//! and numbers anew with each state, so they go on playing.
//!
//! After a restart, numbers are those of the grid's cells and of the clock: the same as before while the first part is the same, and
//! otherwise as with live lists. The target duration is then that of the longest part so far, and nothing that is there is left out.

use super::{
    hls::{ListKind, Numbers, lasting_target, seconds},
    parts::Part,
};
use crate::base::UnixMicros;
use std::collections::VecDeque;

/// So many parts may go between two states of a list and are still counted.
const COUNTED_MAX: usize = 1024;
/// Least target duration. Players that begin at the end of the list hold back three of them.
const TARGET_LEAST: u32 = 10;

/// A name of a part.
type Name = (UnixMicros, UnixMicros);

/// What is remembered of a list that grows.
#[derive(Debug, Default)]
pub struct GrowingList {
    /// The first parts, with the discontinuities up to each.
    first: VecDeque<(Name, u64)>,
    sequence: u64,
    target: u32,
    loses: bool,
    /// The last part of a state that was not the end.
    said: Option<Name>,
}

/// A state of it.
#[derive(Debug)]
pub struct Grown {
    /// Its parts.
    pub parts: Vec<Part>,
    /// Its kind.
    pub kind: ListKind,
    /// Its target duration in seconds.
    pub target: u32,
    /// Whether its last part may be told with its own end (`MediaList::ends_itself`): what was said of a part stays.
    pub ends_itself: bool,
}

/// What is known of the range besides its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeState {
    /// Whether no part will be added.
    pub ended: bool,
    /// Whether the ring is expected to leave the first part until the range has ended.
    pub kept: bool,
}

impl GrowingList {
    /// Whether a part was listed.
    pub fn has_begun(&self) -> bool {
        self.target > 0
    }

    /// The next state, from all parts of the range that are there, in order.
    pub fn update(&mut self, found: Vec<Part>, state: RangeState) -> Grown {
        if !self.has_begun() && !found.is_empty() {
            self.target = lasting_target(&found, TARGET_LEAST);
            self.loses = !state.kept;
        }
        let parts = self.fitting(found);
        if let Some(first) = parts.first() {
            self.begin_with(first);
            self.remember(&parts);
        }
        let numbers = Numbers {
            sequence: self.sequence,
            discontinuities: self.first.front().map_or(0, |(_, count)| *count),
        };
        let kind = match (self.loses, state.ended) {
            (false, false) => ListKind::Growing(numbers),
            (false, true) => ListKind::Grown(numbers),
            (true, false) => ListKind::Sliding(numbers),
            (true, true) => ListKind::Slid(numbers),
        };
        let last = parts.last().map(|part| (part.run, part.start));
        if !state.ended {
            self.said = self.said.max(last);
        }
        Grown {
            parts,
            kind,
            target: self.target.max(1),
            ends_itself: state.ended && last > self.said,
        }
    }

    /// Without what is too long, and without what others have seen gone.
    fn fitting(&self, found: Vec<Part>) -> Vec<Part> {
        let first = self.first.front().map(|(name, _)| *name);
        let mut parts = Vec::with_capacity(found.len());
        let mut left_out = false;
        for mut part in found {
            if Some((part.run, part.start)) < first {
                continue;
            }
            if seconds(&part) > self.target {
                left_out = true;
                continue;
            }
            part.follows &= !std::mem::take(&mut left_out);
            parts.push(part);
        }
        parts
    }

    /// Counts the parts before `first` that are gone.
    fn begin_with(&mut self, first: &Part) {
        let name = (first.run, first.start);
        let gone = self.first.iter().position(|(known, _)| *known == name);
        let clock = Numbers::by_clock(first);
        let (sequence, discontinuities) = match (gone, self.first.back()) {
            (Some(gone), _) => (self.sequence + gone as u64, self.first[gone].1),
            (None, None) => (clock.sequence, clock.discontinuities),
            // More than are counted: numbers go on behind all that were listed.
            (None, Some((_, last))) => {
                let listed = self.sequence + self.first.len() as u64;
                (
                    clock.sequence.max(listed),
                    clock.discontinuities.max(last + 1),
                )
            }
        };
        self.loses |= gone != Some(0) && !self.first.is_empty();
        self.sequence = sequence;
        match gone {
            Some(gone) => drop(self.first.drain(..gone)),
            None => self.first = VecDeque::from([(name, discontinuities)]),
        }
    }

    /// A look that others overtook adds nothing.
    fn remember(&mut self, parts: &[Part]) {
        for part in parts {
            let name = (part.run, part.start);
            let Some((newest, discontinuities)) = self.first.back().copied() else {
                return;
            };
            if self.first.len() < COUNTED_MAX && name > newest {
                let discontinuities = discontinuities + u64::from(!part.follows);
                self.first.push_back((name, discontinuities));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{Micros, seed::Seed},
        playback::{
            fragment_tracks::{FragmentTracks, Receiver, tests::run},
            hls::{MediaList, Show},
        },
    };
    use std::{collections::BTreeMap, sync::Arc};

    const SECOND: i64 = 1_000_000;
    const BEGIN: i64 = 1_795_636_490_000_000;
    const KEPT: RangeState = RangeState {
        ended: false,
        kept: true,
    };

    fn text(state: &Grown) -> String {
        let list = MediaList {
            kind: state.kind,
            show: Show::Parts,
            parts: &state.parts,
            from: UnixMicros(BEGIN + SECOND),
            target: state.target,
            ends_itself: state.ends_itself,
            query: "",
        };
        list.text()
    }

    fn sequence(state: &Grown) -> u64 {
        let text = text(state);
        let (_, behind) = text.split_once("#EXT-X-MEDIA-SEQUENCE:").unwrap();
        behind.lines().next().unwrap().parse().unwrap()
    }

    /// Parts one behind the other, with long ones and gaps by chance.
    fn parts(seed: &mut Seed, count: usize) -> Vec<Part> {
        let tracks = FragmentTracks::new(&run(), UnixMicros(BEGIN), Receiver::Player);
        let tracks = Arc::new(tracks.unwrap());
        let (mut run, mut end) = (BEGIN, BEGIN);
        let mut parts = Vec::new();
        while parts.len() < count {
            let length = match seed.below(20) {
                0 => seed.between(2, 60) as i64,
                1 => {
                    end += seed.between(3, 600) as i64 * SECOND;
                    run = end;
                    2
                }
                _ => 2,
            };
            parts.push(Part::sample(&tracks, run, end, end + length * SECOND));
            end += length * SECOND;
        }
        parts
    }

    fn fitting_parts(seed: &mut Seed, count: usize) -> Vec<Part> {
        let mut parts = parts(seed, count);
        parts.retain(|part| seconds(part) <= TARGET_LEAST);
        parts
    }

    /// Goal: G1 to G3 hold for all clients together. Method: parts come by chance, looks at them come back in any order; of half of the
    /// lists the ring takes parts.
    #[test]
    fn a_list_that_grows_keeps_what_it_said() {
        for number in 0..150 {
            println!("SEED={number}");
            let mut seed = Seed::new(number);
            let all = parts(&mut seed, 80);
            let rings = seed.chance(0.5);
            let state = RangeState {
                kept: seed.chance(0.7),
                ..KEPT
            };
            let mut list = GrowingList::default();
            let (mut there, mut gone) = (1, 0);
            let mut looks: Vec<Vec<Part>> = Vec::new();
            let (mut longest, mut last) = (String::new(), 0);
            let mut numbers = BTreeMap::new();
            let mut target = None;
            while there < all.len() {
                match seed.below(8) {
                    0..=2 => there += 1,
                    3 if rings => gone = seed.between(gone, there as u64),
                    4 | 5 => looks.push(all[gone as usize..there].to_vec()),
                    _ if looks.is_empty() => {}
                    _ => {
                        let look = looks.swap_remove(seed.below(looks.len() as u64) as usize);
                        let grown = list.update(look, state);
                        let text = text(&grown);
                        for (number, part) in (sequence(&grown)..).zip(&grown.parts) {
                            let told = numbers.entry(part.start).or_insert(number);
                            assert_eq!(*told, number, "G2");
                        }
                        assert!(sequence(&grown) >= last, "numbers rise");
                        last = sequence(&grown);
                        let empty = grown.parts.is_empty();
                        if matches!(grown.kind, ListKind::Growing(_)) && !empty {
                            let (long, short) = match text.len() > longest.len() {
                                true => (&text, &longest),
                                false => (&longest, &text),
                            };
                            assert!(long.starts_with(short), "G1: {short}\n{long}");
                            longest = long.clone();
                        }
                        if list.has_begun() {
                            assert_eq!(*target.get_or_insert(grown.target), grown.target, "G3");
                        }
                        let typed = text.contains("TYPE:EVENT");
                        assert!(
                            empty || !typed || state.kept,
                            "what will lose parts is no EVENT"
                        );
                    }
                }
            }
        }
    }

    /// A forecast that failed: the list has no type from then on, and its numbers tell what is gone.
    #[test]
    fn a_list_that_loses_parts_against_all_forecasts_is_no_event_any_more() {
        let all = fitting_parts(&mut Seed::new(7), 50);
        let mut list = GrowingList::default();
        let first = list.update(all[..20].to_vec(), KEPT);
        assert!(text(&first).contains("TYPE:EVENT"));
        assert!(text(&first).contains("EXT-X-START"));
        let second = list.update(all[3..25].to_vec(), KEPT);
        assert!(!text(&second).contains("TYPE:"));
        assert!(!text(&second).contains("EXT-X-START"));
        assert_eq!(sequence(&second), sequence(&first) + 3);
        let ended = list.update(
            all[3..30].to_vec(),
            RangeState {
                ended: true,
                ..KEPT
            },
        );
        assert!(text(&ended).starts_with(&text(&second)));
        assert!(text(&ended).ends_with("#EXT-X-ENDLIST\n"));
    }

    /// A list lasts as long as what it shows, but what it said of a part stays.
    #[test]
    fn the_last_part_has_its_own_end_unless_another_was_told() {
        let mut all = fitting_parts(&mut Seed::new(5), 10);
        let last = all.last_mut().unwrap();
        last.own_end = last.end - Micros(120_000);
        let own = format!("#EXTINF:{:.6},", last.duration().as_secs_f64() - 0.12);
        let whole = format!("#EXTINF:{:.6},", last.duration().as_secs_f64());
        let ended = RangeState {
            ended: true,
            ..KEPT
        };
        let tells = |grown: &Grown, length: &str| {
            let text = text(grown);
            let mut lengths = text.lines().filter(|line| line.starts_with("#EXTINF"));
            lengths.next_back() == Some(length)
        };
        let mut list = GrowingList::default();
        list.update(all[..9].to_vec(), KEPT);
        assert!(tells(&list.update(all.clone(), ended), &own));
        let mut list = GrowingList::default();
        assert!(tells(&list.update(all.clone(), KEPT), &whole));
        assert!(tells(&list.update(all.clone(), ended), &whole));
    }

    /// After a restart of the server the list is what it was, to the byte, while its first part is there.
    #[test]
    fn a_restart_changes_no_list_that_begins_as_before() {
        let all = fitting_parts(&mut Seed::new(3), 100);
        let mut list = GrowingList::default();
        list.update(all[..10].to_vec(), KEPT);
        let before = list.update(all.clone(), KEPT);
        let after = GrowingList::default().update(all, KEPT);
        assert_eq!(text(&before), text(&after));
    }
}
