//! What goes out on a connection: answers and packets, in one row, with back pressure.
//!
//! Whoever has something to send hands over a whole batch and waits only while the client is behind by `OUTBOX_LEN_MAX`. A batch is taken
//! at once or not at all, so that dropping a sender never cuts a packet in two. On a connection without TLS the batch is handed to the
//! kernel on the spot, in one call; the connection's writer task sees only what the kernel does not take. So a viewer who keeps up costs
//! one system call per beat and no wake-up of a second task.

use bytes::{Buf, Bytes};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::tcp::OwnedWriteHalf,
    sync::Notify,
    time::timeout,
};

/// Nothing more is taken while so many bytes wait. One batch may go past it.
pub(super) const OUTBOX_LEN_MAX: usize = 128 << 10;
/// Most bytes of a batch that a player hands over at once.
pub(super) const BATCH_LEN_MAX: usize = 256 << 10;
/// Answers that a client leaves unread, beside all the packets: those to some hours of keep-alives.
const ANSWERS_LEN_MAX: usize = 64 << 10;
/// A client that takes nothing for so long is gone, unless it may hold still.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// Pieces per system call.
const SLICES_MAX: usize = 64;
/// Bytes that the writer of a TLS connection takes out at once.
const TLS_PIECE_LEN_MAX: usize = 64 << 10;

/// The connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// The row.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// Told when there is something for the writer.
    filled: Notify,
    /// Told when there is room again, when nothing waits any more, and when the connection is closed.
    emptied: Notify,
    /// Told when the connection is closed, and only then: somebody always waits for it.
    ended: Notify,
    /// The socket, where nothing has to be done to the bytes.
    socket: Option<OwnedWriteHalf>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Bytes>,
    /// Bytes in the queue, and those the writer of a TLS connection has taken out.
    waiting: usize,
    closed: bool,
    /// It was closed because the client took nothing.
    stuck: bool,
}

impl Outbox {
    /// For a connection without TLS.
    pub(super) fn plain(socket: OwnedWriteHalf) -> Self {
        Self::new(Some(socket))
    }

    /// For a connection whose writer does something to the bytes.
    pub(super) fn for_tls() -> Self {
        Self::new(None)
    }

