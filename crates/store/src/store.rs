//! The door: open a store, commit changes, ask for what is kept.
//!
//! Commits go to one thread and are durable when they return; readers see everything committed before they began.

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
use crate::directory::DataDir;
use crate::error::{DbError, StoreError};
use crate::high_water::{HighWater, WentBack};
use crate::open_files::OpenFiles;
use crate::query::{ReadTx, Table};
use crate::reader_pool::{READ_LIMIT, ReaderPool};
use crate::records::{
    App, AppState, BuiltImage, Change, Database, Deployment, IDEMPOTENCY_LIFETIME, Instance, JobRun, Revision,
};
use crate::schema;
use crate::sealing::Sealer;
use crate::writer::{WriteTask, Writer};

/// Sealed at the first opening, to tell a foreign key from damaged rows.
const KEY_CHECK: &[u8] = b"boatyard";
const KEY_CHECK_PLACE: &str = "installation/key";

/// Everything kept. Cheap to clone; the last clone to go waits for the writer to finish.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    jobs: Option<mpsc::Sender<WriteTask>>,
    writer: Option<JoinHandle<()>>,
    readers: Arc<ReaderPool>,
    sealer: Arc<Sealer>,
    damaged: Arc<DamagedRows>,
    went_back: Option<WentBack>,
    /// Nobody else may write in this directory while we do.
    _lock: Arc<File>,
}

impl Store {
    /// Opens the database of the directory, making or migrating it as needed. Blocks; for a start-up, not for a
    /// request. Reading and committing want a tokio runtime around them.
    ///
    /// Errors: see [`StoreError`]; none of them has changed anything but a migration that says how far it came.
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
        let kept = check_identity(&mut conn, directory, &sealer, &path)?;
        let high_water_file = directory.high_water_file();
        let (high_water, seen) = HighWater::open(&high_water_file).map_err(|cause| StoreError::File {
            doing: "open",
            path: high_water_file,
            cause,
        })?;
        let went_back = (kept < seen).then_some(WentBack { kept, seen });
        if went_back.is_some() {
            tracing::error!(kept, seen, "the database went back in time: it has lost commits");
        }
        let readers = ReaderPool::open(&path, READ_LIMIT)?;
        let (jobs, queue) = mpsc::channel();
        let (files, ballast) = (OpenFiles::at(&path), directory.ballast());
        let writer = Writer { conn, path: path.clone(), high_water, floor: seen, files, ballast };
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(&queue))
            .map_err(|cause| StoreError::File { doing: "start the writer of", path, cause })?;
        let inner = Inner {
            jobs: Some(jobs),
            writer: Some(writer),
            readers,
            sealer: Arc::new(sealer),
            damaged: Arc::default(),
            went_back,
            _lock: directory.lock(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes all changes or none, in one transaction that survives a power loss once this returns.
    ///
    /// There is no deadline but the 5 s for a busy database: an answer that comes late is true, one given early is not.
    /// Dropping the future does not take the changes back.
    ///
    /// Errors: [`StoreError::NameTaken`], [`StoreError::NetworkTaken`], [`StoreError::AcceptedBefore`],
    /// [`StoreError::Orphan`], [`StoreError::DiskFull`] and others; nothing was changed then.
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

    /// All apps, by name.
    pub async fn apps(&self) -> Result<Vec<App>, StoreError> {
        self.read(|tx| tx.many("ORDER BY name", [])).await
    }

    /// The ids of all apps, also of those whose rows are damaged otherwise.
    pub async fn app_ids(&self) -> Result<BTreeSet<AppId>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.conn.prepare_cached("SELECT id FROM apps")?;
            let ids = statement.query_map([], |row| row.get(0).map(|id: String| AppId::new(id)))?;
            Ok(ids.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The ids of all apps that were deleted. An app that is neither here nor among [`Store::app_ids`] was created after
    /// the moment that this database is from.
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

    /// One app by its name.
    pub async fn app_by_name(&self, name: &str) -> Result<Option<App>, StoreError> {
        let name = name.to_owned();
        self.read(move |tx| tx.one("WHERE name = ?1", [name])).await
    }

    /// Everything the controller needs of one app, of one moment: deployments under way, the one that serves and the
    /// newest, newest first; job runs of these, and others whose container is not yet gone.
    pub async fn app_state(&self, id: &AppId) -> Result<Option<AppState>, StoreError> {
        let id = id.clone();
        self.read(move |tx| tx.app_state(&id)).await
    }

    /// Some deployments of an app, newest first, and how many there are in all.
    pub async fn deployments(
        &self,
        app: &AppId,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<Deployment>, u64), StoreError> {
        let app = app.clone();
        // SQLite's integers have a sign.
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

    /// One revision of an app, opened.
    pub async fn revision(&self, app: &AppId, id: &RevisionId) -> Result<Option<Revision>, StoreError> {
        let (app, id) = (app.clone(), id.clone());
        self.read(move |tx| tx.one("WHERE app = ?1 AND id = ?2", [app.as_str(), id.as_str()])).await
    }

    /// The image built for an identity, by whichever app.
    pub async fn built_image(&self, identity: &str) -> Result<Option<BuiltImage>, StoreError> {
        let identity = identity.to_owned();
        self.read(move |tx| tx.one("WHERE identity = ?1", [identity])).await
    }

    /// All images built for an app, by identity.
    pub async fn built_images(&self, app: &AppId) -> Result<Vec<BuiltImage>, StoreError> {
        let app = app.clone();
        self.read(move |tx| tx.many("WHERE app = ?1 ORDER BY identity", [app.as_str()])).await
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

    /// All network numbers in use, also of apps whose rows are damaged otherwise.
    pub async fn networks(&self) -> Result<BTreeSet<u32>, StoreError> {
        self.read(|tx| {
            let mut statement = tx.conn.prepare_cached("SELECT network FROM apps")?;
            let numbers = statement.query_map([], |row| row.get(0))?;
            Ok(numbers.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// What this caller's key was accepted as within 24 h before `now`.
    pub async fn accepted(&self, caller: &str, key: &str, now: Timestamp) -> Result<Option<DeploymentId>, StoreError> {
        let (caller, key) = (caller.to_owned(), key.to_owned());
        self.read(move |tx| {
            let sql = "SELECT deployment, created FROM idempotency WHERE caller = ?1 AND key = ?2";
            let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, Timestamp(row.get(1)?)));
            let found = tx.conn.prepare_cached(sql)?.query_row([caller, key], row).optional()?;
            let alive = found.filter(|(_, created)| now.since(*created) < IDEMPOTENCY_LIFETIME);
            Ok(alive.map(|(deployment, _)| DeploymentId::new(deployment)))
        })
        .await
    }

    /// Counts an app as deleted that was never on record, or not any more.
    pub async fn remember_deleted(&self, app: &AppId) -> Result<(), StoreError> {
        self.set_meta(&format!("{}{app}", changes::DELETED_APP), "").await
    }

    /// A small fact kept by [`Store::set_meta`].
    pub async fn get_meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        let key = key.to_owned();
        self.read(move |tx| {
            let mut statement = tx.conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
            Ok(statement.query_row([key], |row| row.get(0)).optional()?)
        })
        .await
    }

    /// Keeps a small fact, durably. It lies there in the clear: hashes of secrets, not secrets.
    pub async fn set_meta(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.write(move |writer| writer.transact(|tx| changes::put_meta(tx, &key, &value)).map(|_| ())).await
    }

    /// Whether commits can be kept: the files are still where they were opened. Errors: [`StoreError::Replaced`].
    pub async fn check_files(&self) -> Result<(), StoreError> {
        self.write(|writer| writer.files.check()).await
    }

    /// Rows that could not be read so far. What belongs to them must be left alone.
    pub fn damaged(&self) -> Vec<Damaged> {
        self.inner.damaged.list()
    }

    /// The database had lost commits when it was opened. Told at every opening until the next commit.
    pub fn went_back(&self) -> Option<WentBack> {
        self.inner.went_back
    }

    /// Does `work` on the writer's thread, after everything sent before.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: WriteTask = Box::new(move |writer| {
            // The caller may have gone; the work was done all the same.
            let _ = answer.send(work(writer));
        });
        let jobs = self.inner.jobs.as_ref().expect("taken only when the last clone goes");
        jobs.send(job).map_err(|_| StoreError::Stopped)?;
        answered.await.map_err(|_| StoreError::Stopped)?
    }

    async fn read<T: Send + 'static>(
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
        // The writer ends when its queue is empty and nobody can add to it. Only then may another take the directory.
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer had panicked");
        }
    }
}

