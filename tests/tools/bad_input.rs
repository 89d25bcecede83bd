//! Goal: whatever is asked wrongly ends in one line that says what, where, and what to do, with the right exit status, and
//! without a trace on disk.

use crate::site::{Site, at};
use nvring::format::superblock::Superblock;

const NEVER: &str = "no such camera";

#[test]
fn folders_that_are_no_volumes_are_told_apart() {
    let site = Site::empty();
    std::fs::create_dir(site.path("bare")).unwrap();
    std::fs::create_dir_all(site.path("photos/2024")).unwrap();
    std::fs::write(site.path("photos/2024/a.jpg"), b"photo").unwrap();
    for command in [
        &["timeline", "--volume"][..],
        &["check", "--volume"],
        &["volume", "scrub"],
        &["volume", "rebuild"],
        &["inspect"],
    ] {
        let args = [command, &["bare"]].concat();
        site.fails(&args, 1, &["bare", "superblock"]);
    }
    site.fails(
        &["timeline", "--volume", "bare"],
        1,
        &["nvring volume format bare --size"],
    );
    let format = |path| ["volume", "format", path, "--size", "4MiB"];
    site.fails(
        &format("photos"),
        1,
        &["not empty", "2024", "folder of its own"],
    );
    assert!(
        !site.path("photos/lock").exists(),
        "a refused folder stays as it was"
    );
    site.ok(&format("fresh"));
    site.fails(&format("fresh"), 1, &["already holds a volume"]);
    assert!(site.fingerprint("bare").len() <= 1, "nothing but a lock");
}

#[test]
fn what_an_aborted_format_leaves_is_told_with_its_remedy() {
    let site = Site::new();
    site.ok(&["volume", "format", "half", "--size", "4MiB"]);
    let len = std::fs::metadata(site.path("half/superblock"))
        .unwrap()
        .len();
    // The superblock is made last, and made before it is written.
    std::fs::write(site.path("half/superblock"), vec![0; len as usize]).unwrap();
    for _ in 0..2 {
        let words = ["not finished", "rm -rf half/segments half/superblock"];
        site.fails(&["volume", "format", "half", "--size", "4MiB"], 1, &words);
        site.fails(&["timeline", "--volume", "half"], 1, &words);
        let _ = std::fs::remove_file(site.path("half/superblock"));
    }
    std::fs::remove_dir_all(site.path("half/segments")).unwrap();
    site.ok(&["volume", "format", "half", "--size", "4MiB"]);
    // Recordings whose superblock is gone are never called unfinished.
    std::fs::remove_file(site.path("volume/superblock")).unwrap();
    let words = ["recordings", "superblock is lost"];
    site.fails(&["volume", "format", "volume", "--size", "4MiB"], 1, &words);
    site.fails(&["timeline", "--volume", "volume"], 1, &words);
}

#[test]
fn sizes_that_make_no_ring_are_refused_before_anything_is_made() {
    let site = Site::empty();
    let format = |size, segment| {
        [
            "volume",
            "format",
            "new",
            "--size",
            size,
            "--segment-size",
            segment,
        ]
    };
    site.fails(
        &format("1PiB", "256MiB"),
        1,
        &["does not fit", "free", "smaller --size"],
    );
    site.fails(
        &format("1MiB", "1MiB"),
        2,
        &["at least three segments", "--size"],
    );
    site.fails(&format("1MiB", "5KiB"), 2, &["4 KiB"]);
    site.fails(&format("lots", "1MiB"), 2, &["lots", "512MiB"]);
    let left = site.path("new").exists() && !site.fingerprint("new").is_empty();
    assert!(
        !left
            || site
                .fingerprint("new")
                .keys()
                .all(|path| path.ends_with("lock"))
    );
}

#[test]
fn another_version_names_itself() {
    let site = Site::new();
    let path = site.path("volume/superblock");
    let mut file = std::fs::read(&path).unwrap();
    Superblock::choose(&file).unwrap();
    for copy in 0..4 {
        let page = &mut file[copy * 4096..][..256];
        page[8] = 99;
        let crc = crc32fast::hash(&page[..252]);
        page[252..].copy_from_slice(&crc.to_le_bytes());
    }
    std::fs::write(&path, &file).unwrap();
    let words = ["version 99", "version 1", "use the release that wrote it"];
    site.fails(&["timeline", "--volume", "volume"], 1, &words);
    site.fails(&["volume", "rebuild", "volume"], 1, &words);
    let shown = site.ok(&["inspect", "volume/superblock"]);
    assert!(shown.contains("version 99"), "{shown}");
    assert!(site.path("volume/index").exists(), "nothing was dropped");
}

