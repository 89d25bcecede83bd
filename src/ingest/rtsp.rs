//! The RTSP conversation of sessions that are spoken by ourselves (RFC 2326): requests, answers, authentication.
//!
//! Which those are, and why the library (`pull`) does not serve them, is told in `own`. Bytes from the camera are bounded and never
//! trusted.

use super::{error::PullError, spec::Source};
use http_auth::{PasswordClient, PasswordParams};
use std::{task::Context, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Longest head of an answer.
const HEAD_LEN_MAX: usize = 16 << 10;
/// Longest body: session descriptions have some hundred bytes.
const BODY_LEN_MAX: usize = 256 << 10;
/// Most bytes that wait for a camera to read.
const UNSENT_LEN_MAX: usize = 16 << 10;
/// Read at a time while packets flow.
const READ_LEN: usize = 16 << 10;
const USER_AGENT: &str = concat!("nvring/", env!("CARGO_PKG_VERSION"));

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status code; 0 for what is no answer but a request of the camera.
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(found)
            .map(|(_, value)| value.as_str())
    }

    /// All headers of that name as one list (RFC 2616 §4.2).
    fn list(&self, name: &str) -> String {
        let values = self.headers.iter();
        let values: Vec<&str> = values
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        values.join(", ")
    }
}

/// Takes the next message off the front of `bytes`: its length and, unless it was interleaved data, the message itself. `None` when
/// more bytes are needed.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(usize, Option<Answer>)>, PullError> {
    if let [b'$', _, high, low, ..] = bytes {
        let len = 4 + usize::from(u16::from_be_bytes([*high, *low]));
        return Ok((bytes.len() >= len).then_some((len, None)));
    }
    if bytes.first() == Some(&b'$') || bytes.is_empty() {
        return Ok(None);
    }
    let Some(head_len) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
        return if bytes.len() > HEAD_LEN_MAX {
            Err(PullError::Framing)
        } else {
            Ok(None)
        };
    };
    if head_len > HEAD_LEN_MAX {
        return Err(PullError::Framing);
    }
    let head = String::from_utf8_lossy(&bytes[..head_len]);
    let mut lines = head.split("\r\n").skip_while(|line| line.is_empty());
    let first = lines.next().unwrap_or_default();
    let mut words = first.split_whitespace();
    let status = match words.next() {
        Some(version) if version.starts_with("RTSP/") => {
            let status = words.next().and_then(|word| word.parse().ok());
            status
                .filter(|status| (100..600).contains(status))
                .ok_or(PullError::Framing)?
        }
        Some(_) if first.contains("RTSP/") => 0,
        _ => return Err(PullError::Framing),
    };
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer {
        status,
        headers,
        body: Vec::new(),
    };
    let body_len = match answer.header("Content-Length") {
        None => 0,
        Some(text) => text.parse().map_err(|_| PullError::Framing)?,
    };
    if body_len > BODY_LEN_MAX {
        return Err(PullError::Framing);
    }
    let start = head_len + 4;
    Ok(bytes.get(start..start + body_len).map(|body| {
        answer.body = body.to_vec();
        (start + body_len, Some(answer))
    }))
}

/// A connection to a camera.
pub(crate) struct RtspConnection {
    stream: TcpStream,
    received: Vec<u8>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
    username: Option<String>,
    password: String,
    auth: Option<PasswordClient>,
    sequence: u32,
    patience: Duration,
    pub(crate) session: Option<String>,
}

