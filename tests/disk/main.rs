//! Goal: the disks (io_uring, plain, simulated) keep the contract of `nvring::disk` (D1 to D6) alike.
//! Method: one set of tests, each run on every disk and on both a disk-backed and a memory filesystem; small ext4, XFS and
//! 4Kn loop devices where the tests run as root. Random tests print their seed.

mod filesystems;
mod subject;

use std::{
    fs, io,
    sync::{Arc, mpsc},
};

use nvring::{
    base::seed::Seed,
    disk::{ALIGNMENT, AlignedBuffer, EngineChoice, Operation, Request, Slab, open_folder},
};

use subject::{PAGE, SLAB, Subject, SubjectKind, on_every_disk, page, writing};

#[test]
fn every_request_completes_once_and_returns_its_memory() {
    on_every_disk(|subject| {
        let file = subject.disk().create("a", 64 * PAGE).unwrap();
        let slab = subject.disk().slab().clone();
        let receivers: Vec<_> = (0..48)
            .map(|index| match index % 3 {
                0 => subject.submit(file, writing(&slab, index * PAGE, &page(1))),
                1 => {
                    let buffer = AlignedBuffer::new(ALIGNMENT);
                    subject.submit(
                        file,
                        Operation::Read {
                            offset: index * PAGE,
                            buffer,
                        },
                    )
                }
                _ => subject.submit(file, Operation::Sync),
            })
            .collect();
        subject.drive();
        for (index, receiver) in receivers.iter().enumerate() {
            let completion = receiver.recv().unwrap();
            assert!(receiver.recv().is_err(), "completed twice");
            assert_eq!(completion.slot.is_some(), index % 3 == 0);
            assert_eq!(completion.buffer.is_some(), index % 3 == 1);
            completion.result.unwrap();
        }
        assert_eq!(slab.in_use(), 0);
    });
}

/// Goal: a read finds what the last completed write left, whatever runs beside it. Method: rounds of random, disjoint transfers
/// all in flight at once, against an image in memory.
#[test]
fn reads_find_the_newest_writes() {
    const FILE_PAGES: u64 = 64;
    on_every_disk(|subject| {
        let file = subject.disk().create("a", FILE_PAGES * PAGE).unwrap();
        let mut model = vec![0u8; (FILE_PAGES * PAGE) as usize];
        for number in 0..200 {
            let mut seed = Seed::new(number);
            let mut pending = Vec::new();
            let mut at = seed.below(4);
            while at < FILE_PAGES {
                let pages = seed.between(1, 12).min(FILE_PAGES - at);
                let range = (at * PAGE) as usize..((at + pages) * PAGE) as usize;
                let operation = if seed.chance(0.5) && subject.disk().slab().in_use() < SLAB.slots {
                    seed.fill(&mut model[range.clone()]);
                    writing(subject.disk().slab(), at * PAGE, &model[range.clone()])
                } else {
                    let buffer = AlignedBuffer::new(range.len());
                    Operation::Read {
                        offset: at * PAGE,
                        buffer,
                    }
                };
                pending.push((range, subject.submit(file, operation)));
                at += pages + seed.below(6);
            }
            subject.drive();
            for (range, receiver) in pending {
                let completion = receiver.recv().unwrap();
                completion.result.unwrap();
                if let Some(buffer) = completion.buffer {
                    assert_eq!(&buffer[..], &model[range], "SEED={number}");
                }
            }
        }
        subject.sync(file).unwrap();
        subject.reopen();
        let (file, len) = subject.disk().open("a").unwrap();
        assert_eq!(len, FILE_PAGES * PAGE);
        for at in (0..FILE_PAGES).step_by(16) {
            let range = (at * PAGE) as usize..((at + 16) * PAGE) as usize;
            assert_eq!(
                subject.read(file, at * PAGE, range.len()).unwrap(),
                model[range]
            );
        }
    });
}

#[test]
fn transfers_past_the_end_fail_and_files_never_grow() {
    on_every_disk(|subject| {
        let file = subject.disk().create("a", 4 * PAGE).unwrap();
        let two = [page(1), page(2)].concat();
        for offset in [3 * PAGE, 4 * PAGE, 1 << 40, u64::MAX - PAGE + 1] {
            assert!(
                subject.write(file, offset, &two).is_err(),
                "write at {offset}"
            );
            assert!(
                subject.read(file, offset, 2 * ALIGNMENT).is_err(),
                "read at {offset}"
            );
        }
        assert_eq!(subject.read(file, 3 * PAGE, ALIGNMENT).unwrap(), page(0));
        subject.reopen();
        assert_eq!(subject.disk().open("a").unwrap().1, 4 * PAGE);
    });
}

