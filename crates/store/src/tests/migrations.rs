//! Databases with an older schema are migrated, databases with a newer one are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;

use rusqlite::Connection;
use tempfile::TempDir;

use super::samples::{TestStore, app};
use crate::records::Instance;
use crate::schema::{self, MIGRATIONS};
use crate::{Store, StoreError};
use data_dir::DataDir;

/// An app and an instance exactly as the first version wrote them. Every version must be able to read them.
const FIRST_ROWS: &str = r#"
INSERT INTO apps (id, name, network, body) VALUES ('shop', 'name-of-shop', 1,
 '{"id":"shop","name":"name-of-shop","network":1,"spec":{"name":"shop","services":[]},"created":1,"updated":2,"deleting":false,"active":null,"deployments":0,"serial":0,"generation":0}');
INSERT INTO instances (name, app, body) VALUES ('shop-web-0', 'shop',
 '{"name":"shop-web-0","app":"shop","component":"web","kind":"service","slot":0,"revision":"r1","generation":0,"deployment":"shop-deployment-1","phase":"ready","since":3,"address":"10.192.1.9","kept_alive":true,"refused":null,"created":3}');
"#;

const SECOND_MIGRATION: &str = "ALTER TABLE meta ADD COLUMN note TEXT NOT NULL DEFAULT 'new';";

fn first_schema(directory: &DataDir) -> Connection {
    let mut conn = crate::connection::open_writer(&directory.database()).unwrap();
    schema::migrate(&mut conn, &directory.database(), &MIGRATIONS[..1]).unwrap();
    conn.execute_batch(FIRST_ROWS).unwrap();
    conn
}

fn count(conn: &Connection, table: &str) -> u32 {
    conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn rows_of_the_first_schema_are_read() {
    let temp = TempDir::new().unwrap();
    let directory = DataDir::open(temp.path().join("data")).unwrap();
    drop(first_schema(&directory));
    let store = Store::open(&directory).unwrap();
    assert_eq!(store.apps().await.unwrap(), [app("shop", 1)]);
    let instance =
        Instance { published: BTreeMap::new(), calls: BTreeSet::new(), ..super::samples::instance("shop", 0) };
    assert_eq!(store.instances().await.unwrap(), [instance]);
    assert!(store.damaged().is_empty());
}

#[tokio::test]
async fn an_app_that_the_first_schema_was_deleting_loses_its_name() {
    let temp = TempDir::new().unwrap();
    let directory = DataDir::open(temp.path().join("data")).unwrap();
    let conn = first_schema(&directory);
    conn.execute("UPDATE apps SET body = replace(body, '\"deleting\":false', '\"deleting\":true')", []).unwrap();
    drop(conn);
    let store = Store::open(&directory).unwrap();
    assert!(store.apps().await.unwrap()[0].deleting);
    assert_eq!(store.app_by_name("name-of-shop").await.unwrap(), None);
    assert_eq!(store.instances().await.unwrap().len(), 1);
}

#[test]
fn a_migration_keeps_the_rows_and_a_copy_of_the_old_database() {
    let temp = TempDir::new().unwrap();
    let directory = DataDir::open(temp.path().join("data")).unwrap();
    let path = directory.database();
    let mut conn = first_schema(&directory);

    schema::migrate(&mut conn, &path, &[MIGRATIONS[0], SECOND_MIGRATION]).unwrap();

    assert_eq!((count(&conn, "apps"), count(&conn, "instances")), (1, 1));
    conn.prepare("SELECT note FROM meta").unwrap();
    let copy = schema::backup_path(&path, 1);
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let old = Connection::open(&copy).unwrap();
    assert_eq!(old.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)).unwrap(), 1);
    assert_eq!(count(&old, "apps"), 1);
    assert!(old.prepare("SELECT note FROM meta").is_err());
}

#[test]
fn new_and_current_databases_are_not_copied() {
    let test = TestStore::new();
    let copies = |test: &TestStore| {
        let names = fs::read_dir(test.directory.root()).unwrap().map(|it| it.unwrap().file_name());
        names.filter(|it| it.to_string_lossy().contains("schema")).count()
    };
    assert_eq!(copies(&test), 0);
    assert_eq!(copies(&test.reopened()), 0);
}

#[test]
fn a_failed_migration_leaves_the_previous_schema() {
    let temp = TempDir::new().unwrap();
    let directory = DataDir::open(temp.path().join("data")).unwrap();
    let path = directory.database();
    let mut conn = first_schema(&directory);
    let broken = "CREATE TABLE half (a TEXT) STRICT; CREATE TABLE apps (a TEXT) STRICT;";
    let error = schema::migrate(&mut conn, &path, &[MIGRATIONS[0], SECOND_MIGRATION, broken]).unwrap_err();
    assert!(matches!(error, StoreError::Migration { from: 2, to: 3, .. }), "{error:?}");
    assert_eq!(conn.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)).unwrap(), 2);
    assert!(conn.prepare("SELECT * FROM half").is_err(), "the failed migration was undone");
    assert_eq!(count(&conn, "apps"), 1);
}

#[test]
fn a_migration_that_would_orphan_rows_is_undone() {
    let temp = TempDir::new().unwrap();
    let directory = DataDir::open(temp.path().join("data")).unwrap();
    let path = directory.database();
    let mut conn = first_schema(&directory);
    assert!(schema::migrate(&mut conn, &path, &[MIGRATIONS[0], "DELETE FROM apps;"]).is_err());
    assert_eq!(count(&conn, "apps"), 1);
    let enforced: bool = conn.pragma_query_value(None, "foreign_keys", |row| row.get(0)).unwrap();
    assert!(enforced, "foreign keys are enforced again");
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_not_changed() {
    let test = TestStore::with_app("shop").await;
    let TestStore { store, directory, temp: _temp } = test;
    drop(store);
    let conn = Connection::open(directory.database()).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    let error = Store::open(&directory).unwrap_err();
    let known = u32::try_from(MIGRATIONS.len()).unwrap();
    assert!(matches!(error, StoreError::NewerSchema { found: 99, known: it, .. } if it == known), "{error:?}");
    assert_eq!(count(&conn, "apps"), 1);
}
