//! Goal: no route answers whom `Access` refuses, and no refusal tells whether what was asked for exists. Method: every route of the OpenAPI
//! document, and those of MediaMTX's shape, are asked in the process, behind all that stands before routes on a listener.

use super::*;
use crate::{
    access::{Refusal, Request as Question},
    api::mediamtx,
    base::{SimulatedClock, UnixMicros},
    catalog::{CameraChange, CameraUrl, Patch, Secret},
    store::recordings::Recordings,
};
use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, StatusCode},
};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Mutex, PoisonError},
};
use tower_service::Service;

/// What no refusal may tell.
const SECRETS: [&str; 4] = ["h0use", "10.9.8.7", "Hidden Yard", "rtsp:"];
/// What a refusal has besides its body.
const HEADERS: [&str; 5] = [
    "cache-control",
    "content-length",
    "content-type",
    "vary",
    "www-authenticate",
];

/// Refuses all but what is named, and keeps what was asked.
struct Doorkeeper {
    refusal: Refusal,
    may: &'static [(Action, Option<&'static str>)],
    asked: Mutex<BTreeSet<(Action, Option<String>)>>,
}

impl Access for Doorkeeper {
    fn ask(&self, question: &Question<'_>) -> Result<(), Refusal> {
        let asked = (question.action, question.camera.map(str::to_owned));
        let mut all = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(asked);
        if self.may.contains(&(question.action, question.camera)) {
            Ok(())
        } else {
            Err(self.refusal)
        }
    }
}

/// A server with two cameras.
struct House {
    app: Arc<App>,
    doorkeeper: Arc<Doorkeeper>,
    http: Router,
    mediamtx: Router,
    _dir: tempfile::TempDir,
}

fn catalog(dir: &Path, clock: &Arc<dyn Clock>) -> Catalog {
    let catalog = Catalog::open(&dir.join("data"), Arc::clone(clock)).unwrap();
    for id in ["gate", "yard"] {
        let change = CameraChange {
            name: Some("Hidden Yard".to_owned()),
            url: Some(CameraUrl::parse("rtsp://10.9.8.7/stream").unwrap()),
            username: Patch::Set("admin".to_owned()),
            password: Patch::Set(Secret::new("h0use")),
            ..CameraChange::default()
        };
        catalog.add(&id.parse().unwrap(), change).unwrap();
    }
    catalog
}

