//! Each kind of change as SQL. Values are always bound, and rows are written over, never replaced: replacing an app's
//! row would take everything of it along.

use rusqlite::{OptionalExtension, Params, Transaction, ffi, params};

use crate::error::{DbError, StoreError};
use crate::query::Table;
use crate::records::{
    App, BuiltImage, Change, Database, Deployment, IDEMPOTENCY_LIFETIME, Idempotency, Instance, JobRun, Revision,
};
use crate::sealing::Sealer;
use rollout::ids::DeploymentId;

/// Largest body: 16 MiB, ours; the largest spec allowed is far below.
pub(crate) const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// Prefix of the facts that remember deleted apps.
pub(crate) const DELETED_APP: &str = "deleted_app/";

/// Makes one change within the transaction.
pub(crate) fn apply(tx: &Transaction<'_>, sealer: &Sealer, change: &Change) -> Result<(), DbError> {
    match change {
        Change::App(app) => put_app(tx, app),
        Change::ForgetApp(app) => {
            forget(tx, "DELETE FROM apps WHERE id = ?1", [app.as_str()])?;
            put_meta(tx, &format!("{DELETED_APP}{app}"), "")
        }
        Change::Deployment(deployment) => put_deployment(tx, deployment),
        Change::ForgetDeployment(id) => {
            forget(tx, "DELETE FROM job_runs WHERE deployment = ?1", [id.as_str()])?;
            forget(tx, "DELETE FROM deployments WHERE id = ?1", [id.as_str()])
        }
        Change::Instance(instance) => put_instance(tx, instance),
        Change::ForgetInstance(name) => forget(tx, "DELETE FROM instances WHERE name = ?1", [name.as_str()]),
        Change::Revision(revision) => put_revision(tx, sealer, revision),
        Change::ForgetRevision(app, id) => {
            forget(tx, "DELETE FROM revisions WHERE app = ?1 AND id = ?2", [app.as_str(), id.as_str()])
        }
        Change::JobRun(run) => put_job_run(tx, run),
        Change::Database(database) => put_database(tx, sealer, database),
        Change::ForgetDatabase(app, name) => {
            forget(tx, "DELETE FROM databases WHERE app = ?1 AND name = ?2", [app.as_str(), name.as_str()])
        }
        Change::BuiltImage(image) => put_built_image(tx, image),
        Change::ForgetBuiltImage(identity) => {
            forget(tx, "DELETE FROM built_images WHERE identity = ?1", [identity.as_str()])
        }
        Change::Idempotency(entry) => put_idempotency(tx, entry),
    }
}

/// Keeps a small fact.
pub(crate) fn put_meta(tx: &Transaction<'_>, key: &str, value: &str) -> Result<(), DbError> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    tx.prepare_cached(sql)?.execute(params![key, value])?;
    Ok(())
}

fn forget(tx: &Transaction<'_>, sql: &str, key: impl Params) -> Result<(), DbError> {
    tx.prepare_cached(sql)?.execute(key)?;
    Ok(())
}

fn put_app(tx: &Transaction<'_>, app: &App) -> Result<(), DbError> {
    let sql = "INSERT INTO apps (id, name, network, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id)
               DO UPDATE SET name = excluded.name, network = excluded.network, body = excluded.body";
    let row = params![app.id.as_str(), app.name, app.network, plain_body(app)?];
    tx.prepare_cached(sql)?.execute(row).map_err(|cause| taken(cause, app))?;
    Ok(())
}

fn taken(cause: rusqlite::Error, app: &App) -> DbError {
    let rusqlite::Error::SqliteFailure(failure, Some(message)) = &cause else { return cause.into() };
    if failure.extended_code != ffi::SQLITE_CONSTRAINT_UNIQUE {
        return cause.into();
    }
    if message.ends_with("apps.name") {
        return StoreError::NameTaken { name: app.name.clone() }.into();
    }
    if message.ends_with("apps.network") {
        return StoreError::NetworkTaken { network: app.network }.into();
    }
    cause.into()
}

