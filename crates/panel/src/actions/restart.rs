//! Restart: all services and workers, or chosen ones.

use app_spec::{AppSpec, Component};
use controller::view::DeploymentView;
use maud::{Markup, html};
use present::text::counted;
use web::HttpError;

use super::{Action, ActionForm, buttons};
use crate::request::Fields;
use crate::ui::button::{Entry, Look, tabs};
use crate::ui::form::{Check, checks};

/// The tabs of the dialogue Restart or Deploy.
pub(super) fn restart_or_deploy(form: &ActionForm<'_>) -> Markup {
    let entry = |label, action: Action, href| Entry { label, href, dialog: true, marked: action == form.action };
    let (restart, rebuild) = (Action::Restart.on(form.page), Action::Rebuild.on(form.page));
    let entries = [
        entry("Restart", Action::Restart, restart.as_str()),
        entry("Force Rebuild and Deploy", Action::Rebuild, rebuild.as_str()),
    ];
    tabs("Restart or deploy", &entries)
}

pub(super) async fn content(form: &ActionForm<'_>) -> Markup {
    let spec = form.spec().unwrap_or_default();
    let preview = match chosen(&spec, form.fields) {
        Ok(components) => form.request.access.control.preview_restart(&form.app.id, &components).await,
        Err(error) => Err(controller::ControlError::Invalid(error.message)),
    };
    let content = html! {
        p { "Replaces instances with exact copies: same image, same spec, same variables. An old instance serves until the new \
             one is ready." }
        (choice(&spec, form.fields))
        (form.plan("Plan", html! {}, preview))
        (buttons(form, Look::Primary, "Restart", true))
    };
    html! { (restart_or_deploy(form)) (form.element(true, content)) }
}

pub(super) async fn perform(form: &ActionForm<'_>) -> Result<DeploymentView, HttpError> {
    let components = chosen(&form.spec().unwrap_or_default(), form.fields)?;
    Ok(form.request.access.control.restart(&form.app.id, &components, &form.caller()).await?)
}

/// Check boxes for services and workers. Jobs and databases are shown as left alone.
fn choice(spec: &AppSpec, fields: &Fields) -> Markup {
    let instances = |it: Component<'_>| it.common().map_or(1, |it| u64::from(it.instance_count()));
    let notes: Vec<_> = restartable(spec)
        .map(|it| (it.name(), format!("{}, {}", it.kind().as_str(), counted(instances(it), "instance"))))
        .collect();
    let boxes = notes.iter().map(|(name, note)| Check {
        name: "components",
        value: name,
        label: name,
        note,
        checked: is_chosen(fields, name),
        disabled: false,
    });
    let jobs = spec.jobs.iter().map(|it| (it.common.name.as_str(), "job, left alone"));
    let databases = spec.databases.iter().map(|it| (it.name.as_str(), "database, left alone"));
    let sites = spec.static_sites.iter().map(|it| (it.name.as_str(), "static site, left alone"));
    let left_alone = sites.chain(jobs).chain(databases).map(|(name, note)| Check {
        name: "left-alone",
        value: name,
        label: name,
        note,
        checked: false,
        disabled: true,
    });
    checks("Components", "All services and workers", &boxes.chain(left_alone).collect::<Vec<_>>())
}

fn restartable(spec: &AppSpec) -> impl Iterator<Item = Component<'_>> {
    spec.components().filter(|it| matches!(it, Component::Service(_) | Component::Worker(_)))
}

/// Whether a component is chosen. Before the first choice, all are.
fn is_chosen(fields: &Fields, component: &str) -> bool {
    let is_first = !fields.has("chosen") && !fields.has("components");
    is_first || fields.all("components").any(|it| it == component)
}

/// The chosen components as the controller wants them: none means all. Errors: nothing is chosen.
fn chosen(spec: &AppSpec, fields: &Fields) -> Result<Vec<String>, HttpError> {
    let all: Vec<_> = restartable(spec).map(|it| it.name().to_owned()).collect();
    let unknown = fields.all("components").filter(|it| !all.iter().any(|known| known == it)).map(str::to_owned);
    let chosen: Vec<_> = all.iter().filter(|it| is_chosen(fields, it)).cloned().chain(unknown).collect();
    match chosen {
        chosen if chosen == all => Ok(Vec::new()),
        chosen if chosen.is_empty() => Err(HttpError::bad_request("no component is chosen. Choose at least one")),
        chosen => Ok(chosen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> AppSpec {
        let image = "image: {registry_type: DOCKER_HUB, registry: test, repository: web, tag: '1'}";
        let text = format!(
            "name: shop\nservices: [{{name: web, instance_count: 2, {image}}}]\nworkers: [{{name: mill, {image}}}]\n\
             jobs: [{{name: migrate, kind: PRE_DEPLOY, {image}}}]\ndatabases: [{{name: db, engine: PG}}]\n"
        );
        AppSpec::from_yaml(&text).expect("a spec").spec
    }

    #[test]
    fn everything_is_chosen_first_and_later_only_what_is_checked() {
        let cases = [
            ("action=restart", Ok(vec![])),
            ("chosen=yes&components=web&components=mill", Ok(vec![])),
            ("components=mill", Ok(vec!["mill".to_owned()])),
            ("chosen=yes&components=web", Ok(vec!["web".to_owned()])),
            ("components=wrk", Ok(vec!["wrk".to_owned()])),
            ("chosen=yes", Err(())),
        ];
        for (query, expected) in cases {
            assert_eq!(chosen(&shop(), &Fields::of(query)).map_err(drop), expected, "{query}");
        }
    }

    #[test]
    fn jobs_and_databases_are_shown_and_cannot_be_chosen() {
        let html = choice(&shop(), &Fields::of("components=web")).into_string();
        let boxes: Vec<_> = html.split("<input").filter(|it| it.contains("name=")).collect();
        let state = |it: &&str| (it.contains(" checked"), it.contains(" disabled"));
        assert_eq!(
            boxes.iter().map(state).collect::<Vec<_>>(),
            [(true, false), (false, false), (false, true), (false, true)]
        );
        for text in ["service, 2 instances", "worker, 1 instance", "job, left alone", "database, left alone"] {
            assert!(html.contains(text), "{text}: {html}");
        }
    }
}
