//! Goal: replay is what RFC 2326 and ONVIF say it is: the right pictures in the right order, with the times at which they were recorded.
//! Method: a recording with a gap, whose pictures are known from the volume, played by a client that looks at every field of every packet.

use crate::{
    archive::{Shot, archive, groups, played},
    watcher::{CLEAN, END, JUMP, Seen, TERMINAL, Watcher},
};
use nvring::{
    base::{Micros, UnixMicros},
    media::FrameKind,
};

const ONVIF: &str = "Require: onvif-replay\r\nRate-Control: no\r\n";
const CAMERAS: [&str; 3] = ["cam0", "cam1", "cam2"];

/// A time as `Range` has it.
fn clock(time: UnixMicros) -> String {
    time.to_string().replace(['-', ':'], "")
}

pub(crate) fn range(from: UnixMicros, to: UnixMicros) -> String {
    format!("Range: clock={}-{}\r\n", clock(from), clock(to))
}

fn numbers(shots: &[Shot]) -> Vec<u64> {
    shots.iter().map(|shot| shot.number).collect()
}

fn seen_numbers(seen: &[Seen]) -> Vec<u64> {
    seen.iter().map(|seen| seen.number).collect()
}

/// Everything the extension says of pictures that came: the stored time, and C where decoding can start.
fn assert_times(seen: &[Seen], shots: &[Shot], sequence: u32, what: &str) {
    assert_eq!(seen_numbers(seen), numbers(shots), "{what}");
    for (seen, shot) in seen.iter().zip(shots) {
        let found = seen
            .extension
            .unwrap_or_else(|| panic!("{what}: no extension"));
        assert_eq!(found.time, shot.time, "{what}: {shot:?}");
        assert_eq!(
            found.bits & CLEAN != 0,
            shot.kind == FrameKind::Key,
            "{what}: {shot:?}"
        );
        assert_eq!(
            u32::from(found.sequence),
            sequence & 0xff,
            "{what}: {shot:?}"
        );
    }
}

/// Numbers of the pictures with a bit set.
fn with(seen: &[Seen], bit: u8) -> Vec<u64> {
    let with = seen.iter().filter(|seen| seen.bits() & bit != 0);
    with.map(|seen| seen.number).collect()
}

fn cseq(answer: &crate::client::Answer) -> u32 {
    answer.header("CSeq").parse().expect("a number")
}

