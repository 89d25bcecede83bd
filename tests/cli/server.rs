//! Commands beside a running server: through its socket, after it died, and against each other.

use crate::site::{Running, Site, ids, status};
use nvring::{base::SystemClock, catalog::Catalog};
use std::{process::Stdio, sync::Arc};

#[test]
fn a_running_server_is_changed_through_its_socket_at_once() {
    let site = Site::new();
    let running = Running::start(&site);
    let changes = running.catalog.changes();
    let said = site.add("gate", &[]);
    assert!(
        said.ends_with("the running server applies it now\n"),
        "{said}"
    );
    assert!(changes.has_changed().unwrap());
    assert_eq!(running.catalog.list().unwrap().len(), 1);
    let taken = site.error(1, &["camera", "add", "gate", "--url", "rtsp://h/s"]);
    assert!(taken.contains("already enrolled"), "{taken}");
    let wrong = site.error(2, &["camera", "set", "gate", "--name", ""]);
    assert!(wrong.contains("empty"), "{wrong}");
    let second = Catalog::open(&site.data(), Arc::new(SystemClock::new()));
    let Err(refused) = second.map(|_| ()) else {
        panic!("a second server took the same data directory");
    };
    let holder = format!("in use by process {}", std::process::id());
    assert!(refused.to_string().contains(&holder), "{refused}");
    drop(running);
    let said = site.ok(&["camera", "remove", "gate"]);
    assert!(
        said.starts_with("camera gate removed"),
        "the catalog itself is changed again: {said}"
    );
}

#[test]
fn a_killed_servers_socket_is_in_nobodys_way() {
    let site = Site::new();
    site.add("gate", &[]);
    drop(std::os::unix::net::UnixListener::bind(site.data().join("nvring.sock")).unwrap());
    assert_eq!(ids(&site.json(&["camera", "list", "--json"])), ["gate"]);
    site.add("yard", &[]);
    let running = Running::start(&site);
    assert_eq!(
        ids(&site.json(&["camera", "list", "--json"])),
        ["gate", "yard"]
    );
    drop(running);
}

#[test]
fn commands_at_the_same_time_wait_for_each_other() {
    let site = Site::new();
    let mut children = Vec::new();
    for id in ["a", "b", "c", "d", "e", "f"] {
        let args = ["camera", "add", id, "--url", "rtsp://h/s"];
        let mut command = site.command();
        children.push(command.args(args).stdout(Stdio::null()).spawn().unwrap());
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(
        ids(&site.json(&["camera", "list", "--json"])),
        ["a", "b", "c", "d", "e", "f"]
    );
}

#[test]
fn status_asks_the_running_server() {
    let site = Site::new();
    let none = site.error(1, &["status"]);
    assert!(
        none.contains("no server runs") && none.contains("nvring serve"),
        "{none}"
    );
    let _running = Running::start(&site);
    let shown = site.json(&["status", "--json"]);
    assert_eq!(shown, serde_json::to_value(status()).unwrap());
    assert_eq!(
        shown["streams"][0]["last_frame"],
        "2023-11-14T22:13:21.000000Z"
    );
    let text = site.ok(&["status"]);
    for part in [
        "nvring 1.2.3 (process 4711)",
        "RTSP off",
        "Trường học",
        "1 TiB",
        "512 GiB",
        "camera-lost",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
