//! The threads that serve clients: one for each core, each with a single-threaded runtime.
//!
//! A client connection and the upstream connections that it uses stay on one worker, so no request moves between cores
//! and no task is stolen. The control socket and maintenance run elsewhere.

use std::cell::Cell;
use std::io;
use std::sync::OnceLock;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(0) };
}

/// Number of workers: the cores that this process may use.
pub(crate) fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| std::thread::available_parallelism().map_or(1, Into::into))
}

/// Which worker runs this code, below [`count`]. 0 on other threads.
pub(crate) fn current() -> usize {
    INDEX.get()
}

/// Running workers. They end when this is dropped, and their tasks with them.
#[derive(Debug)]
pub(crate) struct Workers {
    threads: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    /// # Errors
    /// The system refuses threads or file descriptors.
    pub fn start() -> io::Result<Self> {
        let threads = (0..count()).map(Worker::start).collect::<io::Result<_>>()?;
        Ok(Workers { threads })
    }

    pub fn runtimes(&self) -> impl Iterator<Item = &Handle> {
        self.threads.iter().map(|worker| &worker.runtime)
    }
}

impl Worker {
    fn start(index: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let work = move || {
            INDEX.set(index);
            // Ends when the sender is dropped: nothing is ever sent.
            let _ = runtime.block_on(stopped);
        };
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(work)?;
        Ok(Worker { runtime: handle, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic of a task does not reach its thread, and another one was reported when it happened.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_worker_knows_its_index_and_ends_with_its_owner() {
        let workers = Workers::start().unwrap();
        let indices: Vec<usize> = workers
            .runtimes()
            .map(|runtime| {
                let (send, receive) = std::sync::mpsc::channel();
                runtime.spawn(async move { send.send(current()) });
                receive.recv().unwrap()
            })
            .collect();
        assert_eq!(indices, (0..count()).collect::<Vec<_>>());
        let (dropped, end) = std::sync::mpsc::channel::<()>();
        workers.runtimes().next().unwrap().spawn(async move {
            let _dropped = dropped;
            std::future::pending::<()>().await;
        });
        drop(workers);
        end.recv().unwrap_err();
    }
}
