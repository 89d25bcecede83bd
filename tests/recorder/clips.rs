//! The simulator's clips as files, for programs that decode them.

/// Pictures per second of the clip, and its file.
pub(crate) fn clip(name: &str) -> (u32, String) {
    let known = camsim::clip::CLIPS.iter().find(|clip| clip.name == name);
    let ending = match &name[..4] {
        "h265" => "265",
        _ => "264",
    };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/camsim/clips");
    (
        known.expect("a clip").rate,
        format!("{folder}/{name}.{ending}"),
    )
}
