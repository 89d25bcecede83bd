//! Goal: a file that is asked for again is not made again, and none is given again once the ring has taken of it. Method: a small ring in
//! this process, filled through the real engine.

use crate::day::{START, description};
use bytes::Bytes;
use nvring::{
    base::{Clock, Micros, SystemClock, TimeRange, UnixMicros, units::ByteSize},
    media::{Frame, FrameData, FrameKind, GapCause, StreamId, TrackId},
    playback::{
        body::{FileLayout, VideoError, VirtualFile},
        fragmented::FragmentedLayout,
        kept_files::KeptFiles,
        mp4::Mp4Layout,
    },
    store::{
        pool::{Store, StoreOptions, VolumeSpec, format_volume},
        tail::Pushed,
        volume::FormatOptions,
    },
};
use std::{sync::Arc, time::Duration};

const STREAM: StreamId = StreamId([7; 16]);
const PER_SECOND: i64 = 5;
const PICTURE_LEN: usize = 100_000;
/// Long after all that is recorded.
const NOW: UnixMicros = UnixMicros(START.0 + 86_400_000_000);

struct Ring {
    _folder: tempfile::TempDir,
    clock: Arc<dyn Clock>,
    store: Arc<Store>,
}

fn seconds(seconds: i64) -> UnixMicros {
    START + Micros::from_secs(seconds)
}

impl Ring {
    fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let volume = folder.path().join("volume");
        let options = FormatOptions {
            size: ByteSize(4 * (16 << 20)),
            segment_len: ByteSize(16 << 20),
            pool: "default".to_owned(),
            volume: *uuid::Uuid::new_v4().as_bytes(),
        };
        format_volume(&volume, &options, &*clock, &mut |_, _| ()).unwrap();
        let spec = VolumeSpec {
            path: volume,
            pool: "default".to_owned(),
        };
        let options = StoreOptions::default();
        let opened = Store::open(&[spec], options, Arc::clone(&clock), &mut |_, _| ());
        Self {
            store: opened.unwrap().0,
            clock,
            _folder: folder,
        }
    }

    /// Records a run, and waits until all of it is on the volume.
    fn record(&self, from: i64, to: i64) {
        let tail = self.store.record(STREAM, "default").unwrap();
        tail.begin(description());
        for number in from * PER_SECOND..to * PER_SECOND {
            while self.store.held() > 8 << 20 {
                std::thread::sleep(Duration::from_millis(1));
            }
            let is_key = number % PER_SECOND == 0;
            let frame = Frame {
                track: TrackId(0),
                kind: if is_key {
                    FrameKind::Key
                } else {
                    FrameKind::Reference
                },
                time: START + Micros(number * 1_000_000 / PER_SECOND),
                data: FrameData::from(Bytes::from(vec![number as u8; PICTURE_LEN])),
            };
            assert_eq!(tail.push(frame, self.clock.elapsed()), Pushed::Kept);
        }
        tail.end(GapCause::Restart);
        for _ in 0..6000 {
            if tail.blocks().is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the volume takes nothing");
    }

    async fn file<L: FileLayout>(
        &self,
        files: &KeptFiles,
        (from, to): (i64, i64),
        now: UnixMicros,
    ) -> Result<Arc<VirtualFile<L>>, VideoError> {
        let range = TimeRange {
            start: seconds(from),
            end: seconds(to),
        };
        let recordings = self.store.recordings();
        files.file::<L>(&recordings, STREAM, range, now).await
    }

    /// Chapters looked at so far, wherever they came from.
    fn chapters(&self) -> u64 {
        let volumes = self.store.shared_volumes();
        let counts = volumes
            .iter()
            .map(|volume| volume.metrics.reads.get() + volume.metrics.chapters_from_memory.get());
        counts.sum()
    }
}

