//! The controller dies between any two calls, and between a table and its acknowledgement; the next controller
//! completes the work.

use std::time::Duration;

use engine_fake::{Call, FakeEngine, Verb};
use rollout::deployment::Stage;
use rollout::ids::AppId;
use rollout::time::Timestamp;
use store::records::{Change, Deployment, Instance};
use tokio::time::{Instant, sleep};

use super::cluster::{TestCluster, caller};
use super::simulation::simulate;
use super::timeline;
use crate::Control;
use crate::view::RollbackOptions;

/// What the controller is doing when it dies.
#[derive(Clone, Copy, PartialEq)]
enum Story {
    Create,
    Restart,
    /// Updates to a revision that never listens, so that the deployment rolls back.
    Fail,
    /// Returns to the deployment before the one that serves.
    AppRollback,
}

/// What happens to the last call before the controller dies.
type LastCall = fn(&FakeEngine, Verb, usize);

/// The call has no effect.
fn without_effect(engine: &FakeEngine, verb: Verb, nth: usize) {
    engine.hang(verb, nth);
}

/// The call has its effect, but the controller dies before the answer.
fn without_answer(engine: &FakeEngine, verb: Verb, nth: usize) {
    engine.answer_late(verb, nth, Duration::from_secs(365 * 24 * 3600));
}

#[test]
fn a_first_deployment_survives_a_crash_before_any_call() {
    simulate(crash_at_each_call(Story::Create, without_effect));
}

#[test]
fn a_first_deployment_survives_a_crash_after_any_call() {
    simulate(crash_at_each_call(Story::Create, without_answer));
}

#[test]
fn a_restart_survives_a_crash_before_any_call() {
    simulate(crash_at_each_call(Story::Restart, without_effect));
}

#[test]
fn a_restart_survives_a_crash_after_any_call() {
    simulate(crash_at_each_call(Story::Restart, without_answer));
}

#[test]
fn a_rollback_survives_a_crash_before_any_call() {
    simulate(crash_at_each_call(Story::Fail, without_effect));
}

#[test]
fn a_rollback_survives_a_crash_after_any_call() {
    simulate(crash_at_each_call(Story::Fail, without_answer));
}

#[test]
fn a_rollback_of_an_app_survives_a_crash_before_any_call() {
    simulate(crash_at_each_call(Story::AppRollback, without_effect));
}

#[test]
fn a_rollback_of_an_app_survives_a_crash_after_any_call() {
    simulate(crash_at_each_call(Story::AppRollback, without_answer));
}

#[test]
fn a_restart_survives_a_crash_between_any_table_and_its_acknowledgement() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let before = cluster.ingress.taken().len();
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
        let tables = cluster.ingress.taken().len() - before;
        assert!(tables > 1, "a restart changes the routes");
        for nth in 1..=tables {
            let since = cluster.engine.calls().len();
            cluster.ingress.fall_silent_at(nth);
            cluster.restart(&app).await;
            let is_silent_or_ended = async || {
                let ended = cluster.newest(&app).await.stage.is_ended();
                (cluster.ingress.is_silent() || ended).then_some(()).ok_or("no such table".into())
            };
            cluster.until(is_silent_or_ended).await;
            if !cluster.ingress.is_silent() {
                // Two changes of the routes may share a table, so this restart had fewer of them.
                assert!(nth > 1, "a restart changes the routes");
                cluster.ingress.speak();
                continue;
            }
            cluster.crash().await;
            cluster.ingress.speak();
            cluster.open().await;
            cluster.settle(&app, Stage::Active).await;
            cluster.check_capacity(since);
            timeline::check_restart(&cluster, &app).await;
        }
    });
}

#[test]
fn the_next_controller_completes_an_accepted_deletion() {
    simulate(async {
        let mut cluster = TestCluster::new().await;
        for verb in [Verb::Stop, Verb::Remove, Verb::RemoveNetwork] {
            let app = cluster.create("1").await;
            cluster.settle(&app, Stage::Active).await;
            let since = cluster.engine.calls().len();
            without_answer(&cluster.engine, verb, 1);
            cluster.controller().delete_app(&app).await.unwrap();
            cluster.called(since, verb, "").await;
            cluster.crash().await;
            cluster.open().await;
            cluster.gone(&app).await;
        }
    });
}

