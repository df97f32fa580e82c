//! What a spec means: components with their sources and routes, values that are missing, and the plan.

use app_spec::{AppSpec, Component, NeededValue, Why};
use controller::ControlError;
use controller::view::{Preview, SourceHeadView, SourceLocation};
use maud::{Markup, html};
use present::text::counted;

use crate::actions::{plan, sources};
use crate::request::Fields;
use crate::ui::form::{Field, Input};
use crate::ui::table::{Column, Kind, table};
use crate::ui::{card, notice};

/// The sources that could not be looked up.
pub(super) fn notices(spec: &AppSpec, heads: &[SourceHeadView]) -> Markup {
    let failed = heads.iter().filter_map(|it| match &it.location {
        SourceLocation::Repository { newest: Err(why), .. } => Some(why),
        _ => None,
    });
    let next = "Boatyard fetches only repositories that need no login.";
    html! {
        @for why in failed { (notice::error("A repository cannot be fetched", &format!("{why}\n{next}"))) }
        @if spec.components().next().is_none() && spec.databases.is_empty() {
            (notice::error("The app has no component", "Add a service, a worker or a job to the spec below."))
        }
    }
}

/// The cards before the spec. `preview`: what creating the app would do.
/// `fields`: what was typed already.
pub(super) fn cards(
    spec: &AppSpec,
    heads: &[SourceHeadView],
    fields: &Fields,
    preview: Result<Preview, ControlError>,
) -> Markup {
    let needed = spec.needed_values();
    html! {
        (card::card("components", "Components", html! {}, components(spec)))
        @if !heads.is_empty() { (card::card("sources-card", "Sources", html! {}, sources(heads))) }
        @if !needed.is_empty() { (card::card("values", "Values that the app needs", html! {}, values(&needed, fields))) }
        (plan("Plan", html! {}, preview))
    }
}

fn components(spec: &AppSpec) -> Markup {
    let rules = app_spec::routes(spec);
    let columns = ["Component", "Kind", "Runs", "Requests"].map(|it| Column(it, Kind::Text));
    let row = |it: Component<'_>| {
        let runs = it.common().map(|common| {
            format!("{} of {}", counted(common.instance_count().into(), "instance"), common.instance_size_slug())
        });
        let runs = match it {
            Component::StaticSite(_) => Some("only while it is built".to_owned()),
            _ => runs,
        };
        let paths = rules.iter().filter(|rule| rule.component() == Some(it.name())).map(|rule| rule.path.as_str());
        let paths = paths.collect::<Vec<_>>().join(", ");
        let port = match it {
            Component::Service(service) => spec.http_port(service),
            _ => None,
        };
        let requests = match (paths.is_empty(), port) {
            (true, _) => "none from outside".to_owned(),
            (false, None) => paths,
            (false, Some(port)) => format!("{paths} to port {port}"),
        };
        vec![
            html! { (it.name()) },
            html! { (it.kind().as_str()) },
            html! { (runs.unwrap_or_default()) },
            html! { (requests) },
        ]
    };
    let databases = spec.databases.iter().map(|it| {
        let version = it.version.as_deref().unwrap_or("default version");
        vec![html! { (it.name) }, html! { "database" }, html! { (version) }, html! { "none from outside" }]
    });
    table("Components", &columns, &spec.components().map(row).chain(databases).collect::<Vec<_>>())
}

/// A secret that was typed is not sent back, so it has to be typed again.
fn values(needed: &[NeededValue], fields: &Fields) -> Markup {
    let field = |it: &NeededValue| {
        let (name, owner) = (field_name(it), it.component.as_deref().unwrap_or("the whole app"));
        let typed = fields.get(&name);
        let hint = match (it.why, typed) {
            (_, Some(_)) if it.secret => "Type it again: a secret is never sent back to the page.",
            (Why::Empty, _) => "A secret without a value.",
            (Why::Placeholder, _) => "The spec has a placeholder.",
            (Why::SealedElsewhere, _) => "Another installation encrypted the value.",
        };
        let label = format!("{} of {owner}", it.key);
        let (input, value) = match it.secret {
            true => (Input::Secret, ""),
            false => (Input::Text, typed.unwrap_or_default()),
        };
        Field { name: &name, label: &label, hint, value, input, required: true, ..Field::default() }.markup()
    };
    html! { @for it in needed { (field(it)) } }
}

fn field_name(it: &NeededValue) -> String {
    format!("value.{}.{}", it.component.as_deref().unwrap_or_default(), it.key)
}

/// The spec with the values that were typed into the form.
pub(super) fn with_values(mut spec: AppSpec, fields: &Fields) -> AppSpec {
    for it in spec.needed_values() {
        if let Some(value) = fields.get(&field_name(&it)) {
            spec.give(it.component.as_deref(), &it.key, value);
        }
    }
    spec
}
