//! The queue of builds. A limited number of them run at once; the others wait in the order in which they came.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

/// Cheap to clone; all clones are one queue.
#[derive(Clone)]
pub(crate) struct BuildQueue(Arc<watch::Sender<State>>);

struct State {
    /// How many more builds may run.
    free: usize,
    /// Number and name of each build that waits, the next one first.
    waiting: VecDeque<(u64, String)>,
    /// The number of the next build.
    next: u64,
}

/// The right to build. Dropping it lets the next build run.
pub(crate) struct Turn {
    queue: BuildQueue,
    number: u64,
    is_running: bool,
}

impl BuildQueue {
    /// `at_once`: how many builds run at once, at least 1.
    pub fn new(at_once: usize) -> Self {
        let state = State { free: at_once.max(1), waiting: VecDeque::new(), next: 0 };
        Self(Arc::new(watch::Sender::new(state)))
    }

    /// Waits until the build may run. `name` identifies it for [`Self::position`]. `on_wait` gets each position in the queue,
    /// from 1. Dropping the future leaves the queue.
    pub async fn turn(&self, name: &str, on_wait: impl Fn(usize)) -> Turn {
        let mut number = 0;
        self.0.send_modify(|state| {
            number = state.next;
            state.next += 1;
            state.waiting.push_back((number, name.to_owned()));
        });
        let mut turn = Turn { queue: self.clone(), number, is_running: false };
        let (mut changes, mut shown) = (self.0.subscribe(), 0);
        loop {
            let mut position = 0;
            turn.is_running = self.0.send_if_modified(|state| {
                position = state.waiting.iter().position(|(it, _)| *it == number).map_or(1, |at| at + 1);
                let is_next = position == 1 && state.free > 0;
                if is_next {
                    state.waiting.pop_front();
                    state.free -= 1;
                }
                is_next
            });
            if turn.is_running {
                return turn;
            }
            if position != shown {
                on_wait(position);
                shown = position;
            }
            changes.changed().await.expect("this queue is the sender");
        }
    }

    /// The position of a build that waits, from 1. `None`: it does not wait.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.borrow().waiting.iter().position(|(_, it)| it == name).map(|at| at + 1)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (number, is_running) = (self.number, self.is_running);
        self.queue.0.send_modify(|state| {
            state.free += usize::from(is_running);
            state.waiting.retain(|(it, _)| *it != number);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn builds_run_in_the_order_in_which_they_came() {
        let queue = BuildQueue::new(2);
        let (first, second) = (queue.turn("a", |_| {}).await, queue.turn("b", |_| {}).await);
        let seen = Mutex::new(Vec::new());
        let mut third = Box::pin(queue.turn("c", |position| seen.lock().expect("no panic").push(("c", position))));
        let mut fourth = Box::pin(queue.turn("d", |position| seen.lock().expect("no panic").push(("d", position))));
        assert!((&mut third).now_or_never().is_none() && (&mut fourth).now_or_never().is_none());
        assert_eq!((queue.position("a"), queue.position("c"), queue.position("d")), (None, Some(1), Some(2)));
        drop(second);
        assert!((&mut fourth).now_or_never().is_none(), "the third comes first");
        let third = (&mut third).now_or_never().expect("it is next");
        assert!((&mut fourth).now_or_never().is_none());
        assert_eq!(*seen.lock().expect("no panic"), [("c", 1), ("d", 2), ("d", 1)]);
        drop((first, third));
        fourth.now_or_never().expect("two may run");
    }

    #[tokio::test]
    async fn a_canceled_build_leaves_the_queue() {
        let queue = BuildQueue::new(1);
        let first = queue.turn("a", |_| {}).await;
        let mut second = Box::pin(queue.turn("b", |_| {}));
        let mut third = Box::pin(queue.turn("c", |_| {}));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        drop(second);
        assert_eq!(queue.position("c"), Some(1));
        drop(first);
        third.now_or_never().expect("the second does not block it");
    }

    #[tokio::test]
    async fn one_build_runs_even_if_none_is_allowed() {
        BuildQueue::new(0).turn("a", |_| {}).now_or_never().expect("it runs");
    }
}
