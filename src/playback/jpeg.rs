//! A key frame as JPEG: decoded by OpenH264, put into JPEG's colours, encoded again. H.264 only; everything else is given as it is.
//!
//! The decoder is C++ and the bytes are a camera's, so it sees as little of them as can be: only parameter sets and slices, only of
//! pictures that OpenH264 knows (8 bits, 4:2:0, not above level 5.2), each time in a decoder of its own. Whoever calls this bounds how
//! many run at once: each may use 100 MB for a moment (`DPB_PIXELS_MAX` and one picture more, 1.5 bytes a pixel).

use super::still::Still;
use crate::media::{
    Codec,
    h264::{self, nal_type},
    picture_format::Colour,
};
use jpeg_encoder::{ImageBuffer, JpegColorType, SamplingFactor};
use openh264::{decoder::Decoder, formats::YUVSource};

/// Largest picture: MaxFS of level 5.2 (H.264 Table A-1), in pixels.
const PICTURE_PIXELS_MAX: u32 = 36_864 * 256;

/// Largest picture buffer: MaxDpbMbs of level 5.2 (H.264 Table A-1), in pixels.
const DPB_PIXELS_MAX: u32 = 184_320 * 256;

/// Pictures at least so high are in the colours of HDTV where the camera does not say.
const HD_HEIGHT_MIN: usize = 720;

/// JPEG quality: good for looking, a tenth of a megabyte for 1080p.
const QUALITY: u8 = 80;

/// Why there is no JPEG. What the camera sent can be had all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JpegError {
    /// Only H.264 is decoded here.
    #[error("pictures in {} are not decoded here", codec.name())]
    Codec {
        /// How the picture is coded.
        codec: Codec,
    },
    /// The decoder must not be given this.
    #[error("the picture is of a kind that is not decoded here ({what})")]
    Unsupported {
        /// What about it.
        what: &'static str,
    },
    /// The decoder made nothing of it.
    #[error("the key frame cannot be decoded by itself")]
    Undecodable,
}

/// The JPEG of `still`. Takes tens of milliseconds: not for an asynchronous thread.
///
/// # Errors
/// When it is not H.264 of a usual kind, or damaged.
pub fn jpeg(still: &Still) -> Result<Vec<u8>, JpegError> {
    if still.codec() != Codec::H264 {
        return Err(JpegError::Codec {
            codec: still.codec(),
        });
    }
    let (stream, colour) = decodable(still)?;
    let mut decoder = Decoder::new().map_err(|_| JpegError::Undecodable)?;
    let picture = decoder
        .decode(&stream)
        .ok()
        .flatten()
        .and_then(|decoded| Picture::new(&decoded, colour))
        .ok_or(JpegError::Undecodable)?;
    let mut file = Vec::with_capacity(stream.len());
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder
        .encode_image(picture)
        .map_err(|_| JpegError::Undecodable)?;
    Ok(file)
}

/// What the decoder is given: parameter sets and slices, once all parameter sets are known to be harmless.
fn decodable(still: &Still) -> Result<(Vec<u8>, Option<Colour>), JpegError> {
    let unsupported = |what| JpegError::Unsupported { what };
    let mut stream = Vec::new();
    let mut colour = None;
    for nal in still.units() {
        match nal.first().map_or(0, |header| h264::nal_type_of(*header)) {
            nal_type::SPS => {
                let sps = h264::Sps::parse(nal).map_err(|_| unsupported("parameter set"))?;
                let format = sps.format;
                let pixels = format.coded_width.saturating_mul(format.coded_height);
                if format.chroma != 1 || (format.bit_depth_luma, format.bit_depth_chroma) != (8, 8)
                {
                    return Err(unsupported("not 8 bits 4:2:0"));
                }
                let buffer = pixels.saturating_mul(u32::from(sps.reference_frames.max(1)));
                if pixels == 0 || pixels > PICTURE_PIXELS_MAX || buffer > DPB_PIXELS_MAX {
                    return Err(unsupported("larger than level 5.2"));
                }
                colour = format.colour.or(colour);
            }
            nal_type::PPS | nal_type::SLICE | nal_type::IDR => {}
            _ => continue,
        }
        stream.extend_from_slice(&[0, 0, 0, 1]);
        stream.extend_from_slice(nal);
    }
    Ok((stream, colour))
}

/// A decoded picture, which gives its rows in JPEG's colours.
struct Picture {
    width: u16,
    height: u16,
    luma: Vec<u8>,
    blue: Vec<u8>,
    red: Vec<u8>,
    colours: Conversion,
}

impl Picture {
    /// A copy without the decoder's margins; `None` when the decoder's word on its own buffers does not add up.
    fn new(decoded: &impl YUVSource, colour: Option<Colour>) -> Option<Self> {
        let (width, height) = decoded.dimensions();
        let strides = decoded.strides();
        let small = (width.div_ceil(2), height.div_ceil(2));
        Some(Self {
            width: u16::try_from(width).ok()?,
            height: u16::try_from(height).ok()?,
            luma: plane(decoded.y(), strides.0, (width, height))?,
            blue: plane(decoded.u(), strides.1, small)?,
            red: plane(decoded.v(), strides.2, small)?,
            colours: Conversion::new(colour, height),
        })
    }
}

