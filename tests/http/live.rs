//! Goal: a live view is a reader like others while it lasts: it takes a place, no bound on requests ends it, and only pages that may
//! watch do.

use crate::{
    examples::recorded,
    server::Server,
    site::Site,
    wire::{Answer, Wire},
};
use std::io::Write;

const LIVE: &str = "/api/v1/cameras/gate/live";
const UPGRADE: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// Asks to watch, as a page of `origin` where there is one.
fn watch(server: &Server, origin: Option<&str>) -> (Wire, Answer) {
    let mut wire = Wire::connect(server.http);
    let origin = origin.map(|origin| ("origin", origin));
    let headers: Vec<_> = UPGRADE.into_iter().chain(origin).collect();
    wire.ask("GET", LIVE, &headers);
    let answer = wire.head();
    (wire, answer)
}

/// A server that records a camera `gate`.
fn recording(site: &Site, lines: &str) -> (camsim::Handle, Server) {
    site.ok(&[
        "volume",
        "format",
        "volume",
        "--size",
        "512MiB",
        "--segment-size",
        "16MiB",
    ]);
    let options = camsim::Options {
        clips: vec!["h264".into()],
        ..camsim::Options::new(1)
    };
    let cameras = camsim::Server::start(options).unwrap();
    let server = Server::start(site, lines);
    let url = &cameras.urls()[0];
    site.ok(&[
        "--config",
        "nvring.toml",
        "camera",
        "add",
        "gate",
        "--url",
        url,
    ]);
    recorded(&server, "gate", 1);
    (cameras, server)
}

#[test]
fn a_live_view_takes_a_place_and_goes_on() {
    let site = Site::empty();
    let lines = "header_timeout = \"300ms\"\nidle_timeout = \"300ms\"\nanswer_timeout = \"300ms\"\n\
                 readers_per_client = 1\nallow_origins = [\"https://vms.example\"]";
    let (cameras, server) = recording(&site, lines);
    let (mut wire, answer) = watch(&server, None);
    // RFC 6455 §1.3.
    assert_eq!(
        (answer.status, answer.header("sec-websocket-accept")),
        (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(server.number("nvring_http_readers "), 1.0);
    let (_, refused) = watch(&server, None);
    assert_eq!(refused.status, 429, "{refused:?}");
    // While others are closed for resting, it goes on.
    let rested = server.limited("idle_timeout");
    for _ in 0..3 {
        let mut resting = Wire::connect(server.http);
        assert_eq!(resting.rest().as_deref(), Some(&[][..]));
        assert!(wire.bytes(10_000).len() == 10_000);
    }
    assert_eq!(server.limited("idle_timeout"), rested + 3.0);
    assert_eq!(server.number("nvring_http_readers "), 1.0);
    drop(wire);
    server.wait("nvring_http_readers ", 0.0);

    let (_, other) = watch(&server, Some("https://evil.example"));
    assert_eq!(other.status, 403);
    server.wait("nvring_http_readers ", 0.0);
    let (_wire, allowed) = watch(&server, Some("https://vms.example"));
    assert_eq!(allowed.status, 101);
    cameras.stop();
}

/// The kind and content of the next message (RFC 6455 §5.2).
fn message(wire: &mut Wire) -> (u8, Vec<u8>) {
    let head = wire.bytes(2);
    let extra = match head[1] {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let extra = wire.bytes(extra);
    let long = extra
        .iter()
        .fold(0, |len, byte| len << 8 | usize::from(*byte));
    let len = if extra.is_empty() {
        usize::from(head[1])
    } else {
        long
    };
    (head[0] & 0xf, wire.bytes(len))
}

#[test]
fn a_stop_closes_live_views() {
    const CLOSE: u8 = 8;
    let site = Site::empty();
    let (cameras, mut server) = recording(&site, "");
    let (mut wire, answer) = watch(&server, None);
    assert_eq!(answer.status, 101);
    assert_ne!(message(&mut wire).0, CLOSE);
    server.terminate();
    let why = loop {
        let (kind, content) = message(&mut wire);
        if kind == CLOSE {
            break content;
        }
    };
    assert_eq!(&why[..2], &1001_u16.to_be_bytes());
    assert_eq!(&why[2..], b"the server stops");
    // The client agrees.
    wire.stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).unwrap();
    assert_eq!(wire.rest().as_deref(), Some(&[][..]));
    assert_eq!(server.end(), Some(0));
    cameras.stop();
}

#[test]
fn whoever_asks_for_a_live_view_as_for_a_file_is_told_what_it_is() {
    let site = Site::new();
    let server = Server::start(&site, "");
    let answer = server.get(LIVE);
    answer.assert_problem(426, "upgrade-required");
    assert_eq!(answer.header("upgrade"), "websocket");
    let connection = answer.header("connection");
    assert!(connection.starts_with("upgrade"), "{connection}");
}
