//! The store: open it, commit changes, read records.
//!
//! One thread applies all commits, and a commit is durable when it returns. A read sees every commit that returned before
//! it.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use rusqlite::{Connection, OptionalExtension, Transaction};
use tokio::sync::oneshot;

use rollout::ids::{AppId, DeploymentId, RevisionId};
use rollout::time::Timestamp;

use crate::changes;
use crate::connection;
use crate::damaged_rows::{Damaged, DamagedRows};
use crate::error::{DbError, StoreError};
use crate::high_water::{HighWater, LostCommits};
use crate::open_files::OpenFiles;
use crate::query::ReadTx;
use crate::reader_pool::{READ_LIMIT, ReaderPool};
use crate::records::{
    AcmeAccount, AlertDestinations, App, AppState, AuditEntry, BuiltImage, Certificate, CertificateAttempts, Change,
    Database, Deployment, HostLogin, IDEMPOTENCY_LIFETIME, Instance, JobRun, LoginKind, Revision, Session, Token,
    Webhook,
};
use crate::schema;
use crate::table::Table;
use crate::transitions;
use crate::writer::{WriteTask, Writer};
use data_dir::DataDir;
use data_dir::Sealer;

/// Sealed when the database is created. If it does not open, the key is wrong; otherwise a row that does not open is
/// damaged.
const KEY_CHECK: &[u8] = b"boatyard";
const KEY_CHECK_CONTEXT: &str = "installation/key";

/// The records. Cheap to clone. Dropping the last clone waits for the writer to finish.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    tasks: Option<mpsc::Sender<WriteTask>>,
    writer: Option<JoinHandle<()>>,
    readers: Arc<ReaderPool>,
    sealer: Arc<Sealer>,
    damaged: Arc<DamagedRows>,
    lost_commits: Option<LostCommits>,
    /// Keeps other processes from opening the directory.
    _lock: Arc<File>,
}

impl Store {
    /// Opens the database of the directory, and creates or migrates it if needed. Blocks, so call it at start-up and not in
    /// a request. Reads and commits need a tokio runtime.
    ///
    /// Errors: see [`StoreError`]. Only a failed migration may have changed the database, and its error names the schema.
    pub fn open(directory: &DataDir) -> Result<Self, StoreError> {
        match Self::try_open(directory) {
            Err(error) if error.is_disk_full() => {
                directory.ballast().release();
                Self::try_open(directory)
            }
            opened => opened,
        }
    }

