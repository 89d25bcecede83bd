//! A client that sends what it is told and shows what came, header by header and packet by packet.

use bytes::Bytes;
use nvring::media::{AccessUnit, Depacketiser, rtp_packet::ReceivedPacket};
use std::{
    collections::{BTreeMap, VecDeque},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header; empty without it.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value)
    }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    packets: VecDeque<(u8, Bytes)>,
    cseq: u32,
    /// What SETUP gave.
    pub(crate) session: Option<String>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).expect("a connection"))
    }

    /// On a connection that is there.
    pub(crate) fn on(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a time-out");
        Self {
            stream,
            buffer: Vec::new(),
            packets: VecDeque::new(),
            cseq: 0,
            session: None,
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server takes it");
    }

    /// Sends a request without waiting for the answer.
    pub(crate) fn ask(&mut self, method: &str, url: &str, headers: &str) {
        self.cseq += 1;
        let session = self
            .session
            .as_ref()
            .map(|id| format!("Session: {id}\r\n"))
            .unwrap_or_default();
        let text = format!(
            "{method} {url} RTSP/1.0\r\nCSeq: {}\r\n{session}{headers}\r\n",
            self.cseq
        );
        self.send(text.as_bytes());
    }

    /// Sends a request and waits for its answer; packets that come meanwhile are kept.
    pub(crate) fn request(&mut self, method: &str, url: &str, headers: &str) -> Answer {
        self.ask(method, url, headers);
        let answer = self
            .answer()
            .unwrap_or_else(|| panic!("{method} {url}: the connection was closed"));
        assert_eq!(
            answer.header("CSeq"),
            self.cseq.to_string(),
            "{method} {url}"
        );
        if method == "SETUP" && answer.code == 200 {
            let id = answer
                .header("Session")
                .split(';')
                .next()
                .unwrap_or_default();
            self.session = Some(id.to_owned());
        }
        answer
    }

    /// The next answer; `None` when the connection is closed.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        loop {
            if self.buffer.starts_with(b"$") {
                let packet = self.take_packet()?;
                self.packets.push_back(packet);
                continue;
            }
            let end = self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n");
            let Some(end) = end else {
                self.read()?;
                continue;
            };
            let head = String::from_utf8(self.buffer.drain(..end + 4).collect()).expect("text");
            let code = head
                .split(' ')
                .nth(1)
                .and_then(|code| code.parse().ok())
                .expect("a status");
            let mut answer = Answer {
                code,
                head,
                body: String::new(),
            };
            let len = answer.header("Content-Length").parse().unwrap_or(0);
            while self.buffer.len() < len {
                self.read()?;
            }
            answer.body = String::from_utf8(self.buffer.drain(..len).collect()).expect("text");
            return Some(answer);
        }
    }

    /// The next interleaved packet with its channel; `None` when the connection is closed.
    pub(crate) fn packet(&mut self) -> Option<(u8, Bytes)> {
        if let Some(packet) = self.packets.pop_front() {
            return Some(packet);
        }
        while self.buffer.is_empty() {
            self.read()?;
        }
        assert_eq!(
            self.buffer[0],
            b'$',
            "a packet: {}",
            String::from_utf8_lossy(&self.buffer)
        );
        self.take_packet()
    }

    fn take_packet(&mut self) -> Option<(u8, Bytes)> {
        while self.buffer.len() < 4 {
            self.read()?;
        }
        let len = usize::from(u16::from_be_bytes([self.buffer[2], self.buffer[3]]));
        while self.buffer.len() < 4 + len {
            self.read()?;
        }
        let channel = self.buffer[1];
        let packet: Vec<u8> = self.buffer.drain(..4 + len).skip(4).collect();
        Some((channel, Bytes::from(packet)))
    }

    /// `None` at the end.
    fn read(&mut self) -> Option<()> {
        let mut piece = [0; 64 << 10];
        let len = self.stream.read(&mut piece).ok()?;
        self.buffer.extend_from_slice(&piece[..len]);
        (len > 0).then_some(())
    }

    /// Sends a request; whether packets came before its answer. They are let go.
    pub(crate) fn packet_before_answer(&mut self, method: &str, url: &str) -> bool {
        self.packets.clear();
        assert_eq!(self.request(method, url, "").code, 200);
        !std::mem::take(&mut self.packets).is_empty()
    }

    /// The packets that came before the last answer.
    pub(crate) fn packets(&mut self) -> impl Iterator<Item = (u8, Bytes)> {
        std::mem::take(&mut self.packets).into_iter()
    }

    /// What there is at `url`.
    pub(crate) fn describe(&mut self, url: &str) -> Description {
        let described = self.request("DESCRIBE", url, "Accept: application/sdp\r\n");
        assert_eq!(described.code, 200, "{}", described.body);
        Description::parse(described.header("Content-Base"), &described.body)
    }

    /// Sets up all tracks of `url` on this connection, track N on channel 2 N, and gives the description.
    pub(crate) fn set_up(&mut self, url: &str) -> Description {
        let description = self.describe(url);
        for track in &description.tracks {
            let channel = 2 * track.number;
            let transport = format!(
                "Transport: RTP/AVP/TCP;unicast;interleaved={channel}-{}\r\n",
                channel + 1
            );
            let answer = self.request("SETUP", &track.url, &transport);
            assert_eq!(answer.code, 200, "{}", answer.body);
        }
        description
    }
}

