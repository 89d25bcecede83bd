//! Goal: a replay of what is still being recorded becomes live without losing a picture, and a client that does not read costs nothing but
//! its own time. Method: cameras that go on sending while their recording is played, fast, and by a client that stops reading.

use crate::{
    archive::film,
    client::Client,
    rig::{Rig, cameras, wait_until},
    watcher::Watcher,
};
use nvring::base::{Clock, Micros, SystemClock};
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;

/// Pictures looked at after the replay has come to what was recorded when it began.
const LIVE_PICTURES: u64 = 60;
/// What the client that does not read is behind at the least, and what it may cost.
const BEHIND: f64 = 8e6;
const MEMORY_MAX: u64 = 12_000_000;

fn clock(time: nvring::base::UnixMicros) -> String {
    time.to_string().replace(['-', ':'], "")
}

#[test]
fn a_replay_that_comes_to_the_newest_picture_goes_on_live() {
    let clips = ["h264b", "h265b"];
    let cameras = cameras(&clips);
    let rig = Rig::start(&cameras.urls(), "");
    rig.wait_frames(100);
    let mut all = Vec::new();
    for camera in ["cam0", "cam1"] {
        for pace in ["Rate-Control: no\r\n", "Scale: 2\r\n"] {
            let mut watcher = Watcher::new(rig.rtsp, &rig.url(camera));
            let from = SystemClock::new().now() - Micros::from_secs(3);
            let answer = watcher.play(&format!(
                "Range: clock={}-\r\nRequire: onvif-replay\r\n{pace}",
                clock(from)
            ));
            let now = SystemClock::new().now();
            let mut seen = Vec::new();
            let mut live = 0;
            while live < LIVE_PICTURES {
                let next = watcher.next().expect("it goes on");
                live += u64::from(next.time() > now);
                seen.push(next);
            }
            assert!(
                answer.header("Range").ends_with('-'),
                "{camera}: it has no end"
            );
            all.push((camera, seen));
        }
    }
    rig.recorder.stop();
    let recordings = rig.site.recordings();
    for (camera, seen) in all {
        let stored = film(&recordings, camera).concat();
        let first = stored.iter().position(|shot| shot.number == seen[0].number);
        let stored = &stored[first.expect("it is stored")..];
        // Pictures that refer to what was before the first are left out.
        let leading = |shot: &&crate::archive::Shot| shot.kind != nvring::media::FrameKind::Leading;
        let skip = 1 + stored[1..].iter().take_while(|shot| !leading(shot)).count();
        let stored = [&stored[..1], &stored[skip..]].concat();
        for (seen, shot) in seen.iter().zip(&stored) {
            assert_eq!(
                (seen.number, seen.time()),
                (shot.number, shot.time),
                "{camera}"
            );
        }
    }
}

/// A connection whose receiver takes little before it stops the sender.
fn narrow(to: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .set_recv_buffer_size(8 << 10)
        .expect("a small buffer");
    socket.connect(&to.into()).expect("a connection");
    Client::on(socket.into())
}

#[test]
fn a_client_that_does_not_read_holds_up_nothing_and_costs_no_memory() {
    let options = camsim::Options {
        clips: vec!["load".to_owned()],
        rate: Some(150),
        begin: camsim::Begin::LastKey,
        ..camsim::Options::new(1)
    };
    let cameras = camsim::Server::start(options).expect("the cameras start");
    let rig = Rig::start(&cameras.urls(), "");
    let recorded = || rig.recorder.metric("nvring_stream_bytes_total");
    wait_until("enough is recorded", || recorded() > 2.0 * BEHIND);
    let mut watcher = Watcher::on(narrow(rig.rtsp), &rig.url("cam0"));
    let memory = rig.recorder.memory_max();
    watcher.play("Range: clock=19000101T000000Z-\r\nRate-Control: no\r\n");
    let sent = || rig.recorder.metric("nvring_rtsp_bytes_total");
    let mut before = -1.0;
    wait_until("the server waits for the client", || {
        let now = sent();
        std::thread::sleep(std::time::Duration::from_millis(300));
        let stands = now > 0.0 && now == sent() && now == before;
        before = now;
        stands
    });
    let stood = sent();
    let at = recorded();
    wait_until("recording goes on", || recorded() > at + BEHIND / 4.0);
    assert_eq!(
        sent(),
        stood,
        "nothing is sent to a client that reads nothing"
    );
    assert!(recorded() - stood > BEHIND, "{} of {}", stood, recorded());
    let more = rig.recorder.memory_max() - memory;
    assert!(more < MEMORY_MAX, "{more} bytes");
    // It reads again, and misses nothing.
    let pictures = 20 * 150;
    let mut next = watcher.next().expect("it goes on").number;
    for _ in 0..pictures {
        next += 1;
        assert_eq!(watcher.next().expect("it goes on").number, next);
    }
    for counter in [
        "nvring_stream_shed_frames_total",
        "nvring_stream_lost_packets_total",
    ] {
        assert_eq!(rig.recorder.metric(counter), 0.0, "{counter}");
    }
    rig.recorder.stop();
}
