//! The demo: a small app is deployed, restarted, rebuilt and broken on this machine's engine while visitors come, and what
//! that cost them is counted. Every claim is checked; it refuses to end well if one does not hold. No claim is about
//! time: times are printed as ratios, because they say more about the machine than about the program.
//!
//! In reading order: [`harbor`] is the app, [`traffic`] its visitors; [`action`] is one thing done to it, with [`census`]
//! before and after; [`claims`] checks it; [`floor`], [`table`] and [`memory`] are the figures at the end.

mod action;
mod census;
mod claims;
mod floor;
mod harbor;
mod memory;
mod say;
mod table;
mod traffic;

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::http;
use crate::installation::{Installation, sibling_program, text};
use action::{Action, Subject};
use floor::Floor;
use harbor::Harbor;
use say::Stage;
use traffic::Traffic;

const SERVICES_AND_WORKERS: [&str; 3] = ["web", "api", "worker"];
const ALL_IMAGES: [&str; 4] = ["web", "api", "worker", "migrate"];
/// For the visitors to find their pace before anything is measured.
const WARM_UP: Duration = Duration::from_secs(2);

const PROGRAMME: &str = "\
Boatyard runs an app described by an App Platform spec on this machine's Docker engine. This demo deploys a small one from
git: web (two instances), api, a worker, a job that makes the tables, and PostgreSQL. Then, while visitors send GETs and POSTs
with bodies over connections that stay open, it

  1. restarts everything             4. restarts with the git repository gone
  2. restarts one component          5. commits a change and rebuilds it without any cache
  3. deploys an unchanged tree       6. deploys a broken api, which must leave the old version serving

and checks after each that no request was lost, which containers were replaced, and that the others were left alone. It
takes about a minute and removes everything again.";

/// Tells the whole story; returns whether every claim held.
pub async fn run() -> Result<bool> {
    println!("{PROGRAMME}");
    let mut stage = Stage::new();
    stage.act("An installation of its own, in a temporary directory");
    let at = Installation::start(sibling_program()).await?;
    stage.step(&format!("boatyard serve is up: API {}, front door {}", at.api(), at.http()));
    let harbor = Harbor::new(&at.sources())?;
    stage.step("a new git repository holds examples/harbor");
    let held = story(&mut stage, &at, &harbor).await;
    println!("\nRemoving everything that the demo made…");
    held
}

async fn story(stage: &mut Stage, at: &Installation, harbor: &Harbor) -> Result<bool> {
    let (app, mut actions) = (create(at, harbor).await?, Vec::new());
    actions.push(first_deployment(stage, at, &app).await?);

    stage.act("The visitors come");
    let traffic = Traffic::start(at.http());
    tokio::time::sleep(WARM_UP).await;
    stage.step(&format!("{:.0} requests a second, and a crowd every two seconds", traffic::RATE));
    let floor = Floor::measure(&actions[0]).await?;
    stage.step(&format!("what one container costs the engine alone, meanwhile: {}", floor.text()));

    let subject = Subject { at, app: &app.id, traffic: Some(&traffic) };
    actions.push(restart_everything(stage, &subject, &floor).await?);
    actions.push(restart_one(stage, &subject).await?);
    actions.push(deploy_unchanged(stage, &subject).await?);
    actions.push(restart_without_git(stage, &subject, harbor).await?);
    actions.push(rebuild(stage, &subject, harbor).await?);
    actions.push(deploy_broken(stage, &subject, harbor).await?);

    stage.act("The visitors go");
    let (sent, failed) = traffic.stop().await;
    claims::whole_load(stage, sent, failed);
    table::actions(&actions, &floor);
    table::containers(&actions);
    table::memory(at)?;
    Ok(stage.verdict())
}

/// The app as it was accepted.
struct Accepted {
    id: String,
    deployment: String,
}

async fn create(at: &Installation, harbor: &Harbor) -> Result<Accepted> {
    let (status, answer) = http::yaml(at.api(), "/v2/apps", at.token(), &harbor.spec).await?;
    ensure!(status == 200, "the spec was not accepted ({status}): {}", answer["message"]);
    Ok(Accepted { id: text(&answer, "/app/id")?, deployment: text(&answer, "/app/pending_deployment/id")? })
}

async fn first_deployment(stage: &mut Stage, at: &Installation, app: &Accepted) -> Result<Action> {
    stage.act("First deployment: four images, a database, a job, four instances");
    let subject = Subject { at, app: &app.id, traffic: None };
    let action = subject.act(stage, "first deployment", async { Ok(app.deployment.clone()) }).await?;
    ensure!(action.deployment["phase"] == "ACTIVE", "it failed: {:#}", action.record()["failure"]);
    let shown = at.ok("GET", &format!("/v2/apps/{}", app.id), None).await?;
    stage.step(&format!("see for yourself, while this runs: {}", text(&shown, "/app/live_url")?));
    claims::built(stage, &action, &ALL_IMAGES);
    claims::job_ran(stage, &action, 1);
    pages(stage, &subject, harbor::FIRST).await?;
    Ok(action)
}

