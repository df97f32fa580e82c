//! The deployments that matter now: those that have not ended, and the one that serves.

use maud::{Markup, html};
use present::Deployment;
use present::text::counted;

use super::facts::Facts;
use crate::ui::button::{self, Look};
use crate::ui::icon::Icon;
use crate::ui::{card, status, table, time};

/// The deployments that have not ended, with what they wait for.
pub(super) fn in_progress(facts: &Facts) -> Markup {
    let open = facts.explained.open();
    if open.is_empty() {
        return card::nothing("in-progress");
    }
    html! { div id="in-progress" class="stack" { @for it in open { (open_card(facts, it)) } } }
}

fn open_card(facts: &Facts, it: &Deployment) -> Markup {
    let number = it.boatyard.number;
    let address = facts.address(&format!("/deployments/{number}"));
    let progress = &it.progress;
    card::card(
        &format!("deployment-{number}"),
        &format!("Deployment {number}"),
        html! { (status::phase(&it.phase)) (button::link(Look::Primary, "Watch it", &address)) },
        html! {
            p class="about" {
                span { (it.cause_with_token()) }
                @if let Some(created) = it.created_at { span { "for " (time::since(created)) } }
                span { (progress.success_steps) " of " (counted(progress.total_steps as u64, "step")) " done" }
            }
            @for wait in &it.boatyard.waiting { p class="waiting" { (Icon::Pending.markup()) (wait) } }
        },
    )
}

/// The deployment that serves.
pub(super) fn serves(facts: &Facts) -> Markup {
    let Some(it) = &facts.explained.app.active_deployment else {
        let text = "No deployment has succeeded so far, so nothing serves.";
        return card::card("serves", "Serves now", html! {}, html! { p class="hint" { (text) } });
    };
    let number = it.boatyard.number;
    let since = it.boatyard.record.serving_since.or_else(|| it.ended_at());
    let address = facts.address(&format!("/deployments/{number}"));
    let rows = [
        ("Deployment", html! { a href=(address) { "Deployment " (number) } }),
        ("Cause", html! { (it.cause_with_token()) }),
        ("Since", html! { @if let Some(since) = since { (time::ago(since)) } }),
        ("Instances", html! { (facts.app.ready) " of " (facts.app.wanted) " ready" }),
    ];
    let all = button::link(Look::Plain, "All deployments", &facts.address("/activity"));
    card::card("serves", "Serves now", all, table::facts(&rows))
}
