//! The lock, the permissions and the files of the data directory.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::{BALLAST_BYTES, DataDir, DataDirError};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_in_use_is_refused_with_the_id_of_the_process_that_holds_it() {
    let place = TempDir::new().unwrap();
    let first = DataDir::open(place.path().join("data")).unwrap();
    let error = DataDir::open(first.root()).unwrap_err();
    let expected = format!("process {}", std::process::id());
    assert!(matches!(&error, DataDirError::Held { holder } if *holder == expected), "{error:?}");
    let root = first.root().to_owned();
    drop(first);
    DataDir::open(root).unwrap();
}

#[test]
fn a_directory_open_to_others_is_refused_with_the_chmod_command() {
    let place = TempDir::new().unwrap();
    chmod(place.path(), 0o750);
    let error = DataDir::open(place.path()).unwrap_err();
    assert!(error.to_string().contains(&format!("chmod 700 {}", place.path().display())), "{error}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "nothing was created");
    chmod(place.path(), 0o700);
    DataDir::open(place.path()).unwrap();
}

#[test]
fn a_path_of_a_file_is_refused() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("data");
    fs::write(&path, "").unwrap();
    assert!(matches!(DataDir::open(&path), Err(DataDirError::NotADirectory { .. })));
}

#[test]
fn key_and_installation_id_are_generated_once() {
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
fn each_purpose_has_a_separate_key_that_differs_from_the_key_file() {
    let place = TempDir::new().unwrap();
    let directory = DataDir::open(place.path().join("data")).unwrap();
    let key = fs::read(directory.root().join("key")).unwrap();
    assert_eq!(key.len(), 32);
    assert_ne!(directory.derived_key("a"), directory.derived_key("b"));
    assert_ne!(directory.derived_key("a").as_slice(), key);
}

#[test]
fn a_damaged_key_or_installation_id_is_refused() {
    for name in ["key", "installation"] {
        let place = TempDir::new().unwrap();
        let root = DataDir::open(place.path().join("data")).unwrap().root().to_owned();
        fs::write(root.join(name), "short").unwrap();
        assert!(matches!(DataDir::open(&root), Err(DataDirError::Damaged { .. })), "{name}");
    }
}

#[test]
fn the_ballast_can_be_released_and_restored() {
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
fn token_and_runtime_file_can_be_replaced_after_a_crash_during_a_write() {
    let place = TempDir::new().unwrap();
    let directory = DataDir::open(place.path().join("data")).unwrap();
    assert_eq!(directory.admin_token().unwrap(), None);
    directory.write_admin_token("a longer first token").unwrap();
    // A crash left a draft that all users may read. The new file must not inherit its mode.
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
