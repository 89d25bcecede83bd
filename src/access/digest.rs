//! Digest sign-in (RFC 7616, and its first form RFC 2069) and basic sign-in (RFC 7617), for listeners of RTSP.
//!
//! Pure: a listener keeps one `Nonce` per connection and asks. A nonce is good for its connection only, so what is overheard opens
//! nothing on another one, and no table of nonces can be filled by strangers. Where a client counts its requests (`qop`), none is taken
//! twice; the cameras' old form without a count is taken as well, because GStreamer 1.22 knows no other.
//!
//! SHA-256 is offered first and MD5 last: ffmpeg 5.1 gives up when the last offer is not MD5, better clients take the first.

use crate::catalog::Secret;
use md5::Md5;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt::Write};

/// What passwords are for.
const REALM: &str = "nvring";
/// Most users of a file.
pub const USERS_MAX: usize = 1_000;

/// Who may sign in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users(BTreeMap<String, Secret>);

/// A list of users that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct UsersError {
    /// From 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub what: &'static str,
}

impl Users {
    /// Reads lines of `name:password`. Empty lines and those that begin with `#` are left out.
    ///
    /// # Errors
    /// When a line is none of these, a name is there twice, or nobody is named.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        let mut users = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |what| UsersError {
                line: index + 1,
                what,
            };
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, password) = line
                .split_once(':')
                .ok_or_else(|| wrong("write `name:password`"))?;
            if name.is_empty() || password.is_empty() {
                return Err(wrong(
                    "the name or the password is empty; write `name:password`",
                ));
            }
            if name.contains(['"', '\\']) || line.contains(char::is_control) {
                return Err(wrong(
                    "quotes, backslashes and control characters cannot be sent in a name; choose another",
                ));
            }
            if users.len() == USERS_MAX {
                return Err(wrong("too many users; at most 1000 are taken"));
            }
            if users
                .insert(name.to_owned(), Secret::new(password))
                .is_some()
            {
                return Err(wrong("this name is there twice; remove one"));
            }
        }
        if users.is_empty() {
            return Err(UsersError {
                line: 1,
                what: "nobody is named; write `name:password`",
            });
        }
        Ok(Self(users))
    }

    /// A user's password.
    pub fn password(&self, user: &str) -> Option<&Secret> {
        self.0.get(user)
    }
}

/// What a connection is challenged with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce {
    secret: String,
    /// How many there were before on this connection.
    number: u32,
    text: String,
    /// The highest count taken.
    counted: u32,
}

/// What is to be signed in for.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a str,
    /// Whether an address is that of the request. Clients write it in other words than the request line, so texts are not compared.
    pub is_at: &'a dyn Fn(&str) -> bool,
    /// Whether passwords may be sent as they are, because nobody can listen.
    pub basic: bool,
}

/// A sign-in that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The proof is missing or wrong.
    Wrong,
    /// The nonce was of another connection, or the count is one that was taken: the client may try again without asking its user.
    Stale,
    /// The proof is for another address (RFC 7616 §3.4.6).
    Elsewhere,
}

const DENIED: Denied = Denied::Wrong;
/// Whom an unknown name is compared with, so that it takes as long as a known one.
const NOBODY: &str = "nobody";
/// Letters of a nonce.
const NONCE_LEN: usize = 32;

impl Nonce {
    /// The first one of a connection that keeps `secret`, random text.
    pub fn new(secret: String) -> Self {
        Self {
            text: nonce(&secret, 0),
            secret,
            number: 0,
            counted: 0,
        }
    }

    /// Another one; the one before is stale.
    fn renew(&mut self) {
        self.number = self.number.wrapping_add(1);
        self.text = nonce(&self.secret, self.number);
        self.counted = 0;
    }

    /// The values of `WWW-Authenticate`, in this order. `basic`: whether passwords may be sent as they are, because nobody can listen.
    pub fn challenges(&self, stale: bool, basic: bool) -> Vec<String> {
        let stale = if stale { ", stale=true" } else { "" };
        let digest = |algorithm: &str, qop: &str| {
            format!(
                "Digest realm=\"{REALM}\", nonce=\"{}\", algorithm={algorithm}{qop}{stale}",
                self.text
            )
        };
        let mut all = vec![digest("SHA-256", ", qop=\"auth\"")];
        all.extend(basic.then(|| format!("Basic realm=\"{REALM}\"")));
        all.push(digest("MD5", ", qop=\"auth\""));
        all
    }

