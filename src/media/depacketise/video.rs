//! From RTP packets to pictures: where access units begin and end, what is whole, what a decoder can do with each.
//!
//! An access unit ends when the timestamp changes. The marker bit only helps: cameras set it on every NAL unit, or never. Once it
//! has been seen to tell the truth `MARKER_TRUST` times, a marked picture is given out at once instead of one picture later.
//!
//! Nothing is guessed after a loss. The access unit that lost a packet is dropped; one whose first packets may be missing is kept
//! only when it opens with the same NAL unit type as the last whole picture of its sort; all are `Damaged` until the next key frame.
//!
//! Key frames: IDR; H.265 IRAP; an H.264 I picture with a recovery point SEI of recovery_frame_cnt 0. A camera with gradual intra
//! refresh sends none of these: where none came for `REFRESH_AFTER_SECONDS`, a recovery point with a count above 0 is taken as
//! the key frame, and `AccessUnit::recovery_frames` tells how many pictures pass until all is right.

use super::picture::{NalClass, Picture, Piece, Slice};
use crate::media::{
    AccessUnit, Codec, DepacketiserCounters, FrameKind, RtpPacket, Track, VideoParameters, annex_b,
    parameter_sets::{PARAMETER_SET_LEN_MAX, ParameterSets},
};
use bytes::{Bytes, BytesMut};
use std::marker::PhantomData;

/// After how many true markers a marked picture is given out at once.
pub const MARKER_TRUST: u32 = 8;
/// After how long without any other key frame a gradual refresh counts as one, in seconds of RTP time.
pub const REFRESH_AFTER_SECONDS: u64 = 10;

/// A payload that is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PayloadError {
    /// Nothing in it: some cameras send such packets to keep the connection; nothing is missing.
    Empty,
    /// Ends inside a structure.
    Short,
    /// A packet type outside the supported modes.
    Unsupported,
}

/// What differs between H.264 and H.265.
pub(super) trait VideoSyntax {
    const CODEC: Codec;
    /// Takes a payload apart. On an error, what was found before it stands in `pieces`.
    fn unpack(payload: &Bytes, pieces: &mut Vec<Piece>) -> Result<(), PayloadError>;
    fn nal_type_of(header: u8) -> u8;
    /// How many bytes of a NAL unit with this first byte `classify` wants to see.
    fn peek_len(header: u8) -> usize;
    fn classify(nal: &[u8], sets: &ParameterSets) -> NalClass;
    /// Parameter sets and delimiters, in which cameras hide whole byte streams (see `annex_b`).
    fn may_be_bundle(nal_type: u8) -> bool;
}

/// Whether the camera's marker bits can be believed.
#[derive(Clone, Copy, Debug, Default)]
struct MarkerHabit {
    right: u32,
    broken: bool,
}

impl MarkerHabit {
    fn trusted(self) -> bool {
        !self.broken && self.right >= MARKER_TRUST
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    None,
    UntilKey,
    /// After a loss in a stream with gradual refresh: this many pictures from its key frame on.
    For(u16),
}

#[derive(Clone, Copy, Debug)]
struct KeyFrame {
    timestamp: u32,
    /// Pictures after it with an earlier timestamp are leading pictures (H.264 open GOP).
    leads_by_time: bool,
    /// Nothing before it belongs to the run.
    begins_run: bool,
}

/// A depacketiser for one video track.
#[derive(Debug)]
pub(super) struct VideoDepacketiser<S> {
    clock_rate: u32,
    sets: ParameterSets,
    in_force: Option<VideoParameters>,
    picture: Picture,
    /// Timestamp of the last picture given out at its marker.
    ended_by_marker: Option<u32>,
    marker: MarkerHabit,
    damage: Damage,
    key: Option<KeyFrame>,
    ticks_since_key: u64,
    previous_timestamp: Option<u32>,
    /// The NAL unit types with which the last whole pictures opened: others, intra pictures.
    openings: [Option<u8>; 2],
    counters: DepacketiserCounters,
    pieces: Vec<Piece>,
    scratch: BytesMut,
    peek: Vec<u8>,
    syntax: PhantomData<S>,
}

impl<S: VideoSyntax> VideoDepacketiser<S> {
    /// Starts with the parameter sets of the session description, if any.
    pub(super) fn new(clock_rate: u32, sets: ParameterSets) -> Self {
        Self {
            clock_rate,
            sets,
            in_force: None,
            picture: Picture::default(),
            ended_by_marker: None,
            marker: MarkerHabit::default(),
            damage: Damage::None,
            key: None,
            ticks_since_key: 0,
            previous_timestamp: None,
            openings: [None; 2],
            counters: DepacketiserCounters::default(),
            pieces: Vec::new(),
            scratch: BytesMut::new(),
            peek: Vec::new(),
            syntax: PhantomData,
        }
    }

