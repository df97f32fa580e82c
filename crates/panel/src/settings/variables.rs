//! The variables of an app and of its components. Values of secrets are written and never shown.

use app_spec::{AppSpec, Code, Diagnostic, EnvValue, EnvVar, Parsed};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use web::{HttpError, Needs, PathParams};

use super::change::{Change, NotSaved};
use super::variable::{Edit, GENERAL, RETYPE, SCOPES, SECRET, edited, found, scope};
use crate::request::{Fields, PageRequest, PageResult};
use crate::ui::button::{self, Look};
use crate::ui::card;
use crate::ui::dialog::{self, Dialog};
use crate::ui::form::{Field, Form, Input};
use crate::ui::notice;
use crate::ui::table::{columns, table};

/// Longest value in the list. The dialogue shows all of it.
const SHOWN: usize = 200;

pub(super) async fn show(request: PageRequest, PathParams(app): PathParams<String>) -> PageResult {
    let app = request.access.app(&app).await?;
    let change = Change::opened(&request, &app);
    let spec = change.current()?;
    let dialogue = match Edit::of(&request.query) {
        Some(edit) => {
            Needs::Write("update").check(&request.access.identity, true).map_err(HttpError::forbidden)?;
            Some(Dialogue { edit, change, spec: &spec }.opened().await?)
        }
        None => None,
    };
    Ok(match dialogue {
        Some(dialogue) if request.dialog_only => dialogue.into_response(),
        dialogue => page(change, &spec, dialogue.unwrap_or_default()),
    })
}

/// Shows the plan of a form, or saves the changed spec.
pub(super) async fn submit(request: PageRequest, PathParams(app): PathParams<String>, fields: Fields) -> PageResult {
    let app = request.access.app(&app).await?;
    let change = Change::sent(&request, &app, &fields);
    let saves = fields.get("step") != Some("plan");
    if !saves {
        request.access.dismiss_audit();
    }
    let spec = change.current()?;
    let edit = Edit::of(&fields).ok_or_else(|| HttpError::bad_request("the form does not say what to do"))?;
    let dialogue = Dialogue { edit, change, spec: &spec };
    let parsed = match edited(&spec, edit, &fields) {
        Ok(parsed) => parsed,
        Err(why) if saves => {
            return Ok(dialogue.refused(StatusCode::BAD_REQUEST, notice::error("Nothing was changed", &why)));
        }
        Err(why) => return Ok(dialogue.answer(html! {}, impossible(&why))),
    };
    if !saves {
        return Ok(dialogue.answer(html! {}, dialogue.planned(&parsed).await));
    }
    let saved = change.save(parsed.spec, "Nothing was changed").await;
    saved.or_else(|NotSaved { status, notice, form }| Ok(Dialogue { change: form, ..dialogue }.refused(status, notice)))
}

/// Why the form cannot be saved as it is, while a person fills it in.
fn impossible(why: &str) -> Markup {
    notice::warning("This cannot be saved yet", why)
}

fn address(app: &str) -> String {
    format!("/apps/{app}/settings/variables")
}

fn page(change: Change<'_>, spec: &AppSpec, dialogue: Markup) -> Response {
    let (name, may_write) = (&change.app.name, change.request.access.identity.may_write());
    let content = html! {
        (card::card("variables", "All components", add(name, "", may_write), list(name, "", &spec.envs, may_write)))
        @for it in spec.components() {
            @let title = format!("{}, {}", it.name(), it.kind().as_str());
            (card::card(&format!("variables-{}", it.name()), &title, add(name, it.name(), may_write), list(name, it.name(), it.envs(), may_write)))
        }
    };
    super::page(change.request, name, dialogue, content)
}

fn add(app: &str, owner: &str, may_write: bool) -> Markup {
    let href = format!("{}?action=add&of={owner}", address(app));
    html! { @if may_write { (button::open(Look::Plain, "Add variable", &href, &format!("add-{owner}"))) } }
}

