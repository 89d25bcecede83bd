//! What the RTSP server counts, for `/metrics`.

use super::response::Status;
use prometheus::{
    IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
};

/// Why a connection was ended by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// There were too many.
    TooMany,
    /// A request was not whole in time.
    HalfOpen,
    /// Nothing was asked and nothing played.
    Idle,
    /// It took nothing.
    Stuck,
    /// What it sent could not be read.
    Unreadable,
    /// Too many wrong passwords, or packets on channels that are nobody's.
    Abuse,
    /// TLS could not be agreed on.
    Tls,
}

impl Ended {
    const ALL: [Self; 7] = [
        Self::TooMany,
        Self::HalfOpen,
        Self::Idle,
        Self::Stuck,
        Self::Unreadable,
        Self::Abuse,
        Self::Tls,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::HalfOpen => "half_open",
            Self::Idle => "idle",
            Self::Stuck => "stuck",
            Self::Unreadable => "unreadable",
            Self::Abuse => "abuse",
            Self::Tls => "tls",
        }
    }
}

/// The counters.
#[derive(Debug)]
pub(super) struct Metrics {
    /// Connections open.
    pub(super) connections: IntGauge,
    /// Sessions, by what they do: `live`, `replay` or `ready`.
    pub(super) sessions: IntGaugeVec,
    /// Streams packetised for live viewers.
    pub(super) feeds: IntGauge,
    /// Bytes packetised streams hold.
    pub(super) feed_bytes: IntGauge,
    /// RTP packets sent.
    pub(super) packets: IntCounter,
    /// Bytes of RTP packets sent.
    pub(super) bytes: IntCounter,
    /// Frames that slow live viewers did not get.
    pub(super) skipped_frames: IntCounter,
    /// How often a slow live viewer went on at a later key frame.
    pub(super) skips: IntCounter,
    /// Frames that could not be packetised.
    pub(super) unsendable: IntCounter,
    /// Interleaved packets on channels that are nobody's, and datagrams that are no reports.
    pub(super) stray: IntCounter,
    answers: IntCounterVec,
    ended: IntCounterVec,
}

impl Metrics {
    /// All zero.
    pub(super) fn new() -> Self {
        let counter =
            |name: &str, help: &str| IntCounter::new(name, help).expect("the name is valid");
        let gauge = |name: &str, help: &str| IntGauge::new(name, help).expect("the name is valid");
        let counters = |name: &str, help: &str, label: &str| {
            IntCounterVec::new(Opts::new(name, help), &[label]).expect("the name is valid")
        };
        let ended = counters(
            "nvring_rtsp_ended_total",
            "RTSP connections ended by the server, by cause",
            "cause",
        );
        for cause in Ended::ALL {
            ended.with_label_values(&[cause.name()]);
        }
        let sessions = Opts::new("nvring_rtsp_sessions", "RTSP sessions, by what they do");
        Self {
            connections: gauge("nvring_rtsp_connections", "RTSP connections open"),
            sessions: IntGaugeVec::new(sessions, &["state"]).expect("the name is valid"),
            feeds: gauge("nvring_rtsp_feeds", "Streams packetised for live viewers"),
            feed_bytes: gauge(
                "nvring_rtsp_feed_bytes",
                "Bytes that packetised streams hold",
            ),
            packets: counter("nvring_rtsp_packets_total", "RTP packets sent"),
            bytes: counter("nvring_rtsp_bytes_total", "Bytes of RTP packets sent"),
            skipped_frames: counter(
                "nvring_rtsp_skipped_frames_total",
                "Frames that slow live viewers did not get",
            ),
            skips: counter(
                "nvring_rtsp_skips_total",
                "Times that a slow live viewer went on at a later key frame",
            ),
            unsendable: counter(
                "nvring_rtsp_unsendable_frames_total",
                "Frames that could not be packetised",
            ),
            stray: counter(
                "nvring_rtsp_stray_packets_total",
                "Packets of clients that belong to no session",
            ),
            answers: counters(
                "nvring_rtsp_answers_total",
                "Answers to RTSP requests, by status",
                "status",
            ),
            ended,
        }
    }

    /// Counts an answer.
    pub(super) fn answered(&self, status: Status) {
        self.answers
            .with_label_values(&[&status.code().to_string()])
            .inc();
    }

    /// Counts a connection that was ended.
    pub(super) fn end(&self, cause: Ended) {
        self.ended.with_label_values(&[cause.name()]).inc();
    }

    /// How many were ended so.
    #[cfg(test)]
    pub(super) fn ended(&self, cause: Ended) -> u64 {
        self.ended.with_label_values(&[cause.name()]).get()
    }

    /// Adds all of them to `registry`.
    ///
    /// # Errors
    /// When they are there already.
    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        let all: [Box<dyn Collector>; 12] = [
            Box::new(self.connections.clone()),
            Box::new(self.sessions.clone()),
            Box::new(self.feeds.clone()),
            Box::new(self.feed_bytes.clone()),
            Box::new(self.packets.clone()),
            Box::new(self.bytes.clone()),
            Box::new(self.skipped_frames.clone()),
            Box::new(self.skips.clone()),
            Box::new(self.unsendable.clone()),
            Box::new(self.stray.clone()),
            Box::new(self.answers.clone()),
            Box::new(self.ended.clone()),
        ];
        all.into_iter().try_for_each(|one| registry.register(one))
    }
}
