//! Goal: viewers of one stream share its packets and nothing else: who is slow loses whole groups of pictures, is counted, and harms
//! neither others nor the recording. Method: clients that stop reading, beside clients that do not; every frame bears its number.

use crate::{
    client::{Client, Description, Receiver},
    harness::{Proof, Site},
    rig::Rig,
};
use bytes::Bytes;
use nvring::{
    base::{Clock, SystemClock, TimeRange, UnixMicros},
    media::{AccessUnit, FrameKind},
};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

/// Pictures a second: faster than the clip's own, so that a slow viewer is soon behind.
const RATE: u32 = 60;

fn fast_camera() -> camsim::Handle {
    let options = camsim::Options {
        clips: vec!["load".to_owned()],
        rate: Some(RATE),
        ..camsim::Options::new(1)
    };
    camsim::Server::start(options).expect("the camera starts")
}

/// A viewer of the one track of `cam0`.
struct Viewer {
    client: Client,
    receiver: Receiver,
    /// Numbers of the frames, and whether they are key frames.
    frames: Vec<(u64, bool)>,
    packets: BTreeMap<u16, Bytes>,
}

impl Viewer {
    fn play(rig: &Rig) -> Self {
        let mut client = Client::connect(rig.rtsp);
        let description = client.set_up(&rig.url("cam0"));
        let receiver = Receiver::new(&description.tracks[0]);
        assert_eq!(client.request("PLAY", &rig.url("cam0"), "").code, 200);
        Self {
            client,
            receiver,
            frames: Vec::new(),
            packets: BTreeMap::new(),
        }
    }

    /// Reads until `count` frames have come in all.
    fn read(&mut self, count: usize) {
        while self.frames.len() < count {
            let (channel, packet) = self.client.packet().expect("the stream goes on");
            if channel != 0 {
                continue;
            }
            let sequence = u16::from_be_bytes([packet[2], packet[3]]);
            for frame in self.receiver.push(&packet) {
                self.frames
                    .push((number(&frame), frame.kind == FrameKind::Key));
            }
            self.packets.insert(sequence, packet);
        }
    }

    /// The numbers of the frames that did not come, group by group.
    fn missing(&self) -> Vec<u64> {
        let steps = self
            .frames
            .windows(2)
            .filter(|pair| pair[1].0 != pair[0].0 + 1);
        steps
            .map(|pair| {
                assert!(pair[1].1, "behind a gap comes a key frame: {pair:?}");
                pair[1].0 - pair[0].0 - 1
            })
            .collect()
    }
}

fn number(frame: &AccessUnit) -> u64 {
    match camsim::mark::verify(camsim::Codec::H264, &frame.data.to_bytes()) {
        camsim::mark::Verdict::Identical(mark) => mark.frame,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_slow_viewer_loses_whole_groups_and_is_counted_and_nobody_else_notices() {
    let cameras = fast_camera();
    let rig = Rig::start(&cameras.urls(), "");
    let done = AtomicBool::new(false);
    let skipped = || rig.recorder.metric("nvring_rtsp_skipped_frames_total");
    std::thread::scope(|scope| {
        let fast: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut viewer = Viewer::play(&rig);
                    while !done.load(Ordering::Relaxed) {
                        viewer.read(viewer.frames.len() + 1);
                    }
                    viewer
                })
            })
            .collect();
        let mut slow = Viewer::play(&rig);
        slow.read(10);
        // As long as the ring goes back and all buffers hold, and then some.
        rig.wait_frames(u64::from(RATE) * 6);
        slow.read(10 + 6 * RATE as usize);
        done.store(true, Ordering::Relaxed);
        let missing = slow.missing();
        println!("the slow viewer missed {missing:?} frames");
        assert!(!missing.is_empty(), "he was behind");
        assert_eq!(missing.iter().sum::<u64>() as f64, skipped());
        assert_eq!(
            missing.len() as f64,
            rig.recorder.metric("nvring_rtsp_skips_total")
        );
        for viewer in fast {
            let viewer = viewer.join().expect("a viewer");
            assert_eq!((viewer.missing(), viewer.receiver.lost), (vec![], 0));
            let both = viewer
                .packets
                .iter()
                .filter_map(|(number, packet)| Some((packet, slow.packets.get(number)?)));
            assert!(both.clone().count() > 100, "they watched at the same time");
            assert!(
                both.clone().all(|(one, other)| one == other),
                "the packets are the same ones"
            );
        }
    });
    assert_eq!(
        rig.recorder.metric("nvring_rtsp_feeds"),
        1.0,
        "the stream was packetised once"
    );
    assert_recorded(rig);
}

