//! Services, workers and databases, each with its instances, and static sites, which have none.

use app_spec::{Component, Database, Engine, Service};
use chrono::{DateTime, Utc};
use controller::view::InstanceView;
use maud::{Markup, html};
use present::Image;
use present::text::{counted, grouped};
use rollout::instance::InstancePhase;
use web::view;

use super::facts::Facts;
use super::usage;
use crate::ui::button::{self, Look};
use crate::ui::icon::Icon;
use crate::ui::table::{Column, Kind, table};
use crate::ui::{Tone, card, status, time};

/// How many places [`cards`] fills.
pub(super) fn count(facts: &Facts) -> usize {
    names(facts).len()
}

/// A card for each service, static site, worker and database: those of the spec in its order, then those that are being removed.
pub(super) fn cards(facts: &Facts) -> Vec<Markup> {
    names(facts).into_iter().map(|name| component_card(facts, name)).collect()
}

fn names(facts: &Facts) -> Vec<&str> {
    let spec = &facts.spec;
    let is_shown =
        |it: &Component<'_>| matches!(it, Component::Service(_) | Component::Worker(_) | Component::StaticSite(_));
    let components = spec.components().filter(is_shown);
    let mut names: Vec<_> = components.map(Component::name).collect();
    names.extend(spec.databases.iter().map(|it| it.name.as_str()));
    for it in facts.instances.iter().filter(|it| it.component_type != "JOB") {
        if !names.contains(&it.component_name.as_str()) {
            names.push(it.component_name.as_str());
        }
    }
    names
}

fn component_card(facts: &Facts, name: &str) -> Markup {
    let instances: Vec<_> = facts.instances.iter().filter(|it| it.component_name.as_str() == name).collect();
    let (component, database) = (facts.spec.component(name), facts.spec.database(name));
    let is_site = matches!(component, Some(Component::StaticSite(_)));
    let content = html! {
        p class="about" {
            @match (component, database) {
                (Some(component), _) => (about(facts, component, &instances)),
                (None, Some(database)) => (about_database(database)),
                (None, None) => span { "No longer in the spec" },
            }
        }
        @if !is_site || !instances.is_empty() { (instance_table(facts, name, &instances)) }
    };
    let actions = html! {
        @if is_site {
            (button::link(Look::Plain, "Build log", &facts.address(&format!("/logs?component={name}&type=build"))))
        } @else if component.is_some() {
            (component_actions(facts, name))
        }
        @if database.is_some() && facts.may_write {
            @let address = facts.address(&format!("/databases/{name}"));
            (button::open(Look::Plain, "Connection details", &address, &format!("{name}-connection")))
        }
    };
    card::card(&format!("card-{name}"), name, actions, content)
}

fn component_actions(facts: &Facts, name: &str) -> Markup {
    let logs = facts.address(&format!("/logs?component={name}"));
    let restart = facts.address(&format!("?action=restart&chosen=yes&components={name}"));
    html! {
        (button::link(Look::Plain, "Logs", &logs))
        @if facts.may_write {
            (button::link(Look::Plain, "Console", &facts.address(&format!("/console?component={name}"))))
            (button::open(Look::Plain, "Restart", &restart, &format!("{name}-restart")))
        }
    }
}

fn about(facts: &Facts, component: Component<'_>, instances: &[&InstanceView]) -> Markup {
    let images = facts.explained.app.active_deployment.as_ref().map(|it| &it.boatyard.images);
    let routes = app_spec::routes(&facts.spec);
    let paths = routes.iter().filter(|it| it.component() == Some(component.name())).map(|it| it.path.as_str());
    let paths = paths.collect::<Vec<_>>().join(" ");
    html! {
        @if let Component::StaticSite(_) = component {
            (serves(facts, component.name()))
        } @else {
            (ready(facts, component, instances))
        }
        span { (component.kind().as_str()) }
        @if let Some(image) = images.and_then(|it| it.get(component.name())) { (version(image)) }
        @if !paths.is_empty() { span { code { (paths) } } }
        @if let Component::Service(service) = component { span { (health_check(service)) } }
    }
}

/// Whether the active deployment has files of a static site.
fn serves(facts: &Facts, name: &str) -> Markup {
    let images = facts.app.active.as_ref().map(|it| &it.images);
    let files = images.and_then(|it| it.get(&name.into())?.files.as_ref());
    match files {
        Some(files) => {
            let text = format!("serves {}", counted(files.files, "file"));
            status::badge(Tone::Good, Icon::Done, &text)
        }
        None => status::badge(Tone::Plain, Icon::Past, "no files yet"),
    }
}

