//! Goal: text is compressed for those who take it, video never; a page of an allowed origin reads all it needs, others nothing.

use crate::{
    ranges::files,
    server::Server,
    site::{Site, at},
    wire::{Answer, ask},
};
use std::io::Read;

fn decoded(answer: &Answer) -> Vec<u8> {
    let mut plain = Vec::new();
    match answer.header("content-encoding") {
        "gzip" => {
            flate2::read::GzDecoder::new(&answer.body[..])
                .read_to_end(&mut plain)
                .unwrap();
        }
        "zstd" => plain = zstd::decode_all(&answer.body[..]).unwrap(),
        "" => plain.clone_from(&answer.body),
        other => panic!("{other}"),
    }
    plain
}

/// A list that has its tag before it is made.
fn list() -> String {
    let (from, to) = (at(0.0), at(10.0));
    format!("/api/v1/cameras/gate/hls/media.m3u8?from={from}&to={to}")
}

#[test]
fn text_is_compressed_as_the_client_takes_it() {
    let site = Site::new();
    let server = Server::start(&site, "");
    let list = list();
    for path in ["/api/v1/openapi.json", &list] {
        let plain = server.get(path);
        assert_eq!(
            (plain.header("content-encoding"), plain.header("vary")),
            ("", "accept-encoding")
        );
        for (accepted, coding) in [
            ("gzip", "gzip"),
            ("zstd", "zstd"),
            ("gzip;q=0.5, zstd", "zstd"),
            ("br, deflate", ""),
            ("identity", ""),
        ] {
            let coded = server.ask("GET", path, &[("accept-encoding", accepted)]);
            assert_eq!(
                coded.header("content-encoding"),
                coding,
                "{path} {accepted}"
            );
            assert_eq!(coded.header("vary"), "accept-encoding");
            assert!(decoded(&coded) == plain.body, "{path} {accepted}");
            if !coding.is_empty() {
                assert!(coded.body.len() < plain.body.len());
            }
        }
    }
}

#[test]
fn each_coding_has_its_tag_and_each_is_recognised() {
    let site = Site::new();
    let server = Server::start(&site, "");
    let list = list();
    let tag_of = |accepted: &str| {
        let answer = server.ask("GET", &list, &[("accept-encoding", accepted)]);
        answer.header("etag").to_owned()
    };
    let tags = ["identity", "gzip", "zstd"].map(|coding| (coding, tag_of(coding)));
    assert!(tags[0].1 != tags[1].1 && tags[1].1 != tags[2].1, "{tags:?}");
    for (coding, tag) in &tags {
        let known = [("accept-encoding", *coding), ("if-none-match", tag)];
        let answer = server.ask("GET", &list, &known);
        assert_eq!((answer.status, answer.header("etag")), (304, &tag[..]));
        assert_eq!(answer.header("vary"), "accept-encoding");
        // The one that fits is named, not the first: the others are of other answers.
        let several = format!("\"other-gzip\", \"other-zstd\", W/{tag}");
        let known = [("accept-encoding", *coding), ("if-none-match", &several)];
        let answer = server.ask("GET", &list, &known);
        assert_eq!((answer.status, answer.header("etag")), (304, &tag[..]));
    }
    // `If-Match` takes each tag that was given, and no other.
    for (coding, tag) in &tags {
        let known = [("accept-encoding", *coding), ("if-match", tag)];
        let answer = server.ask("GET", &list, &known);
        assert_eq!((answer.status, answer.header("etag")), (200, &tag[..]));
    }
    let other = [("accept-encoding", "gzip"), ("if-match", "\"other-gzip\"")];
    server
        .ask("GET", &list, &other)
        .assert_problem(412, "precondition-failed");
    // A range is of the plain list, so it does not go on with a compressed one.
    let resume = [
        ("accept-encoding", "gzip"),
        ("range", "bytes=10-"),
        ("if-range", &tags[1].1),
    ];
    assert_eq!(server.ask("GET", &list, &resume).status, 200);
    let resume = [
        ("accept-encoding", "gzip"),
        ("range", "bytes=10-"),
        ("if-range", &tags[0].1),
    ];
    let rest = server.ask("GET", &list, &resume);
    assert_eq!((rest.status, rest.header("content-encoding")), (206, ""));
    assert_eq!(rest.body, server.get(&list).body[10..]);
}

