//! `nvring camera …` on the catalog itself: what is added, listed, changed, removed and imported, and how it is refused.

use crate::site::{PASSWORD, Site, ids};
use serde_json::{Value, json};

#[test]
fn a_camera_is_added_listed_changed_and_removed() {
    let site = Site::new();
    let password = site.file("password", format!("{PASSWORD}\n"));
    let added = site.add(
        "gate",
        &[
            "--sub-url",
            "rtsp://10.0.0.7:8554/s2",
            "--username",
            "admin",
            "--password-file",
            &password,
            "--name",
            "Cổng chính",
            "--pool",
            "Trường học",
            "--system",
            "public",
            "--area",
            "Yên Bái/Văn Yên/Mậu A",
            "--owner",
            "Trường Tiểu học Mậu A",
            "--transport",
            "udp",
        ],
    );
    assert_eq!(
        added,
        "camera gate added: rtsp://10.0.0.7/gate; no server runs; the next start applies it\n"
    );
    let listing = site.json(&["camera", "list", "--json"]);
    let mut camera = listing["cameras"][0].clone();
    let fields = camera.as_object_mut().unwrap();
    for (field, len) in [("main", 36), ("sub", 36), ("created", 27)] {
        let text = fields.remove(field).unwrap();
        assert_eq!(text.as_str().unwrap().len(), len, "{field}: {text}");
    }
    let expected = json!({
        "id": "gate", "name": "Cổng chính", "url": "rtsp://10.0.0.7/gate", "sub_url": "rtsp://10.0.0.7:8554/s2",
        "username": "admin", "has_password": true, "transport": "udp", "pool": "Trường học", "system": "public",
        "area": "Yên Bái/Văn Yên/Mậu A", "owner": "Trường Tiểu học Mậu A", "enabled": true,
    });
    assert_eq!(camera, expected);

    site.ok(&[
        "camera",
        "set",
        "gate",
        "--name",
        "Cổng sau",
        "--no-sub-url",
        "--no-credentials",
        "--disable",
    ]);
    let changed = &site.json(&["camera", "list", "--json"])["cameras"][0];
    let expected = json!([
        "Cổng sau",
        null,
        null,
        false,
        false,
        "udp",
        "Yên Bái/Văn Yên/Mậu A"
    ]);
    let fields = [
        "name",
        "sub_url",
        "username",
        "has_password",
        "enabled",
        "transport",
        "area",
    ];
    assert_eq!(json!(fields.map(|field| &changed[field])), expected);
    let table = site.ok(&["camera", "list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines,
        [
            "ID    NAME      AREA                   SYSTEM  POOL        RECORD  URL",
            "gate  Cổng sau  Yên Bái/Văn Yên/Mậu A  public  Trường học  no      rtsp://10.0.0.7/gate",
        ]
    );

    let removed = site.ok(&["camera", "remove", "gate"]);
    assert!(removed.contains("recordings stay"), "{removed}");
    assert_eq!(
        site.json(&["camera", "list", "--json"]),
        json!({ "cameras": [] })
    );
}

#[test]
fn an_id_used_again_gets_new_streams_and_the_old_ones_keep_their_name() {
    let site = Site::new();
    let streams = |listing: &Value| {
        let camera = &listing["cameras"][0];
        [camera["main"].clone(), camera["sub"].clone()]
    };
    site.add("gate", &["--name", "trước"]);
    let first = streams(&site.json(&["camera", "list", "--json"]));
    site.ok(&["camera", "remove", "gate"]);
    site.add("gate", &["--name", "sau"]);
    let second = streams(&site.json(&["camera", "list", "--json"]));
    assert!(first.iter().chain(&second).all(Value::is_string));
    assert!(first.iter().all(|stream| !second.contains(stream)));
    let removed = site.json(&["camera", "list", "--removed", "--json"]);
    assert_eq!(streams(&removed), first);
    assert_eq!(removed["cameras"][0]["name"], "trước");
    assert!(site.ok(&["camera", "list", "--removed"]).contains("trước"));
}

#[test]
fn a_list_is_narrowed_by_place_system_pool_and_text_without_tones() {
    let site = Site::new();
    site.add(
        "a",
        &[
            "--area",
            "Yên Bái/Văn Yên",
            "--name",
            "Đường Điện Biên",
            "--pool",
            "traffic",
        ],
    );
    site.add(
        "b",
        &[
            "--area",
            "Yên Bái/Văn Yên Đông",
            "--system",
            "public",
            "--pool",
            "Trường học",
        ],
    );
    site.add("c", &["--area", "Yên Bái", "--owner", "Bệnh viện"]);
    let list = |more: &[&str]| {
        let listing = site.json(&[&["camera", "list", "--json"], more].concat());
        ids(&listing).join(",")
    };
    assert_eq!(list(&[]), "c,a,b");
    assert_eq!(list(&["--area", "Yên Bái/Văn Yên"]), "a");
    assert_eq!(list(&["--area", "Yên Bái/"]), "c,a,b");
    assert_eq!(list(&["--system", "public"]), "b");
    assert_eq!(list(&["--pool", "traffic"]), "c,a");
    assert_eq!(list(&["duong dien"]), "a");
    assert_eq!(list(&["BENH VIEN"]), "c");
    assert_eq!(list(&["zzz"]), "");
}

#[test]
fn a_file_of_cameras_is_imported_whole_or_not_at_all() {
    let site = Site::new();
    let csv = format!(
        "id,url,name,area\ngate,rtsp://admin:{PASSWORD}@10.0.0.7/s1,Cổng,Yên Bái\nyard,rtsp://10.0.0.8/s1?user=a&password={PASSWORD},,\n"
    );
    let path = site.file("cameras.csv", &csv);
    let said = site.ok(&["camera", "import", &path]);
    assert!(
        said.ends_with("2 cameras added, 0 changed, 0 unchanged\n"),
        "{said}"
    );
    let listing = site.json(&["camera", "list", "--json"]);
    let urls = listing["cameras"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (&c["url"], &c["username"], &c["has_password"]));
    let expected = [
        (
            &json!("rtsp://10.0.0.8/s1?user=***&password=***"),
            &json!(null),
            &json!(false),
        ),
        (&json!("rtsp://10.0.0.7/s1"), &json!("admin"), &json!(true)),
    ];
    assert_eq!(urls.collect::<Vec<_>>(), expected);

    let again = site.error(1, &["camera", "import", &path]);
    assert!(
        again.contains("line 2: camera `gate` is already enrolled"),
        "{again}"
    );
    let same = site.ok(&["camera", "import", "--update", &path]);
    assert!(
        same.ends_with("0 cameras added, 0 changed, 2 unchanged\n"),
        "{same}"
    );

    let lines = format!(
        "{{\"id\":\"x\",\"url\":\"rtsp://h/s\"}}\n{{\"id\":\"y\",\"url\":\"http://u:{PASSWORD}@h/s\"}}\n"
    );
    let refused = site.error(1, &["camera", "import", &site.file("cameras.jsonl", lines)]);
    assert!(
        refused.contains("line 2") && refused.contains("not an RTSP address"),
        "{refused}"
    );
    let pool = site.file("pool.csv", "id,url,pool\nx,rtsp://h/s,trafic\n");
    let refused = site.error(1, &["camera", "import", &pool]);
    assert!(
        refused.contains("line 2: pool `trafic` is unknown; did you mean `traffic`?"),
        "{refused}"
    );
    assert_eq!(
        ids(&site.json(&["camera", "list", "--json"])),
        ["yard", "gate"]
    );
    let missing = site.error(1, &["camera", "import", "/nowhere.csv"]);
    assert!(missing.contains("No such file"), "{missing}");
}

#[test]
fn an_unknown_camera_is_answered_with_the_nearest() {
    let site = Site::new();
    let none = site.error(1, &["camera", "list"]);
    assert!(
        none.contains("does not exist") && none.contains("nvring camera add"),
        "{none}"
    );
    assert!(!site.data().exists(), "to look makes nothing");
    site.add("gate-north", &[]);
    let line = site.error(1, &["camera", "remove", "gate-nroth"]);
    assert_eq!(
        line,
        "camera `gate-nroth` is not enrolled; did you mean `gate-north`?"
    );
}
