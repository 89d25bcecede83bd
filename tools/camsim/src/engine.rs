//! The engine: one thread that accepts, answers, and on every beat sends what is due to everyone.
//!
//! Nothing in it waits for a client: sockets are non-blocking and what a client does not read is bounded. Sending on a beat rather than per
//! frame lets one write carry a whole access unit and one wake-up serve a thousand sessions.

use crate::camera::Camera;
use crate::clip::{self, Clip};
use crate::clock::{Clock, nanos};
use crate::connection::Connection;
use crate::fault::{Fault, Rule, When, Which};
use crate::report::{CameraReport, Report};
use crate::request::{self, Input};
use crate::seed::Seed;
use crate::server::{Options, StartError};
use crate::session::{Lane, UdpPair, Way, ntp};
use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);
const RTP: Token = Token(usize::MAX - 2);
const RTCP: Token = Token(usize::MAX - 3);
/// Cameras that clients can bring into being by their URL.
const CAMERAS_MAX: usize = 100_000;
/// Ended sessions remembered per camera.
const ENDED_MAX: usize = 10_000;

/// What a handle asks of the engine.
#[derive(Debug)]
pub(crate) enum Command {
    Inject(Which, Fault, mpsc::Sender<usize>),
    Listen(bool, mpsc::Sender<bool>),
    Report(mpsc::Sender<Report>),
    Stop,
}

/// The thread's whole state.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) options: Options,
    pub(crate) clock: Clock,
    pub(crate) seed: Seed,
    pub(crate) cameras: Vec<Camera>,
    pub(crate) connections: Vec<Option<Connection>>,
    pub(crate) udp: UdpPair,
    pub(crate) addr: SocketAddr,
    names: HashMap<String, usize>,
    clips: HashMap<&'static str, Arc<Clip>>,
    listener: Option<TcpListener>,
    poll: Poll,
    waker: Arc<Waker>,
    inbox: mpsc::Receiver<Command>,
    /// Rules with the time of their next turn.
    pub(crate) rules: Vec<(Rule, u64)>,
    out: Vec<u8>,
    scratch: Vec<u8>,
}

impl Engine {
    /// Binds the sockets and prepares the clips and cameras.
    pub(crate) fn open(
        options: Options,
        inbox: mpsc::Receiver<Command>,
    ) -> Result<Self, StartError> {
        let failed = |source| StartError::Listen {
            listen: options.listen,
            source,
        };
        let mut listener = TcpListener::bind(options.listen).map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        let mut udp = udp_pair(addr.ip())?;
        poll.registry()
            .register(&mut udp.rtp, RTP, Interest::READABLE)?;
        poll.registry()
            .register(&mut udp.rtcp, RTCP, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let clock = Clock::start();
        let first_turn = |rule: &Rule| match rule.when {
            When::At(at) | When::Every(at) => nanos(at),
            When::Chance(_) => u64::MAX,
        };
        let rules = options
            .rules
            .iter()
            .map(|rule| (rule.clone(), first_turn(rule)))
            .collect();
        let mut engine = Self {
            seed: Seed::new(options.seed),
            clock,
            cameras: Vec::new(),
            connections: Vec::new(),
            udp,
            addr,
            names: HashMap::new(),
            clips: HashMap::new(),
            listener: Some(listener),
            poll,
            waker,
            inbox,
            rules,
            out: Vec::new(),
            scratch: Vec::new(),
            options,
        };
        for number in 0..engine.options.cameras {
            let clip = engine
                .options
                .clips
                .get(number % engine.options.clips.len().max(1));
            let source = clip
                .and_then(|name| clip::find(name))
                .unwrap_or(&clip::CLIPS[0]);
            engine.add_camera(format!("cam{number}"), source, 0);
        }
        Ok(engine)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Serves until told to stop.
    pub(crate) fn run(mut self) -> Report {
        let mut events = Events::with_capacity(1024);
        let beat_ns = nanos(self.options.beat).max(1_000_000);
        let mut next_beat_ns = 0;
        loop {
            let wait_ns = u64::saturating_sub(next_beat_ns, self.clock.now_ns());
            match self
                .poll
                .poll(&mut events, Some(Duration::from_nanos(wait_ns)))
            {
                Err(e) if e.kind() != ErrorKind::Interrupted => return self.report(),
                _ => {}
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    WAKER => {
                        if self.obey() {
                            return self.report();
                        }
                    }
                    RTP => self.hear(false),
                    RTCP => self.hear(true),
                    Token(index) => self.receive(index),
                }
            }
            let now_ns = self.clock.now_ns();
            if now_ns >= next_beat_ns {
                self.beat(now_ns);
                next_beat_ns = (now_ns / beat_ns + 1) * beat_ns;
            }
        }
    }

    /// The camera of that path: `cam3`, `3`, or `CLIP/NUMBER`, which is made when first named.
    pub(crate) fn camera_at(&mut self, path: &str, now_ns: u64) -> Option<usize> {
        let digits = !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_digit());
        let name = if digits {
            format!("cam{path}")
        } else {
            path.to_owned()
        };
        if let Some(index) = self.names.get(&name) {
            return Some(*index);
        }
        let (clip, number) = name.split_once('/')?;
        let source = clip::find(clip)?;
        number.parse::<u32>().ok()?;
        (self.cameras.len() < CAMERAS_MAX).then(|| self.add_camera(name.clone(), source, now_ns))
    }

