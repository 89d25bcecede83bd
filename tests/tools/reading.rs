//! Goal: what was recorded is listed and exported exactly, from any copy of the volume and with or without its index, and looking
//! changes nothing.

use crate::{
    camera::{picture_md5s, tool},
    site::{Site, at, copy, recorded},
};
use nvring::{
    base::SystemClock,
    store::pool::{Store, StoreOptions, VolumeSpec},
};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};

/// The pictures of an exported file, which ffprobe must read without a word.
pub(crate) fn pictures(path: &Path) -> Vec<String> {
    let path = path.to_str().unwrap();
    let (_, words) = tool("ffprobe", &["-v", "warning", "-show_packets", path]);
    assert_eq!(words, "");
    let shown = picture_md5s(&["-i", path]);
    shown.into_iter().map(|(_, md5)| md5).collect()
}

pub(crate) fn timeline(site: &Site, camera: &str) -> Value {
    let (from, to) = (at(-1.0), at(20.0));
    let args = ["timeline", camera, "--from", &from, "--to", &to];
    let text = site.ok(&[&args[..], &["--volume", "volume", "--json"]].concat());
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_timeline_has_the_documented_shape_and_tells_each_gap_with_its_cause() {
    let site = Site::new();
    let gate = timeline(&site, "gate");
    let keys: Vec<&String> = gate.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["camera", "gaps", "locked", "next", "runs", "stream"]);
    assert_eq!(gate["camera"], "gate");
    let runs = gate["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    for run in runs {
        let keys: Vec<&String> = run.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["end", "growing", "kept_until", "start"]);
        // Nobody records, so nothing grows and nothing is taken.
        let told = (&run["growing"], &run["kept_until"]);
        assert_eq!(told, (&json!(false), &Value::Null));
    }
    let gaps = gate["gaps"].as_array().unwrap();
    assert_eq!(gaps[0]["cause"], "camera-lost");
    assert_eq!(
        (&gaps[0]["start"], &gaps[0]["end"]),
        (&runs[0]["end"], &runs[1]["start"])
    );
    assert_eq!(
        (&gaps[1]["cause"], &gaps[1]["end"]),
        (&json!("restart"), &json!(at(20.0)))
    );
    assert_eq!(timeline(&site, "yard")["runs"].as_array().unwrap().len(), 1);
    let (from, to) = (at(-1.0), at(20.0));
    let args = [
        "timeline", "gate", "--volume", "volume", "--from", &from, "--to", &to,
    ];
    let table = site.ok(&args);
    assert!(table.contains("gap: camera-lost"), "{table}");
    assert_eq!(table.lines().count(), 5, "{table}");
}

#[test]
fn an_export_shows_every_picture_and_nothing_else() {
    let site = Site::new();
    let before = site.fingerprint("volume");
    let (from, to) = (at(-1.0), at(11.0));
    for (camera, stream, expected) in [
        ("yard", "main", &recorded().yard[..]),
        ("gate", "main", &recorded().gate),
        ("yard", "sub", &recorded().gate[..50]),
    ] {
        let range = [
            "export", camera, "--from", &from, "--to", &to, "-o", "a.mp4",
        ];
        let options = ["--volume", "volume", "--stream", stream, "--force"];
        site.ok(&[&range[..], &options].concat());
        assert_eq!(pictures(&site.path("a.mp4")), expected, "{camera}/{stream}");
        let report = site.ok(&["check", "a.mp4", "--json"]);
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["problems"], json!([]));
    }
    assert_eq!(
        site.fingerprint("volume"),
        before,
        "reading changes nothing"
    );
    let parts: Vec<_> = std::fs::read_dir(site.path("")).unwrap().collect();
    assert_eq!(
        parts.len(),
        2,
        "the volume, the file, and no part: {parts:?}"
    );
}

/// Design law L12. Method: a copy of the folder alone, elsewhere, with no lock file, no catalog and no configuration: cameras by
/// name, runs and gaps with their causes, an export; with the index and without.
#[test]
fn a_volume_explains_itself_on_another_machine() {
    for with_index in [true, false] {
        let site = Site::new();
        copy(&site.volume(), &site.path("brought along"));
        std::fs::remove_dir_all(site.volume()).unwrap();
        std::fs::remove_file(site.path("brought along/lock")).unwrap();
        if !with_index {
            std::fs::remove_file(site.path("brought along/index")).unwrap();
        }
        explains_itself(&site);
    }
}

