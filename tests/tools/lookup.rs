//! Goal: what is recorded is found by its time, over HTTP: timelines, days, key frames. Method: a server on a volume whose every picture
//! is known; the pictures it gives are decoded and held against those of the source.

use crate::{
    camera::picture_md5s,
    fetch::{Fetched, fetch},
    remote::serve,
    site::{Site, at, recorded},
};
use nvring::base::UnixMicros;
use serde_json::{Value, json};
use std::net::SocketAddr;

fn get(http: SocketAddr, path: &str) -> Fetched {
    fetch(http, &format!("/api/v1{path}"), &[])
}

fn times(value: &Value) -> (UnixMicros, UnixMicros) {
    let time = |key: &str| value[key].as_str().unwrap().parse().unwrap();
    (time("start"), time("end"))
}

fn seconds(value: &Value) -> f64 {
    let (start, end) = times(value);
    end.since(start).as_secs_f64()
}

#[test]
fn timelines_are_told_page_by_page_from_afar_and_for_several_cameras() {
    let site = Site::new();
    let (_running, http) = serve(&site);
    let range = format!("from={}&to={}", at(-1.0), at(20.0));
    let whole = get(http, &format!("/cameras/gate/timeline?{range}")).json();
    let (runs, gaps) = (
        whole["runs"].as_array().unwrap(),
        whole["gaps"].as_array().unwrap(),
    );
    assert_eq!((runs.len(), gaps.len()), (2, 2));
    assert_eq!(
        (&whole["locked"], &whole["next"]),
        (&json!([]), &Value::Null)
    );
    assert!(runs.iter().all(|run| run["growing"] == false));

    // Page by page it is the same.
    let mut next = json!(format!("/api/v1/cameras/gate/timeline?{range}&limit=1"));
    let (mut paged_runs, mut paged_gaps) = (Vec::new(), Vec::new());
    for page in 0.. {
        let Some(link) = next.as_str() else { break };
        assert!(page < 4, "four entries are at most four pages");
        let told = fetch(http, link, &[]).json();
        paged_runs.extend(told["runs"].as_array().unwrap().clone());
        paged_gaps.extend(told["gaps"].as_array().unwrap().clone());
        next = told["next"].clone();
    }
    let spans = |runs: &[Value]| runs.iter().map(times).collect::<Vec<_>>();
    assert_eq!(spans(&paged_runs), spans(runs));
    assert_eq!(&paged_gaps, gaps);

    // From afar the gap of two seconds is not seen, but told.
    let afar = get(
        http,
        &format!("/cameras/gate/timeline?{range}&resolution=3s"),
    )
    .json();
    let run = &afar["runs"][0];
    assert_eq!(
        (afar["runs"].as_array().unwrap().len(), &run["hidden_gaps"]),
        (1, &json!(1))
    );
    let hidden = run["hidden_seconds"].as_f64().unwrap();
    assert!((hidden - seconds(&gaps[0])).abs() < 1e-6, "{run}");

    let both = get(http, &format!("/timeline?camera=yard&camera=gate&{range}")).json();
    let both = both["timelines"].as_array().unwrap();
    assert_eq!(
        (&both[0]["camera"], &both[1]["camera"]),
        (&json!("yard"), &json!("gate"))
    );
    assert_eq!(both[1]["gaps"], whole["gaps"]);
    let short = get(
        http,
        &format!("/timeline?camera=yard&camera=gate&{range}&limit=1"),
    )
    .json();
    let next = short["timelines"][1]["next"].as_str().unwrap();
    assert_eq!(fetch(http, next, &[]).json()["camera"], "gate");
}

#[test]
fn what_is_asked_wrongly_is_answered_with_what_is_wrong() {
    let site = Site::new();
    let (_running, http) = serve(&site);
    let many: String = (0..65).map(|number| format!("camera=c{number}&")).collect();
    let bad = "bad-request";
    let cases = [
        ("/cameras/nobody/timeline", 404, "unknown-camera", "nobody"),
        (
            "/timeline?camera=gate&camera=nobody",
            404,
            "unknown-camera",
            "nobody",
        ),
        ("/timeline", 400, bad, "0 cameras"),
        ("/timeline?camera=gate&camera=gate", 400, bad, "twice"),
        (&format!("/timeline?{many}"), 400, bad, "65 cameras"),
        ("/timeline?camera=gate&cameras=yard", 400, bad, "cameras"),
        ("/cameras/gate/timeline?limit=0", 400, bad, "1 to 10000"),
        ("/cameras/gate/timeline?resolution=60", 400, bad, "500ms"),
        ("/cameras/gate/timeline?limit=1&limit=2", 400, bad, "limit"),
        (
            "/cameras/gate/days?zone=Asia/Ho-Chi-Minh",
            400,
            bad,
            "Asia/Ho_Chi_Minh",
        ),
        ("/cameras/gate/days?zone=../../etc/passwd", 400, bad, "IANA"),
        ("/cameras/gate/frames?count=1001", 400, bad, "1 to 1000"),
        ("/cameras/gate/frame?format=png", 400, bad, "png"),
        (
            "/cameras/gate/frame?at=1970-01-01T00:00:00Z",
            404,
            "nothing-recorded",
            "key frame",
        ),
        (
            "/cameras/gate/frame?within=1s",
            404,
            "nothing-recorded",
            "key frame",
        ),
    ];
    for (path, status, kind, words) in cases {
        get(http, path).assert_problem(status, kind, words);
    }
}

