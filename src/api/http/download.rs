//! A virtual file as an answer.
//!
//! Nothing is buffered: the body is read block by block as the client takes it. When the ring overwrites what is still to be sent, the
//! connection is cut, so that a client never takes half a file for a whole one.

use super::{
    disposition::{Shown, disposition},
    known_bytes::{KnownBytes, Refused},
    preconditions::Validators,
};
use crate::{
    api::complaints,
    base::{TimeRange, UnixMicros},
    media::StreamId,
    playback::body::{FileLayout, VirtualFile},
    store::recordings::Recordings,
};
use axum::{
    http::{HeaderMap, Method, header},
    response::Response,
};
use futures_util::TryStreamExt;
use std::sync::Arc;

/// What is told of a file besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct Download<'a> {
    /// Whose video it is, for the log.
    pub(in crate::api) camera: &'a str,
    /// Which of its streams.
    pub(in crate::api) stream: StreamId,
    /// Where it comes from.
    pub(in crate::api) recordings: &'a Recordings,
    /// What was asked for: with length and checksum its start tells two files apart.
    pub(in crate::api) range: TimeRange,
    /// Whether it is to be saved.
    pub(in crate::api) shown: Shown,
    /// When it was asked for.
    pub(in crate::api) now: UnixMicros,
}

impl Download<'_> {
    /// The answer to a request with these headers.
    pub(in crate::api) fn answer<L: FileLayout>(
        self,
        file: Arc<VirtualFile<L>>,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Refused> {
        let (start, len, checksum) = (self.range.start.0, file.len(), file.head_checksum());
        let tag = format!("\"{start:x}-{len:x}-{checksum:08x}\"");
        let changed = file.plan().last_change(self.recordings, self.stream);
        let known = KnownBytes {
            len,
            validators: Validators::new(tag, changed, self.now),
            content_type: "video/mp4",
            cache_control: "private, max-age=60",
            fields: vec![(header::CONTENT_DISPOSITION, self.name(&file))],
        };
        let camera = self.camera.to_owned();
        known.answer(method, headers, move |range| {
            let camera = camera.clone();
            let bytes = Arc::clone(&file).stream(range).inspect_err(move |error| {
                complaints::warn("a download was cut off", Some(&camera), error);
            });
            Box::pin(bytes.map_err(Into::into))
        })
    }

    /// Named after the camera as it was called when it recorded, and the time that is shown.
    fn name<L: FileLayout>(&self, file: &VirtualFile<L>) -> String {
        let plan = file.plan();
        let camera = plan.runs.last().map(|run| &run.description.name[..]);
        let camera = camera
            .filter(|name| !name.is_empty())
            .unwrap_or(self.camera);
        let bounds = self.recordings.bounds(self.stream);
        let (first, last) = bounds.unwrap_or((self.range.start, self.range.end));
        let times = [self.range.start.max(first), self.range.end.min(last)];
        disposition(self.shown, camera, &times, "mp4")
    }
}
