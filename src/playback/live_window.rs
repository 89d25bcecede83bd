//! The newest parts of a stream, numbered: what a live list is made of. Pure: who asks looks at the recordings, as `Look` says.
//!
//! Clients ask at once, so looks come back in any order. Each has its turn, given when it began; one that comes back behind a later one
//! adds nothing. So what a client is shown never goes back.
//!
//! Kept while the server runs: (W1) a part has one number for ever, and the next part the next (RFC 8216 §6.2.2); (W2) neither number ever
//! falls; (W3) a part that the ring has taken is not listed; (W4) the target duration stays (§6.2.1), and a longer part is left out.
//!
//! Nothing of this is written down. So after a restart the first number is the cell of the grid that the first part is in. It is
//! the number from before where each cell since had its part, that is with a key frame at least every two seconds and no gap; otherwise
//! it is higher, since a part takes a cell or more, and numbers jump forward once. They cannot be equal then: who numbers without a
//! memory cannot know how many parts came before. They could fall only where more runs than grid lines went by (two runs may begin in
//! one cell), or the clock was set back. Discontinuities begin with the tens of minutes since 2026: over a restart they do not fall while
//! a camera has less than one in ten minutes on average.
//!
//! Two bounds of W1 and W4, at both of which the list begins anew with higher numbers: nobody asked for `FORGOTTEN`, or the clock was set
//! back. And where two parts in a row are too long, the camera sends key frames otherwise than before, so the list would stay
//! empty for ever: it drops what it had and goes on with these and their target duration; numbers go on.

use super::{
    hls::{ListKind, Numbers, lasting_target, seconds},
    parts::{PART_SPAN_MAX, Part},
};
use crate::base::{Micros, TimeRange, UnixMicros};
use std::collections::VecDeque;

/// Fewest parts in a live list, and how long they are shown together at least: a player holds back three target durations.
const LIVE_PARTS: usize = 6;
const LIVE_SPAN: Micros = Micros::from_secs(30);
const LIVE_TARGETS: u32 = 3;

/// A new list looks back so far: for the distance of key frames, too.
const LOOK_BACK: Micros = Micros::from_secs(600);
/// So far ahead the times of a camera may be.
const AHEAD: Micros = Micros::from_secs(60);
/// Whom nobody asked for so long begins anew.
const FORGOTTEN: Micros = Micros::from_secs(3600);
/// Parts so young may be missing in a look that met them on their way to a volume.
const SETTLED: Micros = Micros::from_secs(60);
/// Target duration where key frames are frequent.
const TARGET_LEAST: u32 = 4;

/// A look at the recordings that a list is to be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    turn: u64,
    began: UnixMicros,
    /// Whose parts are to be found.
    pub range: TimeRange,
}

/// A part in its list.
#[derive(Clone, Debug)]
struct Numbered {
    /// Discontinuities up to it.
    discontinuities: u64,
    part: Part,
}

/// What a live list is made of.
#[derive(Debug, Default)]
pub struct LiveWindow {
    parts: VecDeque<Numbered>,
    /// Number of the first part, or of the next where there is none.
    sequence: u64,
    /// Up to the newest part.
    discontinuities: u64,
    target: u32,
    /// The newest part that was seen, listed or not.
    newest: Option<(UnixMicros, UnixMicros)>,
    /// Whether the next part is the first of all.
    fresh: bool,
    /// The newest part, where it is too long.
    too_long: Option<Part>,
    /// When the newest look that was taken began.
    looked: UnixMicros,
    /// Turns given, and the last that was taken.
    turns: u64,
    taken: u64,
}

fn name(part: &Part) -> (UnixMicros, UnixMicros) {
    (part.run, part.start)
}

impl LiveWindow {
    /// What is to be looked at for a list of `now`.
    pub fn look(&mut self, now: UnixMicros) -> Look {
        self.turns += 1;
        let start = match self.parts.front() {
            _ if self.is_new(now) => now - LOOK_BACK,
            Some(first) => first.part.start.min(now - SETTLED),
            // A part that was open then may have ended since.
            None => self.looked.min(now) - PART_SPAN_MAX,
        };
        Look {
            turn: self.turns,
            began: now,
            range: TimeRange {
                start,
                end: now + AHEAD,
            },
        }
    }

    /// Whether the list begins anew.
    fn is_new(&self, now: UnixMicros) -> bool {
        let set_back = self
            .newest
            .is_some_and(|(_, start)| start > now + AHEAD + AHEAD);
        self.newest.is_none() || now.since(self.looked) > FORGOTTEN || set_back
    }

