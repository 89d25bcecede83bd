//! Passwords and addresses of cameras stay inside (design law L10).

use crate::rig::{Rig, signed_in, spec};
use camsim::{Auth, Fault, Garbage, Options, Scheme, Server};
use nvring::{catalog::Transport, ingest::LIBRARY_LOG_TARGET};
use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::filter_fn,
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

const PASSWORD: &str = "k9-Qu1te-s3cret";

/// Everything that is logged in this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Goal: whatever goes wrong, no log line and no status holds a password, be it the camera's or one in its address. Method: everything from
/// debug up is captured while cameras refuse, break and restart.
#[test]
fn no_log_line_and_no_status_holds_a_password() {
    let log = Log::default();
    let lines = fmt::layer().with_writer(log.clone()).with_ansi(false);
    let quiet = filter_fn(|metadata| !metadata.target().starts_with(LIBRARY_LOG_TARGET));
    tracing_subscriber::registry()
        .with(EnvFilter::new("debug"))
        .with(lines.with_filter(quiet))
        .init();
    let auth = Auth {
        user: "admin".into(),
        password: "another".into(),
        scheme: Scheme::Digest,
    };
    let locked = Server::start(Options {
        auth: Some(auth),
        ..Options::new(2)
    })
    .unwrap();
    let open = Server::start(Options::new(1)).unwrap();
    let rig = Rig::new();
    let hidden = |url: &str| format!("{url}?user=admin&pwd={PASSWORD}");
    let mut over_udp = signed_in(spec(2, "roof", &hidden(&locked.url(1))), "admin", PASSWORD);
    over_udp.source.transport = Transport::Udp;
    rig.supervisor.apply(vec![
        signed_in(spec(1, "gate", &hidden(&locked.url(0))), "admin", PASSWORD),
        over_udp,
        spec(3, "yard", &hidden(&open.url(0))),
        spec(
            4,
            "gone",
            &format!("rtsp://127.0.0.1:1/{PASSWORD}?pwd={PASSWORD}"),
        ),
    ]);
    for camera in ["gate", "roof"] {
        rig.wait(camera, "a refusal", |status| status.counters.failures > 0);
        let error = rig.status(camera).last_error.unwrap();
        assert!(
            error.contains("refused the user name or password"),
            "{error}"
        );
    }
    rig.wait("gone", "a failure", |status| status.counters.failures > 0);
    rig.wait_frames("yard", 5);
    for fault in [
        Fault::Garbage(Garbage::Packet),
        Fault::Garbage(Garbage::Framing),
        Fault::Restart(Duration::ZERO),
    ] {
        open.inject_into(0, fault);
        rig.wait_more("yard", 20);
    }
    let status = serde_json::to_string(&rig.supervisor.status()).unwrap();
    rig.supervisor.stop();
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(!log.contains("SETUP response"), "the library is heard");
    assert!(log.contains("a run began") && log.contains("a camera is not recorded"));
    for text in [&log, &status] {
        assert!(!text.contains(PASSWORD), "{text}");
        assert!(!text.contains("pwd="), "{text}");
    }
}
