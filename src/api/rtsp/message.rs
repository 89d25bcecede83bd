//! What a client sends on a connection: requests, and interleaved packets between them (RFC 2326 §10.12), out of a stream of bytes.
//!
//! The grammar of requests is the library's; what is decided here is how much of a message is waited for. A head is looked at only once it
//! is whole, so that a client that sends byte by byte costs one comparison each, and everything has a limit: the head, the address, the
//! body, an interleaved packet. After a message that cannot be read there is no telling where the next begins: the connection ends.

use super::response::{Refusal, Status};
use bytes::{Buf, Bytes, BytesMut};
use rtsp_types::{Message, Method, ParseError, Version};
use url::Url;

/// The longest head of a request: request line and headers.
pub const HEAD_LEN_MAX: usize = 8 << 10;
/// The longest address.
pub const URI_LEN_MAX: usize = 2 << 10;
/// The longest body.
pub const BODY_LEN_MAX: usize = 4 << 10;
/// The longest interleaved packet taken: clients send reports only.
pub const INTERLEAVED_LEN_MAX: usize = 4 << 10;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// With what; `None` for `*`.
    pub url: Option<Url>,
    /// Its number (RFC 2326 §12.17); `None` where it has none.
    pub cseq: Option<u32>,
    /// The body.
    pub body: Vec<u8>,
    version: Version,
    headers: Vec<(String, String)>,
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Whether it speaks RTSP/1.0.
    pub fn is_version_1(&self) -> bool {
        self.version == Version::V1_0
    }

    fn new(request: rtsp_types::Request<Vec<u8>>) -> Self {
        let headers: Vec<(String, String)> = request
            .headers()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_str().to_owned()))
            .collect();
        let mut read = Self {
            method: request.method().clone(),
            url: request.request_uri().cloned(),
            cseq: None,
            version: request.version(),
            headers,
            body: request.into_body(),
        };
        read.cseq = read
            .header("CSeq")
            .and_then(|cseq| cseq.trim().parse().ok());
        read
    }
}

/// What came.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// A request.
    Request(Box<Request>),
    /// A packet on an interleaved channel.
    Interleaved {
        /// The channel.
        channel: u8,
        /// The packet.
        packet: Bytes,
    },
}

/// What cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The answer.
    pub refusal: Refusal,
    /// The number of the request, where it could be found.
    pub cseq: Option<u32>,
}

/// The bytes that came and are not read yet.
#[derive(Debug, Default)]
pub struct Inbox {
    buffer: BytesMut,
    /// So many bytes were searched for the end of a head.
    searched: usize,
    /// The message is not whole before so many bytes are there.
    needed: usize,
}

