//! Recordings in the shape of MediaMTX's playback server, on a listener of its own: for clients that know `/list` and `/get`.
//!
//! The addresses, the parameters, the answers and the errors are those of MediaMTX. What is better here needs nothing of the client: videos
//! have a length and byte ranges, go on over gaps, and a listing opens no file. A camera's path is its id, `id/sub` for its second stream.

mod duration;
mod get;
mod list;

use crate::{
    access::{Action, Refusal, Request as Question},
    api::{
        complaints,
        http::{
            App, bounded, cameras,
            connections::Listening,
            gate::{self, Peer},
            open_to,
            problem::{Kind, RETRY_AFTER},
            reading::{self, Reading},
            sieve::Sieve,
        },
    },
    base::UnixMicros,
    catalog::StreamRole,
    media::StreamId,
};
use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing,
};
use serde_json::json;
use std::{future::Future, io, net::SocketAddr, sync::Arc};
use tokio::net::TcpListener;
use tower_http::cors::AllowOrigin;
use url::form_urlencoded;

/// Answers requests on `listener` until `stop` is done.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let listening = Listening {
        admission: Arc::clone(&app.admission),
        router: router(app),
        wording: Failure::worded,
    };
    listening.serve(listener, stop).await
}

/// Both routes, open to pages from anywhere, as MediaMTX has them: so no name of the server is refused either.
pub(in crate::api) fn router(app: Arc<App>) -> Router {
    let sieve = Sieve {
        admission: Arc::clone(&app.admission),
        wording: Failure::worded,
        by_host: false,
    };
    let reading = Reading {
        admission: Arc::clone(&app.admission),
        wording: Failure::worded,
    };
    let reading = from_fn_with_state(reading, reading::read);
    let routes = Router::new()
        .route("/list", routing::get(list::list).layer(reading.clone()))
        .route("/get", routing::get(get::get).layer(reading))
        .method_not_allowed_fallback(|| async { Failure::not_found() })
        .fallback(|| async { Failure::not_found() })
        .with_state(app);
    bounded(routes, &sieve).layer(open_to(AllowOrigin::any()))
}

/// An error in MediaMTX's words: `{"status":"error","error":"…"}`.
#[derive(Debug)]
struct Failure {
    status: StatusCode,
    error: String,
    field: Option<(HeaderName, String)>,
}

impl Failure {
    /// 400: the question is wrong.
    fn wrong(error: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    fn new(status: StatusCode, error: impl ToString) -> Self {
        Self {
            status,
            error: error.to_string(),
            field: None,
        }
    }

    /// What HTTP's own listener calls a problem of this kind.
    fn of_kind(kind: Kind, error: String) -> Self {
        let status = StatusCode::from_u16(kind.facts().1);
        Self::new(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error)
    }

    /// Words a refusal of the listener.
    fn worded(kind: Kind, detail: String) -> Response {
        Self::of_kind(kind, detail).into_response()
    }

    /// 404: nothing is recorded there.
    fn nothing() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no recording segments found")
    }

    fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not found: ask for /list or /get")
    }

    /// 500: our fault, or the disk's.
    fn failed(error: impl ToString) -> Self {
        let error = error.to_string();
        complaints::error("a request failed", &error);
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = json!({"status": "error", "error": self.error}).to_string();
        let json = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
        let mut response = (self.status, json, Body::from(body)).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                let scheme = HeaderValue::from_static("Basic realm=\"nvring\"");
                headers.insert(header::WWW_AUTHENTICATE, scheme);
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
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

/// What a request asks, as far as both routes ask alike.
struct Asked {
    parameters: Vec<(String, String)>,
    /// The path, as it was given.
    path: String,
    stream: StreamId,
    peer: SocketAddr,
    method: Method,
    headers: HeaderMap,
}

impl Asked {
    /// Reads `request`, once it is clear that whoever asks may do `action` with the camera.
    fn read(app: &App, request: Request, action: Action) -> Result<Self, Failure> {
        let (parts, _) = request.into_parts();
        let parameters = parameters(&parts.uri);
        let peer = parts.extensions.get::<Peer>();
        let peer = peer.map_or(SocketAddr::from(([0, 0, 0, 0], 0)), |peer| peer.0);
        let path = value(&parameters, "path").unwrap_or_default().to_owned();
        let (id, role) = match path.split_once('/') {
            None => (&path[..], StreamRole::Main),
            Some((id, "main")) => (id, StreamRole::Main),
            Some((id, "sub")) => (id, StreamRole::Sub),
            Some(_) => return Err(unknown(&path)),
        };
        let credentials = gate::credentials(&parts.headers);
        let question = Question {
            peer: peer.ip().to_canonical(),
            credentials: credentials.as_ref(),
            action,
            camera: Some(id),
        };
        app.access.ask(&question).map_err(|refusal| {
            let status = match refusal {
                Refusal::Unknown => StatusCode::UNAUTHORIZED,
                Refusal::Forbidden => StatusCode::FORBIDDEN,
            };
            Failure::new(status, refusal)
        })?;
        let found = cameras::find(app, id, role).map_err(Failure::failed)?;
        let stream = found.ok_or_else(|| unknown(&path))?;
        Ok(Self {
            stream,
            parameters,
            path,
            peer,
            method: parts.method,
            headers: parts.headers,
        })
    }

    fn value(&self, name: &str) -> Option<&str> {
        value(&self.parameters, name).filter(|value| !value.is_empty())
    }

    /// The time `name`, when it is given.
    fn time(&self, name: &str) -> Result<Option<UnixMicros>, Failure> {
        let Some(text) = self.value(name) else {
            return Ok(None);
        };
        // A `+` of a zone arrives as a space where a client did not escape it.
        let time = text.replace(' ', "+").parse();
        time.map(Some)
            .map_err(|error| Failure::wrong(format!("invalid {name}: {error}")))
    }
}

fn unknown(path: &str) -> Failure {
    let path: String = path.chars().take(80).collect();
    Failure::wrong(format!(
        "path '{path}' is not configured; it is the id of a camera, or ID/sub"
    ))
}

fn parameters(uri: &Uri) -> Vec<(String, String)> {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}

fn value<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = parameters.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}