#[test]
fn days_are_those_of_the_callers_calendar() {
    let site = Site::new();
    let (_running, http) = serve(&site);
    let days = |query: &str| get(http, &format!("/cameras/gate/days{query}")).json();
    let utc = days("");
    assert_eq!((&utc["zone"], &utc["next"]), (&json!("UTC"), &Value::Null));
    let day = &utc["days"][0];
    assert_eq!(
        (&day["day"], utc["days"].as_array().unwrap().len()),
        (&json!("2026-11-23"), 1)
    );
    let timeline = get(http, "/cameras/gate/timeline").json();
    let recorded: f64 = timeline["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(seconds)
        .sum();
    assert!((day["recorded_seconds"].as_f64().unwrap() - recorded).abs() < 1e-6);
    assert_eq!(
        (&day["first"], &day["gaps"]),
        (&timeline["runs"][0]["start"], &json!(2))
    );
    assert_eq!(day["last"], timeline["runs"][1]["end"]);
    // Fourteen o'clock is still the day before in Honolulu's calendar, and the next day in Kiritimati's.
    for (zone, date) in [
        ("Pacific/Honolulu", "2026-11-23"),
        ("Pacific/Kiritimati", "2026-11-24"),
        ("asia/ho_chi_minh", "2026-11-23"),
    ] {
        let told = days(&format!("?zone={zone}"));
        assert_eq!(told["days"][0]["day"], date, "{zone}");
        assert!(told["zone"].as_str().unwrap().eq_ignore_ascii_case(zone));
    }
    let none = days("?to=2020-01-01T00:00:00Z");
    assert_eq!(none["days"], json!([]));
}

/// The MD5s of the pictures in `file`, which ffmpeg reads as `format`.
fn pictures(site: &Site, format: &str, file: &[u8]) -> Vec<String> {
    let path = site.path("still");
    std::fs::write(&path, file).unwrap();
    let shown = picture_md5s(&["-f", format, "-i", path.to_str().unwrap()]);
    shown.into_iter().map(|(_, md5)| md5).collect()
}

/// Key frames stand at seconds 0, 2, 6 and 8 of `gate`, and every two seconds of `yard`.
#[test]
fn the_key_frame_of_an_instant_decodes_by_itself() {
    let site = Site::new();
    let (_running, http) = serve(&site);
    let gate = |picture: usize| recorded().gate[picture].clone();
    let yard = |picture: usize| recorded().yard[picture].clone();
    for (camera, second, raw, picture) in [
        ("gate", 0.5, "h264", gate(0)),
        ("gate", 3.9, "h264", gate(50)),
        ("gate", 5.0, "h264", gate(50)),
        ("gate", 9.9, "h264", gate(150)),
        ("gate", 500.0, "h264", gate(150)),
        ("yard", 7.0, "hevc", yard(150)),
    ] {
        let asked = format!("/cameras/{camera}/frame?at={}", at(second));
        for (format, reader) in [("annexb", raw), ("mp4", "mov")] {
            let answer = get(http, &format!("{asked}&format={format}"));
            assert_eq!(answer.status, 200, "{asked}");
            let shown = pictures(&site, reader, &answer.body);
            assert_eq!(shown, std::slice::from_ref(&picture), "{asked} as {format}");
        }
    }
}

#[test]
fn a_picture_tells_its_time_and_may_be_kept() {
    let site = Site::new();
    let (_running, http) = serve(&site);
    let path = format!("/api/v1/cameras/gate/frame?at={}", at(3.0));
    let answer = fetch(http, &path, &[]);
    let time: UnixMicros = answer.header("nvring-frame-time").parse().unwrap();
    let asked: UnixMicros = at(3.0).parse().unwrap();
    let age = asked.since(time).as_secs_f64();
    assert!(
        (0.9..1.1).contains(&age),
        "the key frame of second 2: {age}"
    );
    assert_eq!(answer.header("content-type"), "video/mp4");
    assert_eq!(answer.header("cache-control"), "private, max-age=3600");
    let itself = fetch(http, answer.header("content-location"), &[]);
    assert_eq!((itself.body, itself.status), (answer.body.clone(), 200));
    let tag = answer.header("etag").to_owned();
    let again = fetch(http, &path, &[("if-none-match", &tag)]);
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(
        again.header("nvring-frame-time"),
        answer.header("nvring-frame-time")
    );
    let raw = fetch(http, &path, &[("accept", "video/h264")]);
    assert_eq!(raw.header("content-type"), "video/H264");
    assert_ne!(raw.header("etag"), tag, "another format is another thing");
    // What a newer frame may replace is asked for again.
    let newest = fetch(http, "/api/v1/cameras/gate/frame", &[]);
    assert_eq!(newest.header("cache-control"), "private, no-cache");
    let none = fetch(http, &path, &[("accept", "text/html")]);
    none.assert_problem(
        406,
        "not-acceptable",
        "mp4 (video/mp4) or annexb (video/H264)",
    );
    let near = format!("{path}&within=500ms");
    fetch(http, &near, &[]).assert_problem(404, "nothing-recorded", "key frame");
    assert_eq!(fetch(http, &format!("{path}&within=2s"), &[]).status, 200);
}

/// Without the feature, and for H.265, the answer says which formats there are.
#[test]
fn jpeg_is_given_where_it_can_be_made() {
    let site = Site::new();
    let (_running, http) = serve(&site);
    let yard = format!("/cameras/yard/frame?at={}&format=jpeg", at(3.0));
    get(http, &yard).assert_problem(406, "not-acceptable", "annexb (video/H265)");
    let answer = get(
        http,
        &format!("/cameras/gate/frame?at={}&format=jpeg", at(3.0)),
    );
    if cfg!(feature = "jpeg") {
        assert_eq!(answer.header("content-type"), "image/jpeg");
        let still = site.path("still.jpg");
        std::fs::write(&still, &answer.body).unwrap();
        let mp4 = get(
            http,
            &format!("/cameras/gate/frame?at={}&format=mp4", at(3.0)),
        );
        let source = site.path("still.mp4");
        std::fs::write(&source, mp4.body).unwrap();
        assert!(likeness(&still, &source) > 30.0, "the same picture");
    } else {
        answer.assert_problem(406, "not-acceptable", "--features jpeg");
    }
}

/// How like each other two pictures are, in dB (PSNR of luma).
fn likeness(one: &std::path::Path, other: &std::path::Path) -> f64 {
    let (one, other) = (one.to_str().unwrap(), other.to_str().unwrap());
    let filter = "[0:v]scale=in_range=full:out_range=full,format=gray[a];\
                  [1:v]scale=in_range=limited:out_range=full,format=gray[b];[a][b]psnr";
    let inputs = ["-v", "info", "-i", one, "-i", other];
    let rest = ["-lavfi", filter, "-frames:v", "1", "-f", "null", "-"];
    let (_, words) = crate::camera::tool("ffmpeg", &[&inputs[..], &rest].concat());
    let average = words.split("average:").nth(1).unwrap_or_default();
    let value = average.split_whitespace().next().unwrap_or_default();
    value
        .parse()
        .unwrap_or_else(|_| panic!("no PSNR in {words}"))
}

#[test]
fn a_strip_has_a_key_frame_in_each_part_that_has_one() {
    let site = Site::new();
    let (_running, http) = serve(&site);
    let strip = |query: &str| {
        let answer = get(http, &format!("/cameras/gate/frames{query}")).json();
        answer["frames"].as_array().unwrap().clone()
    };
    let all = strip("");
    assert_eq!(all.len(), 4, "every key frame, where there are more parts");
    for frame in &all {
        let still = fetch(
            http,
            frame["url"].as_str().unwrap(),
            &[("accept", "video/h264")],
        );
        assert_eq!(
            still.header("nvring-frame-time"),
            frame["time"].as_str().unwrap()
        );
    }
    // Halves of ten seconds, with the gap in the middle.
    let halves = strip(&format!("?from={}&to={}&count=2", at(-0.5), at(10.5)));
    assert_eq!(halves, [all[0].clone(), all[2].clone()]);
    let gap = strip(&format!("?from={}&to={}", at(4.1), at(5.8)));
    assert_eq!(gap.len(), 0);
    let late = strip(&format!("?from={}", at(50.0)));
    assert_eq!(late.len(), 0);
}
