//! The `Transport` header of SETUP (RFC 2326 §12.39): how the client wants its packets, and what of that is given.
//!
//! Given are interleaved channels of the connection and UDP to the client's own address. A client offers alternatives in the order it
//! likes them; the first that is given here is taken.

use super::response::{Refusal, Status};

/// How packets go to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// On the connection itself (§10.12).
    Interleaved {
        /// RTP channel; reports go on the next one. `None`: the server may choose.
        channel: Option<u8>,
    },
    /// To UDP ports of the client.
    Datagrams {
        /// RTP port.
        rtp: u16,
        /// Port for reports.
        rtcp: u16,
    },
}

/// Whether packets go by UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagrams {
    /// They do, where a client wants it.
    Given,
    /// They do not.
    Off,
    /// They could be read by others than the client, who came by TLS.
    Readable,
}

impl Transport {
    /// Whether both take the same way.
    pub fn is_like(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Interleaved { .. }, Self::Interleaved { .. })
                | (Self::Datagrams { .. }, Self::Datagrams { .. })
        )
    }

    /// The first alternative of a header's value that can be given.
    ///
    /// # Errors
    /// With 461 when none can; with 400 when one of them cannot be read.
    pub fn choose(value: &str, datagrams: Datagrams) -> Result<Self, Refusal> {
        for alternative in value.split(',') {
            match read(alternative)? {
                Some(Self::Datagrams { .. }) if datagrams != Datagrams::Given => {}
                Some(transport) => return Ok(transport),
                None => {}
            }
        }
        let udp = match datagrams {
            Datagrams::Given => " or RTP/AVP;unicast;client_port=N-N+1",
            Datagrams::Off => "; UDP is off here",
            Datagrams::Readable => "; by UDP anybody could watch what you asked for by TLS",
        };
        let why = format!("offer RTP/AVP/TCP;unicast;interleaved=0-1{udp}");
        Err(Refusal::new(Status::UnsupportedTransport, why))
    }
}

/// One alternative; `None` when it is well formed and nothing that is given here.
fn read(alternative: &str) -> Result<Option<Transport>, Refusal> {
    let mut parts = alternative.split(';').map(str::trim);
    let profile = parts.next().unwrap_or_default();
    let tcp = profile.eq_ignore_ascii_case("RTP/AVP/TCP");
    let udp =
        profile.eq_ignore_ascii_case("RTP/AVP") || profile.eq_ignore_ascii_case("RTP/AVP/UDP");
    let (mut channels, mut ports, mut given) = (None, None, tcp || udp);
    for part in parts {
        let (name, value) = part
            .split_once('=')
            .map_or((part, ""), |(name, value)| (name, value.trim()));
        match &*name.trim().to_ascii_lowercase() {
            "multicast" => given = false,
            // Packets go to whoever asks for them and to nobody else: a server that sends where it is told is a weapon.
            "destination" if !value.is_empty() => given = false,
            "mode" => given &= value.trim_matches('"').eq_ignore_ascii_case("play"),
            "interleaved" => channels = Some(pair::<u8>(part, value)?),
            "client_port" => ports = Some(pair::<u16>(part, value)?),
            // `unicast`, `ssrc`, `ttl`, `append` and what later standards add: nothing that would change the answer.
            _ => {}
        }
    }
    Ok(match (given, tcp, channels, ports) {
        (false, ..) => None,
        (true, true, channels, _) => Some(Transport::Interleaved {
            channel: channels.map(|(rtp, _)| rtp),
        }),
        (true, false, _, Some((rtp, rtcp))) => Some(Transport::Datagrams { rtp, rtcp }),
        (true, false, Some((rtp, _)), None) => Some(Transport::Interleaved { channel: Some(rtp) }),
        (true, false, None, None) => None,
    })
}

/// `N-M`, or `N` which is `N-N+1`. Anything but neighbours is refused: reports would be taken for packets of another track.
fn pair<T: std::str::FromStr + Into<u32> + Copy>(
    part: &str,
    value: &str,
) -> Result<(T, T), Refusal> {
    let wrong = || {
        let part: String = part.chars().take(80).collect();
        Refusal::new(
            Status::BadRequest,
            format!("Transport: `{part}`: write two numbers that follow each other, such as 0-1"),
        )
    };
    let (first, second) = value
        .split_once('-')
        .map_or((value, None), |(first, second)| (first, Some(second)));
    let number = |text: &str| text.trim().parse::<T>().map_err(|_| wrong());
    let first = number(first)?;
    let next: u32 = first.into() + 1;
    let second = number(second.unwrap_or(&next.to_string()))?;
    if second.into() == next {
        Ok((first, second))
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(value: &str) -> Result<Transport, u16> {
        Transport::choose(value, Datagrams::Given).map_err(|refusal| refusal.status.code())
    }

    /// The headers that ffmpeg 5.1, GStreamer 1.22, live555 and retina send.
    #[test]
    fn what_clients_ask_for_is_understood() {
        let channel = |channel| Ok(Transport::Interleaved { channel });
        let ports = |rtp, rtcp| Ok(Transport::Datagrams { rtp, rtcp });
        assert_eq!(
            choose("RTP/AVP/TCP;unicast;interleaved=0-1"),
            channel(Some(0))
        );
        assert_eq!(
            choose("RTP/AVP/TCP;unicast;interleaved=2-3"),
            channel(Some(2))
        );
        assert_eq!(
            choose("RTP/AVP/UDP;unicast;client_port=20110-20111"),
            ports(20110, 20111)
        );
        assert_eq!(
            choose(
                "RTP/AVP;unicast;client_port=5000-5001,RTP/AVP;multicast,RTP/AVP/TCP;unicast;interleaved=0-1"
            ),
            ports(5000, 5001)
        );
        assert_eq!(
            choose("RTP/AVP;multicast,RTP/AVP/TCP;unicast;interleaved=0-1"),
            channel(Some(0))
        );
        assert_eq!(choose("RTP/AVP/TCP;unicast;mode=\"PLAY\""), channel(None));
        assert_eq!(
            choose("RTP/AVP;unicast;client_port=7000"),
            ports(7000, 7001)
        );
        for datagrams in [Datagrams::Off, Datagrams::Readable] {
            assert_eq!(
                Transport::choose("RTP/AVP;unicast;client_port=1-2,RTP/AVP/TCP", datagrams),
                Ok(Transport::Interleaved { channel: None })
            );
        }
    }

    #[test]
    fn what_is_not_given_or_makes_no_sense_is_refused() {
        for (value, status) in [
            ("RTP/AVP;multicast", 461),
            ("RTP/AVP;unicast", 461),
            ("RTP/SAVP;unicast;client_port=1-2", 461),
            (
                "RTP/AVP;unicast;destination=10.0.0.1;client_port=1000-1001",
                461,
            ),
            ("RTP/AVP/TCP;interleaved=0-1;mode=record", 461),
            ("", 461),
            ("RTP/AVP/TCP;interleaved=255-256", 400),
            ("RTP/AVP/TCP;interleaved=255", 400),
            ("RTP/AVP/TCP;interleaved=0-5", 400),
            ("RTP/AVP/TCP;interleaved=1-0", 400),
            ("RTP/AVP/TCP;interleaved=-1", 400),
            ("RTP/AVP;client_port=65535-65536", 400),
            ("RTP/AVP;client_port=x", 400),
        ] {
            assert_eq!(choose(value), Err(status), "{value}");
        }
    }
}
