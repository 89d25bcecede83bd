//! The sockets of a track over UDP: a pair per track, RTP on the even port and RTCP on the next (RFC 3550 §11).
//!
//! Datagrams of another sender are counted and dropped; what the others hold is for `own` to judge.

use super::{error::PullError, own::parameter, rtsp::broken};
use std::{
    net::{IpAddr, SocketAddr},
    task::{Context, Poll},
};
use tokio::{io::ReadBuf, net::UdpSocket};

/// Asked of the system for each RTP socket: a key frame comes in one burst while the thread sleeps. The system may give less.
const RECEIVE_BUFFER_LEN: usize = 2 << 20;
/// Attempts to find an even port whose neighbour is free.
const PORT_ATTEMPTS: u32 = 64;
/// An empty RTP packet and an empty receiver report: open the way back through firewalls that track connections.
const OPENER_RTP: [u8; 12] = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const OPENER_RTCP: [u8; 8] = [0x80, 201, 0, 1, 0, 0, 0, 0];

/// A pair of sockets.
#[derive(Debug)]
pub(crate) struct UdpPair {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    /// The lower one.
    port: u16,
    /// Whom datagrams are taken from.
    peer: IpAddr,
    /// Where reports are sent: what the camera named, else where its own came from.
    reports_to: Option<SocketAddr>,
}

impl UdpPair {
    /// Sockets of `local` for what `peer` sends.
    pub(crate) async fn bind(local: IpAddr, peer: IpAddr) -> Result<Self, PullError> {
        let (rtp, rtcp, port) = bind_pair(local).await.map_err(|error| broken(&error))?;
        Ok(Self {
            rtp,
            rtcp,
            port,
            peer,
            reports_to: None,
        })
    }

    /// What is asked of the camera.
    pub(crate) fn transport(&self) -> String {
        format!(
            "RTP/AVP;unicast;client_port={}-{}",
            self.port,
            self.port + 1
        )
    }

    /// Takes the camera's answer, and opens the way for its packets.
    pub(crate) async fn agree(&mut self, transport: &str) {
        let source = parameter(transport, "source").and_then(|text| text.parse().ok());
        self.peer = source.unwrap_or(self.peer);
        if let Some(server) = parameter(transport, "server_port").and_then(first_port) {
            let reports_to = SocketAddr::new(self.peer, server.wrapping_add(1));
            self.reports_to = Some(reports_to);
            // That one of these is lost is no error.
            let _ = self.rtp.send_to(&OPENER_RTP, (self.peer, server)).await;
            let _ = self.rtcp.send_to(&OPENER_RTCP, reports_to).await;
        }
    }

    /// The next RTP datagram, in `buffer`; `false` for one of a stranger.
    pub(crate) fn poll_rtp(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<bool, PullError>> {
        loop {
            return match self.rtp.poll_recv_from(cx, buffer) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(from)) => Poll::Ready(Ok(from.ip() == self.peer)),
                // An ICMP answer to one of our own datagrams.
                Poll::Ready(Err(error))
                    if error.kind() == std::io::ErrorKind::ConnectionRefused =>
                {
                    continue;
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(broken(&error))),
            };
        }
    }

    /// The next RTCP datagram of the camera, in `buffer`.
    pub(crate) fn poll_rtcp(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<()> {
        loop {
            buffer.clear();
            match self.rtcp.poll_recv_from(cx, buffer) {
                Poll::Ready(Ok(from)) if from.ip() == self.peer => {
                    self.reports_to.get_or_insert(from);
                    return Poll::Ready(());
                }
                Poll::Ready(Ok(_)) => {}
                // Reports are not needed: whatever is wrong shows at the packets.
                Poll::Ready(Err(_)) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Sends a report; one that does not leave is one lost on the way.
    pub(crate) fn report(&self, packet: &[u8]) {
        if let Some(to) = self.reports_to {
            let _ = self.rtcp.try_send_to(packet, to);
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

fn first_port(range: &str) -> Option<u16> {
    let first = range.split('-').next()?.trim();
    first.parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_port_of_a_range_is_taken() {
        assert_eq!(first_port("6000-6001"), Some(6000));
        assert_eq!(first_port("0-1"), None);
    }
}
