//! No secret appears in clear text in a file, in debug output or in an error.

use std::fs;
use std::path::Path;

use super::samples::*;
use crate::records::Change;

const CANARY: &str = "canary-7f3e91-secret";
/// Stored in clear text, to prove that the search works.
const MARKER: &str = "marker-5a20c8-public";

/// Files in the directory that contain the text.
fn files_with(root: &Path, text: &str) -> Vec<String> {
    let files = fs::read_dir(root).unwrap().map(Result::unwrap).filter(|it| it.file_type().unwrap().is_file());
    let contains = |path: &Path| fs::read(path).unwrap().windows(text.len()).any(|it| it == text.as_bytes());
    files.filter(|it| contains(&it.path())).map(|it| it.file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn no_file_contains_a_secret() {
    let test = TestStore::with_app("shop").await;
    let sealed = test.directory.sealer().seal("env/shop", CANARY.as_bytes());
    let mut shop = app("shop", 1);
    shop.spec = serde_json::json!({"name": MARKER, "envs": [{"key": "TOKEN", "value": sealed}]});
    test.store
        .commit(vec![
            Change::App(shop),
            Change::Revision(revision("shop", "r1", CANARY)),
            Change::Database(database("shop", "db", CANARY)),
            Change::AlertDestinations(alert_destinations("shop", CANARY)),
            Change::HostLogin(host_login("shop", CANARY)),
        ])
        .await
        .unwrap();
    let root = test.directory.root();
    // The database file contains it too if a checkpoint has run by now.
    assert!(files_with(root, MARKER).contains(&"boatyard.db-wal".to_owned()));
    assert_eq!(files_with(root, CANARY), [""; 0]);
    // Closing the store runs a checkpoint.
    let test = test.reopened();
    let root = test.directory.root();
    assert_eq!(files_with(root, MARKER), ["boatyard.db"]);
    assert_eq!(files_with(root, CANARY), [""; 0]);
    let state = test.store.app_state(&"shop".into()).await.unwrap().unwrap();
    assert_eq!(state.databases[0].password, CANARY);
}

#[test]
fn debug_output_hides_environment_password_webhook_and_login() {
    let texts = [
        format!("{:#?}", revision("shop", "r1", CANARY)),
        format!("{:#?}", database("shop", "db", CANARY)),
        format!("{:#?}", alert_destinations("shop", CANARY)),
        format!("{:#?}", host_login("shop", CANARY)),
    ];
    for text in texts {
        assert!(text.contains("shop") && !text.contains(CANARY), "{text}");
    }
}

#[tokio::test]
async fn a_damaged_sealed_row_is_reported_without_its_content() {
    let test = TestStore::with_app("shop").await;
    // Sealed correctly, but the command is a string instead of a list. The parser's message would quote it.
    let body = format!(r#"{{"id":"r1","app":"shop","component":"web","image":"i","command":"{CANARY}"}}"#);
    let body = test.directory.sealer().seal_bytes("revisions/shop/r1", body.as_bytes());
    test.sql().execute("INSERT INTO revisions (app, id, body) VALUES ('shop', 'r1', ?1)", [body]).unwrap();
    let error = test.store.revision(&"shop".into(), &"r1".into()).await.unwrap_err();
    let messages = format!("{error} {error:?} {:?}", test.store.damaged());
    assert!(messages.contains("cannot be parsed") && !messages.contains("canary"), "{messages}");
}
