//! What the catalog promises across processes and years: identities given once, names kept, secrets sealed, one writer, and
//! no harm to files it does not understand.

use super::*;
use crate::base::{Micros, SimulatedClock, UnixMicros};
use std::{collections::HashSet, os::unix::fs::PermissionsExt};

struct Fixture {
    dir: tempfile::TempDir,
    clock: Arc<SimulatedClock>,
}

impl Fixture {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            clock: Arc::new(SimulatedClock::new(UnixMicros(1_700_000_000_000_000))),
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn open(&self) -> Result<Catalog, CatalogError> {
        Catalog::open(&self.data(), self.clock.clone())
    }

    fn refusal(&self) -> String {
        match self.open() {
            Ok(_) => panic!("the catalog was opened"),
            Err(error) => error.to_string(),
        }
    }
}

fn id(text: &str) -> CameraId {
    text.parse().unwrap()
}

fn at(url: &str) -> CameraChange {
    CameraChange {
        url: Some(CameraUrl::parse(url).unwrap()),
        ..CameraChange::default()
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_camera_is_the_same_after_reopening() {
    let fixture = Fixture::new();
    let change = CameraChange {
        name: Some("Cổng chính".into()),
        sub_url: Patch::Set(CameraUrl::parse("rtsp://10.0.0.7/s2").unwrap()),
        username: Patch::Set("admin".into()),
        password: Patch::Set(Secret::new("h0use")),
        system: Some(System::Public),
        area: Some("Yên Bái/Văn Yên/Mậu A".into()),
        owner: Some("Trường Tiểu học Mậu A".into()),
        transport: Some(Transport::Udp),
        ..at("rtsp://10.0.0.7/s1?token=t0ken")
    };
    let added = fixture.open().unwrap().add(&id("gate"), change).unwrap();
    assert_ne!(added.main, added.sub);
    let catalog = fixture.open().unwrap();
    assert_eq!(catalog.get(&id("gate")).unwrap(), added);
    assert_eq!(catalog.list().unwrap(), [added]);
    assert_eq!(mode(&fixture.data()), 0o700);
    for file in [
        "catalog.db",
        "catalog.db-wal",
        "catalog.db-shm",
        "secret.key",
        "catalog.lock",
    ] {
        assert_eq!(mode(&fixture.data().join(file)), 0o600, "{file}");
    }
}

#[test]
fn a_stream_identity_is_never_given_again_and_a_removed_camera_keeps_its_name() {
    let fixture = Fixture::new();
    let catalog = fixture.open().unwrap();
    let mut given = HashSet::new();
    let mut lives = Vec::new();
    for life in 0..5 {
        let change = CameraChange {
            name: Some(format!("life {life}")),
            ..at("rtsp://h/s")
        };
        let camera = catalog.add(&id("gate"), change).unwrap();
        assert!(given.insert(camera.main) && given.insert(camera.sub));
        fixture.clock.advance(Micros::from_secs(1));
        let removed = catalog.remove(&id("gate")).unwrap();
        assert_eq!((removed.main, removed.sub), (camera.main, camera.sub));
        lives.push(removed);
    }
    assert!(matches!(
        catalog.get(&id("gate")),
        Err(CatalogError::UnknownCamera { .. })
    ));
    assert_eq!(catalog.removed().unwrap(), lives);
}

/// Goal: R-10. No byte of the data directory tells a password, a user, an address or a token; the key file alone opens them.
#[test]
fn no_secret_is_readable_in_any_file() {
    let fixture = Fixture::new();
    let secrets = ["h0use", "0perator", "10.9.8.7", "t0ken"];
    let catalog = fixture.open().unwrap();
    let change = || CameraChange {
        username: Patch::Set("0perator".into()),
        password: Patch::Set(Secret::new("h0use")),
        ..at("rtsp://10.9.8.7/s1?token=t0ken")
    };
    catalog.add(&id("gate"), change()).unwrap();
    catalog.add(&id("yard"), change()).unwrap();
    catalog.remove(&id("yard")).unwrap();
    let search = || {
        for entry in std::fs::read_dir(fixture.data()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            for secret in secrets {
                let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
                assert!(!found, "{secret} is in {}", path.display());
            }
        }
    };
    search();
    drop(catalog);
    search();
}

#[test]
fn a_change_wakes_the_watcher_and_moves_only_its_own_revision() {
    let fixture = Fixture::new();
    let catalog = fixture.open().unwrap();
    let mut changes = catalog.changes();
    for name in ["a", "b"] {
        catalog.add(&id(name), at("rtsp://h/s")).unwrap();
    }
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    let off = CameraChange {
        enabled: Some(false),
        ..CameraChange::default()
    };
    catalog.set(&id("b"), off.clone()).unwrap();
    assert!(changes.has_changed().unwrap());
    catalog.set(&id("b"), off).unwrap();
    let revisions: Vec<u64> = catalog.list().unwrap().iter().map(|c| c.revision).collect();
    assert_eq!(revisions, [1, 2], "a change of nothing is none");
    changes.mark_unchanged();
    assert!(catalog.add(&id("a"), at("rtsp://h/s")).is_err());
    assert!(!changes.has_changed().unwrap(), "a refusal wakes nobody");
}

#[test]
fn lists_follow_areas_then_names_in_vietnamese_order() {
    let fixture = Fixture::new();
    let catalog = fixture.open().unwrap();
    for (camera, area, name) in [
        ("5", "Yên Bái/Văn Yên", "Ê"),
        ("1", "Đà Nẵng", "Z"),
        ("3", "Yên Bái/Văn Yên", "Camera 10"),
        ("4", "Yên Bái/Văn Yên", "Đ"),
        ("2", "Yên Bái/Văn Yên", "Camera 9"),
        ("6", "Yên Bái/Yên Bình", "A"),
    ] {
        let change = CameraChange {
            area: Some(area.into()),
            name: Some(name.into()),
            ..at("rtsp://h/s")
        };
        catalog.add(&id(camera), change).unwrap();
    }
    let ids: Vec<String> = catalog
        .list()
        .unwrap()
        .iter()
        .map(|c| c.id.to_string())
        .collect();
    assert_eq!(ids, ["1", "2", "3", "4", "5", "6"]);
}

#[test]
fn an_import_is_taken_whole_or_not_at_all() {
    let fixture = Fixture::new();
    let catalog = fixture.open().unwrap();
    catalog.add(&id("b"), at("rtsp://h/s")).unwrap();
    let rows = || import::parse(b"id,url,name\na,rtsp://h/a,\nb,rtsp://h/b,B\n").unwrap();
    let refused = catalog.import(rows(), false).unwrap_err().to_string();
    assert!(
        refused.starts_with("line 3: camera `b` is already enrolled"),
        "{refused}"
    );
    assert_eq!(catalog.list().unwrap().len(), 1);
    let counts = |added, changed, unchanged| ImportCounts {
        added,
        changed,
        unchanged,
    };
    assert_eq!(catalog.import(rows(), true).unwrap(), counts(1, 1, 0));
    assert_eq!(catalog.import(rows(), true).unwrap(), counts(0, 0, 2));
}

#[test]
fn a_second_writer_is_refused_and_a_reader_is_not() {
    let fixture = Fixture::new();
    let catalog = fixture.open().unwrap();
    catalog.add(&id("gate"), at("rtsp://h/s")).unwrap();
    let refused = fixture.refusal();
    let holder = format!("in use by process {}", std::process::id());
    assert!(refused.contains(&holder), "{refused}");
    let reader = Catalog::open_to_read(&fixture.data(), fixture.clock.clone()).unwrap();
    assert_eq!(reader.list().unwrap().len(), 1);
    assert!(reader.remove(&id("gate")).is_err());
    drop(catalog);
    fixture.open().unwrap();
}

#[test]
fn a_newer_or_foreign_file_is_refused_untouched() {
    let fixture = Fixture::new();
    fixture.open().unwrap();
    let path = fixture.data().join(CATALOG_FILE);
    let connection = Connection::open(&path).unwrap();
    connection
        .execute("INSERT INTO schema_version VALUES (99, 0, '9.9')", [])
        .unwrap();
    drop(connection);
    let before = std::fs::read(&path).unwrap();
    let refused = fixture.refusal();
    assert!(
        refused.contains("version 99") && refused.contains("newer"),
        "{refused}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);

    for foreign in [
        "not a database at all, but longer than a header: ".repeat(9),
        String::new(),
    ] {
        std::fs::remove_file(&path).unwrap();
        if foreign.is_empty() {
            let other = Connection::open(&path).unwrap();
            other.execute_batch("CREATE TABLE theirs (x)").unwrap();
        } else {
            std::fs::write(&path, &foreign).unwrap();
        }
        let refused = fixture.refusal();
        assert!(refused.contains("not an nvring catalog"), "{refused}");
    }
}

#[test]
fn a_catalog_without_its_own_key_is_refused() {
    let fixture = Fixture::new();
    fixture.open().unwrap();
    let key = fixture.data().join(seal::KEY_FILE);
    std::fs::remove_file(&key).unwrap();
    assert!(fixture.refusal().contains("restore it from the backup"));
    assert!(!key.exists(), "a new key would hide the loss");
    let other = Fixture::new();
    other.open().unwrap();
    std::fs::copy(other.data().join(seal::KEY_FILE), &key).unwrap();
    assert!(
        fixture
            .refusal()
            .contains("not the one catalog.db beside it")
    );
}

#[test]
fn an_unknown_camera_is_answered_with_the_nearest() {
    let fixture = Fixture::new();
    let catalog = fixture.open().unwrap();
    catalog.add(&id("gate-north"), at("rtsp://h/s")).unwrap();
    let near = catalog.get(&id("gate-nort")).unwrap_err().to_string();
    assert!(near.contains("did you mean `gate-north`?"), "{near}");
    let far = catalog.get(&id("zzz")).unwrap_err().to_string();
    assert!(far.contains("nvring camera list"), "{far}");
}

/// A viewer must not wait for whoever changes the catalog, and a change is seen as soon as it is answered.
#[test]
fn the_streams_of_cameras_are_known_while_the_file_is_written() {
    let fixture = Fixture::new();
    let catalog = Arc::new(fixture.open().unwrap());
    let stream = |id, role| catalog.stream(&id, role).unwrap();
    assert_eq!(stream(id("gate"), StreamRole::Main), None);
    let camera = catalog.add(&id("gate"), at("rtsp://h/s")).unwrap();
    let writing = catalog.connection();
    let (tell, told) = std::sync::mpsc::channel();
    let asking = Arc::clone(&catalog);
    std::thread::spawn(move || tell.send(asking.stream(&id("gate"), StreamRole::Sub)));
    let found = told.recv_timeout(Duration::from_secs(20));
    drop(writing);
    assert_eq!(
        found.expect("nobody is waited for").unwrap(),
        Some(camera.sub)
    );
    let reader = Catalog::open_to_read(&fixture.data(), fixture.clock.clone()).unwrap();
    catalog.remove(&id("gate")).unwrap();
    assert_eq!(stream(id("gate"), StreamRole::Main), None);
    assert_eq!(reader.stream(&id("gate"), StreamRole::Main).unwrap(), None);
    drop(catalog);
    let camera = fixture
        .open()
        .unwrap()
        .add(&id("gate"), at("rtsp://h/s"))
        .unwrap();
    let again = fixture.open().unwrap();
    assert_eq!(
        again.stream(&id("gate"), StreamRole::Main).unwrap(),
        Some(camera.main)
    );
}
