//! A recorder in a process of its own, and the proof of what it recorded.

use nvring::{
    base::{Clock, SystemClock, TimeRange, UnixMicros, units::ByteSize},
    disk::EngineChoice,
    media::Codec,
    store::{
        RunDescription,
        pool::{format_volume, open_volume},
        recordings::{RecordedStream, Recordings},
        volume::{Access, FormatOptions},
    },
};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub(crate) const NVRING: &str = env!("CARGO_BIN_EXE_nvring");

/// A folder with a volume, a catalog and a configuration, removed at the end.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    pub(crate) http: SocketAddr,
}

/// A recorder that runs.
pub(crate) struct Recorder {
    child: Child,
    http: SocketAddr,
}

/// Held by each test: they load the machine, and what they measure would be each other.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A seed from `NVRING_SEED` or the clock, printed.
pub(crate) fn seed() -> nvring::base::seed::Seed {
    let number = std::env::var("NVRING_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let number = number.unwrap_or_else(|| SystemClock::new().now().0 as u64);
    println!("SEED={number}");
    nvring::base::seed::Seed::new(number)
}

impl Site {
    /// A volume of `segments` segments of `segment_len` bytes.
    pub(crate) fn new(segments: u64, segment_len: u64) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("nvring-test")
            .tempdir_in(base_folder())
            .expect("a folder");
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let http = free.local_addr().expect("its address");
        drop(free);
        let options = FormatOptions {
            size: ByteSize(segments * segment_len),
            segment_len: ByteSize(segment_len),
            pool: "default".to_owned(),
            volume: *uuid::Uuid::now_v7().as_bytes(),
        };
        let volume = folder.path().join("volume");
        format_volume(&volume, &options, &SystemClock::new(), &mut |_, _| ())
            .expect("the volume is made");
        let config = format!(
            "[http]\nlisten = \"{http}\"\n[data]\ndir = \"data\"\n[[volume]]\npath = \"volume\"\n"
        );
        std::fs::write(folder.path().join("nvring.toml"), config)
            .expect("the configuration is written");
        Self { folder, http }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Enrols `cam0`, `cam1`, … of the simulator.
    pub(crate) fn enrol(&self, urls: &[String]) {
        let lines: String = urls
            .iter()
            .enumerate()
            .map(|(number, url)| format!("{{\"id\":\"cam{number}\",\"url\":\"{url}\"}}\n"))
            .collect();
        let file = self.path("cameras.jsonl");
        std::fs::write(&file, lines).expect("the list is written");
        let output = self.run(&["camera", "import", file.to_str().expect("a path in UTF-8")]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Runs a command of the program.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let config = self.path("nvring.toml");
        Command::new(NVRING)
            .env("NVRING_CONFIG", config)
            .args(args)
            .output()
            .expect("the program runs")
    }

    /// Starts the recorder and waits until it is ready; tells how long that took.
    pub(crate) fn start(&self) -> (Recorder, Duration) {
        let begun = Instant::now();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .expect("a log");
        let child = Command::new(NVRING)
            .env("NVRING_CONFIG", self.path("nvring.toml"))
            .arg("serve")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let mut recorder = Recorder {
            child,
            http: self.http,
        };
        while begun.elapsed() < Duration::from_secs(30) {
            if recorder
                .get("/readyz")
                .is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
            {
                return (recorder, begun.elapsed());
            }
            if let Ok(Some(status)) = recorder.child.try_wait() {
                panic!("the recorder ended with {status}: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the recorder is not ready after 30 s: {}", self.log());
    }

    /// What the recorder logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// What is on the volume; no recorder may run.
    pub(crate) fn recordings(&self) -> Recordings {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let volume = self.path("volume");
        let opened = open_volume(
            &volume,
            Access::Read,
            EngineChoice::Auto,
            clock,
            &mut |_, _| (),
        )
        .expect("the volume opens");
        Recordings::new(vec![opened.shared])
    }
}

/// Where volumes are made: the build folder, which is on a disk (a temporary folder may be in memory).
fn base_folder() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

impl Recorder {
    /// The answer to a GET, with its header.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.http).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Status and body of a GET.
    pub(crate) fn get_bytes(&self, path: &str) -> Option<(u16, Vec<u8>)> {
        let answer = ureq::get(format!("http://{}{path}", self.http))
            .config()
            .http_status_as_error(false)
            .build()
            .call();
        let mut answer = answer.ok()?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        answer.body_mut().as_reader().read_to_end(&mut body).ok()?;
        Some((status, body))
    }

    /// A number of `/metrics`, summed over all labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").unwrap_or_default();
        let values = text
            .lines()
            .filter(|line| line.starts_with(name) && !line.starts_with('#'));
        values
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until `count` streams record.
    pub(crate) fn wait_recording(&self, count: usize) {
        let begun = Instant::now();
        while self.metric("nvring_stream_recording") < count as f64 {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "not all of {count} streams record after 60 s"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until a frame is recorded; tells how long that was after `begun`.
    pub(crate) fn wait_first_frame(&self, begun: Instant) -> Duration {
        loop {
            let frames = self.metric("nvring_stream_frames_total");
            let took = begun.elapsed();
            if frames > 0.0 {
                return took;
            }
            assert!(took < Duration::from_secs(60), "no frame after 60 s");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The most memory it had resident, in bytes.
    pub(crate) fn memory_max(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
            .unwrap_or(0)
            * 1024
    }

    /// kill -9; gives the wall-clock time just before.
    pub(crate) fn kill(mut self) -> UnixMicros {
        let time = SystemClock::new().now();
        self.child.kill().expect("the recorder is killed");
        self.child.wait().expect("the recorder is gone");
        time
    }

    /// Ends it as systemd would, and waits.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("kill runs");
        assert!(sent.success());
        let status = self.child.wait().expect("the recorder ends");
        assert!(status.success(), "the recorder ended with {status}");
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The video frames of a stream by their marks.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    /// Numbers of the frames in the order in which they are recorded, run by run.
    pub(crate) runs: Vec<Vec<u64>>,
    /// Whose marks they bear, and how often.
    pub(crate) cameras: BTreeMap<String, u64>,
    /// Frames whose bytes are not those that were sent.
    pub(crate) altered: u64,
    /// Blocks that could not be read.
    pub(crate) unreadable: Vec<String>,
}

impl Proof {
    /// Reads all of a stream in `range`.
    pub(crate) fn of(recordings: &Recordings, stream: &RecordedStream, range: TimeRange) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut proof = Self::default();
            let pieces = recordings
                .blocks(stream.stream, range)
                .await
                .expect("the chapters are read");
            let (mut run, mut next_number) = (None, 0);
            for piece in pieces {
                let description =
                    RunDescription::decode(&piece.description).expect("a description");
                let codec = match description.tracks.tracks[0].codec {
                    Codec::H265 => camsim::Codec::H265,
                    _ => camsim::Codec::H264,
                };
                for block in piece.blocks {
                    if run != Some(block.run.run) || block.number() != next_number {
                        proof.runs.push(Vec::new());
                    }
                    run = Some(block.run.run);
                    next_number = block.number() + 1;
                    match block.read().await {
                        Ok(bytes) => proof.add(codec, &bytes),
                        Err(error) => proof.unreadable.push(error.to_string()),
                    }
                }
            }
            proof
        })
    }

    fn add(&mut self, codec: camsim::Codec, bytes: &nvring::store::reader::BlockBytes) {
        for (index, frame) in bytes
            .frames
            .iter()
            .enumerate()
            .filter(|(_, frame)| frame.track.0 == 0)
        {
            let data = bytes.frame(index);
            assert_eq!(data.len(), frame.size as usize);
            let Some(mark) = camsim::mark::find(&data) else {
                self.altered += 1;
                continue;
            };
            if !matches!(
                camsim::mark::verify(codec, &data),
                camsim::mark::Verdict::Identical(_)
            ) {
                self.altered += 1;
            }
            *self.cameras.entry(mark.name.clone()).or_default() += 1;
            self.runs
                .last_mut()
                .expect("a run was begun")
                .push(mark.frame);
        }
    }

    /// Asserts that every frame is as it was sent, of camera `name`, and that no frame is missing or out of order within a run.
    pub(crate) fn assert_sound(&self, name: &str) {
        assert_eq!(
            self.unreadable,
            Vec::<String>::new(),
            "{name}: everything listed can be read"
        );
        assert_eq!(self.altered, 0, "{name}: every frame is byte-identical");
        assert!(
            self.cameras.keys().all(|camera| camera == name),
            "{name} holds frames of {:?}",
            self.cameras
        );
        for run in &self.runs {
            assert!(
                run.windows(2).all(|pair| pair[1] == pair[0] + 1),
                "{name}: frames in order, none missing, none twice: {run:?}"
            );
        }
    }

    /// Number of frames.
    pub(crate) fn frames(&self) -> usize {
        self.runs.iter().map(Vec::len).sum()
    }
}
