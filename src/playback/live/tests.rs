//! Goal: whoever joins begins at a key frame, the last one where that is cheap, and misses nothing behind it. Method: a tail in memory.

use super::*;
use crate::{
    base::UnixMicros,
    format::description::tests::sample,
    media::{FrameData, TrackId},
    store::tail::{TailBudget, TailLimits},
};
use bytes::Bytes;

struct Camera {
    tail: Arc<Tail>,
    picture: Bytes,
    number: i64,
}

impl Camera {
    /// Pictures of 25 a second, `len` bytes each.
    fn new(len: usize) -> Self {
        let limits = TailLimits {
            waiting_max: 1 << 30,
            block_len_max: 1 << 20,
            frame_len_max: 1 << 20,
        };
        let tail = Tail::new(Default::default(), TailBudget::new(1 << 31), limits);
        tail.begin(sample());
        Self {
            tail,
            picture: vec![7; len].into(),
            number: 0,
        }
    }

    fn push(&self, track: u8, kind: FrameKind, millis: i64) {
        let frame = Frame {
            track: TrackId(track),
            kind,
            time: UnixMicros(millis * 1_000),
            data: FrameData::from(self.picture.clone()),
        };
        self.tail.push(frame, Micros::from_millis(millis));
    }

    /// `count` pictures, the first one a key frame.
    fn group(&mut self, count: usize) {
        for number in 0..count {
            let kind = if number == 0 {
                FrameKind::Key
            } else {
                FrameKind::Reference
            };
            self.push(0, kind, self.number * 40);
            self.number += 1;
        }
    }

    async fn join(&self) -> LiveFrames {
        let recordings = Recordings::new(Vec::new()).with_tails(vec![Arc::clone(&self.tail)]);
        LiveFrames::join(&recordings, Arc::clone(&self.tail), LEAD_IN_LEN_MAX).await
    }
}

/// All that can be given at once, as (track, milliseconds).
async fn given(live: &mut LiveFrames) -> Vec<(u8, i64)> {
    let mut all = Vec::new();
    while let Ok(event) = timeout(Duration::from_millis(1), live.next()).await {
        match event {
            LiveEvent::Frames(frames) => {
                all.extend(
                    frames
                        .iter()
                        .map(|frame| (frame.track.0, frame.time.0 / 1_000)),
                );
            }
            LiveEvent::Run(_) => {}
            other => panic!("{other:?}"),
        }
    }
    all
}

#[tokio::test(start_paused = true)]
async fn who_joins_gets_the_group_that_goes_on() {
    let mut camera = Camera::new(1_000);
    camera.group(50);
    camera.group(30);
    let mut live = camera.join().await;
    assert!(live.is_behind());
    camera.push(0, FrameKind::Reference, 3_200);
    let expected: Vec<_> = (50..=80).map(|number| (0, number * 40)).collect();
    assert_eq!(given(&mut live).await, expected);
    assert!(!live.is_behind());
}

/// 4 Mbit/s and a key frame every four minutes: 120 MB since the last one.
#[tokio::test(start_paused = true)]
async fn in_a_group_of_four_minutes_the_next_key_frame_is_waited_for() {
    let mut camera = Camera::new(20_000);
    camera.group(6_000);
    let mut live = camera.join().await;
    assert!(!live.is_behind(), "nothing is read");
    camera.push(0, FrameKind::Reference, 240_000);
    camera.number += 1;
    assert_eq!(given(&mut live).await, []);
    camera.group(2);
    assert_eq!(given(&mut live).await, [(0, 240_040), (0, 240_080)]);
}

#[tokio::test(start_paused = true)]
async fn no_sound_comes_from_before_the_key_frame() {
    let camera = Camera::new(100);
    camera.push(0, FrameKind::Key, 0);
    // Sound comes a little later than the pictures beside it.
    for (track, kind, millis) in [
        (0, FrameKind::Key, 1_000),
        (1, FrameKind::Key, 960),
        (1, FrameKind::Key, 980),
        (0, FrameKind::Leading, 970),
        (1, FrameKind::Key, 1_000),
        (1, FrameKind::Key, 1_020),
    ] {
        camera.push(track, kind, millis);
    }
    let mut live = camera.join().await;
    let expected = [(0, 1_000), (0, 970), (1, 1_000), (1, 1_020)];
    assert_eq!(given(&mut live).await, expected);
}