    /// Whether `authorization` proves who asks; gives the name.
    ///
    /// # Errors
    /// When it does not.
    pub fn check<'a>(
        &mut self,
        users: &'a Users,
        authorization: &str,
        asked: Asked<'_>,
    ) -> Result<&'a str, Denied> {
        let (scheme, rest) = authorization.trim().split_once(' ').ok_or(DENIED)?;
        if scheme.eq_ignore_ascii_case("basic") && asked.basic {
            return check_basic(users, rest);
        }
        if !scheme.eq_ignore_ascii_case("digest") {
            return Err(DENIED);
        }
        let given = parameters(rest);
        let value = |name: &str| given.get(name).map(String::as_str);
        let required = |name: &str| value(name).ok_or(DENIED);
        if required("nonce")? != self.text {
            return Err(Denied::Stale);
        }
        let hash: fn(&str) -> String = match value("algorithm") {
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => hex::<Sha256>,
            Some(name) if !name.eq_ignore_ascii_case("MD5") => return Err(DENIED),
            _ => hex::<Md5>,
        };
        let (user, realm) = (required("username")?, required("realm")?);
        let known = users.0.get_key_value(user);
        let password = known.map_or(NOBODY, |(_, password)| password.expose());
        let ha1 = hash(&format!("{user}:{realm}:{password}"));
        let uri = required("uri")?;
        let ha2 = hash(&format!("{}:{uri}", asked.method));
        let nonce = &self.text;
        let (count, expected) = match value("qop") {
            None => (None, hash(&format!("{ha1}:{nonce}:{ha2}"))),
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                let (nc, cnonce) = (required("nc")?, required("cnonce")?);
                let count = u32::from_str_radix(nc, 16).map_err(|_| DENIED)?;
                (
                    Some(count),
                    hash(&format!("{ha1}:{nonce}:{nc}:{cnonce}:{qop}:{ha2}")),
                )
            }
            Some(_) => return Err(DENIED),
        };
        let right = same(&expected, required("response")?) && realm == REALM;
        let (name, _) = known.filter(|_| right).ok_or(DENIED)?;
        if !(asked.is_at)(uri) {
            return Err(Denied::Elsewhere);
        }
        if let Some(count) = count {
            if count <= self.counted {
                // Whoever knows the password may count anew; whoever has listened may not.
                self.renew();
                return Err(Denied::Stale);
            }
            self.counted = count;
        }
        Ok(name)
    }
}

fn check_basic<'a>(users: &'a Users, text: &str) -> Result<&'a str, Denied> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text.trim())
        .map_err(|_| DENIED)?;
    let (user, password) = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.split_once(':'))
        .ok_or(DENIED)?;
    let known = users.0.get_key_value(user);
    let expected = known.map_or(NOBODY, |(_, password)| password.expose());
    let right = same(&hex::<Sha256>(expected), &hex::<Sha256>(password));
    known
        .filter(|_| right)
        .map(|(name, _)| name.as_str())
        .ok_or(DENIED)
}

fn nonce(secret: &str, number: u32) -> String {
    let mut text = hex::<Sha256>(&format!("{secret}:{number}"));
    text.truncate(NONCE_LEN);
    text
}

fn hex<D: Digest>(text: &str) -> String {
    D::digest(text.as_bytes())
        .iter()
        .fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// Compares hashes in a time that tells nothing of where they differ.
fn same(a: &str, b: &str) -> bool {
    let differs = a
        .bytes()
        .zip(b.bytes())
        .fold(0, |differs, (a, b)| differs | (a ^ b.to_ascii_lowercase()));
    a.len() == b.len() && differs == 0
}

/// `name=value` and `name="value"` with commas between; names in lower case.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', '\t', ',']).to_ascii_lowercase();
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let (value, after) = after.split_once(',').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        found.entry(name).or_insert(value);
        rest = after;
    }
    found
}

