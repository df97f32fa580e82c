//! Each call to the engine fails once, with or without its effect: the end state is the same.

use engine_fake::{Call, FakeEngine, Verb};
use rollout::deployment::Stage;
use rollout::ids::AppId;

use super::cluster::TestCluster;
use super::simulation::simulate;
use crate::Control;

/// The operation during which a call fails.
#[derive(Clone, Copy)]
enum Story {
    Create,
    Restart,
    Update,
    Delete,
}

/// How a call fails.
type Fault = fn(&FakeEngine, Verb, usize);

/// The first calls of a verb cover every use of it; later calls repeat them.
const CALLS_OF_A_VERB: usize = 3;

#[test]
fn a_first_deployment_succeeds_whichever_call_fails() {
    simulate(each_call_once(Story::Create, FakeEngine::fail));
}

#[test]
fn a_first_deployment_succeeds_whichever_reply_is_lost() {
    simulate(each_call_once(Story::Create, FakeEngine::fail_after_effect));
}

#[test]
fn a_restart_succeeds_whichever_call_fails() {
    simulate(each_call_once(Story::Restart, FakeEngine::fail));
}

#[test]
fn a_restart_succeeds_whichever_reply_is_lost() {
    simulate(each_call_once(Story::Restart, FakeEngine::fail_after_effect));
}

#[test]
fn an_update_succeeds_whichever_call_fails() {
    simulate(each_call_once(Story::Update, FakeEngine::fail));
}

#[test]
fn an_update_succeeds_whichever_reply_is_lost() {
    simulate(each_call_once(Story::Update, FakeEngine::fail_after_effect));
}

#[test]
fn a_deletion_leaves_nothing_whichever_call_fails() {
    simulate(each_call_once(Story::Delete, FakeEngine::fail));
}

#[test]
fn a_deletion_leaves_nothing_whichever_reply_is_lost() {
    simulate(each_call_once(Story::Delete, FakeEngine::fail_after_effect));
}

async fn each_call_once(story: Story, fault: Fault) {
    let cluster = TestCluster::new().await;
    let undisturbed = run_story(&cluster, story, || {}).await;
    for (verb, count) in counted(&undisturbed) {
        for nth in 1..=count.min(CALLS_OF_A_VERB) {
            eprintln!("{verb:?} call {nth}");
            run_story(&cluster, story, || fault(&cluster.engine, verb, nth)).await;
        }
    }
}

/// Runs the story once, from an empty cluster to an empty cluster. Returns the calls made while a fault could occur.
async fn run_story(cluster: &TestCluster, story: Story, go_wrong: impl FnOnce()) -> Vec<Call> {
    let since;
    let app = if let Story::Create = story {
        since = cluster.engine.calls().len();
        go_wrong();
        cluster.create("1").await
    } else {
        let app = cluster.create("1").await;
        cluster.settle(&app, Stage::Active).await;
        since = cluster.engine.calls().len();
        go_wrong();
        app
    };
    match story {
        Story::Create | Story::Delete => {}
        Story::Restart => drop(cluster.restart(&app).await),
        Story::Update => cluster.update(&app, "2").await,
    }
    if let Story::Delete = story {
        cluster.controller().delete_app(&app).await.unwrap();
        cluster.gone(&app).await;
        return cluster.engine.calls().split_off(since);
    }
    cluster.settle(&app, Stage::Active).await;
    let calls = cluster.engine.calls().split_off(since);
    if !matches!(story, Story::Create) {
        cluster.check_capacity(since);
    }
    check_jobs(cluster, &app, story).await;
    cluster.controller().delete_app(&app).await.unwrap();
    cluster.gone(&app).await;
    calls
}

/// Checks that a deployment runs its job once, and a restart runs none.
async fn check_jobs(cluster: &TestCluster, app: &AppId, story: Story) {
    let runs = cluster.state(app).await.job_runs;
    let deployments = if let Story::Update = story { 2 } else { 1 };
    let starts: Vec<_> = runs.iter().map(|it| cluster.starts_of(it.name.as_str())).collect();
    assert!(starts.len() <= deployments && starts.iter().all(|it| *it == 1), "{starts:?} {runs:#?}");
}

/// Verbs in the order of their first call, with the number of calls.
fn counted(calls: &[Call]) -> Vec<(Verb, usize)> {
    let mut counted: Vec<(Verb, usize)> = Vec::new();
    for call in calls.iter().filter(|it| it.verb != Verb::Info) {
        match counted.iter_mut().find(|(verb, _)| *verb == call.verb) {
            Some((_, count)) => *count += 1,
            None => counted.push((call.verb, 1)),
        }
    }
    counted
}
