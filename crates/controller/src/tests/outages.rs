//! The engine or the ingress is unreachable for a while, in the middle of an operation.

use std::time::Duration;

use engine_fake::Verb;
use ingress::protocol::Open;
use rollout::deployment::Stage;
use tokio::time::{Instant, sleep};

use super::cluster::TestCluster;
use super::simulation::simulate;

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
