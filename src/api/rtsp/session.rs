//! Sessions: what a client has set up, and how long it lasts. A table of plain values; what plays belongs to `service`.
//!
//! A session whose packets go on a connection ends with it. One over UDP outlives its connection, as RFC 2326 §1.3 wants, until nothing
//! was heard of its client for the time-out. Its id is random and long, and good only from the address it was given to.

use super::{
    address::Address,
    response::{Refusal, Status},
    transport::Transport,
};
use crate::{api::places::client, base::Micros};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::IpAddr,
};

/// What clients are told: a session nothing is heard of for so long is over (RFC 2326 §12.37).
pub const TIMEOUT: Micros = Micros::from_secs(60);
/// So much later it really is, for requests that were on their way.
const GRACE: Micros = Micros::from_secs(10);
/// Most sessions of one connection: it has channels for so many tracks only.
pub const SESSIONS_PER_CONNECTION_MAX: usize = 16;

/// How many sessions there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// In all.
    pub all: usize,
    /// Of one client address.
    pub per_client: usize,
}

/// The id of a session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub String);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The connection it was opened on.
    pub connection: u64,
    /// The client's address.
    pub peer: IpAddr,
    /// Who signed in.
    pub user: Option<String>,
}

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is sent.
    Ready,
    /// It plays.
    Playing,
}

/// A session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Of which stream.
    pub address: Address,
    /// What is set up, by number of track. Interleaved channels are settled.
    pub tracks: BTreeMap<u8, Transport>,
    /// What it does.
    pub state: State,
    /// Whether the client sets the pace by what it reads (ONVIF's `Rate-Control: no`).
    pub client_paced: bool,
    owner: Owner,
    heard: Micros,
}

impl Session {
    /// Whether nothing was heard of the client for so long that the session is over.
    fn is_silent(&self, now: Micros) -> bool {
        now - self.heard > TIMEOUT + GRACE
    }

    /// Whether packets go on the connection.
    fn is_interleaved(&self) -> bool {
        self.tracks
            .values()
            .any(|transport| matches!(transport, Transport::Interleaved { .. }))
    }
}

/// All sessions.
pub struct Sessions {
    all: BTreeMap<SessionId, Session>,
    /// The sessions opened on each connection: what comes on one is looked for among its own.
    of_connection: HashMap<u64, Vec<SessionId>>,
    limits: SessionLimits,
    new_id: Box<dyn FnMut() -> SessionId + Send>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("all", &self.all)
            .finish_non_exhaustive()
    }
}

