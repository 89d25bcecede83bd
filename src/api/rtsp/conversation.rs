//! The conversation of one connection: from requests to answers, without any I/O.
//!
//! `handle` checks a request against RFC 2326 and the state of the session it names. It gives the answer at once, or a `Deed` that the
//! shell is to perform; the shell tells `done` how that went and gets the answer. So every rule about methods, headers, states, sign-in and
//! limits stands here, runs in tests and under the fuzzer, and nothing here waits, reads a clock or knows a socket.

mod answers;
mod requests;
mod sign_in;

use super::{
    address::Address,
    guesses::Guesses,
    message::Request,
    order::{ONVIF_REPLAY, PlayOrder, tags},
    response::{Refusal, Response, Status},
    session::{Owner, SessionId, Sessions},
    transport::Transport,
};
use crate::{
    access::{
        self, Access, Action, Credentials,
        digest::{Nonce, Users},
    },
    base::Micros,
};
use rtsp_types::Method;
use std::{collections::BTreeSet, fmt, net::IpAddr, sync::Arc};

/// What holds for all conversations of a listener.
pub struct Rules {
    /// Who may sign in; `None`: nobody has to.
    pub users: Option<Users>,
    /// Who may do what.
    pub access: Arc<dyn Access>,
    /// Whether packets may go by UDP.
    pub datagrams: bool,
    /// Who guesses passwords.
    pub guesses: Guesses,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("users", &self.users)
            .field("datagrams", &self.datagrams)
            .finish_non_exhaustive()
    }
}

/// Who speaks.
#[derive(Clone, Debug)]
pub struct Party {
    /// The connection's number.
    pub connection: u64,
    /// The client's address.
    pub peer: IpAddr,
    /// Whether nobody else can listen: TLS.
    pub private: bool,
    /// Random text that sign-in is made of.
    pub nonce: String,
}

/// What follows from a request.
#[derive(Debug)]
pub enum Step {
    /// This answer.
    Answer(Response),
    /// This answer, and the connection is closed.
    Close(Response),
    /// This is to be done; `Conversation::done` makes the answer of how it went.
    Perform(Deed),
}

/// What the shell does for a request.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Tell what a stream is.
    Describe {
        /// Which.
        address: Address,
        /// Whether the client speaks of ONVIF replay.
        onvif: bool,
    },
    /// Make a track ready for a session.
    SetUp {
        /// Which session.
        session: SessionId,
        /// Which stream, and which track of it unless there is only one.
        address: Address,
        /// How packets are to go; an interleaved channel is settled.
        transport: Transport,
    },
    /// Play, once the answer is sent.
    Play {
        /// Which session.
        session: SessionId,
        /// What.
        order: PlayOrder,
        /// Whether it is what is sent now; else the recording.
        live: bool,
    },
    /// Send nothing more until PLAY.
    Pause {
        /// Which session.
        session: SessionId,
    },
    /// Let go of a track, or of all.
    TearDown {
        /// Which session.
        session: SessionId,
        /// Which track; `None` is all: the session is over.
        track: Option<u8>,
    },
}

/// A track that was made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Its number.
    pub track: u8,
    /// The ports packets and reports come from, for UDP.
    pub server_ports: Option<(u16, u16)>,
}

/// Where a track begins (`RTP-Info`, RFC 2326 §12.33).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackStart {
    /// The track.
    pub track: u8,
    /// Sequence number of its first packet.
    pub sequence: u16,
    /// RTP timestamp of the instant at which `Prepared::range` starts.
    pub timestamp: u32,
}

/// What will be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The value of `Range`.
    pub range: String,
    /// Where each track begins.
    pub starts: Vec<TrackStart>,
    /// `Scale` and `Speed`, where they are in force.
    pub pace: Vec<(&'static str, f64)>,
}

/// How a deed went.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The session description.
    Described(Result<String, Refusal>),
    /// The track is ready.
    SetUp(Result<Granted, Refusal>),
    /// What will be sent once the answer is.
    Playing(Result<Prepared, Refusal>),
    /// Nothing is sent any more.
    Stopped,
}

/// One connection's side of the conversation.
#[derive(Debug)]
pub struct Conversation {
    rules: Arc<Rules>,
    party: Party,
    nonce: Nonce,
    denials: u32,
    signed_in: bool,
    pending: Option<(u32, Deed)>,
}

impl Conversation {
    /// Begins.
    pub fn new(rules: Arc<Rules>, party: Party) -> Self {
        Self {
            nonce: Nonce::new(party.nonce.clone()),
            signed_in: rules.users.is_none(),
            rules,
            party,
            denials: 0,
            pending: None,
        }
    }

