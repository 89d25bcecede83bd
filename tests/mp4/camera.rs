//! Streams as cameras send them, made by ffmpeg: elementary streams cut into frames with the times a recorder would give them.

use bytes::Bytes;
use nvring::{
    base::{UnixMicros, seed::Seed},
    media::{AudioParameters, Codec, FrameEntry, FrameKind, Track, TrackId, VideoParameters, h264},
};
use std::{path::Path, process::Command};

/// 2026-11-23T14:00:00Z.
pub(crate) const START: i64 = 1_795_442_400_000_000;

/// A frame and its bytes.
#[derive(Clone)]
pub(crate) struct Shot {
    pub(crate) entry: FrameEntry,
    pub(crate) data: Vec<u8>,
}

/// One track of a camera.
pub(crate) struct Feed {
    pub(crate) track: Track,
    pub(crate) shots: Vec<Shot>,
    /// MD5 of each decoded picture in the order shown, by ffmpeg from the elementary stream.
    pub(crate) picture_md5: Vec<String>,
}

/// Runs a tool and gives its standard output; says what is missing when it is not there.
pub(crate) fn tool(name: &str, arguments: &[&str]) -> (String, String) {
    let output = Command::new(name)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "{name} does not run: {error}; install ffmpeg, gstreamer1.0-tools and \
                 gstreamer1.0-plugins-base-apps"
            )
        });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{name} {arguments:?} failed: {err}"
    );
    (out, err)
}

/// Encodes `seconds` of test picture and returns its frames, 25 per second, with times that jitter as cameras' do.
pub(crate) fn film(dir: &Path, codec: Codec, size: &str, seconds: u32, options: &[&str]) -> Feed {
    let (encoder, muxer) = match codec {
        Codec::H264 => ("libx264", "h264"),
        _ => ("libx265", "hevc"),
    };
    let name = format!(
        "{muxer}-{size}-{}",
        options.join("_").replace([':', '/'], "-")
    );
    let stream = dir.join(&name).with_extension(muxer);
    let stream = stream.to_str().unwrap();
    let list = dir.join(&name).with_extension("crc");
    let list = list.to_str().unwrap();
    let source = format!("testsrc2=size={size}:rate=25:duration={seconds}");
    let tee = format!("[f={muxer}]{stream}|[f=framecrc]{list}");
    let mut arguments = vec!["-v", "error", "-y", "-f", "lavfi", "-i", &source];
    arguments.extend(["-pix_fmt", "yuv420p", "-c:v", encoder]);
    arguments.extend(options);
    arguments.extend(["-map", "0:v", "-f", "tee", &tee]);
    tool("ffmpeg", &arguments);
    let bytes = std::fs::read(stream).unwrap();
    let mut shots = Vec::new();
    let mut sets: Vec<Bytes> = Vec::new();
    let mut key_number = None;
    let mut at = 0;
    for (number, len) in packets(list, 25) {
        let nals = nal_units(&bytes[at..at + len]);
        at += len;
        keep_sets(codec, &nals, &mut sets);
        let kind = kind_of(codec, &nals, key_number.is_some_and(|key| number < key));
        if kind == FrameKind::Key {
            key_number = Some(number);
        }
        let mut data = Vec::new();
        for nal in nals {
            data.extend((nal.len() as u32).to_be_bytes());
            data.extend(nal);
        }
        shots.push(shot(0, kind, frame_time(number), data));
    }
    let (width, height) = size.split_once('x').unwrap();
    let video = VideoParameters {
        width: width.parse().unwrap(),
        height: height.parse().unwrap(),
        parameter_sets: sets,
    };
    Feed {
        track: track(codec, Some(video), None),
        shots,
        picture_md5: picture_md5s(&["-r", "25", "-i", stream])
            .into_iter()
            .map(|(_, md5)| md5)
            .collect(),
    }
}

/// When the picture shown as number `number` was taken: 25 per second, with up to 9 ms of jitter.
pub(crate) fn frame_time(number: i64) -> i64 {
    START + number * 40_000 + Seed::new(number as u64).below(9_000) as i64
}

fn shot(track: u8, kind: FrameKind, time: i64, data: Vec<u8>) -> Shot {
    Shot {
        entry: FrameEntry {
            track: TrackId(track),
            kind,
            time: UnixMicros(time),
            size: data.len() as u32,
        },
        data,
    }
}

fn track(codec: Codec, video: Option<VideoParameters>, audio: Option<AudioParameters>) -> Track {
    let rate = audio.as_ref().map_or(90_000, |audio| audio.sample_rate);
    Track {
        codec,
        clock_rate: rate,
        video,
        audio,
        encoding: String::new(),
    }
}

/// Presentation number and size of each packet that ffmpeg listed, in decode order.
fn packets(list: &str, rate: i64) -> Vec<(i64, usize)> {
    let text = std::fs::read_to_string(list).unwrap();
    let base: i64 = text
        .lines()
        .find_map(|line| line.strip_prefix("#tb 0: 1/"))
        .map_or(rate, |base| base.trim().parse().unwrap());
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let time: i64 = fields[2].parse().unwrap();
        (time * rate / base, fields[4].parse().unwrap())
    })
    .collect()
}

/// The NAL units of an access unit in Annex B form.
fn nal_units(bytes: &[u8]) -> Vec<&[u8]> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at + 3 <= bytes.len() {
        if bytes[at..at + 3] == [0, 0, 1] {
            starts.push(at);
            at += 3;
        } else {
            at += 1;
        }
    }
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let units = starts.iter().zip(ends).map(|(&start, end)| {
        let nal = &bytes[start + 3..end];
        let zeros = nal.iter().rev().take_while(|&&byte| byte == 0).count();
        &nal[..nal.len() - zeros]
    });
    units.collect()
}

