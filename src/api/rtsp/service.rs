//! What all connections share: sessions and their tasks, feeds, limits, counters; and what is done for a request.

use super::{
    address::Address,
    conversation::{Deed, Granted, Outcome, Rules},
    datagrams::{Pair, Ports},
    description::{Told, describe},
    feed::Feeds,
    metrics::Metrics,
    outbox::Outbox,
    player::{ORDERS_MAX, Order, Play, perform},
    replay,
    response::{Refusal, Status},
    session::{SessionId, Sessions},
    stage::{Outlet, Stage, StageTrack},
    transport::Transport,
};
use crate::{
    api::{
        complaints,
        http::{App, cameras},
        places::Places,
    },
    base::{Micros, TimeRange, UnixMicros},
    media::{PayloadFormat, StreamId, TrackId, TrackSet, rtcp},
    playback::plan::{Plan, PlanError},
    store::recordings::Recordings,
};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// How often sessions are looked through for those of whom nothing is heard.
const SWEEP: Duration = Duration::from_secs(1);

/// A pause after each datagram of a client: whoever floods a port fills the system's buffer and nothing else.
const HEARD_PAUSE: Duration = Duration::from_millis(10);

/// The server.
pub(super) struct Service {
    pub(super) app: Arc<App>,
    pub(super) rules: Arc<Rules>,
    pub(super) feeds: Arc<Feeds>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) places: Arc<Places>,
    pub(super) ports: Option<Ports>,
    sessions: Mutex<Sessions>,
    running: Mutex<HashMap<SessionId, Running>>,
}

/// A session's task.
struct Running {
    orders: mpsc::Sender<Order>,
    /// What the session is called among the counters.
    state: &'static str,
}

/// What an address stands for.
pub(super) struct Presentation {
    pub(super) stream: StreamId,
    pub(super) tracks: TrackSet,
    /// When the run began that the tracks are of.
    started: UnixMicros,
}

/// Who asks, as far as packets go.
pub(super) struct Side {
    pub(super) local: SocketAddr,
    pub(super) peer: IpAddr,
    pub(super) outbox: Arc<Outbox>,
}

