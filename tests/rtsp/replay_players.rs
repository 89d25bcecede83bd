//! Goal: players show a part of the past picture by picture, whatever they know of replay. Method: films that GStreamer's server sent are
//! recorded, then ffmpeg, mpv and GStreamer play a part named by `?start=&end=` over TCP, UDP and TLS, GStreamer also as an ONVIF client,
//! and retina: the MD5 of every decoded picture must be the source's, and none may be missing.

use crate::{
    archive::{CLIPS, archive, film as stored, played},
    encodings::encoding,
    films::{assert_repeats, film, gstreamer, pictures},
    harness::Site,
    rig::{Rig, wait_until},
    shown::{ALL, DECODER_HOLDS, ffmpeg, gst, mpv},
    sign_in::certificate,
};
use futures_util::StreamExt;
use nvring::base::{Micros, UnixMicros};
use std::path::Path;

/// Frames of both cameras: about six seconds.
const FRAMES: u64 = 900;
/// How long the part is.
const PART: Micros = Micros::from_secs(3);
/// Pictures of a group, and some.
const GROUP: usize = 30;

/// A film, its pictures, and the part that is played.
struct Source {
    camera: &'static str,
    codec: &'static str,
    pictures: Vec<String>,
    /// The address of the part, also with TLS, and of all.
    part: String,
    secure: String,
    all: String,
    /// How many pictures there are in the part, and how many are looked at of all: more may be to come, so it does not end.
    count: usize,
    most: usize,
    /// How many of the part are shown before its end: one behind it may be needed for them.
    before_end: usize,
}

/// Records the films, and serves what was recorded.
fn record(folder: &Path) -> (Rig, Vec<Source>) {
    let films = [
        (
            "cam0",
            "h264",
            film(&folder.join("h264.mp4"), encoding("h264b")),
        ),
        (
            "cam1",
            "h265",
            film(&folder.join("h265.mp4"), encoding("h265b")),
        ),
    ];
    let mounts: Vec<(&str, &Path)> = films
        .iter()
        .map(|(camera, _, film)| (*camera, &**film))
        .collect();
    let (camera, port) = gstreamer(&mounts, &[]);
    let urls: Vec<String> = mounts
        .iter()
        .map(|(name, _)| format!("rtsp://127.0.0.1:{port}/{name}"))
        .collect();
    let site = Site::new(8, 4 << 20);
    site.enrol(&urls);
    let (recorder, _) = site.start();
    recorder.wait_recording(urls.len());
    let frames = || recorder.metric("nvring_stream_frames_total");
    wait_until("the films are recorded", || frames() >= FRAMES as f64);
    drop(camera);
    wait_until("the cameras are lost", || {
        recorder.metric("nvring_stream_recording") == 0.0
    });
    recorder.stop();
    let recordings = site.recordings();
    let shots = films
        .each_ref()
        .map(|(camera, ..)| stored(&recordings, camera).concat());
    drop(recordings);
    let tls = certificate(&site);
    let rig = Rig::start_at(site, &[], &tls);
    let secure = rig.rtsps.expect("it listens with TLS");
    let sources = films
        .iter()
        .zip(shots)
        .map(|((camera, codec, film), shots)| {
            // In the middle of a group of pictures.
            let start = shots[30].time + Micros(7);
            let end = start + PART;
            let part = played(&shots, start, end);
            Source {
                camera,
                codec,
                pictures: pictures(film, None),
                part: format!("{}?start={start}&end={end}", rig.url(camera)),
                secure: format!("rtsps://{secure}/{camera}?start={start}&end={end}"),
                all: rig.url(camera),
                count: part.len(),
                before_end: part.iter().filter(|shot| shot.time < end).count(),
                most: played(&shots, UnixMicros::MIN, UnixMicros::MAX).len() - 2 * DECODER_HOLDS,
            }
        });
    let sources = sources.collect();
    (rig, sources)
}

/// A player's name, what it plays, how many pictures that are, and how it is run.
type Run<'a> = (
    String,
    &'a Source,
    usize,
    Box<dyn FnOnce() -> Vec<String> + Send + 'a>,
);

/// A player's name, what it played, how many pictures that were, and what it showed.
type Shown<'a> = (String, &'a Source, usize, Vec<String>);

fn players<'a>(rig: &'a Rig, sources: &'a [Source]) -> Vec<Shown<'a>> {
    let mut all: Vec<Run<'_>> = Vec::new();
    for source in sources {
        let file = |kind: &str| rig.site.path(&format!("{}-{kind}", source.camera));
        for transport in ["tcp", "udp"] {
            let what = |player: &str| format!("{} by {player} over {transport}", source.camera);
            let (mpv_file, gst_file) = (
                file(&format!("{transport}.md5")),
                file(&format!("{transport}.raw")),
            );
            let show = move || ffmpeg(&source.part, transport, ALL);
            all.push((what("ffmpeg"), source, source.count, Box::new(show)));
            let show = move || mpv(&source.part, transport, &mpv_file, ALL);
            all.push((what("mpv"), source, source.count, Box::new(show)));
            let show = move || {
                let (location, protocols) = (
                    format!("location={}", source.part),
                    format!("protocols={transport}"),
                );
                gst(
                    &[&location, &protocols, "latency=200"],
                    source.codec,
                    &gst_file,
                    ALL,
                )
            };
            all.push((what("GStreamer"), source, source.count, Box::new(show)));
        }
        let show = move || ffmpeg(&source.secure, "tcp", ALL);
        let what = format!("{} by ffmpeg over TLS", source.camera);
        all.push((what, source, source.count, Box::new(show)));
        let secure_file = file("tls.raw");
        let show = move || {
            let location = format!("location={}", source.secure);
            // Nobody signed the certificate.
            let properties = [&*location, "tls-validation-flags=0", "protocols=tcp"];
            gst(&properties, source.codec, &secure_file, ALL)
        };
        let what = format!("{} by GStreamer over TLS", source.camera);
        all.push((what, source, source.count, Box::new(show)));
        let onvif_file = file("onvif.raw");
        let show = move || {
            let location = format!("location={}", source.all);
            let properties = [
                &*location,
                "onvif-mode=true",
                "onvif-rate-control=false",
                "protocols=tcp",
            ];
            gst(&properties, source.codec, &onvif_file, source.most)
        };
        let what = format!("{} by GStreamer as an ONVIF client", source.camera);
        all.push((what, source, source.most, Box::new(show)));
    }
    run(all)
}

