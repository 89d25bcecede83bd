//! Any byte range of a virtual MP4, read block by block: one block is in memory at a time, each verified before a byte of it is given.

use super::{
    movie::{DamagedFrames, TrackChoice},
    mp4::{LayoutError, Mp4Layout, Source},
    plan::{Plan, PlanError},
};
use crate::{
    base::TimeRange,
    media::StreamId,
    store::{reader::ReadError, recordings::Recordings},
};
use bytes::{Bytes, BytesMut};
use std::ops::Range;

/// A virtual MP4 that cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    /// Nothing is recorded, or a chapter cannot be read.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No file can be made of it.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A block cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl VideoError {
    /// Whether there is simply nothing in the range.
    pub fn is_empty(&self) -> bool {
        matches!(
            self,
            Self::Plan(PlanError::Empty { .. }) | Self::Layout(LayoutError::Empty { .. })
        )
    }
}

/// A range of a stream as an MP4 file.
#[derive(Debug)]
pub struct VirtualMp4 {
    plan: Plan,
    layout: Mp4Layout,
}

impl VirtualMp4 {
    /// Plans the file and computes its head; reads chapters only.
    ///
    /// # Errors
    /// When nothing that can be decoded is recorded in `range`, or a chapter cannot be read.
    pub async fn new(
        recordings: &Recordings,
        stream: StreamId,
        range: TimeRange,
    ) -> Result<Self, VideoError> {
        let plan = Plan::new(recordings, stream, range).await?;
        let layout = Mp4Layout::new(
            &plan.movie(DamagedFrames::Keep, TrackChoice::AUDIO_VIDEO),
            &plan,
        )?;
        Ok(Self { plan, layout })
    }

    /// Length of the file.
    pub fn len(&self) -> u64 {
        self.layout.total_len()
    }

    /// A file is never empty.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The layout.
    pub fn layout(&self) -> &Mp4Layout {
        &self.layout
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A checksum of the head: with the length it tells two files apart, since the head lists every frame's size and time.
    pub fn head_checksum(&self) -> u32 {
        crc32fast::hash(self.layout.head())
    }

    /// The next piece of `range`, which it shortens; `None` at its end. A piece is at most the rest of the head or one block.
    ///
    /// # Errors
    /// When a block was overwritten, is damaged, or cannot be read: nothing false is given, the file just ends.
    pub async fn next(&self, range: &mut Range<u64>) -> Result<Option<Bytes>, VideoError> {
        if range.is_empty() {
            return Ok(None);
        }
        let piece = match self.layout.locate(range.start) {
            None => return Ok(None),
            Some(Source::Head(from)) => self.layout.head().slice(from as usize..),
            Some(Source::Block { block, offset }) => {
                self.block(block).await?.slice(offset as usize..)
            }
        };
        let left = range.end - range.start;
        let piece = if piece.len() as u64 > left {
            piece.slice(..left as usize)
        } else {
            piece
        };
        range.start += piece.len() as u64;
        Ok(Some(piece))
    }

    /// What the file holds of a block.
    async fn block(&self, number: usize) -> Result<Bytes, VideoError> {
        let output = self.layout.block_output(&self.plan, number)?;
        let Some(block) = self.plan.block(number) else {
            return Ok(Bytes::new());
        };
        let bytes = block.read().await?;
        let whole = output.len() == bytes.frames.len()
            && output
                .iter()
                .enumerate()
                .all(|(index, frame)| frame.ordinal as usize == index);
        if whole {
            return Ok(bytes.payload().clone());
        }
        let mut piece =
            BytesMut::with_capacity(output.iter().map(|frame| frame.size as usize).sum());
        for frame in output {
            piece.extend_from_slice(&bytes.frame(frame.ordinal as usize));
        }
        Ok(piece.freeze())
    }
}
