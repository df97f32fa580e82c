//! Requests that meet in the queue: merged, absorbed, repeated, canceled, or deleted in progress.

use std::time::Duration;

use engine_fake::Verb;
use rollout::deployment::Stage;
use rollout::progress::LeafKey;
use store::records::{Change, Deployment};
use tokio::time::sleep;

use super::cluster::{DEPLOYMENT_LIMIT, TestCluster, caller, spec};
use super::simulation::simulate;
use crate::view::{Caller, DeployOptions, SpecVersion, UpdateOptions};
use crate::{Control, ControlError};

const REBUILD: DeployOptions = DeployOptions { force_build: true, clear_cache: false };

#[test]
fn a_deployment_knows_whether_it_carries_out_a_new_spec() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        assert!(!cluster.newest(&app).await.updates_spec, "the app was created");
        cluster.update(&app, "slow").await;
        let rolling = cluster.newest(&app).await;
        assert!(rolling.updates_spec);
        cluster.reach(&rolling.id, Stage::Rolling).await;
        assert!(!cluster.restart(&app).await.updates_spec);
        cluster.update(&app, "2").await;
        assert!(cluster.restart(&app).await.updates_spec, "the waiting update is merged into it");
        cluster.settle(&app, Stage::Active).await;
        let view = cluster.controller().deploy(&app, DeployOptions::default(), &caller()).await.unwrap();
        assert!(!view.updates_spec);
    });
}

#[test]
fn an_update_of_a_spec_that_was_replaced_meanwhile_is_refused() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let read = SpecVersion::of(&cluster.state(&app).await.app.spec);
        let update = async |tag: &str, caller: &Caller| {
            let options = UpdateOptions { replaces: Some(read), ..UpdateOptions::default() };
            cluster.controller().update_app(&app, spec(tag), options, caller).await
        };
        let (keyed, other) = (Caller { idempotency_key: Some("first".into()), ..caller() }, caller());
        let (first, second) = futures::join!(update("2", &other), update("slow", &other));
        assert_ne!(first.is_ok(), second.is_ok(), "one of the two is accepted");
        let (accepted, late) = if first.is_ok() { ("2", "slow") } else { ("slow", "2") };
        let refused = update(late, &other).await.unwrap_err().to_string();
        assert!(refused.contains("Save again to compare") && refused.contains("boatyard spec get shop"), "{refused}");
        let tag = cluster.newest(&app).await.spec["services"][0]["image"]["tag"].clone();
        assert_eq!(tag, accepted, "the accepted update stays");
        for repeated in 0..2 {
            assert!(update(accepted, &keyed).await.is_ok(), "the spec is the same already: {repeated}");
        }
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(cluster.newest(&app).await.number, 2);
    });
}

#[test]
fn a_restart_begins_at_once_while_another_deployment_only_builds() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        cluster.engine.answer_late(Verb::Pull, 1, Duration::from_secs(120));
        let built = cluster.controller().deploy(&app, REBUILD, &caller()).await.unwrap();
        cluster.reach(&built.id, Stage::Building).await;
        let restarted = cluster.restart(&app).await;
        cluster.reach(&restarted.id, Stage::Active).await;
        assert_eq!(cluster.deployment(&built.id).await.stage, Stage::Building, "it still waits for its image");
        cluster.reach(&built.id, Stage::Active).await;
        assert_eq!(cluster.deployment(&restarted.id).await.stage, Stage::Superseded);
    });
}

#[test]
fn a_new_request_absorbs_the_pending_one_and_does_what_both_ask_for() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let rolling = cluster.restart(&app).await;
        cluster.reach(&rolling.id, Stage::Rolling).await;
        let (web, mill) = (cluster.names(&app, "web").await, cluster.names(&app, "mill").await);
        let restart =
            async |name: &str| cluster.controller().restart(&app, &[name.to_owned()], &caller()).await.unwrap().id;
        let (first, second) = (restart("web").await, restart("mill").await);
        let absorbed = cluster.reach(&first, Stage::Superseded).await;
        assert_eq!(absorbed.superseded_by.as_ref(), Some(&second));
        let merged = cluster.deployment(&second).await;
        for name in ["web", "mill"] {
            assert!(merged.request.restart.names(&name.into()), "the restart of {name} is not forgotten");
        }
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(cluster.newest(&app).await.id, second);
        assert!(cluster.names(&app, "web").await.is_disjoint(&web));
        assert!(cluster.names(&app, "mill").await.is_disjoint(&mill));
    });
}

