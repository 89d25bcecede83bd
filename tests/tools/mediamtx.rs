//! Goal: a client that knows MediaMTX's playback server gets what it expects, and the very pictures that were recorded. Method: the
//! requests and answers its documentation shows; every video decoded and held against the source.

use crate::{
    camera::{START, frame_time, picture_md5s},
    duration::duration_us,
    fetch::{Fetched, fetch},
    remote::{Running, serve_with},
    site::{Site, at, recorded},
};
use nvring::base::{UnixMicros, seed::Seed};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
};

/// Frames that are there only because others refer to them are shown for so long all together, in microseconds.
const UNSEEN_US: i64 = 20_000;

/// A server with both listeners: HTTP's, and MediaMTX's.
fn serve(site: &Site) -> (Running, SocketAddr, SocketAddr) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let playback = free.local_addr().unwrap();
    drop(free);
    let (running, http) = serve_with(site, &format!("[mediamtx]\nlisten = \"{playback}\"\n"));
    (running, http, playback)
}

fn save(site: &Site, name: &str, fetched: &Fetched) -> PathBuf {
    assert_eq!(fetched.status, 200, "{fetched:?}");
    let length = fetched.header("content-length").parse();
    assert_eq!(
        length,
        Ok(fetched.body.len()),
        "the length was known before"
    );
    let path = site.path(name);
    std::fs::write(&path, &fetched.body).unwrap();
    path
}

fn shown(path: &Path) -> Vec<(i64, String)> {
    picture_md5s(&["-i", path.to_str().unwrap()])
}

#[test]
fn a_listing_leads_to_the_video_of_each_stretch() {
    let site = Site::new();
    let (_running, _, http) = serve(&site);
    let list = fetch(http, "/list?path=gate", &[]);
    assert_eq!(list.header("access-control-allow-origin"), "*");
    let list = list.json();
    let entries = list.as_array().unwrap();
    assert_eq!(entries.len(), 2);
    for (number, entry) in entries.iter().enumerate() {
        let keys: Vec<&String> = entry.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["duration", "start", "url"]);
        let url = entry["url"].as_str().unwrap();
        let path = url.strip_prefix(&format!("http://{http}")).unwrap();
        assert!(path.starts_with("/get?duration="), "{path}");
        let expected = &recorded().gate[100 * number..100 * (number + 1)];
        for format in ["", "&format=fmp4", "&format=mp4"] {
            let file = save(
                &site,
                "a.mp4",
                &fetch(http, &format!("{path}{format}"), &[]),
            );
            let pictures: Vec<String> = shown(&file).into_iter().map(|(_, md5)| md5).collect();
            assert_eq!(pictures, expected, "{path}{format}");
            let told = (entry["duration"].as_f64().unwrap() * 1e6) as i64;
            assert!((duration_us(&file) - told).abs() < 40_000, "to one frame");
        }
    }
    // Cut to what is asked for; the scheme is that of a proxy on this machine.
    let (from, to) = (at(1.0), at(2.5));
    let path = format!("/list?path=gate&start={from}&end={to}");
    let list = fetch(
        http,
        &path,
        &[("x-forwarded-proto", "https"), ("host", "nvr.example:9996")],
    );
    let entry = &list.json()[0];
    assert_eq!(
        (&entry["start"], &entry["duration"]),
        (&json!(from), &json!(1.5))
    );
    let url = entry["url"].as_str().unwrap();
    assert!(
        url.starts_with(
            "https://nvr.example:9996/get?duration=1.5&path=gate&start=2026-11-23T14%3A00%3A01"
        ),
        "{url}"
    );
    let sub = fetch(http, "/list?path=yard/sub", &[]).json();
    assert_eq!(sub.as_array().unwrap().len(), 1);
}

