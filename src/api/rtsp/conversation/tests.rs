//! Goal: every rule of the conversation, without I/O. Method: requests as text, deeds answered at once with made-up outcomes.

use super::{sign_in::DENIALS_MAX, *};
use crate::{
    access::Open,
    api::rtsp::{
        guesses::FREE,
        message::{Inbox, Incoming},
        session::SessionLimits,
    },
};

struct Rig {
    conversation: Conversation,
    sessions: Sessions,
    now: Micros,
    cseq: u32,
}

fn party(connection: u64, peer: [u8; 4]) -> Party {
    Party {
        connection,
        peer: IpAddr::from(peer),
        private: false,
        nonce: "n0nce".to_owned(),
    }
}

fn rules(users: Option<Users>) -> Arc<Rules> {
    Arc::new(Rules {
        users,
        access: Arc::new(Open),
        datagrams: true,
        guesses: Guesses::default(),
    })
}

impl Rig {
    fn new() -> Self {
        let mut next = 0;
        let limits = SessionLimits {
            all: 5,
            per_client: 3,
        };
        let new_id = move || {
            next += 1;
            SessionId(format!("id{next}"))
        };
        Self {
            conversation: Conversation::new(rules(None), party(1, [10, 0, 0, 1])),
            sessions: Sessions::new(limits, new_id),
            now: Micros::ZERO,
            cseq: 0,
        }
    }

