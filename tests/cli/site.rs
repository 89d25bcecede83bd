//! One operator's site: a temporary data directory with its configuration, the program to run on it, and a server that
//! holds it. Every output is searched for the password that must never be seen.

use nvring::{
    api::{
        control::{CatalogHandler, Server},
        status::{Status, StreamStatus, VolumeStatus},
    },
    base::{SystemClock, UnixMicros},
    catalog::{Catalog, StreamRole},
};
use serde_json::Value;
use std::{
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

/// A password that must never be seen again.
pub(crate) const PASSWORD: &str = "h0use-0f-S3crets";

pub(crate) struct Site {
    dir: tempfile::TempDir,
}

#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Site {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = "[data]\ndir = \"data\"\n[[pool]]\nname = \"traffic\"\n[[pool]]\nname = \"Trường học\"\n";
        std::fs::write(dir.path().join("nvring.toml"), config).unwrap();
        Self { dir }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("nvring.toml")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A file in the site that only its owner can read.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nvring"));
        command
            .env_remove("NVRING_LOG")
            .env("NVRING_CONFIG", self.config())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        ran(self.command().args(args))
    }

    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(
            (ran.status, ran.stderr.as_str()),
            (0, ""),
            "{args:?}: {ran:?}"
        );
        ran.stdout
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    /// The one line of an error, without its prefix.
    pub(crate) fn error(&self, status: i32, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(
            (ran.status, ran.stdout.as_str()),
            (status, ""),
            "{args:?}: {ran:?}"
        );
        let line = ran.stderr.strip_suffix('\n').unwrap_or_default();
        assert!(!line.contains('\n'), "{args:?}: more than one line: {line}");
        assert!(
            line.contains(';') || line.contains('?'),
            "{args:?}: no remedy: {line}"
        );
        let line = line.strip_prefix("nvring: ");
        line.unwrap_or_else(|| panic!("{args:?}: {ran:?}"))
            .to_owned()
    }

    pub(crate) fn add(&self, id: &str, more: &[&str]) -> String {
        let url = format!("rtsp://10.0.0.7/{id}");
        self.ok(&[&["camera", "add", id, "--url", &url], more].concat())
    }
}

pub(crate) fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let ran = Ran {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    let shown = format!("{ran:?}");
    assert!(!shown.contains(PASSWORD), "a secret was printed: {shown}");
    ran
}

pub(crate) fn ids(listing: &Value) -> Vec<&str> {
    let cameras = listing["cameras"].as_array().unwrap();
    cameras.iter().map(|c| c["id"].as_str().unwrap()).collect()
}

/// A server's hold on the data directory: the locked catalog and its control socket.
pub(crate) struct Running {
    pub(crate) catalog: Arc<Catalog>,
    _runtime: tokio::runtime::Runtime,
}

impl Running {
    pub(crate) fn start(site: &Site) -> Self {
        let catalog = Arc::new(Catalog::open(&site.data(), Arc::new(SystemClock::new())).unwrap());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = {
            let _inside = runtime.enter();
            Server::bind(&site.data()).unwrap()
        };
        runtime.spawn(server.run(CatalogHandler::new(catalog.clone(), status)));
        Self {
            catalog,
            _runtime: runtime,
        }
    }
}

pub(crate) fn status() -> Status {
    Status {
        version: "1.2.3".into(),
        pid: 4711,
        started: UnixMicros(1_700_000_000_000_000),
        data_dir: "/data".into(),
        http: Some("127.0.0.1:8080".into()),
        rtsp: None,
        rtsps: None,
        mediamtx: None,
        volumes: vec![VolumeStatus {
            path: "/disk1".into(),
            pool: "Trường học".into(),
            state: "writing".into(),
            size_bytes: 1 << 40,
            used_bytes: 1 << 39,
            written_bytes: 5,
            oldest: None,
        }],
        streams: vec![StreamStatus {
            camera: "gate".into(),
            stream: StreamRole::Main,
            state: "waiting".into(),
            cause: Some("camera-lost".into()),
            since: None,
            frames: 7,
            bytes: 7 << 20,
            gaps: 1,
            last_frame: Some(UnixMicros(1_700_000_001_000_000)),
            durable: None,
        }],
    }
}