/// What MediaMTX cannot do: go on over gaps, and be asked for in pieces.
#[test]
fn a_video_goes_on_over_gaps_and_comes_in_any_pieces() {
    let site = Site::new();
    let (_running, _, http) = serve(&site);
    for format in ["fmp4", "mp4"] {
        let path = format!(
            "/get?path=gate&start={}&duration=1m30s&format={format}",
            at(-5.0)
        );
        let whole = fetch(http, &path, &[]);
        let file = save(&site, "a.mp4", &whole);
        let pictures: Vec<String> = shown(&file).into_iter().map(|(_, md5)| md5).collect();
        assert_eq!(pictures, recorded().gate);
        assert_eq!(whole.header("accept-ranges"), "bytes");
        let (mut pieces, mut seed) = (Vec::new(), Seed::new(7));
        while pieces.len() < whole.body.len() {
            let last = pieces.len() as u64 + seed.below(whole.body.len() as u64 / 8);
            let range = format!("bytes={}-{last}", pieces.len());
            let tag = whole.header("etag").to_owned();
            let piece = fetch(http, &path, &[("range", &range), ("if-range", &tag)]);
            assert_eq!(piece.status, 206);
            pieces.extend(piece.body);
        }
        assert!(pieces == whole.body, "{format}: pieces are not the whole");
    }
}

/// The pictures of `from..to`: the one in force at `from`, and those taken later, with their times in the file; gaps take no time.
fn expected(camera: &str, from: i64, to: i64) -> Vec<(i64, String)> {
    let taken = |number: usize| frame_time(number as i64);
    let runs = if camera == "gate" {
        vec![(0, 0..100), (100, 150..250)]
    } else {
        vec![(0, 0..250)]
    };
    let source = if camera == "gate" {
        &recorded().gate
    } else {
        &recorded().yard
    };
    let mut pictures = Vec::new();
    let mut media = 0;
    for (first, numbers) in runs {
        let end = taken(numbers.end - 1) + 40_000;
        let start = from.clamp(taken(numbers.start), end);
        for number in numbers.clone() {
            let until = if number + 1 < numbers.end {
                taken(number + 1)
            } else {
                end
            };
            if taken(number) < to && start < until {
                let time = media + (taken(number) - start).max(0);
                pictures.push((time, source[first + number - numbers.start].clone()));
            }
        }
        media += (end.min(to) - start).max(0);
    }
    pictures
}

/// Goal: any range begins and ends on the frame that was asked for. Method: 200 random ranges, over HTTP from both servers, decoded.
#[test]
fn random_ranges_begin_and_end_on_the_frame_asked_for() {
    let site = Site::new();
    let (_running, main, http) = serve(&site);
    for number in 0..200 {
        let mut seed = Seed::new(number);
        let camera = if seed.chance(0.5) { "gate" } else { "yard" };
        let from = START + seed.below(9_800_000) as i64;
        let to = from + seed.between(60_000, 4_000_000) as i64;
        let wanted = expected(camera, from, to);
        let (start, end) = (UnixMicros(from), UnixMicros(to));
        let path = format!("/api/v1/cameras/{camera}/video.mp4?from={start}&to={end}");
        let seconds = end.since(start).as_secs_f64();
        let get = format!("/get?path={camera}&start={start}&duration={seconds}");
        let what = format!("SEED={number} {camera} {start} to {end}");
        let progressive = fetch(main, &path, &[]);
        let same = fetch(http, &format!("{get}&format=mp4"), &[]);
        let fragmented = fetch(http, &get, &[]);
        if wanted.is_empty() {
            let statuses = [&progressive, &same, &fragmented].map(|answer| answer.status);
            assert_eq!(statuses, [404; 3], "{what}");
            continue;
        }
        assert!(progressive.body == same.body, "{what}: two MP4 files");
        // How long a run lasts before a gap is known to a picture's length.
        let crosses =
            camera == "gate" && (START..frame_time(150)).contains(&from) && to > frame_time(150);
        let slack = if crosses { 8_000 } else { 2 };
        let exact = shown(&save(&site, "a.mp4", &progressive));
        assert_shows(&exact, &wanted, slack, &what);
        let near = shown(&save(&site, "a.mp4", &fragmented));
        assert_shows(&near, &wanted, UNSEEN_US, &format!("{what}, fragmented"));
    }
}

