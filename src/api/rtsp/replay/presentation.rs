//! What a description says of the recording: which times there are, and the tracks of the part that an address names.

use super::{super::address::Span, recordings_now, refusal};
use crate::{
    api::rtsp::{
        order::clock_text,
        response::{Refusal, Status},
        service::Service,
    },
    base::UnixMicros,
    media::{StreamId, TrackSet},
    playback::{
        plan::PlanError,
        replay::{Direction, FrameChoice, Replay, ReplayRequest},
    },
};
use std::sync::Arc;

/// The tracks of the part of a recording that an address names, and when their run began.
///
/// # Errors
/// With 404 when nothing is recorded in it, 500 when it cannot be read.
pub(in crate::api::rtsp) async fn recorded_at(
    service: &Arc<Service>,
    stream: StreamId,
    span: Span,
) -> Result<(TrackSet, UnixMicros), Refusal> {
    let request = ReplayRequest {
        stream,
        start: span.start,
        end: span.end,
        direction: Direction::Forward,
        frames: FrameChoice::All,
    };
    let replay = Replay::open(recordings_now(service), request).await;
    let replay = replay.map_err(|error| match error {
        PlanError::Empty { .. } => Refusal::new(Status::NotFound, error.to_string()),
        PlanError::Read(_) => refusal(&error),
    })?;
    if let Some(run) = replay.first_run() {
        return Ok((run.description.tracks.clone(), run.started));
    }
    // It begins with what is still to be recorded.
    let recordings = service.recordings();
    let run = recordings.tail(stream).and_then(|tail| tail.run());
    let run = run.ok_or_else(|| {
        let why = "nothing is recorded then, and the camera sends nothing";
        Refusal::new(Status::NotFound, why)
    })?;
    Ok((run.description.tracks.clone(), run.id.run))
}

/// The `range` attributes of a session (RFC 2326 §C.1.5). Clients that know no wall-clock times look at the first and send what it says:
/// from now on, or the times of a part that the address names. Those that speak of ONVIF replay are told the times of the recording only.
pub(in crate::api::rtsp) fn attributes(
    service: &Service,
    stream: StreamId,
    span: Option<Span>,
    onvif: bool,
) -> Vec<(&'static str, String)> {
    let recordings = service.recordings();
    let grows = recordings
        .tail(stream)
        .is_some_and(|tail| tail.run().is_some());
    let recorded = recordings.bounds(stream);
    let clock = recorded.map(|(oldest, newest)| {
        let start = span.map_or(oldest, |span| span.start.max(oldest));
        let end = span.and_then(|span| span.end);
        let end = end.or_else(|| (!grows).then_some(newest));
        (start, end)
    });
    let normal = match (span, clock) {
        (Some(_), Some((start, Some(end)))) => {
            format!("npt=0-{:.6}", end.since(start).as_secs_f64())
        }
        (Some(_), _) => "npt=0-".to_owned(),
        (None, _) => "npt=now-".to_owned(),
    };
    let clock = clock.map(|(start, end)| {
        let end = end.map(clock_text).unwrap_or_default();
        format!("clock={}-{end}", clock_text(start))
    });
    let normal = Some(normal).filter(|_| !onvif || clock.is_none());
    let told = normal.into_iter().chain(clock);
    told.map(|text| ("range", text)).collect()
}
