//! Requests that meet: merged, absorbed, repeated, canceled, and deleted under way.

use std::time::Duration;

use engine_fake::Verb;
use rollout::deployment::Stage;
use store::records::{Change, Deployment};
use tokio::time::sleep;

use super::house::{DEPLOYMENT_LIMIT, House, caller, spec};
use super::simulation::simulate;
use crate::view::{Caller, DeployOptions};

const REBUILD: DeployOptions = DeployOptions { force_build: true, clear_cache: false };

#[test]
fn a_restart_begins_at_once_while_another_deployment_only_has_its_images() {
    simulate(async {
        let (house, app) = House::with_app().await;
        house.engine.answer_late(Verb::Pull, 1, Duration::from_secs(120));
        let built = house.controller().deploy(&app, REBUILD, &caller()).await.unwrap().deployment;
        house.reach(&built.id, Stage::Building).await;
        let restarted = house.restart(&app).await.deployment;
        house.reach(&restarted.id, Stage::Active).await;
        assert_eq!(house.deployment(&built.id).await.stage, Stage::Building, "it waits for its image still");
        house.reach(&built.id, Stage::Active).await;
        assert_eq!(house.deployment(&restarted.id).await.stage, Stage::Superseded);
    });
}

#[test]
fn what_waits_is_absorbed_by_what_comes_after_it_and_both_are_done() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let rolling = house.restart(&app).await.deployment;
        house.reach(&rolling.id, Stage::Rolling).await;
        let (web, mill) = (house.names(&app, "web").await, house.names(&app, "mill").await);
        let restart = async |name: &str| {
            house.controller().restart(&app, &[name.to_owned()], &caller()).await.unwrap().deployment.id
        };
        let (first, second) = (restart("web").await, restart("mill").await);
        let absorbed = house.reach(&first, Stage::Superseded).await;
        assert_eq!(absorbed.superseded_by.as_ref(), Some(&second));
        let merged = house.deployment(&second).await;
        for name in ["web", "mill"] {
            assert!(merged.request.restart.names(&name.into()), "the restart of {name} is not forgotten");
        }
        house.settle(&app, Stage::Active).await;
        assert_eq!(house.newest(&app).await.id, second);
        assert!(house.names(&app, "web").await.is_disjoint(&web));
        assert!(house.names(&app, "mill").await.is_disjoint(&mill));
    });
}

/// Its task dies between the end and the news of it.
#[test]
fn a_deployment_that_has_ended_is_never_shown_to_wait() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let id = house.restart(&app).await.deployment.id;
        let shown = async || house.controller().deployment(&app, &id).await.unwrap().waiting;
        house.until(async || (!shown().await.is_empty()).then_some(()).ok_or("it waits for nothing".into())).await;
        house.controller().0.apps.read().await[&app].end();
        let ended = Deployment { stage: Stage::Failed, ..house.deployment(&id).await };
        house.store().commit(vec![Change::Deployment(Box::new(ended))]).await.unwrap();
        assert_eq!(shown().await, [""; 0]);
    });
}

#[test]
fn an_equal_restart_within_5_s_is_the_same_one_and_a_later_one_is_not() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let first = house.restart(&app).await.deployment;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(house.restart(&app).await.deployment.id, first.id);
        let other = Caller { token_hash: "somebody else".into(), ..caller() };
        let theirs = house.controller().restart(&app, &[], &other).await.unwrap().deployment;
        assert_ne!(theirs.id, first.id, "another caller means another restart");
        house.settle(&app, Stage::Active).await;
        sleep(Duration::from_secs(5)).await;
        assert_ne!(house.restart(&app).await.deployment.id, first.id);
        house.settle(&app, Stage::Active).await;
    });
}

#[test]
fn a_request_with_a_known_key_is_the_first_one_even_after_a_crash() {
    simulate(async {
        let (mut house, app) = House::with_app().await;
        let keyed = Caller { idempotency_key: Some("release-7".into()), ..caller() };
        let first = house.controller().deploy(&app, REBUILD, &keyed).await.unwrap().deployment;
        house.settle(&app, Stage::Active).await;
        sleep(Duration::from_secs(60)).await;
        house.crash().await;
        house.open().await;
        let again = house.controller().deploy(&app, REBUILD, &keyed).await.unwrap().deployment;
        assert_eq!(again.id, first.id);
        house.settle(&app, Stage::Active).await;
        assert_eq!(house.newest(&app).await.id, first.id, "nothing new was begun");
    });
}

