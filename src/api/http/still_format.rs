//! In which formats a key frame can be had, and which one a request wants (RFC 9110 §12.5.1).

use crate::media::Codec;
use serde::Deserialize;
use utoipa::ToSchema;

/// A format of a single picture. The first is given to whoever does not care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum StillFormat {
    /// An MP4 with one picture.
    Mp4,
    /// A byte stream (Annex B of both standards) with its parameter sets.
    AnnexB,
    /// JPEG, of H.264 only and where the program was built with it.
    Jpeg,
}

impl StillFormat {
    /// Those there are of pictures in `codec`.
    pub(super) fn of(codec: Codec) -> Vec<Self> {
        let mut formats = vec![Self::Mp4, Self::AnnexB];
        if cfg!(feature = "jpeg") && codec == Codec::H264 {
            formats.push(Self::Jpeg);
        }
        formats
    }

    /// Its name in `format=`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::AnnexB => "annexb",
            Self::Jpeg => "jpeg",
        }
    }

    /// Its media type for pictures in `codec`.
    pub(super) fn media_type(self, codec: Codec) -> &'static str {
        match (self, codec) {
            (Self::Mp4, _) => "video/mp4",
            (Self::AnnexB, Codec::H265) => "video/H265",
            (Self::AnnexB, _) => "video/H264",
            (Self::Jpeg, _) => "image/jpeg",
        }
    }

    /// How its files' names end.
    pub(super) fn extension(self, codec: Codec) -> &'static str {
        match (self, codec) {
            (Self::Mp4, _) => "mp4",
            (Self::AnnexB, Codec::H265) => "265",
            (Self::AnnexB, _) => "264",
            (Self::Jpeg, _) => "jpg",
        }
    }

    /// The one of `codec` that `accept` likes best; `None` when it takes none.
    pub(super) fn accepted(accept: &str, codec: Codec) -> Option<Self> {
        let ranges: Vec<(&str, u32)> = accept.split(',').filter_map(media_range).collect();
        if ranges.is_empty() {
            return Some(Self::Mp4);
        }
        let liking = |format: &Self| {
            let media_type = format.media_type(codec);
            let matching = ranges
                .iter()
                .filter_map(|&(range, quality)| Some((specificity(range, media_type)?, quality)));
            // The most specific range says how much.
            matching.max_by_key(|(specificity, _)| *specificity)
        };
        let mut best: Option<(Self, u32)> = None;
        for format in Self::of(codec) {
            let quality = liking(&format).map_or(0, |(_, quality)| quality);
            if quality > best.map_or(0, |(_, quality)| quality) {
                best = Some((format, quality));
            }
        }
        best.map(|(format, _)| format)
    }
}

/// A media range and its quality in thousandths. Other parameters than `q` are not looked at.
fn media_range(text: &str) -> Option<(&str, u32)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?;
    let quality = parts.find_map(|part| {
        let value = part.strip_prefix("q=").or(part.strip_prefix("Q="))?;
        value.trim().parse::<f32>().ok()
    });
    let quality = quality.filter(|quality| (0.0..=1.0).contains(quality));
    Some((range, (quality.unwrap_or(1.0) * 1000.0) as u32))
}

/// How closely `range` names `media_type`; `None` when it does not.
fn specificity(range: &str, media_type: &str) -> Option<u8> {
    if range == "*/*" {
        return Some(0);
    }
    if range.eq_ignore_ascii_case(media_type) {
        return Some(2);
    }
    let (kind, _) = media_type.split_once('/')?;
    let wanted = range.strip_suffix("/*")?;
    wanted.eq_ignore_ascii_case(kind).then_some(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use StillFormat::{AnnexB, Jpeg, Mp4};

    #[test]
    fn the_format_liked_best_is_given() {
        let jpeg = cfg!(feature = "jpeg");
        let firefox = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5";
        let cases = [
            ("", Some(Mp4)),
            ("*/*", Some(Mp4)),
            ("video/h264", Some(AnnexB)),
            ("video/*;q=0.5, video/H264;q=0.6", Some(AnnexB)),
            ("video/mp4;q=0, */*;q=0.1", Some(AnnexB)),
            ("image/jpeg", jpeg.then_some(Jpeg)),
            (firefox, Some(if jpeg { Jpeg } else { Mp4 })),
            ("text/html", None),
            ("video/mp4;q=0", None),
            ("video/H265", None),
            (", ;q=1, video/mp4;q=nonsense", Some(Mp4)),
        ];
        for (accept, expected) in cases {
            assert_eq!(
                StillFormat::accepted(accept, Codec::H264),
                expected,
                "{accept}"
            );
        }
        assert_eq!(
            StillFormat::accepted("video/h265", Codec::H265),
            Some(AnnexB)
        );
        assert_eq!(StillFormat::accepted("image/jpeg", Codec::H265), None);
    }
}
