//! One connection: a thin shell of I/O around its `Conversation`.
//!
//! Requests are answered one after the other, in the order in which they came. Every wait has an end: for the first request, for the rest
//! of one that has begun, for a client that takes nothing, for one that asks nothing and plays nothing.

use super::{
    conversation::{Conversation, Party, Step},
    message::{Inbox, Incoming, Request},
    metrics::Ended,
    outbox::Outbox,
    response::{Refusal, Response, Status},
    service::{Service, Side},
};
use crate::base::Micros;
use bytes::Bytes;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};

/// A request must be whole so long after its first byte, and the first one so long after the connection.
pub(super) const REQUEST_WITHIN: Duration = Duration::from_secs(10);
const WHOLE_WITHIN: Micros = Micros(REQUEST_WITHIN.as_micros() as i64);
/// A connection without a session is closed when nothing was asked for so long.
const IDLE_MAX: Micros = Micros::from_secs(60);
/// What is on its way at the end gets so long to be taken.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);
/// Where everybody has to sign in, a connection on which nobody did is closed so long after it was opened: requests that anybody may make
/// do not keep it.
const SIGN_IN_WITHIN: Micros = Micros::from_secs(60);
/// So many packets that are nobody's, are no reports, or come too fast end a connection.
const STRAY_MAX: u32 = 1_000;
/// Reports taken within one second; a client sends one of each track every few seconds.
const HEARD_MAX: u32 = 200;
/// Room made for what comes.
const READ_LEN: usize = 4 << 10;

/// Who is connected, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    /// Number of the connection.
    pub(super) number: u64,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    /// Whether it is TLS.
    pub(super) private: bool,
}

/// One connection.
struct Connection<R> {
    service: Arc<Service>,
    conversation: Conversation,
    inbox: Inbox,
    reader: R,
    side: Side,
    number: u64,
    stray: u32,
    /// Packets heard in a second, and when it began.
    heard: (u32, Micros),
    opened: Micros,
    /// Whether there was a request.
    asked: bool,
    /// When the request or packet that is coming must be whole; until there was a request, when the first one must be.
    whole_by: Option<Micros>,
    /// When the connection is idle if nothing is asked.
    idle_at: Micros,
}

/// Why nothing came.
enum Late {
    Whole,
    SignedIn,
    Asked,
}

/// Talks with a client until either side ends it. The outbox is closed then.
pub(super) async fn talk(
    service: Arc<Service>,
    ends: Ends,
    reader: impl AsyncRead + Unpin,
    outbox: Arc<Outbox>,
) {
    let peer = ends.peer.ip().to_canonical();
    let party = Party {
        connection: ends.number,
        peer,
        private: ends.private,
        nonce: uuid::Uuid::new_v4().simple().to_string(),
    };
    let now = service.now();
    let mut connection = Connection {
        conversation: Conversation::new(Arc::clone(&service.rules), party),
        inbox: Inbox::default(),
        reader,
        side: Side {
            local: ends.local,
            peer,
            outbox: Arc::clone(&outbox),
        },
        number: ends.number,
        stray: 0,
        heard: (0, now),
        opened: now,
        asked: false,
        whole_by: Some(now + WHOLE_WITHIN),
        idle_at: now + IDLE_MAX,
        service: Arc::clone(&service),
    };
    let cause = tokio::select! {
        cause = connection.run() => cause,
        stuck = outbox.closed() => stuck.then_some(Ended::Stuck),
    };
    if let Some(cause) = cause {
        service.metrics.end(cause);
    }
    let over = service.sessions().leave(ends.number);
    over.iter().for_each(|id| service.end(id));
    let _ = timeout(LAST_WORDS_WITHIN, outbox.drained()).await;
    outbox.close();
}

