//! From the packets of one session to runs in the store: a state machine without sockets or clocks.
//!
//! ```text
//! waiting ── key frame ──▶ holding ── hold is over ──▶ running ── other parameters, clock step ──▶ (new run) running
//! ```
//!
//! Rules kept:
//! - (S1) a run begins with a key frame of the video track; what comes before it is dropped and counted;
//! - (S2) the first frames of a session are held for some hundred milliseconds before they get their times: cameras that send the
//!   pictures since their last key frame in one burst are timed right only by the packets after it (`Timeline::observe`);
//! - (S3) no frame is lost to a step of a clock: frames go on in the old run, with times that still rise, until the next key frame, where a
//!   run with cause `clock` begins;
//! - (S4) frames go to the tail in decode order of their track, as they came.

use super::status::StreamCounters;
use crate::{
    base::{ClockState, Micros, UnixMicros},
    media::{
        AccessUnit, Arrival, ClockSource, Codec, Depacketiser, Frame, FrameKind, GapCause,
        RtpPacket, SenderReport, Step, Timeline, TimelineLimits, Track, TrackId, TrackSet,
    },
    store::{
        RunDescription,
        tail::{Pushed, Tail},
    },
};
use std::sync::Arc;

/// At most so many bytes are held before a run begins.
const HELD_LEN_MAX: usize = 8 << 20;
/// A camera whose clock steps so often within `STEPS_WITHIN` is timed by receipt for the rest of its session.
const STEPS_MAX: u32 = 5;
const STEPS_WITHIN: Micros = Micros::from_secs(60);

/// Both clocks at the moment something was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) wall: UnixMicros,
    pub(crate) monotonic: Micros,
}

/// Whose stream it is, for the description of runs.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) camera: String,
    pub(crate) name: String,
    pub(crate) role: &'static str,
}

/// How a session is recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordingOptions {
    /// How long the first frames are held (S2).
    pub(crate) hold: Micros,
    /// From where on a difference of clocks is a step.
    pub(crate) limits: TimelineLimits,
}

/// What happened, for those who log it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Event {
    /// A run began.
    RunBegan(GapCause),
    /// A clock stepped.
    Stepped(Step),
}

/// A session being recorded.
pub(crate) struct Recording {
    identity: Identity,
    tail: Arc<Tail>,
    options: RecordingOptions,
    tracks: Vec<TrackRecord>,
    timeline: Timeline,
    phase: Phase,
    /// Why the next run begins.
    cause: GapCause,
    bridge: Option<Bridge>,
    newest: UnixMicros,
    steps: (u32, Micros),
    clock_state: ClockState,
    counters: StreamCounters,
    units: Vec<AccessUnit>,
    pub(crate) events: Vec<Event>,
}

#[derive(Debug)]
struct TrackRecord {
    depacketiser: Depacketiser,
    source: ClockSource,
}

#[derive(Debug)]
enum Phase {
    Waiting,
    Holding {
        since: Micros,
        held: Vec<Held>,
        len: usize,
    },
    Running,
}

#[derive(Debug)]
struct Held {
    track: TrackId,
    unit: AccessUnit,
    at: Moment,
}

/// Between a step of a clock and the next key frame (S3): added to the times of the new timeline.
#[derive(Clone, Copy, Debug)]
struct Bridge {
    shift: Micros,
}

impl Recording {
    /// A session whose first run begins with `cause`. Track 0 is the video track where there is one.
    pub(crate) fn new(
        identity: Identity,
        tail: Arc<Tail>,
        depacketisers: Vec<Depacketiser>,
        cause: GapCause,
        options: RecordingOptions,
    ) -> Self {
        let tracks: Vec<_> = depacketisers
            .into_iter()
            .map(|depacketiser| TrackRecord {
                source: clock_source(&depacketiser),
                depacketiser,
            })
            .collect();
        let timeline = new_timeline(&tracks, options.limits);
        Self {
            identity,
            tail,
            options,
            tracks,
            timeline,
            phase: Phase::Waiting,
            cause,
            bridge: None,
            newest: UnixMicros::MIN,
            steps: (0, Micros::ZERO),
            clock_state: ClockState::UNKNOWN,
            counters: StreamCounters::default(),
            units: Vec::new(),
            events: Vec::new(),
        }
    }

    /// How far the recorder's clock can be trusted now; goes into the runs that begin.
    pub(crate) fn set_clock_state(&mut self, state: ClockState) {
        self.clock_state = state;
    }