/// The headers of an answer but those that tell the time and how it goes over the wire (RFC 9110 §9.3.2).
fn told(answer: &Answer) -> Vec<(String, String)> {
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| name != "date" && name != "transfer-encoding");
    headers.sort();
    headers
}

#[test]
fn head_tells_what_get_does_whatever_the_coding() {
    let site = Site::new();
    let server = Server::start(&site, "");
    let range = format!("from={}&to={}", at(0.0), at(10.0));
    for path in [
        "/api/v1/openapi.json".to_owned(),
        "/api/v1/cameras".to_owned(),
        format!("/api/v1/cameras/gate/hls/media.m3u8?{range}"),
        format!("/api/v1/cameras/gate/frames?{range}"),
        format!("/api/v1/cameras/gate/timeline?{range}"),
        format!("/api/v1/cameras/nobody/timeline?{range}"),
    ] {
        for coding in ["identity", "gzip", "zstd"] {
            let ask = |method| server.ask(method, &path, &[("accept-encoding", coding)]);
            let (mut get, mut head) = (ask("GET"), ask("HEAD"));
            if told(&head) != told(&get) {
                // Until when something is kept is told anew each minute: two ends of a minute do not follow each other so soon.
                (get, head) = (ask("GET"), ask("HEAD"));
            }
            assert_eq!(head.status, get.status, "{path}");
            assert_eq!(told(&head), told(&get), "{path} {coding}");
        }
    }
}

#[test]
fn json_that_a_client_has_is_not_sent_again() {
    let site = Site::new();
    let server = Server::start(&site, "");
    let range = format!("from={}&to={}", at(0.0), at(10.0));
    let mut tags = Vec::new();
    for path in [
        "/api/v1/cameras".to_owned(),
        format!("/api/v1/timeline?camera=gate&{range}"),
        format!("/api/v1/cameras/gate/timeline?{range}"),
        format!("/api/v1/cameras/gate/days?{range}"),
        format!("/api/v1/cameras/gate/frames?{range}"),
    ] {
        for coding in ["identity", "gzip"] {
            let whole = server.ask("GET", &path, &[("accept-encoding", coding)]);
            let tag = whole.header("etag").to_owned();
            assert!(tag.starts_with('"') && tag.len() > 30, "{path}: {tag}");
            assert_eq!(whole.header("cache-control"), "private, no-cache");
            for method in ["GET", "HEAD"] {
                // Until when something is kept is told anew each minute: two ends of a minute do not follow each other so soon.
                let is_known = (0..2).any(|_| {
                    let whole = server.ask("GET", &path, &[("accept-encoding", coding)]);
                    let tag = whole.header("etag");
                    let known = [("accept-encoding", coding), ("if-none-match", tag)];
                    let again = server.ask(method, &path, &known);
                    (again.status, again.header("etag")) == (304, tag)
                });
                assert!(is_known, "{method} {path} {coding}");
                let other = [("accept-encoding", coding), ("if-none-match", "\"other\"")];
                assert_eq!(server.ask(method, &path, &other).status, 200, "{path}");
                let gone = [("accept-encoding", coding), ("if-match", "\"other\"")];
                assert_eq!(server.ask(method, &path, &gone).status, 412, "{path}");
            }
            if coding == "identity" {
                tags.push(tag);
            }
        }
    }
    // Another answer has another tag.
    let shorter = format!(
        "/api/v1/cameras/gate/timeline?from={}&to={}",
        at(0.0),
        at(5.0)
    );
    tags.push(server.get(&shorter).header("etag").to_owned());
    let all = tags.len();
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), all, "{tags:?}");
}

