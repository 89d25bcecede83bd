//! One session of a stream while it lasts: drains packets, watches over the camera, keeps the status.
//!
//! Everything is polled from one future, so that a beat costs one poll per stream and no packet costs a wake-up.

use super::{
    error::PullError,
    recording::{Event, Moment, Recording},
    spec::StreamSpec,
    status::{Rates, StatusCell, StreamCounters, StreamState},
    stream::{Shared, Stopped, stopped},
    transport::{Pull, Received},
};
use crate::{base::Micros, media::GapCause};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::watch, time::Interval};

/// The camera is looked after so often.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// After so many packets other streams of the thread get their turn.
const DRAIN_MAX: u32 = 1024;
/// After so many packets the clocks are read again.
const SAME_MOMENT_MAX: u32 = 128;
/// How far the clock can be trusted is asked so often.
const CLOCK_STATE_EVERY: Micros = Micros::from_secs(10);

/// How a session ended.
pub(crate) enum SessionEnd {
    /// The task was told to stop.
    Stopped(Stopped),
    /// The camera, or the way to it, failed.
    Failed(PullError),
}

/// What made sense, and what did not, when a window of judgement began.
#[derive(Clone, Copy, Debug)]
struct Sense {
    since: Micros,
    units: u64,
    nonsense: u64,
}

/// A session.
pub(crate) struct Session<'a> {
    shared: &'a Shared,
    spec: &'a StreamSpec,
    status: &'a StatusCell,
    before: StreamCounters,
    recording: Recording,
    pull: Pull,
    interval: Interval,
    /// When a packet of the main track came last.
    last_packet: Micros,
    sense: Sense,
    clock_state_at: Option<Micros>,
    rates: Rates,
    recorded: bool,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        spec: &'a StreamSpec,
        status: &'a StatusCell,
        before: StreamCounters,
        recording: Recording,
        pull: Pull,
    ) -> Self {
        let now = shared.clock.elapsed();
        let mut interval = tokio::time::interval(WATCH_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self {
            shared,
            spec,
            status,
            before,
            recording,
            pull,
            interval,
            last_packet: now,
            sense: Sense {
                since: now,
                units: 0,
                nonsense: 0,
            },
            clock_state_at: None,
            rates: Rates::default(),
            recorded: false,
        }
    }

    /// Receives until the session ends.
    pub(crate) async fn run(&mut self, stop: watch::Receiver<Option<GapCause>>) -> SessionEnd {
        let mut stop = pin!(stopped(stop));
        poll_fn(|cx| {
            if let Poll::Ready(stopped) = stop.as_mut().poll(cx) {
                return Poll::Ready(SessionEnd::Stopped(stopped));
            }
            match self.poll(cx) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(SessionEnd::Failed(error)),
            }
        })
        .await
    }

    /// Whether the library has learnt that the camera does not answer keep-alives.
    pub(crate) fn is_deaf(&self) -> bool {
        self.pull.is_deaf()
    }

    /// Records what is left. Answers with the numbers so far and whether a run was recorded.
    pub(crate) fn finish(mut self) -> (StreamCounters, bool) {
        self.recording.finish(self.shared.moment());
        self.handle_events();
        self.publish();
        (self.counters(), self.recorded)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Result<(), PullError> {
        let mut now = self.shared.moment();
        let mut drained = 0;
        while let Poll::Ready(received) = self.pull.poll_next(cx, now.monotonic) {
            self.receive(received?, now);
            drained += 1;
            if drained % SAME_MOMENT_MAX == 0 {
                now = self.shared.moment();
            }
            if drained == DRAIN_MAX {
                cx.waker().wake_by_ref();
                break;
            }
        }
        if !self.recording.events.is_empty() {
            self.handle_events();
        }
        while Pin::new(&mut self.interval).poll_tick(cx).is_ready() {
            self.watch(now.monotonic)?;
        }
        Ok(())
    }

    fn receive(&mut self, received: Received, now: Moment) {
        match received {
            Received::Packet { track, packet } => {
                if track == 0 {
                    self.last_packet = now.monotonic;
                }
                self.recording.packet(track, packet, now);
            }
            Received::Report {
                track,
                ntp,
                rtp_timestamp,
            } => self.recording.report(track, ntp, rtp_timestamp, now),
            Received::Stray => self.recording.stray(),
        }
    }

    /// Looks after the camera.
    fn watch(&mut self, now: Micros) -> Result<(), PullError> {
        let options = &self.shared.options;
        if self
            .clock_state_at
            .is_none_or(|at| now - at >= CLOCK_STATE_EVERY)
        {
            self.clock_state_at = Some(now);
            self.recording.set_clock_state(self.shared.clock.state());
        }
        self.recording.tick(now);
        self.handle_events();
        self.publish();
        if now - self.last_packet >= options.silent_after {
            return Err(PullError::Silent {
                seconds: options.silent_after.0.unsigned_abs() / 1_000_000,
            });
        }
        self.judge(now)
    }

    /// Whether what comes makes sense: some of it must, and most of it. What was lost on the way is no nonsense.
    fn judge(&mut self, now: Micros) -> Result<(), PullError> {
        let window = self.shared.options.undecodable_after;
        if now - self.sense.since < window {
            return Ok(());
        }
        let counters = self.recording.counters();
        let sense = Sense {
            since: now,
            units: self.recording.sensible_units(),
            nonsense: counters.errors.saturating_sub(counters.lost_packets),
        };
        let units = sense.units - self.sense.units;
        let nonsense = sense.nonsense.saturating_sub(self.sense.nonsense);
        let packets_come = (now - self.last_packet).0 < window.0 / 4;
        if units == 0 && !packets_come {
            // Silence is judged by its own rule: this window goes on.
            return Ok(());
        }
        self.sense = sense;
        if units == 0 || nonsense > units {
            return Err(PullError::Undecodable {
                seconds: window.0.unsigned_abs() / 1_000_000,
            });
        }
        Ok(())
    }

    fn handle_events(&mut self) {
        for event in self.recording.events.drain(..) {
            let (camera, stream) = (&self.spec.camera, self.spec.role.name());
            match event {
                Event::RunBegan(cause) => {
                    self.recorded = true;
                    self.status
                        .enter(StreamState::Recording, self.shared.clock.now());
                    tracing::info!(%camera, stream, %cause, "a run began");
                }
                Event::Stepped(step) => {
                    let key = (self.spec.stream, "step");
                    if let Some(kept_back) =
                        self.shared.limiter.tell(&key, self.shared.clock.elapsed())
                    {
                        tracing::warn!(%camera, stream, %step, kept_back, "a clock stepped: a new run begins at the next key frame");
                    }
                }
            }
        }
    }

    fn counters(&self) -> StreamCounters {
        self.before.plus(&self.recording.counters())
    }

    fn publish(&mut self) {
        let counters = self.counters();
        let rates = self.rates.sample(
            self.shared.clock.elapsed(),
            self.recording.sensible_units(),
            counters.bytes,
        );
        let mut status = self.status.lock();
        status.counters = counters;
        if let Some(newest) = self.recording.newest() {
            status.last_frame = Some(newest);
        }
        if let Some(offset) = self.recording.camera_offset() {
            status.camera_offset_us = Some(offset.0);
        }
        if let Some((frames, bits)) = rates {
            status.frames_per_second = frames;
            status.bits_per_second = bits;
        }
    }
}
