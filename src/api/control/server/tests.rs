//! The control socket as its clients meet it: whole answers, refusals in words, and no client that stops another.

use super::*;
use crate::{
    api::{
        control::{CameraRequest, CatalogHandler},
        status::Status,
    },
    base::{SimulatedClock, UnixMicros},
    catalog::{CameraChange, CameraUrl, Catalog},
};

struct Running {
    dir: tempfile::TempDir,
    catalog: Arc<Catalog>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(SimulatedClock::new(UnixMicros(0)));
        let catalog = Arc::new(Catalog::open(dir.path(), clock).unwrap());
        let server = Server::bind(dir.path()).unwrap();
        let status = || Status {
            version: "1".into(),
            pid: 1,
            started: UnixMicros(0),
            data_dir: String::new(),
            http: None,
            rtsp: None,
            rtsps: None,
            mediamtx: None,
            volumes: Vec::new(),
            streams: Vec::new(),
        };
        let task = tokio::spawn(server.run(CatalogHandler::new(catalog.clone(), status)));
        Self { dir, catalog, task }
    }

    async fn client(&self) -> BufReader<UnixStream> {
        BufReader::new(
            UnixStream::connect(socket_path(self.dir.path()))
                .await
                .unwrap(),
        )
    }
}

async fn exchange(client: &mut BufReader<UnixStream>, line: &str) -> Answer {
    client.write_all(line.as_bytes()).await.unwrap();
    client.write_all(b"\n").await.unwrap();
    let mut answer = String::new();
    client.read_line(&mut answer).await.unwrap();
    let line: AnswerLine = serde_json::from_str(&answer).unwrap();
    assert_eq!(line.version, VERSION);
    line.answer
}

async fn ask(client: &mut BufReader<UnixStream>, request: Request) -> Answer {
    let line = RequestLine {
        version: VERSION,
        request,
    };
    exchange(client, &serde_json::to_string(&line).unwrap()).await
}

fn message(answer: Answer) -> String {
    match answer {
        Answer::Failed { message, .. } => message,
        other => panic!("not a refusal: {other:?}"),
    }
}

#[tokio::test]
async fn a_camera_enrolled_through_the_socket_is_in_the_catalog_at_once() {
    let running = Running::start().await;
    let mut client = running.client().await;
    let mut changes = running.catalog.changes();
    let change = CameraChange {
        url: Some(CameraUrl::parse("rtsp://h/s?pwd=S3cret").unwrap()),
        ..CameraChange::default()
    };
    let add = Request::Camera {
        camera: Box::new(CameraRequest::Add {
            id: "gate".parse().unwrap(),
            change: change.into(),
        }),
    };
    let answer = ask(&mut client, add.clone()).await;
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    let Answer::Camera { camera } = &answer else {
        panic!("{answer:?}")
    };
    assert_eq!(camera.url, "rtsp://h/s?pwd=***");
    assert_eq!(running.catalog.list().unwrap().len(), 1);
    assert!(message(ask(&mut client, add).await).contains("already enrolled"));
    assert!(!changes.has_changed().unwrap());
    let list = Request::Camera {
        camera: Box::new(CameraRequest::List),
    };
    let json = serde_json::to_string(&ask(&mut client, list).await).unwrap();
    assert!(json.contains("gate") && !json.contains("S3cret"), "{json}");
}

#[tokio::test]
async fn nonsense_is_refused_in_words_and_the_connection_goes_on() {
    let running = Running::start().await;
    let mut client = running.client().await;
    for (line, part) in [
        ("S3cret", "not understood"),
        ("", "not understood"),
        (
            r#"{"version":2,"request":{"new":"S3cret"}}"#,
            "same nvring release",
        ),
        (
            r#"{"version":1,"request":{"kind":"S3cret"}}"#,
            "does not know this request",
        ),
        (
            r#"{"version":1,"request":{"kind":"camera","camera":{"kind":"remove","id":"a b"}}}"#,
            "does not know this request",
        ),
    ] {
        let refused = message(exchange(&mut client, line).await);
        assert!(refused.contains(part), "{line}: {refused}");
        assert!(!refused.contains("S3cret"), "{refused}");
    }
    assert!(matches!(
        ask(&mut client, Request::Ping).await,
        Answer::Pong { .. }
    ));
}

#[tokio::test]
async fn a_line_without_end_is_refused_and_others_are_served_meanwhile() {
    let running = Running::start().await;
    let mut flood = running.client().await;
    let filler = vec![b'x'; LINE_LEN_MAX + 1];
    flood.write_all(&filler).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX - 2 {
        silent.push(running.client().await);
    }
    let mut other = running.client().await;
    assert!(matches!(
        ask(&mut other, Request::Status).await,
        Answer::Status { .. }
    ));
    let mut answer = String::new();
    flood.read_line(&mut answer).await.unwrap();
    assert!(answer.contains("longer than 8 MiB"), "{answer}");
    answer.clear();
    assert_eq!(flood.read_line(&mut answer).await.unwrap(), 0, "closed");
}

#[tokio::test]
async fn the_socket_is_the_owners_replaces_a_dead_one_and_goes_with_its_server() {
    let running = Running::start().await;
    let path = socket_path(running.dir.path());
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    running.task.abort();
    assert!(running.task.await.is_err());
    assert!(!path.exists());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a dead server's socket");
    let server = Server::bind(running.dir.path()).unwrap();
    assert!(UnixStream::connect(server.path()).await.is_ok());
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_refused_with_the_remedy() {
    let long = PathBuf::from("/tmp").join("x".repeat(100));
    let refused = Server::bind(&long).unwrap_err().to_string();
    assert!(refused.contains("shorter directory"), "{refused}");
}
