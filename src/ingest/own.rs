//! Sessions that are spoken by ourselves: cameras set to UDP, and those over TCP that leave the library's keep-alives without an answer.
//!
//! The library reads TCP only as long as its keep-alives are answered and sends no receiver reports; over UDP it drops every packet that
//! comes out of order. Here keep-alives are sent whether they are answered or not, packets go through our own window, and every track is
//! reported of to the camera (RFC 3550 §6.4.2): some stop sending to a client that says nothing.

use super::{
    arena::Arena,
    error::PullError,
    rtsp::{RtspConnection, broken},
    sdp::{Description, Medium},
    spec::Source,
    tracks::{self, ChosenTrack},
    transport::{Connected, Received, sender_report},
    udp::UdpPair,
};
use crate::{
    base::{Micros, seed::Seed},
    catalog::Transport,
    media::{
        Continuity, Depacketiser, ReceivedPacket, ReorderWindow, RtpPacket,
        reorder::REORDER_WAIT_DEFAULT,
        rtcp::{ReceiverReport, Reception},
    },
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
    time::{Interval, MissedTickBehavior},
};

/// Packets that wait for a missing one, at most.
const WINDOW_PACKETS: usize = 256;
/// RFC 2326 §12.37.
const SESSION_TIMEOUT_DEFAULT_S: u64 = 60;
/// Mean time between two reports of a track; each is drawn from half to one and a half of it, the first from half of that (RFC 3550 §6.2,
/// §6.3.1).
const REPORT_INTERVAL: Micros = Micros::from_secs(5);

/// A session that plays.
pub(crate) struct OwnPull {
    rtsp: RtspConnection,
    aggregate: String,
    tracks: Vec<Track>,
    keep_alive: Interval,
    keep_alive_method: &'static str,
    reporter: Reporter,
    /// When it was polled last.
    now: Micros,
    ready: VecDeque<Received>,
    datagram: Vec<u8>,
}

/// A track, whatever carries it.
struct Track {
    index: usize,
    way: Way,
    payload_type: u8,
    window: ReorderWindow,
    reception: Reception,
    arena: Arena,
    ordered: Vec<RtpPacket>,
}

/// What carries a track's packets.
enum Way {
    Udp(UdpPair),
    /// Inside the RTSP connection, RTCP on the next channel (RFC 2326 §10.12).
    Channel(u8),
}

/// When and as whom reports are sent.
struct Reporter {
    ssrc: u32,
    cname: String,
    seed: Seed,
    next: Option<Micros>,
}