#[test]
fn a_volume_in_use_names_who_uses_it() {
    let site = Site::new();
    let lock = std::fs::File::open(site.path("volume/lock")).unwrap();
    lock.lock().unwrap();
    let words = ["in use by another nvring process", "--server"];
    site.fails(&["timeline", "--volume", "volume"], 1, &words);
    site.fails(&["volume", "rebuild", "volume"], 1, &words);
    site.fails(
        &["check", "--volume", "volume"],
        1,
        &["stop the server", "nvring inspect"],
    );
    // Looking at single files disturbs nobody.
    site.ok(&["inspect", "volume"]);
    site.ok(&["inspect", "volume/segments/000000.seg"]);
}

#[test]
fn cameras_and_times_that_make_no_sense_are_told() {
    let site = Site::new();
    let (from, to) = (at(0.0), at(5.0));
    let export = |camera, from, to| {
        let args = ["export", camera, "--from", from, "--to", to];
        [&args[..], &["-o", "a.mp4", "--volume", "volume"]].concat()
    };
    site.fails(
        &export("gaet", &from, &to),
        1,
        &["gaet", "did you mean `gate`"],
    );
    site.fails(&export(NEVER, &from, &to), 1, &[NEVER, "nvring timeline"]);
    site.fails(&export("Cổng chính", &from, &to), 1, &["its id is `gate`"]);
    site.fails(
        &export("gate", &to, &from),
        2,
        &["--from", "not before", "swap them"],
    );
    site.fails(
        &export("gate", "yesterday", &to),
        2,
        &["yesterday", "RFC 3339"],
    );
    site.fails(
        &export("gate", "2026-11-23T14:00:00", &to),
        2,
        &["RFC 3339 with a zone"],
    );
    let (long_ago, too) = (at(-9000.0), at(-8000.0));
    site.fails(
        &export("gate", &long_ago, &too),
        1,
        &["nothing was recorded", "nvring timeline"],
    );
    let mut sub = export("gate", &from, &to);
    sub.extend(["--stream", "sub"]);
    site.fails(
        &sub,
        1,
        &["no recordings of its sub stream", "--stream main"],
    );
    let args = [
        "timeline", "gate", "--from", &to, "--to", &from, "--volume", "volume",
    ];
    site.fails(&args, 2, &["swap them"]);
    assert!(!site.path("a.mp4").exists() && !site.path("a.mp4.part").exists());
}

#[test]
fn places_to_read_from_and_to_write_to_are_told() {
    let site = Site::new();
    let (from, to) = (at(0.0), at(1.0));
    let export = |output| {
        let args = ["export", "gate", "--from", &from, "--to", &to];
        [&args[..], &["-o", output, "--volume", "volume"]].concat()
    };
    std::fs::write(site.path("mine.mp4"), b"mine").unwrap();
    site.fails(&export("mine.mp4"), 1, &["exists", "--force"]);
    assert_eq!(std::fs::read(site.path("mine.mp4")).unwrap(), b"mine");
    site.fails(
        &export("no/such/a.mp4"),
        1,
        &["no/such/a.mp4", "make the directory"],
    );
    site.fails(&export("volume"), 2, &["is a directory"]);
    std::fs::write(site.path("nvring.toml"), "[data]\ndir = \"data\"\n").unwrap();
    let config = |args: &[&'static str]| [&["--config", "nvring.toml"], args].concat();
    site.fails(
        &config(&["timeline"]),
        2,
        &["--volume", "--server", "--config"],
    );
    site.fails(&config(&["check"]), 2, &["--volume", "--config"]);
    site.fails(&config(&["volume", "list"]), 2, &["[[volume]]"]);
    site.fails(&["check", "mine.mp4"], 1, &["mine.mp4", "export it again"]);
    site.fails(
        &["check", "nothing.mp4"],
        1,
        &["nothing.mp4", "check the path"],
    );
    site.fails(&["inspect", "nothing"], 1, &["nothing", "check the path"]);
    site.fails(
        &["inspect", "nvring.toml"],
        1,
        &["no superblock, segment or index"],
    );
    let both = [
        "timeline",
        "--volume",
        "volume",
        "--server",
        "http://127.0.0.1:1",
    ];
    site.fails(&both, 2, &["cannot be used with"]);
    site.fails(
        &["timeline", "--server", "nonsense"],
        2,
        &["http://127.0.0.1:8080"],
    );
    site.fails(&["timeline", "--server", "http://u:p@h"], 2, &["password"]);
    site.fails(
        &["timeline", "--server", "http://127.0.0.1:1"],
        1,
        &["127.0.0.1:1", "check that it runs"],
    );
}