fn assert_recorded(rig: Rig) {
    assert_eq!(rig.recorder.metric("nvring_stream_shed_frames_total"), 0.0);
    let Rig { site, recorder, .. } = rig;
    recorder.stop();
    assert_one_run(&site);
}

fn assert_one_run(site: &Site) {
    let recordings = site.recordings();
    for stream in recordings.streams() {
        let proof = Proof::of(&recordings, &stream, TimeRange::ALL);
        proof.assert_sound(&stream.name.camera);
        assert_eq!(proof.runs.len(), 1, "one run without a gap");
    }
}

/// Seconds of `Range`-less PLAY: `RTP-Info` names the first packet, and the sender report its time on the wall.
#[test]
fn play_tells_where_the_tracks_begin_and_reports_tell_the_time() {
    let cameras = crate::rig::cameras(&["h264"]);
    let rig = Rig::start(&cameras.urls(), "");
    let mut client = Client::connect(rig.rtsp);
    let url = rig.url("cam0");
    let description = client.set_up(&url);
    let before = SystemClock::new().now();
    let first = assert_begins(&mut client, &url, &description);
    assert!(
        first < before,
        "it begins with a key frame that was there already"
    );
    assert_eq!(client.request("PAUSE", &url, "").code, 200);
    while client.packet_before_answer("GET_PARAMETER", &url) {}
    rig.wait_frames(60);
    assert!(
        !client.packet_before_answer("GET_PARAMETER", &url),
        "nothing comes while it is paused"
    );
    let again = assert_begins(&mut client, &url, &description);
    assert!(again > first, "it goes on at a newer key frame");
    assert_eq!(client.request("TEARDOWN", &url, "").code, 200);
    assert_eq!(client.request("PLAY", &url, "").code, 454);
    drop(client);
    rig.recorder.stop();
}

/// Plays, and compares the answer with what comes: gives the time of the first picture on the wall.
fn assert_begins(client: &mut Client, url: &str, description: &Description) -> UnixMicros {
    let answer = client.request("PLAY", url, "Range: npt=0.000-\r\n");
    assert_eq!((answer.code, answer.header("Range")), (200, "npt=now-"));
    let mut starts: BTreeMap<u8, (u16, u32)> = BTreeMap::new();
    for info in answer.header("RTP-Info").split(',') {
        let value = |name: &str| {
            info.split(';')
                .find_map(|part| part.strip_prefix(name))
                .unwrap_or_default()
        };
        let track = description
            .tracks
            .iter()
            .find(|track| track.url == value("url="))
            .expect("a track's address");
        starts.insert(
            track.number,
            (
                value("seq=").parse().expect("a number"),
                value("rtptime=").parse().expect("a time"),
            ),
        );
    }
    assert_eq!(starts.len(), 2, "pictures and sound");
    let (mut seen, mut report) = (BTreeMap::new(), None);
    while seen.len() < 2 || report.is_none() {
        let (channel, packet) = client.packet().expect("the stream goes on");
        let word = |at: usize| {
            packet
                .get(at..at + 4)
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, u32::from_be_bytes)
        };
        if channel == 1 && packet[1] == 200 {
            let ntp = u64::from(word(8)) << 32 | u64::from(word(12));
            report = Some((UnixMicros::from_ntp(ntp), word(16)));
        }
        if channel % 2 == 0 {
            seen.entry(channel / 2)
                .or_insert(((word(0) & 0xffff) as u16, word(4)));
        }
    }
    for (track, (sequence, _)) in &seen {
        assert_eq!(
            *sequence, starts[track].0,
            "track {track}: the first packet is the one told"
        );
    }
    assert_eq!(
        seen[&0].1, starts[&0].1,
        "the first picture is shown at the instant told"
    );
    let (time, timestamp) = report.expect("a report");
    let ticks = starts[&0].1.wrapping_sub(timestamp) as i32;
    UnixMicros(time.0 + i64::from(ticks) * 100 / 9)
}