    pub(super) fn counters(&self) -> &DepacketiserCounters {
        &self.counters
    }

    pub(super) fn parameter_sets(&self) -> &ParameterSets {
        &self.sets
    }

    pub(super) fn track(&self) -> Option<Track> {
        let video = match &self.in_force {
            Some(video) => video.clone(),
            None => self.sets.video_parameters(None)?,
        };
        Some(Track {
            codec: S::CODEC,
            clock_rate: self.clock_rate,
            video: Some(video),
            audio: None,
            encoding: String::new(),
        })
    }

    pub(super) fn push(&mut self, packet: RtpPacket, out: &mut Vec<AccessUnit>) {
        self.counters.packets += 1;
        if packet.lost_before > 0 {
            self.note_loss(&packet, out);
        }
        if packet.timestamp != self.picture.timestamp {
            self.end_timestamp(out);
        }
        self.picture.timestamp = packet.timestamp;
        let mut pieces = std::mem::take(&mut self.pieces);
        let unpacked = S::unpack(&packet.payload, &mut pieces);
        for piece in pieces.drain(..) {
            self.take(piece, out);
        }
        self.pieces = pieces;
        if let Err(error) = unpacked {
            self.counters.errors += 1;
            self.picture.tainted |= error != PayloadError::Empty;
        }
        if packet.marker && !self.picture.has_open() {
            if self.picture.overflowed() {
                self.finish(out);
            } else if self.picture.has_slices() {
                self.picture.marked = true;
                if self.marker.trusted() && !self.picture.is_half_frame() {
                    self.ended_by_marker = Some(packet.timestamp);
                    self.finish(out);
                }
            }
        }
    }

    /// The stream ends: gives out the last picture when its marker says that it is whole.
    pub(super) fn flush(&mut self, out: &mut Vec<AccessUnit>) {
        if self.picture.is_empty() {
            return;
        }
        self.picture.tainted |= !self.ended_whole();
        self.finish(out);
    }

    fn note_loss(&mut self, packet: &RtpPacket, out: &mut Vec<AccessUnit>) {
        self.counters.lost_packets += u64::from(packet.lost_before);
        self.picture.abandon();
        if self.picture.is_empty() {
            self.picture.head_unsure = true;
        } else if self.picture.timestamp == packet.timestamp {
            self.picture.tainted = true;
        } else {
            let whole = self.ended_whole();
            // Where the marker tells the truth and did not come, the one missing packet carried it: the next picture is whole.
            let missing_was_end = !whole && packet.lost_before == 1 && self.marker.trusted();
            self.picture.tainted |= !whole;
            self.finish(out);
            self.picture.head_unsure = !missing_was_end;
        }
        self.damage = Damage::UntilKey;
    }

    /// Whether the marker proves that nothing of the picture is still to come.
    fn ended_whole(&self) -> bool {
        self.picture.marked
            && !self.marker.broken
            && self.picture.tail.is_none()
            && !self.picture.is_half_frame()
    }

    /// The timestamp changes: the picture is over. NAL units without any slice belong to the next one.
    fn end_timestamp(&mut self, out: &mut Vec<AccessUnit>) {
        if self.picture.has_open() {
            self.counters.errors += 1;
            self.picture.abandon();
        }
        if self.picture.has_slices() || self.picture.tainted {
            if self.picture.marked && self.picture.tail.is_none() {
                self.marker.right = self.marker.right.saturating_add(1);
            }
            self.finish(out);
        }
    }

