//! Goal: tracks beside the pictures, from the camera to the exported file: Opus, G.711 of both laws, ONVIF metadata. Method: GStreamer's
//! RTSP server offers them, over TCP and UDP; every packet and document stored is the sender's, in order, and the exported file holds the
//! same sound, which plays (metadata stay in the volume: players complain of them).

use crate::{
    films::{film_with_sound, gstreamer, run},
    harness::{Site, alone},
    pictures::export,
};
use nvring::{
    base::TimeRange,
    media::Codec,
    store::{RunDescription, recordings::Recordings},
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// Sound as ffmpeg makes it, as the store names it, and as a file of the same content is called.
struct Sound {
    codec: Codec,
    encoder: &'static [&'static str],
    file: &'static str,
    /// For `ffprobe`.
    name: &'static str,
}

const SOUNDS: [Sound; 3] = [
    Sound {
        codec: Codec::Opus,
        encoder: &["-c:a", "libopus"],
        file: "opus.mp4",
        name: "opus",
    },
    Sound {
        codec: Codec::PcmMu,
        encoder: &["-c:a", "pcm_mulaw", "-ar", "8000"],
        file: "mulaw.mov",
        name: "pcm_mulaw",
    },
    Sound {
        codec: Codec::PcmA,
        encoder: &["-c:a", "pcm_alaw", "-ar", "8000"],
        file: "alaw.mov",
        name: "pcm_alaw",
    },
];

/// All that is stored of a camera: the codecs of its tracks, and the frames of each track in order.
fn stored(recordings: &Recordings, camera: &str) -> (Vec<Codec>, Vec<Vec<Vec<u8>>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let mut streams = recordings.streams().into_iter();
    let stream = streams.find(|stream| stream.name.camera == camera);
    let stream = stream.expect("it is recorded").stream;
    runtime.block_on(async {
        let pieces = recordings.blocks(stream, TimeRange::ALL).await;
        let (mut codecs, mut tracks) = (Vec::new(), Vec::new());
        for piece in pieces.expect("the chapters are read") {
            let description = RunDescription::decode(&piece.description).expect("a description");
            let of_run = description.tracks.tracks.iter().map(|track| track.codec);
            assert!(codecs.is_empty() || of_run.clone().eq(codecs.iter().copied()));
            codecs = of_run.collect();
            tracks.resize(codecs.len(), Vec::new());
            for block in piece.blocks {
                let bytes = block.read().await.expect("the block is whole");
                for (index, frame) in bytes.frames.iter().enumerate() {
                    tracks[usize::from(frame.track.0)].push(bytes.frame(index).to_vec());
                }
            }
        }
        (codecs, tracks)
    })
}

/// The packets of stream `index` of a file, as they are.
fn packets(file: &Path, index: usize) -> Vec<Vec<u8>> {
    let path = file.to_str().expect("a path in UTF-8");
    let raw = file.with_extension(format!("{index}.raw"));
    let raw = raw.to_str().expect("a path in UTF-8");
    let (stream, map) = (index.to_string(), format!("0:{index}"));
    let copy = [
        "-map",
        &map,
        "-c",
        "copy",
        "-copy_unknown",
        "-f",
        "data",
        raw,
    ];
    run(
        "ffmpeg",
        &[&["-v", "error", "-y", "-i", path], &copy[..]].concat(),
    );
    let sizes = [
        "-v",
        "error",
        "-select_streams",
        &stream,
        "-show_entries",
        "packet=size",
        "-of",
        "csv=p=0",
        path,
    ];
    let sizes = run("ffprobe", &sizes);
    let bytes = std::fs::read(raw).expect("the packets");
    let mut rest = bytes.as_slice();
    let sizes = sizes
        .lines()
        .filter_map(|line| line.trim_end_matches(',').parse().ok());
    let packets = sizes.map(|size: usize| rest.split_off(..size).expect("a packet").to_vec());
    packets.collect()
}

/// Asserts that `stored` is a piece of the endless repetition of `source`.
fn assert_repeats<T: PartialEq>(stored: &[T], source: &[T], what: &str) {
    let fits = |start: &usize| {
        let expected = source.iter().cycle().skip(*start);
        stored.iter().zip(expected).all(|(one, other)| one == other)
    };
    assert!(!stored.is_empty(), "{what}: nothing is there");
    assert!(
        (0..source.len()).any(|start| fits(&start)),
        "{what}: {} are not what was sent, in order",
        stored.len()
    );
}