/// Clients say "for ever" so, and the server itself does.
#[test]
fn the_end_of_time_is_read() {
    let site = Site::new();
    let server = Server::start(&site, "");
    for end in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999-01:00"] {
        for path in [
            format!("/api/v1/cameras/gate/timeline?to={end}"),
            format!("/api/v1/cameras/gate/days?to={end}"),
            format!("/api/v1/cameras/gate/video.mp4?to={end}"),
            format!("/api/v1/cameras/gate/frame?at={end}"),
        ] {
            assert_eq!(server.ask("HEAD", &path, &[]).status, 200, "{path}");
        }
        let list = format!("/list?path=gate&end={end}");
        assert_eq!(ask(server.mediamtx, "GET", &list, &[]).status, 200);
    }
    let reversed = server.get("/api/v1/cameras/gate/timeline?from=9999-12-31T23:59:59Z");
    reversed.assert_problem(400, "bad-request");
    assert!(reversed.text().contains("(9999-12-31T23:59:59"));
}

#[test]
fn video_is_never_compressed() {
    let site = Site::new();
    let server = Server::start(&site, "");
    for (listener, path) in files(&server) {
        if path.contains(".m3u8") {
            continue;
        }
        let plain = ask(listener, "GET", &path, &[]);
        let asked = ask(listener, "GET", &path, &[("accept-encoding", "gzip, zstd")]);
        assert_eq!(asked.header("content-encoding"), "", "{path}");
        assert!(asked.body == plain.body, "{path}");
        let none = ask(
            listener,
            "GET",
            &path,
            &[("accept-encoding", "identity;q=0, *;q=0")],
        );
        assert_eq!(none.status, 406, "{path}");
        assert!(none.body.len() < 1000, "a refusal and not the file");
    }
}

const ALLOWED: &str = "allow_origins = [\"https://vms.example\"]";

fn some_video() -> String {
    format!(
        "/api/v1/cameras/gate/video.mp4?from={}&to={}",
        at(0.0),
        at(2.0)
    )
}

#[test]
fn pages_of_allowed_origins_read_and_others_do_not() {
    let site = Site::new();
    let server = Server::start(&site, ALLOWED);
    let path = some_video();
    let from =
        |origin: &str| server.ask("GET", &path, &[("origin", origin), ("range", "bytes=0-9")]);
    let allowed = from("https://vms.example");
    assert_eq!(allowed.status, 206);
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        "https://vms.example"
    );
    let vary = allowed.headers.iter().filter(|(name, _)| name == "vary");
    assert!(
        vary.clone().any(|(_, value)| value.contains("origin")),
        "{allowed:?}"
    );
    let exposed = allowed.header("access-control-expose-headers");
    for name in [
        "content-range",
        "etag",
        "content-length",
        "last-modified",
        "nvring-frame-time",
    ] {
        assert!(
            exposed.split(',').any(|exposed| exposed == name),
            "{name}: {exposed}"
        );
    }
    assert_eq!(
        from("https://evil.example").header("access-control-allow-origin"),
        ""
    );
    // A problem can be read too.
    let problem = server.ask(
        "GET",
        "/api/v1/cameras/nobody",
        &[("origin", "https://vms.example")],
    );
    assert_eq!(
        problem.header("access-control-allow-origin"),
        "https://vms.example"
    );
}

#[test]
fn browsers_ask_first_and_are_told() {
    let site = Site::new();
    let server = Server::start(&site, ALLOWED);
    let path = some_video();
    let preflight = |origin: &str| {
        let asked = [
            ("origin", origin),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "range,if-range"),
        ];
        server.ask("OPTIONS", &path, &asked)
    };
    let allowed = preflight("https://vms.example");
    assert_eq!(allowed.status, 200);
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        "https://vms.example"
    );
    let headers = allowed.header("access-control-allow-headers");
    assert!(
        headers.contains("range") && headers.contains("if-range"),
        "{headers}"
    );
    assert_eq!(allowed.header("access-control-max-age"), "3600");
    let refused = preflight("https://evil.example");
    assert_eq!(refused.header("access-control-allow-origin"), "");
    drop(server);
    // Without the setting there is nothing of the kind.
    let server = Server::start(&site, "");
    let closed = server.ask("GET", &path, &[("origin", "https://vms.example")]);
    assert!(
        closed
            .headers
            .iter()
            .all(|(name, _)| !name.starts_with("access-control"))
    );
    let preflight = server.ask("OPTIONS", &path, &[("origin", "https://vms.example")]);
    preflight.assert_problem(405, "method-not-allowed");
}
