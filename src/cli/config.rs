//! The configuration file: TOML, small, complete by default.
//!
//! | key                        | default            | meaning                                                        |
//! |----------------------------|--------------------|----------------------------------------------------------------|
//! | `[http] listen`            | `"127.0.0.1:8080"` | address of HTTP, or `"off"`                                    |
//! | `[http] hosts`             | `[]`               | further names of the server, beside its addresses              |
//! | `[http] allow_origins`     | `[]`               | origins of other pages that may read answers                   |
//! | `[http] connections`       | `1024`             | connections in all                                             |
//! | `[http] connections_per_client` | `128`         | connections of one address                                     |
//! | `[http] readers`           | `256`              | downloads, parts of HLS and live views in all                  |
//! | `[http] readers_per_client` | `64`              | those of one address                                           |
//! | `[http] range`             | `"7d"`             | longest recorded range of one video                            |
//! | `[http] url_size`          | `"8KiB"`           | longest address                                                |
//! | `[http] header_size`       | `"16KiB"`          | longest headers together                                       |
//! | `[http] header_timeout`    | `"10s"`            | how long the head of a request may take                        |
//! | `[http] idle_timeout`      | `"75s"`            | how long a connection may be without a request                 |
//! | `[http] answer_timeout`    | `"30s"`            | how long an answer may wait for a disk                         |
//! | `[http] stall_timeout`     | `"60s"`            | how long a client may take nothing of its answer               |
//! | `[rtsp] listen`            | `"off"`            | address of `rtsp://`, or `"off"`                               |
//! | `[rtsp] tls_listen`        | `"off"`            | address of `rtsps://`, or `"off"`                              |
//! | `[rtsp] certificate`       |                    | PEM file of the certificate chain, for `tls_listen`            |
//! | `[rtsp] key`               |                    | PEM file of its private key, for `tls_listen`                  |
//! | `[rtsp] users_file`        | nobody signs in    | lines of `name:password`; only its owner may read it           |
//! | `[rtsp] udp_ports`         | `"28000-28999"`    | ports that packets by UDP come from, or `"off"`                |
//! | `[rtsp] packet_size`       | 1372               | most bytes of an RTP packet, 548 to 65000                      |
//! | `[rtsp] sessions`          | 1000               | most sessions in all                                           |
//! | `[rtsp] sessions_per_client` | 100              | most sessions of one client address                            |
//! | `[mediamtx] listen`        | `"off"`            | address of playback in the shape of MediaMTX, or `"off"`       |
//! | `[data] dir`               | `"/var/lib/nvring"`| catalog, key and control socket                                |
//! | `[[pool]] name`            | one pool `default` | a named set of volumes                                         |
//! | `[[volume]] path`          |                    | a formatted volume; `serve` needs at least one                 |
//! | `[[volume]] pool`          | the only pool      | the pool it belongs to                                         |
//! | `[record] commit_interval` | `"1s"`             | how long frames wait in memory at most (0.1 s to 10 s)         |
//! | `[record] sync_interval`   | `"1s"`             | how long written data waits for its sync at most (0.1 to 60 s) |
//!
//! Paths are relative to the file's own directory. A key that is not in the table is an error that names the nearest one:
//! a mistyped key must not silently mean its default. An address other machines can reach is refused unless the operator
//! asks for it, because anyone who reaches it sees every camera.

mod http;
mod rtsp;

pub use rtsp::{RtspConfig, RtspTls};

use crate::{
    api::http::HttpOptions,
    base::{Micros, nearest},
    catalog::DEFAULT_POOL,
};
use serde::Deserialize;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Range,
    path::{Path, PathBuf},
};
use toml::de::{DeTable, DeValue};

/// Where catalog, key and control socket are kept unless told otherwise.
pub const DATA_DIR: &str = "/var/lib/nvring";

/// The keys of the file by section; a section of `[[…]]` may occur many times.
const KEYS: [(&str, &[&str]); 7] = [
    ("http", http::KEYS),
    ("rtsp", &rtsp::KEYS),
    ("mediamtx", &["listen"]),
    ("data", &["dir"]),
    ("pool", &["name"]),
    ("volume", &["path", "pool"]),
    ("record", &["commit_interval", "sync_interval"]),
];

const COMMIT_INTERVAL: (Micros, Micros) = (Micros::from_millis(100), Micros::from_secs(10));
const SYNC_INTERVAL: (Micros, Micros) = (Micros::from_millis(100), Micros::from_secs(60));

/// What the configuration file says, checked and with its defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file, when there is one.
    pub file: Option<PathBuf>,
    /// Where HTTP listens; `None` is off.
    pub http: Option<SocketAddr>,
    /// What clients of HTTP may do, and those of MediaMTX's shape.
    pub http_options: HttpOptions,
    /// The RTSP server.
    pub rtsp: RtspConfig,
    /// Where playback in the shape of MediaMTX listens; `None` is off.
    pub mediamtx: Option<SocketAddr>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The names of the pools; at least one.
    pub pools: Vec<String>,
    /// The volumes.
    pub volumes: Vec<VolumeConfig>,
    /// How long frames wait in memory at most.
    pub commit_interval: Micros,
    /// How long written data waits for its sync at most.
    pub sync_interval: Micros,
}

