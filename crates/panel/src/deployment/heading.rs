//! The heading: which deployment, where it stands, and what a person can do about it.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};
use present::text::duration;
use rollout::deployment::Stage;

use super::facts::Facts;
use crate::app::has_address;
use crate::ui::button::{self, Look};
use crate::ui::{card, link, status, time};

pub(super) fn markup(facts: &Facts) -> Markup {
    let title = format!("Deployment {}", facts.number());
    html! {
        div id="deployment" {
            (time::announce(&format!("{title}: {}", status::phase_name(&facts.it.phase))))
            (card::heading(&title, beside(facts), buttons(facts)))
        }
    }
}

fn beside(facts: &Facts) -> Markup {
    let it = &facts.it;
    html! {
        (status::phase(&it.phase))
        span { (it.cause_with_token()) }
        @match (it.took(), it.created_at) {
            (Some(took), Some(created)) => { span { (time::ago(created)) } span { "took " (duration(took)) } }
            (None, Some(created)) => span { "for " (time::since(created)) (phase_time(facts, created)) },
            (_, None) => {}
        }
    }
}

/// How much of the time the deployment has been in its phase, if it was in another one before.
fn phase_time(facts: &Facts, created: DateTime<Utc>) -> Markup {
    let since = facts.it.phase_last_updated_at.filter(|it| *it - created > TimeDelta::seconds(1));
    html! { @if let Some(since) = since { ", in this phase for " (time::since(since)) } }
}

fn buttons(facts: &Facts) -> Markup {
    let can_cancel = !facts.it.has_ended() && facts.stage != Stage::RollingBack;
    html! {
        @if facts.may_write && can_cancel { (button::open(Look::Plain, "Cancel", "?action=cancel", "cancel")) }
        @if facts.may_write && facts.served_earlier() {
            (button::open(Look::Plain, "Roll back to this", &format!("?action=rollback&to={}", facts.number()), "rollback"))
        }
        @if facts.stage == Stage::Active && has_address(&facts.spec) {
            (link::external_button(&format!("Open {}", facts.app.name), &facts.app.live_url))
        }
    }
}
