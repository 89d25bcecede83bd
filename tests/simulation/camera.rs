//! Made-up cameras: streams of frames as cameras send them (groups of pictures, B-frames in decode order, sound beside the pictures,
//! sizes from one byte to the largest allowed, silence), all drawn from a seed.

use bytes::Bytes;
use nvring::{
    base::{ClockState, Micros, UnixMicros, seed::Seed},
    media::{
        AudioParameters, Codec, Frame, FrameData, FrameKind, GapCause, StreamId, Track, TrackId,
        TrackSet, VideoParameters,
    },
    store::RunDescription,
};

/// What a camera is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// From picture to picture.
    pub(crate) interval: Micros,
    /// Pictures from key to key: one more than a multiple of three.
    pub(crate) gop: u32,
    /// Whether pictures come in another order than they are shown.
    pub(crate) reordered: bool,
    /// From packet to packet of sound.
    pub(crate) sound: Option<Micros>,
    /// Usual bytes of a picture.
    pub(crate) size: u64,
    /// No frame is longer.
    pub(crate) size_max: u64,
    /// Chance that a picture is as long as allowed.
    pub(crate) huge: f64,
}

/// A camera and where it is in its stream.
#[derive(Clone, Debug)]
pub(crate) struct Camera {
    pub(crate) stream: StreamId,
    pub(crate) habits: Habits,
    random: Seed,
    started: UnixMicros,
    pictures: u32,
    packets: u32,
    next_picture: Micros,
    next_packet: Micros,
}

impl Camera {
    pub(crate) fn new(number: u8, habits: Habits, random: Seed) -> Self {
        Self {
            stream: StreamId([number + 1; 16]),
            habits,
            random,
            started: UnixMicros(0),
            pictures: 0,
            packets: 0,
            next_picture: Micros(i64::MAX),
            next_packet: Micros(i64::MAX),
        }
    }

    /// Starts the stream anew at monotonic time `now`; what is true of the run.
    pub(crate) fn begin(
        &mut self,
        cause: GapCause,
        wall: UnixMicros,
        now: Micros,
    ) -> RunDescription {
        self.started = wall;
        (self.pictures, self.packets) = (0, 0);
        self.next_picture = now;
        self.next_packet = self.habits.sound.map_or(Micros(i64::MAX), |_| now);
        description(self.stream, cause, wall, self.habits.sound.is_some())
    }

    /// When the next frame comes.
    pub(crate) fn next_due(&self) -> Micros {
        self.next_picture.min(self.next_packet)
    }

    /// Sends nothing until `time`.
    pub(crate) fn silence_until(&mut self, time: Micros) {
        let late = (time - self.next_due()).0.max(0);
        let steps = late / self.habits.interval.0 + 1;
        // Whole groups of pictures go by, so that the stream goes on with a key frame.
        let groups = (steps as u32).div_ceil(self.habits.gop) + 1;
        let skipped = groups * self.habits.gop - self.pictures % self.habits.gop;
        self.pictures += skipped;
        let span = i64::from(skipped) * self.habits.interval.0;
        self.next_picture = self.next_picture + Micros(span);
        if let Some(sound) = self.habits.sound {
            let packets = span / sound.0;
            self.packets += packets as u32;
            self.next_packet = self.next_packet + Micros(packets * sound.0);
        }
    }

    /// The frame that is due next.
    pub(crate) fn frame(&mut self) -> Frame {
        if self.next_packet < self.next_picture {
            let (at, step) = (self.packets, self.habits.sound.unwrap_or(Micros(1)));
            self.packets += 1;
            self.next_packet = self.next_packet + step;
            let time = UnixMicros(self.started.0 + 1 + i64::from(at) * step.0);
            let len = self.random.between(1, 40);
            return self.made(TrackId(1), FrameKind::Key, time, len);
        }
        let at = self.pictures;
        self.pictures += 1;
        self.next_picture = self.next_picture + self.habits.interval;
        let (group, inside) = (at / self.habits.gop, at % self.habits.gop);
        let shown = match inside.checked_sub(1) {
            Some(before) if self.habits.reordered => {
                before / 3 * 3 + [3, 1, 2][before as usize % 3]
            }
            _ => inside,
        };
        let kind = match (inside, before_third(inside)) {
            (0, _) => FrameKind::Key,
            (_, true) if self.habits.reordered => FrameKind::Disposable,
            _ => FrameKind::Reference,
        };
        let index = i64::from(group * self.habits.gop + shown);
        let time = UnixMicros(self.started.0 + index * self.habits.interval.0);
        let usual = if inside == 0 {
            self.habits.size * 4
        } else {
            self.habits.size
        };
        let len = if self.random.chance(self.habits.huge) {
            self.habits.size_max
        } else {
            self.random
                .between(usual / 2 + 1, usual * 3 / 2 + 1)
                .min(self.habits.size_max)
        };
        self.made(TrackId(0), kind, time, len)
    }

    fn made(&mut self, track: TrackId, kind: FrameKind, time: UnixMicros, len: u64) -> Frame {
        let mut bytes = vec![0; len as usize];
        self.random.fill(&mut bytes);
        let bytes = Bytes::from(bytes);
        // Frames come in packets.
        let cut = self.random.below(len) as usize;
        let data = FrameData::from(vec![bytes.slice(..cut), bytes.slice(cut..)]);
        Frame {
            track,
            kind,
            time,
            data,
        }
    }
}

fn before_third(inside: u32) -> bool {
    inside % 3 != 1
}

fn description(
    stream: StreamId,
    cause: GapCause,
    started: UnixMicros,
    sound: bool,
) -> RunDescription {
    let picture = Track {
        codec: Codec::H264,
        clock_rate: 90_000,
        video: Some(VideoParameters {
            width: 640,
            height: 360,
            parameter_sets: vec![
                Bytes::from_static(&[0x67, 0x42, 0xc0, 0x1f]),
                Bytes::from_static(&[0x68, 0xce]),
            ],
        }),
        audio: None,
        encoding: String::new(),
    };
    let packet = Track {
        codec: Codec::PcmA,
        clock_rate: 8_000,
        video: None,
        audio: Some(AudioParameters {
            sample_rate: 8_000,
            channels: 1,
            config: Bytes::new(),
        }),
        encoding: String::new(),
    };
    let tracks = if sound {
        vec![picture, packet]
    } else {
        vec![picture]
    };
    RunDescription {
        camera: format!("camera-{}", stream.0[0]),
        name: format!("Camera {}", stream.0[0]),
        stream: "main".to_owned(),
        start_cause: cause,
        started,
        clock: ClockState {
            synchronised: true,
            error_us_max: 1_000,
        },
        camera_offset: None,
        tracks: TrackSet { tracks },
    }
}