#[test]
fn a_roll_canceled_half_way_is_rolled_back_and_ends_canceled() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let before = house.state(&app).await;
        let old: Vec<_> = before.instances.iter().map(|it| it.revision.clone()).collect();
        let since = house.engine.calls().len();
        house.update(&app, "slow").await;
        let rolling = house.newest(&app).await.id;
        // One is replaced, the next is on its way.
        house
            .until(async || {
                let starts = house.engine.calls().split_off(since);
                let starts = starts.iter().filter(|it| it.verb == Verb::Start && it.what.contains("-web-")).count();
                if starts == 2 { Ok(()) } else { Err(format!("{starts} started")) }
            })
            .await;
        house.controller().cancel(&app, &rolling).await.unwrap();
        house.settle(&app, Stage::Canceled).await;
        house.check_capacity(since);
        let after = house.state(&app).await;
        assert_eq!(after.app.active, before.app.active);
        assert!(after.instances.iter().all(|it| old.contains(&it.revision)), "the old revision serves");
    });
}

#[test]
fn what_waits_can_be_canceled_without_touching_what_rolls() {
    simulate(async {
        let (house, app) = House::with_app().await;
        house.update(&app, "slow").await;
        let rolling = house.newest(&app).await.id;
        house.reach(&rolling, Stage::Rolling).await;
        let waiting = house.restart(&app).await.deployment.id;
        house.controller().cancel(&app, &waiting).await.unwrap();
        house.reach(&waiting, Stage::Canceled).await;
        house.reach(&rolling, Stage::Active).await;
        house.settle(&app, Stage::Canceled).await;
    });
}

#[test]
fn an_app_deleted_while_it_rolls_leaves_nothing() {
    simulate(async {
        let house = House::new().await;
        for verb in [Verb::Create, Verb::Start, Verb::SetRestartPolicy, Verb::Stop, Verb::Remove] {
            let app = house.create("1").await;
            house.settle(&app, Stage::Active).await;
            let since = house.engine.calls().len();
            house.update(&app, "slow").await;
            house.called(since, verb, "-web-").await;
            house.controller().delete_app(&app).await.unwrap();
            house.gone(&app).await;
        }
    });
}

#[test]
fn an_app_deleted_while_it_is_first_deployed_leaves_nothing() {
    simulate(async {
        let house = House::new().await;
        for part in ["-db", "-migrate-", "-web-", "-mill-"] {
            let since = house.engine.calls().len();
            let app = house.create("1").await;
            house.called(since, Verb::Start, part).await;
            house.controller().delete_app(&app).await.unwrap();
            house.gone(&app).await;
        }
    });
}

#[test]
fn a_deployment_that_takes_longer_than_it_may_is_ended() {
    simulate(async {
        let (house, app) = House::with_app().await;
        house.engine.answer_late(Verb::Pull, 1, Duration::from_secs(365 * 24 * 3600));
        let stuck = house.controller().deploy(&app, REBUILD, &caller()).await.unwrap().deployment.id;
        sleep(DEPLOYMENT_LIMIT).await;
        let failed = house.reach(&stuck, Stage::Failed).await;
        assert_eq!(failed.failure.unwrap().code, "DeadlineExceeded");
        house.settle(&app, Stage::Failed).await;
    });
}

#[test]
fn of_two_apps_of_one_name_asked_for_at_once_there_is_one() {
    simulate(async {
        let house = House::new().await;
        let create = async || house.controller().create_app(spec("1"), &caller()).await;
        let (one, other) = tokio::join!(create(), create());
        let (made, refused) = if one.is_ok() { (one, other) } else { (other, one) };
        let why = refused.unwrap_err().to_string();
        assert!(why.contains("shop exists already"), "{why}");
        let app = made.unwrap().app.id;
        assert_eq!(house.store().apps().await.unwrap().len(), 1);
        house.settle(&app, Stage::Active).await;
        assert!(house.ingress.taken().last().unwrap().table.apps.iter().all(|it| it.app == app.as_str()));
    });
}
