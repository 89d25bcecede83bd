//! `/metrics` in the Prometheus text format: the volumes' numbers as the store keeps them, the streams' computed at each scrape.

use super::{App, Problem, Shared, StreamNumbers};
use crate::{base::UnixMicros, media::GapCause};
use axum::{extract::State, http::header, response::IntoResponse};
use prometheus::{Encoder, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

/// Numbers for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    responses((status = 200, description = "Prometheus text", body = String, content_type = "text/plain"))
)]
pub(super) async fn get(State(app): Shared) -> Result<impl IntoResponse, Problem> {
    let mut families = app.registry.gather();
    families.extend(streams(&app).map_err(Problem::failed)?.gather());
    let mut text = Vec::new();
    TextEncoder::new()
        .encode(&families, &mut text)
        .map_err(Problem::failed)?;
    Ok((
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    ))
}

fn streams(app: &App) -> prometheus::Result<Registry> {
    let families = Families::new()?;
    let now = app.clock.now();
    for stream in (app.streams)() {
        families.add(&stream, now);
    }
    families.registry()
}

/// Which of a stream's numbers a counter shows.
type Number = fn(&StreamNumbers) -> u64;

struct Families {
    counters: Vec<(IntCounterVec, Number)>,
    runs: IntCounterVec,
    recording: IntGaugeVec,
    held: IntGaugeVec,
    age: GaugeVec,
    lag: GaugeVec,
}

const LABELS: [&str; 2] = ["camera", "stream"];

impl Families {
    fn new() -> prometheus::Result<Self> {
        let counters: [(&str, &str, Number); 7] = [
            ("nvring_stream_frames_total", "Frames taken in", |stream| {
                stream.tail.frames
            }),
            (
                "nvring_stream_bytes_total",
                "Bytes of frames taken in",
                |stream| stream.tail.bytes,
            ),
            (
                "nvring_stream_shed_frames_total",
                "Frames shed because the volume was behind",
                |stream| stream.tail.shed,
            ),
            (
                "nvring_stream_packets_total",
                "RTP packets received",
                |stream| stream.packets,
            ),
            (
                "nvring_stream_lost_packets_total",
                "RTP packets lost on the way",
                |stream| stream.lost,
            ),
            (
                "nvring_stream_errors_total",
                "Packets and units that could not be understood",
                |stream| stream.errors,
            ),
            (
                "nvring_stream_reconnects_total",
                "Connections made after the first",
                |stream| stream.reconnects,
            ),
        ];
        let counter = |(name, help, read): (&str, &str, fn(&StreamNumbers) -> u64)| {
            IntCounterVec::new(Opts::new(name, help), &LABELS).map(|family| (family, read))
        };
        let runs = Opts::new(
            "nvring_stream_runs_total",
            "Runs begun, by the cause of the gap before them",
        );
        Ok(Self {
            counters: counters
                .into_iter()
                .map(counter)
                .collect::<prometheus::Result<_>>()?,
            runs: IntCounterVec::new(runs, &["camera", "stream", "cause"])?,
            recording: IntGaugeVec::new(
                Opts::new("nvring_stream_recording", "1 while frames are recorded"),
                &LABELS,
            )?,
            held: IntGaugeVec::new(
                Opts::new(
                    "nvring_stream_held_bytes",
                    "Bytes in memory, not yet durable",
                ),
                &LABELS,
            )?,
            age: GaugeVec::new(
                Opts::new(
                    "nvring_stream_last_frame_age_seconds",
                    "Age of the newest frame",
                ),
                &LABELS,
            )?,
            lag: GaugeVec::new(
                Opts::new(
                    "nvring_stream_durable_lag_seconds",
                    "Newest frame minus durable watermark: what a power cut would take",
                ),
                &LABELS,
            )?,
        })
    }

    fn add(&self, stream: &StreamNumbers, now: UnixMicros) {
        let labels = [stream.camera.as_str(), stream.role.name()];
        for (family, read) in &self.counters {
            family.with_label_values(&labels).inc_by(read(stream));
        }
        for cause in GapCause::ALL {
            let count = stream.tail.runs.get(cause as usize).copied().unwrap_or(0);
            if count > 0 {
                self.runs
                    .with_label_values(&[labels[0], labels[1], cause.name()])
                    .inc_by(count);
            }
        }
        self.recording
            .with_label_values(&labels)
            .set(i64::from(stream.recording));
        self.held
            .with_label_values(&labels)
            .set(stream.tail.held as i64);
        if let Some(newest) = stream.tail.newest {
            self.age
                .with_label_values(&labels)
                .set(now.since(newest).as_secs_f64());
            let durable = stream.tail.durable.unwrap_or(newest);
            self.lag
                .with_label_values(&labels)
                .set(newest.since(durable).as_secs_f64().max(0.0));
        }
    }

    fn registry(self) -> prometheus::Result<Registry> {
        let registry = Registry::new();
        for (family, _) in self.counters {
            registry.register(Box::new(family))?;
        }
        registry.register(Box::new(self.runs))?;
        registry.register(Box::new(self.recording))?;
        registry.register(Box::new(self.held))?;
        registry.register(Box::new(self.age))?;
        registry.register(Box::new(self.lag))?;
        Ok(registry)
    }
}
