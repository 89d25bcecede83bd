//! Admission: what the listeners let clients do at most, and what they count of it (L8). HTTP and MediaMTX's shape share it.
//!
//! Everything that a client can hold on to has a number here: connections, readers, the sizes of a request, and how long it may take for
//! each of its steps. A refusal is counted by its limit, so that an operator sees which one is too narrow.

use crate::api::places::Places;
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use std::{sync::Arc, time::Duration};

/// What clients may do, as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpOptions {
    /// The bounds.
    pub limits: Limits,
    /// Names, besides addresses and `localhost`, by which the server may be called; `*` is any.
    pub hosts: Vec<String>,
    /// Origins of other pages that may read answers; `*` is any.
    pub allow_origins: Vec<String>,
}

/// The bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one client.
    pub connections_per_client: usize,
    /// Readers in all: whoever is answered from recordings, and live viewers.
    pub readers: usize,
    /// Readers of one client.
    pub readers_per_client: usize,
    /// Longest recorded range of one video.
    pub range: Duration,
    /// Longest address in bytes.
    pub url_size: usize,
    /// Longest headers together in bytes.
    pub header_size: usize,
    /// How long the head of a request may take from its first byte on.
    pub header_timeout: Duration,
    /// How long a connection may be without a request.
    pub idle_timeout: Duration,
    /// How long an answer may wait for a disk: its head, and then each piece of it.
    pub answer_timeout: Duration,
    /// How long a client may take nothing of its answer.
    pub stall_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_client: 128,
            readers: 256,
            readers_per_client: 64,
            range: Duration::from_secs(7 * 86_400),
            url_size: 8 << 10,
            header_size: 16 << 10,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            answer_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(60),
        }
    }
}

impl HttpOptions {
    /// Whether pages of `origin` may read answers.
    pub(in crate::api) fn allows_origin(&self, origin: &str) -> bool {
        let mut allowed = self.allow_origins.iter();
        allowed.any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    }
}

/// A bound that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Limit {
    Connections,
    ConnectionsPerClient,
    Readers,
    ReadersPerClient,
    Range,
    UrlSize,
    HeaderSize,
    Body,
    Host,
    HeaderTimeout,
    IdleTimeout,
    AnswerTimeout,
    StallTimeout,
}

impl Limit {
    const ALL: [Self; 13] = [
        Self::Connections,
        Self::ConnectionsPerClient,
        Self::Readers,
        Self::ReadersPerClient,
        Self::Range,
        Self::UrlSize,
        Self::HeaderSize,
        Self::Body,
        Self::Host,
        Self::HeaderTimeout,
        Self::IdleTimeout,
        Self::AnswerTimeout,
        Self::StallTimeout,
    ];

    /// Its name in metrics: that of the key in the configuration, where it has one.
    fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerClient => "connections_per_client",
            Self::Readers => "readers",
            Self::ReadersPerClient => "readers_per_client",
            Self::Range => "range",
            Self::UrlSize => "url_size",
            Self::HeaderSize => "header_size",
            Self::Body => "body",
            Self::Host => "hosts",
            Self::HeaderTimeout => "header_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::AnswerTimeout => "answer_timeout",
            Self::StallTimeout => "stall_timeout",
        }
    }
}

/// What the listeners share: the bounds, who is there, and what was refused.
#[derive(Debug)]
pub struct Admission {
    pub(in crate::api) options: HttpOptions,
    pub(in crate::api) connections: Arc<Places>,
    pub(in crate::api) readers: Arc<Places>,
    limited: IntCounterVec,
}

impl Admission {
    /// Nobody is there yet. Its numbers are shown in `registry`.
    ///
    /// # Errors
    /// When numbers of these names are shown already.
    pub fn new(options: HttpOptions, registry: &Registry) -> prometheus::Result<Self> {
        let limited = Opts::new(
            "nvring_http_limited_total",
            "Connections and requests refused or ended, by the limit they reached",
        );
        let limited = IntCounterVec::new(limited, &["limit"])?;
        // Each is there from the beginning, so that the first refusal is seen as an increase.
        for limit in Limit::ALL {
            limited.with_label_values(&[limit.name()]);
        }
        let connections = IntGauge::new("nvring_http_connections", "Connections of clients")?;
        let readers = IntGauge::new(
            "nvring_http_readers",
            "Places taken by those who are answered from recordings and by live viewers",
        )?;
        registry.register(Box::new(limited.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        registry.register(Box::new(readers.clone()))?;
        let limits = options.limits;
        Ok(Self {
            connections: Places::new(
                limits.connections,
                limits.connections_per_client,
                connections,
            ),
            readers: Places::new(limits.readers, limits.readers_per_client, readers),
            limited,
            options,
        })
    }

    /// Counts that `limit` was reached.
    pub(in crate::api) fn count(&self, limit: Limit) {
        self.limited.with_label_values(&[limit.name()]).inc();
    }

    /// The bounds.
    pub(in crate::api) fn limits(&self) -> &Limits {
        &self.options.limits
    }
}
