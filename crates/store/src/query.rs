//! Reads rows into records. Lists skip and report rows that cannot be read. A lookup by key returns an error for such a
//! row: a caller that treated the row as absent would delete what belongs to it.

use rusqlite::{Connection, Params};

use crate::damaged_rows::{Damaged, DamagedRows};
use crate::error::{DbError, StoreError};
use crate::records::{App, AppState, Deployment};
use crate::table::Table;
use data_dir::Sealer;
use rollout::ids::{AppId, DeploymentId};

/// A view of one consistent state of the database.
pub(crate) struct ReadTx<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) sealer: &'a Sealer,
    pub(crate) damaged: &'a DamagedRows,
}

impl ReadTx<'_> {
    /// All readable rows that `clauses` select, in their order. Skips and reports damaged rows.
    pub(crate) fn many<T: Table>(&self, clauses: &str, params: impl Params) -> Result<Vec<T>, DbError> {
        let rows = self.rows::<T>(clauses, params)?;
        Ok(rows.into_iter().filter_map(|(key, body)| self.decode(key, &body).ok()).collect())
    }

    /// The row that `clauses` select; `None` if there is none. Errors: [`StoreError::Damaged`] if it cannot be read.
    pub(crate) fn one<T: Table>(&self, clauses: &str, params: impl Params) -> Result<Option<T>, DbError> {
        let Some((key, body)) = self.rows::<T>(clauses, params)?.pop() else { return Ok(None) };
        let damaged = |it: Damaged| StoreError::Damaged { table: it.table, key: it.key, why: it.why };
        Ok(Some(self.decode(key, &body).map_err(damaged)?))
    }

    /// See [`AppState`].
    pub(crate) fn app_state(&self, id: &AppId) -> Result<Option<AppState>, DbError> {
        self.one::<App>("WHERE id = ?1", [id.as_str()])?.map(|app| self.state_of(app)).transpose()
    }

    pub(crate) fn state_of(&self, app: App) -> Result<AppState, DbError> {
        let id = app.id.clone();
        let named: Vec<&str> = app.needs().map(DeploymentId::as_str).collect();
        let deployments: Vec<Deployment> = self.many(
            "WHERE app = ?1 AND (ended = 0 OR id IN (SELECT value FROM json_each(?2))
                 OR number = (SELECT max(number) FROM deployments WHERE app = ?1))
             ORDER BY number DESC",
            (id.as_str(), json_list(&named)),
        )?;
        let shown: Vec<&str> = deployments.iter().map(|it| it.id.as_str()).collect();
        let job_runs = self.many(
            "WHERE app = ?1 AND (collected = 0 OR deployment IN (SELECT value FROM json_each(?2)))
             ORDER BY deployment, job",
            (id.as_str(), json_list(&shown)),
        )?;
        Ok(AppState {
            instances: self.many("WHERE app = ?1 ORDER BY name", [id.as_str()])?,
            revisions: self.many("WHERE app = ?1 ORDER BY id", [id.as_str()])?,
            databases: self.many("WHERE app = ?1 ORDER BY name", [id.as_str()])?,
            app,
            deployments,
            job_runs,
        })
    }

    fn rows<T: Table>(&self, clauses: &str, params: impl Params) -> Result<Vec<(String, Vec<u8>)>, DbError> {
        let key = T::KEY.join(" || '/' || ");
        let mut statement = self.conn.prepare_cached(&format!("SELECT {key}, body FROM {} {clauses}", T::NAME))?;
        let rows = statement.query_map(params, |row| Ok((row.get(0)?, row.get_ref(1)?.as_bytes()?.to_vec())))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn decode<T: Table>(&self, key: String, body: &[u8]) -> Result<T, Damaged> {
        let opened = || self.sealer.open_bytes(&T::seal_context(&key), body).map_err(|cause| cause.to_string());
        let record = if T::SEALED { opened().and_then(|json| parse(&json, &key)) } else { parse(body, &key) };
        match record {
            Ok(record) => {
                self.damaged.clear(T::NAME, &key);
                Ok(record)
            }
            Err(why) => {
                let damaged = Damaged { table: T::NAME, key, why };
                self.damaged.add(&damaged);
                Err(damaged)
            }
        }
    }
}

/// Leaves out the parser's message, because it may quote a secret.
fn parse<T: Table>(body: &[u8], key: &str) -> Result<T, String> {
    let parsed: T = serde_json::from_slice(body)
        .map_err(|cause| format!("its JSON body cannot be parsed at byte {}", cause.column()))?;
    if parsed.key() == key { Ok(parsed) } else { Err("its body belongs to another row".to_owned()) }
}

fn json_list(texts: &[&str]) -> String {
    serde_json::to_string(texts).expect("a list of strings can be serialized")
}
