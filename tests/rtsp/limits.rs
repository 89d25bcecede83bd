//! Goal: everything a client can do too much of has a limit, is refused with the status that says so, and is counted. Method: a client
//! that does each.

use crate::{
    client::Client,
    rig::{Rig, cameras, wait_until},
};
use socket2::{Domain, Socket, Type};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A connection from another address of this machine.
fn connect_from(address: [u8; 4], to: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .bind(&SocketAddr::from((address, 0)).into())
        .expect("its address");
    socket.connect(&to.into()).expect("a connection");
    Client::on(socket.into())
}

/// What a connection that sends only these bytes gets; empty when it is closed without an answer.
fn told(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a time-out");
    // The server may answer and close before everything is sent.
    let _ = stream.write_all(bytes);
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn ended(rig: &Rig, cause: &str) -> f64 {
    rig.recorder
        .metric(&format!("nvring_rtsp_ended_total{{cause=\"{cause}\"}}"))
}

#[test]
fn sessions_and_connections_are_limited_by_client_and_in_all() {
    let cameras = cameras(&["h264"]);
    let rig = Rig::start(&cameras.urls(), "sessions = 5\nsessions_per_client = 2");
    let url = format!("{}/trackID=0", rig.url("cam0"));
    let set_up = |client: &mut Client| {
        client.session = None;
        client
            .request("SETUP", &url, "Transport: RTP/AVP/TCP;unicast\r\n")
            .code
    };
    let mut clients: Vec<Client> = (1..=3)
        .map(|last| connect_from([127, 0, 0, last], rig.rtsp))
        .collect();
    for client in &mut clients[..2] {
        assert_eq!(
            [set_up(client), set_up(client), set_up(client)],
            [200, 200, 453]
        );
    }
    assert_eq!(
        [set_up(&mut clients[2]), set_up(&mut clients[2])],
        [200, 503]
    );
    let taken = clients[0].request("SETUP", &url, "Transport: RTP/AVP/TCP;interleaved=2-3\r\n");
    assert_eq!(taken.code, 461, "these channels are another session's");
    let more: Vec<Client> = (0..3)
        .map(|_| connect_from([127, 0, 0, 1], rig.rtsp))
        .collect();
    let mut refused = connect_from([127, 0, 0, 1], rig.rtsp);
    assert_eq!(refused.answer().map(|answer| answer.code), Some(503));
    assert!(refused.answer().is_none());
    assert_eq!(ended(&rig, "too_many"), 1.0);
    drop((more, clients));
    wait_until("the sessions end with their connections", || {
        rig.recorder.metric("nvring_rtsp_sessions") == 0.0
    });
    let mut client = connect_from([127, 0, 0, 1], rig.rtsp);
    assert_eq!(set_up(&mut client), 200, "there is room again");
    rig.recorder.stop();
}

#[test]
fn what_is_too_long_too_late_or_nonsense_has_its_status_and_is_counted() {
    let rig = Rig::start(&[], "");
    let long = "a".repeat(9_000);
    for (bytes, status) in [
        (
            format!("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: {long}\r\n\r\n"),
            "413",
        ),
        (format!("OPTIONS rtsp://h/{long} RTSP/1.0\r\n\r\n"), "414"),
        (
            "SET_PARAMETER * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 99999\r\n\r\n".to_owned(),
            "413",
        ),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("OPTIONS * RTSP/4.0\r\nCSeq: 1\r\n\r\n".to_owned(), "505"),
        ("$\u{1}\u{7f}\u{7f}".to_owned(), "413"),
    ] {
        let answer = told(rig.rtsp, bytes.as_bytes());
        assert!(
            answer.starts_with(&format!("RTSP/1.0 {status} ")),
            "{bytes:.60}: {answer}"
        );
    }
    assert_eq!(ended(&rig, "unreadable"), 6.0);
    assert_eq!(
        told(rig.rtsp, &b"$\x09\x00\x00".repeat(1_100)),
        "",
        "packets that belong to nobody"
    );
    assert_eq!(ended(&rig, "abuse"), 1.0);
    // Clients wait here as long as the server does: 10 s, all at once. A report that comes in two pieces is no half request afterwards.
    let mut watching = Client::connect(rig.rtsp);
    assert_eq!(watching.request("OPTIONS", "*", "").code, 200);
    watching.send(b"$\x01\x00\x08\x80\xc9");
    std::thread::sleep(Duration::from_millis(300));
    watching.send(b"\x00\x01abcd");
    std::thread::scope(|scope| {
        for bytes in [
            "",
            "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n",
            "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n$\u{1}\u{0}",
        ] {
            let address = rig.rtsp;
            scope.spawn(move || {
                let answers = told(address, bytes.as_bytes());
                let last = answers.rsplit("RTSP/1.0 ").next().unwrap_or_default();
                assert!(last.starts_with("408 "), "{bytes}: {answers}");
            });
        }
    });
    assert_eq!(watching.request("OPTIONS", "*", "").code, 200);
    assert_eq!(ended(&rig, "half_open"), 3.0);
    drop(watching);
    wait_until("connections end", || {
        rig.recorder.metric("nvring_rtsp_connections") == 0.0
    });
    rig.recorder.stop();
}
