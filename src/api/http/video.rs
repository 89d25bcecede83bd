//! `/cameras/{id}/video.mp4`: a range of time as one MP4 of known length, whole or any byte range of it (RFC 9110 §14).
//!
//! Nothing is buffered: the body is read block by block as the client takes it. When the ring overwrites what is still to be sent, the
//! connection is cut, so that a client never takes half a file for a whole one.

use super::{Problem, Shared, cameras, timeline};
use crate::playback::body::{VideoError, VirtualMp4};
use axum::{
    body::Body,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use std::{ops::Range, sync::Arc};

pub(super) async fn get(
    State(app): Shared,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
    range: Result<Query<timeline::Range>, QueryRejection>,
) -> Result<Response, Problem> {
    let query = timeline::query(range)?;
    let stream = cameras::stream(&app, &id, query.stream.as_deref())?;
    let range = query.parse()?;
    let file = VirtualMp4::new(&(app.recordings)(), stream, range)
        .await
        .map_err(problem)?;
    let file = Arc::new(file);
    let tag = format!(
        "\"{:x}-{:x}-{:08x}\"",
        range.start.0,
        file.len(),
        file.head_checksum()
    );
    if header_is(&headers, header::IF_NONE_MATCH, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let fresh =
        !headers.contains_key(header::IF_RANGE) || header_is(&headers, header::IF_RANGE, &tag);
    let asked = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
        .filter(|_| fresh);
    let (status, bytes) = match asked.map_or(Asked::Whole, |asked| parse_range(asked, file.len())) {
        Asked::Whole => (StatusCode::OK, 0..file.len()),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Unsatisfiable => {
            let range = format!("bytes */{}", file.len());
            return Ok((
                StatusCode::RANGE_NOT_SATISFIABLE,
                [(header::CONTENT_RANGE, range)],
            )
                .into_response());
        }
    };
    let name = format!(
        "{id}_{}.mp4",
        range.start.to_string().replace([':', '-'], "")
    );
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "video/mp4")
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_LENGTH, bytes.end - bytes.start)
        .header(header::ETAG, tag)
        .header(header::CACHE_CONTROL, "private, max-age=60")
        .header(
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        );
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, file.len());
        response = response.header(header::CONTENT_RANGE, range);
    }
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        body(file, bytes, id)
    };
    response.body(body).map_err(Problem::failed)
}

fn body(file: Arc<VirtualMp4>, bytes: Range<u64>, camera: String) -> Body {
    Body::from_stream(stream::unfold(Some((file, bytes)), move |state| {
        let camera = camera.clone();
        async move {
            let (file, mut bytes) = state?;
            match file.next(&mut bytes).await {
                Ok(None) => None,
                Ok(Some(piece)) => Some((Ok(piece), Some((file, bytes)))),
                Err(error) => {
                    tracing::warn!(%camera, %error, "a download was cut off");
                    Some((Err(error), None))
                }
            }
        }
    }))
}

fn problem(error: VideoError) -> Problem {
    if error.is_empty() {
        return Problem::not_found(error, "see the timeline for what is recorded");
    }
    match error {
        VideoError::Layout(error) => Problem::bad_request(error.to_string()),
        error => Problem::failed(error),
    }
}

fn header_is(headers: &HeaderMap, name: header::HeaderName, tag: &str) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| {
        value
            .split(',')
            .any(|one| one.trim() == tag || one.trim() == "*")
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part(Range<u64>),
    Unsatisfiable,
}

/// RFC 9110 §14.1.2. Several ranges at once are answered with the whole file, as §14.2 allows.
fn parse_range(text: &str, len: u64) -> Asked {
    let Some(spec) = text
        .strip_prefix("bytes=")
        .filter(|spec| !spec.contains(','))
    else {
        return Asked::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Asked::Whole;
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(len),
        (Ok(first), Err(_)) if last.is_empty() => first..len,
        (Err(_), Ok(suffix)) if first.is_empty() => len.saturating_sub(suffix)..len,
        _ => return Asked::Whole,
    };
    if range.is_empty() {
        Asked::Unsatisfiable
    } else {
        Asked::Part(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let cases = [
            ("bytes=0-499", Asked::Part(0..500)),
            ("bytes=500-", Asked::Part(500..1000)),
            ("bytes=-100", Asked::Part(900..1000)),
            ("bytes=-5000", Asked::Part(0..1000)),
            ("bytes=900-5000", Asked::Part(900..1000)),
            ("bytes=1000-", Asked::Unsatisfiable),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=5-3", Asked::Whole),
            ("bytes=0-1,5-6", Asked::Whole),
            ("lines=1-2", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_range(text, 1000), expected, "{text}");
        }
    }
}
