//! `/cameras/{id}/days`: on which days of the caller's calendar something is recorded.

use super::{
    Problem, Shared,
    cameras::{self, CameraPath},
    links::{self, Link},
    parameters::{self, Path, Query},
};
use crate::{
    base::{UnixMicros, calendar::Zone},
    catalog::StreamRole,
    store::days::{RecordedDay, recorded_days},
};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Most days in one answer: more than two years.
const DAYS_MAX: usize = 800;

/// Which calendar.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Calendar {
    /// Time zone of the calendar by its IANA name; `UTC` when absent.
    #[param(example = "Asia/Ho_Chi_Minh", max_length = 64)]
    zone: Option<String>,
    /// First instant; from the beginning when absent.
    #[serde(default, deserialize_with = "parameters::time")]
    from: Option<UnixMicros>,
    /// First instant after; to the end when absent.
    #[serde(default, deserialize_with = "parameters::time")]
    #[param(example = "2026-11-23T09:00:00Z")]
    to: Option<UnixMicros>,
    /// `main` when absent.
    stream: Option<StreamRole>,
}

/// The days with recordings of a stream.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Days)]
pub(super) struct DaysAnswer {
    /// The camera's id.
    camera: String,
    /// Which of its streams.
    stream: StreamRole,
    /// The time zone of the calendar.
    zone: String,
    /// The days on which something is recorded, in order.
    days: Vec<DayAnswer>,
    /// Where the rest is, when this is not all.
    #[schema(required)]
    next: Option<String>,
}

/// One day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Day)]
struct DayAnswer {
    /// The date.
    #[schema(format = Date, example = "2026-11-23")]
    day: String,
    /// Its first instant.
    start: UnixMicros,
    /// The first instant of the next: 23 or 25 hours later where the clock is set.
    end: UnixMicros,
    /// How long something is recorded.
    recorded_seconds: f64,
    /// The first instant recorded.
    first: UnixMicros,
    /// The first instant after the last one recorded.
    last: UnixMicros,
    /// How many gaps touch the day.
    gaps: u32,
}

impl From<&RecordedDay> for DayAnswer {
    fn from(day: &RecordedDay) -> Self {
        Self {
            day: day.day.to_string(),
            start: day.day.range.start,
            end: day.day.range.end,
            recorded_seconds: day.recorded.as_secs_f64(),
            first: day.first,
            last: day.last,
            gaps: day.gaps,
        }
    }
}

/// The days of a calendar on which something is recorded.
#[utoipa::path(get, path = "/cameras/{id}/days", params(CameraPath, Calendar),
    responses((status = 200, description = "Days with recordings", body = DaysAnswer)))]
pub(super) async fn get(
    State(app): Shared,
    Path(id): Path<String>,
    Query(query): Query<Calendar>,
) -> Result<Json<DaysAnswer>, Problem> {
    let zone = match &query.zone {
        Some(name) => name
            .parse()
            .map_err(|error| Problem::bad_request(format!("zone: {error}")))?,
        None => Zone::utc(),
    };
    let range = parameters::range(query.from, query.to)?;
    let stream = cameras::stream(&app, &id, query.stream)?;
    let timeline = (app.recordings)()
        .timeline_at(stream, range, app.clock.now())
        .await
        .map_err(Problem::failed)?;
    let (days, next) = recorded_days(&timeline, &zone, DAYS_MAX);
    let next = next.map(|from| {
        links::to(
            &["cameras", &id, "days"],
            &[
                Link::word("zone", Some(zone.name())),
                Link::time("from", Some(from)),
                Link::time("to", query.to),
                Link::word("stream", query.stream.map(StreamRole::name)),
            ],
        )
    });
    Ok(Json(DaysAnswer {
        camera: id,
        stream: query.stream.unwrap_or(StreamRole::Main),
        zone: zone.name().to_owned(),
        days: days.iter().map(DayAnswer::from).collect(),
        next,
    }))
}
