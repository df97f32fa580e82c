//! The controller dies between any two calls, and between a table and its acknowledgement; the next one ends what it began.

use std::time::Duration;

use engine_fake::{Call, FakeEngine, Verb};
use rollout::deployment::Stage;
use rollout::ids::AppId;
use rollout::time::Timestamp;
use store::records::{Change, Deployment, Instance};
use tokio::time::{Instant, sleep};

use super::house::House;
use super::simulation::simulate;

/// What the controller is about when it dies.
#[derive(Clone, Copy, PartialEq)]
enum Story {
    Create,
    Restart,
    /// To a revision that never listens, so that it is rolled back.
    Fail,
}

/// How the last call of a controller's life goes.
type LastCall = fn(&FakeEngine, Verb, usize);

/// It has no effect.
fn unheard(engine: &FakeEngine, verb: Verb, nth: usize) {
    engine.hang(verb, nth);
}

/// It has its effect, and nobody lives to hear of it.
fn unanswered(engine: &FakeEngine, verb: Verb, nth: usize) {
    engine.answer_late(verb, nth, Duration::from_secs(365 * 24 * 3600));
}

#[test]
fn a_first_deployment_survives_a_crash_before_any_call() {
    simulate(crash_at_each_call(Story::Create, unheard));
}

#[test]
fn a_first_deployment_survives_a_crash_after_any_call() {
    simulate(crash_at_each_call(Story::Create, unanswered));
}

#[test]
fn a_restart_survives_a_crash_before_any_call() {
    simulate(crash_at_each_call(Story::Restart, unheard));
}

#[test]
fn a_restart_survives_a_crash_after_any_call() {
    simulate(crash_at_each_call(Story::Restart, unanswered));
}

#[test]
fn a_rollback_survives_a_crash_before_any_call() {
    simulate(crash_at_each_call(Story::Fail, unheard));
}

#[test]
fn a_rollback_survives_a_crash_after_any_call() {
    simulate(crash_at_each_call(Story::Fail, unanswered));
}

#[test]
fn a_restart_survives_a_crash_between_any_table_and_its_acknowledgement() {
    simulate(async {
        let (mut house, app) = House::with_app().await;
        let before = house.ingress.taken().len();
        house.restart(&app).await;
        house.settle(&app, Stage::Active).await;
        let tables = house.ingress.taken().len() - before;
        assert!(tables > 1, "a restart changes the routes");
        for nth in 1..=tables {
            let since = house.engine.calls().len();
            house.ingress.fall_silent_at(nth);
            house.restart(&app).await;
            house.until(async || house.ingress.is_silent().then_some(()).ok_or("no such table".into())).await;
            house.crash().await;
            house.ingress.speak();
            house.open().await;
            house.settle(&app, Stage::Active).await;
            house.check_capacity(since);
        }
    });
}

#[test]
fn a_deletion_once_promised_is_carried_out_by_the_next_controller() {
    simulate(async {
        let mut house = House::new().await;
        for verb in [Verb::Stop, Verb::Remove, Verb::RemoveNetwork] {
            let app = house.create("1").await;
            house.settle(&app, Stage::Active).await;
            let since = house.engine.calls().len();
            unanswered(&house.engine, verb, 1);
            house.controller().delete_app(&app).await.unwrap();
            house.called(since, verb, "").await;
            house.crash().await;
            house.open().await;
            house.gone(&app).await;
        }
    });
}

#[test]
fn a_wait_that_was_begun_while_the_clock_was_ahead_ends_all_the_same() {
    simulate(async {
        let (mut house, app) = House::with_app().await;
        let since = house.engine.calls().len();
        house.update(&app, "stuck").await;
        house.called(since, Verb::Start, "-web-").await;
        let id = house.newest(&app).await.id;
        house.crash().await;
        let ahead = |at: Timestamp| at.plus(Duration::from_secs(3600));
        house
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
        house.open().await;
        let opened = Instant::now();
        house.settle(&app, Stage::Failed).await;
        assert_eq!(house.newest(&app).await.id, id);
        assert!(opened.elapsed() < Duration::from_secs(300), "{:?}", opened.elapsed());
    });
}

async fn crash_at_each_call(story: Story, last: LastCall) {
    let mut house = House::new().await;
    let undisturbed = tell(&mut house, story, None, last).await;
    let changing: Vec<_> = undisturbed.iter().filter(|it| it.verb.changes()).collect();
    assert!(changing.len() > 5, "{changing:?}");
    for (at, call) in changing.iter().enumerate() {
        let nth = changing[..=at].iter().filter(|it| it.verb == call.verb).count();
        eprintln!("{:?} call {nth}: {call}", call.verb);
        tell(&mut house, story, Some((call.verb, nth)), last).await;
    }
}

/// Tells the story once, from nothing to nothing, with a crash at this call. Returns the calls of an undisturbed one.
async fn tell(house: &mut House, story: Story, crash: Option<(Verb, usize)>, last: LastCall) -> Vec<Call> {
    let mut since = house.engine.calls().len();
    let mut app = None;
    if story != Story::Create {
        let up = house.create("1").await;
        house.settle(&up, Stage::Active).await;
        app = Some(up);
        since = house.engine.calls().len();
    }
    if let Some((verb, nth)) = crash {
        last(&house.engine, verb, nth);
    }
    let app = match (story, app) {
        (Story::Restart, Some(app)) => {
            house.restart(&app).await;
            app
        }
        (Story::Fail, Some(app)) => {
            house.update(&app, "stuck").await;
            app
        }
        _ => house.create("1").await,
    };
    if let Some((verb, nth)) = crash {
        until_called(house, since, verb, nth).await;
        house.crash().await;
        house.open().await;
    }
    let stage = if story == Story::Fail { Stage::Failed } else { Stage::Active };
    house.settle(&app, stage).await;
    check(house, story, &app, since).await;
    let calls = house.engine.calls().split_off(since);
    house.controller().delete_app(&app).await.unwrap();
    house.gone(&app).await;
    calls
}

async fn check(house: &House, story: Story, app: &AppId, since: usize) {
    if story != Story::Create {
        house.check_capacity(since);
    }
    for run in house.state(app).await.job_runs {
        assert!(house.starts_of(run.name.as_str()) <= 1, "{run:?} ran twice");
    }
}

/// Looks so often that little else happens after the call.
async fn until_called(house: &House, since: usize, verb: Verb, nth: usize) {
    for _ in 0..100_000 {
        let calls = house.engine.calls();
        if calls[since..].iter().filter(|it| it.verb == verb).count() >= nth {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("{verb:?} was not called {nth} times");
}