impl House {
    fn new(refusal: Refusal, may: &'static [(Action, Option<&'static str>)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> =
            Arc::new(SimulatedClock::new(UnixMicros(1_700_000_000_000_000)));
        let doorkeeper = Arc::new(Doorkeeper {
            refusal,
            may,
            asked: Mutex::default(),
        });
        let registry = prometheus::Registry::new();
        let admission = Admission::new(HttpOptions::default(), &registry).unwrap();
        let access: Arc<dyn Access> = Arc::clone(&doorkeeper) as _;
        let app = Arc::new(App {
            catalog: Arc::new(catalog(dir.path(), &clock)),
            recordings: Box::new(|| Recordings::new(Vec::new())),
            status: Box::new(|| panic!("whoever is refused has no status made")),
            streams: Box::new(Vec::new),
            registry,
            clock,
            access,
            document: OnceLock::new(),
            lists: ListMemory::default(),
            files: KeptFiles::default(),
            admission: Arc::new(admission),
        });
        let sieve = Sieve {
            admission: Arc::clone(&app.admission),
            wording: Problem::worded,
            by_host: true,
        };
        Self {
            http: bounded(router(&app), &sieve),
            mediamtx: mediamtx::router(Arc::clone(&app)),
            app,
            doorkeeper,
            _dir: dir,
        }
    }

    async fn ask(&self, router: &Router, method: &Method, path: &str) -> Heard {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("if-none-match", "*")
            .header("range", "bytes=0-0");
        // The live view is asked for as what it is; to others this says nothing.
        let request = request
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let request = request.body(Body::empty()).unwrap();
        let response = router.clone().call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        Heard {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// What the last questions were.
    fn asked(&self) -> BTreeSet<(Action, Option<String>)> {
        let all = &self.doorkeeper.asked;
        std::mem::take(&mut *all.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The paths of the OpenAPI document, about a camera.
    fn paths(&self, camera: &str) -> Vec<String> {
        let document = self.app.document.get().unwrap();
        let document: serde_json::Value = serde_json::from_slice(document).unwrap();
        let paths = document["paths"].as_object().unwrap().keys();
        let filled = paths.map(|path| {
            path.replace("{id}", camera)
                .replace("{run}", "1700000000000000")
                .replace("{part}", "0.m4s")
                .replace("{file}", "style.css")
        });
        filled.collect()
    }
}

#[derive(Debug)]
struct Heard {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Heard {
    #[track_caller]
    fn assert_tells_nothing(&self, status: StatusCode, what: &str) {
        assert_eq!(self.status, status, "{what}: {self:?}");
        for secret in SECRETS {
            assert!(!self.body.contains(secret), "{what}: {}", self.body);
        }
        for name in self.headers.keys() {
            let cors = name.as_str().starts_with("access-control-");
            assert!(
                cors || HEADERS.contains(&name.as_str()),
                "{what}: {name} is told: {self:?}"
            );
        }
        let signs_in = self.headers.contains_key("www-authenticate");
        assert_eq!(signs_in, status == StatusCode::UNAUTHORIZED, "{what}");
    }
}

#[tokio::test]
async fn whom_access_refuses_no_route_answers() {
    for (refusal, status) in [
        (Refusal::Unknown, StatusCode::UNAUTHORIZED),
        (Refusal::Forbidden, StatusCode::FORBIDDEN),
    ] {
        let house = House::new(refusal, &[]);
        let paths = house.paths("gate");
        assert!(paths.len() >= 20, "{paths:?}");
        assert!(paths.iter().any(|path| path == "/"));
        assert!(paths.iter().any(|path| path.ends_with("/live")));
        for (path, of_nobody) in paths.iter().zip(house.paths("nobody")) {
            for method in [Method::GET, Method::HEAD] {
                let heard = house.ask(&house.http, &method, path).await;
                heard.assert_tells_nothing(status, path);
                let asked = house.asked();
                assert_eq!(asked.len(), 1, "{method} {path}: {asked:?}");
                let camera = asked.first().and_then(|(_, camera)| camera.as_deref());
                let names_it = path.contains("/cameras/");
                assert_eq!(camera, names_it.then_some("gate"), "{path}");
                // One that is not there is refused in the same words.
                let other = house.ask(&house.http, &method, &of_nobody).await;
                assert_eq!((other.status, &other.body), (status, &heard.body), "{path}");
                house.asked();
            }
        }
        for path in [
            "/list?path=gate",
            "/get?path=gate&start=2026-11-23T08:00:00Z&duration=1",
            "/get?path=gate/sub",
        ] {
            let heard = house.ask(&house.mediamtx, &Method::GET, path).await;
            heard.assert_tells_nothing(status, path);
            let asked = house.asked();
            assert!(
                asked
                    .iter()
                    .all(|(_, camera)| camera.as_deref() == Some("gate")),
                "{path}: {asked:?}"
            );
            let of_nobody = path.replace("gate", "nobody");
            let other = house.ask(&house.mediamtx, &Method::GET, &of_nobody).await;
            assert_eq!((other.status, &other.body), (status, &heard.body), "{path}");
            house.asked();
        }
    }
}

/// Who may see one camera sees nothing of the others, and does with the one only what he may.
#[tokio::test]
async fn who_may_see_one_camera_sees_no_other() {
    const MAY: &[(Action, Option<&str>)] = &[(Action::View, None), (Action::View, Some("gate"))];
    let house = House::new(Refusal::Forbidden, MAY);
    let get = async |path: &str| house.ask(&house.http, &Method::GET, path).await;
    let request = Request::builder()
        .uri("/api/v1/cameras")
        .header("host", "localhost")
        .body(Body::empty())
        .unwrap();
    let listed = house.http.clone().call(request).await.unwrap();
    let listed = to_bytes(listed.into_body(), 1 << 20).await.unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
    let ids: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(ids, ["gate"]);
    for path in [
        "/api/v1/cameras/yard",
        "/api/v1/cameras/yard/timeline",
        "/api/v1/timeline?camera=gate&camera=yard",
        "/api/v1/cameras/gate/video.mp4",
        "/api/v1/cameras/gate/live",
        "/api/v1/status",
        "/metrics",
    ] {
        let heard = get(path).await;
        heard.assert_tells_nothing(StatusCode::FORBIDDEN, path);
    }
    let one = get("/api/v1/cameras/gate/timeline").await;
    assert_eq!(one.status, StatusCode::NOT_MODIFIED, "{one:?}");
    let list = house
        .ask(&house.mediamtx, &Method::GET, "/list?path=yard")
        .await;
    list.assert_tells_nothing(StatusCode::FORBIDDEN, "/list");
}
