//! Rows: what a batch, a directory and a chapter say of a block or chapter. One row tells where it lies, its times, and its
//! packed frame table, so that listing, planning and recovery never read video.
//!
//! Items are what the front of a batch and a directory consist of, one behind the other; the directory of a segment is the
//! concatenation of the items of its batches. Offsets are in the segment at hand.
//!
//! ```text
//! item        := byte kind, varint length of what follows, stream (16 bytes), signed run, then by kind:
//!   kind 1    := bytes description                   the first time a run appears in the segment
//!   kind 2    := block row
//!   kind 3    := chapter row
//!   other     := of a later release: skipped; so is what follows the known parts of an item
//! block row   := varint number, varint offset / 16, varint len, varint head_len, signed first_us, varint end_us − first_us,
//!                4 bytes checksum of the block's head, bytes frame table
//! chapter row := varint number of its first block, varint block count, varint offset / 16, varint len, varint head_len,
//!                signed first_us, varint end_us − first_us, varint generation of its oldest block, byte start cause,
//!                byte end cause (0: the run goes on)
//! ```

use super::{
    DecodeError,
    block::BLOCK_ALIGN,
    cursor::{Cursor, put_bytes, put_signed, put_varint},
    description::DESCRIPTION_LEN_MAX,
    frame_table,
    place::{Generation, Place, SegmentNumber},
};
use crate::{
    base::UnixMicros,
    media::{FrameEntry, GapCause, StreamId},
};
use bytes::Bytes;

/// Longest packed frame table: four varints of frames at their widest.
pub const TABLE_LEN_MAX: usize = 1 << 20;
/// Longest packed item.
const ITEM_LEN_MAX: usize = TABLE_LEN_MAX + 1024;

const WHAT: &str = "item";

/// Which run of which stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    /// The stream.
    pub stream: StreamId,
    /// The run's start, which is its identity within the stream.
    pub run: UnixMicros,
}

/// What a table of contents says of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRow {
    /// Number of the block within its run.
    pub number: u32,
    /// Where it lies.
    pub place: Place,
    /// Offset of the payload in the block.
    pub head_len: u32,
    /// Earliest presentation time.
    pub first: UnixMicros,
    /// End of the latest frame.
    pub end: UnixMicros,
    /// Checksum of the block's head: ties the row to this block and no other written to the same place.
    pub head_crc: u32,
    /// The packed frame table.
    pub table: Bytes,
}

impl BlockRow {
    /// The frames in payload order.
    ///
    /// # Errors
    /// When the table is not intact (it was verified by the checksum of what held it, so this is a writer's mistake).
    pub fn frames(&self) -> Result<Vec<FrameEntry>, DecodeError> {
        frame_table::decode(&self.table, self.first)
    }
}

/// What a table of contents says of a chapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChapterRow {
    /// Number of its first block within the run.
    pub number: u32,
    /// How many blocks it lists, numbered without a hole.
    pub count: u32,
    /// Where it lies.
    pub place: Place,
    /// Offset of the payload in the block that holds it.
    pub head_len: u32,
    /// Earliest presentation time.
    pub first: UnixMicros,
    /// End of the latest frame.
    pub end: UnixMicros,
    /// Lowest generation among its blocks: the oldest this chapter needs.
    pub oldest: Generation,
    /// Why there was a gap before the run.
    pub start_cause: GapCause,
    /// Why the run ended with this chapter; `None`: it goes on, or nobody could tell.
    pub end_cause: Option<GapCause>,
}

/// One entry of a batch front or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The packed description of a run.
    Description(RunId, Bytes),
    /// A block.
    Block(RunId, BlockRow),
    /// A chapter.
    Chapter(RunId, ChapterRow),
}

impl Item {
    /// Which run it is about.
    pub fn run(&self) -> RunId {
        match self {
            Self::Description(run, _) | Self::Block(run, _) | Self::Chapter(run, _) => *run,
        }
    }

