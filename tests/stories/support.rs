//! Specs, repositories and traffic that several stories use.

use boatyard_tests::installation::{ENDS_WITHIN, Installation};
use boatyard_tests::load::{Load, LoadPlan, Request};
use boatyard_tests::repo::Repo;
use serde_json::Value;

/// The binary from the same build.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_boatyard");

/// A fresh installation.
pub async fn installation() -> Installation {
    Installation::start(PROGRAM).await.unwrap()
}

/// The image whose behavior its environment variables configure.
pub const TESTAPP: &str = "{registry_type: DOCKER_HUB, registry: boatyard-local, repository: testapp, tag: '1'}";

/// A service `web` of two instances that close idle connections after 2 s, a service `api` under `/api`, a worker `mill`.
pub fn shop() -> String {
    format!(
        "
name: shop
services:
- name: web
  image: {TESTAPP}
  instance_count: 2
  routes: [{{path: /}}]
  envs: [{{key: IDLE_CLOSE_MS, value: '2000'}}, {{key: NAME, value: web}}]
  health_check: {{http_path: /health, period_seconds: 1}}
- name: api
  image: {TESTAPP}
  routes: [{{path: /api}}]
  envs: [{{key: IDLE_CLOSE_MS, value: '2000'}}, {{key: NAME, value: api}}]
  health_check: {{http_path: /health, period_seconds: 1}}
workers:
- name: mill
  image: {TESTAPP}
  run_command: /bin/testapp work
"
    )
}

/// GETs and POSTs with bodies to both services of [`shop`] over `connections` keep-alive connections.
pub fn traffic(at: &Installation, connections: usize) -> Load {
    Load::start(shop_plan(at).connections(connections))
}

/// The same at a steady rate.
pub fn steady_traffic(at: &Installation, connections: usize, per_second: f64) -> Load {
    Load::start(shop_plan(at).connections(connections).rate(per_second))
}

/// GETs of the page of `shop` over `connections` keep-alive connections.
pub fn web_traffic(at: &Installation, connections: usize) -> Load {
    Load::start(LoadPlan::new(at.http(), "shop.localhost").with(Request::get("/")).connections(connections))
}

fn shop_plan(at: &Installation) -> LoadPlan {
    LoadPlan::new(at.http(), "shop.localhost")
        .with(Request::get("/"))
        .with(Request::echo("/echo", vec![b'x'; 1024]))
        .with(Request::get("/api/"))
        .with(Request::echo("/api/echo", vec![b'y'; 200]))
}

/// The id of an app, by name.
pub async fn app_id(at: &Installation, name: &str) -> String {
    let app = at.ok("GET", &format!("/v2/apps/{name}"), None).await.unwrap();
    app["app"]["id"].as_str().unwrap().to_owned()
}

/// The output of a command and its exit code.
pub struct Output {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs a command and waits for it to exit.
pub async fn run_cli(at: &Installation, args: &[&str]) -> Output {
    let output = at.cli(args).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Writes a spec to a file. Returns the path, for a command.
pub fn spec_file(at: &Installation, spec: &str) -> String {
    let path = at.sources().join("app.yaml");
    std::fs::write(&path, spec).unwrap();
    path.display().to_string()
}

/// A repository whose image answers with this version.
pub fn versioned(at: &Installation, name: &str) -> Repo {
    let repo = Repo::init(at.sources().join(name)).unwrap();
    write_version(&repo, "1", "");
    repo.commit("the first version").unwrap();
    repo
}

/// Changes what the repository's image answers. `more`: additional lines of its Dockerfile.
pub fn write_version(repo: &Repo, version: &str, more: &str) {
    repo.write(
        "Dockerfile",
        &format!("FROM boatyard-local/testapp:1\nENV VERSION={version}\n{more}\nCOPY page /page\n"),
    )
    .unwrap();
    repo.write("page", version).unwrap();
}

/// Services `web` (two instances) and `api` built from two repositories.
pub fn built_shop(web: &Repo, api: &Repo) -> String {
    let source = |repo: &Repo| format!("git: {{repo_clone_url: '{}', branch: main}}", repo.url());
    format!(
        "
name: shop
services:
- name: web
  {web}
  instance_count: 2
  routes: [{{path: /}}]
  envs: [{{key: NAME, value: web, scope: RUN_TIME}}]
  health_check: {{http_path: /health, period_seconds: 1}}
- name: api
  {api}
  routes: [{{path: /api}}]
  envs: [{{key: NAME, value: api, scope: RUN_TIME}}]
  health_check: {{http_path: /health, period_seconds: 1, failure_threshold: 3}}
",
        web = source(web),
        api = source(api)
    )
}

/// The page of `shop`, or of its `api` with `/api/`.
pub async fn page(at: &Installation, path: &str) -> String {
    let (status, text) = boatyard_tests::http::page(at.http(), "shop.localhost", path).await.unwrap();
    assert_eq!(status, 200, "{path}: {text}");
    text
}

/// How many requests failed during a rollout, according to the deployment's record.
pub fn failed_in_record(deployment: &Value) -> u64 {
    deployment["boatyard"]["record"]["served"]["failed"].as_u64().unwrap_or(u64::MAX)
}

/// Waits until traffic has reached every instance. Counts requests, not seconds.
pub async fn some_traffic(load: &Load) {
    load.reach(load.snapshot().sent + 200, ENDS_WITHIN).await.unwrap();
}
