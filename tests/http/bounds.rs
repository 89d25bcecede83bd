//! Goal: every bound of the listeners is told with its status, and holds for nobody else. Method: clients that do what they should not, one
//! after the other, against a server whose bounds are narrow; other clients are served meanwhile.

use crate::{server::Server, site::Site, wire::Wire};

#[test]
fn a_head_that_comes_slowly_is_refused_and_a_connection_that_rests_is_closed() {
    let site = Site::new();
    let server = Server::start(
        &site,
        "header_timeout = \"300ms\"\nidle_timeout = \"300ms\"",
    );
    // Byte by byte, as slow-loris does: the time counts from the first.
    for start in ["G", "GET / HTTP/1.1\r\nhost: localhost\r\nx: "] {
        let mut slow = Wire::connect(server.http);
        slow.send(start);
        slow.answer("GET").assert_problem(408, "request-timeout");
        assert_eq!(
            slow.rest().as_deref(),
            Some(&[][..]),
            "and the connection is closed"
        );
    }
    assert_eq!(server.limited("header_timeout"), 2.0);
    // One that never says a word, and one that rests after an answer, are closed without one.
    let mut silent = Wire::connect(server.http);
    assert_eq!(silent.rest().as_deref(), Some(&[][..]), "closed in peace");
    let mut resting = Wire::connect(server.http);
    for _ in 0..3 {
        resting.ask("GET", "/healthz", &[]);
        assert_eq!(
            resting.answer("GET").status,
            200,
            "a connection is used again"
        );
    }
    assert_eq!(resting.rest().as_deref(), Some(&[][..]), "closed in peace");
    assert_eq!(server.limited("idle_timeout"), 2.0);
    // The other listener has its own shape.
    let mut slow = Wire::connect(server.mediamtx);
    slow.send("GET /list");
    let told = slow.answer("GET");
    assert_eq!(
        (told.status, &told.json()["status"]),
        (408, &"error".into())
    );
}

#[test]
fn what_is_too_large_is_refused() {
    let site = Site::new();
    let server = Server::start(&site, "url_size = \"1KiB\"\nheader_size = \"2KiB\"");
    let long = |len: usize| format!("/api/v1/cameras?x={}", "y".repeat(len));
    assert_eq!(
        server.get(&long(500)).status,
        400,
        "short enough to be looked at"
    );
    // A little too long, and so long that it is not even read.
    for len in [1_100, 100_000] {
        let mut wire = Wire::connect(server.http);
        let request = format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", long(len));
        wire.send(&request[..request.len().min(60_000)]);
        wire.answer("GET").assert_problem(414, "url-too-long");
    }
    let value = "y".repeat(2_100);
    let refused = server.ask("GET", "/healthz", &[("x", &value)]);
    refused.assert_problem(431, "headers-too-large");
    let mut wire = Wire::connect(server.http);
    wire.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n");
    wire.send(&format!("x: {}", "y".repeat(60_000)));
    wire.answer("GET").assert_problem(431, "headers-too-large");
    let many = vec![("x", "y"); 100];
    let refused = server.ask("GET", "/healthz", &many);
    assert_eq!(refused.status, 431, "{refused:?}");
    assert_eq!(
        (server.limited("url_size"), server.limited("header_size")),
        (2.0, 2.0)
    );
}

#[test]
fn no_body_is_taken() {
    let site = Site::new();
    let server = Server::start(&site, "");
    for method in ["GET", "POST"] {
        let mut wire = Wire::connect(server.http);
        wire.send(&format!(
            "{method} /api/v1/cameras HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n"
        ));
        wire.send(&"y".repeat(200_000));
        wire.answer(method).assert_problem(413, "body-too-large");
        assert_eq!(
            wire.rest().as_deref(),
            Some(&[][..]),
            "nothing behind it is a request"
        );
    }
    let chunked = server.ask("GET", "/healthz", &[("transfer-encoding", "chunked")]);
    chunked.assert_problem(413, "body-too-large");
    for nothing in ["0", "00"] {
        let none = server.ask("GET", "/healthz", &[("content-length", nothing)]);
        assert_eq!(none.status, 200);
    }
    assert_eq!(server.limited("body"), 3.0);
}

/// DNS rebinding: a page of `evil.example` whose name leads here.
#[test]
fn only_names_of_the_server_are_answered() {
    let site = Site::new();
    let server = Server::start(&site, "hosts = [\"nvr.example\"]");
    let named = |host: &str| server.ask("GET", "/api/v1/cameras", &[("host", host)]);
    for host in [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
    ] {
        named(host).assert_problem(421, "misdirected");
    }
    for host in ["nvr.example", "nvr.example:8080", "127.0.0.1", "[::1]:8080"] {
        assert_eq!(named(host).status, 200, "{host}");
    }
    let mut wire = Wire::connect(server.http);
    wire.send("GET /healthz HTTP/1.1\r\n\r\n");
    wire.answer("GET").assert_problem(400, "bad-request");
    assert_eq!(server.limited("hosts"), 3.0);
    // There any page may ask, whatever it is called.
    let mut other = Wire::connect(server.mediamtx);
    other.ask("GET", "/list?path=gate", &[("host", "evil.example")]);
    assert_eq!(other.answer("GET").status, 200);
}

#[test]
fn connections_are_bounded_for_each_client_and_for_all() {
    let site = Site::new();
    let server = Server::start(&site, "connections = 5\nconnections_per_client = 3");
    let connected = |source: &str| {
        let mut wire = Wire::connect_from(source, server.http);
        wire.ask("GET", "/healthz", &[]);
        (wire.answer("GET"), wire)
    };
    let mut held: Vec<Wire> = Vec::new();
    for _ in 0..3 {
        let (answer, wire) = connected("127.0.0.2");
        assert_eq!(answer.status, 200);
        held.push(wire);
    }
    let (refused, _) = connected("127.0.0.2");
    refused.assert_problem(429, "too-many-readers");
    assert_eq!(refused.header("retry-after"), "5");
    // Another one is served, until there are too many of all.
    for _ in 0..2 {
        let (answer, wire) = connected("127.0.0.3");
        assert_eq!(answer.status, 200);
        held.push(wire);
    }
    let (refused, _) = connected("127.0.0.4");
    refused.assert_problem(503, "overloaded");
    assert_eq!(refused.header("retry-after"), "5");
    drop(held);
    // As soon as they are gone, all is free.
    for _ in 0..600 {
        let (answer, _) = connected("127.0.0.4");
        if answer.status == 200 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(25));
    }
    assert_eq!(server.limited("connections_per_client"), 1.0);
    assert!(server.limited("connections") >= 1.0);
    server.wait("nvring_http_connections ", 1.0);
}
