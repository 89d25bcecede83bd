//! Goal: whoever floods the server or holds it up with half requests harms neither the recording nor those who watch, and its memory stays
//! bounded. Method: hundreds of slow connections and a flood of requests, sensible and not, while cameras are recorded and watched.

use crate::{
    client::{Client, Receiver},
    harness::{Proof, seed},
    rig::{Rig, cameras},
};
use nvring::base::{TimeRange, seed::Seed};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

const CAMERAS: [&str; 4] = ["load", "h264", "h265b", "h264b"];
/// Half requests that are kept open: as many as one client may have connections.
const HALF: usize = 150;
const FLOODERS: usize = 4;
/// Frames of each camera recorded while it lasts.
const FRAMES: u64 = 400;
/// What all of it may cost.
const MEMORY_MAX: u64 = 60_000_000;

/// Opens connections and sends them a byte each, again and again; gives how many were refused.
fn slow_loris(to: SocketAddr, done: &AtomicBool) {
    let mut open: Vec<TcpStream> = Vec::new();
    let request =
        b"DESCRIBE rtsp://127.0.0.1/cam0 RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\nX: ";
    let mut at = 0;
    while !done.load(Ordering::Relaxed) {
        while open.len() < HALF {
            open.extend(TcpStream::connect(to).ok());
        }
        let byte = *request.get(at).unwrap_or(&b'x');
        at += 1;
        open.retain_mut(|stream| stream.write_all(&[byte]).is_ok());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Connects, asks for what may or may not make sense, and goes without looking at the answer.
fn flood(to: SocketAddr, mut seed: Seed, done: &AtomicBool, asked: &AtomicU64) {
    while !done.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(to) else {
            continue;
        };
        let _ = stream.set_read_timeout(Some(Duration::from_millis(1)));
        for number in 0..seed.between(1, 30) {
            let method = [
                "OPTIONS", "DESCRIBE", "SETUP", "PLAY", "TEARDOWN", "NONSENSE",
            ][seed.below(6) as usize];
            let camera = seed.below(6);
            let mut request = format!(
                "{method} rtsp://127.0.0.1/cam{camera}/trackID=0 RTSP/1.0\r\nCSeq: {number}\r\nTransport: RTP/AVP/TCP;unicast\r\nSession: {camera}\r\n\r\n"
            )
            .into_bytes();
            if seed.chance(0.1) {
                let at = seed.below(request.len() as u64) as usize;
                request[at] = seed.below(256) as u8;
            }
            asked.fetch_add(1, Ordering::Relaxed);
            if stream.write_all(&request).is_err() {
                break;
            }
        }
        if seed.chance(0.5) {
            let _ = stream.read(&mut [0; 1024]);
        }
    }
}

#[test]
fn neither_half_requests_nor_a_flood_harm_recording_viewers_or_memory() {
    let mut seed = seed();
    let cameras = cameras(&CAMERAS);
    let rig = Rig::start(&cameras.urls(), "");
    let mut watching = Client::connect(rig.rtsp);
    let url = rig.url("cam0");
    let description = watching.set_up(&url);
    assert_eq!(watching.request("PLAY", &url, "").code, 200);
    let memory = rig.recorder.memory_max();
    let (done, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| slow_loris(rig.rtsp, &done));
        for _ in 0..FLOODERS {
            let seed = seed.split();
            scope.spawn(|| flood(rig.rtsp, seed, &done, &asked));
        }
        let viewer = scope.spawn(|| {
            let mut receiver = Receiver::new(&description.tracks[0]);
            let mut numbers = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let (channel, packet) = watching.packet().expect("the stream goes on");
                let frames = if channel == 0 {
                    receiver.push(&packet)
                } else {
                    Vec::new()
                };
                numbers.extend(
                    frames
                        .iter()
                        .filter_map(|frame| camsim::mark::find(&frame.data.to_bytes()))
                        .map(|mark| mark.frame),
                );
            }
            assert!(
                numbers.len() > 50 && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
                "{numbers:?}"
            );
        });
        rig.wait_frames(FRAMES);
        done.store(true, Ordering::Relaxed);
        viewer.join().expect("the viewer lost nothing");
    });
    let more = rig.recorder.memory_max() - memory;
    println!(
        "{} requests; {:.1} MB more",
        asked.load(Ordering::Relaxed),
        more as f64 / 1e6
    );
    assert!(more < MEMORY_MAX, "{more} bytes");
    for counter in [
        "nvring_stream_shed_frames_total",
        "nvring_stream_lost_packets_total",
        "nvring_rtsp_skips_total",
    ] {
        assert_eq!(rig.recorder.metric(counter), 0.0, "{counter}");
    }
    rig.recorder.stop();
    let recordings = rig.site.recordings();
    for stream in recordings.streams() {
        let proof = Proof::of(&recordings, &stream, TimeRange::ALL);
        proof.assert_sound(&stream.name.camera);
        assert_eq!(proof.runs.len(), 1, "one run without a gap");
    }
}
