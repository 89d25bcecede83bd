//! The supervisor: a task for each stream that is to be recorded, and none for the others.
//!
//! `apply` compares what is with what shall be, stream by stream: a change of one camera touches no other.

use super::{
    beat::BeatThreads,
    spec::StreamSpec,
    status::{StatusCell, StreamCounters, StreamState, StreamStatus},
    stream::{Shared, StreamTask},
};
use crate::{
    base::{Clock, Micros, RateLimit, seed::Seed},
    media::{GapCause, StreamId, TimelineLimits},
    store::pool::Store,
};
use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};

/// Most ingest threads: one receives some thousand streams.
const THREADS_MAX: usize = 4;
/// A stop waits so long for the streams' tasks.
const STOP_MAX: Duration = Duration::from_secs(10);
/// Repeated messages of one stream and kind are told at most so often.
const TELL_EVERY: Micros = Micros::from_secs(60);

/// How streams are received.
#[derive(Clone, Copy, Debug)]
pub struct IngestOptions {
    /// Threads to receive on.
    pub threads: usize,
    /// How long a thread sleeps before it looks for packets again.
    pub beat: Duration,
    /// How long a camera may take to connect and to answer a request.
    pub patience: Duration,
    /// A camera that sends no packet of its main track for so long is lost.
    pub silent_after: Micros,
    /// A camera whose packets make no picture for so long sends garbage.
    pub undecodable_after: Micros,
    /// The first wait before another attempt.
    pub retry_min: Duration,
    /// The longest wait before another attempt.
    pub retry_max: Duration,
    /// How long the first frames of a session are held to find out when they were made.
    pub hold: Micros,
    /// From where on a difference of clocks is a step.
    pub limits: TimelineLimits,
    /// Seed of the jitter.
    pub seed: u64,
}

impl Default for IngestOptions {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads: cores.min(THREADS_MAX),
            beat: Duration::from_millis(20),
            patience: Duration::from_secs(10),
            silent_after: Micros::from_secs(10),
            undecodable_after: Micros::from_secs(10),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(30),
            hold: Micros::from_millis(300),
            limits: TimelineLimits::DEFAULT,
            seed: u64::from(std::process::id()),
        }
    }
}

/// Keeps the streams' tasks.
pub struct Supervisor {
    shared: Arc<Shared>,
    threads: BeatThreads,
    state: Mutex<State>,
}

struct State {
    streams: HashMap<StreamId, Running>,
    /// Streams whose task this supervisor has ended, and which have not come back.
    ended: HashSet<StreamId>,
    seed: Seed,
    /// Each task holds a clone until it ends.
    alive: Option<mpsc::Sender<()>>,
    all_ended: mpsc::Receiver<()>,
}

struct Running {
    spec: StreamSpec,
    status: Arc<StatusCell>,
    stop: watch::Sender<Option<GapCause>>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Supervisor").finish_non_exhaustive()
    }
}

impl Supervisor {
    /// Starts the threads; `apply` gives them work.
    ///
    /// # Errors
    /// When the system gives no thread or event queue.
    pub fn start(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        options: IngestOptions,
    ) -> io::Result<Self> {
        let threads = BeatThreads::start(options.threads.max(1), options.beat)?;
        let (alive, all_ended) = mpsc::channel();
        Ok(Self {
            shared: Arc::new(Shared {
                store,
                clock,
                options,
                limiter: RateLimit::new(TELL_EVERY),
            }),
            threads,
            state: Mutex::new(State {
                streams: HashMap::new(),
                ended: HashSet::new(),
                seed: Seed::new(options.seed),
                alive: Some(alive),
                all_ended,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what is recorded what `specs` says: starts, stops and restarts only the streams that differ. Returns at once. After `stop`
    /// nothing is started any more.
    pub fn apply(&self, specs: Vec<StreamSpec>) {
        let mut state = self.state();
        let wanted: HashMap<StreamId, StreamSpec> = specs
            .into_iter()
            .filter(|spec| spec.enabled)
            .map(|spec| (spec.stream, spec))
            .collect();
        let gone: Vec<StreamId> = state
            .streams
            .keys()
            .filter(|stream| !wanted.contains_key(stream))
            .copied()
            .collect();
        for stream in gone {
            if let Some(running) = state.streams.remove(&stream) {
                running.stop.send_replace(Some(GapCause::Disabled));
                state.ended.insert(stream);
            }
        }
        let mut recorded = None;
        for (stream, spec) in wanted {
            let before = match state.streams.get(&stream) {
                Some(running) if running.spec == spec => continue,
                Some(_) => state.streams.remove(&stream),
                None => None,
            };
            let cause = if before.is_some() || state.ended.remove(&stream) {
                GapCause::Disabled
            } else if recorded
                .get_or_insert_with(|| self.recorded())
                .contains(&stream)
            {
                GapCause::Restart
            } else {
                GapCause::Enrolled
            };
            let before = before.map(|running| {
                running.stop.send_replace(Some(GapCause::Disabled));
                running.task
            });
            self.spawn(&mut state, spec, cause, before);
        }
    }

    /// The streams that have recordings.
    fn recorded(&self) -> HashSet<StreamId> {
        let volumes = self.shared.store.shared_volumes();
        let streams = volumes.iter().flat_map(|volume| volume.streams());
        streams.map(|(stream, _)| stream).collect()
    }

    fn spawn(
        &self,
        state: &mut State,
        spec: StreamSpec,
        cause: GapCause,
        before: Option<JoinHandle<()>>,
    ) {
        let Some(alive) = state.alive.clone() else {
            return;
        };
        let status = Arc::new(StatusCell::new(StreamStatus {
            stream: spec.stream,
            camera: spec.camera.clone(),
            name: spec.name.clone(),
            role: spec.role,
            state: StreamState::Connecting,
            since: self.shared.clock.now(),
            last_frame: None,
            frames_per_second: 0.0,
            bits_per_second: 0.0,
            counters: StreamCounters::default(),
            last_error: None,
            camera_offset_us: None,
        }));
        let (stop, stopped) = watch::channel(None);
        let task = StreamTask::new(
            Arc::clone(&self.shared),
            spec.clone(),
            Arc::clone(&status),
            stopped,
            cause,
            state.seed.split(),
        );
        let task = self.threads.next().spawn(async move {
            if let Some(before) = before {
                // It never panics: its own panics are caught.
                let _ = before.await;
            }
            task.run_guarded().await;
            drop(alive);
        });
        let running = Running {
            status,
            stop,
            task,
            spec,
        };
        state.streams.insert(running.spec.stream, running);
    }

    /// How each stream fares, by camera.
    pub fn status(&self) -> Vec<StreamStatus> {
        let state = self.state();
        let mut all: Vec<_> = state
            .streams
            .values()
            .map(|running| running.status.get())
            .collect();
        drop(state);
        all.sort_by(|a, b| (&a.camera, a.role).cmp(&(&b.camera, b.role)));
        all
    }

    /// Ends all runs with cause `restart` and waits for their tasks: the store can be closed then. Blocks for some ten milliseconds.
    pub fn stop(&self) {
        let mut state = self.state();
        for running in state.streams.values() {
            running.stop.send_replace(Some(GapCause::Restart));
        }
        state.alive.take();
        // Nothing is ever sent: the channel ends when the last task has.
        if state.all_ended.recv_timeout(STOP_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::error!("not all streams could be stopped in time");
        }
        state.streams.clear();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop();
    }
}
