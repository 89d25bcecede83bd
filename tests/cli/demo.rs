//! `nvring demo`: what a newcomer runs first, as a process: it starts without any set-up, records, ends cleanly, and goes on where it was.

use crate::{
    process::{Process, until},
    site::ran,
};
use nvring::base::{Micros, UnixMicros};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

/// A demo that said its welcome.
struct Demo {
    process: Process,
    welcome: String,
    http: String,
}

fn command(folder: &Path, dir: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nvring"));
    command
        .current_dir(folder)
        .env_remove("NVRING_CONFIG")
        .env_remove("NVRING_LOG")
        .args(["demo", "--dir", dir, "--size", "128MiB"])
        .args(more)
        .stdin(Stdio::null());
    command
}

const FREE: [&str; 4] = ["--listen", "127.0.0.1:0", "--rtsp", "127.0.0.1:0"];

impl Demo {
    fn start(folder: &Path) -> Self {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(folder.join("log"))
            .unwrap();
        let child = command(folder, "demo", &FREE)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut process = Process(child);
        let mut lines = BufReader::new(process.0.stdout.take().unwrap());
        let mut welcome = String::new();
        while !welcome.contains("nvring export gate") {
            let read = lines.read_line(&mut welcome).unwrap();
            let log = || std::fs::read_to_string(folder.join("log")).unwrap();
            assert!(read > 0, "it ended: {welcome}{}", log());
        }
        let http = after(&welcome, "Console ").trim_end_matches('/').to_owned();
        Self {
            process,
            welcome,
            http,
        }
    }

    /// Waits until each camera has so many runs, the last of them seconds long; gives the timeline of one.
    fn record(&self, runs: usize) -> Value {
        for camera in ["gate", "street", "yard", "traffic"] {
            until(&format!("{camera} is recorded"), || {
                let timeline = self.timeline(camera);
                let all = timeline["runs"].as_array()?;
                let newest = all.last().filter(|_| all.len() == runs)?;
                let instant = |key: &str| newest[key].as_str()?.parse::<UnixMicros>().ok();
                let len = instant("end")?.since(instant("start")?);
                (len > Micros::from_secs(2)).then_some(())
            });
        }
        self.timeline("gate")
    }

    fn timeline(&self, camera: &str) -> Value {
        let url = format!("{}/api/v1/cameras/{camera}/timeline", self.http);
        let mut answer = ureq::get(url)
            .config()
            .http_status_as_error(false)
            .build()
            .call()
            .unwrap();
        serde_json::from_reader(answer.body_mut().as_reader()).unwrap()
    }
}

/// The word behind `name` in its line of the welcome.
fn after<'a>(welcome: &'a str, name: &str) -> &'a str {
    let line = welcome.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    word.unwrap_or_else(|| panic!("{name}: {welcome}"))
}

#[test]
fn a_demo_records_ends_cleanly_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::start(folder.path());
    for words in ["Ctrl-C ends it", "Timeline", "Metrics", "rtsp://127.0.0.1:"] {
        assert!(demo.welcome.contains(words), "{words}: {}", demo.welcome);
    }
    let first = demo.record(1);
    // Its own words work in another terminal.
    let config = after(&demo.welcome, "  export NVRING_CONFIG=");
    let mut status = Command::new(env!("CARGO_BIN_EXE_nvring"));
    let status = ran(status.env("NVRING_CONFIG", config).args(["status", "gate"]));
    assert_eq!((status.status, status.stderr.as_str()), (0, ""));
    assert!(status.stdout.contains("recording"), "{}", status.stdout);
    assert_eq!(demo.process.end("-INT"), Some(0), "Ctrl-C ends it cleanly");

    let demo = Demo::start(folder.path());
    let second = demo.record(2);
    assert_eq!(second["runs"][0]["start"], first["runs"][0]["start"]);
    assert_eq!(second["gaps"][0]["cause"], "restart");
    assert_eq!(demo.process.end("-INT"), Some(0));
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
}

#[test]
fn a_taken_port_is_one_line_that_names_the_option() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    for (option, other) in [("--listen", "--rtsp"), ("--rtsp", "--listen")] {
        let options = [option, &taken, other, "127.0.0.1:0"];
        let refused = ran(&mut command(folder.path(), "demo", &options));
        let lines: Vec<&str> = refused
            .stderr
            .lines()
            .filter(|line| line.starts_with("nvring: "))
            .collect();
        assert_eq!(
            (refused.status, refused.stdout.as_str()),
            (1, ""),
            "{refused:?}"
        );
        let [line] = lines[..] else {
            panic!("{refused:?}");
        };
        for words in [
            &taken,
            "in use",
            &format!("choose another address with {option}"),
        ] {
            assert!(line.contains(words), "{words}: {line}");
        }
        assert!(
            !folder.path().join("demo/volume").exists(),
            "nothing is made"
        );
    }
}
