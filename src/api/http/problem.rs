//! Errors as problem details (RFC 9457): `application/problem+json` with what, where, and what to do.
//!
//! Programs tell problems apart by `type`, which never changes its meaning; `detail` is for people and may. Every kind is described in
//! docs/api.md and in the OpenAPI document, both checked by tests.

use crate::api::complaints;
use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::fmt::Display;
use utoipa::ToSchema;

/// The media type of a problem.
pub(super) const CONTENT_TYPE: &str = "application/problem+json";

/// What every `type` begins with.
pub(super) const TYPE_PREFIX: &str = "urn:nvring:problem:";

/// The kinds of problems, in the order of their status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Kind {
    BadRequest,
    Unauthorized,
    Forbidden,
    UnknownRoute,
    UnknownCamera,
    NothingRecorded,
    MethodNotAllowed,
    NotAcceptable,
    RequestTimeout,
    PreconditionFailed,
    BodyTooLarge,
    UrlTooLong,
    RangeNotSatisfiable,
    Misdirected,
    UpgradeRequired,
    TooManyReaders,
    HeadersTooLarge,
    Failed,
    NotReady,
    Overloaded,
    TimedOut,
}

impl Kind {
    pub(super) const ALL: [Self; 21] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::UnknownRoute,
        Self::UnknownCamera,
        Self::NothingRecorded,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::PreconditionFailed,
        Self::BodyTooLarge,
        Self::UrlTooLong,
        Self::RangeNotSatisfiable,
        Self::Misdirected,
        Self::UpgradeRequired,
        Self::TooManyReaders,
        Self::HeadersTooLarge,
        Self::Failed,
        Self::NotReady,
        Self::Overloaded,
        Self::TimedOut,
    ];

    /// Its name behind `TYPE_PREFIX`, its status, and its title.
    pub(in crate::api) fn facts(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::BadRequest => ("bad-request", 400, "The request cannot be understood"),
            Self::Unauthorized => ("unauthorized", 401, "Nobody is signed in"),
            Self::Forbidden => ("forbidden", 403, "This is not allowed"),
            Self::UnknownRoute => ("unknown-route", 404, "There is nothing at this address"),
            Self::UnknownCamera => ("unknown-camera", 404, "There is no such camera"),
            Self::NothingRecorded => ("nothing-recorded", 404, "Nothing is recorded there"),
            Self::MethodNotAllowed => ("method-not-allowed", 405, "This cannot be done here"),
            Self::NotAcceptable => (
                "not-acceptable",
                406,
                "There is no answer of this media type",
            ),
            Self::RequestTimeout => ("request-timeout", 408, "The request came too slowly"),
            Self::PreconditionFailed => ("precondition-failed", 412, "It is not what was expected"),
            Self::BodyTooLarge => ("body-too-large", 413, "The request is too large"),
            Self::UrlTooLong => ("url-too-long", 414, "The address is too long"),
            Self::RangeNotSatisfiable => ("range-not-satisfiable", 416, "There are no such bytes"),
            Self::Misdirected => ("misdirected", 421, "This server does not go by that name"),
            Self::UpgradeRequired => ("upgrade-required", 426, "This is a WebSocket"),
            Self::TooManyReaders => ("too-many-readers", 429, "Too many readings at once"),
            Self::HeadersTooLarge => ("headers-too-large", 431, "The headers are too large"),
            Self::Failed => ("failed", 500, "The server failed"),
            Self::NotReady => ("not-ready", 503, "No volume takes recordings"),
            Self::Overloaded => ("overloaded", 503, "The server has too much to do"),
            Self::TimedOut => ("timed-out", 503, "The answer took too long"),
        }
    }
}

/// Seconds after which a client may try again what was refused for lack of room.
pub(in crate::api) const RETRY_AFTER: &str = "5";

/// An error on its way to the client.
#[derive(Debug)]
pub(in crate::api) struct Problem {
    kind: Kind,
    detail: String,
    field: Option<(HeaderName, String)>,
}

/// A problem detail (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemAnswer {
    /// What kind of problem it is; its meaning never changes.
    #[serde(rename = "type")]
    #[schema(format = "uri", example = "urn:nvring:problem:unknown-camera")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What is wrong this time, and what to do about it.
    detail: String,
}

impl Problem {
    /// A problem; `detail` says what is wrong and what to do.
    pub(in crate::api) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            field: None,
        }
    }

    /// The same with a header.
    pub(super) fn with(self, field: Option<(HeaderName, String)>) -> Self {
        Self { field, ..self }
    }

    /// Words a refusal of the listener.
    pub(super) fn worded(kind: Kind, detail: String) -> Response {
        Self::new(kind, detail).into_response()
    }

    /// 400: the request cannot be understood.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest, detail)
    }

    /// 404: nothing is recorded there.
    pub(super) fn nothing_recorded(detail: impl Display) -> Self {
        let detail = format!("{detail}; see the timeline for what is recorded");
        Self::new(Kind::NothingRecorded, detail)
    }

    /// 500: our fault, or the disk's.
    pub(in crate::api) fn failed(detail: impl Display) -> Self {
        complaints::error("a request failed", &detail);
        Self::new(Kind::Failed, detail.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (name, status, title) = self.kind.facts();
        let answer = ProblemAnswer {
            kind: format!("{TYPE_PREFIX}{name}"),
            title,
            status,
            detail: self.detail,
        };
        let body = serde_json::to_string(&answer).unwrap_or_default();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response();
        let headers = response.headers_mut();
        // What is not there now may be there in a moment.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.kind {
            Kind::Unauthorized => {
                let schemes = HeaderValue::from_static("Basic realm=\"nvring\", charset=\"UTF-8\"");
                headers.insert(header::WWW_AUTHENTICATE, schemes);
            }
            Kind::UpgradeRequired => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            }
            Kind::TooManyReaders | Kind::NotReady | Kind::Overloaded | Kind::TimedOut => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
            }
            _ => {}
        }
        if let Some((name, value)) = self.field
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            headers.insert(name, value);
        }
        response
    }
}

impl From<(Kind, String)> for Problem {
    fn from((kind, detail): (Kind, String)) -> Self {
        Self::new(kind, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Goal: a program can rely on `type`. Method: each kind has a name of its own that docs/api.md explains with its status.
    #[test]
    fn every_kind_is_in_the_documents() {
        let document = include_str!("../../../docs/api.md");
        let mut names = BTreeSet::new();
        for kind in Kind::ALL {
            let (name, status, _) = kind.facts();
            assert!(names.insert(name), "{name} is there twice");
            let row = format!("| `{name}` | {status} |");
            assert!(document.contains(&row), "docs/api.md lacks: {row}");
        }
    }
}
