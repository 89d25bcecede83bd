//! The chapter: one stream's table of contents for a piece of one run, at most ten minutes and 64 KiB.
//!
//! It is written as a block of kind 2 (`block`), whose head carries the run's description and whose payload is the packed rows
//! (`row::encode_rows`): with a chapter alone, and no video, the header of an MP4 can be computed. It lies behind the blocks it
//! lists, so the ring takes it just after them.

use super::{
    DecodeError,
    block::{Address, Block, BlockKind},
    description::RunDescription,
    row::{BlockRow, RunId, decode_rows},
};
use crate::base::Micros;
use bytes::Bytes;

/// A chapter is closed before its rows pass this many bytes.
pub const CHAPTER_LEN_MAX: usize = 64 * 1024;
/// A chapter is closed before it covers more time than this.
pub const CHAPTER_SPAN_MAX: Micros = Micros::from_secs(600);

/// A verified chapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chapter {
    /// Which run.
    pub run: RunId,
    /// What is true of the run.
    pub description: RunDescription,
    /// The rows of its blocks, numbered without a hole.
    pub rows: Vec<BlockRow>,
}

impl Chapter {
    /// Verifies the chapter of `run` from block `number` on that was written to `address`; `bytes` are the whole block.
    ///
    /// # Errors
    /// When it is not an intact chapter, or not that one.
    pub fn decode(
        bytes: &[u8],
        address: Address,
        run: RunId,
        number: u32,
    ) -> Result<Self, DecodeError> {
        let block = Block::verify_place(bytes, address)?;
        let found = (block.kind(), block.stream(), block.run(), block.number());
        if found != (BlockKind::Chapter, run.stream, run.run, number) {
            return Err(DecodeError::Value {
                what: "chapter",
                field: "identity",
            });
        }
        let payload = Bytes::copy_from_slice(block.whole_payload()?);
        Ok(Self {
            run,
            description: RunDescription::decode(block.description())?,
            rows: decode_rows(&payload, block.number())?,
        })
    }
}