    fn add_camera(&mut self, name: String, source: &'static clip::Source, now_ns: u64) -> usize {
        let clip = self.clip(source);
        let start_ns = now_ns + self.seed.below(clip.period * 100_000 / 9);
        let shift = self.seed.below(clip.units.len() as u64);
        self.names.insert(name.clone(), self.cameras.len());
        self.cameras.push(Camera::new(name, clip, start_ns, shift));
        self.cameras.len() - 1
    }

    pub(crate) fn clip(&mut self, source: &'static clip::Source) -> Arc<Clip> {
        let (payload_max, rate) = (
            self.options.payload_max.clamp(200, 60_000),
            self.options.rate,
        );
        let load = || Arc::new(Clip::load(source, payload_max, rate));
        Arc::clone(self.clips.entry(source.name).or_insert_with(load))
    }

    fn accept(&mut self) {
        while let Some(listener) = &self.listener {
            let Ok((mut stream, peer)) = listener.accept() else {
                return;
            };
            // Without the option packets only leave a little later.
            let _ = stream.set_nodelay(true);
            let free = self.connections.iter().position(Option::is_none);
            let index = free.unwrap_or(self.connections.len());
            if self
                .poll
                .registry()
                .register(&mut stream, Token(index), Interest::READABLE)
                .is_err()
            {
                continue;
            }
            let nonce = format!("{:016x}{:016x}", self.seed.next(), self.seed.next());
            let connection = Some(Connection::new(stream, peer, nonce));
            match self.connections.get_mut(index) {
                Some(place) => *place = connection,
                None => self.connections.push(connection),
            }
        }
    }

    fn receive(&mut self, index: usize) {
        let now_ns = self.clock.now_ns();
        let Some(Some(connection)) = self.connections.get_mut(index) else {
            return;
        };
        let open = match connection.receive() {
            Ok(open) => open,
            Err(_) => return self.close(index, "connection lost"),
        };
        while let Some(Some(connection)) = self.connections.get_mut(index) {
            if let Some(session) = &mut connection.session {
                let strict = self.cameras[session.camera].settings.strict;
                // A strict camera wants to hear of a receiver by RTCP where packets travel by UDP.
                if !(strict && session.is_udp()) {
                    session.last_seen_ns = now_ns;
                }
            }
            match request::take(&mut connection.input) {
                Input::Request(request) => {
                    let answer = self.answer(index, &request, now_ns);
                    let Some(Some(connection)) = self.connections.get_mut(index) else {
                        return;
                    };
                    if answer.is_some_and(|answer| connection.send(&answer.into_bytes()).is_err()) {
                        return self.close(index, "connection lost");
                    }
                    if let Some(reason) = connection.closing {
                        return self.close(index, reason);
                    }
                }
                Input::Data(bytes) => self.hear_from(index, &bytes, now_ns),
                Input::Incomplete => break,
                Input::Foreign => return self.close(index, "not RTSP"),
            }
        }
        if !open {
            self.close(index, "closed by client");
        }
    }

