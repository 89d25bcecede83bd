//! Conditional requests (RFC 9110 §13): whether the client has it already, and whether it is still what he thinks.
//!
//! ETags are strong and decide where they are given. Dates count whole seconds: that of an answer is the second behind its newest frame, so
//! that no frame of it is later, and it is not told before it has come (RFC 9110 §8.8.2.1).

use crate::base::{Micros, UnixMicros};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use std::time::{Duration, SystemTime};

/// A date proves that nothing has changed only when it was over for so long (RFC 9110 §8.8.2.2).
const STRONG_AFTER: Micros = Micros::from_secs(60);

/// What an answer is compared by.
#[derive(Clone, Debug)]
pub(in crate::api) struct Validators {
    /// Its strong ETag, in quotes.
    pub(in crate::api) tag: String,
    /// Seconds since 1970 of the last change, when there is such a date.
    modified: Option<u64>,
    /// Whether that is long ago.
    settled: bool,
}

/// What a request asks before it asks for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Condition {
    /// Nothing, or it holds.
    Holds,
    /// The client has it.
    NotModified,
    /// It is not what he thinks.
    Failed,
}

impl Validators {
    /// Of an answer with this tag, whose newest frame is of `newest`.
    pub(in crate::api) fn new(tag: String, newest: Option<UnixMicros>, now: UnixMicros) -> Self {
        let second = newest.map(|newest| newest.0.saturating_add(999_999).div_euclid(1_000_000));
        let modified =
            second.filter(|second| *second >= 0 && *second <= now.0.div_euclid(1_000_000));
        Self {
            tag,
            modified: modified.map(i64::unsigned_abs),
            settled: modified
                .is_some_and(|second| UnixMicros(second * 1_000_000) + STRONG_AFTER <= now),
        }
    }

    /// The header `Last-Modified`.
    pub(super) fn last_modified(&self) -> Option<HeaderValue> {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.modified?);
        HeaderValue::from_str(&httpdate::fmt_http_date(time)).ok()
    }

    /// Whether a GET or HEAD is to be answered (RFC 9110 §13.2.2).
    pub(in crate::api) fn condition(&self, headers: &HeaderMap) -> Condition {
        if headers.contains_key(header::IF_MATCH) {
            // Strong comparison: a weak tag matches nothing.
            if !tags(headers, &header::IF_MATCH).any(|tag| tag == "*" || tag == self.tag) {
                return Condition::Failed;
            }
        } else if let Some(since) = date(headers, &header::IF_UNMODIFIED_SINCE)
            && self.modified.is_some_and(|modified| modified > since)
        {
            return Condition::Failed;
        }
        let has = if headers.contains_key(header::IF_NONE_MATCH) {
            self.is_known(headers)
        } else {
            let since = date(headers, &header::IF_MODIFIED_SINCE);
            let modified = self.modified.zip(since);
            modified.is_some_and(|(modified, since)| modified <= since)
        };
        if has {
            Condition::NotModified
        } else {
            Condition::Holds
        }
    }

    /// Whether `If-None-Match` names the tag: weak comparison (RFC 9110 §13.1.2).
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let mut tags = tags(headers, &header::IF_NONE_MATCH);
        tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.tag)
    }

    /// Whether `Range` counts: always without `If-Range`, else when it names what there is (RFC 9110 §13.1.5).
    pub(super) fn range_counts(&self, method: &Method, headers: &HeaderMap) -> bool {
        // Ranges are defined for GET alone (RFC 9110 §14.2).
        if method != Method::GET {
            return false;
        }
        let Some(value) = headers.get(header::IF_RANGE) else {
            return true;
        };
        let text = value.to_str().unwrap_or_default().trim();
        if text.starts_with('"') || text.starts_with("W/") {
            return text == self.tag;
        }
        let named = date(headers, &header::IF_RANGE);
        self.settled && named.is_some() && named == self.modified
    }
}

/// The tags of a list, on one line or several.
fn tags<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter();
    let lines = values.filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',').map(str::trim))
}

/// A date in seconds since 1970; one that cannot be read is ignored, as the RFC wants.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let text = headers.get(name)?.to_str().ok()?;
    let time = httpdate::parse_http_date(text).ok()?;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use Condition::{Failed, Holds, NotModified};

    const NEWEST: UnixMicros = UnixMicros(1_795_442_400_250_000);
    const BEFORE: &str = "Mon, 23 Nov 2026 14:00:00 GMT";
    const EXACT: &str = "Mon, 23 Nov 2026 14:00:01 GMT";
    const AFTER: &str = "Mon, 23 Nov 2026 14:00:02 GMT";

    fn validators(age_seconds: i64) -> Validators {
        let now = NEWEST + Micros::from_secs(age_seconds);
        Validators::new("\"a\"".to_owned(), Some(NEWEST), now)
    }

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let all = all.iter();
        all.map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
    }

    #[test]
    fn conditions_are_looked_at_in_the_order_of_the_rfc() {
        let cases: [(&[(&str, &str)], Condition); 20] = [
            (&[], Holds),
            (&[("if-match", "\"a\"")], Holds),
            (&[("if-match", "\"b\", \"a\"")], Holds),
            (&[("if-match", "*")], Holds),
            (&[("if-match", "W/\"a\"")], Failed),
            (&[("if-match", "\"b\"")], Failed),
            (
                &[("if-match", "\"a\""), ("if-unmodified-since", BEFORE)],
                Holds,
            ),
            (&[("if-unmodified-since", EXACT)], Holds),
            (&[("if-unmodified-since", BEFORE)], Failed),
            (&[("if-unmodified-since", "yesterday")], Holds),
            (&[("if-none-match", "\"a\"")], NotModified),
            (&[("if-none-match", "W/\"a\"")], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"b\"")], Holds),
            (
                &[("if-none-match", "\"b\""), ("if-modified-since", AFTER)],
                Holds,
            ),
            (&[("if-modified-since", AFTER)], NotModified),
            (&[("if-modified-since", EXACT)], NotModified),
            (&[("if-modified-since", BEFORE)], Holds),
            (
                &[("if-match", "\"a\""), ("if-none-match", "\"a\"")],
                NotModified,
            ),
            (&[("if-match", "\"b\""), ("if-none-match", "\"a\"")], Failed),
        ];
        let validators = validators(100);
        assert_eq!(validators.last_modified().unwrap(), EXACT);
        for (all, expected) in cases {
            assert_eq!(validators.condition(&headers(all)), expected, "{all:?}");
        }
    }

    #[test]
    fn a_date_counts_once_it_is_past_and_proves_something_once_it_is_over() {
        assert_eq!(
            validators(0).last_modified(),
            None,
            "it would be in the future"
        );
        let soon = validators(5);
        assert_eq!(soon.last_modified().unwrap(), EXACT);
        let range = |validators: &Validators, value| {
            validators.range_counts(&Method::GET, &headers(&[("if-range", value)]))
        };
        assert!(range(&soon, "\"a\""));
        assert!(
            !range(&soon, EXACT),
            "a frame may still come in that second"
        );
        let late = validators(100);
        assert!(range(&late, EXACT));
        for other in [BEFORE, AFTER, "\"b\"", "W/\"a\"", "yesterday", ""] {
            assert!(!range(&late, other), "{other}");
        }
        assert!(late.range_counts(&Method::GET, &headers(&[])));
        assert!(!late.range_counts(&Method::HEAD, &headers(&[])));
    }
}