    fn try_open(directory: &DataDir) -> Result<Self, StoreError> {
        let path = directory.database();
        let sealer = directory.sealer();
        let mut conn = connection::open_writer(&path)?;
        schema::migrate(&mut conn, &path, schema::MIGRATIONS)?;
        let last_kept = check_identity(&mut conn, directory, &sealer, &path)?;
        let high_water_file = directory.high_water_file();
        let (high_water, last_seen) = HighWater::open(&high_water_file).map_err(|cause| StoreError::File {
            doing: "open",
            path: high_water_file,
            cause,
        })?;
        let lost_commits = (last_kept < last_seen).then_some(LostCommits { last_kept, last_seen });
        if lost_commits.is_some() {
            tracing::error!(last_kept, last_seen, "the database has lost commits");
        }
        let readers = ReaderPool::open(&path, READ_LIMIT)?;
        let (tasks, queue) = mpsc::channel();
        let (files, ballast) = (OpenFiles::at(&path), directory.ballast());
        let writer = Writer { conn, path: path.clone(), high_water, min_sequence: last_seen, files, ballast };
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(&queue))
            .map_err(|cause| StoreError::File { doing: "start the writer of", path, cause })?;
        let inner = Inner {
            tasks: Some(tasks),
            writer: Some(writer),
            readers,
            sealer: Arc::new(sealer),
            damaged: Arc::default(),
            lost_commits,
            _lock: directory.lock(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Applies all changes or none, in one transaction. When this returns, the changes survive a power loss.
    ///
    /// The only deadline is the 5 s for a locked database: after a timeout the caller would not know whether the commit
    /// took effect. Dropping the future does not undo the changes.
    ///
    /// Errors: [`StoreError::NameTaken`], [`StoreError::NetworkTaken`], [`StoreError::AcceptedBefore`],
    /// [`StoreError::Orphan`], [`StoreError::DiskFull`] and others. A commit that fails has changed nothing.
    pub async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let sealer = Arc::clone(&self.inner.sealer);
        let damaged = Arc::clone(&self.inner.damaged);
        self.write(move |writer| {
            writer.transact(|tx| changes.iter().try_for_each(|it| changes::apply(tx, &sealer, it)))?;
            changes.iter().for_each(|it| clear_damage(&damaged, it));
            Ok(())
        })
        .await
    }

    /// All apps, by name, including apps that are being deleted.
    pub async fn apps(&self) -> Result<Vec<App>, StoreError> {
        self.read(|tx| tx.many("ORDER BY name", [])).await
    }

    /// The ids of all apps, including apps whose rows are damaged.
    pub async fn app_ids(&self) -> Result<BTreeSet<AppId>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.conn.prepare_cached("SELECT id FROM apps")?;
            let ids = statement.query_map([], |row| row.get(0).map(|id: String| AppId::new(id)))?;
            Ok(ids.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The ids of all deleted apps. An app that is neither here nor in [`Store::app_ids`] was created after this backup of
    /// the database was made.
    pub async fn deleted_apps(&self) -> Result<BTreeSet<AppId>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.conn.prepare_cached("SELECT key FROM meta WHERE key GLOB ?1")?;
            let keys = statement.query_map([format!("{}*", changes::DELETED_APP)], |row| row.get(0))?;
            let id = |key: String| AppId::new(key.trim_start_matches(changes::DELETED_APP));
            Ok(keys.map(|key| key.map(id)).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// One app.
    pub async fn app(&self, id: &AppId) -> Result<Option<App>, StoreError> {
        let id = id.clone();
        self.read(move |tx| tx.one("WHERE id = ?1", [id.as_str()])).await
    }

    /// The app that holds a name. An app that is being deleted holds none.
    pub async fn app_by_name(&self, name: &str) -> Result<Option<App>, StoreError> {
        let name = name.to_owned();
        self.read(move |tx| tx.one("WHERE name = ?1 AND deleting = 0", [name])).await
    }

    /// One consistent state of an app: its running, active and newest deployments, newest first, the job runs of these
    /// deployments, and other job runs whose container still exists.
    pub async fn app_state(&self, id: &AppId) -> Result<Option<AppState>, StoreError> {
        let id = id.clone();
        self.read(move |tx| tx.app_state(&id)).await
    }

    /// A page of the apps by name, each as in [`Store::app_state`], and their total number. Apps that are being
    /// deleted and apps whose rows are damaged are left out.
    pub async fn app_states(&self, offset: u64, limit: u64) -> Result<(Vec<AppState>, u64), StoreError> {
        let (offset, limit) = (usize::try_from(offset), usize::try_from(limit));
        let (offset, limit) = (offset.unwrap_or(usize::MAX), limit.unwrap_or(usize::MAX));
        self.read(move |tx| {
            let apps: Vec<App> = tx.many("WHERE deleting = 0 ORDER BY name", [])?;
            let total = apps.len() as u64;
            let page = apps.into_iter().skip(offset).take(limit);
            Ok((page.map(|app| tx.state_of(app)).collect::<Result<_, _>>()?, total))
        })
        .await
    }

    /// A page of an app's deployments, newest first, and their total number.
    pub async fn deployments(
        &self,
        app: &AppId,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<Deployment>, u64), StoreError> {
        let app = app.clone();
        // SQLite's integers are signed.
        let (offset, limit) = (offset.min(i64::MAX as u64), limit.min(i64::MAX as u64));
        self.read(move |tx| {
            let count = "SELECT count(*) FROM deployments WHERE app = ?1";
            let total = tx.conn.prepare_cached(count)?.query_row([app.as_str()], |row| row.get(0))?;
            let page = "WHERE app = ?1 ORDER BY number DESC LIMIT ?2 OFFSET ?3";
            Ok((tx.many(page, (app.as_str(), limit, offset))?, total))
        })
        .await
    }

    /// One deployment.
    pub async fn deployment(&self, id: &DeploymentId) -> Result<Option<Deployment>, StoreError> {
        let id = id.clone();
        self.read(move |tx| tx.one("WHERE id = ?1", [id.as_str()])).await
    }

    /// One revision of an app.
    pub async fn revision(&self, app: &AppId, id: &RevisionId) -> Result<Option<Revision>, StoreError> {
        let (app, id) = (app.clone(), id.clone());
        self.read(move |tx| tx.one("WHERE app = ?1 AND id = ?2", [app.as_str(), id.as_str()])).await
    }

    /// The image built for this identity by any app.
    pub async fn built_image(&self, identity: &str) -> Result<Option<BuiltImage>, StoreError> {
        let identity = identity.to_owned();
        self.read(move |tx| tx.one("WHERE identity = ?1", [identity])).await
    }

    /// All images built for an app, by identity.
    pub async fn built_images(&self, app: &AppId) -> Result<Vec<BuiltImage>, StoreError> {
        let app = app.clone();
        self.read(move |tx| tx.many("WHERE app = ?1 ORDER BY identity", [app.as_str()])).await
    }

    /// The destinations of an app's alerts, by alert.
    pub async fn alert_destinations(&self, app: &AppId) -> Result<Vec<AlertDestinations>, StoreError> {
        let app = app.clone();
        self.read(move |tx| tx.many("WHERE app = ?1 ORDER BY alert", [app.as_str()])).await
    }

    /// The job runs of all deployments of an app, by deployment and job.
    pub async fn job_runs_of(&self, app: &AppId) -> Result<Vec<JobRun>, StoreError> {
        let app = app.clone();
        self.read(move |tx| tx.many("WHERE app = ?1 ORDER BY deployment, job", [app.as_str()])).await
    }

    /// The job runs of one deployment, by job.
    pub async fn job_runs(&self, deployment: &DeploymentId) -> Result<Vec<JobRun>, StoreError> {
        let deployment = deployment.clone();
        self.read(move |tx| tx.many("WHERE deployment = ?1 ORDER BY job", [deployment.as_str()])).await
    }

    /// The instances of all apps, by name.
    pub async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        self.read(|tx| tx.many("ORDER BY name", [])).await
    }

    /// The databases of all apps, by app and name.
    pub async fn databases(&self) -> Result<Vec<Database>, StoreError> {
        self.read(|tx| tx.many("ORDER BY app, name", [])).await
    }

    /// All network numbers in use, including those of apps whose rows are damaged.
    pub async fn networks(&self) -> Result<BTreeSet<u32>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.conn.prepare_cached("SELECT network FROM apps")?;
            let numbers = statement.query_map([], |row| row.get(0))?;
            Ok(numbers.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The deployment that this caller started with this idempotency key within 24 h before `now`.
    pub async fn accepted(&self, caller: &str, key: &str, now: Timestamp) -> Result<Option<DeploymentId>, StoreError> {
        let (caller, key) = (caller.to_owned(), key.to_owned());
        self.read(move |tx| {
            let sql = "SELECT deployment, created FROM idempotency WHERE caller = ?1 AND key = ?2";
            let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, Timestamp(row.get(1)?)));
            let found = tx.conn.prepare_cached(sql)?.query_row([caller, key], row).optional()?;
            let valid = found.filter(|(_, created)| now.since(*created) < IDEMPOTENCY_LIFETIME);
            Ok(valid.map(|(deployment, _)| DeploymentId::new(deployment)))
        })
        .await
    }

    /// All created tokens, by name.
    pub async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.read(|tx| tx.many("ORDER BY name", [])).await
    }

