//! A pool of read-only connections. Each read uses one connection exclusively, on a blocking thread, for at most 5 s.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction};
use tokio::sync::Semaphore;

use crate::connection;
use crate::error::{DbError, StoreError};

/// Connections in the pool. Our choice: a read takes microseconds, and each connection has a page cache.
const READERS: usize = 3;
/// Limit of one read. Our choice: while a read is open, SQLite cannot reuse the write-ahead log.
pub(crate) const READ_LIMIT: Duration = Duration::from_secs(5);
/// SQLite checks the deadline after this many of its instructions, which take microseconds. Our choice.
const INSTRUCTIONS_PER_CHECK: i32 = 1000;

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

    /// Runs `query` on one consistent state of the database.
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
            pool.put_back(conn);
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
        // The pool is empty only if an earlier read panicked and dropped its connection.
        idle.map_or_else(|| connection::open_reader(&self.path), Ok)
    }

    fn put_back(&self, conn: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
    }
}

/// SQLite itself checks the deadline. An interrupt from another thread would have no effect between two statements or
/// before the first one.
fn run_until<T>(
    deadline: Instant,
    conn: &mut Connection,
    query: impl FnOnce(&Transaction<'_>) -> Result<T, DbError>,
) -> Result<T, DbError> {
    conn.progress_handler(INSTRUCTIONS_PER_CHECK, Some(move || Instant::now() >= deadline))?;
    let tx = conn.transaction()?;
    query(&tx)
}
