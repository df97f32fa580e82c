//! A damaged row or file affects nothing else.

use std::os::unix::fs::FileExt;

use super::samples::*;
use crate::records::Change;
use crate::{Damaged, LostCommits, Store, StoreError};
use data_dir::DataDir;

#[tokio::test]
async fn lists_skip_and_report_a_row_that_cannot_be_read() {
    let test = TestStore::with_app("shop").await;
    test.store.commit((0..3).map(|slot| Change::Instance(instance("shop", slot))).collect()).await.unwrap();
    test.sql().execute("UPDATE instances SET body = '{\"name\":' WHERE name = 'shop-web-1'", []).unwrap();

    let state = test.store.app_state(&"shop".into()).await.unwrap().unwrap();
    assert_eq!(state.instances, [instance("shop", 0), instance("shop", 2)]);
    let damaged = test.store.damaged();
    assert!(matches!(&damaged[..], [Damaged { table: "instances", key, .. }] if key == "shop-web-1"), "{damaged:?}");

    test.store.commit(vec![Change::Instance(instance("shop", 1))]).await.unwrap();
    assert!(test.store.damaged().is_empty(), "the row was rewritten");
    assert_eq!(test.store.instances().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_damaged_app_is_an_error_and_keeps_its_id_and_network() {
    let test = TestStore::with_app("shop").await;
    test.store.commit(vec![Change::App(app("blog", 2))]).await.unwrap();
    test.sql().execute("UPDATE apps SET body = '[]' WHERE id = 'shop'", []).unwrap();

    let error = test.store.app_state(&"shop".into()).await.map(|_| ()).unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { table: "apps", key, .. } if key == "shop"), "{error:?}");
    assert_eq!(test.store.apps().await.unwrap(), [app("blog", 2)]);
    assert_eq!(test.store.networks().await.unwrap(), [1, 2].into());
    assert_eq!(test.store.app_ids().await.unwrap(), ["blog".into(), "shop".into()].into());

    test.store.commit(vec![Change::ForgetApp("shop".into())]).await.unwrap();
    assert!(test.store.damaged().is_empty());
}

#[tokio::test]
async fn a_sealed_body_opens_only_in_its_own_row() {
    let test = TestStore::with_app("shop").await;
    test.store.commit(vec![Change::App(app("blog", 2))]).await.unwrap();
    test.store
        .commit(vec![
            Change::Revision(revision("shop", "r1", "secret of shop")),
            Change::Revision(revision("blog", "r1", "secret of blog")),
        ])
        .await
        .unwrap();
    let swap = "UPDATE revisions SET body = (SELECT body FROM revisions WHERE app = 'shop') WHERE app = 'blog'";
    test.sql().execute(swap, []).unwrap();

    let error = test.store.revision(&"blog".into(), &"r1".into()).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Damaged { table: "revisions", why, .. } if why.contains("does not open")),
        "{error:?}"
    );
    assert!(test.store.revision(&"shop".into(), &"r1".into()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_body_in_the_wrong_row_is_damaged() {
    let test = TestStore::with_app("shop").await;
    test.store.commit(vec![Change::App(app("blog", 2))]).await.unwrap();
    test.sql().execute("UPDATE apps SET body = (SELECT body FROM apps WHERE id = 'shop')", []).unwrap();
    assert_eq!(test.store.apps().await.unwrap(), [app("shop", 1)]);
}

#[tokio::test]
async fn a_database_file_with_a_damaged_page_is_refused_and_not_changed() {
    let test = TestStore::with_app("shop").await;
    let TestStore { store, directory, temp: _temp } = test;
    drop(store);
    let path = directory.database();
    // The first page lists the tables; the second is the root of one.
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_all_at(&[0xA5; 512], 4096).unwrap();
    let before = std::fs::read(&path).unwrap();

    let error = Store::open(&directory).unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { path: named, .. } if *named == path), "{error:?}");
    assert!(!error.is_transient());
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_not_a_database_is_refused() {
    let temp = tempfile::TempDir::new().unwrap();
    let directory = DataDir::open(temp.path().join("data")).unwrap();
    let path = directory.database();
    std::fs::write(&path, "not a database, ".repeat(1000)).unwrap();
    assert!(matches!(Store::open(&directory), Err(StoreError::Corrupt { .. })));
}

#[tokio::test]
async fn lost_commits_are_reported_until_the_next_commit() {
    let test = TestStore::with_app("shop").await.reopened();
    let before = std::fs::read(test.directory.database()).unwrap();
    for _ in 0..5 {
        test.store.set_meta("some", "fact").await.unwrap();
    }
    assert_eq!(test.store.lost_commits(), None);
    let TestStore { store, directory, temp: _temp } = test;
    drop(store);
    std::fs::write(directory.database(), before).unwrap();

    let lost = Some(LostCommits { last_kept: 1, last_seen: 6 });
    assert_eq!(Store::open(&directory).unwrap().lost_commits(), lost);
    let store = Store::open(&directory).unwrap();
    assert_eq!(store.lost_commits(), lost, "reported until the next commit");
    store.set_meta("some", "fact").await.unwrap();
    drop(store);
    assert_eq!(Store::open(&directory).unwrap().lost_commits(), None);
}
