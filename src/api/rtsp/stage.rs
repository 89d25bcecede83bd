//! What a player plays on: the tracks a session has set up, the ways their packets go, and the sender reports beside them.
//!
//! A player hands over packets; the stage knows whether they go on the connection or by UDP, counts them as sender reports want it
//! (RFC 3550 §6.4.1), and waits while the client is behind. Players for live and replay are alike here.

use super::{
    address::Address,
    datagrams::Pair,
    outbox::{Gone, Outbox},
    service::Service,
};
use crate::{
    base::{Micros, UnixMicros},
    media::{
        Packets, StreamId, Track,
        rtcp::{ReceiverReport, SenderReport},
    },
};
use bytes::Bytes;
use std::sync::Arc;

/// How often a track is reported on (RFC 3550 §6.2 wants 5 s at least for a session of two).
const REPORT_INTERVAL: Micros = Micros::from_secs(5);
/// The name of the sender for all tracks: their times belong together.
const CNAME: &str = "nvring";

/// Where a track's packets go.
#[derive(Clone, Debug)]
pub(super) enum Outlet {
    /// On the connection.
    Interleaved {
        /// The connection's row.
        outbox: Arc<Outbox>,
        /// Channel of packets; reports go on the next.
        channel: u8,
    },
    /// By UDP.
    Datagrams(Arc<Pair>),
}

/// A track that is set up.
#[derive(Debug)]
pub(super) struct StageTrack {
    /// Its number in the stream's `TrackSet`.
    pub(super) number: u8,
    /// As it was described to the client.
    pub(super) track: Track,
    outlet: Outlet,
    ssrc: Option<u32>,
    packets: u32,
    octets: u32,
    reported: Option<Micros>,
}

impl StageTrack {
    pub(super) fn new(number: u8, track: Track, outlet: Outlet) -> Self {
        Self {
            number,
            track,
            outlet,
            ssrc: None,
            packets: 0,
            octets: 0,
            reported: None,
        }
    }

    fn count(&mut self, packets: &Packets) {
        let ssrc = packets
            .iter()
            .next()
            .and_then(|packet| packet.get(8..12)?.try_into().ok());
        let ssrc = ssrc.map(u32::from_be_bytes).or(self.ssrc);
        if ssrc != self.ssrc {
            // Another source counts anew.
            (self.ssrc, self.packets, self.octets) = (ssrc, 0, 0);
        }
        self.packets = self.packets.wrapping_add(packets.count() as u32);
        self.octets = self.octets.wrapping_add(packets.payload_len() as u32);
    }

    fn report(&self, ssrc: u32, instant: Option<(UnixMicros, u32)>) -> Vec<u8> {
        let report = SenderReport {
            ssrc,
            instant,
            packets: self.packets,
            octets: self.octets,
        };
        report.encode(CNAME, false)
    }
}

/// What a session's player has.
pub(super) struct Stage {
    /// The stream.
    pub(super) stream: StreamId,
    /// Its address, as the client knows it.
    pub(super) address: Address,
    /// The server.
    pub(super) service: Arc<Service>,
    tracks: Vec<StageTrack>,
}

impl Stage {
    /// Without tracks.
    pub(super) fn new(stream: StreamId, address: Address, service: Arc<Service>) -> Self {
        Self {
            stream,
            address,
            service,
            tracks: Vec::new(),
        }
    }

    /// The tracks that are set up.
    pub(super) fn tracks(&self) -> &[StageTrack] {
        &self.tracks
    }

    /// The numbers of the tracks that are set up.
    pub(super) fn numbers(&self) -> Vec<u8> {
        self.tracks.iter().map(|track| track.number).collect()
    }

    /// Whether packets go on the connection, which holds back who sends too much.
    pub(super) fn is_interleaved(&self) -> bool {
        let on_connection = |track: &StageTrack| matches!(track.outlet, Outlet::Interleaved { .. });
        self.tracks.iter().any(on_connection)
    }

    /// Adds a track, in place of the one with its number.
    pub(super) fn set_up(&mut self, track: StageTrack) {
        self.let_go(track.number);
        self.tracks.push(track);
        self.tracks.sort_by_key(|track| track.number);
    }

    /// Lets go of a track.
    pub(super) fn let_go(&mut self, number: u8) {
        self.tracks.retain(|track| track.number != number);
    }

    /// Sends packets, each with the number of its track; those of tracks that are not set up are left out. Waits while the client is
    /// behind. On a connection everything is handed over at once, or nothing when this is dropped.
    ///
    /// # Errors
    /// When the connection is closed.
    pub(super) async fn send(&mut self, batch: &[(u8, Packets)]) -> Result<(), Gone> {
        let mut pieces = Vec::with_capacity(batch.len());
        let mut row = None;
        for (number, packets) in batch {
            let Some(track) = self.tracks.iter().find(|track| track.number == *number) else {
                continue;
            };
            match &track.outlet {
                Outlet::Interleaved { outbox, channel } => {
                    row.get_or_insert_with(|| Arc::clone(outbox));
                    pieces.push(packets.framed_for(*channel));
                }
                Outlet::Datagrams(pair) => pair.send(packets).await,
            }
        }
        if let Some(outbox) = row {
            outbox.send(pieces).await?;
        }
        for (number, packets) in batch {
            if let Some(track) = self.tracks.iter_mut().find(|track| track.number == *number) {
                track.count(packets);
                self.service.metrics.packets.inc_by(packets.count() as u64);
                self.service
                    .metrics
                    .bytes
                    .inc_by(packets.framed().len() as u64);
            }
        }
        Ok(())
    }

    /// Sends the reports that are due. `instant`: a time on the recorder's clock and the RTP timestamp of a track that stands for it;
    /// `None` where the client sets the pace.
    ///
    /// # Errors
    /// When the connection is closed.
    pub(super) async fn report(
        &mut self,
        instant: impl Fn(u8) -> Option<(UnixMicros, u32)>,
    ) -> Result<(), Gone> {
        let now = self.service.now();
        for index in 0..self.tracks.len() {
            let Some(track) = self.tracks.get_mut(index) else {
                break;
            };
            let due = track
                .reported
                .is_none_or(|last| now - last >= REPORT_INTERVAL);
            let Some(ssrc) = track.ssrc.filter(|_| due) else {
                continue;
            };
            track.reported = Some(now);
            let report = track.report(ssrc, instant(track.number));
            send_report(&track.outlet, &report).await?;
        }
        Ok(())
    }

    /// Says that nothing more will come (RFC 3550 §6.6). The report before it is an empty one of a receiver: a sender's would tell an
    /// instant, and none is true any more.
    ///
    /// # Errors
    /// When the connection is closed.
    pub(super) async fn bye(&mut self) -> Result<(), Gone> {
        for track in &self.tracks {
            if let Some(ssrc) = track.ssrc {
                let farewell = ReceiverReport {
                    ssrc,
                    blocks: Vec::new(),
                };
                send_report(&track.outlet, &farewell.encode(CNAME, true)).await?;
            }
        }
        Ok(())
    }
}

async fn send_report(outlet: &Outlet, report: &[u8]) -> Result<(), Gone> {
    match outlet {
        Outlet::Interleaved { outbox, channel } => {
            let mut framed = vec![b'$', channel.wrapping_add(1)];
            framed.extend_from_slice(&(report.len() as u16).to_be_bytes());
            framed.extend_from_slice(report);
            outbox.send(vec![Bytes::from(framed)]).await
        }
        Outlet::Datagrams(pair) => {
            pair.report(report).await;
            Ok(())
        }
    }
}
