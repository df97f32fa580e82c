//! An update keeps the commits and images of components whose source stays the same, unless it asks for the newest.

use std::collections::BTreeSet;

use app_spec::AppSpec;
use engine::Engine;
use engine_fake::{Behaviour, Verb};
use rollout::deployment::Stage;
use rollout::ids::{AppId, ComponentName, DeploymentId};
use store::records::{Change, Deployment, Image};

use super::cluster::{TestCluster, caller, commit, spec};
use super::simulation::simulate;
use crate::Control;
use crate::view::{DeployOptions, UpdateOptions};

const SPEC: &str = "
name: site
services:
- name: web
  git: {repo_clone_url: 'https://example.com/site.git', branch: main}
  dockerfile_path: Dockerfile
  http_port: 8080
  instance_count: 2
workers:
- name: mill
  git: {repo_clone_url: 'https://example.com/site.git', branch: main}
  dockerfile_path: Dockerfile
";

const KEEP: UpdateOptions = UpdateOptions { update_sources: false, replaces: None };
const NEWEST: UpdateOptions = UpdateOptions { update_sources: true, replaces: None };

fn read(text: &str) -> AppSpec {
    AppSpec::from_yaml(text).unwrap().spec
}

/// The test spec with a variable that only the running service gets.
fn with_variable() -> String {
    SPEC.replace("  http_port: 8080", "  http_port: 8080\n  envs: [{key: A, value: b, scope: RUN_TIME}]")
}

/// A cluster in which commit 1 of the site serves. Commit 2 was pushed since.
async fn behind() -> (TestCluster, AppId) {
    let cluster = TestCluster::new().await;
    cluster.image_builder.push(&commit('1'));
    let app = cluster.controller().create_app(read(SPEC), &caller()).await.unwrap().id;
    cluster.settle(&app, Stage::Active).await;
    cluster.image_builder.push(&commit('2'));
    (cluster, app)
}

async fn update(cluster: &TestCluster, app: &AppId, text: &str, options: UpdateOptions) -> DeploymentId {
    cluster.controller().update_app(app, read(text), options, &caller()).await.unwrap();
    cluster.newest(app).await.id
}

fn image<'a>(deployment: &'a Deployment, component: &str) -> &'a Image {
    &deployment.images[&ComponentName::from(component)]
}

/// The commits of the components, by name.
fn commits(deployment: &Deployment) -> Vec<String> {
    deployment.images.iter().map(|(name, it)| format!("{name} {}", &it.commit.as_deref().unwrap()[..1])).collect()
}

#[test]
fn an_update_keeps_the_commits_that_serve() {
    simulate(async {
        let (cluster, app) = behind().await;
        let mill = cluster.names(&app, "mill").await;
        let plan = cluster.controller().preview_update(Some(&app), read(&with_variable()), KEEP).await.unwrap();
        let keeps = ["keep commit 111111111111 of web and its image", "keep commit 111111111111 of mill and its image"];
        assert_eq!(plan.steps[..2], keeps);
        let active = cluster.reach(&update(&cluster, &app, &with_variable(), KEEP).await, Stage::Active).await;
        assert_eq!(commits(&active), ["mill 1", "web 1"]);
        assert_eq!(cluster.names(&app, "mill").await, mill, "nothing of it changed");
    });
}

#[test]
fn an_update_that_asks_for_the_newest_sources_deploys_them_even_if_the_spec_is_equal() {
    simulate(async {
        let (cluster, app) = behind().await;
        let before = cluster.newest(&app).await.id;
        assert_eq!(update(&cluster, &app, SPEC, KEEP).await, before, "nothing to do");
        let plan = cluster.controller().preview_update(Some(&app), read(SPEC), NEWEST).await.unwrap();
        assert!(plan.steps[0].starts_with("fetch the source of web; only if"), "{:#?}", plan.steps);
        let newest = update(&cluster, &app, SPEC, NEWEST).await;
        assert_ne!(newest, before);
        let active = cluster.reach(&newest, Stage::Active).await;
        assert_eq!(commits(&active), ["mill 2", "web 2"]);
    });
}

#[test]
fn only_new_and_changed_sources_are_resolved() {
    simulate(async {
        let (cluster, app) = behind().await;
        let mill = SPEC.split("workers:\n").nth(1).unwrap();
        let more = SPEC.to_owned() + &mill.replace("name: mill", "name: more");
        let plan = cluster.controller().preview_update(Some(&app), read(&more), KEEP).await.unwrap();
        assert_eq!(plan.steps[2], "fetch the source of more, which is new, and build it");
        let active = cluster.reach(&update(&cluster, &app, &more, KEEP).await, Stage::Active).await;
        assert_eq!(commits(&active), ["mill 1", "more 2", "web 1"]);
        let branch = more.replacen("branch: main", "branch: next", 1);
        let active = cluster.reach(&update(&cluster, &app, &branch, KEEP).await, Stage::Active).await;
        assert_eq!(commits(&active), ["mill 1", "more 2", "web 2"]);
    });
}