#[test]
fn a_restart_shows_steps_only_of_what_it_replaces() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let restart = async |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|it| (*it).to_owned()).collect();
            cluster.controller().restart(&app, &names, &caller()).await.unwrap().id
        };
        assert_eq!(brought(&cluster.newest(&app).await), ["web", "mill", "migrate"]);
        let one = restart(&["mill"]).await;
        assert_eq!(brought(&cluster.deployment(&one).await), ["mill"]);
        let all = restart(&[]).await;
        assert_eq!(brought(&cluster.deployment(&all).await), ["web", "mill"]);
        cluster.settle(&app, Stage::Active).await;
        for id in [one, all] {
            assert!(cluster.deployment(&id).await.progress.has_succeeded());
        }
        // Requests that wait are merged. The merged deployment shows what it does.
        let rolling = restart(&[]).await;
        cluster.reach(&rolling, Stage::Rolling).await;
        restart(&["mill"]).await;
        let both = restart(&["web"]).await;
        assert_eq!(brought(&cluster.deployment(&both).await), ["web", "mill"]);
        cluster.update(&app, "2").await;
        let update = restart(&["mill"]).await;
        assert_eq!(brought(&cluster.deployment(&update).await), ["web", "mill", "migrate"]);
        cluster.settle(&app, Stage::Active).await;
        assert!(cluster.newest(&app).await.progress.has_succeeded());
    });
}

/// The components that a deployment shows steps of.
fn brought(deployment: &Deployment) -> Vec<&str> {
    let leaves = deployment.progress.leaves.iter();
    leaves.filter_map(|it| if let LeafKey::Deploy(name) = &it.key { Some(name.as_str()) } else { None }).collect()
}

/// The app's task dies after the deployment ends and before it publishes the end.
#[test]
fn a_deployment_that_has_ended_shows_no_waits() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let id = cluster.restart(&app).await.id;
        let shown = async || cluster.controller().deployment(&app, &id).await.unwrap().waiting;
        cluster.until(async || (!shown().await.is_empty()).then_some(()).ok_or("it waits for nothing".into())).await;
        cluster.controller().0.apps.read().await[&app].end();
        let ended = Deployment { stage: Stage::Failed, ..cluster.deployment(&id).await };
        cluster.store().commit(vec![Change::Deployment(Box::new(ended))]).await.unwrap();
        assert_eq!(shown().await, [""; 0]);
    });
}

#[test]
fn an_equal_restart_within_5_s_is_a_repeat_and_a_later_one_is_not() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let first = cluster.restart(&app).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(cluster.restart(&app).await.id, first.id);
        let other = Caller { token_hash: "another caller".into(), ..caller() };
        let theirs = cluster.controller().restart(&app, &[], &other).await.unwrap();
        assert_ne!(theirs.id, first.id, "another caller means another restart");
        cluster.settle(&app, Stage::Active).await;
        sleep(Duration::from_secs(5)).await;
        assert_ne!(cluster.restart(&app).await.id, first.id);
        cluster.settle(&app, Stage::Active).await;
    });
}

#[test]
fn a_request_with_a_known_key_returns_the_first_deployment_even_after_a_crash() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let keyed = Caller { idempotency_key: Some("release-7".into()), ..caller() };
        let first = cluster.controller().deploy(&app, REBUILD, &keyed).await.unwrap();
        cluster.settle(&app, Stage::Active).await;
        sleep(Duration::from_secs(60)).await;
        cluster.crash().await;
        cluster.open().await;
        let again = cluster.controller().deploy(&app, REBUILD, &keyed).await.unwrap();
        assert_eq!(again.id, first.id);
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(cluster.newest(&app).await.id, first.id, "nothing new was begun");
    });
}

#[test]
fn a_known_key_with_another_request_is_refused_and_not_answered_as_if_it_was_carried_out() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let controller = cluster.controller();
        let keyed = |key: &str| Caller { idempotency_key: Some(key.into()), ..caller() };
        let update = async |tag: &str, key: &str| {
            controller.update_app(&app, spec(tag), UpdateOptions::default(), &keyed(key)).await.map(drop)
        };
        let restart = async |names: &[&str], key: &str| {
            let names: Vec<_> = names.iter().map(|it| (*it).to_owned()).collect();
            controller.restart(&app, &names, &keyed(key)).await.map(|it| it.id)
        };
        let is_refused =
            |it: Result<(), ControlError>| it.unwrap_err().to_string().contains("used for another request");
        update("2", "a").await.unwrap();
        update("2", "a").await.unwrap();
        assert!(is_refused(update("slow", "a").await), "another spec");
        assert!(is_refused(restart(&[], "a").await.map(drop)));
        assert!(is_refused(controller.deploy(&app, REBUILD, &keyed("a")).await.map(drop)));
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(cluster.newest(&app).await.spec["services"][0]["image"]["tag"], "2");

        // A deployment that absorbs another one does more than its own request.
        let rolling = restart(&[], "b").await.unwrap();
        cluster.reach(&rolling, Stage::Rolling).await;
        let absorbed = restart(&["web"], "c").await.unwrap();
        let merged = restart(&["mill"], "d").await.unwrap();
        assert_eq!(restart(&["mill"], "d").await.unwrap(), merged);
        assert_eq!(restart(&["web"], "c").await.unwrap(), absorbed);
        assert!(is_refused(restart(&["mill"], "b").await.map(drop)), "fewer components");
        assert!(is_refused(restart(&[], "d").await.map(drop)), "more components");
        cluster.settle(&app, Stage::Active).await;
    });
}

