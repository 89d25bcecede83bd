//! `/cameras/{id}/hls/…`: HLS of any range, of one that still grows, and live (RFC 8216).
//!
//! ```text
//! index.m3u8     list of lists: what a player is given. Without `from` and `to` it is live
//! media.m3u8     the parts of one stream       keys.m3u8       their key frames alone, for trick play
//! RUN/init.mp4   how a run is decoded          RUN/START-L.m4s   a part        RUN/START-L.key.m4s   its key frame
//! ```
//!
//! `L` is the layout of parts.
//!
//! Parts never change, and their names hold all that their bytes depend on: they may be kept for ever. Lists and init segments are
//! asked for again.

use super::{
    App, Problem, Shared,
    cameras::{self, CameraPath},
    known_bytes::{KnownBytes, of_memory},
    parameters::{Path, Query},
    preconditions::Validators,
    problem::Kind,
    timeline,
};
use crate::{
    api::complaints,
    base::{Micros, TimeRange, UnixMicros},
    catalog::StreamRole,
    media::StreamId,
    playback::{
        growing_list::{Grown, RangeState},
        hls::{ListKind, MediaList, Show, Variant, multivariant_list, part_file, target_duration},
        part_file::{PartError, PartFile, PartKind, PartList, PartName, init_segment, is_kept},
        parts::Part,
    },
    store::reader::ReadError,
};
use axum::{
    extract::State,
    http::{HeaderMap, Method, header},
    response::Response,
};
use futures_util::TryStreamExt;
use utoipa::IntoParams;

/// Longest range of a list: a day of a place that sets its clocks back has 25 hours.
const RANGE_MAX: Micros = Micros::from_secs(25 * 3600);
/// A range that ended so lately may have been followed while it grew: its list only gets an end, and keeps its kind (RFC 8216 §6.2.1).
const FOLLOWED_LATELY: Micros = Micros::from_secs(3600);
/// A list of what has ended may be kept so long: the ring takes its parts one day.
const CACHE_PAST: &str = "private, max-age=60";
/// A list that grows is asked for again about as often as parts end.
const CACHE_GROWING: &str = "private, max-age=1";
/// An init segment is short, and has the same name whatever its layout.
const CACHE_INIT: &str = "private, no-cache";
const CACHE_FOR_EVER: &str = "private, max-age=31536000, immutable";

/// A segment as the lists name it.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only described")]
struct PartPath {
    /// The start of its run, in microseconds since 1970.
    #[param(example = "1795636490611559", pattern = "^[0-9]{1,18}$")]
    run: String,
    /// `init.mp4`, `START-L.m4s` or `START-L.key.m4s`.
    #[param(example = "init.mp4", max_length = 64)]
    part: String,
}

/// What a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Live,
    Range(TimeRange),
}

impl Asked {
    fn of(query: &timeline::Range) -> Result<Self, Problem> {
        let (from, to) = match query.ends() {
            (None, None) => return Ok(Self::Live),
            (Some(from), to) => (from, to.unwrap_or(from + RANGE_MAX)),
            (None, Some(_)) => {
                return Err(Problem::bad_request(
                    "`to` needs a `from`; without both the list is live",
                ));
            }
        };
        let range = TimeRange::new(from, to).ok_or_else(|| {
            Problem::bad_request(format!(
                "`to` ({to}) is not after `from` ({from}); swap them"
            ))
        })?;
        if range.duration() > RANGE_MAX {
            return Err(Problem::bad_request(format!(
                "a list has at most {} hours; ask for several",
                RANGE_MAX.0 / 3_600_000_000
            )));
        }
        Ok(Self::Range(range))
    }

    /// The query of a list of the same range and of stream `role`.
    fn query(self, role: StreamRole) -> String {
        let stream = role.name();
        match self {
            Self::Live => format!("?stream={stream}"),
            Self::Range(TimeRange { start, end }) => {
                format!("?stream={stream}&from={start}&to={end}")
            }
        }
    }
}

/// The parts of a list and how they are listed.
struct Listed {
    parts: Vec<Part>,
    kind: ListKind,
    target: u32,
    ends_itself: bool,
}

impl Listed {
    async fn of(app: &App, stream: StreamId, asked: Asked) -> Result<Self, Problem> {
        match asked {
            Asked::Range(range) => Self::of_range(app, stream, range).await,
            Asked::Live => Self::live(app, stream).await,
        }
        .map_err(Problem::failed)
    }

    async fn of_range(app: &App, stream: StreamId, range: TimeRange) -> Result<Self, ReadError> {
        let recordings = (app.recordings)();
        let now = app.clock.now();
        let PartList { parts, ended } = PartList::of_range(&recordings, stream, range, now).await?;
        if ended && range.end + FOLLOWED_LATELY < now {
            return Ok(Self {
                kind: ListKind::Past,
                target: target_duration(&parts),
                parts,
                ends_itself: true,
            });
        }
        let key = (stream, range);
        let kept = match parts.first() {
            Some(first) if !app.lists.knows(key) => {
                is_kept(&recordings, stream, first, range.end, now).await?
            }
            _ => true,
        };
        let Grown {
            parts,
            kind,
            target,
            ends_itself,
        } = app.lists.grow(key, now, |list| {
            list.update(parts, RangeState { ended, kept })
        });
        Ok(Self {
            parts,
            kind,
            target,
            ends_itself,
        })
    }

