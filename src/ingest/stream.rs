//! The task of one stream: connect, record, watch, back off, again and again, until it is told to stop.
//!
//! ```text
//! connecting ──▶ waiting for a key frame ──▶ recording ──▶ (silent, garbage, closed, restarted) ──▶ backing off ──▶ connecting
//! ```
//!
//! Every way out ends the run with a cause (L7). A session that the camera closed may be a restart or a loss: the run is ended when the
//! next attempt has told which. A panic in the task is caught, counted and logged, and the task begins again.

use super::{
    backoff::Backoff,
    error::PullError,
    recording::{Identity, Moment, Recording, RecordingOptions},
    spec::StreamSpec,
    status::{StatusCell, StreamCounters, StreamState},
    supervisor::IngestOptions,
    transport::{Pull, Speaker},
    watch::{Session, SessionEnd},
};
use crate::{
    base::{Clock, RateLimit, seed::Seed},
    media::{GapCause, StreamId},
    store::{pool::Store, tail::Tail},
};
use futures_util::FutureExt as _;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::sync::watch;

/// A pool without a volume is asked again after this.
const NO_VOLUME_RETRY: Duration = Duration::from_secs(5);

/// What all tasks share.
pub(crate) struct Shared {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: IngestOptions,
    pub(crate) limiter: RateLimit<(StreamId, &'static str)>,
}

impl Shared {
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            wall: self.clock.now(),
            monotonic: self.clock.elapsed(),
        }
    }
}

/// One stream's task.
pub(crate) struct StreamTask {
    shared: Arc<Shared>,
    spec: StreamSpec,
    status: Arc<StatusCell>,
    stop: watch::Receiver<Option<GapCause>>,
    /// Why the next run begins.
    cause: GapCause,
    /// A run goes on whose end is not told yet.
    unended: Option<GapCause>,
    backoff: Backoff,
    speaker: Speaker,
    seed: Seed,
    /// Numbers of the sessions before.
    before: StreamCounters,
}

/// The task was told to stop, with this cause.
pub(crate) struct Stopped(pub(crate) GapCause);

impl StreamTask {
    pub(crate) fn new(
        shared: Arc<Shared>,
        spec: StreamSpec,
        status: Arc<StatusCell>,
        stop: watch::Receiver<Option<GapCause>>,
        cause: GapCause,
        mut seed: Seed,
    ) -> Self {
        let options = &shared.options;
        let backoff = Backoff::new(options.retry_min, options.retry_max, seed.split());
        Self {
            shared,
            spec,
            status,
            stop,
            cause,
            unended: None,
            backoff,
            speaker: Speaker::Usual,
            seed,
            before: StreamCounters::default(),
        }
    }

    /// Runs until told to stop, whatever happens.
    pub(crate) async fn run_guarded(mut self) {
        let cause = loop {
            match AssertUnwindSafe(self.run()).catch_unwind().await {
                Ok(Stopped(cause)) => break cause,
                Err(panic) => {
                    self.note_panic(&*panic);
                    let wait = self.backoff.next();
                    if let Some(Stopped(cause)) = self.pause(wait).await {
                        break cause;
                    }
                }
            }
        };
        if let Some(tail) = self.shared.store.tail(self.spec.stream) {
            tail.end(cause);
        }
        self.shared.store.release(self.spec.stream);
        self.enter(StreamState::Stopped);
    }

    fn note_panic(&mut self, panic: &(dyn std::any::Any + Send)) {
        let what = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("unknown");
        tracing::error!(camera = %self.spec.camera, stream = self.spec.role.name(), panic = what,
            "the task of a stream failed and is started again: please report this");
        if let Some(tail) = self.shared.store.tail(self.spec.stream) {
            tail.end(GapCause::Restart);
        }
        self.unended = None;
        self.cause = GapCause::Restart;
        self.before.panics += 1;
        let mut status = self.status.lock();
        self.before = StreamCounters {
            panics: self.before.panics,
            ..status.counters
        };
        status.counters = self.before;
    }

    async fn run(&mut self) -> Stopped {
        loop {
            let tail = match self.tail().await {
                Ok(tail) => tail,
                Err(stopped) => return stopped,
            };
            self.enter(StreamState::Connecting);
            let patience = self.shared.options.patience;
            let source = self.spec.source.clone();
            let connected = {
                // Other recorders, that may have begun alike, are to get other numbers.
                let seed = self.seed.next() ^ self.shared.clock.now().0 as u64;
                let connecting = Pull::connect(&source, self.speaker, patience, Seed::new(seed));
                tokio::select! {
                    stopped = stopped(self.stop.clone()) => return stopped,
                    connected = connecting => connected,
                }
            };
            let error = match connected {
                Ok((pull, depacketisers)) => {
                    self.end_run(&tail, None);
                    match self.session(&tail, pull, depacketisers).await {
                        SessionEnd::Stopped(stopped) => return stopped,
                        SessionEnd::Failed(error) => error,
                    }
                }
                Err(error) => {
                    let cause = match &error {
                        PullError::NoTrack { .. } | PullError::Track { .. } => error.gap_cause(),
                        _ => GapCause::CameraLost,
                    };
                    self.end_run(&tail, Some(cause));
                    error
                }
            };
            self.before.failures += 1;
            self.tell(&error);
            if error.needs_change() {
                self.backoff.give_up_for_now();
            }
            self.enter(StreamState::BackingOff);
            let wait = self.backoff.next();
            if let Some(stopped) = self.pause(wait).await {
                return stopped;
            }
        }
    }

