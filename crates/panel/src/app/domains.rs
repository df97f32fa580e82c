//! The domains of the app, and whether each can be used.

use controller::view::{DomainPhase, DomainView};
use maud::{Markup, html};
use web::view;

use super::facts::Facts;
use crate::ui::icon::Icon;
use crate::ui::table::{Column, Kind, table};
use crate::ui::{Tone, card, status};

pub(super) fn markup(facts: &Facts) -> Markup {
    if facts.app.domains.is_empty() {
        return card::nothing("domains");
    }
    let columns = [
        Column("Domain", Kind::Text),
        Column("Type", Kind::Text),
        Column("State", Kind::Text),
        Column("Certificate expires", Kind::Text),
    ];
    let rows: Vec<_> = facts.app.domains.iter().map(row).collect();
    card::card("domains", "Domains", html! {}, table("Domains", &columns, &rows))
}

fn row(it: &DomainView) -> Vec<Markup> {
    let name = it.spec["domain"].as_str().unwrap_or_default();
    let kind = it.spec["type"].as_str().unwrap_or("ALIAS");
    vec![
        html! { (name) @if it.spec["wildcard"] == true { br; "*." (name) } },
        html! { (kind) },
        html! { (phase(it.phase)) @if let Some(reason) = &it.reason { p class="hint" { (reason) } } },
        html! { @match it.certificate_expires.and_then(view::time) {
            Some(at) => (at.format("%Y-%m-%d %H:%M UTC")),
            None => "no certificate",
        } },
    ]
}

fn phase(phase: DomainPhase) -> Markup {
    let (tone, icon, text) = match phase {
        DomainPhase::Pending => (Tone::Plain, Icon::Pending, "pending"),
        DomainPhase::Configuring => (Tone::Busy, Icon::Running, "configuring"),
        DomainPhase::Active => (Tone::Good, Icon::Done, "active"),
        DomainPhase::Error => (Tone::Bad, Icon::Failed, "error"),
    };
    status::badge(tone, icon, text)
}
