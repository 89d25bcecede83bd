//! Goal: who reads video is bounded, for each client and in all; who takes nothing is let go; what either held is free again. Method: a
//! video of a day, of which little fits on the way to a client.

use crate::{
    day::day,
    server::Server,
    site::Site,
    wire::{Wire, get},
};
use std::net::{SocketAddr, TcpStream};

/// A client that asks for an hour and takes nothing of it.
fn idle_reader(server: SocketAddr, path: &str) -> Wire {
    let mut wire = Wire::connect_narrow(server);
    wire.ask("GET", path, &[]);
    assert_eq!(wire.head().status, 200, "{path}");
    wire
}

/// An hour, in the shape of MediaMTX.
fn stretch() -> String {
    let video = day(1);
    let from = video.split("from=").nth(1).unwrap();
    let from = from.split('&').next().unwrap();
    format!("/get?path=day&start={from}&duration=3600")
}

/// The address of a part, from its list.
fn part(server: &Server) -> String {
    let list = day(1).replace("video.mp4", "hls/media.m3u8");
    let list = server.get(&list).text();
    let part = list.lines().find(|line| line.ends_with(".m4s")).unwrap();
    // A place is free a moment after the last byte came.
    server.wait("nvring_http_readers ", 0.0);
    format!("/api/v1/cameras/day/hls/{part}")
}

pub(crate) fn readers_are_bounded_for_each_client_and_for_all(site: &Site) {
    let server = Server::start(site, "readers = 1");
    let part = part(&server);
    let wire = idle_reader(server.http, &day(1));
    assert_eq!(server.number("nvring_http_readers "), 1.0);
    let video = day(1);
    let noun = |noun: &str| video.replace("video.mp4", noun);
    let frame = "/api/v1/cameras/day/frame";
    for path in [
        &video[..],
        &part,
        "/api/v1/cameras/day/live",
        frame,
        &noun("timeline"),
        &noun("days"),
        &noun("frames"),
        &noun("hls/media.m3u8"),
    ] {
        let refused = server.get(path);
        refused.assert_problem(503, "overloaded");
        assert_eq!(refused.header("retry-after"), "5");
    }
    for path in [&stretch()[..], "/list?path=day"] {
        let refused = get(server.mediamtx, path);
        assert_eq!((refused.status, refused.header("retry-after")), (503, "5"));
        assert_eq!(refused.json()["status"], "error");
    }
    // What asks no disk goes on.
    assert_eq!(server.get("/api/v1/cameras").status, 200);
    assert_eq!(server.limited("readers"), 10.0);
    // When the client goes, its place is free.
    drop(wire);
    server.wait("nvring_http_readers ", 0.0);
    assert_eq!(server.get(&part).status, 200);
    drop(server);

    let server = Server::start(site, "readers_per_client = 3");
    // A long video takes more places: one, and one for each four hours of it.
    let wire = idle_reader(server.http, &day(11));
    assert_eq!(server.number("nvring_http_readers "), 3.0);
    let refused = server.get(&part);
    refused.assert_problem(429, "too-many-readers");
    assert_eq!(refused.header("retry-after"), "5");
    let mut other = Wire::connect_from("127.0.0.2", server.http);
    other.ask("GET", &part, &[]);
    assert_eq!(other.answer("GET").status, 200, "another client is served");
    drop(wire);
    server.wait("nvring_http_readers ", 0.0);
    let refused = server.get(&day(24));
    refused.assert_problem(429, "too-many-readers");
    assert_eq!(server.limited("readers_per_client"), 2.0);
}

/// More of them than a volume does reads at once.
pub(crate) fn clients_that_take_nothing_hold_up_nobody(site: &Site) {
    let server = Server::start(site, "answer_timeout = \"5s\"");
    let part = part(&server);
    let idle: Vec<Wire> = (0..12).map(|_| idle_reader(server.http, &day(1))).collect();
    for _ in 0..3 {
        assert_eq!(server.get(&part).status, 200);
        assert_eq!(
            server
                .ask("GET", &day(1), &[("range", "bytes=-1000000")])
                .status,
            206
        );
    }
    drop(idle);
    server.wait("nvring_http_readers ", 0.0);
}

pub(crate) fn a_client_that_takes_nothing_is_cut_off_and_its_place_is_free(site: &Site) {
    let server = Server::start(site, "stall_timeout = \"300ms\"");
    let listeners = [(server.http, day(1)), (server.mediamtx, stretch())];
    for (count, (listener, path)) in listeners.into_iter().enumerate() {
        let mut wire = idle_reader(listener, &path);
        let limited = "nvring_http_limited_total{limit=\"stall_timeout\"} ";
        server.wait(limited, count as f64 + 1.0);
        server.wait("nvring_http_readers ", 0.0);
        // The connection of the question itself is left.
        server.wait("nvring_http_connections ", 1.0);
        let end = wire.rest();
        assert!(
            end.is_none(),
            "the connection is cut, so that a part does not pass for the whole"
        );
    }
}

/// More than is on its way when the server is told to stop.
pub(crate) fn a_stop_lets_answers_end(site: &Site) {
    const LEN: usize = 30_000_000;
    let mut server = Server::start(site, "");
    let mut wire = Wire::connect_narrow(server.http);
    let range = format!("bytes=0-{}", LEN - 1);
    wire.ask("GET", &day(24), &[("range", &range)]);
    assert_eq!(wire.head().status, 206);
    server.terminate();
    // It is told, once nobody new is let in.
    while TcpStream::connect(server.http).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(wire.bytes(LEN).len(), LEN);
    assert_eq!(wire.rest().as_deref(), Some(&[][..]));
    assert_eq!(server.end(), Some(0));
}
