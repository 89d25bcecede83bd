//! A client's connection under watch: nothing that a client does slowly, or not at all, holds a connection for ever.
//!
//! The HTTP library reads and writes; this says how long it may take. Between two answers a connection may rest for a while (closed without
//! a word). From the first byte of a request its head must come within a time and a size, or it is refused in the shape of the listener
//! (408, 414, 431). While an answer is written, a client that takes nothing of it is cut off, so that what it held is free.

use super::{
    admission::{Admission, Limit},
    connections::Held,
    problem::Kind,
    refusal::{self, Wording},
};
use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use std::{
    future::Future,
    io::{self, IoSlice},
    net::Shutdown,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// How long is listened to a client that was refused while it sends, so that it reads why.
const LINGER: Duration = Duration::from_secs(1);
/// How much of what it sends is thrown away meanwhile.
const LINGER_LEN_MAX: usize = 1 << 20;
/// What a request line has besides its address, and what ends a head.
const HEAD_EXTRA: usize = 64;

/// What the connection is doing, as the service that answers knows it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    answering: AtomicBool,
    /// It has become something else than HTTP.
    switched: AtomicBool,
    /// A request was refused whose body may still come.
    lingering: AtomicBool,
    /// Who reads: while it answers, the library may have asked for bytes, and would not ask again before some come.
    reader: AtomicWaker,
}

impl Progress {
    /// A request has come.
    pub(super) fn begin(&self) {
        self.answering.store(true, Ordering::Release);
    }

    /// Its answer is written.
    pub(super) fn end(&self) {
        let switched = self.switched.load(Ordering::Acquire);
        self.answering.store(switched, Ordering::Release);
        self.reader.wake();
    }

    /// What follows is not HTTP.
    pub(super) fn switch(&self) {
        self.switched.store(true, Ordering::Release);
    }

    /// The client still sends what nobody reads.
    pub(super) fn linger(&self) {
        self.lingering.store(true, Ordering::Release);
    }
}

/// What is waited for while no answer is on its way.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    /// Nothing yet.
    No,
    /// The first byte of a request.
    First,
    /// The rest of its head.
    Head { len: usize, line_ended: bool },
    /// The end of what a refused client sends, of which so much has come.
    End { len: usize },
}

/// The connection.
pub(super) struct WatchedStream {
    stream: TcpStream,
    /// Until it is closed, whoever holds it then.
    _held: Held,
    progress: Arc<Progress>,
    admission: Arc<Admission>,
    wording: Wording,
    waiting: Waiting,
    fresh: bool,
    /// What is still to be said to a client that is refused.
    refusal: Bytes,
    timer: Pin<Box<Sleep>>,
    stall: Option<Pin<Box<Sleep>>>,
}

impl WatchedStream {
    pub(super) fn new(
        stream: TcpStream,
        held: Held,
        admission: Arc<Admission>,
        wording: Wording,
        progress: Arc<Progress>,
    ) -> Self {
        let timer = Box::pin(sleep(admission.limits().header_timeout));
        Self {
            stream,
            _held: held,
            progress,
            admission,
            wording,
            waiting: Waiting::No,
            fresh: true,
            refusal: Bytes::new(),
            timer,
            stall: None,
        }
    }

    fn set_timer(&mut self, time: Duration) {
        self.timer.as_mut().set(sleep(time));
    }

    /// Bytes came while no answer is on its way; tells what they are too much for.
    fn heard(&mut self, bytes: &[u8]) -> Option<Limit> {
        let (len, line_ended) = match self.waiting {
            Waiting::Head { len, line_ended } => (len, line_ended),
            _ => {
                let time = self.admission.limits().header_timeout;
                self.set_timer(time);
                (0, false)
            }
        };
        let len = len + bytes.len();
        let line_ended = line_ended || bytes.contains(&b'\n');
        self.waiting = Waiting::Head { len, line_ended };
        let limits = self.admission.limits();
        if !line_ended && len > limits.url_size + HEAD_EXTRA {
            return Some(Limit::UrlSize);
        }
        (len > head_len_max(&self.admission)).then_some(Limit::HeaderSize)
    }

