//! A refused change leaves all records unchanged.

use std::time::Duration;

use rollout::deployment::Stage;

use super::samples::*;
use crate::changes::BODY_LIMIT;
use crate::error::DbError;
use crate::reader_pool::ReaderPool;
use crate::records::{App, Change};
use crate::{Store, StoreError, connection};
use data_dir::DataDir;

#[tokio::test]
async fn an_app_name_is_unique() {
    let test = TestStore::with_app("shop").await;
    let twin = App { name: "name-of-shop".to_owned(), ..app("other", 2) };
    let refused = test.store.commit(vec![Change::App(twin)]).await.unwrap_err();
    assert!(matches!(&refused, StoreError::NameTaken { name } if name == "name-of-shop"));
    assert!(!refused.is_transient());
    assert!(test.store.app(&"other".into()).await.unwrap().is_none());
}

#[tokio::test]
async fn an_app_that_is_being_deleted_holds_no_name() {
    let test = TestStore::with_app("shop").await;
    let dying = App { deleting: true, ..app("shop", 1) };
    let next = App { name: dying.name.clone(), ..app("other", 2) };
    test.store.commit(vec![Change::App(dying.clone()), Change::App(next.clone())]).await.unwrap();
    assert_eq!(test.store.app_by_name(&next.name).await.unwrap(), Some(next.clone()));
    let (page, total) = test.store.app_states(0, 10).await.unwrap();
    assert_eq!((page.into_iter().map(|it| it.app).collect::<Vec<_>>(), total), (vec![next.clone()], 1));
    assert_eq!(test.store.apps().await.unwrap().len(), 2);

    let again = test.store.commit(vec![Change::App(App { deleting: false, ..dying })]).await.unwrap_err();
    assert!(matches!(again, StoreError::NameTaken { .. }), "{again:?}");
    test.store.commit(vec![Change::ForgetApp("shop".into())]).await.unwrap();
    assert_eq!(test.store.app_by_name(&next.name).await.unwrap(), Some(next));
}

#[tokio::test]
async fn a_network_number_is_unique_and_free_again_after_its_app_is_deleted() {
    let test = TestStore::with_app("shop").await;
    let refused = test.store.commit(vec![Change::App(app("blog", 1))]).await.unwrap_err();
    assert!(matches!(refused, StoreError::NetworkTaken { network: 1 }));
    test.store.commit(vec![Change::ForgetApp("shop".into()), Change::App(app("blog", 1))]).await.unwrap();
    assert_eq!(test.store.networks().await.unwrap(), [1].into());
}

