//! Replaces an app's spec: what it would do, and whether somebody else changed the spec since the page was opened.

use app_spec::{AppSpec, SecretText, changes};
use controller::view::{AppView, DeploymentView, PageQuery, SpecVersion, UpdateOptions};
use maud::{Markup, html};
use present::outcome;
use web::HttpError;

use crate::actions::{caller, live_page, plan};
use crate::request::{Fields, PageRequest};
use crate::ui::button::{self, Look};
use crate::ui::notice::Notice;
use crate::ui::{Tone, time};

/// How many deployments are searched for the spec that a page was made from.
const SEARCHED: u64 = 50;

/// A form that replaces the spec of an app.
#[derive(Clone, Copy)]
pub(super) struct Change<'a> {
    pub request: &'a PageRequest,
    pub app: &'a AppView,
    pub fields: &'a Fields,
}

/// What became of a new spec.
pub(super) enum Saved {
    /// A deployment brings it. The address of its live page.
    Deploys(String),
    /// It is the spec that serves already. A sentence.
    Serves(String),
}

impl Change<'_> {
    /// The app's spec, with sealed secrets.
    pub fn current(&self) -> Result<AppSpec, HttpError> {
        AppSpec::from_stored(&self.app.spec).map_err(|problems| {
            let message =
                "This version of Boatyard cannot read the spec of the app. To see it: boatyard spec get --format json";
            HttpError::server_error(message, problems.to_string())
        })
    }

    /// The hidden field for the spec that the page is made from.
    pub fn version_field(&self) -> Markup {
        html! { input type="hidden" name="version" value=(SpecVersion::of(&self.app.spec)); }
    }

    /// What saving the spec would do, with what to know before. A form that was just opened has no version yet.
    pub async fn plan(&self, spec: &AppSpec) -> Markup {
        let preview = self.request.access.control.propose(Some(&self.app.id), spec.clone()).await;
        let missing = preview.as_ref().map(|it| it.needs_values.join("\n")).unwrap_or_default();
        let conflict = if self.fields.has("version") { self.conflict(spec).await } else { None };
        let notices = html! {
            (conflict.unwrap_or_default())
            @if !missing.is_empty() {
                (Notice { tone: Tone::Warning, title: "These values are missing. A deployment needs them.", text: &missing, log_tail: &[] }.markup(html! {}))
            }
        };
        plan("Plan", notices, preview)
    }

    /// Why `spec` must not replace the app's spec unseen: somebody else changed that since the page was opened. Shows both
    /// changes.
    pub async fn conflict(&self, spec: &AppSpec) -> Option<Markup> {
        let opened = self.fields.get("version").unwrap_or_default();
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

    /// Deploys the spec. Errors: those of the update; the app has another spec than [`Self::conflict`] has compared.
    pub async fn save(&self, spec: AppSpec) -> Result<Saved, HttpError> {
        let control = &self.request.access.control;
        let caller = caller(self.request, self.fields.get("key"));
        let options = UpdateOptions { replaces: Some(SpecVersion::of(&self.app.spec)), ..UpdateOptions::default() };
        let after = control.update_app(&self.app.id, spec, options, &caller).await?;
        let before = self.app.newest.as_ref().map(|it| it.number);
        Ok(match &after.newest {
            Some(newest) if Some(newest.number) != before || !newest.stage.is_ended() => {
                Saved::Deploys(live_page(&after.name, newest))
            }
            newest => {
                let serving = after.active.as_ref().or(newest.as_ref()).map(|it| web::view::deployment(it, &[]));
                let sentence = serving.map(|it| outcome::nothing_changed(&after.name, &it));
                Saved::Serves(sentence.unwrap_or_else(|| "Nothing to do: no component changed.".into()))
            }
        })
    }
}

/// A notice for [`Saved::Serves`].
pub(super) fn nothing_to_do(sentence: &str) -> Markup {
    Notice { tone: Tone::Plain, title: sentence, text: "", log_tail: &[] }.markup(html! {})
}

/// Whether the field of [`Change::version_field`] was made from this stored spec.
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
