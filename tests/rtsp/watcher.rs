//! A client of replay that takes packets apart byte by byte: every picture with the header extension of its first packet.

use crate::client::{Answer, Client, Description};
use bytes::Bytes;
use nvring::base::UnixMicros;
use std::net::SocketAddr;

/// Bits of the extension.
pub(crate) const CLEAN: u8 = 0x80;
pub(crate) const END: u8 = 0x40;
pub(crate) const JUMP: u8 = 0x20;
pub(crate) const TERMINAL: u8 = 0x10;

/// The fields of the header extension 0xABAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extension {
    pub(crate) time: UnixMicros,
    pub(crate) bits: u8,
    pub(crate) sequence: u8,
}

/// A picture that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) number: u64,
    pub(crate) timestamp: u32,
    pub(crate) extension: Option<Extension>,
}

impl Seen {
    pub(crate) fn bits(&self) -> u8 {
        self.extension.map_or(0, |extension| extension.bits)
    }

    pub(crate) fn time(&self) -> UnixMicros {
        self.extension.expect("an extension").time
    }
}

/// The client.
pub(crate) struct Watcher {
    pub(crate) client: Client,
    pub(crate) description: Description,
    url: String,
    codec: camsim::Codec,
    /// Source and sequence number of the next packet. Behind a goodbye it is another source.
    next: Option<(u32, u16)>,
    /// The packets of the picture that is coming.
    coming: Vec<Bytes>,
    /// Whether all packets of a picture may have the extension.
    pub(crate) repeats: bool,
}

/// The extension of a packet, and that it is as ONVIF lays it out.
pub(crate) fn extension(packet: &[u8]) -> Option<Extension> {
    if packet[0] & 0x10 == 0 {
        return None;
    }
    let bytes = &packet[12..28];
    assert_eq!(packet[0] & 0x0f, 0, "no contributing sources");
    assert_eq!(bytes[..4], [0xab, 0xac, 0, 3], "profile and length");
    assert_eq!(bytes[14..], [0, 0], "padding");
    assert_eq!(bytes[12] & 0x0f, 0, "bits that must be zero");
    let word = |at: usize| {
        u64::from(u32::from_be_bytes([
            bytes[at],
            bytes[at + 1],
            bytes[at + 2],
            bytes[at + 3],
        ]))
    };
    let (seconds, fraction) = (word(4), word(8));
    let micros = (fraction * 1_000_000 + (1 << 31)) >> 32;
    let seconds = seconds as i64 - 2_208_988_800;
    Some(Extension {
        time: UnixMicros(seconds * 1_000_000 + micros as i64),
        bits: bytes[12],
        sequence: bytes[13],
    })
}

impl Watcher {
    /// Sets up all tracks of `url`.
    pub(crate) fn new(server: SocketAddr, url: &str) -> Self {
        Self::on(Client::connect(server), url)
    }

    /// The same on a connection that is there.
    pub(crate) fn on(mut client: Client, url: &str) -> Self {
        let description = client.set_up(url);
        let track = &description.tracks[0];
        let codec = if track.lines["rtpmap"].starts_with("H265") {
            camsim::Codec::H265
        } else {
            camsim::Codec::H264
        };
        Self {
            client,
            url: url.to_owned(),
            codec,
            description,
            next: None,
            coming: Vec::new(),
            repeats: false,
        }
    }

    /// Sends PLAY, which must be granted.
    pub(crate) fn play(&mut self, headers: &str) -> Answer {
        let answer = self.ask("PLAY", headers);
        assert_eq!(answer.code, 200, "{headers}: {}", answer.body);
        answer
    }

    /// Sends a request about all tracks.
    pub(crate) fn ask(&mut self, method: &str, headers: &str) -> Answer {
        let url = self.url.clone();
        self.client.request(method, &url, headers)
    }

