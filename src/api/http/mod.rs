//! HTTP: translation between requests and `store`, `playback`, `catalog`; decides nothing itself.
//!
//! Everything under `/api/v1` answers JSON (errors as RFC 9457 problem details) or video; `/healthz`, `/readyz` and `/metrics` are for
//! machines that watch. Until accounts exist the listener is for loopback only (`cli::config`).

mod cameras;
mod metrics;
mod problem;
mod timeline;
mod video;

use crate::{
    api::status::Status,
    base::{Clock, UnixMicros},
    catalog::{Catalog, StreamRole},
    store::{recordings::Recordings, tail::TailCounters},
};
use axum::{Json, Router, extract::State, response::IntoResponse, routing::get};
use problem::Problem;
use std::{future::Future, io, sync::Arc};
use tokio::net::TcpListener;

/// What one stream counts, for `/metrics`.
#[derive(Clone, Debug)]
pub struct StreamNumbers {
    /// The camera's id.
    pub camera: String,
    /// Which of its streams.
    pub role: StreamRole,
    /// Whether frames arrive.
    pub recording: bool,
    /// What its tail counts.
    pub tail: TailCounters,
    /// RTP packets received.
    pub packets: u64,
    /// RTP packets lost.
    pub lost: u64,
    /// Packets and units that could not be understood.
    pub errors: u64,
    /// Connections made after the first.
    pub reconnects: u64,
}

/// What the routes need of the rest of the program.
pub struct App {
    /// The enrolled cameras.
    pub catalog: Arc<Catalog>,
    /// What is recorded.
    pub recordings: Box<dyn Fn() -> Recordings + Send + Sync>,
    /// How the server is.
    pub status: Box<dyn Fn() -> Status + Send + Sync>,
    /// What its streams count.
    pub streams: Box<dyn Fn() -> Vec<StreamNumbers> + Send + Sync>,
    /// The numbers of its volumes.
    pub registry: prometheus::Registry,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

type Shared = State<Arc<App>>;

/// All routes.
pub fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .route("/cameras", get(cameras::list))
        .route("/cameras/{id}", get(cameras::one))
        .route("/cameras/{id}/timeline", get(timeline::get))
        .route("/cameras/{id}/video.mp4", get(video::get))
        .route("/status", get(status))
        .route("/volumes", get(volumes));
    Router::new()
        .nest("/api/v1", api)
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::get))
        .fallback(unknown)
        .with_state(app)
}

/// Answers requests on `listener` until `stop` is done.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(app))
        .with_graceful_shutdown(stop)
        .await
}

async fn unknown(uri: axum::http::Uri) -> Problem {
    Problem::not_found(
        format!("there is nothing at {}", uri.path()),
        "see docs/api.md for the routes",
    )
}

async fn status(State(app): Shared) -> Json<Status> {
    Json((app.status)())
}

async fn volumes(State(app): Shared) -> impl IntoResponse {
    Json((app.status)().volumes)
}

/// 200 when at least one volume takes recordings.
async fn ready(State(app): Shared) -> Result<&'static str, Problem> {
    let status = (app.status)();
    if status
        .volumes
        .iter()
        .any(|volume| volume.state == "writing")
    {
        return Ok("ready\n");
    }
    Err(Problem::unavailable(
        "no volume takes recordings",
        "see /api/v1/volumes and the log",
    ))
}

/// Reads a time of a query.
fn time(name: &str, text: Option<&str>, default: UnixMicros) -> Result<UnixMicros, Problem> {
    match text {
        None => Ok(default),
        // A `+` of a zone arrives as a space where a client did not escape it.
        Some(text) => text
            .replace(' ', "+")
            .parse()
            .map_err(|error| Problem::bad_request(format!("{name}: {error}"))),
    }
}
