//! What every request must pass before a route sees it: its size, its host, that it has no body; and how long a route may take.
//!
//! **Host.** Browsers let any page ask any address, but not read the answer, unless the page came from there. A page whose name leads to
//! its own server first and to this one later (DNS rebinding) would have come from there, so a name that this server does not go by is
//! refused. Addresses and `localhost` cannot be led elsewhere and are always taken.

use super::{
    admission::{Admission, Limit},
    problem::Kind,
    refusal::{self, HEADERS_MAX, Wording},
    watched_stream::Progress,
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Version, header, uri::Authority},
    middleware::Next,
    response::Response,
};
use std::{net::IpAddr, sync::Arc};

/// Bytes a header takes besides name and value: colon, blank, end of line.
const HEADER_EXTRA: usize = 4;

/// What is refused, and how.
#[derive(Clone)]
pub(in crate::api) struct Sieve {
    /// The bounds.
    pub(in crate::api) admission: Arc<Admission>,
    /// How refusals are worded.
    pub(in crate::api) wording: Wording,
    /// Whether names of the server are looked at.
    pub(in crate::api) by_host: bool,
}

/// A refusal, and the limit it is counted by.
type Refused = (Option<Limit>, Kind, String);

/// Lets a request through or refuses it.
pub(in crate::api) async fn pass(
    State(sieve): State<Sieve>,
    request: Request,
    next: Next,
) -> Response {
    let Err((limit, kind, detail)) = sieve.look(&request) else {
        return next.run(request).await;
    };
    if let Some(limit) = limit {
        sieve.admission.count(limit);
    }
    let mut response = (sieve.wording)(kind, detail);
    if kind == Kind::BodyTooLarge {
        if let Some(progress) = request.extensions().get::<Arc<Progress>>() {
            progress.linger();
        }
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// Ends the waiting for a route that takes too long, probably for a disk.
pub(in crate::api) async fn within_time(
    State(sieve): State<Sieve>,
    request: Request,
    next: Next,
) -> Response {
    let time = sieve.admission.limits().answer_timeout;
    if let Ok(response) = tokio::time::timeout(time, next.run(request)).await {
        return response;
    }
    sieve.admission.count(Limit::AnswerTimeout);
    let detail = format!(
        "there was no answer within {time:?}; see the log and /api/v1/volumes, or ask for less"
    );
    (sieve.wording)(Kind::TimedOut, detail)
}

impl Sieve {
    fn look(&self, request: &Request) -> Result<(), Refused> {
        let limits = self.admission.limits();
        let url_len = request
            .uri()
            .path_and_query()
            .map_or(0, |url| url.as_str().len());
        if url_len > limits.url_size {
            let (kind, detail) = refusal::url_too_long(limits);
            return Err((Some(Limit::UrlSize), kind, detail));
        }
        let headers = request.headers();
        if headers.len() > HEADERS_MAX || len(headers) > limits.header_size {
            let (kind, detail) = refusal::headers_too_large(limits);
            return Err((Some(Limit::HeaderSize), kind, detail));
        }
        if has_body(headers) {
            let detail = "no route here takes a body; send the request without one".to_owned();
            return Err((Some(Limit::Body), Kind::BodyTooLarge, detail));
        }
        let host = host(request).map_err(|detail| (None, Kind::BadRequest, detail))?;
        match host {
            Some(host) if self.by_host && !self.goes_by(host.host()) => {
                let name: String = host.host().chars().take(80).collect();
                let detail = format!(
                    "this server does not go by `{name}`; use its address, or add the name to `hosts` under [http]"
                );
                Err((Some(Limit::Host), Kind::Misdirected, detail))
            }
            _ => Ok(()),
        }
    }

    fn goes_by(&self, host: &str) -> bool {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let name = host.trim_end_matches('.');
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        let mut names = self.admission.options.hosts.iter();
        address.parse::<IpAddr>().is_ok()
            || is("localhost")
            || names.any(|known| known == "*" || is(known))
    }
}

fn len(headers: &HeaderMap) -> usize {
    let lens = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + HEADER_EXTRA);
    lens.sum()
}

fn has_body(headers: &HeaderMap) -> bool {
    let is_nothing = |len: &HeaderValue| {
        let len = len.to_str().ok().and_then(|len| len.parse().ok());
        len == Some(0_u64)
    };
    let mut lens = headers.get_all(header::CONTENT_LENGTH).iter();
    headers.contains_key(header::TRANSFER_ENCODING) || !lens.all(is_nothing)
}

/// The name by which the server was called (RFC 9112 §3.2: exactly one, but before HTTP/1.1).
fn host(request: &Request) -> Result<Option<Authority>, String> {
    if let Some(authority) = request.uri().authority() {
        return Ok(Some(authority.clone()));
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() < Version::HTTP_11 => Ok(None),
        (None, _) => Err("the header `Host` is absent; send it".to_owned()),
        (Some(_), Some(_)) => Err("the header `Host` is there twice; send it once".to_owned()),
        (Some(host), None) => {
            let host = host.to_str().ok().and_then(|host| host.parse().ok());
            let wrong = "the header `Host` is not a name with or without a port; mend it";
            host.map(Some).ok_or_else(|| wrong.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::http::{admission::HttpOptions, problem::Problem};
    use axum::{body::Body, response::IntoResponse};

    fn sieve(hosts: &[&str]) -> Sieve {
        let options = HttpOptions {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            ..HttpOptions::default()
        };
        let admission = Admission::new(options, &prometheus::Registry::new()).unwrap();
        Sieve {
            admission: Arc::new(admission),
            wording: |kind, detail| Problem::new(kind, detail).into_response(),
            by_host: true,
        }
    }

    fn asked(host: &str) -> Request {
        let request = Request::get("/api/v1/cameras").header(header::HOST, host);
        request.body(Body::empty()).unwrap()
    }

    fn kind(sieve: &Sieve, request: &Request) -> Option<Kind> {
        sieve.look(request).err().map(|refused| refused.1)
    }

    #[test]
    fn names_that_could_be_led_here_are_refused() {
        let plain = sieve(&["nvr.example"]);
        for host in [
            "127.0.0.1:8080",
            "192.0.2.7",
            "[::1]:8080",
            "[::1]",
            "localhost",
            "LOCALHOST:1",
            "localhost.:8080",
            "nvr.example",
            "NVR.example.:80",
        ] {
            assert_eq!(kind(&plain, &asked(host)), None, "{host}");
        }
        for host in [
            "evil.example",
            "nvr.example.evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "xnvr.example",
        ] {
            assert_eq!(
                kind(&plain, &asked(host)),
                Some(Kind::Misdirected),
                "{host}"
            );
        }
        assert_eq!(kind(&sieve(&["*"]), &asked("evil.example")), None);
        for host in ["", "a b", "a/b", "http://localhost"] {
            assert_eq!(kind(&plain, &asked(host)), Some(Kind::BadRequest), "{host}");
        }
    }

    #[test]
    fn exactly_one_host_is_named() {
        let sieve = sieve(&[]);
        let mut twice = asked("localhost");
        twice
            .headers_mut()
            .append(header::HOST, HeaderValue::from_static("localhost"));
        assert_eq!(kind(&sieve, &twice), Some(Kind::BadRequest));
        let mut none = asked("localhost");
        none.headers_mut().remove(header::HOST);
        assert_eq!(kind(&sieve, &none), Some(Kind::BadRequest));
        *none.version_mut() = Version::HTTP_10;
        assert_eq!(kind(&sieve, &none), None);
        // RFC 9112 §3.2.2: the address of the request line counts, not the header.
        let absolute = Request::get("http://evil.example/").header(header::HOST, "localhost");
        let absolute = absolute.body(Body::empty()).unwrap();
        assert_eq!(kind(&sieve, &absolute), Some(Kind::Misdirected));
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let sieve = sieve(&[]);
        let with = |name: &str, value: &str| {
            let request = Request::get("/")
                .header(header::HOST, "localhost")
                .header(name, value);
            kind(&sieve, &request.body(Body::empty()).unwrap())
        };
        assert_eq!(with("content-length", "0"), None);
        assert_eq!(with("content-length", "1"), Some(Kind::BodyTooLarge));
        assert_eq!(
            with("transfer-encoding", "chunked"),
            Some(Kind::BodyTooLarge)
        );
        assert_eq!(
            with("x", &"y".repeat(16 << 10)),
            Some(Kind::HeadersTooLarge)
        );
        let long =
            Request::get(format!("/{}", "y".repeat(8 << 10))).header(header::HOST, "localhost");
        assert_eq!(
            kind(&sieve, &long.body(Body::empty()).unwrap()),
            Some(Kind::UrlTooLong)
        );
        let mut many = asked("localhost");
        for _ in 0..HEADERS_MAX {
            many.headers_mut()
                .append("x", HeaderValue::from_static("y"));
        }
        assert_eq!(kind(&sieve, &many), Some(Kind::HeadersTooLarge));
    }
}
