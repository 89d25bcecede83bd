//! The parameters of an SDP `a=fmtp` line: `name=value; name=value`, as cameras write them.

use super::{Codec, annex_b, parameter_sets::ParameterSets};
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Cameras pad base64 or leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The value of the parameter `name` (in any case), without quotes. A leading payload type, as in the whole attribute, is no harm.
pub fn value<'f>(fmtp: &'f str, name: &str) -> Option<&'f str> {
    fmtp.split(';').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        let key = key.split_whitespace().next_back()?;
        key.eq_ignore_ascii_case(name)
            .then(|| value.trim().trim_matches('"'))
    })
}

/// The parameter sets of `sprop-parameter-sets` (RFC 6184 §8.1) or `sprop-vps`, `sprop-sps`, `sprop-pps` (RFC 7798 §7.1). Sets that
/// cannot be read are left out: cameras repeat them in band, and some describe sets they never send.
///
/// # Panics
/// When `codec` is not a video codec.
pub fn parameter_sets(codec: Codec, fmtp: &str) -> ParameterSets {
    let mut sets = ParameterSets::new(codec);
    let names: &[&str] = match codec {
        Codec::H264 => &["sprop-parameter-sets"],
        _ => &["sprop-vps", "sprop-sps", "sprop-pps"],
    };
    for text in names.iter().filter_map(|name| value(fmtp, name)) {
        for set in text.split(',').map(str::trim).filter(|set| !set.is_empty()) {
            for nal in annex_b::nals(BASE64.decode(set).unwrap_or_default().into()) {
                // See above: what cannot be read is left out.
                let _ = sets.insert(&nal);
            }
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::parameter_sets::SetKind;

    /// The line of the example in RFC 6184 §8.2.1 in form; the sets are those of libx264 for 640x360.
    #[test]
    fn camera_lines_are_read() {
        let line = "96 packetization-mode=1;Profile-Level-ID=64001E; sprop-parameter-sets=\"Z2QAHqzZQKAv+XARAAADAAEAAAMAMg8WLZY=,aOvjyyLA\"";
        assert_eq!(value(line, "packetization-mode"), Some("1"));
        assert_eq!(value(line, "profile-level-id"), Some("64001E"));
        assert_eq!(value(line, "mode"), None);
        let sets = parameter_sets(Codec::H264, line);
        assert_eq!(sets.nals(SetKind::Sps).count(), 1);
        assert_eq!(sets.nals(SetKind::Pps).count(), 1);
        let video = sets.video_parameters(None).unwrap();
        assert_eq!((video.width, video.height), (640, 360));
        // A start code at the end of a set, and both sets in one: base64 of the same bytes with 00 00 00 01 between.
        let glued = "sprop-parameter-sets=Z2QAHqzZQKAv+XARAAADAAEAAAMAMg8WLZYAAAABaOvjyyLAAAAAAQ==";
        let glued = parameter_sets(Codec::H264, glued);
        assert_eq!(glued.video_parameters(None), Some(video));
        let broken = parameter_sets(Codec::H264, "sprop-parameter-sets=%%,Z2Q=,,aA");
        assert_eq!(broken.video_parameters(None), None);
    }
}
