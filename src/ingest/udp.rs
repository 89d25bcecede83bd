//! Packets from a camera over UDP, put into order by our own window.
//!
//! Datagrams are copied once, out of the receive buffer. Those of another sender, of another payload type or that are no RTP are counted
//! and dropped. RTCP keeps its own port (RFC 3550 §11); the RTSP connection stays open and keeps the session alive.

use super::{
    arena::Arena,
    error::PullError,
    rtsp::{RtspConnection, broken},
    sdp::Description,
    spec::Source,
    tracks::{self, ChosenTrack},
    transport::{Connected, Received, sender_report},
};
use crate::{
    base::Micros,
    media::{Continuity, ReceivedPacket, ReorderWindow, RtpPacket, reorder::REORDER_WAIT_DEFAULT},
};
use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::ReadBuf,
    net::UdpSocket,
    time::{Interval, MissedTickBehavior},
};

/// Packets that wait for a missing one, at most.
const WINDOW_PACKETS: usize = 256;
/// Asked of the system for each RTP socket: a key frame comes in one burst while the thread sleeps. The system may give less.
const RECEIVE_BUFFER_LEN: usize = 2 << 20;
/// Attempts to find an even port whose neighbour is free.
const PORT_ATTEMPTS: u32 = 64;
/// RFC 2326 §12.37.
const SESSION_TIMEOUT_DEFAULT_S: u64 = 60;
/// An empty RTP packet and an empty receiver report: open the way back through firewalls that track connections.
const OPENER_RTP: [u8; 12] = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const OPENER_RTCP: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 0];

/// A session that plays over UDP.
pub(crate) struct UdpPull {
    rtsp: RtspConnection,
    aggregate: String,
    tracks: Vec<UdpTrack>,
    keep_alive: Interval,
    keep_alive_method: &'static str,
    ready: VecDeque<Received>,
    ordered: Vec<RtpPacket>,
    datagram: Vec<u8>,
}

struct UdpTrack {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    peer: IpAddr,
    payload_type: u8,
    window: ReorderWindow,
    arena: Arena,
}

impl UdpPull {
    /// Connects, asks for the description, sets the tracks up and plays; each request within `patience`.
    pub(crate) async fn connect(
        source: &Source,
        patience: Duration,
    ) -> Result<Connected<Self>, PullError> {
        let url = source.url.expose();
        if url.scheme() != "rtsp" {
            return Err(PullError::Scheme {
                scheme: url.scheme().to_owned(),
            });
        }
        let mut rtsp = RtspConnection::open(source, patience).await?;
        let keep_alive_method = keep_alive_method(&mut rtsp, url.as_str()).await?;
        let accept = [("Accept", "application/sdp")];
        let described = rtsp.ask("DESCRIBE", url.as_str(), &accept).await?;
        let base = described
            .header("Content-Base")
            .or(described.header("Content-Location"))
            .filter(|base| base.starts_with("rtsp://"))
            .unwrap_or(url.as_str())
            .to_owned();
        let description = Description::parse(&described.body);
        let mut tracks = Vec::new();
        let mut depacketisers = Vec::new();
        let mut timeout_s = SESSION_TIMEOUT_DEFAULT_S;
        for ChosenTrack {
            medium,
            depacketiser,
        } in tracks::choose(&description)?
        {
            let Some(medium) = description.media.get(medium) else {
                continue;
            };
            let control = join(&base, medium.control.as_deref());
            match UdpTrack::set_up(&mut rtsp, &control, medium.payload_type, &mut timeout_s).await {
                Ok(track) => {
                    tracks.push(track);
                    depacketisers.push(depacketiser);
                }
                // A camera that refuses its sound or metadata still has video.
                Err(PullError::Refused { .. }) if !tracks.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        let aggregate = join(&base, description.control.as_deref());
        rtsp.ask("PLAY", &aggregate, &[("Range", "npt=0.000-")])
            .await?;
        let interval = Duration::from_secs((timeout_s / 2).clamp(1, 30));
        let mut keep_alive = tokio::time::interval(interval);
        // The first one after an interval, not at once.
        keep_alive.reset();
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let pull = Self {
            rtsp,
            aggregate,
            tracks,
            keep_alive,
            keep_alive_method,
            ready: VecDeque::new(),
            ordered: Vec::new(),
            datagram: vec![0; 1 << 16],
        };
        Ok((pull, depacketisers))
    }

    /// The next thing the camera sent; `now` is monotonic. After an error the session is of no use.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        now: Micros,
    ) -> Poll<Result<Received, PullError>> {
        if let Some(received) = self.ready.pop_front() {
            return Poll::Ready(Ok(received));
        }
        let polled = self.poll_sockets(cx, now);
        match (self.ready.pop_front(), polled) {
            // What came before the error first; the error comes again.
            (Some(received), _) => Poll::Ready(Ok(received)),
            (None, Err(error)) => Poll::Ready(Err(error)),
            (None, Ok(())) => Poll::Pending,
        }
    }

    /// Takes what the sockets have, then sees to the conversation.
    fn poll_sockets(&mut self, cx: &mut Context<'_>, now: Micros) -> Result<(), PullError> {
        for (index, track) in self.tracks.iter_mut().enumerate() {
            track.poll_reports(cx, index, &mut self.datagram, &mut self.ready);
            let polled = track.poll_packets(cx, now, &mut self.datagram, &mut self.ordered);
            let packets = self.ordered.drain(..);
            self.ready.extend(packets.map(|packet| Received::Packet {
                track: index,
                packet,
            }));
            self.ready.extend((0..polled?).map(|_| Received::Stray));
        }
        while self.rtsp.stream().poll_read_ready(cx).is_ready() {
            self.rtsp.drain()?;
        }
        while Pin::new(&mut self.keep_alive).poll_tick(cx).is_ready() {
            let request = self
                .rtsp
                .request(self.keep_alive_method, &self.aggregate, &[])?;
            // The send buffer has room for a hundred of them; a camera that does not read them closes the session by itself.
            if let Err(error) = self.rtsp.stream().try_write(request.as_bytes())
                && error.kind() != std::io::ErrorKind::WouldBlock
            {
                return Err(broken(&error));
            }
        }
        Ok(())
    }
}

/// How the session is kept alive. Some cameras know no OPTIONS: nothing else depends on it.
async fn keep_alive_method(
    rtsp: &mut RtspConnection,
    url: &str,
) -> Result<&'static str, PullError> {
    match rtsp.ask("OPTIONS", url, &[]).await {
        Ok(answer) => {
            let known = answer.header("Public").unwrap_or_default();
            Ok(match known.contains("GET_PARAMETER") {
                true => "GET_PARAMETER",
                false => "OPTIONS",
            })
        }
        Err(PullError::Refused { .. }) => Ok("OPTIONS"),
        Err(error) => Err(error),
    }
}

