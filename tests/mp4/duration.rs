//! How long ffprobe takes a file to be.

use crate::camera::tool;
use std::path::Path;

/// Its duration in microseconds.
pub(crate) fn duration_us(path: &Path) -> i64 {
    let path = path.to_str().unwrap();
    let entry = ["-show_entries", "format=duration", "-of", "csv=p=0"];
    let (out, _) = tool("ffprobe", &[&["-v", "error"][..], &entry, &[path]].concat());
    (out.trim().parse::<f64>().unwrap() * 1e6).round() as i64
}
