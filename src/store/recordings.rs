//! Recordings: what all volumes together hold of a stream, and the tail what is not there yet. The one place that joins them for readers.

use crate::{
    base::{TimeRange, UnixMicros},
    format::{
        description::RunDescription,
        place::{Generation, Place},
        row::{BlockRow, RunId},
    },
    media::{FrameEntry, StreamId},
    store::{
        index::{Piece, PieceSource, StreamName, Window},
        reader::{BlockBytes, ReadError},
        runs::{Present, Stretch, Timeline},
        tail::{Tail, TailBlock},
        volume::VolumeShared,
    },
};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc};

/// The volumes and tails to look into.
#[derive(Clone, Debug)]
pub struct Recordings {
    volumes: Vec<Arc<VolumeShared>>,
    tails: Vec<Arc<Tail>>,
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
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Volume(BlockRow, Arc<VolumeShared>),
    Tail(Arc<TailBlock>),
}

/// Blocks of one run that follow each other, not read yet.
#[derive(Clone, Debug)]
pub struct ListedPiece {
    /// Which, and when.
    pub stretch: Stretch,
    rows: Rows,
}

#[derive(Clone, Debug)]
enum Rows {
    Volume(StreamId, Piece, Arc<VolumeShared>),
    Tail(Arc<TailBlock>),
}

/// Blocks of one run that follow each other.
#[derive(Clone, Debug)]
pub struct RecordedPiece {
    /// Which, and when.
    pub stretch: Stretch,
    /// The packed description of the run.
    pub description: Bytes,
    /// The blocks, by number.
    pub blocks: Vec<RecordedBlock>,
}

impl RecordedBlock {
    /// Its number within the run.
    pub fn number(&self) -> u32 {
        match &self.source {
            Source::Volume(row, _) => row.number,
            Source::Tail(block) => block.number,
        }
    }

    /// Earliest presentation time.
    pub fn first(&self) -> UnixMicros {
        match &self.source {
            Source::Volume(row, _) => row.first,
            Source::Tail(block) => block.first,
        }
    }

    /// End of the latest frame.
    pub fn end(&self) -> UnixMicros {
        match &self.source {
            Source::Volume(row, _) => row.end,
            Source::Tail(block) => block.end,
        }
    }

    /// Where it lies; `None` while it is in memory.
    pub fn place(&self) -> Option<Place> {
        match &self.source {
            Source::Volume(row, _) => Some(row.place),
            Source::Tail(_) => None,
        }
    }

    /// The volume it lies on, and where; `None` while it is in memory.
    pub(crate) fn on_volume(&self) -> Option<(&Arc<VolumeShared>, Place)> {
        match &self.source {
            Source::Volume(row, volume) => Some((volume, row.place)),
            Source::Tail(_) => None,
        }
    }

    /// Bytes it takes in memory while it is planned.
    pub(crate) fn weight(&self) -> usize {
        let table = match &self.source {
            Source::Volume(row, _) => row.table.len(),
            Source::Tail(_) => 0,
        };
        size_of::<Self>() + table
    }

    /// While it is in memory: the number of the frame behind its last among all frames of the tail (`Tail::after`).
    pub fn sequence_end(&self) -> Option<u64> {
        match &self.source {
            Source::Volume(..) => None,
            Source::Tail(block) => Some(block.sequence_end()),
        }
    }

    /// The frames in payload order. Reads nothing.
    pub fn frames(&self) -> Vec<FrameEntry> {
        match &self.source {
            // The row came out of a verified chapter: what cannot be unpacked was never packed, and is shown as no frames at all.
            Source::Volume(row, _) => row.frames().unwrap_or_default(),
            Source::Tail(block) => block.entries(),
        }
    }

    /// Reads and verifies it.
    ///
    /// # Errors
    /// When it was overwritten, is damaged, or cannot be read.
    pub async fn read(&self) -> Result<BlockBytes, ReadError> {
        match &self.source {
            Source::Volume(row, volume) => volume.read_block(self.run, row).await,
            Source::Tail(block) => Ok(BlockBytes::of_tail(block)),
        }
    }
}

impl Recordings {
    /// What `volumes` hold.
    pub fn new(volumes: Vec<Arc<VolumeShared>>) -> Self {
        Self {
            volumes,
            tails: Vec::new(),
        }
    }

    /// And what `tails` hold: up to the newest frame.
    #[must_use]
    pub fn with_tails(self, tails: Vec<Arc<Tail>>) -> Self {
        Self { tails, ..self }
    }

