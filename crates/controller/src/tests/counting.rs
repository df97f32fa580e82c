//! The request counts in a deployment's record, when the controller or the ingress dies during the rollout.

use rollout::deployment::Stage;
use rollout::ids::{AppId, DeploymentId};
use store::records::Served;

use super::cluster::TestCluster;
use super::simulation::simulate;

#[derive(Clone, Copy, PartialEq)]
enum Dies {
    Neither,
    Controller,
    Ingress,
    Both,
}

/// Sends five requests while the first instance starts, and three later; a process may die in between.
async fn served_when(dies: Dies, read_before: bool) -> Served {
    let (mut cluster, app) = TestCluster::with_app().await;
    cluster.update(&app, "slow").await;
    let id = cluster.newest(&app).await.id;
    until_counted_for(&cluster, &id, 0).await;
    // The record begins before the first table that counts for it is in force.
    until_window(&cluster, &app, &id).await;
    cluster.ingress.serve(5);
    if read_before {
        // The controller reads the counts with the table of the first new instance.
        until_counted_for(&cluster, &id, 5).await;
    }
    if matches!(dies, Dies::Controller | Dies::Both) {
        cluster.crash().await;
    }
    if matches!(dies, Dies::Ingress | Dies::Both) {
        cluster.ingress.die();
        cluster.ingress.recover();
    }
    if matches!(dies, Dies::Controller | Dies::Both) {
        cluster.open().await;
    }
    until_window(&cluster, &app, &id).await;
    cluster.ingress.serve(3);
    cluster.settle(&app, Stage::Active).await;
    cluster.deployment(&id).await.record.served.unwrap()
}

/// Waits until the record of a deployment in progress counts this many requests.
async fn until_counted_for(cluster: &TestCluster, id: &DeploymentId, requests: u64) {
    cluster
        .until(async || {
            let deployment = cluster.deployment(id).await;
            let kept: u64 = deployment.record.counted.iter().map(|it| it.served.requests).sum();
            let rolls = deployment.stage == Stage::Rolling && !deployment.record.counted.is_empty();
            (rolls && kept == requests).then_some(()).ok_or_else(|| format!("{:?}", deployment.record))
        })
        .await;
}

/// Waits until a running ingress has a table that counts for this deployment.
async fn until_window(cluster: &TestCluster, app: &AppId, id: &DeploymentId) {
    cluster
        .until(async || {
            let counted = cluster.controller().0.shared.ingress.count(app.as_str(), id.as_str()).await;
            let newest = cluster.ingress.taken().last().map(|it| it.table.apps[0].window.clone());
            let counts = counted.is_some() && newest.as_deref() == Some(id.as_str());
            counts.then_some(()).ok_or_else(|| format!("{newest:?}"))
        })
        .await;
}

#[test]
fn a_deployments_record_contains_the_requests_counted_during_its_rollout() {
    simulate(async {
        let served = served_when(Dies::Neither, true).await;
        assert_eq!((served.requests, served.slowest_us, served.at_least), (8, 5000, false));
    });
}

#[test]
fn a_deployments_record_omits_requests_from_before_its_rollout() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        cluster.update(&app, "slow").await;
        let id = cluster.newest(&app).await.id;
        cluster.reach(&id, Stage::Preparing).await;
        cluster.ingress.serve(7);
        until_counted_for(&cluster, &id, 0).await;
        until_window(&cluster, &app, &id).await;
        cluster.ingress.serve(5);
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(cluster.deployment(&id).await.record.served.unwrap().requests, 5);
    });
}

#[test]
fn a_controller_that_dies_loses_no_counts() {
    simulate(async {
        for read_before in [true, false] {
            let served = served_when(Dies::Controller, read_before).await;
            assert_eq!((served.requests, served.at_least), (8, false));
        }
    });
}

#[test]
fn if_the_ingress_dies_the_record_reports_the_last_counts_as_lower_bounds() {
    simulate(async {
        for dies in [Dies::Ingress, Dies::Both] {
            let served = served_when(dies, true).await;
            assert_eq!((served.requests, served.slowest_us, served.at_least), (8, 5000, true));
            let served = served_when(dies, false).await;
            assert_eq!((served.requests, served.at_least), (3, true), "a lower bound, and called one");
        }
    });
}

#[test]
fn a_deployments_record_contains_requests_open_before_its_rollout_and_requests_it_cut() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        cluster.update(&app, "slow").await;
        let id = cluster.newest(&app).await.id;
        until_window(&cluster, &app, &id).await;
        cluster.ingress.count(|counters| {
            counters.open_at_start += 2;
            counters.failed += 2;
            counters.requests_cut += 1;
            counters.uploads_cut += 1;
            counters.upgraded += 1;
            counters.upgraded_cut += 1;
        });
        // A controller that dies meanwhile loses no counts.
        cluster.crash().await;
        cluster.open().await;
        cluster.settle(&app, Stage::Active).await;
        let served = cluster.deployment(&id).await.record.served.unwrap();
        assert_eq!((served.open_at_start, served.failed, served.upgraded), (2, 2, 1));
        assert_eq!((served.requests_cut, served.uploads_cut, served.upgraded_cut), (1, 1, 1));
    });
}

#[test]
fn counters_missing_from_an_older_versions_record_are_read_as_zero() {
    let old = r#"{"requests":8,"failed":1,"app_errors":0,"client_gone":0,"upgraded_cut":1,"slowest_us":5}"#;
    let served: Served = serde_json::from_str(old).unwrap();
    assert_eq!((served.requests, served.upgraded_cut), (8, 1));
    assert_eq!((served.open_at_start, served.requests_cut, served.uploads_cut, served.upgraded), (0, 0, 0, 0));
}
