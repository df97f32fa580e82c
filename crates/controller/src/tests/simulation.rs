//! Paused time, and why it stands still while the store writes.

use std::cell::{Cell, RefCell};

use store::Store;
use store::records::Change;
use tempfile::TempDir;

thread_local! {
    /// The store of the controller that runs in this thread's simulation.
    static STORE: RefCell<Option<Store>> = const { RefCell::new(None) };
    /// Commits that the clock made while it waited for the store.
    static WAITS: Cell<u64> = const { Cell::new(0) };
}

/// How many of all commits the clock made rather than the controller.
pub fn commits_of_the_clock() -> u64 {
    WAITS.get()
}

/// Runs a test in paused time: when no task can make progress, the clock jumps to the next timer.
pub fn simulate(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .on_thread_park(let_the_store_finish)
        .build()
        .unwrap();
    runtime.block_on(test);
    write_to(None);
}

/// A directory for the store: in memory if the system supports that, because no test covers a power loss.
pub fn directory() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

/// Sets the store that the clock waits for.
pub fn write_to(store: Option<Store>) {
    STORE.set(store);
}

/// The store writes in a thread that tokio's clock does not see, so without this the clock would jump ahead during
/// every commit. An empty change goes to the end of the writer's queue: when it completes, all earlier changes are
/// written.
fn let_the_store_finish() {
    let store = STORE.with_borrow(Clone::clone);
    if let Some(store) = store {
        let nothing = Change::ForgetBuiltImage(String::new());
        futures::executor::block_on(store.commit(vec![nothing])).unwrap();
        WAITS.set(WAITS.get() + 1);
    }
}
