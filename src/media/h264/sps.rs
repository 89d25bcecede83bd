//! The H.264 sequence parameter set: picture size, reordering, colour, timing (H.264 §7.3.2.1.1 and §E.1.1).

use crate::media::{
    bits::{BitReader, BitsError, unescape},
    picture_format::{Colour, Cropping, FrameTiming, PictureFormat},
};

/// A sequence parameter set. Everything that avcC (ISO 14496-15 §5.3.3.1) and a player's codec string need is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sps {
    /// seq_parameter_set_id, 0..=31.
    pub id: u8,
    /// profile_idc: 66 Baseline, 77 Main, 100 High.
    pub profile: u8,
    /// The byte with the constraint_set flags (profile_compatibility of avcC).
    pub constraints: u8,
    /// level_idc: ten times the level.
    pub level: u8,
    /// Picture size, chroma, bit depth, colour, timing.
    pub format: PictureFormat,
    /// log2_max_frame_num, 4..=16: the length of frame_num in slice headers.
    pub log2_max_frame_num: u8,
    /// frame_mbs_only_flag: no field coding.
    pub frames_only: bool,
    /// separate_colour_plane_flag: slice headers carry a plane number.
    pub separate_planes: bool,
    /// pic_order_cnt_type; with 2 the output order is the decode order.
    pub picture_order_type: u8,
    /// max_num_ref_frames.
    pub reference_frames: u8,
    /// max_num_reorder_frames where the VUI tells it.
    pub reorder_frames: Option<u8>,
}

impl Sps {
    /// Reads a whole SPS NAL unit, its header byte included.
    pub fn parse(nal: &[u8]) -> Result<Self, BitsError> {
        let bytes = unescape(nal);
        let mut bits = BitReader::new(&bytes);
        bits.skip(8)?;
        let profile = bits.bits(8)? as u8;
        let constraints = bits.bits(8)? as u8;
        let level = bits.bits(8)? as u8;
        let id = bits.ue_at_most(31)? as u8;
        let mut format = PictureFormat::default();
        let separate_planes = read_chroma(&mut bits, profile, &mut format)?;
        let log2_max_frame_num = 4 + bits.ue_at_most(12)? as u8;
        let picture_order_type = skip_picture_order(&mut bits)?;
        let reference_frames = bits.ue_at_most(16)? as u8;
        bits.flag()?; // gaps_in_frame_num_value_allowed_flag
        let width_blocks = bits.ue_at_most(4095)? + 1;
        let height_units = bits.ue_at_most(4095)? + 1;
        let frames_only = bits.flag()?;
        if !frames_only {
            bits.flag()?; // mb_adaptive_frame_field_flag
        }
        bits.flag()?; // direct_8x8_inference_flag
        let cropping = if bits.flag()? {
            Cropping::read(&mut bits)?
        } else {
            Cropping::default()
        };
        let fields = if frames_only { 1 } else { 2 };
        format.set_size(width_blocks * 16, height_units * 16 * fields);
        // Table 6-1 and equations 7-19 to 7-22: a cropping unit is a chroma sample, and twice as high with fields.
        let (unit_width, unit_height) = format.chroma_unit();
        format.crop(cropping, unit_width, unit_height * fields, bits.position())?;
        let mut sps = Self {
            id,
            profile,
            constraints,
            level,
            format,
            log2_max_frame_num,
            frames_only,
            separate_planes,
            picture_order_type,
            reference_frames,
            reorder_frames: None,
        };
        if bits.flag()? {
            // Cameras write broken VUIs; the size before it is right all the same, so a VUI that ends early is only left out.
            let _ = sps.read_vui(&mut bits);
        }
        Ok(sps)
    }

    /// The codec string of RFC 6381 §3.3: profile, constraints and level in hexadecimal.
    pub fn codec_string(&self) -> String {
        format!(
            "avc1.{:02X}{:02X}{:02X}",
            self.profile, self.constraints, self.level
        )
    }

    /// How many pictures may precede another in decode order and follow it in output order, at most. Where the VUI is silent the
    /// rule of H.264 §E.2.1 applies: 0 for intra-only profiles, otherwise the size of the picture buffer (§A.3.1 h).
    pub fn reorder_frames_max(&self) -> u8 {
        if self.picture_order_type == 2 || self.profile == 66 {
            return 0;
        }
        if let Some(frames) = self.reorder_frames {
            return frames;
        }
        let intra_only =
            matches!(self.profile, 44 | 86 | 100 | 110 | 122 | 244) && self.constraints & 0x10 != 0;
        if intra_only { 0 } else { self.buffer_frames() }
    }