impl Inbox {
    /// Where bytes that come are put.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether a message has begun.
    pub fn has_begun(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next message; `None` until it is whole.
    ///
    /// # Errors
    /// When it cannot be read or is too long.
    pub fn read(&mut self) -> Result<Option<Incoming>, Unreadable> {
        while self.buffer.starts_with(b"\r\n") {
            self.take(2);
        }
        if self.buffer.len() < self.needed {
            return Ok(None);
        }
        match self.buffer.first() {
            None => Ok(None),
            Some(b'$') => self.interleaved(),
            Some(_) => self.request(),
        }
    }

    fn take(&mut self, len: usize) {
        self.buffer.advance(len);
        (self.searched, self.needed) = (0, 0);
    }

    fn interleaved(&mut self) -> Result<Option<Incoming>, Unreadable> {
        let Some(&[_, channel, high, low]) = self.buffer.first_chunk() else {
            return Ok(None);
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len > INTERLEAVED_LEN_MAX {
            let why = format!(
                "an interleaved packet of {len} bytes; at most {INTERLEAVED_LEN_MAX} are taken"
            );
            let refusal = Refusal::new(Status::EntityTooLarge, why);
            return Err(Unreadable {
                refusal,
                cseq: None,
            });
        }
        if self.buffer.len() < 4 + len {
            self.needed = 4 + len;
            return Ok(None);
        }
        self.take(4);
        let packet = self.buffer.split_to(len).freeze();
        Ok(Some(Incoming::Interleaved { channel, packet }))
    }

    fn request(&mut self) -> Result<Option<Incoming>, Unreadable> {
        let from = self.searched.saturating_sub(HEAD_END.len() - 1);
        let rest = self.buffer.get(from..).unwrap_or_default();
        let found = rest
            .windows(HEAD_END.len())
            .position(|window| window == HEAD_END);
        self.searched = self.buffer.len();
        let head_len = found.map_or(self.buffer.len(), |at| from + at + HEAD_END.len());
        self.check_lengths(head_len)?;
        if found.is_none() {
            return Ok(None);
        }
        // What was found lies before the bytes that are still to come: the next search must find it again.
        self.searched = head_len - HEAD_END.len();
        match Message::<Vec<u8>>::parse(&self.buffer[..]) {
            Ok((Message::Request(request), consumed)) => {
                self.take(consumed);
                Ok(Some(Incoming::Request(Box::new(Request::new(request)))))
            }
            Err(ParseError::Incomplete(Some(missing))) => {
                let body_len = (self.buffer.len() - head_len).saturating_add(missing.get());
                if body_len > BODY_LEN_MAX {
                    let why =
                        format!("a body of {body_len} bytes; at most {BODY_LEN_MAX} are taken");
                    return Err(self.unreadable(Status::EntityTooLarge, why));
                }
                self.needed = head_len + body_len;
                Ok(None)
            }
            Ok(_) => Err(self.unreadable(Status::BadRequest, "an answer where a request belongs")),
            Err(_) => Err(self.malformed()),
        }
    }

    fn check_lengths(&self, head_len: usize) -> Result<(), Unreadable> {
        let line = self
            .buffer
            .get(..head_len.min(URI_LEN_MAX + 64))
            .unwrap_or(&self.buffer);
        if line.len() > URI_LEN_MAX && !line.contains(&b'\n') {
            let why = format!("an address longer than {URI_LEN_MAX} bytes");
            return Err(self.unreadable(Status::UriTooLong, why));
        }
        if head_len > HEAD_LEN_MAX {
            let why = format!("a head longer than {HEAD_LEN_MAX} bytes");
            return Err(self.unreadable(Status::EntityTooLarge, why));
        }
        Ok(())
    }

    fn malformed(&self) -> Unreadable {
        let line = self.buffer[..]
            .split(|byte| *byte == b'\r')
            .next()
            .unwrap_or_default();
        let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        if version.starts_with(b"RTSP/") && !matches!(version, b"RTSP/1.0" | b"RTSP/2.0") {
            return self.unreadable(Status::VersionNotSupported, "only RTSP/1.0 is spoken here");
        }
        self.unreadable(Status::BadRequest, "this is no RTSP request (RFC 2326 §6)")
    }

    fn unreadable(&self, status: Status, why: impl Into<String>) -> Unreadable {
        let head = self.buffer.get(..HEAD_LEN_MAX).unwrap_or(&self.buffer);
        let cseq = head.split(|byte| *byte == b'\n').find_map(|line| {
            let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
            name.eq_ignore_ascii_case("CSeq")
                .then_some(value)?
                .trim()
                .parse()
                .ok()
        });
        let refusal = Refusal::new(status, why);
        Unreadable { refusal, cseq }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::Seed;

    const PLAY: &str = "PLAY rtsp://h:8554/gate RTSP/1.0\r\ncseq: 3\r\nRange: npt=0-\r\nContent-Length: 2\r\n\r\nhi";

    fn all(inbox: &mut Inbox) -> Result<Vec<Incoming>, Unreadable> {
        let mut came = Vec::new();
        while let Some(incoming) = inbox.read()? {
            came.push(incoming);
        }
        Ok(came)
    }

    fn refused(bytes: &[u8]) -> (u16, Option<u32>) {
        let mut inbox = Inbox::default();
        inbox.buffer().extend_from_slice(bytes);
        let unreadable = all(&mut inbox).expect_err("it cannot be read");
        (unreadable.refusal.status.code(), unreadable.cseq)
    }

    /// However the bytes are cut, the same messages come out: two requests in one piece, a report between them, blank lines before.
    #[test]
    fn messages_do_not_depend_on_how_they_are_cut() {
        let seed = 2326;
        println!("SEED={seed}");
        let mut seed = Seed::new(seed);
        let mut bytes = format!("\r\n{PLAY}").into_bytes();
        bytes.extend_from_slice(b"$\x01\x00\x03abc");
        bytes.extend_from_slice(PLAY.as_bytes());
        for _ in 0..500 {
            let mut inbox = Inbox::default();
            let mut came = Vec::new();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, after) =
                    rest.split_at(seed.between(1, 20).min(rest.len() as u64) as usize);
                inbox.buffer().extend_from_slice(piece);
                came.extend(all(&mut inbox).expect("everything can be read"));
                rest = after;
            }
            let [
                Incoming::Request(one),
                Incoming::Interleaved { channel: 1, packet },
                Incoming::Request(two),
            ] = &came[..]
            else {
                panic!("{came:?}");
            };
            assert_eq!(&packet[..], b"abc");
            for request in [one, two] {
                assert_eq!((request.cseq, &request.body[..]), (Some(3), &b"hi"[..]));
                assert_eq!(request.header("range"), Some("npt=0-"));
                assert_eq!(request.method, Method::Play);
            }
            assert!(!inbox.has_begun());
        }
    }

    #[test]
    fn what_is_too_long_or_no_request_has_its_status() {
        let long = |len: usize| "a".repeat(len);
        let head =
            |rest: &str| format!("OPTIONS * RTSP/1.0\r\nCSeq: 9\r\n{rest}\r\n\r\n").into_bytes();
        assert_eq!(
            refused(format!("OPTIONS rtsp://h/{}", long(3_000)).as_bytes()).0,
            414
        );
        assert_eq!(
            refused(&head(&format!("X: {}", long(9_000)))),
            (413, Some(9))
        );
        assert_eq!(
            refused(&[&head("")[..30], long(9_000).as_bytes()].concat()),
            (413, Some(9)),
            "an endless header"
        );
        assert_eq!(refused(&head("Content-Length: 5000")), (413, Some(9)));
        assert_eq!(
            refused(&head(&format!("Content-Length: {}", u64::MAX))).1,
            Some(9)
        );
        assert_eq!(refused(&head("Content-Length: -1")), (400, Some(9)));
        assert_eq!(refused(&head("no colon")), (400, Some(9)));
        assert_eq!(refused(b"GET / HTTP/1.1\r\n\r\n").0, 400);
        assert_eq!(
            refused(b"OPTIONS * RTSP/3.7\r\nCSeq: 1\r\n\r\n"),
            (505, Some(1))
        );
        assert_eq!(
            refused(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"),
            (400, Some(1))
        );
        assert_eq!(refused(b"$\x00\xff\xff").0, 413);
    }
}
