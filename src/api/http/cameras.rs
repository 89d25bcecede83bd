//! `/cameras`: who is enrolled, and which streams have recordings.

use super::{Problem, Shared};
use crate::{
    api::http::App,
    base::UnixMicros,
    catalog::{Camera, CameraId, StreamRole},
    media::StreamId,
    store::recordings::Recordings,
};
use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;

/// A camera as answered: nothing that tells how it is reached (regulation R-10).
#[derive(Debug, Serialize)]
pub(super) struct CameraAnswer {
    id: String,
    name: String,
    system: &'static str,
    area: String,
    owner: String,
    pool: String,
    enabled: bool,
    streams: Vec<StreamAnswer>,
}

#[derive(Debug, Serialize)]
struct StreamAnswer {
    stream: &'static str,
    first: Option<UnixMicros>,
    last: Option<UnixMicros>,
}

fn answer(camera: &Camera, recordings: &Recordings) -> CameraAnswer {
    let streams = camera.streams().map(|(role, stream, _)| {
        let bounds = recordings.bounds(stream);
        StreamAnswer {
            stream: role.name(),
            first: bounds.map(|bounds| bounds.0),
            last: bounds.map(|bounds| bounds.1),
        }
    });
    CameraAnswer {
        id: camera.id.to_string(),
        name: camera.name.clone(),
        system: camera.system.name(),
        area: camera.area.clone(),
        owner: camera.owner.clone(),
        pool: camera.pool.clone(),
        enabled: camera.enabled,
        streams: streams.collect(),
    }
}

pub(super) async fn list(State(app): Shared) -> Result<Json<Vec<CameraAnswer>>, Problem> {
    let recordings = (app.recordings)();
    let cameras = app.catalog.list().map_err(Problem::failed)?;
    Ok(Json(
        cameras
            .iter()
            .map(|camera| answer(camera, &recordings))
            .collect(),
    ))
}

pub(super) async fn one(
    State(app): Shared,
    Path(id): Path<String>,
) -> Result<Json<CameraAnswer>, Problem> {
    let camera = enrolled(&app, &id)?.ok_or_else(|| unknown(&id))?;
    Ok(Json(answer(&camera, &(app.recordings)())))
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("camera `{id}` is not known"), "see /api/v1/cameras")
}

fn enrolled(app: &App, id: &str) -> Result<Option<Camera>, Problem> {
    let Ok(id) = id.parse::<CameraId>() else {
        return Ok(None);
    };
    let cameras = app.catalog.list().map_err(Problem::failed)?;
    Ok(cameras.into_iter().find(|camera| camera.id == id))
}

/// The stream a request is about: of the enrolled camera, or else of one that was removed and still has recordings.
pub(super) fn stream(app: &App, id: &str, role: Option<&str>) -> Result<StreamId, Problem> {
    let role = match role {
        None | Some("main") => StreamRole::Main,
        Some("sub") => StreamRole::Sub,
        Some(other) => {
            return Err(Problem::bad_request(format!(
                "stream `{other}` is not known; ask for main or sub"
            )));
        }
    };
    if let Some(camera) = enrolled(app, id)? {
        return Ok(match role {
            StreamRole::Main => camera.main,
            StreamRole::Sub => camera.sub,
        });
    }
    let recordings = (app.recordings)();
    let recorded = recordings
        .streams()
        .into_iter()
        .filter(|recorded| recorded.name.camera == id && recorded.name.kind == role.name());
    let newest =
        recorded.max_by_key(|recorded| recordings.bounds(recorded.stream).map(|bounds| bounds.1));
    newest
        .map(|recorded| recorded.stream)
        .ok_or_else(|| unknown(id))
}