    /// The time is over.
    fn late(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.waiting {
            Waiting::Head { .. } => {
                self.refuse(Limit::HeaderTimeout);
                self.discard(cx)
            }
            Waiting::First => {
                self.admission.count(Limit::IdleTimeout);
                Poll::Ready(Ok(()))
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Says why, and that this is the end.
    fn refuse(&mut self, limit: Limit) {
        self.admission.count(limit);
        let limits = self.admission.limits();
        let (kind, detail) = match limit {
            Limit::UrlSize => refusal::url_too_long(limits),
            Limit::HeaderSize => refusal::headers_too_large(limits),
            _ => (
                Kind::RequestTimeout,
                format!(
                    "the head of the request did not come within {:?}; send it at once",
                    limits.header_timeout
                ),
            ),
        };
        self.refusal = refusal::raw(self.wording, kind, detail).into();
        self.begin_end();
    }

    fn begin_end(&mut self) {
        self.waiting = Waiting::End { len: 0 };
        self.set_timer(LINGER);
    }

    /// Says what is to be said, then throws away what comes; ready at the end of it.
    fn discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.refusal.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.refusal) {
                Poll::Ready(Ok(len)) => self.refusal.advance(len),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return self.timer.as_mut().poll(cx).map(Ok),
            }
            if self.refusal.is_empty() {
                let _ = socket2::SockRef::from(&self.stream).shutdown(Shutdown::Write);
            }
        }
        let Waiting::End { mut len } = self.waiting else {
            return Poll::Ready(Ok(()));
        };
        let mut scratch = [0; 8 << 10];
        while len < LINGER_LEN_MAX {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => len += buf.filled().len(),
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    self.waiting = Waiting::End { len };
                    return self.timer.as_mut().poll(cx).map(Ok);
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// After a write: a client that takes nothing for too long is cut off.
    fn watch_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let time = self.admission.limits().stall_timeout;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(time)));
        ready!(stall.as_mut().poll(cx));
        self.admission.count(Limit::StallTimeout);
        // What waits in the kernel is of no use either, and the client must not take a part for the whole.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        let error = "the client takes nothing of its answer";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, error)))
    }
}

/// Longest head of a request: past it nothing of it is kept.
pub(super) fn head_len_max(admission: &Admission) -> usize {
    admission.limits().url_size + admission.limits().header_size + HEAD_EXTRA
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(this.waiting, Waiting::End { .. }) {
            return this.discard(cx);
        }
        // Registered first, so that an answer that ends meanwhile is noticed.
        this.progress.reader.register(cx.waker());
        let answering = this.progress.answering.load(Ordering::Acquire);
        if answering {
            this.waiting = Waiting::No;
        } else if matches!(this.waiting, Waiting::No) {
            // A connection that is made is there to be used; one that was used may rest.
            if !std::mem::take(&mut this.fresh) {
                let time = this.admission.limits().idle_timeout;
                this.set_timer(time);
            }
            this.waiting = Waiting::First;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if answering {
            return read;
        }
        if read.is_pending() {
            ready!(this.timer.as_mut().poll(cx));
            return this.late(cx);
        }
        let new = buf.filled().get(before..).unwrap_or_default();
        if !new.is_empty()
            && let Some(limit) = this.heard(new)
        {
            buf.set_filled(before);
            this.refuse(limit);
            return this.discard(cx);
        }
        read
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.watch_write(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(this.waiting, Waiting::End { .. }) {
            return this.discard(cx);
        }
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        if this.progress.lingering.load(Ordering::Acquire) {
            this.begin_end();
            return this.discard(cx);
        }
        Poll::Ready(Ok(()))
    }
}
