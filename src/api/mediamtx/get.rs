//! `/get`: a stretch as a file, from an instant on and so long.

use super::{Asked, Failure, duration::duration};
use crate::{
    access::Action,
    api::http::{App, disposition::Shown, download::Download, reading::Reader},
    base::{TimeRange, UnixMicros},
    playback::{
        body::{FileLayout, VideoError},
        fragmented::FragmentedLayout,
        mp4::Mp4Layout,
    },
    store::recordings::Recordings,
};
use axum::{
    Extension,
    extract::{Request, State},
    response::Response,
};
use std::sync::Arc;

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Extension(reader): Extension<Reader>,
    request: Request,
) -> Result<Response, Failure> {
    let asked = Asked::read(&app, request, Action::Export)?;
    let Some(start) = asked.time("start")? else {
        return Err(Failure::wrong("invalid start: it is not given"));
    };
    let length = duration(asked.value("duration").unwrap_or_default()).map_err(Failure::wrong)?;
    let stretch = Stretch {
        recordings: (app.recordings)(),
        range: TimeRange {
            start,
            end: start + length,
        },
        asked,
        now: app.clock.now(),
    };
    let asked = &stretch.asked;
    let bounds = stretch.recordings.bounds(asked.stream);
    let format = asked.value("format");
    if let Some(other) = format.filter(|format| !["fmp4", "mp4"].contains(format)) {
        let other: String = other.chars().take(20).collect();
        let error = format!("invalid format: {other}; there are fmp4 and mp4");
        return Err(Failure::wrong(error));
    }
    let taken = reader.take_range(stretch.range, bounds);
    taken.map_err(|(kind, detail)| Failure::of_kind(kind, detail))?;
    if format == Some("mp4") {
        stretch.answer::<Mp4Layout>(&app).await
    } else {
        stretch.answer::<FragmentedLayout>(&app).await
    }
}

/// What is asked for.
struct Stretch {
    asked: Asked,
    recordings: Recordings,
    range: TimeRange,
    now: UnixMicros,
}

impl Stretch {
    async fn answer<L: FileLayout>(&self, app: &App) -> Result<Response, Failure> {
        let (recordings, stream) = (&self.recordings, self.asked.stream);
        let file = app
            .files
            .file::<L>(recordings, stream, self.range, self.now);
        let file = file.await.map_err(|error| match error {
            error if error.is_empty() => Failure::nothing(),
            VideoError::Layout(error) => Failure::wrong(error),
            error => Failure::failed(error),
        })?;
        let download = Download {
            camera: &self.asked.path,
            stream: self.asked.stream,
            recordings: &self.recordings,
            range: self.range,
            shown: Shown::Inline,
            now: self.now,
        };
        let answer = download.answer(file, &self.asked.method, &self.asked.headers);
        answer.map_err(|refused| {
            let (kind, detail, field) = refused.words();
            Failure {
                field,
                ..Failure::of_kind(kind, detail)
            }
        })
    }
}
