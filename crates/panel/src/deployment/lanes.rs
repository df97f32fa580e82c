//! The instances: one lane for each component, one mark for each instance.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use present::lanes::{self, LaneInstance};
use present::text::duration;
use present::{InstanceTransition, Transition};

use super::facts::Facts;
use crate::ui::card;
use crate::ui::lane;

pub(super) fn markup(facts: &Facts) -> Markup {
    let content = match facts.timeline.is_empty() {
        true => html! { p class="hint" { (without_lanes(facts)) } },
        false => lane::lanes(&drawn(facts)),
    };
    card::card("instances", "Instances", html! {}, content)
}

fn without_lanes(facts: &Facts) -> &'static str {
    match (facts.it.has_ended(), facts.it.boatyard.record.roll_began) {
        (false, None) => "No instance has been touched so far.",
        (false, Some(_)) => "The first instance is about to be created.",
        (true, None) => "No instance was touched.",
        (true, Some(_)) => "What happened to the instances is not on record.",
    }
}

fn drawn(facts: &Facts) -> Vec<lane::Lane> {
    let mut lanes = lanes::lanes(&facts.timeline);
    // As the steps do: a component that is no longer in the spec comes last.
    let order: Vec<_> = facts.spec.components().map(|it| it.name().to_owned()).collect();
    lanes.sort_by_key(|lane| order.iter().position(|it| *it == lane.component_name).unwrap_or(usize::MAX));
    lanes.iter().map(|it| drawn_lane(facts, it)).collect()
}

fn drawn_lane(facts: &Facts, it: &lanes::Lane) -> lane::Lane {
    lane::Lane {
        component: it.component_name.clone(),
        kind: it.component_type.to_lowercase(),
        summary: summary(facts, it),
        waiting: waits_of(facts, &it.component_name),
        instances: it.instances.iter().map(|it| instance(facts, it)).collect(),
    }
}

/// The waits that name an instance of the component, as `web.0`. They are shown in its lane, and the others above the steps.
fn waits_of(facts: &Facts, component: &str) -> Vec<String> {
    facts.it.boatyard.waiting.iter().filter(|it| names_instance_of(it, component)).cloned().collect()
}

/// Whether a lane shows this wait.
pub(super) fn is_in_a_lane(facts: &Facts, wait: &str) -> bool {
    facts.timeline.iter().any(|it| names_instance_of(wait, &it.component_name))
}

fn names_instance_of(wait: &str, component: &str) -> bool {
    let is_slot =
        |rest: &str| rest.strip_prefix('.').is_some_and(|slot| slot.starts_with(|it: char| it.is_ascii_digit()));
    let names = |word: &str| word.strip_prefix(component).is_some_and(is_slot);
    wait.split(' ').any(names)
}

fn summary(facts: &Facts, lane: &lanes::Lane) -> String {
    let is = |it: &&LaneInstance, old| it.latest.existed_before == old;
    let old = lane.instances.iter().filter(|it| is(it, true)).count();
    let new = lane.instances.iter().filter(|it| is(it, false));
    let serving = |it: &&LaneInstance| matches!(it.latest.transition, Transition::Ready | Transition::Routed);
    let wanted =
        facts.spec.component(&lane.component_name).and_then(|it| it.common()).map_or(0, |it| it.instance_count());
    let (created, serving) = (new.clone().count(), new.filter(serving).count());
    match (created, old) {
        (0, _) if lane.instances.iter().any(|it| it.latest.transition != Transition::Existed) => "being removed".into(),
        (0, _) if facts.it.has_ended() => "not replaced".into(),
        (0, _) => "not replaced so far".into(),
        (_, 0) => format!("{serving} of {wanted} ready"),
        _ => format!("{serving} of {wanted} replaced"),
    }
}

fn instance(facts: &Facts, it: &LaneInstance) -> lane::Instance {
    let latest = &it.latest;
    let origin = match (latest.existed_before, latest.deployment_number) {
        (false, _) => "new".to_owned(),
        (true, Some(number)) => format!("deployment\u{a0}{number}"),
        (true, None) => "old".to_owned(),
    };
    let was_left_alone = latest.transition == Transition::Existed && facts.it.has_ended();
    lane::Instance {
        name: name(latest),
        origin,
        old: latest.existed_before && !was_left_alone,
        latest: latest.transition,
        when: when(facts, latest),
        history: history(it),
    }
}

/// As sentences about waits name it.
fn name(it: &InstanceTransition) -> String {
    format!("{}.{}", it.component_name, it.slot)
}

fn when(facts: &Facts, latest: &InstanceTransition) -> lane::When {
    let since_roll = |at: DateTime<Utc>| Some((at - facts.it.boatyard.record.roll_began?).num_milliseconds().max(0));
    match latest.at {
        Some(_) if latest.transition == Transition::Existed => lane::When::Unknown,
        Some(at) if !facts.it.has_ended() => lane::When::Since(at),
        Some(at) => since_roll(at).map_or(lane::When::Unknown, |it| lane::When::After(duration(it))),
        None => lane::When::Unknown,
    }
}

/// "created 10:00:01.500, ready 10:00:03.200 (UTC)".
fn history(it: &LaneInstance) -> String {
    let moment = |(transition, at): &(Transition, Option<DateTime<Utc>>)| {
        Some(format!("{} {}", transition.word(), (*at)?.format("%H:%M:%S%.3f")))
    };
    let moments: Vec<_> = it.times.iter().filter_map(moment).collect();
    format!("{} (UTC)", moments.join(", "))
}
