//! Goal: damage is found, told with camera, time and place, and goes no further; and whatever a file holds, looking at it neither fails
//! nor writes.

use crate::{
    reading::timeline,
    site::{Site, at},
};
use nvring::base::{Clock, SystemClock, seed::Seed};
use serde_json::Value;

/// A seed from `NVRING_SEED` or the clock, printed.
fn seed() -> Seed {
    let number = std::env::var("NVRING_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let number = number.unwrap_or_else(|| SystemClock::new().now().0 as u64);
    println!("SEED={number}");
    Seed::new(number)
}

/// The structures of sealed segments: file and what inspect says.
fn sealed(site: &Site) -> Vec<(String, Vec<Value>)> {
    let segments = (0..64).map(|number| format!("volume/segments/{number:06}.seg"));
    let looked = segments.map(|name| {
        let nodes = site.inspect(&name);
        (name, nodes)
    });
    let is_sealed = |(_, nodes): &(String, Vec<Value>)| {
        nodes
            .iter()
            .any(|node| node["what"] == "directory" && node["items"].is_number())
    };
    looked.filter(is_sealed).collect()
}

fn check(site: &Site) -> (i32, Vec<Value>) {
    let ran = site.run(&["check", "--volume", "volume", "--json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let damage = report[0]["damage"].as_array().unwrap().clone();
    assert_eq!(ran.status, i32::from(!damage.is_empty()), "{ran:?}");
    (ran.status, damage)
}

#[test]
fn an_intact_volume_is_called_intact() {
    let site = Site::new();
    let before = site.fingerprint("volume");
    let text = site.ok(&["check", "--volume", "volume"]);
    assert!(text.contains("intact"), "{text}");
    assert_eq!(site.fingerprint("volume"), before);
    let nodes = sealed(&site);
    assert!(nodes.len() >= 2, "{} sealed segments", nodes.len());
    assert_eq!(site.fingerprint("volume"), before);
}

/// Method: one bit of one frame of `yard`; what check tells, and what an export of that time, of another time and of another camera does.
#[test]
fn a_flipped_bit_of_a_frame_is_told_with_camera_time_and_place_and_is_never_exported() {
    let site = Site::new();
    let yard = "02020202-0202-0202-0202-020202020202";
    let (name, block) = sealed(&site)
        .into_iter()
        .flat_map(|(name, nodes)| nodes.into_iter().map(move |node| (name.clone(), node)))
        .rfind(|(_, node)| node["what"] == "block" && node["stream"] == yard)
        .expect("a block of the camera");
    let number = |field: &str| block[field].as_u64().unwrap();
    site.flip(&name, number("offset") + number("len") - 5, 3);
    let (status, damage) = check(&site);
    assert_eq!((status, damage.len()), (1, 1), "{damage:?}");
    let told = &damage[0];
    assert_eq!(
        (&told["camera"], &told["stream"]),
        (&"yard".into(), &"main".into())
    );
    assert_eq!(
        (&told["what"], &told["offset"]),
        (&"block".into(), &block["offset"])
    );
    assert!(name.ends_with(told["file"].as_str().unwrap()));
    let time = |value: &Value| value.as_str().unwrap().to_owned();
    assert!(time(&block["first"]) <= time(&told["start"]), "{told}");
    assert!(time(&told["start"]) < time(&told["end"]), "{told}");
    assert!(time(&told["end"]) <= time(&block["end"]), "{told}");
    let text = site.run(&["check", "--volume", "volume"]).stdout;
    assert!(text.contains("DAMAGED") && text.contains("yard"), "{text}");

    let (from, to) = (at(-1.0), at(11.0));
    let export = |camera: &str| {
        let args = ["export", camera, "--from", &from, "--to", &to];
        [&args[..], &["-o", "a.mp4", "--volume", "volume"]]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let words = |args: &[String]| {
        args.iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let args = words(&export("yard"));
    let args: Vec<&str> = args.split('\n').collect();
    site.fails(&args, 1, &["damaged", "nvring check"]);
    assert!(!site.path("a.mp4").exists() && !site.path("a.mp4.part").exists());
    let args = words(&export("gate"));
    site.ok(&args.split('\n').collect::<Vec<_>>());
}

/// Method: a random bit of a random structure of a sealed segment or of a superblock copy, one at a time.
#[test]
fn every_structure_is_watched() {
    let mut seed = seed();
    let site = Site::new();
    let mut places: Vec<(&str, String, u64, u64)> = (0..4)
        .map(|copy| {
            (
                "superblock",
                "volume/superblock".to_owned(),
                copy * 4096,
                256,
            )
        })
        .collect();
    for (name, nodes) in sealed(&site) {
        places.push(("header", name.clone(), 0, 256));
        for node in nodes {
            let number = |field: &str| node[field].as_u64().unwrap_or_default();
            let place = match node["what"].as_str().unwrap() {
                "batch" => ("batch", number("offset"), number("front_len")),
                "block" => ("block", number("offset"), number("len")),
                "chapter" => ("chapter", number("offset"), number("len")),
                "directory" => {
                    places.push(("directory", name.clone(), number("offset"), 128));
                    ("directory", number("items_offset"), number("items_len"))
                }
                _ => continue,
            };
            places.push((place.0, name.clone(), place.1, place.2));
        }
    }
    for kind in [
        "superblock",
        "header",
        "batch",
        "block",
        "chapter",
        "directory",
    ] {
        let of_kind: Vec<_> = places.iter().filter(|place| place.0 == kind).collect();
        if of_kind.is_empty() {
            assert_eq!(
                kind, "chapter",
                "a short recording may have its chapters in the last segment"
            );
            continue;
        }
        for _ in 0..4 {
            let (_, name, start, len) = of_kind[seed.below(of_kind.len() as u64) as usize];
            let (offset, bit) = (start + seed.below(*len), seed.below(8) as u8);
            site.flip(name, offset, bit);
            let (status, damage) = check(&site);
            assert_eq!(
                status, 1,
                "bit {bit} of {offset} in {name} ({kind}): {damage:?}"
            );
            site.flip(name, offset, bit);
        }
    }
    assert_eq!(check(&site), (0, Vec::new()));
}

/// The index is a cache (docs/format.md, C10). Method: a random bit of a record in use, or of a checkpoint.
#[test]
fn no_bit_of_the_index_decides_what_is_listed() {
    let mut seed = seed();
    let site = Site::new();
    let whole = [timeline(&site, "gate"), timeline(&site, "yard")];
    let text = site.ok(&["inspect", "volume/index", "--all", "--json"]);
    let records: Vec<(u64, u64)> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter_map(|node| {
            let len = match node["what"].as_str()? {
                "index checkpoint" => 128,
                "segment record" => 32,
                "stream record" => 512,
                "chapter record" => 64,
                _ => return None,
            };
            Some((node["offset"].as_u64()?, len))
        })
        .collect();
    assert!(records.len() > 8, "{text}");
    for (start, len) in records {
        let (offset, bit) = (start + seed.below(len), seed.below(8) as u8);
        site.flip("volume/index", offset, bit);
        let found = [timeline(&site, "gate"), timeline(&site, "yard")];
        assert_eq!(found, whole, "bit {bit} of byte {offset}");
        site.flip("volume/index", offset, bit);
    }
}

/// Method: random bits, runs of random bytes and cut ends of every kind of file; hashes before and after.
#[test]
fn inspect_goes_on_past_any_damage_and_never_writes() {
    let mut seed = seed();
    let site = Site::new();
    let (from, to) = (at(0.0), at(2.0));
    let args = [
        "export", "gate", "--from", &from, "--to", &to, "-o", "a.mp4",
    ];
    site.ok(&[&args[..], &["--volume", "volume"]].concat());
    let files = [
        "volume/superblock",
        "volume/index",
        "volume/segments/000000.seg",
        "volume/segments/000001.seg",
        "volume/segments/000063.seg",
        "volume/lock",
        "a.mp4",
    ];
    for name in files {
        site.ok(&["inspect", name]);
        let original = std::fs::read(site.path(name)).unwrap();
        for round in 0..24 {
            let mut bytes = original.clone();
            // Structures begin in the first pages; most of an index is empty.
            let reach = if seed.chance(0.5) {
                bytes.len().min(16 << 10)
            } else {
                bytes.len()
            };
            for _ in 0..seed.between(1, 40) {
                if reach > 0 {
                    bytes[seed.below(reach as u64) as usize] ^= 1 << seed.below(8);
                }
            }
            if round % 4 == 1 && reach > 0 {
                let start = seed.below(reach as u64) as usize;
                let end = bytes.len().min(start + 300);
                seed.fill(&mut bytes[start..end]);
            }
            if round % 4 == 2 {
                bytes.truncate(seed.below(bytes.len() as u64 + 1) as usize);
            }
            std::fs::write(site.path(name), &bytes).unwrap();
            for options in [&["--json"][..], &["--frames", "--all"]] {
                let ran = site.run(&[&["inspect", name][..], options].concat());
                assert!(ran.status == 0 || !ran.stderr.is_empty(), "{name}: {ran:?}");
            }
            assert_eq!(std::fs::read(site.path(name)).unwrap(), bytes, "{name}");
        }
        std::fs::write(site.path(name), &original).unwrap();
    }
}

/// A file that stands alone, under any name, still tells what it is.
#[test]
fn a_segment_is_read_without_its_volume_and_without_its_header() {
    let site = Site::new();
    let (name, nodes) = sealed(&site).swap_remove(0);
    let blocks = |nodes: &[Value]| nodes.iter().filter(|node| node["what"] == "block").count();
    std::fs::copy(site.path(&name), site.path("found.bin")).unwrap();
    let alone = site.inspect("found.bin");
    assert_eq!(blocks(&alone), blocks(&nodes));
    for byte in 0..256 {
        site.flip("found.bin", byte, 0);
    }
    std::fs::rename(site.path("found.bin"), site.path("found.seg")).unwrap();
    let headless = site.inspect("found.seg");
    assert_eq!(blocks(&headless), blocks(&nodes), "{headless:?}");
}
