//! The configuration file as operators meet it: every key with its default, every mistake with its line and remedy.

use super::*;
use crate::api::http::Limits;
use std::time::Duration;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("/etc/nvring/nvring.toml"), text)
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn an_empty_file_and_no_file_mean_the_same_and_serve_asks_for_a_volume() {
    let empty = parse("").unwrap();
    let none = Config::load(None).unwrap();
    assert_eq!(
        Config {
            file: None,
            ..empty.clone()
        },
        none
    );
    for config in [&empty, &none] {
        let refused = config.require_volume().unwrap_err().to_string();
        assert!(refused.contains("names no volume") && refused.contains("nvring volume format"));
        config.require_loopback().unwrap();
    }
}

const EVERY_KEY: &str = r#"
[http]
listen = "[::1]:9000"
hosts = ["nvr.example"]
allow_origins = ["https://vms.example", "http://10.0.0.9:8000"]
connections = 1
connections_per_client = 2
readers = 3
readers_per_client = 4
range = "5h"
url_size = "6KiB"
header_size = "7KiB"
header_timeout = "8s"
idle_timeout = "9s"
answer_timeout = "10s"
stall_timeout = "11s"
[rtsp]
listen = "localhost:8554"
tls_listen = "127.0.0.1:8322"
certificate = "tls/chain.pem"
key = "/etc/tls/key.pem"
users_file = "rtsp.users"
udp_ports = "30000-30099"
packet_size = 1200
sessions = 500
sessions_per_client = 50
[mediamtx]
listen = "127.0.0.1:9996"
[data]
dir = "data"
[[pool]]
name = "traffic"
[[pool]]
name = "Trường học"
[[volume]]
path = "/disk1"
pool = "traffic"
[[volume]]
path = "disk2"
pool = "Trường học"
[record]
commit_interval = "500ms"
sync_interval = "2s"
"#;

#[test]
fn every_key_is_read() {
    let config = parse(EVERY_KEY).unwrap();
    let expected = Config {
        file: Some("/etc/nvring/nvring.toml".into()),
        http: Some("[::1]:9000".parse().unwrap()),
        http_options: HttpOptions {
            limits: Limits {
                connections: 1,
                connections_per_client: 2,
                readers: 3,
                readers_per_client: 4,
                range: Duration::from_secs(5 * 3600),
                url_size: 6 << 10,
                header_size: 7 << 10,
                header_timeout: Duration::from_secs(8),
                idle_timeout: Duration::from_secs(9),
                answer_timeout: Duration::from_secs(10),
                stall_timeout: Duration::from_secs(11),
            },
            hosts: vec!["nvr.example".into()],
            allow_origins: vec!["https://vms.example".into(), "http://10.0.0.9:8000".into()],
        },
        rtsp: RtspConfig {
            listen: Some("127.0.0.1:8554".parse().unwrap()),
            tls: Some(RtspTls {
                listen: "127.0.0.1:8322".parse().unwrap(),
                certificate: "/etc/nvring/tls/chain.pem".into(),
                key: "/etc/tls/key.pem".into(),
            }),
            users_file: Some("/etc/nvring/rtsp.users".into()),
            udp_ports: Some(30_000..=30_099),
            packet_len_max: 1200,
            sessions: 500,
            sessions_per_client: 50,
        },
        mediamtx: Some("127.0.0.1:9996".parse().unwrap()),
        data_dir: "/etc/nvring/data".into(),
        pools: vec!["traffic".into(), "Trường học".into()],
        volumes: vec![
            VolumeConfig {
                path: "/disk1".into(),
                pool: "traffic".into(),
            },
            VolumeConfig {
                path: "/etc/nvring/disk2".into(),
                pool: "Trường học".into(),
            },
        ],
        commit_interval: Micros::from_millis(500),
        sync_interval: Micros::from_secs(2),
    };
    assert_eq!(config, expected);
    // The table of known keys and the values that are read must name the same keys.
    let text = |keys: &[(&str, &str)]| {
        keys.iter()
            .map(|(s, k)| format!("{s}.{k}"))
            .collect::<Vec<_>>()
    };
    let known: Vec<(&str, &str)> = KEYS
        .iter()
        .flat_map(|(section, keys)| keys.iter().map(move |key| (*section, *key)))
        .collect();
    let documented: Vec<String> = include_str!("../config.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `["))
        .map(|row| {
            let name = row.split('`').next().unwrap_or_default();
            name.replace("[", "").replace("]", "").replace(' ', ".")
        })
        .collect();
    assert_eq!(text(&known), documented);
}