    /// All sessions of the panel, by id.
    pub async fn sessions(&self) -> Result<Vec<Session>, StoreError> {
        self.read(|tx| tx.many("ORDER BY id", [])).await
    }

    /// All logins for other hosts, by host and kind.
    pub async fn host_logins(&self) -> Result<Vec<HostLogin>, StoreError> {
        self.read(|tx| tx.many("ORDER BY host, kind", [])).await
    }

    /// The login of this kind for a host.
    pub async fn host_login(&self, kind: LoginKind, host: &str) -> Result<Option<HostLogin>, StoreError> {
        let host = host.to_owned();
        self.read(move |tx| tx.one("WHERE kind = ?1 AND host = ?2", [kind.as_str(), &host])).await
    }

    /// All certificates, by name.
    pub async fn certificates(&self) -> Result<Vec<Certificate>, StoreError> {
        self.read(|tx| tx.many("ORDER BY name", [])).await
    }

    /// The attempts to get certificates that have not succeeded, by name.
    pub async fn certificate_attempts(&self) -> Result<Vec<CertificateAttempts>, StoreError> {
        self.read(|tx| tx.many("ORDER BY name", [])).await
    }

    /// The account at the certificate authority with this directory.
    pub async fn acme_account(&self, directory: &str) -> Result<Option<AcmeAccount>, StoreError> {
        let directory = directory.to_owned();
        self.read(move |tx| tx.one("WHERE directory = ?1", [directory])).await
    }

