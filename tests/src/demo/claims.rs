//! Claims about an action, checked against the containers, the load and the deployment's record.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::action::Action;
use super::harbor;
use super::traffic::Visits;

/// Components whose containers run all the time.
pub(super) const COMPONENTS: [&str; 4] = ["web", "api", "worker", "db"];

/// A sentence that is true or not.
pub(super) struct Claim {
    pub holds: bool,
    sentence: String,
}

impl Claim {
    pub fn new(holds: bool, sentence: impl Into<String>) -> Self {
        Self { holds, sentence: sentence.into() }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.holds { "✓" } else { "✗ NOT TRUE:" }, self.sentence)
    }
}

/// What an action must have done, and nothing else.
pub(super) struct Expected {
    pub phase: &'static str,
    /// Images that were built.
    pub built: &'static [&'static str],
    pub job_runs: usize,
    /// Components with new containers.
    pub replaced: &'static [&'static str],
    /// Components whose containers are new, or started and rolled back. All others keep their containers.
    pub not_compared: &'static [&'static str],
    /// The heading of the page.
    pub heading: &'static str,
    /// Claims about this action only.
    pub more: fn(&Action, &Expected) -> Vec<Claim>,
}

impl Expected {
    /// The deployment becomes active and changes nothing.
    pub const ACTIVE: Self = Self {
        phase: "ACTIVE",
        built: &[],
        job_runs: 0,
        replaced: &[],
        not_compared: &[],
        heading: harbor::FIRST,
        more: |_, _| Vec::new(),
    };

    pub fn check(&self, action: &Action) -> Vec<Claim> {
        let built = images(action).filter(|(_, image)| image["built"] == true).map(|(name, _)| name);
        let list = if self.built.is_empty() { "nothing".to_owned() } else { self.built.join(", ") };
        let failure = action.record()["failure"]["message"].as_str().map(|it| format!(", because {it}"));
        let mut claims = vec![
            Claim::new(
                action.deployment["phase"] == self.phase,
                format!("the deployment ends {}{}", self.phase, failure.unwrap_or_default()),
            ),
            Claim::new(is_exactly(built, self.built), format!("built: {list}")),
            Claim::new(
                action.started("migrate") == self.job_runs,
                format!("runs of the job migrate: {}", self.job_runs),
            ),
        ];
        if let Some(visits) = &action.visits {
            let served = &action.record()["record"]["served"];
            let sentence = format!("its record: of {} requests {} failed", served["requests"], served["failed"]);
            claims.extend([no_request_failed(visits), Claim::new(served["failed"] == 0, sentence)]);
        }
        let compared = COMPONENTS.into_iter().filter(|it| !self.not_compared.contains(it));
        claims.extend(compared.map(|component| match self.replaced.contains(&component) {
            true => replaced(action, component),
            false => kept(action, component, 0),
        }));
        claims.extend((self.more)(action, self));
        claims
    }
}

/// Requests were sent and none failed, according to the load.
pub(super) fn no_request_failed(visits: &Visits) -> Claim {
    let holds = visits.failed() == 0 && visits.sent() > 0;
    let details = if holds { String::new() } else { format!(": {}\n{}", visits.stream, visits.bursts) };
    Claim::new(holds, format!("of {} requests {} failed{details}", visits.sent(), visits.failed()))
}

fn replaced(action: &Action, component: &str) -> Claim {
    let holds = action.replaced(component) && action.started(component) == action.ids(component).len();
    let ids = action.ids(component).join(" ");
    Claim::new(holds, format!("{component}: every container is new, and each was started once: {ids}"))
}

/// `tried`: how many containers were started beside the old ones and removed again.
fn kept(action: &Action, component: &str, tried: usize) -> Claim {
    let holds = action.kept(component) && action.started(component) == tried;
    let ids = action.ids(component).join(" ");
    Claim::new(holds, format!("{component}: the same containers, running since before: {ids}"))
}

/// A restart's record names what stayed the same.
pub(super) fn restarted(action: &Action, expected: &Expected) -> Vec<Claim> {
    let is_complete = |it: &&Value| {
        let fields = ["image", "environment_hash", "revision"];
        fields.iter().all(|field| it[field].as_str().is_some_and(|it| !it.is_empty()))
    };
    let unchanged = action.record()["record"]["unchanged"].as_array().into_iter().flatten();
    let named = unchanged.filter(is_complete).filter_map(|it| it["component"].as_str());
    let list = expected.replaced.join(", ");
    let sentence = format!("its record names image, environment and revision that stayed the same: {list}");
    vec![Claim::new(is_exactly(named, expected.replaced), sentence)]
}

/// The notes of a deployment of an unchanged tree report that it reused every image.
pub(super) fn reused(action: &Action, _: &Expected) -> Vec<Claim> {
    let notes: Vec<_> = images(action).filter_map(|(_, image)| image["note"].as_str()).collect();
    let all_reused = !notes.is_empty() && notes.iter().all(|it| it.starts_with("reused"));
    vec![Claim::new(all_reused, format!("its notes report the reuse: {:?}", notes.first().unwrap_or(&"nothing")))]
}

/// A broken api ends the deployment, and web, which had been replaced before, is rolled back.
pub(super) fn rolled_back(action: &Action, _: &Expected) -> Vec<Claim> {
    let (record, started) = (action.record(), action.started("web"));
    let failure = &record["failure"];
    let exit_message = record["log_tail"].to_string().contains(harbor::EXIT_MESSAGE);
    vec![
        Claim::new(failure["component"] == "api", format!("it names the component: {}", failure["component"])),
        Claim::new(exit_message, "the exit message of the broken container is stored with the deployment"),
        Claim::new(
            record["rolled_back"] == true,
            format!("web was replaced and went back ({started} containers started)"),
        ),
        kept(action, "api", action.started("api")),
    ]
}

/// The images of the deployment, by component.
fn images(action: &Action) -> impl Iterator<Item = (&str, &Value)> {
    action.record()["images"].as_object().into_iter().flatten().map(|(name, image)| (name.as_str(), image))
}

fn is_exactly<'a>(found: impl Iterator<Item = &'a str>, wanted: &[&str]) -> bool {
    found.collect::<BTreeSet<_>>() == wanted.iter().copied().collect()
}
