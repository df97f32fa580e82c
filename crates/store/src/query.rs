//! From rows to records. A row that does not read is skipped in lists and reported; asked for by its key it is an
//! error, never "not there": whoever believed that would remove what belongs to it.

use rusqlite::{Connection, Params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::damaged_rows::{Damaged, DamagedRows};
use crate::error::{DbError, StoreError};
use crate::records::{App, AppState, BuiltImage, Database, Deployment, Instance, JobRun, Revision};
use crate::sealing::Sealer;
use rollout::ids::{AppId, DeploymentId};

/// A record with a table of its own.
pub(crate) trait Table: Serialize + DeserializeOwned {
    /// Its table.
    const TABLE: &'static str;
    /// The key as one text, in SQL.
    const KEY: &'static str;
    /// Its body is sealed for its row.
    const SEALED: bool = false;

    /// The key as one text, from the record.
    fn key(&self) -> String;

    /// What a sealed body is bound to.
    fn place(key: &str) -> String {
        format!("{}/{key}", Self::TABLE)
    }
}

macro_rules! table {
    ($record:ident, $table:literal, $key:literal, $sealed:literal, $of:expr) => {
        impl Table for $record {
            const TABLE: &'static str = $table;
            const KEY: &'static str = $key;
            const SEALED: bool = $sealed;

            fn key(&self) -> String {
                let of: fn(&$record) -> String = $of;
                of(self)
            }
        }
    };
}

table!(App, "apps", "id", false, |it| it.id.to_string());
table!(Deployment, "deployments", "id", false, |it| it.id.to_string());
table!(Instance, "instances", "name", false, |it| it.name.to_string());
table!(Revision, "revisions", "app || '/' || id", true, |it| format!("{}/{}", it.app, it.id));
table!(JobRun, "job_runs", "deployment || '/' || job", false, |it| format!("{}/{}", it.deployment, it.job));
table!(Database, "databases", "app || '/' || name", true, |it| format!("{}/{}", it.app, it.name));
table!(BuiltImage, "built_images", "identity", false, |it| it.identity.clone());

/// One view of one state of the database.
pub(crate) struct ReadTx<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) sealer: &'a Sealer,
    pub(crate) damaged: &'a DamagedRows,
}

impl ReadTx<'_> {
    /// All rows that read, in the order that `tail` asks for. Damaged ones are skipped and reported.
    pub(crate) fn many<K: Table>(&self, tail: &str, params: impl Params) -> Result<Vec<K>, DbError> {
        let rows = self.rows::<K>(tail, params)?;
        Ok(rows.into_iter().filter_map(|(key, body)| self.decode(key, &body).ok()).collect())
    }

    /// The one row, `None` when there is none. Errors: [`StoreError::Damaged`] when it does not read.
    pub(crate) fn one<K: Table>(&self, tail: &str, params: impl Params) -> Result<Option<K>, DbError> {
        let Some((key, body)) = self.rows::<K>(tail, params)?.pop() else { return Ok(None) };
        let damaged = |it: Damaged| StoreError::Damaged { table: it.table, key: it.key, why: it.why };
        Ok(Some(self.decode(key, &body).map_err(damaged)?))
    }

    /// See [`AppState`].
    pub(crate) fn app_state(&self, id: &AppId) -> Result<Option<AppState>, DbError> {
        let Some(app) = self.one::<App>("WHERE id = ?1", [id.as_str()])? else { return Ok(None) };
        let named = app.active.iter().chain(app.kept.iter().flat_map(|it| it.deployments.iter().chain(&it.rules)));
        let named: Vec<&str> = named.map(DeploymentId::as_str).collect();
        let deployments: Vec<Deployment> = self.many(
            "WHERE app = ?1 AND (ended = 0 OR id IN (SELECT value FROM json_each(?2))
                 OR number = (SELECT max(number) FROM deployments WHERE app = ?1))
             ORDER BY number DESC",
            (id.as_str(), serde_json::to_string(&named).expect("a list of texts")),
        )?;
        let shown: Vec<&str> = deployments.iter().map(|it| it.id.as_str()).collect();
        let job_runs = self.many(
            "WHERE app = ?1 AND (collected = 0 OR deployment IN (SELECT value FROM json_each(?2)))
             ORDER BY deployment, job",
            (id.as_str(), serde_json::to_string(&shown).expect("a list of texts")),
        )?;
        Ok(Some(AppState {
            instances: self.many("WHERE app = ?1 ORDER BY name", [id.as_str()])?,
            revisions: self.many("WHERE app = ?1 ORDER BY id", [id.as_str()])?,
            databases: self.many("WHERE app = ?1 ORDER BY name", [id.as_str()])?,
            app,
            deployments,
            job_runs,
        }))
    }

    fn rows<K: Table>(&self, tail: &str, params: impl Params) -> Result<Vec<(String, Vec<u8>)>, DbError> {
        let mut statement = self.conn.prepare_cached(&format!("SELECT {}, body FROM {} {tail}", K::KEY, K::TABLE))?;
        let rows = statement.query_map(params, |row| Ok((row.get(0)?, row.get_ref(1)?.as_bytes()?.to_vec())))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn decode<K: Table>(&self, key: String, body: &[u8]) -> Result<K, Damaged> {
        let decoded = if K::SEALED {
            self.sealer.open_bytes(&K::place(&key), body).map_err(|cause| cause.to_string()).and_then(|it| parse(&it))
        } else {
            parse(body)
        };
        match decoded.and_then(|kept: K| belongs(kept, &key)) {
            Ok(kept) => {
                self.damaged.clear(K::TABLE, &key);
                Ok(kept)
            }
            Err(why) => {
                let damaged = Damaged { table: K::TABLE, key, why };
                self.damaged.add(&damaged);
                Err(damaged)
            }
        }
    }
}

/// The parser's own message may quote a value, which may be a secret: only the place is told.
fn parse<K: Table>(body: &[u8]) -> Result<K, String> {
    serde_json::from_slice(body).map_err(|cause| format!("its body is not understood near byte {}", cause.column()))
}

fn belongs<K: Table>(kept: K, key: &str) -> Result<K, String> {
    if kept.key() == key { Ok(kept) } else { Err("its body belongs to another row".to_owned()) }
}
