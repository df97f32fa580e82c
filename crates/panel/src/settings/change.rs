//! Replaces an app's spec: what it would do, and whether somebody else changed the spec since the page was opened.

use app_spec::{AppSpec, SecretText, changes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use controller::view::{AppView, DeploymentView, PageQuery, SpecVersion, UpdateOptions};
use maud::{Markup, html};
use present::outcome;
use web::HttpError;

use crate::actions::{caller, key_after, key_field, live_page, plan};
use crate::request::{Fields, PageRequest};
use crate::ui::button::{self, Look};
use crate::ui::notice::{self, Notice};
use crate::ui::{Tone, time};

/// How many deployments are searched for the spec that a page was made from.
const SEARCHED: u64 = 50;

/// A form that replaces the spec of an app.
#[derive(Clone, Copy)]
pub(super) struct Change<'a> {
    pub request: &'a PageRequest,
    pub app: &'a AppView,
    pub fields: &'a Fields,
    /// The key that the form was sent with, if the next sending is the same request.
    key: Option<&'a str>,
    /// The spec that the form was made from, if a conflict with a newer one was not shown yet.
    version: Option<&'a str>,
}

/// Why a spec was not saved.
pub(super) struct NotSaved<'a> {
    pub status: StatusCode,
    pub notice: Markup,
    /// The form to show again.
    pub form: Change<'a>,
}

impl<'a> Change<'a> {
    /// A form that was just opened.
    pub fn opened(request: &'a PageRequest, app: &'a AppView) -> Self {
        Self { request, app, fields: &request.query, key: None, version: None }
    }

    /// A form that was sent.
    pub fn sent(request: &'a PageRequest, app: &'a AppView, fields: &'a Fields) -> Self {
        Self { request, app, fields, key: fields.get("key"), version: fields.get("version") }
    }

    /// The form after it was compared with the app's current spec.
    fn compared(self) -> Self {
        Self { key: None, version: None, ..self }
    }

    /// The form after the controller has refused it.
    fn after(self, refusal: &HttpError) -> Self {
        Self { key: key_after(refusal, self.key), ..self }
    }

    /// The app's spec, with sealed secrets.
    pub fn current(&self) -> Result<AppSpec, HttpError> {
        AppSpec::from_stored(&self.app.spec).map_err(|problems| {
            let message =
                "This version of Boatyard cannot read the spec of the app. To see it: boatyard spec get --format json";
            HttpError::server_error(message, problems.to_string())
        })
    }

    /// The hidden fields: the key, and the spec that the page is made from.
    pub fn hidden_fields(&self) -> Markup {
        let version = self.version.map_or_else(|| SpecVersion::of(&self.app.spec).to_string(), str::to_owned);
        html! {
            (key_field(self.key))
            input type="hidden" name="version" value=(version);
        }
    }

    /// What saving the spec would do, with what to know before. A form that was just opened has no version yet.
    pub async fn plan(&self, spec: &AppSpec) -> Markup {
        let preview = self.request.access.control.propose(Some(&self.app.id), spec.clone()).await;
        let missing = preview.as_ref().map(|it| it.needs_values.join("\n")).unwrap_or_default();
        let conflict = if self.version.is_some() { self.conflict(spec).await } else { None };
        let notices = html! {
            (conflict.unwrap_or_default())
            @if !missing.is_empty() {
                (notice::warning("These values are missing. A deployment needs them.", &missing))
            }
        };
        plan("Plan", notices, preview)
    }

    /// Why `spec` must not replace the app's spec unseen: somebody else changed that since the page was opened. Shows both
    /// changes.
    async fn conflict(&self, spec: &AppSpec) -> Option<Markup> {
        let opened = self.version.unwrap_or_default();
        if is_version(opened, &self.app.spec) {
            return None;
        }
        let ours = differences(&self.current().ok()?, spec);
        if ours.is_empty() {
            return None;
        }
        let query = PageQuery { page: 1, per_page: SEARCHED };
        let deployments = self.request.access.control.deployments(&self.app.id, query).await.map(|it| it.items);
        Some(conflict(self.app, &self.request.path, opened, &deployments.unwrap_or_default(), &ours))
    }

