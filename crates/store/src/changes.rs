//! Applies changes as SQL. Values are always bound. A row is updated in place: `INSERT OR REPLACE` on an app would delete
//! every row that refers to it.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Transaction, ffi, params, params_from_iter};

use crate::audit;
use crate::error::{DbError, StoreError};
use crate::records::{
    AlertDestinations, App, BuiltImage, Certificate, CertificateAttempts, Change, Database, Deployment, HostLogin,
    IDEMPOTENCY_LIFETIME, Idempotency, Instance, Revision, Session, Token, Webhook,
};
use crate::table::Table;
use crate::transitions;
use data_dir::Sealer;
use rollout::ids::DeploymentId;

/// Largest body: 16 MiB, our choice. The largest spec allowed is far smaller.
pub(crate) const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// Prefix of the `meta` keys that remember deleted apps.
pub(crate) const DELETED_APP: &str = "deleted_app/";
/// Prefix of the `meta` keys that remember open consoles.
pub(crate) const CONSOLE: &str = "console/";

/// Applies one change within the transaction.
pub(crate) fn apply(tx: &Transaction<'_>, sealer: &Sealer, change: &Change) -> Result<(), DbError> {
    match change {
        Change::App(app) => put(tx, sealer, app).map_err(|error| name_or_network_taken(error, app)),
        Change::ForgetApp(app) => {
            delete::<App>(tx, &[app.as_str()])?;
            put_meta(tx, &format!("{DELETED_APP}{app}"), "")
        }
        Change::Deployment(deployment) => put(tx, sealer, &**deployment),
        Change::ForgetDeployment(id) => {
            tx.prepare_cached("DELETE FROM job_runs WHERE deployment = ?1")?.execute([id.as_str()])?;
            delete::<Deployment>(tx, &[id.as_str()])
        }
        Change::Instance(instance) => put(tx, sealer, instance),
        Change::ForgetInstance(name) => delete::<Instance>(tx, &[name.as_str()]),
        Change::Transition(transition) => transitions::add(tx, transition),
        Change::Revision(revision) => put(tx, sealer, revision),
        Change::ForgetRevision(app, id) => delete::<Revision>(tx, &[app.as_str(), id.as_str()]),
        Change::JobRun(run) => put(tx, sealer, run),
        Change::Database(database) => put(tx, sealer, database),
        Change::ForgetDatabase(app, name) => delete::<Database>(tx, &[app.as_str(), name.as_str()]),
        Change::BuiltImage(image) => put(tx, sealer, image),
        Change::ForgetBuiltImage(identity) => delete::<BuiltImage>(tx, &[identity]),
        Change::AlertDestinations(destinations) => put(tx, sealer, destinations),
        Change::ForgetAlertDestinations(app, alert) => delete::<AlertDestinations>(tx, &[app.as_str(), alert]),
        Change::Idempotency(entry) => put_idempotency(tx, entry),
        Change::Token(token) => put(tx, sealer, token),
        Change::ForgetToken(id) => delete::<Token>(tx, &[id]),
        Change::Session(session) => put(tx, sealer, session),
        Change::ForgetSession(id) => delete::<Session>(tx, &[id]),
        Change::HostLogin(login) => put(tx, sealer, login),
        Change::ForgetHostLogin(kind, host) => delete::<HostLogin>(tx, &[kind.as_str(), host]),
        Change::Certificate(certificate) => put(tx, sealer, &**certificate),
        Change::ForgetCertificate(name) => delete::<Certificate>(tx, &[name]),
        Change::CertificateAttempts(attempts) => put(tx, sealer, attempts),
        Change::ForgetCertificateAttempts(name) => delete::<CertificateAttempts>(tx, &[name]),
        Change::AcmeAccount(account) => put(tx, sealer, account),
        Change::Webhook(webhook) => put(tx, sealer, webhook),
        Change::ForgetWebhook(name) => delete::<Webhook>(tx, &[name]),
        Change::Audit(entry) => audit::add(tx, entry),
    }
}

/// Sets a value in the `meta` table.
pub(crate) fn put_meta(tx: &Transaction<'_>, key: &str, value: &str) -> Result<(), DbError> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    tx.prepare_cached(sql)?.execute(params![key, value])?;
    Ok(())
}

/// Deletes a value from the `meta` table.
pub(crate) fn delete_meta(tx: &Transaction<'_>, key: &str) -> Result<(), DbError> {
    tx.prepare_cached("DELETE FROM meta WHERE key = ?1")?.execute([key])?;
    Ok(())
}

/// Inserts the record's row, or updates the row with its key.
fn put<T: Table>(tx: &Transaction<'_>, sealer: &Sealer, record: &T) -> Result<(), DbError> {
    let columns = record.columns();
    let others: Vec<&str> = columns.iter().map(|(name, _)| *name).chain(["body"]).collect();
    let names = [T::KEY, &others].concat();
    let marks = vec!["?"; names.len()].join(", ");
    let updates: Vec<_> = others.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({marks}) ON CONFLICT ({}) DO UPDATE SET {}",
        T::NAME,
        names.join(", "),
        T::KEY.join(", "),
        updates.join(", ")
    );
    let keys = record.key_values().into_iter().map(|it| Value::from(it.to_owned()));
    let values = keys.chain(columns.into_iter().map(|(_, value)| value)).chain([body(sealer, record)?]);
    tx.prepare_cached(&sql)?.execute(params_from_iter(values))?;
    Ok(())
}

fn delete<T: Table>(tx: &Transaction<'_>, key: &[&str]) -> Result<(), DbError> {
    let conditions: Vec<_> = T::KEY.iter().map(|name| format!("{name} = ?")).collect();
    let sql = format!("DELETE FROM {} WHERE {}", T::NAME, conditions.join(" AND "));
    tx.prepare_cached(&sql)?.execute(params_from_iter(key))?;
    Ok(())
}

fn body<T: Table>(sealer: &Sealer, record: &T) -> Result<Value, DbError> {
    let json = serde_json::to_string(record).expect("records have string keys, so they can be serialized");
    if json.len() > BODY_LIMIT {
        return Err(StoreError::TooLarge { table: T::NAME, bytes: json.len(), limit: BODY_LIMIT }.into());
    }
    Ok(match T::SEALED {
        true => sealer.seal_bytes(&T::seal_context(&record.key()), json.as_bytes()).into(),
        false => json.into(),
    })
}

fn name_or_network_taken(error: DbError, app: &App) -> DbError {
    let DbError::Sqlite(rusqlite::Error::SqliteFailure(failure, Some(message))) = &error else { return error };
    match message {
        _ if failure.extended_code != ffi::SQLITE_CONSTRAINT_UNIQUE => error,
        it if it.ends_with("apps.name") => StoreError::NameTaken { name: app.name.clone() }.into(),
        it if it.ends_with("apps.network") => StoreError::NetworkTaken { network: app.network }.into(),
        _ => error,
    }
}

fn put_idempotency(tx: &Transaction<'_>, entry: &Idempotency) -> Result<(), DbError> {
    let lifetime = u64::try_from(IDEMPOTENCY_LIFETIME.as_millis()).expect("a day fits into 64 bits of milliseconds");
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
