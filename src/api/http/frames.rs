//! `/cameras/{id}/frames`: key frames spread evenly over a range, each with the address of its picture: for looking through hours at a
//! glance. Reads frame tables only.

use super::{
    Problem, Shared,
    cameras::{self, CameraPath},
    links::{self, Link},
    parameters::{self, Path, Query},
};
use crate::{
    base::{TimeRange, UnixMicros},
    catalog::StreamRole,
    playback::key_frames::KeyFrame,
};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How many pictures a strip has unless told otherwise.
const COUNT: u32 = 60;

/// Most pictures of a strip: each may read a chapter.
const COUNT_MAX: u32 = 1000;

/// Which strip.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StripQuery {
    /// First instant; the first recorded when absent.
    #[serde(default, deserialize_with = "parameters::time")]
    from: Option<UnixMicros>,
    /// First instant after; the last recorded when absent.
    #[serde(default, deserialize_with = "parameters::time")]
    #[param(example = "2026-11-23T09:00:00Z")]
    to: Option<UnixMicros>,
    /// `main` when absent.
    stream: Option<StreamRole>,
    /// Into how many equal parts the range is cut; 60 when absent.
    #[param(minimum = 1, maximum = 1000)]
    count: Option<u32>,
}

/// Key frames spread over a range.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Frames)]
pub(super) struct StripAnswer {
    /// The camera's id.
    camera: String,
    /// Which of its streams.
    stream: StreamRole,
    /// The first key frame in each part of the range, in order; a part without one is left out.
    frames: Vec<FrameAnswer>,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Frame)]
struct FrameAnswer {
    /// When it is shown.
    time: UnixMicros,
    /// Its length as recorded, in bytes.
    size: u32,
    /// Its picture, in the format that `Accept` asks for.
    url: String,
}

/// Key frames spread evenly over a range.
#[utoipa::path(get, path = "/cameras/{id}/frames", params(CameraPath, StripQuery),
    responses((status = 200, description = "Key frames in order of time", body = StripAnswer)))]
pub(super) async fn get(
    State(app): Shared,
    Path(id): Path<String>,
    Query(query): Query<StripQuery>,
) -> Result<Json<StripAnswer>, Problem> {
    let count = query.count.unwrap_or(COUNT);
    if !(1..=COUNT_MAX).contains(&count) {
        let detail = format!("count: {count} is not from 1 to {COUNT_MAX}");
        return Err(Problem::bad_request(detail));
    }
    // What is wrong with the times is said whether anything is recorded or not.
    parameters::range(query.from, query.to)?;
    let stream = cameras::stream(&app, &id, query.stream)?;
    let recordings = (app.recordings)();
    let bounds = recordings.bounds(stream);
    let range = bounds.and_then(|(first, last)| {
        TimeRange::new(query.from.unwrap_or(first), query.to.unwrap_or(last))
    });
    let keys = match range {
        Some(range) => KeyFrame::spread(&recordings, stream, range, count)
            .await
            .map_err(Problem::failed)?,
        None => Vec::new(),
    };
    let frames = keys.iter().map(|key| FrameAnswer {
        time: key.time,
        size: key.size,
        url: links::to(
            &["cameras", &id, "frame"],
            &[
                Link::time("at", Some(key.time)),
                Link::word("stream", query.stream.map(StreamRole::name)),
            ],
        ),
    });
    Ok(Json(StripAnswer {
        stream: query.stream.unwrap_or(StreamRole::Main),
        frames: frames.collect(),
        camera: id,
    }))
}