    /// Packs the item at the end of `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (kind, run) = match self {
            Self::Description(run, _) => (1, run),
            Self::Block(run, _) => (2, run),
            Self::Chapter(run, _) => (3, run),
        };
        let mut body = Vec::with_capacity(128);
        body.extend_from_slice(&run.stream.0);
        put_signed(&mut body, run.run.0);
        match self {
            Self::Description(_, bytes) => put_bytes(&mut body, bytes),
            Self::Block(_, row) => {
                put_varint(&mut body, u64::from(row.number));
                put_extent(&mut body, &row.place, row.head_len);
                put_times(&mut body, row.first, row.end);
                body.extend_from_slice(&row.head_crc.to_le_bytes());
                put_bytes(&mut body, &row.table);
            }
            Self::Chapter(_, row) => {
                put_varint(&mut body, u64::from(row.number));
                put_varint(&mut body, u64::from(row.count));
                put_extent(&mut body, &row.place, row.head_len);
                put_times(&mut body, row.first, row.end);
                put_varint(&mut body, row.oldest.0);
                body.push(row.start_cause as u8);
                body.push(row.end_cause.map_or(0, |cause| cause as u8));
            }
        }
        out.push(kind);
        put_bytes(out, &body);
    }

    /// Unpacks the items of `bytes`, which are about `segment` in its life `generation`.
    ///
    /// # Errors
    /// When the bytes are not whole items.
    pub fn decode_all(
        bytes: &[u8],
        segment: SegmentNumber,
        generation: Generation,
    ) -> Result<Vec<Self>, DecodeError> {
        let mut cursor = Cursor::new(WHAT, bytes);
        let mut items = Vec::new();
        while !cursor.is_empty() {
            let kind = cursor.byte()?;
            let mut body = Cursor::new(WHAT, cursor.bytes(ITEM_LEN_MAX)?);
            if matches!(kind, 1..=3) {
                items.push(Self::decode(kind, &mut body, segment, generation)?);
            }
        }
        Ok(items)
    }

    fn decode(
        kind: u8,
        cursor: &mut Cursor<'_>,
        segment: SegmentNumber,
        generation: Generation,
    ) -> Result<Self, DecodeError> {
        let run = RunId {
            stream: StreamId(cursor.array()?),
            run: UnixMicros(cursor.signed()?),
        };
        match kind {
            1 => Ok(Self::Description(
                run,
                Bytes::copy_from_slice(cursor.bytes(DESCRIPTION_LEN_MAX)?),
            )),
            2 => {
                let number = cursor.varint32()?;
                let (place, head_len) = take_extent(cursor, segment, generation)?;
                let (first, end) = take_times(cursor)?;
                let head_crc = u32::from_le_bytes(cursor.array()?);
                let table = Bytes::copy_from_slice(cursor.bytes(TABLE_LEN_MAX)?);
                Ok(Self::Block(
                    run,
                    BlockRow {
                        number,
                        place,
                        head_len,
                        first,
                        end,
                        head_crc,
                        table,
                    },
                ))
            }
            3 => {
                let number = cursor.varint32()?;
                let count = cursor.varint32()?;
                let (place, head_len) = take_extent(cursor, segment, generation)?;
                let (first, end) = take_times(cursor)?;
                let oldest = Generation(cursor.varint()?);
                let start_cause = GapCause::from_number(cursor.byte()?)
                    .ok_or_else(|| cursor.value("start cause"))?;
                let end_cause = match cursor.byte()? {
                    0 => None,
                    other => Some(
                        GapCause::from_number(other).ok_or_else(|| cursor.value("end cause"))?,
                    ),
                };
                Ok(Self::Chapter(
                    run,
                    ChapterRow {
                        number,
                        count,
                        place,
                        head_len,
                        first,
                        end,
                        oldest,
                        start_cause,
                        end_cause,
                    },
                ))
            }
            _ => Err(cursor.value("kind")),
        }
    }
}

