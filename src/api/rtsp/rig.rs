//! For tests: a server with one camera whose frames are pushed by hand, and a client on a connection in memory. With tokio's clock paused,
//! minutes pass in no time.

use super::{
    connection::{Ends, talk},
    conversation::Rules,
    feed::Feeds,
    guesses::Guesses,
    metrics::Metrics,
    outbox::Outbox,
    server::write_until_closed,
    service::Service,
    session::{SessionId, SessionLimits, Sessions},
};
use crate::{
    access::{Open, digest::Users},
    api::{
        http::{Admission, App, HttpOptions},
        places::Places,
    },
    base::{Clock, ClockState, Micros, UnixMicros},
    catalog::{CameraChange, CameraUrl, Catalog},
    media::{Frame, FrameKind, GapCause, TrackId, TrackSet},
    store::{
        RunDescription,
        recordings::Recordings,
        tail::{Pushed, Tail, TailBudget, TailLimits},
    },
};
use bytes::Bytes;
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{Duration, Instant, timeout},
};

/// 2026-11-23T14:00:00Z.
const START: i64 = 1_795_442_400_000_000;
/// What a client in these tests asks for.
pub(super) const GATE: &str = "rtsp://h/gate";
/// More time than anything here takes, on a clock that is paused.
const LONG: Duration = Duration::from_secs(600);

struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> UnixMicros {
        UnixMicros(START) + self.elapsed()
    }

    fn elapsed(&self) -> Micros {
        Micros(self.0.elapsed().as_micros() as i64)
    }

    fn state(&self) -> ClockState {
        ClockState::UNKNOWN
    }
}

/// A server and its camera.
pub(super) struct Rig {
    pub(super) service: Arc<Service>,
    pub(super) tail: Arc<Tail>,
    clock: Arc<dyn Clock>,
    connections: AtomicU64,
    _folder: tempfile::TempDir,
}

impl Rig {
    /// With a camera `gate` that sends pictures and sound; nobody has to sign in, unless there are `users`.
    pub(super) fn new(users: Option<Users>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock: Arc<dyn Clock> = Arc::new(TokioClock(Instant::now()));
        let catalog = Catalog::open(folder.path(), Arc::clone(&clock)).expect("a catalog");
        let change = CameraChange {
            url: Some(CameraUrl::parse("rtsp://10.0.0.7/s").expect("an address")),
            ..CameraChange::default()
        };
        let camera = catalog
            .add(&"gate".parse().expect("an id"), change)
            .expect("a camera");
        let limits = TailLimits {
            waiting_max: 256 << 20,
            block_len_max: 1 << 20,
            frame_len_max: 1 << 20,
        };
        let tail = Tail::new(camera.main, TailBudget::new(1 << 30), limits);
        let recorded = Arc::clone(&tail);
        let registry = prometheus::Registry::new();
        let admission = Admission::new(HttpOptions::default(), &registry).expect("numbers");
        let app = App {
            admission: Arc::new(admission),
            catalog: Arc::new(catalog),
            recordings: Box::new(move || {
                Recordings::new(Vec::new()).with_tails(vec![Arc::clone(&recorded)])
            }),
            status: Box::new(|| unreachable!("nobody asks")),
            streams: Box::new(Vec::new),
            registry,
            clock: Arc::clone(&clock),
            access: Arc::new(Open),
            document: OnceLock::new(),
            lists: Default::default(),
            files: Default::default(),
        };
        let rules = Rules {
            users,
            access: Arc::new(Open),
            datagrams: true,
            guesses: Guesses::default(),
        };
        let metrics = Arc::new(Metrics::new());
        let places = Places::new(20, 20, metrics.connections.clone());
        let limits = SessionLimits {
            all: 10,
            per_client: 10,
        };
        let new_id = || SessionId(uuid::Uuid::new_v4().simple().to_string());
        let service = Service::new(
            Arc::new(app),
            Arc::new(rules),
            (Feeds::new(1_372, Arc::clone(&metrics)), metrics),
            places,
            (Sessions::new(limits, new_id), None),
        );
        let rig = Self {
            service,
            tail,
            clock,
            connections: AtomicU64::new(1),
            _folder: folder,
        };
        rig.tail.begin(description());
        rig
    }

    /// The camera sends a picture.
    pub(super) fn picture(&self, kind: FrameKind, len: usize) {
        let mut data = (len as u32).to_be_bytes().to_vec();
        let head = if kind == FrameKind::Key { 0x65 } else { 0x41 };
        data.resize(4 + len, head);
        self.push(0, kind, data);
    }

    /// The camera sends sound.
    pub(super) fn sound(&self) {
        self.push(1, FrameKind::Key, vec![0xd5; 160]);
    }

