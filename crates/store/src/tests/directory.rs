//! The data directory: whose it is, who may look, what it holds.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::directory::BALLAST_BYTES;
use crate::{DataDir, DataDirError, Store};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_second_open_names_the_holder_until_the_first_is_gone() {
    let place = TempDir::new().unwrap();
    let first = DataDir::open(place.path().join("data")).unwrap();
    let error = DataDir::open(first.root()).unwrap_err();
    let expected = format!("process {}", std::process::id());
    assert!(matches!(&error, DataDirError::Held { holder } if *holder == expected), "{error:?}");
    let root = first.root().to_owned();
    drop(first);
    DataDir::open(root).unwrap();
}

#[tokio::test]
async fn an_open_store_holds_the_directory_by_itself() {
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
async fn everything_in_it_is_the_owners_alone() {
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
fn a_directory_open_to_others_is_refused_with_the_remedy() {
    let place = TempDir::new().unwrap();
    chmod(place.path(), 0o750);
    let error = DataDir::open(place.path()).unwrap_err();
    assert!(error.to_string().contains(&format!("chmod 700 {}", place.path().display())), "{error}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "nothing was made");
    chmod(place.path(), 0o700);
    DataDir::open(place.path()).unwrap();
}

#[test]
fn a_secret_file_open_to_others_is_refused_with_the_remedy() {
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
        assert_eq!(mode(&root.join(name)), 0o644, "it is not repaired in silence");
    }
}

#[test]
fn a_file_in_its_place_is_refused() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("data");
    fs::write(&path, "").unwrap();
    assert!(matches!(DataDir::open(&path), Err(DataDirError::NotADirectory { .. })));
}

#[test]
fn key_and_installation_are_made_once() {
    let place = TempDir::new().unwrap();
    let directory = DataDir::open(place.path().join("a/b/data")).unwrap();
    let (id, key, root) =
        (directory.installation().to_owned(), directory.derived_key("x"), directory.root().to_owned());
    assert_eq!(id.len(), 10);
    assert!(id.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit()), "{id}");
    drop(directory);
    let again = DataDir::open(root).unwrap();
    assert_eq!((again.installation(), again.derived_key("x")), (id.as_str(), key));
    let other = DataDir::open(place.path().join("other")).unwrap();
    assert_ne!(other.installation(), id);
    assert_ne!(other.derived_key("x"), key);
}

#[test]
fn each_purpose_has_a_key_of_its_own_and_none_is_the_key_file() {
    let place = TempDir::new().unwrap();
    let directory = DataDir::open(place.path().join("data")).unwrap();
    let key = fs::read(directory.root().join("key")).unwrap();
    assert_eq!(key.len(), 32);
    assert_ne!(directory.derived_key("a"), directory.derived_key("b"));
    assert_ne!(directory.derived_key("a").as_slice(), key);
}

#[test]
fn no_new_key_is_made_beside_a_database() {
    let place = TempDir::new().unwrap();
    let directory = DataDir::open(place.path().join("data")).unwrap();
    Store::open(&directory).unwrap();
    let root = directory.root().to_owned();
    drop(directory);
    fs::remove_file(root.join("key")).unwrap();
    assert!(matches!(DataDir::open(&root), Err(DataDirError::KeyMissing { .. })));
    assert!(!root.join("key").exists());
}

#[test]
fn a_key_or_id_that_is_not_ours_is_refused() {
    for name in ["key", "installation"] {
        let place = TempDir::new().unwrap();
        let root = DataDir::open(place.path().join("data")).unwrap().root().to_owned();
        fs::write(root.join(name), "short").unwrap();
        assert!(matches!(DataDir::open(&root), Err(DataDirError::Damaged { .. })), "{name}");
    }
}

#[test]
fn the_ballast_gives_its_room_back_and_takes_it_again() {
    let place = TempDir::new().unwrap();
    let directory = DataDir::open(place.path().join("data")).unwrap();
    let ballast = directory.root().join("ballast");
    assert_eq!(fs::metadata(&ballast).unwrap().len(), BALLAST_BYTES as u64);
    directory.ballast().release();
    directory.ballast().release();
    assert!(!ballast.exists());
    directory.ballast().restore().unwrap();
    assert_eq!(fs::metadata(&ballast).unwrap().len(), BALLAST_BYTES as u64);
}

#[test]
fn token_and_runtime_file_are_replaced_whole() {
    let place = TempDir::new().unwrap();
    let directory = DataDir::open(place.path().join("data")).unwrap();
    assert_eq!(directory.admin_token().unwrap(), None);
    directory.write_admin_token("a longer first token").unwrap();
    // A draft left by a crash, open to all, lends its mode to nothing.
    fs::write(directory.root().join("admin-token.new"), "half").unwrap();
    chmod(&directory.root().join("admin-token.new"), 0o666);
    directory.write_admin_token("second").unwrap();
    assert_eq!(directory.admin_token().unwrap().as_deref(), Some("second"));
    assert_eq!(mode(&directory.admin_token_file()), 0o600);
    directory.write_runtime(b"{}").unwrap();
    assert_eq!(fs::read(DataDir::runtime_file_of(directory.root())).unwrap(), b"{}");
    directory.remove_runtime().unwrap();
    directory.remove_runtime().unwrap();
    assert!(!directory.runtime_file().exists());
}