fn put_extent(out: &mut Vec<u8>, place: &Place, head_len: u32) {
    assert!(place.offset.is_multiple_of(BLOCK_ALIGN) && head_len <= place.len);
    put_varint(out, place.offset / BLOCK_ALIGN);
    put_varint(out, u64::from(place.len));
    put_varint(out, u64::from(head_len));
}

fn take_extent(
    cursor: &mut Cursor<'_>,
    segment: SegmentNumber,
    generation: Generation,
) -> Result<(Place, u32), DecodeError> {
    let offset = cursor
        .varint()?
        .checked_mul(BLOCK_ALIGN)
        .ok_or_else(|| cursor.value("offset"))?;
    let len = cursor.varint32()?;
    let head_len = cursor.varint32()?;
    if head_len > len || offset.checked_add(u64::from(len)).is_none() {
        return Err(cursor.value("length"));
    }
    Ok((
        Place {
            segment,
            generation,
            offset,
            len,
        },
        head_len,
    ))
}

fn put_times(out: &mut Vec<u8>, first: UnixMicros, end: UnixMicros) {
    assert!(first <= end);
    put_signed(out, first.0);
    put_varint(out, end.since(first).0 as u64);
}

fn take_times(cursor: &mut Cursor<'_>) -> Result<(UnixMicros, UnixMicros), DecodeError> {
    let first = cursor.signed()?;
    let end = i64::try_from(cursor.varint()?)
        .ok()
        .and_then(|span| first.checked_add(span));
    Ok((
        UnixMicros(first),
        UnixMicros(end.ok_or_else(|| cursor.value("end"))?),
    ))
}

/// Packs the rows of a chapter: like block rows, but each may lie in another segment.
///
/// ```text
/// chapter     := varint count, then per block:
///                byte 1: varint segment, varint generation follow | byte 0: as the row before
///                varint offset / 16, varint len, varint head_len, signed first_us − end_us of the row before,
///                varint end_us − first_us, 4 bytes checksum of the block's head, bytes frame table
/// ```
pub fn encode_rows(rows: &[BlockRow], out: &mut Vec<u8>) {
    put_varint(out, rows.len() as u64);
    let mut before: Option<&BlockRow> = None;
    for row in rows {
        let same = |other: &BlockRow| {
            (other.place.segment, other.place.generation)
                == (row.place.segment, row.place.generation)
        };
        if before.is_some_and(same) {
            out.push(0);
        } else {
            out.push(1);
            put_varint(out, u64::from(row.place.segment));
            put_varint(out, row.place.generation.0);
        }
        if let Some(before) = before {
            assert_eq!(row.number, before.number + 1, "a chapter has no holes");
        }
        put_extent(out, &row.place, row.head_len);
        put_signed(out, row.first.0 - before.map_or(0, |before| before.end.0));
        assert!(row.first <= row.end);
        put_varint(out, row.end.since(row.first).0 as u64);
        out.extend_from_slice(&row.head_crc.to_le_bytes());
        put_bytes(out, &row.table);
        before = Some(row);
    }
}

