//! What each method needs: which headers, which state, which address; what is to be done when all is right.

use super::{Conversation, Deed, Step, ok};
use crate::{
    access::Action,
    api::rtsp::{
        address::Address,
        message::Request,
        order::{ONVIF_REPLAY, PlayOrder, tags},
        response::{Refusal, Response, Status},
        session::{Owner, Session, SessionId, Sessions, State},
        transport::{Datagrams, Transport},
    },
    base::Micros,
};
use rtsp_types::Method;

/// The methods understood.
pub(super) const PUBLIC: &str =
    "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, SET_PARAMETER, TEARDOWN";

impl Conversation {
    pub(super) fn describe(&self, request: &Request, owner: &Owner) -> Result<Step, Refusal> {
        let accepted = request
            .header("Accept")
            .unwrap_or("application/sdp")
            .to_ascii_lowercase();
        if !["application/sdp", "application/*", "*/*"]
            .iter()
            .any(|kind| accepted.contains(kind))
        {
            return Err(Refusal::new(
                Status::NotAcceptable,
                "streams are described as application/sdp only",
            ));
        }
        let address = address(request)?;
        self.ask(owner, action(address.span.is_none()), &address.camera)?;
        let onvif = is_onvif(request);
        Ok(Step::Perform(Deed::Describe { address, onvif }))
    }

    pub(super) fn set_up(
        &self,
        request: &Request,
        owner: &Owner,
        sessions: &mut Sessions,
        now: Micros,
    ) -> Result<Step, Refusal> {
        let address = address(request)?;
        let wanted = request.header("Transport").ok_or_else(|| {
            Refusal::new(
                Status::BadRequest,
                "no Transport; say how packets are to be sent (RFC 2326 §12.39)",
            )
        })?;
        let datagrams = match (self.rules.datagrams, self.party.private) {
            (false, _) => Datagrams::Off,
            (true, true) => Datagrams::Readable,
            (true, false) => Datagrams::Given,
        };
        let mut transport = Transport::choose(wanted, datagrams)?;
        self.ask(owner, action(address.span.is_none()), &address.camera)?;
        let known = request.header("Session");
        let known = known
            .map(|id| sessions.find(Some(id), owner, now))
            .transpose()?;
        if let Some((_, session)) = &known {
            check_addition(session, &address, transport)?;
        }
        let known = known.map(|(id, _)| id);
        if let Transport::Interleaved { channel } = &mut transport {
            *channel = Some(self.channel(*channel, address.track, known.as_ref(), sessions)?);
        }
        let session = match known {
            Some(session) => session,
            None => sessions.open(owner.clone(), address.clone(), now)?,
        };
        Ok(Step::Perform(Deed::SetUp {
            session,
            address,
            transport,
        }))
    }

    /// The channel for packets: the one asked for, or the lowest that is free.
    fn channel(
        &self,
        wanted: Option<u8>,
        track: Option<u8>,
        session: Option<&SessionId>,
        sessions: &mut Sessions,
    ) -> Result<u8, Refusal> {
        let taken = || {
            Refusal::new(
                Status::UnsupportedTransport,
                "these interleaved channels are in use on this connection; choose others",
            )
        };
        let connection = self.party.connection;
        let Some(channel) = wanted else {
            return sessions.free_channel(connection).ok_or_else(taken);
        };
        // A track that is set up again may keep its own.
        let own = session
            .zip(track)
            .and_then(|(session, track)| sessions.get_mut(session)?.tracks.get(&track).copied());
        if own
            == Some(Transport::Interleaved {
                channel: Some(channel),
            })
        {
            return Ok(channel);
        }
        let free = |channel| sessions.with_channel(connection, channel).is_none();
        if free(channel) && free(channel + 1) {
            Ok(channel)
        } else {
            Err(taken())
        }
    }

    pub(super) fn play(
        &self,
        request: &Request,
        owner: &Owner,
        sessions: &mut Sessions,
        now: Micros,
    ) -> Result<Step, Refusal> {
        let order = PlayOrder::read(request)?;
        let (id, session) = sessions.find(request.header("Session"), owner, now)?;
        check_control(request, &session.address, session.tracks.len())?;
        if session.tracks.is_empty() {
            return Err(Refusal::new(
                Status::NotValidInThisState,
                "nothing is set up; send SETUP first",
            ));
        }
        let live = session.address.span.is_none() && order.is_live();
        self.ask(owner, action(live), &session.address.camera)?;
        Ok(Step::Perform(Deed::Play {
            session: id,
            order,
            live,
        }))
    }
}

fn action(live: bool) -> Action {
    if live { Action::Live } else { Action::View }
}

fn address(request: &Request) -> Result<Address, Refusal> {
    let url = request.url.as_ref().ok_or_else(|| {
        Refusal::new(
            Status::BadRequest,
            "this needs the address of a stream, not *",
        )
    })?;
    Address::parse(url)
}