impl Drop for UdpPull {
    /// Says good-bye without waiting: a camera that does not hear it goes on sending until its session times out.
    fn drop(&mut self) {
        if let Ok(request) = self.rtsp.request("TEARDOWN", &self.aggregate, &[]) {
            let _ = self.rtsp.stream().try_write(request.as_bytes());
        }
    }
}

impl UdpTrack {
    async fn set_up(
        rtsp: &mut RtspConnection,
        control: &str,
        payload_type: u8,
        timeout_s: &mut u64,
    ) -> Result<Self, PullError> {
        let address = |address: std::io::Result<SocketAddr>| {
            address
                .map(|address| address.ip())
                .map_err(|error| broken(&error))
        };
        let local = address(rtsp.stream().local_addr())?;
        let (rtp, rtcp, port) = bind_pair(local).await.map_err(|error| broken(&error))?;
        let transport = format!("RTP/AVP;unicast;client_port={port}-{}", port + 1);
        let answer = rtsp
            .ask("SETUP", control, &[("Transport", &transport)])
            .await?;
        let transport = answer.header("Transport").unwrap_or_default();
        if transport.to_ascii_uppercase().contains("TCP") {
            return Err(PullError::Refused {
                request: "SETUP",
                status: 461,
            });
        }
        let source = parameter(transport, "source").and_then(|text| text.parse().ok());
        let peer = source.map_or_else(|| address(rtsp.stream().peer_addr()), Ok)?;
        if let Some(server) = parameter(transport, "server_port").and_then(first_port) {
            // These only open the way; that a datagram is lost is no error.
            let _ = rtp.send_to(&OPENER_RTP, (peer, server)).await;
            let _ = rtcp
                .send_to(&OPENER_RTCP, (peer, server.wrapping_add(1)))
                .await;
        }
        if let Some(session) = answer.header("Session") {
            let id = session.split(';').next().unwrap_or_default().trim();
            rtsp.session.get_or_insert_with(|| id.to_owned());
            let told = parameter(session, "timeout").and_then(|text| text.parse().ok());
            *timeout_s = told.unwrap_or(*timeout_s);
        }
        Ok(Self {
            rtp,
            rtcp,
            peer,
            payload_type,
            window: ReorderWindow::new(REORDER_WAIT_DEFAULT, WINDOW_PACKETS),
            arena: Arena::default(),
        })
    }

