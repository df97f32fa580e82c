//! The one thread that writes: it takes changes in the order they come, each in a transaction of its own.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::directory::Ballast;
use crate::error::{DbError, StoreError};
use crate::high_water::HighWater;
use crate::open_files::OpenFiles;

/// After so long without a change, the log file is written back: 2 s, ours.
const IDLE: Duration = Duration::from_secs(2);

/// A log of so many pages is told: 64 MiB of 4 KiB each, ours.
const LOG_PAGES_ALARM: i64 = 16 * 1024;

/// One piece of work; it answers its caller by itself.
pub(crate) type WriteTask = Box<dyn FnOnce(&mut Writer) + Send>;

pub(crate) struct Writer {
    pub(crate) conn: Connection,
    pub(crate) path: PathBuf,
    pub(crate) high_water: HighWater,
    /// Commits are numbered above this, also after the database went back in time.
    pub(crate) floor: u64,
    pub(crate) files: OpenFiles,
    pub(crate) ballast: Ballast,
}

impl Writer {
    /// Works until the last sender is gone; then the connection closes, and the log file is written back.
    pub(crate) fn run(mut self, jobs: &Receiver<WriteTask>) {
        let mut unwritten = false;
        loop {
            let job = if unwritten { jobs.recv_timeout(IDLE) } else { jobs.recv().map_err(Into::into) };
            match job {
                Ok(job) => {
                    job(&mut self);
                    unwritten = true;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.checkpoint();
                    self.ballast.restore_if_there_is_room();
                    unwritten = false;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Does all of `work` or nothing, durably, and gives the commit's number, which only grows.
    pub(crate) fn transact<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, DbError>,
    ) -> Result<(T, u64), StoreError> {
        self.files.check()?;
        let outcome = self.try_transact(work).map_err(|error| error.at(&self.path));
        if outcome.as_ref().is_err_and(StoreError::is_disk_full) {
            // For the next try, and for everybody else who has to clean up.
            self.ballast.release();
        }
        let (value, sequence) = outcome?;
        self.high_water.note(sequence);
        self.files.committed();
        // Deleted in the same moment: then it is not kept, and must not be acknowledged.
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
            [self.floor],
            |row| row.get(0),
        )?;
        tx.commit()?;
        Ok((value, sequence))
    }

    /// Moves the log into the database as far as no reader needs it; never waits for one.
    fn checkpoint(&self) {
        let pages = self.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(1));
        match pages {
            Ok(pages) if pages > LOG_PAGES_ALARM => {
                tracing::warn!(pages, "the database's log grows: another program may hold the database open");
            }
            Ok(_) => {}
            Err(cause) => {
                tracing::warn!(error = &cause as &dyn std::error::Error, "cannot write the database's log back");
            }
        }
    }
}
