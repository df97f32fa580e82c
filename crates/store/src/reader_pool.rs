//! A few connections that only read, each used by one reader at a time on a blocking thread, for 5 s at most.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction};
use tokio::sync::Semaphore;

use crate::connection;
use crate::error::{DbError, StoreError};

/// So many read at once: 3, ours; a read takes microseconds, and each connection has its own page cache.
const READERS: usize = 3;
/// A reader holds back the log file from being written over, so it may not stay: 5 s, ours.
pub(crate) const READ_LIMIT: Duration = Duration::from_secs(5);
/// SQLite asks for the time after so many of its instructions: some microseconds' worth, ours.
const INSTRUCTIONS: i32 = 1000;

pub(crate) struct ReaderPool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    limit: Duration,
}

impl ReaderPool {
    pub(crate) fn open(path: &Path, limit: Duration) -> Result<Arc<Self>, StoreError> {
        let idle = (0..READERS).map(|_| connection::open_reader(path)).collect::<Result<_, _>>()?;
        let permits = Arc::new(Semaphore::new(READERS));
        Ok(Arc::new(Self { path: path.to_owned(), idle: Mutex::new(idle), permits, limit }))
    }

    /// Runs `query` over one unchanging state of the database.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&Transaction<'_>) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let too_slow = || StoreError::TooSlow { path: self.path.clone(), limit: self.limit };
        let turn = tokio::time::timeout(self.limit, Arc::clone(&self.permits).acquire_owned());
        let permit = turn.await.map_err(|_| too_slow())?.map_err(|_| StoreError::Stopped)?;
        let mut conn = self.take()?;
        let deadline = Instant::now() + self.limit;
        let pool = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || {
            let outcome = run_until(deadline, &mut conn, query);
            pool.give_back(conn);
            drop(permit);
            outcome
        });
        let joined = tokio::time::timeout(self.limit, work).await.map_err(|_| too_slow())?;
        joined.map_err(|_| StoreError::Stopped)?.map_err(|error| match error.is_interruption() {
            true => too_slow(),
            false => error.at(&self.path),
        })
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // None is idle only after a reader panicked and took its connection along.
        idle.map_or_else(|| connection::open_reader(&self.path), Ok)
    }

    fn give_back(&self, conn: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
    }
}

/// The deadline lies with SQLite, not with whoever waits: a call from outside is lost between two statements, and before
/// the first.
fn run_until<T>(
    deadline: Instant,
    conn: &mut Connection,
    query: impl FnOnce(&Transaction<'_>) -> Result<T, DbError>,
) -> Result<T, DbError> {
    conn.progress_handler(INSTRUCTIONS, Some(move || Instant::now() >= deadline))?;
    let tx = conn.transaction()?;
    query(&tx)
}