    fn step(&mut self, method: &str, url: &str, headers: &str) -> Step {
        self.cseq += 1;
        let text = format!(
            "{method} {url} RTSP/1.0\r\nCSeq: {}\r\n{headers}\r\n",
            self.cseq
        );
        let mut inbox = Inbox::default();
        inbox.buffer().extend_from_slice(text.as_bytes());
        match inbox.read() {
            Ok(Some(Incoming::Request(request))) => {
                self.conversation
                    .handle(&request, &mut self.sessions, self.now)
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    /// Performs whatever is to be done successfully; the stream has two tracks.
    fn ask(&mut self, method: &str, url: &str, headers: &str) -> Response {
        let step = self.step(method, url, headers);
        self.perform(step)
    }

    fn perform(&mut self, step: Step) -> Response {
        match step {
            Step::Answer(response) | Step::Close(response) => response,
            Step::Perform(deed) => {
                let outcome = match &deed {
                    Deed::Describe { .. } => Outcome::Described(Ok("v=0\r\n".to_owned())),
                    Deed::SetUp {
                        address, transport, ..
                    } => {
                        let track = address.track.unwrap_or_default();
                        let server_ports = matches!(transport, Transport::Datagrams { .. })
                            .then_some((6000, 6001));
                        Outcome::SetUp(Ok(Granted {
                            track,
                            server_ports,
                        }))
                    }
                    Deed::Play { .. } => Outcome::Playing(Ok(Prepared {
                        range: "npt=now-".to_owned(),
                        starts: vec![TrackStart {
                            track: 0,
                            sequence: 7,
                            timestamp: 9,
                        }],
                        pace: Vec::new(),
                    })),
                    Deed::Pause { .. } | Deed::TearDown { .. } => Outcome::Stopped,
                };
                self.conversation.done(outcome, &mut self.sessions)
            }
        }
    }

    fn code(&mut self, method: &str, url: &str, headers: &str) -> u16 {
        let response = self.ask(method, url, headers);
        let cseq = self.cseq.to_string();
        assert_eq!(response.header("CSeq").next(), Some(&*cseq), "{method}");
        response.status().code()
    }

    fn set_up(&mut self, track: u8, session: Option<&str>) -> u16 {
        let session = session
            .map(|id| format!("Session: {id}\r\n"))
            .unwrap_or_default();
        let headers = format!(
            "Transport: RTP/AVP/TCP;unicast;interleaved={}-{}\r\n{session}",
            2 * track,
            2 * track + 1
        );
        self.code("SETUP", &format!("{GATE}/trackID={track}"), &headers)
    }
}

const GATE: &str = "rtsp://h:8554/gate";
const ID: &str = "Session: id1\r\n";

fn header(response: &Response, name: &str) -> String {
    response.header(name).next().unwrap_or_default().to_owned()
}

#[test]
fn a_client_watches_from_options_to_teardown() {
    let mut rig = Rig::new();
    assert!(header(&rig.ask("OPTIONS", "*", ""), "Public").contains("GET_PARAMETER"));
    let described = rig.ask("DESCRIBE", GATE, "Accept: application/sdp\r\n");
    assert_eq!(header(&described, "Content-Base"), "rtsp://h:8554/gate/");
    let response = rig.ask(
        "SETUP",
        &format!("{GATE}/trackID=0"),
        "Transport: RTP/AVP/TCP;interleaved=0-1\r\n",
    );
    assert_eq!(header(&response, "Session"), "id1;timeout=60");
    assert_eq!(
        header(&response, "Transport"),
        "RTP/AVP/TCP;unicast;interleaved=0-1"
    );
    assert_eq!(rig.set_up(1, Some("id1")), 200);
    let response = rig.ask("PLAY", GATE, &format!("{ID}Range: npt=0.000-\r\n"));
    assert_eq!(
        header(&response, "RTP-Info"),
        "url=rtsp://h:8554/gate/trackID=0;seq=7;rtptime=9"
    );
    assert_eq!(rig.code("PAUSE", GATE, ID), 200);
    assert_eq!(rig.code("PAUSE", GATE, ID), 200, "it changes nothing");
    assert_eq!(rig.code("PLAY", GATE, ID), 200);
    assert_eq!(rig.code("GET_PARAMETER", GATE, ID), 200);
    assert_eq!(rig.code("TEARDOWN", GATE, ID), 200);
    assert_eq!(rig.code("PLAY", GATE, ID), 454);
    assert!(rig.sessions.is_empty());
}

#[test]
fn over_udp_both_sides_ports_are_told() {
    let mut rig = Rig::new();
    let response = rig.ask(
        "SETUP",
        GATE,
        "Transport: RTP/AVP/UDP;unicast;client_port=5000-5001\r\n",
    );
    assert_eq!(
        header(&response, "Transport"),
        "RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001"
    );
}

#[test]
fn requests_in_the_wrong_state_or_of_the_wrong_thing_are_refused() {
    let mut rig = Rig::new();
    assert_eq!(rig.set_up(0, None), 200);
    assert_eq!(rig.set_up(1, Some("id1")), 200);
    let track = format!("{GATE}/trackID=1");
    let tcp = "Transport: RTP/AVP/TCP;unicast\r\n";
    for (method, url, headers, code) in [
        ("PLAY", GATE, "", 454),
        ("PLAY", GATE, "Session: id9\r\n", 454),
        ("PLAY", &track, ID, 460),
        ("PLAY", "rtsp://h/yard", ID, 404),
        ("PLAY", GATE, "Session: id1\r\nRange: smpte=0-\r\n", 457),
        ("PLAY", GATE, "Session: id1\r\nScale: 0\r\n", 456),
        (
            "PLAY",
            GATE,
            "Session: id1\r\nRequire: play.basic, onvif-replay\r\n",
            551,
        ),
        ("DESCRIBE", GATE, "Accept: text/html\r\n", 406),
        ("DESCRIBE", "*", "", 400),
        ("DESCRIBE", "rtsp://h/a/b/c", "", 404),
        ("ANNOUNCE", GATE, "", 405),
        ("RECORD", GATE, ID, 405),
        ("FLY", GATE, "", 501),
        ("SETUP", &track, "", 400),
        ("SETUP", &track, "Transport: RTP/AVP;multicast\r\n", 461),
        (
            "SETUP",
            "rtsp://h/yard/trackID=0",
            &format!("{ID}{tcp}"),
            459,
        ),
        (
            "SETUP",
            &track,
            "Session: id1\r\nTransport: RTP/AVP;unicast;client_port=6-7\r\n",
            461,
        ),
        (
            "SETUP",
            &track,
            "Session: id9\r\nTransport: RTP/AVP/TCP\r\n",
            454,
        ),
        (
            "SETUP",
            GATE,
            "Transport: RTP/AVP/TCP;interleaved=1-2\r\n",
            461,
        ),
        ("OPTIONS", GATE, "Session: id9\r\n", 454),
        (
            "SET_PARAMETER",
            GATE,
            "Content-Type: text/parameters\r\nContent-Length: 0\r\n",
            200,
        ),
    ] {
        assert_eq!(
            rig.code(method, url, headers),
            code,
            "{method} {url} {headers}"
        );
    }
}

#[test]
fn what_plays_is_not_changed_and_one_track_of_several_not_controlled() {
    let mut rig = Rig::new();
    assert_eq!(rig.set_up(0, None), 200);
    assert_eq!(rig.set_up(1, Some("id1")), 200);
    let track = format!("{GATE}/trackID=1");
    let tcp = "Transport: RTP/AVP/TCP;unicast\r\n";
    assert_eq!(rig.code("PLAY", GATE, ID), 200);
    assert_eq!(rig.code("SETUP", &track, &format!("{ID}{tcp}")), 455);
    assert_eq!(rig.code("TEARDOWN", &track, ID), 460);
    assert_eq!(rig.code("PAUSE", &track, ID), 460);
    assert_eq!(rig.code("PAUSE", GATE, ID), 200);
    assert_eq!(rig.code("TEARDOWN", &track, ID), 200);
    assert_eq!(
        rig.code("PLAY", &format!("{GATE}/trackID=0"), ID),
        200,
        "the one track that is left may be named"
    );
}

#[test]
fn unknown_parameters_are_named_and_unknown_options_too() {
    let mut rig = Rig::new();
    let mut inbox = Inbox::default();
    inbox.buffer().extend_from_slice(
        b"GET_PARAMETER rtsp://h/gate RTSP/1.0\r\nCSeq: 1\r\nContent-Type: text/parameters\r\nContent-Length: 15\r\n\r\njitter\r\nloss: 1",
    );
    let Ok(Some(Incoming::Request(request))) = inbox.read() else {
        panic!("a request")
    };
    let Step::Answer(response) = rig
        .conversation
        .handle(&request, &mut rig.sessions, rig.now)
    else {
        panic!("an answer")
    };
    assert_eq!(
        (response.status().code(), response.body()),
        (451, "jitter\r\nloss\r\n")
    );
    let response = rig.ask(
        "SETUP",
        GATE,
        "Require: a, onvif-replay\r\nProxy-Require: b\r\n",
    );
    assert_eq!(
        (response.status().code(), &*header(&response, "Unsupported")),
        (551, "a, b")
    );
}

#[test]
fn sessions_are_limited_and_their_channels_their_own() {
    let mut rig = Rig::new();
    for _ in 0..3 {
        assert_eq!(
            rig.code("SETUP", GATE, "Transport: RTP/AVP/TCP\r\n"),
            200,
            "channels are chosen"
        );
    }
    assert_eq!(rig.sessions.free_channel(1), Some(6));
    assert_eq!(rig.code("SETUP", GATE, "Transport: RTP/AVP/TCP\r\n"), 453);
    for number in 2..=4 {
        let client = Party {
            connection: number,
            ..party(number, [10, 0, 0, number as u8])
        };
        rig.conversation = Conversation::new(rules(None), client);
        let expected = if number < 4 { 200 } else { 503 };
        assert_eq!(
            rig.code("SETUP", GATE, "Transport: RTP/AVP/TCP;interleaved=0-1\r\n"),
            expected
        );
    }
    assert_eq!(
        rig.code("PLAY", GATE, ID),
        454,
        "a session of another address"
    );
    assert_eq!(rig.sessions.leave(1).len(), 3);
    assert_eq!(rig.sessions.len(), 2);
}

#[test]
fn a_failed_setup_leaves_no_session() {
    let mut rig = Rig::new();
    assert!(matches!(
        rig.step("SETUP", GATE, "Transport: RTP/AVP/TCP\r\n"),
        Step::Perform(_)
    ));
    let refusal = Refusal::new(Status::NotFound, "no such camera");
    let response = rig
        .conversation
        .done(Outcome::SetUp(Err(refusal)), &mut rig.sessions);
    assert_eq!(response.status().code(), 404);
    assert!(rig.sessions.is_empty());
}

#[test]
fn sessions_end_when_nothing_is_heard_of_the_client() {
    let mut rig = Rig::new();
    let udp = "Transport: RTP/AVP;unicast;client_port=5000-5001\r\n";
    assert_eq!(rig.code("SETUP", GATE, udp), 200);
    assert_eq!(rig.code("PLAY", GATE, ID), 200);
    assert_eq!(rig.code("SETUP", GATE, "Transport: RTP/AVP/TCP\r\n"), 200);
    assert_eq!(rig.code("PLAY", GATE, "Session: id2\r\n"), 200);
    rig.now = Micros::from_secs(60);
    assert_eq!(rig.code("OPTIONS", GATE, ID), 200);
    rig.now = Micros::from_secs(120);
    rig.sessions.touch(&SessionId("id1".to_owned()), rig.now);
    rig.now = Micros::from_secs(185);
    assert_eq!(rig.sessions.expire(rig.now), []);
    rig.now = Micros::from_secs(191);
    assert_eq!(
        rig.sessions.expire(rig.now),
        [SessionId("id1".to_owned())],
        "what plays on its connection needs no sign of life"
    );
    rig.conversation = Conversation::new(rules(None), party(2, [10, 0, 0, 1]));
    assert_eq!(
        rig.code("PLAY", GATE, "Session: id2\r\n"),
        454,
        "its channels are on another connection"
    );
}

#[test]
fn whoever_does_not_sign_in_learns_the_methods_and_nothing_else() {
    let mut rig = Rig::new();
    let users = Users::parse("nga:h0use").expect("users");
    rig.conversation = Conversation::new(rules(Some(users)), party(1, [10, 0, 0, 1]));
    assert_eq!(rig.code("OPTIONS", "*", ""), 200);
    for method in [
        "DESCRIBE",
        "SETUP",
        "PLAY",
        "PAUSE",
        "TEARDOWN",
        "GET_PARAMETER",
    ] {
        let response = rig.ask(method, GATE, ID);
        assert_eq!(response.status().code(), 401, "{method}");
        let offers: Vec<&str> = response.header("WWW-Authenticate").collect();
        assert!(
            offers[0].contains("SHA-256") && offers[1].contains("MD5"),
            "{offers:?}"
        );
    }
    for _ in 1..DENIALS_MAX {
        assert!(matches!(rig.step("DESCRIBE", GATE, WRONG), Step::Answer(_)));
    }
    assert!(
        matches!(rig.step("DESCRIBE", GATE, WRONG), Step::Close(_)),
        "who guesses is cut off"
    );
}

const WRONG: &str = "Authorization: Basic bmdhOng=\r\n";
const RIGHT: &str = "Authorization: Basic bmdhOmgwdXNl\r\n";

#[test]
fn who_guesses_is_put_off_on_new_connections_too() {
    let mut rig = Rig::new();
    let users = Users::parse("nga:h0use").expect("users");
    let rules = rules(Some(users));
    let connect = |number: u64, last: u8| {
        let party = Party {
            private: true,
            ..party(number, [10, 0, 0, last])
        };
        Conversation::new(Arc::clone(&rules), party)
    };
    for number in 0..u64::from(FREE) {
        rig.conversation = connect(number, 1);
        assert_eq!(rig.code("DESCRIBE", GATE, WRONG), 401);
    }
    rig.conversation = connect(101, 1);
    let put_off = rig.ask("DESCRIBE", GATE, RIGHT);
    assert_eq!(
        (put_off.status().code(), &*header(&put_off, "Retry-After")),
        (503, "1"),
        "nothing is looked at, be it right or wrong"
    );
    rig.conversation = connect(102, 2);
    assert_eq!(rig.code("DESCRIBE", GATE, RIGHT), 200, "of another address");
    rig.conversation = connect(103, 1);
    rig.now = Micros::from_secs(1);
    assert_eq!(rig.code("DESCRIBE", GATE, RIGHT), 200, "after the wait");
}

#[test]
fn what_is_asked_for_by_tls_does_not_come_by_udp() {
    let mut rig = Rig::new();
    let party = Party {
        private: true,
        ..party(1, [10, 0, 0, 1])
    };
    rig.conversation = Conversation::new(rules(None), party);
    let udp = "RTP/AVP;unicast;client_port=5000-5001";
    let setup = |transport: &str| format!("Transport: {transport}\r\n");
    assert_eq!(rig.code("SETUP", GATE, &setup(udp)), 461);
    let both = setup(&format!("{udp},RTP/AVP/TCP;unicast;interleaved=0-1"));
    assert_eq!(rig.code("SETUP", GATE, &both), 200);
}

#[test]
fn a_track_set_up_again_may_go_another_way() {
    let mut rig = Rig::new();
    let udp = "Transport: RTP/AVP;unicast;client_port=5000-5001\r\n";
    let tcp = format!("{ID}Transport: RTP/AVP/TCP;unicast\r\n");
    let track = format!("{GATE}/trackID=1");
    assert_eq!(rig.code("SETUP", &track, udp), 200);
    assert_eq!(rig.code("SETUP", &track, &tcp), 200);
    assert_eq!(rig.code("SETUP", &track, &format!("{ID}{udp}")), 200);
    let other = format!("{GATE}/trackID=0");
    assert_eq!(
        rig.code("SETUP", &other, &tcp),
        461,
        "a second one goes alike"
    );
}

/// Goal: the fuzz target of this conversation begins deep inside it. Method: what it is given to begin with, and how each request goes.
#[test]
fn what_the_fuzzer_begins_with_are_whole_conversations() {
    macro_rules! seed {
        ($name:literal) => {
            include_bytes!(concat!("../../../../fuzz/seeds/rtsp_session/", $name))
        };
    }
    let seeds: [(&[u8], &[u16]); 5] = [
        (seed!("live-tcp"), &[200; 9]),
        (seed!("live-udp"), &[200, 200, 451, 200]),
        (seed!("replay"), &[200; 6]),
        (seed!("signed-in"), &[401, 200, 200, 200, 401, 401]),
        (seed!("late-and-wrong"), &[200, 200, 200, 454, 400]),
    ];
    for (seed, expected) in seeds {
        let users = (seed[0] & 1 == 1).then(|| Users::parse("a:b").expect("users"));
        let mut rig = Rig::new();
        let party = Party {
            nonce: "n".to_owned(),
            ..party(1, [127, 0, 0, 1])
        };
        rig.conversation = Conversation::new(rules(users), party);
        let mut number = 0;
        let limits = SessionLimits {
            all: 4,
            per_client: 3,
        };
        rig.sessions = Sessions::new(limits, move || {
            number += 1;
            SessionId(number.to_string())
        });
        // Behind a byte of options and one for the length of pieces.
        let mut inbox = Inbox::default();
        inbox.buffer().extend_from_slice(&seed[2..]);
        let mut codes = Vec::new();
        while let Ok(Some(incoming)) = inbox.read() {
            if let Incoming::Request(request) = incoming {
                let step = rig
                    .conversation
                    .handle(&request, &mut rig.sessions, rig.now);
                codes.push(rig.perform(step).status().code());
            }
        }
        assert_eq!(codes, expected, "{}", String::from_utf8_lossy(&seed[2..]));
    }
}
