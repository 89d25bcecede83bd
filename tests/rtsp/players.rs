//! Goal: every player shows what the camera sent, picture by picture, over TCP and over UDP. Method: GStreamer's RTSP server plays films
//! made by ffmpeg with and without B-frames, the recorder relays them, and ffmpeg, GStreamer, mpv and retina receive: the MD5 of every
//! decoded picture must be the source's, and every frame of a simulated camera must bear the mark of the one before it plus one.

use crate::{
    encodings::ENCODINGS,
    films::{assert_repeats, film, gstreamer, pictures},
    rig::{Rig, cameras},
    shown::{ffmpeg, gst, mpv},
};
use futures_util::StreamExt;
use nvring::base::seed::Seed;
use std::{
    path::{Path, PathBuf},
    thread::{Scope, ScopedJoinHandle},
};

/// Pictures looked at of each player: two groups and a half.
const PICTURES: usize = 60;

/// A film and what is known of it.
struct Source {
    camera: &'static str,
    codec: &'static str,
    pictures: Vec<String>,
}

/// The camera that sends it, its codec, and its file.
fn films(folder: &Path) -> Vec<(&'static str, &'static str, PathBuf)> {
    let cameras = ["cam0", "cam1", "cam2", "cam3"].into_iter();
    cameras
        .zip(ENCODINGS)
        .map(|(camera, (name, options))| {
            let file = folder.join(name).with_extension("mp4");
            (camera, &name[..4], film(&file, options))
        })
        .collect()
}

/// A player on a thread of its own, what it watches, and what it saw.
type Running<'scope> = (
    String,
    &'scope Source,
    ScopedJoinHandle<'scope, Vec<String>>,
);

fn players<'scope>(
    scope: &'scope Scope<'scope, '_>,
    rig: &'scope Rig,
    source: &'scope Source,
) -> Vec<Running<'scope>> {
    let (url, codec) = (rig.url(source.camera), source.codec);
    let mut running = Vec::new();
    for transport in ["tcp", "udp"] {
        let what = |player: &str| format!("{} by {player} over {transport}", source.camera);
        let address = url.clone();
        running.push((
            what("ffmpeg"),
            source,
            scope.spawn(move || ffmpeg(&address, transport, PICTURES)),
        ));
        let file = rig.site.path(&format!("{}-{transport}.raw", source.camera));
        let properties = [format!("location={url}"), format!("protocols={transport}")];
        let show = move || {
            let properties = [&*properties[0], &*properties[1], "latency=200"];
            gst(&properties, codec, &file, PICTURES)
        };
        running.push((what("GStreamer"), source, scope.spawn(show)));
        let (address, file) = (
            url.clone(),
            rig.site.path(&format!("{}-{transport}.md5", source.camera)),
        );
        running.push((
            what("mpv"),
            source,
            scope.spawn(move || mpv(&address, transport, &file, PICTURES)),
        ));
    }
    running
}

#[test]
fn ffmpeg_gstreamer_and_mpv_show_the_pictures_of_the_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let films = films(folder.path());
    let mounts: Vec<(&str, &Path)> = films
        .iter()
        .map(|(camera, _, film)| (*camera, film.as_path()))
        .collect();
    let (_camera, port) = gstreamer(&mounts, &[]);
    let urls: Vec<String> = mounts
        .iter()
        .map(|(name, _)| format!("rtsp://127.0.0.1:{port}/{name}"))
        .collect();
    let sources: Vec<Source> = films
        .iter()
        .map(|(camera, codec, film)| Source {
            camera,
            codec,
            pictures: pictures(film, None),
        })
        .collect();
    let rig = Rig::start(&urls, "");
    // Two cameras at a time: 12 players decode as much as two cores can.
    for pair in sources.chunks(2) {
        std::thread::scope(|scope| {
            let running: Vec<_> = pair
                .iter()
                .flat_map(|source| players(scope, &rig, source))
                .collect();
            for (what, source, player) in running {
                let shown = player.join().unwrap_or_else(|_| panic!("{what}"));
                assert!(shown.len() >= PICTURES, "{what}: {} pictures", shown.len());
                assert_repeats(&shown, &source.pictures, &what);
            }
        });
    }
    for none in [
        "nvring_rtsp_unsendable_frames_total",
        "nvring_rtsp_skips_total",
        "nvring_rtsp_ended_total",
    ] {
        assert_eq!(rig.recorder.metric(none), 0.0, "{none}");
    }
    rig.recorder.stop();
}