    fn push(&self, track: u8, kind: FrameKind, data: Vec<u8>) {
        let frame = Frame {
            track: TrackId(track),
            kind,
            time: self.clock.now(),
            data: Bytes::from(data).into(),
        };
        let pushed = self.tail.push(frame, self.clock.elapsed());
        assert_eq!(pushed, Pushed::Kept);
    }

    /// Connects.
    pub(super) fn connect(&self) -> Client {
        let (client, server) = tokio::io::duplex(1 << 20);
        let (reader, writer) = tokio::io::split(server);
        let ends = Ends {
            number: self.connections.fetch_add(1, Ordering::Relaxed),
            local: ([127, 0, 0, 1], 8_554).into(),
            peer: ([10, 0, 0, 1], 40_000).into(),
            private: false,
        };
        let outbox = Arc::new(Outbox::for_tls());
        let service = Arc::clone(&self.service);
        tokio::spawn(async move {
            let talked = talk(Arc::clone(&service), ends, reader, Arc::clone(&outbox));
            let writing = outbox.write_tls(writer, || service.may_hold_still(ends.number));
            let written = write_until_closed(&outbox, writing);
            tokio::join!(talked, written);
        });
        Client {
            stream: client,
            cseq: 0,
            session: None,
        }
    }

    /// A client that plays both tracks.
    pub(super) async fn viewer(&self) -> Client {
        let mut client = self.connect();
        for track in 0..2 {
            let transport = format!(
                "Transport: RTP/AVP/TCP;unicast;interleaved={}-{}\r\n",
                2 * track,
                2 * track + 1
            );
            let url = format!("{GATE}/trackID={track}");
            assert_eq!(client.ask("SETUP", &url, &transport).await.0, 200);
        }
        client
    }
}

fn description() -> RunDescription {
    RunDescription {
        camera: "gate".to_owned(),
        name: "Gate".to_owned(),
        stream: "main".to_owned(),
        start_cause: GapCause::CameraLost,
        started: UnixMicros(START),
        clock: ClockState::UNKNOWN,
        camera_offset: None,
        tracks: TrackSet::sample(true),
    }
}

/// A client.
pub(super) struct Client {
    pub(super) stream: DuplexStream,
    cseq: u32,
    session: Option<String>,
}

/// What a client reads.
pub(super) enum Read {
    Packet(u8, Vec<u8>),
    Answer(u16, String),
}

impl Client {
    /// Sends a request and waits for its answer; packets before it are left out.
    pub(super) async fn ask(&mut self, method: &str, url: &str, headers: &str) -> (u16, String) {
        self.cseq += 1;
        let text = format!(
            "{method} {url} RTSP/1.0\r\nCSeq: {}\r\n{}{headers}\r\n",
            self.cseq,
            self.session_header()
        );
        self.send(text.as_bytes()).await;
        loop {
            let read = self.read().await.expect("an answer");
            let Read::Answer(code, head) = read else {
                continue;
            };
            let id = head.split("Session: ").nth(1);
            let id = id.and_then(|rest| rest.split([';', '\r']).next());
            self.session = id.map(str::to_owned).or(self.session.take());
            return (code, head);
        }
    }

    /// The header that names its session, when there is one.
    pub(super) fn session_header(&self) -> String {
        let session = self.session.as_ref();
        session.map_or(String::new(), |id| format!("Session: {id}\r\n"))
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("it is taken");
    }

    /// The next packet or answer; `None` at the end.
    pub(super) async fn read(&mut self) -> Option<Read> {
        let first = self.byte().await?;
        if first == b'$' {
            let mut head = [0; 3];
            self.stream.read_exact(&mut head).await.ok()?;
            let mut packet = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
            self.stream.read_exact(&mut packet).await.ok()?;
            return Some(Read::Packet(head[0], packet));
        }
        let mut head = vec![first];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.byte().await?);
        }
        let head = String::from_utf8(head).expect("text");
        let len = head.split("Content-Length: ").nth(1);
        let len = len.and_then(|rest| rest.split('\r').next()?.parse().ok());
        let mut body = vec![0; len.unwrap_or(0)];
        self.stream.read_exact(&mut body).await.ok()?;
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Some(Read::Answer(code.expect("a status"), head))
    }

    async fn byte(&mut self) -> Option<u8> {
        let read = timeout(LONG, self.stream.read_u8()).await;
        read.expect("something comes or it ends").ok()
    }

    /// The next RTP packet of a track: its sequence number and timestamp.
    pub(super) async fn packet(&mut self, track: u8) -> (u16, u32) {
        loop {
            match self.read().await.expect("a packet") {
                Read::Packet(channel, packet) if channel == 2 * track => {
                    let number = |range: std::ops::Range<usize>| {
                        packet.get(range).expect("a header").to_vec()
                    };
                    let sequence = number(2..4).try_into().expect("two bytes");
                    let timestamp = number(4..8).try_into().expect("four bytes");
                    return (u16::from_be_bytes(sequence), u32::from_be_bytes(timestamp));
                }
                _ => {}
            }
        }
    }
}
