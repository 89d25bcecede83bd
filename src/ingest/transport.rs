//! One way to receive, whatever carries the packets.

use super::{error::PullError, own::OwnPull, pull::LibraryPull, spec::Source};
use crate::{
    base::{Micros, seed::Seed},
    catalog::Transport,
    media::{Depacketiser, RtpPacket},
};
use std::{
    task::{Context, Poll},
    time::Duration,
};

/// What a camera sends.
#[derive(Debug)]
pub(crate) enum Received {
    /// A packet, in order within its track.
    Packet { track: usize, packet: RtpPacket },
    /// An RTCP sender report (RFC 3550 §6.4.1).
    Report {
        track: usize,
        ntp: u64,
        rtp_timestamp: u32,
    },
    /// Something unusable that the session survives.
    Stray,
}

/// A camera that plays and the depacketisers of its tracks.
pub(crate) type Connected<P> = (P, Vec<Depacketiser>);

/// A session that plays.
pub(crate) enum Pull {
    Library(Box<LibraryPull>),
    Own(Box<OwnPull>),
}

/// Who speaks with a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// The library, over TCP; ourselves over UDP.
    Usual,
    /// Ourselves, also over TCP: the camera does not answer keep-alives.
    Own,
}

impl Pull {
    /// Begins a session; each step of it within `patience`. `seed` is for the numbers that the protocols want random.
    pub(crate) async fn connect(
        source: &Source,
        speaker: Speaker,
        patience: Duration,
        seed: Seed,
    ) -> Result<Connected<Self>, PullError> {
        Ok(match (source.transport, speaker) {
            (Transport::Tcp, Speaker::Usual) => {
                let (pull, depacketisers) = LibraryPull::connect(source, patience).await?;
                (Self::Library(Box::new(pull)), depacketisers)
            }
            (Transport::Udp, _) | (_, Speaker::Own) => {
                let (pull, depacketisers) = OwnPull::connect(source, patience, seed).await?;
                (Self::Own(Box::new(pull)), depacketisers)
            }
        })
    }

    /// Whether the library has learnt that the camera does not answer keep-alives.
    pub(crate) fn is_deaf(&self) -> bool {
        match self {
            Self::Library(pull) => pull.is_deaf(),
            Self::Own(_) => false,
        }
    }

    /// The next thing the camera sent; `now` is monotonic. After an error the session is of no use.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        now: Micros,
    ) -> Poll<Result<Received, PullError>> {
        match self {
            Self::Library(pull) => pull.poll_next(cx),
            Self::Own(pull) => pull.poll_next(cx, now),
        }
    }
}

/// NTP and RTP timestamp of the sender report in a compound packet (RFC 3550 §6.1, §6.4.1).
pub(crate) fn sender_report(mut bytes: &[u8]) -> Option<(u64, u32)> {
    while let [first, kind, high, low, ..] = bytes {
        let len = 4 + 4 * usize::from(u16::from_be_bytes([*high, *low]));
        let packet = bytes.get(..len).filter(|_| first >> 6 == 2)?;
        if *kind == 200 {
            let ntp = packet.get(8..16)?.try_into().ok()?;
            let rtp_timestamp = packet.get(16..20)?.try_into().ok()?;
            return Some((u64::from_be_bytes(ntp), u32::from_be_bytes(rtp_timestamp)));
        }
        bytes = &bytes[len..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_report_is_found_behind_others_and_never_beyond_the_packet() {
        let mut packet = vec![0x80, 201, 0, 1, 1, 2, 3, 4, 0x80, 200, 0, 6];
        packet.extend([9; 4]);
        packet.extend(0x0102_0304_0506_0708_u64.to_be_bytes());
        packet.extend(77_u32.to_be_bytes());
        packet.extend([0; 8]);
        assert_eq!(sender_report(&packet), Some((0x0102_0304_0506_0708, 77)));
        for cut in 0..packet.len() {
            assert_eq!(sender_report(&packet[..cut]), None, "{cut}");
        }
        assert_eq!(sender_report(&[0x80, 200, 0, 0]), None);
    }
}