/// RTP-Info of the first track: sequence number and timestamp.
fn rtp_info(answer: &crate::client::Answer) -> (u16, u32) {
    let first = answer
        .header("RTP-Info")
        .split(',')
        .next()
        .unwrap_or_default();
    let field = |name: &str| {
        let mut fields = first.split(';').filter_map(|field| field.split_once('='));
        let found = fields.find(|(known, _)| *known == name);
        found.map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    (
        field("seq").parse().expect("a number"),
        field("rtptime").parse().expect("a timestamp"),
    )
}

#[test]
fn a_range_over_a_gap_comes_with_the_stored_times_and_the_gap_is_marked() {
    let rig = archive().serve();
    for camera in CAMERAS {
        let film = archive().film(camera);
        let mut watcher = Watcher::new(rig.rtsp, &rig.url(camera));
        assert_eq!(
            watcher.description.tracks[0].lines["x-onvif-track"],
            "VIDEO000"
        );
        // In the middle of a group, on both sides.
        let (from, to) = (film[0][40].time, film[1][47].time);
        let answer = watcher.play(&format!("{ONVIF}{}", range(from, to)));
        let first = played(&film[0], from, to);
        let second = played(&film[1], from, to);
        let told = format!("clock={}-{}", clock(first[0].time), clock(to));
        assert_eq!(answer.header("Range"), told, "{camera}");
        let seen = watcher.all();
        let all = [first.clone(), second.clone()].concat();
        assert_times(&seen, &all, cseq(&answer), camera);
        assert_eq!(
            with(&seen, JUMP),
            [first[0].number, second[0].number],
            "{camera}"
        );
        let end = film[0].last().expect("pictures").number;
        assert_eq!(with(&seen, END), [end], "{camera}");
        assert_eq!(
            with(&seen, TERMINAL),
            [second.last().expect("pictures").number],
            "{camera}"
        );
        // Without a pace timestamps are the times at which pictures were taken, and RTP-Info tells where they stand.
        let (_, begin) = rtp_info(&answer);
        for seen in &seen {
            let ticks = (seen.time().since(first[0].time).0 * 9 + 50) / 100;
            let apart = seen.timestamp.wrapping_sub(begin) as i32;
            assert!(
                (i64::from(apart) - ticks).abs() <= 1,
                "{camera}: {apart} {ticks}"
            );
        }
    }
    rig.recorder.stop();
}

#[test]
fn backwards_groups_come_newest_first_and_key_frames_alone_when_they_are_wanted() {
    let rig = archive().serve();
    for camera in CAMERAS {
        let film = archive().film(camera);
        let end = |run: &[Shot]| run.iter().map(|shot| shot.time).max().expect("pictures");
        let all: Vec<Vec<Shot>> = [groups(&film[1]), groups(&film[0])].concat();
        let keys: Vec<Shot> = all.iter().map(|group| group[0]).collect();
        let back = format!(
            "Range: clock={}-\r\nScale: -1.0\r\n{ONVIF}",
            clock(end(&film[1]))
        );
        let mut watcher = Watcher::new(rig.rtsp, &rig.url(camera));
        let answer = watcher.play(&back);
        assert_eq!(answer.header("Scale"), "-1", "{camera}");
        let seen = watcher.all();
        assert_times(&seen, &all.concat(), cseq(&answer), camera);
        assert_eq!(with(&seen, JUMP), numbers(&keys), "{camera}");
        let section_ends =
            [all[0].last(), groups(&film[0])[0].last()].map(|shot| shot.map(|shot| shot.number));
        assert_eq!(
            with(&seen, END).into_iter().map(Some).collect::<Vec<_>>(),
            section_ends,
            "{camera}"
        );
        // Key frames alone, and those at least five seconds apart, of each section the newest.
        for (frames, apart) in [("intra", 0), ("intra/5000", 5_000)] {
            let mut wanted: Vec<Shot> = Vec::new();
            for key in &keys {
                let newest = *key == keys[0] || *key == groups(&film[0])[0][0];
                let far = |last: &Shot| last.time.since(key.time) >= Micros::from_millis(apart);
                if newest || wanted.last().is_none_or(far) {
                    wanted.push(*key);
                }
            }
            let answer = watcher.play(&format!("{back}Frames: {frames}\r\n"));
            let seen = watcher.all();
            assert_times(&seen, &wanted, cseq(&answer), frames);
            assert_eq!(with(&seen, TERMINAL), [wanted.last().expect("one").number]);
        }
    }
    rig.recorder.stop();
}

#[test]
fn forwards_too_only_the_wanted_frames_come() {
    let rig = archive().serve();
    for camera in CAMERAS {
        let film = archive().film(camera);
        let (from, to) = (film[0][40].time, film[1][47].time);
        let both = [played(&film[0], from, to), played(&film[1], from, to)];
        let mut watcher = Watcher::new(rig.rtsp, &rig.url(camera));
        let answer = watcher.play(&format!("{ONVIF}Frames: predicted\r\n{}", range(from, to)));
        let needed = |shot: &Shot| !matches!(shot.kind, FrameKind::Disposable | FrameKind::Leading);
        let wanted: Vec<Shot> = both.concat().into_iter().filter(needed).collect();
        let last = wanted
            .iter()
            .rposition(|shot| shot.time < to)
            .expect("pictures");
        assert_times(&watcher.all(), &wanted[..=last], cseq(&answer), camera);
        let answer = watcher.play(&format!("{ONVIF}Frames: intra/3000\r\n{}", range(from, to)));
        let mut wanted: Vec<Shot> = Vec::new();
        for run in &both {
            let mut last: Option<UnixMicros> = None;
            for shot in run.iter().filter(|shot| shot.kind == FrameKind::Key) {
                if last.is_none_or(|last| shot.time.since(last) >= Micros::from_secs(3)) {
                    last = Some(shot.time);
                    wanted.push(*shot);
                }
            }
        }
        let seen = watcher.all();
        assert_times(&seen, &wanted, cseq(&answer), camera);
    }
    rig.recorder.stop();
}

/// Scale is what the timestamps say: pictures twice as close, key frames alone when it is fast, backwards the newest first.
#[test]
fn at_a_scale_pictures_are_shown_so_much_faster_or_backwards() {
    let rig = archive().serve();
    let film = archive().film("cam1");
    let run = &film[0];
    let mut watcher = Watcher::new(rig.rtsp, &rig.url("cam1"));
    let (from, to) = (run[0].time, run[60].time);
    // Sent faster, pictures are shown as ever: `Speed` changes no time.
    for (scale, speed) in [(2, 1), (8, 1), (-1, 1), (1, 4)] {
        let (start, end) = if scale < 0 { (to, from) } else { (from, to) };
        let answer = watcher.play(&format!(
            "{}Scale: {scale}\r\nSpeed: {speed}\r\nRequire: onvif-replay\r\n",
            range(start, end)
        ));
        let told = ["Scale", "Speed"].map(|name| answer.header(name));
        let scale_told = if scale == 1 {
            String::new()
        } else {
            scale.to_string()
        };
        assert_eq!(told, [&*scale_told, &*speed.to_string()]);
        let (_, begin) = rtp_info(&answer);
        let seen = watcher.all();
        let expected: Vec<Shot> = match scale {
            1 | 2 => played(run, from, to),
            8 => played(run, from, to)
                .into_iter()
                .filter(|shot| shot.kind == FrameKind::Key)
                .collect(),
            _ => {
                let last = run
                    .iter()
                    .rposition(|shot| shot.time <= to)
                    .expect("pictures");
                groups(&run[..=last]).concat()
            }
        };
        assert_times(&seen, &expected, cseq(&answer), &format!("Scale {scale}"));
        let origin = if scale < 0 { to } else { expected[0].time };
        for seen in &seen {
            let apart = i64::from(seen.timestamp.wrapping_sub(begin) as i32);
            let ticks = seen.time().since(origin).0 * 9 / 100 / scale;
            assert!((apart - ticks).abs() <= 2, "Scale {scale}: {apart} {ticks}");
        }
    }
    rig.recorder.stop();
}

#[test]
fn immediate_ends_what_plays_and_without_it_ranges_wait_for_their_turn() {
    let rig = archive().serve();
    let film = archive().film("cam1");
    let (first, second) = (&film[0], &film[1]);
    let mut watcher = Watcher::new(rig.rtsp, &rig.url("cam1"));
    let whole = range(first[0].time, first[first.len() - 1].time);
    watcher.play(&format!("{whole}Require: onvif-replay\r\n"));
    let before = watcher.some(3);
    assert_eq!(seen_numbers(&before), numbers(&first[..3]));
    let (from, to) = (second[30].time, second[40].time);
    let answer = watcher.play(&format!("{ONVIF}Immediate: yes\r\n{}", range(from, to)));
    let all = watcher.all();
    let is_new = |seen: &&Seen| {
        seen.extension
            .is_some_and(|found| u32::from(found.sequence) == cseq(&answer) & 0xff)
    };
    let new = all
        .iter()
        .position(|seen| is_new(&seen))
        .expect("the second range");
    assert!(
        all[new..].iter().all(|seen| is_new(&seen)),
        "nothing old comes behind it"
    );
    assert!(
        new < 20,
        "what played ends at once: {new} pictures of it came"
    );
    assert_eq!(all[new].bits() & (JUMP | CLEAN), JUMP | CLEAN);
    assert_times(
        &all[new..],
        &played(second, from, to),
        cseq(&answer),
        "the second range",
    );
    // Two ranges, of which the second waits.
    let (one, other) = (
        (first[0].time, first[20].time),
        (second[0].time, second[20].time),
    );
    let first_answer = watcher.play(&format!("{}Require: onvif-replay\r\n", range(one.0, one.1)));
    let waits = watcher.play(&format!(
        "{}Require: onvif-replay\r\n",
        range(other.0, other.1)
    ));
    assert_eq!(
        waits.header("RTP-Info"),
        "",
        "nobody knows yet where it begins"
    );
    let seen = watcher.all();
    let parts = (
        played(first, one.0, one.1),
        played(second, other.0, other.1),
    );
    assert_times(
        &seen[..parts.0.len()],
        &parts.0,
        cseq(&first_answer),
        "the first",
    );
    assert_times(
        &seen[parts.0.len()..],
        &parts.1,
        cseq(&waits),
        "the one that waited",
    );
    rig.recorder.stop();
}

#[test]
fn a_pause_keeps_the_place_and_a_seek_leaves_it() {
    let rig = archive().serve();
    let film = archive().film("cam1");
    let run = &film[0];
    let mut watcher = Watcher::new(rig.rtsp, &rig.url("cam1"));
    let (from, to) = (run[0].time, run[80].time);
    watcher.play(&format!(
        "{}Require: onvif-replay\r\nScale: 2\r\n",
        range(from, to)
    ));
    let mut seen = watcher.some(30);
    assert_eq!(watcher.ask("PAUSE", "").code, 200);
    let answer = watcher.play("Scale: 2\r\n");
    let (sequence, _) = rtp_info(&answer);
    let rest = watcher.all();
    let resumed = rest.iter().position(|seen| {
        let found = seen.extension.expect("an extension");
        u32::from(found.sequence) == cseq(&answer) & 0xff
    });
    let resumed = resumed.expect("it goes on");
    let told = clock(rest[resumed].time());
    assert!(
        answer
            .header("Range")
            .starts_with(&format!("clock={told}-")),
        "{told} {}",
        answer.header("Range")
    );
    assert!(sequence > 0, "RTP-Info tells where it goes on");
    seen.extend(rest);
    assert_eq!(
        seen_numbers(&seen),
        numbers(&played(run, from, to)),
        "no picture is missing or comes twice"
    );
    assert_eq!(with(&seen, JUMP), [run[0].number]);
    // While it plays without an end, another range takes its place at once.
    watcher.play(&format!(
        "Range: clock={}-\r\nRequire: onvif-replay\r\n",
        clock(from)
    ));
    watcher.some(5);
    let (from, to) = (film[1][30].time, film[1][50].time);
    let answer = watcher.play(&format!("{ONVIF}{}", range(from, to)));
    let all = watcher.all();
    let shots = played(&film[1], from, to);
    assert_times(
        &all[all.len() - shots.len()..],
        &shots,
        cseq(&answer),
        "the seek",
    );
    rig.recorder.stop();
}

#[test]
fn ranges_with_nothing_in_them_are_refused_and_others_cut() {
    let rig = archive().serve();
    let film = archive().film("cam0");
    let end = |run: &[Shot]| run.iter().map(|shot| shot.time).max().expect("pictures");
    let second = Micros::from_secs(1);
    let mut watcher = Watcher::new(rig.rtsp, &rig.url("cam0"));
    let gap = (
        end(&film[0]) + Micros::from_millis(500),
        end(&film[0]) + second,
    );
    for (headers, status) in [
        (range(gap.0, gap.1), 457),
        (
            range(end(&film[1]) + second, end(&film[1]) + second + second),
            457,
        ),
        (range(film[0][9].time, film[0][3].time), 457),
        (
            "Range: clock=20200101T000000Z-20200102T000000Z\r\n".to_owned(),
            457,
        ),
        ("Range: clock=21000101T000000Z-\r\n".to_owned(), 457),
        ("Range: smpte=0:10:00-\r\n".to_owned(), 457),
        ("Range: npt=99999-100000\r\n".to_owned(), 457),
        ("Require: onvif-replay, teleport\r\n".to_owned(), 551),
        ("Frames: some\r\n".to_owned(), 400),
    ] {
        let answer = watcher.ask("PLAY", &headers);
        assert_eq!(answer.code, status, "{headers}");
        assert!(!answer.body.is_empty(), "{headers}: the answer says why");
    }
    // In the gap, forwards the next section and backwards the one before is played.
    let answer = watcher.play(&format!("{ONVIF}{}", range(gap.0, film[1][20].time)));
    let seen = watcher.all();
    assert_times(
        &seen,
        &played(&film[1], gap.0, film[1][20].time),
        cseq(&answer),
        "behind the gap",
    );
    let answer = watcher.play(&format!(
        "{ONVIF}Frames: intra\r\nScale: -1\r\n{}",
        range(gap.0, end(&film[0]))
    ));
    let newest = groups(&film[0])[0][0];
    assert_times(&watcher.all(), &[newest], cseq(&answer), "before the gap");
    // What GStreamer sends, which knows nothing of the recording; and nothing of ONVIF, nothing of its extension.
    let answer = watcher.play(&format!(
        "Range: clock=19000101T000000.00Z-{}\r\nRate-Control: no\r\n",
        clock(film[0][20].time)
    ));
    assert_eq!(
        watcher.all().len(),
        played(&film[0], film[0][0].time, film[0][20].time).len()
    );
    assert!(
        answer
            .header("Range")
            .starts_with(&format!("clock={}", clock(film[0][0].time)))
    );
    watcher.play(&range(film[0][0].time, film[0][10].time));
    assert!(watcher.all().iter().all(|seen| seen.extension.is_none()));
    rig.recorder.stop();
}
