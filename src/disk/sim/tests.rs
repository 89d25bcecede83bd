//! What the simulated disk promises about time, power cuts and faults, beyond the contract that all twins share.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

use super::*;
use crate::{
    base::UnixMicros,
    disk::{ALIGNMENT, AlignedBuffer, Operation},
};

const PAGE: u64 = ALIGNMENT as u64;

fn disk(faults: Faults, seed: u64) -> SimDisk {
    let slab = SlabOptions {
        slots: 8,
        slot_len: 16 * ALIGNMENT,
    };
    let clock = Arc::new(SimulatedClock::new(UnixMicros(0)));
    SimDisk::new(slab, clock, faults, Seed::new(seed))
}

fn planned(kind: Kind, nth: u64, fault: Fault) -> Faults {
    Faults {
        planned: vec![Planned { kind, nth, fault }],
        ..Faults::none()
    }
}

/// Submits, runs the disk until idle, and answers with what came of it.
fn run(disk: &SimDisk, file: FileId, operation: Operation) -> crate::disk::Completion {
    let (sender, receiver) = mpsc::channel();
    submit(disk, file, operation, sender);
    disk.run_idle();
    receiver.recv().unwrap()
}

fn submit(
    disk: &SimDisk,
    file: FileId,
    operation: Operation,
    sender: mpsc::Sender<crate::disk::Completion>,
) {
    disk.submit(Request {
        file,
        operation,
        done: Box::new(move |completion| drop(sender.send(completion))),
    });
}

fn filled(disk: &SimDisk, offset: u64, pages: usize, byte: u8) -> Operation {
    let mut slot = disk.slab().take().unwrap();
    slot.fill(byte);
    Operation::Write {
        offset,
        slot,
        len: pages * ALIGNMENT,
    }
}

fn write(disk: &SimDisk, file: FileId, offset: u64, pages: usize, byte: u8) -> io::Result<()> {
    run(disk, file, filled(disk, offset, pages, byte)).result
}

fn sync(disk: &SimDisk, file: FileId) -> io::Result<()> {
    run(disk, file, Operation::Sync).result
}

fn read(disk: &SimDisk, name: &str, offset: u64, pages: usize) -> Vec<u8> {
    let (file, _) = disk.open(name).unwrap();
    let buffer = AlignedBuffer::new(pages * ALIGNMENT);
    let completion = run(disk, file, Operation::Read { offset, buffer });
    completion.result.unwrap();
    completion.buffer.unwrap().to_vec()
}

/// Each sector's byte; a sector is never mixed within itself.
fn sectors_of(bytes: &[u8]) -> Vec<u8> {
    bytes
        .chunks(image::SECTOR)
        .map(|sector| {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "torn sector");
            sector[0]
        })
        .collect()
}

#[test]
fn synced_data_survives_every_power_cut_and_unsynced_is_torn_by_sectors() {
    let mut outcomes = [0; 3];
    for seed in 0..60 {
        let disk = disk(Faults::none(), seed);
        let file = disk.create("a", 64 * PAGE).unwrap();
        write(&disk, file, 0, 16, 1).unwrap();
        sync(&disk, file).unwrap();
        write(&disk, file, 8 * PAGE, 8, 2).unwrap();
        let after = disk.crash(&mut Seed::new(seed));
        let bytes = read(&after, "a", 0, 16);
        assert!(bytes[..8 * ALIGNMENT].iter().all(|byte| *byte == 1));
        let sectors = sectors_of(&bytes[8 * ALIGNMENT..]);
        assert!(sectors.iter().all(|byte| [1, 2].contains(byte)));
        let kept = sectors.iter().filter(|byte| **byte == 2).count();
        let outcome = if kept == 0 {
            0
        } else if kept == sectors.len() {
            1
        } else {
            2
        };
        outcomes[outcome] += 1;
    }
    assert!(
        outcomes.iter().all(|count| *count > 0),
        "lost, kept and torn must all be seen: {outcomes:?}"
    );
}

#[test]
fn on_the_first_lap_an_unsynced_write_is_whole_or_zero_unless_told_otherwise() {
    let mut seen = [[false; 3]; 2];
    for (mode, first_lap) in [FirstLap::Zeroes, FirstLap::Torn].into_iter().enumerate() {
        for seed in 0..40 {
            let mut faults = Faults::none();
            faults.crash.first_lap = first_lap;
            let disk = disk(faults, seed);
            let file = disk.create("a", 16 * PAGE).unwrap();
            write(&disk, file, 0, 16, 7).unwrap();
            let sectors = sectors_of(&read(&disk.crash(&mut Seed::new(seed)), "a", 0, 16));
            let kept = sectors.iter().filter(|byte| **byte == 7).count();
            let outcome = if kept == 0 {
                0
            } else if kept == sectors.len() {
                1
            } else {
                2
            };
            seen[mode][outcome] = true;
        }
    }
    assert_eq!(seen, [[true, true, false], [true, true, true]]);
}

