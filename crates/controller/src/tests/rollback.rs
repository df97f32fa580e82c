//! A revision that does not come up: what serves goes on serving, and the deployment says why it failed.

use std::time::Duration;

use app_spec::{JobKind, Source};
use engine::LogStream;
use engine::fake::{Behaviour, Verb};
use rollout::deployment::Stage;

use super::house::{House, caller, spec};
use super::simulation::simulate;

#[test]
fn a_revision_that_never_listens_fails_and_the_same_old_instances_serve_on() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let old = house.names(&app, "web").await;
        let active = house.state(&app).await.app.active;
        let since = house.engine.calls().len();
        house.update(&app, "stuck").await;
        let started = house.called(since, Verb::Start, "-web-").await;
        house.engine.say(&started.what, LogStream::Err, "no such table: users");
        house.settle(&app, Stage::Failed).await;
        house.check_capacity(since);
        assert_eq!(house.names(&app, "web").await, old);
        assert_eq!(house.ingress.upstreams("web"), old.into_iter().collect::<Vec<_>>());
        let failed = house.newest(&app).await;
        let failure = failed.failure.unwrap();
        assert_eq!(failure.code, "DeployContainerHealthChecksFailed");
        assert_eq!(failure.component.unwrap().as_str(), "web");
        assert_eq!(failed.log_tail, ["no such table: users"]);
        assert_eq!(house.state(&app).await.app.active, active, "the deployment before it is still the active one");
    });
}

#[test]
fn after_a_failed_deployment_a_good_one_rolls_out() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let old = house.names(&app, "web").await;
        house.update(&app, "stuck").await;
        house.settle(&app, Stage::Failed).await;
        let since = house.engine.calls().len();
        house.update(&app, "2").await;
        house.settle(&app, Stage::Active).await;
        house.check_capacity(since);
        assert!(house.names(&app, "web").await.is_disjoint(&old));
    });
}

#[test]
fn a_first_deployment_that_fails_leaves_no_instance_behind() {
    simulate(async {
        let house = House::new().await;
        let app = house.create("stuck").await;
        house.settle(&app, Stage::Failed).await;
        assert!(house.state(&app).await.instances.is_empty());
        house.update(&app, "1").await;
        house.settle(&app, Stage::Active).await;
    });
}

#[test]
fn a_restart_after_a_failed_deployment_copies_what_serves() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let revisions = async || -> Vec<_> {
            let rows = house.state(&app).await.instances;
            let mut all: Vec<_> = rows.into_iter().map(|it| (it.component, it.slot, it.revision)).collect();
            all.sort();
            all
        };
        let before = revisions().await;
        house.update(&app, "stuck").await;
        house.settle(&app, Stage::Failed).await;
        house.restart(&app).await;
        house.settle(&app, Stage::Active).await;
        assert_eq!(revisions().await, before);
    });
}

/// `web` is renamed to `site`, which serves by the time a POST_DEPLOY job fails: the new rules hold until `web` is back.
#[test]
fn a_service_that_was_renamed_is_taken_back_without_a_moment_of_nobody() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let fails = Behaviour { exits_with: Some(3), ready_after: Duration::from_secs(1), ..Behaviour::default() };
        house.engine.add_image("test/tell:1", fails);
        let mut renamed = spec("1");
        renamed.services[0].common.name = "site".into();
        let mut tell = renamed.jobs[0].clone();
        tell.common.name = "tell".into();
        tell.kind = Some(JobKind::PostDeploy);
        let Source::Image(image) = &mut tell.common.source else { panic!("it is an image") };
        image.repository = "tell".into();
        renamed.jobs.push(tell);

        let since = house.engine.calls().len();
        house.controller().update_app(&app, renamed, &caller()).await.unwrap();
        house.settle(&app, Stage::Failed).await;
        assert_eq!(house.newest(&app).await.failure.unwrap().code, "PostDeployJobFailed");
        let tables: Vec<_> = house.ingress.taken().into_iter().filter(|it| it.calls >= since).collect();
        assert!(tables.iter().any(|it| it.listening.contains_key("site")), "the new rules were in force: {tables:#?}");
        for taken in tables {
            let listening: usize = taken.listening.values().sum();
            assert!(listening >= 2, "{:#?}", taken.table);
        }
    });
}

/// What a restart makes anew does not come up: it is removed, its last lines are kept, and what served before serves on.
#[test]
fn a_restart_whose_new_instance_never_listens_leaves_the_old_ones_serving() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let (old, active) = (house.names(&app, "web").await, house.state(&app).await.app.active);
        house.engine.add_image("test/web:1", Behaviour { never_ready: true, ..Behaviour::default() });
        let since = house.engine.calls().len();
        let restart = house.restart(&app).await.deployment.id;
        let started = house.called(since, Verb::Start, "-web-").await;
        house.engine.say(&started.what, LogStream::Err, "the licence has run out");
        house.settle(&app, Stage::Failed).await;
        house.check_capacity(since);
        let failed = house.deployment(&restart).await;
        assert_eq!(failed.log_tail, ["the licence has run out"]);
        assert_eq!(failed.failure.unwrap().code, "DeployContainerHealthChecksFailed");
        assert_eq!((house.names(&app, "web").await, house.state(&app).await.app.active), (old, active));
        // Nothing in the way of the next one.
        house.engine.add_image("test/web:1", Behaviour::default());
        house.restart(&app).await;
        house.settle(&app, Stage::Active).await;
    });
}

/// M9: a full disk lets nothing begin, and what runs goes on. F48, F49.
#[test]
fn a_full_disk_fails_what_is_asked_and_leaves_what_serves() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let old = house.names(&app, "web").await;
        for asked in ["restart", "rebuild"] {
            house.engine.fill_disk(true);
            if asked == "restart" {
                house.restart(&app).await;
            } else {
                house.update(&app, "fetched-anew").await;
            }
            house.settle(&app, Stage::Failed).await;
            let why = house.newest(&app).await.failure.unwrap().message;
            assert!(why.contains("disk is full") && why.contains("free space"), "{asked}: {why}");
            assert_eq!(house.names(&app, "web").await, old, "{asked}");
            house.engine.fill_disk(false);
        }
        house.restart(&app).await;
        house.settle(&app, Stage::Active).await;
        assert!(house.names(&app, "web").await.is_disjoint(&old));
    });
}

#[test]
fn an_image_that_nobody_has_fails_the_deployment_before_anything_is_replaced() {
    simulate(async {
        let (house, app) = House::with_app().await;
        let old = house.names(&app, "web").await;
        house.update(&app, "missing").await;
        house.settle(&app, Stage::Failed).await;
        assert_eq!(house.newest(&app).await.failure.unwrap().code, "BuildFailed");
        assert_eq!(house.names(&app, "web").await, old);
    });
}
