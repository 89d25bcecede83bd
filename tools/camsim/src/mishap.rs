//! Mishaps: how the engine lets faults happen, when their time comes, by chance, or when a handle asks.

use crate::camera::Camera;
use crate::clip;
use crate::clock::nanos;
use crate::engine::Engine;
use crate::fault::{Fault, When, Which};

impl Engine {
    /// Lets happen what is due by the clock or by chance.
    pub(crate) fn apply_rules(&mut self, now_ns: u64) {
        let mut due = Vec::new();
        for (rule, turn_ns) in &mut self.rules {
            if *turn_ns > now_ns {
                continue;
            }
            *turn_ns = match rule.when {
                When::Every(every) => now_ns + nanos(every),
                When::At(_) | When::Chance(_) => u64::MAX,
            };
            due.push((rule.which.clone(), rule.fault.clone()));
        }
        for camera in &mut self.cameras {
            let newest = camera.first_from(now_ns);
            let chances = newest.saturating_sub(camera.weighed).min(1_000);
            camera.weighed = newest;
            for (rule, _) in &self.rules {
                if let When::Chance(probability) = rule.when
                    && rule.which.covers(&camera.name)
                    && (0..chances).any(|_| self.seed.chance(probability))
                {
                    due.push((Which::Named(camera.name.clone()), rule.fault.clone()));
                }
            }
        }
        for (which, fault) in due {
            self.inject(&which, &fault, now_ns);
        }
    }

    /// Lets a fault happen; returns the number of cameras it met.
    pub(crate) fn inject(&mut self, which: &Which, fault: &Fault, now_ns: u64) -> usize {
        if let Which::Named(name) = which {
            // A camera that nobody has asked for yet can be told to fail beforehand.
            self.camera_at(name, now_ns);
        }
        let met = |camera: &(usize, &Camera)| which.covers(&camera.1.name);
        let indices: Vec<usize> = self
            .cameras
            .iter()
            .enumerate()
            .filter(met)
            .map(|(index, _)| index)
            .collect();
        for index in &indices {
            self.inject_into(*index, fault, now_ns);
        }
        indices.len()
    }

    fn inject_into(&mut self, index: usize, fault: &Fault, now_ns: u64) {
        let camera = &mut self.cameras[index];
        match fault {
            Fault::Drop(probability) => camera.settings.drop = *probability,
            Fault::Duplicate(probability) => camera.settings.duplicate = *probability,
            Fault::Reorder(probability) => camera.settings.reorder = *probability,
            Fault::Refuse(refuse) => camera.settings.refuse = *refuse,
            Fault::Unauthorized(refuse) => camera.settings.unauthorized = *refuse,
            Fault::NtpOffset(offset_us) => camera.settings.ntp_offset_us = *offset_us,
            Fault::KeepAlive(way) => camera.settings.keep_alive = *way,
            Fault::Strict(strict) => camera.settings.strict = *strict,
            Fault::DecodingOrder(told) => camera.settings.decoding_order = *told,
            Fault::Stall(time) => camera.stall(now_ns, *time),
            Fault::Lag(time) => camera.hold_until_ns = now_ns.saturating_add(nanos(*time)),
            Fault::ClockJump(jump_ms) => camera.jump(now_ns, *jump_ms),
            Fault::Garbage(kind) => {
                for session in self
                    .connections
                    .iter_mut()
                    .flatten()
                    .filter_map(|c| c.session.as_mut())
                {
                    if session.camera == index {
                        session.garbage = Some(*kind);
                    }
                }
            }
            Fault::Switch(name) => {
                if let Some(source) = clip::find(name) {
                    let clip = self.clip(source);
                    let camera = &mut self.cameras[index];
                    if camera.clip(now_ns).codec == clip.codec {
                        camera.switch(now_ns, clip);
                    }
                }
            }
            Fault::Restart(down) => {
                camera.down_until_ns = now_ns.saturating_add(nanos(*down));
                for at in 0..self.connections.len() {
                    let session = self.connections[at]
                        .as_ref()
                        .and_then(|c| c.session.as_ref());
                    if session.is_some_and(|session| session.camera == index) {
                        self.close(at, "restarted");
                    }
                }
            }
        }
    }
}
