//! Rollbacks that meet other requests: in the queue, half-way, or twice.

use std::time::Duration;

use engine_fake::{Behaviour, Verb};
use rollout::deployment::Stage;
use rollout::ids::{ComponentName, DeploymentId};

use super::super::cluster::{caller, commit};
use super::super::simulation::simulate;
use super::{KEEP, NEWEST, PINS, SKIPS_PIN, Site, commits, conflict, set};
use crate::Control;
use crate::view::DeploymentKind;

#[test]
fn a_revert_of_a_rollback_under_way_cancels_it() {
    simulate(async {
        let site = Site::new().await;
        let since = site.cluster.engine.calls().len();
        let rollback = site.ask(1, PINS).await.unwrap();
        site.cluster.called(since, Verb::Start, "-web-").await;
        let reverted = site.revert().await;
        assert_eq!(site.cluster.deployment(&rollback).await.stage, Stage::Canceled);
        assert_eq!(
            (commits(&reverted), site.serves().await),
            (vec!["mill 3".to_owned(), "web 3".to_owned()], set("3"))
        );
        assert_eq!((site.pinned().await, site.release().await.as_str()), (None, "3"));
        site.cluster.check_capacity(since);
    });
}

#[test]
fn a_commit_of_a_rollback_under_way_keeps_it() {
    simulate(async {
        let site = Site::new().await;
        let since = site.cluster.engine.calls().len();
        let rollback = site.ask(1, PINS).await.unwrap();
        site.cluster.called(since, Verb::Start, "-web-").await;
        site.cluster.controller().commit_rollback(&site.app).await.unwrap();
        let next = site.update("4", KEEP).await.unwrap();
        site.cluster.reach(&next, Stage::Active).await;
        assert_eq!(site.cluster.deployment(&rollback).await.stage, Stage::Superseded);
        assert_eq!(
            (commits(&site.cluster.deployment(&next).await), site.serves().await),
            (vec!["mill 1".to_owned(), "web 1".to_owned()], set("4"))
        );
    });
}

/// Starts a restart whose first instance takes 20 s to start, so that whatever is requested now waits.
async fn hold_a_rollout(site: &Site) -> DeploymentId {
    let since = site.cluster.engine.calls().len();
    site.cluster.engine.answer_late(Verb::Start, 1, Duration::from_secs(20));
    let restart = site.cluster.restart(&site.app).await.id;
    site.cluster.called(since, Verb::Start, "-web-").await;
    restart
}

#[test]
fn requests_that_meet_a_waiting_rollback_merge_with_it_and_the_pin_follows() {
    simulate(async {
        let site = Site::new().await;
        hold_a_rollout(&site).await;
        // What waits is withdrawn by the rollback, and its revert knows the newest spec.
        let waited = site.update("4", KEEP).await.unwrap();
        let plan = site.cluster.controller().preview_rollback(&site.app, &site.ids[0]).await.unwrap();
        assert!(plan.steps[0].starts_with("replace deployment 5, which waits"), "{:#?}", plan.steps);
        let rollback = site.ask(1, PINS).await.unwrap();
        assert_eq!(site.cluster.deployment(&waited).await.superseded_by, Some(rollback.clone()));
        let plan = site.cluster.controller().preview_restart(&site.app, &["web".into()]).await.unwrap();
        let returns = "return to commit 111111111111 of web and its image";
        assert!(plan.steps.iter().any(|it| it == returns), "{:#?}", plan.steps);
        let restart = site.cluster.controller().restart(&site.app, &["web".into()], &caller()).await.unwrap();
        assert_eq!((restart.kind, restart.updates_spec), (DeploymentKind::Rollback, false));
        assert_eq!(site.pinned().await, Some(restart.id.clone()));
        let done = site.cluster.reach(&restart.id, Stage::Active).await;
        assert_eq!((commits(&done), site.serves().await), (vec!["mill 1".to_owned(), "web 1".to_owned()], set("1")));
        let reverted = site.revert().await;
        assert_eq!(
            (commits(&reverted), site.serves().await),
            (vec!["mill 3".to_owned(), "web 3".to_owned()], set("4"))
        );
    });
}

#[test]
fn a_revert_absorbs_a_rollback_that_still_waits() {
    simulate(async {
        let site = Site::new().await;
        hold_a_rollout(&site).await;
        let rollback = site.ask(1, PINS).await.unwrap();
        let reverted = site.revert().await;
        assert_eq!(site.cluster.deployment(&rollback).await.superseded_by, Some(reverted.id.clone()));
        assert!(reverted.nothing_to_do, "{reverted:?}");
        assert_eq!((site.pinned().await, site.serves().await), (None, set("3")));
    });
}

