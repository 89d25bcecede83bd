//! Streams from real encoders: ffmpeg makes a test picture, we cut its Annex B output into access units of NAL units.

use crate::media::{Codec, h264, h265};
use std::process::{Command, Stdio};

/// One access unit as the encoder wrote it, with its presentation time in 90 kHz ticks and ffmpeg's key flag.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    pub(super) nals: Vec<Vec<u8>>,
    pub(super) pts: u32,
    pub(super) key: bool,
}

/// Encodes test pictures with the given ffmpeg output options (codec and parameters).
pub(super) fn encode(codec: Codec, size: &str, frames: u32, options: &str) -> Vec<Encoded> {
    let format = if codec == Codec::H264 { "h264" } else { "hevc" };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(format!("stream.{format}"));
    let mut command = Command::new("ffmpeg");
    command
        .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i"])
        .arg(format!("testsrc2=size={size}:rate=25"))
        .args(["-frames:v", &frames.to_string(), "-an"])
        .args(options.split_whitespace())
        // The same packets twice: as NAL units, and as the list of their times.
        .args(["-f", "tee", "-map", "0:v"])
        .arg(format!(
            "[f={format}]{}|[f=framecrc]{}",
            path.display(),
            directory.path().join("times").display()
        ));
    let status = command
        .stderr(Stdio::inherit())
        .status()
        .expect("ffmpeg with libx264 and libx265 is needed for this test: apt-get install ffmpeg");
    assert!(status.success(), "ffmpeg failed with: {options}");
    let bytes = std::fs::read(&path).unwrap();
    let times = std::fs::read_to_string(directory.path().join("times")).unwrap();
    let mut units = access_units(codec, &bytes);
    let rows = times.lines().filter(|line| !line.starts_with('#'));
    let mut count = 0;
    for (unit, row) in units.iter_mut().zip(rows) {
        let fields: Vec<&str> = row.split(',').map(str::trim).collect();
        let pts: i64 = fields[2].parse().unwrap();
        unit.pts = (pts * 3600 + 100_000) as u32;
        // framecrc prints flags only where they are not just "key frame".
        let flags = fields.iter().find_map(|field| field.strip_prefix("F=0x"));
        unit.key = flags.is_none_or(|flags| u32::from_str_radix(flags, 16).unwrap() & 1 != 0);
        count += 1;
    }
    assert_eq!((units.len(), count), (frames as usize, frames as usize));
    units
}

/// Cuts Annex B bytes (B.1.1 of both standards) into NAL units.
pub(super) fn annex_b(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut nals = Vec::new();
    let mut start = None;
    let mut at = 0;
    while at + 3 <= bytes.len() {
        if bytes[at..at + 3] == [0, 0, 1] {
            if let Some(start) = start {
                nals.push(trimmed(&bytes[start..at]));
            }
            start = Some(at + 3);
            at += 3;
        } else {
            at += 1;
        }
    }
    nals.push(trimmed(&bytes[start.unwrap()..]));
    nals
}

/// Without trailing_zero_8bits: a NAL unit never ends with a zero byte.
fn trimmed(nal: &[u8]) -> Vec<u8> {
    let end = nal.iter().rposition(|byte| *byte != 0).unwrap();
    nal[..=end].to_vec()
}

/// Groups NAL units: everything up to and with the slices of a picture, then the next picture's.
fn access_units(codec: Codec, bytes: &[u8]) -> Vec<Encoded> {
    let mut units: Vec<Encoded> = Vec::new();
    let mut has_slice = true;
    for nal in annex_b(bytes) {
        // A first slice begins with first_mb_in_slice ue(0), or first_slice_segment_in_pic_flag: in both cases a 1 bit.
        let (slice, first, suffix) = match codec {
            Codec::H264 => {
                let kind = h264::nal_type_of(nal[0]);
                ((1..=5).contains(&kind), nal[1] & 0x80 != 0, false)
            }
            _ => {
                let kind = h265::nal_type_of(nal[0]);
                (kind < 32, nal.len() > 2 && nal[2] & 0x80 != 0, kind == 40)
            }
        };
        let begins = has_slice && !suffix && (!slice || first);
        if begins {
            units.push(Encoded {
                nals: Vec::new(),
                pts: 0,
                key: false,
            });
            has_slice = false;
        }
        has_slice |= slice;
        units.last_mut().unwrap().nals.push(nal);
    }
    units
}
