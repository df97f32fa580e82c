//! The newest commit of each source, looked up without building.

use app_spec::AppSpec;
use rollout::deployment::Stage;

use super::cluster::{TestCluster, caller, commit};
use super::simulation::simulate;
use crate::Control;
use crate::view::{BuildPlanView, BuiltWith, SourceHeadView, SourceLocation};

const SPEC: &str = "
name: site
services:
- name: web
  git: {repo_clone_url: 'https://example.com/site.git'}
  dockerfile_path: Dockerfile
  http_port: 8080
- name: cache
  image: {registry_type: DOCKER_HUB, registry: test, repository: web, tag: '1'}
  http_port: 8080
  internal_ports: [9000]
workers:
- name: mill
  git: {repo_clone_url: 'https://example.com/site.git'}
  dockerfile_path: Dockerfile
- name: other
  git: {repo_clone_url: 'https://example.com/site.git', branch: next}
  dockerfile_path: Dockerfile
";

fn spec() -> AppSpec {
    AppSpec::from_yaml(SPEC).unwrap().spec
}

/// Each source in one line.
fn lines(heads: &[SourceHeadView]) -> Vec<String> {
    let line = |it: &SourceHeadView| {
        let components = it.components.iter().map(|(name, commit)| match commit {
            Some(commit) => format!("{name} serves {}", &commit[..1]),
            None => name.to_string(),
        });
        let newest = match &it.location {
            SourceLocation::Repository { address, branch, newest } => {
                let newest = newest.as_ref().map(|it| format!("{} {}", &it.id[..1], it.subject));
                format!("{address} {} -> {}", branch.as_deref().unwrap_or("?"), newest.unwrap_or_else(String::clone))
            }
            SourceLocation::Image { name, version } => format!("image {name}, tag {version}"),
        };
        format!("{}: {newest}", components.collect::<Vec<_>>().join(", "))
    };
    heads.iter().map(line).collect()
}

#[test]
fn each_source_is_looked_up_once_and_shows_what_serves() {
    simulate(async {
        let cluster = TestCluster::new().await;
        cluster.image_builder.push(&commit('1'));
        let app = cluster.controller().create_app(spec(), &caller()).await.unwrap().id;
        cluster.reach(&cluster.newest(&app).await.id, Stage::Active).await;
        cluster.image_builder.push(&commit('2'));
        let (since, deployments) = (cluster.engine.calls().len(), cluster.state(&app).await.deployments.len());
        let heads = cluster.controller().source_heads(&app).await.unwrap();
        let expected = [
            "web serves 1, mill serves 1: https://example.com/site.git main -> 2 Say hello",
            "cache: image test/web, tag 1",
            "other serves 1: https://example.com/site.git next -> 2 Say hello",
        ];
        assert_eq!(lines(&heads), expected);
        assert_eq!(cluster.image_builder.looked_up(), 2, "once for each branch");
        assert_eq!(cluster.engine.calls()[since..].iter().filter(|it| it.verb.changes()).count(), 0);
        assert_eq!(cluster.state(&app).await.deployments.len(), deployments);
    });
}

#[test]
fn a_server_that_does_not_answer_is_named_and_the_rest_is_shown() {
    simulate(async {
        let cluster = TestCluster::new().await;
        cluster.image_builder.become_unreachable();
        let began = tokio::time::Instant::now();
        let heads = cluster.controller().source_heads_of(&spec()).await;
        assert!(began.elapsed().as_secs() <= 10, "both branches at once: {:?}", began.elapsed());
        let why = "https://example.com/site.git could not be looked up within 10 s";
        assert_eq!(
            lines(&heads),
            [
                format!("web, mill: https://example.com/site.git ? -> {why}"),
                "cache: image test/web, tag 1".into(),
                format!("other: https://example.com/site.git next -> {why}"),
            ]
        );
    });
}

#[test]
fn a_dockerfile_that_is_missing_in_the_newest_commit_is_named() {
    simulate(async {
        let cluster = TestCluster::new().await;
        cluster.image_builder.push(&commit('1'));
        let wrong = SPEC.replacen("dockerfile_path: Dockerfile", "dockerfile_path: missing", 1);
        let heads = cluster.controller().source_heads_of(&AppSpec::from_yaml(&wrong).unwrap().spec).await;
        let problems: Vec<_> = heads.iter().flat_map(|it| &it.problems).collect();
        assert_eq!(problems, ["web: no Dockerfile at \"missing\" in commit 1111111; found: Dockerfile"]);
    });
}

#[test]
fn each_component_is_shown_with_what_it_would_be_built_with() {
    simulate(async {
        let cluster = TestCluster::new().await;
        cluster.image_builder.push(&commit('1'));
        let detected = SPEC.replacen("dockerfile_path: Dockerfile", "environment_slug: html\n  source_dir: /pages", 1);
        let heads = cluster.controller().source_heads_of(&AppSpec::from_yaml(&detected).unwrap().spec).await;
        let builds: Vec<_> = heads.iter().flat_map(|it| &it.builds).collect();
        let line = |it: &&BuildPlanView| match &it.with {
            BuiltWith::Dockerfile { path, .. } => format!("{} {path}", it.component),
            BuiltWith::Generated { language, slug, .. } => {
                format!("{} in {}: {language} {}", it.component, it.source_dir, slug.as_deref().unwrap_or_default())
            }
        };
        assert_eq!(
            builds.iter().map(line).collect::<Vec<_>>(),
            ["web in pages: static files html", "mill Dockerfile", "other Dockerfile"]
        );
    });
}

#[test]
fn an_address_that_is_not_allowed_is_refused_without_a_look_up() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let plain = SPEC.replace("https:", "http:");
        let heads = cluster.controller().source_heads_of(&AppSpec::from_yaml(&plain).unwrap().spec).await;
        assert!(lines(&heads)[0].contains("-> http:// is refused"), "{:?}", lines(&heads));
        assert_eq!(cluster.image_builder.looked_up(), 0);
    });
}
