//! What the index lists of a stream: pieces of runs, live ones only, in the order of (run, number).

use super::{Index, OpenChapter, StreamIndex, StreamName};
use crate::{
    base::{TimeRange, UnixMicros},
    format::{
        index::ChapterRecord,
        place::{Generation, Place},
        row::BlockRow,
    },
    media::{GapCause, StreamId},
};
use std::sync::Arc;

/// A piece of a run as listed: either a chapter on disk or rows in memory.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The run.
    pub run: UnixMicros,
    /// Number of the first block.
    pub number: u32,
    /// How many blocks.
    pub count: u32,
    /// Earliest presentation time.
    pub first: UnixMicros,
    /// End of the latest frame.
    pub end: UnixMicros,
    /// Why there was a gap before the run.
    pub start_cause: GapCause,
    /// Why the run ended with this piece.
    pub end_cause: Option<GapCause>,
    /// Whether the ring has taken some of its first blocks: `first` and `number` are then too early.
    pub clipped: bool,
    /// Where the rows are.
    pub source: PieceSource,
}

/// Where a piece's rows are.
#[derive(Clone, Debug)]
pub enum PieceSource {
    /// In the chapter at this place.
    Chapter(Place),
    /// In memory.
    Rows(Arc<OpenChapter>),
}

impl Index {
    /// All pieces of a stream that touch `range`, in the order of (run, number) (I1), live ones only (I2).
    pub fn pieces(&self, id: StreamId, range: TimeRange) -> Vec<Piece> {
        let Some(stream) = self.streams.get(&id) else {
            return Vec::new();
        };
        let touches = |first: UnixMicros, end: UnixMicros| first < range.end && end > range.start;
        let mut pieces: Vec<Piece> = Vec::new();
        for position in &stream.chapters {
            let Some(record) = self.chapter(*position) else {
                continue;
            };
            let end = UnixMicros(
                record
                    .first_us
                    .get()
                    .saturating_add(i64::from(record.span_us.get())),
            );
            if touches(UnixMicros(record.first_us.get()), end) {
                pieces.extend(self.chapter_piece(&record, end));
            }
        }
        for open in stream
            .closing
            .iter()
            .cloned()
            .chain(stream.open.iter().map(|open| Arc::new(open.clone())))
        {
            if touches(open.first(), open.end()) {
                pieces.extend(self.rows_piece(open));
            }
        }
        pieces.sort_by_key(|piece| (piece.run, piece.number));
        pieces
    }

    fn chapter_piece(&self, record: &ChapterRecord, end: UnixMicros) -> Option<Piece> {
        let generation = Generation(record.generation.get());
        let segment = self
            .segment_of(generation)
            .filter(|segment| self.is_live(*segment, generation))?;
        let offset = u64::from(record.offset16.get()) * 16;
        let oldest = Generation(record.oldest.get());
        Some(Piece {
            run: UnixMicros(record.run.get()),
            number: record.number.get(),
            count: record.count.get(),
            first: UnixMicros(record.first_us.get()),
            end,
            start_cause: GapCause::from_number(record.start_cause)?,
            end_cause: GapCause::from_number(record.end_cause),
            clipped: self
                .segment_of(oldest)
                .is_none_or(|number| !self.is_live(number, oldest)),
            source: PieceSource::Chapter(Place {
                segment,
                generation,
                offset,
                len: record.len.get(),
            }),
        })
    }

    fn rows_piece(&self, open: Arc<OpenChapter>) -> Option<Piece> {
        let live = |row: &&BlockRow| self.is_live(row.place.segment, row.place.generation);
        let first = open.rows.iter().find(live)?;
        let count = open.rows.iter().filter(live).count() as u32;
        Some(Piece {
            run: open.run.id.run,
            number: first.number,
            count,
            first: open.rows.iter().filter(live).map(|row| row.first).min()?,
            end: open.end(),
            start_cause: open.run.start_cause,
            end_cause: open.end_cause,
            clipped: count < open.rows.len() as u32,
            source: PieceSource::Rows(open),
        })
    }

    /// All streams with a recording, by camera.
    pub fn streams(&self) -> Vec<(StreamId, StreamName)> {
        let listed = |stream: &StreamIndex| {
            !stream.chapters.is_empty() || !stream.closing.is_empty() || stream.open.is_some()
        };
        let mut streams: Vec<_> = self
            .streams
            .iter()
            .filter(|(_, stream)| listed(stream))
            .map(|(id, stream)| (*id, stream.name.clone()))
            .collect();
        streams.sort_by(|(a, x), (b, y)| (&x.camera, &x.kind, a).cmp(&(&y.camera, &y.kind, b)));
        streams
    }
}
