//! Goal: what a release wrote is read by every later one, and no encoder changes a byte without anybody noticing.
//! Method: `v1/` holds a whole small volume of format version 1 (`packed` tells how a file is packed), laid out by `layout` from the
//! values in `recipe`, and what `nvring inspect` says of each file. The tests read the committed bytes with every decoder and with the
//! engine, lay the recipe out anew and compare byte for byte, and hold the folder to its digest.
//!
//! A folder of a released version is never edited. A new version of the format gets a folder of its own: with
//! `NVRING_GOLDEN=write cargo test --test golden` the folder of the present version is made where there is none. The dumps are
//! today's words for those bytes: `NVRING_GOLDEN=dump` writes them anew.

mod layout;
mod packed;
mod reading;
mod recipe;
mod versions;

use layout::Laid;
use nvring::format::VERSION;
use packed::{pack, unpack};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// SHA-256 over names and bytes of the packed files of each version that was released.
const RELEASED: [(u16, &str); 1] = [(
    1,
    "2fdfbb07d6226e178b1e9b270c6f4616b7fad72fe3abb6209fee83f324c2d1be",
)];

fn folder(version: u16) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{version}"))
}

/// The recipe, laid out.
fn laid() -> &'static Laid {
    static LAID: OnceLock<Laid> = OnceLock::new();
    LAID.get_or_init(|| layout::lay(&recipe::volume()))
}

/// The committed files of version 1, unpacked, by their names in the volume.
fn committed() -> &'static BTreeMap<String, Vec<u8>> {
    static FILES: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        write_what_is_asked_for();
        let names = laid().files.keys();
        names
            .map(|name| {
                let path = folder(1).join(stored(name, "packed"));
                let bytes = std::fs::read(&path)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                (name.clone(), unpack(&bytes))
            })
            .collect()
    })
}

/// The name of a volume's file in a golden folder.
fn stored(name: &str, kind: &str) -> String {
    format!("{}.{kind}", name.trim_start_matches("segments/"))
}

/// The committed volume as a folder.
fn volume_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("segments")).unwrap();
    for (name, bytes) in committed() {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// What `nvring inspect` says of a file, all of it.
fn inspect(volume: &Path, name: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_nvring"))
        .args(["inspect", "--frames", "--all"])
        .arg(volume.join(name))
        .output()
        .unwrap();
    assert!(output.status.success(), "{name}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// `NVRING_GOLDEN=write` makes the folder of the present version where there is none; `dump` writes the dumps anew.
fn write_what_is_asked_for() {
    let Ok(asked) = std::env::var("NVRING_GOLDEN") else {
        return;
    };
    let folder = folder(VERSION);
    if asked == "write" {
        std::fs::create_dir(&folder).expect("a folder that exists is not edited");
        for (name, bytes) in &laid().files {
            std::fs::write(folder.join(stored(name, "packed")), pack(bytes)).unwrap();
        }
    }
    let volume = tempfile::tempdir().unwrap();
    std::fs::create_dir(volume.path().join("segments")).unwrap();
    for (name, bytes) in &laid().files {
        std::fs::write(volume.path().join(name), bytes).unwrap();
    }
    for name in laid().files.keys() {
        std::fs::write(
            folder.join(stored(name, "txt")),
            inspect(volume.path(), name),
        )
        .unwrap();
    }
}

/// Names and bytes of the packed files of a version, in one number.
fn digest(version: u16) -> String {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder(version))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "packed"))
        .collect();
    paths.sort_unstable();
    let mut hasher = Sha256::new();
    for path in paths {
        hasher.update(path.file_name().unwrap().to_str().unwrap());
        hasher.update(std::fs::read(&path).unwrap());
    }
    let digest = hasher.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_released_folder_is_never_edited() {
    committed();
    for (version, expected) in RELEASED {
        assert_eq!(
            digest(version),
            expected,
            "tests/golden/v{version} was edited; a change of the format is a new version"
        );
    }
    let versions = RELEASED.map(|(version, _)| version);
    assert!(
        versions.contains(&VERSION),
        "version {VERSION} has no golden folder"
    );
}

#[test]
fn the_encoders_write_the_golden_bytes() {
    for (name, bytes) in &laid().files {
        let golden = &committed()[name];
        assert_eq!(golden.len(), bytes.len(), "length of {name}");
        let differs = golden.iter().zip(bytes).position(|(a, b)| a != b);
        assert_eq!(
            differs, None,
            "first byte of {name} that an encoder writes otherwise"
        );
    }
}

#[test]
fn inspect_tells_what_is_in_the_golden_files() {
    let volume = volume_folder();
    for name in committed().keys() {
        let path = folder(1).join(stored(name, "txt"));
        let expected = std::fs::read_to_string(&path).unwrap();
        let said = inspect(volume.path(), name);
        for (line, (said, expected)) in (1..).zip(said.lines().zip(expected.lines())) {
            assert_eq!(said, expected, "{}:{line}", path.display());
        }
        assert_eq!(said.lines().count(), expected.lines().count(), "{name}");
    }
}
