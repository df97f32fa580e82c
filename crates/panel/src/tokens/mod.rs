//! Tokens and sessions, and the audit trail. Only the admin token sees them. Any other token sees what it may do.

mod audit;
mod create;
mod sessions;
#[cfg(test)]
mod tests;

use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use controller::view::{TokenScope, TokenView};
use maud::{Markup, html};
use rollout::time::Timestamp;
use web::{HttpError, Identity, Needs, PathParams};

use crate::request::{Fields, PageRequest, PageResult};
use crate::routes::{Route, route};
use crate::ui::button::{self, Entry, Look};
use crate::ui::dialog::{self, Dialog};
use crate::ui::form::Form;
use crate::ui::notice::Notice;
use crate::ui::page::Place;
use crate::ui::table::{columns, facts, table};
use crate::ui::{Tone, card, time};

const PATH: &str = "/tokens";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        // Shows only the request's own token to others than the admin token.
        route(PATH, Needs::Nothing, get(show)),
        route(PATH, Needs::AdminWrite("create token"), post(create::submit)),
        route("/tokens/{token}/revoke", Needs::AdminWrite("revoke token"), post(revoke)),
        route("/sessions/{session}/end", Needs::AdminWrite("end panel session"), post(sessions::end)),
        route("/tokens/audit", Needs::AdminRead, get(audit::show)),
    ]
}

async fn show(request: PageRequest) -> PageResult {
    if !is_admin(&request.access.identity) {
        return Ok(request.page("Tokens", Place::Tokens, limited("Tokens", &request.access.identity)));
    }
    let dialogue = match request.query.get("action") {
        Some("revoke") => Some(revocation(&request)?),
        _ => None,
    };
    Ok(match dialogue {
        Some(dialogue) if request.dialog_only => dialogue.into_response(),
        dialogue => page(&request, dialogue.unwrap_or_default(), html! {}, &Fields::default()),
    })
}

/// The page with a dialogue and a notice, or without them. `typed`: what the form for a new token contains.
fn page(request: &PageRequest, dialogue: Markup, notice: Markup, typed: &Fields) -> Response {
    let control = &request.access.control;
    let content = html! {
        (dialogue)
        (heading(PATH))
        (notice)
        (card::card("tokens", "Tokens", html! {}, list(&control.tokens())))
        (card::card("create-token", "Create a token", html! {}, create::form(request, typed)))
        (card::card("sessions", "Sessions of the panel", html! {}, sessions::list(request, &control.sessions())))
    };
    request.page("Tokens", Place::Tokens, content)
}

fn heading(here: &str) -> Markup {
    let entry = |label, href| Entry { label, href, dialog: false, marked: href == here };
    html! {
        (card::heading("Tokens", html! {}, html! {}))
        (button::tabs("Tokens", &[entry("Tokens and sessions", PATH), entry("Audit trail", "/tokens/audit")]))
    }
}

fn list(tokens: &[TokenView]) -> Markup {
    let row = |it: &TokenView| {
        let href = format!("{PATH}?action=revoke&token={}", it.id);
        vec![
            html! { (it.name) },
            html! { (may(it.scope)) },
            apps(it),
            ago(it.created),
            expiry(it),
            button::open(Look::Danger, "Revoke…", &href, &format!("revoke-{}", it.id)),
        ]
    };
    if tokens.is_empty() {
        return html! { p class="hint" { "There are none beside the admin token. Create one for each program and each person: it can do less, expires, and can be revoked." } };
    }
    table(
        "Tokens",
        &columns(["Name", "May", "Apps", "Created", "Expires", "Actions"]),
        &tokens.iter().map(row).collect::<Vec<_>>(),
    )
}

fn may(scope: TokenScope) -> &'static str {
    match scope {
        TokenScope::Read => "Read",
        TokenScope::Write => "Read and write",
    }
}

fn apps(token: &TokenView) -> Markup {
    match &token.app {
        Some(app) => html! { a href={ "/apps/" (app.id) } { (app.name) } },
        None => html! { "All" },
    }
}

fn expiry(token: &TokenView) -> Markup {
    match token.expires {
        _ if token.is_expired() => html! { strong { "Expired" } },
        Some(at) => date(at),
        None => html! { "Never" },
    }
}

fn ago(at: Timestamp) -> Markup {
    web::view::time(at).map(time::ago).unwrap_or_default()
}

/// A time that lies ahead.
fn date(at: Timestamp) -> Markup {
    let shown =
        |at: DateTime<Utc>| html! { time datetime=(present::rfc3339(at)) { (at.format("%Y-%m-%d %H:%M UTC")) } };
    web::view::time(at).map(shown).unwrap_or_default()
}

/// The dialogue before a token is revoked.
fn revocation(request: &PageRequest) -> Result<Markup, HttpError> {
    let wanted = request.query.get("token");
    let tokens = request.access.control.tokens();
    let gone = || HttpError::not_found("there is no such token. It may be revoked already. See the page Tokens");
    let token = tokens.iter().find(|it| Some(it.id.as_str()) == wanted).ok_or_else(gone)?;
    let action = format!("{PATH}/{}/revoke", token.id);
    let form = Form { action: &action, csrf: &request.session.csrf, preview: None }.markup(html! {
        p { "Boatyard refuses it from then on. Its log streams, consoles and sessions of the panel end at once. Deployments that it \
             started continue. This cannot be undone." }
        (dialog::buttons(PATH, button::submit(Look::Danger, "Revoke the token")))
    });
    Ok(Dialog { title: &format!("Revoke {}", token.name), page: PATH }.markup(form))
}

async fn revoke(request: PageRequest, PathParams(token): PathParams<String>) -> PageResult {
    request.access.control.revoke_token(&token, &request.access.caller).await?;
    Ok(Redirect::to(PATH).into_response())
}

/// Whether a page about the installation may be shown.
pub(crate) fn is_admin(identity: &Identity) -> bool {
    Needs::AdminRead.check(identity, false).is_ok()
}

/// Instead of a page that only the admin token may see: which token this is, and what it may do.
pub(crate) fn limited(title: &str, identity: &Identity) -> Markup {
    let why = Needs::AdminRead.check(identity, false).err().unwrap_or_default();
    html! {
        (card::heading(title, html! {}, html! {}))
        (Notice { tone: Tone::Plain, title: "This page needs the admin token", text: &why, log_tail: &[] }.markup(html! {}))
        @if let Some(token) = identity.token() {
            (card::card("own-token", "Your token", html! {}, facts(&[
                ("Name", html! { (token.name) }),
                ("May", html! { (may(token.scope)) }),
                ("Apps", apps(token)),
                ("Created", ago(token.created)),
                ("Expires", expiry(token)),
            ])))
        }
    }
}
