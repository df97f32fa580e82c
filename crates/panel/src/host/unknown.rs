//! Containers, networks, routes and volumes that no record explains, and what to do with them.

use controller::ControlError;
use controller::unknown::{UnknownApp, UnknownList};
use maud::{Markup, html};

use crate::ui::notice;
use crate::ui::table::{columns, table};
use crate::ui::{button, card};

/// What the operator has to know about the database.
pub(super) fn notices(unknown: &Result<UnknownList, ControlError>) -> Markup {
    let notices = unknown.as_ref().map(|it| it.notices.as_slice()).unwrap_or_default();
    html! { @for it in notices { (notice::warning(it, "")) } }
}

/// The list. Empty if there is nothing unknown.
pub(super) fn card(unknown: &Result<UnknownList, ControlError>) -> Markup {
    let list = match unknown {
        Ok(list) if list.apps.is_empty() && list.volumes.is_empty() => return html! {},
        Ok(list) => list,
        Err(error) => return notice::error("It is not known what else runs here", &error.to_string()),
    };
    let names = list.volumes.iter().map(|it| it.volume.as_str()).collect::<Vec<_>>().join(" ");
    let remove = format!("docker volume rm {names}");
    let content = html! {
        @if !list.apps.is_empty() {
            p { "These belong to this installation, and its database does not know them: it is older than they are. They keep \
                 running until you remove them. A deployment or restart of an app that is on record replaces its own." }
            (apps(&list.apps))
        }
        @if !list.volumes.is_empty() {
            h3 { "Volumes of former databases" }
            ul { @for it in &list.volumes { li { code { (it.volume) } " keeps the data of " (it.component) ", app " code { (it.app) } } } }
            p { "To delete this data for good: " code { (remove) } (button::copy(&remove, "the command")) }
        }
    };
    card::card("unknown", "Not on record", html! {}, content)
}

fn apps(apps: &[UnknownApp]) -> Markup {
    let row = |it: &UnknownApp| {
        let command = format!("boatyard unknown delete {} --force", it.app);
        vec![
            html! { (it.name.as_deref().unwrap_or(it.app.as_str())) @for host in &it.hosts { " " small { (host) } } },
            html! {
                @for it in &it.containers {
                    div { code { (it.name) } " " small { (it.component) @if it.running { ", runs" } @if it.routed { ", gets requests" } } }
                }
            },
            html! { @for it in it.networks.iter().chain(&it.volumes) { div { code { (it) } } } },
            html! { code { (command) } (button::copy(&command, "the command")) },
        ]
    };
    table(
        "What no record explains",
        &columns(["App", "Containers", "Other", "To remove them"]),
        &apps.iter().map(row).collect::<Vec<_>>(),
    )
}

#[cfg(test)]
mod tests {
    use controller::unknown::{KeptVolume, UnknownContainer};

    use super::*;

    #[test]
    fn what_is_unknown_is_listed_with_the_commands_that_remove_it() {
        let container = UnknownContainer {
            name: "by-web-7".into(),
            component: "<b>web</b>".into(),
            role: "instance",
            running: true,
            routed: false,
        };
        let app = UnknownApp {
            app: "id-of-shop".into(),
            name: None,
            hosts: vec!["shop.localhost".into()],
            containers: vec![container],
            networks: vec!["net".into()],
            volumes: Vec::new(),
        };
        let volumes = vec![KeptVolume { volume: "data".into(), app: "other".into(), component: "db".into() }];
        let list = UnknownList { notices: vec!["The database is <old>.".into()], apps: vec![app], volumes };
        let html = card(&Ok(list.clone())).into_string();
        for text in [
            "by-web-7",
            ", runs",
            "boatyard unknown delete id-of-shop --force",
            "docker volume rm data",
            "shop.localhost",
        ] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(!html.contains("<b>") && !html.contains("gets requests"));
        assert!(notices(&Ok(list)).into_string().contains("&lt;old&gt;"));
        assert!(card(&Ok(UnknownList::default())).into_string().is_empty());
        let failed = Err(ControlError::Unavailable("the engine does not answer".into()));
        assert!(card(&failed).into_string().contains("the engine does not answer"));
    }
}
