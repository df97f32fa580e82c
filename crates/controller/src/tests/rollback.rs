//! A revision does not become ready: the old instances keep serving, and the deployment says why it failed.

use std::collections::BTreeSet;
use std::time::Duration;

use app_spec::{AppSpec, JobKind, Source};
use engine::Engine;
use engine::{LogStream, ProcessCount, Usage};
use engine_fake::{Behaviour, Verb};
use rollout::deployment::Stage;
use rollout::ids::{AppId, ComponentName, DeploymentId, RevisionId};
use rollout::limits;
use store::records::Deployment;
use tokio::time::Instant;

use super::cluster::{TestCluster, caller, spec};
use super::simulation::simulate;
use crate::Control;
use crate::view::{DeployOptions, UpdateOptions};

#[test]
fn a_revision_that_never_listens_fails_and_the_old_instances_keep_serving() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let old = cluster.names(&app, "web").await;
        let active = cluster.state(&app).await.app.active;
        let since = cluster.engine.calls().len();
        cluster.update(&app, "stuck").await;
        let started = cluster.called(since, Verb::Start, "-web-").await;
        cluster.engine.say(&started.what, LogStream::Err, "no such table: users");
        cluster.settle(&app, Stage::Failed).await;
        cluster.check_capacity(since);
        assert_eq!(cluster.names(&app, "web").await, old);
        assert_eq!(cluster.ingress.upstreams("web"), old.into_iter().collect::<Vec<_>>());
        let failed = cluster.newest(&app).await;
        assert!(cluster.controller().deployment(&app, &failed.id).await.unwrap().rolled_back);
        let failure = failed.failure.unwrap();
        assert_eq!(failure.code, "DeployContainerHealthChecksFailed");
        assert_eq!(failure.component.unwrap().as_str(), "web");
        assert_eq!(failed.log_tail, ["no such table: users"]);
        let said = failure.message;
        assert!(said.starts_with("web.0 did not pass its health check within 30 s: 10."), "{said}");
        assert!(said.contains(":8080 refused the connection; usual causes: the app listens on 127.0.0.1"), "{said}");
        assert!(said.contains("; web.0, web.1 still serve"), "{said}");
        assert_eq!(cluster.state(&app).await.app.active, active, "the deployment before it is still the active one");
    });
}

#[test]
fn a_failed_health_check_names_the_process_limit_that_the_instance_reached() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let since = cluster.engine.calls().len();
        cluster.update(&app, "stuck").await;
        let started = cluster.called(since, Verb::Start, "-web-").await;
        let processes = Some(ProcessCount { running: 1024, limit: 1024 });
        cluster.engine.set_usage(&started.what, Usage { processes, ..Usage::default() });
        cluster.settle(&app, Stage::Failed).await;
        let message = cluster.newest(&app).await.failure.unwrap().message;
        assert!(message.contains("; it has 1024 processes and threads, and may have no more"), "{message}");
    });
}

#[test]
fn after_a_failed_deployment_a_good_one_rolls_out() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let old = cluster.names(&app, "web").await;
        cluster.update(&app, "stuck").await;
        cluster.settle(&app, Stage::Failed).await;
        let since = cluster.engine.calls().len();
        cluster.update(&app, "2").await;
        cluster.settle(&app, Stage::Active).await;
        cluster.check_capacity(since);
        assert!(cluster.names(&app, "web").await.is_disjoint(&old));
    });
}

#[test]
fn a_first_deployment_that_fails_leaves_no_instance_behind() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let app = cluster.create("stuck").await;
        cluster.settle(&app, Stage::Failed).await;
        assert!(cluster.state(&app).await.instances.is_empty());
        let said = cluster.newest(&app).await.failure.unwrap().message;
        assert!(said.ends_with("; no instance of web serves yet"), "{said}");
        cluster.update(&app, "1").await;
        cluster.settle(&app, Stage::Active).await;
    });
}

#[test]
fn a_restart_after_a_failed_deployment_copies_what_serves() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let revisions = async || -> Vec<_> {
            let rows = cluster.state(&app).await.instances;
            let mut all: Vec<_> = rows.into_iter().map(|it| (it.component, it.slot, it.revision)).collect();
            all.sort();
            all
        };
        let before = revisions().await;
        cluster.update(&app, "stuck").await;
        cluster.settle(&app, Stage::Failed).await;
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(revisions().await, before);
    });
}

