//! Records are read back as they were written.

use std::time::Duration;

use rollout::deployment::Stage;
use rollout::ids::AppId;
use rollout::target::{ComponentKind, StopTimes, Target, Timing};
use rollout::time::Timestamp;

use super::samples::*;
use crate::StoreError;
use crate::records::{AppState, Change, Deployment, IDEMPOTENCY_LIFETIME, Idempotency, Instance, JobRun};

#[tokio::test]
async fn all_records_of_an_app_are_read_back_as_they_were_written() {
    let test = TestStore::with_app("shop").await;
    test.store.commit(records_of("shop")).await.unwrap();
    let state = test.store.app_state(&"shop".into()).await.unwrap().unwrap();
    assert_eq!(state.app, app("shop", 1));
    assert_eq!(state.deployments, [deployment("shop", 1, Stage::Active)]);
    assert_eq!(state.instances, [instance("shop", 0)]);
    assert!(state.revisions == [revision("shop", "r1", "secret")]);
    assert_eq!(state.job_runs, [job_run("shop", 1, false)]);
    assert!(state.databases == [database("shop", "db", "secret")]);
}

#[tokio::test]
async fn single_records_are_found_by_their_keys() {
    let test = TestStore::with_app("shop").await;
    let store = &test.store;
    store.commit(records_of("shop")).await.unwrap();
    let shop = AppId::from("shop");
    assert_eq!(store.app(&shop).await.unwrap(), Some(app("shop", 1)));
    assert_eq!(store.app_by_name("name-of-shop").await.unwrap(), Some(app("shop", 1)));
    let id = deployment_id("shop", 1);
    assert_eq!(store.deployment(&id).await.unwrap(), Some(deployment("shop", 1, Stage::Active)));
    assert_eq!(store.revision(&shop, &"r1".into()).await.unwrap(), Some(revision("shop", "r1", "secret")));
    assert_eq!(store.built_image("identity-shop").await.unwrap(), Some(built_image("shop", "identity-shop")));
    assert_eq!(store.built_images(&shop).await.unwrap(), [built_image("shop", "identity-shop")]);
    assert_eq!(store.job_runs(&id).await.unwrap(), [job_run("shop", 1, false)]);
    assert_eq!(store.job_runs_of(&shop).await.unwrap(), [job_run("shop", 1, false)]);
    assert_eq!(store.instances().await.unwrap(), [instance("shop", 0)]);
    assert_eq!(store.databases().await.unwrap(), [database("shop", "db", "secret")]);
    let destinations = alert_destinations("shop", "https://hooks.example.com/1");
    assert_eq!(store.alert_destinations(&shop).await.unwrap(), [destinations]);
    let forget = Change::ForgetAlertDestinations(shop.clone(), "alert-1".to_owned());
    store.commit(vec![forget]).await.unwrap();
    assert_eq!(store.alert_destinations(&shop).await.unwrap(), []);
}

/// Rows of older versions.
#[test]
fn a_row_without_stop_times_gets_those_of_its_target() {
    let mut row = serde_json::to_value(instance("shop", 0)).unwrap();
    row.as_object_mut().unwrap().remove("stop_times");
    let row: Instance = serde_json::from_value(row).unwrap();
    let mut run = serde_json::to_value(job_run("shop", 1, false)).unwrap();
    run.as_object_mut().unwrap().remove("grace");
    assert_eq!(serde_json::from_value::<JobRun>(run).unwrap().grace, None);

    let target = |component: &str, seconds| Target {
        component: component.into(),
        kind: ComponentKind::Service,
        count: 1,
        revision: "r1".into(),
        generation: 1,
        min_generation: 1,
        timing: Timing { grace: Duration::from_secs(seconds), ..Timing::default() },
    };
    let made_by = |number, seconds| Deployment {
        targets: Some(vec![target("other", 1), target("web", seconds)]),
        ..deployment("shop", number, Stage::Active)
    };
    let grace = |deployments, row: &Instance| {
        AppState { deployments, ..AppState::new(app("shop", 1)) }.stop_times(row).grace.as_secs()
    };
    assert_eq!(grace(vec![made_by(1, 300), made_by(2, 7)], &row), 300, "the deployment that created it");
    assert_eq!(grace(vec![made_by(2, 7)], &row), 7, "the newest recorded deployment");
    assert_eq!(grace(vec![], &row), 120, "the default");
    let own = StopTimes { grace: Duration::from_secs(9), ..StopTimes::default() };
    assert_eq!(grace(vec![made_by(1, 300)], &Instance { stop_times: Some(own), ..row.clone() }), 9);
}