    fn take(&mut self, piece: Piece, out: &mut Vec<AccessUnit>) {
        if self.picture.overflowed() {
            return;
        }
        let taken = match piece {
            Piece::Whole(data) => {
                self.close_unfinished();
                let begun = self.picture.begin(None);
                begun
                    .and_then(|()| self.picture.extend(data))
                    .map(|()| true)
            }
            Piece::Fragment {
                header,
                data,
                start,
                end,
            } => {
                let begun = if start {
                    self.close_unfinished();
                    self.picture.begin(Some(header))
                } else if self.picture.open_header() == Some(header) {
                    Ok(())
                } else {
                    self.close_unfinished();
                    // A rest without its start is the mark of a loss already counted, or an error of the camera.
                    if !self.picture.tainted && !self.picture.head_unsure {
                        self.counters.errors += 1;
                    }
                    self.picture.tainted = true;
                    return;
                };
                begun.and_then(|()| self.picture.extend(data)).map(|()| end)
            }
        };
        match taken {
            Ok(true) => self.end_nal(out),
            Ok(false) => {}
            Err(_) => self.counters.errors += 1,
        }
    }

    /// A NAL unit begins while the last fragmented one has not ended.
    fn close_unfinished(&mut self) {
        if self.picture.has_open() {
            self.counters.errors += 1;
            self.picture.abandon();
        }
    }

    fn end_nal(&mut self, out: &mut Vec<AccessUnit>) {
        let index = self.picture.nals().len();
        let had_slices = self.picture.has_slices();
        let len = self
            .picture
            .end(&mut self.scratch, &mut self.peek, S::peek_len);
        let class = S::classify(&self.peek, &self.sets);
        let nal_type = self
            .peek
            .first()
            .map_or(0, |header| S::nal_type_of(*header));
        self.picture.classify_last(nal_type, class);
        if S::may_be_bundle(nal_type) && annex_b::has_start_code(&self.peek) {
            for nal in annex_b::nals(self.picture.remove_last()) {
                self.take(Piece::Whole(nal), out);
            }
            return;
        }
        if self.picture.marked {
            self.place_after_marker(index, class, out);
        } else if let NalClass::Slice(slice) = class
            && !had_slices
            && !slice.first
            && self.ended_by_marker == Some(self.picture.timestamp)
        {
            // The picture given out at its marker was not over. It cannot be taken back; it is not trusted again.
            self.marker.broken = true;
            self.counters.errors += 1;
            self.picture.tainted = true;
        }
        if let NalClass::Set { .. } = class
            && (len > PARAMETER_SET_LEN_MAX || self.sets.insert(&self.peek).is_err())
        {
            self.counters.errors += 1;
        }
    }

    /// A NAL unit with the timestamp of a picture whose marker has come: the next picture, or a marker that lied.
    fn place_after_marker(&mut self, index: usize, class: NalClass, out: &mut Vec<AccessUnit>) {
        let split_at = match class {
            NalClass::Slice(slice) if slice.first && !self.is_second_field(&slice) => {
                Some(self.picture.tail.unwrap_or(index))
            }
            NalClass::Slice(slice) => {
                self.marker.broken |= !slice.first;
                self.picture.marked = false;
                self.picture.tail = None;
                None
            }
            // Never between the two fields of a frame.
            NalClass::Set { sequence: true } => Some(self.picture.tail.unwrap_or(index)),
            NalClass::Set { .. } | NalClass::Recovery(_) | NalClass::Opening => {
                self.picture.tail.get_or_insert(index);
                None
            }
            NalClass::Other => None,
        };
        if let Some(at) = split_at {
            let next = self.picture.split_off(at);
            self.finish(out);
            self.picture = next;
        }
    }

    /// Both fields of a frame with one timestamp are one access unit here, as players expect them in one sample.
    fn is_second_field(&self, slice: &Slice) -> bool {
        let Some((frame_num, bottom)) = slice.field else {
            return false;
        };
        let before = self.picture.tail.unwrap_or(self.picture.nals().len() - 1);
        self.picture.nals()[..before]
            .iter()
            .all(|nal| match nal.class {
                NalClass::Slice(other) => other.field == Some((frame_num, !bottom)),
                _ => true,
            })
    }

