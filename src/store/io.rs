//! Reading and writing a disk while waiting for it: for format, opening, recovery and administration, never for recording.

use crate::{
    base::units::align_up,
    disk::{ALIGNMENT, AlignedBuffer, Completion, Disk, FileId, Operation, Request},
    format::PAGE,
};
use bytes::Bytes;
use std::{io, sync::mpsc};

/// Reads at most so much at once, so that reads never hold much memory.
const READ_LEN_MAX: usize = 4 << 20;

/// Submits and waits.
fn run(disk: &dyn Disk, file: FileId, operation: Operation) -> Completion {
    let (sender, receiver) = mpsc::channel();
    let done = Box::new(move |completion| drop(sender.send(completion)));
    disk.submit(Request {
        file,
        operation,
        done,
    });
    match receiver.recv() {
        Ok(completion) => completion,
        Err(_) => Completion {
            result: Err(io::Error::other("the disk is closed")),
            slot: None,
            buffer: None,
        },
    }
}

/// The aligned range that covers `offset..offset + len`: its start and length.
pub(crate) fn covering(offset: u64, len: usize) -> (u64, usize) {
    let start = offset - offset % PAGE;
    (start, align_up(offset + len as u64 - start, PAGE) as usize)
}

/// Reads `len` bytes at `offset`, which need not be aligned.
pub(crate) fn read(disk: &dyn Disk, file: FileId, offset: u64, len: usize) -> io::Result<Bytes> {
    let (start, whole) = covering(offset, len);
    let skip = (offset - start) as usize;
    if whole <= READ_LEN_MAX {
        return Ok(read_aligned(disk, file, start, whole)?.slice(skip..skip + len));
    }
    let mut bytes = Vec::with_capacity(whole);
    while bytes.len() < whole {
        let piece = READ_LEN_MAX.min(whole - bytes.len());
        bytes.extend_from_slice(&read_aligned(
            disk,
            file,
            start + bytes.len() as u64,
            piece,
        )?);
    }
    Ok(Bytes::from(bytes).slice(skip..skip + len))
}

fn read_aligned(disk: &dyn Disk, file: FileId, offset: u64, len: usize) -> io::Result<Bytes> {
    let completion = run(
        disk,
        file,
        Operation::Read {
            offset,
            buffer: AlignedBuffer::new(len),
        },
    );
    completion.result?;
    completion
        .buffer
        .map(AlignedBuffer::into_bytes)
        .ok_or_else(|| io::Error::other("a read came back without its buffer (D1)"))
}

/// Writes `bytes` (whole pages) at `offset` through a slot of the disk's slab.
pub(crate) fn write(disk: &dyn Disk, file: FileId, offset: u64, bytes: &[u8]) -> io::Result<()> {
    assert!(bytes.len().is_multiple_of(ALIGNMENT));
    let mut done = 0;
    while done < bytes.len() {
        let mut slot = disk
            .slab()
            .take()
            .ok_or_else(|| io::Error::other("no slot is free"))?;
        let len = slot.len().min(bytes.len() - done);
        slot[..len].copy_from_slice(&bytes[done..done + len]);
        run(
            disk,
            file,
            Operation::Write {
                offset: offset + done as u64,
                slot,
                len,
            },
        )
        .result?;
        done += len;
    }
    Ok(())
}

/// Makes durable what was written.
pub(crate) fn sync(disk: &dyn Disk, file: FileId) -> io::Result<()> {
    run(disk, file, Operation::Sync).result
}
