//! Property: no bytes make the readers of parameter sets, slices or SEI panic; a set that was taken gives a believable size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nvring::media::{Codec, ParameterSets, SetKind, h264, h265, picture_format::PICTURE_SIDE_MAX};

// Input: codec, then NAL units behind one byte of length.
fuzz_target!(|data: &[u8]| {
    let Some((&first, mut rest)) = data.split_first() else {
        return;
    };
    let codec = if first & 1 == 0 { Codec::H264 } else { Codec::H265 };
    let mut sets = ParameterSets::new(codec);
    while let [length, after @ ..] = rest {
        let (nal, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        let taken = sets.insert(nal);
        if taken.is_ok() {
            assert_eq!(sets.insert(nal), Ok(false), "the same set again is no change");
        }
        let _ = h264::SliceHeader::peek(nal, |pps| sets.h264_sps_of(pps));
        let _ = h264::recovery_frame_count(nal);
        let _ = h265::SliceHeader::peek(nal);
    }
    if let Some(video) = sets.video_parameters(None) {
        assert!(video.width > 0 && u32::from(video.width) <= PICTURE_SIDE_MAX);
        assert!(video.height > 0 && u32::from(video.height) <= PICTURE_SIDE_MAX);
        let again = ParameterSets::of(codec, &video);
        assert_eq!(again.video_parameters(None).as_ref(), Some(&video));
    }
    let _ = (sets.codec_string(), sets.reorder_frames_max());
    let _ = sets.nals(SetKind::Sps).count();
});
