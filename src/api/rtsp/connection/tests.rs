//! Goal: how long a connection lasts, and what a client may do without being cut. Method: minutes on a paused clock.

use super::*;
use crate::{
    access::digest::Users,
    api::rtsp::rig::{GATE, Read, Rig},
    media::FrameKind,
};
use tokio::io::AsyncWriteExt;

/// An empty report of a receiver.
const REPORT: [u8; 12] = [b'$', 1, 0, 8, 0x80, 201, 0, 1, 0, 0, 0, 1];

/// Live555 writes the framing of a report and the report with two calls.
#[tokio::test(start_paused = true)]
async fn a_viewer_whose_report_comes_in_two_pieces_goes_on_watching() {
    let rig = Rig::new(None);
    rig.picture(FrameKind::Key, 100);
    let mut viewer = rig.viewer().await;
    assert_eq!(viewer.ask("PLAY", GATE, "").await.0, 200);
    viewer.packet(0).await;
    viewer.send(&REPORT[..4]).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    viewer.send(&REPORT[4..]).await;
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        rig.picture(FrameKind::Reference, 100);
        viewer.packet(0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_that_never_gets_whole_ends_the_connection() {
    let rig = Rig::new(None);
    let mut client = rig.viewer().await;
    client.send(&REPORT[..4]).await;
    assert!(matches!(client.read().await, Some(Read::Answer(408, _))));
    assert!(client.read().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_seek_that_is_refused_leaves_live_going_on() {
    let rig = Rig::new(None);
    rig.picture(FrameKind::Key, 100);
    let mut viewer = rig.viewer().await;
    assert_eq!(viewer.ask("PLAY", GATE, "").await.0, 200);
    let (first, _) = viewer.packet(0).await;
    // Nothing is recorded then.
    let seek = "Range: clock=19990101T000000Z-19990101T000100Z\r\n";
    assert!(viewer.ask("PLAY", GATE, seek).await.0 > 400);
    let state = |state| {
        rig.service
            .metrics
            .sessions
            .with_label_values(&[state])
            .get()
    };
    assert_eq!((state("live"), state("replay")), (1, 0));
    rig.picture(FrameKind::Reference, 100);
    assert_eq!(viewer.packet(0).await.0, first.wrapping_add(1));
}

/// `RTP-Info` tells what comes first; where nothing is known of that, it says nothing.
#[tokio::test(start_paused = true)]
async fn what_play_tells_of_the_first_packet_is_true() {
    let rig = Rig::new(None);
    let mut viewer = rig.viewer().await;
    let (code, head) = viewer.ask("PLAY", GATE, "").await;
    assert_eq!((code, head.contains("RTP-Info")), (200, false));
    rig.picture(FrameKind::Key, 100);
    rig.sound();
    viewer.packet(0).await;
    let mut second = rig.viewer().await;
    let (_, head) = second.ask("PLAY", GATE, "").await;
    let told = head.split("trackID=0;").nth(1).expect("what is told");
    let told = told.split(',').next().expect("one track");
    let (sequence, timestamp) = second.packet(0).await;
    assert_eq!(told, format!("seq={sequence};rtptime={timestamp}"));
}

#[tokio::test(start_paused = true)]
async fn packets_that_are_no_reports_and_floods_of_them_end_a_connection() {
    let empty: &[u8] = &[b'$', 1, 0, 0];
    let second = Duration::from_secs(1);
    for (packet, pause) in [(empty, second), (&REPORT, second / 1_000)] {
        let rig = Rig::new(None);
        rig.picture(FrameKind::Key, 100);
        let mut client = rig.viewer().await;
        for _ in 0..2_000 {
            if client.stream.write_all(packet).await.is_err() {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        assert!(client.read().await.is_none(), "{packet:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn reports_at_their_pace_are_no_flood() {
    let rig = Rig::new(None);
    rig.picture(FrameKind::Key, 100);
    let mut client = rig.viewer().await;
    for _ in 0..3_000 {
        client.send(&REPORT).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(client.ask("OPTIONS", GATE, "").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn who_never_signs_in_does_not_keep_a_connection() {
    let users = Users::parse("nga:h0use").expect("users");
    let rig = Rig::new(Some(users));
    let mut client = rig.connect();
    let mut answers = 0;
    for _ in 0..20 {
        let asked = client
            .stream
            .write_all(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n");
        if asked.await.is_err() || client.read().await.is_none() {
            break;
        }
        answers += 1;
        tokio::time::sleep(Duration::from_secs(11)).await;
    }
    assert_eq!(answers, 6, "one every eleven seconds of a minute");
    let mut open = Rig::new(None).connect();
    for _ in 0..10 {
        assert_eq!(open.ask("OPTIONS", "*", "").await.0, 200);
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
}

/// 4 Mbit/s with a key frame every four minutes: 120 MB since the last one would be read and packetised for whoever comes first.
#[tokio::test(start_paused = true)]
async fn in_a_group_of_four_minutes_viewers_begin_at_the_next_key_frame() {
    let rig = Rig::new(None);
    for number in 0..6_000 {
        let kind = if number == 0 {
            FrameKind::Key
        } else {
            FrameKind::Reference
        };
        rig.picture(kind, 20_000);
    }
    let mut viewers = Vec::new();
    for _ in 0..3 {
        let mut viewer = rig.viewer().await;
        let (code, head) = viewer.ask("PLAY", GATE, "").await;
        assert_eq!((code, head.contains("RTP-Info")), (200, false));
        viewers.push(viewer);
    }
    assert_eq!(rig.service.metrics.feed_bytes.get(), 0, "nothing was made");
    rig.picture(FrameKind::Reference, 100);
    rig.picture(FrameKind::Key, 700);
    let mut first = Vec::new();
    for viewer in &mut viewers {
        match viewer.read().await {
            Some(Read::Packet(0, packet)) => first.push(packet),
            _ => panic!("a packet"),
        }
    }
    assert_eq!(first[0].len(), 12 + 700, "of the key frame");
    assert!(first.iter().all(|packet| *packet == first[0]));
    assert_eq!(rig.service.metrics.feeds.get(), 1);
}

/// Many come at once: one feed begins, and all get the same from the last key frame on.
#[tokio::test(start_paused = true)]
async fn who_comes_together_watches_one_feed() {
    let rig = Rig::new(None);
    rig.picture(FrameKind::Key, 100);
    rig.picture(FrameKind::Reference, 100);
    let mut viewers = Vec::new();
    for _ in 0..4 {
        viewers.push(rig.viewer().await);
    }
    let play = |mut viewer: crate::api::rtsp::rig::Client| async move {
        let (code, _) = viewer.ask("PLAY", GATE, "").await;
        (code, viewer.packet(0).await, viewer.packet(0).await)
    };
    let played: Vec<_> = viewers
        .into_iter()
        .map(|viewer| tokio::spawn(play(viewer)))
        .collect();
    let mut all = Vec::new();
    for one in played {
        all.push(one.await.expect("it plays"));
    }
    assert!(all.iter().all(|one| *one == all[0] && one.0 == 200));
    assert_eq!(rig.service.metrics.feeds.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_cut_off_and_who_just_goes_is_not_counted_as_such() {
    let rig = Rig::new(None);
    rig.picture(FrameKind::Key, 100);
    let stuck = || rig.service.metrics.ended(Ended::Stuck);
    let mut gone = rig.viewer().await;
    assert_eq!(gone.ask("PLAY", GATE, "").await.0, 200);
    drop(gone);
    let mut asleep = rig.viewer().await;
    assert_eq!(asleep.ask("PLAY", GATE, "").await.0, 200);
    for _ in 0..20 {
        rig.picture(FrameKind::Key, 300_000);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(stuck(), 0);
    assert_eq!(rig.service.sessions().len(), 1);
    for _ in 0..40 {
        rig.picture(FrameKind::Key, 300_000);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(stuck(), 1);
    assert!(rig.service.sessions().is_empty());
}

/// ONVIF's `Rate-Control: no`: a client that wants no more for a while stops reading. As long as it asks now and then, it is there.
#[tokio::test(start_paused = true)]
async fn who_sets_the_pace_may_hold_still_as_long_as_it_is_heard_of() {
    let rig = Rig::new(None);
    rig.picture(FrameKind::Key, 100);
    let mut viewer = rig.viewer().await;
    let own_pace = "Rate-Control: no\r\n";
    assert_eq!(viewer.ask("PLAY", GATE, own_pace).await.0, 200);
    let minutes = async |count| {
        for _ in 0..count {
            rig.picture(FrameKind::Key, 300_000);
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    };
    for _ in 0..10 {
        rig.picture(FrameKind::Key, 300_000);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // What it asks is heard, though there is no room for the answers, which wait for it. That it pauses changes nothing.
    for number in 0..20 {
        let what = match number {
            10 => format!("PAUSE {GATE}"),
            _ => "OPTIONS *".to_owned(),
        };
        let ask = format!(
            "{what} RTSP/1.0\r\nCSeq: {}\r\n{}\r\n",
            100 + number,
            viewer.session_header()
        );
        viewer.send(ask.as_bytes()).await;
        minutes(1).await;
    }
    for number in 0..20 {
        loop {
            if let Read::Answer(code, head) = viewer.read().await.expect("it lasts") {
                assert_eq!(code, 200);
                assert!(
                    head.contains(&format!("CSeq: {}\r\n", 100 + number)),
                    "{head}"
                );
                break;
            }
        }
    }
    assert_eq!(rig.service.metrics.ended(Ended::Stuck), 0);
    // Of a client that is silent too nobody knows whether it is there.
    assert_eq!(viewer.ask("PLAY", GATE, own_pace).await.0, 200);
    for _ in 0..10 {
        rig.picture(FrameKind::Key, 300_000);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    minutes(3).await;
    assert_eq!(rig.service.metrics.ended(Ended::Stuck), 1);
}
