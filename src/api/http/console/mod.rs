//! The console: the page at `/` and the files it is made of, held in the program itself.
//!
//! The page is written by hand: one document, one sheet, a few modules, no step that builds them and nothing from elsewhere. It uses
//! the public interface and no other, so it can do nothing that another client cannot. `Content-Security-Policy` refuses whatever is
//! not from this address, so that a name or a message with markup in it stays text. The files change only with the program: each has
//! a strong `ETag`, and browsers ask again (`no-cache`), so that after an update no page runs with half of the old modules.

use super::{
    Kind, Problem,
    parameters::Path,
    preconditions::{Condition, Validators},
};
use crate::base::UnixMicros;
use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use std::{fmt::Write, sync::LazyLock};

/// A file of the page.
struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";
const JS: &str = "text/javascript; charset=utf-8";

/// The document, which `/` answers.
const INDEX: &str = "index.html";

macro_rules! asset {
    ($name:literal, $kind:expr) => {
        Asset {
            name: $name,
            kind: $kind,
            text: include_str!($name),
        }
    };
}

/// Every file of the page, in reading order.
const ASSETS: &[Asset] = &[
    asset!("index.html", HTML),
    asset!("style.css", CSS),
    asset!("icon.svg", SVG),
    asset!("app.js", JS),
    asset!("words.js", JS),
    asset!("words-en.js", JS),
    asset!("words-vi.js", JS),
    asset!("time.js", JS),
    asset!("requests.js", JS),
    asset!("cameras.js", JS),
    asset!("recordings.js", JS),
    asset!("timeline.js", JS),
    asset!("tracks.js", JS),
    asset!("gestures.js", JS),
    asset!("palette.js", JS),
    asset!("player.js", JS),
    asset!("screen.js", JS),
    asset!("boxes.js", JS),
    asset!("playlist.js", JS),
    asset!("recorded.js", JS),
    asset!("live.js", JS),
    asset!("keyframes.js", JS),
    asset!("clip.js", JS),
    asset!("preview.js", JS),
    asset!("side.js", JS),
    asset!("notices.js", JS),
    asset!("controls.js", JS),
    asset!("keys.js", JS),
    asset!("help.js", JS),
    asset!("icons.js", JS),
];

/// Nothing but what comes from this address; `blob:` is how a page hands video it has fetched to its own player.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The strong tags of [`ASSETS`], in their order.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| ASSETS.iter().map(tag).collect());

fn tag(asset: &Asset) -> String {
    let digest = Sha256::digest(asset.text.as_bytes());
    let digits = digest
        .iter()
        .take(16)
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
    format!("\"{digits}\"")
}

/// The console's page. It and its files hold nothing of the recordings, so anybody who reaches the listener may have them.
#[utoipa::path(
    get,
    path = "/",
    responses((status = 200, description = "The page", body = String, content_type = "text/html"))
)]
pub(super) async fn page(headers: HeaderMap) -> Response {
    answer(INDEX, &headers)
}

/// A file of the console's page.
#[utoipa::path(
    get,
    path = "/console/{file}",
    params(("file" = String, Path, description = "Its name", example = "style.css")),
    responses(
        (status = 200, description = "The file", content(
            (String = "text/javascript"), (String = "text/css"), (String = "image/svg+xml"), (String = "text/html"))),
        (status = 304, description = "It is what the client has")
    )
)]
pub(super) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    answer(&name, &headers)
}

fn answer(name: &str, headers: &HeaderMap) -> Response {
    let mut found = ASSETS.iter().zip(TAGS.iter());
    let Some((asset, tag)) = found.find(|(asset, _)| asset.name == name) else {
        let name: String = name.chars().take(80).collect();
        let detail = format!("the console has no file `{name}`; load the page at / again");
        return Problem::new(Kind::UnknownRoute, detail).into_response();
    };
    let fields = [
        (header::ETAG, tag.as_str()),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let validators = Validators::new(tag.clone(), None, UnixMicros(0));
    if validators.condition(headers) == Condition::NotModified {
        return (StatusCode::NOT_MODIFIED, fields).into_response();
    }
    (fields, [(header::CONTENT_TYPE, asset.kind)], asset.text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn field(response: &Response, name: header::HeaderName) -> &str {
        let value = response.headers().get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn every_file_is_answered_with_its_type_its_tag_and_the_policy() {
        for asset in ASSETS {
            let response = answer(asset.name, &HeaderMap::new());
            assert_eq!(response.status(), StatusCode::OK, "{}", asset.name);
            let kind = match asset.name.rsplit('.').next() {
                Some("html") => HTML,
                Some("css") => CSS,
                Some("svg") => SVG,
                _ => JS,
            };
            assert_eq!(field(&response, header::CONTENT_TYPE), kind);
            assert_eq!(field(&response, header::CONTENT_SECURITY_POLICY), POLICY);
            assert_eq!(field(&response, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
            let tag = field(&response, header::ETAG).to_owned();
            assert!(
                tag.starts_with('"') && tag.len() > 30,
                "{tag} is strong and long"
            );
            let known = HeaderMap::from_iter([(
                header::IF_NONE_MATCH,
                HeaderValue::from_str(&tag).unwrap(),
            )]);
            let again = answer(asset.name, &known);
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{}", asset.name);
            assert_eq!(field(&again, header::ETAG), tag);
        }
        let absent = answer("absent.js", &HeaderMap::new());
        assert_eq!(absent.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn whatever_a_file_names_is_there() {
        let is_there = |name: &str| ASSETS.iter().any(|asset| asset.name == name);
        for asset in ASSETS {
            let named = asset.text.split(['"', '\'']);
            let named =
                named.filter_map(|text| text.strip_prefix("./").or(text.strip_prefix("console/")));
            for name in named {
                assert!(is_there(name), "{} names {name}", asset.name);
            }
        }
        assert!(!POLICY.contains("unsafe") && !POLICY.contains("http"));
    }
}
