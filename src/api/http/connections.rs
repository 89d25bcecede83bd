//! The connections of a listener: accepted within the bounds of `Admission`, each watched, all ended when the server stops.

use super::{
    admission::{Admission, Limit},
    gate::Peer,
    refusal::{self, Wording},
    watched_stream::{Progress, WatchedStream, head_len_max},
};
use crate::api::{
    complaints,
    places::{Full, Permit},
};
use axum::{
    Router,
    body::{Body, HttpBody},
    extract::Request,
    http::StatusCode,
    response::Response,
};
use bytes::Bytes;
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};
use tower_service::Service;

/// How long is waited after an error of the listener itself, such as no file descriptor left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Most bytes of an answer that the kernel keeps for a client (it takes twice as much, within `net.core.wmem_max`). A client that reads
/// slowly shows that it does only when a third of them is gone, so this bounds how slow is told from not at all.
const SENDING_LEN: usize = 512 << 10;
/// The library's buffers hold at least so much.
const BUFFER_LEN_MIN: usize = 64 << 10;
/// How long answers under way may go on when the server stops; then they are cut off, and their clients resume from where they were.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
/// Connections that are being told why they are refused. Past it they are just closed.
const REFUSING_MAX: usize = 64;
/// How long a client may take to hear it.
const REFUSING_TIME: Duration = Duration::from_secs(1);

/// Done when the listener stops: put into every request, for answers that have no end of their own.
#[derive(Clone)]
pub(super) struct Stopping(watch::Receiver<()>);

impl Stopping {
    /// Waits until the listener stops.
    pub(super) async fn stopped(&mut self) {
        let _ = self.0.changed().await;
    }
}

/// What a connection holds until it is closed, whoever holds it then.
pub(super) struct Held {
    /// Its place among all connections.
    _permit: Permit,
    /// The listener waits until nobody has it.
    _open: mpsc::Sender<Infallible>,
}

/// What answers on a listener.
#[derive(Clone)]
pub(in crate::api) struct Listening {
    /// The bounds, and who is there.
    pub(in crate::api) admission: Arc<Admission>,
    /// The routes.
    pub(in crate::api) router: Router,
    /// How refusals are worded.
    pub(in crate::api) wording: Wording,
}

impl Listening {
    /// Answers requests on `listener` until `stop` is done and every answer is given: by then clients are gone that looked on live too.
    pub(in crate::api) async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let (stopping, stopped) = watch::channel(());
        let (open, mut all_closed) = mpsc::channel(1);
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match self.admission.connections.enter(peer.ip()) {
                    Ok(permit) => {
                        let held = Held {
                            _permit: permit,
                            _open: open.clone(),
                        };
                        let one = self.clone();
                        connections.spawn(one.connection(stream, peer, held, stopped.clone()));
                    }
                    Err(full) => self.refuse(stream, full),
                },
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    complaints::warn("a connection cannot be accepted", None, &error);
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
        drop((listener, stopped, open));
        let _ = stopping.send(());
        while connections.join_next().await.is_some() {}
        // Live views have left the library's hands.
        let _ = all_closed.recv().await;
        Ok(())
    }

    /// Answers the requests of one connection.
    async fn connection(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        held: Held,
        mut stopped: watch::Receiver<()>,
    ) {
        // Frames of a live view are small and are to go at once.
        let _ = stream.set_nodelay(true);
        let _ = socket2::SockRef::from(&stream).set_send_buffer_size(SENDING_LEN);
        let progress = Arc::new(Progress::default());
        let head_max = head_len_max(&self.admission);
        let watched = WatchedStream::new(
            stream,
            held,
            self.admission,
            self.wording,
            Arc::clone(&progress),
        );
        let router = self.router;
        let stopping = Stopping(stopped.clone());
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let answering = Answering::begin(&progress);
            let mut request: Request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer));
            request.extensions_mut().insert(stopping.clone());
            request.extensions_mut().insert(Arc::clone(&progress));
            let answer = router.clone().call(request);
            async move {
                let response: Response = answer.await?;
                Ok::<_, Infallible>(answering.until_written(response))
            }
        });
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            // The watch refuses what is longer before the library does, which knows no problem details.
            .max_buf_size((head_max * 2).max(BUFFER_LEN_MIN))
            .serve_connection(TokioIo::new(watched), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            _ = stopped.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            // Clients go when they like: that is nobody's fault.
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }

    /// Says why a connection is not taken, without waiting for a request.
    fn refuse(&self, mut stream: TcpStream, full: Full) {
        static REFUSING: Semaphore = Semaphore::const_new(REFUSING_MAX);
        self.admission.count(match full {
            Full::Client { .. } => Limit::ConnectionsPerClient,
            Full::All { .. } => Limit::Connections,
        });
        let Ok(turn) = REFUSING.try_acquire() else {
            return;
        };
        let (kind, detail) = refusal::full(full, "connections");
        let bytes = refusal::raw(self.wording, kind, detail);
        tokio::spawn(tokio::time::timeout(REFUSING_TIME, async move {
            let _turn = turn;
            stream.write_all(&bytes).await?;
            stream.shutdown().await?;
            // What the client sends is read, so that it gets to read too.
            let mut scratch = [0; 4096];
            while stream.read(&mut scratch).await? > 0 {}
            io::Result::Ok(())
        }));
    }
}

/// Whether an error is about a client that went before it was accepted.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// From a request until the last byte of its answer was handed over.
struct Answering(Arc<Progress>);

impl Answering {
    fn begin(progress: &Arc<Progress>) -> Self {
        progress.begin();
        Self(Arc::clone(progress))
    }

    fn until_written(self, response: Response) -> Response<AnsweringBody> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // No request follows on this connection: it answers until it ends.
            self.0.switch();
        }
        response.map(|body| AnsweringBody {
            body,
            answering: self,
        })
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The body of an answer, which ends the answering when it is dropped.
struct AnsweringBody {
    body: Body,
    #[expect(dead_code, reason = "dropped with the body")]
    answering: Answering,
}

impl HttpBody for AnsweringBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
