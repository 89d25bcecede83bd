//! Cameras that behave: every frame sent after a stream's start is recorded, byte for byte and in order.

use crate::rig::{Rig, causes, read, signed_in, spec, verify};
use camsim::{Auth, Options, Scheme, Server};
use nvring::{
    base::Micros,
    media::{Codec, FrameKind, GapCause, StreamId},
    store::recordings::Recordings,
};

/// Goal: one camera of each kind (H.264 and H.265, with and without B-frames, several parameter sets, gradual refresh, sound) is recorded
/// whole. Method: compare the marks read back with what the simulator says it sent.
#[test]
fn every_frame_after_the_start_is_recorded_byte_for_byte_and_in_order() {
    let clips = ["h264", "h264b", "h265", "h265b", "multi", "g711"];
    let options = Options {
        clips: clips.map(str::to_owned).to_vec(),
        ..Options::new(clips.len())
    };
    let server = Server::start(options).unwrap();
    let rig = Rig::new();
    let specs = (0..clips.len()).map(|i| spec(i as u8 + 1, &format!("cam{i}"), &server.url(i)));
    rig.supervisor.apply(specs.collect());
    for i in 0..clips.len() {
        rig.wait_frames(&format!("cam{i}"), 200);
    }
    rig.supervisor.stop();
    let report = server.stop();
    rig.store.close();
    let recordings = Recordings::new(rig.store.shared_volumes());
    for (i, clip) in clips.iter().enumerate() {
        let (runs, timeline) = read(&recordings, StreamId([i as u8 + 1; 16]));
        assert_eq!(causes(&runs), [GapCause::Enrolled], "{clip}");
        assert_eq!(runs[0].end_cause, Some(GapCause::Restart));
        assert!(timeline.gaps.is_empty(), "{clip}: {:?}", timeline.gaps);
        let mut summary = verify(&runs);
        // Nobody can decode the leading pictures of the first open key frame: they come before the start.
        if let Some((first, last)) = summary
            .holes
            .pop_if(|hole| Some(hole.0 - 1) == summary.first)
        {
            assert!(last - first < 3 && clip.ends_with('b'), "{clip}");
            summary.missing -= last + 1 - first;
        }
        assert!(summary.is_whole(), "{clip}: {summary:?}");
        assert_eq!(summary.altered, 0, "{clip}: {summary:?}");
        let sent = &report.camera(&format!("cam{i}")).unwrap().sessions[0];
        // The last picture may have been on its way when the recorder was stopped.
        let missed = sent.last_frame.unwrap() - summary.last.unwrap();
        assert!(
            missed <= 30,
            "{clip}: {missed} frames at the end are missing"
        );
        let first = &runs[0].frames[0].entry;
        assert_eq!((first.track.0, first.kind), (0, FrameKind::Key), "{clip}");
        assert_eq!(first.time, runs[0].description.started, "{clip}");
    }
}

/// Goal: sound is a track of its own with times beside the pictures'.
#[test]
fn sound_is_recorded_beside_the_pictures() {
    let options = Options {
        clips: vec!["h264".into(), "g711".into()],
        ..Options::new(2)
    };
    let server = Server::start(options).unwrap();
    let rig = Rig::new();
    rig.supervisor.apply(vec![
        spec(1, "aac", &server.url(0)),
        spec(2, "alaw", &server.url(1)),
    ]);
    rig.wait_frames("aac", 300);
    rig.wait_frames("alaw", 300);
    rig.supervisor.stop();
    rig.store.close();
    let recordings = Recordings::new(rig.store.shared_volumes());
    for (number, codec) in [(1, Codec::Aac), (2, Codec::PcmA)] {
        let (runs, _) = read(&recordings, StreamId([number; 16]));
        let tracks = &runs[0].description.tracks.tracks;
        assert_eq!(tracks.len(), 2);
        assert_eq!(tracks[1].codec, codec);
        let times = |track: u8| -> Vec<_> {
            let frames = runs[0].frames.iter();
            frames
                .filter(|frame| frame.entry.track.0 == track)
                .map(|frame| frame.entry.time)
                .collect()
        };
        let (video, sound) = (times(0), times(1));
        assert!(sound.len() > 100, "{codec:?}: {}", sound.len());
        assert!(sound.is_sorted());
        let apart = sound.last().unwrap().since(*video.iter().max().unwrap());
        assert!(apart.0.abs() < 500_000, "{codec:?}: {apart}");
    }
}

/// Goal: credentials are used however the camera asks for them.
#[test]
fn cameras_with_passwords_are_recorded() {
    for scheme in [
        Scheme::Digest,
        Scheme::DigestQop,
        Scheme::Basic,
        Scheme::Both,
    ] {
        let auth = Auth {
            user: "admin".into(),
            password: "s3 cr:et".into(),
            scheme,
        };
        let server = Server::start(Options {
            auth: Some(auth),
            ..Options::new(1)
        })
        .unwrap();
        let rig = Rig::new();
        let stream = signed_in(spec(1, "gate", &server.url(0)), "admin", "s3 cr:et");
        rig.supervisor.apply(vec![stream]);
        rig.wait_frames("gate", 10);
        let (runs, _) = rig.read(StreamId([1; 16]));
        assert!(verify(&runs).is_whole(), "{scheme:?}");
    }
}

/// Goal: a camera's own clock is told beside the recorder's.
#[test]
fn the_cameras_clock_is_known_from_its_sender_reports() {
    let server = Server::start(Options::new(1)).unwrap();
    server.inject_into(0, camsim::Fault::NtpOffset(-7_000_000));
    let rig = Rig::new();
    rig.supervisor.apply(vec![spec(1, "gate", &server.url(0))]);
    rig.wait("gate", "a sender report", |status| {
        status.camera_offset_us.is_some()
    });
    let offset = Micros(rig.status("gate").camera_offset_us.unwrap());
    assert!((offset.0 + 7_000_000).abs() < 500_000, "{offset}");
}
