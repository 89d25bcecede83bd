//! Goal: who asks a running recorder as he would ask MediaMTX gets the pictures that the cameras sent. Method: cameras of two makes that
//! share no code (the simulator, GStreamer), every codec with and without B-frames, each listed, fetched in both formats, and decoded by
//! ffmpeg.

use crate::{
    clips::clip,
    encodings::encoding,
    films::{assert_repeats, film, gstreamer, pictures},
    harness::{Recorder, Site, alone},
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// A recorder that also listens as MediaMTX does.
fn start(site: &Site) -> (Recorder, SocketAddr) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("its address");
    drop(free);
    let config = site.path("nvring.toml");
    let mut text = std::fs::read_to_string(&config).expect("the configuration");
    text.push_str(&format!("[mediamtx]\nlisten = \"{address}\"\n"));
    std::fs::write(&config, text).expect("the configuration is written");
    (site.start().0, address)
}

fn fetch(url: &str) -> Vec<u8> {
    let mut response = ureq::get(url).call().expect("an answer");
    let body = response.body_mut().with_config().limit(1 << 30);
    body.read_to_vec().expect("the whole answer")
}

/// The pictures that a camera shows again and again.
struct Source {
    per_second: u32,
    pictures: Vec<String>,
}

impl Source {
    /// A clip of the simulator.
    fn of_clip(name: &str) -> Self {
        let (per_second, file) = clip(name);
        Self {
            per_second,
            pictures: pictures(Path::new(&file), None),
        }
    }
}

/// Fetches what is recorded of `camera` but the last second, and asserts that it repeats the pictures of `source`.
fn assert_recorded(site: &Site, address: SocketAddr, camera: &str, source: &Source) {
    let list = fetch(&format!("http://{address}/list?path={camera}"));
    let list: serde_json::Value = serde_json::from_slice(&list).expect("JSON");
    let entries = list.as_array().expect("a list");
    assert_eq!(entries.len(), 1, "{camera}: {list}");
    let start = entries[0]["start"].as_str().expect("a start");
    // Where pictures are sent out of order, the newest are not all there yet.
    let seconds = entries[0]["duration"].as_f64().expect("a duration") - 1.0;
    assert!(seconds > 4.0, "{camera}: {list}");
    for format in ["fmp4", "mp4"] {
        let query = format!("duration={seconds}&path={camera}&start={start}&format={format}");
        let file = site.path("get.mp4");
        let video = fetch(&format!("http://{address}/get?{query}"));
        std::fs::write(&file, video).expect("it is written");
        let shown = pictures(&file, None);
        // What others refer to may stand behind the end in a fragmented file.
        let least = (seconds * f64::from(source.per_second - 1)) as usize;
        assert!(shown.len() > least, "{camera}: {} pictures", shown.len());
        assert_repeats(
            &shown[..least],
            &source.pictures,
            &format!("{camera} as {format}"),
        );
    }
}

#[test]
fn every_picture_of_every_camera_is_that_of_the_source() {
    let _alone = alone();
    let site = Site::new(16, 8 << 20);
    let clips = ["h264", "h264b", "h265", "h265b"];
    let options = camsim::Options {
        clips: clips.map(str::to_owned).to_vec(),
        begin: camsim::Begin::NextKey,
        ..camsim::Options::new(clips.len())
    };
    let simulated = camsim::Server::start(options).expect("the cameras start");
    let films =
        ["h264b", "h265b"].map(|name| film(&site.path(name).with_extension("mp4"), encoding(name)));
    let mounts: Vec<(&str, &Path)> = ["b264", "b265"]
        .into_iter()
        .zip(films.iter().map(PathBuf::as_path))
        .collect();
    let (_camera, port) = gstreamer(&mounts, &[]);
    let mut urls = simulated.urls();
    urls.extend(
        mounts
            .iter()
            .map(|(name, _)| format!("rtsp://127.0.0.1:{port}/{name}")),
    );
    site.enrol(&urls);
    let (recorder, address) = start(&site);
    recorder.wait_recording(urls.len());
    std::thread::sleep(Duration::from_secs(8));
    let film = |film: &PathBuf| Source {
        per_second: 25,
        pictures: pictures(film, None),
    };
    let sources = clips
        .into_iter()
        .map(Source::of_clip)
        .chain(films.iter().map(film));
    for (number, source) in sources.enumerate() {
        assert_recorded(&site, address, &format!("cam{number}"), &source);
    }
    recorder.stop();
}
