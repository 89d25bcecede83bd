//! A recorder with an RTSP server, and its cameras.

use crate::harness::{Recorder, Site};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// A recorder whose RTSP server listens on a port of its own.
pub(crate) struct Rig {
    pub(crate) site: Site,
    pub(crate) recorder: Recorder,
    pub(crate) rtsp: SocketAddr,
    /// With TLS, when the configuration says so.
    pub(crate) rtsps: Option<SocketAddr>,
}

/// Cameras of the simulator that send `clips` in turn.
pub(crate) fn cameras(clips: &[&str]) -> camsim::Handle {
    let options = camsim::Options {
        clips: clips.iter().map(|clip| (*clip).to_owned()).collect(),
        begin: camsim::Begin::LastKey,
        ..camsim::Options::new(clips.len())
    };
    camsim::Server::start(options).expect("the cameras start")
}

/// Waits until `is_so`.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{what}: not after 60 s"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Rig {
    /// Records `urls`; `more` are further lines of `[rtsp]`.
    pub(crate) fn start(urls: &[String], more: &str) -> Self {
        Self::start_at(Site::new(16, 8 << 20), urls, more)
    }

    /// Serves again what was recorded at a site that was started before.
    pub(crate) fn start_again(site: Site) -> Self {
        let (recorder, _) = site.start();
        Self::of(site, recorder)
    }

    /// The same at a site that is there.
    pub(crate) fn start_at(site: Site, urls: &[String], more: &str) -> Self {
        let config = site.path("nvring.toml");
        let mut text = std::fs::read_to_string(&config).expect("the configuration");
        text.push_str(&format!("[rtsp]\nlisten = \"127.0.0.1:0\"\n{more}\n"));
        std::fs::write(&config, text).expect("the configuration is written");
        if !urls.is_empty() {
            site.enrol(urls);
        }
        let (recorder, _) = site.start();
        let rig = Self::of(site, recorder);
        rig.recorder.wait_recording(urls.len());
        rig
    }

    fn of(site: Site, recorder: Recorder) -> Self {
        let status = site.run(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
        let address = |name: &str| status[name].as_str().and_then(|text| text.parse().ok());
        let rtsp = address("rtsp").expect("RTSP listens");
        let rtsps = address("rtsps");
        Self {
            site,
            recorder,
            rtsp,
            rtsps,
        }
    }

    /// The address of a camera.
    pub(crate) fn url(&self, camera: &str) -> String {
        format!("rtsp://{}/{camera}", self.rtsp)
    }

    /// Waits until each stream took so many frames more.
    pub(crate) fn wait_frames(&self, count: u64) {
        let frames = || self.recorder.metric("nvring_stream_frames_total");
        let before = frames();
        wait_until("frames are recorded", || frames() >= before + count as f64);
    }
}