#[test]
fn other_requests_take_the_newest_sources_and_a_restart_takes_none() {
    simulate(async {
        let (cluster, app) = behind().await;
        cluster.restart(&app).await;
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(commits(&cluster.newest(&app).await), ["mill 1", "web 1"]);
        let mut options =
            [DeployOptions::default(), DeployOptions { force_build: true, clear_cache: false }].into_iter();
        for digit in ['2', '3'] {
            cluster.image_builder.push(&commit(digit));
            let view = cluster.controller().deploy(&app, options.next().unwrap(), &caller()).await.unwrap();
            let active = cluster.reach(&view.id, Stage::Active).await;
            assert_eq!(commits(&active), [format!("mill {digit}"), format!("web {digit}")]);
        }
        cluster.image_builder.push(&commit('4'));
        let active = cluster.reach(&update(&cluster, &app, &with_variable(), KEEP).await, Stage::Active).await;
        assert_eq!(commits(&active), ["mill 3", "web 3"]);
    });
}

#[test]
fn an_update_keeps_what_serves_after_a_failed_and_beside_an_unfinished_deployment() {
    simulate(async {
        let (cluster, app) = behind().await;
        cluster.image_builder.vanish(&commit('2'));
        let view = cluster.controller().deploy(&app, DeployOptions::default(), &caller()).await.unwrap();
        cluster.reach(&view.id, Stage::Failed).await;
        cluster.image_builder.push(&commit('3'));
        let active = cluster.reach(&update(&cluster, &app, &with_variable(), KEEP).await, Stage::Active).await;
        assert_eq!(commits(&active), ["mill 1", "web 1"]);

        cluster.image_builder.hold(true);
        let newest = cluster.controller().deploy(&app, DeployOptions::default(), &caller()).await.unwrap();
        cluster.reach(&newest.id, Stage::Building).await;
        let waits = update(&cluster, &app, SPEC, KEEP).await;
        cluster.image_builder.hold(false);
        let active = cluster.reach(&waits, Stage::Active).await;
        assert_eq!(commits(&active), ["mill 3", "web 3"], "by then the commit of the other one serves");
    });
}

#[test]
fn a_kept_commit_needs_no_repository_until_it_has_to_be_built() {
    simulate(async {
        let (cluster, app) = behind().await;
        cluster.image_builder.vanish(&commit('1'));
        let active = cluster.reach(&update(&cluster, &app, &with_variable(), KEEP).await, Stage::Active).await;
        assert_eq!(commits(&active), ["mill 1", "web 1"]);

        let serving: BTreeSet<_> = cluster.names(&app, "web").await;
        let other = SPEC.replacen("dockerfile_path: Dockerfile", "dockerfile_path: other/Dockerfile", 1);
        let plan = cluster.controller().preview_update(Some(&app), read(&other), KEEP).await.unwrap();
        assert_eq!(plan.steps[0], "keep commit 111111111111 of web, and build it with the new settings");
        let failed = cluster.reach(&update(&cluster, &app, &other, KEEP).await, Stage::Failed).await;
        let message = failed.failure.unwrap().message;
        assert!(message.starts_with(&format!("web: commit {} does not exist", commit('1'))), "{message}");
        for way in ["boatyard apps update site --spec FILE --update-sources", "boatyard apps create-deployment site"] {
            assert!(message.contains(way), "{message}");
        }
        assert_eq!(cluster.names(&app, "web").await, serving);
        let active = cluster.reach(&update(&cluster, &app, &other, NEWEST).await, Stage::Active).await;
        assert_eq!(commits(&active), ["mill 2", "web 2"], "the way out");
    });
}

#[test]
fn a_kept_commit_is_built_with_the_new_settings() {
    simulate(async {
        let (cluster, app) = behind().await;
        let other = SPEC.replacen("dockerfile_path: Dockerfile", "dockerfile_path: other/Dockerfile", 1);
        let active = cluster.reach(&update(&cluster, &app, &other, KEEP).await, Stage::Active).await;
        assert_eq!(commits(&active), ["mill 1", "web 1"]);
        assert!(image(&active, "web").built && !image(&active, "mill").built, "{:?}", active.images);
    });
}

