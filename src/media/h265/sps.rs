//! The H.265 sequence parameter set: profile, picture size, reordering, colour, timing (H.265 §7.3.2.2.1 and §E.2.1).

use super::reference_sets::{skip_scaling_lists, skip_short_term_sets};
use crate::media::{
    bits::{BitReader, BitsError, unescape},
    picture_format::{Colour, Cropping, FrameTiming, PictureFormat},
};
use std::fmt::Write;

/// The general part of profile_tier_level(), H.265 §7.3.3, as hvcC wants it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileTierLevel {
    /// general_profile_space, 0..=3.
    pub space: u8,
    /// general_tier_flag: high tier.
    pub high_tier: bool,
    /// general_profile_idc: 1 Main, 2 Main 10.
    pub profile: u8,
    /// general_profile_compatibility_flags, the first flag in the most significant bit.
    pub compatibility: u32,
    /// The six bytes from general_progressive_source_flag on.
    pub constraints: [u8; 6],
    /// general_level_idc: thirty times the level.
    pub level: u8,
}

/// A sequence parameter set. Everything that hvcC (ISO 14496-15 §8.3.3.1) and a player's codec string need is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sps {
    /// sps_seq_parameter_set_id, 0..=15.
    pub id: u8,
    /// sps_video_parameter_set_id, 0..=15.
    pub vps_id: u8,
    /// sps_max_sub_layers_minus1 + 1 (numTemporalLayers of hvcC).
    pub temporal_layers: u8,
    /// sps_temporal_id_nesting_flag (temporalIdNested of hvcC).
    pub temporal_nesting: bool,
    /// Profile, tier and level.
    pub profile: ProfileTierLevel,
    /// Picture size, chroma, bit depth, colour, timing.
    pub format: PictureFormat,
    /// sps_max_num_reorder_pics of the highest sub-layer.
    pub reorder_frames: u8,
    /// min_spatial_segmentation_idc where told, otherwise 0 (as hvcC means it).
    pub min_spatial_segmentation: u16,
}

impl Sps {
    /// Reads a whole SPS NAL unit, its two header bytes included.
    pub fn parse(nal: &[u8]) -> Result<Self, BitsError> {
        let bytes = unescape(nal);
        let mut bits = BitReader::new(&bytes);
        bits.skip(16)?;
        let vps_id = bits.bits(4)? as u8;
        let sub_layers = bits.bits(3)? as u8;
        if sub_layers > 6 {
            return Err(BitsError {
                at: bits.position(),
            });
        }
        let temporal_nesting = bits.flag()?;
        let profile = ProfileTierLevel::read(&mut bits, sub_layers)?;
        let id = bits.ue_at_most(15)? as u8;
        let format = read_format(&mut bits)?;
        let log2_picture_order = 4 + bits.ue_at_most(12)?;
        let each_layer = bits.flag()?;
        let mut reorder_frames = 0;
        for _ in if each_layer { 0 } else { sub_layers }..=sub_layers {
            bits.ue_at_most(15)?; // sps_max_dec_pic_buffering_minus1
            reorder_frames = bits.ue_at_most(15)? as u8;
            bits.ue()?; // sps_max_latency_increase_plus1
        }
        let mut sps = Self {
            id,
            vps_id,
            temporal_layers: sub_layers + 1,
            temporal_nesting,
            profile,
            format,
            reorder_frames,
            min_spatial_segmentation: 0,
        };
        // Size and reordering are known; what follows is welcome but not needed, and not every camera writes it well.
        let _ = sps.read_tail(&mut bits, log2_picture_order);
        Ok(sps)
    }

    /// The codec string of ISO 14496-15 §E.3, such as `hvc1.1.6.L93.B0`.
    pub fn codec_string(&self) -> String {
        let profile = &self.profile;
        let space = ["", "A", "B", "C"][usize::from(profile.space & 3)];
        let tier = if profile.high_tier { 'H' } else { 'L' };
        let mut text = format!(
            "hvc1.{space}{}.{:X}.{tier}{}",
            profile.profile,
            profile.compatibility.reverse_bits(),
            profile.level
        );
        let used = profile
            .constraints
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        for byte in &profile.constraints[..used] {
            write!(text, ".{byte:X}").expect("writing to a string cannot fail");
        }
        text
    }

    fn read_tail(
        &mut self,
        bits: &mut BitReader<'_>,
        log2_picture_order: u32,
    ) -> Result<(), BitsError> {
        for _ in 0..6 {
            bits.ue()?; // block and transform sizes, hierarchy depths
        }
        if bits.flag()? && bits.flag()? {
            skip_scaling_lists(bits)?;
        }
        bits.skip(2)?; // amp_enabled_flag, sample_adaptive_offset_enabled_flag
        if bits.flag()? {
            bits.skip(8)?; // pcm sample bit depths
            bits.ue()?;
            bits.ue()?;
            bits.flag()?; // pcm_loop_filter_disabled_flag
        }
        skip_short_term_sets(bits)?;
        if bits.flag()? {
            for _ in 0..bits.ue_at_most(32)? {
                bits.skip(log2_picture_order as usize + 1)?;
            }
        }
        bits.skip(2)?; // sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
        if bits.flag()? {
            self.read_vui(bits)?;
        }
        Ok(())
    }

