//! Answers: status, headers, body, and how they stand on the wire.
//!
//! Written here and not by the library that reads requests, because a header may have to occur several times (`WWW-Authenticate`): clients
//! that find two challenges on one line understand neither. Nothing that came from a client can add a line to an answer.

use std::fmt::Write;

/// The name of this server in every answer.
const SERVER: &str = "nvring";

/// The statuses given (RFC 2326 §11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the reason phrases below say what they are")]
pub enum Status {
    Ok,
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    RequestTimeout,
    EntityTooLarge,
    UriTooLong,
    UnsupportedMediaType,
    ParameterNotUnderstood,
    NotEnoughBandwidth,
    SessionNotFound,
    NotValidInThisState,
    HeaderFieldNotValid,
    InvalidRange,
    AggregateNotAllowed,
    OnlyAggregateAllowed,
    UnsupportedTransport,
    InternalError,
    NotImplemented,
    Unavailable,
    VersionNotSupported,
    OptionNotSupported,
}

impl Status {
    /// Number and reason phrase.
    pub fn line(self) -> (u16, &'static str) {
        match self {
            Self::Ok => (200, "OK"),
            Self::BadRequest => (400, "Bad Request"),
            Self::Unauthorized => (401, "Unauthorized"),
            Self::Forbidden => (403, "Forbidden"),
            Self::NotFound => (404, "Not Found"),
            Self::MethodNotAllowed => (405, "Method Not Allowed"),
            Self::NotAcceptable => (406, "Not Acceptable"),
            Self::RequestTimeout => (408, "Request Time-out"),
            Self::EntityTooLarge => (413, "Request Entity Too Large"),
            Self::UriTooLong => (414, "Request-URI Too Large"),
            Self::UnsupportedMediaType => (415, "Unsupported Media Type"),
            Self::ParameterNotUnderstood => (451, "Parameter Not Understood"),
            Self::NotEnoughBandwidth => (453, "Not Enough Bandwidth"),
            Self::SessionNotFound => (454, "Session Not Found"),
            Self::NotValidInThisState => (455, "Method Not Valid in This State"),
            Self::HeaderFieldNotValid => (456, "Header Field Not Valid for Resource"),
            Self::InvalidRange => (457, "Invalid Range"),
            Self::AggregateNotAllowed => (459, "Aggregate operation not allowed"),
            Self::OnlyAggregateAllowed => (460, "Only aggregate operation allowed"),
            Self::UnsupportedTransport => (461, "Unsupported transport"),
            Self::InternalError => (500, "Internal Server Error"),
            Self::NotImplemented => (501, "Not Implemented"),
            Self::Unavailable => (503, "Service Unavailable"),
            Self::VersionNotSupported => (505, "RTSP Version not supported"),
            Self::OptionNotSupported => (551, "Option not supported"),
        }
    }

    /// The number.
    pub fn code(self) -> u16 {
        self.line().0
    }
}

/// A request that is not granted, and why, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", status.code())]
pub struct Refusal {
    /// The status of the answer.
    pub status: Status,
    /// What, where, and what to do.
    pub why: String,
}

impl Refusal {
    /// With a reason.
    pub fn new(status: Status, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { status, why }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: Status,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Response {
    /// The answer to the request numbered `cseq`; `None` where its number could not be read.
    pub fn new(status: Status, cseq: Option<u32>) -> Self {
        let mut response = Self {
            status,
            headers: Vec::new(),
            body: String::new(),
        };
        if let Some(cseq) = cseq {
            response.headers.push(("CSeq", cseq.to_string()));
        }
        response.with("Server", SERVER)
    }

    /// A refusal: the reason is the body, so that whoever looks for a fault finds it in any trace.
    pub fn refuse(refusal: &Refusal, cseq: Option<u32>) -> Self {
        Self::new(refusal.status, cseq)
            .with_body("text/plain; charset=utf-8", format!("{}\r\n", refusal.why))
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let mut value = value.into();
        if value.contains(char::is_control) {
            value.retain(|c| !c.is_control());
        }
        self.headers.push((name, value));
        self
    }

    /// With a body of `kind`.
    #[must_use]
    pub fn with_body(mut self, kind: &'static str, body: String) -> Self {
        self.body = body;
        self.with("Content-Type", kind)
    }

    /// Its status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The values of a header.
    pub fn header(&self, name: &str) -> impl Iterator<Item = &str> {
        let found = self
            .headers
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// As it is sent.
    pub fn encode(&self) -> String {
        let (code, reason) = self.status.line();
        let mut text = format!("RTSP/1.0 {code} {reason}\r\n");
        for (name, value) in &self.headers {
            // Writing to a string cannot fail.
            let _ = write!(text, "{name}: {value}\r\n");
        }
        if !self.body.is_empty() {
            let _ = write!(text, "Content-Length: {}\r\n", self.body.len());
        }
        text.push_str("\r\n");
        text.push_str(&self.body);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_message_whatever_is_put_into_it() {
        let response = Response::new(Status::Ok, Some(7))
            .with("Unsupported", "a\r\nX: y")
            .with_body("text/plain", "ä".to_owned());
        assert_eq!(
            response.encode(),
            "RTSP/1.0 200 OK\r\nCSeq: 7\r\nServer: nvring\r\nUnsupported: aX: y\r\n\
             Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nä"
        );
    }
}