    /// The next picture; `None` when the server says goodbye.
    pub(crate) fn next(&mut self) -> Option<Seen> {
        loop {
            let (channel, packet) = self.client.packet().expect("the connection stays");
            match channel {
                0 => {
                    if let Some(seen) = self.take(&packet) {
                        return Some(seen);
                    }
                }
                1 if is_goodbye(&packet) => {
                    self.next = None;
                    return None;
                }
                _ => {}
            }
        }
    }

    fn take(&mut self, packet: &Bytes) -> Option<Seen> {
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let source = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let expected = self.next.replace((source, sequence.wrapping_add(1)));
        assert!(
            expected.is_none_or(|expected| expected == (source, sequence)),
            "no packet is missing"
        );
        self.coming.push(packet.clone());
        if packet[1] & 0x80 == 0 {
            return None;
        }
        let packets = std::mem::take(&mut self.coming);
        let mut extensions = packets.iter().map(|packet| extension(packet));
        let first = extensions.next().flatten();
        // GStreamer's server repeats it in each.
        assert!(
            self.repeats || extensions.all(|other| other.is_none()),
            "only the first packet of a picture has an extension"
        );
        let payloads = packets
            .iter()
            .map(|packet| &packet[if packet[0] & 0x10 == 0 { 12 } else { 28 }..]);
        let units = units(self.codec, payloads);
        let units: Vec<&[u8]> = units.iter().map(Vec::as_slice).collect();
        let mark = match camsim::mark::verify_nals(self.codec, &units) {
            camsim::mark::Verdict::Identical(mark)
            | camsim::mark::Verdict::SlicesIdentical(mark) => mark,
            other => panic!("a picture is not what was sent: {other:?}"),
        };
        Some(Seen {
            number: mark.frame,
            timestamp: u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]),
            extension: first,
        })
    }

    /// All pictures up to the goodbye.
    pub(crate) fn all(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Ends the session; whether pictures came that were not looked at.
    pub(crate) fn end(mut self) -> bool {
        assert_eq!(self.ask("TEARDOWN", "").code, 200);
        let rest = self.client.packets().filter(|(channel, _)| *channel == 0);
        rest.count() > 0
    }

    /// So many pictures.
    pub(crate) fn some(&mut self, count: usize) -> Vec<Seen> {
        let seen: Vec<Seen> = std::iter::from_fn(|| self.next()).take(count).collect();
        assert_eq!(seen.len(), count, "so many pictures come");
        seen
    }
}

/// Whether a compound RTCP packet holds a BYE.
pub(crate) fn is_goodbye(packet: &[u8]) -> bool {
    let mut rest = packet;
    while rest.len() >= 4 {
        if rest[1] == 203 {
            return true;
        }
        let len = 4 + 4 * usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        rest = rest.get(len..).unwrap_or_default();
    }
    false
}

/// The NAL units of an access unit: RFC 6184 §5.6 to §5.8, RFC 7798 §4.4.
fn units<'a>(codec: camsim::Codec, payloads: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let h264 = codec == camsim::Codec::H264;
    let mut units: Vec<Vec<u8>> = Vec::new();
    for payload in payloads {
        let kind = if h264 {
            payload[0] & 0x1f
        } else {
            payload[0] >> 1 & 0x3f
        };
        let header_len = if h264 { 1 } else { 2 };
        let (together, fragment) = if h264 { (24, 28) } else { (48, 49) };
        if kind == together {
            let mut rest = &payload[header_len..];
            while let [high, low, after @ ..] = rest {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                units.push(after[..len].to_vec());
                rest = &after[len..];
            }
        } else if kind == fragment {
            let flags = payload[header_len];
            if flags & 0x80 != 0 {
                let header = if h264 {
                    vec![payload[0] & 0xe0 | flags & 0x1f]
                } else {
                    vec![payload[0] & 0x81 | (flags & 0x3f) << 1, payload[1]]
                };
                units.push(header);
            }
            let unit = units.last_mut().expect("a fragment has a beginning");
            unit.extend_from_slice(&payload[header_len + 1..]);
        } else {
            units.push(payload.to_vec());
        }
    }
    units
}