/// Runs players side by side.
fn run<'a>(players: Vec<Run<'a>>) -> Vec<Shown<'a>> {
    std::thread::scope(|scope| {
        let running = players
            .into_iter()
            .map(|(what, source, count, show)| (what, source, count, scope.spawn(show)));
        let running: Vec<_> = running.collect();
        let shown = running.into_iter().map(|(what, source, count, player)| {
            let shown = player.join().unwrap_or_else(|_| panic!("{what}"));
            (what, source, count, shown)
        });
        shown.collect()
    })
}

#[test]
fn ffmpeg_mpv_and_gstreamer_show_a_part_of_the_past_picture_by_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    let (rig, sources) = record(folder.path());
    // A camera at a time: seven players decode as much as two cores can.
    for (what, source, count, shown) in sources.chunks(1).flat_map(|source| players(&rig, source)) {
        println!("{what}: {} of {count} pictures", shown.len());
        assert_eq!(shown.len(), count, "{what}");
        let looked_at = if count == source.count {
            &shown[..source.before_end]
        } else {
            // As an ONVIF client GStreamer 1.22 throws away all packets of the first picture ("cannot calculate a valid pts"), a key frame,
            // and what it makes of the rest of the group is none of the source.
            let whole = shown
                .iter()
                .position(|picture| source.pictures.contains(picture));
            &shown[whole.filter(|at| *at < GROUP).expect("whole pictures")..]
        };
        assert_repeats(looked_at, &source.pictures, &what);
    }
    for none in [
        "nvring_rtsp_unsendable_frames_total",
        "nvring_rtsp_ended_total",
    ] {
        assert_eq!(rig.recorder.metric(none), 0.0, "{none}");
    }
    rig.recorder.stop();
}

#[test]
fn retina_receives_a_part_of_the_past_frame_by_frame() {
    let rig = archive().serve();
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for (number, clip) in CLIPS.iter().enumerate() {
            let camera = format!("cam{number}");
            let run = &archive().film(&camera)[0];
            let (start, end) = (run[40].time, run[70].time);
            let wanted: Vec<u64> = played(run, start, end)
                .iter()
                .map(|shot| shot.number)
                .collect();
            let url = format!("{}?start={start}&end={end}", rig.url(&camera));
            let codec = if clip.starts_with("h265") {
                camsim::Codec::H265
            } else {
                camsim::Codec::H264
            };
            for udp in [false, true] {
                let (url, wanted) = (url.clone(), wanted.clone());
                tasks.push(tokio::spawn(async move {
                    let numbers = retina_reads(&url, udp, codec, wanted.len()).await;
                    assert_eq!(numbers, wanted, "{url}");
                }));
            }
        }
        for task in tasks {
            task.await.expect("every frame came");
        }
    });
    rig.recorder.stop();
}

async fn retina_reads(url: &str, udp: bool, codec: camsim::Codec, count: usize) -> Vec<u64> {
    use retina::{
        client::{PlayOptions, Session, SessionGroup, SessionOptions, SetupOptions, Transport},
        codec::CodecItem,
    };
    let group = std::sync::Arc::new(SessionGroup::default());
    let options = SessionOptions::default().session_group(group.clone());
    let address = url::Url::parse(url).expect("a URL");
    let mut session = Session::describe(address, options).await.expect("DESCRIBE");
    for index in 0..session.streams().len() {
        let transport = if udp {
            Transport::Udp(Default::default())
        } else {
            Transport::Tcp(Default::default())
        };
        let options = SetupOptions::default().transport(transport);
        session.setup(index, options).await.expect("SETUP");
    }
    let playing = session.play(PlayOptions::default()).await.expect("PLAY");
    let mut frames = playing.demuxed().expect("known codecs");
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let item = frames.next().await.expect("the stream goes on");
        if let CodecItem::VideoFrame(frame) = item.unwrap_or_else(|error| panic!("{url}: {error}"))
        {
            let mark = match camsim::mark::verify(codec, frame.data()) {
                camsim::mark::Verdict::Identical(mark)
                | camsim::mark::Verdict::SlicesIdentical(mark) => mark,
                other => panic!("{url}: {other:?}"),
            };
            numbers.push(mark.frame);
        }
    }
    drop(frames);
    group.await_teardown().await.expect("TEARDOWN");
    numbers
}