fn nal_type(codec: Codec, nal: &[u8]) -> u8 {
    match codec {
        Codec::H264 => nal[0] & 0x1f,
        _ => nal[0] >> 1 & 0x3f,
    }
}

fn keep_sets(codec: Codec, nals: &[&[u8]], sets: &mut Vec<Bytes>) {
    for nal in nals {
        let is_set = match codec {
            Codec::H264 => matches!(nal_type(codec, nal), 7 | 8),
            _ => matches!(nal_type(codec, nal), 32..=34),
        };
        if is_set && !sets.iter().any(|set| set == nal) {
            sets.push(Bytes::copy_from_slice(nal));
        }
    }
}

fn kind_of(codec: Codec, nals: &[&[u8]], before_key: bool) -> FrameKind {
    let types: Vec<u8> = nals.iter().map(|nal| nal_type(codec, nal)).collect();
    match codec {
        Codec::H264 => {
            let recovery = nals
                .iter()
                .filter(|nal| nal_type(codec, nal) == 6)
                .any(|nal| h264::recovery_frame_count(nal) == Some(0));
            if types.contains(&5) || recovery {
                FrameKind::Key
            } else if before_key {
                FrameKind::Leading
            } else if nals
                .iter()
                .any(|nal| nal_type(codec, nal) == 1 && nal[0] & 0x60 == 0)
            {
                FrameKind::Disposable
            } else {
                FrameKind::Reference
            }
        }
        _ if types.iter().any(|kind| (16..=23).contains(kind)) => FrameKind::Key,
        _ if types.iter().any(|kind| matches!(kind, 8 | 9)) => FrameKind::Leading,
        _ if types.iter().any(|kind| *kind < 16 && kind % 2 == 0) => FrameKind::Disposable,
        _ => FrameKind::Reference,
    }
}

/// Time in microseconds and MD5 of each picture that ffmpeg shows of an input.
pub(crate) fn picture_md5s(input: &[&str]) -> Vec<(i64, String)> {
    let mut arguments = vec!["-v", "error", "-copyts"];
    arguments.extend(input);
    arguments.extend(["-map", "0:v:0", "-fps_mode", "passthrough"]);
    arguments.extend(["-enc_time_base", "1:1000000", "-f", "framemd5", "-"]);
    let (out, err) = tool("ffmpeg", &arguments);
    // Entering an H.264 open GOP, some of the pictures that the encoder tells the decoder to forget were never there.
    let harmless =
        |line: &&str| line.contains("mmco: unref short") || line.contains("Last message");
    let complaints: Vec<&str> = err.lines().filter(|line| !harmless(line)).collect();
    assert!(complaints.is_empty(), "ffmpeg {input:?}: {complaints:?}");
    let rows = out.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        (fields[2].parse().unwrap(), fields[5].to_owned())
    })
    .collect()
}

/// `seconds` of a tone in `codec`, as track 1.
pub(crate) fn tone(dir: &Path, codec: Codec, seconds: u32) -> Feed {
    let (encoder, muxer, rate, samples) = match codec {
        Codec::Aac => ("aac", "adts", 48_000, 1024),
        Codec::Opus => ("libopus", "data", 48_000, 960),
        Codec::PcmMu => ("pcm_mulaw", "mulaw", 8_000, 160),
        _ => ("pcm_alaw", "alaw", 8_000, 160),
    };
    let stream = dir.join(format!("tone.{encoder}"));
    let stream = stream.to_str().unwrap();
    let list = dir.join(format!("tone.{encoder}.crc"));
    let list = list.to_str().unwrap();
    let source = format!("sine=frequency=440:sample_rate={rate}:duration={seconds}");
    let tee = format!("[f={muxer}]{stream}|[f=framecrc]{list}");
    let arguments = [
        "-v", "error", "-y", "-f", "lavfi", "-i", &source, "-c:a", encoder,
    ];
    tool(
        "ffmpeg",
        &[&arguments[..], &["-map", "0:a", "-f", "tee", &tee]].concat(),
    );
    let bytes = std::fs::read(stream).unwrap();
    let pieces: Vec<&[u8]> = match codec {
        Codec::Aac => adts_frames(&bytes),
        Codec::Opus => {
            let mut rest = &bytes[..];
            let sizes = packets(list, 48_000).into_iter();
            sizes
                .map(|(_, size)| rest.split_off(..size).unwrap())
                .collect()
        }
        _ => bytes.chunks_exact(samples).collect(),
    };
    let shots = pieces.iter().enumerate().map(|(number, data)| {
        let time = START + (number * samples) as i64 * 1_000_000 / i64::from(rate);
        shot(1, FrameKind::Key, time, data.to_vec())
    });
    let audio = AudioParameters {
        sample_rate: rate as u32,
        channels: 1,
        // AAC LC, 48 kHz, mono (ISO 14496-3 §1.6.2.1).
        config: match codec {
            Codec::Aac => Bytes::from_static(&[0x11, 0x88]),
            _ => Bytes::new(),
        },
    };
    Feed {
        track: track(codec, None, Some(audio)),
        shots: shots.collect(),
        picture_md5: Vec::new(),
    }
}

/// Raw access units of an ADTS stream (ISO 14496-3 §1.A.2.2).
fn adts_frames(bytes: &[u8]) -> Vec<&[u8]> {
    let mut rest = bytes;
    let mut frames = Vec::new();
    while rest.len() > 7 {
        let length =
            usize::from(rest[3] & 3) << 11 | usize::from(rest[4]) << 3 | usize::from(rest[5]) >> 5;
        frames.push(&rest[7..length]);
        rest = &rest[length..];
    }
    frames
}
