//! The demo deploys a small app on this machine's engine, restarts, rebuilds and breaks it under load, and counts what
//! that costs the app's users. The demo checks every claim and fails if one does not hold. No claim is about time.
//! Times are printed as ratios, because they depend more on the machine than on the program.
//!
//! In reading order: [`harbor`] is the app, [`traffic`] its load; [`action`] makes one change to it; [`claims`] checks
//! the result; [`figures`] prints the cost at the end.

mod action;
mod claims;
mod figures;
mod harbor;
mod traffic;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use crate::http;
use crate::installation::{Installation, sibling_program, text};
use action::Action;
use claims::{Claim, Expected};
use harbor::{Harbor, NAME};
use traffic::Traffic;

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

const SERVICES_AND_WORKERS: &[&str] = &["web", "api", "worker"];
const ALL_IMAGES: &[&str] = &["web", "api", "worker", "migrate"];

/// Runs the demo; returns whether every claim held.
pub async fn run() -> Result<bool> {
    println!("{INTRODUCTION}");
    let began = Instant::now();
    let at = Installation::start(sibling_program()).await?;
    if !at.reaches_directly() {
        println!("\nHere, the ingress reaches the containers at ports that they publish on 127.0.0.1.");
    }
    let harbor = Harbor::new(&at.sources())?;
    let mut demo = Demo { at: &at, traffic: None, actions: Vec::new(), claims: Vec::new() };
    let outcome = demo.perform_all(&harbor).await;
    let (held, broken): (Vec<_>, Vec<_>) = demo.claims.iter().partition(|claim| claim.holds);
    println!("\n{} claims hold, {} do not, after {} s.", held.len(), broken.len(), began.elapsed().as_secs());
    broken.iter().for_each(|claim| println!("  {claim}"));
    println!("\nRemoving everything that the demo made…");
    outcome.map(|()| broken.is_empty())
}

struct Demo<'a> {
    at: &'a Installation,
    /// `None` until the first deployment serves.
    traffic: Option<Traffic>,
    actions: Vec<Action>,
    claims: Vec<Claim>,
}

impl Demo<'_> {
    async fn perform_all(&mut self, harbor: &Harbor) -> Result<()> {
        let at = self.at;
        let create = async {
            let (_, answer) = http::yaml(at.api(), "/v2/apps", at.token(), &harbor.spec).await?;
            text(&answer, "/app/pending_deployment/id")
        };
        let expected =
            Expected { built: ALL_IMAGES, job_runs: 1, not_compared: &claims::COMPONENTS, ..Expected::ACTIVE };
        self.perform("first deployment", create, expected).await?;
        ensure!(self.actions[0].deployment["phase"] == "ACTIVE", "the first deployment failed");
        println!("        open it while this runs: http://{}:{}", harbor::HOST, at.http().port());

        self.traffic = Some(Traffic::start(at.http()));
        tokio::time::sleep(WARM_UP).await;
        let floor = figures::engine_floor(&self.actions[0]).await?;

        let restart = |replaced| Expected { replaced, more: claims::restarted, ..Expected::ACTIVE };
        self.perform("1. restart everything", at.restart(NAME, &[]), restart(SERVICES_AND_WORKERS)).await?;

        self.perform("2. restart api", at.restart(NAME, &["api"]), restart(&["api"])).await?;

        let unchanged = Expected { more: claims::reused, ..Expected::ACTIVE };
        self.perform("3. deploy an unchanged tree", at.deploy(NAME, json!({})), unchanged).await?;

        harbor.hide()?;
        self.perform("4. restart without git", at.restart(NAME, &[]), restart(SERVICES_AND_WORKERS)).await?;
        harbor.bring_back()?;

        harbor.change_page()?;
        let rebuild = at.deploy(NAME, json!({"force_build": true, "clear_cache": true}));
        let rebuilt = Expected {
            built: ALL_IMAGES,
            job_runs: 1,
            replaced: SERVICES_AND_WORKERS,
            heading: harbor::REBUILT,
            ..Expected::ACTIVE
        };
        self.perform("5. rebuild without a cache", rebuild, rebuilt).await?;

        harbor.break_api()?;
        let rolled_back = Expected {
            phase: "ERROR",
            built: &["web", "api"],
            job_runs: 1,
            not_compared: &["web", "api"],
            heading: harbor::REBUILT,
            more: claims::rolled_back,
            ..Expected::ACTIVE
        };
        self.perform("6. deploy a broken api", at.deploy(NAME, json!({})), rolled_back).await?;

        if let Some(traffic) = self.traffic.take() {
            let claim = claims::no_request_failed(&traffic.stop().await);
            println!("\n── the load ends\n        {claim}");
            self.claims.push(claim);
        }
        figures::print(at, &self.actions, floor)
    }

    /// Performs an action and checks the claims about it. `request` returns the deployment's id.
    async fn perform(
        &mut self,
        name: &'static str,
        request: impl Future<Output = Result<String>>,
        expected: Expected,
    ) -> Result<()> {
        println!("\n── {name}");
        let action = Action::perform(self.at, self.traffic.as_ref(), name, request).await?;
        let mut claims = expected.check(&action);
        claims.extend(harbor::pages(self.at, expected.heading).await?);
        claims.iter().for_each(|claim| println!("        {claim}"));
        self.claims.extend(claims);
        self.actions.push(action);
        Ok(())
    }
}
