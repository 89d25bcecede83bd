//! Rate limit for repeated messages: the first of a cause is told at once, then at most one per interval, which says how
//! many were kept back.
//!
//! A camera that fails ten times a second must neither fill the log nor disappear from it. Memory is bounded (design law
//! L8): past `CAUSES_MAX` causes the one told longest ago is forgotten, so a forgotten cause may be told again early, never
//! too late. Time is passed in, so the rule runs on any clock.

use crate::base::Micros;
use std::{collections::HashMap, hash::Hash, sync::Mutex};

/// The most causes remembered at a time.
pub const CAUSES_MAX: usize = 4096;

/// Decides which messages of repeated causes are told.
#[derive(Debug)]
pub struct RateLimit<K> {
    interval: Micros,
    causes: Mutex<HashMap<K, Told>>,
}

#[derive(Debug)]
struct Told {
    last: Micros,
    suppressed: u64,
}

impl<K: Eq + Hash + Clone> RateLimit<K> {
    /// At most one message per cause and `interval`.
    pub fn new(interval: Micros) -> Self {
        assert!(
            interval > Micros::ZERO,
            "an interval of no length limits nothing"
        );
        Self {
            interval,
            causes: Mutex::new(HashMap::new()),
        }
    }

    /// Whether a message of `cause` is to be told at `now` (monotonic time): `Some(n)` to tell it, saying that `n` were kept
    /// back since the last one; `None` to keep it back.
    pub fn tell(&self, cause: &K, now: Micros) -> Option<u64> {
        let mut causes = self
            .causes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(told) = causes.get_mut(cause) {
            if now.0.saturating_sub(told.last.0) < self.interval.0 {
                told.suppressed += 1;
                return None;
            }
            told.last = now;
            return Some(std::mem::take(&mut told.suppressed));
        }
        if causes.len() >= CAUSES_MAX {
            make_room(&mut causes);
        }
        let told = Told {
            last: now,
            suppressed: 0,
        };
        causes.insert(cause.clone(), told);
        Some(0)
    }
}

fn make_room<K: Eq + Hash + Clone>(causes: &mut HashMap<K, Told>) {
    let oldest = causes.iter().min_by_key(|(_, told)| told.last);
    if let Some(cause) = oldest.map(|(cause, _)| cause.clone()) {
        causes.remove(&cause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_then_one_per_interval_with_the_number_kept_back() {
        let limit = RateLimit::new(Micros::from_secs(10));
        let at = |tenths: i64| Micros::from_millis(tenths * 100);
        assert_eq!(limit.tell(&"gate", at(0)), Some(0));
        let told: Vec<u64> = (1..=205)
            .filter_map(|t| limit.tell(&"gate", at(t)))
            .collect();
        assert_eq!(told, [99, 99]);
        assert_eq!(limit.tell(&"yard", at(3)), Some(0), "causes are apart");
    }

    #[test]
    fn memory_is_bounded() {
        let limit = RateLimit::new(Micros::from_secs(10));
        for cause in 0..3 * CAUSES_MAX {
            assert_eq!(limit.tell(&cause, Micros(cause as i64)), Some(0));
        }
        assert_eq!(limit.causes.lock().unwrap().len(), CAUSES_MAX);
    }
}
