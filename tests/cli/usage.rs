//! Configuration, wrong usage and foreign files: one line, an exit status, a remedy.

use crate::site::{Site, ids, ran};

#[test]
fn the_configuration_is_found_before_and_after_the_command_and_by_the_variable() {
    let site = Site::new();
    site.add("gate", &[]);
    let config = site.config();
    let config = config.to_str().unwrap();
    let elsewhere = Site::new();
    elsewhere.add("other", &[]);
    for args in [
        vec!["--config", config, "camera", "list", "--json"],
        vec!["camera", "--config", config, "list", "--json"],
        vec!["camera", "list", "--json", "--config", config],
    ] {
        // The option wins over the variable.
        assert_eq!(ids(&elsewhere.json(&args)), ["gate"], "{args:?}");
    }
    assert_eq!(
        ids(&elsewhere.json(&["camera", "list", "--json"])),
        ["other"]
    );
}

#[test]
fn a_mistake_in_the_configuration_names_its_line_and_the_nearest_key() {
    let site = Site::new();
    let config = site.file("wrong.toml", "[data]\ndri = \"x\"\n");
    let line = site.error(2, &["camera", "list", "--config", &config]);
    assert_eq!(
        line,
        format!(
            "configuration file {config} line 2: unknown key in [data]: `dri`; did you mean `dir`?"
        )
    );
    let line = site.error(2, &["--config", "/nowhere.toml", "status"]);
    assert!(line.contains("check --config and NVRING_CONFIG"), "{line}");
    let line = site.error(
        2,
        &[
            "camera",
            "add",
            "x",
            "--url",
            "rtsp://h/s",
            "--pool",
            "trafic",
        ],
    );
    assert!(line.contains("did you mean `traffic`?"), "{line}");
}

#[test]
fn wrong_usage_is_one_line_with_status_two() {
    let site = Site::new();
    let cases: [(&[&str], &str); 10] = [
        (&[], "requires a subcommand"),
        (&["camra"], "'camera'"),
        (
            &["camera", "add"],
            "--url <URL> <ID>; see `nvring camera add --help`",
        ),
        (&["camera", "add", "a/b", "--url", "rtsp://h/s"], "1 to 64"),
        (&["camera", "add", "gate", "--url", "rtsps://h/s"], "TLS"),
        (
            &[
                "camera",
                "add",
                "gate",
                "--url",
                "rtsp://h/s",
                "--system",
                "privat",
            ],
            "smart-city, public",
        ),
        (
            &[
                "camera",
                "add",
                "gate",
                "--url",
                "rtsp://h/s",
                "--area",
                "a//b",
            ],
            "empty level",
        ),
        (&["camera", "set", "gate"], "nothing to change"),
        (
            &["camera", "set", "gate", "--enable", "--disable"],
            "cannot be used with",
        ),
        (&["camera", "list", "--bogus"], "--bogus"),
    ];
    for (args, part) in cases {
        let line = site.error(2, args);
        assert!(line.contains(part), "{args:?}: {line}");
    }
    let filter = ran(site.command().env("NVRING_LOG", "a=b=c").args(["status"]));
    assert_eq!(filter.status, 2);
    assert!(
        filter.stderr.contains("write a level such as info"),
        "{}",
        filter.stderr
    );
}

#[test]
fn a_catalog_of_a_newer_release_is_refused_with_the_remedy() {
    let site = Site::new();
    site.add("gate", &[]);
    let path = site.data().join("catalog.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let newer = "INSERT INTO schema_version VALUES (99, 0, '9.9')";
    connection.execute(newer, []).unwrap();
    drop(connection);
    for args in [vec!["camera", "list"], vec!["camera", "remove", "gate"]] {
        let line = site.error(1, &args);
        assert!(
            line.contains("version 99") && line.contains("use the release that wrote it"),
            "{line}"
        );
    }
    std::fs::write(&path, "somebody's notes, long enough to be read as a header of a database file, or so one might think, but no").unwrap();
    let line = site.error(1, &["camera", "remove", "gate"]);
    assert!(line.contains("not an nvring catalog"), "{line}");
}

#[test]
fn a_pipe_closed_early_is_no_error() {
    let site = Site::new();
    site.add("gate", &[]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = site
        .command()
        .args(["camera", "list"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &b""[..])
    );
}