/// The test spec of prebuilt images, with larger instances.
fn prebuilt() -> AppSpec {
    let mut changed = spec("1");
    changed.services[0].common.instance_size_slug = Some("apps-s-1vcpu-1gb".into());
    changed
}

#[test]
fn a_prebuilt_image_is_kept_although_its_tag_moved() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let served = image(&cluster.newest(&app).await, "web").clone();
        // A local build, which no registry has under this name.
        cluster.engine.add_image("test/other:1", Behaviour::default());
        cluster.engine.tag("test/other:1", "test/web:1").await.unwrap();
        let update = async |options| {
            cluster.controller().update_app(&app, prebuilt(), options, &caller()).await.unwrap();
            cluster.settle(&app, Stage::Active).await;
            image(&cluster.newest(&app).await, "web").clone()
        };
        assert_eq!(update(KEEP).await.id, served.id);
        let newest = update(NEWEST).await;
        assert_eq!(Some(newest.id), cluster.engine.image("test/other:1").await.unwrap());
    });
}

#[test]
fn the_newest_image_of_a_tag_is_asked_of_its_registry() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let pulls = |since: usize| {
            let calls = cluster.engine.calls().split_off(since).into_iter();
            calls.filter(|it| it.verb == Verb::Pull).map(|it| it.what).collect::<BTreeSet<_>>()
        };
        let since = cluster.engine.calls().len();
        cluster.controller().update_app(&app, spec("2"), KEEP, &caller()).await.unwrap();
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(pulls(since), BTreeSet::new(), "the engine has the images");
        let plan = cluster.controller().preview_update(Some(&app), spec("2"), NEWEST).await.unwrap();
        assert_eq!(plan.steps[0], "pull image test/web:2 for web");
        cluster.controller().update_app(&app, spec("2"), NEWEST, &caller()).await.unwrap();
        cluster.settle(&app, Stage::Active).await;
        let all = ["test/migrate:1", "test/mill:1", "test/web:2"].map(str::to_owned);
        assert_eq!(pulls(since), all.into());
    });
}

#[test]
fn a_kept_image_that_is_gone_is_pulled_by_its_digest_or_else_by_its_tag() {
    simulate(async {
        let (mut cluster, app) = TestCluster::with_app().await;
        let served = image(&cluster.newest(&app).await, "web").clone();
        assert_eq!(served.digest, Some(format!("test/web@{}", served.id)));
        cluster.engine.remove_image_by_hand("test/web:1");
        cluster.controller().update_app(&app, prebuilt(), KEEP, &caller()).await.unwrap();
        cluster.settle(&app, Stage::Active).await;
        let newest = cluster.newest(&app).await;
        assert_eq!(image(&newest, "web").id, served.id);
        assert_eq!(image(&newest, "web").note, "pulled again: the image that serves");

        // As recorded by an older version.
        cluster.crash().await;
        cluster
            .tamper(&app, |state| {
                let deployments = state.deployments.into_iter().map(|mut it| {
                    it.images.values_mut().for_each(|image| (image.digest, image.origin) = (None, None));
                    Change::Deployment(Box::new(it))
                });
                deployments.collect()
            })
            .await;
        cluster.engine.remove_image_by_hand(&served.id);
        cluster.open().await;
        cluster.controller().update_app(&app, spec("1"), KEEP, &caller()).await.unwrap();
        cluster.settle(&app, Stage::Active).await;
        let notes = cluster.newest(&app).await.record.notes.join("\n");
        let expected =
            format!("web: the image {} that serves is no longer on the engine; its tag test/web:1", served.id);
        assert!(notes.contains(&expected), "{notes}");
    });
}

/// As after an upgrade: the records say nothing about the origin of an image, so the spec of its deployment does.
#[test]
fn images_that_an_older_version_recorded_are_kept_too() {
    simulate(async {
        let (mut cluster, app) = behind().await;
        cluster.crash().await;
        cluster
            .tamper(&app, |state| {
                let deployments = state.deployments.into_iter().map(|mut it| {
                    it.images.values_mut().for_each(|image| image.origin = None);
                    Change::Deployment(Box::new(it))
                });
                deployments.collect()
            })
            .await;
        cluster.open().await;
        let active = cluster.reach(&update(&cluster, &app, &with_variable(), KEEP).await, Stage::Active).await;
        assert_eq!(commits(&active), ["mill 1", "web 1"]);
        let other = SPEC.replacen("branch: main", "branch: next", 1);
        let active = cluster.reach(&update(&cluster, &app, &other, KEEP).await, Stage::Active).await;
        assert_eq!(commits(&active), ["mill 1", "web 2"]);
    });
}
