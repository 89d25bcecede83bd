//! A session: one receiver of one camera. Turns the camera's frames into bytes on that receiver's way, with the faults in force.

use crate::camera::{Camera, Frame, Settings};
use crate::clock::Clock;
use crate::fault::Garbage;
use crate::mark::MarkText;
use crate::packet::{FRAMING_LEN, HEADER_LEN, Stamp, Wire};
use crate::report::SessionReport;
use crate::seed::Seed;
use mio::net::UdpSocket;
use std::net::SocketAddr;
use std::ops::Range;

/// Sender reports go out at this interval (RFC 3550 §6.2 names 5 s as the least).
const REPORT_INTERVAL_NS: u64 = 5_000_000_000;
/// Seconds from 1900 to 1970 (RFC 3550 §4).
const NTP_UNIX_S: i64 = 2_208_988_800;

/// One receiver of one camera.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// Index of its camera.
    pub(crate) camera: usize,
    pub(crate) video: Option<Track>,
    pub(crate) sound: Option<Track>,
    pub(crate) playing: bool,
    pub(crate) last_seen_ns: u64,
    pub(crate) garbage: Option<Garbage>,
    pub(crate) report: SessionReport,
    next_report_ns: u64,
    /// It was held back and sends what is due without leaving anything out.
    catching_up: bool,
    seed: Seed,
}

/// One medium of a session.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub(crate) way: Way,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    /// Added to the camera's RTP time.
    pub(crate) offset: u32,
    /// The next frame or audio packet.
    pub(crate) next: u64,
    packets: u32,
    octets: u32,
    /// The middle of the NTP time of the newest sender report and of the one before; 0 when there was none.
    pub(crate) last_report: u32,
    pub(crate) report_before: u32,
}

/// How packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Inside the RTSP connection, on these channels.
    Tcp { rtp: u8, rtcp: u8 },
    /// To these addresses.
    Udp { rtp: SocketAddr, rtcp: SocketAddr },
}

/// The server's two UDP sockets, for all sessions.
#[derive(Debug)]
pub(crate) struct UdpPair {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
}

/// Where a session's bytes go in one tick.
#[derive(Debug)]
pub(crate) struct Lane<'a> {
    /// Bytes for the RTSP connection.
    pub(crate) out: &'a mut Vec<u8>,
    /// How long `out` may become; beyond it frames are left out.
    pub(crate) room: usize,
    pub(crate) scratch: &'a mut Vec<u8>,
    pub(crate) udp: &'a UdpPair,
}

/// One access unit or audio packet to be sent.
#[derive(Clone, Copy, Debug)]
struct Parcel<'a> {
    wire: &'a Wire,
    /// RTP time before the session's offset.
    ticks: u32,
    mark: Option<&'a MarkText>,
    /// Random bytes instead of the payload.
    spoil: bool,
}

impl Track {
    pub(crate) fn new(way: Way, seed: &mut Seed) -> Self {
        let (ids, place) = (seed.next(), seed.next());
        Self {
            way,
            ssrc: ids as u32,
            sequence: (ids >> 32) as u16,
            offset: place as u32,
            next: 0,
            packets: 0,
            octets: 0,
            last_report: 0,
            report_before: 0,
        }
    }
}

impl Session {
    pub(crate) fn new(camera: usize, peer: SocketAddr, now_ns: u64, mut seed: Seed) -> Self {
        let id = format!("{:016x}", seed.next());
        let report = SessionReport {
            id: id.clone(),
            peer: peer.to_string(),
            ..SessionReport::default()
        };
        Self {
            id,
            camera,
            video: None,
            sound: None,
            playing: false,
            last_seen_ns: now_ns,
            garbage: None,
            report,
            next_report_ns: now_ns,
            catching_up: false,
            seed,
        }
    }

    /// Whether any medium goes over UDP.
    pub(crate) fn is_udp(&self) -> bool {
        [&self.video, &self.sound]
            .into_iter()
            .flatten()
            .any(|track| matches!(track.way, Way::Udp { .. }))
    }

    /// Sends everything that is due.
    pub(crate) fn advance(
        &mut self,
        camera: &Camera,
        clock: &Clock,
        now_ns: u64,
        lane: &mut Lane<'_>,
    ) {
        if camera.hold_until_ns > now_ns {
            self.catching_up = true;
            return;
        }
        self.advance_video(camera, clock, now_ns, lane);
        self.advance_sound(camera, now_ns, lane);
        if now_ns >= self.next_report_ns && !camera.silent(now_ns) {
            self.next_report_ns = now_ns + REPORT_INTERVAL_NS;
            self.send_reports(camera, clock, now_ns, lane);
        }
    }