    fn new(socket: Option<OwnedWriteHalf>) -> Self {
        Self {
            state: Mutex::default(),
            filled: Notify::new(),
            emptied: Notify::new(),
            ended: Notify::new(),
            socket,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over a batch, when there is room. Nothing is handed over when this is dropped before it is done.
    ///
    /// # Errors
    /// When the connection is closed.
    pub(super) async fn send(&self, batch: Vec<Bytes>) -> Result<(), Gone> {
        self.send_below(OUTBOX_LEN_MAX, batch).await
    }

    /// Hands over an answer. It waits behind the packets, but not for room among them: a client that holds still must be heard.
    ///
    /// # Errors
    /// When the connection is closed.
    pub(super) async fn answer(&self, answer: Bytes) -> Result<(), Gone> {
        let max = OUTBOX_LEN_MAX + BATCH_LEN_MAX + ANSWERS_LEN_MAX;
        self.send_below(max, vec![answer]).await
    }

    async fn send_below(&self, len_max: usize, batch: Vec<Bytes>) -> Result<(), Gone> {
        self.wait(|state| state.waiting < len_max).await?;
        let mut state = self.lock();
        if state.closed {
            return Err(Gone);
        }
        state.waiting += batch.iter().map(Bytes::len).sum::<usize>();
        state
            .queue
            .extend(batch.into_iter().filter(|piece| !piece.is_empty()));
        self.flush(&mut state);
        if !state.queue.is_empty() {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits until everything was handed to the kernel.
    pub(super) async fn drained(&self) -> Result<(), Gone> {
        self.wait(|state| state.waiting == 0).await
    }

    /// Waits until the connection is closed; whether that is because the client took nothing.
    pub(super) async fn closed(&self) -> bool {
        loop {
            let mut ended = pin!(self.ended.notified());
            ended.as_mut().enable();
            {
                let state = self.lock();
                if state.closed {
                    return state.stuck;
                }
            }
            ended.await;
        }
    }

    /// Closes it: whoever waits is told.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        self.end(&mut state, false);
    }

    /// Closes it because writing ended so.
    pub(super) fn close_after(&self, written: &io::Result<()>) {
        let stuck = matches!(written, Err(error) if error.kind() == io::ErrorKind::TimedOut);
        let mut state = self.lock();
        self.end(&mut state, stuck);
    }

    fn end(&self, state: &mut State, stuck: bool) {
        state.stuck |= stuck && !state.closed;
        state.closed = true;
        state.queue.clear();
        self.emptied.notify_waiters();
        self.ended.notify_waiters();
        self.filled.notify_one();
    }

    async fn wait(&self, is_so: impl Fn(&State) -> bool) -> Result<(), Gone> {
        loop {
            let mut emptied = pin!(self.emptied.notified());
            emptied.as_mut().enable();
            {
                let state = self.lock();
                if state.closed {
                    return Err(Gone);
                }
                if is_so(&state) {
                    return Ok(());
                }
            }
            emptied.await;
        }
    }

    /// Hands to the kernel what it takes.
    fn flush(&self, state: &mut State) {
        let Some(socket) = &self.socket else { return };
        let before = state.waiting;
        while !state.queue.is_empty() {
            let slices: Vec<IoSlice<'_>> = state
                .queue
                .iter()
                .take(SLICES_MAX)
                .map(|piece| IoSlice::new(piece))
                .collect();
            match socket.try_write_vectored(&slices) {
                Ok(0) => break,
                Ok(taken) => state.advance(taken),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let stuck = error.kind() == io::ErrorKind::TimedOut;
                    return self.end(state, stuck);
                }
            }
        }
        self.tell(before, state.waiting);
    }

    /// Tells those who wait when there is room again and when nothing waits any more. Not every time: that would wake them for nothing.
    fn tell(&self, before: usize, now: usize) {
        let room = before >= OUTBOX_LEN_MAX && now < OUTBOX_LEN_MAX;
        if room || before > 0 && now == 0 {
            self.emptied.notify_waiters();
        }
    }

    /// The writer of a connection without TLS: until it is closed.
    pub(super) async fn write_plain(&self, may_hold_still: impl Fn() -> bool) -> io::Result<()> {
        let Some(socket) = &self.socket else {
            return Ok(());
        };
        loop {
            self.filled.notified().await;
            loop {
                {
                    let mut state = self.lock();
                    self.flush(&mut state);
                    if state.closed {
                        return Ok(());
                    }
                    if state.queue.is_empty() {
                        break;
                    }
                }
                taken(socket.writable(), &may_hold_still).await?;
            }
        }
    }

    /// The writer of a connection with TLS: until it is closed.
    pub(super) async fn write_tls(
        &self,
        mut writer: impl AsyncWrite + Unpin,
        may_hold_still: impl Fn() -> bool,
    ) -> io::Result<()> {
        loop {
            self.filled.notified().await;
            loop {
                let mut pieces = match self.take() {
                    None => {
                        let _ = timeout(TAKEN_WITHIN, writer.shutdown()).await;
                        return Ok(());
                    }
                    Some(pieces) if pieces.is_empty() => break,
                    Some(pieces) => pieces,
                };
                let len: usize = pieces.iter().map(Bytes::len).sum();
                let written = async {
                    for piece in &mut pieces {
                        writer.write_all_buf(piece).await?;
                    }
                    writer.flush().await
                };
                taken(written, &may_hold_still).await?;
                let mut state = self.lock();
                let before = state.waiting;
                state.waiting -= len;
                self.tell(before, state.waiting);
            }
        }
    }

    /// Pieces for the writer; `None` when the connection is closed.
    fn take(&self) -> Option<Vec<Bytes>> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let (mut pieces, mut len) = (Vec::new(), 0);
        while len < TLS_PIECE_LEN_MAX {
            let Some(piece) = state.queue.pop_front() else {
                break;
            };
            len += piece.len();
            pieces.push(piece);
        }
        Some(pieces)
    }
}

/// Waits until the client takes something, for ever if it may hold still.
async fn taken(
    writing: impl Future<Output = io::Result<()>>,
    may_hold_still: impl Fn() -> bool,
) -> io::Result<()> {
    let mut writing = pin!(writing);
    loop {
        match timeout(TAKEN_WITHIN, writing.as_mut()).await {
            Ok(written) => return written,
            Err(_) if may_hold_still() => {}
            Err(late) => return Err(late.into()),
        }
    }
}

impl State {
    fn advance(&mut self, mut taken: usize) {
        self.waiting -= taken;
        while let Some(front) = self.queue.front_mut() {
            if taken < front.len() {
                front.advance(taken);
                return;
            }
            taken -= front.len();
            self.queue.pop_front();
        }
    }
}
