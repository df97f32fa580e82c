//! A deployment builds the commit that it resolved first, even if a controller dies or a user pushes meanwhile.

use app_spec::AppSpec;
use rollout::deployment::Stage;
use rollout::ids::{AppId, ComponentName, DeploymentId};
use store::records::Deployment;

use super::cluster::{TestCluster, caller, commit};
use super::simulation::simulate;
use crate::Control;
use crate::view::DeployOptions;

const SPEC: &str = "
name: site
services:
- name: web
  git: {repo_clone_url: 'https://example.com/site.git', branch: main}
  dockerfile_path: Dockerfile
  http_port: 8080
";

/// The controller dies during a build, and a user force-pushes to the branch.
async fn cut_short() -> (TestCluster, DeploymentId) {
    let mut cluster = TestCluster::new().await;
    cluster.image_builder.push(&commit('1'));
    cluster.image_builder.hold(true);
    let spec = AppSpec::from_yaml(SPEC).unwrap().spec;
    let app = cluster.controller().create_app(spec, &caller()).await.unwrap().id;
    let web = ComponentName::from("web");
    let id = cluster
        .until(async || {
            let newest = cluster.newest(&app).await;
            newest.commits.contains_key(&web).then_some(newest.id).ok_or_else(|| "not resolved".into())
        })
        .await;
    cluster.crash().await;
    cluster.image_builder.push(&commit('2'));
    cluster.open().await;
    (cluster, id)
}

fn built(deployment: &Deployment) -> Option<&str> {
    deployment.images.values().find_map(|it| it.commit.as_deref())
}

#[test]
fn an_interrupted_build_starts_again_with_the_same_commit() {
    simulate(async {
        let (cluster, id) = cut_short().await;
        cluster.image_builder.hold(false);
        let active = cluster.reach(&id, Stage::Active).await;
        assert_eq!(built(&active), Some(commit('1').as_str()));
    });
}

#[test]
fn a_missing_commit_is_an_error_and_no_newer_commit_is_built_instead() {
    simulate(async {
        let (cluster, id) = cut_short().await;
        cluster.image_builder.vanish(&commit('1'));
        cluster.image_builder.hold(false);
        let failed = cluster.reach(&id, Stage::Failed).await;
        let message = failed.failure.clone().unwrap().message;
        assert!(message.contains(&commit('1')) && message.contains("force-push"), "{message}");
        assert_eq!(built(&failed), None);
    });
}

#[test]
fn a_cleared_build_cache_is_that_of_one_app_and_stays_cleared() {
    simulate(async {
        let cluster = TestCluster::new().await;
        cluster.image_builder.push(&commit('1'));
        let create = async |name: &str| {
            let spec = AppSpec::from_yaml(&SPEC.replace("name: site", &format!("name: {name}"))).unwrap().spec;
            let app = cluster.controller().create_app(spec, &caller()).await.unwrap().id;
            cluster.reach(&cluster.newest(&app).await.id, Stage::Active).await;
            app
        };
        let rebuild = async |app: &AppId, clear_cache: bool| {
            let options = DeployOptions { force_build: true, clear_cache };
            let id = cluster.controller().deploy(app, options, &caller()).await.unwrap().id;
            cluster.reach(&id, Stage::Active).await;
        };
        let (site, other) = (create("site").await, create("other").await);
        rebuild(&site, false).await;
        rebuild(&site, true).await;
        rebuild(&site, false).await;
        rebuild(&other, false).await;
        let scopes = cluster.image_builder.cache_scopes();
        let [first, of_other, same, cleared, still, of_other_later] = &scopes[..] else { panic!("{scopes:?}") };
        assert_eq!((first, cleared, of_other), (same, still, of_other_later), "{scopes:?}");
        assert_eq!(*cleared, format!("{first}-3"), "the number of the deployment that cleared the cache");
    });
}

/// The controller removes unused mirrors once an hour.
#[test]
fn only_mirrors_of_repositories_that_an_app_names_are_kept() {
    simulate(async {
        let cluster = TestCluster::new().await;
        cluster.image_builder.push(&commit('1'));
        let spec = AppSpec::from_yaml(SPEC).unwrap().spec;
        let app = cluster.controller().create_app(spec, &caller()).await.unwrap().id;
        let deployment = cluster.newest(&app).await.id;
        cluster.reach(&deployment, Stage::Active).await;
        let two_hours = std::time::Duration::from_secs(2 * 60 * 60);
        tokio::time::sleep(two_hours).await;
        assert_eq!(cluster.image_builder.kept(), Some(["https://example.com/site.git".to_owned()].into()));
        cluster.controller().delete_app(&app).await.unwrap();
        cluster.gone(&app).await;
        tokio::time::sleep(two_hours).await;
        assert_eq!(cluster.image_builder.kept(), Some([].into()));
    });
}

#[test]
fn a_forbidden_repository_is_refused_before_anything_is_stored() {
    simulate(async {
        let cluster = TestCluster::new().await;
        for address in ["http://example.com/site.git", "/etc"] {
            let spec = AppSpec::from_yaml(&SPEC.replace("https://example.com/site.git", address)).unwrap().spec;
            let error = cluster.controller().create_app(spec, &caller()).await.err().unwrap();
            assert!(error.to_string().starts_with("web: "), "{error}");
        }
        assert_eq!(cluster.store().apps().await.unwrap().len(), 0);
    });
}
