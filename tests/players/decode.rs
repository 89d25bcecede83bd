//! What ffmpeg decodes: time and MD5 of each picture.

use std::{path::Path, process::Command};

/// A picture: when it is shown, in microseconds, and the MD5 of its samples.
pub(crate) type Picture = (i64, String);

/// Runs a program that is to be silent and to succeed; gives what it prints.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; tools/test installs it"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    // Entering an open group of pictures, some of the pictures that are to be forgotten were never there.
    let harmless =
        |line: &&str| line.contains("mmco: unref short") || line.contains("Last message");
    let complaints: Vec<&str> = errors.lines().filter(|line| !harmless(line)).collect();
    assert!(
        complaints.is_empty(),
        "{program} {arguments:?}: {complaints:?}"
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The pictures of several files or addresses, decoded by one process.
pub(crate) fn decode(inputs: &[String]) -> Vec<Vec<Picture>> {
    decode_first(inputs, None)
}

/// The same, of the first `count` pictures of each.
pub(crate) fn decode_first(inputs: &[String], count: Option<u32>) -> Vec<Vec<Picture>> {
    let folder = tempfile::tempdir().expect("a folder");
    let name = |number: usize| folder.path().join(number.to_string());
    let mut arguments = vec!["-v".to_owned(), "error".to_owned(), "-copyts".to_owned()];
    for input in inputs {
        arguments.extend(["-i".to_owned(), input.clone()]);
    }
    let limit = count.map(|count| ["-frames:v".to_owned(), count.to_string()]);
    for number in 0..inputs.len() {
        let map = format!("{number}:v:0");
        let options = ["-map", &map, "-fps_mode", "passthrough"];
        arguments.extend(options.map(str::to_owned));
        arguments.extend(limit.clone().into_iter().flatten());
        let options = ["-enc_time_base", "1:1000000", "-f", "framemd5"];
        arguments.extend(options.map(str::to_owned));
        arguments.push(name(number).display().to_string());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run("ffmpeg", &arguments);
    (0..inputs.len())
        .map(|number| read(&name(number)))
        .collect()
}

fn read(list: &Path) -> Vec<Picture> {
    let text = std::fs::read_to_string(list).expect("a list of pictures");
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        (fields[2].parse().expect("a time"), fields[5].to_owned())
    })
    .collect()
}

/// The MD5s alone.
pub(crate) fn md5s(pictures: &[Picture]) -> Vec<&str> {
    pictures.iter().map(|(_, md5)| md5.as_str()).collect()
}

/// Asserts that `shown` is a piece of the endless repetition of `source`, in which no picture comes twice.
pub(crate) fn assert_repeats(shown: &[Picture], source: &[String], what: &str) {
    assert!(!shown.is_empty(), "{what}: nothing is shown");
    let start = source.iter().position(|md5| *md5 == shown[0].1);
    let start = start.unwrap_or_else(|| panic!("{what}: the first picture is none of the source"));
    for (index, (_, md5)) in shown.iter().enumerate() {
        let expected = &source[(start + index) % source.len()];
        assert_eq!(md5, expected, "{what}: picture {index} of {}", shown.len());
    }
}
