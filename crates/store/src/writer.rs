//! The thread that writes. It runs tasks in the order in which they arrive, each in a separate transaction.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::{DbError, StoreError};
use crate::high_water::HighWater;
use crate::open_files::OpenFiles;
use data_dir::Ballast;

/// After this time without a change, the writer runs a checkpoint. Our choice.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(2);

/// The writer warns about a write-ahead log with more pages than this: 64 MiB in pages of 4 KiB, our choice.
const LARGE_LOG_PAGES: i64 = 16 * 1024;

/// A task for the writer. The task sends its result to the caller.
pub(crate) type WriteTask = Box<dyn FnOnce(&mut Writer) + Send>;

pub(crate) struct Writer {
    pub(crate) conn: Connection,
    pub(crate) path: PathBuf,
    pub(crate) high_water: HighWater,
    /// Commit numbers are higher than this, also after the database lost commits.
    pub(crate) min_sequence: u64,
    pub(crate) files: OpenFiles,
    pub(crate) ballast: Ballast,
}

impl Writer {
    /// Runs tasks until the last sender is dropped. Closing the connection then runs the last checkpoint.
    pub(crate) fn run(mut self, tasks: &Receiver<WriteTask>) {
        let mut changed = false;
        loop {
            let task = if changed { tasks.recv_timeout(CHECKPOINT_AFTER) } else { tasks.recv().map_err(Into::into) };
            match task {
                Ok(task) => {
                    task(&mut self);
                    changed = true;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.checkpoint();
                    self.ballast.restore_if_space_allows();
                    changed = false;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Runs `work` in one durable transaction. Returns its result and the number of the commit. Numbers only increase.
    pub(crate) fn transact<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, DbError>,
    ) -> Result<(T, u64), StoreError> {
        self.files.check()?;
        let outcome = self.try_transact(work).map_err(|error| error.at(&self.path));
        if outcome.as_ref().is_err_and(StoreError::is_disk_full) {
            // The freed space lets the next attempt, and every cleanup, succeed.
            self.ballast.release();
        }
        let (value, sequence) = outcome?;
        self.high_water.record(sequence);
        self.files.record_commit();
        // The files may have been deleted during the commit. Such a commit must not be acknowledged.
        self.files.check()?;
        Ok((value, sequence))
    }

    fn try_transact<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, DbError>,
    ) -> Result<(T, u64), DbError> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&tx)?;
        let sequence = tx.query_row(
            "UPDATE installation SET sequence = max(sequence, ?1) + 1 RETURNING sequence",
            [self.min_sequence],
            |row| row.get(0),
        )?;
        tx.commit()?;
        Ok((value, sequence))
    }

    /// Copies the write-ahead log into the database as far as open reads allow. Does not wait for reads.
    fn checkpoint(&self) {
        let pages = self.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(1));
        match pages {
            Ok(pages) if pages > LARGE_LOG_PAGES => {
                tracing::warn!(
                    pages,
                    "the write-ahead log of the database is large: another program may have the database open"
                );
            }
            Ok(_) => {}
            Err(cause) => {
                tracing::warn!(error = &cause as &dyn std::error::Error, "cannot run a checkpoint of the database");
            }
        }
    }
}
