//! Goal: a recorder that records from a recorder has the same frames, byte for byte. Method: simulated cameras of every kind, one recorder
//! after the other, the second over TCP and over UDP; then what both have stored is compared frame by frame, pictures and sound.

use crate::{
    harness::Site,
    rig::{Rig, cameras},
};
use nvring::{base::TimeRange, media::FrameKind, store::recordings::Recordings};
use std::collections::BTreeSet;

const CLIPS: [&str; 7] = ["h264", "h264b", "h265", "h265b", "g711", "multi", "refresh"];
/// Frames of each stream, with sound about twice as many.
const FRAMES: u64 = 1_200;

/// A frame: what decoding may do there, and its bytes.
type Stored = (FrameKind, Vec<u8>);

/// All frames of a stream, track by track.
fn stored(recordings: &Recordings, camera: &str) -> Vec<Vec<Stored>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let mut streams = recordings.streams().into_iter();
    let stream = streams
        .find(|stream| stream.name.camera == camera)
        .expect("it is recorded");
    runtime.block_on(async {
        let pieces = recordings
            .blocks(stream.stream, TimeRange::ALL)
            .await
            .expect("the chapters are read");
        let runs: BTreeSet<_> = pieces.iter().map(|piece| piece.stretch.run).collect();
        assert_eq!(runs.len(), 1, "{camera}: one run without a gap");
        let mut tracks: Vec<Vec<Stored>> = Vec::new();
        for block in pieces.iter().flat_map(|piece| &piece.blocks) {
            let bytes = block.read().await.expect("the block is whole");
            for (index, frame) in bytes.frames.iter().enumerate() {
                let track = usize::from(frame.track.0);
                tracks.resize(tracks.len().max(track + 1), Vec::new());
                tracks[track].push((frame.kind, bytes.frame(index).to_vec()));
            }
        }
        tracks
    })
}

/// What somebody records who comes in at frame `start`: all that follows, but for the pictures that are shown before the first key frame
/// and need what was before it.
fn from(frames: &[Stored], start: usize) -> impl Iterator<Item = &Stored> {
    let (first, rest) = frames[start..].split_at(1);
    let next_key = rest.iter().position(|(kind, _)| *kind == FrameKind::Key);
    let (group, rest) = rest.split_at(next_key.unwrap_or(rest.len()));
    let group = group.iter().filter(|(kind, _)| *kind != FrameKind::Leading);
    first.iter().chain(group).chain(rest)
}

#[test]
fn a_chain_of_recorders_changes_no_frame() {
    let cameras = cameras(&CLIPS);
    let first = Rig::start(&cameras.urls(), "");
    let second = Site::new(16, 8 << 20);
    let urls: Vec<String> = (0..CLIPS.len())
        .map(|number| first.url(&format!("cam{number}")))
        .collect();
    second.enrol(&urls);
    for number in (1..CLIPS.len()).step_by(2) {
        let camera = format!("cam{number}");
        assert!(
            second
                .run(&["camera", "set", &camera, "--transport", "udp"])
                .status
                .success()
        );
    }
    let second = Rig::start_at(second, &[], "");
    second.recorder.wait_recording(CLIPS.len());
    second.wait_frames(FRAMES);
    for counter in [
        "nvring_stream_lost_packets_total",
        "nvring_stream_errors_total",
        "nvring_stream_reconnects_total",
    ] {
        assert_eq!(second.recorder.metric(counter), 0.0, "{counter}");
    }
    second.recorder.stop();
    first.recorder.stop();
    let (first, second) = (first.site.recordings(), second.site.recordings());
    for stream in second.streams() {
        let camera = stream.name.camera.as_str();
        let (sent, received) = (stored(&first, camera), stored(&second, camera));
        assert_eq!(sent.len(), received.len(), "{camera}: the same tracks");
        for (track, (sent, received)) in sent.iter().zip(&received).enumerate() {
            let what = format!(
                "{camera} track {track}: {} of {} frames",
                received.len(),
                sent.len()
            );
            println!("{what}");
            let equal = |start: usize| {
                let pairs = received.iter().zip(from(sent, start));
                pairs.take_while(|(one, other)| one == other).count()
            };
            let most = (0..sent.len()).map(equal).max();
            assert!(
                received.len() > 50 && most == Some(received.len()),
                "{what}: {most:?} in a row are the first recorder's: {:?}",
                received[..6]
                    .iter()
                    .map(|(kind, bytes)| (kind, bytes.len()))
                    .collect::<Vec<_>>()
            );
        }
    }
}