#[test]
fn a_write_in_flight_may_be_torn_by_a_cut_and_is_all_or_nothing_after_a_kill() {
    let (mut torn, mut kept, mut gone) = (false, false, false);
    for seed in 0..40 {
        let disk = disk(Faults::none(), seed);
        let file = disk.create("a", 16 * PAGE).unwrap();
        write(&disk, file, 0, 16, 1).unwrap();
        sync(&disk, file).unwrap();
        let (sender, _receiver) = mpsc::channel();
        submit(&disk, file, filled(&disk, 0, 16, 2), sender);
        let cut = sectors_of(&read(&disk.crash(&mut Seed::new(seed)), "a", 0, 16));
        torn |= cut.contains(&1) && cut.contains(&2);
        let killed = sectors_of(&read(&disk.kill(&mut Seed::new(seed)), "a", 0, 16));
        assert!(killed.iter().all(|byte| *byte == killed[0]));
        kept |= killed[0] == 2;
        gone |= killed[0] == 1;
    }
    assert!(torn && kept && gone);
}

#[test]
fn after_a_kill_completed_writes_are_there_and_opening_makes_them_durable() {
    let mut faults = Faults::none();
    faults.crash.keep = 0.0;
    faults.crash.drop = 1.0;
    let disk = disk(faults, 3);
    let file = disk.create("a", PAGE).unwrap();
    write(&disk, file, 0, 1, 9).unwrap();
    let mut seed = Seed::new(4);
    let killed = disk.kill(&mut seed);
    assert_eq!(
        read(&killed.crash(&mut seed), "a", 0, 1)[0],
        0,
        "not durable yet"
    );
    assert_eq!(read(&killed, "a", 0, 1)[0], 9);
    assert_eq!(
        read(&killed.crash(&mut seed), "a", 0, 1)[0],
        9,
        "open syncs"
    );
}

#[test]
fn a_failed_sync_is_reported_once_and_what_it_covered_is_lost() {
    let mut faults = planned(Kind::Sync, 1, Fault::Error);
    faults.crash.keep = 0.0;
    faults.crash.drop = 1.0;
    let disk = disk(faults, 5);
    let file = disk.create("a", 4 * PAGE).unwrap();
    write(&disk, file, 0, 1, 1).unwrap();
    assert_eq!(
        sync(&disk, file).unwrap_err().raw_os_error(),
        Some(libc::EIO)
    );
    write(&disk, file, PAGE, 1, 2).unwrap();
    sync(&disk, file).unwrap();
    assert_eq!(read(&disk, "a", 0, 1)[0], 1, "reads still find it");
    let after = disk.crash(&mut Seed::new(6));
    assert_eq!(read(&after, "a", 0, 1)[0], 0);
    assert_eq!(read(&after, "a", PAGE, 1)[0], 2);
}

#[test]
fn a_lying_sync_is_found_out_by_a_power_cut() {
    let mut faults = planned(Kind::Sync, 1, Fault::Lie);
    faults.crash.drop = 1.0;
    faults.crash.keep = 0.0;
    let disk = disk(faults, 7);
    let file = disk.create("a", PAGE).unwrap();
    write(&disk, file, 0, 1, 1).unwrap();
    sync(&disk, file).unwrap();
    assert_eq!(read(&disk.crash(&mut Seed::new(8)), "a", 0, 1)[0], 0);
}

#[test]
fn a_sync_covers_only_what_had_completed_when_it_was_submitted() {
    let mut faults = Faults::none();
    faults.crash.drop = 1.0;
    faults.crash.keep = 0.0;
    for seed in 0..20 {
        let disk = disk(faults.clone(), seed);
        let file = disk.create("a", 2 * PAGE).unwrap();
        write(&disk, file, 0, 1, 1).unwrap();
        let (sender, receiver) = mpsc::channel();
        submit(&disk, file, Operation::Sync, sender.clone());
        submit(&disk, file, filled(&disk, PAGE, 1, 2), sender);
        disk.run_idle();
        assert!(receiver.iter().all(|completion| completion.result.is_ok()));
        let after = disk.crash(&mut Seed::new(seed));
        assert_eq!(read(&after, "a", 0, 1)[0], 1);
        assert_eq!(read(&after, "a", PAGE, 1)[0], 0);
    }
}

