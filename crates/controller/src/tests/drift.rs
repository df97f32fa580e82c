//! People and crashes change the installation's objects: the controller repairs them, and removes what is not on
//! record.

use std::time::Duration;

use engine::{Engine, RestartPolicy};
use engine_fake::Verb;
use rollout::deployment::Stage;
use rollout::ids::AppId;
use tokio::time::sleep;

use super::cluster::TestCluster;
use super::simulation::simulate;
use crate::Control;

async fn one_web(cluster: &TestCluster, app: &AppId) -> String {
    cluster.names(app, "web").await.pop_first().unwrap()
}

#[test]
fn an_instance_that_a_person_removed_is_replaced() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        for component in ["web", "mill"] {
            let gone = cluster.names(&app, component).await.pop_first().unwrap();
            cluster.engine.remove_by_hand(&gone);
            cluster
                .until(async || match cluster.names(&app, component).await.contains(&gone) {
                    true => Err(format!("{gone} is still on record")),
                    false => Ok(()),
                })
                .await;
            cluster.end(&app, Stage::Active).await;
        }
    });
}

#[test]
fn an_instance_stopped_or_disconnected_by_hand_is_restored() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let name = one_web(&cluster, &app).await;
        let since = cluster.engine.calls().len();
        cluster.engine.set_restart_policy(&name, RestartPolicy::No).await.unwrap();
        cluster.engine.stop(&name, Duration::ZERO).await.unwrap();
        cluster.called(since, Verb::Start, &name).await;
        cluster.end(&app, Stage::Active).await;
        cluster.engine.disconnect_by_hand(&name);
        cluster.called(since, Verb::Connect, &name).await;
        cluster.end(&app, Stage::Active).await;
        assert!(cluster.names(&app, "web").await.contains(&name), "it was brought back, not replaced");
    });
}

#[test]
fn the_engine_restarts_a_crashed_instance() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let names = cluster.names(&app, "web").await;
        for name in &names {
            cluster.engine.exit(name, 1);
        }
        cluster.end(&app, Stage::Active).await;
        assert_eq!(cluster.names(&app, "web").await, names);
        assert!(names.iter().all(|name| cluster.starts_of(name) == 2), "each was started once more, by the engine");
    });
}

#[test]
fn a_database_container_removed_by_hand_is_created_again_on_its_volume() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let database = cluster.state(&app).await.databases.remove(0);
        let name = database.container.to_string();
        let since = cluster.engine.calls().len();
        cluster.engine.remove_by_hand(&name);
        cluster.called(since, Verb::Start, &name).await;
        cluster.end(&app, Stage::Active).await;
        assert_eq!(cluster.engine.spec(&name).unwrap().volume.unwrap().volume, database.volume);
        let details = cluster.until(async || Ok(cluster.engine.inspect(&name).await.unwrap().unwrap())).await;
        assert_eq!(details.restart_policy, RestartPolicy::Always);
    });
}

#[test]
fn a_container_with_the_installations_labels_but_without_a_record_is_removed() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let mut spec = cluster.engine.spec(&one_web(&cluster, &app).await).unwrap();
        spec.name.push_str("-left-over");
        spec.network = None;
        cluster.engine.create(&spec).await.unwrap();
        cluster.engine.start(&spec.name).await.unwrap();
        cluster.end(&app, Stage::Active).await;
        assert!(cluster.engine.spec(&spec.name).is_none());
    });
}

#[test]
fn containers_and_networks_of_a_deleted_app_are_removed_and_those_of_an_app_without_a_record_stay() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let mut spec = cluster.engine.spec(&one_web(&cluster, &app).await).unwrap();
        spec.name.push_str("-of-another");
        spec.network = None;
        spec.identity.app = "00000000-0000-0000-0000-000000000000".into();
        cluster.engine.create(&spec).await.unwrap();
        let mut network = cluster.engine.network_specs().remove(0);
        network.name.push_str("-of-another");
        network.subnet = "10.255.0.0/24".into();
        network.identity.app = spec.identity.app.clone();
        cluster.engine.ensure_network(&network).await.unwrap();
        sleep(Duration::from_secs(120)).await;
        assert!(cluster.engine.containers().iter().any(|it| it.name == spec.name), "the database may be older");
        assert_eq!(cluster.engine.network_specs().len(), 3, "that of each app, and that of public host names");
        cluster.store().remember_deleted(&spec.identity.app.as_str().into()).await.unwrap();
        cluster.end(&app, Stage::Active).await;
    });
}