    fn advance_video(&mut self, camera: &Camera, clock: &Clock, now_ns: u64, lane: &mut Lane<'_>) {
        let Some(mut track) = self.video.take() else {
            return;
        };
        loop {
            track.next = camera.past_stalls(track.next);
            let frame = camera.frame(track.next);
            if frame.due_ns > now_ns {
                self.catching_up = false;
                break;
            }
            if lane.out.len() + frame.unit.wire.len() > lane.room {
                if self.catching_up {
                    break;
                }
                track.sequence = track.sequence.wrapping_add(frame.unit.wire.count() as u16);
                self.report.frames_slow += 1;
            } else {
                self.send_frame(&mut track, camera, &frame, clock, lane);
            }
            track.next += 1;
        }
        self.video = Some(track);
    }

    fn send_frame(
        &mut self,
        track: &mut Track,
        camera: &Camera,
        frame: &Frame<'_>,
        clock: &Clock,
        lane: &mut Lane<'_>,
    ) {
        let unit = frame.unit;
        let mark = MarkText::new(
            &camera.name,
            track.next,
            clock.unix_us(frame.due_ns),
            unit.slices,
            unit.others,
        );
        let garbage = self.garbage.take();
        match garbage {
            Some(Garbage::Packet) => self.send_noise(track, 64, 64, lane),
            Some(Garbage::Framing) => self.send_noise(track, 400, 100, lane),
            Some(Garbage::Payload) | None => {}
        }
        let parcel = Parcel {
            wire: &unit.wire,
            ticks: frame.ticks,
            mark: Some(&mark),
            spoil: garbage == Some(Garbage::Payload),
        };
        self.send(track, camera, parcel, lane);
        self.report.first_frame.get_or_insert(track.next);
        self.report.last_frame = Some(track.next);
        self.report.frames += 1;
    }

    fn advance_sound(&mut self, camera: &Camera, now_ns: u64, lane: &mut Lane<'_>) {
        let (Some(sound), Some(mut track)) = (camera.sound(), self.sound.take()) else {
            return;
        };
        loop {
            let due_ns = camera.sound_due_ns(sound, track.next);
            if due_ns > now_ns {
                break;
            }
            let wire = &sound.wires[(track.next % sound.wires.len() as u64) as usize];
            let fits = lane.out.len() + wire.len() <= lane.room;
            if !camera.silent(due_ns) && fits {
                let ticks = ((track.next * sound.samples) as u32).wrapping_add(camera.sound_jump);
                let parcel = Parcel {
                    wire,
                    ticks,
                    mark: None,
                    spoil: false,
                };
                self.send(&mut track, camera, parcel, lane);
                self.report.sound_packets += 1;
            } else if !fits {
                track.sequence = track.sequence.wrapping_add(1);
            }
            track.next += 1;
        }
        self.sound = Some(track);
    }

    /// Sends one access unit or audio packet: straight into the connection when nothing is to go wrong with it.
    fn send(
        &mut self,
        track: &mut Track,
        camera: &Camera,
        parcel: Parcel<'_>,
        lane: &mut Lane<'_>,
    ) {
        let wire = parcel.wire;
        let stamp = Stamp {
            channel: match track.way {
                Way::Tcp { rtp, .. } => rtp,
                Way::Udp { .. } => 0,
            },
            sequence: track.sequence,
            timestamp: parcel.ticks.wrapping_add(track.offset),
            ssrc: track.ssrc,
        };
        track.sequence = track.sequence.wrapping_add(wire.count() as u16);
        track.packets = track.packets.wrapping_add(wire.count() as u32);
        let octets = wire.len() - wire.count() * (FRAMING_LEN + HEADER_LEN);
        track.octets = track.octets.wrapping_add(octets as u32);
        self.report.bytes += wire.len() as u64;

        let quiet = camera.settings.spares_packets() && !parcel.spoil;
        if quiet && matches!(track.way, Way::Tcp { .. }) {
            wire.stamp_into(lane.out, stamp, parcel.mark);
            return;
        }
        lane.scratch.clear();
        wire.stamp_into(lane.scratch, stamp, parcel.mark);
        if parcel.spoil {
            for packet in wire.packets() {
                self.seed
                    .fill(&mut lane.scratch[packet.start + FRAMING_LEN + HEADER_LEN..packet.end]);
            }
        }
        for packet in self.pick(wire, &camera.settings) {
            let bytes = &lane.scratch[packet];
            match track.way {
                Way::Tcp { .. } => lane.out.extend_from_slice(bytes),
                // A full socket or an unreachable receiver loses the packet, as on any network.
                Way::Udp { rtp, .. } => drop(lane.udp.rtp.send_to(&bytes[FRAMING_LEN..], rtp)),
            }
        }
    }

