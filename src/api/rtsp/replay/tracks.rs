//! The packets of a session's tracks: one packetiser each, which keeps its numbers from one PLAY to the next.

use crate::{
    api::rtsp::{
        conversation::TrackStart,
        response::{Refusal, Status},
        stage::StageTrack,
    },
    base::UnixMicros,
    media::{
        Packetiser, PacketiserOptions, Packets, ReplayExtension, Timing, Track, TrackId,
        packetise::PacketiseError,
    },
    playback::replay::{PlayedRun, ReplayFrame},
};
use std::collections::BTreeMap;

/// A track.
#[derive(Debug)]
struct Outgoing {
    packetiser: Packetiser,
    options: PacketiserOptions,
    track: Track,
}

/// The tracks of a session.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    all: BTreeMap<u8, Outgoing>,
}

impl Outgoing {
    fn new(number: u8, track: &Track, options: PacketiserOptions) -> Option<Self> {
        Some(Self {
            packetiser: Packetiser::new(TrackId(number), track, options).ok()?,
            options,
            track: track.clone(),
        })
    }
}

impl Tracks {
    /// Makes ready what is set up.
    pub(super) fn prepare(&mut self, set_up: &[StageTrack], packet_len_max: usize) {
        let wanted = |number: &u8| set_up.iter().any(|track| track.number == *number);
        self.all.retain(|number, _| wanted(number));
        for track in set_up {
            if self.all.contains_key(&track.number) {
                continue;
            }
            let random = uuid::Uuid::new_v4().as_u128();
            let options = PacketiserOptions {
                ssrc: random as u32,
                first_sequence: (random >> 32) as u16,
                timestamp_offset: (random >> 80) as u32,
                channel: 2 * track.number,
                packet_len_max,
            };
            let outgoing = Outgoing::new(track.number, &track.track, options);
            self.all
                .extend(outgoing.map(|outgoing| (track.number, outgoing)));
        }
    }

    /// Whether frames of `run` can be sent to whom the tracks were described.
    ///
    /// # Errors
    /// With 455 when they cannot.
    pub(super) fn check(&self, run: &PlayedRun) -> Result<(), Refusal> {
        let fits = |(number, outgoing): (&u8, &Outgoing)| {
            let track = run.description.tracks.tracks.get(usize::from(*number));
            track.is_none_or(|track| outgoing.packetiser.format_of(track).is_ok())
        };
        if self.all.iter().all(fits) {
            return Ok(());
        }
        let why = "this part was recorded with another codec than the session describes; send DESCRIBE for it, with ?start=";
        Err(Refusal::new(Status::NotValidInThisState, why))
    }

    /// Forgets all numbers: the sources said goodbye.
    pub(super) fn renew(&mut self) {
        self.all.clear();
    }

    /// What follows is of `run`; whether the session describes it.
    pub(super) fn begin_run(&mut self, run: &PlayedRun) -> bool {
        for (number, outgoing) in &mut self.all {
            let Some(track) = run.description.tracks.tracks.get(usize::from(*number)) else {
                continue;
            };
            if outgoing.packetiser.set_track(track).is_err() {
                return false;
            }
            outgoing.track = track.clone();
        }
        true
    }

    /// The packets of a frame; `None` when its track is not set up.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub(super) fn push(
        &mut self,
        frame: &ReplayFrame,
        at: UnixMicros,
        sequence: Option<u8>,
    ) -> Result<Option<Packets>, PacketiseError> {
        let Some(outgoing) = self.all.get_mut(&frame.frame.track.0) else {
            return Ok(None);
        };
        let marks = frame.marks;
        if marks.discontinuity {
            outgoing.packetiser.restart();
        }
        let extension = sequence.map(|sequence| ReplayExtension {
            time: frame.frame.time,
            clean_point: marks.clean_point,
            end_of_section: marks.end_of_section,
            discontinuity: marks.discontinuity,
            terminal: marks.terminal,
            sequence,
        });
        let timing = Timing { at, extension };
        outgoing.packetiser.push(&frame.frame, timing).map(Some)
    }

    /// Takes back the numbers of packets that were not sent, of which `first` is a track's first.
    pub(super) fn take_back(&mut self, number: u8, first: &Packets) {
        if let Some(outgoing) = self.all.get_mut(&number) {
            let options = PacketiserOptions {
                first_sequence: first.first_sequence(),
                ..outgoing.options
            };
            if let Some(again) = Outgoing::new(number, &outgoing.track, options) {
                *outgoing = again;
            }
        }
    }

    /// The RTP timestamp of a track that stands for a time.
    pub(super) fn timestamp(&self, number: u8, at: UnixMicros) -> Option<u32> {
        let outgoing = self.all.get(&number)?;
        Some(outgoing.packetiser.clock().timestamp(at))
    }

    /// Where each track begins, when the instant told in the answer stands at `at`.
    pub(super) fn starts(&self, at: UnixMicros) -> Vec<TrackStart> {
        let starts = self.all.iter().map(|(number, outgoing)| TrackStart {
            track: *number,
            sequence: outgoing.packetiser.next_sequence(),
            timestamp: outgoing.packetiser.clock().timestamp(at),
        });
        starts.collect()
    }
}
