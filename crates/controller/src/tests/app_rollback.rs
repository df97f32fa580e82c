//! An app returns to a deployment that served earlier, and is pinned to it until a commit or a revert.

mod merging;
mod parts;

use std::collections::BTreeSet;

use app_spec::AppSpec;
use engine_fake::Verb;
use rollout::app_rollback::RollbackCheck;
use rollout::deployment::Stage;
use rollout::ids::{AppId, ComponentName, DeploymentId};
use rollout::progress::LeafKey;
use store::records::Deployment;

use super::cluster::{TestCluster, caller, commit};
use super::simulation::simulate;
use crate::Control;
use crate::error::ControlError;
use crate::view::{DeployOptions, DeploymentKind, RollbackOptions, UpdateOptions};

const SPEC: &str = "
name: site
databases: [{name: db, engine: PG, version: '17'}]
services:
- name: web
  git: {repo_clone_url: 'https://example.com/site.git', branch: main}
  dockerfile_path: Dockerfile
  http_port: 8080
  instance_count: 2
  envs:
  - {key: RELEASE, value: 'VERSION', scope: RUN_TIME}
  - {key: TOKEN, value: 'secret-VERSION', scope: RUN_TIME, type: SECRET}
workers:
- name: mill
  git: {repo_clone_url: 'https://example.com/site.git', branch: main}
  dockerfile_path: Dockerfile
jobs:
- name: migrate
  kind: PRE_DEPLOY
  image: {registry_type: DOCKER_HUB, registry: test, repository: migrate, tag: '1'}
";

const PINS: RollbackOptions = RollbackOptions { skip_pin: false };
const SKIPS_PIN: RollbackOptions = RollbackOptions { skip_pin: true };
const NEWEST: UpdateOptions = UpdateOptions { update_sources: true, replaces: None };
const KEEP: UpdateOptions = UpdateOptions { update_sources: false, replaces: None };

fn release(version: &str) -> AppSpec {
    AppSpec::from_yaml(&SPEC.replace("VERSION", version)).unwrap().spec
}

/// An app with three deployments, each of another commit and spec. The third serves.
struct Site {
    cluster: TestCluster,
    app: AppId,
    /// The deployments, oldest first.
    ids: Vec<DeploymentId>,
}

impl Site {
    async fn new() -> Self {
        let cluster = TestCluster::new().await;
        cluster.image_builder.push(&commit('1'));
        let app = cluster.controller().create_app(release("1"), &caller()).await.unwrap().id;
        cluster.settle(&app, Stage::Active).await;
        let mut ids = vec![cluster.newest(&app).await.id];
        for digit in ['2', '3'] {
            cluster.image_builder.push(&commit(digit));
            cluster.controller().update_app(&app, release(&digit.to_string()), NEWEST, &caller()).await.unwrap();
            cluster.settle(&app, Stage::Active).await;
            ids.push(cluster.newest(&app).await.id);
        }
        Self { cluster, app, ids }
    }

    /// Starts a rollback to the first, second or third deployment.
    async fn ask(&self, number: usize, options: RollbackOptions) -> Result<DeploymentId, ControlError> {
        let to = &self.ids[number - 1];
        Ok(self.cluster.controller().roll_back(&self.app, to, options, &caller()).await?.id)
    }

    async fn roll_back(&self, number: usize) -> Deployment {
        let id = self.ask(number, PINS).await.unwrap();
        self.cluster.reach(&id, Stage::Active).await
    }

    async fn refused(&self, number: usize) -> String {
        conflict(self.ask(number, PINS).await)
    }

    async fn update(&self, version: &str, options: UpdateOptions) -> Result<DeploymentId, ControlError> {
        self.cluster.controller().update_app(&self.app, release(version), options, &caller()).await?;
        Ok(self.cluster.newest(&self.app).await.id)
    }

    async fn revert(&self) -> Deployment {
        let id = self.cluster.controller().revert_rollback(&self.app, &caller()).await.unwrap().id;
        self.cluster.reach(&id, Stage::Active).await
    }

