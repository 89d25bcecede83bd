//! What both video standards say of a picture, in one value: size, chroma, bit depth, sample shape, colour, timing.
//!
//! H.264 and H.265 write these fields with the same codes (H.264 §E.1.1, H.265 §E.2.1), so that they are read here once.

use super::bits::{BitReader, BitsError};

/// Greatest width or height in pixels that is believed: twice that of level 6.2 of both standards.
pub const PICTURE_SIDE_MAX: u32 = 16_888;

/// How pictures look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureFormat {
    /// Width as coded, in pixels: whole blocks.
    pub coded_width: u32,
    /// Height as coded, in pixels: whole blocks.
    pub coded_height: u32,
    /// Width as shown, in pixels.
    pub width: u16,
    /// Height as shown, in pixels.
    pub height: u16,
    /// chroma_format_idc: 0 none, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma: u8,
    /// Bits per luma sample.
    pub bit_depth_luma: u8,
    /// Bits per chroma sample.
    pub bit_depth_chroma: u8,
    /// Width and height of a sample, where told.
    pub sample_aspect: Option<(u16, u16)>,
    /// Colour, where told.
    pub colour: Option<Colour>,
    /// How long a frame lasts, where told.
    pub timing: Option<FrameTiming>,
}

impl Default for PictureFormat {
    /// 8-bit 4:2:0 of no size: what is meant where a standard leaves fields out.
    fn default() -> Self {
        Self {
            coded_width: 0,
            coded_height: 0,
            width: 0,
            height: 0,
            chroma: 1,
            bit_depth_luma: 8,
            bit_depth_chroma: 8,
            sample_aspect: None,
            colour: None,
            timing: None,
        }
    }
}

/// Colour by the code points of ITU-T H.273.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    /// colour_primaries; 2 is unknown.
    pub primaries: u8,
    /// transfer_characteristics; 2 is unknown.
    pub transfer: u8,
    /// matrix_coefficients; 2 is unknown.
    pub matrix: u8,
    /// Samples use the full range.
    pub full_range: bool,
}

/// A frame lasts `ticks / rate` seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTiming {
    /// Ticks per frame.
    pub ticks: u64,
    /// Ticks per second.
    pub rate: u32,
}

/// Cropping offsets in cropping units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cropping {
    left: u32,
    right: u32,
    top: u32,
    bottom: u32,
}

impl Cropping {
    pub(super) fn read(bits: &mut BitReader<'_>) -> Result<Self, BitsError> {
        Ok(Self {
            left: bits.ue_at_most(PICTURE_SIDE_MAX)?,
            right: bits.ue_at_most(PICTURE_SIDE_MAX)?,
            top: bits.ue_at_most(PICTURE_SIDE_MAX)?,
            bottom: bits.ue_at_most(PICTURE_SIDE_MAX)?,
        })
    }
}

impl Colour {
    /// From video_format on; `None` where only the type of signal is told and it says nothing.
    pub(super) fn read(bits: &mut BitReader<'_>) -> Result<Option<Self>, BitsError> {
        bits.skip(3)?; // video_format
        let full_range = bits.flag()?;
        let mut colour = Self {
            primaries: 2,
            transfer: 2,
            matrix: 2,
            full_range,
        };
        if bits.flag()? {
            colour.primaries = bits.bits(8)? as u8;
            colour.transfer = bits.bits(8)? as u8;
            colour.matrix = bits.bits(8)? as u8;
        }
        Ok(Some(colour))
    }
}

impl FrameTiming {
    /// num_units_in_tick and time_scale; `None` when either is zero, which cameras write.
    pub(super) fn read(bits: &mut BitReader<'_>) -> Result<Option<Self>, BitsError> {
        let ticks = u64::from(bits.bits(32)?);
        let rate = bits.bits(32)?;
        Ok((ticks > 0 && rate > 0).then_some(Self { ticks, rate }))
    }

    pub(super) fn doubled(self) -> Self {
        Self {
            ticks: self.ticks * 2,
            ..self
        }
    }
}

impl PictureFormat {
    pub(super) fn set_size(&mut self, width: u32, height: u32) {
        self.coded_width = width;
        self.coded_height = height;
    }

    /// Width and height in luma samples of one chroma sample (SubWidthC, SubHeightC); 1 without chroma and for 4:4:4.
    pub(super) fn chroma_unit(&self) -> (u32, u32) {
        match self.chroma {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        }
    }

    /// Sets the shown size; an error when nothing is left or the size is not believable. `at` is where in the parameter set.
    pub(super) fn crop(
        &mut self,
        cropping: Cropping,
        unit_width: u32,
        unit_height: u32,
        at: usize,
    ) -> Result<(), BitsError> {
        let side = |coded: u32, cut: u32| {
            if coded > PICTURE_SIDE_MAX {
                return Err(BitsError { at });
            }
            match coded.checked_sub(cut) {
                Some(shown) if shown > 0 => Ok(shown as u16),
                _ => Err(BitsError { at }),
            }
        };
        self.width = side(
            self.coded_width,
            (cropping.left + cropping.right) * unit_width,
        )?;
        self.height = side(
            self.coded_height,
            (cropping.top + cropping.bottom) * unit_height,
        )?;
        Ok(())
    }

    /// aspect_ratio_info_present_flag and what follows (Table E-1 of both standards).
    pub(super) fn read_aspect_ratio(&mut self, bits: &mut BitReader<'_>) -> Result<(), BitsError> {
        const RATIOS: [(u16, u16); 16] = [
            (1, 1),
            (12, 11),
            (10, 11),
            (16, 11),
            (40, 33),
            (24, 11),
            (20, 11),
            (32, 11),
            (80, 33),
            (18, 11),
            (15, 11),
            (64, 33),
            (160, 99),
            (4, 3),
            (3, 2),
            (2, 1),
        ];
        if !bits.flag()? {
            return Ok(());
        }
        self.sample_aspect = match bits.bits(8)? as usize {
            255 => {
                let ratio = (bits.bits(16)? as u16, bits.bits(16)? as u16);
                (ratio.0 > 0 && ratio.1 > 0).then_some(ratio)
            }
            0 => None,
            index => RATIOS.get(index - 1).copied(),
        };
        Ok(())
    }

    /// Frames per second, where told.
    pub fn frame_rate(&self) -> Option<f64> {
        self.timing
            .map(|timing| f64::from(timing.rate) / timing.ticks as f64)
    }
}