/// `web` is renamed to `site`, which already serves when a POST_DEPLOY job fails: the new rules stay until `web` serves
/// again.
#[test]
fn a_renamed_service_is_rolled_back_without_an_interruption() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let fails = Behaviour { exits_with: Some(3), ready_after: Duration::from_secs(1), ..Behaviour::default() };
        cluster.engine.add_image("test/tell:1", fails);
        let mut renamed = spec("1");
        renamed.services[0].common.name = "site".into();
        let mut tell = renamed.jobs[0].clone();
        tell.common.name = "tell".into();
        tell.kind = Some(JobKind::PostDeploy);
        let Source::Image(image) = &mut tell.common.source else { panic!("it is an image") };
        image.repository = "tell".into();
        renamed.jobs.push(tell);

        let since = cluster.engine.calls().len();
        cluster.controller().update_app(&app, renamed, UpdateOptions::default(), &caller()).await.unwrap();
        cluster.settle(&app, Stage::Failed).await;
        assert_eq!(cluster.newest(&app).await.failure.unwrap().code, "PostDeployJobFailed");
        let tables: Vec<_> = cluster.ingress.taken().into_iter().filter(|it| it.calls >= since).collect();
        assert!(tables.iter().any(|it| it.listening.contains_key("site")), "the new rules were in force: {tables:#?}");
        for taken in tables {
            let listening: usize = taken.listening.values().sum();
            assert!(listening >= 2, "{:#?}", taken.table);
        }
    });
}

/// A restart's new instance does not become ready: the controller removes it and keeps its last lines, and the old
/// instances keep serving.
#[test]
fn a_restart_whose_new_instance_never_listens_leaves_the_old_ones_serving() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let (old, active) = (cluster.names(&app, "web").await, cluster.state(&app).await.app.active);
        cluster.engine.add_image("test/web:1", Behaviour { never_ready: true, ..Behaviour::default() });
        let since = cluster.engine.calls().len();
        let restart = cluster.restart(&app).await.id;
        let started = cluster.called(since, Verb::Start, "-web-").await;
        cluster.engine.say(&started.what, LogStream::Err, "the licence has run out");
        cluster.settle(&app, Stage::Failed).await;
        cluster.check_capacity(since);
        let view = cluster.controller().deployment(&app, &restart).await.unwrap();
        assert!(!view.rolled_back, "a restart copies what serves");
        let failed = cluster.deployment(&restart).await;
        assert_eq!(failed.log_tail, ["the licence has run out"]);
        assert_eq!(failed.failure.unwrap().code, "DeployContainerHealthChecksFailed");
        assert_eq!((cluster.names(&app, "web").await, cluster.state(&app).await.app.active), (old, active));
        // Nothing blocks the next restart.
        cluster.engine.add_image("test/web:1", Behaviour::default());
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
    });
}

/// A full disk blocks every request, and what runs keeps running.
#[test]
fn on_a_full_disk_requests_fail_and_running_instances_keep_serving() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let old = cluster.names(&app, "web").await;
        for asked in ["restart", "rebuild"] {
            cluster.engine.fill_disk(true);
            if asked == "restart" {
                cluster.restart(&app).await;
            } else {
                cluster.update(&app, "fetched-anew").await;
            }
            cluster.settle(&app, Stage::Failed).await;
            let why = cluster.newest(&app).await.failure.unwrap().message;
            assert!(why.contains("disk is full") && why.contains("free space"), "{asked}: {why}");
            assert_eq!(cluster.names(&app, "web").await, old, "{asked}");
            cluster.engine.fill_disk(false);
        }
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
        assert!(cluster.names(&app, "web").await.is_disjoint(&old));
    });
}

#[test]
fn a_missing_image_fails_the_deployment_before_anything_is_replaced() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let old = cluster.names(&app, "web").await;
        cluster.update(&app, "missing").await;
        cluster.settle(&app, Stage::Failed).await;
        assert_eq!(cluster.newest(&app).await.failure.unwrap().code, "BuildFailed");
        assert_eq!(cluster.names(&app, "web").await, old);
    });
}

/// The old version can no longer start, for example because a key has expired or a migration changed the data. `web`
/// was updated and serves, then the worker of the same deployment fails. Returns the deployment, whose rollback cannot
/// succeed.
async fn rolls_back_in_vain(cluster: &TestCluster, app: &AppId) -> DeploymentId {
    cluster.engine.add_image("test/web:1", Behaviour { exits_with: Some(3), ..Behaviour::default() });
    let exits = Behaviour { exits_with: Some(2), ready_after: Duration::from_millis(100), ..Behaviour::default() };
    cluster.engine.add_image("test/mill:typo", exits);
    cluster.controller().update_app(app, spec_with("2", "typo"), UpdateOptions::default(), &caller()).await.unwrap();
    let failing = cluster.newest(app).await.id;
    cluster.reach(&failing, Stage::RollingBack).await;
    failing
}