    /// Takes the parts that `look` found, in order.
    pub fn update(&mut self, look: Look, found: Vec<Part>) {
        if look.turn <= self.taken {
            return;
        }
        self.taken = look.turn;
        if self.is_new(look.began) {
            self.begin(&found);
        }
        self.looked = look.began;
        self.drop_taken(look, &found);
        let newer: Vec<Part> = found
            .into_iter()
            .filter(|part| Some(name(part)) > self.newest)
            .collect();
        for part in newer {
            self.add(part);
        }
        self.shorten();
    }

    /// A new list of `found`, behind everything listed before.
    fn begin(&mut self, found: &[Part]) {
        self.sequence += self.parts.len() as u64;
        self.parts.clear();
        self.too_long = None;
        self.newest = None;
        self.fresh = true;
        self.target = lasting_target(found, TARGET_LEAST);
        let Some(first) = shown(found, self.target).first() else {
            return;
        };
        let before = Numbers {
            sequence: self.sequence,
            discontinuities: self.discontinuities + u64::from(self.sequence > 0),
        };
        let numbers = Numbers::by_clock(first).max(before);
        self.sequence = numbers.sequence;
        self.discontinuities = numbers.discontinuities;
        // What is before is not shown.
        let at = found.iter().position(|part| name(part) == name(first));
        let before = at.and_then(|at| found.get(at.checked_sub(1)?));
        self.newest = before.map(name);
    }

    /// W3: what lies in the range but was not found is gone, and what is before it is not shown without.
    fn drop_taken(&mut self, look: Look, found: &[Part]) {
        let gone = self.parts.iter().rposition(|Numbered { part, .. }| {
            let settled = part.end + SETTLED < look.began && part.start >= look.range.start;
            settled && !found.iter().any(|found| name(found) == name(part))
        });
        for _ in 0..gone.map_or(0, |last| last + 1) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        self.sequence += u64::from(self.parts.pop_front().is_some());
    }

    fn add(&mut self, mut part: Part) {
        self.newest = Some(name(&part));
        if seconds(&part) <= self.target {
            let left_out = self.too_long.take().is_some();
            part.follows &= !left_out && !self.parts.is_empty();
            self.push(part);
        } else if let Some(mut before) = self.too_long.take() {
            while !self.parts.is_empty() {
                self.drop_first();
            }
            before.follows = false;
            self.target = lasting_target(&[before.clone(), part.clone()], TARGET_LEAST);
            self.push(before);
            self.push(part);
        } else {
            self.too_long = Some(part);
        }
    }

    fn push(&mut self, part: Part) {
        let fresh = std::mem::take(&mut self.fresh);
        self.discontinuities += u64::from(!part.follows && !fresh);
        self.parts.push_back(Numbered {
            discontinuities: self.discontinuities,
            part,
        });
    }

    fn shorten(&mut self) {
        let parts = self.parts();
        let from = parts.len() - shown(&parts, self.target).len();
        for _ in 0..from {
            self.drop_first();
        }
    }

    /// The parts of the list.
    pub fn parts(&self) -> Vec<Part> {
        self.parts
            .iter()
            .map(|listed| listed.part.clone())
            .collect()
    }

    /// Their target duration in seconds.
    pub fn target(&self) -> u32 {
        self.target
    }

    /// The kind of the list, with its numbers.
    pub fn kind(&self) -> ListKind {
        let first = self.parts.front();
        ListKind::Live(Numbers {
            sequence: self.sequence,
            discontinuities: first.map_or(self.discontinuities, |first| first.discontinuities),
        })
    }
}

