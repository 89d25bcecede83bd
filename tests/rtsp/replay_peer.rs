//! Goal: who built his client against GStreamer's ONVIF server finds the same here. Method: both play the same film of a simulated camera
//! to the same client, which compares pictures, order, header extension, session description and answers. Where the peer does otherwise
//! than the specification says, it says so below and is not followed.

use crate::{
    archive::{Shot, archive, groups},
    rig::Rig,
    watcher::{CLEAN, END, JUMP, Seen, TERMINAL, Watcher},
};
use nvring::base::{Micros, UnixMicros};
use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
};

/// Where the peer's films begin.
const YEAR_1900: UnixMicros = UnixMicros(-2_208_988_800_000_000);

/// A server that ends with the test.
struct Peer {
    child: Child,
    address: SocketAddr,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    fn start(film: &Path, begin: UnixMicros) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/gst-onvif-replay.py");
        let mut child = Command::new("/usr/bin/python3")
            .args([script, &address.port().to_string()])
            .args([film.as_os_str(), begin.to_string().as_ref()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("/usr/bin/python3 runs: install python3");
        let output = child.stdout.take().expect("its output");
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        assert!(
            lines.any(|line| line == "ready"),
            "GStreamer's server did not start: see its message"
        );
        Self { child, address }
    }
}

/// What a picture is told to be, as far as both tell the same.
fn told(seen: &[Seen]) -> Vec<(u64, u8)> {
    let told = seen
        .iter()
        .map(|seen| (seen.number, seen.bits() & (CLEAN | JUMP)));
    told.collect()
}

fn clock(time: UnixMicros) -> String {
    time.to_string().replace(['-', ':'], "")
}

/// What a server sends of `from..to` (in time from the beginning of the film), and the answer to PLAY.
fn play(
    server: SocketAddr,
    url: &str,
    begin: UnixMicros,
    (from, to): (Micros, Micros),
    headers: &str,
    count: Option<usize>,
) -> (Vec<Seen>, [String; 4]) {
    let mut watcher = Watcher::new(server, url);
    watcher.repeats = count.is_some();
    let range = format!("{}-{}", clock(begin + from), clock(begin + to));
    let answer = watcher.play(&format!(
        "Require: onvif-replay\r\nRate-Control: no\r\nRange: clock={range}\r\n{headers}"
    ));
    // The peer says no goodbye.
    let seen = match count {
        Some(count) => watcher.some(count),
        None => watcher.all(),
    };
    let reference = watcher.description.tracks[0].lines["x-onvif-track"].clone();
    let start = answer
        .header("Range")
        .split_once('-')
        .map_or("", |(start, _)| start)
        .to_owned();
    let info = answer.header("RTP-Info").split_once("rtptime=");
    let timestamp = info
        .and_then(|(_, rest)| rest.split(',').next())
        .unwrap_or_default()
        .to_owned();
    // Backwards the peer may begin one picture later.
    assert!(
        !watcher.end() || headers.contains("Scale"),
        "{headers}: more came"
    );
    // Both say where the timestamps stand: at the first picture, when they play forwards.
    let stands = seen[0].timestamp.to_string() == timestamp;
    let sequence = answer.header("CSeq").to_owned();
    (seen, [reference, start, stands.to_string(), sequence])
}

fn export(rig: &Rig, run: &[Shot]) -> (std::path::PathBuf, UnixMicros) {
    let film = rig.site.path("film.mp4");
    let times = || run.iter().map(|shot| shot.time);
    let (begin, end) = (
        times().min().expect("pictures"),
        times().max().expect("pictures"),
    );
    let path = film.to_str().expect("a path in UTF-8");
    let exported = rig.site.run(&[
        "export",
        "cam0",
        "--from",
        &begin.to_string(),
        "--to",
        &(end + Micros(1)).to_string(),
        "-o",
        path,
    ]);
    assert!(
        exported.status.success(),
        "{}",
        String::from_utf8_lossy(&exported.stderr)
    );
    (film, begin)
}

#[test]
fn gstreamers_onvif_server_and_ours_send_the_same_in_the_same_way() {
    let rig = archive().serve();
    let run = &archive().film("cam0")[0];
    let (film, begin) = export(&rig, run);
    let peer = Peer::start(&film, begin);
    let peer_url = format!("rtsp://{}/film", peer.address);
    let ours = rig.url("cam0");
    let keys: Vec<Micros> = groups(run)
        .iter()
        .rev()
        .map(|group| group[0].time.since(begin))
        .collect();
    // Between two pictures, of which there are 15 in a second.
    let between = |key: Micros| key - Micros(33_000);
    let third = between(keys[2]);
    let middle = keys[1] + Micros(333_000);
    for (what, ends, headers) in [
        ("two groups", (Micros::ZERO, third), ""),
        ("from the middle of a group", (middle, third), ""),
        ("key frames", (Micros::ZERO, third), "Frames: intra\r\n"),
        (
            "key frames three seconds apart",
            (Micros::ZERO, keys[2] + Micros(10_000)),
            "Frames: intra/3000\r\n",
        ),
        ("backwards", (third, keys[0]), "Scale: -1.0\r\n"),
    ] {
        let (seen, our_answer) = play(rig.rtsp, &ours, begin, ends, headers, None);
        let count = Some(seen.len());
        let (theirs, their_answer) = play(peer.address, &peer_url, YEAR_1900, ends, headers, count);
        let earlier = theirs
            .iter()
            .position(|theirs| theirs.number == seen[0].number);
        let theirs = &theirs[earlier.unwrap_or_else(|| panic!("{what}: {theirs:?}"))..];
        let last = seen.last().expect("pictures");
        assert_eq!(last.bits() & TERMINAL, TERMINAL, "{what}");

        assert_eq!(told(&seen[..theirs.len()]), told(theirs), "{what}");
        for (ours, theirs) in seen.iter().zip(theirs) {
            // The film has times in 90,000ths of a second, and GStreamer counts from its first picture.
            let apart = ours.time().since(theirs.time()).0.abs();
            assert!(apart < 1_000, "{what}: {ours:?} {theirs:?}");
        }
        assert_eq!(
            our_answer[0], their_answer[0],
            "{what}: the name of the track"
        );
        // GStreamer sets E and T together, at the end of what it has: here nothing ends but our answer, which is T alone.
        assert!(seen.iter().all(|seen| seen.bits() & END == 0), "{what}");
        // It leaves the sequence 0, where ONVIF wants the low byte of the CSeq.
        assert!(
            theirs
                .iter()
                .all(|seen| seen.extension.is_some_and(|found| found.sequence == 0))
        );
        assert!(seen.iter().all(|seen| {
            seen.extension
                .is_some_and(|found| found.sequence.to_string() == our_answer[3])
        }));
        if headers.contains("Scale") {
            // Backwards GStreamer's timestamps fall within a group; without a pace they are to be those of the recording.
            let rises = |pair: &[Seen]| pair[1].timestamp.wrapping_sub(pair[0].timestamp) < 1 << 31;
            let first = groups(run)
                .iter()
                .find(|group| group[0].number == seen[0].number)
                .map_or(0, Vec::len);
            assert!(seen[..first].windows(2).all(rises) && !theirs[..first].windows(2).all(rises));
        } else {
            assert_eq!(
                (&our_answer[2], &their_answer[2]),
                (&"true".to_owned(), &"true".to_owned()),
                "{what}"
            );
        }
    }
    rig.recorder.stop();
}