impl RtspConnection {
    pub(crate) async fn open(source: &Source, patience: Duration) -> Result<Self, PullError> {
        let url = source.url.expose();
        let port = url.port().unwrap_or(554);
        // An IPv6 address stands in brackets in a URL and without them in an address.
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let connecting = TcpStream::connect((host, port));
        let stream = tokio::time::timeout(patience, connecting)
            .await
            .map_err(|_| PullError::Timeout {
                request: "the connection",
                seconds: patience.as_secs(),
            })?
            .map_err(|error| PullError::Unreachable {
                why: error.to_string(),
            })?;
        let password = source.password.as_ref();
        Ok(Self {
            stream,
            received: Vec::new(),
            unsent: Vec::new(),
            username: source.username.clone(),
            password: password.map_or(String::new(), |password| password.expose().to_owned()),
            auth: None,
            sequence: 0,
            patience,
            session: None,
        })
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Asks, and answers with what the camera says when that is 200; signs in when it is asked to.
    pub(crate) async fn ask(
        &mut self,
        method: &'static str,
        uri: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, PullError> {
        let patience = self.patience;
        let asking = async {
            let answer = self.ask_once(method, uri, headers).await?;
            if answer.status != 401 || self.username.is_none() {
                return Ok(answer);
            }
            let Ok(auth) = PasswordClient::try_from(answer.list("WWW-Authenticate").as_str())
            else {
                return Err(PullError::Protocol {
                    what: "its way of signing in is not known",
                });
            };
            // Also after an answer 401 to a signed request: the number used once may have changed.
            self.auth = Some(auth);
            self.ask_once(method, uri, headers).await
        };
        let answer =
            tokio::time::timeout(patience, asking)
                .await
                .map_err(|_| PullError::Timeout {
                    request: method,
                    seconds: patience.as_secs(),
                })??;
        match answer.status {
            200..300 => Ok(answer),
            401 => Err(PullError::Unauthorized {
                given: self.username.is_some(),
            }),
            status => Err(PullError::Refused {
                request: method,
                status,
            }),
        }
    }

    async fn ask_once(
        &mut self,
        method: &'static str,
        uri: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, PullError> {
        let request = self.request(method, uri, headers)?;
        let written = self.stream.write_all(request.as_bytes()).await;
        written.map_err(|error| broken(&error))?;
        let sequence = self.sequence.to_string();
        loop {
            while let Some((len, message)) = parse(&self.received)? {
                self.received.drain(..len);
                let answer = message.filter(|answer| answer.status != 0);
                // Some cameras leave the sequence number out.
                let ours =
                    |answer: &Answer| answer.header("CSeq").is_none_or(|given| given == sequence);
                if let Some(answer) = answer.filter(ours) {
                    return Ok(answer);
                }
            }
            let read = self.stream.read_buf(&mut self.received).await;
            if read.map_err(|error| broken(&error))? == 0 {
                return Err(PullError::Closed);
            }
        }
    }

    /// The text of the next request.
    pub(crate) fn request(
        &mut self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
    ) -> Result<String, PullError> {
        self.sequence += 1;
        let mut text = format!(
            "{method} {uri} RTSP/1.0\r\nCSeq: {}\r\nUser-Agent: {USER_AGENT}\r\n",
            self.sequence
        );
        if let (Some(auth), Some(username)) = (&mut self.auth, &self.username) {
            let parameters = PasswordParams {
                username,
                password: &self.password,
                uri,
                method,
                body: Some(&[]),
            };
            let response = auth.respond(&parameters).map_err(|_| PullError::Protocol {
                what: "its way of signing in is not known",
            })?;
            text += &format!("Authorization: {response}\r\n");
        }
        if let Some(session) = &self.session {
            text += &format!("Session: {session}\r\n");
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        Ok(text)
    }

    /// Takes what has come, without waiting: gives interleaved data to `data` with its channel, drops answers to keep-alives.
    pub(crate) fn poll_messages(
        &mut self,
        cx: &mut Context<'_>,
        mut data: impl FnMut(u8, &[u8]) -> Result<(), PullError>,
    ) -> Result<(), PullError> {
        while self.stream.poll_read_ready(cx).is_ready() {
            self.received.reserve(READ_LEN);
            match self.stream.try_read_buf(&mut self.received) {
                Ok(0) => return Err(PullError::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(broken(&error)),
            }
            let mut taken = 0;
            let outcome = loop {
                let rest = &self.received[taken..];
                let len = match parse(rest) {
                    Ok(Some((len, _))) => len,
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                };
                taken += len;
                if let [b'$', channel, _, _, body @ ..] = &rest[..len]
                    && let Err(error) = data(*channel, body)
                {
                    break Err(error);
                }
            };
            self.received.drain(..taken);
            outcome?;
        }
        Ok(())
    }

    /// Sends a message without waiting: what the camera does not take yet goes with the next one. One that reads nothing at all misses
    /// whole messages.
    pub(crate) fn try_send(&mut self, message: &[u8]) -> Result<(), PullError> {
        if self.unsent.len() + message.len() <= UNSENT_LEN_MAX {
            self.unsent.extend_from_slice(message);
        }
        match self.stream.try_write(&self.unsent) {
            Ok(sent) => {
                self.unsent.drain(..sent);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(broken(&error)),
        }
    }
}

pub(crate) fn broken(error: &std::io::Error) -> PullError {
    PullError::Broken {
        why: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::Seed;

    const ANSWER: &[u8] =
        b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-length: 3\r\nWWW-Authenticate: Digest a\r\n\
        www-authenticate: Basic b\r\n\r\nabc$\x00\x00\x02xy";

    #[test]
    fn answers_and_interleaved_data_are_told_apart_at_every_cut() {
        for cut in 0..ANSWER.len() - 6 {
            assert_eq!(parse(&ANSWER[..cut]), Ok(None), "{cut}");
        }
        let (len, answer) = parse(ANSWER).unwrap().unwrap();
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"abc"[..]));
        assert_eq!(answer.header("cseq"), Some("2"));
        assert_eq!(answer.list("WWW-Authenticate"), "Digest a, Basic b");
        assert_eq!(parse(&ANSWER[len..]), Ok(Some((6, None))));
    }

    #[test]
    fn bytes_that_are_no_answer_are_refused_and_nothing_grows_without_bound() {
        for text in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "RTSP/1.0 9999 OK\r\n\r\n",
            "RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            "RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(PullError::Framing), "{text}");
        }
        assert_eq!(
            parse(&vec![b'x'; HEAD_LEN_MAX + 1]),
            Err(PullError::Framing)
        );
        let mut seed = Seed::new(2326);
        for _ in 0..5_000 {
            let mut bytes = ANSWER.to_vec();
            for _ in 0..seed.below(8) {
                let at = seed.below(bytes.len() as u64) as usize;
                bytes[at] = seed.next() as u8;
            }
            let _ = parse(&bytes);
        }
    }
}
