//! The data directory: whose it is, who may look, what it holds.

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
    // A crash left a draft that everybody may read. The new file must not inherit its mode.
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
