//! The server as its user sees it: start it with options, make it fail, ask what it sent, stop it.

use crate::auth::Auth;
use crate::engine::{Command, Engine};
use crate::fault::{Fault, Rule, Which};
use crate::report::Report;
use crate::{clip, fault};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address for RTSP; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Number of cameras `cam0`, `cam1`, … (others come into being by their URL: `/h264b/7`).
    pub cameras: usize,
    /// Names of clips that the cameras get in turn; see [`crate::clip::CLIPS`].
    pub clips: Vec<String>,
    /// Where in the stream a client begins.
    pub begin: Begin,
    /// Credentials, if clients need them.
    pub auth: Option<Auth>,
    /// Pictures per second instead of the clips' own.
    pub rate: Option<u32>,
    /// Sending happens this often; frames wait for the next beat.
    pub beat: Duration,
    /// Longest RTP payload in bytes, 200 to 60,000.
    pub payload_max: usize,
    /// Bytes that may wait for a client that does not read; then its frames are left out.
    pub backlog_max: usize,
    /// A UDP session ends when its client has been silent this long.
    pub session_timeout: Duration,
    /// Seed of phases, identifiers and random faults.
    pub seed: u64,
    /// Faults by the clock or by chance.
    pub rules: Vec<Rule>,
}

/// Where in the stream a client begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Begin {
    /// With the next frame, in the middle of a group of pictures, as most cameras do.
    Anywhere,
    /// With the next key frame.
    NextKey,
    /// With the last key frame, sent at once with everything since.
    LastKey,
}

impl Options {
    /// Simulates `cameras` cameras with the default clips on a free port of the loopback interface.
    pub fn new(cameras: usize) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            cameras,
            clips: clip::DEFAULT.map(str::to_owned).to_vec(),
            begin: Begin::Anywhere,
            auth: None,
            rate: None,
            beat: Duration::from_millis(10),
            payload_max: 1400,
            backlog_max: 4 << 20,
            session_timeout: Duration::from_secs(60),
            seed: 1,
            rules: Vec::new(),
        }
    }
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be used.
    #[error("cannot listen on {listen}: {source}; choose another address with --listen")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no such clip.
    #[error("there is no clip '{name}'; there are: {known}")]
    Clip {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The system gives no thread, socket or event queue.
    #[error("the system refused a resource: {0}; raise the limit of open files (ulimit -n)")]
    Resource(#[from] io::Error),
}

/// A simulator of cameras.
#[derive(Debug)]
pub struct Server;

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct Handle {
    addr: SocketAddr,
    names: Vec<String>,
    commands: mpsc::Sender<Command>,
    waker: Arc<mio::Waker>,
    thread: Option<JoinHandle<Report>>,
}

impl Server {
    /// Starts serving on a thread of its own. Returns when clients can connect.
    pub fn start(options: Options) -> Result<Handle, StartError> {
        let switched = options.rules.iter().filter_map(|rule| match &rule.fault {
            Fault::Switch(name) => Some(name),
            _ => None,
        });
        if let Some(name) = options
            .clips
            .iter()
            .chain(switched)
            .find(|name| clip::find(name).is_none())
        {
            let known: Vec<_> = clip::CLIPS.iter().map(|source| source.name).collect();
            return Err(StartError::Clip {
                name: name.clone(),
                known: known.join(", "),
            });
        }
        let (commands, inbox) = mpsc::channel();
        let names = (0..options.cameras)
            .map(|number| format!("cam{number}"))
            .collect();
        let engine = Engine::open(options, inbox)?;
        let (addr, waker) = (engine.addr(), engine.waker());
        let thread = std::thread::Builder::new()
            .name("camsim".to_owned())
            .spawn(move || engine.run())?;
        Ok(Handle {
            addr,
            names,
            commands,
            waker,
            thread: Some(thread),
        })
    }
}

impl Handle {
    /// The address clients connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of camera `number`.
    pub fn url(&self, number: usize) -> String {
        self.url_of(&format!("cam{number}"))
    }

    /// The URL of the camera of that name, such as `h264b/7`.
    pub fn url_of(&self, name: &str) -> String {
        format!("rtsp://{}/{name}", self.addr)
    }

    /// The URLs of all cameras the server started with.
    pub fn urls(&self) -> Vec<String> {
        self.names.iter().map(|name| self.url_of(name)).collect()
    }

    /// Makes something go wrong now; returns when it is in force, with the number of cameras it met.
    pub fn inject(&self, which: fault::Which, fault: Fault) -> usize {
        self.ask(|reply| Command::Inject(which, fault, reply))
            .unwrap_or(0)
    }

    /// The same for camera `number`.
    pub fn inject_into(&self, number: usize, fault: Fault) -> usize {
        self.inject(Which::number(number), fault)
    }

    /// Closes the listening socket (connections are refused by the system), or opens it again; `false` if that failed.
    pub fn set_listening(&self, listening: bool) -> bool {
        self.ask(|reply| Command::Listen(listening, reply))
            .unwrap_or(false)
    }

    /// Ends the session of every client that has connected, as a power cut of all cameras would.
    pub fn restart_all(&self, down: Duration) -> usize {
        self.inject(Which::All, Fault::Restart(down))
    }

    /// What has been sent so far.
    pub fn report(&self) -> Report {
        self.ask(Command::Report).unwrap_or_default()
    }

    /// Stops and says what was sent.
    pub fn stop(mut self) -> Report {
        self.finish()
    }

    fn finish(&mut self) -> Report {
        let sent = self.commands.send(Command::Stop).is_ok() && self.waker.wake().is_ok();
        match self.thread.take() {
            Some(thread) if sent => thread.join().unwrap_or_default(),
            _ => Report::default(),
        }
    }

    fn ask<T>(&self, make: impl FnOnce(mpsc::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = mpsc::channel();
        self.commands.send(make(reply)).ok()?;
        self.waker.wake().ok()?;
        answer.recv().ok()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.finish();
        }
    }
}
