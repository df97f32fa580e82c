//! Long-lived tasks that survive a panic, and pauses with backoff.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// The pause after a panic. It doubles up to [`LONGEST_PAUSE`] while the task keeps panicking.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// After this long without a panic, the next pause is the first one again.
const SOUND_AFTER: Duration = Duration::from_secs(300);

/// Runs `work` until it returns or `stop` is cancelled. Logs a panic, and runs `work` again after a pause.
pub(crate) async fn supervise<Work: Future<Output = ()>>(
    task: &'static str,
    stop: CancellationToken,
    mut work: impl FnMut() -> Work,
) {
    let mut pauses = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let began = Instant::now();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            ended = AssertUnwindSafe(work()).catch_unwind() => if ended.is_ok() { return },
        }
        if began.elapsed() >= SOUND_AFTER {
            pauses.reset();
        }
        let pause = pauses.pause();
        error!(task, again_in_seconds = pause.as_secs(), "a task of the controller panicked; it is started again");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Pauses between attempts. Each is twice as long as the last one, up to a limit.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// How long to wait before the next attempt.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }

    /// Resets the pause after a successful attempt.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Locks state that supervised tasks share, even if one of them panicked while holding the lock. No critical section
/// here can panic half-way, so the state is consistent.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_started_again_until_it_returns() {
        let runs = AtomicUsize::new(0);
        let work = || async {
            assert!(runs.fetch_add(1, SeqCst) >= 3, "a bug");
        };
        supervise("test", CancellationToken::new(), work).await;
        assert_eq!(runs.load(SeqCst), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_supervised_task_ends_when_the_controller_stops_even_between_two_runs() {
        let stop = CancellationToken::new();
        let work = || async {
            stop.cancel();
            panic!("a bug");
        };
        supervise("test", stop.clone(), work).await;
        assert!(stop.is_cancelled());
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut pauses = Backoff::new(Duration::from_millis(100), Duration::from_millis(500));
        let millis: Vec<_> = (0..5).map(|_| pauses.pause().as_millis()).collect();
        assert_eq!(millis, [100, 200, 400, 500, 500]);
        pauses.reset();
        assert_eq!(pauses.pause().as_millis(), 100);
    }
}