#[test]
fn a_short_real_file_is_an_error_not_a_short_success() {
    let folder = tempfile::tempdir().unwrap();
    for engine in [EngineChoice::Plain, EngineChoice::Auto] {
        let subject = Subject::real(folder.path(), engine);
        let name = subject.disk().properties().engine;
        let file = subject.disk().create(name, 4 * PAGE).unwrap();
        // Somebody cuts the file behind our back: the read comes up short in the kernel.
        let cut = fs::OpenOptions::new()
            .write(true)
            .open(folder.path().join(name));
        cut.unwrap().set_len(PAGE).unwrap();
        let short = subject.read(file, 0, 2 * ALIGNMENT).unwrap_err();
        assert!(short.to_string().contains("short"), "{short}");
        assert_eq!(subject.read(file, 0, ALIGNMENT).unwrap(), page(0));
    }
}

#[test]
fn misaligned_requests_stop_the_caller() {
    on_every_disk(|subject| {
        let file = subject.disk().create("a", 4 * PAGE).unwrap();
        let disk = subject.disk();
        let refused = |operation: Operation| {
            let submit = || {
                disk.submit(Request {
                    file,
                    operation,
                    done: Box::new(|_| ()),
                });
            };
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(submit)).is_err()
        };
        let slot = || disk.slab().take().unwrap();
        assert!(refused(Operation::Write {
            offset: 512,
            slot: slot(),
            len: ALIGNMENT
        }));
        assert!(refused(Operation::Write {
            offset: 0,
            slot: slot(),
            len: 512
        }));
        assert!(refused(Operation::Write {
            offset: 0,
            slot: slot(),
            len: SLAB.slot_len + ALIGNMENT
        }));
        assert!(refused(Operation::Write {
            offset: 0,
            slot: slot(),
            len: 0
        }));
        let buffer = AlignedBuffer::new(ALIGNMENT);
        assert!(refused(Operation::Read { offset: 1, buffer }));
        assert_eq!(
            subject.write(file, 0, &page(3)).map_err(|e| e.kind()),
            Ok(())
        );
    });
}

#[test]
fn files_are_created_listed_opened_and_removed() {
    on_every_disk(|subject| {
        assert_eq!(subject.disk().list().unwrap(), Vec::<String>::new());
        let seven = subject.disk().create("segments/000007", 2 * PAGE).unwrap();
        let first = subject.disk().create("superblock", PAGE).unwrap();
        subject.disk().create("segments/000003", PAGE).unwrap();
        assert_ne!(seven, first);
        let names = ["segments/000003", "segments/000007", "superblock"];
        assert_eq!(subject.disk().list().unwrap(), names);
        assert_eq!(
            subject.disk().open("segments/000007").unwrap(),
            (seven, 2 * PAGE)
        );
        subject.write(seven, PAGE, &page(5)).unwrap();
        subject.reopen();
        assert_eq!(subject.disk().list().unwrap(), names);
        let (seven, len) = subject.disk().open("segments/000007").unwrap();
        assert_eq!(
            (subject.read(seven, PAGE, ALIGNMENT).unwrap(), len),
            (page(5), 2 * PAGE)
        );
        subject.disk().remove("segments/000007").unwrap();
        assert!(subject.read(seven, 0, ALIGNMENT).is_err(), "its id is dead");
        assert!(subject.write(seven, 0, &page(1)).is_err());
        assert!(subject.sync(seven).is_err());
        assert_eq!(
            subject.disk().list().unwrap(),
            ["segments/000003", "superblock"]
        );
        let again = subject.disk().create("segments/000007", PAGE).unwrap();
        assert_eq!(subject.read(again, 0, ALIGNMENT).unwrap(), page(0));
        assert!(subject.read(seven, 0, ALIGNMENT).is_err(), "and stays dead");
    });
}