    fn read_vui(&mut self, bits: &mut BitReader<'_>) -> Result<(), BitsError> {
        self.format.read_aspect_ratio(bits)?;
        if bits.flag()? {
            bits.flag()?; // overscan_appropriate_flag
        }
        if bits.flag()? {
            self.format.colour = Colour::read(bits)?;
        }
        if bits.flag()? {
            bits.ue()?; // chroma_sample_loc_type_top_field
            bits.ue()?; // chroma_sample_loc_type_bottom_field
        }
        bits.skip(3)?; // neutral_chroma_indication_flag, field_seq_flag, frame_field_info_present_flag
        if bits.flag()? {
            Cropping::read(bits)?; // default display window: a hint, not a crop
        }
        if bits.flag()? {
            self.format.timing = FrameTiming::read(bits)?;
            if bits.flag()? {
                bits.ue()?; // vui_num_ticks_poc_diff_one_minus1
            }
            if bits.flag()? {
                skip_hrd(bits, self.temporal_layers)?;
            }
        }
        if bits.flag()? {
            bits.skip(3)?; // tiles_fixed_structure_flag .. restricted_ref_pic_lists_flag
            self.min_spatial_segmentation = bits.ue_at_most(4095)? as u16;
        }
        Ok(())
    }
}

impl ProfileTierLevel {
    fn read(bits: &mut BitReader<'_>, sub_layers: u8) -> Result<Self, BitsError> {
        let mut this = Self {
            space: bits.bits(2)? as u8,
            high_tier: bits.flag()?,
            profile: bits.bits(5)? as u8,
            compatibility: bits.bits(32)?,
            ..Self::default()
        };
        for byte in &mut this.constraints {
            *byte = bits.bits(8)? as u8;
        }
        this.level = bits.bits(8)? as u8;
        let mut skipped = 0;
        for _ in 0..sub_layers {
            skipped += if bits.flag()? { 88 } else { 0 };
            skipped += if bits.flag()? { 8 } else { 0 };
        }
        if sub_layers > 0 {
            bits.skip(2 * usize::from(8 - sub_layers))?;
        }
        bits.skip(skipped)?;
        Ok(this)
    }
}

/// From chroma_format_idc to the bit depths.
fn read_format(bits: &mut BitReader<'_>) -> Result<PictureFormat, BitsError> {
    let mut format = PictureFormat {
        chroma: bits.ue_at_most(3)? as u8,
        ..PictureFormat::default()
    };
    if format.chroma == 3 {
        bits.flag()?; // separate_colour_plane_flag
    }
    let width = bits.ue()?;
    let height = bits.ue()?;
    format.set_size(width, height);
    let cropping = if bits.flag()? {
        Cropping::read(bits)?
    } else {
        Cropping::default()
    };
    let (unit_width, unit_height) = format.chroma_unit();
    format.crop(cropping, unit_width, unit_height, bits.position())?;
    format.bit_depth_luma = 8 + bits.ue_at_most(8)? as u8;
    format.bit_depth_chroma = 8 + bits.ue_at_most(8)? as u8;
    Ok(format)
}

/// hrd_parameters(1, sub_layers), H.265 §E.2.2.
fn skip_hrd(bits: &mut BitReader<'_>, temporal_layers: u8) -> Result<(), BitsError> {
    let nal = bits.flag()?;
    let vcl = bits.flag()?;
    let mut sub_pictures = false;
    if nal || vcl {
        sub_pictures = bits.flag()?;
        if sub_pictures {
            bits.skip(19)?; // tick divisor and sub-picture lengths
        }
        bits.skip(8)?; // bit_rate_scale, cpb_size_scale
        if sub_pictures {
            bits.skip(4)?; // cpb_size_du_scale
        }
        bits.skip(15)?; // three lengths
    }
    for _ in 0..temporal_layers {
        let fixed_general = bits.flag()?;
        let fixed = fixed_general || bits.flag()?;
        let mut low_delay = false;
        if fixed {
            bits.ue()?; // elemental_duration_in_tc_minus1
        } else {
            low_delay = bits.flag()?;
        }
        let schedules = if low_delay {
            1
        } else {
            1 + bits.ue_at_most(31)?
        };
        for _ in 0..schedules * (u32::from(nal) + u32::from(vcl)) {
            bits.ue()?;
            bits.ue()?;
            if sub_pictures {
                bits.ue()?;
                bits.ue()?;
            }
            bits.flag()?; // cbr_flag
        }
    }
    Ok(())
}
