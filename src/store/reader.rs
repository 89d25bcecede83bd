//! Reading chapters and blocks: through the disk's own queue, bounded in number, and never believed before it is verified (L2).
//!
//! A read may race the ring: the segment's life is checked before and after, and every checksum covers the life as well, so what comes
//! back is the block that was asked for or an error that says what became of it.

use crate::{
    disk::{Completion, Operation, Request},
    format::{
        DecodeError,
        block::{Address, Block, BlockKind},
        chapter::Chapter,
        place::Place,
        row::{BlockRow, RunId},
    },
    media::{FrameEntry, StreamId},
    store::{
        chapter_cache::ReadChapter,
        index::{Piece, PieceSource},
        io::covering,
        tail::TailBlock,
        volume::VolumeShared,
    },
};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// Reads in flight at once on one volume: playback never fills the disk's queue (L4).
pub const READS_MAX: usize = 8;
/// Buffers of reads that are over, kept for the next ones: as many as are in flight, and as many again on their way to clients.
pub const SPARE_BUFFERS: usize = 2 * READS_MAX;

/// What was asked for cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The ring took the segment.
    #[error(
        "{place} was overwritten by newer recordings; ask for a later time or enlarge the volume"
    )]
    Overwritten {
        /// Where it was.
        place: Place,
    },
    /// The bytes are not what was written.
    #[error(
        "{what} at {place} of {volume} is damaged: {source}; run `nvring check` to list all damage"
    )]
    Damaged {
        /// Block or chapter.
        what: &'static str,
        /// Where it is.
        place: Place,
        /// The volume.
        volume: String,
        /// What is wrong.
        #[source]
        source: DecodeError,
    },
    /// The disk does not give the bytes.
    #[error("{place} of {volume} cannot be read: {source}; check the disk (dmesg, smartctl)")]
    Io {
        /// Where it is.
        place: Place,
        /// The volume.
        volume: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl ReadError {
    /// Whether the ring took it, which is nobody's fault.
    pub fn is_overwritten(&self) -> bool {
        matches!(self, Self::Overwritten { .. })
    }
}

/// A verified block.
#[derive(Clone, Debug)]
pub struct BlockBytes {
    /// Its frames in payload order.
    pub frames: Vec<FrameEntry>,
    payload: Bytes,
    offsets: Vec<usize>,
}

impl BlockBytes {
    /// A block that is still in memory, in one piece, as it will be read back.
    pub(crate) fn of_tail(block: &TailBlock) -> Self {
        let mut payload = BytesMut::with_capacity(block.bytes);
        let mut offsets = Vec::with_capacity(block.frames.len());
        for index in block.payload_order() {
            offsets.push(payload.len());
            for part in block.frames[index as usize].data.parts() {
                payload.extend_from_slice(part);
            }
        }
        Self {
            frames: block.entries(),
            payload: payload.freeze(),
            offsets,
        }
    }

    /// The bytes of frame number `index`.
    ///
    /// # Panics
    /// When the block has no such frame.
    pub fn frame(&self, index: usize) -> Bytes {
        let start = self.offsets[index];
        self.payload
            .slice(start..start + self.frames[index].size as usize)
    }

    /// All frames' bytes, one behind the other.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }
}

impl VolumeShared {
    /// The rows of a piece of `stream`, live ones only, with the packed description of their run.
    ///
    /// # Errors
    /// When the chapter cannot be read, or the ring took it meanwhile.
    pub async fn read_rows(
        &self,
        stream: StreamId,
        piece: &Piece,
    ) -> Result<(Bytes, Vec<BlockRow>), ReadError> {
        let (packed, mut rows) = match &piece.source {
            PieceSource::Rows(open) => (open.run.packed.clone(), open.rows.clone()),
            PieceSource::Chapter(place) => {
                let run = RunId {
                    stream,
                    run: piece.run,
                };
                let read = self.read_chapter(run, piece.number, place).await?;
                (read.description.clone(), read.chapter.rows.clone())
            }
        };
        let index = self.index();
        rows.retain(|row| index.is_live(row.place.segment, row.place.generation));
        Ok((packed, rows))
    }

    /// The chapter at `place`, from memory where it was read lately.
    async fn read_chapter(
        &self,
        run: RunId,
        number: u32,
        place: &Place,
    ) -> Result<Arc<ReadChapter>, ReadError> {
        if let Some(read) = self.chapters.get(place, run, number) {
            self.metrics.chapters_from_memory.inc();
            return Ok(read);
        }
        let bytes = self.read_place(place).await?;
        let address = Address::of(self.superblock.volume, place);
        let damaged = |source| self.damaged("chapter", place, source);
        let chapter = Chapter::decode(&bytes, address, run, number).map_err(damaged)?;
        let block = Block::verify_place(&bytes, address).map_err(damaged)?;
        let read = Arc::new(ReadChapter {
            // A copy: a slice would hold all of the read's memory for as long as the chapter is kept.
            description: Bytes::copy_from_slice(block.description()),
            chapter,
            len: place.len,
        });
        self.chapters.keep(place, &read);
        Ok(read)
    }

    /// Forgets the chapters in memory, so that the next look at each reads the disk: for measuring.
    pub fn forget_chapters(&self) {
        self.chapters.clear();
    }

    /// Reads and verifies the block of `row`, all of its frames.
    ///
    /// # Errors
    /// When it was overwritten, is damaged, or cannot be read.
    pub async fn read_block(&self, run: RunId, row: &BlockRow) -> Result<BlockBytes, ReadError> {
        let bytes = self.read_place(&row.place).await?;
        let result = verify(&bytes, self.superblock.volume, run, row);
        result.map_err(|source| self.damaged("block", &row.place, source))
    }

    async fn read_place(&self, place: &Place) -> Result<Bytes, ReadError> {
        let overwritten = || ReadError::Overwritten { place: *place };
        let io = |source| ReadError::Io {
            place: *place,
            volume: self.name.clone(),
            source,
        };
        let _permit = self
            .reads
            .acquire()
            .await
            .map_err(|_| io(std::io::Error::other("the volume is closed")))?;
        if !self.index().is_live(place.segment, place.generation) {
            return Err(overwritten());
        }
        let file = self
            .files
            .segment(place.segment)
            .map_err(|error| io(error.source))?;
        let (start, len) = covering(place.offset, place.len as usize);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let operation = Operation::Read {
            offset: start,
            buffer: self.buffers.take(len),
        };
        let queue = self.metrics.disk_requests.clone();
        queue.inc();
        let done = Box::new(move |completion: Completion| {
            queue.dec();
            drop(sender.send(completion));
        });
        self.disk.submit(Request {
            file,
            operation,
            done,
        });
        let completion = receiver
            .await
            .map_err(|_| io(std::io::Error::other("the volume is closed")))?;
        self.metrics.reads.inc();
        self.metrics.read_bytes.inc_by(len as u64);
        if !self.index().is_live(place.segment, place.generation) {
            return Err(overwritten());
        }
        completion.result.map_err(io)?;
        let buffer = completion
            .buffer
            .ok_or_else(|| io(std::io::Error::other("a read came back without its buffer")))?;
        let skip = (place.offset - start) as usize;
        Ok(buffer.into_bytes().slice(skip..skip + place.len as usize))
    }

    fn damaged(&self, what: &'static str, place: &Place, source: DecodeError) -> ReadError {
        if !self.index().is_live(place.segment, place.generation) {
            return ReadError::Overwritten { place: *place };
        }
        self.metrics.damaged.inc();
        ReadError::Damaged {
            what,
            place: *place,
            volume: self.name.clone(),
            source,
        }
    }
}

/// The block of `row` with every frame verified.
fn verify(
    bytes: &Bytes,
    volume: crate::format::superblock::VolumeId,
    run: RunId,
    row: &BlockRow,
) -> Result<BlockBytes, DecodeError> {
    let block = Block::verify(bytes, Address::of(volume, &row.place), row.head_crc)?;
    let identity = (block.kind(), block.stream(), block.run(), block.number());
    if identity != (BlockKind::Frames, run.stream, run.run, row.number)
        || block.table() != &row.table[..]
    {
        return Err(DecodeError::Value {
            what: "block",
            field: "identity",
        });
    }
    let frames = row.frames()?;
    let mut offsets = Vec::with_capacity(frames.len());
    let mut at = 0;
    for (index, frame) in frames.iter().enumerate() {
        offsets.push(at);
        let end = at + frame.size as usize;
        block.frame(index as u32, at..end)?;
        at = end;
    }
    Ok(BlockBytes {
        frames,
        payload: bytes.slice(block.head_len() as usize..),
        offsets,
    })
}
