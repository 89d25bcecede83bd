//! Cameras that cannot be recorded: where an operator sees why, in one line with what to do, and what a script sees.

use crate::{
    process::{Process, until},
    site::{PASSWORD, Site, ran},
};
use std::process::Stdio;

/// A recorder with one camera that refuses the password, one that nobody answers for, and one that sends.
fn serve(site: &Site) -> (Process, [camsim::Handle; 2]) {
    let locked = camsim::Options {
        auth: Some(camsim::Auth {
            user: "admin".to_owned(),
            password: "another".to_owned(),
            scheme: camsim::Scheme::Digest,
        }),
        ..camsim::Options::new(1)
    };
    let cameras = [locked, camsim::Options::new(1)];
    let cameras = cameras.map(|options| camsim::Server::start(options).unwrap());
    let volume = site.data().with_file_name("volume");
    let volume = volume.to_str().unwrap();
    site.ok(&["volume", "format", volume, "--size", "64MiB"]);
    let config = format!(
        "[http]\nlisten = \"off\"\n[data]\ndir = \"data\"\n[[volume]]\npath = \"{volume}\"\n"
    );
    std::fs::write(site.config(), config).unwrap();
    let password = site.file("password", PASSWORD);
    let urls = cameras.each_ref().map(|camera| camera.url(0));
    let add = |id: &str, url: &str, more: &[&str]| {
        site.ok(&[&["camera", "add", id, "--url", url], more].concat());
    };
    let credentials = ["--username", "admin", "--password-file", &password];
    add("locked", &urls[0], &credentials);
    add("gone", "rtsp://127.0.0.1:1/s", &[]);
    add("yard", &urls[1], &[]);
    let child = site
        .command()
        .arg("serve")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (Process(child), cameras)
}

/// Goal: a wrong password and an unreachable camera are one line, exit status, remedy; and the one that is recorded is said to be.
#[test]
fn status_says_why_a_camera_is_not_recorded_and_what_to_do() {
    let site = Site::new();
    let (process, _cameras) = serve(&site);
    let expected = [
        (
            "locked",
            "camera `locked`, stream main, is not recorded: the camera refused the user name or password; set them with `nvring camera set`",
        ),
        (
            "gone",
            "camera `gone`, stream main, is not recorded: the camera cannot be reached: Connection refused (os error 111); \
             check its address, power and network",
        ),
    ];
    for (camera, words) in expected {
        // Until its first attempt has failed it is being connected to.
        let line = until(camera, || {
            let told = ran(site.command().args(["status", camera]));
            assert_eq!((told.status, told.stdout.as_str()), (1, ""), "{told:?}");
            (!told.stderr.contains("ask again") && !told.stderr.contains("no server runs"))
                .then_some(told.stderr)
        });
        assert_eq!(line, format!("nvring: {words}\n"));
    }
    let shown = until("yard is recorded", || {
        let told = ran(site.command().args(["status", "yard"]));
        (told.status == 0).then_some(told)
    });
    assert_eq!(shown.stderr, "");
    assert_eq!(shown.stdout.lines().count(), 2, "{shown:?}");
    assert!(shown.stdout.contains("recording"), "{shown:?}");
    let json = site.json(&["status", "yard", "--json"]);
    assert_eq!(json[0]["state"], "recording");
    let table = site.ok(&["status"]);
    for (camera, words) in expected {
        let (_, why) = words.split_once("recorded: ").unwrap();
        let line = table.lines().find(|line| line.starts_with(camera));
        assert!(line.is_some_and(|line| line.contains(why)), "{table}");
    }
    let unknown = site.error(1, &["status", "yrad"]);
    assert!(unknown.contains("did you mean `yard`?"), "{unknown}");
    site.ok(&["camera", "set", "yard", "--disable"]);
    until("yard is no longer recorded", || {
        let told = ran(site.command().args(["status", "yard"]));
        (told.status == 1 && told.stderr.contains("disabled")).then_some(())
    });
    assert_eq!(process.end("-TERM"), Some(0));
}