    async fn live(app: &App, stream: StreamId) -> Result<Self, ReadError> {
        let now = app.clock.now();
        let look = app.lists.live(stream, |window| window.look(now));
        let recordings = (app.recordings)();
        let newest = PartList::newest(&recordings, stream, look.range, now).await?;
        Ok(app.lists.live(stream, |window| {
            window.update(look, newest);
            Self {
                parts: window.parts(),
                kind: window.kind(),
                target: window.target(),
                ends_itself: false,
            }
        }))
    }
}

/// HLS: the list to give to a player: names the lists of the streams.
#[utoipa::path(get, path = "/cameras/{id}/hls/index.m3u8", params(CameraPath, timeline::Range), responses(
    (status = 200, description = "The list to give to a player: names the lists of the streams", body = String, content_type = "application/vnd.apple.mpegurl")))]
pub(super) async fn index(
    State(app): Shared,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
    Query(query): Query<timeline::Range>,
) -> Result<Response, Problem> {
    let asked = Asked::of(&query)?;
    let mut variants = Vec::new();
    let mut cache = CACHE_PAST;
    for role in [StreamRole::Main, StreamRole::Sub] {
        if query.stream.is_some_and(|wanted| wanted != role) {
            continue;
        }
        let stream = match cameras::stream(&app, &id, Some(role)) {
            Ok(stream) => stream,
            // A camera that was removed may have recordings of one stream only.
            Err(_) if role == StreamRole::Sub && !variants.is_empty() => continue,
            Err(problem) => return Err(problem),
        };
        let listed = Listed::of(&app, stream, asked).await?;
        if !listed.kind.has_ended() {
            cache = CACHE_GROWING;
        }
        let variant = Variant::of(&listed.parts, listed.target);
        variants.extend(variant.map(|variant| (variant, asked.query(role))));
    }
    if variants.is_empty() {
        // An unknown stream is told apart from an empty one.
        cameras::stream(&app, &id, query.stream)?;
        return Err(nothing(asked));
    }
    list(multivariant_list(&variants), cache, &method, &headers)
}

/// HLS: the parts of one stream.
#[utoipa::path(get, path = "/cameras/{id}/hls/media.m3u8", params(CameraPath, timeline::Range), responses(
    (status = 200, description = "The parts of one stream", body = String, content_type = "application/vnd.apple.mpegurl")))]
pub(super) async fn media(
    State(app): Shared,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
    Query(query): Query<timeline::Range>,
) -> Result<Response, Problem> {
    media_list(&app, &id, Show::Parts, query, &method, &headers).await
}

/// HLS: the key frames of the parts alone, for trick play.
#[utoipa::path(get, path = "/cameras/{id}/hls/keys.m3u8", params(CameraPath, timeline::Range), responses(
    (status = 200, description = "The key frames of the parts alone, for trick play", body = String, content_type = "application/vnd.apple.mpegurl")))]
pub(super) async fn keys(
    State(app): Shared,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
    Query(query): Query<timeline::Range>,
) -> Result<Response, Problem> {
    media_list(&app, &id, Show::Keys, query, &method, &headers).await
}

async fn media_list(
    app: &App,
    id: &str,
    show: Show,
    query: timeline::Range,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let stream = cameras::stream(app, id, query.stream)?;
    let asked = Asked::of(&query)?;
    let listed = Listed::of(app, stream, asked).await?;
    let cache = match listed.kind.has_ended() {
        true => CACHE_PAST,
        false => CACHE_GROWING,
    };
    let Listed {
        mut parts,
        kind,
        target,
        ends_itself,
    } = listed;
    if show == Show::Keys {
        parts.retain(|part| part.tracks.size().is_some());
    }
    let Some(first) = parts.first() else {
        return Err(nothing(asked));
    };
    let text = MediaList {
        kind,
        show,
        from: match asked {
            Asked::Live => first.start,
            Asked::Range(range) => range.start,
        },
        parts: &parts,
        target,
        ends_itself,
        query: if query.stream == Some(StreamRole::Sub) {
            "?stream=sub"
        } else {
            ""
        },
    };
    list(text.text(), cache, method, headers)
}

fn nothing(asked: Asked) -> Problem {
    match asked {
        Asked::Live => Problem::nothing_recorded("nothing is being recorded that can be listed"),
        Asked::Range(TimeRange { start, end }) => {
            Problem::nothing_recorded(format!("nothing is recorded from {start} to {end}"))
        }
    }
}