/// Asserts that `shown` are the pictures `wanted` at their times; with a tolerance, others may stand for an instant before or behind them.
fn assert_shows(shown: &[(i64, String)], wanted: &[(i64, String)], tolerance: i64, what: &str) {
    let mut begin = 0..=shown.len().saturating_sub(wanted.len());
    let same = |begin: &usize| {
        let rest = shown[*begin..].iter().zip(wanted);
        rest.clone().all(|(shown, wanted)| shown.1 == wanted.1) && rest.count() == wanted.len()
    };
    let places = |pictures: &[(i64, String)]| {
        let of = |md5: &String| {
            let yard = recorded().yard.iter().position(|other| other == md5);
            yard.or(recorded().gate.iter().position(|other| other == md5))
        };
        let places = pictures.iter().map(|(time, md5)| (*time, of(md5)));
        format!("{:?}", places.collect::<Vec<_>>())
    };
    let begin = begin
        .find(same)
        .unwrap_or_else(|| panic!("{what}: {}, not {}", places(shown), places(wanted)));
    for ((time, _), (expected, _)) in shown[begin..].iter().zip(wanted) {
        let near = (time - expected).abs() <= tolerance;
        assert!(near, "{what}: a picture at {time}, not {expected}");
    }
    let after = &shown[begin + wanted.len()..];
    let exact = tolerance < UNSEEN_US;
    assert!(
        !exact || (begin == 0 && after.is_empty()),
        "{what}: {} pictures too many",
        begin + after.len()
    );
    let first = wanted.first().map_or(0, |first| first.0);
    assert!(
        shown[..begin]
            .iter()
            .all(|(time, _)| *time <= first + UNSEEN_US),
        "{what}"
    );
    let last = wanted.last().map_or(0, |last| last.0);
    assert!(after.iter().all(|(time, _)| *time >= last), "{what}");
}

#[test]
fn errors_are_told_as_mediamtx_tells_them() {
    let site = Site::new();
    let (_running, _, http) = serve(&site);
    let get = format!("/get?path=gate&start={}", at(0.0));
    let nothing = "no recording segments found";
    let cases = [
        ("/list", 400, "path ''"),
        ("/list?path=nobody", 400, "path 'nobody' is not configured"),
        ("/list?path=gate/third", 400, "is not configured"),
        ("/list?path=gate/sub", 400, "is not configured"),
        ("/list?path=gate&start=yesterday", 400, "invalid start"),
        ("/list?path=gate&end=2020-01-01T00:00:00Z", 404, nothing),
        (
            &format!("/list?path=gate&start={}&end={}", at(2.0), at(1.0)),
            400,
            "invalid end",
        ),
        ("/get?path=gate&duration=5", 400, "invalid start"),
        (&get, 400, "invalid duration"),
        (&format!("{get}&duration=-5"), 400, "invalid duration"),
        (
            &format!("{get}&duration=5&format=avi"),
            400,
            "invalid format: avi",
        ),
        (
            "/get?path=gate&start=2020-01-01T00:00:00Z&duration=5",
            404,
            nothing,
        ),
        (
            "/get?path=gate&start=2020-01-01T00:00:00Z&duration=5&format=mp4",
            404,
            nothing,
        ),
        ("/v3/config/global/get", 404, "/list or /get"),
    ];
    for (path, status, words) in cases {
        let answer = fetch(http, path, &[]);
        let told = answer.json();
        assert_eq!(
            (answer.status, &told["status"]),
            (status, &json!("error")),
            "{path}: {told}"
        );
        let keys: Vec<&String> = told.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["error", "status"]);
        let error = told["error"].as_str().unwrap();
        assert!(error.contains(words), "{path}: {error}");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
}

/// A page from anywhere may ask, with a `Range` too.
#[test]
fn browsers_may_ask_from_anywhere() {
    let site = Site::new();
    let (_running, _, http) = serve(&site);
    let mut stream = TcpStream::connect(http).unwrap();
    let request = "OPTIONS /get HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\nAccess-Control-Request-Method: GET\r\n\
                   Access-Control-Request-Headers: range\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let answer = answer.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    for header in [
        "access-control-allow-origin: *",
        "access-control-allow-headers: authorization,range",
    ] {
        assert!(answer.contains(header), "{header}: {answer}");
    }
    let list: Value = fetch(http, "/list?path=gate", &[]).json();
    assert!(list.is_array());
}
