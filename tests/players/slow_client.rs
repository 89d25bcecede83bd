//! Goal: whoever is too slow for the live WebSocket goes on at a key frame, is told what it missed, and costs nobody else anything.
//! Method: a camera of 25 Mbit/s, a viewer that takes everything, and one that takes nothing until the recorder has thousands of frames
//! more than all buffers between them can hold; frames are known by the camera's marks.

use crate::stage::{Stage, stage};
use camsim::{mark, nal};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::{
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

const CAMERA: &str = "fast";
/// Pictures per second of a clip that has 15 of them, at 2 Mbit/s.
const RATE: u32 = 190;
/// So many frames come while the slow viewer takes nothing: 26 MB.
const NOT_TAKEN: f64 = 2_000.0;
/// What a viewer that does not read lets the system keep for it.
const RECEIVE_BUFFER_LEN: usize = 16 << 10;
/// Frames that the slow viewer is to get behind those it missed.
const BEHIND: usize = 300;

/// What a viewer got, in order.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Run,
    Frame { number: u64, key: bool },
    Skipped(u64),
}

#[test]
fn a_slow_viewer_goes_on_at_a_key_frame_and_costs_nobody_anything() {
    let stage = stage();
    let simulated = camsim::Server::start(camsim::Options {
        clips: vec!["load".to_owned()],
        rate: Some(RATE),
        ..camsim::Options::new(1)
    });
    let simulated = simulated.expect("the camera starts");
    stage.nvring(&["camera", "add", CAMERA, "--url", &simulated.url(0)]);
    stage.wait("recording of the fast camera", || frames(stage) > 100.0);
    let done = AtomicBool::new(false);
    let (quick, slow) = thread::scope(|scope| {
        let quick = scope.spawn(|| {
            let mut viewer = Viewer::open(stage);
            while !done.load(Ordering::Relaxed) {
                viewer.take();
            }
            viewer.got
        });
        let mut viewer = Viewer::open(stage);
        while viewer.frames().count() < 10 {
            viewer.take();
        }
        let before = frames(stage);
        stage.wait("more frames than buffers hold", || {
            frames(stage) > before + NOT_TAKEN
        });
        while !viewer.got.iter().any(|got| matches!(got, Got::Skipped(_))) {
            viewer.take();
        }
        let taken = viewer.frames().count();
        while viewer.frames().count() < taken + BEHIND {
            viewer.take();
        }
        done.store(true, Ordering::Relaxed);
        (quick.join().expect("the quick viewer"), viewer.got)
    });
    assert_told(&slow);
    let numbers: Vec<u64> = numbers(&quick).map(|(number, _)| number).collect();
    assert!(numbers.len() > NOT_TAKEN as usize, "{}", numbers.len());
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "the quick viewer misses nothing"
    );
    assert!(!quick.iter().any(|got| matches!(got, Got::Skipped(_))));
    assert_eq!(count(stage, "nvring_stream_shed_frames_total"), 0.0);
    assert_eq!(count(stage, "nvring_stream_runs_total"), 1.0, "no gap");
    stage.nvring(&["camera", "remove", CAMERA]);
}

/// It is told of every frame that it missed, and what follows begins with a key frame; it misses none otherwise.
fn assert_told(got: &[Got]) {
    let mut expected = None;
    let mut skipped = None;
    for one in got {
        match one {
            Got::Run => {}
            Got::Skipped(frames) => {
                assert!(*frames > 0);
                skipped = Some(skipped.unwrap_or(0) + frames);
            }
            Got::Frame { number, key } => {
                let missing = expected.map_or(0, |expected| number - expected);
                assert_eq!(missing, skipped.unwrap_or(0), "before frame {number}");
                assert!(*key || skipped.is_none(), "frame {number} is a key frame");
                skipped = None;
                expected = Some(number + 1);
            }
        }
    }
}

fn numbers(got: &[Got]) -> impl Iterator<Item = (u64, bool)> {
    got.iter().filter_map(|got| match got {
        Got::Frame { number, key } => Some((*number, *key)),
        _ => None,
    })
}

/// A number of this camera in `/metrics`.
fn count(stage: &Stage, name: &str) -> f64 {
    let text = stage.text(&format!("http://{}/metrics", stage.http()));
    let camera = format!("camera=\"{CAMERA}\"");
    let lines = text
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(&camera));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn frames(stage: &Stage) -> f64 {
    count(stage, "nvring_stream_frames_total")
}

struct Viewer {
    socket: WebSocket<TcpStream>,
    got: Vec<Got>,
}

impl Viewer {
    fn open(stage: &Stage) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        // Before it connects, so that no larger window is ever offered.
        socket
            .set_recv_buffer_size(RECEIVE_BUFFER_LEN)
            .expect("a small buffer");
        socket
            .connect(&stage.http().into())
            .expect("the recorder answers");
        let stream = TcpStream::from(socket);
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("patience");
        let url = stage.url(CAMERA, "live").replacen("http", "ws", 1);
        let (socket, _) = client(url, stream).expect("a WebSocket");
        Self {
            socket,
            got: Vec::new(),
        }
    }

    fn frames(&self) -> impl Iterator<Item = (u64, bool)> {
        numbers(&self.got)
    }

    /// Takes the next message.
    fn take(&mut self) {
        match self.socket.read().expect("a message") {
            Message::Text(text) => {
                let event: Value = serde_json::from_str(&text).expect("JSON");
                self.got.push(match event["type"].as_str() {
                    Some("run") => Got::Run,
                    Some("skipped") => Got::Skipped(event["frames"].as_u64().expect("a number")),
                    other => panic!("{other:?}"),
                });
            }
            Message::Binary(segment) => self.got.extend(frames_of(&segment)),
            _ => {}
        }
    }
}

/// The frames in the `mdat` of a fragment, known by their marks.
fn frames_of(segment: &[u8]) -> Vec<Got> {
    let (mut at, mut got) = (0, Vec::new());
    while let Some([a, b, c, d, kind @ ..]) = segment.get(at..at + 8) {
        let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let body = &segment[at + 8..at + len];
        at += len;
        if kind != b"mdat" {
            continue;
        }
        let mut mark = None;
        for range in nal::length_prefixed(body).expect("NAL units") {
            let unit = &body[range];
            if camsim::Codec::H264.is_sei(unit) {
                mark = mark::find(unit).or(mark);
            } else if camsim::Codec::H264.is_slice(unit)
                && let Some(mark) = mark.take()
            {
                got.push(Got::Frame {
                    number: mark.frame,
                    key: camsim::Codec::H264.is_random_access(unit),
                });
            }
        }
    }
    got
}
