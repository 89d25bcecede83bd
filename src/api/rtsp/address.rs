//! The address of a request: which stream, which of its tracks, and which time of it.
//!
//! ```text
//! rtsp://HOST[:PORT]/CAMERA[/main|/sub][/trackID=N][?start=TIME&end=TIME]
//! ```
//! Clients put a track's address together in two ways: from the parts of an address (RFC 3986 §5), or by writing `/trackID=N` behind all of
//! the text, query included. Both are understood.

use super::response::{Refusal, Status};
use crate::{base::UnixMicros, catalog::StreamRole};
use url::Url;

/// What a track's part of an address begins with.
const TRACK: &str = "trackID=";

/// A piece of the recording, as `?start=…&end=…` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From here.
    pub start: UnixMicros,
    /// To here; without it, to the newest frame and then live.
    pub end: Option<UnixMicros>,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The camera's id, which may not exist.
    pub camera: String,
    /// Which of its streams.
    pub role: StreamRole,
    /// One track; `None` is all of them.
    pub track: Option<u8>,
    /// A piece of the recording; `None` is live, until PLAY says otherwise.
    pub span: Option<Span>,
    /// Scheme, host and port as the client wrote them.
    origin: String,
    /// The query as the client wrote it.
    query: Option<String>,
}

impl Address {
    /// Reads the address of a request.
    ///
    /// # Errors
    /// With 400 when times cannot be read, 404 when it is the address of nothing.
    pub fn parse(url: &Url) -> Result<Self, Refusal> {
        let nothing = || {
            let why = "no stream has this address; it is rtsp://HOST:PORT/CAMERA, or /CAMERA/sub";
            Refusal::new(Status::NotFound, why)
        };
        let (query, track_behind) = match url.query().map(split_track) {
            Some((query, track)) => (Some(query), track),
            None => (None, None),
        };
        let (path, track) = split_track(url.path());
        let mut parts = path.trim_matches('/').split('/');
        let camera = parts
            .next()
            .filter(|camera| !camera.is_empty())
            .ok_or_else(nothing)?;
        let role = match (parts.next(), parts.next()) {
            (None | Some("main"), None) => StreamRole::Main,
            (Some("sub"), None) => StreamRole::Sub,
            _ => return Err(nothing()),
        };
        let host = url.host_str().unwrap_or_default();
        let port = url
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        Ok(Self {
            camera: camera.to_owned(),
            role,
            track: track.or(track_behind),
            span: query.map(span).transpose()?.flatten(),
            origin: format!("{}://{host}{port}", url.scheme()),
            query: query.filter(|query| !query.is_empty()).map(str::to_owned),
        })
    }

    fn path(&self) -> String {
        match self.role {
            StreamRole::Main => self.camera.clone(),
            StreamRole::Sub => format!("{}/sub", self.camera),
        }
    }

    fn with_query(&self, text: String) -> String {
        match &self.query {
            Some(query) => format!("{text}?{query}"),
            None => text,
        }
    }

    /// The address of all tracks together.
    pub fn aggregate(&self) -> String {
        self.with_query(format!("{}/{}", self.origin, self.path()))
    }

    /// What the addresses of tracks are relative to.
    pub fn base(&self) -> String {
        self.with_query(format!("{}/{}/", self.origin, self.path()))
    }

    /// The address of a track, as a session description tells it. With a query it is told whole, since rules for relative addresses would
    /// lose the query.
    pub fn control(&self, track: u8) -> String {
        match self.query {
            Some(_) => self.of_track(track),
            None => format!("{TRACK}{track}"),
        }
    }

    /// The whole address of a track.
    pub fn of_track(&self, track: u8) -> String {
        self.with_query(format!("{}/{}/{TRACK}{track}", self.origin, self.path()))
    }

    /// Whether both are of the same stream. Clients that put addresses together may have lost the query of one.
    pub fn is_same_stream(&self, other: &Self) -> bool {
        (&self.camera, self.role) == (&other.camera, other.role)
    }
}

