//! The address of a camera's stream, and the one way to show it: with everything that is a credential hidden.
//!
//! Cameras carry credentials in four places: `user:password@` before the host, the query (`?user=…&pwd=…`), parameters in
//! the path (`/user=admin_password=…_channel=1_stream=0.sdp`, as recorders on Xiongmai boards want it) and, wrongly typed,
//! anywhere. The first is split off at the door and becomes a user name and a `Secret`; the others are part of the address,
//! so the address as a whole is a secret: it has no `Display` of its own and `Debug` shows `redacted()`.

use crate::catalog::secret::{HIDDEN, Secret};
use std::fmt;
use url::Url;

/// The longest address accepted, in bytes.
pub const URL_LEN_MAX: usize = 2048;

/// An RTSP address without user information.
#[derive(Clone, PartialEq, Eq)]
pub struct CameraUrl(Url);

/// The parts of an address as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitUrl {
    /// The address without user information.
    pub url: CameraUrl,
    /// The user before the host, decoded.
    pub username: Option<String>,
    /// The password before the host, decoded.
    pub password: Option<Secret>,
}

/// An address that cannot be a camera's. The message never holds a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "camera URL `{shown}` {why}; write rtsp://HOST[:PORT]/PATH as in the camera's manual, such as rtsp://10.0.0.7/stream1"
)]
pub struct UrlError {
    shown: String,
    why: &'static str,
}

impl CameraUrl {
    /// Reads an address and splits its user information off.
    pub fn split(text: &str) -> Result<SplitUrl, UrlError> {
        let text = text.trim();
        let refuse = |why| UrlError {
            shown: redact_text(text),
            why,
        };
        if text.len() > URL_LEN_MAX {
            return Err(refuse("is longer than 2048 bytes"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(refuse("holds a space or a control character"));
        }
        let mut url = Url::parse(text).map_err(|_| refuse("is not a URL"))?;
        match url.scheme() {
            "rtsp" => {}
            "rtsps" => return Err(refuse("asks for RTSP over TLS, which is not supported")),
            _ => return Err(refuse("is not an RTSP address")),
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(refuse("names no host"));
        }
        if url.port() == Some(0) {
            return Err(refuse("names port 0"));
        }
        let username = percent_decode(url.username()).map_err(refuse)?;
        let password = percent_decode(url.password().unwrap_or("")).map_err(refuse)?;
        let cleared = url.set_username("").is_ok() && url.set_password(None).is_ok();
        assert!(cleared, "a URL with a host can lose its user information");
        url.set_fragment(None);
        Ok(SplitUrl {
            url: Self(url),
            username: (!username.is_empty()).then_some(username),
            password: (!password.is_empty()).then(|| Secret::new(password)),
        })
    }

    /// Reads an address that must not hold user information.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let split = Self::split(text)?;
        if split.username.is_some() || split.password.is_some() {
            return Err(UrlError {
                shown: redact_text(text),
                why: "holds a user name or password",
            });
        }
        Ok(split.url)
    }

    /// The address itself, credentials in query and path included: for the RTSP client and the sealed catalog only.
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// The host, with its port unless that is RTSP's own.
    pub fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port() {
            Some(port) if port != 554 => format!("{host}:{port}"),
            _ => host.to_owned(),
        }
    }

    /// Whether query or path hold what looks like a credential.
    pub fn holds_credentials(&self) -> bool {
        let path = self.path_and_query();
        redact_parameters(path) != path
    }

    /// The address with every credential hidden: the only form for people, logs and answers.
    pub fn redacted(&self) -> String {
        let path = self.path_and_query();
        let start = self.0.as_str().strip_suffix(path).unwrap_or_default();
        // A mistyped address may have a password's end in its path: `rtsp://admin:12/34@host/s` names host `admin`.
        match path.rsplit_once('@') {
            Some((_, rest)) => format!("{start}/{HIDDEN}@{}", redact_parameters(rest)),
            None => format!("{start}{}", redact_parameters(path)),
        }
    }

    fn path_and_query(&self) -> &str {
        self.0
            .as_str()
            .get(self.0[..url::Position::BeforePath].len()..)
            .unwrap_or_default()
    }
}

impl fmt::Debug for CameraUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CameraUrl({})", self.redacted())
    }
}

impl<'de> serde::Deserialize<'de> for CameraUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Secret::deserialize(deserializer)?;
        Self::parse(text.expose()).map_err(serde::de::Error::custom)
    }
}

/// Any text meant as an address, with every credential hidden; works on what is no URL at all.
fn redact_text(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    // A password may hold `/` or `?` unescaped, so the last `@` ends the user information.
    let (hidden, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => (true, rest),
        None => (false, rest),
    };
    let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(path_at);
    format!(
        "{scheme}{}{}{host}{}",
        if scheme.is_empty() { "" } else { "://" },
        if hidden { "***@" } else { "" },
        redact_parameters(path)
    )
}