    /// Takes all packets there are; answers with the number of unusable ones.
    fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        now: Micros,
        datagram: &mut [u8],
        ordered: &mut Vec<RtpPacket>,
    ) -> Result<usize, PullError> {
        let mut strays = 0;
        loop {
            let mut buffer = ReadBuf::new(datagram);
            match self.rtp.poll_recv_from(cx, &mut buffer) {
                Poll::Pending => break,
                // An ICMP answer to one of our own datagrams.
                Poll::Ready(Err(error))
                    if error.kind() == std::io::ErrorKind::ConnectionRefused =>
                {
                    continue;
                }
                Poll::Ready(Err(error)) => return Err(broken(&error)),
                Poll::Ready(Ok(from)) if from.ip() != self.peer => strays += 1,
                Poll::Ready(Ok(_)) => {
                    let bytes = self.arena.keep(buffer.filled());
                    match ReceivedPacket::parse(&bytes) {
                        Ok(received) if received.payload_type == self.payload_type => {
                            let continuity = self.window.push(received, now, ordered);
                            if continuity == Continuity::Restarted {
                                // The last one belongs to the new stream, which a new session receives from its start.
                                ordered.pop();
                                return Err(PullError::Restarted {
                                    what: "source or sequence number",
                                });
                            }
                        }
                        _ => strays += 1,
                    }
                }
            }
        }
        self.window.release(now, ordered);
        Ok(strays)
    }

    fn poll_reports(
        &mut self,
        cx: &mut Context<'_>,
        track: usize,
        datagram: &mut [u8],
        ready: &mut VecDeque<Received>,
    ) {
        loop {
            let mut buffer = ReadBuf::new(datagram);
            match self.rtcp.poll_recv_from(cx, &mut buffer) {
                Poll::Ready(Ok(from)) if from.ip() == self.peer => {
                    if let Some((ntp, rtp_timestamp)) = sender_report(buffer.filled()) {
                        ready.push_back(Received::Report {
                            track,
                            ntp,
                            rtp_timestamp,
                        });
                    }
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) | Poll::Pending => return,
            }
        }
    }
}

/// An even port and the next (RFC 3550 §11).
async fn bind_pair(ip: IpAddr) -> std::io::Result<(UdpSocket, UdpSocket, u16)> {
    let mut last = std::io::ErrorKind::AddrInUse.into();
    for _ in 0..PORT_ATTEMPTS {
        let first = UdpSocket::bind((ip, 0)).await?;
        let port = first.local_addr()?.port();
        // The neighbour of the port the system gave: above an even one, below an odd one.
        let neighbour = UdpSocket::bind((ip, port ^ 1)).await;
        match neighbour {
            Ok(second) => {
                let (rtp, rtcp) = if port % 2 == 0 {
                    (first, second)
                } else {
                    (second, first)
                };
                // The system may give less than asked, and says nothing.
                let _ = socket2::SockRef::from(&rtp).set_recv_buffer_size(RECEIVE_BUFFER_LEN);
                return Ok((rtp, rtcp, port & !1));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// `name=value` in a list separated by semicolons.
fn parameter<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.split(';').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn first_port(range: &str) -> Option<u16> {
    let first = range.split('-').next()?.trim();
    first.parse().ok().filter(|port| *port != 0)
}

/// The address of a control attribute (RFC 2326 §C.1.1), joined as cameras mean it rather than by RFC 1808: behind the base.
fn join(base: &str, control: Option<&str>) -> String {
    match control {
        None | Some("" | "*") => base.to_owned(),
        Some(control) if control.starts_with("rtsp://") => control.to_owned(),
        Some(control) => format!(
            "{}/{}",
            base.trim_end_matches('/'),
            control.trim_start_matches('/')
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_addresses_are_joined_as_cameras_mean_them() {
        let join = |base, control| super::join(base, control);
        assert_eq!(
            join("rtsp://h/s/", Some("trackID=0")),
            "rtsp://h/s/trackID=0"
        );
        assert_eq!(join("rtsp://h/s?u=1", Some("t=0")), "rtsp://h/s?u=1/t=0");
        assert_eq!(join("rtsp://h/s", Some("*")), "rtsp://h/s");
        assert_eq!(join("rtsp://h/s", None), "rtsp://h/s");
        assert_eq!(join("rtsp://h/s", Some("rtsp://x/t")), "rtsp://x/t");
    }

    #[test]
    fn transport_parameters_are_found() {
        let text = "RTP/AVP;unicast; client_port=5000-5001;Server_port=6000-6001;source=10.0.0.7";
        assert_eq!(
            parameter(text, "server_port").and_then(first_port),
            Some(6000)
        );
        assert_eq!(parameter(text, "source"), Some("10.0.0.7"));
        assert_eq!(parameter(text, "ssrc"), None);
        assert_eq!(first_port("0-1"), None);
    }
}
