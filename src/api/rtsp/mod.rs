//! RTSP 1.0 (RFC 2326): what cameras send now, for any number of viewers, and what was recorded.
//!
//! Reading order: `message` turns bytes into requests, `conversation` requests into answers; both are pure, with `address`,
//! `transport`, `order` and `session` as their words. `connection` is the shell of I/O around them, `service` what all connections share.
//! A session plays on a `stage` through a `player`; `live` is the one for what is sent now, on the packets that `feed` makes once for all
//! viewers of a stream. Nothing here can hold up recording: a feed reads the tail as any live viewer does, and viewers wait for themselves
//! only.

pub mod message;

pub mod address;
pub mod order;
pub mod response;
pub mod session;
pub mod transport;

pub mod guesses;

pub mod conversation;

mod connection;
mod datagrams;
mod description;
mod feed;
mod live;
mod metrics;
mod outbox;
mod player;
mod replay;
mod ring;
mod server;
mod service;
mod stage;

#[cfg(test)]
mod rig;

use super::http::App;
use crate::{access::digest::Users, api::places::Places, media::packetise};
use conversation::Rules;
use datagrams::Ports;
use feed::Feeds;
use guesses::Guesses;
use metrics::Metrics;
use service::Service;
use session::{SessionId, SessionLimits, Sessions};
use std::{future::Future, ops::RangeInclusive, sync::Arc};
use tokio::net::TcpListener;
use tokio_rustls::rustls::ServerConfig;

/// What a server is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who may sign in; `None`: nobody has to.
    pub users: Option<Users>,
    /// UDP ports to send from; `None`: packets go by TCP only.
    pub udp_ports: Option<RangeInclusive<u16>>,
    /// Most bytes of an RTP packet.
    pub packet_len_max: usize,
    /// How many sessions there may be. Connections may be twice as many.
    pub sessions: SessionLimits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            users: None,
            udp_ports: None,
            packet_len_max: packetise::PACKET_LEN_DEFAULT,
            sessions: SessionLimits {
                all: 1_000,
                per_client: 100,
            },
        }
    }
}

/// Connections that a client may have for each session he may have: some probe first.
const CONNECTIONS_PER_SESSION: usize = 2;

/// Where clients connect.
pub struct Listeners {
    /// Without TLS.
    pub plain: Option<TcpListener>,
    /// With TLS.
    pub tls: Option<(TcpListener, Arc<ServerConfig>)>,
}

/// Serves clients until `stop` is done; sessions end with it.
pub async fn serve(
    listeners: Listeners,
    app: Arc<App>,
    options: Options,
    stop: impl Future<Output = ()>,
) {
    let metrics = Arc::new(Metrics::new());
    if let Err(error) = metrics.register(&app.registry) {
        tracing::error!(%error, "the RTSP server's metrics are not shown");
    }
    let rules = Rules {
        users: options.users,
        access: Arc::clone(&app.access),
        datagrams: options.udp_ports.is_some(),
        guesses: Guesses::default(),
    };
    for counter in rules.guesses.counters() {
        if let Err(error) = app.registry.register(Box::new(counter)) {
            tracing::error!(%error, "who guesses passwords is not shown");
        }
    }
    let limits = options.sessions;
    let places = Places::new(
        limits.all.saturating_mul(CONNECTIONS_PER_SESSION),
        limits.per_client.saturating_mul(CONNECTIONS_PER_SESSION),
        metrics.connections.clone(),
    );
    let clock = Arc::clone(&app.clock);
    let ports = options.udp_ports.map(|range| Ports::new(range, clock));
    let new_id = || SessionId(uuid::Uuid::new_v4().simple().to_string());
    let service = Service::new(
        app,
        Arc::new(rules),
        (
            Feeds::new(options.packet_len_max, Arc::clone(&metrics)),
            metrics,
        ),
        places,
        (Sessions::new(limits, new_id), ports),
    );
    let plain = async {
        match listeners.plain {
            Some(listener) => server::accept(listener, None, Arc::clone(&service)).await,
            None => std::future::pending().await,
        }
    };
    let tls = async {
        match listeners.tls {
            Some((listener, config)) => {
                server::accept(listener, Some(config), Arc::clone(&service)).await
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = plain => {}
        () = tls => {}
        () = Arc::clone(&service).sweep() => {}
        () = stop => {}
    }
}