async fn restart_everything(stage: &mut Stage, subject: &Subject<'_>, floor: &Floor) -> Result<Action> {
    stage.act("1. Restart everything: an exact copy, one instance at a time");
    let ask = subject.at.restart(subject.app, &[]);
    let action = subject.act(stage, "restart everything", ask).await?;
    restarted(stage, &action, &SERVICES_AND_WORKERS);
    if let Some(ratio) = floor.ratio(&action) {
        stage.step(&format!("the new instances served after {ratio:.2} times what the engine alone needs"));
    }
    Ok(action)
}

async fn restart_one(stage: &mut Stage, subject: &Subject<'_>) -> Result<Action> {
    stage.act("2. Restart one component: api");
    let ask = subject.at.restart(subject.app, &["api"]);
    let action = subject.act(stage, "restart api", ask).await?;
    restarted(stage, &action, &["api"]);
    Ok(action)
}

async fn deploy_unchanged(stage: &mut Stage, subject: &Subject<'_>) -> Result<Action> {
    stage.act("3. Deploy, though nothing was committed");
    let ask = subject.at.deploy(subject.app, json!({}));
    let action = subject.act(stage, "deploy unchanged", ask).await?;
    claims::nobody_noticed(stage, &action);
    claims::ended(stage, &action, "ACTIVE");
    claims::built(stage, &action, &[]);
    claims::says_that_images_were_reused(stage, &action);
    claims::only_replaced(stage, &action, &[]);
    Ok(action)
}

async fn restart_without_git(stage: &mut Stage, subject: &Subject<'_>, harbor: &Harbor) -> Result<Action> {
    stage.act("4. Restart everything, with the git repository moved away");
    harbor.hide()?;
    let ask = subject.at.restart(subject.app, &[]);
    let action = subject.act(stage, "restart without git", ask).await?;
    harbor.bring_back()?;
    restarted(stage, &action, &SERVICES_AND_WORKERS);
    Ok(action)
}

async fn rebuild(stage: &mut Stage, subject: &Subject<'_>, harbor: &Harbor) -> Result<Action> {
    stage.act("5. Commit another heading, force a rebuild without any cache");
    stage.step(&format!("committed {}", harbor.change_page()?));
    let ask = subject.at.deploy(subject.app, json!({"force_build": true, "clear_cache": true}));
    let action = subject.act(stage, "rebuild, cache cleared", ask).await?;
    claims::nobody_noticed(stage, &action);
    claims::ended(stage, &action, "ACTIVE");
    claims::built(stage, &action, &ALL_IMAGES);
    claims::job_ran(stage, &action, 1);
    claims::only_replaced(stage, &action, &SERVICES_AND_WORKERS);
    pages(stage, subject, harbor::REBUILT).await?;
    Ok(action)
}

async fn deploy_broken(stage: &mut Stage, subject: &Subject<'_>, harbor: &Harbor) -> Result<Action> {
    stage.act("6. Commit a new page and an api that ends at its start, deploy");
    stage.step(&format!("committed {}", harbor.break_api()?));
    let ask = subject.at.deploy(subject.app, json!({}));
    let action = subject.act(stage, "deploy a broken api", ask).await?;
    claims::nobody_noticed(stage, &action);
    claims::ended(stage, &action, "ERROR");
    claims::built(stage, &action, &["web", "api"]);
    let (failure, tail) = (&action.record()["failure"], action.record()["log_tail"].to_string());
    stage.claim(failure["component"] == "api", format!("it names the component and why: {}", failure["message"]));
    stage.claim(
        tail.contains(harbor::LAST_WORDS),
        "the last words of the broken container are kept with the deployment",
    );
    let web = action.started("web");
    stage.claim(
        action.record()["rolled_back"] == true,
        format!("web had rolled and went back ({web} containers started)"),
    );
    for component in ["api", "worker", "db"] {
        let kept = action.before.kept(&action.after, component);
        stage.claim(kept, format!("{component}: the same containers, running since before"));
    }
    pages(stage, subject, harbor::REBUILT).await?;
    Ok(action)
}

/// What every restart must show.
fn restarted(stage: &mut Stage, action: &Action, components: &[&str]) {
    claims::nobody_noticed(stage, action);
    claims::ended(stage, action, "ACTIVE");
    claims::only_replaced(stage, action, components);
    claims::job_ran(stage, action, 0);
    claims::built(stage, action, &[]);
    claims::says_what_stayed(stage, action, components);
}

/// Both services serve, and the page is this one.
async fn pages(stage: &mut Stage, subject: &Subject<'_>, heading: &str) -> Result<()> {
    stage.claim(harbor::page_says(subject.at, heading).await?, format!("the page says \"{heading}\""));
    stage.claim(harbor::api_answers(subject.at).await?, "the api answers");
    Ok(())
}