    /// Saves the spec, and leads to the deployment that brings it. `not_saved`: title of the notice after a refusal.
    pub async fn save(self, spec: AppSpec, not_saved: &str) -> Result<Response, NotSaved<'a>> {
        if let Some(notice) = self.conflict(&spec).await {
            return Err(NotSaved { status: StatusCode::CONFLICT, notice, form: self.compared() });
        }
        let control = &self.request.access.control;
        let caller = caller(self.request, self.key);
        // Another change may be saved after the comparison above.
        let options = UpdateOptions { replaces: Some(SpecVersion::of(&self.app.spec)), ..UpdateOptions::default() };
        let after = control.update_app(&self.app.id, spec, options, &caller).await.map_err(|error| {
            let refusal = HttpError::from(error);
            let notice = notice::error(not_saved, &refusal.message);
            NotSaved { status: self.request.refused(&refusal), notice, form: self.after(&refusal) }
        })?;
        let before = self.app.newest.as_ref().map(|it| it.number);
        match &after.newest {
            Some(newest) if Some(newest.number) != before || !newest.stage.is_ended() => {
                Ok(Redirect::to(&live_page(&after.name, newest)).into_response())
            }
            newest => {
                let serving = after.active.as_ref().or(newest.as_ref()).map(|it| web::view::deployment(it, &[]));
                let sentence = serving.map(|it| outcome::nothing_changed(&after.name, &it));
                let title = sentence.unwrap_or_else(|| "Nothing to do: no component changed.".into());
                let notice = Notice { tone: Tone::Plain, title: &title, text: "", log_tail: &[] };
                Err(NotSaved { status: StatusCode::OK, notice: notice.markup(html! {}), form: self.compared() })
            }
        }
    }
}

/// Whether the version in [`Change::hidden_fields`] was made from this stored spec.
fn is_version(field: &str, stored: &serde_json::Value) -> bool {
    SpecVersion::of(stored).to_string() == field
}

/// The differences in words. A secret counts as changed if its sealed text differs: then one of the specs has a newer value.
fn differences(before: &AppSpec, after: &AppSpec) -> Vec<String> {
    let comparable = |spec: &AppSpec| {
        let mut spec = spec.clone();
        spec.unseal(&|_, sealed| Some(SecretText::new(sealed)));
        spec
    };
    changes(&comparable(before), &comparable(after)).iter().map(ToString::to_string).collect()
}

fn conflict(app: &AppView, page: &str, opened: &str, deployments: &[DeploymentView], ours: &[String]) -> Markup {
    let read = |it: &serde_json::Value| AppSpec::from_stored(it).ok();
    let base = deployments.iter().find(|it| is_version(opened, &it.spec)).and_then(|it| read(&it.spec));
    let theirs = base.zip(read(&app.spec)).map(|(base, current)| differences(&base, &current)).unwrap_or_default();
    let cause =
        deployments.iter().find(|it| it.updates_spec).map(|it| web::view::deployment(it, &[]).cause_with_token());
    let list = |title: &str, changes: &[String]| {
        html! { div class="plan" { h3 { (title) } @for it in changes { p { code { (it) } } } } }
    };
    html! {
        (Notice { tone: Tone::Bad, title: "The spec was changed since you opened this page",
            text: "Nothing was saved. Compare both changes below. If you save again, your version replaces the other one.", log_tail: &[] }
            .markup(button::link(Look::Plain, "Discard my version", page)))
        div class="columns" {
            @if !theirs.is_empty() { (list("What changed meanwhile", &theirs)) }
            (list("What saving your version would change now", ours))
        }
        p {
            small {
                @if let Some(cause) = cause { "Last change: " (cause) " " }
                @if let Some(at) = web::view::time(app.updated) { (time::ago(at)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(count: u32, sealed: &str) -> AppSpec {
        let image = "image: {registry_type: DOCKER_HUB, registry: test, repository: web, tag: '1'}";
        let envs = format!("envs: [{{key: KEY, type: SECRET, value: '{sealed}'}}]");
        let text = format!("name: shop\nservices: [{{name: web, instance_count: {count}, {image}, {envs}}}]");
        AppSpec::from_yaml(&text).expect("a spec").spec
    }

    #[test]
    fn a_secret_with_another_sealed_text_counts_as_changed_and_is_not_shown() {
        let (old, new) = (spec(1, "EV[1:a:old]"), spec(2, "EV[1:a:new]"));
        assert_eq!(differences(&old, &old), [""; 0]);
        let found = differences(&old, &new);
        let wanted =
            ["~ services.web.envs.KEY.value: (secret) → (another secret)", "~ services.web.instance_count: 1 → 2"];
        assert!(wanted.iter().all(|it| found.iter().any(|found| found == it)), "{found:?}");
        assert_eq!(found.len(), 2);
    }
}
