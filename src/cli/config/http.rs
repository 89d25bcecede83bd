//! The section `[http]`: where it listens, and what clients may do at most.

use super::{Wrong, address, interval};
use crate::{
    api::http::{HttpOptions, Limits},
    base::{Micros, units::ByteSize},
};
use serde::Deserialize;
use std::{net::SocketAddr, ops::RangeInclusive, time::Duration};

/// The keys of the section.
pub(super) const KEYS: &[&str] = &[
    "listen",
    "hosts",
    "allow_origins",
    "connections",
    "connections_per_client",
    "readers",
    "readers_per_client",
    "range",
    "url_size",
    "header_size",
    "header_timeout",
    "idle_timeout",
    "answer_timeout",
    "stall_timeout",
];

const COUNT: RangeInclusive<u64> = 1..=100_000;
const RANGE: (Micros, Micros) = (Micros::from_secs(60), Micros::from_secs(366 * 86_400));
const TIMEOUT: (Micros, Micros) = (Micros::from_millis(10), Micros::from_secs(3600));
const URL_SIZE: RangeInclusive<u64> = 256..=64 << 10;
const HEADER_SIZE: RangeInclusive<u64> = 1 << 10..=256 << 10;

/// The section as it stands in the file.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Section {
    listen: Option<toml::Spanned<String>>,
    hosts: Option<toml::Spanned<Vec<String>>>,
    allow_origins: Option<toml::Spanned<Vec<String>>>,
    connections: Option<toml::Spanned<u64>>,
    connections_per_client: Option<toml::Spanned<u64>>,
    readers: Option<toml::Spanned<u64>>,
    readers_per_client: Option<toml::Spanned<u64>>,
    range: Option<toml::Spanned<String>>,
    url_size: Option<toml::Spanned<String>>,
    header_size: Option<toml::Spanned<String>>,
    header_timeout: Option<toml::Spanned<String>>,
    idle_timeout: Option<toml::Spanned<String>>,
    answer_timeout: Option<toml::Spanned<String>>,
    stall_timeout: Option<toml::Spanned<String>>,
}

impl Section {
    /// Where HTTP listens.
    pub(super) fn listen(&self, default: Option<SocketAddr>) -> Result<Option<SocketAddr>, Wrong> {
        address(self.listen.as_ref(), default)
    }

    /// What clients may do.
    pub(super) fn options(&self) -> Result<HttpOptions, Wrong> {
        let default = Limits::default();
        let time = |text: &Option<toml::Spanned<String>>, default| {
            duration(text.as_ref(), TIMEOUT, default)
        };
        let limits = Limits {
            connections: count(self.connections.as_ref(), default.connections)?,
            connections_per_client: count(
                self.connections_per_client.as_ref(),
                default.connections_per_client,
            )?,
            readers: count(self.readers.as_ref(), default.readers)?,
            readers_per_client: count(
                self.readers_per_client.as_ref(),
                default.readers_per_client,
            )?,
            range: duration(self.range.as_ref(), RANGE, default.range)?,
            url_size: size(self.url_size.as_ref(), URL_SIZE, default.url_size)?,
            header_size: size(self.header_size.as_ref(), HEADER_SIZE, default.header_size)?,
            header_timeout: time(&self.header_timeout, default.header_timeout)?,
            idle_timeout: time(&self.idle_timeout, default.idle_timeout)?,
            answer_timeout: time(&self.answer_timeout, default.answer_timeout)?,
            stall_timeout: time(&self.stall_timeout, default.stall_timeout)?,
        };
        Ok(HttpOptions {
            limits,
            hosts: words(self.hosts.as_ref(), |host| {
                let wrong = "write names without a port, such as \"nvr.example\", or \"*\" for any";
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte);
                let is_host = !host.is_empty() && host.bytes().all(fits);
                is_host.then_some(()).ok_or(wrong)
            })?,
            allow_origins: words(self.allow_origins.as_ref(), |origin| {
                let wrong = "write origins as browsers send them, such as \"https://vms.example\", or \"*\" for any";
                is_origin(origin).then_some(()).ok_or(wrong)
            })?,
        })
    }
}

/// Whether a browser could send `text` as an origin (RFC 6454 §6.2).
fn is_origin(text: &str) -> bool {
    let url = url::Url::parse(text).ok();
    text == "*"
        || url.is_some_and(|url| url.has_host() && url.origin().ascii_serialization() == text)
}

fn words(
    words: Option<&toml::Spanned<Vec<String>>>,
    check: impl Fn(&str) -> Result<(), &'static str>,
) -> Result<Vec<String>, Wrong> {
    let Some(words) = words else {
        return Ok(Vec::new());
    };
    for word in words.get_ref() {
        check(word).map_err(|wrong| (words.span(), format!("`{word}` cannot be used; {wrong}")))?;
    }
    Ok(words.get_ref().clone())
}

fn count(number: Option<&toml::Spanned<u64>>, default: usize) -> Result<usize, Wrong> {
    let Some(number) = number else {
        return Ok(default);
    };
    let value = *number.get_ref();
    if !COUNT.contains(&value) {
        let (least, most) = (COUNT.start(), COUNT.end());
        let what = format!("`{value}` is out of range; choose from {least} to {most}");
        return Err((number.span(), what));
    }
    Ok(value as usize)
}

fn size(
    text: Option<&toml::Spanned<String>>,
    bounds: RangeInclusive<u64>,
    default: usize,
) -> Result<usize, Wrong> {
    let Some(text) = text else {
        return Ok(default);
    };
    let size: Result<ByteSize, _> = text.get_ref().parse();
    let size = size.map_err(|error| (text.span(), error.to_string()))?;
    if !bounds.contains(&size.0) {
        let (least, most) = (ByteSize(*bounds.start()), ByteSize(*bounds.end()));
        let what = format!(
            "`{}` is out of range; choose from {least} to {most}",
            text.get_ref()
        );
        return Err((text.span(), what));
    }
    Ok(size.0 as usize)
}

fn duration(
    text: Option<&toml::Spanned<String>>,
    bounds: (Micros, Micros),
    default: Duration,
) -> Result<Duration, Wrong> {
    match text {
        Some(_) => Ok(interval(text, bounds, Micros::ZERO)?.to_std()),
        None => Ok(default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_send_them() {
        for origin in [
            "*",
            "https://vms.example",
            "http://127.0.0.1:8000",
            "http://[::1]:80000",
        ] {
            assert_eq!(is_origin(origin), !origin.contains("80000"), "{origin}");
        }
        for other in [
            "",
            "vms.example",
            "https://vms.example/",
            "https://VMS.example",
            "null",
            "https://vms.example:443",
        ] {
            assert!(!is_origin(other), "{other}");
        }
    }
}
