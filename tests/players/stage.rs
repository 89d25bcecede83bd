//! The one recording that all tests look at: a recorder and its cameras, which run on until the last test has ended.

use crate::{
    clips::clip,
    decode::{Picture, decode, run},
    encodings::encoding,
};
use nvring::base::{Clock, Micros, SystemClock, UnixMicros};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

pub(crate) const NVRING: &str = env!("CARGO_BIN_EXE_nvring");
/// The range of each camera that most tests look at, from its first picture on.
pub(crate) const SHOWN: Micros = Micros::from_secs(10);
/// What must be recorded before they do: pictures that are sent out of order, and parts, are whole some time after.
const RECORDED: Micros = Micros::from_secs(15);
/// How long each run of the camera with faults lasts.
const RUN: Micros = Micros::from_secs(4);
/// Nothing of all this takes so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// The camera that is lost for a while and then changes its parameters.
pub(crate) const FAULTY: &str = "faulty";

/// What it shows before and behind the change. Not the other way round: of a run that ends between pictures sent out of order, some never
/// come.
const FAULTY_CLIPS: [&str; 2] = ["h264", "h264b"];

/// A camera and what it shows again and again.
pub(crate) struct Camera {
    pub(crate) id: &'static str,
    pub(crate) per_second: u32,
    pub(crate) source: Vec<String>,
    /// Its first picture.
    pub(crate) from: UnixMicros,
    whole: OnceLock<Vec<Picture>>,
}

/// A recorder with cameras.
pub(crate) struct Stage {
    folder: PathBuf,
    http: SocketAddr,
    mediamtx: SocketAddr,
    pub(crate) cameras: Vec<Camera>,
    /// Pictures of the clips that the faulty camera shows, before and behind the change.
    pub(crate) faulty_sources: [Vec<String>; 2],
    simulated: camsim::Handle,
    _running: Vec<Child>,
}

/// The recording; the first test that asks makes it.
pub(crate) fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(Stage::new)
}

/// Clips of the simulator, and the cameras that play them.
const CLIPS: [&str; 4] = ["h264", "h264b", "h265", "h265b"];
/// Cameras that GStreamer serves, and how their films are encoded: H.264 without and with B-frames, H.265 with them.
const FILMS: [(&str, &str); 3] = [
    ("gst264", "h264"),
    ("gst264b", "h264b"),
    ("gst265b", "h265b"),
];

