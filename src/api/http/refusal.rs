//! Refusals that no route makes: of connections and of requests that reach a bound, each in the shape of its listener.

use super::{admission::Limits, problem::Kind};
use crate::api::places::Full;
use axum::response::Response;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use std::fmt::Write;

/// Words a refusal as a listener's clients expect it.
pub(in crate::api) type Wording = fn(Kind, String) -> Response;

/// Why there is no place for a reader or a connection; `what` says of which.
pub(in crate::api) fn full(full: Full, what: &str) -> (Kind, String) {
    match full {
        Full::Client { max } => {
            let detail = format!(
                "one client may have {max} {what} at once, and this one has; end one, or try again later"
            );
            (Kind::TooManyReaders, detail)
        }
        Full::All { max } => {
            let detail =
                format!("all clients together may have {max} {what} at once; try again later");
            (Kind::Overloaded, detail)
        }
    }
}

pub(super) fn url_too_long(limits: &Limits) -> (Kind, String) {
    let detail = format!(
        "the address is longer than {} bytes; ask for fewer cameras or a shorter path",
        limits.url_size
    );
    (Kind::UrlTooLong, detail)
}

pub(super) fn headers_too_large(limits: &Limits) -> (Kind, String) {
    let detail = format!(
        "the headers are longer than {} bytes or more than {HEADERS_MAX}; send fewer",
        limits.header_size
    );
    (Kind::HeadersTooLarge, detail)
}

/// Most headers of a request.
pub(super) const HEADERS_MAX: usize = 100;

/// A refusal as it goes over a connection that is closed behind it.
pub(super) fn raw(wording: Wording, kind: Kind, detail: String) -> Vec<u8> {
    let response = wording(kind, detail);
    let (parts, body) = response.into_parts();
    // A refusal is in memory: nothing is waited for.
    let body = body.collect().now_or_never().and_then(Result::ok);
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let mut head = format!("HTTP/1.1 {}\r\n", parts.status);
    for (name, value) in &parts.headers {
        if let Ok(value) = value.to_str() {
            let _ = write!(head, "{name}: {value}\r\n");
        }
    }
    let _ = write!(
        head,
        "content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}
