//! Goal: whatever power, processes and disks do, what was durable is found again, and nothing false is ever served (L1, L2, L3, L5, L6,
//! L8, L11).
//! Method: the engine itself (format, recovery, writers, index, readers) on simulated disks and a virtual clock, thousands of
//! lives drawn from seeds, held against a model of what was recorded. A failing case prints `SEED=…`; `NVRING_SEED=… cargo test --test
//! simulation` replays it; `NVRING_SEEDS_FROM` and `NVRING_SEEDS` (how many) run others.

mod aftermath;
mod camera;
mod case;
mod chapters;
mod cuts;
mod listing;
mod memory;
mod model;
mod mounted;
mod profile;
mod reader;
mod setup;
mod site;
mod tally;

use case::Case;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
};
use tally::Tally;

/// Seeds in each test run.
const SEEDS: u64 = 1_200;

#[test]
fn what_is_durable_survives_and_nothing_false_is_served() {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text: String| text.parse::<u64>().ok())
    };
    if let Some(seed) = number("NVRING_SEED") {
        println!("SEED={seed}");
        println!("{:?}", Case::run(seed));
        return;
    }
    let from = number("NVRING_SEEDS_FROM").unwrap_or(0);
    let count = number("NVRING_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(from);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| work(&next, from + count)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("workers catch what fails"))
            .collect()
    });
    let mut sum = Tally::default();
    tallies.iter().for_each(|tally| sum.add(tally));
    println!("{count} seeds: {sum:?}");
    assert_eq!(sum.failed, 0, "seeds failed; each is printed above");
}

fn work(next: &AtomicU64, end: u64) -> Tally {
    let mut sum = Tally::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return sum;
        }
        match catch_unwind(AssertUnwindSafe(|| Case::run(seed))) {
            Ok(tally) => sum.add(&tally),
            Err(_) => {
                println!("SEED={seed}");
                sum.failed += 1;
            }
        }
    }
}
