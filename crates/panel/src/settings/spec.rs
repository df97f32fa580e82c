//! The editor for an app's spec.

use app_spec::{AppSpec, Code, Diagnostics, Parsed};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use controller::view::AppView;
use maud::{Markup, html};
use web::PathParams;

use super::change::{Change, NotSaved};
use crate::new_app::problem;
use crate::request::{Fields, PageRequest, PageResult};
use crate::ui::button::{Look, submit_as};
use crate::ui::editor::{self, Problem};
use crate::ui::form::Form;
use crate::ui::{card, notice};

/// Name of the text area. The element `checked` below it shows what was found in the text, and the plan.
const TEXT: &str = "spec";

pub(super) async fn show(request: PageRequest, PathParams(app): PathParams<String>) -> PageResult {
    let app = request.access.app(&app).await?;
    let editor = Editor { change: Change::opened(&request, &app) };
    let text = yaml(&editor.change.current()?);
    if !request.access.identity.may_write() {
        return Ok(super::page(&request, &app.name, html! {}, read_only(&text)));
    }
    // A stored spec may break rules that are newer, so it is checked like a text that a person typed.
    let parsed = AppSpec::from_yaml(&text);
    Ok(editor.page(&text, &found(&parsed), html! {}, html! {}))
}

/// Checks the text, or saves it.
pub(super) async fn submit(request: PageRequest, PathParams(app): PathParams<String>, fields: Fields) -> PageResult {
    let app = request.access.app(&app).await?;
    let editor = Editor { change: Change::sent(&request, &app, &fields) };
    let saves = fields.get("step") == Some("save");
    if !saves {
        request.access.dismiss_audit();
    }
    // Browsers send CRLF.
    let text = fields.get(TEXT).unwrap_or_default().replace("\r\n", "\n");
    let parsed = AppSpec::from_yaml(&text);
    let problems = found(&parsed);
    let spec = match parsed {
        Ok(parsed) => parsed.spec,
        Err(_) => {
            let content = editor.answer(&text, &problems, saves.then_some(notice::error(NOT_SAVED, "")), html! {});
            return Ok(if saves { (StatusCode::BAD_REQUEST, content).into_response() } else { content });
        }
    };
    if !saves {
        return Ok(editor.answer(&text, &problems, None, editor.change.plan(&spec).await));
    }
    let saved = editor.change.save(spec, "The spec was not saved").await;
    saved.or_else(|NotSaved { status, notice, form }| {
        let editor = Editor { change: form };
        Ok((status, editor.answer(&text, &problems, Some(notice), html! {})).into_response())
    })
}

const NOT_SAVED: &str = "The spec was not saved. Correct the errors below the text, then save again.";

struct Editor<'a> {
    change: Change<'a>,
}

impl Editor<'_> {
    /// The page, or for the script the checked part alone.
    fn answer(&self, text: &str, problems: &Diagnostics, notice: Option<Markup>, plan: Markup) -> Response {
        match self.change.request.dialog_only {
            true => checked(text, problems, plan).into_response(),
            false => self.page(text, problems, notice.unwrap_or_default(), plan),
        }
    }

    fn page(&self, text: &str, problems: &Diagnostics, notice: Markup, plan: Markup) -> Response {
        let Change { request, app, .. } = self.change;
        let action = format!("/apps/{}/settings", app.name);
        let form = Form { action: &action, csrf: &request.session.csrf, preview: None }.markup(html! {
            (self.change.hidden_fields())
            p class="hint" {
                "A value " code { "EV[…]" } " is a secret. Leave it as it is to keep the secret, or type a new value in its place. Comments are not kept."
            }
            div data-checks="checked" { (editor::text_area(TEXT, "App spec in YAML", text, &listed(problems))) }
            (checked(text, problems, plan))
            div class="row" {
                (submit_as(Look::Primary, "Save and deploy", "step", "save"))
                button class="button without-script" name="step" value="plan" { "Show plan" }
            }
        });
        let content = html! { (notice) (card::card("spec-card", "App spec", actions(app), form)) };
        super::page(request, &app.name, html! {}, content)
    }
}

fn actions(app: &AppView) -> Markup {
    html! { a href={ "/apps/" (app.name) "/activity" } { "Earlier versions" } }
}

fn read_only(text: &str) -> Markup {
    let text = html! { pre class="plan" tabindex="0" aria-label="App spec" { (text) } };
    card::card(
        "spec-card",
        "App spec",
        html! {},
        html! { p class="hint" { "Your token may read this spec and not change it." } (text) },
    )
}

/// What was found in the text, and what saving it would do. The script replaces it while a person types.
fn checked(text: &str, problems: &Diagnostics, plan: Markup) -> Markup {
    let more = problems.omitted();
    html! {
        div id="checked" class="stack" {
            (editor::list(TEXT, text, &listed(problems)))
            @if more > 0 { p { "and " (more) " more" } }
            (plan)
        }
    }
}

/// The spec as `boatyard spec get` prints it.
fn yaml(stored: &AppSpec) -> String {
    // Stored secrets are sealed, and written as they are. One that is not is left out, and saving keeps its value.
    stored.to_yaml(&|_, _| String::new())
}

/// Everything to say about a text: errors, or else warnings, what has no effect and what cannot run. Missing values are left
/// to the plan: only the controller knows which sealed values it can open.
fn found(parsed: &Result<Parsed, Diagnostics>) -> Diagnostics {
    let all = match parsed {
        Ok(parsed) => parsed.remarks(),
        Err(problems) => problems.clone(),
    };
    all.without(Code::NeedsValue)
}

fn listed(problems: &Diagnostics) -> Vec<Problem<'_>> {
    problems.iter().map(problem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_is_shown_under_its_line() {
        let image = "{registry_type: DOCKER_HUB, registry: test, repository: web, tag: '1'}";
        let cases = [
            (
                format!("name: shop\nservices:\n- name: web\n  image: {image}\n  instance_cuont: 2\n"),
                5,
                "bad",
                "instance_count",
            ),
            (
                format!("name: shop\nservices:\n- name: web\n  image: {image}\n  instance_count: many\n"),
                5,
                "bad",
                "number",
            ),
            (format!("name: shop\nregion: nyc\nservices:\n- name: web\n  image: {image}\n"), 2, "warning", "region"),
            ("name: shop\nservices: [\n".into(), 3, "bad", ""),
        ];
        for (text, line, class, word) in cases {
            let html = checked(&text, &found(&AppSpec::from_yaml(&text)), html! {}).into_string();
            let item = html.split("<li").find(|it| it.contains(&format!("data-line=\"{line}\"")));
            let item = item.unwrap_or_else(|| panic!("line {line} of {text}: {html}"));
            assert!(item.starts_with(&format!(" class=\"{class}\"")) && item.contains(word), "{item}");
            let shown = text.lines().nth(line - 1).unwrap_or_default().replace('\'', "&#39;");
            assert!(item.contains(shown.trim_end()) || item.contains(&shown.replace("&#39;", "'")), "{item}");
        }
    }

    #[test]
    fn a_stored_secret_is_written_sealed_or_not_at_all() {
        let env = |value: &str| serde_json::json!({ "key": "KEY", "type": "SECRET", "value": value });
        let stored = serde_json::json!({ "name": "shop", "envs": [env("EV[1:nonce:sealed]"), env("canary")] });
        let text = yaml(&AppSpec::from_stored(&stored).expect("a spec"));
        assert!(text.contains("EV[1:nonce:sealed]") && !text.contains("canary"), "{text}");
    }
}
