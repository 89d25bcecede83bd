//! `/cameras`: who is enrolled, and which streams have recordings.

use super::{
    Kind, Problem, Shared, Visitor,
    parameters::{Nothing, Path, Query},
};
use crate::{
    access::Action,
    api::http::App,
    base::UnixMicros,
    catalog::{Camera, CameraId, CatalogError, StreamRole, System},
    media::StreamId,
    store::recordings::Recordings,
};
use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// The path of everything about one camera.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only described: handlers read the path as it is")]
pub(super) struct CameraPath {
    /// The camera's id. One that was removed is still found while it has recordings.
    #[param(
        example = "gate",
        min_length = 1,
        max_length = 64,
        pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$"
    )]
    id: String,
}

/// A camera as answered: nothing that tells how it is reached (regulation R-10).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Camera)]
pub(super) struct CameraAnswer {
    /// Its id, as in addresses.
    id: String,
    /// Its name for people.
    name: String,
    /// Whose it is.
    system: System,
    /// Where it is.
    area: String,
    /// Who is responsible for it.
    owner: String,
    /// The pool it records to.
    pool: String,
    /// Whether it is to be recorded.
    enabled: bool,
    /// Its streams.
    streams: Vec<StreamAnswer>,
}

/// What is recorded of a stream.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CameraStream)]
struct StreamAnswer {
    /// Which.
    stream: StreamRole,
    /// The first instant recorded; absent while there is none.
    #[schema(required)]
    first: Option<UnixMicros>,
    /// The first instant after the last one recorded.
    #[schema(required)]
    last: Option<UnixMicros>,
}

fn answer(camera: &Camera, recordings: &Recordings) -> CameraAnswer {
    let streams = camera.streams().map(|(role, stream, _)| {
        let bounds = recordings.bounds(stream);
        StreamAnswer {
            stream: role,
            first: bounds.map(|bounds| bounds.0),
            last: bounds.map(|bounds| bounds.1),
        }
    });
    CameraAnswer {
        id: camera.id.to_string(),
        name: camera.name.clone(),
        system: camera.system,
        area: camera.area.clone(),
        owner: camera.owner.clone(),
        pool: camera.pool.clone(),
        enabled: camera.enabled,
        streams: streams.collect(),
    }
}

/// The cameras that the visitor may see.
#[utoipa::path(get, path = "/cameras", responses((status = 200, description = "By id", body = Vec<CameraAnswer>)))]
pub(super) async fn list(
    State(app): Shared,
    visitor: Visitor,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<Vec<CameraAnswer>>, Problem> {
    let recordings = (app.recordings)();
    let cameras = app.catalog.list().map_err(Problem::failed)?;
    let seen = |camera: &&Camera| visitor.ask(Action::View, Some(camera.id.as_str())).is_ok();
    let answers = cameras
        .iter()
        .filter(seen)
        .map(|camera| answer(camera, &recordings));
    Ok(Json(answers.collect()))
}

/// One camera.
#[utoipa::path(get, path = "/cameras/{id}", params(CameraPath), responses((status = 200, description = "The camera", body = CameraAnswer)))]
pub(super) async fn one(
    State(app): Shared,
    Path(id): Path<String>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<CameraAnswer>, Problem> {
    let camera = enrolled(&app, &id).map_err(Problem::failed)?;
    let camera = camera.ok_or_else(|| unknown(&id))?;
    Ok(Json(answer(&camera, &(app.recordings)())))
}

fn unknown(id: &str) -> Problem {
    let id: String = id.chars().take(80).collect();
    let detail = format!("camera `{id}` is not known; see /api/v1/cameras");
    Problem::new(Kind::UnknownCamera, detail)
}

fn enrolled(app: &App, id: &str) -> Result<Option<Camera>, CatalogError> {
    let Ok(id) = id.parse::<CameraId>() else {
        return Ok(None);
    };
    let cameras = app.catalog.list()?;
    Ok(cameras.into_iter().find(|camera| camera.id == id))
}

/// What a camera is called: its id when it was removed.
pub(super) fn name(app: &App, id: &str) -> Result<String, CatalogError> {
    let camera = enrolled(app, id)?;
    Ok(camera.map_or_else(|| id.to_owned(), |camera| camera.name))
}

/// The stream a request is about: of the enrolled camera, or else of one that was removed and still has recordings.
pub(super) fn stream(app: &App, id: &str, role: Option<StreamRole>) -> Result<StreamId, Problem> {
    let found = find(app, id, role.unwrap_or(StreamRole::Main)).map_err(Problem::failed)?;
    found.ok_or_else(|| unknown(id))
}

/// The same, for those who have other words for what is not there.
pub(in crate::api) fn find(
    app: &App,
    id: &str,
    role: StreamRole,
) -> Result<Option<StreamId>, CatalogError> {
    if let Ok(id) = id.parse::<CameraId>()
        && let Some(stream) = app.catalog.stream(&id, role)?
    {
        return Ok(Some(stream));
    }
    let recordings = (app.recordings)();
    let recorded = recordings
        .streams()
        .into_iter()
        .filter(|recorded| recorded.name.camera == id && recorded.name.kind == role.name());
    let newest =
        recorded.max_by_key(|recorded| recordings.bounds(recorded.stream).map(|bounds| bounds.1));
    Ok(newest.map(|recorded| recorded.stream))
}
