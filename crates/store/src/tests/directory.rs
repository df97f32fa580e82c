//! A store in its data directory.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use data_dir::{DataDir, DataDirError};

use crate::Store;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn an_open_store_keeps_the_directory_locked() {
    let place = TempDir::new().unwrap();
    let directory = DataDir::open(place.path().join("data")).unwrap();
    let root = directory.root().to_owned();
    let store = Store::open(&directory).unwrap();
    drop(directory);
    assert!(matches!(DataDir::open(&root), Err(DataDirError::Held { .. })));
    drop(store);
    DataDir::open(&root).unwrap();
}

#[tokio::test]
async fn only_the_owner_has_permissions_on_the_directory_and_its_files() {
    let place = TempDir::new().unwrap();
    let directory = DataDir::open(place.path().join("data")).unwrap();
    let store = Store::open(&directory).unwrap();
    store.set_meta("a", "b").await.unwrap();
    directory.write_admin_token("t").unwrap();
    directory.write_runtime(b"{}").unwrap();
    assert_eq!(mode(directory.root()), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory.root()).unwrap() {
        let entry = entry.unwrap();
        let expected = if entry.file_type().unwrap().is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&entry.path()), expected, "{:?}", entry.path());
        names.push(entry.file_name().into_string().unwrap());
    }
    for name in ["boatyard.db", "boatyard.db-wal", "boatyard.db-shm", "key", "logs", "sources", "ingress"] {
        assert!(names.iter().any(|it| it == name), "{name} is missing among {names:?}");
    }
}

#[test]
fn a_secret_file_open_to_others_is_refused_with_the_chmod_command() {
    for name in ["key", "admin-token", "boatyard.db"] {
        let place = TempDir::new().unwrap();
        let directory = DataDir::open(place.path().join("data")).unwrap();
        directory.write_admin_token("t").unwrap();
        Store::open(&directory).unwrap();
        let root = directory.root().to_owned();
        drop(directory);
        chmod(&root.join(name), 0o644);
        let error = DataDir::open(&root).unwrap_err();
        assert!(error.to_string().contains(&format!("chmod 600 {}", root.join(name).display())), "{error}");
        assert_eq!(mode(&root.join(name)), 0o644, "opening does not change the mode");
    }
}

#[test]
fn no_new_key_is_generated_beside_a_database() {
    let place = TempDir::new().unwrap();
    let directory = DataDir::open(place.path().join("data")).unwrap();
    Store::open(&directory).unwrap();
    let root = directory.root().to_owned();
    drop(directory);
    fs::remove_file(root.join("key")).unwrap();
    assert!(matches!(DataDir::open(&root), Err(DataDirError::KeyMissing { .. })));
    assert!(!root.join("key").exists());
}