impl Sessions {
    /// None yet. `new_id` gives ids that nobody can guess.
    pub fn new(limits: SessionLimits, new_id: impl FnMut() -> SessionId + Send + 'static) -> Self {
        Self {
            all: BTreeMap::new(),
            of_connection: HashMap::new(),
            limits,
            new_id: Box::new(new_id),
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Opens one.
    ///
    /// # Errors
    /// With 453 when this client has too many, 503 when there are too many in all.
    pub fn open(
        &mut self,
        owner: Owner,
        address: Address,
        now: Micros,
    ) -> Result<SessionId, Refusal> {
        let of_peer = self
            .all
            .values()
            .filter(|session| client(session.owner.peer) == client(owner.peer))
            .count();
        let of_connection = self.on(owner.connection).len();
        if of_peer >= self.limits.per_client || of_connection >= SESSIONS_PER_CONNECTION_MAX {
            let why = "this client has as many sessions as one may have; end one, or raise [rtsp] sessions_per_client";
            return Err(Refusal::new(Status::NotEnoughBandwidth, why));
        }
        if self.all.len() >= self.limits.all {
            let why =
                "there are as many sessions as there may be; try later, or raise [rtsp] sessions";
            return Err(Refusal::new(Status::Unavailable, why));
        }
        let id = (self.new_id)();
        let own = self.of_connection.entry(owner.connection).or_default();
        own.push(id.clone());
        let session = Session {
            address,
            tracks: BTreeMap::new(),
            state: State::Ready,
            client_paced: false,
            owner,
            heard: now,
        };
        self.all.insert(id.clone(), session);
        Ok(id)
    }

    /// The session named by a request of `owner`; the request counts as a sign of life.
    ///
    /// # Errors
    /// With 454 when there is none, or it is somebody else's.
    pub fn find(
        &mut self,
        header: Option<&str>,
        owner: &Owner,
        now: Micros,
    ) -> Result<(SessionId, &mut Session), Refusal> {
        let unknown = || {
            Refusal::new(
                Status::SessionNotFound,
                "no such session; it may have timed out: SETUP opens one",
            )
        };
        let id = header
            .and_then(|value| value.split(';').next())
            .map(str::trim)
            .ok_or_else(unknown)?;
        let id = SessionId(id.to_owned());
        let session = self.all.get_mut(&id).ok_or_else(unknown)?;
        let own = session.owner.connection == owner.connection || !session.is_interleaved();
        if !own || session.owner.peer != owner.peer || session.owner.user != owner.user {
            return Err(unknown());
        }
        session.heard = now;
        Ok((id, session))
    }

    /// A session.
    pub fn get_mut(&mut self, id: &SessionId) -> Option<&mut Session> {
        self.all.get_mut(id)
    }

    /// A sign of life that is no request: a report of the receiver.
    pub fn touch(&mut self, id: &SessionId, now: Micros) {
        if let Some(session) = self.all.get_mut(id) {
            session.heard = now;
        }
    }

    /// All that was ordered is sent. The client has as long as ever to order more.
    pub fn rest(&mut self, id: &SessionId, now: Micros) {
        if let Some(session) = self.all.get_mut(id) {
            session.state = State::Ready;
            session.heard = now;
        }
    }

    /// Whether a client on `connection` may leave unread what it was sent: it sets the pace, and shows signs of life. Also when nothing
    /// more is sent, because all is or it has paused.
    pub fn may_hold_still(&self, connection: u64, now: Micros) -> bool {
        let sessions = self.on(connection).iter();
        let mut sessions = sessions.filter_map(|id| self.all.get(id));
        sessions.any(|session| session.client_paced && !session.is_silent(now))
    }

    /// Ends one.
    pub fn remove(&mut self, id: &SessionId) -> Option<Session> {
        let session = self.all.remove(id)?;
        let connection = session.owner.connection;
        if let Some(own) = self.of_connection.get_mut(&connection) {
            own.retain(|other| other != id);
            if own.is_empty() {
                self.of_connection.remove(&connection);
            }
        }
        Some(session)
    }

    /// The sessions opened on `connection`.
    fn on(&self, connection: u64) -> &[SessionId] {
        let own = self.of_connection.get(&connection);
        own.map_or(&[], |own| own.as_slice())
    }

    /// Whether `connection` has sessions.
    pub fn are_any_of(&self, connection: u64) -> bool {
        !self.on(connection).is_empty()
    }

    /// The session of `connection` that has `channel`, be it for packets or reports.
    pub fn with_channel(&self, connection: u64, channel: u8) -> Option<&SessionId> {
        let uses = |transport: &Transport| match transport {
            Transport::Interleaved { channel: Some(rtp) } => {
                channel == *rtp || channel == rtp.wrapping_add(1)
            }
            _ => false,
        };
        let has = |id: &&SessionId| {
            let session = self.all.get(*id);
            session.is_some_and(|session| session.tracks.values().any(uses))
        };
        self.on(connection).iter().find(has)
    }

    /// The lowest channel of `connection` that is free, with the one behind it.
    pub fn free_channel(&self, connection: u64) -> Option<u8> {
        (0..=254).step_by(2).find(|channel| {
            self.with_channel(connection, *channel).is_none()
                && self.with_channel(connection, channel + 1).is_none()
        })
    }

    /// The connection is gone: takes out the sessions that end with it.
    pub fn leave(&mut self, connection: u64) -> Vec<SessionId> {
        self.take_out(|session| {
            session.owner.connection == connection
                && (session.is_interleaved() || session.tracks.is_empty())
        })
    }

    /// Takes out the sessions of whose clients nothing was heard. One that plays on its connection needs no signs of life: the connection
    /// shows that it is taken.
    pub fn expire(&mut self, now: Micros) -> Vec<SessionId> {
        self.take_out(|session| {
            let plays_here = session.state == State::Playing && session.is_interleaved();
            !plays_here && session.is_silent(now)
        })
    }

    fn take_out(&mut self, is_over: impl Fn(&Session) -> bool) -> Vec<SessionId> {
        let over = self.all.iter().filter(|(_, session)| is_over(session));
        let over: Vec<SessionId> = over.map(|(id, _)| id.clone()).collect();
        for id in &over {
            self.remove(id);
        }
        over
    }
}