#[test]
fn a_wait_that_began_while_the_clock_was_ahead_still_ends() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let since = cluster.engine.calls().len();
        cluster.update(&app, "stuck").await;
        cluster.called(since, Verb::Start, "-web-").await;
        let id = cluster.newest(&app).await.id;
        cluster.crash().await;
        let ahead = |at: Timestamp| at.plus(Duration::from_secs(3600));
        cluster
            .tamper(&app, |state| {
                let instances = state.instances.into_iter();
                let instances = instances.map(|it| Change::Instance(Instance { since: ahead(it.since), ..it }));
                let deployments = state.deployments.into_iter().filter(|it| !it.stage.is_ended()).map(|it| {
                    let stage_since = ahead(it.stage_since);
                    Change::Deployment(Box::new(Deployment { stage_since, ..it }))
                });
                instances.chain(deployments).collect()
            })
            .await;
        cluster.open().await;
        let opened = Instant::now();
        cluster.settle(&app, Stage::Failed).await;
        assert_eq!(cluster.newest(&app).await.id, id);
        assert!(opened.elapsed() < Duration::from_secs(300), "{:?}", opened.elapsed());
    });
}

async fn crash_at_each_call(story: Story, last: LastCall) {
    let mut cluster = TestCluster::new().await;
    let undisturbed = run_story(&mut cluster, story, None, last).await;
    let changing: Vec<_> = undisturbed.iter().filter(|it| it.verb.changes()).collect();
    assert!(changing.len() > 5, "{changing:?}");
    for (at, call) in changing.iter().enumerate() {
        let nth = changing[..=at].iter().filter(|it| it.verb == call.verb).count();
        eprintln!("{:?} call {nth}: {call}", call.verb);
        run_story(&mut cluster, story, Some((call.verb, nth)), last).await;
    }
}

/// Runs the story once, from an empty cluster to an empty cluster, with a crash at this call. Returns the calls that
/// the story made until the app was deleted.
async fn run_story(cluster: &mut TestCluster, story: Story, crash: Option<(Verb, usize)>, last: LastCall) -> Vec<Call> {
    let mut since = cluster.engine.calls().len();
    let mut app = None;
    if story != Story::Create {
        let up = cluster.create("1").await;
        cluster.settle(&up, Stage::Active).await;
        if story == Story::AppRollback {
            cluster.update(&up, "2").await;
            cluster.settle(&up, Stage::Active).await;
        }
        app = Some(up);
        since = cluster.engine.calls().len();
    }
    if let Some((verb, nth)) = crash {
        last(&cluster.engine, verb, nth);
    }
    let app = match (story, app) {
        (Story::Restart, Some(app)) => {
            cluster.restart(&app).await;
            app
        }
        (Story::Fail, Some(app)) => {
            cluster.update(&app, "stuck").await;
            app
        }
        (Story::AppRollback, Some(app)) => {
            let (deployments, _) = cluster.store().deployments(&app, 0, 2).await.unwrap();
            let (to, options) = (&deployments[1].id, RollbackOptions::default());
            cluster.controller().roll_back(&app, to, options, &caller()).await.unwrap();
            app
        }
        _ => cluster.create("1").await,
    };
    if let Some((verb, nth)) = crash {
        until_called(cluster, since, verb, nth).await;
        cluster.crash().await;
        cluster.open().await;
    }
    let stage = if story == Story::Fail { Stage::Failed } else { Stage::Active };
    cluster.settle(&app, stage).await;
    check(cluster, story, &app, since).await;
    let calls = cluster.engine.calls().split_off(since);
    cluster.controller().delete_app(&app).await.unwrap();
    cluster.gone(&app).await;
    calls
}

async fn check(cluster: &TestCluster, story: Story, app: &AppId, since: usize) {
    if story != Story::Create {
        cluster.check_capacity(since);
    }
    match story {
        Story::Restart => timeline::check_restart(cluster, app).await,
        _ => timeline::check(cluster, app).await,
    }
    if story == Story::AppRollback {
        let state = cluster.state(app).await;
        assert_eq!((&state.app.pinned, &state.app.active), (&Some(cluster.newest(app).await.id), &state.app.pinned));
        assert_eq!(state.app.spec["services"][0]["image"]["tag"].as_str(), Some("1"));
    }
    for run in cluster.state(app).await.job_runs {
        assert!(cluster.starts_of(run.name.as_str()) <= 1, "{run:?} ran twice");
    }
}

/// Polls so often that little else happens after the call.
async fn until_called(cluster: &TestCluster, since: usize, verb: Verb, nth: usize) {
    for _ in 0..100_000 {
        let calls = cluster.engine.calls();
        if calls[since..].iter().filter(|it| it.verb == verb).count() >= nth {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("{verb:?} was not called {nth} times");
}
