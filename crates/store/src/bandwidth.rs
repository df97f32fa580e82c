//! Bytes sent to clients, by app and day.

use std::collections::BTreeMap;

use rollout::ids::AppId;
use rusqlite::{Transaction, named_params};

use crate::error::{DbError, StoreError};
use crate::store::Store;

/// Days of which the store keeps the counts. Our choice: more than a year.
pub const BANDWIDTH_DAYS: u64 = 400;

impl Store {
    /// Records what an ingress process has sent so far for each app. What it sent since its last reading counts on
    /// `day`, in days since 1970-01-01. Ignores apps without a row. Deletes counts older than [`BANDWIDTH_DAYS`], except
    /// the newest one of this process, with which its next day begins.
    ///
    /// Repeating a reading changes nothing, so no byte counts twice after a crash.
    pub async fn record_sent(&self, day: u64, ingress: String, sent: BTreeMap<AppId, u64>) -> Result<(), StoreError> {
        let day = signed(day);
        self.write(move |writer| writer.transact(|tx| record(tx, day, &ingress, &sent)).map(|_| ())).await
    }

    /// The bytes sent for an app on a day, in days since 1970-01-01.
    pub async fn sent_bytes(&self, app: &AppId, day: u64) -> Result<u64, StoreError> {
        let (app, day) = (app.clone(), signed(day));
        self.read(move |tx| {
            let sql = "SELECT coalesce(sum(max(last - first, 0)), 0) FROM bandwidth WHERE app = ?1 AND day = ?2";
            let sum: i64 = tx.conn.prepare_cached(sql)?.query_row((app.as_str(), day), |row| row.get(0))?;
            Ok(u64::try_from(sum).unwrap_or_default())
        })
        .await
    }
}

fn record(tx: &Transaction<'_>, day: i64, ingress: &str, sent: &BTreeMap<AppId, u64>) -> Result<(), DbError> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO bandwidth (app, day, ingress, first, last)
         SELECT id, :day, :ingress, coalesce(
             (SELECT max(last) FROM bandwidth WHERE app = :app AND ingress = :ingress), 0), :bytes
         FROM apps WHERE id = :app
         ON CONFLICT (app, day, ingress) DO UPDATE SET last = max(last, excluded.last)",
    )?;
    for (app, bytes) in sent {
        let (app, bytes) = (app.as_str(), signed(*bytes));
        statement.execute(named_params! { ":app": app, ":day": day, ":ingress": ingress, ":bytes": bytes })?;
    }
    let oldest = day - signed(BANDWIDTH_DAYS);
    tx.prepare_cached(
        "DELETE FROM bandwidth AS old WHERE day < ?1 AND (ingress <> ?2 OR EXISTS (
             SELECT 1 FROM bandwidth WHERE app = old.app AND ingress = old.ingress AND day > old.day))",
    )?
    .execute((oldest, ingress))?;
    Ok(())
}

/// SQLite's integers are signed.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