fn list(
    text: String,
    cache_control: &'static str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let tag = format!(
        "\"{:x}-{:08x}\"",
        text.len(),
        crc32fast::hash(text.as_bytes())
    );
    let known = KnownBytes {
        len: text.len() as u64,
        // What a list says does not change with its newest part alone, so there is no date.
        validators: Validators::new(tag, None, UnixMicros(0)),
        content_type: "application/vnd.apple.mpegurl",
        cache_control,
        fields: vec![(header::VARY, "accept-encoding".to_owned())],
    };
    Ok(known.answer(method, headers, of_memory(text.into()))?)
}

/// HLS: an init segment, a part, or its key frame, as the lists name them.
#[utoipa::path(get, path = "/cameras/{id}/hls/{run}/{part}", params(CameraPath, PartPath, timeline::Range), responses(
    (status = 200, description = "The segment", body = String, content_type = "video/mp4")))]
pub(super) async fn part(
    State(app): Shared,
    Path((id, run, name)): Path<(String, String, String)>,
    method: Method,
    headers: HeaderMap,
    Query(query): Query<timeline::Range>,
) -> Result<Response, Problem> {
    let stream = cameras::stream(&app, &id, query.stream)?;
    let unknown = || {
        let detail = format!("there is no part `{run}/{name}`; take the names from a list");
        Problem::new(Kind::NothingRecorded, detail)
    };
    let run_start = time_of_name(&run).ok_or_else(unknown)?;
    if name == "init.mp4" {
        let init = init_segment(&(app.recordings)(), stream, run_start).await;
        let init = init.map_err(Problem::failed)?.ok_or_else(unknown)?;
        return init_answer(run_start, init, &method, &headers, app.clock.now());
    }
    let (start, kind) = part_of_name(&name).ok_or_else(unknown)?;
    let name = PartName {
        run: run_start,
        start,
    };
    let recordings = (app.recordings)();
    let now = app.clock.now();
    let file = PartFile::new(&recordings, stream, name, kind, now)
        .await
        .map_err(problem)?;
    let (start, len, checksum) = (name.start.0, file.len(), file.head_checksum());
    let tag = format!("\"{start:x}-{len:x}-{checksum:08x}\"");
    let validators = Validators::new(tag, Some(file.end()), now);
    let known = segment(len, CACHE_FOR_EVER, validators);
    Ok(known.answer(&method, &headers, move |range| {
        let camera = id.clone();
        let bytes = file
            .stream(range)
            .inspect_err(move |error| complaints::warn("a part was cut off", Some(&camera), error));
        Box::pin(bytes.map_err(Into::into))
    })?)
}

fn init_answer(
    run: UnixMicros,
    init: Vec<u8>,
    method: &Method,
    headers: &HeaderMap,
    now: UnixMicros,
) -> Result<Response, Problem> {
    let tag = format!("\"{:x}-{:08x}\"", run.0, crc32fast::hash(&init));
    let validators = Validators::new(tag, Some(run), now);
    let known = segment(init.len() as u64, CACHE_INIT, validators);
    Ok(known.answer(method, headers, of_memory(init.into()))?)
}

/// A time as names hold it.
fn time_of_name(text: &str) -> Option<UnixMicros> {
    let time: u64 = text.parse().ok()?;
    // Another way to write it would be another name.
    let time = i64::try_from(time)
        .ok()
        .filter(|time| time.to_string() == text)?;
    Some(UnixMicros(time))
}

fn part_of_name(name: &str) -> Option<(UnixMicros, PartKind)> {
    let start = time_of_name(name.split_once('-')?.0)?;
    let kinds = [(Show::Parts, PartKind::Whole), (Show::Keys, PartKind::Key)];
    let (_, kind) = kinds
        .into_iter()
        .find(|(show, _)| part_file(start, *show) == name)?;
    Some((start, kind))
}

/// What is known of a segment.
fn segment(len: u64, cache_control: &'static str, validators: Validators) -> KnownBytes {
    KnownBytes {
        len,
        validators,
        content_type: "video/mp4",
        cache_control,
        fields: Vec::new(),
    }
}

fn problem(error: PartError) -> Problem {
    match error {
        PartError::Unknown { .. } | PartError::Growing { .. } => Problem::nothing_recorded(error),
        PartError::Read(error) if error.is_overwritten() => Problem::nothing_recorded(error),
        PartError::Read(error) => Problem::failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part has one name, and only that.
    #[test]
    fn names_of_parts_are_read_as_they_are_written() {
        let start = UnixMicros(1_795_636_490_611_559);
        for (show, kind) in [(Show::Parts, PartKind::Whole), (Show::Keys, PartKind::Key)] {
            assert_eq!(part_of_name(&part_file(start, show)), Some((start, kind)));
        }
        let wrong = [
            "5.m4s",
            "5-0.m4s",
            "05-1.m4s",
            "+5-1.m4s",
            "-5-1.m4s",
            "5-01.m4s",
            "5-1.m4s.m4s",
            "5-1.KEY.m4s",
            "99999999999999999999-1.m4s",
            "18446744073709551615-1.m4s",
            "-",
            "",
        ];
        for name in wrong {
            assert_eq!(part_of_name(name), None, "{name}");
        }
        assert!(part_of_name("9223372036854775807-1.m4s").is_some());
    }
}
