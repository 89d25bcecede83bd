//! Goal: people see what was recorded. Method: the real recorder with simulated cameras, and real browsers without a screen, driven by
//! Node: Chromium plays H.264, Firefox H.265 (Debian's Chromium has no decoder for it). Three pages each: our console, one with hls.js,
//! one with plain Media Source Extensions. They play a recorded second, seek into the past, cross a gap and follow live; asserted by
//! the time and the decoded frames of the video element. An error in a console, a failed request, or a request to elsewhere fails.

#![expect(
    clippy::disallowed_methods,
    reason = "processes run in real time, and a test that waits must end"
)]

#[path = "../recorder/harness.rs"]
#[expect(dead_code, reason = "shared with the tests of the recorder")]
mod harness;

use harness::{Recorder, Site, alone};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser");
/// How long is recorded before the gap, and behind it at least.
const BEFORE: Duration = Duration::from_secs(9);
const BEHIND: Duration = Duration::from_secs(12);
/// What lies between, at least: what is shorter is stepped over without a word.
const GAP: Duration = Duration::from_secs(2);
const NODE_MAX: Duration = Duration::from_secs(150);

#[test]
fn chromium_plays_h264_recorded_and_live() {
    let _alone = alone();
    watch("chromium", "h264");
}

#[test]
fn firefox_plays_h265_recorded_and_live() {
    let _alone = alone();
    watch("firefox", "h265");
}

/// Records a camera with a gap in the middle and has `browser` look at it.
fn watch(browser: &str, clip: &str) {
    let modules = modules();
    let site = Site::new(8, 16 << 20);
    let options = camsim::Options {
        clips: vec![clip.to_owned()],
        ..camsim::Options::new(1)
    };
    let cameras = camsim::Server::start(options).expect("the cameras start");
    site.enrol(&cameras.urls());
    let (recorder, _) = site.start();
    recorder.wait_recording(1);
    std::thread::sleep(BEFORE);
    recorder.stop();
    std::thread::sleep(GAP);
    let (recorder, _) = site.start();
    recorder.wait_recording(1);
    std::thread::sleep(BEHIND);
    let plan = plan(&recorder, &site, browser);
    let driven = run(&modules, &plan);
    recorder.stop();
    cameras.stop();
    assert!(driven.0, "{}\n{}", driven.1, site.log());
    println!("{}", driven.1);
}

/// What the pages are asked to show, as JSON.
fn plan(recorder: &Recorder, site: &Site, browser: &str) -> String {
    let answer = recorder.get("/api/v1/cameras/cam0/timeline");
    let answer = answer.expect("the timeline is answered");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let timeline: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let millis = |time: &serde_json::Value| {
        let time: nvring::base::UnixMicros =
            time.as_str().expect("a time").parse().expect("a time");
        time.0 as f64 / 1000.0
    };
    let gaps = timeline["gaps"].as_array().expect("gaps");
    let gap = gaps.iter().find(|gap| gap["cause"] == "restart");
    let gap = gap.unwrap_or_else(|| panic!("a gap of the restart: {timeline}"));
    let first = millis(&timeline["runs"][0]["start"]);
    serde_json::json!({
        "browser": browser,
        "origin": format!("http://{}", site.http),
        "camera": "cam0",
        "past": first + 1000.0,
        "gap": { "start": millis(&gap["start"]), "end": millis(&gap["end"]) },
    })
    .to_string()
}

/// Runs the pages; whether all was as it should be, and what was said.
fn run(modules: &Path, plan: &str) -> (bool, String) {
    let log = std::env::temp_dir().join(format!("nvring-browser-{}.log", std::process::id()));
    let file = std::fs::File::create(&log).expect("a log");
    let mut node = Command::new("node")
        .arg(format!("{FOLDER}/drive.mjs"))
        .arg(plan)
        .env("NVRING_TEST_MODULES", modules)
        .stdout(file.try_clone().expect("a second handle"))
        .stderr(file)
        .spawn()
        .unwrap_or_else(|error| panic!("node: {error}; install the package nodejs"));
    let begun = Instant::now();
    let ended = loop {
        if let Some(status) = node.try_wait().expect("node is asked") {
            break Some(status);
        }
        if begun.elapsed() > NODE_MAX {
            let _ = node.kill();
            let _ = node.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    let _ = std::fs::remove_file(log);
    let ending = ended.map_or("the pages took too long".to_owned(), |status| {
        status.to_string()
    });
    let well = ended.is_some_and(|status| status.success());
    (well, format!("{said}{ending}"))
}

/// The folder with the npm modules of `package-lock.json`: installed once into the build folder, and again when the lock changes.
fn modules() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser-modules");
    let read = |path: &Path| std::fs::read(path).unwrap_or_default();
    let wanted = read(&Path::new(FOLDER).join("package-lock.json"));
    let stamp = folder.join("installed.json");
    if read(&stamp) == wanted {
        return folder;
    }
    std::fs::create_dir_all(&folder).expect("a folder for modules");
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(Path::new(FOLDER).join(name), folder.join(name)).expect("a copy");
    }
    let output = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
        .current_dir(&folder)
        .output()
        .unwrap_or_else(|error| panic!("npm: {error}; install the package npm"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "npm ci: {errors}");
    std::fs::write(stamp, wanted).expect("the stamp is written");
    folder
}
