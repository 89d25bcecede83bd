//! How the films of GStreamer's cameras are encoded: H.264 and H.265, each without and with B-frames; all in closed groups of a second.

/// Names (those of the simulator's clips that are alike), and what ffmpeg is told. A name begins with its codec.
pub(crate) const ENCODINGS: [(&str, &[&str]); 4] = [
    ("h264", &h264("bframes=0:open-gop=0:scenecut=0")),
    ("h264b", &h264("bframes=2:open-gop=0:scenecut=0")),
    (
        "h265",
        &h265("log-level=none:bframes=0:open-gop=0:scenecut=0"),
    ),
    (
        "h265b",
        &h265("log-level=none:bframes=3:open-gop=0:scenecut=0"),
    ),
];

const fn h264(parameters: &str) -> [&str; 6] {
    ["-c:v", "libx264", "-g", "25", "-x264-params", parameters]
}

const fn h265(parameters: &str) -> [&str; 8] {
    [
        "-c:v",
        "libx265",
        "-g",
        "25",
        "-tag:v",
        "hvc1",
        "-x265-params",
        parameters,
    ]
}

/// What ffmpeg is told for `name`.
pub(crate) fn encoding(name: &str) -> &'static [&'static str] {
    let known = ENCODINGS.iter().find(|(known, _)| *known == name);
    known.expect("one of the four").1
}