#[test]
fn errors_of_files_say_what_and_where() {
    on_every_disk(|subject| {
        let disk = subject.disk();
        disk.create("a", PAGE).unwrap();
        let exists = disk.create("a", PAGE).unwrap_err();
        assert_eq!(exists.source.kind(), io::ErrorKind::AlreadyExists);
        assert!(exists.to_string().starts_with("create ") && exists.to_string().contains("/a"));
        assert_eq!(
            disk.open("b").unwrap_err().source.kind(),
            io::ErrorKind::NotFound
        );
        assert_eq!(
            disk.remove("b").unwrap_err().source.kind(),
            io::ErrorKind::NotFound
        );
        for name in ["", "../a", "/etc/passwd", "a/b/c", "lock", ".x"] {
            assert!(disk.create(name, PAGE).is_err(), "{name:?}");
            assert!(disk.open(name).is_err(), "{name:?}");
            assert!(disk.remove(name).is_err(), "{name:?}");
        }
        for len in [0, 512, PAGE + 1] {
            assert!(disk.create("c", len).is_err(), "{len}");
        }
        assert_eq!(disk.list().unwrap(), ["a"]);
    });
}

#[test]
fn removing_beside_writes_is_refused_or_ends_them_cleanly() {
    on_every_disk(|subject| {
        let file = subject.disk().create("a", 16 * PAGE).unwrap();
        let slab = subject.disk().slab().clone();
        let receivers: Vec<_> = (0..16)
            .map(|index| subject.submit(file, writing(&slab, index * PAGE, &page(1))))
            .collect();
        let removed = subject.disk().remove("a");
        subject.drive();
        let results: Vec<_> = receivers.iter().map(|r| r.recv().unwrap().result).collect();
        match removed {
            Ok(()) => {}
            Err(busy) => {
                assert_eq!(busy.source.raw_os_error(), Some(libc::EBUSY));
                assert!(results.iter().all(Result::is_ok));
                subject.disk().remove("a").unwrap();
            }
        }
        assert_eq!(slab.in_use(), 0);
    });
}

#[test]
fn dropping_a_disk_waits_for_what_is_in_flight() {
    on_every_disk(|subject| {
        let file = subject.disk().create("a", 16 * PAGE).unwrap();
        let slab = subject.disk().slab().clone();
        let receivers: Vec<_> = (0..16)
            .map(|index| subject.submit(file, writing(&slab, index * PAGE, &page(index as u8 + 1))))
            .collect();
        subject.drive();
        subject.reopen();
        for receiver in receivers {
            receiver.recv().unwrap().result.unwrap();
        }
        let (file, _) = subject.disk().open("a").unwrap();
        for index in 0..16 {
            assert_eq!(
                subject.read(file, index * PAGE, ALIGNMENT).unwrap(),
                page(index as u8 + 1)
            );
        }
    });
}

#[test]
fn a_completion_may_drop_the_disk_or_panic() {
    on_every_disk(|subject| {
        if matches!(subject.kind, SubjectKind::Simulated(_)) {
            return;
        }
        let file = subject.disk().create("a", PAGE).unwrap();
        subject.disk().submit(Request {
            file,
            operation: Operation::Sync,
            done: Box::new(|_| panic!("a caller's mistake, on purpose")),
        });
        for _ in 0..8 {
            subject.sync(file).unwrap();
        }
        let (sender, receiver) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let last = subject.disk.take().unwrap();
        let handle = Arc::clone(&last);
        last.submit(Request {
            file,
            operation: Operation::Sync,
            done: Box::new(move |_| {
                wait.recv().unwrap();
                drop(handle);
                sender.send(()).unwrap();
            }),
        });
        drop(last);
        go.send(()).unwrap();
        receiver.recv().unwrap();
    });
}

#[test]
fn slots_of_another_slab_are_written_too() {
    on_every_disk(|subject| {
        let other = Slab::new(SLAB).unwrap();
        let file = subject.disk().create("a", PAGE).unwrap();
        let completion = subject.run(file, writing(&other, 0, &page(8)));
        completion.result.unwrap();
        assert_eq!(other.in_use(), 1, "the slot is in the completion");
        drop(completion.slot);
        assert_eq!(other.in_use(), 0);
        assert_eq!(subject.read(file, 0, ALIGNMENT).unwrap(), page(8));
    });
}

#[test]
fn a_folder_is_opened_by_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = open_folder(folder.path(), SLAB, EngineChoice::Auto).unwrap();
    let refused = open_folder(folder.path(), SLAB, EngineChoice::Plain)
        .err()
        .unwrap();
    assert!(
        refused
            .to_string()
            .contains("in use by another nvring process"),
        "{refused}"
    );
    drop(first);
    open_folder(folder.path(), SLAB, EngineChoice::Plain).unwrap();
    let missing = open_folder(&folder.path().join("no"), SLAB, EngineChoice::Auto);
    assert!(missing.is_err(), "a folder that is not mounted is not made");
}
