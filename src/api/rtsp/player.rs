//! Who sends the frames of a session, and the task that gives him his orders.
//!
//! A `Player` is asked to prepare for an order, so that the answer to PLAY can say what will come, and runs once that answer is on its
//! way: a client that finds packets before the answer throws them away. `run` is dropped wherever it waits when the client pauses, plays
//! something else or goes, and called again to go on; what a player must not lose he keeps in himself.

use super::{
    conversation::Prepared,
    live::LivePlayer,
    order::PlayOrder,
    replay::ReplayPlayer,
    response::Refusal,
    stage::{Stage, StageTrack},
};
use std::{future::Future, pin::Pin};
use tokio::sync::{mpsc, oneshot};

/// Orders that may wait for a session's task: its connection sends one at a time.
pub(super) const ORDERS_MAX: usize = 4;

/// What a player does in its own time.
pub(super) type Doing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How playing ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finished {
    /// All that was ordered is sent. The session stays, for another PLAY.
    Played,
    /// The session is of no more use: what it was described as is over, or its connection is closed.
    Over,
}

/// Who sends the frames of a session.
pub(super) trait Player: Send {
    /// Makes ready for an order, and tells what will come. Sends nothing. May be called while it plays: refused, it plays on as before.
    fn prepare<'a>(
        &'a mut self,
        order: &'a PlayOrder,
        stage: &'a mut Stage,
    ) -> Doing<'a, Result<Prepared, Refusal>>;

    /// Sends what was prepared. May be dropped wherever it waits; called again, it goes on.
    fn run<'a>(&'a mut self, stage: &'a mut Stage) -> Doing<'a, Finished>;

    /// Told after `run` was dropped that the client paused: it is called again only behind another `prepare`.
    fn pause(&mut self);
}

/// What the task of a session is told. When nobody is left to tell it anything, it ends.
pub(super) enum Order {
    /// A track is set up.
    SetUp(StageTrack),
    /// A track is let go.
    LetGo(u8),
    /// PLAY.
    Play(Play),
    /// Nothing more is sent until PLAY; answered once that is so.
    Pause(oneshot::Sender<()>),
}

/// PLAY.
pub(super) struct Play {
    /// What.
    pub(super) order: PlayOrder,
    /// Whether it is what is sent now.
    pub(super) live: bool,
    /// Told what will come.
    pub(super) answer: oneshot::Sender<Result<Prepared, Refusal>>,
    /// Tells that the client knows; dropped when it does not.
    pub(super) begin: oneshot::Receiver<()>,
}

/// Who plays, and whether it is what is sent now.
struct Cast {
    player: Option<Box<dyn Player>>,
    live: bool,
}

impl Cast {
    /// Makes ready for an order, with another player where the one there is not of its kind. That one is let go only when the other has
    /// taken the order: refused, all is as it was. A replay that is told no time goes on: without a range, PLAY is for what was paused
    /// (RFC 2326 §10.5).
    async fn prepare(&mut self, play: &Play, stage: &mut Stage) -> Result<Prepared, Refusal> {
        let replays = self.player.is_some() && !self.live;
        let live = play.live && !(replays && play.order.range.is_none());
        if let Some(player) = self.player.as_mut().filter(|_| self.live == live) {
            return player.prepare(&play.order, stage).await;
        }
        let mut player: Box<dyn Player> = if live {
            Box::new(LivePlayer::default())
        } else {
            Box::new(ReplayPlayer::default())
        };
        let prepared = player.prepare(&play.order, stage).await?;
        self.player = Some(player);
        self.live = live;
        Ok(prepared)
    }
}

/// The task of a session, until it is over. `rests` is called when all that was ordered is sent.
pub(super) async fn perform(mut stage: Stage, mut orders: mpsc::Receiver<Order>, rests: impl Fn()) {
    let mut cast = Cast {
        player: None,
        live: true,
    };
    let mut playing = false;
    loop {
        let order = match cast.player.as_mut().filter(|_| playing) {
            None => orders.recv().await,
            Some(player) => tokio::select! {
                biased;
                order = orders.recv() => order,
                finished = player.run(&mut stage) => {
                    playing = false;
                    if finished == Finished::Over {
                        break;
                    }
                    rests();
                    continue;
                }
            },
        };
        match order {
            None => return,
            Some(Order::SetUp(track)) => stage.set_up(track),
            Some(Order::LetGo(track)) => stage.let_go(track),
            Some(Order::Pause(done)) => {
                playing = false;
                cast.player.iter_mut().for_each(|player| player.pause());
                let _ = done.send(());
            }
            Some(Order::Play(play)) => {
                playing = begin(&mut cast, play, &mut stage).await.unwrap_or(playing)
            }
        }
    }
    // Whoever is gone hears nothing.
    let _ = stage.bye().await;
}

/// Whether it plays now; `None` when the order was refused and all is as it was.
async fn begin(cast: &mut Cast, play: Play, stage: &mut Stage) -> Option<bool> {
    let prepared = cast.prepare(&play, stage).await;
    let refused = prepared.is_err();
    let told = play.answer.send(prepared).is_ok();
    if refused {
        return None;
    }
    Some(told && play.begin.await.is_ok())
}
