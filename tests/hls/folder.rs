//! A recording as a folder of lists, init segments and parts, as a server gives them out.

use crate::recording::Recording;
use nvring::{
    base::UnixMicros,
    media::FrameEntry,
    playback::{
        fragment_tracks::{FragmentTracks, Receiver},
        hls::{ListKind, MediaList, Show, part_file, target_duration},
        movie::FrameTable,
        parts::{Part, PartFragment, PartScan, RunPlace},
    },
};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Runs of a recording with their blocks, as the scanner of parts takes them.
pub(crate) struct Blocks<'a> {
    recording: &'a Recording,
    /// Start of each run.
    pub(crate) starts: Vec<UnixMicros>,
    tracks: Vec<Arc<FragmentTracks>>,
}

impl<'a> Blocks<'a> {
    pub(crate) fn new(recording: &'a Recording) -> Self {
        let mut starts = Vec::new();
        for block in 0..recording.blocks() {
            if recording.run_of(block) == starts.len() {
                starts.push(frames(recording, block)[0].time);
            }
        }
        let tracks = recording.runs.iter().zip(&starts);
        let tracks = tracks.map(|(run, start)| {
            Arc::new(FragmentTracks::new(&run.tracks, *start, Receiver::Player).unwrap())
        });
        Self {
            recording,
            tracks: tracks.collect(),
            starts,
        }
    }

    /// Run and number in the run of each block that `seen` says yes to.
    fn numbered(&self, seen: impl Fn(usize) -> bool) -> Vec<(usize, u32, usize)> {
        let mut next = BTreeMap::new();
        let all = (0..self.recording.blocks()).map(|block| {
            let run = self.recording.run_of(block);
            let number = next.entry(run).or_insert(0);
            *number += 1;
            (run, *number - 1, block)
        });
        all.filter(|(_, _, block)| seen(*block)).collect()
    }

    /// The first block of a run.
    pub(crate) fn first_block(&self, run: usize) -> usize {
        let mut all = 0..self.recording.blocks();
        all.find(|block| self.recording.run_of(*block) == run)
            .unwrap()
    }

    /// The parts that are found by one who sees only the blocks that `seen` says yes to.
    pub(crate) fn parts(&self, growing: Option<usize>, seen: impl Fn(usize) -> bool) -> Vec<Part> {
        let mut scan = PartScan::default();
        for (run, number, block) in self.numbered(seen) {
            let frames = frames(self.recording, block);
            scan.block(self.starts[run], &self.tracks[run], number, &frames);
        }
        let growing = growing.map(|run| self.starts[run]);
        scan.finish(|part| Some(part.run) != growing)
    }

    fn run_blocks(&self, part: &Part) -> Vec<(u32, usize)> {
        let run = self.starts.iter().position(|start| *start == part.run);
        let all = self.numbered(|_| true).into_iter();
        all.filter(|(of, _, _)| Some(*of) == run)
            .map(|(_, number, block)| (number, block))
            .collect()
    }

    /// The bytes of a part; of the blocks before its context and behind its end nothing is seen.
    pub(crate) fn bytes(&self, part: &Part) -> Vec<u8> {
        let blocks = self.run_blocks(part);
        let near = blocks
            .iter()
            .filter(|(number, _)| (part.context.block..=part.behind.block).contains(number));
        let tables = near.map(|(number, block)| (*number, frames(self.recording, *block)));
        self.assemble(&blocks, part.fragment(tables))
    }

    pub(crate) fn key_bytes(&self, part: &Part) -> Vec<u8> {
        let RunPlace { block, .. } = part.first;
        let blocks = self.run_blocks(part);
        let (_, number) = blocks.iter().find(|(number, _)| *number == block).unwrap();
        self.assemble(&blocks, part.key_fragment(&frames(self.recording, *number)))
    }

    fn assemble(&self, blocks: &[(u32, usize)], part: PartFragment) -> Vec<u8> {
        let mut bytes = part.fragment.head;
        let head = bytes.len() as u64;
        for (chunk, number) in part.fragment.chunks.iter().zip(part.blocks) {
            let (_, block) = blocks.iter().find(|(other, _)| *other == number).unwrap();
            for frame in chunk {
                bytes.extend(self.recording.frame(*block, frame.ordinal));
            }
        }
        assert_eq!(head + part.fragment.body_len, bytes.len() as u64);
        bytes
    }

    /// Writes all that the lists of `parts` name into `folder`, with `media.m3u8` and `keys.m3u8`.
    pub(crate) fn write(&self, folder: &Path, parts: &[Part]) {
        for part in parts {
            let run = folder.join(part.run.0.to_string());
            std::fs::create_dir_all(&run).unwrap();
            std::fs::write(run.join("init.mp4"), part.tracks.init()).unwrap();
            let name = |show| run.join(part_file(part.start, show));
            std::fs::write(name(Show::Parts), self.bytes(part)).unwrap();
            std::fs::write(name(Show::Keys), self.key_bytes(part)).unwrap();
        }
        for (name, show) in [("media.m3u8", Show::Parts), ("keys.m3u8", Show::Keys)] {
            let list = MediaList {
                kind: ListKind::Past,
                show,
                parts,
                from: parts[0].start,
                target: target_duration(parts),
                ends_itself: true,
                query: "",
            };
            std::fs::write(folder.join(name), list.text()).unwrap();
        }
    }
}

fn frames(recording: &Recording, block: usize) -> Vec<FrameEntry> {
    let mut frames = Vec::new();
    recording.visit(block, &mut |frame| frames.push(*frame));
    frames
}
