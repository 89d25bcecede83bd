//! Feeds cut into blocks as the store keeps them, and the file a layout makes of them.

use crate::camera::{Feed, Shot};
use nvring::{
    base::{TimeRange, UnixMicros},
    media::{FrameEntry, GapCause, Track, TrackId, TrackSet},
    playback::{
        body::FileLayout,
        movie::{DamagedFrames, FrameTable, Movie, MovieRun, TrackChoice},
        mp4::{Mp4Layout, Source},
    },
};
use std::{collections::BTreeMap, sync::Arc};

/// Blocks of about one second.
#[derive(Default)]
pub(crate) struct Recording {
    pub(crate) runs: Vec<MovieRun>,
    blocks: Vec<(usize, Vec<Shot>)>,
}

impl Recording {
    /// Adds a run that has of each feed the frames whose time satisfies `recorded`, shifted by `shift_us`.
    pub(crate) fn run(
        &mut self,
        feeds: &[&Feed],
        cause: Option<GapCause>,
        shift_us: i64,
        recorded: impl Fn(i64) -> bool,
    ) {
        let tracks: Vec<Track> = feeds.iter().map(|feed| feed.track.clone()).collect();
        let run = self.runs.len();
        self.runs.push(MovieRun {
            tracks: Arc::new(TrackSet { tracks }),
            cause,
        });
        // A block is cut by arrival: a frame arrives when all it refers to has, so its turn is its place in decode order.
        let mut blocks: BTreeMap<i64, Vec<Shot>> = BTreeMap::new();
        for (number, feed) in feeds.iter().enumerate() {
            let mut arrival = i64::MIN;
            for shot in &feed.shots {
                if !recorded(shot.entry.time.0) {
                    continue;
                }
                arrival = arrival.max(shot.entry.time.0 / 1_000_000);
                let mut shot = shot.clone();
                shot.entry.track = TrackId(number as u8);
                shot.entry.time.0 += shift_us;
                blocks.entry(arrival).or_default().push(shot);
            }
        }
        let blocks = blocks.into_values().map(|block| (run, block));
        self.blocks.extend(blocks);
    }

    /// The movie of `from..to`.
    pub(crate) fn movie(&self, from: i64, to: i64) -> Movie {
        Movie {
            runs: self.runs.clone(),
            range: TimeRange::new(UnixMicros(from), UnixMicros(to)).unwrap(),
            damaged: DamagedFrames::Keep,
            choice: TrackChoice::ALL,
        }
    }

    /// The whole file of `layout`.
    pub(crate) fn file(&self, layout: &Mp4Layout) -> Vec<u8> {
        let mut file = layout.head().to_vec();
        for block in 0..self.blocks() {
            assert_eq!(layout.block_range(block).start, file.len() as u64);
            file.extend(self.block_bytes(layout, block));
            assert_eq!(layout.block_range(block).end, file.len() as u64);
        }
        assert_eq!(layout.total_len(), file.len() as u64);
        file
    }

    /// The output of one block.
    pub(crate) fn block_bytes(&self, layout: &impl FileLayout, block: usize) -> Vec<u8> {
        let frames = layout.block_output(self, block).unwrap();
        let mut bytes = Vec::new();
        for frame in frames {
            let data = self.frame(block, frame.ordinal);
            assert_eq!(data.len(), frame.size as usize);
            bytes.extend(data);
        }
        bytes
    }

    /// The bytes of one frame.
    pub(crate) fn frame(&self, block: usize, ordinal: u32) -> &[u8] {
        &self.blocks[block].1[ordinal as usize].data
    }

    /// One byte of the file, found as a server that answers a byte range finds it.
    pub(crate) fn byte_at(&self, layout: &Mp4Layout, offset: u64) -> Option<u8> {
        Some(match layout.locate(offset)? {
            Source::Head(at) => layout.head()[at as usize],
            Source::Block { block, offset } => self.block_bytes(layout, block)[offset as usize],
        })
    }
}

impl FrameTable for Recording {
    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn run_of(&self, block: usize) -> usize {
        self.blocks[block].0
    }

    fn visit(&self, block: usize, visit: &mut dyn FnMut(&FrameEntry)) {
        self.blocks[block]
            .1
            .iter()
            .for_each(|shot| visit(&shot.entry));
    }
}
