//! Recordings: what all volumes together hold of a stream. The one place that joins volumes for readers.

use crate::{
    base::{TimeRange, UnixMicros},
    format::row::{BlockRow, RunId},
    media::StreamId,
    store::{
        index::{Piece, StreamName},
        reader::{BlockBytes, ReadError},
        runs::Timeline,
        volume::VolumeShared,
    },
};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc};

/// The volumes to look into.
#[derive(Clone, Debug)]
pub struct Recordings {
    volumes: Vec<Arc<VolumeShared>>,
}

/// A stream with recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedStream {
    /// Its identity.
    pub stream: StreamId,
    /// Whose it is.
    pub name: StreamName,
}

/// A block and where to read it.
#[derive(Clone, Debug)]
pub struct RecordedBlock {
    /// Which run.
    pub run: RunId,
    /// What its chapter says of it.
    pub row: BlockRow,
    volume: Arc<VolumeShared>,
}

/// A piece, the volume it is on, and its rows.
#[derive(Clone, Debug)]
pub struct RecordedPiece {
    /// What the index says of it.
    pub piece: Piece,
    /// The packed description of its run.
    pub description: Bytes,
    /// Its blocks, by number.
    pub blocks: Vec<RecordedBlock>,
}

impl RecordedBlock {
    /// Reads and verifies it.
    ///
    /// # Errors
    /// When it was overwritten, is damaged, or cannot be read.
    pub async fn read(&self) -> Result<BlockBytes, ReadError> {
        self.volume.read_block(self.run, &self.row).await
    }
}

impl Recordings {
    /// What `volumes` hold.
    pub fn new(volumes: Vec<Arc<VolumeShared>>) -> Self {
        Self { volumes }
    }

    /// The streams with recordings, by camera.
    pub fn streams(&self) -> Vec<RecordedStream> {
        let mut all = BTreeMap::new();
        for (stream, name) in self.volumes.iter().flat_map(|volume| volume.streams()) {
            all.insert(
                (name.camera.clone(), name.kind.clone(), stream),
                RecordedStream { stream, name },
            );
        }
        all.into_values().collect()
    }

    /// The pieces of `stream` that touch `range`, in the order of (run, number).
    fn pieces(&self, stream: StreamId, range: TimeRange) -> Vec<(Piece, Arc<VolumeShared>)> {
        let mut pieces: Vec<_> = self
            .volumes
            .iter()
            .flat_map(|volume| {
                volume
                    .pieces(stream, range)
                    .into_iter()
                    .map(|piece| (piece, Arc::clone(volume)))
            })
            .collect();
        pieces.sort_by_key(|(piece, _)| (piece.run, piece.number));
        pieces
    }

    /// Runs and gaps of `stream` in `range`. Reads the index only, and for the oldest piece, part of which the ring has taken, its chapter.
    ///
    /// # Errors
    /// When that chapter cannot be read.
    pub async fn timeline(
        &self,
        stream: StreamId,
        range: TimeRange,
    ) -> Result<Timeline, ReadError> {
        let mut pieces = Vec::new();
        // A gap is known by both its ends, so what lies around the range counts too.
        for (piece, volume) in self.pieces(stream, TimeRange::ALL) {
            if !piece.clipped {
                pieces.push(piece);
                continue;
            }
            match volume.read_rows(stream, &piece).await {
                Ok((_, rows)) => pieces.extend(clip(piece, &rows)),
                Err(error) if error.is_overwritten() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Timeline::new(&pieces, range))
    }

    /// The pieces of `stream` that touch `range`, with their live blocks that do. What the ring takes meanwhile is left out.
    ///
    /// # Errors
    /// When a chapter cannot be read.
    pub async fn blocks(
        &self,
        stream: StreamId,
        range: TimeRange,
    ) -> Result<Vec<RecordedPiece>, ReadError> {
        let mut recorded = Vec::new();
        for (piece, volume) in self.pieces(stream, range) {
            let (description, mut rows) = match volume.read_rows(stream, &piece).await {
                Ok(read) => read,
                Err(error) if error.is_overwritten() => continue,
                Err(error) => return Err(error),
            };
            rows.retain(|row| row.first < range.end && row.end > range.start);
            let run = RunId {
                stream,
                run: piece.run,
            };
            let blocks: Vec<_> = rows
                .into_iter()
                .map(|row| RecordedBlock {
                    run,
                    row,
                    volume: Arc::clone(&volume),
                })
                .collect();
            if !blocks.is_empty() {
                recorded.push(RecordedPiece {
                    piece,
                    description,
                    blocks,
                });
            }
        }
        Ok(recorded)
    }

    /// First and last instant recorded of `stream`, from the index alone.
    pub fn bounds(&self, stream: StreamId) -> Option<(UnixMicros, UnixMicros)> {
        let pieces = self.pieces(stream, TimeRange::ALL);
        let first = pieces.iter().map(|(piece, _)| piece.first).min()?;
        Some((first, pieces.iter().map(|(piece, _)| piece.end).max()?))
    }
}

/// The piece without the blocks the ring has taken.
fn clip(piece: Piece, live: &[BlockRow]) -> Option<Piece> {
    let first = live.first()?;
    Some(Piece {
        number: first.number,
        count: live.len() as u32,
        first: live.iter().map(|row| row.first).min()?,
        clipped: false,
        ..piece
    })
}
