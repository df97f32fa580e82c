//! The engine or the ingress is unreachable for a while, in the middle of an operation.

use std::time::Duration;

use engine_fake::Verb;
use futures::FutureExt;
use futures::future::BoxFuture;
use ingress::protocol::Open;
use rollout::deployment::Stage;
use rollout::ids::{AppId, DeploymentId};
use tokio::time::{Instant, sleep};

use super::cluster::{TestCluster, caller, spec};
use super::simulation::simulate;
use crate::Control;
use crate::console::{ConsoleRequest, ConsoleTarget};
use crate::view::{DeployOptions, LogKind, LogRequest, UpdateOptions};

/// Calls during which the outage happens: of the new instance, of the routes, of the old instance.
const MOMENTS: [Verb; 5] = [Verb::Create, Verb::Start, Verb::SetRestartPolicy, Verb::Stop, Verb::Remove];

#[test]
fn a_restart_waits_while_the_engine_is_down_and_continues_afterwards() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        for verb in MOMENTS {
            let since = cluster.engine.calls().len();
            cluster.restart(&app).await;
            cluster.called(since, verb, "").await;
            cluster.engine.go_down();
            sleep(Duration::from_secs(90)).await;
            cluster.engine.come_back();
            cluster.settle(&app, Stage::Active).await;
            cluster.check_capacity(since);
        }
    });
}

#[test]
fn the_controller_changes_nothing_while_the_engine_does_not_answer() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let names = cluster.names(&app, "web").await;
        cluster.engine.go_down();
        sleep(Duration::from_secs(600)).await;
        assert_eq!(cluster.ingress.upstreams("web"), names.iter().cloned().collect::<Vec<_>>());
        cluster.engine.come_back();
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(cluster.names(&app, "web").await, names);
    });
}

#[test]
fn a_restart_succeeds_although_the_engine_restarts_meanwhile() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        for verb in MOMENTS {
            let since = cluster.engine.calls().len();
            let restart = cluster.restart(&app).await.id;
            cluster.called(since, verb, "").await;
            cluster.engine.restart_engine();
            cluster
                .until(async || match cluster.deployment(&restart).await.stage {
                    stage if stage.is_ended() => Ok(()),
                    stage => Err(format!("{stage:?}")),
                })
                .await;
            // An instance that dies before it is ready is a failed start, so the deployment rolls back completely.
            let stage = cluster.deployment(&restart).await.stage;
            assert!(matches!(stage, Stage::Active | Stage::Failed), "{stage:?}");
            cluster.end(&app, stage).await;
        }
    });
}

#[test]
fn containers_are_taken_over_unchanged_after_the_engine_restarted_without_a_controller() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let names = cluster.names(&app, "web").await;
        cluster.crash().await;
        cluster.engine.restart_engine();
        cluster.open().await;
        cluster.end(&app, Stage::Active).await;
        assert_eq!(cluster.names(&app, "web").await, names);
    });
}

#[test]
fn a_restart_waits_for_an_ingress_that_is_down() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let old = cluster.names(&app, "web").await;
        cluster.ingress.die();
        let since = cluster.engine.calls().len();
        cluster.restart(&app).await;
        sleep(Duration::from_secs(120)).await;
        let calls = cluster.engine.calls().split_off(since);
        let stopped = calls.iter().any(|it| it.verb == Verb::Stop && old.contains(&it.what));
        assert!(!stopped, "the ingress did not confirm that the old ones get no more requests");
        cluster.ingress.recover();
        cluster.settle(&app, Stage::Active).await;
        cluster.check_capacity(since);
    });
}

/// For example because another connection is in charge: the client sends a new hello after growing pauses, and the
/// restart continues.
#[test]
fn a_restart_waits_for_an_ingress_that_refuses_its_table() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let opened = cluster.ingress.opened();
        cluster.ingress.refuse(true);
        let since = cluster.engine.calls().len();
        cluster.restart(&app).await;
        sleep(Duration::from_secs(60)).await;
        let hellos = cluster.ingress.opened() - opened;
        assert!((5..60).contains(&hellos), "{hellos} in a minute");
        cluster.ingress.refuse(false);
        cluster.settle(&app, Stage::Active).await;
        cluster.check_capacity(since);
    });
}

