//! Who may watch: Basic and Digest (MD5) credentials as cameras ask for them (RFC 2617 §2, §3; RFC 2069 when there is no `qop`).

use crate::request::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

const REALM: &str = "camsim";

/// The credentials of all cameras, and how they are asked for.
#[derive(Clone, Debug)]
pub struct Auth {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
    /// Which challenges are offered.
    pub scheme: Scheme,
}

/// Ways to prove who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scheme {
    /// Digest with MD5 and no `qop`, as most cameras do.
    Digest,
    /// Digest with MD5 and `qop="auth"`.
    DigestQop,
    /// Basic.
    Basic,
    /// Digest (MD5) first, then Basic.
    Both,
}

impl Auth {
    /// The values of the `WWW-Authenticate` headers of a 401 answer.
    pub(crate) fn challenges(&self, nonce: &str) -> Vec<String> {
        let digest = format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\"");
        let basic = format!("Basic realm=\"{REALM}\"");
        match self.scheme {
            Scheme::Digest => vec![digest],
            Scheme::DigestQop => vec![format!("{digest}, qop=\"auth\"")],
            Scheme::Basic => vec![basic],
            Scheme::Both => vec![digest, basic],
        }
    }

    /// Whether the request carries the right credentials for this connection's nonce.
    pub(crate) fn admits(&self, request: &Request, nonce: &str) -> bool {
        let Some((scheme, rest)) = request
            .header("Authorization")
            .and_then(|value| value.split_once(' '))
        else {
            return false;
        };
        match scheme.to_ascii_lowercase().as_str() {
            "basic" if matches!(self.scheme, Scheme::Basic | Scheme::Both) => {
                let expected = format!("{}:{}", self.user, self.password);
                STANDARD
                    .decode(rest.trim())
                    .is_ok_and(|given| given == expected.as_bytes())
            }
            "digest" if self.scheme != Scheme::Basic => {
                self.admits_digest(&request.method, rest, nonce)
            }
            _ => false,
        }
    }

    fn admits_digest(&self, method: &str, rest: &str, nonce: &str) -> bool {
        let field = |name: &str| parameter(rest, name);
        let (Some(uri), Some(given), Some(theirs)) =
            (field("uri"), field("response"), field("nonce"))
        else {
            return false;
        };
        if theirs != nonce || field("username") != Some(self.user.as_str()) {
            return false;
        }
        let secret = hash(&format!("{}:{REALM}:{}", self.user, self.password));
        let action = hash(&format!("{method}:{uri}"));
        let expected = match (self.scheme, field("qop")) {
            (Scheme::DigestQop, Some(qop)) => {
                let (count, own) = (field("nc").unwrap_or(""), field("cnonce").unwrap_or(""));
                hash(&format!("{secret}:{nonce}:{count}:{own}:{qop}:{action}"))
            }
            _ => hash(&format!("{secret}:{nonce}:{action}")),
        };
        given.eq_ignore_ascii_case(&expected)
    }
}

/// The value of one `name="value"` or `name=value` of a header.
fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = text;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim_matches([' ', ',']).eq_ignore_ascii_case(name) {
            return Some(value.trim());
        }
        rest = next;
    }
}

fn hash(text: &str) -> String {
    Md5::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_is_md5() {
        // RFC 1321 §A.5.
        assert_eq!(hash("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
    }

    #[test]
    fn header_parameters_are_found_whatever_stands_between() {
        let text = r#"username="u", realm="a, b", uri="rtsp://h/x=1", qop=auth, nc=00000001, response="ff""#;
        assert_eq!(parameter(text, "realm"), Some("a, b"));
        assert_eq!(parameter(text, "uri"), Some("rtsp://h/x=1"));
        assert_eq!(parameter(text, "qop"), Some("auth"));
        assert_eq!(parameter(text, "response"), Some("ff"));
        assert_eq!(parameter(text, "opaque"), None);
    }
}
