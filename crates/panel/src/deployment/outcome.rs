//! How the deployment ended: the proof, or what failed and what serves now.

use maud::{Markup, html};
use present::outcome::{self, Headline};
use rollout::deployment::Stage;

use super::facts::Facts;
use crate::ui::button::{self, Look};
use crate::ui::notice::Notice;
use crate::ui::{Tone, card};

pub(super) fn markup(facts: &Facts) -> Markup {
    let notice = match facts.stage {
        Stage::RollingBack => rolling_back(facts),
        _ if !facts.it.has_ended() => return card::nothing("outcome"),
        Stage::Active => {
            let same_instances = facts.replaced_instances() == Some(false);
            served(facts, &outcome::headline(&facts.app.name, &facts.it, same_instances))
        }
        _ if facts.served_earlier() => {
            let what = format!("Deployment {} served earlier.", facts.number());
            served(facts, &Headline { what, details: String::new() })
        }
        _ => failed(facts),
    };
    html! { div id="outcome" { (notice) } }
}

fn served(facts: &Facts, headline: &Headline) -> Markup {
    let (tone, next) = match facts.stage {
        Stage::Active => (Tone::Good, html! {}),
        _ => (Tone::Plain, what_serves(facts)),
    };
    let notes = facts.it.boatyard.record.notes.join("\n");
    let text = [capitalized(&headline.details).as_str(), &notes]
        .into_iter()
        .filter(|it| !it.is_empty())
        .collect::<Vec<_>>()
        .join("\n");
    Notice { tone, title: &headline.what, text: &text, log_tail: &[] }.markup(next)
}

/// A sentence of its own. Not for texts that may begin with the name of a component.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn rolling_back(facts: &Facts) -> Markup {
    let details = &facts.it.boatyard;
    let title = format!("Deployment {} failed, and what it replaced is being restored", details.number);
    let text = details.failure.as_ref().map(|it| it.message.as_str()).unwrap_or_default();
    let notice = Notice { tone: Tone::Warning, title: &title, text, log_tail: &details.log_tail };
    notice.markup(html! { (open_log(facts)) })
}

fn failed(facts: &Facts) -> Markup {
    let details = &facts.it.boatyard;
    let headline = outcome::headline(&facts.app.name, &facts.it, false);
    let tone = if facts.stage == Stage::Failed { Tone::Bad } else { Tone::Plain };
    let lines = [headline.details.as_str()].into_iter().chain(details.record.notes.iter().map(String::as_str));
    let text = lines.filter(|it| !it.is_empty()).collect::<Vec<_>>().join("\n");
    let next = html! {
        @if facts.stage == Stage::Failed { (open_log(facts)) }
        (what_serves(facts))
    };
    Notice { tone, title: &headline.what, text: &text, log_tail: &details.log_tail }.markup(next)
}

fn open_log(facts: &Facts) -> Markup {
    button::link(Look::Plain, "Open the log", &facts.log_address(""))
}

fn what_serves(facts: &Facts) -> Markup {
    let name = &facts.app.name;
    html! {
        @match &facts.app.active {
            Some(it) if it.number != facts.number() => {
                p { (name) " serves " a href=(facts.address(&format!("/deployments/{}", it.number))) { "deployment " (it.number) } "." }
            }
            Some(_) => {}
            None => p { "No deployment of " (name) " serves." },
        }
    }
}
