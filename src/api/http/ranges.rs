//! Byte ranges of an answer (RFC 9110 §14): one, or several as `multipart/byteranges`, bounded in number and never the same byte twice.

use axum::http::{HeaderMap, header};
use std::ops::Range;

/// Most ranges of a request. Readers of MP4 ask for one, those of documents for a few; more is an attack (RFC 9110 §17.15).
pub(super) const RANGES_MAX: usize = 16;

/// What of a file is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it.
    Whole,
    /// These bytes: at least one range, none of them empty, no two with a byte in common.
    Parts(Vec<Range<u64>>),
    /// Bytes that are not there, or ranges too many.
    Unsatisfiable,
}

/// Reads the header `Range`, which is ignored where it cannot be understood (RFC 9110 §14.2).
pub(super) fn asked(headers: &HeaderMap, len: u64) -> Asked {
    let mut values = headers.get_all(header::RANGE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Asked::Whole;
    };
    value.to_str().map_or(Asked::Whole, |text| parse(text, len))
}

fn parse(text: &str, len: u64) -> Asked {
    let Some((unit, set)) = text.split_once('=') else {
        return Asked::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Asked::Whole;
    }
    // An empty element of a list is skipped (RFC 9110 §5.6.1.2).
    let specs = set
        .split(',')
        .map(str::trim)
        .filter(|spec| !spec.is_empty());
    let mut ranges = Vec::new();
    let mut count = 0;
    for spec in specs {
        let Some(range) = one(spec, len) else {
            return Asked::Whole;
        };
        count += 1;
        if count > RANGES_MAX {
            return Asked::Unsatisfiable;
        }
        if !range.is_empty() {
            ranges.push(range);
        }
    }
    match (count, ranges.is_empty()) {
        (0, _) => Asked::Whole,
        (_, true) => Asked::Unsatisfiable,
        _ => Asked::Parts(without_overlap(ranges)),
    }
}

/// A range of a file of `len` bytes, empty when it is outside; `None` when it is none.
fn one(spec: &str, len: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    Some(match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(len),
        (Some(first), None) if last.is_empty() => first..len,
        (None, Some(suffix)) if first.is_empty() => len.saturating_sub(suffix)..len,
        _ => return None,
    })
}

/// A number of digits alone; one that is too large is as good as the largest.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The ranges as asked for where they do not touch, else joined and in order (RFC 9110 §14.2 allows it).
fn without_overlap(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted = ranges.clone();
    sorted.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    if joined.len() == ranges.len() {
        ranges
    } else {
        joined
    }
}

/// Several ranges as one body (RFC 9110 §14.6): what stands before each, and behind the last.
#[derive(Debug)]
pub(super) struct Multipart {
    /// The media type of the body.
    pub(super) content_type: String,
    /// What stands before each range, and the range.
    pub(super) parts: Vec<(String, Range<u64>)>,
    /// What stands behind the last.
    pub(super) end: String,
}

impl Multipart {
    /// `ranges` of a file of `len` bytes of `content_type`, parted by a line made of the file's `tag`: so the same request has the
    /// same answer.
    pub(super) fn new(ranges: Vec<Range<u64>>, len: u64, content_type: &str, tag: &str) -> Self {
        let tag: String = tag
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(50)
            .collect();
        let boundary = format!("nvring-{tag}");
        let head = |number: usize, range: &Range<u64>| {
            let line = if number == 0 { "" } else { "\r\n" };
            let (first, last) = (range.start, range.end - 1);
            format!(
                "{line}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: bytes {first}-{last}/{len}\r\n\r\n"
            )
        };
        let parts = ranges.into_iter().enumerate();
        Self {
            content_type: format!("multipart/byteranges; boundary={boundary}"),
            parts: parts
                .map(|(number, range)| (head(number, &range), range))
                .collect(),
            end: format!("\r\n--{boundary}--\r\n"),
        }
    }

    /// Length of the body.
    pub(super) fn len(&self) -> u64 {
        let parts = self.parts.iter();
        let lens = parts.map(|(head, range)| head.len() as u64 + range.end - range.start);
        lens.sum::<u64>() + self.end.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(ranges: &[(u64, u64)]) -> Asked {
        Asked::Parts(ranges.iter().map(|(from, to)| *from..*to).collect())
    }

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let cases = [
            ("bytes=0-499", parts(&[(0, 500)])),
            ("Bytes = 500-", parts(&[(500, 1000)])),
            ("bytes=-100", parts(&[(900, 1000)])),
            ("bytes=-5000", parts(&[(0, 1000)])),
            ("bytes=900-5000", parts(&[(900, 1000)])),
            ("bytes=0-99999999999999999999999", parts(&[(0, 1000)])),
            ("bytes=1000-", Asked::Unsatisfiable),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=5-3", Asked::Whole),
            ("bytes=0-1,5-3", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=", Asked::Whole),
            ("bytes", Asked::Whole),
            ("lines=1-2", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text, 1000), expected, "{text}");
        }
    }

    #[test]
    fn several_ranges_are_bounded_and_give_no_byte_twice() {
        let cases = [
            ("bytes=0-1,5-6", parts(&[(0, 2), (5, 7)])),
            ("bytes=5-6, ,0-1,", parts(&[(5, 7), (0, 2)])),
            ("bytes=0-1,2000-", parts(&[(0, 2)])),
            ("bytes=2000-,3000-", Asked::Unsatisfiable),
            ("bytes=0-5,3-9", parts(&[(0, 10)])),
            ("bytes=8-9,0-1,1-3", parts(&[(0, 4), (8, 10)])),
            ("bytes=0-4,5-9", parts(&[(0, 10)])),
            ("bytes=0-,0-,0-,-1", parts(&[(0, 1000)])),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text, 1000), expected, "{text}");
        }
        let many = |count: usize| format!("bytes={}", vec!["0-0"; count].join(","));
        assert_eq!(parse(&many(RANGES_MAX), 1000), parts(&[(0, 1)]));
        assert_eq!(parse(&many(RANGES_MAX + 1), 1000), Asked::Unsatisfiable);
    }

    #[test]
    fn the_length_of_several_ranges_is_known_before() {
        let multipart = Multipart::new(vec![0..2, 500..1000], 1000, "video/mp4", "\"1f-3e8-00\"");
        let mut body = String::new();
        for (head, range) in &multipart.parts {
            body += head;
            body += &"x".repeat((range.end - range.start) as usize);
        }
        body += &multipart.end;
        assert_eq!(body.len() as u64, multipart.len());
        assert_eq!(
            multipart.content_type,
            "multipart/byteranges; boundary=nvring-1f3e800"
        );
        let first = "--nvring-1f3e800\r\nContent-Type: video/mp4\r\nContent-Range: bytes 0-1/1000\r\n\r\nxx\r\n--nvring-1f3e800\r\n";
        assert!(body.starts_with(first), "{body}");
        assert!(body.ends_with("x\r\n--nvring-1f3e800--\r\n"), "{body}");
    }
}
