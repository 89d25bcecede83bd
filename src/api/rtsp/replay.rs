//! Replay: sends what was recorded, at its pace or as fast as the client reads, and goes on live when it has come to the newest frame.
//!
//! The frames come from a `Replay`, which knows the recording; here they get their times, their packets and, for clients that speak of
//! ONVIF replay, the header extension. A frame becomes packets when it is sent, so little is made in advance: what a client does not take
//! stays on the disk. PAUSE keeps the place to the frame. A PLAY with `Immediate: yes`, or while nothing plays or what plays has no end,
//! takes the place of what plays; another waits until that is over (RFC 2326 §10.5).

mod course;
mod pace;
mod presentation;
mod tracks;

pub(super) use presentation::{attributes, recorded_at};

use super::{
    conversation::Prepared,
    order::PlayOrder,
    outbox::Gone,
    player::{Doing, Finished, Player},
    response::{Refusal, Status},
    service::{Service, failed},
    stage::Stage,
};
use crate::{
    base::{Micros, UnixMicros},
    media::Packets,
    playback::{
        plan::PlanError,
        replay::{Direction, RecordingsNow, Replay, ReplayEvent, ReplayFrame, ReplayRequest},
    },
};
use course::{Course, Situation};
use pace::{Due, Pace};
use std::{collections::VecDeque, sync::Arc};
use tracks::Tracks;

/// Bytes that are handed over at once. Packets of one frame stay together.
const BATCH_LEN: usize = 64 << 10;
/// Frames that are due so soon go together.
const BEAT: Micros = Micros::from_millis(10);
/// It wakes so often at least: for reports.
const NAP_MAX: Micros = Micros::from_secs(1);
/// By UDP the goodbye comes so much later, on ports of its own: a client that hears it reads no more of what is on its way.
const GOODBYE_AFTER: Micros = Micros::from_millis(300);
/// Ranges that may wait for the one that plays.
const WAITING_MAX: usize = 4;
/// Over UDP nothing holds the sender back: without a pace it sends so many bytes in a second at most.
const DATAGRAM_BYTES_PER_SECOND: i64 = 4 << 20;

/// A frame that became packets.
struct Made {
    frame: ReplayFrame,
    packets: Packets,
}

/// A course on its way.
struct Playing {
    course: Course,
    replay: Replay,
    pace: Pace,
    /// When it began to be sent; `None` while it waits.
    begun: Option<Micros>,
    /// Read and not sent yet.
    frames: VecDeque<ReplayFrame>,
    /// When the first of them is due.
    due: Option<Due>,
    /// Where it is.
    place: UnixMicros,
    ended: bool,
}

/// The player of what was recorded.
#[derive(Default)]
pub(super) struct ReplayPlayer {
    /// Where `npt=` counts from.
    base: Option<UnixMicros>,
    tracks: Tracks,
    playing: Option<Playing>,
    waiting: VecDeque<Playing>,
    /// Not known to be sent.
    made: Vec<Made>,
    runs: bool,
    /// The client was told that nothing more comes.
    goodbye: bool,
}

impl Player for ReplayPlayer {
    fn prepare<'a>(
        &'a mut self,
        order: &'a PlayOrder,
        stage: &'a mut Stage,
    ) -> Doing<'a, Result<Prepared, Refusal>> {
        Box::pin(self.take(order, stage))
    }

    fn run<'a>(&'a mut self, stage: &'a mut Stage) -> Doing<'a, Finished> {
        Box::pin(self.play(stage))
    }

    fn pause(&mut self) {
        self.runs = false;
        // What waited is given up with what played (RFC 2326 §10.6).
        self.waiting.clear();
    }
}

impl ReplayPlayer {
    async fn take(&mut self, order: &PlayOrder, stage: &mut Stage) -> Result<Prepared, Refusal> {
        if self.goodbye {
            self.tracks.renew();
        }
        let continued = self.playing.as_ref().filter(|playing| !playing.is_over());
        if continued.is_some_and(|playing| playing.course.is_continued_by(order)) {
            return self.go_on(order, stage);
        }
        let next = self.open(order, stage).await?;
        self.tracks
            .prepare(stage.tracks(), stage.service.feeds.packet_len_max());
        if let Some(run) = next.replay.first_run() {
            self.tracks.check(run)?;
        }
        let waits = self.must_wait(order);
        if waits && self.waiting.len() >= WAITING_MAX {
            let why = "too many ranges wait to be played; send PAUSE, or Immediate: yes";
            return Err(Refusal::new(Status::NotValidInThisState, why));
        }
        // Refused, it would play on as before.
        if !waits {
            self.give_up(stage.is_interleaved());
        }
        self.goodbye = false;
        let base = self.base.unwrap_or(next.place);
        let prepared = Prepared {
            range: next.course.range(next.place, base),
            starts: if waits {
                // How many packets come before is not known.
                Vec::new()
            } else {
                self.tracks.starts(next.pace.at(next.place))
            },
            pace: told_pace(order),
        };
        if waits {
            self.waiting.push_back(next);
        } else {
            self.playing = Some(next);
            // Once the client knows.
            self.runs = true;
        }
        Ok(prepared)
    }

