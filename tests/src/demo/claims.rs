//! The output of the demo while it runs: steps with the seconds since the start, and claims about each action, checked
//! against the containers, the load and the deployment's record.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::Value;

use super::action::Action;

/// Components whose containers run all the time, in the order of the tables.
pub(super) const COMPONENTS: [&str; 4] = ["web", "api", "worker", "db"];

/// Prints claims and counts those that hold.
pub(super) struct Report {
    began: Instant,
    held: usize,
    broken: Vec<String>,
}

/// What a deployment that becomes active must have done, and nothing else.
#[derive(Default)]
pub(super) struct Expected {
    pub built: &'static [&'static str],
    pub replaced: &'static [&'static str],
    pub job_runs: usize,
}

impl Report {
    pub fn new() -> Self {
        Self { began: Instant::now(), held: 0, broken: Vec::new() }
    }

    pub fn section(&self, title: &str) {
        println!("\n── {title}");
    }

    /// Prints a completed step.
    pub fn step(&self, text: &str) {
        println!("{:6.1} s  {text}", self.began.elapsed().as_secs_f64());
    }

    pub fn claim(&mut self, holds: bool, claim: impl Into<String>) {
        let claim = claim.into();
        if holds {
            self.held += 1;
            println!("        ✓ {claim}");
        } else {
            println!("        ✗ NOT TRUE: {claim}");
            self.broken.push(claim);
        }
    }

    /// Whether every claim held.
    pub fn verdict(&self) -> bool {
        let took = self.began.elapsed().as_secs();
        if self.broken.is_empty() {
            println!("\nAll {} claims hold, shown in {took} s.", self.held);
            return true;
        }
        println!("\n{} claims hold, {} do not ({took} s):", self.held, self.broken.len());
        self.broken.iter().for_each(|claim| println!("  ✗ {claim}"));
        false
    }

    pub fn check(&mut self, action: &Action, expected: &Expected) {
        self.no_request_failed(action);
        self.ended(action, "ACTIVE");
        self.built(action, expected.built);
        self.job_ran(action, expected.job_runs);
        for component in COMPONENTS {
            let started = action.started(component);
            if expected.replaced.contains(&component) {
                let once = started == action.after.ids(component).len();
                let all_new = action.before.replaced(&action.after, component);
                self.claim(all_new && once, format!("{component}: every container is new, and each was started once"));
            } else {
                let kept = action.before.kept(&action.after, component) && started == 0;
                self.claim(kept, format!("{component}: the same containers, running since before"));
            }
        }
    }

    /// A restart replaces containers, builds nothing, runs no job, and its record names what stayed the same.
    pub fn restarted(&mut self, action: &Action, components: &'static [&'static str]) {
        self.check(action, &Expected { replaced: components, ..Expected::default() });
        let unchanged = action.record()["record"]["unchanged"].as_array();
        let is_complete = |it: &&Value| {
            let fields = ["image", "environment_hash", "revision"];
            fields.iter().all(|field| it[field].as_str().is_some_and(|it| !it.is_empty()))
        };
        let named = unchanged.into_iter().flatten().filter(is_complete).filter_map(|it| it["component"].as_str());
        let named: BTreeSet<_> = named.collect();
        let list = components.join(", ");
        let claim = format!("its record names image, environment and revision that stayed the same: {list}");
        self.claim(named == components.iter().copied().collect(), claim);
    }

    /// Some requests were sent and none failed, according to the load and to the ingress.
    pub fn no_request_failed(&mut self, action: &Action) {
        let Some(visits) = &action.visits else { return };
        let claim = format!("{} of {} requests failed", visits.failed, visits.sent);
        self.claim(visits.failed == 0 && visits.sent > 0, claim);
        visits.failures.iter().for_each(|failure| println!("            {failure}"));
        let served = &action.record()["record"]["served"];
        if let (Some(requests), Some(failed)) = (served["requests"].as_u64(), served["failed"].as_u64()) {
            let claim =
                format!("the deployment's own record: {requests} requests served during the roll, {failed} failed");
            self.claim(failed == 0, claim);
        }
    }

    pub fn ended(&mut self, action: &Action, phase: &str) {
        let ended = action.deployment["phase"].as_str().unwrap_or("?");
        self.claim(ended == phase, format!("{} ends {phase}", action.name));
        if ended != phase {
            println!("            it ended {ended}: {}", action.record()["failure"]["message"]);
        }
    }

    pub fn built(&mut self, action: &Action, wanted: &[&str]) {
        let images = action.record()["images"].as_object().into_iter().flatten();
        let built: BTreeSet<_> =
            images.filter(|(_, image)| image["built"] == true).map(|(name, _)| name.as_str()).collect();
        let claim =
            if wanted.is_empty() { "nothing was built".into() } else { format!("built: {}", wanted.join(", ")) };
        self.claim(built == wanted.iter().copied().collect(), claim);
    }

    pub fn job_ran(&mut self, action: &Action, times: usize) {
        let claim = if times == 0 { "no job ran".into() } else { format!("the job migrate ran {times} time(s)") };
        self.claim(action.started("migrate") == times, claim);
    }
}
