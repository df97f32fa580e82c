//! What needs attention, in one place: a pinned rollback, a failure that no deployment has followed, instances and waits.

use maud::{Markup, html};
use present::explain::{Attention, See};
use present::outcome;

use super::facts::Facts;
use crate::actions;
use crate::ui::Tone;
use crate::ui::button::{self, Look};
use crate::ui::icon::Icon;
use crate::ui::notice::{self, Notice};

pub(super) fn markup(facts: &Facts) -> Markup {
    let attention = facts.explained.attention(facts.now);
    html! {
        div id="attention" class="stack" {
            (pinned(facts))
            (failure(facts))
            @if !attention.is_empty() { (list(facts, &attention)) }
        }
    }
}

fn pinned(facts: &Facts) -> Markup {
    match (&facts.app.pinned, facts.may_write) {
        (None, _) => html! {},
        (Some(_), true) => actions::pinned(&facts.app, &facts.address("")).unwrap_or_default(),
        (Some(it), false) => {
            let title = format!("Pinned to deployment {} ({})", it.number, it.cause);
            notice::warning(&title, "New deployments are refused until the rollback is committed or reverted.")
        }
    }
}

fn failure(facts: &Facts) -> Markup {
    let Some(it) = facts.explained.failed() else { return html! {} };
    let headline = outcome::headline(&facts.app.name, it, false);
    let tone = if it.phase == "ERROR" { Tone::Bad } else { Tone::Plain };
    let number = it.boatyard.number;
    let address = facts.address(&format!("/deployments/{number}"));
    let next = button::link(Look::Plain, &format!("Open deployment {number}"), &address);
    Notice { tone, title: &headline.what, text: &headline.details, log_tail: &it.boatyard.log_tail }.markup(next)
}

/// Not a status for screen readers, because sentences contain countdowns.
fn list(facts: &Facts, attention: &[Attention]) -> Markup {
    html! {
        section class="notice warning" aria-label="Needs attention" {
            (Icon::Warning.markup())
            div {
                strong { "Needs attention" }
                ul { @for it in attention { li { (it.sentence) @if let Some(see) = &it.see { " " (more(facts, see)) } } } }
            }
        }
    }
}

fn more(facts: &Facts, see: &See) -> Markup {
    html! {
        @match see {
            See::RestartedLogs(component) => {
                a href=(facts.address(&format!("/logs?component={component}&type=run_restarted"))) { "Its log before the restart" }
            }
            See::Container(name) => { "See: " code { "docker logs " (name) } }
        }
    }
}