    /// More deployments than those whose images are kept because they are recent.
    async fn restart_often(&self) {
        for _ in 0..6 {
            let id = self.cluster.restart(&self.app).await.id;
            self.cluster.reach(&id, Stage::Active).await;
            self.cluster.settle(&self.app, Stage::Active).await;
        }
    }

    async fn check(&self, number: usize) -> RollbackCheck {
        self.cluster.controller().validate_rollback(&self.app, &self.ids[number - 1]).await.unwrap()
    }

    async fn pinned(&self) -> Option<DeploymentId> {
        self.cluster.store().app(&self.app).await.unwrap().unwrap().pinned
    }

    /// The release in the app's newest spec.
    async fn release(&self) -> String {
        let app = self.cluster.store().app(&self.app).await.unwrap().unwrap();
        app.spec["services"][0]["envs"][0]["value"].as_str().unwrap().to_owned()
    }

    /// The release that the instances of `web` run.
    async fn serves(&self) -> BTreeSet<String> {
        self.values_of("RELEASE").await
    }

    /// The values of a variable in the instances of `web`.
    async fn values_of(&self, key: &str) -> BTreeSet<String> {
        let state = self.cluster.state(&self.app).await;
        let web = state.instances.iter().filter(|it| it.component.as_str() == "web");
        let revisions = web.map(|it| state.revisions.iter().find(|revision| revision.id == it.revision).unwrap());
        revisions.flat_map(|it| it.env.iter().filter(|(name, _)| name == key).map(|(_, value)| value.clone())).collect()
    }

    async fn remove_image(&self, number: usize, component: &str) {
        let deployment = self.cluster.deployment(&self.ids[number - 1]).await;
        self.cluster.engine.remove_image_by_hand(&deployment.images[&ComponentName::from(component)].reference);
    }

    fn forget_repository(&self) {
        for digit in ['1', '2', '3'] {
            self.cluster.image_builder.vanish(&commit(digit));
        }
    }

    fn runs_of_the_job(&self) -> usize {
        self.cluster.starts_of("-migrate-")
    }
}

fn conflict<T>(result: Result<T, ControlError>) -> String {
    match result {
        Err(ControlError::Conflict(message)) => message,
        Err(other) => panic!("not a conflict: {other}"),
        Ok(_) => panic!("it was accepted"),
    }
}

fn set(release: &str) -> BTreeSet<String> {
    [release.to_owned()].into()
}

/// The commits of the components that have one, by name.
fn commits(deployment: &Deployment) -> Vec<String> {
    let of =
        |(name, it): (&ComponentName, &store::records::Image)| Some(format!("{name} {}", &it.commit.as_ref()?[..1]));
    deployment.images.iter().filter_map(of).collect()
}

#[test]
fn the_changes_of_a_deployments_spec_are_those_since_the_one_that_served_before_and_hide_secrets() {
    simulate(async {
        let site = Site::new().await;
        let changes = async |id: &DeploymentId| site.cluster.controller().spec_changes(&site.app, id).await.unwrap();
        assert_eq!(changes(&site.ids[0]).await, [""; 0]);
        let of_the_second = [
            "~ services.web.envs.RELEASE.value: 1 → 2",
            "~ services.web.envs.TOKEN.value: (secret) → (another secret)",
        ];
        assert_eq!(changes(&site.ids[1]).await, of_the_second);
        let restart = site.cluster.restart(&site.app).await.id;
        assert_eq!(changes(&restart).await, [""; 0]);
        assert!(matches!(
            site.cluster.controller().spec_changes(&site.app, &"unknown".into()).await,
            Err(ControlError::NotFound(_))
        ));
    });
}