    /// Whether an order is for later.
    fn must_wait(&self, order: &PlayOrder) -> bool {
        let bounded = |playing: &Playing| playing.course.end.is_some() && !playing.is_over();
        let playing = self.playing.as_ref().filter(|_| self.runs);
        order.range.is_some() && !order.immediate && playing.is_some_and(bounded)
    }

    /// Goes on where it was.
    fn go_on(&mut self, order: &PlayOrder, stage: &Stage) -> Result<Prepared, Refusal> {
        self.take_back(stage.is_interleaved());
        self.tracks
            .prepare(stage.tracks(), stage.service.feeds.packet_len_max());
        let Some(playing) = &mut self.playing else {
            let why = "nothing plays; send PLAY with a Range";
            return Err(Refusal::new(Status::NotValidInThisState, why));
        };
        playing.course.go_on(order);
        if !self.runs {
            playing.begun = None;
            playing.due = None;
            let place = playing.frames.front().map(|frame| frame.frame.time);
            playing.place = place.unwrap_or(playing.place);
            playing.pace = Pace::new(&playing.course, playing.place, stage.service.wall());
            self.runs = true;
        }
        let base = self.base.unwrap_or(playing.place);
        Ok(Prepared {
            range: playing.course.range(playing.place, base),
            starts: self.tracks.starts(playing.pace.at(playing.place)),
            pace: told_pace(order),
        })
    }

    /// Opens the recording for an order.
    async fn open(&mut self, order: &PlayOrder, stage: &Stage) -> Result<Playing, Refusal> {
        let service = &stage.service;
        let recordings = service.recordings();
        let nothing = || Refusal::new(Status::InvalidRange, "nothing of this stream is recorded");
        let recorded = recordings.bounds(stage.stream).ok_or_else(nothing)?;
        let grows = recordings
            .tail(stage.stream)
            .is_some_and(|tail| tail.run().is_some());
        let span = stage.address.span;
        let oldest = span.map_or(recorded.0, |span| span.start.max(recorded.0));
        let base = self.base.unwrap_or(oldest);
        let continued = self.playing.as_ref().filter(|playing| !playing.is_over());
        let situation = Situation {
            recorded,
            grows,
            now: service.wall(),
            span,
            base,
            place: continued.map(|playing| playing.place),
        };
        let course = Course::new(order, &situation)?;
        let request = ReplayRequest {
            stream: stage.stream,
            start: course.start,
            end: course.end,
            direction: course.direction,
            frames: course.frames,
        };
        let replay = Replay::open(recordings_now(service), request).await;
        let replay = replay.map_err(|error| refusal(&error))?;
        let place = match course.direction {
            Direction::Forward => replay.first(),
            Direction::Reverse => None,
        };
        let place = place.unwrap_or(course.start);
        if self.base.is_none() {
            let begins = course.start == oldest;
            self.base = Some(if begins { place.min(oldest) } else { oldest });
        }
        Ok(Playing {
            pace: Pace::new(&course, place, service.wall()),
            course,
            replay,
            begun: None,
            frames: VecDeque::new(),
            due: None,
            place,
            ended: false,
        })
    }

    /// Stops what plays and what waits.
    fn give_up(&mut self, interleaved: bool) {
        self.take_back(interleaved);
        self.playing = None;
        self.waiting.clear();
    }

    /// Takes back what was not sent. Of datagrams some may be on their way: their numbers are used up.
    fn take_back(&mut self, interleaved: bool) {
        let made = std::mem::take(&mut self.made);
        let mut seen = Vec::new();
        for Made { frame, packets } in &made {
            let number = frame.frame.track.0;
            if interleaved && !seen.contains(&number) {
                seen.push(number);
                self.tracks.take_back(number, packets);
            }
        }
        if let Some(playing) = &mut self.playing {
            for Made { frame, .. } in made.into_iter().rev() {
                playing.frames.push_front(frame);
                playing.due = None;
            }
        }
    }

    async fn play(&mut self, stage: &mut Stage) -> Finished {
        loop {
            if self.hand_over(stage).await.is_err() {
                return Finished::Over;
            }
            let Some(playing) = &self.playing else {
                return self.finish(stage).await;
            };
            if playing.is_over() {
                self.playing = self.waiting.pop_front();
                continue;
            }
            let service = Arc::clone(&stage.service);
            if !self.make(&service).await {
                return Finished::Over;
            }
        }
    }