async fn kept_and_given_up<L: FileLayout>() {
    let ring = Ring::new();
    ring.record(0, 60);
    let files = KeptFiles::default();
    let (one, two) = futures_util::join!(
        ring.file::<L>(&files, (2, 40), NOW),
        ring.file::<L>(&files, (2, 40), NOW)
    );
    let one = one.unwrap();
    assert!(Arc::ptr_eq(&one, &two.unwrap()), "made once for both");
    let chapters = ring.chapters();
    assert!(chapters > 0);
    let later = NOW + Micros::from_secs(599);
    let again = ring.file::<L>(&files, (2, 40), later).await.unwrap();
    assert!(Arc::ptr_eq(&one, &again));
    assert_eq!(ring.chapters(), chapters, "no chapter is looked at again");
    // What is old is made anew, and is the same.
    let late = NOW + Micros::from_secs(600);
    let anew = ring.file::<L>(&files, (2, 40), late).await.unwrap();
    assert!(!Arc::ptr_eq(&one, &anew));
    assert_eq!(anew.head_checksum(), one.head_checksum());
    // What is not over yet is never kept.
    for (range, now) in [((2, 41), seconds(45)), ((50, 70), seconds(75))] {
        let one = ring.file::<L>(&files, range, now).await.unwrap();
        let two = ring.file::<L>(&files, range, now).await.unwrap();
        assert!(!Arc::ptr_eq(&one, &two));
    }
    // The clock was set back: there is more in the range than when the file was made.
    let before = ring.file::<L>(&files, (50, 70), late).await.unwrap();
    ring.record(62, 70);
    let after = ring.file::<L>(&files, (50, 70), late).await.unwrap();
    assert!(after.len() > before.len());
    // The ring takes the beginning, and then all of it.
    let whole = ring.file::<L>(&files, (2, 40), late).await.unwrap();
    assert!(Arc::ptr_eq(&whole, &anew));
    let mut to = 70;
    let first = || ring.store.recordings().bounds(STREAM).unwrap().0;
    while first() <= seconds(2) {
        ring.record(to, to + 5);
        to += 5;
    }
    let rest = ring.file::<L>(&files, (2, 40), late).await.unwrap();
    assert!(rest.len() < whole.len());
    let (mut range, mut len) = (0..rest.len(), 0);
    while let Some(bytes) = rest.next(&mut range).await.unwrap() {
        len += bytes.len() as u64;
    }
    assert_eq!(len, rest.len(), "every byte of it is there");
    while first() <= seconds(40) {
        ring.record(to, to + 10);
        to += 10;
    }
    let gone = ring.file::<L>(&files, (2, 40), late).await;
    assert!(gone.is_err_and(|error| error.is_empty()));
    ring.store.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_made_once_and_never_given_when_it_is_another() {
    kept_and_given_up::<Mp4Layout>().await;
    kept_and_given_up::<FragmentedLayout>().await;
}

async fn read(file: &VirtualFile<FragmentedLayout>, mut range: std::ops::Range<u64>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = file.next(&mut range).await.unwrap() {
        all.extend_from_slice(&bytes);
    }
    all
}

/// Each fragment's first decode time, and how long its samples last together (ISO 14496-12 §8.8.8, §8.8.12).
fn fragments(file: &[u8]) -> Vec<(u64, u64)> {
    let number = |at: usize| u64::from(u32::from_be_bytes(file[at..at + 4].try_into().unwrap()));
    let (mut at, mut all) = (0, Vec::new());
    while at < file.len() {
        let end = at + number(at) as usize;
        if &file[at + 4..at + 8] == b"moof" {
            let find = |name: &[u8]| {
                let found = file[at..end].windows(4).position(|four| four == name);
                at + found.unwrap() + 4
            };
            let (time, samples) = (find(b"tfdt"), find(b"trun"));
            let decode = number(time + 4) << 32 | number(time + 8);
            let count = number(samples + 4) as usize;
            let durations = (0..count).map(|sample| number(samples + 12 + 16 * sample));
            all.push((decode, durations.sum()));
        }
        at = end;
    }
    all
}

/// The heads of fragments are computed when they are read, some at a time: no seam is to be seen, in whatever order they are read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fragments_follow_each_other_without_a_seam() {
    let ring = Ring::new();
    ring.record(0, 90);
    let files = KeptFiles::default();
    let file = ring.file::<FragmentedLayout>(&files, (0, 90), NOW);
    let file = file.await.unwrap();
    let whole = read(&file, 0..file.len()).await;
    assert_eq!(whole.len() as u64, file.len());
    let fragments = fragments(&whole);
    assert!(fragments.len() >= 90, "{} fragments", fragments.len());
    for two in fragments.windows(2) {
        assert_eq!(two[0].0 + two[0].1, two[1].0, "{fragments:?}");
    }
    let last = fragments[fragments.len() - 1];
    assert_eq!(last.0 + last.1, 90_000_000);
    // Backwards, from places that are no beginning of anything.
    let mut end = file.len();
    while end > 0 {
        let start = end.saturating_sub(333_333);
        let piece = read(&file, start..end).await;
        assert!(
            piece == whole[start as usize..end as usize],
            "{start}..{end}"
        );
        end = start;
    }
    ring.store.close();
}
