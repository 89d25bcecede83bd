//! `/cameras/{id}/frame`: the key frame at or before an instant, as a byte stream, as an MP4, or as JPEG.
//!
//! A picture whose instant has passed never changes, so caches may keep it; one that a newer frame could replace is asked for again.

use super::{
    Kind, Problem, Shared,
    cameras::{self, CameraPath},
    disposition::{Shown, disposition},
    known_bytes::{KnownBytes, of_memory},
    links::{self, Link},
    parameters::{self, Path, Query},
    preconditions::{Condition, Validators},
    still_format::StillFormat,
};
use crate::{
    base::{Micros, UnixMicros},
    catalog::StreamRole,
    playback::{key_frames::KeyFrame, mp4::LAYOUT_VERSION, still::Still},
};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, Method, header},
    response::Response,
};
use bytes::Bytes;
use serde::Deserialize;
use utoipa::IntoParams;

/// The header that tells when the picture was shown.
pub(super) const FRAME_TIME: &str = "nvring-frame-time";

/// Which picture.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StillQuery {
    /// The instant; now when absent.
    #[serde(default, deserialize_with = "parameters::time")]
    at: Option<UnixMicros>,
    /// How long before the instant the picture may have been shown: a number and a unit, such as `10s`. However long, when absent.
    #[serde(default, deserialize_with = "parameters::duration")]
    #[param(value_type = Option<String>, example = "10s", pattern = r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h|d)$")]
    within: Option<Micros>,
    /// The format; when absent, the one that `Accept` likes best.
    #[param(inline)]
    format: Option<StillFormat>,
    /// `main` when absent.
    stream: Option<StreamRole>,
}

/// The key frame at or before an instant.
#[utoipa::path(get, path = "/cameras/{id}/frame", params(CameraPath, StillQuery), responses(
    (status = 200, description = "The picture",
        headers(("Nvring-Frame-Time" = String, description = "When it is shown")),
        content((String = "video/mp4"), (String = "video/H264"), (String = "video/H265"), (String = "image/jpeg")))))]
pub(super) async fn get(
    State(app): Shared,
    Path(id): Path<String>,
    Query(query): Query<StillQuery>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stream = cameras::stream(&app, &id, query.stream)?;
    let recordings = (app.recordings)();
    let at = query.at.unwrap_or_else(|| app.clock.now());
    let key = KeyFrame::at_or_before(&recordings, stream, at)
        .await
        .map_err(Problem::failed)?;
    let reach = query.within.map(|within| at - within);
    let key = key.filter(|key| reach.is_none_or(|reach| key.time >= reach));
    let Some(key) = key else {
        let detail = format!("no key frame was recorded at or shortly before {at}");
        return Err(Problem::nothing_recorded(detail));
    };
    // Once something later is recorded, no other key frame can come in between.
    let settled = recordings
        .bounds(stream)
        .is_some_and(|(_, end)| at < end - Micros::from_secs(1));
    let format = format(&query, &headers, &key)?;
    let still = key.read().await.map_err(|error| {
        if error.is_overwritten() {
            Problem::nothing_recorded(error)
        } else {
            Problem::failed(error)
        }
    })?;
    let tag = format!(
        "\"{:x}-{:x}-{:08x}-{}{LAYOUT_VERSION}\"",
        still.time.0,
        still.data().len(),
        crc32fast::hash(still.data()),
        format.name()
    );
    let itself = links::to(
        &["cameras", &id, "frame"],
        &[
            Link::time("at", Some(still.time)),
            Link::word("format", Some(format.name())),
            Link::word("stream", query.stream.map(StreamRole::name)),
        ],
    );
    let codec = still.codec();
    let name = cameras::name(&app, &id).map_err(Problem::failed)?;
    let name = disposition(Shown::Inline, &name, &[still.time], format.extension(codec));
    let mut known = KnownBytes {
        len: 0,
        validators: Validators::new(tag, Some(still.time), app.clock.now()),
        content_type: format.media_type(codec),
        cache_control: if settled {
            "private, max-age=3600"
        } else {
            "private, no-cache"
        },
        fields: vec![
            (header::VARY, "accept".to_owned()),
            (HeaderName::from_static(FRAME_TIME), still.time.to_string()),
            (header::CONTENT_LOCATION, itself),
            (header::CONTENT_DISPOSITION, name),
        ],
    };
    // Who has the picture needs no other one made.
    if known.validators.condition(&headers) == Condition::NotModified {
        return Ok(known.not_modified());
    }
    let body = rendered(still, format).await?;
    known.len = body.len() as u64;
    Ok(known.answer(&method, &headers, of_memory(body))?)
}

/// The format that is asked for, when there is such a picture.
fn format(query: &StillQuery, headers: &HeaderMap, key: &KeyFrame) -> Result<StillFormat, Problem> {
    let codec = key.codec();
    let formats = StillFormat::of(codec);
    let format = match query.format {
        Some(format) => Some(format).filter(|format| formats.contains(format)),
        None => {
            let accept = headers.get_all(header::ACCEPT).iter();
            let accept: Vec<&str> = accept.filter_map(|value| value.to_str().ok()).collect();
            StillFormat::accepted(&accept.join(","), codec)
        }
    };
    format.ok_or_else(|| not_acceptable(codec.name(), &formats, key))
}

fn not_acceptable(what: &str, formats: &[StillFormat], key: &KeyFrame) -> Problem {
    let there: Vec<String> = formats
        .iter()
        .map(|format| format!("{} ({})", format.name(), format.media_type(key.codec())))
        .collect();
    let jpeg = if cfg!(feature = "jpeg") {
        ""
    } else {
        "; for JPEG of H.264, build the program with `--features jpeg`"
    };
    Problem::new(
        Kind::NotAcceptable,
        format!(
            "the picture is in {what} and can be had as {}{jpeg}",
            there.join(" or ")
        ),
    )
}

async fn rendered(still: Still, format: StillFormat) -> Result<Bytes, Problem> {
    match format {
        StillFormat::AnnexB => Ok(still.byte_stream()),
        StillFormat::Mp4 => still.mp4().map_err(Problem::failed),
        StillFormat::Jpeg => jpeg(still).await,
    }
}

#[cfg(not(feature = "jpeg"))]
async fn jpeg(_still: Still) -> Result<Bytes, Problem> {
    Err(Problem::failed("JPEG was chosen where there is none"))
}

/// Decodes on a thread of its own, few at a time: each takes tens of milliseconds of a core and up to 100 MB.
#[cfg(feature = "jpeg")]
async fn jpeg(still: Still) -> Result<Bytes, Problem> {
    use tokio::sync::Semaphore;
    /// Pictures decoded at once.
    static DECODING: Semaphore = Semaphore::const_new(2);
    /// Those, and those that wait.
    static WAITING: Semaphore = Semaphore::const_new(32);
    let Ok(place) = WAITING.try_acquire() else {
        let detail = "too many pictures are being decoded; try again, or ask for format=mp4";
        return Err(Problem::new(Kind::Overloaded, detail));
    };
    let turn = DECODING.acquire().await.map_err(Problem::failed)?;
    let decoded = tokio::task::spawn_blocking(move || {
        let (_place, _turn) = (place, turn);
        crate::playback::jpeg::jpeg(&still)
    });
    match decoded.await.map_err(Problem::failed)? {
        Ok(file) => Ok(file.into()),
        Err(error) => {
            let detail = format!("{error}; ask for format=mp4 or format=annexb");
            Err(Problem::new(Kind::NotAcceptable, detail))
        }
    }
}
