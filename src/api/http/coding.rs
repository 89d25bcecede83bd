//! Content codings (RFC 9110 §8.4): JSON and lists are compressed where the client takes it, video never, since it gains nothing.
//!
//! A compressed answer is another representation, so its strong ETag is another one too (RFC 9110 §8.8.3.3): that of the plain answer
//! with the coding behind it. What comes back in `If-None-Match` and `If-Match` is compared without it, and a 304 names the tag that was
//! sent.
//! `If-Range` is left as it is: byte ranges are always of the plain answer.

use super::{problem::Kind, refusal::Wording};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use tower_http::compression::{
    CompressionLayer,
    predicate::{And, Predicate},
};

/// What is shorter gains nothing.
const PLAIN_LEN_MAX: u64 = 256;

/// The media types that are compressed.
const COMPRESSED: [&str; 3] = [
    "application/json",
    "application/problem+json",
    "application/vnd.apple.mpegurl",
];

/// The codings, as they stand behind an ETag.
const CODINGS: [&str; 2] = ["gzip", "zstd"];

/// Whether an answer is text that compresses well.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct IsText;

impl Predicate for IsText {
    fn should_compress<B: axum::body::HttpBody>(&self, response: &axum::http::Response<B>) -> bool {
        is_text(response.headers())
    }
}

fn is_text(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next());
    media_type.is_some_and(|media_type| COMPRESSED.contains(&media_type.trim()))
}

/// Whether an answer is long enough. The length told counts before that of the body: an answer to HEAD has none, and tells what one to GET
/// does (RFC 9110 §9.3.2).
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct IsLong;

impl Predicate for IsLong {
    fn should_compress<B: axum::body::HttpBody>(&self, response: &axum::http::Response<B>) -> bool {
        let told = response.headers().get(header::CONTENT_LENGTH);
        let told = told.and_then(|value| value.to_str().ok()?.parse().ok());
        let len = told.or_else(|| response.body().size_hint().exact());
        len.is_none_or(|len: u64| len > PLAIN_LEN_MAX)
    }
}

/// Compresses.
pub(in crate::api) fn layer() -> CompressionLayer<And<IsLong, IsText>> {
    CompressionLayer::new().compress_when(IsLong.and(IsText))
}

/// Keeps the tags of compressed and plain answers apart. Goes around `layer`.
pub(in crate::api) async fn tell_apart(
    State(wording): State<Wording>,
    mut request: Request,
    next: Next,
) -> Response {
    let known = plain_tags(request.headers_mut(), &header::IF_NONE_MATCH);
    plain_tags(request.headers_mut(), &header::IF_MATCH);
    let mut response = next.run(request).await;
    let headers = response.headers();
    if response.status() == StatusCode::NOT_ACCEPTABLE && !is_text(headers) {
        // The layer's own, which has the answer still in it.
        let detail =
            "`Accept-Encoding` leaves out every coding, also none at all; allow `identity`";
        return wording(Kind::NotAcceptable, detail.to_owned());
    }
    let tag = headers
        .get(header::ETAG)
        .and_then(|value| value.to_str().ok());
    let coded = tag.and_then(|tag| match response.status() {
        StatusCode::NOT_MODIFIED => known.into_iter().find(|known| plain(known) == tag),
        _ => {
            let coding = headers.get(header::CONTENT_ENCODING)?.to_str().ok()?;
            let opaque = tag.strip_suffix('"')?;
            Some(format!("{opaque}-{coding}\""))
        }
    });
    if let Some(tag) = coded.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Takes the codings off the tags in the header `name`; gives them as they were, without the mark of weak ones.
fn plain_tags(headers: &mut HeaderMap, name: &HeaderName) -> Vec<String> {
    let lines = headers.get_all(name).iter();
    let lines = lines.filter_map(|value| value.to_str().ok());
    let tags = lines.flat_map(|line| line.split(',').map(str::trim));
    let tags: Vec<String> = tags.map(str::to_owned).collect();
    if tags.iter().any(|tag| plain(tag) != *tag) {
        let plain: Vec<String> = tags.iter().map(|tag| plain(tag)).collect();
        if let Ok(value) = HeaderValue::from_str(&plain.join(", ")) {
            headers.insert(name, value);
        }
    }
    let strong = tags
        .iter()
        .map(|tag| tag.strip_prefix("W/").unwrap_or(tag).to_owned());
    strong.collect()
}

/// A tag without the coding behind it.
fn plain(tag: &str) -> String {
    let coded = CODINGS
        .iter()
        .find_map(|coding| tag.strip_suffix(&format!("-{coding}\"")));
    coded.map_or(tag.to_owned(), |opaque| format!("{opaque}\""))
}
