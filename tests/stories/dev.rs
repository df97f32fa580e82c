//! `boatyard dev`: a directory as a person works in it, committed or not, served again after each change.

use std::path::PathBuf;
use std::process::Stdio;

use boatyard_tests::http;
use boatyard_tests::installation::{ENDS_WITHIN, Installation};
use boatyard_tests::load::{Load, LoadPlan, Request};
use boatyard_tests::repo::Repo;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr};

use crate::support::*;

/// A running `boatyard dev --watch`, and what it prints.
struct Dev {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    printed: Vec<String>,
}

impl Dev {
    fn start(at: &Installation, directory: &str) -> Self {
        let mut command = tokio::process::Command::from(at.command(&["dev", directory, "--watch"]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines, printed: Vec::new() }
    }

    /// Waits until a line with this text is printed, and returns it.
    async fn until_prints(&mut self, part: &str) -> String {
        let read = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.printed.push(line);
                let line = self.printed.last().unwrap();
                if line.contains(part) {
                    return line.clone();
                }
            }
            panic!("it ended without {part:?}: {:#?}", self.printed);
        };
        tokio::time::timeout(ENDS_WITHIN, read).await.unwrap_or_else(|_| panic!("it never printed {part:?}"))
    }

    /// Presses Ctrl-C. Returns the exit code.
    async fn interrupt(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(self.child.id().unwrap() as i32).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        self.until_prints("To delete it: boatyard apps delete shop-dev").await;
        tokio::time::timeout(ENDS_WITHIN, self.child.wait()).await.unwrap().unwrap().code()
    }
}

/// A repository that was never committed, with the spec of an app that other people use.
fn working_copy(at: &Installation) -> Repo {
    let repo = Repo::init(at.sources().join("shop")).unwrap();
    write_version(&repo, "1", "");
    let spec = "
name: shop
domains: [{domain: shop.example.com}]
services:
- name: web
  git: {repo_clone_url: 'https://example.com/acme/shop.git', branch: main}
  instance_count: 2
  envs: [{key: IDLE_CLOSE_MS, value: '2000', scope: RUN_TIME}]
  health_check: {http_path: /health, period_seconds: 1}
";
    repo.write("app.yaml", spec).unwrap();
    repo.write(".gitignore", "node_modules/\n").unwrap();
    repo.write("node_modules/large.js", "ignored").unwrap();
    repo
}

/// The version that the app serves. Its page is `testapp VERSION HOST`.
async fn served(at: &Installation) -> String {
    let page = http::page(at.http(), "shop-dev.localhost", "/").await.unwrap().1;
    page.split(' ').nth(1).unwrap_or(&page).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_saves_are_served_one_after_the_other_and_no_request_is_lost() {
    let at = installation().await;
    let repo = working_copy(&at);
    let mut dev = Dev::start(&at, &repo.url());
    dev.until_prints("Watching ").await;
    assert_eq!(served(&at).await, "1");
    let plan = LoadPlan::new(at.http(), "shop-dev.localhost").with(Request::get("/")).connections(20);
    let load = Load::start(plan);
    for version in 2..=11 {
        write_version(&repo, &version.to_string(), "");
        println!("{}", dev.until_prints("Serves after ").await);
        dev.until_prints("Watching ").await;
        assert_eq!(served(&at).await, version.to_string());
    }
    some_traffic(&load).await;
    let report = load.stop().await;
    println!("ten saves, 20 connections: {report}");
    assert_eq!(report.failed_count, 0, "{report}");
    assert_eq!(dev.interrupt().await, Some(0));
    assert_eq!(served(&at).await, "11", "the app stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_built_leaves_the_last_one_serving_until_it_is_corrected() {
    let at = installation().await;
    let repo = working_copy(&at);
    let mut dev = Dev::start(&at, &repo.url());
    dev.until_prints("Watching ").await;
    write_version(&repo, "2", "RUN [\"/no/such/program\"]");
    dev.until_prints("no/such/program").await;
    dev.until_prints("Watching ").await;
    assert_eq!(served(&at).await, "1");
    // An ignored file is no change: the next deployment is that of the correction.
    repo.write("node_modules/large.js", "changed").unwrap();
    write_version(&repo, "3", "");
    dev.until_prints("Serves after ").await;
    assert_eq!(served(&at).await, "3");
    assert_eq!(dev.interrupt().await, Some(0));

    // A commit of the same files is no change either: another run in this directory replaces nothing.
    let app = app_id(&at, "shop-dev").await;
    let before = at.container_ids(&app, "web").await.unwrap();
    repo.commit("the third version").unwrap();
    let again = run_cli(&at, &["dev", &repo.url()]).await;
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert!(again.out.starts_with("http://shop-dev.localhost"), "{}", again.out);
    assert_eq!(at.container_ids(&app, "web").await.unwrap(), before, "{}", again.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_site_in_the_directory_is_served_as_it_is_saved() {
    // The generated Dockerfile is built on the local image of the tests.
    let at = Installation::start_with(PROGRAM, &["--base-image", "debian=boatyard-local/python:3"]).await.unwrap();
    let repo = Repo::init(at.sources().join("shop")).unwrap();
    let spec = "
name: shop
static_sites:
- name: pages
  git: {repo_clone_url: 'https://example.com/acme/shop.git', branch: main}
  source_dir: site
";
    repo.write("app.yaml", spec).unwrap();
    repo.write("site/index.html", "the first page").unwrap();
    repo.write("site/old.css", "old").unwrap();
    let mut dev = Dev::start(&at, &repo.url());
    dev.until_prints("Watching ").await;
    let page = async |path: &str| http::page(at.http(), "shop-dev.localhost", path).await.unwrap();
    assert_eq!(page("/").await, (200, "the first page".to_owned()));
    repo.write("site/index.html", "the second page").unwrap();
    std::fs::rename(format!("{}/site/old.css", repo.url()), format!("{}/site/new.css", repo.url())).unwrap();
    dev.until_prints("Serves after ").await;
    dev.until_prints("Watching ").await;
    assert_eq!(page("/").await, (200, "the second page".to_owned()));
    assert_eq!(page("/new.css").await, (200, "old".to_owned()));
    assert_eq!(dev.interrupt().await, Some(0));
    assert_eq!(page("/").await, (200, "the second page".to_owned()), "the app stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_use_and_another_server_are_refused() {
    let at = installation().await;
    let repo = working_copy(&at);
    at.create(&shop().replace("name: shop\n", "name: shop-dev\n")).await.unwrap();
    let refused = run_cli(&at, &["dev", &repo.url()]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("there is an app shop-dev that does not run this directory"), "{}", refused.err);
    let other = run_cli(&at, &["dev", &repo.url(), "--api-url", "http://127.0.0.1:1"]).await;
    assert_eq!(other.code, Some(2), "{}", other.err);
    let missing = PathBuf::from(repo.url()).join("missing");
    let nothing = run_cli(&at, &["dev", &missing.display().to_string()]).await;
    assert!(nothing.err.contains("missing"), "{}", nothing.err);
}