#[test]
fn the_creation_of_an_app_is_repeated_by_its_key() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let keyed = Caller { idempotency_key: Some("new".into()), ..caller() };
        let create = async |tag: &str, caller: &Caller| cluster.controller().create_app(spec(tag), caller).await;
        let (one, two) = futures::join!(create("1", &keyed), create("1", &keyed));
        let app = one.unwrap().id;
        assert_eq!(two.unwrap().id, app);
        assert_eq!(create("1", &keyed).await.unwrap().id, app);
        for (tag, caller) in [("2", &keyed), ("1", &caller())] {
            assert!(create(tag, caller).await.unwrap_err().to_string().contains("an app named shop exists already"));
        }
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(cluster.newest(&app).await.number, 1);
    });
}

#[test]
fn a_rollout_canceled_half_way_is_rolled_back_and_ends_canceled() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let before = cluster.state(&app).await;
        let old: Vec<_> = before.instances.iter().map(|it| it.revision.clone()).collect();
        let since = cluster.engine.calls().len();
        cluster.update(&app, "slow").await;
        let rolling = cluster.newest(&app).await.id;
        // One instance is replaced, and the next replacement is in progress.
        cluster
            .until(async || {
                let starts = cluster.engine.calls().split_off(since);
                let starts = starts.iter().filter(|it| it.verb == Verb::Start && it.what.contains("-web-")).count();
                if starts == 2 { Ok(()) } else { Err(format!("{starts} started")) }
            })
            .await;
        cluster.controller().cancel(&app, &rolling).await.unwrap();
        cluster.settle(&app, Stage::Canceled).await;
        cluster.check_capacity(since);
        let after = cluster.state(&app).await;
        assert_eq!(after.app.active, before.app.active);
        assert!(after.instances.iter().all(|it| old.contains(&it.revision)), "the old revision serves");
    });
}

#[test]
fn a_pending_deployment_can_be_canceled_without_touching_the_rollout() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        cluster.update(&app, "slow").await;
        let rolling = cluster.newest(&app).await.id;
        cluster.reach(&rolling, Stage::Rolling).await;
        let waiting = cluster.restart(&app).await.id;
        cluster.controller().cancel(&app, &waiting).await.unwrap();
        cluster.reach(&waiting, Stage::Canceled).await;
        cluster.reach(&rolling, Stage::Active).await;
        cluster.settle(&app, Stage::Canceled).await;
    });
}

#[test]
fn an_app_deleted_during_a_rollout_leaves_nothing() {
    simulate(async {
        let cluster = TestCluster::new().await;
        for verb in [Verb::Create, Verb::Start, Verb::SetRestartPolicy, Verb::Stop, Verb::Remove] {
            let app = cluster.create("1").await;
            cluster.settle(&app, Stage::Active).await;
            let since = cluster.engine.calls().len();
            cluster.update(&app, "slow").await;
            cluster.called(since, verb, "-web-").await;
            cluster.controller().delete_app(&app).await.unwrap();
            cluster.gone(&app).await;
        }
    });
}

#[test]
fn an_app_deleted_during_its_first_deployment_leaves_nothing() {
    simulate(async {
        let cluster = TestCluster::new().await;
        for part in ["-db-db", "-migrate-", "-web-", "-mill-"] {
            let since = cluster.engine.calls().len();
            let app = cluster.create("1").await;
            cluster.called(since, Verb::Start, part).await;
            cluster.controller().delete_app(&app).await.unwrap();
            cluster.gone(&app).await;
        }
    });
}

#[test]
fn a_deployment_that_exceeds_its_time_limit_ends() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        cluster.engine.answer_late(Verb::Pull, 1, Duration::from_secs(365 * 24 * 3600));
        let stuck = cluster.controller().deploy(&app, REBUILD, &caller()).await.unwrap().id;
        sleep(DEPLOYMENT_LIMIT).await;
        let failed = cluster.reach(&stuck, Stage::Failed).await;
        assert_eq!(failed.failure.unwrap().code, "DeadlineExceeded");
        cluster.settle(&app, Stage::Failed).await;
    });
}

#[test]
fn two_concurrent_requests_for_one_name_create_one_app() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let create = async || cluster.controller().create_app(spec("1"), &caller()).await;
        let (one, other) = tokio::join!(create(), create());
        let (made, refused) = if one.is_ok() { (one, other) } else { (other, one) };
        let why = refused.unwrap_err().to_string();
        assert!(why.contains("shop exists already"), "{why}");
        let app = made.unwrap().id;
        assert_eq!(cluster.store().apps().await.unwrap().len(), 1);
        cluster.settle(&app, Stage::Active).await;
        assert!(cluster.ingress.taken().last().unwrap().table.apps.iter().all(|it| it.app == app.as_str()));
    });
}
