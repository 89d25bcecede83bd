//! Goal: a session lasts while its camera does not: interruptions and other parameter sets are passed over, and only what the description
//! does not tell ends it, with a BYE. Method: a simulated camera is restarted, switched, and replaced by one with another codec under a
//! client that goes on reading.

use crate::{
    client::{Client, Receiver},
    rig::{Rig, wait_until},
};
use bytes::Bytes;
use std::time::Duration;

/// A camera that begins with its last key frame, on a port of its own or the one given.
pub(crate) fn camera(clip: &str, listen: Option<std::net::SocketAddr>) -> camsim::Handle {
    let options = camsim::Options::new(1);
    let options = camsim::Options {
        clips: vec![clip.to_owned()],
        begin: camsim::Begin::LastKey,
        listen: listen.unwrap_or(options.listen),
        ..options
    };
    camsim::Server::start(options).expect("the camera starts")
}

fn ssrc(packet: &Bytes) -> [u8; 4] {
    packet[8..12].try_into().expect("a header")
}

/// Reads pictures until `enough`; gives the source of the packets, which must be one.
fn read(
    client: &mut Client,
    receiver: &mut Receiver,
    mut enough: impl FnMut(&camsim::mark::Mark) -> bool,
) -> [u8; 4] {
    let mut source = None;
    loop {
        let (channel, packet) = client.packet().expect("the session lasts");
        if channel != 0 {
            continue;
        }
        assert_eq!(*source.get_or_insert(ssrc(&packet)), ssrc(&packet));
        for frame in receiver.push(&packet) {
            let mark = camsim::mark::find(&frame.data.to_bytes()).expect("a mark");
            if enough(&mark) {
                return source.expect("a packet");
            }
        }
    }
}

#[test]
fn a_session_outlives_interruptions_and_ends_with_the_codec() {
    let cameras = camera("h264", None);
    let address = cameras.addr();
    let rig = Rig::start(&cameras.urls(), "");
    let url = rig.url("cam0");
    let mut client = Client::connect(rig.rtsp);
    let description = client.set_up(&url);
    let mut receiver = Receiver::new(&description.tracks[0]);
    assert_eq!(client.request("PLAY", &url, "").code, 200);
    let mut seen = 0;
    let source = read(&mut client, &mut receiver, |_| {
        seen += 1;
        seen == 20
    });
    cameras.restart_all(Duration::from_millis(200));
    // A run begins after the restart: its pictures bear later times than the moment they are looked for.
    wait_until("the camera is lost", || {
        rig.recorder.metric("nvring_stream_recording") == 0.0
    });
    let while_away = Client::connect(rig.rtsp).request("DESCRIBE", &url, "");
    assert_eq!(
        while_away.code, 200,
        "it is described as it was recorded last: {}",
        while_away.body
    );
    rig.recorder.wait_recording(1);
    let runs = || rig.recorder.metric("nvring_stream_runs_total");
    wait_until("another run", || runs() >= 2.0);
    let mut after = 0;
    let again = read(&mut client, &mut receiver, |_| {
        after += 1;
        after == 60
    });
    assert_eq!(
        (again, receiver.lost),
        (source, 0),
        "the same source, no number left out"
    );
    assert_eq!(
        cameras.inject_into(0, camsim::Fault::Switch("multi".into())),
        1
    );
    let before = runs();
    wait_until("a run with other parameter sets", || runs() > before);
    let mut behind = 0;
    let again = read(&mut client, &mut receiver, |_| {
        behind += 1;
        behind == 60
    });
    assert_eq!((again, receiver.lost), (source, 0));
    drop(cameras);
    let before = runs();
    let cameras = camera("h265", Some(address));
    wait_until("a run with another codec", || runs() > before);
    let bye = |packet: &Bytes| packet.windows(4).any(|window| window == [0x81, 203, 0, 1]);
    loop {
        let (channel, packet) = client.packet().expect("the BYE comes first");
        if channel == 1 && bye(&packet) {
            break;
        }
    }
    wait_until("the session is over", || {
        rig.recorder.metric("nvring_rtsp_sessions") == 0.0
    });
    assert_eq!(client.request("PLAY", &url, "").code, 454);
    client.session = None;
    let description = client.set_up(&url);
    assert!(description.tracks[0].lines["rtpmap"].starts_with("H265/"));
    assert_eq!(client.request("PLAY", &url, "").code, 200);
    let mut receiver = Receiver::new(&description.tracks[0]);
    read(&mut client, &mut receiver, |_| true);
    drop(cameras);
    rig.recorder.stop();
}