#[test]
fn a_rollback_returns_to_the_spec_and_the_images_of_its_deployment_without_the_repository() {
    simulate(async {
        let site = Site::new().await;
        site.restart_often().await;
        site.forget_repository();
        let runs = site.runs_of_the_job();
        let plan = site.cluster.controller().preview_rollback(&site.app, &site.ids[0]).await.unwrap();
        assert!(plan.changes[0].contains("RELEASE"), "{:?}", plan.changes);
        let images = [
            "return to commit 111111111111 of web and its image",
            "return to commit 111111111111 of mill and its image",
        ];
        assert_eq!(plan.steps[..2], images);
        assert!(!plan.steps.iter().any(|it| it.contains("migrate") || it.contains("database")), "{:#?}", plan.steps);
        let done = site.roll_back(1).await;
        assert_eq!((site.serves().await, site.release().await.as_str()), (set("1"), "1"));
        assert_eq!(site.values_of("TOKEN").await, set("secret-1"));
        assert_eq!(commits(&done), ["mill 1", "web 1"]);
        assert!(done.images.values().all(|it| !it.built), "{:?}", done.images);
        assert_eq!((&done.cloned_from, done.cause.as_str()), (&Some(site.ids[0].clone()), "rollback to deployment 1"));
        assert_eq!(site.runs_of_the_job(), runs, "jobs do not run");
        assert!(done.progress.has_succeeded() && done.progress.leaf(&LeafKey::Deploy("migrate".into())).is_none());
        assert!(done.record.notes.iter().any(|it| it.starts_with("jobs do not run")), "{:?}", done.record.notes);
        assert_eq!(site.pinned().await, Some(done.id.clone()));
        let view = site.cluster.controller().find_app("site").await.unwrap();
        assert_eq!(view.pinned.map(|it| (it.id, it.kind)), Some((done.id, DeploymentKind::Rollback)));
        site.cluster.settle(&site.app, Stage::Active).await;
    });
}

#[test]
fn a_rollback_whose_image_is_gone_builds_the_recorded_commit() {
    simulate(async {
        let site = Site::new().await;
        site.remove_image(1, "web").await;
        let plan = site.cluster.controller().preview_rollback(&site.app, &site.ids[0]).await.unwrap();
        assert_eq!(plan.steps[0], "return to commit 111111111111 of web, and build it again if its image is gone");
        let done = site.roll_back(1).await;
        assert_eq!(commits(&done), ["mill 1", "web 1"]);
        assert!(done.images[&ComponentName::from("web")].built, "{:?}", done.images);
        assert_eq!(site.serves().await, set("1"));
    });
}

