//! Films made by ffmpeg, GStreamer's RTSP server that sends them, and the pictures that ffmpeg sees in a file: sender and judge share no
//! code with ours.

use nvring::base::Micros;
use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A sender that ends with the test.
pub(crate) struct Camera(Child);

impl Drop for Camera {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; install it"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
    assert_eq!(errors, "", "{program} {args:?} is silent");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Four seconds of moving picture with AAC, every picture different from all others.
pub(crate) fn film(path: &Path, video: &[&str]) -> PathBuf {
    film_with_sound(path, video, &["-c:a", "aac"])
}

/// The same with the sound that ffmpeg makes of `sound`.
pub(crate) fn film_with_sound(path: &Path, video: &[&str], sound: &[&str]) -> PathBuf {
    let mut args = vec![
        "-v",
        "error",
        "-y",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=640x360:rate=25",
    ];
    args.extend([
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:sample_rate=48000",
        "-t",
        "4",
        "-pix_fmt",
        "yuv420p",
    ]);
    args.extend(video);
    args.extend(sound);
    args.push(path.to_str().expect("a path in UTF-8"));
    run("ffmpeg", &args);
    path.to_owned()
}

/// The MD5 of each decoded picture that is shown in the first `shown_for` of the file.
pub(crate) fn pictures(file: &Path, shown_for: Option<Micros>) -> Vec<String> {
    let file = file.to_str().expect("a path in UTF-8");
    // A file also holds pictures shown after its end where those before it need them; ffmpeg would show them.
    let seconds = shown_for.map_or(1e6, Micros::as_secs_f64).to_string();
    let text = run(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-i",
            file,
            "-t",
            &seconds,
            "-map",
            "0:v:0",
            "-fps_mode",
            "passthrough",
            "-f",
            "framemd5",
            "-",
        ],
    );
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|line| Some(line.rsplit(',').next()?.trim().to_owned()))
        .collect()
}

/// Asserts that `shown` is a piece of the endless repetition of `source`.
pub(crate) fn assert_repeats(shown: &[String], source: &[String], what: &str) {
    assert!(!shown.is_empty(), "{what}: nothing is shown");
    let start = source.iter().position(|picture| *picture == shown[0]);
    let start = start.unwrap_or_else(|| panic!("{what}: the first picture is none of the source"));
    for (index, picture) in shown.iter().enumerate() {
        assert_eq!(
            *picture,
            source[(start + index) % source.len()],
            "{what}: picture {index} of {}",
            shown.len()
        );
    }
}

pub(crate) fn gstreamer(mounts: &[(&str, &Path)], options: &[&str]) -> (Camera, u16) {
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/gst-camera.py");
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).arg(port.to_string()).args(options);
    for (name, path) in mounts {
        command.arg(format!("{name}={}", path.display()));
    }
    let child = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("/usr/bin/python3 runs: install python3");
    let mut camera = Camera(child);
    let lines = BufReader::new(camera.0.stdout.take().expect("its output")).lines();
    let ready = lines
        .map_while(Result::ok)
        .any(|line| line.contains("ready"));
    assert!(
        ready,
        "the GStreamer camera did not start: see its message about missing packages"
    );
    (camera, port)
}
