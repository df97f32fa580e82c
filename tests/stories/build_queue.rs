//! Limits of builds: how many run at once, how long one may take, and what a canceled one leaves behind.

use std::time::Instant;

use boatyard_tests::engine;
use boatyard_tests::installation::{ENDS_WITHIN, Installation};
use boatyard_tests::repo::Repo;
use serde_json::{Value, json};

use crate::support::*;

/// A repository whose build runs `sleep SECONDS`.
fn slow_repo(at: &Installation, seconds: u64) -> Repo {
    let repo = Repo::init(at.sources().join("slow")).unwrap();
    repo.write("Dockerfile", &format!("FROM boatyard-local/python:3\nRUN sleep {seconds}\n")).unwrap();
    repo.commit("a build that takes long").unwrap();
    repo
}

/// A number of seconds that no other process of this machine sleeps, and that never passes.
fn unique_seconds() -> u64 {
    1_000_000_000 + u64::from(rand::random::<u32>())
}

fn spec(name: &str, services: &[&str], repo: &Repo) -> String {
    let url = repo.url();
    let service = |it: &&str| {
        format!(
            "- name: {it}\n  git: {{repo_clone_url: '{url}', branch: main}}\n  dockerfile_path: Dockerfile\n  \
             routes: [{{path: /{it}}}]\n  health_check: {{http_path: /health, period_seconds: 1}}\n"
        )
    };
    format!("name: {name}\nservices:\n{}", services.iter().map(service).collect::<String>())
}

/// Creates an app without waiting for it. Returns its id and its deployment.
async fn begin(at: &Installation, name: &str, spec: &str) -> (String, String) {
    let created = run_cli(at, &["apps", "create", "--spec", &spec_file(at, spec)]).await;
    assert_eq!(created.code, Some(0), "{}", created.err);
    let answer = at.ok("GET", &format!("/v2/apps/{name}/deployments"), None).await.unwrap();
    (app_id(at, name).await, answer["deployments"][0]["id"].as_str().unwrap().to_owned())
}

/// Whether a process on this machine sleeps for so many seconds.
fn sleeps(seconds: u64) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.any(|line| line == format!("sleep\0{seconds}\0").as_bytes())
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < ENDS_WITHIN, "never: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn build_log(at: &Installation, app: &str, component: &str) -> String {
    run_cli(at, &["apps", "logs", app, component, "--type", "build"]).await.out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_waits_in_the_queue_until_another_is_canceled_and_equal_sources_are_built_once() {
    let at = Installation::start_with(PROGRAM, &["--parallel-builds", "1"]).await.unwrap();
    let seconds = unique_seconds();
    let (slow, fast) = (slow_repo(&at, seconds), versioned(&at, "fast"));
    let (slow_app, slow_deployment) = begin(&at, "slow", &spec("slow", &["web"], &slow)).await;
    until("the build begins", || sleeps(seconds)).await;

    let (app, deployment) = begin(&at, "shop", &spec("shop", &["web", "api"], &fast)).await;
    at.until_waiting(&app, &deployment, "position 1 in the queue of builds").await.unwrap();
    let canceled = Instant::now();
    at.ok("POST", &format!("/v2/apps/{slow_app}/deployments/{slow_deployment}/cancel"), Some(&json!({})))
        .await
        .unwrap();
    until("the canceled step ends", || !sleeps(seconds)).await;
    println!("the canceled step ended after {:.1} s", canceled.elapsed().as_secs_f32());
    let ended = at.wait(&slow_app, &slow_deployment).await.unwrap();
    assert_eq!(ended["phase"], "CANCELED");

    at.wait_active(&app, &deployment).await.unwrap();
    let logs = [build_log(&at, "shop", "web").await, build_log(&at, "shop", "api").await];
    let count = |text: &str| logs.iter().map(|it| it.matches(text).count()).sum::<usize>();
    assert_eq!((count("Building boatyard-"), count("Nothing to build")), (1, 1), "{logs:?}");
    assert!(count("Waiting for other builds to end; position 1 in the queue") > 0, "{logs:?}");
    assert!(count(" done in ") > 0, "{logs:?}");
    let tags = engine::app_tags_of(&at.id().unwrap()).await.unwrap();
    let of_slow = tags.iter().filter(|it| it.contains(&slow_app)).count();
    assert_eq!((tags.len(), of_slow), (2, 0), "{tags:?}");
}

/// Takes a minute, which is the shortest limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_takes_too_long_is_ended() {
    let at = Installation::start_with(PROGRAM, &["--build-time-limit", "1"]).await.unwrap();
    let seconds = unique_seconds();
    let repo = slow_repo(&at, seconds);
    let (app, deployment) = begin(&at, "slow", &spec("slow", &["web"], &repo)).await;
    let ended: Value = at.wait(&app, &deployment).await.unwrap();
    assert_eq!(ended["phase"], "ERROR", "{ended:#}");
    until("the step ends", || !sleeps(seconds)).await;
    let log = build_log(&at, "slow", "web").await;
    assert!(log.contains("after 1 min") && log.contains("--build-time-limit"), "{log}");
}