fn list(app: &str, owner: &str, envs: &[EnvVar], may_write: bool) -> Markup {
    let row = |(at, env): (usize, &EnvVar)| {
        let open = |label: &str, action: &str| {
            let href = format!("{}?action={action}&of={owner}&at={at}&name={}", address(app), env.key);
            button::open(Look::Plain, label, &href, &format!("{action}-{owner}-{at}"))
        };
        let change = if env.is_secret() { "Replace…" } else { "Change…" };
        vec![
            html! { code { (env.key) } },
            html! { (scope(env).1) },
            html! { @if env.is_secret() { "Secret" } @else { "General" } },
            value(env),
            html! { @if may_write { span class="row end" { (open(change, "change")) (open("Remove…", "remove")) } } },
        ]
    };
    if envs.is_empty() {
        return html! { p class="hint" { @if owner.is_empty() { "Every component gets the variables that stand here." } @else { "It has no variables of its own." } } };
    }
    let rows: Vec<_> = envs.iter().enumerate().map(row).collect();
    table("Variables", &columns(["Key", "Scope", "Type", "Value", "Actions"]), &rows)
}

fn value(env: &EnvVar) -> Markup {
    match &env.value {
        EnvValue::Plain(text) if text.is_empty() => html! { small { "empty" } },
        EnvValue::Plain(text) => {
            let shown: String = text.chars().take(SHOWN).collect();
            html! { code class="value" { (shown) @if shown.len() < text.len() { "…" } } }
        }
        EnvValue::Secret(_) | EnvValue::Sealed(_) => html! { "Set" },
        EnvValue::Missing => html! { strong { "Not set" } },
    }
}

/// A dialogue for one variable. Its fields are those of the query that opened it, or of its form.
#[derive(Clone, Copy)]
struct Dialogue<'a> {
    edit: Edit,
    change: Change<'a>,
    spec: &'a AppSpec,
}

impl Dialogue<'_> {
    /// The dialogue before anything was typed. Errors: the variable is gone.
    async fn opened(&self) -> Result<Markup, HttpError> {
        let gone = || HttpError::not_found("This variable is no longer there. The page Variables has those that are");
        let before = match self.edit {
            Edit::Add => None,
            Edit::Change | Edit::Remove => Some(found(self.spec, self.change.fields).ok_or_else(gone)?),
        };
        let value = match before.map(|it| &it.value) {
            Some(EnvValue::Plain(text)) => text,
            _ => "",
        };
        let name = before.map_or("", |it| it.key.as_str());
        let kind = if before.is_some_and(EnvVar::is_secret) { SECRET } else { GENERAL };
        let typed = Typed { name, value, kind, scope: before.map_or(SCOPES[0].1, |it| scope(it).0), is_dropped: false };
        let removed = (self.edit == Edit::Remove).then(|| edited(self.spec, self.edit, self.change.fields));
        let plan = match removed {
            Some(Ok(parsed)) => self.planned(&parsed).await,
            Some(Err(why)) => impossible(&why),
            None => html! {},
        };
        Ok(self.markup(typed, html! {}, plan))
    }

    async fn planned(&self, parsed: &Parsed) -> Markup {
        html! { (self.warnings(parsed)) (self.change.plan(&parsed.spec).await) }
    }

    /// The dialogue again, with what was typed. The value of a secret has to be typed again.
    fn again(&self, notice: Markup, plan: Markup) -> Markup {
        let fields = self.change.fields;
        let text = |name: &str| fields.get(name).unwrap_or_default();
        let is_secret = text("type") == SECRET;
        let is_dropped = is_secret && !text("value").is_empty() || fields.has(RETYPE);
        let value = if is_secret { "" } else { text("value") };
        let typed = Typed { name: text("name"), value, kind: text("type"), scope: text("scope"), is_dropped };
        self.markup(typed, notice, plan)
    }

    fn answer(&self, notice: Markup, plan: Markup) -> Response {
        let dialogue = self.again(notice, plan);
        match self.change.request.dialog_only {
            true => dialogue.into_response(),
            false => page(self.change, self.spec, dialogue),
        }
    }

    fn refused(&self, status: StatusCode, notice: Markup) -> Response {
        (status, self.answer(notice, html! {})).into_response()
    }

    fn markup(&self, typed: Typed<'_>, notice: Markup, plan: Markup) -> Markup {
        let Change { request, app, fields, .. } = self.change;
        let owner = fields.get("of").unwrap_or_default();
        let of = if owner.is_empty() { "all components" } else { owner };
        let address = address(&app.name);
        let title = match self.edit {
            Edit::Add => format!("Add a variable to {of}"),
            Edit::Change => format!("{} of {of}", typed.name),
            Edit::Remove => format!("Remove {} of {of}", typed.name),
        };
        let look = if self.edit == Edit::Remove { Look::Danger } else { Look::Primary };
        let form = Form { action: &address, csrf: &request.session.csrf, preview: None }.markup(html! {
            (self.change.hidden_fields())
            input type="hidden" name="action" value=(self.edit.word());
            input type="hidden" name="of" value=(owner);
            @if self.edit != Edit::Add {
                input type="hidden" name="at" value=(fields.get("at").unwrap_or_default());
                input type="hidden" name="name" value=(typed.name);
            }
            @if self.edit != Edit::Remove { div class="stack" data-checks="checked" { (typed.fields(self.edit)) } }
            @else { p { "This starts a deployment without the variable." } }
            div id="checked" class="stack" { (plan) }
            (dialog::buttons(&address, html! {
                (button::submit(look, if self.edit == Edit::Remove { "Remove and deploy" } else { "Save and deploy" }))
                button class="button without-script" name="step" value="plan" { "Show plan" }
            }))
        });
        Dialog { title: &title, page: &address }.markup(html! { (notice) (form) })
    }

    /// Warnings that the edit has brought.
    fn warnings(&self, parsed: &Parsed) -> Markup {
        let written = self.spec.to_json_value(&|_, _| String::new());
        let before = AppSpec::from_json(&written).map(|it| it.warnings).unwrap_or_else(|problems| problems);
        let is_new = |it: &&Diagnostic| {
            it.code != Code::NeedsValue
                && !before.iter().any(|old| (&old.path, &old.message) == (&it.path, &it.message))
        };
        html! {
            @for it in parsed.warnings.iter().filter(is_new) {
                (notice::warning(&it.message, it.help.as_deref().unwrap_or_default()))
            }
        }
    }
}

