//! A recorder in simulation: cameras, tails, volumes with their writers, one clock. Everything happens in one thread, in the order of
//! virtual time.

use crate::{
    camera::Camera,
    model::{Home, Model},
    mounted::{Mounted, mount},
    reader::Readers,
    setup::{Left, Promises, Setup, open},
};
use nvring::{
    base::{Clock, Micros, SimulatedClock, seed::Seed},
    media::{FrameKind, GapCause},
    store::{
        tail::{Pushed, Tail, TailBudget},
        volume::{Access, VolumeError},
    },
};
use std::sync::Arc;

/// A recorder.
pub(crate) struct Site {
    pub(crate) setup: Setup,
    pub(crate) promises: Promises,
    pub(crate) clock: Arc<SimulatedClock>,
    pub(crate) volumes: Vec<Mounted>,
    pub(crate) cameras: Vec<Camera>,
    pub(crate) tails: Vec<Arc<Tail>>,
    pub(crate) model: Model,
    pub(crate) readers: Readers,
    pub(crate) shed: u64,
    /// Whether this life was ended by a stop that left nothing to do.
    pub(crate) stopped: bool,
    budget: Arc<TailBudget>,
    random: Seed,
    next_beat: Micros,
}

impl Site {
    /// A recorder with nothing in use.
    pub(crate) fn new(
        setup: Setup,
        promises: Promises,
        clock: Arc<SimulatedClock>,
        cameras: Vec<Camera>,
        random: Seed,
    ) -> Self {
        let mut model = Model::default();
        for camera in &cameras {
            model.streams.entry(camera.stream).or_default();
        }
        Self {
            budget: TailBudget::new(setup.budget),
            setup,
            promises,
            clock,
            volumes: Vec::new(),
            cameras,
            tails: Vec::new(),
            model,
            readers: Readers::default(),
            shed: 0,
            stopped: false,
            random,
            next_beat: Micros::ZERO,
        }
    }

    /// Opens the volumes and starts recording. A volume that cannot be opened is left out.
    pub(crate) fn start(&mut self, left: Left, cause: GapCause) -> Vec<VolumeError> {
        let mut refused = Vec::new();
        self.volumes.clear();
        for (number, (disk, index)) in left.disks.into_iter().zip(left.indexes).enumerate() {
            match open(&disk, &index, Access::Write) {
                Ok(opened) => {
                    self.volumes
                        .push(mount(number, opened, disk, index, self.setup.writer))
                }
                Err(error) => refused.push(error),
            }
        }
        self.budget = TailBudget::new(self.setup.budget);
        self.tails.clear();
        self.shed = 0;
        self.stopped = false;
        self.next_beat = self.clock.elapsed() + self.setup.beat;
        for number in 0..self.cameras.len() {
            let tail = Tail::new(
                self.cameras[number].stream,
                Arc::clone(&self.budget),
                self.setup.limits,
            );
            self.tails.push(tail);
            self.begin(number, cause);
            let count = self.volumes.len().max(1);
            if let Some(volume) = self.volumes.get_mut(number % count) {
                volume.streams.push(number);
                volume.shared.attach(Arc::clone(&self.tails[number]));
            }
        }
        refused
    }

    /// A camera's run begins; one that goes on ends.
    pub(crate) fn begin(&mut self, number: usize, cause: GapCause) {
        // No two runs of a stream begin in one microsecond, whatever the wall clock does.
        self.clock.advance(Micros(1 + self.random.below(97) as i64));
        let description = self.cameras[number].begin(cause, self.clock.now(), self.clock.elapsed());
        self.tails[number].begin(description);
    }

    /// Lets the recorder run until `end`, or until `stop` says so; `stop` is asked after every step.
    pub(crate) fn run(&mut self, end: Micros, stop: &mut dyn FnMut(&Self) -> bool) {
        while !stop(self) {
            let camera =
                (0..self.cameras.len()).min_by_key(|number| self.cameras[*number].next_due());
            let frame = camera.map_or(Micros(i64::MAX), |number| self.cameras[number].next_due());
            let completion = self.next_completion();
            let time = completion.min(frame).min(self.next_beat);
            if time >= end {
                self.wait_until(end);
                return;
            }
            self.wait_until(time);
            match camera {
                _ if completion == time => self.complete(false),
                Some(number) if frame == time => self.push(number),
                _ => self.beat(false),
            }
        }
    }

    fn wait_until(&self, time: Micros) {
        let behind = time.0 - self.clock.elapsed().0;
        if behind > 0 {
            self.clock.advance(Micros(behind));
        }
    }

    fn next_completion(&self) -> Micros {
        let due = self
            .volumes
            .iter()
            .filter_map(|volume| volume.disk.next_due());
        due.min()
            .unwrap_or(Micros(i64::MAX))
            .max(self.clock.elapsed())
    }

    /// Completes the request that is due first.
    fn complete(&mut self, flush: bool) {
        let first = (0..self.volumes.len())
            .filter(|at| self.volumes[*at].disk.next_due().is_some())
            .min_by_key(|at| self.volumes[*at].disk.next_due());
        let Some(at) = first else { return };
        self.volumes[at].disk.step();
        if self.setup.wakes || flush {
            self.tick(at, flush);
        }
        self.readers
            .poll(&self.model, &self.promises, self.clock.elapsed());
    }

