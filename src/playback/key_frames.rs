//! Key frames by time: the one to show for an instant, and some spread over a range, for looking through hours at a glance.
//!
//! Found in frame tables alone; video is read only for the one frame that is asked for.

use super::{groups::main_track, still::Still};
use crate::{
    base::{TimeRange, UnixMicros},
    media::{Codec, FrameKind, StreamId, Track},
    store::{
        RunDescription,
        reader::ReadError,
        recordings::{ListedPiece, RecordedBlock, Recordings},
    },
};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

/// How many chapters are read in search of one key frame: hours of them, while cameras send one in minutes at the least.
const CHAPTERS_MAX: usize = 32;

/// How many chapters are read for one place of a strip, which may as well stay empty.
const PLACE_CHAPTERS_MAX: usize = 3;

/// A key frame that was found.
#[derive(Clone, Debug)]
pub struct KeyFrame {
    /// When it is shown.
    pub time: UnixMicros,
    /// Its length in bytes.
    pub size: u32,
    ordinal: usize,
    block: RecordedBlock,
    track: Arc<Track>,
}

impl KeyFrame {
    /// The last one at or before `at`; `None` when there is none in reach.
    ///
    /// # Errors
    /// When a chapter cannot be read.
    pub async fn at_or_before(
        recordings: &Recordings,
        stream: StreamId,
        at: UnixMicros,
    ) -> Result<Option<Self>, ReadError> {
        let until = TimeRange {
            start: UnixMicros::MIN,
            end: UnixMicros(at.0.saturating_add(1)),
        };
        let mut listed = recordings.listed(stream, until);
        listed.sort_by_key(|piece| piece.stretch.first);
        let mut found: Option<Self> = None;
        let mut chapters = 0;
        for piece in listed.into_iter().rev() {
            let stretch = piece.stretch;
            chapters += usize::from(!piece.is_in_memory());
            // What began earlier also ended earlier, unless the clock was set back.
            let later = |found: &Self| stretch.end > found.time;
            if chapters > CHAPTERS_MAX || !found.as_ref().is_none_or(later) {
                break;
            }
            let keys = keys_of(piece).await?;
            let last = keys.into_iter().rev().find(|key| key.time <= at);
            let time = |key: &Option<Self>| key.as_ref().map(|key| key.time);
            if time(&last) > time(&found) {
                found = last;
            }
        }
        Ok(found)
    }

    /// The first one in each of `count` equal parts of `range`, where there is one, in order.
    ///
    /// # Errors
    /// When a chapter cannot be read.
    pub async fn spread(
        recordings: &Recordings,
        stream: StreamId,
        range: TimeRange,
        count: u32,
    ) -> Result<Vec<Self>, ReadError> {
        let mut listed = recordings.listed(stream, range);
        listed.sort_by_key(|piece| piece.stretch.first);
        let mut strip = Vec::new();
        let mut read: BTreeMap<usize, Vec<Self>> = BTreeMap::new();
        let mut from = 0;
        for part in parts(range, count) {
            let over = |piece: &&ListedPiece| piece.stretch.end <= part.start;
            from += listed[from..].iter().take_while(over).count();
            read = read.split_off(&from);
            let touching = listed[from..]
                .iter()
                .enumerate()
                .take_while(|(_, piece)| piece.stretch.first < part.end);
            let mut chapters = 0;
            for (number, piece) in touching {
                let number = from + number;
                let keys = match read.entry(number) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(place) => {
                        chapters += usize::from(!piece.is_in_memory());
                        if chapters > PLACE_CHAPTERS_MAX {
                            break;
                        }
                        place.insert(keys_of(piece.clone()).await?)
                    }
                };
                let key = keys.iter().find(|key| part.contains(key.time));
                if let Some(key) = key {
                    strip.push(key.clone());
                    break;
                }
            }
        }
        Ok(strip)
    }

    /// How it is coded.
    pub fn codec(&self) -> Codec {
        self.track.codec
    }

    /// The frame itself.
    ///
    /// # Errors
    /// When its block was overwritten meanwhile, is damaged, or cannot be read.
    pub async fn read(&self) -> Result<Still, ReadError> {
        let block = self.block.read().await?;
        let data = block.frame(self.ordinal);
        Ok(Still::new(self.time, Track::clone(&self.track), data))
    }
}

/// The key frames of a piece by time.
async fn keys_of(piece: ListedPiece) -> Result<Vec<KeyFrame>, ReadError> {
    let Some(piece) = piece.read().await? else {
        return Ok(Vec::new());
    };
    let Ok(description) = RunDescription::decode(&piece.description) else {
        return Ok(Vec::new());
    };
    let main = main_track(&description.tracks);
    let track = description
        .tracks
        .tracks
        .into_iter()
        .nth(usize::from(main.0));
    let Some(track) = track.filter(|track| track.codec.is_video()).map(Arc::new) else {
        return Ok(Vec::new());
    };
    let mut keys = Vec::new();
    for block in &piece.blocks {
        for (ordinal, frame) in block.frames().into_iter().enumerate() {
            if frame.track == main && frame.kind == FrameKind::Key && frame.size > 0 {
                keys.push(KeyFrame {
                    time: frame.time,
                    size: frame.size,
                    ordinal,
                    block: block.clone(),
                    track: Arc::clone(&track),
                });
            }
        }
    }
    keys.sort_by_key(|key| key.time);
    Ok(keys)
}

/// `count` equal parts of `range`, but for rounding to microseconds.
fn parts(range: TimeRange, count: u32) -> impl Iterator<Item = TimeRange> {
    let cut = move |number: u32| {
        let share = i128::from(range.duration().0) * i128::from(number) / i128::from(count.max(1));
        UnixMicros(range.start.0.saturating_add(share as i64))
    };
    (0..count).filter_map(move |number| TimeRange::new(cut(number), cut(number + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_range_without_a_hole() {
        let range = |start, end| TimeRange {
            start: UnixMicros(start),
            end: UnixMicros(end),
        };
        let cut = |count| parts(range(-3, 7), count).collect::<Vec<_>>();
        assert_eq!(cut(3), [range(-3, 0), range(0, 3), range(3, 7)]);
        assert_eq!((cut(0).len(), cut(10).len(), cut(1000).len()), (0, 10, 10));
        let all = parts(TimeRange::ALL, 7).collect::<Vec<_>>();
        assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start));
    }
}
