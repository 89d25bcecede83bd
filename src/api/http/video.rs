//! `/cameras/{id}/video.mp4`: a range of time as one MP4.

use super::{
    Problem, Shared,
    cameras::{self, CameraPath},
    disposition::Shown,
    download::Download,
    parameters::{Path, Query},
    reading::Reader,
    timeline,
};
use crate::playback::{body::VideoError, mp4::Mp4Layout};
use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, Method},
    response::Response,
};

/// A range of time as one MP4.
#[utoipa::path(get, path = "/cameras/{id}/video.mp4", params(CameraPath, timeline::Range), responses(
    (status = 200, description = "The whole file", body = String, content_type = "video/mp4")))]
pub(super) async fn get(
    State(app): Shared,
    Path(id): Path<String>,
    Extension(reader): Extension<Reader>,
    method: Method,
    headers: HeaderMap,
    Query(query): Query<timeline::Range>,
) -> Result<Response, Problem> {
    let stream = cameras::stream(&app, &id, query.stream)?;
    let range = query.time()?;
    let recordings = (app.recordings)();
    reader.take_range(range, recordings.bounds(stream))?;
    let now = app.clock.now();
    let file = app.files.file::<Mp4Layout>(&recordings, stream, range, now);
    let file = file.await.map_err(problem)?;
    let download = Download {
        camera: &id,
        stream,
        recordings: &recordings,
        range,
        shown: Shown::Saved,
        now,
    };
    Ok(download.answer(file, &method, &headers)?)
}

fn problem(error: VideoError) -> Problem {
    if error.is_empty() {
        return Problem::nothing_recorded(error);
    }
    match error {
        VideoError::Layout(error) => Problem::bad_request(error.to_string()),
        error => Problem::failed(error),
    }
}