/// The engine restarts a crashed container at once: no list shows the crash, but the record counts it.
#[test]
fn exits_after_which_the_engine_restarts_the_process_are_counted_with_their_cause() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let name = one_web(&cluster, &app).await;
        let restarts = async |cluster: &TestCluster| {
            let rows = cluster.state(&app).await.instances;
            rows.into_iter().find(|it| it.name.as_str() == name).unwrap().restarts
        };
        let reaches = async |cluster: &TestCluster, count: u64| {
            cluster
                .until(async || match restarts(cluster).await {
                    it if it.count == count => Ok(it.last.unwrap()),
                    it => Err(format!("{it:?}")),
                })
                .await
        };
        cluster.engine.exit(&name, 3);
        assert_eq!(reaches(&cluster, 1).await.code, Some(3));
        cluster.end(&app, Stage::Active).await;
        cluster.engine.run_out_of_memory(&name);
        assert!(reaches(&cluster, 2).await.out_of_memory);
        cluster.end(&app, Stage::Active).await;
        // The crash happens while no controller runs.
        cluster.crash().await;
        cluster.engine.exit(&name, 4);
        cluster.open().await;
        assert!(!reaches(&cluster, 3).await.out_of_memory);
        cluster.end(&app, Stage::Active).await;
        let shown = cluster.controller().instances(&app).await.unwrap();
        let shown = shown.into_iter().find(|it| it.instance_name.as_str() == name).unwrap();
        assert_eq!(shown.restarts, 3);
    });
}

#[test]
fn the_error_of_a_new_instance_that_ran_out_of_memory_names_that_cause() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let since = cluster.engine.calls().len();
        cluster.update(&app, "stuck").await;
        let started = cluster.called(since, Verb::Start, "-web-").await;
        cluster.engine.run_out_of_memory(&started.what);
        cluster.settle(&app, Stage::Failed).await;
        let said = cluster.newest(&app).await.failure.unwrap().message;
        assert!(said.starts_with("web.0 ran out of memory before it was ready: it may take 512 MiB"), "{said}");
    });
}

/// When the host sleeps or a person sets its clock, no wait ends early and none hangs.
#[test]
fn after_a_clock_jump_no_wait_ends_early_and_none_hangs() {
    use crate::clock::tests::SET;
    const HOURS: i64 = 8 * 3_600_000;
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        for by in [HOURS, -2 * HOURS] {
            let since = cluster.engine.calls().len();
            cluster.update(&app, "slow").await;
            cluster.called(since, Verb::Start, "-web-").await;
            SET.set(SET.get() + by);
            cluster.settle(&app, Stage::Active).await;
            let shown = cluster.newest(&app).await.updated;
            assert!(crate::clock::now().since(shown) < Duration::from_secs(60), "what people read is right");

            let since = cluster.engine.calls().len();
            cluster.update(&app, "stuck").await;
            cluster.called(since, Verb::Start, "-web-").await;
            SET.set(SET.get() + by);
            let begun = tokio::time::Instant::now();
            cluster.settle(&app, Stage::Failed).await;
            assert!(begun.elapsed() > Duration::from_secs(25), "its time was not over");
            assert!(begun.elapsed() < Duration::from_secs(120), "its time was over");
            cluster.update(&app, "1").await;
            cluster.settle(&app, Stage::Active).await;
        }
        SET.set(0);
    });
}

/// The engine reports an exit before its list shows it. The controller lists again soon instead of waiting for the full
/// period.
#[test]
fn an_exit_that_the_list_shows_late_is_noticed_before_the_next_full_list() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        cluster.engine.list_late(Duration::from_millis(700));
        let since = cluster.engine.calls().len();
        cluster.update(&app, "stuck").await;
        let started = cluster.called(since, Verb::Start, "-web-").await;
        let ended = tokio::time::Instant::now();
        cluster.engine.exit(&started.what, 2);
        cluster.until(async || cluster.newest(&app).await.failure.map(drop).ok_or("no failure yet".to_owned())).await;
        assert!(ended.elapsed() < Duration::from_secs(3), "noticed after {:?}", ended.elapsed());
    });
}