/// The test spec, with these tags for the service's and the worker's image.
fn spec_with(web: &str, mill: &str) -> AppSpec {
    let mut spec = spec(web);
    let Source::Image(image) = &mut spec.workers[0].common.source else { panic!("it is an image") };
    image.tag = Some(mill.into());
    spec
}

async fn revision_of(cluster: &TestCluster, app: &AppId, component: &str) -> BTreeSet<RevisionId> {
    let rows = cluster.state(app).await.instances;
    rows.into_iter().filter(|it| it.component.as_str() == component).map(|it| it.revision).collect()
}

fn notes_of(deployment: &Deployment) -> String {
    deployment.record.notes.join("\n")
}

#[test]
fn a_fix_ends_a_rollback_that_cannot_succeed() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let since = cluster.engine.calls().len();
        let failing = rolls_back_in_vain(&cluster, &app).await;
        let asked = Instant::now();
        cluster.controller().update_app(&app, spec_with("2", "1"), UpdateOptions::default(), &caller()).await.unwrap();
        cluster.settle(&app, Stage::Active).await;
        println!("the fix served {:?} after it was asked for", asked.elapsed());
        let view = cluster.controller().deployment(&app, &failing).await.unwrap();
        assert!(view.rollout.rollback_abandoned && !view.rolled_back);
        let failed = cluster.deployment(&failing).await;
        assert_eq!(failed.stage, Stage::Failed);
        assert_eq!(failed.failure.as_ref().unwrap().component.as_ref().unwrap().as_str(), "mill");
        let notes = notes_of(&failed);
        assert!(notes.contains("the rollback was abandoned: web."), "{notes}");
        assert!(notes.contains("ended with exit code 3"), "{notes}");
        assert!(notes.contains("web keeps the version of this deployment"), "{notes}");
        cluster.check_capacity(since);
        assert_eq!(cluster.state(&app).await.app.kept, None, "what succeeded is in force");
    });
}

#[test]
fn a_restart_ends_a_rollback_that_cannot_succeed_and_copies_what_serves() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let (old, mill) = (revision_of(&cluster, &app, "web").await, revision_of(&cluster, &app, "mill").await);
        let failing = rolls_back_in_vain(&cluster, &app).await;
        let served = cluster.names(&app, "web").await;
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(cluster.deployment(&failing).await.stage, Stage::Failed);
        let new = revision_of(&cluster, &app, "web").await;
        assert!(new.len() == 1 && new.is_disjoint(&old), "the version that serves");
        assert_eq!(revision_of(&cluster, &app, "mill").await, mill, "the worker's version before");
        assert!(cluster.names(&app, "web").await.is_disjoint(&served), "all were replaced");
        let restarted = cluster.newest(&app).await;
        assert_eq!(restarted.images[&ComponentName::from("web")].reference, "test/web:2");
    });
}

#[test]
fn an_update_after_an_abandoned_rollback_keeps_the_image_that_serves() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let failing = rolls_back_in_vain(&cluster, &app).await;
        cluster.controller().cancel(&app, &failing).await.unwrap();
        cluster.settle(&app, Stage::Canceled).await;
        let web = ComponentName::from("web");
        let served = cluster.deployment(&failing).await.images[&web].clone();
        cluster.engine.add_image("test/other:1", Behaviour::default());
        cluster.engine.tag("test/other:1", "test/web:2").await.unwrap();
        cluster.controller().update_app(&app, spec_with("2", "1"), UpdateOptions::default(), &caller()).await.unwrap();
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(cluster.newest(&app).await.images[&web].id, served.id);
    });
}

#[test]
fn a_cancel_ends_a_rollback_that_cannot_succeed_and_what_serves_keeps_serving() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let old = revision_of(&cluster, &app, "web").await;
        let since = cluster.engine.calls().len();
        let failing = rolls_back_in_vain(&cluster, &app).await;
        cluster.controller().cancel(&app, &failing).await.unwrap();
        cluster.settle(&app, Stage::Canceled).await;
        let serving = cluster.names(&app, "web").await;
        cluster.check_capacity(since);
        // The cancellation is on record, so it survives a crash.
        cluster.crash().await;
        cluster.open().await;
        cluster.settle(&app, Stage::Canceled).await;
        assert_eq!(cluster.names(&app, "web").await, serving);
        assert!(revision_of(&cluster, &app, "web").await.is_disjoint(&old));
        // A plain deployment of the newest spec repairs the app.
        cluster.engine.add_image("test/mill:typo", Behaviour::default());
        cluster.controller().deploy(&app, DeployOptions::default(), &caller()).await.unwrap();
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(cluster.names(&app, "web").await, serving, "it is what that deployment wants, too");
    });
}