impl Stage {
    fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("nvring-players")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a folder")
            .keep();
        let films: Vec<PathBuf> = FILMS
            .iter()
            .map(|(name, video)| film(&folder.join(name).with_extension("mp4"), encoding(video)))
            .collect();
        let mut clips: Vec<String> = CLIPS.map(str::to_owned).to_vec();
        clips.push(FAULTY_CLIPS[0].to_owned());
        let simulated = camsim::Server::start(camsim::Options {
            clips,
            begin: camsim::Begin::NextKey,
            ..camsim::Options::new(CLIPS.len() + 1)
        });
        let simulated = simulated.expect("the cameras start");
        let (gstreamer, port) = gstreamer(&films);
        let names = CLIPS.into_iter().chain([FAULTY]);
        let mut lines: String = names
            .zip(simulated.urls())
            .map(|(id, url)| line(id, &url))
            .collect();
        for (name, _) in FILMS {
            lines += &line(name, &format!("rtsp://127.0.0.1:{port}/{name}"));
        }
        let (recorder, http, mediamtx) = serve(&folder, &lines);
        let mut stage = Self {
            folder,
            http,
            mediamtx,
            cameras: Vec::new(),
            faulty_sources: FAULTY_CLIPS.map(|clip| clip_pictures(clip).1),
            simulated,
            _running: vec![gstreamer, recorder],
        };
        stage.record();
        let clips = CLIPS.map(|clip| (clip, clip_pictures(clip)));
        let films = FILMS.iter().zip(&films).map(|((name, _), film)| {
            let [pictures] = &decode(&[film.display().to_string()])[..] else {
                panic!("one film");
            };
            (*name, (25, md5_list(pictures)))
        });
        for (id, (per_second, source)) in clips.into_iter().chain(films) {
            let from = stage.first_picture(id);
            stage.cameras.push(Camera {
                id,
                per_second,
                source,
                from,
                whole: OnceLock::new(),
            });
        }
        stage
    }

    /// Waits until enough is recorded of everything.
    fn record(&self) {
        let long = |runs: &[(UnixMicros, UnixMicros)], number: usize, time: Micros| {
            let run = runs.get(number);
            run.is_some_and(|(start, end)| end.since(*start) > time)
        };
        self.wait("the first run of the faulty camera", || {
            long(&self.runs(FAULTY), 0, RUN)
        });
        let faulty = camsim::Which::number(CLIPS.len());
        let lost = camsim::Fault::Restart(Duration::from_secs(1));
        self.simulated.inject(faulty.clone(), lost);
        self.wait("its second run", || long(&self.runs(FAULTY), 1, RUN));
        let other = camsim::Fault::Switch(FAULTY_CLIPS[1].to_owned());
        self.simulated.inject(faulty, other);
        self.wait("its third run", || long(&self.runs(FAULTY), 2, RUN));
        let cameras = CLIPS.into_iter().chain(FILMS.map(|(name, _)| name));
        for id in cameras {
            self.wait(id, || long(&self.runs(id), 0, RECORDED));
        }
    }

    /// When a camera's first picture was taken. Its run may begin before, with sound.
    fn first_picture(&self, camera: &str) -> UnixMicros {
        let (start, end) = self.runs(camera)[0];
        let url = self.url(camera, &format!("frames?from={start}&to={end}&count=1"));
        let frames: Value = serde_json::from_str(&self.text(&url)).expect("JSON");
        let time = frames["frames"][0]["time"].as_str().expect("a key frame");
        time.parse().expect("a time")
    }

    /// Waits for something to become true.
    pub(crate) fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(
                begun.elapsed() < PATIENCE,
                "{what} did not come about: {}",
                self.log()
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The recorder's log, to be shown when something fails.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Runs a command of the program on the running recorder.
    pub(crate) fn nvring(&self, arguments: &[&str]) {
        nvring(&self.folder, arguments);
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// An address of a camera.
    pub(crate) fn url(&self, camera: &str, rest: &str) -> String {
        format!("http://{}/api/v1/cameras/{camera}/{rest}", self.http)
    }

    /// The address of a range as one file.
    pub(crate) fn mp4(&self, camera: &str, from: UnixMicros, to: UnixMicros) -> String {
        self.url(camera, &format!("video.mp4?from={from}&to={to}"))
    }

    /// The address of a range as MediaMTX's playback server would have it.
    pub(crate) fn get(
        &self,
        camera: &str,
        from: UnixMicros,
        to: UnixMicros,
        format: &str,
    ) -> String {
        let seconds = to.since(from).as_secs_f64();
        format!(
            "http://{}/get?path={camera}&start={from}&duration={seconds:.6}&format={format}",
            self.mediamtx
        )
    }

    /// The body of a 200.
    pub(crate) fn body(&self, url: &str) -> Vec<u8> {
        let mut answer = ureq::get(url)
            .call()
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        let body = answer.body_mut().with_config().limit(1 << 30);
        body.read_to_vec().expect("the whole answer")
    }

    pub(crate) fn text(&self, url: &str) -> String {
        String::from_utf8(self.body(url)).expect("text")
    }

    /// Start and end of each run of a camera.
    pub(crate) fn runs(&self, camera: &str) -> Vec<(UnixMicros, UnixMicros)> {
        let url = self.url(camera, "timeline");
        // Until the first picture there is nothing.
        let Ok(mut answer) = ureq::get(&url).call() else {
            return Vec::new();
        };
        let body = answer.body_mut().read_to_vec().expect("the answer");
        let timeline: Value = serde_json::from_slice(&body).expect("JSON");
        let time = |value: &Value| -> UnixMicros {
            let text = value.as_str().expect("a time");
            text.parse().expect("a time")
        };
        let runs = timeline["runs"].as_array().expect("runs").iter();
        runs.map(|run| (time(&run["start"]), time(&run["end"])))
            .collect()
    }
}

impl Camera {
    /// The end of the range that is looked at.
    pub(crate) fn to(&self) -> UnixMicros {
        self.from + SHOWN
    }

    /// What ffmpeg decodes from that range as one file.
    pub(crate) fn whole(&self, stage: &Stage) -> &[Picture] {
        self.whole.get_or_init(|| {
            let url = stage.mp4(self.id, self.from, self.to());
            decode(&[url]).remove(0)
        })
    }

    /// How long a picture is shown, in microseconds.
    pub(crate) fn picture_us(&self) -> i64 {
        1_000_000 / i64::from(self.per_second)
    }
}

pub(crate) fn now() -> UnixMicros {
    SystemClock::new().now()
}

fn line(id: &str, url: &str) -> String {
    format!("{{\"id\":\"{id}\",\"url\":\"{url}\"}}\n")
}

fn md5_list(pictures: &[Picture]) -> Vec<String> {
    pictures.iter().map(|(_, md5)| md5.clone()).collect()
}

/// Pictures per second of a clip of the simulator, and its pictures.
fn clip_pictures(name: &str) -> (u32, Vec<String>) {
    let (per_second, file) = clip(name);
    (per_second, md5_list(&decode(&[file]).remove(0)))
}

/// Four seconds of moving picture with AAC, every picture different from all others.
fn film(path: &Path, video: &[&str]) -> PathBuf {
    let mut arguments = vec!["-v", "error", "-y", "-f", "lavfi"];
    arguments.extend(["-i", "testsrc2=size=640x360:rate=25", "-f", "lavfi"]);
    arguments.extend(["-i", "sine=frequency=440:sample_rate=48000", "-t", "4"]);
    arguments.extend(["-pix_fmt", "yuv420p", "-c:a", "aac"]);
    arguments.extend(video);
    arguments.push(path.to_str().expect("a path in UTF-8"));
    run("ffmpeg", &arguments);
    path.to_owned()
}

/// A program that ends with this process, whatever ends it: a shell waits for the end of its standard input. Then it removes `folder`.
fn guarded(program: &str, arguments: &[&str], folder: &Path) -> Child {
    const SCRIPT: &str = r#"folder=$1; shift; "$@" & program=$!; cat >/dev/null; kill $program; wait $program; rm -rf "$folder""#;
    Command::new("sh")
        .args(["-c", SCRIPT, "sh"])
        .arg(folder)
        .arg(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell")
}

/// GStreamer's RTSP server with the films, and its port.
fn gstreamer(films: &[PathBuf]) -> (Child, u16) {
    let port = free_address().port();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/gst-camera.py");
    let mut arguments = vec![script.to_owned(), port.to_string()];
    let mounts = FILMS.iter().zip(films);
    arguments.extend(mounts.map(|((name, _), film)| format!("{name}={}", film.display())));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut child = guarded("/usr/bin/python3", &arguments, Path::new("/nonexistent"));
    let lines = BufReader::new(child.stdout.as_mut().expect("its output")).lines();
    let ready = lines
        .map_while(Result::ok)
        .any(|line| line.contains("ready"));
    assert!(ready, "GStreamer's cameras did not start: see its message");
    (child, port)
}

fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("its address")
}

fn nvring(folder: &Path, arguments: &[&str]) {
    let output = Command::new(NVRING)
        .env("NVRING_CONFIG", folder.join("nvring.toml"))
        .args(arguments)
        .output()
        .expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
}

/// Starts a recorder of these cameras in `folder`; gives the addresses of HTTP and of MediaMTX's shape.
fn serve(folder: &Path, cameras: &str) -> (Child, SocketAddr, SocketAddr) {
    let (http, mediamtx) = (free_address(), free_address());
    let config = format!(
        "[http]\nlisten = \"{http}\"\n[mediamtx]\nlisten = \"{mediamtx}\"\n[data]\ndir = \"data\"\n[[volume]]\npath = \"volume\"\n"
    );
    std::fs::write(folder.join("nvring.toml"), config).expect("the configuration");
    std::fs::write(folder.join("cameras"), cameras).expect("the list of cameras");
    let path = |name: &str| folder.join(name).display().to_string();
    let volume = path("volume");
    let size = ["--size", "1GiB", "--segment-size", "16MiB"];
    nvring(
        folder,
        &[&["volume", "format", &volume][..], &size].concat(),
    );
    nvring(folder, &["camera", "import", &path("cameras")]);
    let log = format!("exec \"$0\" --config \"$1\" serve 2>\"{}\"", path("log"));
    let arguments = ["-c", &log, NVRING, &path("nvring.toml")];
    let child = guarded("sh", &arguments, folder);
    let begun = Instant::now();
    while ureq::get(format!("http://{http}/readyz")).call().is_err() {
        assert!(
            begun.elapsed() < PATIENCE,
            "the recorder did not start: {:?}",
            std::fs::read_to_string(folder.join("log"))
        );
        thread::sleep(Duration::from_millis(50));
    }
    (child, http, mediamtx)
}
