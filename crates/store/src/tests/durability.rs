//! Acknowledged commits survive a killed writer.
//!
//! The writer is this test binary, started again to run one test with a directory to write to.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rand::Rng;
use rollout::deployment::Stage;
use tempfile::TempDir;

use super::samples::*;
use crate::records::{App, Change};
use crate::{Store, StoreError};
use data_dir::{DataDir, DataDirError};

const DIRECTORY: &str = "BOATYARD_TEST_KILLED_WRITER";
const ROUNDS: usize = 20;
/// The writer ends after this many commits if it is not killed.
const MOST_COMMITS: u64 = 5_000;

#[tokio::test]
async fn commits_survive_reopening() {
    let test = TestStore::with_app("shop").await;
    test.store.commit(records_of("shop")).await.unwrap();
    let before = test.store.app_state(&"shop".into()).await.unwrap().unwrap();
    let test = test.reopened();
    let after = test.store.app_state(&"shop".into()).await.unwrap().unwrap();
    assert_eq!(after.app, before.app);
    assert_eq!(after.deployments, before.deployments);
    assert_eq!(after.instances, before.instances);
    assert!(after.revisions == before.revisions && after.databases == before.databases);
}

#[tokio::test]
async fn a_commit_whose_future_is_dropped_is_still_saved() {
    let test = TestStore::with_app("shop").await;
    let mut commit = Box::pin(test.store.commit(vec![Change::Instance(instance("shop", 0))]));
    assert!(poll_once(&mut commit).await.is_none_or(|it| it.is_ok()));
    drop(commit);
    assert_eq!(test.reopened().store.instances().await.unwrap().len(), 1);
}

/// Polls once, which sends the work to the writer.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| match std::pin::Pin::new(&mut *future).poll(context) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn no_acknowledged_commit_is_lost_when_the_writer_is_killed() {
    let temp = TempDir::new().unwrap();
    let root = temp.path().join("data");
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let commits = rand::rng().random_range(0..40);
        acknowledged = write_and_kill(&root, commits).max(acknowledged);
        let directory = DataDir::open(&root).unwrap();
        let store = Store::open(&directory).unwrap();
        let shop = store.app(&"shop".into()).await.unwrap();
        let kept = shop.map_or(0, |it| it.deployments);
        let (_, rows) = store.deployments(&"shop".into(), 0, 0).await.unwrap();
        assert!(kept >= acknowledged, "round {round}: {acknowledged} acknowledged, {kept} kept");
        assert_eq!(rows, kept, "round {round}: both changes of each commit are there");
        assert_eq!(store.lost_commits(), None, "round {round}");
    }
    assert!(acknowledged > 0);
}

/// Starts a writer, kills it after about `commits` commits, and returns the last number that it acknowledged.
fn write_and_kill(root: &Path, commits: usize) -> u64 {
    let mut writer = start_writer(root);
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok);
    let number = |line: String| line.strip_prefix("acknowledged ").and_then(|it| it.parse::<u64>().ok());
    let mut last = lines.by_ref().filter_map(number).take(commits + 1).last();
    let refused = DataDir::open(root).unwrap_err();
    let holder_expected = format!("process {}", writer.id());
    assert!(matches!(refused, DataDirError::Held { holder } if holder == holder_expected));
    writer.kill().unwrap();
    // Includes lines that the writer printed before it was killed.
    last = lines.filter_map(number).last().or(last);
    writer.wait().unwrap();
    last.expect("the writer acknowledged something before it was killed")
}

fn start_writer(root: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::durability::a_writer_to_be_killed", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, root)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Does nothing except in the process that the test above starts.
#[tokio::test]
async fn a_writer_to_be_killed() {
    let Some(root) = std::env::var_os(DIRECTORY) else { return };
    let directory = DataDir::open(root).unwrap();
    let store = Store::open(&directory).unwrap();
    let kept = store.app(&"shop".into()).await.unwrap().map_or(0, |it| it.deployments);
    println!();
    for number in kept + 1..=kept + MOST_COMMITS {
        let shop = App { deployments: number, ..app("shop", 1) };
        store.commit(vec![Change::App(shop), put(deployment("shop", number, Stage::Failed))]).await.unwrap();
        println!("acknowledged {number}");
    }
}

#[tokio::test]
async fn a_commit_to_deleted_or_replaced_files_is_not_acknowledged() {
    for file in ["boatyard.db", "boatyard.db-wal"] {
        let test = TestStore::with_app("shop").await;
        test.store.check_files().await.unwrap();
        let path = test.directory.root().join(file);
        let aside = path.with_extension("aside");
        std::fs::copy(&path, &aside).unwrap();
        std::fs::remove_file(&path).unwrap();
        let change = || vec![Change::Instance(instance("shop", 0))];
        let refused = test.store.commit(change()).await.unwrap_err();
        assert!(matches!(refused, StoreError::Replaced { .. }), "{file}: {refused}");
        std::fs::rename(&aside, &path).unwrap();
        assert!(test.store.commit(change()).await.is_err(), "{file}: a copy is another file");
        assert!(test.store.check_files().await.is_err());
        assert_eq!(test.store.apps().await.unwrap().len(), 1, "{file}: open files can still be read");
    }
}