/// Takes `/trackID=N` from the end.
fn split_track(text: &str) -> (&str, Option<u8>) {
    let text = text.trim_end_matches('/');
    let (before, last) = text.rsplit_once('/').unwrap_or(("", text));
    match last
        .strip_prefix(TRACK)
        .and_then(|number| number.parse().ok())
    {
        Some(track) => (before.trim_end_matches('/'), Some(track)),
        None => (text, None),
    }
}

/// The times of a query. Other parameters are left alone: clients put options of their own there.
fn span(query: &str) -> Result<Option<Span>, Refusal> {
    let mut times = [None; 2];
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let slot = match &*name {
            "start" => &mut times[0],
            "end" => &mut times[1],
            _ => continue,
        };
        // A `+` of a zone arrives as a space where a client did not escape it.
        let time = value.replace(' ', "+").parse::<UnixMicros>();
        *slot = Some(
            time.map_err(|error| Refusal::new(Status::BadRequest, format!("{name}: {error}")))?,
        );
    }
    match times {
        [None, None] => Ok(None),
        [None, Some(_)] => Err(Refusal::new(
            Status::BadRequest,
            "end without start; add start=TIME",
        )),
        [Some(start), Some(end)] if end <= start => {
            let why = "the end is not behind the start; exchange start and end";
            Err(Refusal::new(Status::InvalidRange, why))
        }
        [Some(start), end] => Ok(Some(Span { start, end })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<Address, u16> {
        Address::parse(&Url::parse(text).expect("a URL")).map_err(|refusal| refusal.status.code())
    }

    #[test]
    fn a_track_is_found_however_its_address_was_put_together() {
        for (text, camera, role, track) in [
            ("rtsp://h/gate", "gate", StreamRole::Main, None),
            ("rtsp://h:8554/gate/", "gate", StreamRole::Main, None),
            ("rtsp://h/gate/main", "gate", StreamRole::Main, None),
            (
                "rtsp://u@h/gate/sub/trackID=1",
                "gate",
                StreamRole::Sub,
                Some(1),
            ),
            (
                "rtsp://h/gate/sub/trackID=1/",
                "gate",
                StreamRole::Sub,
                Some(1),
            ),
            (
                "rtsp://h/gate/trackID=0?start=2026-11-26T00:00:00Z",
                "gate",
                StreamRole::Main,
                Some(0),
            ),
            (
                "rtsp://h/gate?start=2026-11-26T00:00:00Z/trackID=2",
                "gate",
                StreamRole::Main,
                Some(2),
            ),
            (
                "rtsp://h/gate/?start=2026-11-26T00:00:00Z/",
                "gate",
                StreamRole::Main,
                None,
            ),
        ] {
            let read = address(text).expect("an address");
            assert_eq!(
                (&*read.camera, read.role, read.track),
                (camera, role, track),
                "{text}"
            );
            assert_eq!(read.span.is_some(), text.contains("start"), "{text}");
            let again = address(&read.of_track(7)).expect("its own address");
            assert!(
                again.is_same_stream(&read) && (again.track, again.span) == (Some(7), read.span),
                "{text}"
            );
            assert!(!read.aggregate().contains("u@"), "no user in an answer");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        assert_eq!(address("rtsp://h/"), Err(404));
        assert_eq!(address("rtsp://h/gate/third"), Err(404));
        assert_eq!(address("rtsp://h/gate/sub/more"), Err(404));
        assert_eq!(address("rtsp://h/gate?start=yesterday"), Err(400));
        assert_eq!(address("rtsp://h/gate?end=2026-11-26T00:00:00Z"), Err(400));
        assert_eq!(
            address("rtsp://h/gate?start=2026-11-26T00:00:00Z&end=2026-11-25T00:00:00Z"),
            Err(457)
        );
        assert_eq!(
            address("rtsp://h/gate?tcp&start=2026-11-26T07:00:00%2B07:00")
                .map(|a| a.span.map(|s| s.start.0)),
            Ok(Some(1_795_651_200_000_000))
        );
    }
}
