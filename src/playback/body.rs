//! Any byte range of a virtual file, read block by block: one block and those read ahead are in memory, each verified before it is given.
//!
//! The file is a progressive MP4 (`VirtualMp4`) or a fragmented one (`VirtualFragmentedMp4`): both are computed parts and blocks.

use super::{
    fragmented::FragmentedLayout,
    kept_files::{FilesOf, KeptFiles},
    movie::{DamagedFrames, FrameTable, Movie, TrackChoice},
    mp4::{LayoutError, Mp4Layout, OutputFrame, Source},
    plan::{Plan, PlanError},
    read_ahead::read_ahead,
};
use crate::{
    base::TimeRange,
    media::StreamId,
    store::{
        reader::ReadError,
        recordings::{RecordedBlock, Recordings},
    },
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use std::{ops::Range, sync::Arc};
use tokio::sync::Semaphore;

/// Heads computed at once: cores are for recording first (L4).
static COMPUTING: Semaphore = Semaphore::const_new(2);

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

/// Where bytes of a file come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Made from frame tables.
    Made(Bytes),
    /// What stands before the bytes of a fragment, to be made from frame tables.
    FragmentHead {
        /// The fragment.
        fragment: usize,
        /// First byte of it.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// A block's output.
    Block {
        /// The block.
        block: usize,
        /// First byte of its output.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
}

/// A file that is known, but not yet read.
pub trait FileLayout: Sized + Send + Sync + 'static {
    /// The file for `movie`, whose frames are in `table`.
    ///
    /// # Errors
    /// When there is nothing to show, or too much.
    fn new(movie: &Movie, table: &dyn FrameTable) -> Result<Self, LayoutError>;

    /// Length of the file in bytes.
    fn total_len(&self) -> u64;

    /// What of one place begins at byte `offset`; `None` behind the end.
    fn part(&self, offset: u64) -> Option<Part>;

    /// What stands before the bytes of a fragment: only asked for where `part` says so. `table` is the one the layout was made from.
    fn fragment_head(&self, table: &dyn FrameTable, fragment: usize) -> Bytes;

    /// Which frames of `block` follow each other in the file.
    ///
    /// # Errors
    /// When the table no longer says what it said.
    fn block_output(
        &self,
        table: &dyn FrameTable,
        block: usize,
    ) -> Result<Vec<OutputFrame>, LayoutError>;

    /// A checksum of all that was made from frame tables.
    fn checksum(&self) -> u32;

    /// Bytes it takes in memory.
    fn weight(&self) -> usize;

    /// Where files of this layout are kept.
    fn kept(files: &KeptFiles) -> &FilesOf<Self>;
}

impl FileLayout for Mp4Layout {
    fn new(movie: &Movie, table: &dyn FrameTable) -> Result<Self, LayoutError> {
        Self::new(movie, table)
    }

    fn total_len(&self) -> u64 {
        self.total_len()
    }

    fn part(&self, offset: u64) -> Option<Part> {
        Some(match self.locate(offset)? {
            Source::Head(from) => Part::Made(self.head().slice(from as usize..)),
            Source::Block {
                block,
                offset: from,
            } => Part::Block {
                block,
                offset: from,
                len: self.block_range(block).end - offset,
            },
        })
    }

    fn block_output(
        &self,
        table: &dyn FrameTable,
        block: usize,
    ) -> Result<Vec<OutputFrame>, LayoutError> {
        self.block_output(table, block)
    }

    fn fragment_head(&self, _table: &dyn FrameTable, _fragment: usize) -> Bytes {
        Bytes::new()
    }

    fn checksum(&self) -> u32 {
        crc32fast::hash(self.head())
    }

    fn weight(&self) -> usize {
        self.weight()
    }

    fn kept(files: &KeptFiles) -> &FilesOf<Self> {
        &files.progressive
    }
}

/// A range of a stream as a file.
#[derive(Debug)]
pub struct VirtualFile<L> {
    plan: Plan,
    layout: L,
    checksum: u32,
}

/// A range of a stream as a progressive MP4.
pub type VirtualMp4 = VirtualFile<Mp4Layout>;

/// A range of a stream as a fragmented MP4.
pub type VirtualFragmentedMp4 = VirtualFile<FragmentedLayout>;

impl<L: FileLayout> VirtualFile<L> {
    /// Plans the file and computes its head; reads chapters only. The computing is done on a thread of its own, a few at a time, so that
    /// ranges of days hold up no other answers.
    ///
    /// # Errors
    /// When nothing that can be decoded is recorded in `range`, or a chapter cannot be read.
    pub async fn new(
        recordings: &Recordings,
        stream: StreamId,
        range: TimeRange,
    ) -> Result<Self, VideoError> {
        let plan = Plan::new(recordings, stream, range).await?;
        // The semaphore is never closed.
        let turn = COMPUTING.acquire().await.ok();
        let computed = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            Self::of(plan)
        });
        match computed.await {
            Ok(file) => file,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and whoever waits with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Computes the head of the file that `plan` gives.
    fn of(plan: Plan) -> Result<Self, VideoError> {
        let movie = plan.movie(DamagedFrames::Keep, TrackChoice::AUDIO_VIDEO);
        let layout = L::new(&movie, &plan)?;
        Ok(Self {
            checksum: layout.checksum(),
            plan,
            layout,
        })
    }

    /// Bytes it takes in memory.
    pub(super) fn weight(&self) -> usize {
        self.plan.weight() + self.layout.weight()
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
    pub fn layout(&self) -> &L {
        &self.layout
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A checksum of the head (of all heads): with the length it tells two files apart, since it lists every frame's size and time.
    pub fn head_checksum(&self) -> u32 {
        self.checksum
    }

    /// The bytes of `range`, piece by piece, with at most `READ_AHEAD` blocks read before they are asked for. Dropping it stops the reads.
    pub fn stream(
        self: Arc<Self>,
        range: Range<u64>,
    ) -> impl Stream<Item = Result<Bytes, VideoError>> {
        let (file, mut left) = (Arc::clone(&self), range);
        let ranges = std::iter::from_fn(move || {
            let piece = file.next_piece(&left)?;
            left.start = piece.end;
            Some(piece)
        });
        let read = move |piece| {
            let file = Arc::clone(&self);
            async move { file.piece(piece).await }
        };
        read_ahead(stream::iter(ranges).map(read))
    }

    /// The next piece of `range`, which it shortens; `None` at its end. A piece is at most the rest of the head or one block.
    ///
    /// # Errors
    /// When a block was overwritten, is damaged, or cannot be read: nothing false is given, the file just ends.
    pub async fn next(&self, range: &mut Range<u64>) -> Result<Option<Bytes>, VideoError> {
        let Some(piece) = self.next_piece(range) else {
            return Ok(None);
        };
        range.start = piece.end;
        self.piece(piece).await.map(Some)
    }

    /// The first part of `range` that comes from one place: the head or one block.
    fn next_piece(&self, range: &Range<u64>) -> Option<Range<u64>> {
        if range.is_empty() {
            return None;
        }
        let len = match self.layout.part(range.start)? {
            Part::Made(bytes) => bytes.len() as u64,
            Part::FragmentHead { len, .. } | Part::Block { len, .. } => len,
        };
        Some(range.start..range.end.min(range.start + len))
    }

    /// The bytes of one piece.
    async fn piece(&self, piece: Range<u64>) -> Result<Bytes, VideoError> {
        let len = (piece.end - piece.start) as usize;
        let (bytes, from) = match self.layout.part(piece.start) {
            None => return Ok(Bytes::new()),
            Some(Part::Made(bytes)) => (bytes, 0),
            Some(Part::FragmentHead {
                fragment, offset, ..
            }) => {
                let head = self.layout.fragment_head(&self.plan, fragment);
                (head, offset as usize)
            }
            Some(Part::Block { block, offset, .. }) => (self.block(block).await?, offset as usize),
        };
        Ok(bytes.slice(from..from + len))
    }

    /// What the file holds of a block.
    async fn block(&self, number: usize) -> Result<Bytes, VideoError> {
        let output = self.layout.block_output(&self.plan, number)?;
        let Some(block) = self.plan.block(number) else {
            return Ok(Bytes::new());
        };
        Ok(chosen_bytes(block, &output).await?)
    }
}

/// The bytes of the frames of a block that go into a file.
pub(crate) async fn chosen_bytes(
    block: &RecordedBlock,
    output: &[OutputFrame],
) -> Result<Bytes, ReadError> {
    let bytes = block.read().await?;
    let whole = output.len() == bytes.frames.len()
        && output
            .iter()
            .enumerate()
            .all(|(index, frame)| frame.ordinal as usize == index);
    if whole {
        return Ok(bytes.payload().clone());
    }
    let mut piece = BytesMut::with_capacity(output.iter().map(|frame| frame.size as usize).sum());
    for frame in output {
        piece.extend_from_slice(&bytes.frame(frame.ordinal as usize));
    }
    Ok(piece.freeze())
}
