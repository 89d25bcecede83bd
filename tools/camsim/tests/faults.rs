//! Goal: a test that asks for a fault gets that fault and no other, as a real client sees it, and the report says the truth.
//! Method: retina, a client of somebody else's, plays the cameras over TCP and UDP at many times the normal speed; every frame it
//! returns is compared with its mark.

use camsim::fault::Which;
use camsim::mark::{self, Mark, Verdict};
use camsim::{Auth, Begin, Codec, Fault, Garbage, Handle, Options, Scheme, Server};
use futures_util::StreamExt as _;
use retina::client::{
    Credentials, Demuxed, PlayOptions, Session, SessionOptions, SetupOptions, Transport,
};
use retina::codec::{CodecItem, FrameFormat};
use std::time::Duration;

/// Pictures per second in these tests, so that they need no patience.
const RATE: u32 = 150;

fn options() -> Options {
    Options {
        rate: Some(RATE),
        begin: Begin::NextKey,
        clips: vec!["h264".to_owned()],
        ..Options::new(2)
    }
}

struct Client {
    stream: Demuxed,
    codec: Codec,
    /// RTP packets that the client missed.
    lost: u64,
}

impl Client {
    async fn connect(url: &str, transport: Transport) -> Result<Self, retina::Error> {
        let url = url::Url::parse(url).unwrap();
        let user = (!url.username().is_empty()).then(|| Credentials {
            username: url.username().to_owned(),
            password: url.password().unwrap_or("").to_owned(),
        });
        let mut bare = url.clone();
        bare.set_username("").unwrap();
        bare.set_password(None).unwrap();
        let mut session = Session::describe(bare, SessionOptions::default().creds(user)).await?;
        let video = session
            .streams()
            .iter()
            .position(|s| s.media() == "video")
            .unwrap();
        let codec = match session.streams()[video].encoding_name() {
            "h264" => Codec::H264,
            _ => Codec::H265,
        };
        let setup = SetupOptions::default()
            .transport(transport)
            .frame_format(FrameFormat::MP4);
        session.setup(video, setup).await?;
        let stream = session.play(PlayOptions::default()).await?.demuxed()?;
        Ok(Self {
            stream,
            codec,
            lost: 0,
        })
    }

    async fn tcp(server: &Handle, name: &str) -> Self {
        Self::connect(&server.url_of(name), Transport::default())
            .await
            .unwrap()
    }

