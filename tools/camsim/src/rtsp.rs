//! Answers to RTSP requests (RFC 2326 §10): what a camera says to its clients.

use crate::camera::Camera;
use crate::engine::Engine;
use crate::fault::KeepAlive;
use crate::request::{Answer, Request};
use crate::sdp;
use crate::server::Begin;
use crate::session::{Session, Track, Way};
use std::net::SocketAddr;

const METHODS: &str =
    "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, SET_PARAMETER, TEARDOWN";

impl Engine {
    /// The answer to a request on connection `index`; `None` when the connection is to be closed without one.
    pub(crate) fn answer(
        &mut self,
        index: usize,
        request: &Request,
        now_ns: u64,
    ) -> Option<Answer> {
        let (path, track) = request.path();
        let camera = self.camera_at(&path, now_ns);
        let nonce = self.connections[index].as_ref()?.nonce.clone();
        if let Some(camera) = camera.map(|camera| &self.cameras[camera]) {
            if camera.settings.refuse || camera.down_until_ns > now_ns {
                self.connections[index].as_mut()?.closing = Some("refused");
                return None;
            }
            if camera.settings.unauthorized && request.method != "OPTIONS" {
                let challenge = format!("Digest realm=\"camsim\", nonce=\"{nonce}\"");
                return Some(
                    Answer::new(request, "401 Unauthorized").with("WWW-Authenticate", &challenge),
                );
            }
        }
        if let Some(auth) = &self.options.auth
            && request.method != "OPTIONS"
            && !auth.admits(request, &nonce)
        {
            let refusal = Answer::new(request, "401 Unauthorized");
            let challenges = auth.challenges(&nonce);
            return Some(
                challenges
                    .iter()
                    .fold(refusal, |answer, one| answer.with("WWW-Authenticate", one)),
            );
        }
        if let Some(way) = self.unusual_keep_alive(index, request) {
            let misnumbered = way == KeepAlive::Misnumbered;
            return misnumbered.then(|| Answer::misnumbered(request, "200 OK"));
        }
        Some(match request.method.as_str() {
            "OPTIONS" => Answer::new(request, "200 OK").with("Public", METHODS),
            "GET_PARAMETER" | "SET_PARAMETER" => self.keep_alive(index, request),
            "TEARDOWN" => self.tear_down(index, request),
            "PAUSE" => self.pause(index, request),
            "DESCRIBE" | "SETUP" | "PLAY" => match camera {
                None => Answer::new(request, "404 Not Found"),
                Some(camera) if request.method == "DESCRIBE" => {
                    self.describe(request, camera, now_ns)
                }
                Some(camera) if request.method == "SETUP" => {
                    self.set_up(index, request, camera, track, now_ns)
                }
                Some(camera) => self.play(index, request, camera, now_ns),
            },
            _ => Answer::new(request, "501 Not Implemented").with("Public", METHODS),
        })
    }

    /// What this request gets when it keeps a playing session alive and its camera has a way of its own.
    fn unusual_keep_alive(&self, index: usize, request: &Request) -> Option<KeepAlive> {
        let session = self.connections[index].as_ref()?.session.as_ref()?;
        let keeps =
            ["OPTIONS", "GET_PARAMETER", "SET_PARAMETER"].contains(&request.method.as_str());
        let way = self.cameras[session.camera].settings.keep_alive;
        (keeps && session.playing && way != KeepAlive::Answered).then_some(way)
    }

    fn describe(&self, request: &Request, camera: usize, now_ns: u64) -> Answer {
        let camera = &self.cameras[camera];
        let base = format!("{}/", request.url.trim_end_matches('/'));
        let order = camera.settings.decoding_order;
        let body = sdp::describe(&camera.name, camera.clip(now_ns), self.addr.ip(), order);
        Answer::new(request, "200 OK")
            .with("Content-Base", &base)
            .with_body("application/sdp", body)
    }

    fn set_up(
        &mut self,
        index: usize,
        request: &Request,
        camera: usize,
        track: Option<usize>,
        now_ns: u64,
    ) -> Answer {
        let track = track.unwrap_or(0);
        if track > 1 || (track == 1 && self.cameras[camera].sound().is_none()) {
            return Answer::new(request, "404 Not Found");
        }
        let Some(connection) = self.connections[index].as_mut() else {
            return Answer::new(request, "454 Session Not Found");
        };
        let Some((way, transport)) = transport(
            request,
            track,
            connection.peer,
            self.udp.rtp.local_addr().ok(),
        ) else {
            return Answer::new(request, "461 Unsupported Transport");
        };
        if connection
            .session
            .as_ref()
            .is_some_and(|session| session.camera != camera)
        {
            return Answer::new(request, "459 Aggregate Operation Not Allowed");
        }
        let seed = self.seed.clone();
        self.seed.next();
        let session = connection
            .session
            .get_or_insert_with(|| Session::new(camera, connection.peer, now_ns, seed));
        if session.playing {
            return Answer::new(request, "455 Method Not Valid in This State");
        }
        session.report.transport = if matches!(way, Way::Tcp { .. }) {
            "tcp"
        } else {
            "udp"
        };
        let new = Track::new(way, &mut self.seed);
        let ssrc = new.ssrc;
        if track == 0 {
            session.video = Some(new);
        } else {
            session.sound = Some(new);
        }
        let timeout = self.options.session_timeout.as_secs();
        Answer::new(request, "200 OK")
            .with("Session", &format!("{};timeout={timeout}", session.id))
            .with("Transport", &format!("{transport};ssrc={ssrc:08X}"))
    }