/// The rows of a plane without what lies beside them.
fn plane(bytes: &[u8], stride: usize, (width, height): (usize, usize)) -> Option<Vec<u8>> {
    if width == 0 || height == 0 || stride < width {
        return None;
    }
    let mut plane = Vec::with_capacity(width * height);
    for row in 0..height {
        plane.extend_from_slice(bytes.get(row * stride..row * stride + width)?);
    }
    Some(plane)
}

impl ImageBuffer for Picture {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        self.width
    }

    fn height(&self) -> u16 {
        self.height
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let (row, width) = (usize::from(y), usize::from(self.width));
        let half = width.div_ceil(2);
        let luma = &self.luma[row * width..(row + 1) * width];
        let chroma = row / 2 * half..(row / 2 + 1) * half;
        let (blue, red) = (&self.blue[chroma.clone()], &self.red[chroma]);
        for (column, luma) in luma.iter().enumerate() {
            let sample = [*luma, blue[column / 2], red[column / 2]];
            for (buffer, value) in buffers.iter_mut().zip(self.colours.of(sample)) {
                buffer.push(value);
            }
        }
    }
}

/// From the camera's Y′CbCr to JPEG's, which is that of BT.601 in full range: one matrix, in units of 2⁻¹⁶.
struct Conversion {
    matrix: [[i32; 3]; 3],
    luma_offset: i32,
}

impl Conversion {
    fn new(colour: Option<Colour>, height: usize) -> Self {
        let full_range = colour.is_some_and(|colour| colour.full_range);
        // K_R and K_B by matrix_coefficients (ITU-T H.273 Table 4).
        let (red, blue) = match colour.map(|colour| colour.matrix) {
            Some(1) => (0.2126, 0.0722),
            Some(4..=6) => (0.299, 0.114),
            Some(9 | 10) => (0.2627, 0.0593),
            _ if height >= HD_HEIGHT_MIN => (0.2126, 0.0722),
            _ => (0.299, 0.114),
        };
        let (luma_scale, chroma_scale, luma_offset) = if full_range {
            (1.0, 1.0, 0)
        } else {
            (255.0 / 219.0, 255.0 / 224.0, 16)
        };
        let matrix = product(from_rgb(0.299, 0.114), to_rgb(red, blue));
        let scale = [luma_scale, chroma_scale, chroma_scale];
        let fixed = |value: f64, scale: f64| (value * scale * 65_536.0).round() as i32;
        Self {
            matrix: matrix.map(|row| [0, 1, 2].map(|at| fixed(row[at], scale[at]))),
            luma_offset,
        }
    }

    fn of(&self, [luma, blue, red]: [u8; 3]) -> [u8; 3] {
        let sample = [
            i32::from(luma) - self.luma_offset,
            i32::from(blue) - 128,
            i32::from(red) - 128,
        ];
        let mut out = [0; 3];
        for (at, (out, row)) in out.iter_mut().zip(&self.matrix).enumerate() {
            let sum: i32 = row.iter().zip(sample).map(|(by, value)| by * value).sum();
            let centre = if at == 0 { 0 } else { 128 };
            *out = (((sum + 0x8000) >> 16) + centre).clamp(0, 255) as u8;
        }
        out
    }
}

/// R′G′B′ from Y′CbCr with these K_R and K_B.
fn to_rgb(red: f64, blue: f64) -> [[f64; 3]; 3] {
    let (by_red, by_blue) = (2.0 * (1.0 - red), 2.0 * (1.0 - blue));
    let green = 1.0 - red - blue;
    [
        [1.0, 0.0, by_red],
        [1.0, -by_blue * blue / green, -by_red * red / green],
        [1.0, by_blue, 0.0],
    ]
}

/// Y′CbCr from R′G′B′.
fn from_rgb(red: f64, blue: f64) -> [[f64; 3]; 3] {
    let green = 1.0 - red - blue;
    let (by_red, by_blue) = (2.0 * (1.0 - red), 2.0 * (1.0 - blue));
    [
        [red, green, blue],
        [-red / by_blue, -green / by_blue, 0.5],
        [0.5, -green / by_red, -blue / by_red],
    ]
}

