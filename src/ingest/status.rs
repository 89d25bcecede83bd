//! How each stream fares: what `/status`, `/metrics` and `nvring status` show.
//!
//! A stream's task writes its status a few times a second and at every change of state; readers copy it.

use crate::{
    base::{Micros, UnixMicros},
    catalog::{CameraId, StreamRole},
    media::StreamId,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a stream's task is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamState {
    /// Asking the camera for the stream.
    #[default]
    Connecting,
    /// Packets may come, a first key frame has not.
    WaitingForKey,
    /// Frames go to the store.
    Recording,
    /// Waiting before the next attempt.
    BackingOff,
    /// No volume of its pool takes recordings.
    NoVolume,
    /// Its task has ended.
    Stopped,
}

/// Numbers of a stream since its task began. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct StreamCounters {
    /// RTP packets received.
    pub packets: u64,
    /// RTP packets that never came.
    pub lost_packets: u64,
    /// Packets and payloads that could not be understood.
    pub errors: u64,
    /// Frames handed to the store, all tracks.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, key frames of the video track.
    pub keys: u64,
    /// Of these, frames after a loss, before the next key frame.
    pub damaged: u64,
    /// Access units dropped because a packet of theirs was lost or broken.
    pub incomplete: u64,
    /// Access units dropped because the run had not begun.
    pub before_key: u64,
    /// Frames the store shed or refused.
    pub shed: u64,
    /// Steps of the camera's or the recorder's clock.
    pub clock_steps: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Sessions that ended with an error, and attempts that failed.
    pub failures: u64,
    /// Times the task itself failed and was started again.
    pub panics: u64,
}

impl StreamCounters {
    /// The sums of both.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            lost_packets: self.lost_packets + other.lost_packets,
            errors: self.errors + other.errors,
            frames: self.frames + other.frames,
            bytes: self.bytes + other.bytes,
            keys: self.keys + other.keys,
            damaged: self.damaged + other.damaged,
            incomplete: self.incomplete + other.incomplete,
            before_key: self.before_key + other.before_key,
            shed: self.shed + other.shed,
            clock_steps: self.clock_steps + other.clock_steps,
            sessions: self.sessions + other.sessions,
            failures: self.failures + other.failures,
            panics: self.panics + other.panics,
        }
    }
}

/// How a stream fares.
#[derive(Clone, Debug, serde::Serialize)]
pub struct StreamStatus {
    /// Its identity.
    #[serde(serialize_with = "as_text")]
    pub stream: StreamId,
    /// Its camera.
    pub camera: CameraId,
    /// The camera's name for people.
    pub name: String,
    /// Which of the camera's streams.
    pub role: StreamRole,
    /// What its task is doing.
    pub state: StreamState,
    /// Since when.
    pub since: UnixMicros,
    /// Presentation time of the newest frame.
    pub last_frame: Option<UnixMicros>,
    /// Frames of the main track per second, lately.
    pub frames_per_second: f64,
    /// Bits of all tracks per second, lately.
    pub bits_per_second: f64,
    /// Numbers.
    pub counters: StreamCounters,
    /// What went wrong last, with nothing secret in it.
    pub last_error: Option<String>,
    /// The camera's clock minus the recorder's, by its latest sender report, in microseconds.
    pub camera_offset_us: Option<i64>,
}

fn as_text<S: serde::Serializer>(stream: &StreamId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(stream)
}

/// A status shared by a stream's task and its readers.
#[derive(Debug)]
pub(crate) struct StatusCell(Mutex<StreamStatus>);

impl StatusCell {
    pub(crate) fn new(status: StreamStatus) -> Self {
        Self(Mutex::new(status))
    }

    pub(crate) fn get(&self) -> StreamStatus {
        self.lock().clone()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, StreamStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a change of state; staying in one keeps its `since`.
    pub(crate) fn enter(&self, state: StreamState, now: UnixMicros) {
        let mut status = self.lock();
        if status.state != state {
            status.state = state;
            status.since = now;
        }
        if state != StreamState::Recording {
            status.frames_per_second = 0.0;
            status.bits_per_second = 0.0;
        }
    }
}

/// Rates over about two seconds from counters read now and then.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    last: Option<(Micros, u64, u64)>,
}

impl Rates {
    /// Frames and bits per second since the last answer, once enough time has passed.
    pub(crate) fn sample(&mut self, now: Micros, frames: u64, bytes: u64) -> Option<(f64, f64)> {
        let Some((then, frames_then, bytes_then)) = self.last else {
            self.last = Some((now, frames, bytes));
            return None;
        };
        let seconds = (now - then).as_secs_f64();
        if seconds < 2.0 {
            return None;
        }
        self.last = Some((now, frames, bytes));
        let per_second = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        Some((
            per_second(frames, frames_then),
            8.0 * per_second(bytes, bytes_then),
        ))
    }
}
