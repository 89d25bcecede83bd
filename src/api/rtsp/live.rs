//! Live: the packets of the stream's feed, from the newest key frame on, as fast as they come.
//!
//! Nothing is queued for a viewer. While his connection takes nothing the feed goes on, and when he can go on, his place may have left
//! the ring: then he goes on at the newest key frame, and the frames he missed are counted. After PAUSE he begins anew.

use super::{
    conversation::Prepared,
    feed::Viewer,
    order::PlayOrder,
    outbox::BATCH_LEN_MAX,
    player::{Doing, Finished, Player},
    response::{Refusal, Status},
    stage::Stage,
};
use crate::media::{Packets, PayloadFormat, TrackId};
use std::time::Duration;
use tokio::time::timeout;

/// PLAY waits so long for a key frame, to say where the tracks begin.
const KEY_FRAME_WITHIN: Duration = Duration::from_secs(5);

/// The player of what is sent now.
#[derive(Debug, Default)]
pub(super) struct LivePlayer {
    viewer: Option<Viewer>,
    /// Taken, and not known to be sent.
    taken: Vec<(u8, Packets)>,
    /// Whether it plays: PLAY then changes nothing.
    running: bool,
    /// The feed's tracks were found to be what the client was told.
    checked: bool,
}

impl Player for LivePlayer {
    fn prepare<'a>(
        &'a mut self,
        _: &'a PlayOrder,
        stage: &'a mut Stage,
    ) -> Doing<'a, Result<Prepared, Refusal>> {
        Box::pin(self.join(stage))
    }

    fn run<'a>(&'a mut self, stage: &'a mut Stage) -> Doing<'a, Finished> {
        Box::pin(self.play(stage))
    }

    fn pause(&mut self) {
        self.running = false;
    }
}

impl LivePlayer {
    async fn join(&mut self, stage: &mut Stage) -> Result<Prepared, Refusal> {
        let service = &stage.service;
        let viewer = match self.viewer.take() {
            Some(viewer) => viewer,
            None => service.feeds.watch(service.recordings(), stage.stream)?,
        };
        let viewer = self.viewer.insert(viewer);
        let starts = if self.running {
            // It goes on as it does: nothing begins, and what comes next depends on when the client is looked at.
            check_tracks(viewer, stage)?;
            Vec::new()
        } else {
            let ready = async { while !viewer.is_ready() && viewer.grown().await {} };
            // A camera that is not there sends nothing: the client waits for it.
            let _ = timeout(KEY_FRAME_WITHIN, ready).await;
            check_tracks(viewer, stage)?;
            self.taken.clear();
            self.checked = false;
            viewer.begin(&stage.numbers())
        };
        Ok(Prepared {
            range: "npt=now-".to_owned(),
            starts,
            pace: Vec::new(),
        })
    }

    async fn play(&mut self, stage: &mut Stage) -> Finished {
        let Some(viewer) = &mut self.viewer else {
            return Finished::Over;
        };
        self.running = true;
        loop {
            if stage.send(&self.taken).await.is_err() {
                return Finished::Over;
            }
            self.taken.clear();
            let now = stage.service.wall();
            let instant = |track| {
                viewer
                    .track(track)
                    .map(|(_, clock)| (now, clock.timestamp(now)))
            };
            if stage.report(instant).await.is_err() {
                return Finished::Over;
            }
            let taken = viewer.take(BATCH_LEN_MAX);
            if taken.skipped > 0 {
                stage.service.metrics.skips.inc();
                stage.service.metrics.skipped_frames.inc_by(taken.skipped);
            }
            if taken.entries.is_empty() && !viewer.grown().await {
                return Finished::Over;
            }
            // Before the first frame nothing may be known of them.
            if !self.checked && !taken.entries.is_empty() {
                if check_tracks(viewer, stage).is_err() {
                    return Finished::Over;
                }
                self.checked = true;
            }
            self.taken = taken
                .entries
                .into_iter()
                .map(|entry| (entry.track, entry.packets))
                .collect();
        }
    }
}

/// Whether the feed's tracks are what the client was told.
fn check_tracks(viewer: &Viewer, stage: &Stage) -> Result<(), Refusal> {
    for track in stage.tracks() {
        let described = PayloadFormat::of(TrackId(track.number), &track.track);
        let (Some((sent, _)), Ok(described)) = (viewer.track(track.number), described) else {
            continue;
        };
        if !sent.continues(&described) {
            let why =
                "the camera sends another codec now than when this was set up; send DESCRIBE again";
            return Err(Refusal::new(Status::NotValidInThisState, why));
        }
    }
    Ok(())
}
