//! The demo deploys a small app on this machine's engine, restarts, rebuilds and breaks it under load, and counts what
//! that costs the app's users. The demo checks every claim and fails if one does not hold. No claim is about time.
//! Times are printed as ratios, because they depend more on the machine than on the program.
//!
//! In reading order: [`harbor`] is the app, [`traffic`] its load; [`action`] makes one change to it; [`claims`] checks
//! the result; [`figures`] prints the tables at the end.

mod action;
mod claims;
mod figures;
mod harbor;
mod traffic;

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::http;
use crate::installation::{Installation, sibling_program, text};
use action::{Action, Subject};
use claims::{Expected, Report};
use figures::Floor;
use harbor::Harbor;
use traffic::Traffic;

const SERVICES_AND_WORKERS: &[&str] = &["web", "api", "worker"];
const ALL_IMAGES: &[&str] = &["web", "api", "worker", "migrate"];
/// Time for the load to become steady before the demo measures anything.
const WARM_UP: Duration = Duration::from_secs(2);

const INTRODUCTION: &str = "\
Boatyard runs an app described by an App Platform spec on this machine's Docker engine. This demo deploys a small one from
git: web (two instances), api, a worker, a job that makes the tables, and PostgreSQL. Then, under a load of GETs and POSTs
with bodies over connections that stay open, it

  1. restarts everything             4. restarts with the git repository gone
  2. restarts one component          5. commits a change and rebuilds it without any cache
  3. deploys an unchanged tree       6. deploys a broken api, which must leave the old version serving

and checks after each that no request was lost, which containers were replaced, and that the others were left alone. It
takes about a minute and removes everything again.";

/// Runs the demo; returns whether every claim held.
pub async fn run() -> Result<bool> {
    println!("{INTRODUCTION}");
    let mut report = Report::new();
    report.section("A separate installation, in a temporary directory");
    let at = Installation::start(sibling_program()).await?;
    report.step(&format!("boatyard serve is up: API {}, ingress {}", at.api(), at.http()));
    let harbor = Harbor::new(&at.sources())?;
    report.step("a new git repository holds examples/harbor");
    let held = deploy_and_change(&mut report, &at, &harbor).await;
    println!("\nRemoving everything that the demo made…");
    held
}

async fn deploy_and_change(report: &mut Report, at: &Installation, harbor: &Harbor) -> Result<bool> {
    let (status, answer) = http::yaml(at.api(), "/v2/apps", at.token(), &harbor.spec).await?;
    ensure!(status == 200, "the spec was not accepted ({status}): {}", answer["message"]);
    let app = text(&answer, "/app/id")?;
    let first = first_deployment(report, at, &app, text(&answer, "/app/pending_deployment/id")?).await?;

    report.section("The load begins");
    let traffic = Traffic::start(at.http());
    tokio::time::sleep(WARM_UP).await;
    report.step(&format!("{:.0} requests a second, and a burst every two seconds", traffic::RATE));
    let floor = Floor::measure(&first).await?;
    report.step(&format!("one container by raw API calls under this load: {}", floor.text()));

    let subject = Subject { at, app: &app, traffic: Some(&traffic) };
    let mut actions = vec![first];
    actions.push(restart_everything(report, &subject, &floor).await?);
    actions.push(restart_one(report, &subject).await?);
    actions.push(deploy_unchanged(report, &subject).await?);
    actions.push(restart_without_git(report, &subject, harbor).await?);
    actions.push(rebuild(report, &subject, harbor).await?);
    actions.push(deploy_broken(report, &subject, harbor).await?);

    report.section("The load ends");
    let (sent, failed) = traffic.stop().await;
    report.claim(failed == 0, format!("from the first to the last of {sent} requests, {failed} failed"));
    figures::print(at, &actions, &floor)?;
    Ok(report.verdict())
}

async fn first_deployment(report: &mut Report, at: &Installation, app: &str, deployment: String) -> Result<Action> {
    report.section("First deployment: four images, a database, a job, four instances");
    let subject = Subject { at, app, traffic: None };
    let action = subject.act(report, "first deployment", async { Ok(deployment) }).await?;
    ensure!(action.deployment["phase"] == "ACTIVE", "it failed: {:#}", action.record()["failure"]);
    let shown = at.ok("GET", &format!("/v2/apps/{app}"), None).await?;
    report.step(&format!("open it while this runs: {}", text(&shown, "/app/live_url")?));
    report.built(&action, ALL_IMAGES);
    report.job_ran(&action, 1);
    pages(report, &subject, harbor::FIRST).await?;
    Ok(action)
}