    /// Judges the picture, gives it out or drops it, and leaves an empty one with the same timestamp.
    fn finish(&mut self, out: &mut Vec<AccessUnit>) {
        self.picture.abandon();
        let timestamp = self.picture.timestamp;
        let picture = std::mem::take(&mut self.picture);
        self.picture.timestamp = timestamp;
        if let Some(previous) = self.previous_timestamp.replace(timestamp) {
            let step = timestamp.wrapping_sub(previous) as i32;
            self.ticks_since_key += u64::from(step.max(0) as u32);
        }
        let key = self.key_verdict(&picture);
        let opening = picture.nals().first().map(|nal| nal.nal_type);
        // An I picture opens like a key frame: were its recovery point lost, it would pass for an ordinary picture.
        let sort = usize::from(key.is_some() || picture.slices().all(|slice| slice.intra));
        let first_slice = picture.slices().next().is_some_and(|slice| slice.first);
        let headless = picture.head_unsure
            && !(first_slice && opening.is_some() && self.openings[sort] == opening);
        if picture.tainted || headless || !picture.has_slices() {
            self.counters.dropped_incomplete += 1;
            self.damage = Damage::UntilKey;
            return;
        }
        self.openings[sort] = opening;
        let verdict = match key {
            Some(key) => self.take_key(&picture, key),
            None => self.kind_between_keys(&picture).map(|kind| (kind, None)),
        };
        let Some((kind, new_parameters)) = verdict else {
            self.counters.dropped_before_key += 1;
            return;
        };
        self.counters.access_units += 1;
        self.counters.keys += u64::from(kind == FrameKind::Key);
        self.counters.damaged += u64::from(kind == FrameKind::Damaged);
        out.push(AccessUnit {
            kind,
            rtp_timestamp: timestamp,
            data: picture.into_parts().into(),
            new_parameters,
            recovery_frames: key.map_or(0, |key| key.recovery_frames),
            duration: None,
        });
    }

    /// Whether decoding can start at this picture.
    fn key_verdict(&self, picture: &Picture) -> Option<KeyVerdict> {
        if picture.slices().any(|slice| slice.random_access) {
            return Some(KeyVerdict {
                recovery_frames: 0,
                leads_by_time: false,
            });
        }
        let recovery_frames = picture.nals().iter().find_map(|nal| match nal.class {
            NalClass::Recovery(frames) => Some(frames),
            _ => None,
        })?;
        if recovery_frames == 0 && picture.slices().all(|slice| slice.intra) {
            return Some(KeyVerdict {
                recovery_frames,
                leads_by_time: true,
            });
        }
        let patience = REFRESH_AFTER_SECONDS * u64::from(self.clock_rate);
        (self.ticks_since_key > patience).then_some(KeyVerdict {
            recovery_frames: recovery_frames.max(1),
            leads_by_time: false,
        })
    }

    /// A key frame: `None` while the parameter sets it needs are unknown.
    fn take_key(
        &mut self,
        picture: &Picture,
        verdict: KeyVerdict,
    ) -> Option<(FrameKind, Option<VideoParameters>)> {
        let pps_id = picture.slices().find_map(|slice| slice.pps_id);
        let parameters = self.sets.video_parameters(pps_id);
        if parameters.is_none() && self.in_force.is_none() {
            return None;
        }
        let changed = parameters.filter(|new| self.in_force.as_ref() != Some(new));
        if let Some(new) = &changed {
            self.counters.parameter_changes += 1;
            self.in_force = Some(new.clone());
        }
        self.key = Some(KeyFrame {
            timestamp: picture.timestamp,
            leads_by_time: verdict.leads_by_time,
            begins_run: changed.is_some(),
        });
        self.ticks_since_key = 0;
        self.damage = match (self.damage, verdict.recovery_frames) {
            (Damage::None, _) | (_, 0) => Damage::None,
            (_, frames) => Damage::For(frames),
        };
        Some((FrameKind::Key, changed))
    }

    /// Any other picture: `None` when nothing it needs is in the run.
    fn kind_between_keys(&mut self, picture: &Picture) -> Option<FrameKind> {
        let key = self.key?;
        let before_key = (picture.timestamp.wrapping_sub(key.timestamp) as i32) < 0;
        let leading =
            picture.slices().any(|slice| slice.leading) || key.leads_by_time && before_key;
        if leading {
            return (!key.begins_run).then_some(FrameKind::Leading);
        }
        match &mut self.damage {
            Damage::None => {}
            Damage::UntilKey => return Some(FrameKind::Damaged),
            Damage::For(pictures) => {
                *pictures -= 1;
                if *pictures == 0 {
                    self.damage = Damage::None;
                }
                return Some(FrameKind::Damaged);
            }
        }
        let reference = picture.slices().any(|slice| slice.reference);
        Some(if reference {
            FrameKind::Reference
        } else {
            FrameKind::Disposable
        })
    }
}

/// Why a picture is a key frame.
#[derive(Clone, Copy, Debug)]
struct KeyVerdict {
    recovery_frames: u16,
    leads_by_time: bool,
}