#[tokio::test]
async fn an_absent_record_is_none() {
    let test = TestStore::new();
    let store = &test.store;
    assert!(store.app_state(&"shop".into()).await.unwrap().is_none());
    assert!(store.app_by_name("shop").await.unwrap().is_none());
    assert!(store.deployment(&"d".into()).await.unwrap().is_none());
    assert!(store.revision(&"shop".into(), &"r1".into()).await.unwrap().is_none());
    assert!(store.get_meta("token").await.unwrap().is_none());
    assert_eq!(store.deployments(&"shop".into(), 0, 10).await.unwrap(), (vec![], 0));
}

#[tokio::test]
async fn updating_an_app_keeps_its_other_records() {
    let test = TestStore::with_app("shop").await;
    test.store.commit(records_of("shop")).await.unwrap();
    let renamed = crate::records::App { name: "store".to_owned(), ..app("shop", 1) };
    test.store.commit(vec![Change::App(renamed)]).await.unwrap();
    assert!(test.store.app_by_name("store").await.unwrap().is_some());
    assert!(test.store.app_by_name("name-of-shop").await.unwrap().is_none());
    assert_eq!(test.store.instances().await.unwrap().len(), 1);
}

#[tokio::test]
async fn records_are_deleted_one_by_one() {
    let test = TestStore::with_app("shop").await;
    test.store.commit(records_of("shop")).await.unwrap();
    let forget = vec![
        Change::ForgetInstance("shop-web-0".into()),
        Change::ForgetRevision("shop".into(), "r1".into()),
        Change::ForgetDatabase("shop".into(), "db".into()),
        Change::ForgetBuiltImage("identity-shop".to_owned()),
    ];
    test.store.commit(forget.clone()).await.unwrap();
    let state = test.store.app_state(&"shop".into()).await.unwrap().unwrap();
    assert!(state.instances.is_empty() && state.revisions.is_empty() && state.databases.is_empty());
    assert!(test.store.built_image("identity-shop").await.unwrap().is_none());
    assert!(test.store.commit(forget).await.is_ok(), "deleting twice is harmless");
}

