//! Deadlines of requests, for limits of seconds and minutes. They cost little to set and to drop, because they are
//! checked only every 100 ms and belong to one thread. A timer of the runtime costs several times as much.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;

const TICK: Duration = Duration::from_millis(100);

/// Completes after `limit`, at most two ticks later. It must be polled in a runtime.
#[derive(Debug)]
pub(crate) struct Deadline {
    ticks: u64,
    entry: Option<EntryKey>,
}

/// The place of an entry in the list of its thread. The number tells an entry from later ones in the same place, and
/// from entries of other threads.
#[derive(Debug, Clone, Copy)]
struct EntryKey {
    at: usize,
    number: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    due: u64,
    waker: Waker,
}

#[derive(Debug)]
struct Deadlines {
    entries: Slab<Entry>,
    next_number: u64,
    tick: u64,
    /// Whether a task counts ticks. It ends when there is no entry left.
    ticking: bool,
}

impl Deadlines {
    fn insert(&mut self, ticks: u64, waker: Waker) -> EntryKey {
        let number = self.next_number;
        self.next_number += 1;
        let at = self.entries.insert(Entry { number, due: self.tick.saturating_add(ticks), waker });
        if !std::mem::replace(&mut self.ticking, true) {
            tokio::spawn(tick());
        }
        EntryKey { at, number }
    }

    fn find(&mut self, key: EntryKey) -> Option<&mut Entry> {
        self.entries.get_mut(key.at).filter(|entry| entry.number == key.number)
    }

    fn remove(&mut self, key: EntryKey) {
        if self.find(key).is_some() {
            self.entries.remove(key.at);
        }
    }

    /// Counts one tick, and returns the wakers of deadlines that have passed. `None` if there is no entry left.
    fn advance(&mut self) -> Option<Vec<Waker>> {
        self.tick += 1;
        self.ticking = !self.entries.is_empty();
        let due = self.entries.iter().filter(|(_, entry)| entry.due <= self.tick);
        self.ticking.then(|| due.map(|(_, entry)| entry.waker.clone()).collect())
    }
}

async fn tick() {
    loop {
        tokio::time::sleep(TICK).await;
        // The list is free again when the wakers run.
        match DEADLINES.with_borrow_mut(Deadlines::advance) {
            Some(due) => due.into_iter().for_each(Waker::wake),
            None => return,
        }
    }
}

/// Each thread takes its numbers from a range of its own.
static THREADS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static DEADLINES: RefCell<Deadlines> = RefCell::new(Deadlines {
        entries: Slab::new(),
        next_number: THREADS.fetch_add(1, Relaxed) << 40,
        tick: 0,
        ticking: false,
    });
}

impl Deadline {
    pub fn after(limit: Duration) -> Self {
        // Rounded up, and one more because the current tick has begun already.
        let ticks = limit.as_millis().div_ceil(TICK.as_millis()) + 1;
        Deadline { ticks: u64::try_from(ticks).unwrap_or(u64::MAX), entry: None }
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        DEADLINES.with_borrow_mut(|list| {
            let now = list.tick;
            match self.entry.and_then(|key| list.find(key)) {
                Some(entry) if entry.due <= now => Poll::Ready(()),
                Some(entry) => {
                    entry.waker.clone_from(cx.waker());
                    Poll::Pending
                }
                None => {
                    self.entry = Some(list.insert(self.ticks, cx.waker().clone()));
                    Poll::Pending
                }
            }
        })
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let Some(key) = self.entry else { return };
        // Fails only while the thread ends, and its list with it.
        let _ = DEADLINES.try_with(|list| list.borrow_mut().remove(key));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_deadline_passes_after_its_limit_and_never_before() {
        for millis in [0, 1, 99, 100, 101] {
            let (limit, begun) = (Duration::from_millis(millis), Instant::now());
            Deadline::after(limit).await;
            assert!(begun.elapsed() >= limit, "{limit:?}");
        }
    }

    #[tokio::test]
    async fn a_later_deadline_in_the_place_of_a_dropped_one_has_its_own_limit() {
        let mut short = Deadline::after(Duration::from_millis(100));
        assert!((&mut short).now_or_never().is_none());
        drop(short);
        let mut long = Deadline::after(Duration::from_secs(3600));
        assert!((&mut long).now_or_never().is_none());
        Deadline::after(Duration::from_millis(200)).await;
        assert!((&mut long).now_or_never().is_none());
        drop(long);
        DEADLINES.with_borrow(|list| assert!(list.entries.is_empty()));
    }

    #[tokio::test]
    async fn no_task_ticks_while_there_is_no_deadline() {
        Deadline::after(Duration::ZERO).await;
        let ticking = || DEADLINES.with_borrow(|list| list.ticking);
        while ticking() {
            tokio::task::yield_now().await;
        }
        Deadline::after(Duration::ZERO).await;
        assert!(ticking());
    }
}
