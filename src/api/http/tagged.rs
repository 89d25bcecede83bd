//! JSON that a client may have already: its tag is a digest of its text, so asking again costs the comparison and no transfer.
//!
//! The answer is made all the same, since only then it is known: what is saved is what goes over the wire, and the client's work.

use super::{
    known_bytes::Refused,
    preconditions::{Condition, Validators},
    problem::Problem,
};
use crate::base::UnixMicros;
use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Bytes of the digest that are told: enough that no two answers ever have the same.
const TAG_LEN: usize = 16;
/// Clients may keep it, and ask each time whether it still is so.
const CACHE_CONTROL: &str = "private, no-cache";

/// Gives an answer its tag, and heeds the conditions of the request.
pub(super) async fn tag(mut request: Request, next: Next) -> Response {
    let conditions = take_conditions(request.headers_mut());
    let response = next.run(request).await;
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // The body was made in memory, within the bounds of its route.
    let text = match to_bytes(body, usize::MAX).await {
        Ok(text) => text,
        Err(error) => return Problem::failed(error).into_response(),
    };
    let validators = Validators::new(tag_of(&text), None, UnixMicros(0));
    let body = match validators.condition(&conditions) {
        Condition::Failed => return Problem::from(Refused::PreconditionFailed).into_response(),
        Condition::NotModified => {
            parts.status = StatusCode::NOT_MODIFIED;
            parts.headers.remove(header::CONTENT_TYPE);
            parts.headers.remove(header::CONTENT_LENGTH);
            Body::empty()
        }
        Condition::Holds => Body::from(text),
    };
    if let Ok(tag) = HeaderValue::from_str(&validators.tag) {
        parts.headers.insert(header::ETAG, tag);
    }
    let cache_control = HeaderValue::from_static(CACHE_CONTROL);
    parts.headers.insert(header::CACHE_CONTROL, cache_control);
    Response::from_parts(parts, body)
}

/// The conditions of a request, which are looked at here and nowhere else.
fn take_conditions(headers: &mut HeaderMap) -> HeaderMap {
    const CONDITIONS: [HeaderName; 2] = [header::IF_MATCH, header::IF_NONE_MATCH];
    let mut taken = HeaderMap::new();
    for name in CONDITIONS {
        for value in headers.get_all(&name) {
            taken.append(&name, value.clone());
        }
        headers.remove(&name);
    }
    taken
}

fn tag_of(text: &[u8]) -> String {
    let digest = Sha256::digest(text);
    let mut tag = String::from("\"");
    for byte in digest.iter().take(TAG_LEN) {
        let _ = write!(tag, "{byte:02x}");
    }
    tag + "\""
}