    /// The tail of `stream`, while it records.
    pub fn tail(&self, stream: StreamId) -> Option<&Arc<Tail>> {
        self.tails.iter().find(|tail| tail.stream() == stream)
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

    /// The blocks in memory. To be asked for before the volumes are: a block is listed there before it leaves memory.
    fn tail_blocks(&self, stream: StreamId) -> Vec<Arc<TailBlock>> {
        self.tail(stream)
            .map_or_else(Vec::new, |tail| tail.blocks())
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
        self.timeline_with(stream, range, None).await
    }

    /// The same, as it is at `now`: nothing is told of what is to come, but when the ring is expected to reach each run.
    ///
    /// # Errors
    /// When a chapter cannot be read.
    pub async fn timeline_at(
        &self,
        stream: StreamId,
        range: TimeRange,
        now: UnixMicros,
    ) -> Result<Timeline, ReadError> {
        self.timeline_with(stream, range, Some(now)).await
    }

    async fn timeline_with(
        &self,
        stream: StreamId,
        range: TimeRange,
        now: Option<UnixMicros>,
    ) -> Result<Timeline, ReadError> {
        let growing = self.tail(stream).and_then(|tail| tail.run());
        let present = Present {
            now,
            growing: growing.map(|run| run.id.run),
        };
        let mut stretches: Vec<Stretch> = self
            .tail_blocks(stream)
            .iter()
            .map(|block| Stretch::from(&**block))
            .collect();
        // A gap is known by both its ends, so what stands next to the range counts too, on whichever volume it is.
        let in_memory = stretches.iter().map(|stretch| stretch.window(range));
        let on_disk = self
            .volumes
            .iter()
            .map(|volume| volume.window(stream, range));
        let window = in_memory
            .chain(on_disk)
            .fold(Window::default(), Window::join);
        for volume in &self.volumes {
            let Some(ends) = window.ends() else { break };
            let forecast = now.and_then(|now| volume.forecast(now));
            for piece in volume.pieces_around(stream, ends) {
                let kept = |oldest| forecast.as_ref().map(|forecast| forecast.reaches(oldest));
                if !piece.clipped {
                    let kept_until = kept(piece.oldest);
                    let stretch = Stretch::from(&piece);
                    stretches.push(Stretch {
                        kept_until,
                        ..stretch
                    });
                    continue;
                }
                match volume.read_rows(stream, &piece).await {
                    Ok((_, rows)) => stretches.extend(clip(&piece, &rows, kept)),
                    Err(error) if error.is_overwritten() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        stretches.sort_by_key(|stretch| (stretch.run, stretch.number));
        Ok(Timeline::new(&stretches, range, present))
    }

    /// The pieces of `stream` that touch `range`, in the order of (run, number), nothing of them read yet. A block that is on its way to
    /// a volume may be in two of them.
    pub fn listed(&self, stream: StreamId, range: TimeRange) -> Vec<ListedPiece> {
        let mut listed = self.around(stream, range);
        listed.retain(|piece| piece.stretch.first < range.end && piece.stretch.end > range.start);
        listed
    }

    /// The same with all blocks in memory.
    fn around(&self, stream: StreamId, range: TimeRange) -> Vec<ListedPiece> {
        let mut listed: Vec<ListedPiece> = self
            .tail_blocks(stream)
            .into_iter()
            .map(|block| ListedPiece {
                stretch: Stretch::from(&*block),
                rows: Rows::Tail(block),
            })
            .collect();
        for volume in &self.volumes {
            for piece in volume.pieces(stream, range) {
                listed.push(ListedPiece {
                    stretch: Stretch::from(&piece),
                    rows: Rows::Volume(stream, piece, Arc::clone(volume)),
                });
            }
        }
        listed.sort_by_key(|piece| (piece.stretch.run, piece.stretch.number));
        listed
    }

    /// The pieces of `stream` that touch `range`, in the order of (run, number), with their live blocks that do and all between these. A
    /// block that is on its way to a volume may come twice. What the ring takes meanwhile is left out.
    ///
    /// # Errors
    /// When a chapter cannot be read.
    pub async fn blocks(
        &self,
        stream: StreamId,
        range: TimeRange,
    ) -> Result<Vec<RecordedPiece>, ReadError> {
        let mut recorded = Vec::new();
        for listed in self.around(stream, range) {
            recorded.extend(listed.read().await?);
            // Chapters from memory would keep the thread for as long as there are some.
            tokio::task::yield_now().await;
        }
        keep_touching(&mut recorded, range);
        Ok(recorded)
    }

    /// The description of a run, from any of its blocks; `None` when nothing of it is left.
    ///
    /// # Errors
    /// When a chapter cannot be read.
    pub async fn run(
        &self,
        stream: StreamId,
        run: UnixMicros,
    ) -> Result<Option<RunDescription>, ReadError> {
        let listed = self.listed(stream, TimeRange::ALL).into_iter();
        // The newest blocks are those that the ring takes last.
        for piece in listed.filter(|piece| piece.stretch.run == run).rev() {
            if let Some(read) = piece.read().await? {
                return Ok(RunDescription::decode(&read.description).ok());
            }
        }
        Ok(None)
    }

    /// When any of the rings last took a segment: what was recorded before may have become less then.
    pub fn last_taken(&self) -> Option<UnixMicros> {
        let volumes = self.volumes.iter();
        volumes
            .filter_map(|volume| volume.index().last_taken())
            .max()
    }

    /// First and last instant recorded of `stream`, from the index alone.
    pub fn bounds(&self, stream: StreamId) -> Option<(UnixMicros, UnixMicros)> {
        let blocks = self.tail_blocks(stream);
        let in_memory = blocks.iter().map(|block| (block.first, block.end));
        let on_disk = self
            .volumes
            .iter()
            .filter_map(|volume| volume.bounds(stream));
        in_memory
            .chain(on_disk)
            .reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
    }
}

impl ListedPiece {
    /// Whether it is on no volume yet.
    pub fn is_of_tail(&self) -> bool {
        matches!(self.rows, Rows::Tail(_))
    }

    /// Whether reading it reads nothing from disk.
    pub fn is_in_memory(&self) -> bool {
        match &self.rows {
            Rows::Tail(_) => true,
            Rows::Volume(_, piece, _) => matches!(piece.source, PieceSource::Rows(_)),
        }
    }

    /// Reads its rows: from its chapter, unless they are in memory. `None` when the ring has taken it.
    ///
    /// # Errors
    /// When the chapter cannot be read.
    pub async fn read(self) -> Result<Option<RecordedPiece>, ReadError> {
        let (stream, piece, volume) = match self.rows {
            Rows::Tail(block) if block.frames.is_empty() => return Ok(None),
            Rows::Tail(block) => return Ok(Some(RecordedPiece::of_tail(block))),
            Rows::Volume(stream, piece, volume) => (stream, piece, volume),
        };
        let (description, rows) = match volume.read_rows(stream, &piece).await {
            Ok(read) => read,
            Err(error) if error.is_overwritten() => return Ok(None),
            Err(error) => return Err(error),
        };
        let run = RunId {
            stream,
            run: piece.run,
        };
        let blocks = rows.into_iter().map(|row| RecordedBlock {
            run,
            source: Source::Volume(row, Arc::clone(&volume)),
        });
        Ok(Some(RecordedPiece {
            stretch: self.stretch,
            description,
            blocks: blocks.collect(),
        }))
    }
}

impl RecordedPiece {
    fn of_tail(block: Arc<TailBlock>) -> Self {
        Self {
            stretch: Stretch::from(&*block),
            description: block.run.packed.clone(),
            blocks: vec![RecordedBlock {
                run: block.run.id,
                source: Source::Tail(block),
            }],
        }
    }
}

/// Leaves of each run the blocks from the first that touches `range` to the last that does. Where pictures are sent in another order
/// than shown, a block between two that touch it may not touch it itself: without it a loss would seem to be there.
fn keep_touching(recorded: &mut Vec<RecordedPiece>, range: TimeRange) {
    let mut kept: BTreeMap<UnixMicros, (u32, u32)> = BTreeMap::new();
    for block in recorded.iter().flat_map(|piece| &piece.blocks) {
        if block.first() < range.end && block.end() > range.start {
            let number = block.number();
            let (first, last) = kept.entry(block.run.run).or_insert((number, number));
            (*first, *last) = ((*first).min(number), (*last).max(number));
        }
    }
    for piece in recorded.iter_mut() {
        piece.blocks.retain(|block| {
            let kept = kept.get(&block.run.run);
            kept.is_some_and(|(first, last)| (*first..=*last).contains(&block.number()))
        });
    }
    recorded.retain(|piece| !piece.blocks.is_empty());
}

/// The piece without the blocks the ring has taken.
fn clip(
    piece: &Piece,
    live: &[BlockRow],
    kept: impl Fn(Generation) -> Option<UnixMicros>,
) -> Option<Stretch> {
    let first = live.first()?;
    let oldest = live.iter().map(|row| row.place.generation).min()?;
    Some(Stretch {
        number: first.number,
        count: live.len() as u32,
        first: live.iter().map(|row| row.first).min()?,
        kept_until: kept(oldest),
        ..Stretch::from(piece)
    })
}