fn ready(facts: &Facts, component: Component<'_>, instances: &[&InstanceView]) -> Markup {
    let wanted = component.common().map_or(0, |it| it.instance_count() as usize);
    let ready = instances.iter().filter(|it| it.phase == Some(InstancePhase::Ready)).count();
    let (tone, icon) = match ready {
        _ if facts.app.active.is_none() => (Tone::Plain, Icon::Past),
        ready if ready >= wanted => (Tone::Good, Icon::Done),
        0 => (Tone::Bad, Icon::Failed),
        _ => (Tone::Warning, Icon::Warning),
    };
    status::badge(tone, icon, &format!("{ready} of {wanted} ready"))
}

fn version(image: &Image) -> Markup {
    let short = |id: &str| id.trim_start_matches("sha256:").chars().take(12).collect::<String>();
    html! {
        @match &image.commit {
            Some(commit) => span { "commit " code title=(commit) { (commit.chars().take(7).collect::<String>()) } },
            None => span { (image.reference) },
        }
        @if !image.id.is_empty() { span { "image " code title=(image.id) { (short(&image.id)) } } }
        @if !image.note.is_empty() { span { (image.note) } }
    }
}

/// "GET /health every 10 s".
fn health_check(service: &Service) -> String {
    let check = service.health_check.clone().unwrap_or_default();
    let what = check.http_path().map_or("TCP connection".to_owned(), |path| format!("GET {path}"));
    format!("health check: {what} every {} s", check.period_seconds())
}

fn about_database(database: &Database) -> Markup {
    let engine = match database.engine() {
        Engine::Pg => "PostgreSQL",
        other => other.as_str(),
    };
    let version = database.version.as_ref().map_or(", default version".to_owned(), |it| format!(" {it}"));
    html! { span { "database" } span { (engine) (version) } }
}

fn instance_table(facts: &Facts, name: &str, instances: &[&InstanceView]) -> Markup {
    if instances.is_empty() {
        return html! { p class="hint" { "No container exists." } };
    }
    let columns = [
        Column("Instance", Kind::Text),
        Column("State", Kind::Text),
        Column("Age", Kind::Text),
        Column("Restarts", Kind::Number),
        Column("Processes", Kind::Number),
        Column("CPU", Kind::Text),
        Column("Memory", Kind::Text),
    ];
    let rows: Vec<_> = instances.iter().map(|it| row(facts, it)).collect();
    table(&format!("Instances of {name}"), &columns, &rows)
}

fn row(facts: &Facts, it: &InstanceView) -> Vec<Markup> {
    let shown = view::instance(it);
    let started = it.started_at.as_deref().and_then(|at| at.parse::<DateTime<Utc>>().ok());
    let phase = shown.boatyard.phase.as_deref();
    let state = match (phase, &it.container_id) {
        (Some(phase), _) => status::instance(phase),
        // The engine counts the processes of a container that runs.
        (None, Some(_)) if it.processes.is_some() => status::badge(Tone::Good, Icon::Done, "running"),
        (None, Some(_)) => html! { "created" },
        (None, None) => html! { "no container" },
    };
    let processes = it.processes.map(|it| (grouped(it.running), grouped(it.limit), it.running >= it.limit));
    let [cpu, memory] = usage::cells(facts, it);
    vec![
        html! { span title=(it.instance_name) { (it.instance_alias) } },
        state,
        html! { @if let Some(started) = started { (time::since(started)) } },
        html! { (shown.restarts()) },
        html! {
            @if let Some((running, limit, at_limit)) = processes {
                span { (running) " " small { "of " (limit) @if at_limit { ": at its limit" } } }
            }
        },
        cpu,
        memory,
    ]
}

#[cfg(test)]
mod tests {
    use app_spec::AppSpec;

    use super::*;

    #[test]
    fn a_health_check_is_worded_with_its_defaults() {
        let check = |check: &str| {
            let image = "image: {registry_type: DOCKER_HUB, registry: test, repository: web, tag: '1'}";
            let text = format!("name: shop\nservices:\n- name: web\n  {image}\n{check}");
            health_check(&AppSpec::from_yaml(&text).expect("a spec").spec.services[0])
        };
        assert_eq!(check(""), "health check: TCP connection every 10 s");
        assert_eq!(
            check("  health_check: {http_path: /health, period_seconds: 3}\n"),
            "health check: GET /health every 3 s"
        );
    }
}
