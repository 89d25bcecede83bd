//! `/cameras/{id}/timeline`: runs and gaps, the same as `nvring timeline --json`.

use super::{Problem, Shared, cameras, time};
use crate::{
    base::{TimeRange, UnixMicros},
    store::runs::{Gap, Span},
};
use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub(super) struct Range {
    from: Option<String>,
    to: Option<String>,
    pub(super) stream: Option<String>,
}

impl Range {
    /// The range asked for; all time where it says nothing.
    pub(super) fn parse(&self) -> Result<TimeRange, Problem> {
        let start = time("from", self.from.as_deref(), UnixMicros(0))?;
        let end = time(
            "to",
            self.to.as_deref(),
            UnixMicros(253_402_300_799_000_000),
        )?;
        TimeRange::new(start, end).ok_or_else(|| {
            Problem::bad_request(format!(
                "`to` ({end}) is not after `from` ({start}); swap them"
            ))
        })
    }
}

#[derive(Debug, Serialize)]
pub(super) struct TimelineAnswer {
    camera: String,
    runs: Vec<Span>,
    gaps: Vec<Gap>,
}

pub(super) fn query(range: Result<Query<Range>, QueryRejection>) -> Result<Range, Problem> {
    range
        .map(|Query(range)| range)
        .map_err(|error| Problem::bad_request(error.body_text()))
}

pub(super) async fn get(
    State(app): Shared,
    Path(id): Path<String>,
    range: Result<Query<Range>, QueryRejection>,
) -> Result<Json<TimelineAnswer>, Problem> {
    let query = query(range)?;
    let stream = cameras::stream(&app, &id, query.stream.as_deref())?;
    let mut range = query.parse()?;
    range.end = range.end.min(app.clock.now()).max(range.start);
    let timeline = (app.recordings)()
        .timeline(stream, range)
        .await
        .map_err(Problem::failed)?;
    Ok(Json(TimelineAnswer {
        camera: id,
        runs: timeline.runs,
        gaps: timeline.gaps,
    }))
}
