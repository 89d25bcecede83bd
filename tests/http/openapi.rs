//! Goal: a stranger who knows only the OpenAPI document finds no answer that contradicts it, and no question that makes the server fail.
//! Method: schemathesis, a program that makes up requests from the document, right ones and wrong ones, against a real server with
//! recordings; its version and all it needs are pinned, and its questions depend on the seed alone.

use crate::{
    server::Server,
    site::{Site, at},
};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// What is installed, each with its version.
const REQUIREMENTS: &str = include_str!("requirements.txt");
/// Questions made up for each route.
const EXAMPLES: &str = "40";
/// What they are made of, unless `NVRING_SEED` says otherwise: what is found is found by everybody.
const SEED: &str = "20261126";

/// The program, in an environment of its own that is kept between runs.
fn schemathesis() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let version = crc32fast::hash(REQUIREMENTS.as_bytes());
    let ready = folder.join(format!("schemathesis-{version:08x}"));
    let program = |folder: &Path| folder.join("bin/schemathesis");
    if program(&ready).exists() {
        return program(&ready);
    }
    // Made aside and put into place when it is whole: a run that was ended leaves nothing half done behind.
    let making = tempfile::tempdir_in(folder).unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    run("python3", &["-m", "venv", &path(making.path())]);
    let list = making.path().join("requirements.txt");
    std::fs::write(&list, REQUIREMENTS).unwrap();
    let pip = path(&making.path().join("bin/python"));
    let quiet = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    run(
        &pip,
        &[&quiet[..], &["--no-deps", "-r", &path(&list)]].concat(),
    );
    drop(std::fs::rename(making.keep(), &ready));
    program(&ready)
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; install python3-venv"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {told}");
}

/// What the document cannot say: which cameras and parts this server has.
fn known(part: &str) -> String {
    let (run, part) = part.split_once('/').unwrap();
    let of = |route: &str, parameters: &str| {
        format!(
            "[[operations]]\ninclude-name = \"GET /api/v1{route}\"\nparameters = {{ {parameters} }}\n"
        )
    };
    let mut text = of("/cameras/{id}", "id = \"lobby\"");
    let segment = format!("id = \"gate\", run = \"{run}\", part = \"{part}\"");
    text += &of("/cameras/{id}/hls/{run}/{part}", &segment);
    text += &of("/timeline", "camera = [\"gate\", \"yard\"]");
    for noun in [
        "days",
        "frame",
        "frames",
        "hls/index.m3u8",
        "hls/media.m3u8",
        "hls/keys.m3u8",
        "live",
        "timeline",
        "video.mp4",
    ] {
        text += &of(&format!("/cameras/{{id}}/{noun}"), "id = \"gate\"");
    }
    text
}

#[test]
fn no_answer_contradicts_the_document() {
    let program = schemathesis();
    let site = Site::new();
    let server = Server::start(&site, "");
    let url = "rtsp://127.0.0.1:1/none";
    site.ok(&[
        "--config",
        "nvring.toml",
        "camera",
        "add",
        "lobby",
        "--url",
        url,
    ]);
    let list = server.get(&format!(
        "/api/v1/cameras/gate/hls/media.m3u8?from={}",
        at(0.0)
    ));
    let list = list.text();
    let part = list.lines().find(|line| line.ends_with(".m4s")).unwrap();
    std::fs::write(site.path("schemathesis.toml"), known(part)).unwrap();
    let seed = std::env::var("NVRING_SEED").unwrap_or_else(|_| SEED.to_owned());
    println!("SEED={seed}");
    let output = Command::new(program.parent().unwrap().join("python"))
        .arg(&program)
        .args(["--config-file", "schemathesis.toml", "run"])
        .arg(format!("http://{}/api/v1/openapi.json", server.http))
        .args([
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            EXAMPLES,
        ])
        .args(["--seed", &seed, "--workers", "2", "--continue-on-failure"])
        // That `from` is before `to` is no matter of a schema, so what fits the schema may be refused with 400.
        .args([
            "--checks",
            "all",
            "--exclude-checks",
            "positive_data_acceptance",
        ])
        .args(["--suppress-health-check", "all"])
        .current_dir(site.path(""))
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{complaints}");
}
