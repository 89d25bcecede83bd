//! Packets by UDP: a pair of ports for each track, from a range that a firewall can be told.
//!
//! Sockets are connected to the client's ports, so nothing is taken from anybody else and nothing is sent anywhere else. Big pictures, and
//! for whoever joins those since the last key frame, go in small bursts with pauses between, since the receiver's buffer is small: 200 KB
//! for most, a fifth of a second of a 4K camera.

use super::response::{Refusal, Status};
use crate::{
    api::complaints,
    base::{Clock, Micros},
    media::Packets,
};
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};
use tokio::net::UdpSocket;

/// Bytes sent at once.
const BURST: usize = 32 << 10;
/// What the burst is made good in: about 90 Mbit/s, several times the fastest camera.
const BURST_TIME: Micros = Micros::from_millis(3);
/// A pause after an error of the network.
const PAUSE: Duration = Duration::from_millis(3);
/// Longest datagram taken from a client.
const REPORT_LEN_MAX: usize = 1_500;

/// The ports to send from.
pub(super) struct Ports {
    clock: Arc<dyn Clock>,
    range: RangeInclusive<u16>,
    next: AtomicU16,
}

/// How much may be sent at once: a burst, less what was sent and is not made good yet, over all that is sent.
#[derive(Debug)]
struct Pace {
    /// When all that was sent is made good.
    good_at: Micros,
}

impl Pace {
    /// Books `len` bytes at `now` (monotonic); how long to wait before they are sent.
    fn wait(&mut self, len: usize, now: Micros) -> Option<Micros> {
        let ahead = (self.good_at - now).max(Micros::ZERO);
        let cost = Micros(BURST_TIME.0 * len as i64 / BURST as i64);
        // For all that is not made good: waking up for each packet would cost more than the packet.
        let wait = (ahead + cost > BURST_TIME).then_some(ahead);
        self.good_at = self.good_at.max(now) + cost;
        wait
    }
}

/// The sockets of a track.
pub(super) struct Pair {
    clock: Arc<dyn Clock>,
    pace: Mutex<Pace>,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    ports: (u16, u16),
}

impl Ports {
    /// Those of `range`, in pairs of an even one and the one behind it.
    pub(super) fn new(range: RangeInclusive<u16>, clock: Arc<dyn Clock>) -> Self {
        let next = AtomicU16::new(*range.start());
        Self { clock, range, next }
    }

    /// Sockets of `local` for the client's ports.
    ///
    /// # Errors
    /// With 453 when no pair is free, 500 when the system refuses.
    pub(super) async fn pair(
        &self,
        local: IpAddr,
        peer: IpAddr,
        (rtp, rtcp): (u16, u16),
    ) -> Result<Pair, Refusal> {
        let first = self.range.start().next_multiple_of(2);
        let pairs = self.range.end().saturating_sub(first).div_ceil(2);
        for _ in 0..pairs {
            let number = self.next.fetch_add(1, Ordering::Relaxed) % pairs.max(1);
            let port = first + 2 * number;
            let bound = bind(local, port, peer, rtp).await;
            let bound = match bound {
                Ok(socket) => bind(local, port + 1, peer, rtcp)
                    .await
                    .map(|reports| (socket, reports)),
                Err(error) => Err(error),
            };
            match bound {
                Ok((rtp, rtcp)) => {
                    return Ok(Pair {
                        pace: Mutex::new(Pace {
                            good_at: self.clock.elapsed(),
                        }),
                        clock: Arc::clone(&self.clock),
                        rtp,
                        rtcp,
                        ports: (port, port + 1),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => {
                    let what = "a UDP port cannot be had; see [rtsp] udp_ports";
                    complaints::error(what, &format_args!("port {port}: {error}"));
                    let why = "no UDP port can be had; use TCP";
                    return Err(Refusal::new(Status::InternalError, why));
                }
            }
        }
        let why = "no UDP port is free; use TCP, or widen [rtsp] udp_ports";
        Err(Refusal::new(Status::NotEnoughBandwidth, why))
    }
}

async fn bind(local: IpAddr, port: u16, peer: IpAddr, peer_port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(local, port)).await?;
    socket.connect(SocketAddr::new(peer, peer_port)).await?;
    Ok(socket)
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

impl Pair {
    /// The server's ports.
    pub(super) fn ports(&self) -> (u16, u16) {
        self.ports
    }

    fn lock_pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends packets. What the network does not take is lost, as it is behind it.
    pub(super) async fn send(&self, packets: &Packets) {
        for packet in packets.iter() {
            let wait = self.lock_pace().wait(packet.len(), self.clock.elapsed());
            if let Some(wait) = wait {
                tokio::time::sleep(wait.to_std()).await;
            }
            let _ = self.rtp.send(packet).await;
        }
    }

    /// Sends a report.
    pub(super) async fn report(&self, report: &[u8]) {
        let _ = self.rtcp.send(report).await;
    }

    /// The next report of the client. Errors of the network are passed over: they are about packets that were sent.
    pub(super) async fn heard(&self) -> Vec<u8> {
        let mut buffer = [0; REPORT_LEN_MAX];
        loop {
            match self.rtcp.recv(&mut buffer).await {
                Ok(len) => return buffer.get(..len).unwrap_or_default().to_vec(),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group of pictures whose packets each fit a burst must not go out as one burst: the bytes sent within any span are at most the
    /// burst and what is made good in that span.
    #[test]
    fn a_burst_is_over_all_that_is_sent() {
        let begun = Micros::from_secs(7);
        let mut pace = Pace { good_at: begun };
        let (mut now, mut sent) = (begun, 0);
        for picture in 0..50 {
            for _ in 0..20 {
                if let Some(wait) = pace.wait(1_372, now) {
                    now = now + wait;
                }
                sent += 1_372;
            }
            let good = (now - begun).0 / BURST_TIME.0 + 1;
            let most = (1 + good) * BURST as i64;
            assert!(sent <= most, "{sent} bytes after picture {picture}");
        }
        let took = now - begun;
        assert!(took > Micros(30 * BURST_TIME.0), "1.3 MB took {took:?}");
        now = now + Micros::from_secs(1);
        assert_eq!(pace.wait(BURST, now), None, "after a pause a whole burst");
        assert_eq!(pace.wait(1_372, now), Some(BURST_TIME), "and no more");
    }
}
