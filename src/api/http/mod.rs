//! HTTP: translation between requests and `store`, `playback`, `catalog`; decides nothing itself.
//!
//! Everything under `/api/v1` answers JSON (errors as RFC 9457 problem details) or video; `/healthz`, `/readyz` and `/metrics` are for
//! machines that watch. Until accounts exist the listener is for loopback only (`cli::config`).
//!
//! **Adding a route.** Write the handler in a file named by its noun and describe it with `#[utoipa::path(get, path = "/cameras/{id}/noun",
//! params(CameraPath, NounQuery), responses((status = 200, body = Noun)))]`; its doc comment becomes its text in the document. Then:
//!
//! 1. Add it in `router` below: `.add(Action::View, Answer::Text, routes!(noun::get))`. There is no other way in, so every route has an
//!    action, and the gate asks `access::Access` for it before the handler runs. The camera is the path parameter `{id}`; for further
//!    cameras (a list, a query that names several) take the extractor `Visitor` and call `visitor.ask(action, Some(camera))?` for each.
//! 2. Read the path with `parameters::Path<String>`, the query with `parameters::Query<T>`, where `T` derives `Deserialize` and
//!    `IntoParams` and says `#[serde(deny_unknown_fields)]` and `#[into_params(parameter_in = Query)]`. Answer with a type that derives
//!    `Serialize` and `ToSchema` (schemas of lower layers' types: `schema.rs`). Errors are `Problem`s; a new kind gets a line in
//!    `problem.rs` and docs/api.md. The statuses that all routes share, and those of files and readers (`Answer`), are described for you.
//! 3. Describe it in docs/api.md with a `curl`, which a test runs.
//!
//! **Bounds.** No route sees a request that the listener refuses: `connections` (how many, how slow), `sieve` (sizes, host, bodies),
//! `reading` (how many read at once). What they go by is in `admission`.

pub(in crate::api) mod admission;
pub(in crate::api) mod cameras;
pub(in crate::api) mod coding;
pub(in crate::api) mod connections;
mod console;
mod days;
pub(in crate::api) mod disposition;
pub(in crate::api) mod download;
mod frame;
mod frames;
pub(in crate::api) mod gate;
mod hls;
pub(in crate::api) mod known_bytes;
mod links;
mod list_memory;
mod live;
mod metrics;
mod openapi;
mod parameters;
mod preconditions;
pub(in crate::api) mod problem;
mod ranges;
pub(in crate::api) mod reading;
pub(in crate::api) mod refusal;
mod routes;
mod schema;
mod server;
pub(in crate::api) mod sieve;
mod still_format;
mod tagged;
#[cfg(test)]
mod tests;
mod timeline;
mod video;
mod watched_stream;

