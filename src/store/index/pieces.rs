//! What is listed of a stream: live pieces in the order of (run, number) (I1, I2).

use super::{Index, OpenChapter, PieceKey, chapter_list::Entry};
use crate::{
    base::{UnixMicros, time::TimeRange},
    format::{
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
    /// Whether the ring has taken some of its first blocks: `first`, `number` and `oldest` are then too early.
    pub clipped: bool,
    /// Lowest generation among its blocks: with it the piece begins to go.
    pub oldest: Generation,
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

impl Piece {
    /// Where it stands among those of its stream.
    pub fn key(&self) -> PieceKey {
        PieceKey {
            run: self.run,
            number: self.number,
        }
    }
}

/// Between which pieces of a stream a range of time lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The first that ends after the range begins.
    pub from: Option<PieceKey>,
    /// The last that begins before the range ends.
    pub to: Option<PieceKey>,
}

impl Window {
    /// The window of what is in either.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        let from = self.from.into_iter().chain(other.from).min();
        Self {
            from,
            to: self.to.max(other.to),
        }
    }

    /// What is looked at: the first and the last, which are the other way round where the range lies in a gap. `None`: there is nothing.
    pub fn ends(self) -> Option<(PieceKey, PieceKey)> {
        let one = self.from.or(self.to)?;
        let other = self.to.unwrap_or(one);
        Some((one.min(other), one.max(other)))
    }
}

impl Index {
    /// All pieces of a stream that touch `range`, in the order of (run, number) (I1), live ones only (I2).
    pub fn pieces(&self, id: StreamId, range: TimeRange) -> Vec<Piece> {
        let Some(stream) = self.streams.get(&id) else {
            return Vec::new();
        };
        let touches = |first: UnixMicros, end: UnixMicros| first < range.end && end > range.start;
        let mut pieces: Vec<Piece> = stream
            .chapters
            .near(range)
            .filter_map(|position| self.chapter_piece(position))
            .filter(|piece| touches(piece.first, piece.end))
            .collect();
        let unlisted = stream.unlisted();
        pieces.extend(
            unlisted
                .filter(|open| touches(open.first(), open.end()))
                .filter_map(|open| self.rows_piece(open)),
        );
        pieces.sort_by_key(Piece::key);
        pieces
    }

    /// First and last instant of a stream: of all its pieces.
    pub fn bounds(&self, id: StreamId) -> Option<(UnixMicros, UnixMicros)> {
        let stream = self.streams.get(&id)?;
        let rows = stream.unlisted().filter_map(|open| self.rows_piece(open));
        let chapters = stream.chapters.bounds().into_iter();
        chapters
            .chain(rows.map(|piece| (piece.first, piece.end)))
            .reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
    }

    /// Between which pieces `range` lies.
    pub fn window(&self, id: StreamId, range: TimeRange) -> Window {
        let Some(stream) = self.streams.get(&id) else {
            return Window::default();
        };
        let read = |at| self.entry(at);
        let chapters = Window {
            from: stream.chapters.first_ending_after(range.start, &read),
            to: stream.chapters.last_beginning_before(range.end, &read),
        };
        let rows = stream.unlisted().filter_map(|open| self.rows_piece(open));
        let rows = rows.map(|piece| Window {
            from: (piece.end > range.start).then(|| piece.key()),
            to: (piece.first < range.end).then(|| piece.key()),
        });
        rows.fold(chapters, Window::join)
    }

    /// The pieces of a stream from `from` to `to`, and what stands next to them on either side, in order: the piece before, for it may tell
    /// why there is a gap, and those before that until one is whole; and the one behind. Rows in memory are all there.
    pub fn pieces_around(&self, id: StreamId, (from, to): (PieceKey, PieceKey)) -> Vec<Piece> {
        let Some(stream) = self.streams.get(&id) else {
            return Vec::new();
        };
        let read = |at| self.entry(at);
        let mut pieces: Vec<Piece> = Vec::new();
        let before = stream.chapters.before(from, &read);
        for piece in before.filter_map(|position| self.chapter_piece(position)) {
            let whole = !piece.clipped;
            pieces.push(piece);
            if whole {
                break;
            }
        }
        let behind = stream.chapters.from(from, &read);
        for piece in behind.filter_map(|position| self.chapter_piece(position)) {
            let last = piece.key() > to;
            pieces.push(piece);
            if last {
                break;
            }
        }
        let unlisted = stream.unlisted();
        pieces.extend(unlisted.filter_map(|open| self.rows_piece(open)));
        pieces.sort_by_key(Piece::key);
        pieces
    }

    fn chapter_piece(&self, position: u32) -> Option<Piece> {
        let record = self.chapter(position)?;
        let generation = Generation(record.generation.get());
        let segment = self.live_segment_of(generation)?;
        let offset = u64::from(record.offset16.get()) * 16;
        let oldest = Generation(record.oldest.get());
        Some(Piece {
            run: UnixMicros(record.run.get()),
            number: record.number.get(),
            count: record.count.get(),
            first: UnixMicros(record.first_us.get()),
            end: Entry::of(&record).end,
            start_cause: GapCause::from_number(record.start_cause)?,
            end_cause: GapCause::from_number(record.end_cause),
            clipped: self.live_segment_of(oldest).is_none(),
            oldest,
            source: PieceSource::Chapter(Place {
                segment,
                generation,
                offset,
                len: record.len.get(),
            }),
        })
    }

    fn rows_piece(&self, open: &Arc<OpenChapter>) -> Option<Piece> {
        let piece = Piece {
            run: open.run.id.run,
            number: open.rows.first()?.number,
            count: open.rows.len() as u32,
            first: open.first(),
            end: open.end(),
            start_cause: open.run.start_cause,
            end_cause: open.end_cause,
            clipped: false,
            oldest: open.oldest(),
            source: PieceSource::Rows(Arc::clone(open)),
        };
        // The ring takes generations in order: with the oldest all are there.
        if self.live_segment_of(open.oldest()).is_some() {
            return Some(piece);
        }
        let live = |row: &&BlockRow| self.is_live(row.place.segment, row.place.generation);
        let rows = || open.rows.iter().filter(live);
        Some(Piece {
            number: rows().next()?.number,
            count: rows().count() as u32,
            first: rows().map(|row| row.first).min()?,
            clipped: true,
            ..piece
        })
    }
}