fn product(a: [[f64; 3]; 3], b: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    a.map(|row| [0, 1, 2].map(|column| (0..3).map(|at| row[at] * b[at][column]).sum()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::seed::Seed, playback::still::tests::clip};
    use bytes::Bytes;

    const H264: &[u8] = include_bytes!("../../tools/camsim/clips/h264.264");
    const H265: &[u8] = include_bytes!("../../tools/camsim/clips/h265.265");

    #[test]
    fn colours_are_put_into_those_of_jpeg() {
        let colour = |matrix, full_range| Colour {
            primaries: 2,
            transfer: 2,
            matrix,
            full_range,
        };
        let same = Conversion::new(Some(colour(6, true)), 1080);
        let narrow = Conversion::new(None, 480);
        let hd = Conversion::new(None, 1080);
        assert_eq!(same.of([17, 90, 200]), [17, 90, 200]);
        // Black, white and grey have no colour, whatever the matrix.
        for conversion in [&narrow, &hd] {
            assert_eq!(conversion.of([16, 128, 128]), [0, 128, 128]);
            assert_eq!(conversion.of([235, 128, 128]), [255, 128, 128]);
        }
        // Pure red and green: in BT.709 as cameras send them, in BT.601 full range as JPEG has them, but for rounding.
        let near = |conversion: &Conversion, sample, expected: [u8; 3]| {
            let out = conversion.of(sample);
            let off = out
                .iter()
                .zip(expected)
                .map(|(out, expected)| out.abs_diff(expected));
            assert!(
                off.max() <= Some(1),
                "{sample:?}: {out:?}, not {expected:?}"
            );
        };
        near(&hd, [63, 102, 240], [76, 85, 255]);
        near(&hd, [173, 42, 26], [150, 44, 21]);
        near(&narrow, [81, 90, 240], [76, 85, 255]);
    }

    #[test]
    fn a_key_frame_becomes_a_jpeg_of_its_size() {
        let still = clip(Codec::H264, H264);
        let file = jpeg(&still).unwrap();
        assert!(file.starts_with(&[0xff, 0xd8, 0xff]), "SOI");
        assert!(file.ends_with(&[0xff, 0xd9]), "EOI");
        // The start of the frame: marker, length, precision, height, width (ITU-T T.81 §B.2.2).
        let frame = file.windows(2).position(|at| at == [0xff, 0xc0]).unwrap();
        let size = still
            .track()
            .video
            .as_ref()
            .map(|video| (video.width, video.height));
        let number = |at: usize| u16::from_be_bytes([file[frame + at], file[frame + at + 1]]);
        assert_eq!(Some((number(7), number(5))), size);
    }

    #[test]
    fn what_is_not_decoded_here_is_said_so() {
        let hevc = clip(Codec::H265, H265);
        assert_eq!(jpeg(&hevc), Err(JpegError::Codec { codec: Codec::H265 }));
        let still = clip(Codec::H264, H264);
        let empty = Still::new(still.time, still.track().clone(), Bytes::new());
        assert_eq!(jpeg(&empty), Err(JpegError::Undecodable));
        let mut track = still.track().clone();
        // A baseline SPS of 8192 × 8192 pixels.
        let huge = Bytes::from_static(&[
            0x67, 0x42, 0x00, 0x34, 0xda, 0x00, 0x20, 0x00, 0x04, 0x01, 0x90,
        ]);
        if let Some(video) = &mut track.video {
            video.parameter_sets.insert(0, huge);
        }
        let huge = Still::new(still.time, track, still.data().clone());
        let what = "larger than level 5.2";
        assert_eq!(jpeg(&huge), Err(JpegError::Unsupported { what }));
    }

    /// Goal: damage gives a picture or an error, and nothing else. Method: frames and parameter sets with bits flipped, pieces cut out,
    /// doubled and shuffled, lengths that lie.
    #[test]
    fn damaged_frames_never_harm() {
        const ROUNDS: usize = 100;
        let number = std::env::var("NVRING_SEED")
            .ok()
            .and_then(|text| text.parse().ok());
        let number = number.unwrap_or(1);
        println!("SEED={number}");
        let mut random = Seed::new(number);
        let still = clip(Codec::H264, H264);
        let mut pictures = 0;
        for _ in 0..ROUNDS {
            let mut data = still.data().to_vec();
            let mut track = still.track().clone();
            if let Some(video) = track.video.as_mut().filter(|_| random.chance(0.3)) {
                for set in &mut video.parameter_sets {
                    let mut bytes = set.to_vec();
                    damage(&mut bytes, &mut random);
                    *set = bytes.into();
                }
            }
            damage(&mut data, &mut random);
            let damaged = Still::new(still.time, track, data.into());
            pictures += usize::from(jpeg(&damaged).is_ok());
            let _ = damaged.byte_stream();
            let _ = damaged.mp4();
        }
        println!("{pictures} of {ROUNDS} still gave a picture");
    }

    fn damage(bytes: &mut Vec<u8>, random: &mut Seed) {
        for _ in 0..random.between(0, 6) {
            if bytes.is_empty() {
                return;
            }
            let at = random.below(bytes.len() as u64) as usize;
            let len = random.below((bytes.len() - at) as u64 + 1).min(4000) as usize;
            match random.below(4) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => drop(bytes.drain(at..at + len)),
                2 => {
                    let piece = bytes[at..at + len].to_vec();
                    let to = random.below(bytes.len() as u64 + 1) as usize;
                    bytes.splice(to..to, piece);
                }
                _ => random.fill(&mut bytes[at..at + len]),
            }
        }
    }
}