impl<R: AsyncRead + Unpin> Connection<R> {
    /// Why it ended, when it was not the client who ended it.
    async fn run(&mut self) -> Option<Ended> {
        loop {
            match self.inbox.read() {
                Ok(Some(Incoming::Request(request))) => {
                    self.asked = true;
                    self.whole_by = None;
                    self.idle_at = self.service.now() + IDLE_MAX;
                    if self.answer(&request).await? {
                        return Some(Ended::Abuse);
                    }
                }
                Ok(Some(Incoming::Interleaved { channel, packet })) => {
                    // Packets alone are no request: the first one is still waited for.
                    self.whole_by = self.whole_by.filter(|_| !self.asked);
                    if self.is_abuse(channel, &packet) {
                        return Some(Ended::Abuse);
                    }
                }
                Ok(None) => match self.read().await {
                    Ok(()) => {}
                    Err(cause) => return cause,
                },
                Err(unreadable) => {
                    self.say(Response::refuse(&unreadable.refusal, unreadable.cseq))
                        .await?;
                    return Some(Ended::Unreadable);
                }
            }
        }
    }

    /// Takes in what comes next.
    async fn read(&mut self) -> Result<(), Option<Ended>> {
        if self.inbox.has_begun() && self.whole_by.is_none() {
            self.whole_by = Some(self.service.now() + WHOLE_WITHIN);
        }
        let (by, late) = self.deadline();
        let wait = (by - self.service.now()).max(Micros::ZERO).to_std();
        let buffer = self.inbox.buffer();
        buffer.reserve(READ_LEN);
        match timeout(wait, self.reader.read_buf(buffer)).await {
            Ok(Ok(len)) if len > 0 => Ok(()),
            Ok(_) => Err(None),
            Err(_) => self
                .late(late)
                .await
                .map_or(Ok(()), |cause| Err(Some(cause))),
        }
    }

    /// Until when something must come, and what.
    fn deadline(&self) -> (Micros, Late) {
        let asked = (self.idle_at, Late::Asked);
        let whole = self.whole_by.map(|by| (by, Late::Whole));
        let signs_in = !self.conversation.is_signed_in();
        let signed_in = signs_in.then(|| (self.opened + SIGN_IN_WITHIN, Late::SignedIn));
        let all = [Some(asked), whole, signed_in].into_iter().flatten();
        let first = all.min_by_key(|(by, _)| *by);
        first.unwrap_or((self.idle_at, Late::Asked))
    }

    /// What follows when nothing came in time; `None` when it is waited on.
    async fn late(&mut self, late: Late) -> Option<Ended> {
        match late {
            Late::Whole => {
                let refusal = Refusal::new(Status::RequestTimeout, "no whole request came in 10 s");
                let _ = self.say(Response::refuse(&refusal, None)).await;
                Some(Ended::HalfOpen)
            }
            Late::Asked if self.service.sessions().are_any_of(self.number) => {
                self.idle_at = self.service.now() + IDLE_MAX;
                None
            }
            Late::SignedIn | Late::Asked => Some(Ended::Idle),
        }
    }

    /// Answers a request; whether the connection is to be closed. `None` when it is.
    async fn answer(&mut self, request: &Request) -> Option<bool> {
        let step = {
            let mut sessions = self.service.sessions();
            self.conversation
                .handle(request, &mut sessions, self.service.now())
        };
        match step {
            Step::Answer(response) => self.say(response).await.map(|()| false),
            Step::Close(response) => self.say(response).await.map(|()| true),
            Step::Perform(deed) => {
                let (outcome, begin) = self.service.perform(deed, &self.side).await;
                let response = self
                    .conversation
                    .done(outcome, &mut self.service.sessions());
                self.say(response).await?;
                // Nobody waits for it when PLAY was refused.
                begin.map(|begin| begin.send(()));
                Some(false)
            }
        }
    }

    async fn say(&self, response: Response) -> Option<()> {
        self.service.metrics.answered(response.status());
        self.side
            .outbox
            .answer(Bytes::from(response.encode()))
            .await
            .ok()
    }

    /// Takes in a packet; whether it is one too many that means nothing.
    fn is_abuse(&mut self, channel: u8, packet: &[u8]) -> bool {
        let now = self.service.now();
        if now - self.heard.1 >= Micros::from_secs(1) {
            self.heard = (0, now);
        }
        self.heard.0 += 1;
        if self.heard.0 > HEARD_MAX || !self.service.hear_on(self.number, channel, packet) {
            self.service.metrics.stray.inc();
            self.stray += 1;
        }
        self.stray > STRAY_MAX
    }
}

#[cfg(test)]
mod tests;
