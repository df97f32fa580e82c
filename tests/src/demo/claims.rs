//! What is claimed of the actions, each checked against who ran, what the visitors got and what the deployment says.

use std::collections::BTreeSet;

use super::action::Action;
use super::census::COMPONENTS;
use super::say::Stage;

/// True of every action: nobody lost a request, by our count and by the front door's own, and some were sent.
pub(super) fn nobody_noticed(stage: &mut Stage, action: &Action) {
    let Some(visits) = &action.visits else { return };
    let claim = format!("{} of {} requests failed", visits.failed, visits.sent);
    stage.claim(visits.failed == 0 && visits.sent > 0, claim);
    for failure in &visits.failures {
        println!("            {failure}");
    }
    let served = &action.record()["record"]["served"];
    if let (Some(requests), Some(failed)) = (served["requests"].as_u64(), served["failed"].as_u64()) {
        let claim = format!("the deployment's own record: {requests} requests served during the roll, {failed} failed");
        stage.claim(failed == 0, claim);
    }
}

pub(super) fn ended(stage: &mut Stage, action: &Action, phase: &str) {
    let is = action.deployment["phase"].as_str().unwrap_or("?");
    stage.claim(is == phase, format!("{} ends {phase}", action.name));
    if is != phase {
        println!("            it ended {is}: {}", action.record()["failure"]["message"]);
    }
}

/// These were replaced, each container once; all others and the database are the same, by id and start time; no job ran.
pub(super) fn only_replaced(stage: &mut Stage, action: &Action, replaced: &[&str]) {
    for component in replaced {
        let all_new = action.before.replaced(&action.after, component);
        let once = action.started(component) == action.after.ids(component).len();
        stage.claim(all_new && once, format!("{component}: every container is new, and each was started once"));
    }
    for component in COMPONENTS.iter().filter(|it| !replaced.contains(it)) {
        untouched(stage, action, component);
    }
}

/// Same container ids, same start times.
pub(super) fn untouched(stage: &mut Stage, action: &Action, component: &str) {
    let kept = action.before.kept(&action.after, component) && action.started(component) == 0;
    stage.claim(kept, format!("{component}: the same containers, running since before"));
}

pub(super) fn job_ran(stage: &mut Stage, action: &Action, times: usize) {
    let ran = action.started("migrate");
    let claim = if times == 0 { "no job ran".to_owned() } else { format!("the job migrate ran {times} time(s)") };
    stage.claim(ran == times, claim);
}

/// A restart's record names what stayed as it was.
pub(super) fn says_what_stayed(stage: &mut Stage, action: &Action, restarted: &[&str]) {
    let unchanged = action.record()["record"]["unchanged"].as_array();
    let whole = |it: &&serde_json::Value| {
        ["image", "environment_hash", "revision"]
            .iter()
            .all(|field| it[field].as_str().is_some_and(|it| !it.is_empty()))
    };
    let named: BTreeSet<_> =
        unchanged.into_iter().flatten().filter(whole).filter_map(|it| it["component"].as_str()).collect();
    let claim = format!("its record names image, environment and revision that stayed the same: {}", list(restarted));
    stage.claim(named == restarted.iter().copied().collect(), claim);
}

pub(super) fn built(stage: &mut Stage, action: &Action, wanted: &[&str]) {
    let built = action.built();
    let claim = if wanted.is_empty() { "nothing was built".to_owned() } else { format!("built: {}", list(wanted)) };
    stage.claim(built == wanted.iter().copied().collect(), claim);
}

/// Each image of an unchanged tree has a note that says so.
pub(super) fn says_that_images_were_reused(stage: &mut Stage, action: &Action) {
    let images = action.record()["images"].as_object();
    let notes: Vec<_> = images.into_iter().flatten().filter_map(|(_, image)| image["note"].as_str()).collect();
    let all_say_so = !notes.is_empty() && notes.iter().all(|it| it.starts_with("reused"));
    stage.claim(all_say_so, format!("and it says so: {:?}", notes.first().unwrap_or(&"nothing")));
}

/// The load from its first to its last request, the time between the actions included.
pub(super) fn whole_load(stage: &mut Stage, sent: usize, failed: usize) {
    stage.claim(failed == 0, format!("from the first to the last of {sent} requests, {failed} failed"));
}

fn list(names: &[&str]) -> String {
    names.join(", ")
}