    /// All webhooks, by name.
    pub async fn webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        self.read(|tx| tx.many("ORDER BY name", [])).await
    }

    /// A page of the audit trail, newest first, and the number of all rows. `app`: only rows of the apps with this id or
    /// name, including deleted ones.
    pub async fn audit(
        &self,
        app: Option<&str>,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<AuditEntry>, u64), StoreError> {
        let app = app.map(str::to_owned);
        self.read(move |tx| tx.audit(app.as_deref(), offset, limit)).await
    }

    /// Records that an app was deleted, although it has no row.
    pub async fn remember_deleted(&self, app: &AppId) -> Result<(), StoreError> {
        self.set_meta(&format!("{}{app}", changes::DELETED_APP), "").await
    }

    /// Records that a console with this mark is open in a container.
    pub async fn remember_console(&self, mark: &str, container: &str) -> Result<(), StoreError> {
        self.set_meta(&format!("{}{mark}", changes::CONSOLE), container).await
    }

    /// Deletes the record of a console.
    pub async fn forget_console(&self, mark: &str) -> Result<(), StoreError> {
        let key = format!("{}{mark}", changes::CONSOLE);
        self.write(move |writer| writer.transact(|tx| changes::delete_meta(tx, &key)).map(|_| ())).await
    }

    /// Marks and containers of the consoles on record.
    pub async fn consoles(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.conn.prepare_cached("SELECT key, value FROM meta WHERE key GLOB ?1")?;
            let of = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?));
            let rows = statement.query_map([format!("{}*", changes::CONSOLE)], of)?;
            let mark =
                |(key, container): (String, String)| (key.trim_start_matches(changes::CONSOLE).to_owned(), container);
            Ok(rows.map(|row| row.map(mark)).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// A value set by [`Store::set_meta`].
    pub async fn get_meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        let key = key.to_owned();
        self.read(move |tx| {
            let mut statement = tx.conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
            Ok(statement.query_row([key], |row| row.get(0)).optional()?)
        })
        .await
    }

    /// Sets a small value, durably. It is stored in clear text: store hashes of secrets, never secrets.
    pub async fn set_meta(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.write(move |writer| writer.transact(|tx| changes::put_meta(tx, &key, &value)).map(|_| ())).await
    }

    /// Checks that the database files have not been deleted or replaced. Errors: [`StoreError::Replaced`].
    pub async fn check_files(&self) -> Result<(), StoreError> {
        self.write(|writer| writer.files.check()).await
    }

    /// Rows that could not be read. Callers must not change what belongs to these rows.
    pub fn damaged(&self) -> Vec<Damaged> {
        self.inner.damaged.list()
    }

    pub(crate) fn damaged_rows(&self) -> Arc<DamagedRows> {
        Arc::clone(&self.inner.damaged)
    }

    /// Set if the database had lost commits when it was opened. Set again at every start until the next commit.
    pub fn lost_commits(&self) -> Option<LostCommits> {
        self.inner.lost_commits
    }

    /// Runs `work` on the writer's thread, after all earlier tasks.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let task: WriteTask = Box::new(move |writer| {
            // The caller may have dropped its future. The work is done anyway.
            let _ = answer.send(work(writer));
        });
        let tasks = self.inner.tasks.as_ref().expect("only `drop` takes the sender");
        tasks.send(task).map_err(|_| StoreError::Stopped)?;
        answered.await.map_err(|_| StoreError::Stopped)?
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ReadTx<'_>) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let sealer = Arc::clone(&self.inner.sealer);
        let damaged = Arc::clone(&self.inner.damaged);
        let readers = &self.inner.readers;
        readers.read(move |conn| work(&ReadTx { conn, sealer: &sealer, damaged: &damaged })).await
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("damaged", &self.damaged()).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The writer ends when its queue is empty and has no sender. Another process may open the directory only after
        // that.
        drop(self.tasks.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the store panicked");
        }
    }
}

