//! The program as a server, on ports of its own choice.

use crate::{
    site::Site,
    wire::{self, Answer},
};
use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A server on a site's volume, killed at the end.
pub(crate) struct Server {
    child: Child,
    pub(crate) http: SocketAddr,
    pub(crate) mediamtx: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// With these lines in its section `[http]`.
    pub(crate) fn start(site: &Site, lines: &str) -> Self {
        let config = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n{lines}\n[mediamtx]\nlisten = \"127.0.0.1:0\"\n\
             [data]\ndir = \"data\"\n[[volume]]\npath = \"volume\"\n"
        );
        std::fs::write(site.path("nvring.toml"), config).unwrap();
        let log = std::fs::File::create(site.path("log")).unwrap();
        let mut child = site
            .command(&["--config", "nvring.toml", "serve"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        for _ in 0..600 {
            let status = site.run(&["--config", "nvring.toml", "status", "--json"]);
            let told = serde_json::from_str::<serde_json::Value>(&status.stdout).ok();
            // Without a server the command tells of the volumes alone.
            let told = told.filter(|told| told["http"].is_string());
            if let Some(told) = told {
                let address = |key: &str| told[key].as_str().unwrap().parse().unwrap();
                return Self {
                    http: address("http"),
                    mediamtx: address("mediamtx"),
                    child,
                };
            }
            let log = std::fs::read_to_string(site.path("log")).unwrap();
            assert!(
                child.try_wait().unwrap().is_none(),
                "the server ended: {log}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = child.kill();
        panic!("the server does not answer");
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        wire::get(self.http, path)
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        wire::ask(self.http, method, path, headers)
    }

    /// Tells it to stop.
    pub(crate) fn terminate(&self) {
        let told = Command::new("kill").arg(self.pid().to_string()).status();
        assert!(told.unwrap().success());
    }

    /// Waits until it has ended; tells its exit status.
    pub(crate) fn end(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A number of `/metrics`, by name and labels as they are printed.
    pub(crate) fn number(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        value.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// How often a limit was reached.
    pub(crate) fn limited(&self, limit: &str) -> f64 {
        self.number(&format!("nvring_http_limited_total{{limit=\"{limit}\"}} "))
    }

    /// Waits until a number is `wanted`.
    #[track_caller]
    pub(crate) fn wait(&self, name: &str, wanted: f64) {
        for _ in 0..600 {
            if self.number(name) == wanted {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("{name} is {} and not {wanted}", self.number(name));
    }
}