#[tokio::test]
async fn a_deployment_is_deleted_with_its_job_runs_and_idempotency_key() {
    let test = TestStore::with_app("shop").await;
    let accepted = |number| {
        let (caller, key) = ("me".to_owned(), format!("key-{number}"));
        Change::Idempotency(Idempotency {
            caller,
            key,
            deployment: deployment_id("shop", number),
            created: Timestamp(1),
        })
    };
    let all = [1, 2].map(|number| {
        [
            put(deployment("shop", number, Stage::Failed)),
            Change::JobRun(job_run("shop", number, true)),
            accepted(number),
        ]
    });
    test.store.commit(all.into_iter().flatten().collect()).await.unwrap();

    test.store.commit(vec![Change::ForgetDeployment(deployment_id("shop", 1))]).await.unwrap();

    let (left, total) = test.store.deployments(&"shop".into(), 0, 10).await.unwrap();
    assert_eq!((left[0].number, total), (2, 1));
    assert!(test.store.job_runs(&deployment_id("shop", 1)).await.unwrap().is_empty());
    assert_eq!(test.store.job_runs(&deployment_id("shop", 2)).await.unwrap().len(), 1);
    assert_eq!(test.store.accepted("me", "key-1", Timestamp(1)).await.unwrap(), None);
    assert!(test.store.accepted("me", "key-2", Timestamp(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn deleting_an_app_deletes_all_its_records_and_no_others() {
    let test = TestStore::with_app("shop").await;
    test.store.commit(records_of("shop")).await.unwrap();
    test.store.commit(vec![Change::App(app("blog", 2))]).await.unwrap();
    test.store.commit(records_of("blog")).await.unwrap();
    let accepted = |app| {
        Change::Idempotency(Idempotency {
            caller: "me".to_owned(),
            key: format!("key-{app}"),
            deployment: deployment_id(app, 1),
            created: Timestamp(1),
        })
    };
    test.store.commit(vec![accepted("shop"), accepted("blog")]).await.unwrap();

    test.store.commit(vec![Change::ForgetApp("shop".into())]).await.unwrap();

    let sql = test.sql();
    let tables = [
        "apps",
        "deployments",
        "instances",
        "revisions",
        "job_runs",
        "databases",
        "built_images",
        "alert_destinations",
        "idempotency",
    ];
    for table in tables {
        let left: u64 = sql.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(left, 1, "rows left in {table}");
    }
    assert!(test.store.app_state(&"blog".into()).await.unwrap().is_some());
    assert_eq!(test.store.networks().await.unwrap(), [2].into());
}

#[tokio::test]
async fn deployments_come_in_pages_newest_first() {
    let test = TestStore::with_app("shop").await;
    let all = (1..=12).map(|number| put(deployment("shop", number, Stage::Superseded))).collect();
    test.store.commit(all).await.unwrap();
    let (page, total) = test.store.deployments(&"shop".into(), 2, 3).await.unwrap();
    assert_eq!(page.iter().map(|it| it.number).collect::<Vec<_>>(), [10, 9, 8]);
    assert_eq!(total, 12);
    let (past_the_end, total) = test.store.deployments(&"shop".into(), u64::MAX, u64::MAX).await.unwrap();
    assert_eq!((past_the_end.len(), total), (0, 12));
}

#[tokio::test]
async fn the_states_of_apps_come_in_pages_by_name() {
    let test = TestStore::with_app("shop").await;
    test.store.commit(records_of("shop")).await.unwrap();
    test.store.commit(vec![Change::App(app("blog", 2)), Change::App(app("wiki", 3))]).await.unwrap();
    let (page, total) = test.store.app_states(1, 2).await.unwrap();
    assert_eq!(
        (page.iter().map(|it| it.app.name.as_str()).collect::<Vec<_>>(), total),
        (vec!["name-of-shop", "name-of-wiki"], 3)
    );
    let shop = test.store.app_state(&"shop".into()).await.unwrap().unwrap();
    assert!(!shop.instances.is_empty() && page[0].instances == shop.instances && page[1].instances.is_empty());
    let (past_the_end, total) = test.store.app_states(u64::MAX, u64::MAX).await.unwrap();
    assert_eq!((past_the_end.len(), total), (0, 3));
}

#[tokio::test]
async fn the_state_of_an_app_holds_its_running_active_and_newest_deployments() {
    let test = TestStore::new();
    let shop = crate::records::App { active: Some(deployment_id("shop", 2)), ..app("shop", 1) };
    let changes = vec![
        put(deployment("shop", 1, Stage::Superseded)),
        put(deployment("shop", 2, Stage::Active)),
        put(deployment("shop", 3, Stage::Failed)),
        put(deployment("shop", 4, Stage::Rolling)),
        put(deployment("shop", 5, Stage::Canceled)),
        put(deployment("shop", 6, Stage::Failed)),
        Change::JobRun(job_run("shop", 1, true)),
        Change::JobRun(job_run("shop", 3, false)),
        Change::JobRun(job_run("shop", 4, true)),
        // The app comes last, because the order within a commit does not matter.
        Change::App(shop),
    ];
    test.store.commit(changes).await.unwrap();
    let state = test.store.app_state(&"shop".into()).await.unwrap().unwrap();
    assert_eq!(state.deployments.iter().map(|it| it.number).collect::<Vec<_>>(), [6, 4, 2]);
    let runs: Vec<_> = state.job_runs.iter().map(|it| it.deployment.as_str()).collect();
    assert_eq!(runs, ["shop-deployment-3", "shop-deployment-4"], "uncollected ones, and those of shown deployments");
}

#[tokio::test]
async fn meta_values_are_stored_and_overwritten() {
    let test = TestStore::new();
    test.store.set_meta("epoch", "1").await.unwrap();
    test.store.set_meta("epoch", "2").await.unwrap();
    assert_eq!(test.reopened().store.get_meta("epoch").await.unwrap().as_deref(), Some("2"));
}

#[tokio::test]
async fn open_consoles_are_remembered_until_they_end() {
    let test = TestStore::new();
    for (mark, container) in [("m1", "web-0"), ("m2", "web-1"), ("m1", "web-0")] {
        test.store.remember_console(mark, container).await.unwrap();
    }
    test.store.set_meta("epoch", "1").await.unwrap();
    test.store.forget_console("m2").await.unwrap();
    test.store.forget_console("m3").await.unwrap();
    let test = test.reopened();
    let store = &test.store;
    assert_eq!(store.consoles().await.unwrap(), [("m1".to_owned(), "web-0".to_owned())]);
    assert_eq!(store.get_meta("epoch").await.unwrap().as_deref(), Some("1"));
}

#[tokio::test]
async fn an_idempotency_key_is_refused_again_for_a_day() {
    let test = TestStore::with_app("shop").await;
    let begin = Timestamp(1_000_000);
    let request = |number, created| {
        let id = deployment_id("shop", number);
        let entry = Idempotency { caller: "me".to_owned(), key: "k".to_owned(), deployment: id, created };
        vec![put(deployment("shop", number, Stage::Pending)), Change::Idempotency(entry)]
    };
    test.store.commit(request(1, begin)).await.unwrap();
    let nearly = Timestamp(begin.plus(IDEMPOTENCY_LIFETIME).0 - 1);
    assert_eq!(test.store.accepted("me", "k", nearly).await.unwrap(), Some(deployment_id("shop", 1)));
    assert_eq!(test.store.accepted("you", "k", nearly).await.unwrap(), None, "each caller has separate keys");

    let refused = test.store.commit(request(2, nearly)).await.unwrap_err();
    assert!(matches!(refused, StoreError::AcceptedBefore { deployment } if deployment == deployment_id("shop", 1)));
    assert!(
        test.store.deployment(&deployment_id("shop", 2)).await.unwrap().is_none(),
        "the other change was not saved either"
    );

    let next_day = begin.plus(IDEMPOTENCY_LIFETIME);
    assert_eq!(test.store.accepted("me", "k", next_day).await.unwrap(), None);
    test.store.commit(request(3, next_day)).await.unwrap();
    assert_eq!(test.store.accepted("me", "k", next_day).await.unwrap(), Some(deployment_id("shop", 3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_commits_are_all_saved() {
    let test = TestStore::with_app("shop").await;
    let one = |number| {
        let store = test.store.clone();
        tokio::spawn(async move {
            store.commit(vec![put(deployment("shop", number, Stage::Pending))]).await.unwrap();
            let read = store.deployment(&deployment_id("shop", number)).await.unwrap();
            assert!(read.is_some(), "a read sees a commit that has returned");
        })
    };
    let tasks: Vec<_> = (1..=60).map(one).collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(test.store.deployments(&"shop".into(), 0, 100).await.unwrap().1, 60);
}

#[tokio::test]
async fn deleted_apps_are_remembered() {
    let test = TestStore::with_app("shop").await;
    assert!(test.store.deleted_apps().await.unwrap().is_empty());
    test.store.commit(vec![Change::ForgetApp("shop".into())]).await.unwrap();
    let test = test.reopened();
    assert_eq!(test.store.deleted_apps().await.unwrap(), std::collections::BTreeSet::from(["shop".into()]));
}