#[tokio::test]
async fn a_failed_change_undoes_the_whole_commit() {
    let test = TestStore::with_app("shop").await;
    let changes = vec![
        Change::App(App { serial: 99, ..app("shop", 1) }),
        Change::Instance(instance("shop", 0)),
        Change::ForgetApp("shop".into()),
        Change::App(app("blog", 7)),
        Change::App(app("wiki", 7)),
    ];
    assert!(test.store.commit(changes).await.is_err());
    assert_eq!(test.store.apps().await.unwrap(), [app("shop", 1)]);
    assert!(test.store.instances().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_record_of_a_deleted_app_is_refused() {
    let test = TestStore::with_app("shop").await;
    let late = vec![Change::ForgetApp("shop".into()), Change::Instance(instance("shop", 0))];
    assert!(matches!(test.store.commit(late).await, Err(StoreError::Orphan)));
    assert!(test.store.app(&"shop".into()).await.unwrap().is_some(), "the deletion was undone too");
}

#[tokio::test]
async fn a_deployment_number_is_unique_within_an_app() {
    let test = TestStore::with_app("shop").await;
    test.store.commit(vec![put(deployment("shop", 1, Stage::Pending))]).await.unwrap();
    let twin = crate::records::Deployment { id: "another".into(), ..deployment("shop", 1, Stage::Pending) };
    assert!(matches!(test.store.commit(vec![put(twin)]).await, Err(StoreError::Sqlite { .. })));
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused() {
    let test = TestStore::with_app("shop").await;
    let huge = App { spec: "x".repeat(BODY_LIMIT).into(), ..app("shop", 1) };
    assert!(matches!(
        test.store.commit(vec![Change::App(huge)]).await,
        Err(StoreError::TooLarge { table: "apps", .. })
    ));
}

#[tokio::test]
async fn a_full_disk_fails_commits_but_not_reads_until_there_is_space() {
    let test = TestStore::with_app("shop").await;
    let store = &test.store;
    let pages_allowed = |more: u32| {
        store.write(move |writer| {
            let pages: u32 = writer.conn.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
            writer.conn.pragma_update_and_check(None, "max_page_count", pages + more, |_| Ok(())).unwrap();
            Ok(())
        })
    };
    let much = || {
        let large = App { spec: "x".repeat(500_000).into(), ..app("shop", 1) };
        vec![Change::Instance(instance("shop", 0)), Change::App(large)]
    };
    pages_allowed(2).await.unwrap();

    let full = store.commit(much()).await.unwrap_err();
    assert!(full.is_disk_full() && full.is_transient(), "{full:?}");
    assert!(full.to_string().contains("nothing was changed"));
    assert_eq!(store.apps().await.unwrap(), [app("shop", 1)]);
    assert!(store.instances().await.unwrap().is_empty());

    pages_allowed(1000).await.unwrap();
    store.commit(much()).await.unwrap();
    assert_eq!(store.instances().await.unwrap().len(), 1);
}

const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

#[tokio::test]
async fn a_read_that_takes_too_long_is_stopped_and_the_next_one_works() {
    let test = TestStore::with_app("shop").await;
    let readers = ReaderPool::open(&test.directory.database(), Duration::from_millis(50)).unwrap();
    for _ in 0..6 {
        let outcome = readers.read(move |tx| Ok(tx.query_row(ENDLESS, [], |row| row.get::<_, u64>(0))?)).await;
        assert!(matches!(&outcome, Err(it @ StoreError::TooSlow { .. }) if it.is_transient()), "{outcome:?}");
    }
    let slow = ReaderPool::open(&test.directory.database(), Duration::from_secs(60)).unwrap();
    let apps = slow.read(|tx| Ok(tx.query_row("SELECT count(*) FROM apps", [], |row| row.get::<_, u64>(0))?)).await;
    assert_eq!(apps.unwrap(), 1);
}

#[tokio::test]
async fn a_statement_that_begins_after_the_deadline_is_stopped_too() {
    let test = TestStore::with_app("shop").await;
    let readers = ReaderPool::open(&test.directory.database(), Duration::from_millis(50)).unwrap();
    // As many as the pool has connections: if these reads did not end, every later read would fail.
    for _ in 0..3 {
        let (begin, gate) = std::sync::mpsc::channel();
        let late = readers.read(move |tx| {
            gate.recv().unwrap();
            Ok(tx.query_row(ENDLESS, [], |row| row.get::<_, u64>(0))?)
        });
        assert!(matches!(late.await, Err(StoreError::TooSlow { .. })));
        begin.send(()).unwrap();
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(300);
    let quick = || readers.read(|tx| Ok(tx.query_row("SELECT count(*) FROM apps", [], |row| row.get::<_, u64>(0))?));
    while quick().await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "no connection returns to the pool");
    }
}

#[tokio::test]
async fn a_read_cannot_write() {
    let test = TestStore::with_app("shop").await;
    let readers = ReaderPool::open(&test.directory.database(), Duration::from_secs(60)).unwrap();
    let outcome = readers.read(|tx| tx.execute("DELETE FROM apps", []).map_err(DbError::from)).await;
    assert!(outcome.is_err());
    assert_eq!(test.store.apps().await.unwrap().len(), 1);
}

#[test]
fn a_sqlite_that_can_lose_commits_is_refused() {
    assert!(connection::check_linked_version(3_051_002).is_err());
    assert!(connection::check_linked_version(3_051_003).is_ok());
}

#[tokio::test]
async fn a_database_of_another_installation_is_refused() {
    let test = TestStore::with_app("shop").await;
    test.sql().execute("UPDATE installation SET id = 'zzzzzzzzzz'", []).unwrap();
    let TestStore { store, directory, temp: _temp } = test;
    drop(store);
    let refused = Store::open(&directory).unwrap_err();
    assert!(matches!(&refused, StoreError::Foreign { found, .. } if found == "zzzzzzzzzz"), "{refused:?}");
}

#[tokio::test]
async fn a_database_sealed_with_another_key_is_refused() {
    let test = TestStore::with_app("shop").await;
    let TestStore { store, directory, temp } = test;
    drop((store, directory));
    let root = temp.path().join("data");
    std::fs::write(root.join("key"), [7; 32]).unwrap();
    let directory = DataDir::open(&root).unwrap();
    assert!(matches!(Store::open(&directory), Err(StoreError::WrongKey { .. })));
}
