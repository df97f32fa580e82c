//! The steps with their times, and what the deployment waits for now.

use maud::{Markup, html};
use present::Leaf;

use super::facts::Facts;
use super::lanes::is_in_a_lane;
use crate::ui::icon::Icon;
use crate::ui::{card, steps};

pub(super) fn markup(facts: &Facts) -> Markup {
    let progress = &facts.it.progress;
    let waits = facts.it.boatyard.waiting.iter().filter(|it| !is_in_a_lane(facts, it));
    let done = html! { span class="hint" { (progress.summary()) } };
    card::card(
        "progress",
        "Steps",
        done,
        html! {
            ul class="waits" { @for it in waits { li class="waiting" { (Icon::Pending.markup()) (it) } } }
            (steps::steps(&leaves(facts)))
        },
    )
}

/// The steps. The reason of a failure is left out, because it stands above everything else.
fn leaves(facts: &Facts) -> Vec<Leaf> {
    let mut leaves = facts.it.progress.leaves();
    if let Some(failure) = &facts.it.boatyard.failure {
        let is_said = |reason: &String| reason.starts_with(failure.message.trim_end_matches('.'));
        leaves.iter_mut().filter(|it| it.reason.as_ref().is_some_and(is_said)).for_each(|it| it.reason = None);
    }
    leaves
}
