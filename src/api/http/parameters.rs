//! What comes in a URL, read strictly: a parameter that is not known, is there twice or cannot be understood is an error that names it.

use super::Problem;
use crate::base::{Micros, TimeRange, UnixMicros};
use axum::{
    extract::{
        FromRequestParts,
        rejection::{PathRejection, QueryRejection},
    },
    http::{Uri, request::Parts},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use url::form_urlencoded;
use utoipa::IntoParams;

/// The end of time as far as MP4 and RFC 3339 go: 9999-12-31T23:59:59Z.
const END_OF_TIME: UnixMicros = UnixMicros(253_402_300_799_000_000);

/// The parameters of a path.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read: Result<_, PathRejection> =
            axum::extract::Path::from_request_parts(parts, state).await;
        match read {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(error) => Err(Problem::bad_request(error.body_text())),
        }
    }
}

/// The query of a request. `T` says `#[serde(deny_unknown_fields)]` and derives `IntoParams`.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(&parts.uri).map(Self)
    }
}

/// The query of a route that has no parameter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The query of a request about several cameras: `camera` may be there many times, and is read apart from the rest.
pub(super) struct Cameras<T>(pub(super) Vec<String>, pub(super) T);

/// How it is described.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only described: `Cameras` reads it")]
pub(super) struct CamerasParameter {
    /// The cameras by their ids, each once.
    #[param(min_items = 1, max_items = 64)]
    camera: Vec<String>,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Cameras<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut cameras: Vec<String> = Vec::new();
        let mut rest = form_urlencoded::Serializer::for_suffix(String::from("/?"), 2);
        for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes()) {
            if name != "camera" {
                rest.append_pair(&name, &value);
            } else if cameras.iter().any(|camera| *camera == value) {
                let value: String = value.chars().take(80).collect();
                let detail = format!("camera: `{value}` is named twice; name each once");
                return Err(Problem::bad_request(detail));
            } else {
                cameras.push(value.into_owned());
            }
        }
        let uri: Uri = rest.finish().parse().map_err(Problem::failed)?;
        read(&uri).map(|query| Self(cameras, query))
    }
}

fn read<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let read: Result<axum::extract::Query<T>, QueryRejection> =
        axum::extract::Query::try_from_uri(uri);
    match read {
        Ok(axum::extract::Query(query)) => Ok(query),
        Err(error) => {
            let text = error.body_text();
            let detail = text.strip_prefix("Failed to deserialize query string: ");
            Err(Problem::bad_request(detail.unwrap_or(&text)))
        }
    }
}

/// Reads a duration of a query: `#[serde(default, deserialize_with = "parameters::duration")]`.
pub(super) fn duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Micros>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

/// Reads a time of a query: `#[serde(default, deserialize_with = "parameters::time")]`.
pub(super) fn time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<UnixMicros>, D::Error> {
    let text = String::deserialize(deserializer)?;
    // A `+` of a zone arrives as a space where a client did not escape it.
    let time = text.replace(' ', "+").parse();
    time.map(Some).map_err(serde::de::Error::custom)
}

/// From `from` to `to`; without one, from the beginning or to the end of time.
pub(super) fn range(
    from: Option<UnixMicros>,
    to: Option<UnixMicros>,
) -> Result<TimeRange, Problem> {
    let start = from.unwrap_or(UnixMicros(0));
    let end = to.unwrap_or(END_OF_TIME);
    TimeRange::new(start, end).ok_or_else(|| {
        Problem::bad_request(format!(
            "`to` ({end}) is not after `from` ({start}); swap them"
        ))
    })
}