/// retina 0.4.21 as a library, over TCP and UDP: sessions are torn down, and everything in between arrives in order.
#[test]
fn retina_receives_every_frame_in_order() {
    let seed = 4;
    println!("SEED={seed}");
    let mut seed = Seed::new(seed);
    let clips = ["h264", "h264b", "h265", "h265b"];
    let cameras = cameras(&clips);
    let rig = Rig::start(&cameras.urls(), "");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let all = (0..clips.len()).flat_map(|camera| [(camera, false), (camera, true)]);
        let count = 60 + seed.below(30) as usize;
        let all = all.map(|(camera, udp)| {
            let codec = if clips[camera].starts_with("h265") {
                camsim::Codec::H265
            } else {
                camsim::Codec::H264
            };
            tokio::spawn(retina_reads(
                rig.url(&format!("cam{camera}")),
                udp,
                codec,
                count,
            ))
        });
        for task in all.collect::<Vec<_>>() {
            task.await.expect("every frame came");
        }
    });
    drop(runtime);
    crate::rig::wait_until("the sessions are over", || {
        rig.recorder.metric("nvring_rtsp_sessions") == 0.0
    });
    rig.recorder.stop();
}

async fn retina_reads(url: String, udp: bool, codec: camsim::Codec, count: usize) {
    use retina::{
        client::{PlayOptions, Session, SessionGroup, SessionOptions, SetupOptions, Transport},
        codec::CodecItem,
    };
    let group = std::sync::Arc::new(SessionGroup::default());
    let options = SessionOptions::default().session_group(group.clone());
    let address = url::Url::parse(&url).expect("a URL");
    let mut session = Session::describe(address, options).await.expect("DESCRIBE");
    for index in 0..session.streams().len() {
        let transport = if udp {
            Transport::Udp(Default::default())
        } else {
            Transport::Tcp(Default::default())
        };
        session
            .setup(index, SetupOptions::default().transport(transport))
            .await
            .expect("SETUP");
    }
    // The default policies need RTP-Info with the number and the time of every track.
    let mut frames = session
        .play(PlayOptions::default())
        .await
        .expect("PLAY")
        .demuxed()
        .expect("known codecs");
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let item = frames.next().await.expect("the stream goes on");
        match item.unwrap_or_else(|error| panic!("{url}: {error}")) {
            CodecItem::VideoFrame(frame) => {
                // For retina only IDR pictures of H.265 are; the clips with B-frames have others.
                let is_key = frame.is_random_access_point() || codec == camsim::Codec::H265;
                assert!(
                    !numbers.is_empty() || is_key,
                    "{url}: it begins with a key frame"
                );
                let mark = match camsim::mark::verify(codec, frame.data()) {
                    camsim::mark::Verdict::Identical(mark)
                    | camsim::mark::Verdict::SlicesIdentical(mark) => mark,
                    other => panic!("{url}: {other:?}"),
                };
                numbers.push(mark.frame);
            }
            CodecItem::AudioFrame(frame) => {
                assert_eq!(frame.loss(), 0, "{url}: no sound is missing")
            }
            _ => {}
        }
    }
    // Pictures shown before the very first key frame were nobody's to record.
    let second = numbers[1];
    assert!(
        numbers[1..]
            .iter()
            .copied()
            .eq(second..second + count as u64 - 1),
        "{url}: {numbers:?}"
    );
    drop(frames);
    group.await_teardown().await.expect("TEARDOWN");
}
