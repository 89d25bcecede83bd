//! What is in flight on a simulated disk, and what each request does when its time comes.
//!
//! Each request draws its latency when it is submitted; requests complete in the order of their due times, so a later one
//! may overtake an earlier one (D6), the same way for the same seed.

use std::{collections::BTreeMap, io, ops::Range};

use super::{
    State, eio,
    faults::{Fault, Kind, Latency},
    image::{self, Image},
};
use crate::{
    base::{Micros, seed::Seed},
    disk::{ALIGNMENT, AlignedBuffer, Completion, FileId, Operation, Request, Slot},
};

/// What was settled when a request was submitted.
pub(super) struct Plan {
    fault: Option<Fault>,
    /// For a sync: the last write it covers (D3).
    covers: u64,
}

pub(super) struct Pending {
    pub(super) request: Request,
    pub(super) plan: Plan,
    /// The file's name at submission; `None` when the id was dead already.
    name: Option<String>,
}

/// Requests by due time, then by order of submission.
pub(super) struct Queue {
    pending: BTreeMap<(Micros, u64), Pending>,
    submitted: u64,
    latency: Seed,
}

impl Queue {
    pub(super) fn new(latency: Seed) -> Self {
        Self {
            pending: BTreeMap::new(),
            submitted: 0,
            latency,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn next_due(&self) -> Option<Micros> {
        self.pending.keys().next().map(|(due, _)| *due)
    }

    pub(super) fn pop_due(&mut self, time: Micros) -> Option<Pending> {
        let first = self.pending.first_entry()?;
        (first.key().0 <= time).then(|| first.remove())
    }

    /// Whether anything is in flight for a file.
    pub(super) fn uses(&self, name: &str) -> bool {
        self.of(name).next().is_some()
    }

    /// The writes in flight for a file: offset and bytes, in the order of their due times.
    pub(super) fn writes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (u64, &'a [u8])> {
        self.of(name).filter_map(|pending| {
            if let Operation::Write { offset, slot, len } = &pending.request.operation {
                Some((*offset, &slot[..*len]))
            } else {
                None
            }
        })
    }

    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Pending> {
        self.pending
            .values()
            .filter(move |pending| pending.name.as_deref() == Some(name))
    }

    fn push(&mut self, pending: Pending, latency: Latency, now: Micros) {
        let due = now + latency.draw(&mut self.latency);
        self.submitted += 1;
        self.pending.insert((due, self.submitted), pending);
    }
}

impl State {
    /// Takes a request in: settles its fault and its time, and holds the caller to D6.
    pub(super) fn enqueue(&mut self, request: Request, now: Micros) {
        let kind = match request.operation {
            Operation::Read { .. } => Kind::Read,
            Operation::Write { .. } => Kind::Write,
            Operation::Sync => Kind::Sync,
        };
        let name = self.name_of(request.file).ok();
        if let (Operation::Write { offset, len, .. }, Some(name)) = (&request.operation, &name) {
            for (other, bytes) in self.queue.writes(name) {
                assert!(
                    !overlap(&span(*offset, *len), &span(other, bytes.len())),
                    "two writes in flight overlap in {name} at {offset} (D6)"
                );
            }
        }
        let fault = self.count(kind);
        let image = name.as_ref().and_then(|name| self.files.get(name));
        let covers = image.map_or(0, Image::completed);
        let plan = Plan { fault, covers };
        let latency = self.faults.latency;
        self.queue.push(
            Pending {
                request,
                plan,
                name,
            },
            latency,
            now,
        );
    }

    /// Does what a request asks for, or does it wrong.
    pub(super) fn perform(
        &mut self,
        file: FileId,
        operation: Operation,
        plan: Plan,
        now: Micros,
    ) -> Completion {
        let name = match self.check_alive(now).and_then(|()| self.name_of(file)) {
            Ok(name) => name,
            Err(source) => return operation.complete(Err(source)),
        };
        if plan.fault.is_some() {
            self.counters.faults += 1;
        }
        match operation {
            Operation::Write { offset, slot, len } => {
                let result = self.write(&name, offset, &slot, len, plan.fault);
                Operation::Write { offset, slot, len }.complete(result)
            }
            Operation::Read { offset, mut buffer } => {
                let result = self.read(&name, offset, &mut buffer, plan.fault);
                Operation::Read { offset, buffer }.complete(result)
            }
            Operation::Sync => {
                let result = self.sync(&name, &plan);
                Operation::Sync.complete(result)
            }
        }
    }

    fn write(
        &mut self,
        name: &str,
        offset: u64,
        slot: &Slot,
        len: usize,
        fault: Option<Fault>,
    ) -> io::Result<()> {
        let bad = self.faults.is_bad(Kind::Write, name, &span(offset, len));
        let fate = &mut self.fate;
        let image = self.files.get_mut(name).ok_or_else(eio)?;
        check_inside(image, offset, len)?;
        self.counters.bytes_written += len as u64;
        match fault {
            _ if bad => {
                self.counters.faults += 1;
                image.write(offset, &slot[..len], || image::random_mask(0.5, fate));
                Err(eio())
            }
            Some(Fault::Error) => {
                image.write(offset, &slot[..len], || image::random_mask(0.5, fate));
                Err(eio())
            }
            Some(Fault::Short) => {
                let pages = fate.below((len / ALIGNMENT) as u64) as usize;
                image.write(offset, &slot[..pages * ALIGNMENT], || u8::MAX);
                let done = pages * ALIGNMENT;
                Err(io::Error::new(
                    io::ErrorKind::WriteZero,
                    format!("{done} of {len} bytes written"),
                ))
            }
            Some(Fault::Misdirected) => {
                let places = (image.len() - len as u64) / ALIGNMENT as u64 + 1;
                let elsewhere = fate.below(places) * ALIGNMENT as u64;
                image.write(elsewhere, &slot[..len], || u8::MAX);
                Ok(())
            }
            Some(Fault::Lie | Fault::Rot) | None => {
                image.write(offset, &slot[..len], || u8::MAX);
                Ok(())
            }
        }
    }

    fn read(
        &mut self,
        name: &str,
        offset: u64,
        buffer: &mut AlignedBuffer,
        fault: Option<Fault>,
    ) -> io::Result<()> {
        let range = span(offset, buffer.len());
        let bad = self.faults.is_bad(Kind::Read, name, &range);
        let fate = &mut self.fate;
        let image = self.files.get_mut(name).ok_or_else(eio)?;
        check_inside(image, offset, buffer.len())?;
        if bad || fault == Some(Fault::Error) {
            self.counters.faults += u64::from(bad);
            fate.fill(&mut buffer[..ALIGNMENT]);
            return Err(eio());
        }
        if fault == Some(Fault::Rot) {
            let at = offset + fate.below(buffer.len() as u64);
            image.flip(at, fate.below(8) as u32);
        }
        image.read(offset, buffer);
        for (at, bytes) in self.queue.writes(name) {
            mix(buffer, &range, at, bytes, fate);
        }
        self.counters.bytes_read += buffer.len() as u64;
        Ok(())
    }

    fn sync(&mut self, name: &str, plan: &Plan) -> io::Result<()> {
        let image = self.files.get_mut(name).ok_or_else(eio)?;
        match plan.fault {
            Some(Fault::Error) => {
                image.lose(plan.covers, self.faults.crash, &mut self.fate);
                Err(eio())
            }
            Some(Fault::Lie) => Ok(()),
            _ => {
                image.sync(plan.covers);
                Ok(())
            }
        }
    }
}

/// Lets a read find some sectors of a write in flight.
fn mix(buffer: &mut AlignedBuffer, range: &Range<u64>, at: u64, bytes: &[u8], fate: &mut Seed) {
    for (index, page) in bytes.chunks_exact(ALIGNMENT).enumerate() {
        let place = at + (index * ALIGNMENT) as u64;
        if !range.contains(&place) {
            continue;
        }
        let start = (place - range.start) as usize;
        let target = &mut buffer[start..start + ALIGNMENT];
        for sector in image::sectors(image::random_mask(0.5, fate)) {
            target[sector.clone()].copy_from_slice(&page[sector]);
        }
    }
}

fn check_inside(image: &Image, offset: u64, len: usize) -> io::Result<()> {
    crate::disk::check_inside(offset, len, image.len())
}

fn span(offset: u64, len: usize) -> Range<u64> {
    offset..offset.saturating_add(len as u64)
}

fn overlap(left: &Range<u64>, right: &Range<u64>) -> bool {
    left.start < right.end && right.start < left.end
}