    /// The tail to record to, as soon as the pool has a volume.
    async fn tail(&mut self) -> Result<Arc<Tail>, Stopped> {
        loop {
            match self.shared.store.record(self.spec.stream, &self.spec.pool) {
                Ok(tail) => return Ok(tail),
                Err(error) => {
                    self.enter(StreamState::NoVolume);
                    self.status.lock().last_error = Some(error.to_string());
                    let cause = (self.spec.stream, "no-volume");
                    if let Some(kept_back) = self
                        .shared
                        .limiter
                        .tell(&cause, self.shared.clock.elapsed())
                    {
                        tracing::error!(camera = %self.spec.camera, stream = self.spec.role.name(), %error, kept_back,
                            "a stream cannot be recorded");
                    }
                }
            }
            if let Some(stopped) = self.pause(NO_VOLUME_RETRY).await {
                return Err(stopped);
            }
        }
    }

    async fn session(
        &mut self,
        tail: &Arc<Tail>,
        pull: Pull,
        depacketisers: Vec<crate::media::Depacketiser>,
    ) -> SessionEnd {
        self.enter(StreamState::WaitingForKey);
        self.before.sessions += 1;
        let options = &self.shared.options;
        let identity = Identity {
            camera: self.spec.camera.to_string(),
            name: self.spec.name.clone(),
            role: self.spec.role.name(),
        };
        let recording = Recording::new(
            identity,
            Arc::clone(tail),
            depacketisers,
            self.cause,
            RecordingOptions {
                hold: options.hold,
                limits: options.limits,
            },
        );
        let mut session = Session::new(
            &self.shared,
            &self.spec,
            &self.status,
            self.before,
            recording,
            pull,
        );
        let end = session.run(self.stop.clone()).await;
        if session.is_deaf() {
            self.speaker = Speaker::Own;
            tracing::info!(camera = %self.spec.camera, stream = self.spec.role.name(),
                "the camera does not answer keep-alives: from now on they are sent without waiting for answers");
        }
        let (counters, recorded) = session.finish();
        self.before = counters;
        if recorded {
            self.backoff.reset();
            if let SessionEnd::Failed(error) = &end {
                self.note_end(tail, error);
            }
        }
        end
    }

    /// A session that recorded ended with `error`: its run ends now, or, when the camera may just have restarted, after the next attempt.
    fn note_end(&mut self, tail: &Tail, error: &PullError) {
        self.cause = error.gap_cause();
        if self.cause == GapCause::CameraRestarted {
            self.unended = Some(self.cause);
        } else {
            tail.end(self.cause);
        }
    }

    /// Ends a run whose end is not told yet, with its own cause or a better known one.
    fn end_run(&mut self, tail: &Tail, known: Option<GapCause>) {
        if let Some(cause) = self.unended.take() {
            self.cause = known.unwrap_or(cause);
            tail.end(self.cause);
        }
    }

    fn tell(&self, error: &PullError) {
        {
            let mut status = self.status.lock();
            status.last_error = Some(error.to_string());
            status.counters = self.before;
        }
        let cause = (self.spec.stream, error.name());
        if let Some(kept_back) = self
            .shared
            .limiter
            .tell(&cause, self.shared.clock.elapsed())
        {
            tracing::warn!(camera = %self.spec.camera, stream = self.spec.role.name(), %error, kept_back, "a camera is not recorded");
        }
    }

    fn enter(&self, state: StreamState) {
        self.status.enter(state, self.shared.clock.now());
    }

    /// Waits, but not for a stop.
    async fn pause(&mut self, wait: Duration) -> Option<Stopped> {
        tokio::time::timeout(wait, stopped(self.stop.clone()))
            .await
            .ok()
    }
}

/// Resolves when the task is told to stop. A supervisor that is gone is a restart.
pub(crate) async fn stopped(mut stop: watch::Receiver<Option<GapCause>>) -> Stopped {
    let told = stop.wait_for(Option::is_some).await;
    Stopped(
        told.ok()
            .and_then(|cause| *cause)
            .unwrap_or(GapCause::Restart),
    )
}