#[test]
fn an_update_that_absorbs_a_waiting_rollback_keeps_the_versions_it_would_have_brought() {
    simulate(async {
        let site = Site::new().await;
        hold_a_rollout(&site).await;
        site.ask(1, SKIPS_PIN).await.unwrap();
        let runs = site.runs_of_the_job();
        let update = site.update("4", KEEP).await.unwrap();
        let updated = site.cluster.reach(&update, Stage::Active).await;
        assert_eq!((commits(&updated), site.serves().await), (vec!["mill 1".to_owned(), "web 1".to_owned()], set("4")));
        assert_eq!(site.runs_of_the_job(), runs + 1, "it is an update");
        let view = site.cluster.controller().deployment(&site.app, &update).await.unwrap();
        assert_eq!((view.kind, view.updates_spec, view.cloned_from), (DeploymentKind::Deploy, true, None));
    });
}

#[test]
fn the_revert_of_a_rollback_that_waited_returns_to_what_served_when_it_began() {
    simulate(async {
        let site = Site::new().await;
        site.cluster.image_builder.push(&commit('4'));
        site.cluster.image_builder.hold(true);
        let fourth = site.update("4", NEWEST).await.unwrap();
        site.cluster.reach(&fourth, Stage::Building).await;
        let rollback = site.ask(1, PINS).await.unwrap();
        site.cluster.image_builder.hold(false);
        site.cluster.reach(&rollback, Stage::Active).await;
        assert_eq!(site.cluster.deployment(&fourth).await.stage, Stage::Superseded);
        let reverted = site.revert().await;
        assert_eq!(
            (commits(&reverted), site.serves().await),
            (vec!["mill 4".to_owned(), "web 4".to_owned()], set("4"))
        );
    });
}

#[test]
fn the_same_rollback_and_the_same_revert_within_5_s_are_repeats() {
    simulate(async {
        let site = Site::new().await;
        let first = site.ask(1, PINS).await.unwrap();
        assert_eq!(site.ask(1, PINS).await.unwrap(), first);
        assert!(site.refused(2).await.contains("pinned"), "it returns to something else");
        assert!(conflict(site.ask(1, SKIPS_PIN).await).contains("pinned"), "it would not pin");
        site.cluster.reach(&first, Stage::Active).await;
        let control = site.cluster.controller();
        let revert = async || control.revert_rollback(&site.app, &caller()).await.map(|it| it.id);
        let reverted = revert().await.unwrap();
        assert_eq!(revert().await.unwrap(), reverted);
        site.cluster.settle(&site.app, Stage::Active).await;
        conflict(revert().await);
    });
}

/// The version before the rollback cannot start while the rollback is canceled, so the rolled-back instances stay until
/// the revert replaces them.
#[test]
fn a_revert_returns_to_what_served_although_the_canceled_rollback_could_not_be_rolled_back() {
    simulate(async {
        let site = Site::new().await;
        let engine = &site.cluster.engine;
        let served = site.cluster.deployment(&site.ids[2]).await.images[&ComponentName::from("web")].reference.clone();
        let since = engine.calls().len();
        engine.answer_late(Verb::Start, 2, Duration::from_secs(60));
        let rollback = site.ask(1, PINS).await.unwrap();
        site.cluster.called(since, Verb::Stop, "-web-").await;
        engine.add_image(&served, Behaviour { exits_with: Some(3), ..Behaviour::default() });
        // Holds the revert before it creates instances.
        engine.answer_late(Verb::Image, 1, Duration::from_secs(20));
        let reverted = site.cluster.controller().revert_rollback(&site.app, &caller()).await.unwrap().id;
        let canceled = site.cluster.reach(&rollback, Stage::Canceled).await;
        assert!(canceled.record.rollback_abandoned, "{canceled:?}");
        engine.add_image(&served, Behaviour::default());
        let reverted = site.cluster.reach(&reverted, Stage::Active).await;
        assert_eq!(
            (commits(&reverted), site.serves().await),
            (vec!["mill 3".to_owned(), "web 3".to_owned()], set("3"))
        );
        assert_eq!(reverted.cloned_from, Some(site.ids[2].clone()));
        site.cluster.settle(&site.app, Stage::Active).await;
        assert_eq!(site.cluster.state(&site.app).await.app.kept, None);
    });
}

#[test]
fn the_version_that_serves_cannot_be_returned_to_while_a_newer_deployment_is_under_way() {
    simulate(async {
        let site = Site::new().await;
        let since = site.cluster.engine.calls().len();
        site.cluster.engine.answer_late(Verb::Start, 1, Duration::from_secs(20));
        let newer = site.update("4", KEEP).await.unwrap();
        site.cluster.called(since, Verb::Start, "-web-").await;
        let refused = site.refused(3).await;
        for part in ["deployment 4 is under way", "boatyard apps cancel-deployment site 4"] {
            assert!(refused.contains(part), "{refused}");
        }
        assert_eq!(site.check(3).await.error.unwrap().message, refused);
        site.cluster.controller().cancel(&site.app, &newer).await.unwrap();
        assert!(site.refused(3).await.starts_with("nothing to do"), "the deployment under way is being canceled");
        site.cluster.settle(&site.app, Stage::Canceled).await;
        assert_eq!(site.serves().await, set("3"));
    });
}