/// Hides the values of parameters whose names say that they are credentials, in a query or a path.
fn redact_parameters(path: &str) -> String {
    const SEPARATORS: [char; 5] = ['/', '?', '&', ';', '_'];
    let mut shown = String::with_capacity(path.len());
    let mut hiding = false;
    let mut rest = path;
    let mut separator = "";
    loop {
        let end = rest.find(SEPARATORS).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        match token.split_once('=') {
            Some((name, _)) if is_credential_name(name) => {
                hiding = true;
                for part in [separator, name, "=", HIDDEN] {
                    shown.push_str(part);
                }
            }
            // What follows a hidden value without a name of its own may be the rest of a password holding a separator.
            None if hiding => {}
            _ => {
                hiding = false;
                shown.push_str(separator);
                shown.push_str(token);
            }
        }
        let Some(next) = after.chars().next() else {
            return shown;
        };
        (separator, rest) = after.split_at(next.len_utf8());
    }
}

/// Names under which cameras take a user, a password or a token.
fn is_credential_name(name: &str) -> bool {
    const PARTS: [&str; 13] = [
        "pass", "pwd", "psw", "user", "usr", "auth", "token", "key", "secret", "login", "account",
        "cred", "session",
    ];
    let name = name.to_ascii_lowercase();
    let name = percent_decode(&name).unwrap_or(name);
    matches!(name.as_str(), "u" | "p" | "pw" | "sid" | "name")
        || PARTS.iter().any(|part| name.contains(part))
}

fn percent_decode(text: &str) -> Result<String, &'static str> {
    const BAD: &str = "holds a user name or password that is not percent-encoded UTF-8";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| (byte as char).to_digit(16));
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return Err(BAD),
        }
    }
    String::from_utf8(bytes).map_err(|_| BAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_information_is_split_off_and_decoded() {
        let split = CameraUrl::split("rtsp://admin:p%40ss%2F1@10.0.0.7:8554/s1?channel=1").unwrap();
        assert_eq!(split.username.as_deref(), Some("admin"));
        assert_eq!(split.password, Some(Secret::new("p@ss/1")));
        assert_eq!(
            split.url.expose().as_str(),
            "rtsp://10.0.0.7:8554/s1?channel=1"
        );
        assert_eq!(split.url.host(), "10.0.0.7:8554");
        assert!(!split.url.holds_credentials());
    }

    #[test]
    fn every_kind_of_credential_is_hidden_in_every_display() {
        let cases = [
            (
                "rtsp://h/s?user=admin&password=S3cret",
                "rtsp://h/s?user=***&password=***",
            ),
            (
                "rtsp://h/user=admin_password=S3cret_with_S3cret_channel=1_stream=0.sdp?real_stream",
                "rtsp://h/user=***_password=***_channel=1_stream=0.sdp?real_stream",
            ),
            (
                "rtsp://h/live?loginPas=S3cret;stream=1",
                "rtsp://h/live?loginPas=***;stream=1",
            ),
            ("rtsp://h/live?PWD=S3cret", "rtsp://h/live?PWD=***"),
            ("rtsp://h/live?p%77d=S3cret", "rtsp://h/live?p%77d=***"),
            (
                "rtsp://h/cam/realmonitor?channel=1&subtype=0",
                "rtsp://h/cam/realmonitor?channel=1&subtype=0",
            ),
            (
                "rtsp://h/live_view_1/track_2",
                "rtsp://h/live_view_1/track_2",
            ),
        ];
        for (text, shown) in cases {
            let url = CameraUrl::parse(text).unwrap();
            assert_eq!(url.redacted(), shown);
            assert!(!format!("{url:?}").contains("S3cret"), "{text}");
            assert_eq!(url.holds_credentials(), text != shown);
        }
        let mistyped = CameraUrl::parse("rtsp://admin:12/S3cret@h/s").unwrap();
        assert_eq!(mistyped.redacted(), "rtsp://admin:12/***@h/s");
    }

    #[test]
    fn refusals_never_repeat_a_credential() {
        for text in [
            "rtsp://u:S3cret@h/s",
            "rtsp://u:S3cret@h:99999/s",
            "rtsp://u:S3c/S3cret?@h/s",
            "http://u:S3cret@h/s",
            "u:S3cret@h",
            "rtsp://h:bad/s?pwd=S3cret",
            "rtsp://u:S3cret%zz@h/s",
            "rtsp:///S3cret=1?key=S3cret ",
        ] {
            let error = CameraUrl::parse(text);
            match error {
                Ok(url) => panic!("{text} became {url:?}"),
                Err(error) => {
                    let line = error.to_string();
                    assert!(!line.replace("S3cret=1", "").contains("S3c"), "{line}");
                    assert!(line.contains("; write rtsp://"), "{line}");
                }
            }
        }
    }

    #[test]
    fn only_rtsp_with_a_host_is_an_address() {
        for (text, why) in [
            ("rtsps://h/s", "TLS"),
            ("http://h/s", "not an RTSP address"),
            ("10.0.0.7/s", "not a URL"),
            ("rtsp:///s", "no host"),
            ("rtsp://h:0/s", "port 0"),
            ("rtsp://h/a b", "space"),
        ] {
            let error = CameraUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
