//! Goal: parts are the same, in name and bytes, whoever finds them. Method: many scanners that see other pieces of one recording.

use crate::{
    camera::{START, film},
    encoders::X264_PYRAMID,
    folder::Blocks,
    recording::Recording,
};
use nvring::{
    base::seed::Seed,
    media::Codec,
    playback::{movie::FrameTable, parts::Part},
};
use std::collections::BTreeMap;

/// Most parts that a scanner who begins in the middle of a run leaves out: the one it begins in, the next, which may not be the first key
/// frame behind a line, and one whose decode times cannot be known.
const LEFT_OUT_MAX: usize = 3;

fn names(parts: &[Part]) -> Vec<(i64, i64)> {
    parts
        .iter()
        .map(|part| (part.run.0, part.start.0))
        .collect()
}

/// Half a minute with reordered pictures and a key frame every two seconds, with a gap; scanners begin and end anywhere in it.
#[test]
fn every_scanner_finds_the_same_parts_with_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let feed = film(dir.path(), Codec::H264, "160x90", 30, X264_PYRAMID);
    let mut recording = Recording::default();
    recording.run(&[&feed], None, 0, |time| time < START + 12_000_000);
    recording.run(&[&feed], None, 3_300_000, |time| time >= START + 14_000_000);
    let blocks = Blocks::new(&recording);
    let all = blocks.parts(None, |_| true);
    let bytes: BTreeMap<_, _> = names(&all)
        .into_iter()
        .zip(all.iter().map(|part| blocks.bytes(part)))
        .collect();
    assert_eq!(bytes.len(), all.len(), "names are unique");
    assert!(
        all.windows(2)
            .all(|pair| pair[1].follows == (pair[0].run == pair[1].run))
    );
    let mut found = 0;
    for number in 0..200 {
        println!("SEED={number}");
        let mut seed = Seed::new(number);
        let from = seed.below(recording.blocks() as u64) as usize;
        let to = seed.between(from as u64 + 1, recording.blocks() as u64) as usize;
        let parts = blocks.parts(Some(recording.run_of(to - 1)), |block| {
            (from..to).contains(&block)
        });
        for (part, name) in parts.iter().zip(names(&parts)) {
            assert_eq!(Some(&blocks.bytes(part)), bytes.get(&name), "{part:?}");
        }
        for run in 0..2 {
            let of_run = |parts: &[Part]| -> Vec<Part> {
                let parts = parts.iter().filter(|part| part.run == blocks.starts[run]);
                parts.cloned().collect()
            };
            let first = blocks.first_block(run);
            let inside = |part: &Part| {
                let grows = recording.run_of(to - 1) == run;
                let behind = part.behind.block as usize + first;
                part.first.block as usize + first >= from
                    && if grows { behind < to } else { behind <= to }
            };
            let expected: Vec<Part> = of_run(&all).into_iter().filter(inside).collect();
            let (expected, seen) = (names(&expected), names(&of_run(&parts)));
            let left_out = expected.len() - seen.len();
            assert!(expected.ends_with(&seen), "{seen:?} end {expected:?}");
            assert!(left_out <= LEFT_OUT_MAX, "{left_out}");
            assert!(left_out == 0 || from > first, "the run is known whole");
        }
        found += parts.len();
    }
    assert!(found > 300, "{found} parts were compared");
}
