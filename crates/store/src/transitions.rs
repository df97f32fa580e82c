//! Transitions of instances: adds rows, and reads those of a deployment. They are deleted with their deployment.

use rollout::ids::DeploymentId;
use rusqlite::{Transaction, params};

use crate::damaged_rows::Damaged;
use crate::error::{DbError, StoreError};
use crate::records::InstanceTransition;
use crate::store::Store;

pub(crate) const TABLE: &str = "transitions";

/// Adds a row. A transition that is already on record stays as it is.
pub(crate) fn add(tx: &Transaction<'_>, it: &InstanceTransition) -> Result<(), DbError> {
    let body = serde_json::to_string(it).expect("records have string keys, so they can be serialized");
    let sql = "INSERT INTO transitions (deployment, instance, transition, since, body) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT DO NOTHING";
    let row = params![it.deployment.as_str(), it.instance.as_str(), it.transition.as_str(), it.since.0, body];
    tx.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

impl Store {
    /// What happened to instances during a deployment, in the order in which it was recorded. Skips and reports damaged
    /// rows. Empty for a deployment of an older version.
    pub async fn transitions(&self, deployment: &DeploymentId) -> Result<Vec<InstanceTransition>, StoreError> {
        let deployment = deployment.clone();
        self.read(move |tx| {
            let sql = "SELECT number, body FROM transitions WHERE deployment = ?1 ORDER BY number";
            let mut statement = tx.conn.prepare_cached(sql)?;
            let rows = statement.query_map([deployment.as_str()], |row| {
                Ok((row.get::<_, i64>(0)?, row.get_ref(1)?.as_bytes()?.to_vec()))
            })?;
            let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
            let read = |(number, body): (i64, Vec<u8>)| {
                let damaged =
                    |why| tx.damaged.add(&Damaged { table: TABLE, key: format!("{deployment}/{number}"), why });
                parse(&body, &deployment).map_err(damaged).ok()
            };
            Ok(rows.into_iter().filter_map(read).collect())
        })
        .await
    }
}

fn parse(body: &[u8], deployment: &DeploymentId) -> Result<InstanceTransition, String> {
    let parsed: InstanceTransition = serde_json::from_slice(body)
        .map_err(|cause| format!("its JSON body cannot be parsed at byte {}", cause.column()))?;
    if parsed.deployment == *deployment { Ok(parsed) } else { Err("its body belongs to another row".to_owned()) }
}