    /// Whether somebody has signed in here, or nobody has to.
    pub fn is_signed_in(&self) -> bool {
        self.signed_in
    }

    /// What follows from `request`. `now` is monotonic.
    pub fn handle(&mut self, request: &Request, sessions: &mut Sessions, now: Micros) -> Step {
        let Some(cseq) = request.cseq else {
            let refusal = Refusal::new(
                Status::BadRequest,
                "no CSeq; number your requests (RFC 2326 §12.17)",
            );
            return Step::Answer(Response::refuse(&refusal, None));
        };
        let step = self.step(request, cseq, sessions, now);
        match step.unwrap_or_else(|refusal| Step::Answer(refuse(&refusal, cseq))) {
            Step::Perform(deed) => {
                self.pending = Some((cseq, deed.clone()));
                Step::Perform(deed)
            }
            step => step,
        }
    }

    fn step(
        &mut self,
        request: &Request,
        cseq: u32,
        sessions: &mut Sessions,
        now: Micros,
    ) -> Result<Step, Refusal> {
        if !request.is_version_1() {
            return Err(Refusal::new(
                Status::VersionNotSupported,
                "only RTSP/1.0 is spoken here",
            ));
        }
        match request.method {
            Method::Announce | Method::Record | Method::Redirect | Method::PlayNotify => {
                return Err(Refusal::new(
                    Status::MethodNotAllowed,
                    "streams are not taken in here; enrol cameras with `nvring camera add`",
                ));
            }
            Method::Extension(_) => {
                return Err(Refusal::new(
                    Status::NotImplemented,
                    "no such method; OPTIONS lists them",
                ));
            }
            _ => {}
        }
        if let Some(unsupported) = unsupported(request) {
            let why = Refusal::new(
                Status::OptionNotSupported,
                format!("options unknown here: {unsupported}"),
            );
            return Ok(Step::Answer(
                refuse(&why, cseq).with("Unsupported", unsupported),
            ));
        }
        let user = match self.sign_in(request, cseq, now) {
            Ok(user) => user,
            // What can be done here is told to everybody: clients ask before they sign in.
            Err(_) if request.method == Method::Options && request.header("Session").is_none() => {
                None
            }
            Err(step) => return Ok(*step),
        };
        let owner = Owner {
            connection: self.party.connection,
            peer: self.party.peer,
            user,
        };
        match request.method {
            Method::Describe => self.describe(request, &owner),
            Method::Setup => self.set_up(request, &owner, sessions, now),
            Method::Play => self.play(request, &owner, sessions, now),
            Method::Pause => requests::pause(request, &owner, sessions, now),
            Method::Teardown => requests::tear_down(request, &owner, sessions, now),
            _ => requests::keep_alive(request, cseq, &owner, sessions, now),
        }
    }

    /// Asks the one who decides.
    fn ask(&self, owner: &Owner, action: Action, camera: &str) -> Result<(), Refusal> {
        let users = self.rules.users.as_ref();
        let known = owner
            .user
            .as_deref()
            .zip(users)
            .and_then(|(user, users)| Some((user, users.password(user)?)));
        let credentials = known.map(|(user, password)| Credentials::Password {
            user: user.to_owned(),
            password: password.clone(),
        });
        let question = access::Request {
            peer: owner.peer,
            credentials: credentials.as_ref(),
            action,
            camera: Some(camera),
        };
        self.rules
            .access
            .ask(&question)
            .map_err(|refusal| Refusal::new(Status::Forbidden, refusal.to_string()))
    }
}

fn ok(cseq: u32) -> Response {
    Response::new(Status::Ok, Some(cseq))
}

fn refuse(refusal: &Refusal, cseq: u32) -> Response {
    let response = Response::refuse(refusal, Some(cseq));
    match refusal.status {
        Status::MethodNotAllowed => response.with("Allow", requests::PUBLIC),
        _ => response,
    }
}

/// The options required that are not known here (RFC 2326 §12.32).
fn unsupported(request: &Request) -> Option<String> {
    let required = ["Require", "Proxy-Require"]
        .into_iter()
        .filter_map(|name| request.header(name));
    let unknown: BTreeSet<&str> = required
        .flat_map(tags)
        .filter(|tag| !tag.eq_ignore_ascii_case(ONVIF_REPLAY))
        .collect();
    (!unknown.is_empty()).then(|| unknown.into_iter().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests;