    /// Makes packets of the frames that are due, waiting for the first; whether the session describes them.
    async fn make(&mut self, service: &Service) -> bool {
        let Some(playing) = &mut self.playing else {
            return true;
        };
        let begun = *playing.begun.get_or_insert_with(|| service.now());
        let mut len = 0;
        while len < BATCH_LEN && !playing.is_over() {
            let Some(due) = playing.due() else {
                if !self.made.is_empty() {
                    return true;
                }
                match playing.replay.next().await {
                    ReplayEvent::Run(run) if !self.tracks.begin_run(&run) => return false,
                    ReplayEvent::Run(_) => {}
                    ReplayEvent::Frames(frames) => playing.frames.extend(frames),
                    ReplayEvent::Live => playing.pace.turn_live(service.now() - begun),
                    ReplayEvent::Ended => playing.ended = true,
                }
                continue;
            };
            let early = due
                .after
                .map_or(Micros::ZERO, |after| begun + after - service.now());
            if early > BEAT {
                if self.made.is_empty() {
                    tokio::time::sleep(early.min(NAP_MAX).to_std()).await;
                }
                return true;
            }
            if let Some(frame) = playing.pop() {
                let sequence = playing.course.onvif.then_some(playing.course.sequence);
                match self.tracks.push(&frame, due.at, sequence) {
                    Ok(None) => {}
                    Ok(Some(packets)) => {
                        len += packets.framed().len();
                        self.made.push(Made { frame, packets });
                    }
                    Err(_) => service.metrics.unsendable.inc(),
                }
            }
        }
        true
    }

    /// Sends what was made, and the reports that are due.
    async fn hand_over(&mut self, stage: &mut Stage) -> Result<(), Gone> {
        let made = self.made.iter();
        let batch: Vec<(u8, Packets)> = made
            .map(|made| (made.frame.frame.track.0, made.packets.clone()))
            .collect();
        stage.send(&batch).await?;
        self.made.clear();
        let Some(playing) = &self.playing else {
            return Ok(());
        };
        let after = playing.begun.map(|begun| stage.service.now() - begun);
        let at = after.and_then(|after| playing.pace.now(after));
        let tracks = &self.tracks;
        let instant = |number| {
            let at = at?;
            // The report tells which timestamp stands for the time at which it is sent.
            Some((at, tracks.timestamp(number, at)?))
        };
        stage.report(instant).await?;
        if !playing.course.rate_control && !stage.is_interleaved() {
            let bytes = batch.iter().map(|(_, packets)| packets.framed().len());
            let bytes = bytes.sum::<usize>() as i64;
            let rest = Micros(bytes * 1_000_000 / DATAGRAM_BYTES_PER_SECOND);
            tokio::time::sleep(rest.to_std()).await;
        }
        Ok(())
    }

    /// Tells the client that nothing more comes.
    async fn finish(&mut self, stage: &mut Stage) -> Finished {
        if !self.goodbye && !stage.is_interleaved() {
            tokio::time::sleep(GOODBYE_AFTER.to_std()).await;
        }
        if !std::mem::replace(&mut self.goodbye, true) && stage.bye().await.is_err() {
            return Finished::Over;
        }
        self.runs = false;
        Finished::Played
    }
}

impl Playing {
    /// Whether all of it is sent.
    fn is_over(&self) -> bool {
        self.ended && self.frames.is_empty()
    }

    /// When the next frame is due; `None` when none is read.
    fn due(&mut self) -> Option<Due> {
        let frame = self.frames.front()?;
        let pace = &mut self.pace;
        Some(*self.due.get_or_insert_with(|| pace.next(frame)))
    }

    /// Takes the next frame.
    fn pop(&mut self) -> Option<ReplayFrame> {
        self.due = None;
        let frame = self.frames.pop_front()?;
        self.place = frame.frame.time;
        Some(frame)
    }
}

fn recordings_now(service: &Arc<Service>) -> RecordingsNow {
    let service = Arc::clone(service);
    Arc::new(move || service.recordings())
}

fn refusal(error: &PlanError) -> Refusal {
    match error {
        PlanError::Empty { .. } => Refusal::new(Status::InvalidRange, error.to_string()),
        PlanError::Read(error) => failed(error),
    }
}

/// The headers of the answer that say how fast it is.
fn told_pace(order: &PlayOrder) -> Vec<(&'static str, f64)> {
    let scale = (order.scale != 1.0).then_some(("Scale", order.scale));
    let speed = order.speed.map(|speed| ("Speed", speed));
    scale.into_iter().chain(speed).collect()
}