/// The newest of `parts`, as many as a live list shows.
fn shown(parts: &[Part], target: u32) -> &[Part] {
    let least = Micros::from_secs(i64::from(LIVE_TARGETS * target)).max(LIVE_SPAN);
    let mut span = Micros::ZERO;
    let mut from = parts.len();
    for part in parts.iter().rev() {
        if parts.len() - from >= LIVE_PARTS && span >= least {
            break;
        }
        span = span + part.duration();
        from -= 1;
    }
    &parts[from..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::seed::Seed,
        playback::{
            fragment_tracks::{FragmentTracks, Receiver, tests::run},
            parts::GRID,
        },
    };
    use std::{collections::BTreeMap, sync::Arc};

    const SECOND: i64 = 1_000_000;
    const BEGIN: i64 = 1_795_636_490_000_000;

    /// A stream as the recorder and the ring leave it.
    struct Recorded {
        tracks: Arc<FragmentTracks>,
        parts: Vec<Part>,
        gone: usize,
        run: i64,
        end: i64,
    }

    impl Recorded {
        fn new() -> Self {
            let tracks = FragmentTracks::new(&run(), UnixMicros(BEGIN), Receiver::Player);
            Self {
                tracks: Arc::new(tracks.unwrap()),
                parts: Vec::new(),
                gone: 0,
                run: BEGIN,
                end: BEGIN,
            }
        }

        fn grow(&mut self, length: i64) {
            let part = Part::sample(&self.tracks, self.run, self.end, self.end + length);
            self.parts.push(part);
            self.end += length;
        }

        fn gap(&mut self, length: i64) {
            self.end += length;
            self.run = self.end;
        }

        fn now(&self) -> UnixMicros {
            UnixMicros(self.end + SECOND)
        }

        fn found(&self, range: TimeRange) -> Vec<Part> {
            let there = self.parts[self.gone..].iter();
            there
                .filter(|part| part.start < range.end && part.end > range.start)
                .cloned()
                .collect()
        }
    }

    /// All that clients were told.
    #[derive(Default)]
    struct Told {
        last: Numbers,
        target: u32,
        names: Vec<(UnixMicros, UnixMicros)>,
        numbers: BTreeMap<(UnixMicros, UnixMicros), u64>,
        discontinuities: BTreeMap<(UnixMicros, UnixMicros), u64>,
        parts: BTreeMap<u64, (UnixMicros, UnixMicros)>,
    }

    impl Told {
        fn hear(&mut self, window: &LiveWindow) {
            let ListKind::Live(numbers) = window.kind() else {
                panic!("a live list is live");
            };
            assert!(numbers.sequence >= self.last.sequence, "W2");
            assert!(numbers.discontinuities >= self.last.discontinuities, "W2");
            let parts = window.parts();
            let names: Vec<_> = parts.iter().map(name).collect();
            if names.iter().any(|name| self.names.contains(name)) {
                assert_eq!(window.target(), self.target, "W4");
            }
            let mut discontinuities = numbers.discontinuities;
            for (number, part) in (numbers.sequence..).zip(&parts) {
                let counted = number > numbers.sequence && !part.follows;
                discontinuities += u64::from(counted);
                let name = name(part);
                assert_eq!(*self.numbers.entry(name).or_insert(number), number, "W1");
                assert_eq!(*self.parts.entry(number).or_insert(name), name, "W1");
                let known = self.discontinuities.entry(name);
                assert_eq!(*known.or_insert(discontinuities), discontinuities);
                assert!(seconds(part) <= window.target(), "W4");
            }
            self.last = numbers;
            self.target = window.target();
            self.names = names;
        }
    }

    fn ask(window: &mut LiveWindow, recorded: &Recorded) {
        let look = window.look(recorded.now());
        window.update(look, recorded.found(look.range));
    }

    /// A camera with a key frame every two seconds, its list, and what one was told who followed it.
    fn followed_for_a_minute() -> (Recorded, LiveWindow, Told) {
        let (mut recorded, mut window) = (Recorded::new(), LiveWindow::default());
        let mut told = Told::default();
        for _ in 0..30 {
            recorded.grow(2 * SECOND);
            ask(&mut window, &recorded);
            told.hear(&window);
        }
        (recorded, window, told)
    }

    fn sequence(window: &LiveWindow) -> u64 {
        let ListKind::Live(numbers) = window.kind() else {
            panic!("a live list is live");
        };
        numbers.sequence
    }

    /// Goal: W1 to W4 hold for all clients together. Method: a stream grows by chance, with gaps, long groups of pictures and a ring; up to
    /// eight clients look at it at a time, and their looks come back in any order.
    #[test]
    fn numbers_stay_whoever_asks_and_in_whatever_order() {
        for number in 0..300 {
            println!("SEED={number}");
            let mut seed = Seed::new(number);
            let mut recorded = Recorded::new();
            let mut window = LiveWindow::default();
            let mut told = Told::default();
            let mut looks: Vec<(Look, Vec<Part>)> = Vec::new();
            let usual = [2, 2, 4, 9][seed.below(4) as usize] * SECOND;
            for _ in 0..300 {
                match seed.below(40) {
                    0 => recorded.gap(seed.between(2, 300) as i64 * SECOND),
                    1 => recorded.grow(seed.between(2, 40) as i64 * SECOND),
                    2..=20 => recorded.grow(usual),
                    21 => {
                        let (least, most) = (recorded.gone as u64, recorded.parts.len() as u64);
                        recorded.gone = seed.between(least, most) as usize;
                    }
                    22..=30 if looks.len() < 8 => {
                        let look = window.look(recorded.now());
                        looks.push((look, recorded.found(look.range)));
                    }
                    _ if looks.is_empty() => {}
                    _ => {
                        let at = seed.below(looks.len() as u64) as usize;
                        let (look, found) = looks.swap_remove(at);
                        window.update(look, found);
                        told.hear(&window);
                    }
                }
            }
            assert!(told.numbers.len() > 10, "SEED={number}");
        }
    }

    /// A client that follows gets every part, with the next number each.
    #[test]
    fn who_follows_misses_nothing() {
        let mut recorded = Recorded::new();
        let mut window = LiveWindow::default();
        let mut told = Told::default();
        for step in 0..200 {
            recorded.grow(2 * SECOND);
            if step % 50 == 49 {
                recorded.gap(2000 * SECOND);
            }
            ask(&mut window, &recorded);
            told.hear(&window);
        }
        assert_eq!(told.numbers.len(), recorded.parts.len());
        let (first, last) = (told.parts.keys().next(), told.parts.keys().last());
        assert_eq!(last.unwrap() - first.unwrap() + 1, 200);
        assert_eq!(window.parts().len(), 15, "30 s");
    }

    /// A camera that is gone for long: what the ring takes goes from the list too, to the last part, and numbers go on when it is back.
    #[test]
    fn what_the_ring_has_taken_is_not_listed() {
        let (mut recorded, mut window, mut told) = followed_for_a_minute();
        for gone in 15..=30 {
            recorded.end += 1800 * SECOND;
            recorded.gone = gone;
            ask(&mut window, &recorded);
            told.hear(&window);
            let left: Vec<_> = recorded.parts[gone..].iter().map(name).collect();
            assert_eq!(told.names, left);
        }
        let next = sequence(&window);
        recorded.run = recorded.end;
        recorded.grow(2 * SECOND);
        ask(&mut window, &recorded);
        told.hear(&window);
        assert_eq!((sequence(&window), window.parts().len()), (next, 1));
    }

    /// What the module promises of a restart: with a key frame every two seconds and no gap nothing changes; otherwise numbers rise.
    #[test]
    fn a_restart_keeps_or_raises_the_numbers() {
        for number in 0..200 {
            println!("SEED={number}");
            let mut seed = Seed::new(number);
            let mut recorded = Recorded::new();
            let mut window = LiveWindow::default();
            let mut told = Told::default();
            let steady = seed.chance(0.5);
            for _ in 0..seed.between(20, 200) {
                let longer = if steady { 0 } else { seed.below(3) as i64 };
                recorded.grow(GRID.0 + longer * SECOND);
                if !steady && seed.chance(0.02) {
                    // Seldom enough for the clock to keep up with the discontinuities.
                    recorded.gap(seed.between(600, 2000) as i64 * SECOND);
                    recorded.grow(GRID.0);
                }
                ask(&mut window, &recorded);
                told.hear(&window);
                if seed.chance(0.05) {
                    window = LiveWindow::default();
                    told.discontinuities.clear();
                    if !steady {
                        told.numbers.clear();
                        told.parts.clear();
                        told.names.clear();
                    }
                }
            }
        }
    }

    /// Key frames come otherwise than before: one long part is left out, more make a list of their own.
    #[test]
    fn a_list_keeps_its_target_duration() {
        let (mut recorded, mut window, mut told) = followed_for_a_minute();
        assert_eq!(window.target(), 4);
        recorded.grow(12 * SECOND);
        recorded.grow(2 * SECOND);
        ask(&mut window, &recorded);
        told.hear(&window);
        let last = window.parts().pop().unwrap();
        assert_eq!((window.target(), last.follows), (4, false));
        let next = sequence(&window) + window.parts().len() as u64;
        recorded.grow(12 * SECOND);
        recorded.grow(13 * SECOND);
        ask(&mut window, &recorded);
        told.hear(&window);
        assert_eq!((window.target(), sequence(&window)), (15, next));
        assert_eq!(window.parts().len(), 2);
        // Of cameras that always did so, nothing is left out.
        let mut other = LiveWindow::default();
        let mut recorded = Recorded::new();
        for _ in 0..30 {
            recorded.grow(10 * SECOND);
            ask(&mut other, &recorded);
        }
        assert_eq!((other.target(), other.parts().len()), (10, 6));
    }

    #[test]
    fn a_clock_that_is_set_back_begins_the_list_anew_behind_the_old_one() {
        let mut recorded = Recorded::new();
        let mut window = LiveWindow::default();
        for _ in 0..30 {
            recorded.grow(2 * SECOND);
            ask(&mut window, &recorded);
        }
        let next = sequence(&window) + window.parts().len() as u64;
        recorded.gone = recorded.parts.len();
        recorded.end = BEGIN - 3600 * SECOND;
        recorded.run = recorded.end;
        recorded.grow(2 * SECOND);
        recorded.grow(2 * SECOND);
        ask(&mut window, &recorded);
        assert_eq!((sequence(&window), window.parts().len()), (next, 2));
    }
}
