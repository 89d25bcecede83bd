//! How the server is: `/status`, `/volumes`, and what machines that watch ask for.

use super::{
    Kind, Problem, Shared,
    parameters::{Nothing, Query},
};
use crate::api::status::{Status, VolumeStatus};
use axum::{Json, extract::State};

/// The server, its volumes and its streams: the same as `nvring status --json`.
#[utoipa::path(
    get,
    path = "/status",
    responses((status = 200, description = "How the server is", body = Status))
)]
pub(super) async fn status(State(app): Shared, Query(Nothing {}): Query<Nothing>) -> Json<Status> {
    Json((app.status)())
}

/// The volumes alone.
#[utoipa::path(
    get,
    path = "/volumes",
    responses((status = 200, description = "How the volumes are", body = Vec<VolumeStatus>))
)]
pub(super) async fn volumes(
    State(app): Shared,
    Query(Nothing {}): Query<Nothing>,
) -> Json<Vec<VolumeStatus>> {
    Json((app.status)().volumes)
}

/// 200 while the process answers.
#[utoipa::path(
    get,
    path = "/healthz",
    responses((status = 200, description = "The process answers", body = String, content_type = "text/plain"))
)]
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// 200 while at least one volume takes recordings.
#[utoipa::path(
    get,
    path = "/readyz",
    responses((status = 200, description = "Recordings are taken", body = String, content_type = "text/plain"))
)]
pub(super) async fn ready(State(app): Shared) -> Result<&'static str, Problem> {
    let status = (app.status)();
    let mut volumes = status.volumes.iter();
    if volumes.any(|volume| volume.state == "writing") {
        return Ok("ready\n");
    }
    let detail = "no volume takes recordings; see /api/v1/volumes and the log";
    Err(Problem::new(Kind::NotReady, detail))
}