/// Unpacks the rows of a chapter whose first block has `number`.
///
/// # Errors
/// When the bytes are not one whole chapter.
pub fn decode_rows(bytes: &Bytes, number: u32) -> Result<Vec<BlockRow>, DecodeError> {
    let mut cursor = Cursor::new("chapter", bytes);
    let count = cursor.varint32()?;
    let mut rows: Vec<BlockRow> = Vec::new();
    let (mut segment, mut generation) = (0, Generation::NONE);
    for index in 0..count {
        match cursor.byte()? {
            0 if index > 0 => {}
            1 => {
                segment = cursor.varint32()?;
                generation = Generation(cursor.varint()?);
            }
            _ => return Err(cursor.value("flag")),
        }
        let (place, head_len) = take_extent(&mut cursor, segment, generation)?;
        let base = rows.last().map_or(0, |before| before.end.0);
        let first = UnixMicros(
            base.checked_add(cursor.signed()?)
                .ok_or_else(|| cursor.value("first"))?,
        );
        let span = i64::try_from(cursor.varint()?)
            .ok()
            .and_then(|span| first.0.checked_add(span));
        let end = UnixMicros(span.ok_or_else(|| cursor.value("end"))?);
        let head_crc = u32::from_le_bytes(cursor.array()?);
        let table = bytes.slice_ref(cursor.bytes(TABLE_LEN_MAX)?);
        let number = number
            .checked_add(index)
            .ok_or_else(|| cursor.value("number"))?;
        rows.push(BlockRow {
            number,
            place,
            head_len,
            first,
            end,
            head_crc,
            table,
        });
    }
    // What follows was added by a later release.
    Ok(rows)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::base::seed::Seed;

    pub(crate) fn row(random: &mut Seed, number: u32, place: Place) -> BlockRow {
        let first = UnixMicros(1_795_000_000_000_000 + i64::from(number) * 1_000_000);
        let mut table = vec![0; random.below(90) as usize];
        random.fill(&mut table);
        BlockRow {
            number,
            place,
            head_len: 300,
            first,
            end: UnixMicros(first.0 + 999_000),
            head_crc: random.next() as u32,
            table: table.into(),
        }
    }

    #[test]
    fn items_and_chapters_round_trip_and_shortened_ones_are_refused() {
        let seed = 17;
        println!("SEED={seed}");
        let mut random = Seed::new(seed);
        let run = RunId {
            stream: StreamId([3; 16]),
            run: UnixMicros(1_795_000_000_000_000),
        };
        for _ in 0..100 {
            let place = |random: &mut Seed, segment| Place {
                segment,
                generation: Generation(100 + u64::from(segment)),
                offset: random.below(1 << 24) * 16,
                len: 300 + random.below(1 << 20) as u32,
            };
            let rows: Vec<_> = (5..25)
                .map(|number| {
                    let place = place(&mut random, number / 7);
                    row(&mut random, number, place)
                })
                .collect();
            let mut packed = Vec::new();
            encode_rows(&rows, &mut packed);
            let packed = Bytes::from(packed);
            assert_eq!(decode_rows(&packed, 5).unwrap(), rows);
            assert!(decode_rows(&packed.slice(..packed.len() - 1), 5).is_err());

            let at = place(&mut random, 6);
            let block = row(&mut random, 9, at);
            let chapter = ChapterRow {
                number: 5,
                count: 20,
                place: at,
                head_len: 128,
                first: rows[0].first,
                end: rows[19].end,
                oldest: Generation(3),
                start_cause: GapCause::Restart,
                end_cause: random.chance(0.5).then_some(GapCause::CameraLost),
            };
            let items = vec![
                Item::Description(run, Bytes::from_static(b"d")),
                Item::Block(run, block),
                Item::Chapter(run, chapter),
            ];
            let mut packed = Vec::new();
            items.iter().for_each(|item| item.encode(&mut packed));
            assert_eq!(
                Item::decode_all(&packed, at.segment, at.generation).unwrap(),
                items
            );
            assert!(
                Item::decode_all(&packed[..packed.len() - 1], at.segment, at.generation).is_err()
            );
        }
    }

    #[test]
    fn random_bytes_never_panic() {
        let seed = 19;
        println!("SEED={seed}");
        let mut random = Seed::new(seed);
        for _ in 0..20_000 {
            let mut bytes = vec![0; random.below(120) as usize];
            random.fill(&mut bytes);
            if let Some(first) = bytes.first_mut() {
                *first %= 5;
            }
            let _ = Item::decode_all(&bytes, 0, Generation(1));
            let _ = decode_rows(&bytes.into(), 0);
        }
    }
}
