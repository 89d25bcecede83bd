//! How fast a folder takes a volume's writes: sequential whole slots through the engine's own disk, first lap and overwrite.
//!
//! `cargo bench --bench disk_write -- FOLDER [GIB] [SLOT_KIB] [DEPTH]`, to be held against
//! `fio --ioengine=io_uring --direct=1 --rw=write --bs=1M --iodepth=4 --end_fsync=1 --scramble_buffers=0`
//! on the same file size in the same folder.
//! Prints MB/s with the final sync included, and the time from submission to completion.

use std::{path::Path, sync::mpsc};

use nvring::{
    base::{Clock, SystemClock, seed::Seed},
    disk::{Disk, EngineChoice, FileId, Operation, Request, SlabOptions, open_folder},
};

struct Load {
    bytes: u64,
    slot_len: usize,
    depth: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let Some(folder) = arguments.first() else {
        println!("usage: cargo bench --bench disk_write -- FOLDER [GIB] [SLOT_KIB] [DEPTH]");
        return;
    };
    let number = |at: usize, or: u64| arguments.get(at).map_or(or, |text| text.parse().unwrap());
    let load = Load {
        bytes: number(1, 1) << 30,
        slot_len: (number(2, 1024) << 10) as usize,
        depth: number(3, 4) as usize,
    };
    for engine in [EngineChoice::Uring, EngineChoice::Plain] {
        measure(Path::new(folder), engine, &load);
    }
}

fn measure(folder: &Path, engine: EngineChoice, load: &Load) {
    const NAME: &str = "disk_write.bench";
    let slab = SlabOptions {
        slots: load.depth,
        slot_len: load.slot_len,
    };
    let disk = open_folder(folder, slab, engine).unwrap();
    // A host below this machine may store zeroes for nothing.
    let mut slots: Vec<_> = std::iter::from_fn(|| disk.slab().take()).collect();
    slots.iter_mut().for_each(|slot| Seed::new(1).fill(slot));
    drop(slots);
    let clock = SystemClock::new();
    let file = disk.create(NAME, load.bytes).unwrap();
    println!("{:?}", disk.properties());
    for lap in ["first lap", "overwrite", "overwrite"] {
        let start = clock.elapsed();
        let mut times = write_all(disk.as_ref(), file, load, &clock);
        let seconds = clock.elapsed().0 as f64 / 1e6 - start.0 as f64 / 1e6;
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!(
            "{lap:10} {:7.0} MB/s  p50 {} µs  p99 {} µs  longest {} µs",
            load.bytes as f64 / seconds / 1e6,
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    disk.remove(NAME).unwrap();
}

/// Writes the whole file and syncs; the microseconds each write took.
fn write_all(disk: &dyn Disk, file: FileId, load: &Load, clock: &SystemClock) -> Vec<i64> {
    let (sender, receiver) = mpsc::channel();
    let mut times = Vec::new();
    let mut next = (0..load.bytes).step_by(load.slot_len);
    let mut in_flight = 0;
    loop {
        while let Some(slot) = disk.slab().take() {
            let Some(offset) = next.next() else { break };
            let (sender, submitted) = (sender.clone(), clock.elapsed());
            let len = load.slot_len;
            disk.submit(Request {
                file,
                operation: Operation::Write { offset, slot, len },
                done: Box::new(move |completion| sender.send((submitted, completion)).unwrap()),
            });
            in_flight += 1;
        }
        if in_flight == 0 {
            break;
        }
        let (submitted, completion) = receiver.recv().unwrap();
        completion.result.unwrap();
        times.push(clock.elapsed().0 - submitted.0);
        in_flight -= 1;
    }
    let (sender, receiver) = mpsc::channel();
    disk.submit(Request {
        file,
        operation: Operation::Sync,
        done: Box::new(move |completion| sender.send(completion.result).unwrap()),
    });
    receiver.recv().unwrap().unwrap();
    times
}