    /// Reads the UDP sockets: receiver reports keep their session alive.
    fn hear(&mut self, reports: bool) {
        let now_ns = self.clock.now_ns();
        let mut buffer = [0; 2048];
        let socket = if reports {
            &self.udp.rtcp
        } else {
            &self.udp.rtp
        };
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            for session in self
                .connections
                .iter_mut()
                .flatten()
                .filter_map(|c| c.session.as_mut())
            {
                let tracks = [&session.video, &session.sound];
                let from_it = |way: Way| matches!(way, Way::Udp { rtcp, .. } if rtcp == from);
                if tracks.into_iter().flatten().any(|track| from_it(track.way)) {
                    session.last_seen_ns = now_ns;
                    if reports {
                        let camera = &self.cameras[session.camera];
                        session.hear(&buffer[..len], ntp_now(&self.clock, camera, now_ns));
                    }
                }
            }
        }
    }

    /// RTCP of a client inside its connection.
    fn hear_from(&mut self, index: usize, bytes: &[u8], now_ns: u64) {
        let connection = self.connections.get_mut(index).and_then(Option::as_mut);
        if let Some(session) = connection.and_then(|connection| connection.session.as_mut()) {
            let camera = &self.cameras[session.camera];
            session.hear(bytes, ntp_now(&self.clock, camera, now_ns));
        }
    }

    /// Closes a connection; its session's counters stay with the camera.
    pub(crate) fn close(&mut self, index: usize, reason: &str) {
        let Some(mut connection) = self.connections.get_mut(index).and_then(Option::take) else {
            return;
        };
        let _ = self.poll.registry().deregister(&mut connection.stream);
        if let Some(session) = connection.session {
            self.end_session(session, reason);
        }
    }

    /// Keeps the counters of a session that is over.
    pub(crate) fn end_session(&mut self, session: crate::session::Session, reason: &str) {
        let ended = &mut self.cameras[session.camera].ended;
        if session.report.first_frame.is_some() && ended.len() < ENDED_MAX {
            let mut report = session.report;
            report.ended = Some(reason.to_owned());
            ended.push(report);
        }
    }

    fn beat(&mut self, now_ns: u64) {
        self.apply_rules(now_ns);
        let timeout_ns = nanos(self.options.session_timeout);
        for index in 0..self.connections.len() {
            let Some(connection) = &mut self.connections[index] else {
                continue;
            };
            self.out.clear();
            let room = self
                .options
                .backlog_max
                .saturating_sub(connection.backlog());
            let mut lane = Lane {
                out: &mut self.out,
                room,
                scratch: &mut self.scratch,
                udp: &self.udp,
            };
            let mut silent = false;
            if let Some(session) = connection
                .session
                .as_mut()
                .filter(|session| session.playing)
            {
                session.advance(
                    &self.cameras[session.camera],
                    &self.clock,
                    now_ns,
                    &mut lane,
                );
                let watched = session.is_udp() || self.cameras[session.camera].settings.strict;
                silent = watched && now_ns.saturating_sub(session.last_seen_ns) > timeout_ns;
            }
            let idle = self.out.is_empty() && connection.backlog() == 0;
            if !idle && connection.send(&self.out).is_err() {
                self.close(index, "connection lost");
            } else if silent {
                self.close(index, "timed out");
            }
        }
    }

    /// Does what handles have asked for; `true` when that was to stop.
    fn obey(&mut self) -> bool {
        loop {
            // A handle that does not wait for its answer is gone; that is its right.
            match self.inbox.try_recv() {
                Ok(Command::Inject(which, fault, reply)) => {
                    let met = self.inject(&which, &fault, self.clock.now_ns());
                    let _ = reply.send(met);
                }
                Ok(Command::Listen(listening, reply)) => {
                    let done = self.set_listening(listening).is_ok();
                    let _ = reply.send(done);
                }
                Ok(Command::Report(reply)) => {
                    let _ = reply.send(self.report());
                }
                Ok(Command::Stop) | Err(mpsc::TryRecvError::Disconnected) => return true,
                Err(mpsc::TryRecvError::Empty) => return false,
            }
        }
    }

    fn set_listening(&mut self, listening: bool) -> io::Result<()> {
        if !listening {
            self.listener = None;
        } else if self.listener.is_none() {
            let mut listener = TcpListener::bind(self.addr)?;
            self.poll
                .registry()
                .register(&mut listener, LISTENER, Interest::READABLE)?;
            self.listener = Some(listener);
        }
        Ok(())
    }

    fn report(&self) -> Report {
        let now_ns = self.clock.now_ns();
        let living = |index: usize| {
            let sessions = self
                .connections
                .iter()
                .flatten()
                .filter_map(|c| c.session.as_ref());
            sessions
                .filter(move |s| s.camera == index && s.report.first_frame.is_some())
                .map(|s| s.report.clone())
        };
        let camera = |(index, camera): (usize, &Camera)| CameraReport {
            name: camera.name.clone(),
            clip: camera.clip(now_ns).name.to_owned(),
            frames_due: camera.first_from(now_ns),
            sessions: camera.ended.iter().cloned().chain(living(index)).collect(),
        };
        Report {
            cameras: self.cameras.iter().enumerate().map(camera).collect(),
        }
    }
}

/// The middle of the NTP time on the camera's clock, in 1/65536 s.
fn ntp_now(clock: &Clock, camera: &Camera, now_ns: u64) -> u32 {
    let unix_us = clock.unix_us(now_ns) as i64 + camera.settings.ntp_offset_us;
    let (seconds, fraction) = ntp(unix_us);
    seconds << 16 | fraction >> 16
}

/// Two neighbouring ports, the even one for RTP (RFC 3550 §11).
fn udp_pair(ip: IpAddr) -> io::Result<UdpPair> {
    let mut last = ErrorKind::AddrInUse.into();
    for _ in 0..100 {
        let rtp = UdpSocket::bind(SocketAddr::new(ip, 0))?;
        let port = rtp.local_addr()?.port();
        if port % 2 == 1 {
            continue;
        }
        match UdpSocket::bind(SocketAddr::new(ip, port + 1)) {
            Ok(rtcp) => return Ok(UdpPair { rtp, rtcp }),
            Err(e) => last = e,
        }
    }
    Err(last)
}
