//! A client that says and hears exactly what goes over the wire.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    ops::Range,
    time::Duration,
};

/// Room for what comes, at first.
const ROOM: usize = 1 << 20;
/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    /// Room for what comes, of which `heard` is not taken yet.
    room: Vec<u8>,
    heard: Range<usize>,
}

/// What came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Wire {
    pub(crate) fn connect(server: SocketAddr) -> Self {
        Self::of(TcpStream::connect(server).unwrap())
    }

    /// From another address of this machine, so as another client.
    pub(crate) fn connect_from(source: &str, server: SocketAddr) -> Self {
        Self::of(socket(source, None, server))
    }

    /// With so small a window that little of an answer is on its way.
    pub(crate) fn connect_narrow(server: SocketAddr) -> Self {
        Self::of(socket("127.0.0.1", Some(4 << 10), server))
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            room: vec![0; ROOM],
            heard: 0..0,
        }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Asks and leaves the connection open.
    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) {
        self.send(&request(method, path, headers));
    }

    /// The status and headers of the next answer.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Answer {
        let end = loop {
            let left = &self.room[self.heard.clone()];
            if let Some(at) = left.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let so_far = String::from_utf8_lossy(left).into_owned();
            let heard = self.hear().unwrap_or(0);
            assert!(heard > 0, "the connection ended in a head: {so_far}");
        };
        let head = self.bytes(end);
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap();
        let status = status.strip_prefix("HTTP/1.1 ").unwrap();
        let fields = lines.filter_map(|line| line.split_once(": "));
        Answer {
            status: status[..3].parse().unwrap(),
            headers: fields
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: Vec::new(),
        }
    }

    /// The next answer to `method`, whole.
    #[track_caller]
    pub(crate) fn answer(&mut self, method: &str) -> Answer {
        let mut answer = self.head();
        let empty = method == "HEAD" || [101, 204, 304].contains(&answer.status);
        answer.body = match answer.header("content-length").parse() {
            _ if empty => Vec::new(),
            Ok(len) => self.bytes(len),
            Err(_) if answer.header("transfer-encoding") == "chunked" => self.chunks(),
            Err(_) => panic!("the length is not told: {answer:?}"),
        };
        answer
    }

    /// So many bytes.
    #[track_caller]
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        self.take(len, <[u8]>::to_vec)
    }

    /// What `look` says of so many bytes.
    #[track_caller]
    pub(crate) fn take<T>(&mut self, len: usize, look: impl FnOnce(&[u8]) -> T) -> T {
        while self.heard.len() < len {
            let came = self.heard.len();
            let heard = self.hear().unwrap_or(0);
            assert!(heard > 0, "{came} of {len} bytes came");
        }
        let from = self.heard.start;
        self.heard.start += len;
        look(&self.room[from..from + len])
    }

    #[track_caller]
    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.extend(self.bytes(1));
            }
            let len = String::from_utf8(line).unwrap();
            let len = usize::from_str_radix(len.trim(), 16).unwrap();
            let chunk = self.bytes(len + 2);
            body.extend_from_slice(&chunk[..len]);
            if len == 0 {
                return body;
            }
        }
    }

    /// Whatever comes until the server closes; `None` when it cuts the connection off.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.hear() {
                Some(0) => return Some(self.room[self.heard.clone()].to_vec()),
                Some(_) => {}
                None => return None,
            }
        }
    }

    #[track_caller]
    fn hear(&mut self) -> Option<usize> {
        // Where little room is left, what is there moves to the front; where there is much of it, there is more room.
        if self.room.len() - self.heard.end < ROOM / 2 {
            self.room.copy_within(self.heard.clone(), 0);
            self.heard = 0..self.heard.len();
            if self.heard.end > self.room.len() / 2 {
                let mut larger = vec![0; self.room.len() * 2];
                larger[..self.heard.end].copy_from_slice(&self.room[..self.heard.end]);
                self.room = larger;
            }
        }
        let heard = self.stream.read(&mut self.room[self.heard.end..]);
        self.heard.end += *heard.as_ref().unwrap_or(&0);
        if let Err(error) = &heard {
            let late = std::io::ErrorKind::WouldBlock;
            assert_ne!(error.kind(), late, "nothing came for {PATIENCE:?}");
            eprintln!("the connection was cut off: {error}");
        }
        heard.ok()
    }
}

impl Answer {
    /// A header; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        let field = self.headers.iter().find(|(field, _)| field == name);
        field.map_or("", |(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Asserts that it is a problem of this kind.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, kind: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:nvring:problem:{kind}"));
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().unwrap().len() > 20, "{problem}");
    }
}

/// Asks on a connection of its own.
pub(crate) fn ask(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let mut wire = Wire::connect(server);
    let headers = [headers, &[("connection", "close")]].concat();
    wire.ask(method, path, &headers);
    wire.answer(method)
}

pub(crate) fn get(server: SocketAddr, path: &str) -> Answer {
    ask(server, "GET", path, &[])
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    if headers.iter().all(|(name, _)| *name != "host") {
        text += "host: localhost\r\n";
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text + "\r\n"
}

fn socket(source: &str, window: Option<usize>, server: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    if let Some(window) = window {
        socket.set_recv_buffer_size(window).unwrap();
    }
    let source: IpAddr = source.parse().unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    socket.into()
}