    /// Numbers of this session.
    pub(crate) fn counters(&self) -> StreamCounters {
        let mut counters = self.counters;
        for track in &self.tracks {
            let of_track = track.depacketiser.counters();
            counters.packets += of_track.packets;
            counters.lost_packets += of_track.lost_packets;
            counters.errors += of_track.errors;
            counters.damaged += of_track.damaged;
            counters.incomplete += of_track.dropped_incomplete;
            counters.before_key += of_track.dropped_before_key;
        }
        counters
    }

    /// Whole access units that came on the main track, recorded or not: grows as long as the camera makes sense.
    pub(crate) fn sensible_units(&self) -> u64 {
        self.tracks.first().map_or(0, |track| {
            let counters = track.depacketiser.counters();
            counters.access_units + counters.dropped_before_key
        })
    }

    /// The camera's clock minus the recorder's, where the camera told.
    pub(crate) fn camera_offset(&self) -> Option<Micros> {
        self.timeline.camera_offset()
    }

    /// Presentation time of the newest frame.
    pub(crate) fn newest(&self) -> Option<UnixMicros> {
        (self.newest > UnixMicros::MIN).then_some(self.newest)
    }

    /// Notes something unusable that no depacketiser saw.
    pub(crate) fn stray(&mut self) {
        self.counters.errors += 1;
    }

    /// Takes a packet.
    pub(crate) fn packet(&mut self, track: usize, packet: RtpPacket, at: Moment) {
        let Some(record) = self.tracks.get_mut(track) else {
            return self.stray();
        };
        let mut units = std::mem::take(&mut self.units);
        record.depacketiser.push(packet, &mut units);
        self.take(TrackId(track as u8), &mut units, at);
        self.units = units;
    }

    /// Takes a sender report.
    pub(crate) fn report(&mut self, track: usize, ntp: u64, rtp_timestamp: u32, at: Moment) {
        if track < self.tracks.len() {
            self.timeline.sender_report(&SenderReport {
                track: TrackId(track as u8),
                ntp,
                rtp_timestamp,
                wall: at.wall,
            });
        }
    }

    /// Time passes: a hold may be over although no packet comes.
    pub(crate) fn tick(&mut self, now: Micros) {
        if let Phase::Holding { since, .. } = self.phase
            && now - since >= self.options.hold
        {
            self.begin_held();
        }
    }

    /// The session ends: what is whole is recorded. The run is left to the caller, who knows the cause.
    pub(crate) fn finish(&mut self, at: Moment) {
        for track in 0..self.tracks.len() {
            let mut units = std::mem::take(&mut self.units);
            self.tracks[track].depacketiser.flush(&mut units);
            self.take(TrackId(track as u8), &mut units, at);
            self.units = units;
        }
        if matches!(self.phase, Phase::Holding { .. }) {
            self.begin_held();
        }
    }

    fn take(&mut self, track: TrackId, units: &mut Vec<AccessUnit>, at: Moment) {
        for unit in units.drain(..) {
            self.unit(Held { track, unit, at });
        }
    }

    fn unit(&mut self, held: Held) {
        match &mut self.phase {
            Phase::Running => self.record(held),
            Phase::Waiting if held.track.0 == 0 && held.unit.kind == FrameKind::Key => {
                self.timeline.observe(&held.arrival());
                self.phase = Phase::Holding {
                    since: held.at.monotonic,
                    len: held.unit.data.len(),
                    held: vec![held],
                };
            }
            Phase::Waiting => self.counters.before_key += 1,
            Phase::Holding {
                held: all,
                len,
                since,
            } => {
                let over = held.at.monotonic - *since >= self.options.hold || *len >= HELD_LEN_MAX;
                self.timeline.observe(&held.arrival());
                *len += held.unit.data.len();
                all.push(held);
                if over {
                    self.begin_held();
                }
            }
        }
    }

    /// The hold is over: the run begins with the key frame it began with (S1).
    fn begin_held(&mut self) {
        let Phase::Holding { held, .. } = std::mem::replace(&mut self.phase, Phase::Running) else {
            return;
        };
        let mut held = held.into_iter();
        if let Some(first) = held.next() {
            let time = self.place(&first);
            self.begin(self.cause, time, &first.unit);
            self.push(first, time);
        }
        held.for_each(|held| self.record(held));
    }