fn explains_itself(site: &Site) {
    let before = site.fingerprint("brought along");
    let list = site.ok(&["timeline", "--volume", "brought along", "--json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    let listed: Vec<_> = list.as_array().unwrap().iter().collect();
    assert_eq!(listed.len(), 3);
    assert_eq!(
        (
            &listed[0]["camera"],
            &listed[0]["name"],
            &listed[0]["stream"]
        ),
        (&json!("gate"), &json!("Cổng chính"), &json!("main"))
    );
    let (from, to) = (at(-1.0), at(20.0));
    let args = ["timeline", "gate", "--from", &from, "--to", &to];
    let text = site.ok(&[&args[..], &["--volume", "brought along", "--json"]].concat());
    let gate: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(gate["runs"].as_array().unwrap().len(), 2);
    let causes: Vec<_> = gate["gaps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|gap| &gap["cause"])
        .collect();
    assert_eq!(causes, ["camera-lost", "restart"]);
    let (from, to) = (at(0.0), at(3.0));
    let args = [
        "export", "gate", "--from", &from, "--to", &to, "-o", "a.mp4",
    ];
    site.ok(&[&args[..], &["--volume", "brought along"]].concat());
    assert_eq!(pictures(&site.path("a.mp4")).len(), 75);
    assert_eq!(site.fingerprint("brought along"), before);
}

#[test]
fn a_lost_index_changes_nothing_and_is_made_again() {
    let site = Site::new();
    let whole = [timeline(&site, "gate"), timeline(&site, "yard")];
    std::fs::remove_file(site.path("volume/index")).unwrap();
    assert_eq!([timeline(&site, "gate"), timeline(&site, "yard")], whole);
    assert!(
        !site.path("volume/index").exists(),
        "looking makes no index"
    );
    let text = site.ok(&["volume", "rebuild", "volume", "--json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["streams"], 3);
    assert_eq!([timeline(&site, "gate"), timeline(&site, "yard")], whole);
    let text = site.ok(&["volume", "scrub", "volume", "--json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&report[0]["damage"], &report[0]["notes"]),
        (&json!([]), &json!([]))
    );
}

/// Design law L11. Method: the volume as a clean stop left it, before any seal or after some; what the next start read of it.
#[test]
fn a_start_after_a_clean_stop_reads_the_open_segment_only() {
    let site = Site::new();
    let again = || {
        let spec = VolumeSpec {
            path: site.volume(),
            pool: "default".to_owned(),
        };
        let clock = Arc::new(SystemClock::new());
        let opened = Store::open(&[spec], StoreOptions::default(), clock, &mut |_, _| ());
        let (store, reports) = opened.unwrap();
        store.close();
        reports[0].recovery
    };
    for _ in 0..2 {
        let recovery = again();
        assert!(!recovery.rebuilt && recovery.replayed <= 1, "{recovery:?}");
        assert_eq!(
            (recovery.unlisted, recovery.dropped),
            (0, 0),
            "{recovery:?}"
        );
    }
    let text = site.ok(&["check", "--volume", "volume"]);
    assert!(!text.contains("note:"), "{text}");
    // A volume that was stopped before anything was recorded.
    site.ok(&[
        "volume",
        "format",
        "young",
        "--size",
        "4MiB",
        "--segment-size",
        "256KiB",
    ]);
    std::fs::remove_dir_all(site.volume()).unwrap();
    std::fs::rename(site.path("young"), site.volume()).unwrap();
    assert!(again().rebuilt, "there is no index yet");
    let recovery = again();
    assert!(!recovery.rebuilt && recovery.replayed <= 1, "{recovery:?}");
    let text = site.ok(&["check", "--volume", "volume"]);
    assert!(!text.contains("note:"), "{text}");
}

#[test]
fn volumes_of_a_configuration_are_listed_with_their_state() {
    let site = Site::new();
    site.ok(&[
        "volume", "format", "new", "--size", "4MiB", "--pool", "spare",
    ]);
    let config = "[data]\ndir = \"data\"\n[[pool]]\nname = \"spare\"\n[[volume]]\npath = \"volume\"\n[[volume]]\npath = \"new\"\n";
    std::fs::write(site.path("nvring.toml"), config).unwrap();
    let text = site.ok(&["--config", "nvring.toml", "volume", "list", "--json"]);
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list[0]["state"], "idle");
    assert_eq!(
        (&list[0]["size_bytes"], &list[0]["sessions"]),
        (&json!(16 << 20), &json!(1))
    );
    assert!(list[0]["oldest"].as_str() < list[0]["newest"].as_str());
    assert_eq!(
        (&list[1]["used_bytes"], &list[1]["oldest"]),
        (&json!(0), &Value::Null)
    );
    std::fs::remove_file(site.path("new/superblock")).unwrap();
    let ran = site.run(&["--config", "nvring.toml", "volume", "list"]);
    assert!(ran.stdout.contains("unfinished"), "{ran:?}");
    // The configuration is where the other commands look too.
    let ran = site.run(&["--config", "nvring.toml", "timeline", "--json"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.contains("Cổng chính"), "{ran:?}");
}
