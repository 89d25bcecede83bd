//! Regulation R-10 on the command line: a password comes from a file, and is never seen again.

use crate::site::{PASSWORD, Running, Site, ids, ran};
use std::{io::Write, os::unix::fs::PermissionsExt, path::Path, process::Stdio};

/// Goal: R-10. Whatever way a password comes in, it is in no file, no output (checked after every command) and no argument.
#[test]
fn a_password_is_found_nowhere() {
    let site = Site::new();
    let password = site.file("password", PASSWORD);
    let csv = format!("id,url\nb,rtsp://u:{PASSWORD}@h/s\nc,rtsp://h/s?pwd={PASSWORD}\n");
    let csv = site.file("cameras.csv", csv);
    let running = Running::start(&site);
    site.add("a", &["--username", "u", "--password-file", &password]);
    site.ok(&["camera", "import", &csv]);
    site.ok(&["camera", "set", "a", "--password-file", &password]);
    site.ok(&["camera", "remove", "b"]);
    let listing = site.json(&["camera", "list", "--json"]);
    assert_eq!(ids(&listing), ["a", "c"]);
    let gate = running.catalog.get(&"a".parse().unwrap()).unwrap();
    assert_eq!(gate.source.password.unwrap().expose(), PASSWORD);
    drop(running);
    for entry in std::fs::read_dir(site.data()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes
            .windows(PASSWORD.len())
            .any(|w| w == PASSWORD.as_bytes());
        assert!(!found, "{}", path.display());
    }
    let debug = ran(site
        .command()
        .env("NVRING_LOG", "trace")
        .args(["camera", "list"]));
    assert_eq!(debug.status, 0);
}

#[test]
fn a_password_on_the_command_line_is_refused_with_the_remedy() {
    let site = Site::new();
    let refuse = |url: String, part: &str| {
        let line = site.error(2, &["camera", "add", "gate", "--url", &url]);
        assert!(line.contains(part), "{line}");
    };
    refuse(
        format!("rtsp://admin:{PASSWORD}@h/s"),
        "--username U --password-file F",
    );
    refuse(
        format!("rtsp://h/s?password={PASSWORD}"),
        "nvring camera import FILE",
    );
    refuse(
        format!("rtsp://h/user=a_password={PASSWORD}_channel=1"),
        "nvring camera import FILE",
    );
    refuse(
        format!("http://admin:{PASSWORD}@h/s"),
        "not an RTSP address",
    );
    refuse(format!("rtsp://admin:{PASSWORD}@h:x/s"), "not a URL");
    let option = format!("--password={PASSWORD}");
    let line = site.error(
        2,
        &["camera", "add", "gate", "--url", "rtsp://h/s", &option],
    );
    assert!(line.contains("--password-file"), "{line}");
    assert!(!site.data().exists(), "a refusal makes nothing");
}

#[test]
fn a_password_file_is_checked() {
    let site = Site::new();
    let add = |path: &str| {
        let args = [
            "camera",
            "add",
            "gate",
            "--url",
            "rtsp://h/s",
            "--username",
            "u",
            "--password-file",
        ];
        [&args[..], &[path]]
            .concat()
            .iter()
            .map(|s| (*s).to_owned())
            .collect::<Vec<_>>()
    };
    let error = |path: &str| {
        let args = add(path);
        site.error(1, &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert!(error("/nowhere").contains("password file /nowhere: No such file"));
    assert!(error(&site.file("empty", "\n")).contains("empty; write the password"));
    assert!(
        error(&site.file("lines", format!("{PASSWORD}\n{PASSWORD}\n")))
            .contains("more than one line")
    );
    assert!(error(&site.file("latin1", b"\xe9t\xe9")).contains("not UTF-8"));
    assert!(error(&site.file("long", "x".repeat(1025))).contains("longer than 1024 bytes"));
    let alone = [
        "camera",
        "add",
        "gate",
        "--url",
        "rtsp://h/s",
        "--password-file",
        "x",
    ];
    assert!(site.error(2, &alone).contains("--username"));

    let open = site.file("open", PASSWORD);
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o644)).unwrap();
    let warned = ran(site.command().args(add(&open)));
    assert_eq!(warned.status, 0);
    let expected = format!(
        "nvring: warning: password file {open} can be read by other users; run `chmod 600 {open}`\n"
    );
    assert_eq!(warned.stderr, expected);

    site.ok(&["camera", "remove", "gate"]);
    let mut child = site
        .command()
        .args(add("-"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(PASSWORD.as_bytes()).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert_eq!(
        site.json(&["camera", "list", "--json"])["cameras"][0]["has_password"],
        true
    );
}

#[test]
fn the_data_directory_is_its_owners_alone() {
    let site = Site::new();
    site.add("gate", &[]);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&site.data()), 0o700);
    let key = site.data().join("secret.key");
    assert_eq!(mode(&key), 0o600);
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    let line = site.error(1, &["camera", "list"]);
    assert!(line.contains("run `chmod 600"), "{line}");
}
