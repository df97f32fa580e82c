//! `make screenshots`: photographs every page of the control panel, light and dark, on a phone and on a wide screen, to
//! `target/screenshots`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use boatyard_tests::browser::{Browser, Theme, css};
use boatyard_tests::installation::{ENDS_WITHIN, Installation, sibling_program};
use boatyard_tests::load::{Load, LoadPlan, Request};
use boatyard_tests::panel::{PAGES, Panel};
use boatyard_tests::repo::Repo;
use serde_json::json;

/// Width and height in CSS pixels, and whether it is a phone.
const SCREENS: [(&str, u32, u32, bool); 2] = [("phone", 390, 844, true), ("wide", 1280, 800, false)];
const THEMES: [(&str, Theme); 2] = [("light", Theme::Light), ("dark", Theme::Dark)];

/// Whether the parts of a page that load after it are there: plans, and the first lines of a log.
const IS_COMPLETE: &str =
    "return !document.querySelector('[aria-busy=true]') && !document.querySelector('main [data-log] .log:empty')";

#[tokio::main]
async fn main() -> ExitCode {
    boatyard_tests::exit_code(run().await)
}

async fn run() -> Result<()> {
    let browser = Browser::start_required().await?;
    let at = Installation::start(sibling_program()).await?;
    let directory = directory()?;
    let camera = Camera { directory };
    camera.take(&browser, &format!("http://{}", at.api()), &[("sign-in", "/sign-in")]).await?;
    let panel = Panel::sign_in(at, browser).await?;
    camera.take(&panel.browser, &panel.url(""), &[("first-run", "/")]).await?;

    let repo = Repo::init(panel.at.sources().join("shop"))?;
    commit(&repo, "2.3.0", "Show the delivery date in the basket")?;
    panel.at.create(&spec("shop", &repo)).await?;
    panel.at.create("name: blog\nservices: [{name: site, image: {registry_type: DOCKER_HUB, registry: boatyard-local, repository: testapp, tag: '1'}}]").await?;
    let plan = LoadPlan::new(panel.at.http(), "shop.localhost").with(Request::get("/")).connections(4).rate(40.0);
    let load = Load::start(plan);
    load.reach(1_500, ENDS_WITHIN).await?;
    commit(&repo, "2.4.0", "Add a wish list")?;
    let update = panel.at.deploy("shop", json!({})).await?;
    panel.at.wait_active("shop", &update).await?;
    camera.take(&panel.browser, &panel.url(""), PAGES).await?;

    // Pages of a moment: while instances are replaced, and after a failure.
    panel.at.restart("shop", &[]).await?;
    panel.go("/apps/shop/deployments/3").await?;
    panel.browser.until_shows(css("main .lane"), "starting").await?;
    camera
        .take(&panel.browser, &panel.url(""), &[("rolling", "/apps/shop/deployments/3"), ("busy", "/apps/shop")])
        .await?;
    panel.go("/apps/shop/deployments/3").await?;
    panel.until_phase("Active").await?;
    repo.write(
        "Dockerfile",
        &dockerfile("2.5.0", "ENV EXIT_AFTER_MS=1 PRINT=\"error: the database schema is older than this version\""),
    )?;
    repo.commit("Pay with vouchers")?;
    let failing = panel.at.deploy("shop", json!({})).await?;
    panel.at.wait("shop", &failing).await?;
    camera.take(&panel.browser, &panel.url(""), &[("failed", "/apps/shop/deployments/4")]).await
}

fn spec(name: &str, repo: &Repo) -> String {
    let source = format!("git: {{repo_clone_url: '{}', branch: main}}", repo.url());
    let envs = |name: &str| {
        format!(
            "[{{key: NAME, value: {name}, scope: RUN_TIME}}, {{key: START_DELAY_MS, value: '2500', scope: RUN_TIME}}]"
        )
    };
    format!(
        "
name: {name}
services:
- name: web
  {source}
  instance_count: 3
  routes: [{{path: /}}]
  envs: {web}
  health_check: {{http_path: /health, period_seconds: 1}}
- name: api
  {source}
  instance_count: 2
  routes: [{{path: /api}}]
  envs: {api}
  health_check: {{http_path: /health, period_seconds: 1, failure_threshold: 5}}
workers:
- name: mailer
  {source}
  run_command: /bin/testapp work
jobs:
- name: migrate
  kind: PRE_DEPLOY
  {source}
  run_command: /bin/testapp job
databases:
- name: db
  engine: PG
",
        web = envs("web"),
        api = envs("api"),
    )
}

fn dockerfile(version: &str, more: &str) -> String {
    format!("FROM boatyard-local/testapp:1\nENV VERSION={version}\n{more}\n")
}

fn commit(repo: &Repo, version: &str, message: &str) -> Result<()> {
    repo.write("Dockerfile", &dockerfile(version, ""))?;
    repo.commit(message).map(drop)
}

struct Camera {
    directory: PathBuf,
}

impl Camera {
    /// Photographs these pages of the panel at `base`.
    async fn take(&self, browser: &Browser, base: &str, pages: &[(&str, &str)]) -> Result<()> {
        for (name, path) in pages {
            for (screen, width, height, phone) in SCREENS {
                for (theme_name, theme) in THEMES {
                    browser.resize(width, height, phone).await?;
                    browser.set_theme(theme).await?;
                    browser.go(&format!("{base}{path}")).await?;
                    browser.until_there(css("h1")).await?;
                    let is_complete = async || Ok((browser.run(IS_COMPLETE, &[]).await? == true).then_some(()));
                    browser.until("the parts that load later", is_complete).await?;
                    let file = self.directory.join(format!("{name}-{screen}-{theme_name}.png"));
                    std::fs::write(&file, browser.screenshot().await?)?;
                    println!("{}", file.display());
                }
            }
        }
        Ok(())
    }
}

/// `screenshots` in the directory of the build, emptied of older pictures.
fn directory() -> Result<PathBuf> {
    let program = sibling_program();
    let directory = program.ancestors().nth(2).context("the program lies in target/PROFILE")?.join("screenshots");
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}
