//! Goal: through a server comes the same as from the volume itself, and a video that breaks off is never taken for a whole one.

use crate::site::{Ran, Site, at};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    process::{Child, Stdio},
    time::Duration,
};

/// A recorder on the site's volume, killed at the end.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn serve(site: &Site) -> (Running, SocketAddr) {
    serve_with(site, "")
}

/// With more lines in its configuration.
pub(crate) fn serve_with(site: &Site, lines: &str) -> (Running, SocketAddr) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = free.local_addr().unwrap();
    drop(free);
    let config = format!(
        "{lines}[http]\nlisten = \"{http}\"\n[data]\ndir = \"data\"\n[[volume]]\npath = \"volume\"\n"
    );
    std::fs::write(site.path("nvring.toml"), config).unwrap();
    let child = site
        .command(&["--config", "nvring.toml", "serve"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let running = Running(child);
    for _ in 0..300 {
        if std::net::TcpStream::connect(http).is_ok() {
            return (running, http);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the server does not listen at {http}");
}

/// Start and end of each run. Only a server knows how long they are kept.
fn spans(timeline: &serde_json::Value) -> Vec<[&str; 2]> {
    let runs = timeline["runs"].as_array().unwrap().iter();
    runs.map(|run| ["start", "end"].map(|key| run[key].as_str().unwrap()))
        .collect()
}

#[test]
fn a_server_gives_the_same_as_its_volume() {
    let site = Site::new();
    let (from, to) = (at(-1.0), at(11.0));
    let range = ["--from", &from, "--to", &to];
    let timeline = [&["timeline", "gate", "--json"][..], &range].concat();
    let export = |output| [&["export", "gate", "-o", output][..], &range].concat();
    let volume = ["--volume", "volume"];
    let listed = site.ok(&[&timeline[..], &volume].concat());
    site.ok(&[&export("volume.mp4")[..], &volume].concat());
    let (running, http) = serve(&site);
    let url = format!("http://{http}/");
    let config = ["--config", "nvring.toml"];
    // Told by its URL, and found by its configuration.
    let server = ["--server", &url];
    for (output, source) in [("url.mp4", &server[..]), ("config.mp4", &config)] {
        let mut told: serde_json::Value =
            serde_json::from_str(&site.ok(&[&timeline[..], source].concat())).unwrap();
        let whole: serde_json::Value = serde_json::from_str(&listed).unwrap();
        assert_eq!(spans(&told), spans(&whole));
        // A server lists nothing that is still to come.
        let cause = told["gaps"][0]["cause"].take();
        assert_eq!(cause, "camera-lost");
        site.ok(&[&export(output)[..], source].concat());
        let bytes = |name: &str| std::fs::read(site.path(name)).unwrap();
        assert!(bytes(output) == bytes("volume.mp4"), "not the same file");
    }
    let unknown = ["timeline", "nobody", "--server", &url];
    site.fails(&unknown, 1, &["nobody", "not known"]);
    let listing = site.ok(&[&["volume", "list"][..], &config].concat());
    assert!(listing.contains("default"), "{listing}");
    let busy = [&timeline[..], &volume].concat();
    site.fails(
        &busy,
        1,
        &["in use", &running.0.id().to_string(), "--server"],
    );
}

/// A peer that answers one request with `answer` and hangs up.
fn answering(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let len = stream.read(&mut request).unwrap();
        assert!(request[..len].starts_with(b"GET /api/v1/cameras/gate/video.mp4?from="));
        stream.write_all(&answer).unwrap();
    });
    address
}

fn export_from(site: &Site, head: &str, body: &[u8]) -> Ran {
    let url = format!("http://{}", answering([head.as_bytes(), body].concat()));
    let (from, to) = (at(0.0), at(1.0));
    let args = ["export", "gate", "--from", &from, "--to", &to];
    site.run(&[&args[..], &["-o", "a.mp4", "--server", &url]].concat())
}

#[test]
fn a_video_that_breaks_off_leaves_no_file() {
    let site = Site::empty();
    let whole = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\nconnection: close\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let problem = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: 52\r\n\r\n";
    for (head, body, words) in [
        (
            whole,
            &[0; 600][..],
            &["600 of 1000 bytes", "ask again"][..],
        ),
        (whole, &[], &["0 of 1000 bytes"]),
        (
            chunked,
            b"3\r\nabc\r\n0\r\n\r\n",
            &["how long the video is"],
        ),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            &[],
            &["404", "nvring server?"],
        ),
        (
            problem,
            br#"{"status":503,"detail":"no disk; replace the disk"}  "#,
            &["no disk; replace"],
        ),
        ("SSH-2.0-OpenSSH_9.9\r\n", &[], &["check that it runs"]),
    ] {
        let ran = export_from(&site, head, body);
        assert_eq!((ran.status, ran.stderr.lines().count()), (1, 1), "{ran:?}");
        for word in words {
            assert!(ran.stderr.contains(word), "{word}: {ran:?}");
        }
        assert!(site.fingerprint("").is_empty(), "a part was left");
    }
    let ran = export_from(&site, whole, &[7; 1000]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(std::fs::read(site.path("a.mp4")).unwrap(), [7; 1000]);
}

#[test]
fn ctrl_c_removes_the_part() {
    let site = Site::empty();
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (from, to) = (at(0.0), at(1.0));
    let args = ["export", "gate", "--from", &from, "--to", &to];
    let child = site
        .command(&[&args[..], &["-o", "a.mp4", "--server", &url]].concat())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = [0; 4096];
    assert!(stream.read(&mut request).unwrap() > 0);
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&[0; 5000]).unwrap();
    let part = site.path("a.mp4.part");
    while !part.metadata().is_ok_and(|facts| facts.len() > 0) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = running.0.id().to_string();
    crate::camera::tool("kill", &["-INT", &id]);
    let status = running.0.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(site.fingerprint("").is_empty(), "a part was left");
}