#[test]
fn a_rollback_without_image_and_repository_fails_before_it_changes_anything() {
    simulate(async {
        let site = Site::new().await;
        site.remove_image(1, "web").await;
        site.forget_repository();
        let before = (site.cluster.names(&site.app, "web").await, site.cluster.names(&site.app, "mill").await);
        let id = site.ask(1, PINS).await.unwrap();
        let failed = site.cluster.reach(&id, Stage::Failed).await;
        let message = failed.failure.unwrap().message;
        assert!(message.starts_with("web: the image "), "{message}");
        for part in ["of deployment 1", &commit('1'), "nothing was changed", "boatyard apps list-deployments site"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        let after = (site.cluster.names(&site.app, "web").await, site.cluster.names(&site.app, "mill").await);
        assert_eq!((after, site.serves().await), (before, set("3")));
        assert_eq!((site.pinned().await, site.release().await.as_str()), (None, "3"));
        site.update("4", KEEP).await.unwrap();
        site.cluster.settle(&site.app, Stage::Active).await;
        assert_eq!(site.serves().await, set("4"), "new deployments are accepted");
    });
}

#[test]
fn a_pinned_app_takes_restarts_only_and_a_commit_ends_the_pin() {
    simulate(async {
        let site = Site::new().await;
        let control = site.cluster.controller();
        let rollback = site.roll_back(1).await;
        for refused in [
            conflict(site.update("4", KEEP).await),
            conflict(site.update("1", NEWEST).await),
            conflict(control.deploy(&site.app, DeployOptions::default(), &caller()).await),
            conflict(control.preview_update(Some(&site.app), release("4"), KEEP).await),
            conflict(control.preview_deploy(&site.app, DeployOptions::default()).await),
            conflict(control.preview_rollback(&site.app, &site.ids[1]).await),
            site.refused(2).await,
        ] {
            for way in ["pinned to deployment 4", "rollback commit site", "rollback revert site"] {
                assert!(refused.contains(way), "{refused}");
            }
        }
        assert_eq!(site.check(2).await.error.unwrap().code.as_str(), "app_pinned");
        assert_eq!(site.update("1", KEEP).await.unwrap(), rollback.id, "an equal spec changes nothing");
        let restart = site.cluster.restart(&site.app).await.id;
        site.cluster.reach(&restart, Stage::Active).await;
        site.cluster.settle(&site.app, Stage::Active).await;
        assert_eq!((site.pinned().await, site.serves().await), (Some(rollback.id), set("1")));

        control.commit_rollback(&site.app).await.unwrap();
        assert_eq!((site.pinned().await, site.release().await.as_str()), (None, "1"));
        let again = conflict(control.commit_rollback(&site.app).await);
        assert!(again.starts_with("nothing to commit: app site is not pinned"), "{again}");
        let again = conflict(control.revert_rollback(&site.app, &caller()).await.map(|it| it.id));
        assert!(again.starts_with("nothing to revert"), "{again}");
        assert_eq!(conflict(control.preview_revert(&site.app).await), again);
        // An update keeps the commits that the rollback brought back.
        let updated = site.update("4", KEEP).await.unwrap();
        let updated = site.cluster.reach(&updated, Stage::Active).await;
        assert_eq!((commits(&updated), site.serves().await), (vec!["mill 1".to_owned(), "web 1".to_owned()], set("4")));
    });
}

#[test]
fn a_revert_returns_to_the_newest_spec_and_the_commits_that_served_with_it() {
    simulate(async {
        let site = Site::new().await;
        site.roll_back(1).await;
        site.restart_often().await;
        site.cluster.image_builder.push(&commit('4'));
        site.forget_repository();
        let runs = site.runs_of_the_job();
        let plan = site.cluster.controller().preview_revert(&site.app).await.unwrap();
        assert!(plan.changes[0].contains("RELEASE"), "{:?}", plan.changes);
        assert_eq!(plan.steps[0], "return to commit 333333333333 of web and its image");
        assert_eq!(plan.instances.iter().map(|it| it.created).collect::<Vec<_>>(), [2, 1]);
        let reverted = site.revert().await;
        assert_eq!(
            (commits(&reverted), site.serves().await),
            (vec!["mill 3".to_owned(), "web 3".to_owned()], set("3"))
        );
        assert_eq!((site.pinned().await, site.release().await.as_str()), (None, "3"));
        assert_eq!(reverted.cloned_from, Some(site.ids[2].clone()));
        assert_eq!(site.runs_of_the_job(), runs, "its jobs ran when it was first deployed");
        let kind = site.cluster.controller().deployment(&site.app, &reverted.id).await.unwrap().kind;
        assert_eq!(kind, DeploymentKind::Revert);
        site.cluster.settle(&site.app, Stage::Active).await;
    });
}

#[test]
fn a_revert_to_a_spec_that_never_served_is_an_ordinary_deployment_of_it() {
    simulate(async {
        let site = Site::new().await;
        site.cluster.image_builder.vanish(&commit('4'));
        site.cluster.image_builder.push(&commit('4'));
        let failed = site.update("4", NEWEST).await.unwrap();
        site.cluster.reach(&failed, Stage::Failed).await;
        site.roll_back(1).await;
        let runs = site.runs_of_the_job();
        let reverted = site.revert().await;
        assert_eq!(
            (commits(&reverted), site.serves().await),
            (vec!["mill 3".to_owned(), "web 3".to_owned()], set("4"))
        );
        assert_eq!(site.runs_of_the_job(), runs + 1);
    });
}

#[test]
fn skip_pin_commits_at_once() {
    simulate(async {
        let site = Site::new().await;
        let id = site.ask(2, SKIPS_PIN).await.unwrap();
        site.cluster.reach(&id, Stage::Active).await;
        assert_eq!((site.pinned().await, site.serves().await), (None, set("2")));
        conflict(site.cluster.controller().revert_rollback(&site.app, &caller()).await.map(|it| it.id));
        site.cluster.settle(&site.app, Stage::Active).await;
        site.roll_back(3).await;
        assert_eq!(site.serves().await, set("3"), "a later deployment is as good as an earlier one");
    });
}

#[test]
fn a_check_and_the_rollback_agree() {
    simulate(async {
        let mut site = Site::new().await;
        site.cluster.image_builder.vanish(&commit('4'));
        site.cluster.image_builder.push(&commit('4'));
        site.ids.push(site.update("4", NEWEST).await.unwrap());
        site.cluster.reach(&site.ids[3], Stage::Failed).await;
        for (number, code) in [(1, None), (2, None), (3, Some("incompatible_phase")), (4, Some("incompatible_result"))]
        {
            let error = site.check(number).await.error;
            assert_eq!(error.as_ref().map(|it| it.code.as_str()), code, "deployment {number}");
            if let Some(error) = error {
                assert_eq!(site.refused(number).await, error.message);
            }
        }
        let (control, unknown) = (site.cluster.controller(), DeploymentId::from("elsewhere"));
        let error = control.validate_rollback(&site.app, &unknown).await.unwrap().error.unwrap();
        assert_eq!(error.code.as_str(), "exceeded_revision_limit");
        let refused = control.roll_back(&site.app, &unknown, PINS, &caller()).await.map(|it| it.id);
        assert!(matches!(&refused, Err(ControlError::NotFound(message)) if *message == error.message), "{refused:?}");
        site.roll_back(1).await;
        control.commit_rollback(&site.app).await.unwrap();
        assert_eq!(site.check(1).await.error.unwrap().code.as_str(), "incompatible_phase", "a copy of it serves");
    });
}

#[test]
fn a_canceled_rollback_leaves_the_app_as_it_was() {
    simulate(async {
        let site = Site::new().await;
        let since = site.cluster.engine.calls().len();
        let id = site.ask(1, PINS).await.unwrap();
        site.cluster.called(since, Verb::Start, "-web-").await;
        assert_eq!(site.release().await, "1");
        site.cluster.controller().cancel(&site.app, &id).await.unwrap();
        site.cluster.settle(&site.app, Stage::Canceled).await;
        assert_eq!((site.pinned().await, site.release().await.as_str()), (None, "3"));
        assert_eq!(site.serves().await, set("3"));
        site.cluster.check_capacity(since);
    });
}

#[test]
fn a_rollback_that_does_not_become_ready_is_rolled_back_and_unpins() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let first = cluster.newest(&app).await.id;
        cluster.update(&app, "2").await;
        cluster.settle(&app, Stage::Active).await;
        // The old image never listens any more.
        let never = engine_fake::Behaviour { never_ready: true, ..Default::default() };
        cluster.engine.add_image("test/web:1", never);
        let since = cluster.engine.calls().len();
        let id = cluster.controller().roll_back(&app, &first, PINS, &caller()).await.unwrap().id;
        cluster.settle(&app, Stage::Failed).await;
        let state = cluster.state(&app).await;
        assert_eq!((state.app.pinned, state.app.spec["services"][0]["image"]["tag"].as_str()), (None, Some("2")));
        assert!(cluster.controller().deployment(&app, &id).await.unwrap().rolled_back);
        cluster.check_capacity(since);
    });
}

