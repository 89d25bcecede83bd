//! Goal: any bytes of a file, asked for in any way, are those of the whole. Method: random ranges, one or several at once, of every kind of
//! file there is, with seeds that are printed.

use crate::{
    server::Server,
    site::{Site, at},
    wire::{Answer, Wire},
};
use nvring::base::{Clock, SystemClock, seed::Seed};
use std::{net::SocketAddr, ops::Range};

/// Ranges asked for of all files together.
const REQUESTS: u64 = 1000;

pub(crate) fn seed() -> Seed {
    let number = std::env::var("NVRING_SEED").ok();
    let number = number.and_then(|text| text.parse().ok());
    let number = number.unwrap_or_else(|| SystemClock::new().now().0 as u64);
    println!("SEED={number}");
    Seed::new(number)
}

/// Every kind of file, by listener.
pub(crate) fn files(server: &Server) -> Vec<(SocketAddr, String)> {
    let api = |path: String| (server.http, format!("/api/v1/cameras/{path}"));
    let range = format!("from={}&to={}", at(0.5), at(9.3));
    let list = server.get(&format!("/api/v1/cameras/gate/hls/media.m3u8?{range}"));
    let list = list.text();
    let part = list.lines().find(|line| line.ends_with(".m4s")).unwrap();
    let init = list.split("URI=\"").nth(1).unwrap();
    let init = init.split('"').next().unwrap();
    let get = |format: &str| {
        let path = format!(
            "/get?path=gate&start={}&duration=9&format={format}",
            at(0.5)
        );
        (server.mediamtx, path)
    };
    vec![
        api(format!("gate/video.mp4?{range}")),
        api(format!("yard/video.mp4?{range}")),
        api(format!("gate/hls/{part}")),
        api(format!("gate/hls/{init}")),
        api(format!("gate/hls/media.m3u8?{range}")),
        api(format!("gate/frame?at={}", at(3.0))),
        get("fmp4"),
        get("mp4"),
    ]
}

/// The bytes of each range in an answer, whose headers must be right.
fn ranges_of(answer: &Answer, whole: &Answer, one: bool) -> Vec<(Range<usize>, Vec<u8>)> {
    assert_eq!(answer.status, 206, "{:?}", answer.headers);
    for name in ["etag", "last-modified", "cache-control", "accept-ranges"] {
        assert_eq!(answer.header(name), whole.header(name), "{name}");
    }
    let told = |text: &str| {
        let text = text.strip_prefix("bytes ").unwrap();
        let (range, len) = text.split_once('/').unwrap();
        assert_eq!(len, whole.body.len().to_string());
        let (first, last) = range.split_once('-').unwrap();
        first.parse().unwrap()..last.parse::<usize>().unwrap() + 1
    };
    if one {
        assert_eq!(answer.header("content-type"), whole.header("content-type"));
        return vec![(told(answer.header("content-range")), answer.body.clone())];
    }
    let boundary = answer.header("content-type");
    let boundary = boundary
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    assert_eq!(answer.header("content-range"), "", "each part has its own");
    let (mut rest, mut found) = (&answer.body[..], Vec::new());
    let mut line = format!("--{boundary}\r\n");
    loop {
        let Some(part) = rest.strip_prefix(line.as_bytes()) else {
            let end = format!("\r\n--{boundary}--\r\n");
            assert!(
                rest == end.as_bytes(),
                "{} bytes behind the parts",
                rest.len()
            );
            return found;
        };
        line = format!("\r\n--{boundary}\r\n");
        let end = part
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8(part[..end].to_vec()).unwrap();
        let (kind, range) = head.split_once("\r\n").unwrap();
        assert_eq!(
            kind,
            format!("Content-Type: {}", whole.header("content-type"))
        );
        let range = told(range.strip_prefix("Content-Range: ").unwrap());
        let (bytes, behind) = part[end + 4..].split_at(range.len());
        found.push((range, bytes.to_vec()));
        rest = behind;
    }
}