async fn restart_everything(report: &mut Report, subject: &Subject<'_>, floor: &Floor) -> Result<Action> {
    report.section("1. Restart everything: an exact copy, one instance at a time");
    let action = subject.act(report, "restart everything", subject.at.restart(subject.app, &[])).await?;
    report.restarted(&action, SERVICES_AND_WORKERS);
    if let Some(ratio) = floor.ratio(&action) {
        report.step(&format!("the new instances served after {ratio:.2} times what the engine alone needs"));
    }
    Ok(action)
}

async fn restart_one(report: &mut Report, subject: &Subject<'_>) -> Result<Action> {
    report.section("2. Restart one component: api");
    let action = subject.act(report, "restart api", subject.at.restart(subject.app, &["api"])).await?;
    report.restarted(&action, &["api"]);
    Ok(action)
}

async fn deploy_unchanged(report: &mut Report, subject: &Subject<'_>) -> Result<Action> {
    report.section("3. Deploy, though nothing was committed");
    let action = subject.act(report, "deploy unchanged", subject.at.deploy(subject.app, json!({}))).await?;
    report.check(&action, &Expected::default());
    let images = action.record()["images"].as_object();
    let notes: Vec<_> = images.into_iter().flatten().filter_map(|(_, image)| image["note"].as_str()).collect();
    let all_say_so = !notes.is_empty() && notes.iter().all(|it| it.starts_with("reused"));
    report.claim(all_say_so, format!("and it says so: {:?}", notes.first().unwrap_or(&"nothing")));
    Ok(action)
}

async fn restart_without_git(report: &mut Report, subject: &Subject<'_>, harbor: &Harbor) -> Result<Action> {
    report.section("4. Restart everything, with the git repository moved away");
    harbor.hide()?;
    let action = subject.act(report, "restart without git", subject.at.restart(subject.app, &[])).await?;
    harbor.bring_back()?;
    report.restarted(&action, SERVICES_AND_WORKERS);
    Ok(action)
}

async fn rebuild(report: &mut Report, subject: &Subject<'_>, harbor: &Harbor) -> Result<Action> {
    report.section("5. Commit another heading, force a rebuild without any cache");
    report.step(&format!("committed {}", harbor.change_page()?));
    let forced = json!({"force_build": true, "clear_cache": true});
    let action = subject.act(report, "rebuild, cache cleared", subject.at.deploy(subject.app, forced)).await?;
    report.check(&action, &Expected { built: ALL_IMAGES, replaced: SERVICES_AND_WORKERS, job_runs: 1 });
    pages(report, subject, harbor::REBUILT).await?;
    Ok(action)
}

async fn deploy_broken(report: &mut Report, subject: &Subject<'_>, harbor: &Harbor) -> Result<Action> {
    report.section("6. Commit a new page and an api that ends at its start, deploy");
    report.step(&format!("committed {}", harbor.break_api()?));
    let action = subject.act(report, "deploy a broken api", subject.at.deploy(subject.app, json!({}))).await?;
    report.no_request_failed(&action);
    report.ended(&action, "ERROR");
    report.built(&action, &["web", "api"]);
    let (record, web) = (action.record(), action.started("web"));
    let why = &record["failure"]["message"];
    report.claim(record["failure"]["component"] == "api", format!("it names the component and why: {why}"));
    let kept = record["log_tail"].to_string().contains(harbor::EXIT_MESSAGE);
    report.claim(kept, "the exit message of the broken container is stored with the deployment");
    report.claim(record["rolled_back"] == true, format!("web had rolled and went back ({web} containers started)"));
    for component in ["api", "worker", "db"] {
        let kept = action.before.kept(&action.after, component);
        report.claim(kept, format!("{component}: the same containers, running since before"));
    }
    pages(report, subject, harbor::REBUILT).await?;
    Ok(action)
}

/// Checks that both services answer and that the page has this heading.
async fn pages(report: &mut Report, subject: &Subject<'_>, heading: &str) -> Result<()> {
    let page = harbor::answers(subject.at, "/", &format!("<h1>{heading}</h1>")).await?;
    report.claim(page, format!("the page says \"{heading}\""));
    report.claim(harbor::answers(subject.at, "/api", "metres").await?, "the api answers");
    Ok(())
}
