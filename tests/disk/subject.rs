//! A disk under test, whichever it is: how it is opened, let run, and opened again.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use nvring::{
    base::{SimulatedClock, UnixMicros, seed::Seed},
    disk::{
        ALIGNMENT, AlignedBuffer, Completion, Disk, EngineChoice, FileId, Operation, Request, Slab,
        SlabOptions, open_folder,
        sim::{Faults, SimDisk},
    },
};

pub(crate) const PAGE: u64 = ALIGNMENT as u64;

pub(crate) const SLAB: SlabOptions = SlabOptions {
    slots: 16,
    slot_len: 16 * ALIGNMENT,
};

/// A disk under test.
pub(crate) struct Subject {
    pub(crate) name: String,
    /// `None` only while reopening.
    pub(crate) disk: Option<Arc<dyn Disk>>,
    pub(crate) kind: SubjectKind,
}

pub(crate) enum SubjectKind {
    Real {
        folder: PathBuf,
        engine: EngineChoice,
        /// Removes the folder at the end.
        _temporary: Option<tempfile::TempDir>,
    },
    Simulated(SimDisk),
}

impl Subject {
    pub(crate) fn real(folder: &Path, engine: EngineChoice) -> Self {
        let disk = open_folder(folder, SLAB, engine).unwrap();
        let properties = disk.properties();
        Self {
            name: format!(
                "{} on {}: {properties:?}",
                properties.engine,
                folder.display()
            ),
            disk: Some(disk),
            kind: SubjectKind::Real {
                folder: folder.to_owned(),
                engine,
                _temporary: None,
            },
        }
    }

    fn temporary(parent: &Path, engine: EngineChoice) -> Self {
        let temporary = tempfile::tempdir_in(parent).unwrap();
        let mut subject = Self::real(temporary.path(), engine);
        if let SubjectKind::Real { _temporary, .. } = &mut subject.kind {
            *_temporary = Some(temporary);
        }
        subject
    }

    fn simulated(seed: u64) -> Self {
        let clock = Arc::new(SimulatedClock::new(UnixMicros(0)));
        let disk = SimDisk::new(SLAB, clock, Faults::none(), Seed::new(seed));
        Self {
            name: "simulated".to_owned(),
            disk: Some(Arc::new(disk.clone())),
            kind: SubjectKind::Simulated(disk),
        }
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        self.disk.as_deref().unwrap()
    }

    /// Lets requests complete where time stands still by itself.
    pub(crate) fn drive(&self) {
        if let SubjectKind::Simulated(disk) = &self.kind {
            disk.run_idle();
        }
    }

    /// Ends the disk and opens it anew, as the next start of the process would.
    pub(crate) fn reopen(&mut self) {
        self.disk = None;
        let disk: Arc<dyn Disk> = match &mut self.kind {
            SubjectKind::Real { folder, engine, .. } => open_folder(folder, SLAB, *engine).unwrap(),
            SubjectKind::Simulated(disk) => {
                *disk = disk.kill(&mut Seed::new(1));
                Arc::new(disk.clone())
            }
        };
        self.disk = Some(disk);
    }

    pub(crate) fn submit(&self, file: FileId, operation: Operation) -> mpsc::Receiver<Completion> {
        let (sender, receiver) = mpsc::channel();
        self.disk().submit(Request {
            file,
            operation,
            done: Box::new(move |completion| sender.send(completion).unwrap()),
        });
        receiver
    }

    pub(crate) fn run(&self, file: FileId, operation: Operation) -> Completion {
        let receiver = self.submit(file, operation);
        self.drive();
        let completion = receiver.recv().unwrap();
        assert!(
            receiver.recv().is_err(),
            "completed twice (D1): {}",
            self.name
        );
        completion
    }

    pub(crate) fn write(&self, file: FileId, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.run(file, writing(self.disk().slab(), offset, bytes))
            .result
    }

    pub(crate) fn read(&self, file: FileId, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let buffer = AlignedBuffer::new(len);
        let completion = self.run(file, Operation::Read { offset, buffer });
        let buffer = completion.buffer.expect("the buffer comes back (D1)");
        completion.result.map(|()| buffer.to_vec())
    }

    pub(crate) fn sync(&self, file: FileId) -> io::Result<()> {
        self.run(file, Operation::Sync).result
    }
}

pub(crate) fn writing(slab: &Slab, offset: u64, bytes: &[u8]) -> Operation {
    let mut slot = slab.take().expect("a free slot");
    slot[..bytes.len()].copy_from_slice(bytes);
    Operation::Write {
        offset,
        slot,
        len: bytes.len(),
    }
}

/// Runs a test on every disk there is.
pub(crate) fn on_every_disk(test: impl Fn(&mut Subject)) {
    let mut subjects = vec![Subject::simulated(1)];
    for parent in [std::env::temp_dir(), PathBuf::from("/dev/shm")] {
        for engine in [EngineChoice::Plain, EngineChoice::Auto] {
            subjects.push(Subject::temporary(&parent, engine));
        }
    }
    for mut subject in subjects {
        println!("on {}", subject.name);
        test(&mut subject);
    }
}

pub(crate) fn page(byte: u8) -> Vec<u8> {
    vec![byte; ALIGNMENT]
}