/// Told when the answer to PLAY is on its way.
pub(super) type Begin = Option<oneshot::Sender<()>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service {
    pub(super) fn new(
        app: Arc<App>,
        rules: Arc<Rules>,
        (feeds, metrics): (Arc<Feeds>, Arc<Metrics>),
        places: Arc<Places>,
        (sessions, ports): (Sessions, Option<Ports>),
    ) -> Arc<Self> {
        Arc::new(Self {
            app,
            rules,
            feeds,
            metrics,
            places,
            ports,
            sessions: Mutex::new(sessions),
            running: Mutex::default(),
        })
    }

    /// Time that never steps.
    pub(super) fn now(&self) -> Micros {
        self.app.clock.elapsed()
    }

    /// Time on the wall.
    pub(super) fn wall(&self) -> UnixMicros {
        self.app.clock.now()
    }

    /// Whether a client may leave unread what it is sent on its connection.
    pub(super) fn may_hold_still(&self, connection: u64) -> bool {
        self.sessions().may_hold_still(connection, self.now())
    }

    /// What is recorded.
    pub(super) fn recordings(&self) -> Recordings {
        (self.app.recordings)()
    }

    /// The sessions. Nobody may wait while he has them.
    pub(super) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        lock(&self.sessions)
    }

    /// What an address stands for: the stream as its camera sends it now, else as it was recorded last.
    ///
    /// # Errors
    /// With 404 when there is no such stream or nothing is known of it, 500 when its recording cannot be read.
    pub(super) async fn presentation(
        self: &Arc<Self>,
        address: &Address,
    ) -> Result<Presentation, Refusal> {
        let found = cameras::find(&self.app, &address.camera, address.role)
            .map_err(|error| failed(&error))?;
        let stream = found.ok_or_else(|| {
            Refusal::new(
                Status::NotFound,
                "no such camera; `nvring camera list` names them",
            )
        })?;
        if let Some(span) = address.span {
            let (tracks, started) = replay::recorded_at(self, stream, span).await?;
            return Ok(Presentation {
                stream,
                tracks,
                started,
            });
        }
        let recordings = self.recordings();
        if let Some(run) = recordings.tail(stream).and_then(|tail| tail.run()) {
            return Ok(Presentation {
                stream,
                tracks: run.description.tracks.clone(),
                started: run.id.run,
            });
        }
        let nothing = || {
            Refusal::new(
                Status::NotFound,
                "the camera sends nothing and nothing of it is recorded; `nvring status` says why",
            )
        };
        let (_, end) = recordings.bounds(stream).ok_or_else(nothing)?;
        let range = TimeRange {
            start: end - Micros(1),
            end,
        };
        let plan = Plan::new(&recordings, stream, range)
            .await
            .map_err(|error| match error {
                PlanError::Empty { .. } => nothing(),
                PlanError::Read(error) => failed(&error),
            })?;
        let run = plan.runs.last().ok_or_else(nothing)?;
        Ok(Presentation {
            stream,
            tracks: run.description.tracks.clone(),
            started: run.description.started,
        })
    }

    /// Does what a request wants.
    pub(super) async fn perform(self: &Arc<Self>, deed: Deed, side: &Side) -> (Outcome, Begin) {
        match deed {
            Deed::Describe { address, onvif } => (
                Outcome::Described(self.describe(&address, onvif, side).await),
                None,
            ),
            Deed::SetUp {
                session,
                address,
                transport,
            } => (
                Outcome::SetUp(self.set_up(&session, &address, transport, side).await),
                None,
            ),
            Deed::Play {
                session,
                order,
                live,
            } => {
                let (answer, answered) = oneshot::channel();
                let (begin, begun) = oneshot::channel();
                let play = Play {
                    order,
                    live,
                    answer,
                    begin: begun,
                };
                let over = || Refusal::new(Status::SessionNotFound, "the session is over");
                let prepared = if self.order(&session, Order::Play(play)).await {
                    answered.await.unwrap_or_else(|_| Err(over()))
                } else {
                    Err(over())
                };
                if prepared.is_ok() {
                    self.book(&session, if live { "live" } else { "replay" });
                }
                (Outcome::Playing(prepared), Some(begin))
            }
            Deed::Pause { session } => {
                let (done, stopped) = oneshot::channel();
                if self.order(&session, Order::Pause(done)).await {
                    let _ = stopped.await;
                }
                self.book(&session, "ready");
                (Outcome::Stopped, None)
            }
            Deed::TearDown {
                session,
                track: None,
            } => {
                self.end(&session);
                (Outcome::Stopped, None)
            }
            Deed::TearDown {
                session,
                track: Some(track),
            } => {
                self.order(&session, Order::LetGo(track)).await;
                (Outcome::Stopped, None)
            }
        }
    }

    async fn describe(
        self: &Arc<Self>,
        address: &Address,
        onvif: bool,
        side: &Side,
    ) -> Result<String, Refusal> {
        let presentation = self.presentation(address).await?;
        let told = Told {
            server: side.local.ip().to_canonical(),
            version: presentation.started.0.unsigned_abs(),
            attributes: replay::attributes(self, presentation.stream, address.span, onvif),
        };
        Ok(describe(address, &presentation.tracks, &told))
    }

    async fn set_up(
        self: &Arc<Self>,
        id: &SessionId,
        address: &Address,
        transport: Transport,
        side: &Side,
    ) -> Result<Granted, Refusal> {
        let presentation = self.presentation(address).await?;
        let number = the_track(address, &presentation.tracks)?;
        let track = presentation.tracks.tracks.get(usize::from(number));
        let track = track
            .ok_or_else(|| {
                Refusal::new(
                    Status::NotFound,
                    "the stream has no such track; DESCRIBE lists them",
                )
            })?
            .clone();
        let (outlet, server_ports) = match transport {
            Transport::Interleaved { channel } => {
                let outbox = Arc::clone(&side.outbox);
                (
                    Outlet::Interleaved {
                        outbox,
                        channel: channel.unwrap_or_default(),
                    },
                    None,
                )
            }
            Transport::Datagrams { rtp, rtcp } => {
                let off = || Refusal::new(Status::UnsupportedTransport, "UDP is off here");
                let ports = self.ports.as_ref().ok_or_else(off)?;
                let pair = Arc::new(
                    ports
                        .pair(side.local.ip().to_canonical(), side.peer, (rtp, rtcp))
                        .await?,
                );
                self.listen(id, &pair);
                let ports = pair.ports();
                (Outlet::Datagrams(pair), Some(ports))
            }
        };
        self.start(id, presentation.stream, address);
        let order = Order::SetUp(StageTrack::new(number, track, outlet));
        if !self.order(id, order).await {
            return Err(Refusal::new(Status::SessionNotFound, "the session is over"));
        }
        Ok(Granted {
            track: number,
            server_ports,
        })
    }

    /// Starts the task of a session that has none.
    fn start(self: &Arc<Self>, id: &SessionId, stream: StreamId, address: &Address) {
        let mut running = lock(&self.running);
        if running.contains_key(id) {
            return;
        }
        let (orders, ordered) = mpsc::channel(ORDERS_MAX);
        let state = "ready";
        self.metrics.sessions.with_label_values(&[state]).inc();
        running.insert(id.clone(), Running { orders, state });
        let stage = Stage::new(stream, address.clone(), Arc::clone(self));
        let (service, id) = (Arc::clone(self), id.clone());
        tokio::spawn(async move {
            perform(stage, ordered, || service.rest(&id)).await;
            service.sessions().remove(&id);
            service.end(&id);
        });
    }

    /// Tells a session's task; false when it is over.
    async fn order(&self, id: &SessionId, order: Order) -> bool {
        let orders = lock(&self.running)
            .get(id)
            .map(|running| running.orders.clone());
        match orders {
            Some(orders) => orders.send(order).await.is_ok(),
            None => false,
        }
    }

    /// Counts a session among those that do `state`.
    fn book(&self, id: &SessionId, state: &'static str) {
        if let Some(known) = lock(&self.running).get_mut(id) {
            let sessions = &self.metrics.sessions;
            sessions.with_label_values(&[known.state]).dec();
            sessions.with_label_values(&[state]).inc();
            known.state = state;
        }
    }

    /// All that was ordered of a session is sent.
    fn rest(&self, id: &SessionId) {
        self.sessions().rest(id, self.now());
        self.book(id, "ready");
    }

    /// Ends the task of a session.
    pub(super) fn end(&self, id: &SessionId) {
        if let Some(running) = lock(&self.running).remove(id) {
            self.metrics
                .sessions
                .with_label_values(&[running.state])
                .dec();
        }
    }

    /// What a client sends on a channel of its connection; whether it is a report of one of its sessions, and so a sign of life.
    pub(super) fn hear_on(&self, connection: u64, channel: u8, report: &[u8]) -> bool {
        if rtcp::parse(report).is_err() {
            return false;
        }
        let now = self.now();
        let mut sessions = self.sessions();
        let id = sessions.with_channel(connection, channel).cloned();
        id.is_some_and(|id| {
            sessions.touch(&id, now);
            true
        })
    }

    /// What a client sends by UDP.
    fn hear(&self, id: &SessionId, report: &[u8]) {
        match rtcp::parse(report) {
            Ok(_) => self.sessions().touch(id, self.now()),
            Err(_) => self.metrics.stray.inc(),
        }
    }

    /// Listens to the reports of a track by UDP, as long as its sockets are in use.
    fn listen(self: &Arc<Self>, id: &SessionId, pair: &Arc<Pair>) {
        let (service, id, pair) = (Arc::downgrade(self), id.clone(), Arc::downgrade(pair));
        tokio::spawn(async move {
            while let Some(pair) = pair.upgrade() {
                let heard = tokio::time::timeout(SWEEP, pair.heard()).await;
                drop(pair);
                let Some(service) = service.upgrade() else {
                    return;
                };
                if let Ok(report) = heard {
                    service.hear(&id, &report);
                    tokio::time::sleep(HEARD_PAUSE).await;
                }
            }
        });
    }

    /// Ends the sessions of clients of whom nothing is heard, again and again.
    pub(super) async fn sweep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let expired = self.sessions().expire(self.now());
            expired.iter().for_each(|id| self.end(id));
        }
    }
}