/// A track of a session description.
#[derive(Clone, Debug)]
pub(crate) struct TrackLines {
    pub(crate) number: u8,
    pub(crate) url: String,
    /// Lines of the track by name, the payload type left out of those that begin with it.
    pub(crate) lines: BTreeMap<String, String>,
}

/// A session description, as far as tests look at it.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub(crate) tracks: Vec<TrackLines>,
    /// Attributes of the session.
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Description {
    fn parse(base: &str, text: &str) -> Self {
        let mut description = Self {
            tracks: Vec::new(),
            attributes: BTreeMap::new(),
        };
        for line in text.lines() {
            if line.starts_with("m=") {
                let (url, lines) = (String::new(), BTreeMap::new());
                description.tracks.push(TrackLines {
                    number: 0,
                    url,
                    lines,
                });
                continue;
            }
            let Some((name, value)) = line
                .strip_prefix("a=")
                .map(|line| line.split_once(':').unwrap_or((line, "")))
            else {
                continue;
            };
            let Some(track) = description.tracks.last_mut() else {
                description
                    .attributes
                    .insert(name.to_owned(), value.to_owned());
                continue;
            };
            let value = match name {
                "rtpmap" | "fmtp" => value.split_once(' ').map_or(value, |(_, value)| value),
                _ => value,
            };
            if name == "control" {
                track.url = if value.starts_with("rtsp") {
                    value.to_owned()
                } else {
                    format!("{base}{value}")
                };
                let number = value
                    .split("trackID=")
                    .nth(1)
                    .and_then(|rest| rest.split('?').next());
                track.number = number
                    .and_then(|number| number.parse().ok())
                    .unwrap_or_default();
            }
            track.lines.insert(name.to_owned(), value.to_owned());
        }
        description
    }
}

/// Puts frames of one track together again and shows that no packet is missing.
pub(crate) struct Receiver {
    depacketiser: Depacketiser,
    next: Option<u16>,
    /// Packets that did not come.
    pub(crate) lost: u64,
}

impl Receiver {
    pub(crate) fn new(track: &TrackLines) -> Self {
        let map: Vec<&str> = track.lines["rtpmap"].split('/').collect();
        let channels = map.get(2).and_then(|channels| channels.parse().ok());
        let rate = map[1].parse().expect("a clock rate");
        let format = track.lines.get("fmtp").map(String::as_str);
        let depacketiser = Depacketiser::new(map[0], rate, channels, format).expect("a format");
        Self {
            depacketiser,
            next: None,
            lost: 0,
        }
    }

    /// The frames that a packet completes.
    pub(crate) fn push(&mut self, packet: &Bytes) -> Vec<AccessUnit> {
        let mut packet = ReceivedPacket::parse(packet).expect("an RTP packet").packet;
        let gap = self
            .next
            .map_or(0, |next| packet.sequence.wrapping_sub(next));
        self.next = Some(packet.sequence.wrapping_add(1));
        self.lost += u64::from(gap);
        packet.lost_before = gap;
        let mut frames = Vec::new();
        self.depacketiser.push(packet, &mut frames);
        frames
    }
}