#[test]
fn a_deleted_app_is_deleted_whether_it_is_pinned_or_not() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let first = cluster.newest(&app).await.id;
        cluster.update(&app, "2").await;
        cluster.settle(&app, Stage::Active).await;
        let since = cluster.engine.calls().len();
        cluster.controller().roll_back(&app, &first, PINS, &caller()).await.unwrap();
        cluster.called(since, Verb::Start, "-web-").await;
        cluster.controller().delete_app(&app).await.unwrap();
        let commit = cluster.controller().commit_rollback(&app).await;
        assert!(matches!(commit, Err(ControlError::NotFound(_))), "{commit:?}");
        cluster.gone(&app).await;
    });
}

#[test]
fn a_pin_and_its_revert_survive_a_crash() {
    simulate(async {
        let mut site = Site::new().await;
        let rollback = site.roll_back(1).await;
        site.cluster.crash().await;
        site.cluster.open().await;
        assert_eq!(site.pinned().await, Some(rollback.id));
        site.forget_repository();
        site.cluster.controller().revert_rollback(&site.app, &caller()).await.unwrap();
        site.cluster.crash().await;
        site.cluster.open().await;
        site.cluster.settle(&site.app, Stage::Active).await;
        assert_eq!((site.pinned().await, site.serves().await), (None, set("3")));
    });
}