/// What failed is for the operator, not for whoever asks.
pub(super) fn failed(error: &dyn std::fmt::Display) -> Refusal {
    complaints::error("a request failed", error);
    let why = "the recorder cannot read what it needs for this; its log says why";
    Refusal::new(Status::InternalError, why)
}

/// The track an address names, or the only one that can be sent.
fn the_track(address: &Address, tracks: &TrackSet) -> Result<u8, Refusal> {
    let numbers = 0..tracks.tracks.len().min(usize::from(u8::MAX) / 2) as u8;
    let sendable = |number: &u8| {
        let track = tracks.tracks.get(usize::from(*number));
        track.is_some_and(|track| PayloadFormat::of(TrackId(*number), track).is_ok())
    };
    let mut sendable = numbers.filter(sendable);
    match address.track {
        Some(track) if sendable.any(|number| number == track) => Ok(track),
        Some(_) => Err(Refusal::new(
            Status::NotFound,
            "the stream has no such track; DESCRIBE lists them",
        )),
        None => match (sendable.next(), sendable.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(Refusal::new(
                Status::NotFound,
                "nothing of this stream can be sent",
            )),
            _ => Err(Refusal::new(
                Status::AggregateNotAllowed,
                "the stream has several tracks; set each up by its own address",
            )),
        },
    }
}