    fn push(&mut self, number: usize) {
        let (camera, tail) = (&mut self.cameras[number], &self.tails[number]);
        let (frame, now) = (camera.frame(), self.clock.elapsed());
        match tail.push(frame.clone(), now) {
            Pushed::Kept => {
                let run = tail.run().expect("a frame was kept in a run").id;
                let model = self.model.streams.get_mut(&camera.stream).expect("known");
                model.push(run.run, &frame, now);
            }
            Pushed::Shed => self.shed += 1,
            Pushed::Refused => panic!("a frame of {} bytes was refused", frame.data.len()),
        }
        let taken = self.setup.segment_len * self.setup.volumes as u64 * 2;
        let shares = self.tails.len()
            * (self.setup.limits.waiting_max / 8 + self.setup.limits.frame_len_max);
        assert!(
            self.budget.held() <= self.setup.budget + taken + shares as u64,
            "L8: tails hold {} bytes",
            self.budget.held()
        );
        // What a failed segment gives back waits once more.
        let again = if self.promises.bounded {
            0
        } else {
            taken as usize
        };
        assert!(
            tail.waiting() <= self.setup.limits.waiting_max + again,
            "L8: a tail's waiting bytes"
        );
        assert!(frame.kind != FrameKind::Leading);
    }

    /// The writers' regular look, and what the outer shell does beside it.
    fn beat(&mut self, flush: bool) {
        self.next_beat = self.clock.elapsed() + self.setup.beat;
        for at in 0..self.volumes.len() {
            self.tick(at, flush);
            let late = self.random.chance(0.3);
            self.volumes[at].checkpoint(late);
        }
        self.fail_over();
        if self.random.chance(0.1) {
            self.start_reader();
        }
        self.readers
            .poll(&self.model, &self.promises, self.clock.elapsed());
    }

    fn start_reader(&mut self) {
        let (volume, camera) = (
            self.random.below(self.volumes.len() as u64),
            self.random.below(self.cameras.len() as u64),
        );
        let Some(volume) = self.volumes.get(volume as usize) else {
            return;
        };
        let patience = Micros(self.random.below(4_000_000) as i64);
        let stream = self.cameras[camera as usize].stream;
        self.readers.start(
            &volume.shared,
            stream,
            self.clock.elapsed() + patience,
            &mut self.random,
        );
    }

    fn tick(&mut self, at: usize, flush: bool) {
        let volume = &mut self.volumes[at];
        if volume.moved {
            return;
        }
        let home = (volume.number, volume.open());
        volume.writer.tick(self.clock.elapsed(), flush);
        for number in volume.streams.clone() {
            let stream = self.tails[number].stream();
            let model = self.model.streams.get_mut(&stream).expect("known");
            model.durable(&self.tails[number].counters(), home);
        }
        volume.watch_ring();
        volume.watch_index(self.clock.elapsed());
    }

    /// L5: what `pool` does when a volume fails.
    fn fail_over(&mut self) {
        for at in 0..self.volumes.len() {
            if !self.volumes[at].writer.has_failed() || self.volumes[at].moved {
                continue;
            }
            self.volumes[at].moved = true;
            let streams = std::mem::take(&mut self.volumes[at].streams);
            streams
                .iter()
                .for_each(|number| self.tails[*number].rollback());
            let Some(other) = self
                .volumes
                .iter_mut()
                .find(|other| !other.writer.has_failed())
            else {
                continue;
            };
            for number in streams {
                other.shared.attach(Arc::clone(&self.tails[number]));
                other.streams.push(number);
            }
        }
    }

    /// Ends all runs and makes everything durable, as a stop does. Whether that came to its end before `stop`, which is asked at every
    /// step, said so.
    pub(crate) fn flush(&mut self, stop: &mut dyn FnMut(&Self) -> bool) -> bool {
        self.tails
            .iter()
            .for_each(|tail| tail.end(GapCause::Disabled));
        let deadline = self.clock.elapsed() + Micros::from_secs(60);
        while self.clock.elapsed() < deadline && !stop(self) {
            (0..self.volumes.len()).for_each(|at| self.tick(at, true));
            let idle = |volume: &Mounted| volume.moved || volume.writer.is_idle();
            if self.tails.iter().all(|tail| tail.is_drained()) && self.volumes.iter().all(idle) {
                // The pool waits for the last checkpoint.
                let volumes = self.volumes.iter_mut();
                volumes.for_each(|volume| volume.checkpoint(false));
                self.stopped = self.volumes.iter().all(|volume| !volume.moved);
                return true;
            }
            let completion = self.next_completion();
            if completion <= self.next_beat {
                self.wait_until(completion);
                self.complete(true);
            } else {
                self.wait_until(self.next_beat);
                self.beat(true);
            }
        }
        false
    }

    /// How long ago the oldest frame came that is not durable.
    pub(crate) fn lag(&self) -> Micros {
        let oldest = self.model.streams.values().filter_map(|stream| {
            let first = stream.pending.front()?;
            Some(stream.frames[*first].arrived)
        });
        oldest
            .min()
            .map_or(Micros::ZERO, |oldest| self.clock.elapsed() - oldest)
    }

    /// What a restart finds when power or process ends now.
    pub(crate) fn left(&self, power_cut: bool, seed: &mut Seed) -> Left {
        let disks = self.volumes.iter().map(|volume| {
            if power_cut {
                volume.disk.crash(seed)
            } else {
                volume.disk.kill(seed)
            }
        });
        let disks = disks.collect();
        for volume in &self.volumes {
            drop(volume.shared.index().flusher());
        }
        Left {
            disks,
            indexes: self
                .volumes
                .iter()
                .map(|volume| volume.index.clone())
                .collect(),
        }
    }

    /// Whether what lies in `home` was not overwritten.
    pub(crate) fn is_live(&self, home: Home) -> bool {
        self.volumes
            .iter()
            .filter(|volume| volume.number == home.0)
            .any(|volume| {
                let index = volume.shared.index();
                index
                    .segment_of(home.1)
                    .is_some_and(|segment| index.is_live(segment, home.1))
            })
    }
}
