//! A future that shares a task with a busy one, and is polled only after it was woken.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

/// Without this, each wake-up of the task would poll timers and tokens that almost never fire, and each of those polls
/// takes a lock that other tasks share.
pub(crate) struct Rarely<F> {
    future: F,
    signal: Arc<Signal>,
    waker: Waker,
    /// The waker of the task. It rarely changes.
    task: Option<Waker>,
}

struct Signal {
    woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, SeqCst);
        self.task.wake();
    }
}

impl<F: Future + Unpin> Rarely<F> {
    pub fn new(future: F) -> Self {
        let signal = Arc::new(Signal { woken: AtomicBool::new(true), task: AtomicWaker::new() });
        Rarely { future, waker: Waker::from(Arc::clone(&signal)), signal, task: None }
    }
}

impl<F: Future + Unpin> Future for Rarely<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let same_task = this.task.as_ref().is_some_and(|task| task.will_wake(cx.waker()));
        if same_task && !this.signal.woken.load(SeqCst) {
            return Poll::Pending;
        }
        // A wake-up takes the registered waker. Registered before the flag is read, so that none in between is missed.
        this.signal.task.register(cx.waker());
        if !same_task {
            this.task = Some(cx.waker().clone());
        }
        if !this.signal.woken.swap(false, SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut this.future).poll(&mut Context::from_waker(&this.waker))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::FutureExt;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn the_future_is_polled_once_at_first_and_once_for_each_wake_up() {
        let (polls, event) = (AtomicUsize::new(0), Notify::new());
        let mut notified = Box::pin(event.notified());
        let counted = std::future::poll_fn(|cx| {
            polls.fetch_add(1, SeqCst);
            notified.as_mut().poll(cx)
        });
        let mut rarely = Rarely::new(counted);
        for _ in 0..5 {
            assert!((&mut rarely).now_or_never().is_none());
        }
        assert_eq!(polls.load(SeqCst), 1);
        event.notify_one();
        rarely.await;
        assert_eq!(polls.load(SeqCst), 2);
    }

    #[tokio::test]
    async fn every_wake_up_reaches_the_task() {
        let event = Arc::new(Notify::new());
        let told = Arc::clone(&event);
        let rarely = Rarely::new(Box::pin(async move {
            for _ in 0..3 {
                told.notified().await;
            }
        }));
        let waiting = tokio::spawn(rarely);
        while !waiting.is_finished() {
            event.notify_one();
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_wake_up_reaches_the_task_that_polled_last() {
        let event = Arc::new(Notify::new());
        let told = Arc::clone(&event);
        let mut rarely = Rarely::new(Box::pin(async move { told.notified().await }));
        assert!((&mut rarely).now_or_never().is_none());
        let waiting = tokio::spawn(rarely);
        tokio::task::yield_now().await;
        event.notify_one();
        waiting.await.expect("the task does not panic");
    }
}