/// One `[[volume]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeConfig {
    /// Its directory.
    pub path: PathBuf,
    /// Its pool.
    pub pool: String,
}

/// What is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file {}: {why}; check --config and NVRING_CONFIG", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        why: String,
    },
    /// A line of it is wrong.
    #[error("configuration file {} line {line}: {what}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong and what would be right.
        what: String,
    },
    /// No volume.
    #[error(
        "{} names no volume; add `[[volume]]` with `path = \"DIR\"` (a directory formatted by `nvring volume format DIR --size SIZE`)",
        match file { Some(file) => format!("configuration file {}", file.display()), None => "no configuration file is given, so the configuration".to_owned() }
    )]
    NoVolume {
        /// The file.
        file: Option<PathBuf>,
    },
    /// An address others can reach.
    #[error(
        "[{section}] {key} = \"{address}\" can be reached from other machines, and nobody has to sign in{}; use 127.0.0.1, or `serve --insecure` on a network where everyone may see every camera",
        if *section == "rtsp" { " ([rtsp] users_file would change that)" } else { ": this release has no accounts" }
    )]
    Exposed {
        /// `http`, `rtsp` or `mediamtx`.
        section: &'static str,
        /// The key that holds the address.
        key: &'static str,
        /// The address.
        address: SocketAddr,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            http: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080)),
            http_options: HttpOptions::default(),
            rtsp: RtspConfig::default(),
            mediamtx: None,
            data_dir: PathBuf::from(DATA_DIR),
            pools: vec![DEFAULT_POOL.to_owned()],
            volumes: Vec::new(),
            commit_interval: Micros::from_secs(1),
            sync_interval: Micros::from_secs(1),
        }
    }
}

impl Config {
    /// Reads a file; without one, everything has its default.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(file) = file else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(file).map_err(|error| ConfigError::Unreadable {
            file: file.to_owned(),
            why: error.to_string(),
        })?;
        Self::parse(file, &text)
    }

    /// Reads the text of `file`.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        read(file, text).map_err(|(span, what)| {
            let before = text.get(..span.start).unwrap_or(text);
            ConfigError::Line {
                file: file.to_owned(),
                line: 1 + before.matches('\n').count(),
                what,
            }
        })
    }

    /// Makes sure that there is something to record to.
    pub fn require_volume(&self) -> Result<(), ConfigError> {
        if self.volumes.is_empty() {
            return Err(ConfigError::NoVolume {
                file: self.file.clone(),
            });
        }
        Ok(())
    }

    /// Makes sure that no listener where nobody has to sign in can be reached from other machines.
    pub fn require_loopback(&self) -> Result<(), ConfigError> {
        let open = self.rtsp.users_file.is_none();
        let tls = self.rtsp.tls.as_ref().map(|tls| tls.listen);
        let listeners = [
            ("http", "listen", self.http),
            ("rtsp", "listen", self.rtsp.listen.filter(|_| open)),
            ("rtsp", "tls_listen", tls.filter(|_| open)),
            ("mediamtx", "listen", self.mediamtx),
        ];
        for (section, key, address) in listeners {
            if let Some(address) = address
                && !address.ip().to_canonical().is_loopback()
            {
                return Err(ConfigError::Exposed {
                    section,
                    key,
                    address,
                });
            }
        }
        Ok(())
    }
}