/// What the fields of a dialogue contain.
#[derive(Debug, Clone, Copy)]
struct Typed<'a> {
    name: &'a str,
    value: &'a str,
    kind: &'a str,
    scope: &'a str,
    /// A secret was typed, which is not sent back to the page.
    is_dropped: bool,
}

impl Typed<'_> {
    fn fields(&self, edit: Edit) -> Markup {
        let is_kept = edit == Edit::Change && self.kind == SECRET;
        let hint = match is_kept {
            _ if self.is_dropped => "Type it again: a secret is never sent back to the page.",
            true => "Leave this empty to keep the value, which cannot be shown.",
            false => "May refer to other values: ${db.DATABASE_URL}, ${APP_URL}.",
        };
        let scopes = SCOPES.map(|(_, word, label)| (word, label));
        let kinds = [
            (GENERAL, "General: shown to everyone who may read the spec"),
            (SECRET, "Secret: stored encrypted, never shown again"),
        ];
        html! {
            @if edit == Edit::Add { (Field { name: "name", label: "Key", value: self.name, required: true, ..Field::default() }.markup()) }
            (Field { name: "value", label: "Value", hint, value: self.value, input: Input::Lines(3), required: self.is_dropped, ..Field::default() }.markup())
            @if self.is_dropped { input type="hidden" name=(RETYPE) value="yes"; }
            (Field { name: "type", label: "Type", value: self.kind, input: Input::Choice(&kinds), ..Field::default() }.markup())
            (Field { name: "scope", label: "Scope", value: self.scope, input: Input::Choice(&scopes), ..Field::default() }.markup())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_text_and_secrets_are_not_shown() {
        let env = |kind: &str, value: &str| serde_json::json!({ "key": "A", "type": kind, "value": value });
        let hostile = "<img src=x onerror=alert(1)>";
        let stored = serde_json::json!({ "name": "shop", "envs": [
            env("GENERAL", hostile), env("GENERAL", "${db.DATABASE_URL}"), env("GENERAL", ""), env("SECRET", "canary"),
            env("SECRET", "EV[1:nonce:sealed]"), env("SECRET", ""), env("GENERAL", &"é".repeat(SHOWN + 1)),
        ] });
        let spec = AppSpec::from_stored(&stored).expect("a spec");
        let html = list("shop", "", &spec.envs, true).into_string();
        for absent in ["canary", "sealed", "<img"] {
            assert!(!html.contains(absent), "{absent}: {html}");
        }
        let cells = ["&lt;img", "${db.DATABASE_URL}", "empty", "Set", "Set", "Not set", "é…"];
        let values: Vec<_> = html.split("data-label=\"Value\"").skip(1).collect();
        assert_eq!(values.len(), cells.len());
        assert!(values.iter().zip(cells).all(|(html, cell)| html.contains(cell)), "{html}");
        assert_eq!(html.matches("Replace…").count(), 3);
        assert!(
            !list("shop", "", &spec.envs, false).into_string().contains("action="),
            "a token that may read changes nothing"
        );
    }
}
