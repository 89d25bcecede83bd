//! Goal: whoever copies an example of docs/api.md gets what it says, and every route has one. Method: the `curl` lines of the document are
//! run by a shell against a server that records two simulated cameras; only addresses, times and names of parts are put in.

use crate::{server::Server, site::Site};
use nvring::base::{Micros, UnixMicros};
use std::{collections::BTreeSet, process::Command};

const DOCUMENT: &str = include_str!("../../docs/api.md");

/// Every example: the indented lines that begin with `curl`.
fn examples() -> Vec<&'static str> {
    let indented = DOCUMENT.lines().filter(|line| line.starts_with("    "));
    let lines = indented.map(str::trim_start);
    lines.filter(|line| line.starts_with("curl ")).collect()
}

/// The example with what this server has in the place of what the document shows.
fn here(example: &str, server: &Server, first: UnixMicros) -> String {
    let time = |seconds| (first + Micros::from_secs(seconds)).to_string();
    // Ranges of the document that are hours long are as long as what there is.
    let mut line = example.to_owned();
    for (shown, there) in [
        ("2026-11-01T00:00:00Z", time(0)),
        ("2026-11-23T00:00:00Z", time(0)),
        ("2026-11-23T08:00:00Z", time(1)),
        ("2026-11-23T08:05:00Z", time(4)),
        ("2026-11-23T09:00:00Z", time(5)),
        ("1795420800000000", first.0.to_string()),
        ("127.0.0.1:8080", server.http.to_string()),
        ("127.0.0.1:9996", server.mediamtx.to_string()),
    ] {
        line = line.replace(shown, &there);
    }
    line
}

/// Names every problem an example has.
fn run(site: &Site, line: &str) -> Result<(), String> {
    let folder = site.path("examples");
    std::fs::create_dir_all(&folder).unwrap();
    let output = Command::new("sh")
        .args(["-c", line])
        .env("CURL_HOME", site.path("curl"))
        .current_dir(&folder)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // Live goes on until curl has had enough.
    let live = line.contains("--max-time") && output.status.code() == Some(28);
    if live || output.status.success() {
        return Ok(());
    }
    let told = text(&output.stdout);
    let told: String = told.chars().take(500).collect();
    Err(format!(
        "{line}: {}: {told} {}",
        output.status,
        text(&output.stderr)
    ))
}

/// Waits until the camera has recorded so much; tells the start.
pub(crate) fn recorded(server: &Server, camera: &str, seconds: i64) -> UnixMicros {
    for _ in 0..600 {
        let told = server.get(&format!("/api/v1/cameras/{camera}")).json();
        let time = |key: &str| told["streams"][0][key].as_str()?.parse::<UnixMicros>().ok();
        if let (Some(first), Some(last)) = (time("first"), time("last"))
            && last.since(first) > Micros::from_secs(seconds)
        {
            return first;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{camera} is not recorded");
}

#[test]
fn every_curl_of_the_document_works_and_every_route_has_one() {
    let site = Site::empty();
    site.ok(&[
        "volume",
        "format",
        "volume",
        "--size",
        "512MiB",
        "--segment-size",
        "16MiB",
    ]);
    // An answer that is an error fails the example.
    std::fs::create_dir_all(site.path("curl")).unwrap();
    std::fs::write(
        site.path("curl/.curlrc"),
        "silent\nshow-error\nfail-with-body\n",
    )
    .unwrap();
    let options = camsim::Options {
        clips: vec!["h264".into()],
        ..camsim::Options::new(2)
    };
    let cameras = camsim::Server::start(options).unwrap();
    let server = Server::start(&site, "");
    for (id, url) in ["gate", "yard"].into_iter().zip(cameras.urls()) {
        site.ok(&[
            "--config",
            "nvring.toml",
            "camera",
            "add",
            id,
            "--url",
            &url,
        ]);
    }
    recorded(&server, "yard", 3);
    let first = recorded(&server, "gate", 8);
    let examples = examples();
    assert!(examples.len() >= 20, "{examples:?}");
    let failed: Vec<String> = examples
        .iter()
        .filter_map(|example| run(&site, &here(example, &server, first)).err())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));

    let document = server.get("/api/v1/openapi.json").json();
    let routes = document["paths"].as_object().unwrap().keys();
    let mut routes: BTreeSet<String> = routes.cloned().collect();
    routes.extend(["/list", "/get"].map(str::to_owned));
    routes.retain(|route| !examples.iter().any(|example| asks(example, route)));
    assert!(routes.is_empty(), "without an example: {routes:?}");
    cameras.stop();
}

/// Whether an example asks for a route, whose parameters in braces stand for one segment each.
fn asks(example: &str, route: &str) -> bool {
    let mut urls = example
        .split('\'')
        .filter_map(|word| word.strip_prefix("http://"));
    urls.any(|url| {
        let path = url.split_once('/').map_or("", |(_, path)| path);
        let path = path.split('?').next().unwrap_or_default();
        let (path, route): (Vec<_>, Vec<_>) =
            (path.split('/').collect(), route[1..].split('/').collect());
        let alike = |(one, other): (&&str, &&str)| one == other || other.starts_with('{');
        path.len() == route.len() && path.iter().zip(&route).all(alike)
    })
}