fn put_deployment(tx: &Transaction<'_>, deployment: &Deployment) -> Result<(), DbError> {
    let sql = "INSERT INTO deployments (id, app, number, ended, body) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id)
               DO UPDATE SET number = excluded.number, ended = excluded.ended, body = excluded.body";
    let row = params![
        deployment.id.as_str(),
        deployment.app.as_str(),
        deployment.number,
        deployment.stage.is_ended(),
        plain_body(deployment)?
    ];
    tx.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

fn put_instance(tx: &Transaction<'_>, instance: &Instance) -> Result<(), DbError> {
    let sql = "INSERT INTO instances (name, app, body) VALUES (?1, ?2, ?3) ON CONFLICT (name)
               DO UPDATE SET body = excluded.body";
    let row = params![instance.name.as_str(), instance.app.as_str(), plain_body(instance)?];
    tx.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

fn put_revision(tx: &Transaction<'_>, sealer: &Sealer, revision: &Revision) -> Result<(), DbError> {
    let sql = "INSERT INTO revisions (app, id, body) VALUES (?1, ?2, ?3) ON CONFLICT (app, id)
               DO UPDATE SET body = excluded.body";
    let row = params![revision.app.as_str(), revision.id.as_str(), sealed_body(sealer, revision)?];
    tx.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

fn put_job_run(tx: &Transaction<'_>, run: &JobRun) -> Result<(), DbError> {
    let sql = "INSERT INTO job_runs (deployment, job, app, collected, body) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (deployment, job) DO UPDATE SET collected = excluded.collected, body = excluded.body";
    let row = params![run.deployment.as_str(), run.job.as_str(), run.app.as_str(), run.collected, plain_body(run)?];
    tx.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

fn put_database(tx: &Transaction<'_>, sealer: &Sealer, database: &Database) -> Result<(), DbError> {
    let sql = "INSERT INTO databases (app, name, body) VALUES (?1, ?2, ?3) ON CONFLICT (app, name)
               DO UPDATE SET body = excluded.body";
    let row = params![database.app.as_str(), database.name.as_str(), sealed_body(sealer, database)?];
    tx.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

fn put_built_image(tx: &Transaction<'_>, image: &BuiltImage) -> Result<(), DbError> {
    let sql = "INSERT INTO built_images (identity, app, body) VALUES (?1, ?2, ?3) ON CONFLICT (identity)
               DO UPDATE SET app = excluded.app, body = excluded.body";
    let row = params![image.identity, image.app.as_str(), plain_body(image)?];
    tx.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

fn put_idempotency(tx: &Transaction<'_>, entry: &Idempotency) -> Result<(), DbError> {
    let lifetime = u64::try_from(IDEMPOTENCY_LIFETIME.as_millis()).expect("a day has few milliseconds");
    let oldest = entry.created.0.saturating_sub(lifetime);
    tx.prepare_cached("DELETE FROM idempotency WHERE created <= ?1")?.execute([oldest])?;
    let known = tx
        .prepare_cached("SELECT deployment FROM idempotency WHERE caller = ?1 AND key = ?2")?
        .query_row([&entry.caller, &entry.key], |row| row.get::<_, String>(0))
        .optional()?;
    if let Some(known) = known {
        return Err(StoreError::AcceptedBefore { deployment: DeploymentId::new(known) }.into());
    }
    let sql = "INSERT INTO idempotency (caller, key, deployment, created) VALUES (?1, ?2, ?3, ?4)";
    let row = params![entry.caller, entry.key, entry.deployment.as_str(), entry.created.0];
    tx.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

fn plain_body<K: Table>(kept: &K) -> Result<String, DbError> {
    let body = serde_json::to_string(kept).expect("records have text keys and no failing parts");
    check_size(K::TABLE, body.len())?;
    Ok(body)
}

fn sealed_body<K: Table>(sealer: &Sealer, kept: &K) -> Result<Vec<u8>, DbError> {
    let body = serde_json::to_vec(kept).expect("records have text keys and no failing parts");
    check_size(K::TABLE, body.len())?;
    Ok(sealer.seal_bytes(&K::place(&kept.key()), &body))
}

fn check_size(table: &'static str, bytes: usize) -> Result<(), DbError> {
    if bytes > BODY_LIMIT { Err(StoreError::TooLarge { table, bytes, limit: BODY_LIMIT }.into()) } else { Ok(()) }
}