/// Three documents: one in a packet, one that just fills two, one in many.
fn documents(folder: &Path) -> Vec<Vec<u8>> {
    std::fs::create_dir(folder).expect("a folder");
    let lens = [180, 2 * 700, 9_000];
    let documents = lens.iter().enumerate().map(|(number, len)| {
        let head = format!(
            "<?xml version=\"1.0\"?><tt:MetadataStream xmlns:tt=\"http://www.onvif.org/ver10/schema\"><!--{number}"
        );
        let text = format!("{head:.<width$}--></tt:MetadataStream>", width = len - 25);
        std::fs::write(folder.join(format!("{number}.xml")), &text).expect("a document");
        text.into_bytes()
    });
    documents.collect()
}

#[test]
fn opus_g711_and_metadata_are_stored_and_exported_as_they_were_sent() {
    let _alone = alone();
    let site = Site::new(16, 4 << 20);
    let documents = documents(&site.path("documents"));
    let video = ["-c:v", "libx264", "-g", "25", "-bf", "0"];
    let films = SOUNDS.map(|sound| film_with_sound(&site.path(sound.file), &video, sound.encoder));
    let mounts: Vec<(&str, &Path)> = SOUNDS
        .iter()
        .zip(&films)
        .map(|(sound, film)| (sound.name, film.as_path()))
        .collect();
    let folder = site.path("documents");
    let (_camera, port) = gstreamer(
        &mounts,
        &["--metadata", folder.to_str().expect("a path in UTF-8")],
    );
    // Each over TCP and over UDP.
    let urls: Vec<String> = mounts
        .iter()
        .chain(&mounts)
        .map(|(name, _)| format!("rtsp://127.0.0.1:{port}/{name}"))
        .collect();
    site.enrol(&urls);
    for number in SOUNDS.len()..urls.len() {
        let set = [
            "camera",
            "set",
            &format!("cam{number}"),
            "--transport",
            "udp",
        ];
        assert!(site.run(&set).status.success());
    }
    let (recorder, _) = site.start();
    recorder.wait_recording(urls.len());
    std::thread::sleep(Duration::from_secs(8));
    recorder.stop();
    let recordings = site.recordings();
    for number in 0..urls.len() {
        let (sound, film) = (&SOUNDS[number % 3], &films[number % 3]);
        assert_camera(
            &site,
            &recordings,
            &format!("cam{number}"),
            (sound, film),
            &documents,
        );
    }
}

fn assert_camera(
    site: &Site,
    recordings: &Recordings,
    camera: &str,
    (sound, film): (&Sound, &PathBuf),
    documents: &[Vec<u8>],
) {
    let what = format!("{camera} ({})", sound.name);
    let (codecs, tracks) = stored(recordings, camera);
    assert_eq!(codecs, [Codec::H264, sound.codec, Codec::Opaque], "{what}");
    let mut source = packets(film, 1);
    if sound.codec == Codec::Opus {
        // All of the last packet is behind the end that the file's edit list tells, and GStreamer does not send it.
        source.pop();
    }
    let file = export(site, camera, None);
    let path = file.to_str().expect("a path in UTF-8");
    let (sounds, metadata) = (tracks[1].len(), tracks[2].len());
    println!(
        "{what}: {} pictures, {sounds} frames of sound, {metadata} documents",
        tracks[0].len()
    );
    assert!(sounds > 20 && metadata > 30, "{what}: {sounds}, {metadata}");
    assert_repeats(&tracks[2], documents, &format!("{what}: documents stored"));
    let exported = packets(&file, 1);
    if sound.codec == Codec::Opus {
        assert_repeats(&tracks[1], &source, &format!("{what}: packets stored"));
        assert_repeats(&exported, &source, &format!("{what}: packets exported"));
    } else {
        // Payloaders cut samples into packets as they like.
        assert_repeats(
            &tracks[1].concat(),
            &source.concat(),
            &format!("{what}: samples stored"),
        );
        assert_repeats(
            &exported.concat(),
            &source.concat(),
            &format!("{what}: samples exported"),
        );
    }
    let entries = [
        "-v",
        "error",
        "-select_streams",
        "a",
        "-show_entries",
        "stream=codec_name",
    ];
    let named = run(
        "ffprobe",
        &[&entries[..], &["-of", "csv=p=0", path]].concat(),
    );
    assert_eq!(named.trim(), sound.name, "{what}");
    let samples = file.with_extension("s16");
    let samples = samples.to_str().expect("a path in UTF-8");
    let decode = [
        "-map", "0:a", "-ac", "1", "-ar", "8000", "-f", "s16le", samples,
    ];
    run(
        "ffmpeg",
        &[&["-v", "error", "-y", "-i", path], &decode[..]].concat(),
    );
    let played = std::fs::read(samples).expect("sound");
    let loud = played
        .chunks_exact(2)
        .filter(|pair| i16::from_le_bytes([pair[0], pair[1]]).unsigned_abs() > 1_000);
    assert!(loud.count() > 6 * 8_000 / 2, "{what}: the tone is heard");
}
