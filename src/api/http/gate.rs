//! The gate: no route answers before `Access` was asked.
//!
//! `Routes::add` puts it before every route, with the action that the route stands for. The camera is the path's `{id}`. A route about
//! several cameras, or one that shows only what the visitor may see, asks again for each of them through `Visitor`.

use super::{App, Kind, Problem};
use crate::{
    access::{Access, Action, Credentials, Refusal, Request},
    catalog::Secret,
};
use axum::{
    extract::{
        FromRequestParts, RawPathParams, Request as HttpRequest, State,
        rejection::RawPathParamsRejection,
    },
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::Response,
};
use base64::Engine as _;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

/// The name of the path parameter that is a camera's id.
const CAMERA: &str = "id";

/// Where a connection comes from; put into every request by the listener.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct Peer(pub(in crate::api) SocketAddr);

/// Who asks.
#[derive(Clone)]
pub(super) struct Visitor {
    access: Arc<dyn Access>,
    /// Where the request comes from.
    pub(super) peer: IpAddr,
    credentials: Option<Credentials>,
}

impl Visitor {
    /// Whether the visitor may do `action` with `camera`.
    ///
    /// # Errors
    /// With the answer to give when he may not.
    pub(super) fn ask(&self, action: Action, camera: Option<&str>) -> Result<(), Problem> {
        let request = Request {
            peer: self.peer,
            credentials: self.credentials.as_ref(),
            action,
            camera,
        };
        self.access.ask(&request).map_err(|refusal| match refusal {
            Refusal::Unknown => Problem::new(Kind::Unauthorized, refusal.to_string()),
            Refusal::Forbidden => Problem::new(Kind::Forbidden, refusal.to_string()),
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let visitor = parts.extensions.get::<Self>().cloned();
        visitor.ok_or_else(|| Problem::failed("the route is not behind the gate; report it"))
    }
}

/// Asks, and lets the request through or refuses it.
pub(super) async fn ask(
    State((app, action)): State<(Arc<App>, Action)>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    mut request: HttpRequest,
    next: Next,
) -> Result<Response, Problem> {
    let path = path.map_err(|error| Problem::bad_request(error.body_text()))?;
    let peer = request.extensions().get::<Peer>();
    let visitor = Visitor {
        access: Arc::clone(&app.access),
        peer: peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| {
            peer.0.ip().to_canonical()
        }),
        credentials: credentials(request.headers()),
    };
    let camera = path.iter().find(|(name, _)| *name == CAMERA);
    visitor.ask(action, camera.map(|(_, id)| id))?;
    request.extensions_mut().insert(visitor);
    Ok(next.run(request).await)
}

/// What the `Authorization` header says; what cannot be understood proves nothing.
pub(in crate::api) fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, text) = value.split_once(' ')?;
    let text = text.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credentials::Token(Secret::new(text)));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .ok()?;
    let (user, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some(Credentials::Password {
        user: user.to_owned(),
        password: Secret::new(password),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_usual_schemes_are_read_and_nothing_else() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::AUTHORIZATION,
                HeaderValue::from_str(value).expect("a header"),
            );
            credentials(&headers)
        };
        // RFC 7617 §2.
        let aladdin = Credentials::Password {
            user: "Aladdin".to_owned(),
            password: Secret::new("open sesame"),
        };
        assert_eq!(
            read("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            Some(aladdin.clone())
        );
        assert_eq!(read("basic  QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), Some(aladdin));
        assert_eq!(
            read("Bearer mF_9.B5f-4.1JqM"),
            Some(Credentials::Token(Secret::new("mF_9.B5f-4.1JqM")))
        );
        for nothing in [
            "Basic",
            "Basic ???",
            "Basic YQ==",
            "Digest username=\"a\"",
            "",
        ] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }
}
