//! `/cameras/{id}/timeline` and `/timeline`: runs and gaps of one stream, the same as `nvring timeline --json`, and of several at once.
//!
//! Answers are bounded: what is longer goes on where `next` says.

use super::{
    App, Problem, Shared, Visitor,
    cameras::{self, CameraPath},
    links::{self, Link},
    parameters::{self, Cameras, Path, Query},
};
use crate::{
    access::Action,
    api::timeline::TimelineAnswer,
    base::{Micros, TimeRange, UnixMicros},
    catalog::StreamRole,
};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Most runs and gaps in one answer: about a megabyte of JSON.
const ENTRIES_MAX: u32 = 10_000;

/// Most cameras in one question: a wall of screens.
const CAMERAS_MAX: usize = 64;

/// A range of one stream.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Range {
    /// First instant; from the beginning when absent.
    #[serde(default, deserialize_with = "parameters::time")]
    from: Option<UnixMicros>,
    /// First instant after; to the end when absent.
    #[serde(default, deserialize_with = "parameters::time")]
    #[param(example = "2026-11-23T09:00:00Z")]
    to: Option<UnixMicros>,
    /// `main` when absent.
    pub(super) stream: Option<StreamRole>,
}

impl Range {
    /// First instant and first instant after, where they are told.
    pub(super) fn ends(&self) -> (Option<UnixMicros>, Option<UnixMicros>) {
        (self.from, self.to)
    }

    /// The range asked for; all time where it says nothing.
    pub(super) fn time(&self) -> Result<TimeRange, Problem> {
        parameters::range(self.from, self.to)
    }
}

/// How much of a range is told at once.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct View {
    /// First instant; from the beginning when absent.
    #[serde(default, deserialize_with = "parameters::time")]
    from: Option<UnixMicros>,
    /// First instant after; to the end when absent.
    #[serde(default, deserialize_with = "parameters::time")]
    #[param(example = "2026-11-23T09:00:00Z")]
    to: Option<UnixMicros>,
    /// `main` when absent.
    stream: Option<StreamRole>,
    /// Gaps shorter than this are not told, and the runs they part become one: a number and a unit, such as `500ms`, `60s`, `1h`. For a
    /// picture of a range, the range divided by the points it has.
    #[serde(default, deserialize_with = "parameters::duration")]
    #[param(value_type = Option<String>, example = "60s", pattern = r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h|d)$")]
    resolution: Option<Micros>,
    /// Most runs and gaps together in one answer; 10000 when absent.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<u32>,
    /// Where the answer before ended; only from `next`.
    #[serde(default, deserialize_with = "parameters::time")]
    cursor: Option<UnixMicros>,
}

/// How much of a range is told of several cameras.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CommonView {
    /// First instant; from the beginning when absent.
    #[serde(default, deserialize_with = "parameters::time")]
    from: Option<UnixMicros>,
    /// First instant after; to the end when absent.
    #[serde(default, deserialize_with = "parameters::time")]
    #[param(example = "2026-11-23T09:00:00Z")]
    to: Option<UnixMicros>,
    /// `main` when absent.
    stream: Option<StreamRole>,
    /// Gaps shorter than this are not told, and the runs they part become one: a number and a unit, such as `500ms`, `60s`, `1h`.
    #[serde(default, deserialize_with = "parameters::duration")]
    #[param(value_type = Option<String>, example = "60s", pattern = r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h|d)$")]
    resolution: Option<Micros>,
    /// Most runs and gaps together of one camera; when absent, its share of 10000.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<u32>,
}

impl CommonView {
    /// That of one of them, with its share of the entries.
    fn of_one(self, share: u32) -> View {
        View {
            from: self.from,
            to: self.to,
            stream: self.stream,
            resolution: self.resolution,
            limit: Some(self.limit.unwrap_or(share).min(share.max(1))),
            cursor: None,
        }
    }
}

/// Timelines of several cameras.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Timelines)]
pub(super) struct TimelinesAnswer {
    /// One for each camera, in the order asked for.
    timelines: Vec<TimelineAnswer>,
}

/// Runs and gaps of a stream.
#[utoipa::path(get, path = "/cameras/{id}/timeline", params(CameraPath, View),
    responses((status = 200, description = "Runs and gaps in the range", body = TimelineAnswer)))]
pub(super) async fn get(
    State(app): Shared,
    Path(id): Path<String>,
    Query(view): Query<View>,
) -> Result<Json<TimelineAnswer>, Problem> {
    Ok(Json(answer(&app, id, view).await?))
}

/// Runs and gaps of several cameras at once. Where one is longer than its share, its `next` leads on for that camera alone.
#[utoipa::path(get, path = "/timeline", params(parameters::CamerasParameter, CommonView),
    responses((status = 200, description = "Runs and gaps in the range, by camera", body = TimelinesAnswer)))]
pub(super) async fn several(
    State(app): Shared,
    visitor: Visitor,
    Cameras(cameras, view): Cameras<CommonView>,
) -> Result<Json<TimelinesAnswer>, Problem> {
    if !(1..=CAMERAS_MAX).contains(&cameras.len()) {
        return Err(Problem::bad_request(format!(
            "{} cameras are named; name 1 to {CAMERAS_MAX} by `camera=`, each once",
            cameras.len()
        )));
    }
    for camera in &cameras {
        visitor.ask(Action::View, Some(camera))?;
    }
    checked(view.limit)?;
    let share = ENTRIES_MAX / cameras.len() as u32;
    let mut timelines = Vec::new();
    for camera in cameras {
        timelines.push(answer(&app, camera, view.of_one(share)).await?);
    }
    Ok(Json(TimelinesAnswer { timelines }))
}

/// How many entries are asked for.
fn checked(limit: Option<u32>) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(ENTRIES_MAX);
    if (1..=ENTRIES_MAX).contains(&limit) {
        return Ok(limit);
    }
    let detail = format!("limit: {limit} is not from 1 to {ENTRIES_MAX}");
    Err(Problem::bad_request(detail))
}

async fn answer(app: &App, id: String, view: View) -> Result<TimelineAnswer, Problem> {
    let range = parameters::range(view.from, view.to)?;
    let limit = checked(view.limit)?;
    let stream = cameras::stream(app, &id, view.stream)?;
    let timeline = (app.recordings)()
        .timeline_at(stream, range, app.clock.now())
        .await
        .map_err(Problem::failed)?;
    let timeline = match view.resolution {
        Some(resolution) => timeline.merged(resolution),
        None => timeline,
    };
    let cursor = view.cursor.unwrap_or(UnixMicros::MIN);
    let (page, next) = timeline.page(cursor, limit as usize);
    let next = next.map(|cursor| {
        links::to(
            &["cameras", &id, "timeline"],
            &[
                Link::time("from", view.from),
                Link::time("to", view.to),
                Link::word("stream", view.stream.map(StreamRole::name)),
                Link::word(
                    "resolution",
                    view.resolution.map(|span| format!("{}us", span.0)),
                ),
                Link::word("limit", view.limit),
                Link::time("cursor", Some(cursor)),
            ],
        )
    });
    let role = view.stream.unwrap_or(StreamRole::Main);
    Ok(TimelineAnswer::new(id, role, &page, next))
}
