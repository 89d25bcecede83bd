//! Made-up frames of many streams: what the benchmarks record. Everything behind them is what records cameras.

use crate::{
    base::{ClockState, Micros, UnixMicros},
    cli::CliError,
    media::{
        Codec, Frame, FrameKind, GapCause, StreamId, Track, TrackId, TrackSet, VideoParameters,
    },
    store::{
        RunDescription,
        pool::Store,
        tail::{Pushed, Tail},
    },
};
use bytes::Bytes;
use std::sync::Arc;

/// The pool they record to.
pub(super) const POOL: &str = "bench";
/// Pictures per second.
pub(super) const FRAMES_PER_SECOND: u64 = 15;
/// One picture in so many is a key frame.
pub(super) const KEY_EVERY: u64 = 30;
/// A key frame is so many times as large as another.
const KEY_FACTOR: u64 = 6;

/// Streams that record made-up frames.
pub(super) struct MadeUp {
    tails: Vec<Arc<Tail>>,
    data: Bytes,
}

/// The identity of stream `number`.
pub(super) fn stream(number: u32) -> StreamId {
    StreamId(u128::from(number).to_be_bytes())
}

impl MadeUp {
    /// Begins a run of each of `streams` streams at `start`.
    ///
    /// # Errors
    /// When the store does not record.
    pub(super) fn record(
        store: &Arc<Store>,
        streams: u32,
        start: UnixMicros,
    ) -> Result<Self, CliError> {
        let begin = |number| {
            let tail = store
                .record(stream(number), POOL)
                .map_err(CliError::failed)?;
            tail.begin(description(number, start));
            Ok(tail)
        };
        let noise = (0..4u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8);
        Ok(Self {
            tails: (0..streams).map(begin).collect::<Result<_, CliError>>()?,
            data: noise.collect::<Vec<u8>>().into(),
        })
    }

    /// Number of streams.
    pub(super) fn len(&self) -> usize {
        self.tails.len()
    }

    /// Pushes the picture of round `round` of stream `number` at a mean of `bitrate` bits per second; 1 when it was shed.
    pub(super) fn push(
        &self,
        number: usize,
        round: u64,
        time: UnixMicros,
        bitrate: u64,
        now: Micros,
    ) -> u64 {
        let mean = bitrate / 8 / FRAMES_PER_SECOND;
        let plain = mean * KEY_EVERY / (KEY_EVERY - 1 + KEY_FACTOR);
        let key = (round + number as u64).is_multiple_of(KEY_EVERY);
        let (kind, len) = if key {
            (FrameKind::Key, plain * KEY_FACTOR)
        } else {
            (FrameKind::Reference, plain)
        };
        let from = (round as usize * 977 + number * 4099) % (self.data.len() - len as usize);
        let data = self.data.slice(from..from + len as usize);
        self.push_frame(number, kind, time, data, now)
    }

    /// Pushes a key frame of `len` bytes.
    pub(super) fn push_key(&self, number: usize, time: UnixMicros, len: usize, now: Micros) -> u64 {
        self.push_frame(number, FrameKind::Key, time, self.data.slice(..len), now)
    }

    fn push_frame(
        &self,
        number: usize,
        kind: FrameKind,
        time: UnixMicros,
        data: Bytes,
        now: Micros,
    ) -> u64 {
        let frame = Frame {
            track: TrackId(0),
            kind,
            time,
            data: data.into(),
        };
        u64::from(self.tails[number].push(frame, now) != Pushed::Kept)
    }

    /// Ends all runs.
    pub(super) fn end(&self, cause: GapCause) {
        self.tails.iter().for_each(|tail| tail.end(cause));
    }
}

/// Reads `4M`, `512k` or plain bits per second.
pub(super) fn bits(text: &str) -> Result<u64, String> {
    let (number, scale) = match text.strip_suffix(['M', 'm']) {
        Some(number) => (number, 1e6),
        None => text
            .strip_suffix(['k', 'K'])
            .map_or((text, 1.0), |number| (number, 1e3)),
    };
    let bits = number
        .trim()
        .parse::<f64>()
        .map_err(|_| format!("`{text}` is not a bit rate; write 4M or 512k"))?
        * scale;
    if (1e3..1e9).contains(&bits) {
        Ok(bits as u64)
    } else {
        Err(format!(
            "`{text}` is no bit rate of a camera; write 4M or 512k"
        ))
    }
}

fn description(number: u32, now: UnixMicros) -> RunDescription {
    let parameter_sets = vec![
        Bytes::from_static(&[0x67, 0x42, 0xc0, 0x1f]),
        Bytes::from_static(&[0x68, 0xce, 0x3c, 0x80]),
    ];
    let video = VideoParameters {
        width: 1920,
        height: 1080,
        parameter_sets,
    };
    let track = Track {
        codec: Codec::H264,
        clock_rate: 90_000,
        video: Some(video),
        audio: None,
        encoding: String::new(),
    };
    RunDescription {
        camera: format!("bench-{number}"),
        name: format!("Bench {number}"),
        stream: "main".to_owned(),
        start_cause: GapCause::Enrolled,
        started: now,
        clock: ClockState::UNKNOWN,
        camera_offset: None,
        tracks: TrackSet {
            tracks: vec![track],
        },
    }
}