#[test]
fn a_rollback_that_cannot_succeed_ends_at_its_deadline_even_if_no_request_waits() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let failing = rolls_back_in_vain(&cluster, &app).await;
        let (before, failed) = (cluster.state(&app).await, cluster.deployment(&failing).await);
        let limit = limits::rollback(before.targets_in_force(), &failed.targets.unwrap());
        cluster.settle(&app, Stage::Failed).await;
        let ended = cluster.deployment(&failing).await;
        let took = ended.stage_since.since(failed.stage_since);
        println!("the rollback was abandoned after {took:?}, its limit is {limit:?}");
        assert!(notes_of(&ended).contains("web keeps the version of this deployment"), "{}", notes_of(&ended));
        // Images and history of what serves are kept, whatever follows.
        let kept = cluster.state(&app).await.app.kept.unwrap();
        assert_eq!(kept.deployments, BTreeSet::from([failing]));
        assert_eq!(kept.rules, None);
    });
}

#[test]
fn the_rules_of_a_renamed_service_stay_if_the_previous_service_cannot_be_restored() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let fails = Behaviour { exits_with: Some(3), ready_after: Duration::from_secs(1), ..Behaviour::default() };
        cluster.engine.add_image("test/tell:1", fails);
        cluster.engine.add_image("test/web:1", Behaviour { exits_with: Some(3), ..Behaviour::default() });
        let mut renamed = spec("2");
        renamed.services[0].common.name = "site".into();
        let mut tell = renamed.jobs[0].clone();
        tell.common.name = "tell".into();
        tell.kind = Some(JobKind::PostDeploy);
        let Source::Image(image) = &mut tell.common.source else { panic!("it is an image") };
        image.repository = "tell".into();
        renamed.jobs.push(tell);
        cluster.controller().update_app(&app, renamed, UpdateOptions::default(), &caller()).await.unwrap();
        let failing = cluster.newest(&app).await.id;
        cluster.reach(&failing, Stage::RollingBack).await;
        let since = cluster.engine.calls().len();
        cluster.reach(&failing, Stage::Failed).await;
        assert_eq!(cluster.state(&app).await.app.kept.unwrap().rules, Some(failing));
        // The restart replaces what the active deployment's spec names; everything else that serves continues.
        cluster.restart(&app).await;
        let restart = cluster.newest(&app).await.id;
        cluster
            .until(async || match cluster.deployment(&restart).await {
                it if it.stage.is_ended() => Ok(()),
                it => Err(format!("{:?}", it.stage)),
            })
            .await;
        for taken in cluster.ingress.taken().into_iter().filter(|it| it.calls >= since) {
            assert_eq!(taken.listening.get("site").copied().unwrap_or_default().min(2), 2, "{:#?}", taken.table);
        }
    });
}

#[test]
fn a_restart_whose_image_is_missing_fails_before_any_change_and_names_the_next_command() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let (web, mill) = (cluster.names(&app, "web").await, cluster.names(&app, "mill").await);
        cluster.engine.remove_image_by_hand("test/web:1");
        let refused = cluster.controller().preview_restart(&app, &[]).await.unwrap_err().to_string();
        assert!(refused.contains("web: its image") && refused.contains("create-deployment shop"), "{refused}");
        let since = cluster.engine.calls().len();
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Failed).await;
        let failure = cluster.newest(&app).await.failure.unwrap();
        assert_eq!((failure.code.as_str(), failure.component.unwrap().as_str()), ("ImageNotFound", "web"));
        assert!(failure.message.contains("boatyard apps create-deployment shop"), "{}", failure.message);
        let changing = cluster.engine.calls().split_off(since).into_iter().filter(|it| it.verb.changes());
        assert_eq!(changing.map(|it| it.to_string()).collect::<Vec<_>>(), Vec::<String>::new());
        // The worker's image still exists.
        cluster.controller().restart(&app, &["mill".into()], &caller()).await.unwrap();
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(cluster.names(&app, "web").await, web);
        assert!(cluster.names(&app, "mill").await.is_disjoint(&mill));
    });
}