/// Checks that the database belongs to this installation, or assigns a new database to it. Returns the number of the last
/// commit.
fn check_identity(conn: &mut Connection, directory: &DataDir, sealer: &Sealer, path: &Path) -> Result<u64, StoreError> {
    let in_one = |conn: &mut Connection| {
        let tx = conn.transaction()?;
        let sequence = check_identity_in(&tx, directory, sealer, path)?;
        tx.commit()?;
        Ok(sequence)
    };
    in_one(conn).map_err(|error: DbError| error.at(path))
}

fn check_identity_in(tx: &Transaction<'_>, directory: &DataDir, sealer: &Sealer, path: &Path) -> Result<u64, DbError> {
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?, row.get(2)?));
    let found = tx.query_row("SELECT id, key_check, sequence FROM installation", [], row).optional()?;
    let Some((id, key_check, sequence)) = found else {
        let key_check = sealer.seal_bytes(KEY_CHECK_CONTEXT, KEY_CHECK);
        let sql = "INSERT INTO installation (one, id, key_check, sequence) VALUES (1, ?1, ?2, 0)";
        tx.execute(sql, (directory.installation(), key_check))?;
        return Ok(0);
    };
    if sealer.open_bytes(KEY_CHECK_CONTEXT, &key_check).is_err() {
        return Err(StoreError::WrongKey { path: path.to_owned() }.into());
    }
    if id != directory.installation() {
        let expected = directory.installation().to_owned();
        return Err(StoreError::Foreign { path: path.to_owned(), found: id, expected }.into());
    }
    Ok(sequence)
}

/// A row that was rewritten or deleted is no longer damaged.
fn clear_damage(damaged: &DamagedRows, change: &Change) {
    fn put<T: Table>(damaged: &DamagedRows, record: &T) {
        damaged.clear(T::NAME, &record.key());
    }
    match change {
        Change::App(it) => put(damaged, it),
        Change::Deployment(it) => put(damaged, it.as_ref()),
        Change::Instance(it) => put(damaged, it),
        Change::Revision(it) => put(damaged, it),
        Change::JobRun(it) => put(damaged, it),
        Change::Database(it) => put(damaged, it),
        Change::BuiltImage(it) => put(damaged, it),
        Change::ForgetDeployment(id) => {
            damaged.clear(Deployment::NAME, id.as_str());
            damaged.clear_within(transitions::TABLE, id.as_str());
        }
        Change::ForgetInstance(name) => damaged.clear(Instance::NAME, name.as_str()),
        Change::ForgetRevision(app, id) => damaged.clear(Revision::NAME, &format!("{app}/{id}")),
        Change::ForgetDatabase(app, name) => damaged.clear(Database::NAME, &format!("{app}/{name}")),
        Change::ForgetBuiltImage(identity) => damaged.clear(BuiltImage::NAME, identity),
        Change::AlertDestinations(it) => put(damaged, it),
        Change::ForgetAlertDestinations(app, alert) => {
            damaged.clear(AlertDestinations::NAME, &format!("{app}/{alert}"))
        }
        Change::Token(it) => put(damaged, it),
        Change::ForgetToken(id) => damaged.clear(Token::NAME, id),
        Change::Session(it) => put(damaged, it),
        Change::ForgetSession(id) => damaged.clear(Session::NAME, id),
        Change::HostLogin(it) => put(damaged, it),
        Change::ForgetHostLogin(kind, host) => damaged.clear(HostLogin::NAME, &format!("{}/{host}", kind.as_str())),
        Change::Certificate(it) => put(damaged, &**it),
        Change::ForgetCertificate(name) => damaged.clear(Certificate::NAME, name),
        Change::CertificateAttempts(it) => put(damaged, it),
        Change::ForgetCertificateAttempts(name) => damaged.clear(CertificateAttempts::NAME, name),
        Change::AcmeAccount(it) => put(damaged, it),
        Change::Webhook(it) => put(damaged, it),
        Change::ForgetWebhook(name) => {
            damaged.clear(Webhook::NAME, name);
            damaged.clear_within(crate::deliveries::TABLE, name);
        }
        Change::ForgetApp(_) => damaged.clear_all(),
        Change::Transition(_) | Change::Idempotency(_) | Change::Audit(_) => {}
    }
}
