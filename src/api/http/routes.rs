//! The one way to add a route: with its action for the gate, and with its place in the OpenAPI document.

use super::{
    App, Kind, Problem, openapi,
    reading::{self, Reading},
    tagged,
};
use crate::{access::Action, api::http::gate};
use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
};
use std::sync::Arc;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt};

/// What a route answers with, and so which answers it has besides its own and those of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Text made at once.
    Text,
    /// JSON made at once that a client may have already: it has a tag, and conditions count.
    Known,
    /// Such JSON of what is recorded: who asks takes a place among the readers, since a disk may be asked.
    Listing,
    /// A file that is known before it is sent, from recordings: conditions and byte ranges count, and its client takes a place.
    File,
    /// What is sent as it comes, to a client that takes a place.
    Live,
}

impl Answer {
    fn statuses(self) -> &'static [u16] {
        match self {
            Self::Text => &[],
            Self::Known => &[304, 412],
            Self::Listing => &[304, 412, 429],
            Self::File => &[206, 304, 412, 416, 429],
            Self::Live => &[426, 429],
        }
    }
}

/// Routes, each behind the gate and each described.
pub(super) struct Routes {
    app: Arc<App>,
    routes: OpenApiRouter<Arc<App>>,
}

impl Routes {
    /// None yet.
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self {
            app: Arc::clone(app),
            routes: OpenApiRouter::with_openapi(openapi::document()),
        }
    }

    /// Adds a route, `utoipa_axum::routes!(handler)`, to be used by whoever may do `action` with the camera named in its path.
    pub(super) fn add(
        mut self,
        action: Action,
        answer: Answer,
        route: UtoipaMethodRouter<Arc<App>>,
    ) -> Self {
        let reading = Reading {
            admission: Arc::clone(&self.app.admission),
            wording: Problem::worded,
        };
        let route = match answer {
            Answer::Text => route,
            Answer::Known => route.layer(from_fn(tagged::tag)),
            Answer::Listing => route
                .layer(from_fn(tagged::tag))
                .layer(from_fn_with_state(reading, reading::read)),
            Answer::File | Answer::Live => route.layer(from_fn_with_state(reading, reading::read)),
        };
        let state = (Arc::clone(&self.app), action);
        let (schemas, mut paths, methods) = route.layer(from_fn_with_state(state, gate::ask));
        for (path, item) in &mut paths.paths {
            openapi::complete(path, item, answer.statuses());
        }
        self.routes = self.routes.routes((schemas, paths, methods));
        self
    }

    /// Puts `inner` under `prefix`.
    pub(super) fn nest(mut self, prefix: &str, inner: Self) -> Self {
        self.routes = self.routes.nest(prefix, inner.routes);
        self
    }

    /// The router, which answers everything else with a problem; and the document, which it serves.
    pub(super) fn finish(self) -> (Router, utoipa::openapi::OpenApi) {
        let (router, document) = self.routes.split_for_parts();
        let router = router
            .method_not_allowed_fallback(no_such_method)
            .fallback(no_such_route)
            .with_state(self.app);
        (router, document)
    }
}

async fn no_such_route(uri: axum::http::Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    let detail = format!("there is nothing at {path}; see /api/v1/openapi.json for the routes");
    Problem::new(Kind::UnknownRoute, detail)
}

async fn no_such_method(method: axum::http::Method, uri: axum::http::Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    let detail = format!("{method} is not known at {path}; use one of the header `Allow`");
    Problem::new(Kind::MethodNotAllowed, detail)
}
