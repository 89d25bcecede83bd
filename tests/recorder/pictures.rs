//! Goal: what comes out is what went in, picture by picture, with senders that share no code with ours. Method: GStreamer's
//! RTSP server plays clips made by ffmpeg, the recorder records and exports them, and ffmpeg decodes both: every picture's MD5
//! must be the source's.

use crate::{
    encodings::{ENCODINGS, encoding},
    films::{assert_repeats, film, gstreamer, pictures, run},
    harness::{NVRING, Site, alone},
};
use nvring::{
    base::{Micros, TimeRange},
    media::FrameKind,
    store::recordings::Recordings,
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

const PICTURES_PER_SECOND: usize = 25;
/// Pictures from one key frame to the next.
const GROUP: usize = 25;

/// Records `urls` as cam0, cam1, … for `seconds` after all of them record.
fn record(site: &Site, urls: &[String], seconds: u64) {
    site.enrol(urls);
    let (recorder, _) = site.start();
    recorder.wait_recording(urls.len());
    std::thread::sleep(Duration::from_secs(seconds));
    recorder.stop();
}

/// Exports and gives the file.
pub(crate) fn export(site: &Site, camera: &str, range: Option<TimeRange>) -> PathBuf {
    let file = site.path(&format!(
        "{camera}-{}.mp4",
        range.map_or(0, |range| range.start.0)
    ));
    let (from, to) = range.map_or(
        (
            "2020-01-01T00:00:00Z".to_owned(),
            "2100-01-01T00:00:00Z".to_owned(),
        ),
        |range| (range.start.to_string(), range.end.to_string()),
    );
    let output = file.to_str().expect("a path in UTF-8");
    let config = site.path("nvring.toml");
    let config = config.to_str().expect("a path in UTF-8");
    run(
        NVRING,
        &[
            "--config", config, "export", camera, "--from", &from, "--to", &to, "-o", output,
        ],
    );
    run("ffprobe", &["-v", "warning", output]);
    file
}

/// H.264 and H.265, with and without B-frames, with AAC, from GStreamer: ffprobe has no complaint and every picture is the source's.
#[test]
fn pictures_recorded_from_gstreamer_are_those_of_the_source() {
    let _alone = alone();
    let site = Site::new(16, 4 << 20);
    let films =
        ENCODINGS.map(|(name, options)| film(&site.path(name).with_extension("mp4"), options));
    let mounts: Vec<(&str, &Path)> = ENCODINGS
        .into_iter()
        .map(|(name, _)| name)
        .zip(films.iter().map(PathBuf::as_path))
        .collect();
    let (_camera, port) = gstreamer(&mounts, &[]);
    let urls: Vec<String> = mounts
        .iter()
        .map(|(name, _)| format!("rtsp://127.0.0.1:{port}/{name}"))
        .collect();
    record(&site, &urls, 10);
    for (number, film) in films.iter().enumerate() {
        let name = format!("cam{number} ({})", film.display());
        let range = all_but_the_last_second(&site.recordings(), &format!("cam{number}"));
        let file = export(&site, &format!("cam{number}"), Some(range));
        let shown = pictures(&file, Some(range.duration()));
        assert!(
            shown.len() > 8 * PICTURES_PER_SECOND,
            "{name}: {} pictures",
            shown.len()
        );
        assert_repeats(&shown, &pictures(film, None), &name);
    }
}

/// What is recorded of a camera but the last second: where recording stops between pictures that are sent out of order, some of them
/// never came.
fn all_but_the_last_second(recordings: &Recordings, camera: &str) -> TimeRange {
    let mut streams = recordings.streams().into_iter();
    let stream = streams.find(|stream| stream.name.camera == camera);
    let bounds = recordings.bounds(stream.expect("it is recorded").stream);
    let (start, end) = bounds.expect("recordings");
    TimeRange {
        start,
        end: end - Micros::from_secs(1),
    }
}

/// With 1 % of the packets lost, every group of pictures that is not marked damaged decodes to the source's pictures.
#[test]
fn groups_without_loss_are_whole_though_one_packet_in_a_hundred_is_lost() {
    let _alone = alone();
    let site = Site::new(16, 4 << 20);
    let film = film(&site.path("film.mp4"), encoding("h264"));
    let (_camera, port) = gstreamer(&[("lossy", &film)], &["--drop", "0.01"]);
    record(&site, &[format!("rtsp://127.0.0.1:{port}/lossy")], 20);
    let (whole, damaged) = whole_groups(&site.recordings());
    println!(
        "{} whole groups of pictures, {damaged} with losses",
        whole.len()
    );
    assert!(damaged > 0, "packets were lost");
    assert!(whole.len() > 2, "not everything is damaged");
    let source = pictures(&film, None);
    for range in whole {
        let shown = pictures(&export(&site, "cam0", Some(range)), Some(range.duration()));
        assert_eq!(shown.len(), GROUP, "{range:?}");
        assert_repeats(&shown, &source, &format!("the group from {}", range.start));
    }
}

/// The time ranges of groups of pictures without a loss, and how many have one.
fn whole_groups(recordings: &Recordings) -> (Vec<TimeRange>, usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let streams = recordings.streams();
    let pieces = runtime
        .block_on(recordings.blocks(streams[0].stream, TimeRange::ALL))
        .expect("the chapters are read");
    let rows = pieces
        .iter()
        .flat_map(|piece| &piece.blocks)
        .flat_map(|block| block.frames());
    let video: Vec<_> = rows.filter(|frame| frame.track.0 == 0).collect();
    let keys: Vec<usize> = (0..video.len())
        .filter(|index| video[*index].kind == FrameKind::Key)
        .collect();
    let (mut whole, mut damaged) = (Vec::new(), 0);
    for pair in keys.windows(2) {
        let group = &video[pair[0]..pair[1]];
        let intact =
            group.len() == GROUP && group.iter().all(|frame| frame.kind != FrameKind::Damaged);
        if intact {
            whole.push(TimeRange {
                start: group[0].time,
                end: video[pair[1]].time,
            });
        } else {
            damaged += 1;
        }
    }
    (whole, damaged)
}

/// A camera that uses several SPS and PPS in turn: the export decodes to the same pictures as the camera's own stream.
#[test]
fn several_parameter_sets_export_to_the_pictures_ffmpeg_gets() {
    let _alone = alone();
    let site = Site::new(16, 4 << 20);
    let options = camsim::Options {
        clips: vec!["multi".into()],
        ..camsim::Options::new(1)
    };
    let cameras = camsim::Server::start(options).expect("the camera starts");
    record(&site, &cameras.urls(), 10);
    let shown = pictures(&export(&site, "cam0", None), None);
    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/camsim/clips/multi.264");
    assert!(shown.len() > 50, "{} pictures", shown.len());
    assert_repeats(
        &shown,
        &pictures(Path::new(clip), None),
        "several parameter sets",
    );
}