impl OwnPull {
    /// Connects, asks for the description, sets the tracks up and plays; each request within `patience`. `seed` is for the numbers that
    /// RTCP wants random.
    pub(crate) async fn connect(
        source: &Source,
        patience: Duration,
        seed: Seed,
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
        let mut setup = SetUp {
            rtsp: &mut rtsp,
            transport: source.transport,
            timeout_s: SESSION_TIMEOUT_DEFAULT_S,
        };
        let (mut tracks, mut depacketisers) = (Vec::new(), Vec::new());
        for ChosenTrack {
            medium,
            depacketiser,
        } in tracks::choose(&description)?
        {
            let Some(medium) = description.media.get(medium) else {
                continue;
            };
            let control = join(&base, medium.control.as_deref());
            match setup
                .track(tracks.len(), medium, &control, &depacketiser)
                .await
            {
                Ok(track) => {
                    tracks.push(track);
                    depacketisers.push(depacketiser);
                }
                // A camera that refuses its sound or metadata still has video.
                Err(PullError::Refused { .. }) if !tracks.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        let interval = Duration::from_secs((setup.timeout_s / 2).clamp(1, 30));
        let aggregate = join(&base, description.control.as_deref());
        rtsp.ask("PLAY", &aggregate, &[("Range", "npt=0.000-")])
            .await?;
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
            reporter: Reporter::new(seed),
            now: Micros::ZERO,
            ready: VecDeque::new(),
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
        let polled = self.poll(cx, now);
        match (self.ready.pop_front(), polled) {
            // What came before the error first; the error comes again.
            (Some(received), _) => Poll::Ready(Ok(received)),
            (None, Err(error)) => Poll::Ready(Err(error)),
            (None, Ok(())) => Poll::Pending,
        }
    }

    /// Takes what there is, then sees to reports and to the conversation.
    fn poll(&mut self, cx: &mut Context<'_>, now: Micros) -> Result<(), PullError> {
        self.now = now;
        let Self { tracks, ready, .. } = self;
        for track in tracks.iter_mut() {
            track.poll_sockets(cx, now, &mut self.datagram, ready)?;
        }
        self.rtsp.poll_messages(cx, |channel, bytes| {
            for track in tracks.iter_mut() {
                match track.way {
                    Way::Channel(rtp) if rtp == channel => {
                        return track.packet(bytes, now, ready);
                    }
                    Way::Channel(rtp) if rtp.wrapping_add(1) == channel => {
                        track.report(bytes, now, ready);
                        return Ok(());
                    }
                    _ => {}
                }
            }
            ready.push_back(Received::Stray);
            Ok(())
        })?;
        for track in tracks.iter_mut() {
            track.release(now, ready);
        }
        if self.reporter.is_due(now) {
            self.send_reports(false)?;
        }
        while Pin::new(&mut self.keep_alive).poll_tick(cx).is_ready() {
            let method = self.keep_alive_method;
            let request = self.rtsp.request(method, &self.aggregate, &[])?;
            self.rtsp.try_send(request.as_bytes())?;
        }
        Ok(())
    }

    fn send_reports(&mut self, bye: bool) -> Result<(), PullError> {
        for track in &mut self.tracks {
            let report = ReceiverReport {
                ssrc: self.reporter.ssrc,
                blocks: track.reception.report(self.now).into_iter().collect(),
            };
            let packet = report.encode(&self.reporter.cname, bye);
            match &track.way {
                Way::Udp(pair) => pair.report(&packet),
                Way::Channel(rtp) => {
                    let [high, low] = (packet.len() as u16).to_be_bytes();
                    let head = [b'$', rtp.wrapping_add(1), high, low];
                    self.rtsp.try_send(&[&head[..], &packet].concat())?;
                }
            }
        }
        Ok(())
    }
}

impl Drop for OwnPull {
    /// Says good-bye without waiting: a camera that does not hear it goes on sending until its session times out.
    fn drop(&mut self) {
        // No more is expected of a connection that broke.
        let _ = self.send_reports(true);
        if let Ok(request) = self.rtsp.request("TEARDOWN", &self.aggregate, &[]) {
            let _ = self.rtsp.try_send(request.as_bytes());
        }
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

/// Sets tracks up, one behind the other.
struct SetUp<'a> {
    rtsp: &'a mut RtspConnection,
    transport: Transport,
    /// As the camera says.
    timeout_s: u64,
}

impl SetUp<'_> {
    async fn track(
        &mut self,
        index: usize,
        medium: &Medium,
        control: &str,
        depacketiser: &Depacketiser,
    ) -> Result<Track, PullError> {
        let (way, window) = match self.transport {
            Transport::Udp => {
                let (local, peer) = self.addresses()?;
                let mut pair = UdpPair::bind(local, peer).await?;
                let agreed = self.ask(control, &pair.transport()).await?;
                if agreed.to_ascii_uppercase().contains("TCP") {
                    return Err(transport_refused());
                }
                pair.agree(&agreed).await;
                let window = ReorderWindow::new(REORDER_WAIT_DEFAULT, WINDOW_PACKETS);
                (Way::Udp(pair), window)
            }
            Transport::Tcp => {
                let first = 2 * index as u8;
                let wanted = format!("RTP/AVP/TCP;unicast;interleaved={first}-{}", first + 1);
                let agreed = self.ask(control, &wanted).await?;
                if !agreed.to_ascii_uppercase().contains("TCP") {
                    return Err(transport_refused());
                }
                let channel = parameter(&agreed, "interleaved")
                    .and_then(|range| range.split('-').next()?.trim().parse().ok());
                // Nothing comes out of order, so nothing is waited for.
                let window = ReorderWindow::new(Micros::ZERO, 0);
                (Way::Channel(channel.unwrap_or(first)), window)
            }
        };
        Ok(Track {
            index,
            way,
            payload_type: medium.payload_type,
            window,
            reception: Reception::new(depacketiser.clock_rate()),
            arena: Arena::default(),
            ordered: Vec::new(),
        })
    }

    /// The transport that the camera agrees to.
    async fn ask(&mut self, control: &str, transport: &str) -> Result<String, PullError> {
        let headers = [("Transport", transport)];
        let answer = self.rtsp.ask("SETUP", control, &headers).await?;
        if let Some(session) = answer.header("Session") {
            let id = session.split(';').next().unwrap_or_default().trim();
            self.rtsp.session.get_or_insert_with(|| id.to_owned());
            let told = parameter(session, "timeout").and_then(|text| text.parse().ok());
            self.timeout_s = told.unwrap_or(self.timeout_s);
        }
        Ok(answer.header("Transport").unwrap_or_default().to_owned())
    }

    /// Ours and the camera's.
    fn addresses(&self) -> Result<(IpAddr, IpAddr), PullError> {
        let ip = |address: std::io::Result<SocketAddr>| {
            address
                .map(|address| address.ip())
                .map_err(|error| broken(&error))
        };
        let stream = self.rtsp.stream();
        Ok((ip(stream.local_addr())?, ip(stream.peer_addr())?))
    }
}

fn transport_refused() -> PullError {
    PullError::Refused {
        request: "SETUP",
        status: 461,
    }
}

impl Track {
    /// Takes all datagrams there are.
    fn poll_sockets(
        &mut self,
        cx: &mut Context<'_>,
        now: Micros,
        datagram: &mut [u8],
        ready: &mut VecDeque<Received>,
    ) -> Result<(), PullError> {
        loop {
            let Way::Udp(pair) = &mut self.way else {
                return Ok(());
            };
            let mut buffer = ReadBuf::new(datagram);
            if pair.poll_rtcp(cx, &mut buffer).is_pending() {
                break;
            }
            self.report(buffer.filled(), now, ready);
        }
        loop {
            let Way::Udp(pair) = &self.way else {
                return Ok(());
            };
            let mut buffer = ReadBuf::new(datagram);
            match pair.poll_rtp(cx, &mut buffer) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(false)) => ready.push_back(Received::Stray),
                Poll::Ready(Ok(true)) => self.packet(buffer.filled(), now, ready)?,
            }
        }
    }