/// The place in the text and what is wrong there.
type Wrong = (Range<usize>, String);

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct File {
    http: http::Section,
    rtsp: rtsp::RtspSection,
    mediamtx: ListenSection,
    data: DataSection,
    pool: Vec<toml::Spanned<PoolSection>>,
    volume: Vec<toml::Spanned<VolumeSection>>,
    record: RecordSection,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct ListenSection {
    listen: Option<toml::Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct DataSection {
    dir: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolSection {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VolumeSection {
    path: PathBuf,
    pool: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct RecordSection {
    commit_interval: Option<toml::Spanned<String>>,
    sync_interval: Option<toml::Spanned<String>>,
}

fn read(path: &Path, text: &str) -> Result<Config, Wrong> {
    let wrong = |error: toml::de::Error| {
        let what = error.message().to_owned();
        (
            error.span().unwrap_or_default(),
            format!("{what}; see docs/operating.md for every key"),
        )
    };
    let table = DeTable::parse(text).map_err(wrong)?;
    check_keys(table.get_ref())?;
    let file: File = toml::from_str(text).map_err(wrong)?;
    let default = Config::default();
    let base = path.parent().unwrap_or(Path::new(""));
    let pools = pools(&file.pool)?;
    Ok(Config {
        file: Some(path.to_owned()),
        http: file.http.listen(default.http)?,
        http_options: file.http.options()?,
        rtsp: file.rtsp.read(base)?,
        mediamtx: address(file.mediamtx.listen.as_ref(), default.mediamtx)?,
        data_dir: file.data.dir.map_or(default.data_dir, |dir| base.join(dir)),
        volumes: volumes(&file.volume, base, &pools)?,
        pools,
        commit_interval: interval(
            file.record.commit_interval.as_ref(),
            COMMIT_INTERVAL,
            default.commit_interval,
        )?,
        sync_interval: interval(
            file.record.sync_interval.as_ref(),
            SYNC_INTERVAL,
            default.sync_interval,
        )?,
    })
}

/// Refuses a section or key that is not in `KEYS`, naming the nearest.
fn check_keys(table: &DeTable<'_>) -> Result<(), Wrong> {
    for (name, value) in table {
        let sections = KEYS.iter().map(|(section, _)| *section);
        let Some((section, keys)) = KEYS.iter().find(|(section, _)| *section == name.get_ref())
        else {
            return Err((name.span(), unknown("section", name.get_ref(), sections)));
        };
        let tables: Vec<&DeTable<'_>> = match value.get_ref() {
            DeValue::Table(table) => vec![table],
            DeValue::Array(items) => items
                .iter()
                .filter_map(|item| match item.get_ref() {
                    DeValue::Table(table) => Some(table),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        };
        for key in tables.iter().flat_map(|table| table.keys()) {
            if !keys.contains(&key.get_ref().as_ref()) {
                let what = format!("key in [{section}]");
                return Err((
                    key.span(),
                    unknown(&what, key.get_ref(), keys.iter().copied()),
                ));
            }
        }
    }
    Ok(())
}

fn unknown(what: &str, word: &str, known: impl Iterator<Item = &'static str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(near) => format!("unknown {what}: `{word}`; did you mean `{near}`?"),
        None => format!(
            "unknown {what}: `{word}`; known are: {}",
            known.collect::<Vec<_>>().join(", ")
        ),
    }
}

fn address(
    listen: Option<&toml::Spanned<String>>,
    default: Option<SocketAddr>,
) -> Result<Option<SocketAddr>, Wrong> {
    let Some(listen) = listen else {
        return Ok(default);
    };
    let text = listen.get_ref().trim();
    if text == "off" {
        return Ok(None);
    }
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map(Some).map_err(|_| {
        let what = format!(
            "listen = \"{text}\" is not an address; write \"IP:PORT\" such as \"127.0.0.1:8080\" or \"[::1]:8080\", or \"off\""
        );
        (listen.span(), what)
    })
}

fn interval(
    text: Option<&toml::Spanned<String>>,
    (least, most): (Micros, Micros),
    default: Micros,
) -> Result<Micros, Wrong> {
    let Some(text) = text else {
        return Ok(default);
    };
    let wrong = |what| (text.span(), what);
    let span: Micros = text
        .get_ref()
        .parse()
        .map_err(|error: crate::base::time::DurationError| wrong(error.to_string()))?;
    if span < least || span > most {
        return Err(wrong(format!(
            "`{}` is out of range; choose from {} ms to {} s",
            text.get_ref(),
            least.0 / 1000,
            most.0 / 1_000_000
        )));
    }
    Ok(span)
}

fn pools(sections: &[toml::Spanned<PoolSection>]) -> Result<Vec<String>, Wrong> {
    let mut names: Vec<String> = Vec::new();
    for section in sections {
        let name = crate::catalog::collation::normalise(&section.get_ref().name);
        let what = if name.is_empty() || name.chars().any(char::is_control) {
            "a pool needs a name; give it at least one character".to_owned()
        } else if names.contains(&name) {
            format!("pool `{name}` is there twice; remove one")
        } else {
            names.push(name);
            continue;
        };
        return Err((section.span(), what));
    }
    if names.is_empty() {
        names.push(DEFAULT_POOL.to_owned());
    }
    Ok(names)
}

fn volumes(
    sections: &[toml::Spanned<VolumeSection>],
    base: &Path,
    pools: &[String],
) -> Result<Vec<VolumeConfig>, Wrong> {
    let mut volumes: Vec<VolumeConfig> = Vec::new();
    for section in sections {
        let wrong = |what| (section.span(), what);
        let VolumeSection { path, pool } = section.get_ref();
        let path = base.join(path);
        if volumes.iter().any(|volume| volume.path == path) {
            return Err(wrong(format!(
                "volume {} is there twice; remove one",
                path.display()
            )));
        }
        let pool = match (pool, pools) {
            (Some(pool), _) => crate::catalog::collation::normalise(pool),
            (None, [only]) => only.clone(),
            (None, _) => {
                return Err(wrong(format!(
                    "volume {} names no pool, and there are several; add `pool = \"{}\"`",
                    path.display(),
                    pools.join("\"` or `pool = \"")
                )));
            }
        };
        if !pools.contains(&pool) {
            return Err(wrong(unknown_pool(&pool, pools)));
        }
        volumes.push(VolumeConfig { path, pool });
    }
    Ok(volumes)
}

/// Says that a pool is not among those configured.
pub fn unknown_pool(pool: &str, pools: &[String]) -> String {
    match nearest(pool, pools.iter().map(String::as_str)) {
        Some(near) => format!("pool `{pool}` is unknown; did you mean `{near}`?"),
        None => format!("pool `{pool}` is unknown; known are: {}", pools.join(", ")),
    }
}

#[cfg(test)]
mod tests;