#[test]
fn a_mistake_is_named_with_its_line_and_the_nearest_right_word() {
    let cases = [
        (
            "[http]\nlissten = \"x\"",
            2,
            "unknown key in [http]: `lissten`; did you mean `listen`?",
        ),
        (
            "\n[htp]\nlisten = \"x\"",
            2,
            "unknown section: `htp`; did you mean `http`?",
        ),
        (
            "[zzz]\n",
            1,
            "known are: http, rtsp, mediamtx, data, pool, volume, record",
        ),
        (
            "[[volume]]\npath = \"a\"\n[[volume]]\npaht = \"b\"",
            4,
            "did you mean `path`?",
        ),
        (
            "[record]\n\ncommit_interval = \"1\"",
            3,
            "a number and a unit",
        ),
        ("[record]\ncommit_interval = \"1h\"", 2, "100 ms to 10 s"),
        ("[record]\nsync_interval = 1", 2, "invalid type"),
        ("[http]\nlisten = \"8080\"", 2, "write \"IP:PORT\""),
        ("[http]\nreaders = 0", 2, "from 1 to 100000"),
        ("[http]\nreaders = \"many\"", 2, "invalid type"),
        ("[http]\nurl_size = \"1\"", 2, "out of range"),
        ("[http]\nidle_timeout = \"1d\"", 2, "10 ms to 3600 s"),
        ("[http]\nhosts = [\"nvr.example:80\"]", 2, "without a port"),
        (
            "[http]\nallow_origins = [\"vms.example\"]",
            2,
            "https://vms.example",
        ),
        ("[[volume]]\npool = \"default\"", 1, "missing field `path`"),
        (
            "[[volume]]\npath = \"a\"\n[[volume]]\npath = \"a\"",
            3,
            "twice",
        ),
        (
            "[[volume]]\npath = \"a\"\npool = \"defualt\"",
            1,
            "did you mean `default`?",
        ),
        (
            "[[pool]]\nname=\"a\"\n[[pool]]\nname=\"b\"\n[[volume]]\npath=\"x\"",
            5,
            "add `pool = \"a\"` or `pool = \"b\"`",
        ),
        ("[[pool]]\nname=\"a\"\n[[pool]]\nname=\"a\"", 3, "twice"),
        ("[http\n", 1, "docs/operating.md"),
    ];
    for (text, line, part) in cases {
        let refused = refusal(text);
        let place = format!("configuration file /etc/nvring/nvring.toml line {line}: ");
        assert!(refused.starts_with(&place), "{text}: {refused}");
        assert!(refused.contains(part), "{text}: {refused}");
    }
    let missing = Config::load(Some(Path::new("/nowhere.toml"))).unwrap_err();
    assert!(
        missing
            .to_string()
            .contains("check --config and NVRING_CONFIG")
    );
}

#[test]
fn only_loopback_addresses_are_safe_without_accounts() {
    let listen = |address: &str| parse(&format!("[http]\nlisten = \"{address}\"")).unwrap();
    for safe in [
        "127.0.0.1:80",
        "127.9.9.9:80",
        "[::1]:80",
        "localhost:80",
        "[::ffff:127.0.0.1]:80",
        "off",
    ] {
        listen(safe).require_loopback().unwrap();
    }
    for exposed in [
        "0.0.0.0:80",
        "10.0.0.1:80",
        "[::]:80",
        "[::ffff:10.0.0.1]:80",
    ] {
        let refused = listen(exposed).require_loopback().unwrap_err().to_string();
        assert!(refused.contains("serve --insecure"), "{refused}");
    }
    for section in ["rtsp", "mediamtx"] {
        let exposed = parse(&format!("[{section}]\nlisten = \"0.0.0.0:8554\"")).unwrap();
        let refused = exposed.require_loopback().unwrap_err().to_string();
        assert!(refused.contains(&format!("[{section}]")), "{refused}");
    }
}

#[test]
fn rtsp_listens_anywhere_only_where_users_sign_in_and_its_keys_are_checked() {
    let open = "[rtsp]\ntls_listen = \"0.0.0.0:322\"\ncertificate = \"c\"\nkey = \"k\"\n";
    let refused = parse(open).unwrap().require_loopback().unwrap_err();
    assert!(
        refused.to_string().contains("[rtsp] users_file"),
        "{refused}"
    );
    for listen in ["listen = \"0.0.0.0:8554\"", "listen = \"[::]:8554\""] {
        let signed = format!("{open}{listen}\nusers_file = \"users\"");
        parse(&signed).unwrap().require_loopback().unwrap();
    }
    for (keys, part) in [
        (
            "tls_listen = \"127.0.0.1:322\"\nkey = \"k\"",
            "needs `certificate` and `key`",
        ),
        ("udp_ports = \"8000\"", "write \"FIRST-LAST\""),
        ("udp_ports = \"80-90\"", "from 1024 on"),
        ("packet_size = 100", "choose from 548 to 65000"),
        ("sessions = 0", "choose from 1"),
        ("users = \"x\"", "did you mean `users_file`?"),
    ] {
        let refused = refusal(&format!("[rtsp]\n{keys}"));
        assert!(refused.contains(part), "{keys}: {refused}");
    }
    let off = parse("[rtsp]\nudp_ports = \"off\"").unwrap();
    assert_eq!(off.rtsp.udp_ports, None);
}
