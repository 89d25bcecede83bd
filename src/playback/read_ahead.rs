//! Reads ahead of a client, each in a task of its own.
//!
//! A stream that is given to a client is not polled while the client is slow, and a read that nobody polls would keep its place in the
//! disk's queue although it is done: a few clients that take nothing would hold up all others (L5). As a task a read ends by itself, and
//! only its bytes wait for the client. Dropping the stream ends the tasks.

use futures_util::{Stream, StreamExt};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::task::JoinHandle;

/// Blocks of one download read ahead of the one its client takes. More would let one client fill the disk's queue (L4).
pub const READ_AHEAD: usize = 2;

/// What `reads` give, in their order, with at most `READ_AHEAD` of them begun before they are asked for.
pub(crate) fn read_ahead<R>(reads: impl Stream<Item = R>) -> impl Stream<Item = R::Output>
where
    R: Future<Output: Send + 'static> + Send + 'static,
{
    reads.map(Running::begin).buffered(1 + READ_AHEAD)
}

/// A read in its task.
struct Running<T>(JoinHandle<T>);

impl<T: Send + 'static> Running<T> {
    fn begin(read: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(read))
    }
}

impl<T> Future for Running<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match std::task::ready!(Pin::new(&mut self.0).poll(cx)) {
            Ok(read) => Poll::Ready(read),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is going, and the reader with it.
                Err(_) => Poll::Pending,
            },
        }
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    /// Goal: a reader who goes, or takes nothing, keeps no read waiting. Method: reads that count themselves while they run.
    #[tokio::test]
    async fn reads_end_without_being_asked_for_and_with_their_reader() {
        let (begun, held) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        struct Held(Arc<AtomicUsize>);
        impl Drop for Held {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let read = |number: usize| {
            let (begun, held) = (Arc::clone(&begun), Arc::clone(&held));
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                held.fetch_add(1, Ordering::SeqCst);
                let _held = Held(held);
                tokio::task::yield_now().await;
                if number == 9 {
                    std::future::pending::<()>().await;
                }
                number
            }
        };
        let mut reads = Box::pin(read_ahead(stream::iter((0..20).map(read))));
        assert_eq!(reads.next().await, Some(0));
        while held.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            begun.load(Ordering::SeqCst),
            1 + READ_AHEAD,
            "nothing more was begun"
        );
        for number in 1..9 {
            assert_eq!(reads.next().await, Some(number), "they come in order");
        }
        drop(reads);
        while held.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    }
}