/// Up to the closing quote, and what stands behind it.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, text.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, c)| c)),
            _ => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        Users::parse("# those of the gate\nnga:h0use:2\n\nminh:x\n").expect("users")
    }

    fn asked(method: &str, basic: bool) -> Asked<'_> {
        Asked {
            method,
            is_at: &|uri| uri == "rtsp://h/gate",
            basic,
        }
    }

    fn answer(nonce: &Nonce, algorithm: &str, password: &str, qop: Option<&str>) -> String {
        let nonce = &nonce.text;
        let hash: fn(&str) -> String = if algorithm == "MD5" {
            hex::<Md5>
        } else {
            hex::<Sha256>
        };
        let ha1 = hash(&format!("nga:nvring:{password}"));
        let ha2 = hash("PLAY:rtsp://h/gate");
        let (response, rest) = match qop {
            None => (hash(&format!("{ha1}:{nonce}:{ha2}")), String::new()),
            Some(nc) => (
                hash(&format!("{ha1}:{nonce}:{nc}:c:auth:{ha2}")),
                format!(", qop=auth, nc={nc}, cnonce=\"c\""),
            ),
        };
        format!(
            "Digest username=\"nga\", realm=\"nvring\",nonce=\"{nonce}\", uri=\"rtsp://h/gate\", algorithm={algorithm}, response=\"{response}\"{rest}"
        )
    }

    #[test]
    fn both_hashes_and_both_forms_are_taken_and_a_count_once() {
        let users = users();
        let mut nonce = Nonce::new("n0nce".to_owned());
        for algorithm in ["MD5", "SHA-256"] {
            let plain = answer(&nonce, algorithm, "h0use:2", None);
            assert_eq!(nonce.check(&users, &plain, asked("PLAY", false)), Ok("nga"));
            assert_eq!(
                nonce.check(&users, &plain, asked("PLAY", false)),
                Ok("nga"),
                "the old form has no count"
            );
            assert_eq!(
                nonce.check(&users, &plain, asked("TEARDOWN", false)),
                Err(DENIED),
                "another method"
            );
            assert_eq!(
                nonce.check(
                    &users,
                    &answer(&nonce, algorithm, "h0use", None),
                    asked("PLAY", false)
                ),
                Err(DENIED)
            );
        }
        let counted = answer(&nonce, "SHA-256", "h0use:2", Some("00000002"));
        assert_eq!(
            nonce.check(&users, &counted, asked("PLAY", false)),
            Ok("nga")
        );
        assert_eq!(
            nonce.check(&users, &counted, asked("PLAY", false)),
            Err(Denied::Stale),
            "sent again by somebody else"
        );
        assert_eq!(
            nonce.check(&users, &counted, asked("PLAY", false)),
            Err(Denied::Stale),
            "and again: the nonce is another one"
        );
        for _ in 0..3 {
            let anew = answer(&nonce, "SHA-256", "h0use:2", Some("00000001"));
            assert_eq!(nonce.check(&users, &anew, asked("PLAY", false)), Ok("nga"));
            assert_eq!(
                nonce.check(&users, &anew, asked("PLAY", false)),
                Err(Denied::Stale),
                "a client that never counts signs in with the nonce it is given then"
            );
        }
        let elsewhere = Asked {
            is_at: &|_| false,
            ..asked("PLAY", false)
        };
        let plain = answer(&nonce, "MD5", "h0use:2", None);
        assert_eq!(
            nonce.check(&users, &plain, elsewhere),
            Err(Denied::Elsewhere),
            "overheard, and sent for another camera"
        );
        assert_eq!(
            nonce.check(
                &users,
                &answer(&nonce, "MD5", "h0use:2", Some("00000003")),
                asked("PLAY", false)
            ),
            Ok("nga")
        );
        let mut other = Nonce::new("another".to_owned());
        assert_eq!(
            other.check(&users, &counted, asked("PLAY", false)),
            Err(Denied::Stale)
        );
    }

    /// The example of RFC 7616 §3.9.1, both algorithms.
    #[test]
    fn the_published_example_is_understood() {
        let users = Users::parse("Mufasa:Circle of Life").expect("users");
        let ha1 = hex::<Md5>("Mufasa:http-auth@example.org:Circle of Life");
        let ha2 = hex::<Md5>("GET:/dir/index.html");
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let response = |hash: fn(&str) -> String, ha1: &str, ha2: &str| {
            hash(&format!("{ha1}:{nonce}:00000001:{cnonce}:auth:{ha2}"))
        };
        assert_eq!(
            response(hex::<Md5>, &ha1, &ha2),
            "8ca523f5e9506fed4657c9700eebdbec"
        );
        let (ha1, ha2) = (
            hex::<Sha256>("Mufasa:http-auth@example.org:Circle of Life"),
            hex::<Sha256>("GET:/dir/index.html"),
        );
        assert_eq!(
            response(hex::<Sha256>, &ha1, &ha2),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
        assert!(users.password("Mufasa").is_some());
    }

    #[test]
    fn basic_is_for_listeners_where_nobody_can_listen() {
        let users = Users::parse("Aladdin:open sesame").expect("users");
        let mut nonce = Nonce::new("n".to_owned());
        let authorization = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
        assert_eq!(
            nonce.check(&users, authorization, asked("PLAY", true)),
            Ok("Aladdin")
        );
        assert_eq!(
            nonce.check(&users, authorization, asked("PLAY", false)),
            Err(DENIED)
        );
        let offered = nonce.challenges(false, true);
        assert!(
            offered[0].contains("SHA-256")
                && offered[1].starts_with("Basic")
                && offered[2].contains("MD5")
        );
        assert!(
            nonce
                .challenges(true, false)
                .iter()
                .all(|offer| offer.starts_with("Digest") && offer.ends_with("stale=true"))
        );
    }

    #[test]
    fn nothing_half_proves_anything() {
        let (users, mut nonce) = (users(), Nonce::new("n0nce".to_owned()));
        for text in [
            "",
            "Digest",
            "Digest ",
            "Digest nonce=\"0\"",
            "Digest nonce=\"0",
            "Digest =,=\"\\",
            "Bearer x",
            "Basic ????",
        ] {
            assert!(
                nonce.check(&users, text, asked("PLAY", true)).is_err(),
                "{text}"
            );
        }
        let missing = answer(&nonce, "MD5", "h0use:2", None).replace("response=\"", "response=\"0");
        assert_eq!(
            nonce.check(&users, &missing, asked("PLAY", true)),
            Err(DENIED)
        );
    }

    #[test]
    fn a_list_that_cannot_be_read_names_its_line() {
        for (text, line) in [
            ("a:b\nc", 2),
            ("a:", 1),
            (":b", 1),
            ("a:b\na:c", 2),
            ("", 1),
            ("# nobody\n", 1),
            ("a\"b:c", 1),
        ] {
            assert_eq!(
                Users::parse(text).expect_err("refused").line,
                line,
                "{text}"
            );
        }
    }
}