    /// Takes a packet. Those of another payload type, or that are no RTP, are strays.
    fn packet(
        &mut self,
        bytes: &[u8],
        now: Micros,
        ready: &mut VecDeque<Received>,
    ) -> Result<(), PullError> {
        let bytes = self.arena.keep(bytes);
        let received = match ReceivedPacket::parse(&bytes) {
            Ok(received) if received.payload_type == self.payload_type => received,
            _ => {
                ready.push_back(Received::Stray);
                return Ok(());
            }
        };
        let RtpPacket {
            sequence,
            timestamp,
            ..
        } = received.packet;
        self.reception
            .packet(received.ssrc, sequence, timestamp, now);
        if self.window.push(received, now, &mut self.ordered) == Continuity::Restarted {
            // The last one belongs to the new stream, which a new session receives from its start.
            self.ordered.pop();
            self.give(ready);
            return Err(PullError::Restarted {
                what: "source or sequence number",
            });
        }
        self.give(ready);
        Ok(())
    }

    fn report(&mut self, bytes: &[u8], now: Micros, ready: &mut VecDeque<Received>) {
        if let Some((ntp, rtp_timestamp)) = sender_report(bytes) {
            self.reception.sender_report(ntp, now);
            ready.push_back(Received::Report {
                track: self.index,
                ntp,
                rtp_timestamp,
            });
        }
    }

    /// Gives out what has waited long enough for a missing packet.
    fn release(&mut self, now: Micros, ready: &mut VecDeque<Received>) {
        self.window.release(now, &mut self.ordered);
        self.give(ready);
    }

    fn give(&mut self, ready: &mut VecDeque<Received>) {
        let track = self.index;
        let packets = self.ordered.drain(..);
        ready.extend(packets.map(|packet| Received::Packet { track, packet }));
    }
}

impl Reporter {
    fn new(mut seed: Seed) -> Self {
        let ssrc = seed.next() as u32;
        Self {
            ssrc,
            // Names nothing (RFC 7022 §4.2).
            cname: format!("{:016x}", seed.next()),
            seed,
            next: None,
        }
    }

    /// Whether reports are due; the next ones are some seconds later.
    fn is_due(&mut self, now: Micros) -> bool {
        let mean = REPORT_INTERVAL.0.unsigned_abs();
        let drawn = Micros(self.seed.between(mean / 2, mean * 3 / 2) as i64);
        match self.next {
            None => {
                self.next = Some(now + Micros(drawn.0 / 2));
                false
            }
            Some(next) if now < next => false,
            Some(_) => {
                self.next = Some(now + drawn);
                true
            }
        }
    }
}

/// `name=value` in a list separated by semicolons.
pub(crate) fn parameter<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.split(';').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
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
        assert_eq!(parameter(text, "server_port"), Some("6000-6001"));
        assert_eq!(parameter(text, "source"), Some("10.0.0.7"));
        assert_eq!(parameter(text, "ssrc"), None);
    }

    /// RFC 3550 §6.2: reports of many receivers must not come together, nor more often than every 2.5 s; the first may come sooner.
    #[test]
    fn reports_are_some_seconds_apart_and_never_in_step() {
        let mut reporter = Reporter::new(Seed::new(3550));
        let due: Vec<i64> = (0..1_000_000)
            .map(|number| number * 1_000)
            .filter(|now| reporter.is_due(Micros(*now)))
            .collect();
        assert!((1_250_000..=3_751_000).contains(&due[0]), "{}", due[0]);
        let apart: Vec<i64> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            apart
                .iter()
                .all(|time| (2_500_000..=7_501_000).contains(time))
        );
        let mean = apart.iter().sum::<i64>() / apart.len() as i64;
        assert!((4_700_000..5_300_000).contains(&mean), "{mean}");
        assert!(
            apart
                .windows(2)
                .any(|pair| (pair[0] - pair[1]).abs() > 500_000)
        );
    }
}