#[test]
fn an_instance_is_stopped_only_when_its_last_request_has_ended() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let old = cluster.names(&app, "web").await.pop_first().unwrap();
        let open = |requests| cluster.ingress.set_open(&old, Open { requests, upgraded: 0 });
        open(1);
        let since = cluster.engine.calls().len();
        cluster.restart(&app).await;
        sleep(Duration::from_secs(30)).await;
        let stopped = || cluster.engine.calls()[since..].iter().any(|it| it.verb == Verb::Stop && it.what == old);
        assert!(!stopped(), "its request is still open");
        open(0);
        sleep(Duration::from_secs(1)).await;
        assert!(stopped());
        cluster.settle(&app, Stage::Active).await;
    });
}

#[test]
fn a_request_that_never_ends_delays_a_restart_by_at_most_the_drain_limit() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let old = cluster.names(&app, "web").await.pop_first().unwrap();
        cluster.ingress.set_open(&old, Open { requests: 1, upgraded: 0 });
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
    });
}

#[test]
fn a_job_whose_end_the_engine_does_not_report_gets_its_full_time_and_does_not_run_again() {
    simulate(async {
        let cluster = TestCluster::new().await;
        cluster.engine.hang(Verb::Wait, 1);
        cluster.engine.hang(Verb::Wait, 2);
        let app = cluster.create("1").await;
        cluster.settle(&app, Stage::Failed).await;
        assert_eq!(cluster.newest(&app).await.failure.unwrap().code, "PreDeployJobFailed");
        assert_eq!(cluster.starts_of("-migrate-"), 1);
    });
}

#[test]
fn the_exit_code_of_a_job_counts_even_if_the_engine_reports_it_after_the_time_limit() {
    simulate(async {
        let cluster = TestCluster::new().await;
        cluster.engine.hang(Verb::Wait, 1);
        let app = cluster.create("1").await;
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(cluster.starts_of("-migrate-"), 1);
    });
}

#[test]
fn a_container_that_cannot_be_stopped_is_left_behind_and_removed_later() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let wedged = cluster.names(&app, "web").await.pop_first().unwrap();
        cluster.engine.wedge(&wedged);
        let began = Instant::now();
        let restart = cluster.restart(&app).await.id;
        let ended = cluster.reach(&restart, Stage::Active).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(120 + 30 + 30), "its grace and 30 s, and what the others take: {took:?}");
        assert!(ended.record.notes.iter().any(|it| it.contains(&wedged)), "{:?}", ended.record.notes);
        assert!(cluster.names(&app, "web").await.contains(&wedged), "it is on record as long as it is there");

        let tries = || cluster.engine.calls().iter().filter(|it| it.verb == Verb::Stop && it.what == wedged).count();
        let before = tries();
        sleep(Duration::from_secs(3600)).await;
        let tried = tries() - before;
        assert!((10..40).contains(&tried), "at growing pauses: {tried}");

        let next = cluster.restart(&app).await.id;
        let began = Instant::now();
        cluster.reach(&next, Stage::Active).await;
        assert!(began.elapsed() < Duration::from_secs(60), "the next restart is not delayed");

        cluster.engine.free(&wedged);
        cluster.settle(&app, Stage::Active).await;
    });
}