    /// MaxDpbFrames, H.264 §A.3.1 h with MaxDpbMbs of Table A-1.
    fn buffer_frames(&self) -> u8 {
        let blocks_max: u32 = match self.level {
            0..=10 => 396,
            11 if self.constraints & 0x10 != 0 => 396,
            11 => 900,
            12..=20 => 2376,
            21 => 4752,
            22..=30 => 8100,
            31 => 18_000,
            32 => 20_480,
            33..=41 => 32_768,
            42 => 34_816,
            43..=50 => 110_400,
            51..=52 => 184_320,
            _ => 696_320,
        };
        let blocks = self.format.coded_width.div_ceil(16) * self.format.coded_height.div_ceil(16);
        (blocks_max / blocks.max(1)).min(16) as u8
    }

    fn read_vui(&mut self, bits: &mut BitReader<'_>) -> Result<(), BitsError> {
        let format = &mut self.format;
        format.read_aspect_ratio(bits)?;
        if bits.flag()? {
            bits.flag()?; // overscan_appropriate_flag
        }
        if bits.flag()? {
            format.colour = Colour::read(bits)?;
        }
        if bits.flag()? {
            bits.ue()?; // chroma_sample_loc_type_top_field
            bits.ue()?; // chroma_sample_loc_type_bottom_field
        }
        if bits.flag()? {
            format.timing = FrameTiming::read(bits)?;
            bits.flag()?; // fixed_frame_rate_flag
            // H.264 counts fields: one frame lasts two ticks (§E.2.1, time_scale).
            format.timing = format.timing.map(FrameTiming::doubled);
        }
        let nal_hrd = bits.flag()?;
        if nal_hrd {
            skip_hrd(bits)?;
        }
        let vcl_hrd = bits.flag()?;
        if vcl_hrd {
            skip_hrd(bits)?;
        }
        if nal_hrd || vcl_hrd {
            bits.flag()?; // low_delay_hrd_flag
        }
        bits.flag()?; // pic_struct_present_flag
        if bits.flag()? {
            bits.flag()?; // motion_vectors_over_pic_boundaries_flag
            for _ in 0..4 {
                bits.ue()?; // max_bytes_per_pic_denom .. log2_max_mv_length_vertical
            }
            self.reorder_frames = Some(bits.ue_at_most(16)? as u8);
        }
        Ok(())
    }
}

/// Chroma format and bit depths, present in the High profiles only; returns separate_colour_plane_flag.
fn read_chroma(
    bits: &mut BitReader<'_>,
    profile: u8,
    format: &mut PictureFormat,
) -> Result<bool, BitsError> {
    if !matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    ) {
        return Ok(false);
    }
    format.chroma = bits.ue_at_most(3)? as u8;
    let separate_planes = format.chroma == 3 && bits.flag()?;
    format.bit_depth_luma = 8 + bits.ue_at_most(6)? as u8;
    format.bit_depth_chroma = 8 + bits.ue_at_most(6)? as u8;
    bits.flag()?; // qpprime_y_zero_transform_bypass_flag
    if bits.flag()? {
        for list in 0..if format.chroma == 3 { 12 } else { 8 } {
            if bits.flag()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Ok(separate_planes)
}

/// H.264 §7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut BitReader<'_>, length: usize) -> Result<(), BitsError> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..length {
        if next != 0 {
            next = last.wrapping_add(bits.se()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Ok(())
}

/// Steps over the picture order count fields; returns pic_order_cnt_type.
fn skip_picture_order(bits: &mut BitReader<'_>) -> Result<u8, BitsError> {
    let order_type = bits.ue_at_most(2)? as u8;
    match order_type {
        0 => {
            bits.ue_at_most(12)?; // log2_max_pic_order_cnt_lsb_minus4
        }
        1 => {
            bits.flag()?; // delta_pic_order_always_zero_flag
            bits.se()?; // offset_for_non_ref_pic
            bits.se()?; // offset_for_top_to_bottom_field
            for _ in 0..bits.ue_at_most(255)? {
                bits.se()?; // offset_for_ref_frame
            }
        }
        _ => {}
    }
    Ok(order_type)
}

/// H.264 §E.1.2.
fn skip_hrd(bits: &mut BitReader<'_>) -> Result<(), BitsError> {
    let schedules = bits.ue_at_most(31)? + 1;
    bits.skip(8)?; // bit_rate_scale, cpb_size_scale
    for _ in 0..schedules {
        bits.ue()?; // bit_rate_value_minus1
        bits.ue()?; // cpb_size_value_minus1
        bits.flag()?; // cbr_flag
    }
    bits.skip(20) // the four lengths
}