    /// The next frame; `None` when the session has broken.
    async fn next(&mut self) -> Option<Verdict> {
        loop {
            let item = tokio::time::timeout(Duration::from_secs(20), self.stream.next()).await;
            match item.expect("no frame for 20 s")? {
                Ok(CodecItem::VideoFrame(frame)) => {
                    self.lost += u64::from(frame.loss());
                    return Some(mark::verify(self.codec, frame.data()));
                }
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// The next frame, which must be what was sent.
    async fn good(&mut self) -> Mark {
        match self.next().await {
            // retina takes parameter sets out of the stream.
            Some(Verdict::Identical(mark) | Verdict::SlicesIdentical(mark)) => mark,
            other => panic!("{other:?}"),
        }
    }

    /// The numbers of `count` good frames.
    async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        for _ in 0..count {
            numbers.push(self.good().await.frame);
        }
        numbers
    }
}

fn is_unbroken(numbers: &[u64]) -> bool {
    numbers.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

/// Clips with one parameter set of each kind; retina cannot do `multi`, and `refresh` and `smart` only take longer.
#[tokio::test]
async fn every_frame_arrives_in_order_and_unchanged() {
    let server = Server::start(options()).unwrap();
    for name in ["h264/0", "h264b/0", "h265/0", "h265b/0", "g711/0", "load/0"] {
        let mut client = Client::tcp(&server, name).await;
        let numbers = client.numbers(400).await;
        assert!(is_unbroken(&numbers), "{name}: {numbers:?}");
        assert_eq!(client.lost, 0, "{name}");
    }
    let report = server.stop();
    assert_eq!(report.frames_slow(), 0);
    let sent = &report.camera("h264b/0").unwrap().sessions[0];
    assert!(sent.frames >= 400 && sent.transport == "tcp");
}

#[tokio::test]
async fn two_clients_of_one_camera_get_the_same_frames() {
    let server = Server::start(options()).unwrap();
    let (mut one, mut other) = (
        Client::tcp(&server, "cam0").await,
        Client::tcp(&server, "cam0").await,
    );
    let (first, second) = (one.numbers(200).await, other.numbers(200).await);
    let common: Vec<_> = first
        .iter()
        .filter(|number| second.contains(number))
        .collect();
    assert!(common.len() > 60, "{first:?} {second:?}");
}

#[tokio::test]
async fn dropped_packets_are_missed_by_the_client_and_counted_by_the_server() {
    let server = Server::start(options()).unwrap();
    let mut client = Client::tcp(&server, "cam0").await;
    client.numbers(10).await;
    assert_eq!(server.inject_into(0, Fault::Drop(0.1)), 1);
    for _ in 0..300 {
        // A broken access unit is an error to retina, which goes on behind it.
        let _ = client.next().await;
    }
    assert!(client.lost > 5, "{}", client.lost);
    server.inject_into(0, Fault::Drop(0.0));
    let report = server.stop();
    let dropped = report.camera("cam0").unwrap().sessions[0].packets_dropped;
    assert!(
        dropped >= client.lost,
        "{dropped} dropped, {} missed",
        client.lost
    );
}

#[tokio::test]
async fn a_stall_leaves_a_hole_that_ends_with_a_key_frame() {
    let server = Server::start(options()).unwrap();
    let mut client = Client::tcp(&server, "cam1").await;
    let before = client.numbers(20).await;
    server.inject_into(1, Fault::Stall(Duration::from_millis(300)));
    let after = client.numbers(100).await;
    let all: Vec<u64> = before.into_iter().chain(after).collect();
    let holes: Vec<u64> = all
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .filter(|step| *step > 1)
        .collect();
    assert_eq!(holes.len(), 1, "{all:?}");
    assert!(holes[0] >= u64::from(RATE) * 3 / 10, "{holes:?}");
    assert_eq!(
        client.lost, 0,
        "a stalled camera made no packets, so none are missing"
    );
}

/// What waits is more than the backlog holds, and still comes whole.
#[tokio::test]
async fn a_lag_delays_everything_and_loses_nothing() {
    let heavy = Options {
        clips: vec!["load".to_owned()],
        backlog_max: 256 << 10,
        ..options()
    };
    let server = Server::start(heavy).unwrap();
    let mut client = Client::tcp(&server, "cam0").await;
    let before = client.numbers(5).await;
    server.inject_into(0, Fault::Lag(Duration::from_secs(1)));
    let after = client.numbers(300).await;
    assert!(is_unbroken(&[before, after].concat()));
}

/// Method: a rule as on the command line, and one by chance; both must leave their hole without anybody calling.
#[tokio::test]
async fn rules_happen_by_the_clock_and_by_chance() {
    for rule in ["0:stall=200ms@every500ms", "cam0:stall=200ms@p0.02"] {
        let rules = vec![rule.parse().unwrap()];
        let server = Server::start(Options { rules, ..options() }).unwrap();
        let mut client = Client::tcp(&server, "cam0").await;
        let numbers = client.numbers(300).await;
        assert!(!is_unbroken(&numbers), "{rule}");
        let mut other = Client::tcp(&server, "cam1").await;
        assert!(
            is_unbroken(&other.numbers(100).await),
            "{rule} is for cam0 alone"
        );
    }
}

/// Goal: a client begins where the options say. Method: the number of its first frame, beside the frames due before it came. A key frame
/// may fall due in between, so the last one gets a few tries; the next one is never early.
#[tokio::test]
async fn a_client_begins_with_the_key_frame_asked_for() {
    for begin in [Begin::LastKey, Begin::NextKey] {
        let server = Server::start(Options { begin, ..options() }).unwrap();
        let due = || server.report().camera("cam0").unwrap().frames_due;
        while due() < 60 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut early = 0;
        for _ in 0..5 {
            let before = due();
            early += usize::from(Client::tcp(&server, "cam0").await.good().await.frame < before);
        }
        assert_eq!(early > 0, begin == Begin::LastKey, "{early} of 5");
    }
}

#[tokio::test]
async fn a_restart_breaks_the_session_and_the_camera_comes_back() {
    let server = Server::start(options()).unwrap();
    let mut client = Client::tcp(&server, "cam0").await;
    let last = client.numbers(10).await[9];
    server.inject_into(0, Fault::Restart(Duration::from_millis(200)));
    while client.next().await.is_some() {}
    let refused = Client::connect(&server.url(0), Transport::default()).await;
    assert!(refused.is_err(), "the camera should still be down");
    let mut back = loop {
        match Client::connect(&server.url(0), Transport::default()).await {
            Ok(client) => break client,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert!(back.good().await.frame > last + 10);
}

#[tokio::test]
async fn a_switch_changes_the_parameter_sets_without_a_missing_frame() {
    let server = Server::start(options()).unwrap();
    let mut client = Client::tcp(&server, "cam0").await;
    client.numbers(5).await;
    server.inject_into(0, Fault::Switch("g711".to_owned()));
    let numbers = client.numbers(300).await;
    assert!(is_unbroken(&numbers), "{numbers:?}");
    assert_eq!(server.report().camera("cam0").unwrap().clip, "g711");
}

#[tokio::test]
async fn garbage_is_never_a_good_frame() {
    let server = Server::start(options()).unwrap();
    for kind in [Garbage::Packet, Garbage::Payload, Garbage::Framing] {
        let mut client = Client::tcp(&server, "cam0").await;
        client.numbers(5).await;
        server.inject_into(0, Fault::Garbage(kind));
        let mut bad = false;
        for _ in 0..200 {
            bad |= !matches!(
                client.next().await,
                Some(Verdict::Identical(_) | Verdict::SlicesIdentical(_))
            );
        }
        assert!(bad, "{kind:?} went unnoticed");
    }
}

#[tokio::test]
async fn who_is_refused_gets_no_frames() {
    let server = Server::start(options()).unwrap();
    server.inject_into(0, Fault::Unauthorized(true));
    server.inject_into(1, Fault::Refuse(true));
    for number in [0, 1] {
        assert!(
            Client::connect(&server.url(number), Transport::default())
                .await
                .is_err()
        );
    }
    server.inject(Which::All, Fault::Unauthorized(false));
    Client::tcp(&server, "cam0").await.good().await;
    assert!(server.set_listening(false));
    assert!(std::net::TcpStream::connect(server.addr()).is_err());
    assert!(server.set_listening(true));
    Client::tcp(&server, "cam0").await.good().await;
}

/// Goal: the sender reports tie RTP time to the wall time that the marks tell, and to a wrong one on request.
#[tokio::test]
async fn sender_reports_tell_the_time_the_camera_believes() {
    let server = Server::start(options()).unwrap();
    let hour_us = 3_600_000_000;
    server.inject_into(1, Fault::NtpOffset(-hour_us));
    for (number, offset_us) in [(0, 0), (1, -hour_us)] {
        let mut client = Client::tcp(&server, &format!("cam{number}")).await;
        let (mut report, mut shown) = (None, None);
        while report.is_none() || shown.is_none() {
            match client.stream.next().await.unwrap().unwrap() {
                CodecItem::Rtcp(packets) => {
                    let sent = packets
                        .pkts()
                        .find_map(|p| p.as_sender_report().ok().flatten())
                        .unwrap();
                    let unix_us = ((u128::from(sent.ntp_timestamp().0) * 1_000_000) >> 32) as i64
                        - 2_208_988_800_000_000;
                    report = Some((unix_us, sent.rtp_timestamp()));
                }
                CodecItem::VideoFrame(frame) => {
                    let mark = mark::find(frame.data()).unwrap();
                    shown = Some((mark.time_us as i64, frame.timestamp().timestamp() as u32));
                }
                _ => {}
            }
        }
        let ((report_us, report_ticks), (frame_us, frame_ticks)) =
            (report.unwrap(), shown.unwrap());
        let apart_us = i64::from(frame_ticks.wrapping_sub(report_ticks) as i32) * 100 / 9;
        let error_us = report_us + apart_us - frame_us - offset_us;
        assert!(error_us.abs() < 50, "camera {number} is {error_us} us off");
    }
}

#[tokio::test]
async fn credentials_are_asked_for_and_checked() {
    for scheme in [
        Scheme::Digest,
        Scheme::DigestQop,
        Scheme::Basic,
        Scheme::Both,
    ] {
        let auth = Auth {
            user: "admin".to_owned(),
            password: "s3cret".to_owned(),
            scheme,
        };
        let server = Server::start(Options {
            auth: Some(auth),
            ..options()
        })
        .unwrap();
        let url = |user: &str| server.url(0).replace("rtsp://", &format!("rtsp://{user}@"));
        let mut client = Client::connect(&url("admin:s3cret"), Transport::default())
            .await
            .unwrap();
        client.good().await;
        assert!(
            Client::connect(&url("admin:wrong"), Transport::default())
                .await
                .is_err(),
            "{scheme:?}"
        );
    }
}

#[tokio::test]
async fn over_udp_frames_arrive_and_reordering_is_seen() {
    let server = Server::start(Options {
        rate: Some(60),
        ..options()
    })
    .unwrap();
    let udp = || Transport::Udp(Default::default());
    let mut client = Client::connect(&server.url(0), udp()).await.unwrap();
    assert!(is_unbroken(&client.numbers(60).await));
    server.inject_into(0, Fault::Reorder(0.3));
    let mut good = 0;
    for _ in 0..120 {
        good += usize::from(matches!(
            client.next().await,
            Some(Verdict::SlicesIdentical(_) | Verdict::Identical(_))
        ));
    }
    assert!(
        good < 120,
        "retina has no reorder buffer, so frames must be lost"
    );
    drop(client);
    assert_eq!(
        server.stop().camera("cam0").unwrap().sessions[0].transport,
        "udp"
    );
}

/// Method: one client stops reading while another goes on.
#[tokio::test]
async fn a_stuck_client_loses_whole_frames_and_hinders_nobody() {
    let stuck = Options {
        clips: vec!["load".to_owned()],
        rate: Some(400),
        backlog_max: 256 << 10,
        ..options()
    };
    let server = Server::start(stuck).unwrap();
    let idle = Client::tcp(&server, "cam0").await;
    let mut reader = Client::tcp(&server, "cam1").await;
    let slow = |server: &Handle| {
        server
            .report()
            .camera("cam0")
            .unwrap()
            .sessions
            .iter()
            .map(|s| s.frames_slow)
            .sum::<u64>()
    };
    let mut last = reader.good().await.frame;
    while slow(&server) == 0 {
        let next = reader.good().await.frame;
        assert_eq!(next, last + 1);
        last = next;
    }
    drop(idle);
    let report = server.stop();
    assert_eq!(report.camera("cam1").unwrap().sessions[0].frames_slow, 0);
}