    /// Records a frame of a run that goes on, or begins another with it.
    fn record(&mut self, held: Held) {
        let time = self.place(&held);
        if held.track.0 == 0 && held.unit.kind == FrameKind::Key {
            if let Some(bridge) = self.bridge.take() {
                let time = UnixMicros(time.0.saturating_sub(bridge.shift.0));
                self.begin(GapCause::Clock, time, &held.unit);
                return self.push(held, time);
            }
            if held.unit.new_parameters.is_some() {
                self.begin(GapCause::ParametersChanged, time, &held.unit);
            }
        }
        self.push(held, time);
    }

    fn begin(&mut self, cause: GapCause, started: UnixMicros, first: &AccessUnit) {
        let tracks = self.tracks.iter().enumerate().map(|(index, record)| {
            let mut track = record.depacketiser.track().unwrap_or_else(unknown_track);
            if index == 0 && first.new_parameters.is_some() {
                track.video.clone_from(&first.new_parameters);
            }
            track
        });
        let tracks = TrackSet {
            tracks: tracks.collect(),
        };
        self.tail.begin(RunDescription {
            camera: self.identity.camera.clone(),
            name: self.identity.name.clone(),
            stream: self.identity.role.to_owned(),
            start_cause: cause,
            started,
            clock: self.clock_state,
            camera_offset: self.timeline.camera_offset(),
            tracks,
        });
        self.events.push(Event::RunBegan(cause));
    }

    /// The time of a frame; a step of a clock begins a bridge (S3).
    fn place(&mut self, held: &Held) -> UnixMicros {
        let arrival = held.arrival();
        let step = match self.timeline.place(&arrival) {
            Ok(time) => return time + self.bridge.map_or(Micros::ZERO, |bridge| bridge.shift),
            Err(step) => step,
        };
        self.note_step(step, arrival.monotonic);
        self.timeline = new_timeline(&self.tracks, self.options.limits);
        // A new timeline has nothing to step against.
        let time = self.timeline.place(&arrival).unwrap_or(arrival.wall);
        let mut shift = match (step, self.bridge) {
            (Step::Wall { by }, before) => before.map_or(Micros::ZERO, |b| b.shift) - by,
            (Step::Ticks { .. }, before) => before.map_or(Micros::ZERO, |b| b.shift),
        };
        if time + shift <= self.newest {
            shift = self.newest.since(time) + Micros(1);
        }
        self.bridge = Some(Bridge { shift });
        time + shift
    }

    fn note_step(&mut self, step: Step, now: Micros) {
        self.counters.clock_steps += 1;
        self.events.push(Event::Stepped(step));
        let (count, since) = &mut self.steps;
        if *count == 0 || now - *since > STEPS_WITHIN {
            (*count, *since) = (0, now);
        }
        *count += 1;
        if *count >= STEPS_MAX {
            for track in &mut self.tracks {
                track.source = ClockSource::Receipt;
            }
        }
    }

    fn push(&mut self, held: Held, time: UnixMicros) {
        let Held { track, unit, at } = held;
        let len = unit.data.len() as u64;
        let is_key = unit.kind == FrameKind::Key && track.0 == 0;
        let frame = Frame {
            track,
            kind: unit.kind,
            time,
            data: unit.data,
        };
        self.newest = self.newest.max(time);
        match self.tail.push(frame, at.monotonic) {
            Pushed::Kept => {
                self.counters.frames += 1;
                self.counters.bytes += len;
                self.counters.keys += u64::from(is_key);
            }
            Pushed::Shed | Pushed::Refused => self.counters.shed += 1,
        }
    }
}

impl Held {
    fn arrival(&self) -> Arrival {
        Arrival {
            track: self.track,
            rtp_timestamp: self.unit.rtp_timestamp,
            wall: self.at.wall,
            monotonic: self.at.monotonic,
        }
    }
}

/// Metadata documents are timed by receipt: their RTP clocks are rarely right.
fn clock_source(depacketiser: &Depacketiser) -> ClockSource {
    match depacketiser.track() {
        Some(track) if track.codec == Codec::Opaque && track.encoding.starts_with("vnd.onvif") => {
            ClockSource::Receipt
        }
        _ => ClockSource::Ticks {
            clock_rate: depacketiser.clock_rate(),
        },
    }
}

fn new_timeline(tracks: &[TrackRecord], limits: TimelineLimits) -> Timeline {
    let sources: Vec<_> = tracks.iter().map(|track| track.source).collect();
    Timeline::new(&sources, limits)
}

/// Cannot happen for a track that gave a key frame; a description of nothing is better than no recording.
fn unknown_track() -> Track {
    Track {
        codec: Codec::Opaque,
        clock_rate: 90_000,
        video: None,
        audio: None,
        encoding: "unknown".into(),
    }
}
