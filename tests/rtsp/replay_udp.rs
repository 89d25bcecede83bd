//! Goal: over UDP too a client may have the past as fast as it comes. Method: a client with sockets of its own asks for a part with
//! `Rate-Control: no` and looks at every datagram, up to the goodbye.

use crate::{
    archive::{archive, played},
    client::{Client, Receiver},
    replay::range,
    watcher::{extension, is_goodbye},
};
use bytes::Bytes;
use socket2::SockRef;
use std::{net::UdpSocket, time::Duration};

/// More than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Two sockets whose ports follow each other, the first even (RFC 3550 §11).
fn sockets() -> [UdpSocket; 2] {
    let pair = |port: u16| {
        let bind = |port| UdpSocket::bind(("127.0.0.1", port)).ok();
        Some([bind(port)?, bind(port + 1)?])
    };
    let first = 40_000 + (std::process::id() % 5_000) as u16 * 2;
    let mut ports = (first..first + 2_000).step_by(2);
    let sockets = ports.find_map(pair).expect("two ports are free");
    for socket in &sockets {
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        // As much as the system lets it: nothing is to be lost while the test is not scheduled.
        let room = SockRef::from(socket).set_recv_buffer_size(4 << 20);
        room.expect("room for datagrams");
    }
    sockets
}

fn datagram(socket: &UdpSocket) -> Bytes {
    let mut room = [0; 2_048];
    let len = socket.recv(&mut room).expect("a datagram comes");
    Bytes::copy_from_slice(&room[..len])
}

#[test]
fn over_udp_the_past_comes_as_fast_as_it_may_whole_and_with_its_times() {
    let rig = archive().serve();
    let film = archive().film("cam0");
    let (from, to) = (film[0][0].time, film[0][25].time);
    let wanted = played(&film[0], from, to);
    let (url, [packets, reports]) = (rig.url("cam0"), sockets());
    let mut client = Client::connect(rig.rtsp);
    let description = client.describe(&url);
    let track = &description.tracks[0];
    let port = packets.local_addr().expect("an address").port();
    let transport = format!(
        "Transport: RTP/AVP;unicast;client_port={port}-{}\r\n",
        port + 1
    );
    assert_eq!(client.request("SETUP", &track.url, &transport).code, 200);
    let headers = format!(
        "{}Require: onvif-replay\r\nRate-Control: no\r\n",
        range(from, to)
    );
    assert_eq!(client.request("PLAY", &track.url, &headers).code, 200);
    let mut receiver = Receiver::new(track);
    let (mut numbers, mut times) = (Vec::new(), Vec::new());
    while numbers.len() < wanted.len() {
        let packet = datagram(&packets);
        times.extend(extension(&packet).map(|extension| extension.time));
        for frame in receiver.push(&packet) {
            let mark = camsim::mark::find(&frame.data.to_bytes()).expect("a mark");
            numbers.push(mark.frame);
        }
    }
    assert_eq!(receiver.lost, 0);
    let all: Vec<_> = wanted.iter().map(|shot| (shot.number, shot.time)).collect();
    assert_eq!(numbers.into_iter().zip(times).collect::<Vec<_>>(), all);
    while !is_goodbye(&datagram(&reports)) {}
    rig.recorder.stop();
}