/// Checks whose database it is, makes it ours when it is new, and gives the number of its last commit.
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
        let key_check = sealer.seal_bytes(KEY_CHECK_PLACE, KEY_CHECK);
        let sql = "INSERT INTO installation (one, id, key_check, sequence) VALUES (1, ?1, ?2, 0)";
        tx.execute(sql, (directory.installation(), key_check))?;
        return Ok(0);
    };
    if sealer.open_bytes(KEY_CHECK_PLACE, &key_check).is_err() {
        return Err(StoreError::WrongKey { path: path.to_owned() }.into());
    }
    if id != directory.installation() {
        let expected = directory.installation().to_owned();
        return Err(StoreError::Foreign { path: path.to_owned(), found: id, expected }.into());
    }
    Ok(sequence)
}

/// A row written anew or removed is not damaged any more.
fn clear_damage(damaged: &DamagedRows, change: &Change) {
    fn put<K: Table>(damaged: &DamagedRows, kept: &K) {
        damaged.clear(K::TABLE, &kept.key());
    }
    match change {
        Change::App(it) => put(damaged, it),
        Change::Deployment(it) => put(damaged, it.as_ref()),
        Change::Instance(it) => put(damaged, it),
        Change::Revision(it) => put(damaged, it),
        Change::JobRun(it) => put(damaged, it),
        Change::Database(it) => put(damaged, it),
        Change::BuiltImage(it) => put(damaged, it),
        Change::ForgetDeployment(id) => damaged.clear(Deployment::TABLE, id.as_str()),
        Change::ForgetInstance(name) => damaged.clear(Instance::TABLE, name.as_str()),
        Change::ForgetRevision(app, id) => damaged.clear(Revision::TABLE, &format!("{app}/{id}")),
        Change::ForgetDatabase(app, name) => damaged.clear(Database::TABLE, &format!("{app}/{name}")),
        Change::ForgetBuiltImage(identity) => damaged.clear(BuiltImage::TABLE, identity),
        Change::ForgetApp(_) => damaged.clear_all(),
        Change::Idempotency(_) => {}
    }
}
