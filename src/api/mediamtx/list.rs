//! `/list`: the stretches that can be played, each with the address of its video.

use super::{Asked, Failure};
use crate::{
    access::Action,
    api::http::{App, reading::longest_video},
    base::{Micros, TimeRange, UnixMicros},
    store::runs::Span,
};
use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, header},
};
use serde::Serialize;
use std::{net::SocketAddr, sync::Arc};
use url::form_urlencoded;

/// Stretches so near to each other are one, as with MediaMTX.
const TOLERANCE: Micros = Micros::from_millis(500);

/// Most stretches in an answer: MediaMTX knows no paging.
const ENTRIES_MAX: i64 = 50_000;

#[derive(Debug, Serialize)]
pub(super) struct Entry {
    start: UnixMicros,
    duration: f64,
    url: String,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Vec<Entry>>, Failure> {
    let asked = Asked::read(&app, request, Action::View)?;
    let start = asked.time("start")?.unwrap_or(UnixMicros(0));
    let end = asked.time("end")?.unwrap_or(UnixMicros::MAX);
    let range = TimeRange::new(start, end)
        .ok_or_else(|| Failure::wrong(format!("invalid end: {end} is not after start {start}")))?;
    let timeline = (app.recordings)()
        .timeline(asked.stream, range)
        .await
        .map_err(Failure::failed)?
        .merged(TOLERANCE);
    if timeline.runs.is_empty() {
        return Err(Failure::nothing());
    }
    let longest = longest_video(app.admission.limits());
    let count = timeline.runs.iter().map(|run| pieces(run, longest));
    if count.sum::<i64>() > ENTRIES_MAX {
        return Err(Failure::wrong(format!(
            "more than {ENTRIES_MAX} recordings; ask for fewer with start and end"
        )));
    }
    let base = base(&asked.headers, asked.peer);
    let entries = timeline.runs.iter().flat_map(|run| cut(run, longest));
    Ok(Json(
        entries
            .map(|range| entry(range, &asked.path, &base))
            .collect(),
    ))
}

/// Into how many pieces a run is cut, none of which is longer than `longest`.
fn pieces(run: &Span, longest: Micros) -> i64 {
    let len = run.end.since(run.start).0.max(1);
    (len - 1) / longest.0 + 1
}

/// The pieces, about equally long, one behind the other: no entry leads to a video that `/get` refuses as too long.
fn cut(run: &Span, longest: Micros) -> impl Iterator<Item = TimeRange> {
    let (start, len) = (run.start, run.end.since(run.start).0);
    let count = pieces(run, longest);
    let at = move |number: i64| {
        let share = i128::from(len) * i128::from(number) / i128::from(count);
        start + Micros(share as i64)
    };
    (0..count).map(move |number| TimeRange {
        start: at(number),
        end: at(number + 1),
    })
}

fn entry(run: TimeRange, path: &str, base: &str) -> Entry {
    let duration = run.duration().as_secs_f64();
    let start = run.start.to_string();
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("duration", &duration.to_string())
        .append_pair("path", path)
        .append_pair("start", &start)
        .finish();
    Entry {
        start: run.start,
        duration,
        url: format!("{base}/get?{query}"),
    }
}

/// Scheme and authority as the client sees them. A proxy is believed only when it is on this machine.
fn base(headers: &HeaderMap, peer: SocketAddr) -> String {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let proxied = text(header::HeaderName::from_static("x-forwarded-proto"));
    let scheme = match proxied {
        Some("https") if peer.ip().to_canonical().is_loopback() => "https",
        _ => "http",
    };
    let plain = |host: &&str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        host.len() <= 255 && host.bytes().all(fits)
    };
    let host = text(header::HOST).filter(plain);
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn keys_are_in_order_and_escaped() {
        let run = TimeRange {
            start: UnixMicros(1_000_500_000),
            end: UnixMicros(1_004_513_567),
        };
        let entry = entry(run, "gate/sub", "http://nvr:9996");
        let url = "http://nvr:9996/get?duration=4.013567&path=gate%2Fsub&start=1970-01-01T00%3A16%3A40.500000Z";
        assert_eq!((&entry.url[..], entry.duration), (url, 4.013567));
    }

    #[test]
    fn long_runs_are_cut_and_nothing_is_lost_between() {
        let day = 86_400_000_000;
        for len in [1, 999, day, 7 * day, 7 * day + 1, 15 * day + 7, 400 * day] {
            let run = Span::new(UnixMicros(5), UnixMicros(5 + len));
            let longest = Micros(7 * day);
            let pieces: Vec<_> = cut(&run, longest).collect();
            assert!(pieces.iter().all(|piece| piece.duration() <= longest));
            assert!(pieces.windows(2).all(|two| two[0].end == two[1].start));
            let ends = (pieces[0].start, pieces[pieces.len() - 1].end);
            assert_eq!(ends, (run.start, run.end), "{len}");
            assert_eq!(pieces.len() as i64, (len - 1) / (7 * day) + 1);
        }
    }

    #[test]
    fn only_a_proxy_on_this_machine_is_believed() {
        let told = |host: &'static str, proto: &'static str, peer: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            headers.insert("x-forwarded-proto", HeaderValue::from_static(proto));
            base(&headers, peer.parse().unwrap())
        };
        assert_eq!(told("nvr:9996", "https", "127.0.0.1:5"), "https://nvr:9996");
        assert_eq!(told("nvr:9996", "https", "10.0.0.7:5"), "http://nvr:9996");
        assert_eq!(told("[::1]:9996", "http", "[::1]:5"), "http://[::1]:9996");
        assert_eq!(told("nvr/evil?", "gopher", "[::1]:5"), "http://localhost");
    }
}