/// Everything that a person waits for and that asks the engine.
fn questions<'a>(
    cluster: &'a TestCluster,
    app: &'a AppId,
    earlier: &'a DeploymentId,
    target: &'a ConsoleTarget,
) -> Vec<(&'static str, BoxFuture<'a, ()>)> {
    let controller = cluster.controller();
    let log = |kind, follow, tail| {
        let (app, component, deployment) = (app.clone(), Some("web".into()), None);
        controller.logs(LogRequest { app, component, deployment, kind, follow, tail }).map(drop).boxed()
    };
    let console = ConsoleRequest { app: app.clone(), component: "web".into(), instance: None, deployment: None };
    let rebuild = DeployOptions { force_build: true, ..DeployOptions::default() };
    vec![
        ("status", controller.status(app.as_str()).map(drop).boxed()),
        ("recent_status", controller.recent_status(app).map(drop).boxed()),
        ("instances", controller.instances(app).map(drop).boxed()),
        ("find_console", controller.find_console(console).map(drop).boxed()),
        ("open_console", controller.open_console(target.clone()).map(drop).boxed()),
        ("log", log(LogKind::Run, false, None)),
        ("followed log", log(LogKind::Run, true, None)),
        ("new lines", log(LogKind::Run, true, Some(0))),
        ("log of restarted processes", log(LogKind::RunRestarted, false, None)),
        ("preview_restart", controller.preview_restart(app, &[]).map(drop).boxed()),
        ("preview_deploy", controller.preview_deploy(app, rebuild).map(drop).boxed()),
        ("preview_rollback", controller.preview_rollback(app, earlier).map(drop).boxed()),
        ("preview_update", controller.preview_update(Some(app), spec("1"), UpdateOptions::default()).map(drop).boxed()),
        ("propose", controller.propose(Some(app), spec("1")).map(drop).boxed()),
        ("validate_rollback", controller.validate_rollback(app, earlier).map(drop).boxed()),
        ("health", controller.health(app).map(drop).boxed()),
        ("host", controller.host().map(drop).boxed()),
        ("unknown", controller.unknown().map(drop).boxed()),
        ("delete_unknown", controller.delete_unknown(app).map(drop).boxed()),
        ("job_invocations", controller.job_invocations(app).map(drop).boxed()),
        ("usage_history", controller.usage_history(app).map(drop).boxed()),
        ("database_connections", controller.database_connections(app).map(drop).boxed()),
        ("alerts", controller.alerts(app).map(drop).boxed()),
    ]
}

#[test]
fn no_question_waits_long_for_an_engine_that_hangs() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let earlier = cluster.newest(&app).await.id;
        cluster.update(&app, "2").await;
        cluster.settle(&app, Stage::Active).await;
        let console = ConsoleRequest { app: app.clone(), component: "web".into(), instance: None, deployment: None };
        let target = cluster.controller().find_console(console).await.unwrap();
        cluster.engine.freeze(true);
        // Paused time: a question takes as long as its deadlines, and no longer.
        let all = questions(&cluster, &app, &earlier, &target).into_iter().map(async |(name, question)| {
            let began = Instant::now();
            question.await;
            (name, began.elapsed())
        });
        for (name, took) in futures::future::join_all(all).await {
            assert!(took <= Duration::from_millis(5500), "{name} took {took:?} before the controller knew");
        }
        let controller = cluster.controller();
        cluster.until(async || controller.engine_problem().map(drop).ok_or_else(|| "no problem yet".to_owned())).await;
        for (name, question) in questions(&cluster, &app, &earlier, &target) {
            let began = Instant::now();
            question.await;
            assert!(
                began.elapsed() <= Duration::from_millis(500),
                "{name} took {:?} although it is known",
                began.elapsed()
            );
        }

        // Requests are accepted, and wait.
        let began = Instant::now();
        controller.restart(&app, &[], &caller()).await.unwrap();
        assert!(began.elapsed() <= Duration::from_millis(500), "{:?}", began.elapsed());
        cluster.engine.freeze(false);
        cluster.settle(&app, Stage::Active).await;
    });
}

#[test]
fn a_console_does_not_wait_long_for_a_container_that_starts_no_program() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let request = || ConsoleRequest { app: app.clone(), component: "web".into(), instance: None, deployment: None };
        let controller = cluster.controller();
        let target = controller.find_console(request()).await.unwrap();
        cluster.engine.hang(Verb::HasShell, 1);
        cluster.engine.hang(Verb::OpenShell, 1);
        let began = Instant::now();
        let refused = controller.find_console(request()).await.unwrap_err().to_string();
        assert!(refused.contains("web-0: the engine did not answer within 10 s"), "{refused}");
        let refused = controller.open_console(target).await.err().expect("it hangs").to_string();
        assert!(refused.contains("web-0: the engine did not answer within 10 s"), "{refused}");
        assert!(began.elapsed() <= Duration::from_secs(21), "{:?}", began.elapsed());
    });
}
