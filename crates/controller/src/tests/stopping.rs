//! Every container gets its stop signal and the grace period that it was created with, whatever stops it.

use std::time::Duration;

use engine::{ContainerState, Engine};
use engine_fake::{Behaviour, Verb};
use rollout::deployment::Stage;
use rollout::ids::AppId;
use store::records::Change;
use tokio::time::Instant;

use super::cluster::{TestCluster, caller, spec};
use super::simulation::simulate;
use crate::Control;
use crate::view::UpdateOptions;

/// Longer than every default.
const GRACE: u64 = 300;

/// A cluster whose worker and service ignore the stop signal: each stop takes the whole grace period.
async fn with_deaf_app() -> (TestCluster, AppId) {
    let cluster = TestCluster::new().await;
    let deaf = Behaviour { ready_after: Duration::from_millis(300), ignores_stop: true, ..Behaviour::default() };
    for image in ["test/web:1", "test/web:2", "test/mill:1"] {
        cluster.engine.add_image(image, deaf.clone());
    }
    let mut wanted = spec("1");
    wanted.services[0].termination = Some(Default::default());
    wanted.services[0].termination.as_mut().unwrap().grace_period_seconds = Some(GRACE as u32);
    wanted.workers[0].termination = Some(Default::default());
    wanted.workers[0].termination.as_mut().unwrap().grace_period_seconds = Some(GRACE as u32);
    let app = cluster.controller().create_app(wanted, &caller()).await.unwrap().id;
    cluster.settle(&app, Stage::Active).await;
    (cluster, app)
}

/// Seconds from the stop of a container whose name contains `name` to its removal.
async fn given(cluster: &TestCluster, since: usize, name: &str) -> u64 {
    cluster.called(since, Verb::Stop, name).await;
    let began = Instant::now();
    cluster.called(since, Verb::Remove, name).await;
    began.elapsed().as_secs()
}

#[test]
fn a_component_removed_from_the_spec_keeps_its_grace_period() {
    simulate(async {
        let (cluster, app) = with_deaf_app().await;
        let since = cluster.engine.calls().len();
        let mut without = spec("1");
        without.workers.clear();
        cluster.controller().update_app(&app, without, UpdateOptions::default(), &caller()).await.unwrap();
        let given = given(&cluster, since, "-mill-").await;
        assert!((GRACE..GRACE + 10).contains(&given), "{given} s");
    });
}

#[test]
fn a_newer_spec_does_not_change_the_grace_period_of_running_instances() {
    simulate(async {
        let (cluster, app) = with_deaf_app().await;
        let since = cluster.engine.calls().len();
        cluster.update(&app, "2").await;
        let given = given(&cluster, since, "-web-").await;
        assert!((GRACE..GRACE + 10).contains(&given), "{given} s, and the newer spec says 120");
    });
}

#[test]
fn down_and_the_engine_use_the_grace_period_of_each_container() {
    simulate(async {
        let (cluster, app) = with_deaf_app().await;
        let web = cluster.names(&app, "web").await;
        for name in web.union(&cluster.names(&app, "mill").await) {
            assert_eq!(cluster.engine.spec(name).unwrap().stop_grace.as_secs(), GRACE, "{name}");
        }
        let began = Instant::now();
        cluster.controller().down(true).await.unwrap();
        let took = began.elapsed().as_secs();
        assert!((GRACE..GRACE + 60).contains(&took), "{took} s");
        assert!(cluster.engine.containers().iter().all(|it| it.state != ContainerState::Running));
    });
}

#[test]
fn a_job_keeps_its_grace_period_when_its_deployment_is_canceled() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let deaf = Behaviour { ignores_stop: true, ..Behaviour::default() };
        cluster.engine.add_image("test/migrate:1", deaf);
        let mut wanted = spec("1");
        wanted.jobs[0].termination = Some(Default::default());
        wanted.jobs[0].termination.as_mut().unwrap().grace_period_seconds = Some(60);
        let app = cluster.controller().create_app(wanted, &caller()).await.unwrap().id;
        let job = cluster.called(0, Verb::Start, "-migrate-").await.what;
        assert_eq!(cluster.engine.spec(&job).unwrap().stop_grace.as_secs(), 60);
        let since = cluster.engine.calls().len();
        let deployment = cluster.newest(&app).await.id;
        cluster.controller().cancel(&app, &deployment).await.unwrap();
        let given = given(&cluster, since, "-migrate-").await;
        assert!((60..70).contains(&given), "{given} s");
    });
}

#[test]
fn an_instance_that_never_became_ready_gets_a_stop_signal_before_it_is_removed() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let since = cluster.engine.calls().len();
        cluster.update(&app, "stuck").await;
        let name = cluster.called(since, Verb::Start, "-web-").await.what;
        cluster.end(&app, Stage::Failed).await;
        let calls = cluster.engine.calls().split_off(since);
        let at = |verb| calls.iter().position(|it| it.verb == verb && it.what == name);
        assert!(at(Verb::Stop).unwrap() < at(Verb::Remove).unwrap());
    });
}

/// Rows of an older version have no stop times; the instance's target has them.
#[test]
fn an_instance_of_an_older_version_gets_the_grace_period_of_its_target() {
    simulate(async {
        let (mut cluster, app) = with_deaf_app().await;
        cluster.crash().await;
        cluster
            .tamper(&app, |state| {
                let older = state.instances.into_iter().map(|it| store::records::Instance { stop_times: None, ..it });
                older.map(Change::Instance).collect()
            })
            .await;
        cluster.open().await;
        cluster.end(&app, Stage::Active).await;
        let since = cluster.engine.calls().len();
        cluster.restart(&app).await;
        let given = given(&cluster, since, "-web-").await;
        assert!((GRACE..GRACE + 10).contains(&given), "{given} s");
    });
}

#[test]
fn a_container_paused_by_hand_is_unpaused_and_not_killed() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let name = cluster.names(&app, "mill").await.pop_first().unwrap();
        let since = cluster.engine.calls().len();
        cluster.engine.pause_by_hand(&name);
        cluster.called(since, Verb::Start, &name).await;
        cluster.end(&app, Stage::Active).await;
        assert!(cluster.engine.calls()[since..].iter().all(|it| it.verb != Verb::Stop));
        assert_eq!(cluster.engine.inspect(&name).await.unwrap().unwrap().container.state, ContainerState::Running);
        assert_eq!(cluster.starts_of(&name), 1, "the same process");
    });
}
