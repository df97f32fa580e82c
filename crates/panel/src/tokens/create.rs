//! Creating a token. The answer to the form shows the token, once.

use axum::response::IntoResponse;
use controller::view::{CreatedToken, NewToken, TokenScope};
use maud::{Markup, html};
use web::HttpError;

use super::{PATH, page};
use crate::request::{Fields, PageRequest, PageResult};
use crate::ui::Tone;
use crate::ui::button::{self, Look};
use crate::ui::form::{Field, Form, Input};
use crate::ui::notice::{self, Notice};

pub(super) fn form(request: &PageRequest, typed: &Fields) -> Markup {
    let text = |name: &str| typed.get(name).unwrap_or_default();
    let scopes = [
        ("read", "Read: look at apps, deployments and logs"),
        ("write", "Read and write: also change apps, open consoles, see database passwords"),
    ];
    let (names, apps) =
        ("Deployments and the audit trail show it.", "Name or id of the only app that it may use. Empty: all apps.");
    let expires = "A lifetime such as 90d or 12h, a time such as 2027-01-31T00:00:00Z, or never.";
    let lifetime = if typed.has("name") { text("expires") } else { "90d" };
    let form = Form { action: PATH, csrf: &request.session.csrf, preview: None };
    form.markup(html! {
        (Field { name: "name", label: "Name", hint: names, value: text("name"), required: true, ..Field::default() }.markup())
        (Field { name: "scope", label: "May", value: text("scope"), input: Input::Choice(&scopes), ..Field::default() }.markup())
        (Field { name: "app", label: "App", hint: apps, value: text("app"), ..Field::default() }.markup())
        (Field { name: "expires", label: "Expires", hint: expires, value: lifetime, required: true, ..Field::default() }.markup())
        (button::submit(Look::Primary, "Create the token"))
    })
}

pub(super) async fn submit(request: PageRequest, fields: Fields) -> PageResult {
    Ok(match create(&request, &fields).await {
        Ok(created) => page(&request, html! {}, shown_once(&created), &Fields::default()),
        Err(refusal) => {
            let notice = notice::error("No token was created", &refusal.message);
            (request.refused(&refusal), page(&request, html! {}, notice, &fields)).into_response()
        }
    })
}

async fn create(request: &PageRequest, fields: &Fields) -> Result<CreatedToken, HttpError> {
    let control = &request.access.control;
    Ok(control.create_token(wanted(fields)?, &request.access.caller).await?)
}

/// Errors: for people, which field cannot be used.
fn wanted(fields: &Fields) -> Result<NewToken, HttpError> {
    let text = |name: &str| fields.get(name).map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned);
    let name = text("name").ok_or_else(|| HttpError::bad_request("the token needs a name"))?;
    let scope = if fields.get("scope") == Some("write") { TokenScope::Write } else { TokenScope::Read };
    let expires = text("expires").ok_or_else(|| HttpError::bad_request("say when the token expires, or never"))?;
    let expires = expires.parse().map_err(|why| HttpError::bad_request(format!("expires {why}")))?;
    Ok(NewToken { name, scope, app: text("app"), expires })
}

fn shown_once(created: &CreatedToken) -> Markup {
    let title = format!("Token {} was created", created.view.name);
    let text = "Store it now: it is shown only here, and only once.";
    Notice { tone: Tone::Good, title: &title, text, log_tail: &[] }
        .markup(html! { p { code id="new-token" { (created.token) } (button::copy(&created.token, "the token")) } })
}

#[cfg(test)]
mod tests {
    use controller::view::Expiry;

    use super::*;

    #[test]
    fn the_form_for_a_token_is_read_or_refused_in_words() {
        let read = wanted(&Fields::of("name=+ci+&scope=write&app=shop&expires=never")).expect("a token");
        assert_eq!((read.name.as_str(), read.scope, read.app.as_deref()), ("ci", TokenScope::Write, Some("shop")));
        assert_eq!(read.expires, Expiry::Never);
        let read = wanted(&Fields::of("name=ci&scope=admin&app=&expires=90d")).expect("a token");
        assert_eq!((read.scope, read.app, read.expires), (TokenScope::Read, None, Expiry::default()));
        for (query, why) in [("expires=90d", "name"), ("name=ci&expires=", "never"), ("name=ci&expires=soon", "soon")] {
            let refusal = wanted(&Fields::of(query)).map(drop).expect_err(query);
            assert!(refusal.message.contains(why), "{}", refusal.message);
        }
    }
}
