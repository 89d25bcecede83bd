//! RTSP messages: requests taken from a connection's bytes, answers written (RFC 2326 §4–§7).

/// What stands at the front of a connection's input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A whole request.
    Request(Request),
    /// Interleaved data from the client: RTCP.
    Data(Vec<u8>),
    /// Not enough bytes yet.
    Incomplete,
    /// Not RTSP.
    Foreign,
}

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    headers: Vec<(String, String)>,
}

/// Longest request, headers and body.
const REQUEST_LEN_MAX: usize = 64 * 1024;

impl Request {
    /// The header's value; names are compared without case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The URL's path without slashes at its ends, and the track number behind `trackID=`.
    pub(crate) fn path(&self) -> (String, Option<usize>) {
        let rest = self
            .url
            .split_once("://")
            .map_or(self.url.as_str(), |(_, rest)| rest);
        let path = rest.split_once('/').map_or("", |(_, path)| path);
        let (path, track) = match path.split_once("trackID=") {
            Some((path, track)) => (path, track.parse().ok()),
            None => (path, None),
        };
        let path = path.split('?').next().unwrap_or("");
        (path.trim_matches('/').to_owned(), track)
    }
}

/// Takes the next message off the front of `bytes`.
pub(crate) fn take(bytes: &mut Vec<u8>) -> Input {
    // Some clients put a line end between messages.
    let blank = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    bytes.drain(..blank);
    if bytes.first() == Some(&b'$') {
        let Some(header) = bytes.get(..4) else {
            return Input::Incomplete;
        };
        let end = 4 + usize::from(u16::from_be_bytes([header[2], header[3]]));
        if bytes.len() < end {
            return Input::Incomplete;
        }
        let data = bytes[4..end].to_vec();
        bytes.drain(..end);
        return Input::Data(data);
    }
    let Some(head_end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if bytes.len() > REQUEST_LEN_MAX {
            Input::Foreign
        } else {
            Input::Incomplete
        };
    };
    let Some(request) = std::str::from_utf8(&bytes[..head_end]).ok().and_then(parse) else {
        return Input::Foreign;
    };
    let body_len = request
        .header("Content-Length")
        .and_then(|v| v.trim().parse().ok())
        .unwrap_or(0usize);
    let end = (head_end + 4).saturating_add(body_len);
    if end > REQUEST_LEN_MAX {
        return Input::Foreign;
    }
    if bytes.len() < end {
        return Input::Incomplete;
    }
    bytes.drain(..end);
    Input::Request(request)
}

fn parse(head: &str) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, url, version) = (words.next()?, words.next()?, words.next()?);
    if !version.starts_with("RTSP/1.") {
        return None;
    }
    let header = |line: &str| {
        line.split_once(':')
            .map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned()))
    };
    Some(Request {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: lines.filter_map(header).collect(),
    })
}

/// An answer being written.
#[derive(Debug)]
pub(crate) struct Answer {
    text: String,
    body: String,
}

impl Answer {
    /// The same with the number of the request before.
    pub(crate) fn misnumbered(request: &Request, status: &str) -> Self {
        let number = request.header("CSeq").and_then(|text| text.parse().ok());
        let number = number.unwrap_or(1u32).saturating_sub(1);
        Self {
            text: format!("RTSP/1.0 {status}\r\nCSeq: {number}\r\nServer: camsim\r\n"),
            body: String::new(),
        }
    }

    /// An answer to `request` with that status line.
    pub(crate) fn new(request: &Request, status: &str) -> Self {
        let cseq = request.header("CSeq").unwrap_or("0");
        Self {
            text: format!("RTSP/1.0 {status}\r\nCSeq: {cseq}\r\nServer: camsim\r\n"),
            body: String::new(),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.text.push_str(name);
        self.text.push_str(": ");
        self.text.push_str(value);
        self.text.push_str("\r\n");
        self
    }

    pub(crate) fn with_body(mut self, kind: &str, body: String) -> Self {
        self = self
            .with("Content-Type", kind)
            .with("Content-Length", &body.len().to_string());
        self.body = body;
        self
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        format!("{}\r\n{}", self.text, self.body).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_interleaved_data_come_off_in_order() {
        let mut bytes = b"$\x01\0\x02ab\r\nSETUP rtsp://h:1/h264b/3/trackID=1 RTSP/1.0\r\nCSeq: 7\r\ntransport: x\r\n\r\nPLAY".to_vec();
        assert_eq!(take(&mut bytes), Input::Data(b"ab".to_vec()));
        let Input::Request(request) = take(&mut bytes) else {
            panic!("no request");
        };
        assert_eq!(request.path(), ("h264b/3".to_owned(), Some(1)));
        assert_eq!(request.header("Transport"), Some("x"));
        assert_eq!(take(&mut bytes), Input::Incomplete);
        assert_eq!(
            take(&mut b"GET / HTTP/1.1\r\n\r\n".to_vec()),
            Input::Foreign
        );
    }
}
