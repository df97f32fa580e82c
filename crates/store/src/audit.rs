//! The audit trail: adds rows, deletes the oldest ones, and reads pages.

use rusqlite::{Transaction, params};

use crate::damaged_rows::Damaged;
use crate::error::DbError;
use crate::query::ReadTx;
use crate::records::{AUDIT_ROWS, AuditEntry};

/// Adds a row, and deletes the rows of its token and kind (accepted or refused) that exceed [`AUDIT_ROWS`].
pub(crate) fn add(tx: &Transaction<'_>, entry: &AuditEntry) -> Result<(), DbError> {
    let body = serde_json::to_string(entry).expect("records have string keys, so they can be serialized");
    let sql = "INSERT INTO audit (actor, accepted, serial, app, app_name, body)
        VALUES (?1, ?2, (SELECT coalesce(max(serial), 0) + 1 FROM audit WHERE actor = ?1 AND accepted = ?2), ?3, ?4, ?5)
        RETURNING serial";
    let (actor, accepted) = (entry.actor.token.as_deref().unwrap_or_default(), entry.is_accepted());
    let row = params![actor, accepted, entry.app.as_ref().map(|it| it.as_str()), entry.app_name, body];
    let serial: u64 = tx.prepare_cached(sql)?.query_row(row, |row| row.get(0))?;
    let last_deleted = serial.saturating_sub(AUDIT_ROWS);
    tx.prepare_cached("DELETE FROM audit WHERE actor = ?1 AND accepted = ?2 AND serial <= ?3")?.execute(params![
        actor,
        accepted,
        last_deleted
    ])?;
    Ok(())
}

impl ReadTx<'_> {
    /// A page of the rows, newest first, and the number of all. `app`: only rows of the apps with this id or name.
    pub(crate) fn audit(&self, app: Option<&str>, offset: u64, limit: u64) -> Result<(Vec<AuditEntry>, u64), DbError> {
        // SQLite's integers are signed.
        let (offset, limit) = (offset.min(i64::MAX as u64), limit.min(i64::MAX as u64));
        let chosen = "WHERE ?1 IS NULL OR app = ?1 OR app_name = ?1";
        let count = format!("SELECT count(*) FROM audit {chosen}");
        let total = self.conn.prepare_cached(&count)?.query_row([app], |row| row.get(0))?;
        let page = format!("SELECT number, body FROM audit {chosen} ORDER BY number DESC LIMIT ?2 OFFSET ?3");
        let mut statement = self.conn.prepare_cached(&page)?;
        let rows = statement.query_map(params![app, limit, offset], |row| {
            Ok((row.get::<_, i64>(0)?, row.get_ref(1)?.as_bytes()?.to_vec()))
        })?;
        let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
        Ok((rows.into_iter().filter_map(|(number, body)| self.audit_entry(number, &body)).collect(), total))
    }

    /// `None` for a row that cannot be read. It is reported.
    fn audit_entry(&self, number: i64, body: &[u8]) -> Option<AuditEntry> {
        let damaged = |cause: serde_json::Error| {
            let why = format!("its JSON body cannot be parsed at byte {}", cause.column());
            self.damaged.add(&Damaged { table: "audit", key: number.to_string(), why });
        };
        serde_json::from_slice(body).map_err(damaged).ok()
    }
}