    fn play(
        &mut self,
        index: usize,
        request: &Request,
        camera_index: usize,
        now_ns: u64,
    ) -> Answer {
        let camera = &self.cameras[camera_index];
        let begin = self.options.begin;
        let session = self.connections[index]
            .as_mut()
            .and_then(|connection| connection.session.as_mut());
        let Some(session) = session.filter(|session| names_session(request, &session.id)) else {
            return Answer::new(request, "454 Session Not Found");
        };
        if session.camera != camera_index {
            return Answer::new(request, "454 Session Not Found");
        }
        if !session.playing {
            session.playing = true;
            start(session, camera, begin, now_ns);
        }
        let base = request.url.trim_end_matches('/');
        let mut info = Vec::new();
        if let Some(track) = &session.video {
            let ticks = camera.frame(track.next).ticks.wrapping_add(track.offset);
            info.push(format!(
                "url={base}/trackID=0;seq={};rtptime={ticks}",
                track.sequence
            ));
        }
        if let (Some(track), Some(sound)) = (&session.sound, camera.sound()) {
            let ticks = (track.next * sound.samples) as u32;
            let ticks = ticks
                .wrapping_add(camera.sound_jump)
                .wrapping_add(track.offset);
            info.push(format!(
                "url={base}/trackID=1;seq={};rtptime={ticks}",
                track.sequence
            ));
        }
        Answer::new(request, "200 OK")
            .with("Session", &session.id)
            .with("Range", "npt=now-")
            .with("RTP-Info", &info.join(","))
    }

    fn pause(&mut self, index: usize, request: &Request) -> Answer {
        let session = self.connections[index]
            .as_mut()
            .and_then(|connection| connection.session.as_mut());
        match session.filter(|session| names_session(request, &session.id)) {
            None => Answer::new(request, "454 Session Not Found"),
            Some(session) => {
                session.playing = false;
                Answer::new(request, "200 OK").with("Session", &session.id)
            }
        }
    }

    fn keep_alive(&mut self, index: usize, request: &Request) -> Answer {
        let session = self.connections[index]
            .as_ref()
            .and_then(|connection| connection.session.as_ref());
        match (session, request.header("Session")) {
            (Some(session), _) if names_session(request, &session.id) => {
                Answer::new(request, "200 OK").with("Session", &session.id)
            }
            (_, None) => Answer::new(request, "200 OK"),
            _ => Answer::new(request, "454 Session Not Found"),
        }
    }

    fn tear_down(&mut self, index: usize, request: &Request) -> Answer {
        let connection = self.connections[index].as_mut();
        let session = connection.and_then(|connection| {
            connection
                .session
                .take_if(|s| names_session(request, &s.id))
        });
        match session {
            None => Answer::new(request, "454 Session Not Found"),
            Some(session) => {
                self.end_session(session, "torn down");
                Answer::new(request, "200 OK")
            }
        }
    }
}

fn names_session(request: &Request, id: &str) -> bool {
    let named = request
        .header("Session")
        .and_then(|value| value.split(';').next());
    named.is_some_and(|named| named.trim() == id)
}

/// Sets the tracks to where the receiver begins.
fn start(session: &mut Session, camera: &Camera, begin: Begin, now_ns: u64) {
    let now = camera.first_from(now_ns);
    if let Some(track) = &mut session.video {
        let number = match begin {
            Begin::Anywhere => now,
            Begin::NextKey => camera.next_key(now),
            Begin::LastKey => camera.last_key(now),
        };
        track.next = camera.past_stalls(number);
    }
    if let (Some(track), Some(sound)) = (&mut session.sound, camera.sound()) {
        track.next = camera.sound_from(sound, now_ns);
    }
}

/// The first transport of the request that can be had, and how to say so.
fn transport(
    request: &Request,
    track: usize,
    peer: SocketAddr,
    udp: Option<SocketAddr>,
) -> Option<(Way, String)> {
    let offers = request.header("Transport")?;
    offers.split(',').find_map(|offer| {
        let fields: Vec<&str> = offer.split(';').map(str::trim).collect();
        let pair = |name: &str| {
            let value = fields
                .iter()
                .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))?;
            let (first, second) = value.split_once('-').unwrap_or((value, ""));
            let first: u16 = first.parse().ok()?;
            Some((first, second.parse().unwrap_or(first.wrapping_add(1))))
        };
        if fields
            .first()
            .is_some_and(|name| name.eq_ignore_ascii_case("RTP/AVP/TCP"))
        {
            let (rtp, rtcp) =
                pair("interleaved").unwrap_or((2 * track as u16, 2 * track as u16 + 1));
            let way = Way::Tcp {
                rtp: u8::try_from(rtp).ok()?,
                rtcp: u8::try_from(rtcp).ok()?,
            };
            return Some((way, format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}")));
        }
        if fields.contains(&"multicast") {
            return None;
        }
        let (rtp, rtcp) = pair("client_port")?;
        let server = udp?.port();
        let way = Way::Udp {
            rtp: SocketAddr::new(peer.ip(), rtp),
            rtcp: SocketAddr::new(peer.ip(), rtcp),
        };
        Some((
            way,
            format!(
                "RTP/AVP;unicast;client_port={rtp}-{rtcp};server_port={server}-{}",
                server + 1
            ),
        ))
    })
}
