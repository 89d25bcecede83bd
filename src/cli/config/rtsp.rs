//! `[rtsp]`: where the RTSP server listens, who may sign in, and how much it takes on.
//! The table of `config` lists its keys.

use super::{Wrong, address};
use crate::media::packetise::{PACKET_LEN_DEFAULT, PACKET_LEN_MIN};
use serde::Deserialize;
use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};
use toml::Spanned;

/// The keys.
pub(super) const KEYS: [&str; 9] = [
    "listen",
    "tls_listen",
    "certificate",
    "key",
    "users_file",
    "udp_ports",
    "packet_size",
    "sessions",
    "sessions_per_client",
];

/// Ports that no system gives out by itself.
const UDP_PORTS: RangeInclusive<u16> = 28_000..=28_999;
/// Datagrams can hold no more.
const PACKET_LEN_MAX: usize = 65_000;
/// More sessions than any machine serves.
const SESSIONS_MAX: usize = 100_000;

/// What `[rtsp]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtspConfig {
    /// Where it listens; `None` is off.
    pub listen: Option<SocketAddr>,
    /// Where it listens with TLS; `None` is off.
    pub tls: Option<RtspTls>,
    /// Who may sign in; `None`: nobody has to.
    pub users_file: Option<PathBuf>,
    /// Ports that packets by UDP come from; `None` is off.
    pub udp_ports: Option<RangeInclusive<u16>>,
    /// Most bytes of an RTP packet.
    pub packet_len_max: usize,
    /// Most sessions in all.
    pub sessions: usize,
    /// Most sessions of one client address.
    pub sessions_per_client: usize,
}

/// A listener with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtspTls {
    /// Where.
    pub listen: SocketAddr,
    /// File of the certificate chain.
    pub certificate: PathBuf,
    /// File of its private key.
    pub key: PathBuf,
}

impl Default for RtspConfig {
    fn default() -> Self {
        Self {
            listen: None,
            tls: None,
            users_file: None,
            udp_ports: Some(UDP_PORTS),
            packet_len_max: PACKET_LEN_DEFAULT,
            sessions: 1_000,
            sessions_per_client: 100,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RtspSection {
    listen: Option<Spanned<String>>,
    tls_listen: Option<Spanned<String>>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    users_file: Option<PathBuf>,
    udp_ports: Option<Spanned<String>>,
    packet_size: Option<Spanned<usize>>,
    sessions: Option<Spanned<usize>>,
    sessions_per_client: Option<Spanned<usize>>,
}

impl RtspSection {
    /// The section of a file in `base`, checked and with its defaults.
    pub(super) fn read(self, base: &Path) -> Result<RtspConfig, Wrong> {
        let default = RtspConfig::default();
        let tls = match (
            address(self.tls_listen.as_ref(), None)?,
            self.certificate,
            self.key,
        ) {
            (None, ..) => None,
            (Some(listen), Some(certificate), Some(key)) => Some(RtspTls {
                listen,
                certificate: base.join(certificate),
                key: base.join(key),
            }),
            (Some(_), ..) => {
                let span = self.tls_listen.map(|text| text.span()).unwrap_or_default();
                let what = "tls_listen needs `certificate` and `key`: files in PEM";
                return Err((span, what.to_owned()));
            }
        };
        Ok(RtspConfig {
            listen: address(self.listen.as_ref(), default.listen)?,
            tls,
            users_file: self.users_file.map(|file| base.join(file)),
            udp_ports: self
                .udp_ports
                .as_ref()
                .map_or(Ok(default.udp_ports), ports)?,
            packet_len_max: number(
                self.packet_size.as_ref(),
                PACKET_LEN_MIN..=PACKET_LEN_MAX,
                default.packet_len_max,
            )?,
            sessions: number(self.sessions.as_ref(), 1..=SESSIONS_MAX, default.sessions)?,
            sessions_per_client: number(
                self.sessions_per_client.as_ref(),
                1..=SESSIONS_MAX,
                default.sessions_per_client,
            )?,
        })
    }
}

fn number(
    value: Option<&Spanned<usize>>,
    allowed: RangeInclusive<usize>,
    default: usize,
) -> Result<usize, Wrong> {
    let Some(value) = value else {
        return Ok(default);
    };
    if allowed.contains(value.get_ref()) {
        return Ok(*value.get_ref());
    }
    let what = format!(
        "{} is out of range; choose from {} to {}",
        value.get_ref(),
        allowed.start(),
        allowed.end()
    );
    Err((value.span(), what))
}

/// `FIRST-LAST`, or `off`.
fn ports(text: &Spanned<String>) -> Result<Option<RangeInclusive<u16>>, Wrong> {
    let range = text.get_ref().trim();
    if range == "off" {
        return Ok(None);
    }
    let ends = range
        .split_once('-')
        .and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)));
    match ends {
        // A pair is an even port and the one behind it.
        Some((first, last)) if first >= 1_024 && last > first && last - first >= 2 => {
            Ok(Some(first..=last))
        }
        _ => {
            let what = format!(
                "udp_ports = \"{range}\" is no range; write \"FIRST-LAST\" such as \"28000-28999\", from 1024 on and at least three, or \"off\""
            );
            Err((text.span(), what))
        }
    }
}
