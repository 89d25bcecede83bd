//! The listeners: plain and TLS, and a task for each connection.

use super::{
    connection::{Ends, REQUEST_WITHIN, talk},
    metrics::Ended,
    outbox::Outbox,
    response::{Refusal, Response, Status},
    service::Service,
};
use crate::api::{
    complaints,
    places::{Full, Permit},
};
use socket2::{SockRef, TcpKeepalive};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

/// A connection on which nothing went for so long is tried: where a camera sends nothing, nothing else shows that a viewer is gone. There
/// is no `TCP_USER_TIMEOUT`: it would end the connections of clients that hold still too, however they answer.
const TRIED_AFTER: Duration = Duration::from_secs(30);
/// And again so long after.
const TRIED_AGAIN: Duration = Duration::from_secs(10);
/// So often without an answer, and the peer is gone.
const TRIED_TIMES: u32 = 3;
/// The kernel takes no more while so many bytes of a connection are not sent: a slow viewer's place in the stream stays with us.
const UNSENT_MAX: u32 = 128 << 10;
/// A pause after the system refused a connection: it lacks files or memory.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// Numbers of connections, over all listeners.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// Takes connections in, for ever.
pub(super) async fn accept(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    service: Arc<Service>,
) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                let what = "an RTSP connection was not accepted: raise the limit of open files";
                complaints::warn(what, None, &error);
                tokio::time::sleep(REFUSED_PAUSE).await;
                continue;
            }
        };
        match service.places.enter(peer.ip()) {
            Ok(permit) => {
                let served = serve(stream, peer, tls.clone(), Arc::clone(&service), permit);
                tokio::spawn(served);
            }
            Err(full) => refuse(&stream, tls.is_some(), full, &service),
        }
    }
}

/// Says no, without waiting for anything.
fn refuse(stream: &TcpStream, tls: bool, full: Full, service: &Service) {
    service.metrics.end(Ended::TooMany);
    if !tls {
        let (whose, setting) = match full {
            Full::Client { .. } => ("this client has", "sessions_per_client"),
            Full::All { .. } => ("there are", "sessions"),
        };
        let why = format!(
            "{whose} as many connections as there may be; close some, or raise [rtsp] {setting}"
        );
        let refusal = Refusal::new(Status::Unavailable, why);
        service.metrics.answered(refusal.status);
        let _ = stream.try_write(Response::refuse(&refusal, None).encode().as_bytes());
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    service: Arc<Service>,
    permit: Permit,
) {
    let Ok(local) = prepare(&stream) else { return };
    let ends = Ends {
        number: NUMBER.fetch_add(1, Ordering::Relaxed),
        local,
        peer,
        private: tls.is_some(),
    };
    match tls {
        None => {
            let (reader, writer) = stream.into_split();
            let outbox = Arc::new(Outbox::plain(writer));
            let talked = talk(Arc::clone(&service), ends, reader, Arc::clone(&outbox));
            let written = write_until_closed(
                &outbox,
                outbox.write_plain(|| service.may_hold_still(ends.number)),
            );
            tokio::join!(talked, written);
        }
        Some(config) => serve_tls(stream, ends, config, &service).await,
    }
    drop(permit);
}

async fn serve_tls(
    stream: TcpStream,
    ends: Ends,
    config: Arc<ServerConfig>,
    service: &Arc<Service>,
) {
    let accepted = timeout(REQUEST_WITHIN, TlsAcceptor::from(config).accept(stream)).await;
    let Ok(Ok(stream)) = accepted else {
        service.metrics.end(Ended::Tls);
        return;
    };
    let (reader, writer) = tokio::io::split(stream);
    let outbox = Arc::new(Outbox::for_tls());
    let talked = talk(Arc::clone(service), ends, reader, Arc::clone(&outbox));
    tokio::join!(
        talked,
        write_until_closed(
            &outbox,
            outbox.write_tls(writer, || service.may_hold_still(ends.number))
        )
    );
}

/// Whatever ends the writing closes the outbox, so that the other side of the connection ends too.
pub(super) async fn write_until_closed(
    outbox: &Outbox,
    writing: impl Future<Output = io::Result<()>>,
) {
    let written = writing.await;
    outbox.close_after(&written);
}

fn prepare(stream: &TcpStream) -> io::Result<SocketAddr> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let tried = TcpKeepalive::new()
        .with_time(TRIED_AFTER)
        .with_interval(TRIED_AGAIN)
        .with_retries(TRIED_TIMES);
    socket.set_tcp_keepalive(&tried)?;
    socket.set_tcp_notsent_lowat(UNSENT_MAX)?;
    stream.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A viewer whose power went while his camera was silent must not keep his session for ever. That the kernel then ends the connection
    /// is its promise; ours is to ask for it.
    #[tokio::test]
    async fn a_silent_connection_is_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.expect("a connection");
        prepare(&stream).expect("options");
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().expect("an option"));
        assert_eq!(socket.tcp_keepalive_time().expect("an option"), TRIED_AFTER);
        drop(client);
    }
}