fn is_onvif(request: &Request) -> bool {
    let required = request.header("Require").unwrap_or_default();
    tags(required).any(|tag| tag.eq_ignore_ascii_case(ONVIF_REPLAY))
}

/// Whether a further track may be added.
fn check_addition(
    session: &Session,
    address: &Address,
    transport: Transport,
) -> Result<(), Refusal> {
    if session.state == State::Playing {
        return Err(Refusal::new(
            Status::NotValidInThisState,
            "the session plays; PAUSE it before SETUP",
        ));
    }
    if !session.address.is_same_stream(address) {
        return Err(Refusal::new(
            Status::AggregateNotAllowed,
            "a session is of one stream; open another session",
        ));
    }
    // A track that is set up again goes the new way, whatever its old one. Without a number it is the only one.
    let only = session.tracks.keys().next().copied();
    let only = only.filter(|_| session.tracks.len() == 1);
    let again = address.track.or(only);
    let mut others = session
        .tracks
        .iter()
        .filter(|(number, _)| Some(**number) != again);
    if others.any(|(_, other)| !other.is_like(transport)) {
        return Err(Refusal::new(
            Status::UnsupportedTransport,
            "all tracks of a session go the same way, TCP or UDP",
        ));
    }
    Ok(())
}

/// Whether the address of a request that controls a session is that of all of it.
fn check_control(request: &Request, known: &Address, tracks: usize) -> Result<(), Refusal> {
    let Some(url) = &request.url else {
        return Ok(());
    };
    let address = Address::parse(url)?;
    if !address.is_same_stream(known) {
        return Err(Refusal::new(
            Status::NotFound,
            "the session is not of this stream",
        ));
    }
    if address.track.is_some() && tracks > 1 {
        let why = "one track of several cannot be controlled alone; send the address of the stream";
        return Err(Refusal::new(Status::OnlyAggregateAllowed, why));
    }
    Ok(())
}

pub(super) fn pause(
    request: &Request,
    owner: &Owner,
    sessions: &mut Sessions,
    now: Micros,
) -> Result<Step, Refusal> {
    let (id, session) = sessions.find(request.header("Session"), owner, now)?;
    check_control(request, &session.address, session.tracks.len())?;
    // Where nothing plays nothing changes (RFC 7826 §13.6): the last packet and PAUSE may have crossed.
    Ok(Step::Perform(Deed::Pause { session: id }))
}

pub(super) fn tear_down(
    request: &Request,
    owner: &Owner,
    sessions: &mut Sessions,
    now: Micros,
) -> Result<Step, Refusal> {
    let (id, session) = sessions.find(request.header("Session"), owner, now)?;
    let track = request
        .url
        .as_ref()
        .map(Address::parse)
        .transpose()?
        .and_then(|address| address.track);
    let others = track.is_some_and(|track| session.tracks.keys().any(|other| *other != track));
    if !others {
        sessions.remove(&id);
        return Ok(Step::Perform(Deed::TearDown {
            session: id,
            track: None,
        }));
    }
    if session.state == State::Playing {
        let why = "the session plays; PAUSE it before one of its tracks is let go";
        return Err(Refusal::new(Status::OnlyAggregateAllowed, why));
    }
    session.tracks.retain(|number, _| Some(*number) != track);
    Ok(Step::Perform(Deed::TearDown { session: id, track }))
}

/// OPTIONS, and the parameters nobody has: what clients send so that a session lasts.
pub(super) fn keep_alive(
    request: &Request,
    cseq: u32,
    owner: &Owner,
    sessions: &mut Sessions,
    now: Micros,
) -> Result<Step, Refusal> {
    let id = request.header("Session");
    let id = id
        .map(|id| sessions.find(Some(id), owner, now).map(|(id, _)| id))
        .transpose()?;
    let mut response = match request.method {
        Method::Options => ok(cseq).with("Public", PUBLIC),
        _ => parameters(request, cseq)?,
    };
    if let Some(id) = id {
        response = response.with("Session", id.0);
    }
    Ok(Step::Answer(response))
}

fn parameters(request: &Request, cseq: u32) -> Result<Response, Refusal> {
    if request.body.is_empty() {
        return Ok(ok(cseq));
    }
    let kind = request.header("Content-Type").unwrap_or("text/parameters");
    if !kind
        .trim()
        .to_ascii_lowercase()
        .starts_with("text/parameters")
    {
        return Err(Refusal::new(
            Status::UnsupportedMediaType,
            "parameters are sent as text/parameters",
        ));
    }
    let text = String::from_utf8_lossy(&request.body);
    let names = text
        .lines()
        .filter_map(|line| line.split(':').next())
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        return Ok(ok(cseq));
    }
    // §11.3.1 of RFC 2326 wants those that are not understood in the answer.
    let refused = Response::new(Status::ParameterNotUnderstood, Some(cseq));
    Ok(refused.with_body("text/parameters", format!("{}\r\n", names.join("\r\n"))))
}