#[test]
fn random_ranges_are_bytes_of_the_whole() {
    let site = Site::new();
    let server = Server::start(&site, "");
    let files = files(&server);
    let mut seed = seed();
    for (listener, path) in &files {
        let mut wire = Wire::connect(*listener);
        wire.ask("GET", path, &[]);
        let whole = wire.answer("GET");
        assert_eq!(whole.status, 200, "{path}");
        assert_eq!(whole.header("content-length"), whole.body.len().to_string());
        let len = whole.body.len() as u64;
        for _ in 0..REQUESTS / files.len() as u64 {
            let count = if seed.chance(0.3) {
                seed.between(2, 5)
            } else {
                1
            };
            let mut asked = Vec::new();
            let mut wanted = Vec::new();
            for _ in 0..count {
                let (a, b) = (seed.below(len), seed.below(len));
                let (first, last) = (a.min(b), a.max(b));
                let (text, range) = match seed.below(6) {
                    0 => (format!("{first}-"), first..len),
                    1 => (format!("-{}", last + 1), len - last - 1..len),
                    2 => (format!("{first}-{}", last + len), first..len),
                    _ => (format!("{first}-{last}"), first..last + 1),
                };
                asked.push(text);
                wanted.push(range.start as usize..range.end as usize);
            }
            let asked = format!("bytes={}", asked.join(", "));
            wire.ask("GET", path, &[("range", &asked)]);
            let answer = wire.answer("GET");
            let one = !answer.header("content-type").starts_with("multipart");
            let got = ranges_of(&answer, &whole, one);
            for (range, bytes) in &got {
                assert!(
                    whole.body[range.clone()] == bytes[..],
                    "{path} {asked}: {range:?}"
                );
            }
            // All that was asked for came, and no byte twice.
            for range in &wanted {
                let holds = |got: &Range<usize>| got.start <= range.start && range.end <= got.end;
                assert!(got.iter().any(|(got, _)| holds(got)), "{path} {asked}");
            }
            let sum: usize = got.iter().map(|(range, _)| range.len()).sum();
            assert!(sum <= whole.body.len(), "{path} {asked}");
        }
    }
}

#[test]
fn ranges_that_are_not_there_or_too_many_are_refused() {
    let site = Site::new();
    let server = Server::start(&site, "");
    for (listener, path) in files(&server) {
        let ask = |range: &str| crate::wire::ask(listener, "GET", &path, &[("range", range)]);
        let whole = crate::wire::get(listener, &path);
        let len = whole.body.len();
        let many = format!("bytes={}", vec!["0-0"; 17].join(","));
        for range in [&format!("bytes={len}-"), "bytes=-0", &many] {
            let refused = ask(range);
            assert_eq!(refused.status, 416, "{path} {range}");
            assert_eq!(refused.header("content-range"), format!("bytes */{len}"));
            if listener == server.http {
                refused.assert_problem(416, "range-not-satisfiable");
            } else {
                assert_eq!(refused.json()["status"], "error");
            }
        }
        // What is no range is as if it were not there.
        for range in ["bytes=5-3", "lines=1-2", "bytes=0-0,x"] {
            let answer = ask(range);
            assert_eq!(
                (answer.status, answer.body),
                (200, whole.body.clone()),
                "{range}"
            );
        }
    }
}

/// As a browser does that lost the network, twenty times.
#[test]
fn a_download_cut_twenty_times_and_resumed_is_the_whole() {
    let site = Site::new();
    let server = Server::start(&site, "");
    let mut seed = seed();
    let path = format!(
        "/api/v1/cameras/gate/video.mp4?from={}&to={}",
        at(0.0),
        at(10.0)
    );
    let whole = server.get(&path);
    let (tag, date) = (whole.header("etag"), whole.header("last-modified"));
    for validator in [tag, date] {
        let mut got: Vec<u8> = Vec::new();
        for cut in 0..=20 {
            let mut wire = Wire::connect(server.http);
            let range = format!("bytes={}-", got.len());
            let resume = [("range", &range[..]), ("if-range", validator)];
            wire.ask("GET", &path, if cut == 0 { &[] } else { &resume });
            let head = wire.head();
            assert_eq!(head.status, if cut == 0 { 200 } else { 206 });
            let left = whole.body.len() - got.len();
            let len = if cut == 20 {
                left
            } else {
                seed.below(left as u64 / 4) as usize
            };
            got.extend(wire.bytes(len));
        }
        assert!(got == whole.body, "{validator}");
    }
    server.wait("nvring_http_readers ", 0.0);
    // What is not the same any more comes whole.
    for other in ["\"other\"", "W/\"a\"", "Mon, 23 Nov 2026 00:00:00 GMT"] {
        let answer = server.ask("GET", &path, &[("range", "bytes=5-"), ("if-range", other)]);
        assert_eq!((answer.status, answer.body.len()), (200, whole.body.len()));
    }
}

#[test]
fn tags_and_bytes_are_the_same_after_a_restart() {
    let site = Site::new();
    let told = |server: &Server| -> Vec<(u16, String, String, Vec<u8>)> {
        let answers = files(server).into_iter().map(|(listener, path)| {
            let answer = crate::wire::get(listener, &path);
            let (tag, date) = (answer.header("etag"), answer.header("last-modified"));
            (answer.status, tag.to_owned(), date.to_owned(), answer.body)
        });
        answers.collect()
    };
    let server = Server::start(&site, "");
    let before = told(&server);
    drop(server);
    let server = Server::start(&site, "");
    assert!(told(&server) == before);
}
