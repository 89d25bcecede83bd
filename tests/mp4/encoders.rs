//! How the clips of these tests are encoded.

use nvring::media::Codec;

/// With and without pictures that are sent in another order than shown, inside groups of pictures and across them.
pub(crate) const ENCODERS: [(Codec, &[&str]); 5] = [
    (Codec::H264, X264_SIMPLE),
    (Codec::H264, X264_PYRAMID),
    (Codec::H264, X264_OPEN),
    (Codec::H265, X265_CLOSED),
    (Codec::H265, X265_OPEN),
];
pub(crate) const X264_SIMPLE: &[&str] = &["-bf", "0", "-g", "50", "-preset", "ultrafast"];
pub(crate) const X264_PYRAMID: &[&str] = &[
    "-bf",
    "3",
    "-g",
    "50",
    "-x264-params",
    "b-pyramid=normal:bframes=3:b-adapt=0:scenecut=0",
];
const X264_OPEN: &[&str] = &[
    "-bf",
    "2",
    "-g",
    "50",
    "-x264-params",
    "open-gop=1:bframes=2:b-adapt=0:scenecut=0",
];
const X265_CLOSED: &[&str] = &[
    "-preset",
    "ultrafast",
    "-x265-params",
    "log-level=error:keyint=50:min-keyint=50:bframes=3:b-adapt=0:open-gop=0:scenecut=0",
];
const X265_OPEN: &[&str] = &[
    "-preset",
    "ultrafast",
    "-x265-params",
    "log-level=error:keyint=50:min-keyint=50:bframes=3:b-adapt=0:open-gop=1:scenecut=0",
];
