//! Readers that race the ring: each takes a piece's rows, dawdles, and reads a block that may be gone by then. What comes back is the block
//! that was asked for, or the word that it was overwritten; never anything else.

use crate::{listing::SeenBlock, model::Model, setup::Promises};
use nvring::{
    base::{Micros, TimeRange, UnixMicros, seed::Seed},
    format::row::RunId,
    media::StreamId,
    store::{
        BlockRow,
        reader::{BlockBytes, ReadError},
        volume::VolumeShared,
    },
};
use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

type Outcome = Result<Option<(UnixMicros, BlockRow, BlockBytes)>, ReadError>;

struct Reader {
    volume: Arc<VolumeShared>,
    stream: StreamId,
    read: Pin<Box<dyn Future<Output = Outcome>>>,
}

/// The readers under way.
#[derive(Default)]
pub(crate) struct Readers {
    readers: Vec<Reader>,
    /// Blocks served.
    pub(crate) served: u64,
    /// Blocks that were gone.
    pub(crate) overwritten: u64,
}

impl Readers {
    /// How many are under way on a volume: each has one read in the disk's queue at most.
    pub(crate) fn of(&self, volume: &Arc<VolumeShared>) -> usize {
        let of_it = |reader: &&Reader| Arc::ptr_eq(&reader.volume, volume);
        self.readers.iter().filter(of_it).count()
    }

    /// Starts a reader of one block of `stream`, which reads it at `time`.
    pub(crate) fn start(
        &mut self,
        volume: &Arc<VolumeShared>,
        stream: StreamId,
        time: Micros,
        random: &mut Seed,
    ) {
        let mut pieces = volume.pieces(stream, TimeRange::ALL);
        if pieces.is_empty() || self.readers.len() >= 6 {
            return;
        }
        // Old pieces are the ones that go.
        let oldest = random
            .below(pieces.len() as u64)
            .min(random.below(pieces.len() as u64));
        let (piece, choice) = (pieces.swap_remove(oldest as usize), random.next());
        let shared = Arc::clone(volume);
        let read = async move {
            let (_, rows) = shared.read_rows(stream, &piece).await?;
            let clock = Arc::clone(&shared.clock);
            poll_fn(|_| {
                if clock.elapsed() >= time {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
            let Some(row) = rows.get(choice as usize % rows.len().max(1)).cloned() else {
                return Ok(None);
            };
            let run = RunId {
                stream,
                run: piece.run,
            };
            let bytes = shared.read_block(run, &row).await?;
            Ok(Some((piece.run, row, bytes)))
        };
        self.readers.push(Reader {
            volume: Arc::clone(volume),
            stream,
            read: Box::pin(read),
        });
    }

    /// Lets the readers go on, and holds what they got against what was recorded.
    pub(crate) fn poll(&mut self, model: &Model, promises: &Promises, _now: Micros) {
        let mut context = Context::from_waker(Waker::noop());
        let mut done = Vec::new();
        self.readers
            .retain_mut(|reader| match reader.read.as_mut().poll(&mut context) {
                Poll::Pending => true,
                Poll::Ready(outcome) => {
                    done.push((Arc::clone(&reader.volume), reader.stream, outcome));
                    false
                }
            });
        for (volume, stream, outcome) in done {
            match outcome {
                Ok(None) => {}
                Ok(Some((run, row, bytes))) => {
                    self.served += 1;
                    check(model, stream, run, &row, &bytes);
                }
                Err(ReadError::Overwritten { place }) => {
                    self.overwritten += 1;
                    assert!(
                        !volume.index().is_live(place.segment, place.generation),
                        "{place} is not overwritten"
                    );
                }
                Err(error) => assert!(
                    !promises.readable || !promises.alive,
                    "a read failed: {error}"
                ),
            }
        }
    }

    /// The process ended.
    pub(crate) fn clear(&mut self) {
        self.readers.clear();
    }
}

fn check(model: &Model, stream: StreamId, run: UnixMicros, row: &BlockRow, bytes: &BlockBytes) {
    let frames = bytes.frames.iter().enumerate();
    let block = SeenBlock {
        first: row.first,
        end: row.end,
        frames: frames
            .map(|(index, entry)| (*entry, bytes.frame(index)))
            .collect(),
        homes: Vec::new(),
    };
    assert!(!model.streams[&stream].frames_of(run, &block).is_empty());
}
