//! The audit trail: who did what.

use controller::view::{AuditEntry, PageQuery};
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use present::text::grouped;

use super::{ago, heading};
use crate::request::{PageRequest, PageResult};
use crate::ui::button::{self, Look};
use crate::ui::card;
use crate::ui::page::Place;
use crate::ui::table::{columns, table};

const PATH: &str = "/tokens/audit";
/// Rows on a page.
const ROWS: u64 = 100;

/// A page of the trail, newest first. The query may name an app and a page.
pub(super) async fn show(request: PageRequest) -> PageResult {
    let app = request.query.get("app").map(str::trim).filter(|it| !it.is_empty());
    let page = request.query.get("page").and_then(|it| it.parse().ok()).unwrap_or(1).max(1);
    let found = request.access.control.audit(app, PageQuery { page, per_page: ROWS }).await?;
    let title = format!("{} requests", grouped(found.total));
    let content = html! {
        (heading(PATH))
        (card::card("audit", &title, html! {}, html! {
            (filter(app.unwrap_or_default()))
            @if found.items.is_empty() { p class="hint" { "There is no request here." } } @else { (rows(&found.items)) }
            (links(app, page, found.total))
        }))
    };
    Ok(request.page("Audit trail", Place::Tokens, content))
}

fn filter(app: &str) -> Markup {
    html! {
        form method="get" action=(PATH) {
            div class="row filter" {
                label for="app" { "App" }
                input id="app" name="app" value=(app) placeholder="Name or id, also of a deleted app" autocomplete="off" spellcheck="false";
                (button::submit(Look::Plain, "Show"))
            }
        }
    }
}

fn rows(entries: &[AuditEntry]) -> Markup {
    let row = |it: &AuditEntry| {
        vec![
            html! { (it.action) @if let Some(subject) = &it.subject { " " small { (subject) } } },
            ago(it.at),
            html! { (it.actor.name) },
            html! { (it.app_name.as_deref().unwrap_or_default()) },
            html! { (outcome(it)) },
            html! { @if let Some(source) = it.source { (source) } },
        ]
    };
    table(
        "Requests, newest first",
        &columns(["Action", "When", "Token", "App", "Outcome", "Address"]),
        &entries.iter().map(row).collect::<Vec<_>>(),
    )
}

fn outcome(it: &AuditEntry) -> String {
    match it.status {
        None => "Unknown: not answered".into(),
        Some(_) if it.is_accepted() => "Accepted".into(),
        Some(status) => format!("Refused ({status})"),
    }
}

fn links(app: Option<&str>, page: u64, total: u64) -> Markup {
    let last = total.div_ceil(ROWS).max(1);
    let filter = app.map(|it| format!("&app={}", utf8_percent_encode(it, NON_ALPHANUMERIC))).unwrap_or_default();
    let link = |label, page: u64| button::link(Look::Plain, label, &format!("{PATH}?page={page}{filter}"));
    html! {
        @if last > 1 {
            nav class="row" aria-label="Pages" {
                @if page > 1 { (link("Newer", page.min(last + 1) - 1)) }
                @if page < last { (link("Older", page + 1)) }
                small { "Page " (page) " of " (last) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use controller::view::Actor;
    use rollout::time::Timestamp;

    use super::*;

    #[test]
    fn pages_lead_to_those_beside_them_and_keep_the_filter() {
        let hrefs = |app, page, total| {
            let html = links(app, page, total).into_string();
            html.split("href=\"")
                .skip(1)
                .map(|it| it.split('"').next().unwrap_or_default().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(hrefs(None, 1, 0), [""; 0]);
        assert_eq!(hrefs(None, 1, 100), [""; 0]);
        assert_eq!(hrefs(None, 1, 101), ["/tokens/audit?page=2"]);
        assert_eq!(hrefs(None, 2, 301), ["/tokens/audit?page=1", "/tokens/audit?page=3"]);
        assert_eq!(hrefs(Some("a&b"), 4, 301), ["/tokens/audit?page=3&amp;app=a%26b"]);
        assert_eq!(hrefs(None, 99, 301), ["/tokens/audit?page=4"], "after the end");
    }

    #[test]
    fn a_row_says_who_did_what_and_shows_text_as_text() {
        let actor = Actor { token: None, name: "<i>ci</i>".into() };
        let entry = |status| AuditEntry {
            at: Timestamp(1_772_359_293_000),
            actor: actor.clone(),
            action: "restart".into(),
            app: Some("id-of-shop".into()),
            app_name: Some("shop".into()),
            deployment: None,
            subject: Some("<b>web</b>".into()),
            status,
            source: None,
        };
        let html = rows(&[entry(Some(200)), entry(Some(409)), entry(None)]).into_string();
        for text in ["&lt;i&gt;ci", "&lt;b&gt;web", "Accepted", "Refused (409)", "Unknown", "shop"] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(!html.contains("<b>") && !html.contains("<i>"));
    }
}