#[test]
fn misdirected_short_and_rotten_data_is_what_it_says() {
    let disk = disk(planned(Kind::Write, 2, Fault::Short), 9);
    let file = disk.create("a", 16 * PAGE).unwrap();
    write(&disk, file, 0, 16, 1).unwrap();
    let short = write(&disk, file, 0, 16, 2).unwrap_err();
    assert_eq!(short.kind(), io::ErrorKind::WriteZero);
    assert_eq!(read(&disk, "a", 15 * PAGE, 1)[0], 1);
    disk.set_faults(|faults| {
        faults.planned[0] = Planned {
            kind: Kind::Write,
            nth: 3,
            fault: Fault::Misdirected,
        }
    });
    write(&disk, file, 0, 1, 3).unwrap();
    assert!(read(&disk, "a", 0, 16).contains(&3), "it went somewhere");
    sync(&disk, file).unwrap();
    let before = read(&disk, "a", 0, 16);
    assert_eq!(disk.rot("a", 0..PAGE, 1, &mut Seed::new(1)), 1);
    let after = read(&disk.crash(&mut Seed::new(2)), "a", 0, 16);
    let flipped: u32 = before
        .iter()
        .zip(&after)
        .map(|(a, b)| (a ^ b).count_ones())
        .sum();
    assert_eq!(flipped, 1);
}

#[test]
fn bad_places_fail_and_a_dead_disk_fails_everywhere() {
    let disk = disk(Faults::none(), 11);
    let file = disk.create("a", 8 * PAGE).unwrap();
    disk.set_faults(|faults| {
        let (name, range) = ("a".to_owned(), PAGE..2 * PAGE);
        faults.bad = vec![BadRange {
            name,
            range,
            kind: Kind::Write,
        }];
    });
    assert!(write(&disk, file, 0, 1, 1).is_ok());
    assert!(write(&disk, file, 0, 2, 1).is_err());
    let dead_at = disk.clock().elapsed() + Micros::from_secs(1);
    disk.set_faults(|faults| faults.dead_at = Some(dead_at));
    assert!(write(&disk, file, 0, 1, 1).is_ok());
    disk.run_until(dead_at);
    assert!(write(&disk, file, 0, 1, 1).is_err());
    assert!(disk.create("b", PAGE).is_err() && disk.open("a").is_err());
}

#[test]
fn space_ends_and_the_lock_is_held_by_one() {
    let disk = disk(
        Faults {
            space: 4 * PAGE,
            ..Faults::none()
        },
        12,
    );
    disk.create("a", 3 * PAGE).unwrap();
    let full = disk.create("b", 2 * PAGE).unwrap_err();
    assert_eq!(full.source.raw_os_error(), Some(libc::ENOSPC));
    disk.create("b", PAGE).unwrap();
    let lock = disk.lock().unwrap();
    assert!(disk.lock().is_err());
    drop(lock);
    assert!(disk.lock().is_ok());
}

#[test]
fn the_same_seed_gives_the_same_order_and_completions_overtake() {
    let order = |seed: u64| {
        let disk = disk(Faults::none(), seed);
        let file = disk.create("a", 64 * PAGE).unwrap();
        let (sender, receiver) = mpsc::channel();
        for index in 0..8u64 {
            let sender = sender.clone();
            disk.submit(Request {
                file,
                operation: filled(&disk, index * PAGE, 1, 0),
                done: Box::new(move |_| sender.send(index).unwrap()),
            });
        }
        drop(sender);
        disk.run_idle();
        receiver.iter().collect::<Vec<_>>()
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
    assert_ne!(order(1), (0..8).collect::<Vec<_>>());
}

#[test]
fn pending_requests_of_a_dropped_or_stopped_disk_fail() {
    let done = Arc::new(AtomicUsize::new(0));
    let disk = disk(Faults::none(), 13);
    let file = disk.create("a", 4 * PAGE).unwrap();
    for page in 0..2 {
        let done = Arc::clone(&done);
        disk.submit(Request {
            file,
            operation: filled(&disk, page * PAGE, 1, 0),
            done: Box::new(move |completion| {
                assert!(completion.result.is_err() && completion.slot.is_some());
                done.fetch_add(1, Ordering::SeqCst);
            }),
        });
    }
    disk.stop();
    assert!(disk.step());
    drop(disk);
    assert_eq!(done.load(Ordering::SeqCst), 2);
}

#[test]
#[should_panic(expected = "D6")]
fn overlapping_writes_in_flight_stop_the_test() {
    let disk = disk(Faults::none(), 14);
    let file = disk.create("a", 4 * PAGE).unwrap();
    let (sender, _receiver) = mpsc::channel();
    submit(&disk, file, filled(&disk, 0, 2, 0), sender.clone());
    submit(&disk, file, filled(&disk, PAGE, 1, 0), sender);
}

#[test]
fn at_once_pace_completes_inside_submit_and_lets_no_time_pass() {
    let disk = disk(Faults::none(), 15);
    disk.set_pace(Pace::Immediate);
    let file = disk.create("a", PAGE).unwrap();
    let (sender, receiver) = mpsc::channel();
    submit(&disk, file, filled(&disk, 0, 1, 4), sender);
    assert!(receiver.try_recv().unwrap().result.is_ok());
    assert_eq!(disk.clock().elapsed(), Micros::ZERO);
}
