//! Goal: a replay goes over other parameter sets, ends with a goodbye where the codec changes, and a range that cannot be sent to this
//! session is refused without touching what plays. Method: a camera that is switched, and replaced by one with another codec, recorded and
//! then played by a client that looks at every packet.

use crate::{
    archive::{Film, Shot, film, played},
    changes::camera,
    replay::range,
    rig::{Rig, wait_until},
    watcher::{Seen, Watcher},
};
use nvring::base::UnixMicros;

const FAST: &str = "Rate-Control: no\r\n";

/// Two runs of H.264 with different parameter sets, then one of H.265, and a server of them.
fn recorded() -> (Rig, Film) {
    let cameras = camera("h264", None);
    let address = cameras.addr();
    let rig = Rig::start(&cameras.urls(), "");
    let runs = || rig.recorder.metric("nvring_stream_runs_total");
    rig.wait_frames(300);
    let switch = camsim::Fault::Switch("multi".into());
    assert_eq!(cameras.inject_into(0, switch), 1);
    wait_until("a run with other parameter sets", || runs() >= 2.0);
    rig.wait_frames(120);
    drop(cameras);
    let before = runs();
    let cameras = camera("h265", Some(address));
    wait_until("a run with another codec", || runs() > before);
    rig.wait_frames(120);
    drop(cameras);
    wait_until("the camera is lost", || {
        rig.recorder.metric("nvring_stream_recording") == 0.0
    });
    let Rig { site, recorder, .. } = rig;
    recorder.stop();
    let film = film(&site.recordings(), "cam0");
    assert!(film.len() >= 3, "{} runs", film.len());
    (Rig::start_again(site), film)
}

fn start(run: &[Shot]) -> UnixMicros {
    run[0].time
}

fn end(film: &Film) -> UnixMicros {
    let times = film.iter().flatten().map(|shot| shot.time);
    times.max().expect("pictures")
}

fn numbers(seen: &[Seen]) -> Vec<u64> {
    seen.iter().map(|seen| seen.number).collect()
}

#[test]
fn other_parameter_sets_are_passed_over_and_another_codec_ends_a_replay_or_is_refused() {
    let (rig, film) = recorded();
    let hevc = film.last().expect("a run");
    let avc: Vec<Shot> = film[..film.len() - 1].concat();
    let state = |state: &str| {
        let name = format!("nvring_rtsp_sessions{{state=\"{state}\"}}");
        rig.recorder.metric(&name)
    };
    let clock = start(&film[0]).to_string();
    let mut watcher = Watcher::new(rig.rtsp, &format!("{}?start={clock}", rig.url("cam0")));

    // What cannot be sent to this session is refused, now or for later, and what plays goes on: the watcher misses no packet.
    let first = range(start(&film[0]), film[0][100].time);
    watcher.play(&first);
    let mut seen = watcher.some(20);
    let other = range(start(hevc), end(&film));
    for how in ["Immediate: yes\r\n", ""] {
        let answer = watcher.ask("PLAY", &format!("{other}{how}"));
        assert_eq!(answer.code, 455, "{how}: {}", answer.body);
        assert!(answer.body.contains("?start="), "{}", answer.body);
        seen.extend(watcher.some(10));
    }
    assert_eq!(state("replay"), 1.0);
    seen.extend(watcher.all());
    let wanted: Vec<Shot> = played(&film[0], start(&film[0]), film[0][100].time);
    let wanted: Vec<u64> = wanted.iter().map(|shot| shot.number).collect();
    assert_eq!(numbers(&seen), wanted);

    // All is sent: the session rests, may be paused, and plays again.
    wait_until("it rests", || state("ready") == 1.0);
    assert_eq!(state("replay"), 0.0);
    assert_eq!(watcher.ask("PAUSE", "").code, 200);

    // Over the change of parameter sets to that of the codec, and no further.
    watcher.play(&format!("{}{FAST}", range(start(&film[0]), end(&film))));
    let wanted: Vec<u64> = avc.iter().map(|shot| shot.number).collect();
    assert_eq!(numbers(&watcher.all()), wanted);
    wait_until("the session is over", || {
        rig.recorder.metric("nvring_rtsp_sessions") == 0.0
    });
    assert_eq!(watcher.ask("PLAY", &first).code, 454);

    // Described for it, the other codec plays.
    let clock = start(hevc).to_string();
    let mut watcher = Watcher::new(rig.rtsp, &format!("{}?start={clock}", rig.url("cam0")));
    watcher.play(&format!("{other}{FAST}"));
    let wanted = played(hevc, start(hevc), end(&film));
    let wanted: Vec<u64> = wanted.iter().map(|shot| shot.number).collect();
    assert_eq!(numbers(&watcher.all()), wanted);
    rig.recorder.stop();
}
