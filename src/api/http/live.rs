//! `/cameras/{id}/live`: what a camera sends now, over a WebSocket (RFC 6455), for browsers with Media Source Extensions.
//!
//! A text message is an event, a binary one a segment: behind each `run` its init segment, then fragments. Nothing is queued: while a
//! client is slow to take a fragment, the tail goes on without it, and it is told how many frames it missed. Recording waits for nobody.
//!
//! Browsers let any page open a WebSocket to any address, so one that names another origin than this server is refused.

use super::{
    App, Kind, Problem, Shared,
    cameras::{self, CameraPath},
    connections::Stopping,
    parameters::{Path, Query},
    reading::Reader,
};
use crate::{
    base::UnixMicros,
    catalog::StreamRole,
    playback::{
        live::{LEAD_IN_LEN_MAX, LiveEvent, LiveFrames},
        live_fragments::LiveFragments,
    },
};
use axum::{
    Extension,
    extract::{
        State,
        ws::{
            CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code,
            rejection::WebSocketUpgradeRejection,
        },
    },
    http::{HeaderMap, header},
    response::Response,
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use utoipa::IntoParams;

/// A client that takes nothing for so long is gone.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// Longest message that a client may send: it has nothing to say.
const MESSAGE_MAX: usize = 1024;

/// Which stream.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LiveQuery {
    /// `main` when absent.
    stream: Option<StreamRole>,
}

/// An event, as text.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Event {
    /// What is true of the segments that follow. `start` is shown at `media_start` seconds of their clock.
    Run {
        codecs: String,
        width: u16,
        height: u16,
        start: UnixMicros,
        media_start: f64,
    },
    Skipped {
        frames: u64,
    },
    Ended,
}

/// What the camera sends now, over a WebSocket.
#[utoipa::path(get, path = "/cameras/{id}/live", params(CameraPath, LiveQuery), responses(
    (status = 101, description = "Events as text, segments as binary messages")))]
pub(super) async fn get(
    State(app): Shared,
    Path(id): Path<String>,
    Query(query): Query<LiveQuery>,
    Extension(reader): Extension<Reader>,
    Extension(stopping): Extension<Stopping>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let stream = cameras::stream(&app, &id, query.stream)?;
    if !is_own_page(&headers) && !is_allowed(&app, &headers) {
        let detail = "pages of another origin may not watch; open the page of this server, or add the origin to `allow_origins` under [http]";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    let upgrade = upgrade.map_err(|error| {
        let detail = format!("{}; open it as a WebSocket", error.body_text());
        Problem::new(Kind::UpgradeRequired, detail)
    })?;
    let recordings = (app.recordings)();
    let tail = recordings.tail(stream).map(Arc::clone);
    let tail = tail.ok_or_else(|| Problem::nothing_recorded("the stream is not being recorded"))?;
    let frames = LiveFrames::join(&recordings, tail, LEAD_IN_LEN_MAX).await;
    Ok(upgrade
        .max_message_size(MESSAGE_MAX)
        .on_upgrade(async move |socket| {
            send(socket, frames, stopping).await;
            drop(reader);
        }))
}

/// Whether the page that asks, if it is one, came from here.
fn is_own_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text(header::ORIGIN) else {
        return !headers.contains_key(header::ORIGIN);
    };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some() && authority == text(header::HOST)
}

/// Whether pages of its origin may watch all the same.
fn is_allowed(app: &App, headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN);
    let origin = origin.and_then(|origin| origin.to_str().ok());
    origin.is_some_and(|origin| app.admission.options.allows_origin(origin))
}

async fn send(mut socket: WebSocket, mut frames: LiveFrames, mut stopping: Stopping) {
    let mut run: Option<LiveFragments> = None;
    loop {
        let event = tokio::select! {
            event = frames.next() => event,
            () = stopping.stopped() => return close(socket).await,
            heard = socket.recv() => match heard {
                Some(Ok(message)) if !matches!(message, Message::Close(_)) => continue,
                _ => return,
            },
        };
        let ended = matches!(event, LiveEvent::Ended);
        for message in messages(event, &mut run) {
            let sent = tokio::time::timeout(TAKEN_WITHIN, socket.send(message)).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
        if ended {
            let _ = tokio::time::timeout(TAKEN_WITHIN, socket.send(Message::Close(None))).await;
            return;
        }
    }
}

/// Says that the server stops, and waits until the client has heard it.
async fn close(mut socket: WebSocket) {
    let going = Message::Close(Some(CloseFrame {
        code: close_code::AWAY,
        reason: "the server stops".into(),
    }));
    let _ = tokio::time::timeout(TAKEN_WITHIN, async {
        socket.send(going).await?;
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<_, axum::Error>(())
    })
    .await;
}

/// What an event is told with.
fn messages(event: LiveEvent, run: &mut Option<LiveFragments>) -> Vec<Message> {
    let text = |event: &Event| Message::text(serde_json::to_string(event).unwrap_or_default());
    match event {
        LiveEvent::Run(begun) => {
            let rest = run.as_mut().and_then(LiveFragments::rest);
            let rest = rest.map(Message::Binary);
            *run = LiveFragments::of(&begun);
            let Some(fragments) = run else {
                return rest.into_iter().collect();
            };
            let tracks = fragments.tracks();
            let (width, height) = tracks.size().unwrap_or_default();
            let told = Event::Run {
                codecs: tracks.codecs().collect::<Vec<_>>().join(","),
                width,
                height,
                start: fragments.start(),
                media_start: fragments.media_start().as_secs_f64(),
            };
            let begin = [text(&told), Message::Binary(fragments.init())];
            rest.into_iter().chain(begin).collect()
        }
        LiveEvent::Frames(frames) => {
            let fragment = run.as_mut().and_then(|run| run.fragment(frames));
            fragment.map(Message::Binary).into_iter().collect()
        }
        LiveEvent::Missed { frames } => {
            // What waited for the picture behind it was not missed.
            let rest = run.as_mut().and_then(LiveFragments::rest);
            let rest = rest.map(Message::Binary).into_iter();
            if let Some(run) = run {
                run.skip();
            }
            rest.chain([text(&Event::Skipped { frames })]).collect()
        }
        LiveEvent::Ended => {
            let rest = run.as_mut().and_then(LiveFragments::rest);
            let rest = rest.map(Message::Binary).into_iter();
            rest.chain([text(&Event::Ended)]).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn pages_of_other_origins_are_refused() {
        let cases = [
            (None, true),
            (Some("http://127.0.0.1:8080"), true),
            (Some("http://127.0.0.1:8081"), false),
            (Some("https://example.com"), false),
            (Some("null"), false),
        ];
        for (origin, own) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8080"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(is_own_page(&headers), own, "{origin:?}");
        }
    }
}
