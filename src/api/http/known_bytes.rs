//! Answers of known length with a strong ETag: whole, any byte ranges, or nothing when the client has it (RFC 9110 §13, §14).

use super::{
    preconditions::{Condition, Validators},
    problem::{Kind, Problem},
    ranges::{self, Asked, Multipart, RANGES_MAX},
};
use axum::{
    BoxError,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use std::{ops::Range, pin::Pin};

/// Bytes as they come.
pub(in crate::api) type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>;

/// What is known of an answer before its first byte is read.
pub(in crate::api) struct KnownBytes {
    /// Its length.
    pub(in crate::api) len: u64,
    /// What it is compared by.
    pub(in crate::api) validators: Validators,
    /// Its media type.
    pub(in crate::api) content_type: &'static str,
    /// How long it may be kept.
    pub(in crate::api) cache_control: &'static str,
    /// What else is told of it, also when the client has it.
    pub(in crate::api) fields: Vec<(HeaderName, String)>,
}

/// Why no bytes are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) enum Refused {
    /// 412.
    PreconditionFailed,
    /// 416, of a file of this length.
    Unsatisfiable(u64),
}

impl Refused {
    /// Kind and words of it, and the header that belongs to it.
    pub(in crate::api) fn words(&self) -> (Kind, String, Option<(HeaderName, String)>) {
        match self {
            Self::PreconditionFailed => {
                let detail =
                    "it is not what `If-Match` or `If-Unmodified-Since` names; ask for it again";
                (Kind::PreconditionFailed, detail.to_owned(), None)
            }
            Self::Unsatisfiable(len) => {
                let detail = format!(
                    "`Range` names no byte of these {len}, or more than {RANGES_MAX} ranges; ask for other bytes"
                );
                let range = (header::CONTENT_RANGE, format!("bytes */{len}"));
                (Kind::RangeNotSatisfiable, detail, Some(range))
            }
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let (kind, detail, field) = refused.words();
        Self::new(kind, detail).with(field)
    }
}

impl KnownBytes {
    /// The answer to a GET or HEAD; `bytes` gives those of a range.
    pub(in crate::api) fn answer(
        self,
        method: &Method,
        headers: &HeaderMap,
        bytes: impl Fn(Range<u64>) -> ByteStream + Send + 'static,
    ) -> Result<Response, Refused> {
        match self.validators.condition(headers) {
            Condition::Failed => return Err(Refused::PreconditionFailed),
            Condition::NotModified => return Ok(self.not_modified()),
            Condition::Holds => {}
        }
        let asked = if self.validators.range_counts(method, headers) {
            ranges::asked(headers, self.len)
        } else {
            Asked::Whole
        };
        let mut parts = match asked {
            Asked::Whole => return Ok(self.whole(method, bytes)),
            Asked::Unsatisfiable => return Err(Refused::Unsatisfiable(self.len)),
            Asked::Parts(parts) => parts,
        };
        let one = (parts.len() == 1).then(|| parts.pop()).flatten();
        Ok(match one {
            Some(part) => self.part(part, bytes),
            None => self.several(parts, bytes),
        })
    }

    /// 304, with all that a cache wants to know anew (RFC 9110 §15.4.5).
    pub(in crate::api) fn not_modified(&self) -> Response {
        let mut response = self.response(StatusCode::NOT_MODIFIED, Body::empty());
        response.headers_mut().remove(header::CONTENT_DISPOSITION);
        response
    }

    fn whole(&self, method: &Method, bytes: impl Fn(Range<u64>) -> ByteStream) -> Response {
        let body = if method == Method::HEAD {
            Body::empty()
        } else {
            Body::from_stream(bytes(0..self.len))
        };
        self.with_content(StatusCode::OK, self.content_type, self.len, body)
    }

    fn part(&self, part: Range<u64>, bytes: impl Fn(Range<u64>) -> ByteStream) -> Response {
        let (first, last, len) = (part.start, part.end - 1, part.end - part.start);
        let status = StatusCode::PARTIAL_CONTENT;
        let body = Body::from_stream(bytes(part));
        let mut response = self.with_content(status, self.content_type, len, body);
        let range = format!("bytes {first}-{last}/{}", self.len);
        insert(response.headers_mut(), header::CONTENT_RANGE, &range);
        response
    }

    /// One range is read behind the other.
    fn several(
        &self,
        parts: Vec<Range<u64>>,
        bytes: impl Fn(Range<u64>) -> ByteStream + Send + 'static,
    ) -> Response {
        let multipart = Multipart::new(parts, self.len, self.content_type, &self.validators.tag);
        let len = multipart.len();
        let Multipart {
            content_type,
            parts,
            end,
        } = multipart;
        let text = |text: String| stream::once(async { Ok(Bytes::from(text)) });
        let parts =
            stream::iter(parts).flat_map(move |(head, range)| text(head).chain(bytes(range)));
        let body = Body::from_stream(parts.chain(text(end)));
        self.with_content(StatusCode::PARTIAL_CONTENT, &content_type, len, body)
    }

    fn with_content(
        &self,
        status: StatusCode,
        content_type: &str,
        len: u64,
        body: Body,
    ) -> Response {
        let mut response = self.response(status, body);
        let headers = response.headers_mut();
        insert(headers, header::CONTENT_TYPE, content_type);
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
        response
    }

    fn response(&self, status: StatusCode, body: Body) -> Response {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        insert(headers, header::ETAG, &self.validators.tag);
        insert(headers, header::CACHE_CONTROL, self.cache_control);
        if let Some(date) = self.validators.last_modified() {
            headers.insert(header::LAST_MODIFIED, date);
        }
        for (name, value) in &self.fields {
            insert(headers, name.clone(), value);
        }
        response
    }
}

/// A value that cannot be a header is left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Any bytes of what is in memory.
pub(in crate::api) fn of_memory(all: Bytes) -> impl Fn(Range<u64>) -> ByteStream + Send + 'static {
    move |range| {
        let part = all.slice(range.start as usize..range.end as usize);
        Box::pin(stream::once(async { Ok(part) }))
    }
}
