//! Addresses of other answers of this interface, relative to the server: what a client follows as it is.

use crate::base::UnixMicros;
use std::fmt::Display;

/// A parameter of a link, when it has a value.
pub(super) struct Link(&'static str, Option<String>);

impl Link {
    pub(super) fn time(name: &'static str, time: Option<UnixMicros>) -> Self {
        Self::word(name, time)
    }

    pub(super) fn word(name: &'static str, value: Option<impl Display>) -> Self {
        Self(name, value.map(|value| value.to_string()))
    }
}

/// The address of `path` under `/api/v1`.
pub(super) fn to(path: &[&str], query: &[Link]) -> String {
    let mut link = String::from("/api/v1");
    for segment in path {
        link.push('/');
        for byte in segment.bytes() {
            // RFC 3986 §2.3: what never needs to be escaped.
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                link.push(char::from(byte));
            } else {
                link.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    for Link(name, value) in query {
        if let Some(value) = value {
            pairs.append_pair(name, value);
        }
    }
    let query = pairs.finish();
    if !query.is_empty() {
        link.push('?');
        link.push_str(&query);
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_escaped_and_leave_out_what_is_not_asked() {
        let path = ["cameras", "gate 1/..é", "timeline"];
        let query = [
            Link::time("from", Some(UnixMicros(0))),
            Link::time("to", None),
            Link::word("limit", Some(7)),
        ];
        let expected = "/api/v1/cameras/gate%201%2F..%C3%A9/timeline?from=1970-01-01T00%3A00%3A00.000000Z&limit=7";
        assert_eq!(to(&path, &query), expected);
        assert_eq!(to(&["status"], &[]), "/api/v1/status");
    }
}