use crate::{
    access::{Access, Action},
    api::status::Status,
    base::Clock,
    catalog::{Catalog, StreamRole},
    playback::kept_files::KeptFiles,
    store::{recordings::Recordings, tail::TailCounters},
};
pub use admission::{Admission, HttpOptions, Limits};
use axum::{
    Router,
    extract::State,
    http::{HeaderName, HeaderValue, Method, header},
    middleware::from_fn_with_state,
};
use connections::Listening;
pub use connections::STOP_GRACE;
use gate::Visitor;
pub use list_memory::ListMemory;
use problem::{Kind, Problem};
use refusal::Wording;
use routes::{Answer, Routes};
use sieve::Sieve;
use std::{
    future::Future,
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::net::TcpListener;
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa_axum::routes;

/// What one stream counts, for `/metrics`.
#[derive(Clone, Debug)]
pub struct StreamNumbers {
    /// The camera's id.
    pub camera: String,
    /// Which of its streams.
    pub role: StreamRole,
    /// Whether frames arrive.
    pub recording: bool,
    /// What its tail counts.
    pub tail: TailCounters,
    /// RTP packets received.
    pub packets: u64,
    /// RTP packets lost.
    pub lost: u64,
    /// Packets and units that could not be understood.
    pub errors: u64,
    /// Connections made after the first.
    pub reconnects: u64,
}

/// What the routes need of the rest of the program.
pub struct App {
    /// The enrolled cameras.
    pub catalog: Arc<Catalog>,
    /// What is recorded.
    pub recordings: Box<dyn Fn() -> Recordings + Send + Sync>,
    /// How the server is.
    pub status: Box<dyn Fn() -> Status + Send + Sync>,
    /// What its streams count.
    pub streams: Box<dyn Fn() -> Vec<StreamNumbers> + Send + Sync>,
    /// The numbers of its volumes.
    pub registry: prometheus::Registry,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Who may do what.
    pub access: Arc<dyn Access>,
    /// The OpenAPI document, once the routes are known.
    pub document: OnceLock<bytes::Bytes>,
    /// The lists of HLS that change.
    pub lists: ListMemory,
    /// Files that were asked for lately.
    pub files: KeptFiles,
    /// What clients may do at most.
    pub admission: Arc<Admission>,
}

type Shared = State<Arc<App>>;

/// All routes.
pub fn router(app: &Arc<App>) -> Router {
    let api = Routes::new(app)
        .add(Action::View, Answer::Known, routes!(cameras::list))
        .add(Action::View, Answer::Known, routes!(cameras::one))
        .add(Action::View, Answer::Listing, routes!(timeline::get))
        .add(Action::View, Answer::Listing, routes!(timeline::several))
        .add(Action::View, Answer::Listing, routes!(days::get))
        .add(Action::View, Answer::File, routes!(frame::get))
        .add(Action::View, Answer::Listing, routes!(frames::get))
        .add(Action::Export, Answer::File, routes!(video::get))
        .add(Action::View, Answer::File, routes!(hls::index))
        .add(Action::View, Answer::File, routes!(hls::media))
        .add(Action::View, Answer::File, routes!(hls::keys))
        .add(Action::View, Answer::File, routes!(hls::part))
        .add(Action::Live, Answer::Live, routes!(live::get))
        .add(Action::Status, Answer::Text, routes!(server::status))
        .add(Action::Status, Answer::Text, routes!(server::volumes))
        .add(Action::Public, Answer::Text, routes!(openapi::get));
    let (router, document) = Routes::new(app)
        .nest("/api/v1", api)
        .add(Action::Public, Answer::Text, routes!(server::alive))
        .add(Action::Public, Answer::Text, routes!(server::ready))
        .add(Action::Status, Answer::Text, routes!(metrics::get))
        .add(Action::Public, Answer::Text, routes!(console::page))
        .add(Action::Public, Answer::Text, routes!(console::file))
        .finish();
    openapi::keep(app, &document);
    router
}

/// Answers requests on `listener` until `stop` is done.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let sieve = Sieve {
        admission: Arc::clone(&app.admission),
        wording: Problem::worded,
        by_host: true,
    };
    let mut routes = bounded(router(&app), &sieve);
    if let Some(cors) = cors(&app.admission.options.allow_origins) {
        routes = routes.layer(cors);
    }
    let listening = Listening {
        admission: Arc::clone(&app.admission),
        router: routes,
        wording: Problem::worded,
    };
    listening.serve(listener, stop).await
}

/// The routes behind what holds for all requests of a listener.
pub(in crate::api) fn bounded(routes: Router, sieve: &Sieve) -> Router {
    let wording: Wording = sieve.wording;
    routes
        .layer(from_fn_with_state(sieve.clone(), sieve::within_time))
        .layer(coding::layer())
        .layer(from_fn_with_state(wording, coding::tell_apart))
        .layer(from_fn_with_state(sieve.clone(), sieve::pass))
}

/// How long a browser may remember what a page of another origin may do.
const CORS_AGE: Duration = Duration::from_secs(3600);

/// Lets pages of these origins read answers, byte ranges and tags included. `None` where there are none.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let any = origins.iter().any(|origin| origin == "*");
    let named: Vec<HeaderValue> = origins
        .iter()
        .filter_map(|origin| origin.parse().ok())
        .collect();
    if named.is_empty() {
        return None;
    }
    let allowed = if any {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(named)
    };
    Some(open_to(allowed).max_age(CORS_AGE))
}

/// What a page of an allowed origin may send and read.
pub(in crate::api) fn open_to(origins: AllowOrigin) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::OPTIONS])
        .allow_headers([
            header::AUTHORIZATION,
            header::RANGE,
            header::IF_RANGE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            header::IF_MODIFIED_SINCE,
            header::IF_UNMODIFIED_SINCE,
        ])
        .expose_headers([
            header::ACCEPT_RANGES,
            header::CONTENT_DISPOSITION,
            header::CONTENT_ENCODING,
            header::CONTENT_LENGTH,
            header::CONTENT_LOCATION,
            header::CONTENT_RANGE,
            header::DATE,
            header::ETAG,
            header::LAST_MODIFIED,
            header::RETRY_AFTER,
            HeaderName::from_static(frame::FRAME_TIME),
        ])
}
