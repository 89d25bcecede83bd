//! Goal: where the system refuses io_uring, or the registration of the slab, the disk works all the same and says so.
//! Method: the refusals are real ones, made for one thread and those it starts: a seccomp filter, and a capability given up.

use std::{io, sync::mpsc, thread};

use crate::disk::{
    ALIGNMENT, EngineChoice, FileId, Operation, Properties, Request, SlabOptions, open_folder,
};

const SLAB: SlabOptions = SlabOptions {
    slots: 4,
    slot_len: ALIGNMENT,
};

/// Opens a disk on this thread, writes and syncs through it, and answers with how it works.
fn try_disk(slab: SlabOptions, engine: EngineChoice) -> Result<Properties, String> {
    let folder = tempfile::tempdir().unwrap();
    let disk = open_folder(folder.path(), slab, engine).map_err(|error| error.to_string())?;
    let file = disk.create("a", ALIGNMENT as u64).unwrap();
    let mut slot = disk.slab().take().unwrap();
    slot[..ALIGNMENT].fill(7);
    let write = Operation::Write {
        offset: 0,
        slot,
        len: ALIGNMENT,
    };
    for operation in [write, Operation::Sync] {
        let (sender, receiver) = mpsc::channel();
        disk.submit(Request {
            file: FileId(file.0),
            operation,
            done: Box::new(move |completion| sender.send(completion.result).unwrap()),
        });
        receiver.recv().unwrap().unwrap();
    }
    let properties = disk.properties();
    drop(disk);
    assert!(
        std::fs::read(folder.path().join("a"))
            .unwrap()
            .iter()
            .all(|byte| *byte == 7)
    );
    Ok(properties)
}

/// Makes `io_uring_setup(2)` answer EPERM on this thread and those it starts, as container runtimes do.
fn refuse_io_uring() -> io::Result<()> {
    let instruction = |code: u32, if_equal: u8, if_not: u8, value: u32| libc::sock_filter {
        code: code as u16,
        jt: if_equal,
        jf: if_not,
        k: value,
    };
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let mut filter = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_io_uring_setup as u32,
        ),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, refuse),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: both calls concern this thread alone; the program and its filter outlive the call, which copies them.
    let status = unsafe {
        match libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) {
            0 => libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program),
            refused => refused,
        }
    };
    (status == 0)
        .then_some(())
        .ok_or_else(io::Error::last_os_error)
}

/// Gives up the right to lock memory without limit (CAP_IPC_LOCK) on this thread and those it starts.
fn give_up_locking_memory() -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3` and `CAP_IPC_LOCK` of linux/capability.h.
    const VERSION_3: u32 = 0x2008_0522;
    const IPC_LOCK: u32 = 14;
    let mut header = [VERSION_3, 0];
    // Two sets of (effective, permitted, inheritable), 32 capabilities each.
    let mut sets = [[0u32; 3]; 2];
    // SAFETY: both calls concern this thread alone and get structs of the layout that VERSION_3 prescribes.
    let status = unsafe {
        match libc::syscall(libc::SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr()) {
            0 => {
                sets[0][0] &= !(1 << IPC_LOCK);
                libc::syscall(libc::SYS_capset, header.as_mut_ptr(), sets.as_ptr())
            }
            refused => refused,
        }
    };
    (status == 0)
        .then_some(())
        .ok_or_else(io::Error::last_os_error)
}

#[test]
fn where_io_uring_is_refused_plain_transfers_are_used_and_said() {
    let worker = thread::spawn(|| {
        refuse_io_uring().unwrap();
        let properties = try_disk(SLAB, EngineChoice::Auto).unwrap();
        assert_eq!(properties.engine, "plain");
        let notes = properties.notes.join("\n");
        assert!(notes.contains("io_uring is refused"), "{notes}");
        let forced = try_disk(SLAB, EngineChoice::Uring).unwrap_err();
        assert!(forced.contains("io_uring"), "{forced}");
    });
    worker.join().unwrap();
}

#[test]
fn where_registration_is_refused_the_ring_works_without_and_says_so() {
    let worker = thread::spawn(|| {
        // SAFETY: all-zero is a valid `rlimit`, which the kernel only writes.
        let limit = unsafe {
            let mut limit: libc::rlimit = std::mem::zeroed();
            assert_eq!(libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit), 0);
            limit.rlim_cur
        };
        if limit > 256 << 20 {
            println!("SKIPPED: the limit of locked memory is {limit} bytes, too large to pass");
            return;
        }
        give_up_locking_memory().unwrap();
        let slab = SlabOptions {
            slots: (limit >> 20) as usize + 8,
            slot_len: 1 << 20,
        };
        let properties = try_disk(slab, EngineChoice::Uring).unwrap();
        assert!(!properties.registered);
        let notes = properties.notes.join("\n");
        assert!(notes.contains("LimitMEMLOCK"), "{notes}");
    });
    worker.join().unwrap();
}
