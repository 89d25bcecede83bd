//! Goal: what is asked under a condition is answered by it (RFC 9110 §13), alike for every kind of file; `HEAD` tells what `GET` would.

use crate::{
    ranges::files,
    server::Server,
    site::{Site, at},
    wire::ask,
};

#[test]
fn every_file_is_answered_by_its_conditions() {
    let site = Site::new();
    let server = Server::start(&site, "");
    for (listener, path) in files(&server) {
        let whole = ask(listener, "GET", &path, &[]);
        let tag = whole.header("etag").to_owned();
        assert!(tag.starts_with('"'), "{path} has a strong tag: {tag}");
        let date = whole.header("last-modified").to_owned();
        assert_eq!(date.is_empty(), path.contains(".m3u8"), "{path}: {date}");
        let (earlier, later) = (
            "Mon, 23 Nov 2026 00:00:00 GMT",
            "Mon, 23 Nov 2037 00:00:00 GMT",
        );
        let mut cases = vec![
            ("if-none-match", &tag[..], 304),
            ("if-none-match", "\"other\"", 200),
            ("if-none-match", "*", 304),
            ("if-match", &tag, 200),
            ("if-match", "*", 200),
            ("if-match", "\"other\"", 412),
            ("if-unmodified-since", later, 200),
            ("if-modified-since", earlier, 200),
            ("if-modified-since", "nonsense", 200),
        ];
        if !date.is_empty() {
            cases.extend([
                ("if-modified-since", &date[..], 304),
                ("if-modified-since", later, 304),
                ("if-unmodified-since", &date, 200),
                ("if-unmodified-since", earlier, 412),
            ]);
        }
        for (name, value, status) in cases {
            for method in ["GET", "HEAD"] {
                let answer = ask(listener, method, &path, &[(name, value)]);
                assert_eq!(answer.status, status, "{method} {path} {name}: {value}");
                if status == 304 {
                    assert_eq!(answer.header("etag"), tag);
                    assert_eq!(answer.header("last-modified"), date);
                    assert_eq!(
                        answer.header("cache-control"),
                        whole.header("cache-control")
                    );
                }
            }
        }
        if listener == server.http {
            let refused = ask(listener, "GET", &path, &[("if-match", "\"other\"")]);
            refused.assert_problem(412, "precondition-failed");
        }
    }
}

/// The date is the second behind the newest frame: no frame is later, and it does not move when nothing new comes.
#[test]
fn the_date_is_that_of_the_newest_frame() {
    let site = Site::new();
    let server = Server::start(&site, "");
    let date = |from: f64, to: f64| {
        let path = format!(
            "/api/v1/cameras/gate/video.mp4?from={}&to={}",
            at(from),
            at(to)
        );
        server.get(&path).header("last-modified").to_owned()
    };
    assert_eq!(
        date(0.0, 2.0),
        "Mon, 23 Nov 2026 14:00:03 GMT",
        "the next frame tells how long the last one lasts"
    );
    assert_eq!(date(6.0, 60.0), "Mon, 23 Nov 2026 14:00:11 GMT");
    assert_eq!(date(6.0, 600.0), date(6.0, 60.0));
}

#[test]
fn head_tells_what_get_would() {
    let site = Site::new();
    let server = Server::start(&site, "");
    let mut paths: Vec<_> = files(&server);
    let range = format!("from={}&to={}", at(0.0), at(10.0));
    let texts = [
        "/",
        "/healthz",
        "/readyz",
        "/console/style.css",
        "/api/v1/openapi.json",
        "/api/v1/cameras",
        "/api/v1/cameras/gate",
        "/api/v1/cameras/gate/days",
        "/api/v1/cameras/gate/frames",
        "/api/v1/cameras/nobody",
        "/api/v1/nothing",
        "/api/v1/cameras/gate/frame?format=png",
    ];
    paths.extend(texts.map(|path| (server.http, path.to_owned())));
    for path in ["cameras/gate/timeline?", "timeline?camera=gate&"] {
        paths.push((server.http, format!("/api/v1/{path}{range}")));
    }
    paths.push((
        server.http,
        format!("/api/v1/cameras/gate/hls/index.m3u8?{range}"),
    ));
    paths.push((server.mediamtx, "/list?path=gate".to_owned()));
    paths.push((server.mediamtx, "/nothing".to_owned()));
    for (listener, path) in paths {
        // A range has no meaning for HEAD (RFC 9110 §14.2).
        let both = || {
            let get = ask(listener, "GET", &path, &[]);
            let head = ask(listener, "HEAD", &path, &[("range", "bytes=1-2")]);
            (get, head)
        };
        let (mut get, mut head) = both();
        if get.header("etag") != head.header("etag") {
            // Until when something is kept is told anew each minute: two ends of a minute do not follow each other so soon.
            (get, head) = both();
        }
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        for answer in [&mut get, &mut head] {
            answer.headers.retain(|(name, _)| name != "date");
            answer.headers.sort();
        }
        assert_eq!(head.headers, get.headers, "{path}");
    }
}
