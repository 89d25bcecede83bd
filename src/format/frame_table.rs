//! The packed frame table: each frame's track, kind, size and time in about four bytes.
//!
//! The same bytes stand in a block, in the row of its batch and directory, and in its chapter, so that an MP4 header can be
//! computed from chapters alone. Frames are grouped by track, in decode order within a track, which is also the order of their
//! bytes in the payload.
//!
//! ```text
//! table  := varint track count, then per track:
//!           byte track, varint frame count, then per frame:
//!             varint (size << 1 | kind differs from the frame before), [byte kind],
//!             signed (time delta − time delta before)      first frame: delta to the block's first time
//! ```
//! Deltas are microseconds of presentation time to the frame before in the table.

use super::{
    DecodeError,
    cursor::{Cursor, put_signed, put_varint},
};
use crate::{
    base::UnixMicros,
    media::{FrameEntry, FrameKind, TrackId},
};

/// Most frames one block may hold; bounds what a decoder allocates.
pub const FRAMES_MAX: usize = 65_536;

/// Most tracks one block may hold.
pub const TRACKS_MAX: usize = 16;

/// Packs `frames`, which must be grouped by rising track, with times relative to `first`.
///
/// # Panics
/// When tracks are not grouped, or a limit is passed: the writer's duty.
pub fn encode(frames: &[FrameEntry], first: UnixMicros, out: &mut Vec<u8>) {
    assert!(frames.len() <= FRAMES_MAX);
    assert!(
        frames.is_sorted_by_key(|frame| frame.track),
        "frames are grouped by track"
    );
    let groups = frames.chunk_by(|a, b| a.track == b.track);
    let count = groups.clone().count();
    assert!(count <= TRACKS_MAX);
    put_varint(out, count as u64);
    for group in groups {
        out.push(group[0].track.0);
        put_varint(out, group.len() as u64);
        let (mut kind, mut time, mut delta) = (None, first.0, 0i64);
        for frame in group {
            let changed = kind != Some(frame.kind);
            put_varint(out, u64::from(frame.size) << 1 | u64::from(changed));
            if changed {
                out.push(frame.kind as u8);
                kind = Some(frame.kind);
            }
            let step = frame.time.0.wrapping_sub(time);
            put_signed(out, step.wrapping_sub(delta));
            (time, delta) = (frame.time.0, step);
        }
    }
}

/// Unpacks a table, calling `visit` for each frame in payload order.
///
/// # Errors
/// When the bytes are not one whole table.
pub fn visit(
    table: &[u8],
    first: UnixMicros,
    visit: &mut dyn FnMut(FrameEntry),
) -> Result<(), DecodeError> {
    let mut cursor = Cursor::new("frame table", table);
    let tracks = cursor.varint()?;
    if tracks > TRACKS_MAX as u64 {
        return Err(cursor.value("track count"));
    }
    let (mut total, mut last_track) = (0u64, None);
    for _ in 0..tracks {
        let track = cursor.byte()?;
        if last_track.is_some_and(|last| last >= track) {
            return Err(cursor.value("track order"));
        }
        last_track = Some(track);
        let count = cursor.varint()?;
        total = total.saturating_add(count);
        if total > FRAMES_MAX as u64 {
            return Err(cursor.value("frame count"));
        }
        let (mut kind, mut time, mut delta) = (None, first.0, 0i64);
        for _ in 0..count {
            let head = cursor.varint()?;
            let size = u32::try_from(head >> 1).map_err(|_| cursor.value("frame size"))?;
            if head & 1 == 1 {
                kind = FrameKind::from_number(cursor.byte()?);
            }
            let kind = kind.ok_or_else(|| cursor.value("frame kind"))?;
            delta = delta.wrapping_add(cursor.signed()?);
            time = time.wrapping_add(delta);
            visit(FrameEntry {
                track: TrackId(track),
                kind,
                time: UnixMicros(time),
                size,
            });
        }
    }
    if cursor.is_empty() {
        Ok(())
    } else {
        Err(cursor.value("length"))
    }
}

/// Unpacks a table into a list.
///
/// # Errors
/// When the bytes are not one whole table.
pub fn decode(table: &[u8], first: UnixMicros) -> Result<Vec<FrameEntry>, DecodeError> {
    let mut frames = Vec::new();
    visit(table, first, &mut |frame| frames.push(frame))?;
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::Seed;

    fn random_frames(random: &mut Seed) -> Vec<FrameEntry> {
        let mut frames = Vec::new();
        for track in 0..random.between(1, 3) as u8 {
            let mut time = 1_700_000_000_000_000 + random.below(1000) as i64;
            for _ in 0..random.below(40) {
                time +=
                    40_000 + random.below(3) as i64 - if random.chance(0.3) { 80_000 } else { 0 };
                frames.push(FrameEntry {
                    track: TrackId(track),
                    kind: FrameKind::from_number(random.below(5) as u8).unwrap(),
                    time: UnixMicros(time),
                    size: random.next() as u32 >> random.below(32),
                });
            }
        }
        frames
    }

    #[test]
    fn tables_round_trip() {
        let seed = 3;
        println!("SEED={seed}");
        let mut random = Seed::new(seed);
        for _ in 0..500 {
            let frames = random_frames(&mut random);
            let first = UnixMicros(1_700_000_000_000_000);
            let mut table = Vec::new();
            encode(&frames, first, &mut table);
            assert_eq!(decode(&table, first).unwrap(), frames);
            if let Some(cut) = table.len().checked_sub(1) {
                assert!(
                    decode(&table[..cut], first).is_err(),
                    "a shortened table is refused"
                );
            }
        }
    }

    #[test]
    fn random_bytes_never_panic() {
        let seed = 5;
        println!("SEED={seed}");
        let mut random = Seed::new(seed);
        for _ in 0..20_000 {
            let mut bytes = vec![0u8; random.below(40) as usize];
            random.fill(&mut bytes);
            if let Some(first) = bytes.first_mut() {
                *first %= 4;
            }
            let _ = decode(&bytes, UnixMicros(0));
        }
    }

    /// A second of 25 fps video costs what design §2 counts on: 30 days of 500 streams in about 100 MB of index and small chapters.
    #[test]
    fn steady_video_costs_about_four_bytes_a_frame() {
        let frames: Vec<_> = (0..250)
            .map(|i| FrameEntry {
                track: TrackId(0),
                kind: if i % 50 == 0 {
                    FrameKind::Key
                } else {
                    FrameKind::Reference
                },
                time: UnixMicros(i * 40_000 + i % 3),
                size: 9_000 + (i as u32 * 37) % 5_000,
            })
            .collect();
        let mut table = Vec::new();
        encode(&frames, UnixMicros(0), &mut table);
        assert!(table.len() < 250 * 5, "{} bytes", table.len());
    }
}