    /// The packets that leave, in the order in which they leave: some lost, some twice, some in the wrong place.
    fn pick(&mut self, wire: &Wire, set: &Settings) -> Vec<Range<usize>> {
        let mut picked = Vec::with_capacity(wire.count());
        for packet in wire.packets() {
            if self.seed.chance(set.drop) {
                self.report.packets_dropped += 1;
                continue;
            }
            if self.seed.chance(set.duplicate) {
                picked.push(packet.clone());
            }
            picked.push(packet);
        }
        let mut at = 0;
        while at + 1 < picked.len() {
            if self.seed.chance(set.reorder) {
                picked.swap(at, at + 1);
                at += 1;
            }
            at += 1;
        }
        picked
    }

    /// A packet of random bytes that announces `announced` bytes and carries `real`.
    fn send_noise(&mut self, track: &Track, announced: u16, real: usize, lane: &mut Lane<'_>) {
        let mut noise = vec![0; real];
        self.seed.fill(&mut noise);
        match track.way {
            Way::Tcp { rtp, .. } => {
                lane.out.extend([b'$', rtp]);
                lane.out.extend(announced.to_be_bytes());
                lane.out.extend(noise);
            }
            Way::Udp { rtp, .. } => drop(lane.udp.rtp.send_to(&noise, rtp)),
        }
    }

    fn send_reports(&mut self, camera: &Camera, clock: &Clock, now_ns: u64, lane: &mut Lane<'_>) {
        let unix_us = clock.unix_us(now_ns) as i64 + camera.settings.ntp_offset_us;
        if let Some(track) = &mut self.video {
            let ticks = camera.ticks_at(now_ns).wrapping_add(track.offset);
            track.report(&camera.name, unix_us, ticks, lane);
        }
        if let (Some(track), Some(sound)) = (&mut self.sound, camera.sound()) {
            let ticks = camera
                .sound_ticks_at(sound, now_ns)
                .wrapping_add(track.offset);
            track.report(&camera.name, unix_us, ticks, lane);
        }
    }
}

impl Track {
    /// A sender report and a source description (RFC 3550 §6.4.1, §6.5).
    fn report(&mut self, name: &str, unix_us: i64, ticks: u32, lane: &mut Lane<'_>) {
        let (seconds, fraction) = ntp(unix_us);
        self.report_before = self.last_report;
        self.last_report = seconds << 16 | fraction >> 16;
        let mut packet = vec![0x80, 200, 0, 6];
        for word in [
            self.ssrc,
            seconds,
            fraction,
            ticks,
            self.packets,
            self.octets,
        ] {
            packet.extend(word.to_be_bytes());
        }
        let mut items = vec![1, name.len() as u8];
        items.extend(name.bytes());
        items.push(0);
        items.resize(items.len().next_multiple_of(4), 0);
        packet.extend([0x81, 202, 0, 1 + (items.len() / 4) as u8]);
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(items);
        match self.way {
            Way::Tcp { rtcp, .. } => {
                lane.out.extend([b'$', rtcp]);
                lane.out.extend((packet.len() as u16).to_be_bytes());
                lane.out.extend(packet);
            }
            Way::Udp { rtcp, .. } => drop(lane.udp.rtcp.send_to(&packet, rtcp)),
        }
    }
}

/// Seconds since 1900 and their fraction in 1/2³² s (RFC 3550 §4).
pub(crate) fn ntp(unix_us: i64) -> (u32, u32) {
    let seconds = (unix_us.div_euclid(1_000_000) + NTP_UNIX_S) as u32;
    let fraction = ((unix_us.rem_euclid(1_000_000) as u64) << 32) / 1_000_000;
    (seconds, fraction as u32)
}
