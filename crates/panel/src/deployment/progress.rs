//! The steps with their times, and what the deployment waits for now.

use maud::{Markup, html};

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
            (steps::steps(&progress.leaves()))
        },
    )
}
