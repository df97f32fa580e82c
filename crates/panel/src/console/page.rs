//! The pages of consoles: the choice of an instance, and the screen.

use std::sync::Arc;

use axum::response::Response;
use controller::view::{AppView, InstanceView};
use maud::{Markup, html};
use rollout::instance::InstancePhase;
use web::HttpError;

use super::open::OpenConsole;
use crate::assets;
use crate::request::PageRequest;
use crate::ui::button::{self, Look};
use crate::ui::form::{Field, Form, Input};
use crate::ui::page::{Place, Section};
use crate::ui::{card, log, notice};

/// Address of a console's page.
pub(super) fn address(app: &str, console: &str) -> String {
    format!("/apps/{app}/console/{console}")
}

/// The page on which a person chooses an instance. `problem`: why no console opened.
pub(super) async fn choice(
    request: &PageRequest,
    app: &AppView,
    (component, instance): (Option<&str>, Option<&str>),
    open: &[Arc<OpenConsole>],
    problem: Option<&str>,
) -> Result<Response, HttpError> {
    let mut instances = request.access.control.instances(&app.id).await?;
    instances.retain(may_run);
    let is_wanted = |it: &&InstanceView| {
        let names = [it.instance_alias.as_str(), it.instance_name.as_str()];
        component.is_none_or(|wanted| wanted == it.component_name.as_str())
            && instance.is_none_or(|wanted| names.contains(&wanted))
    };
    let chosen = instances.iter().find(is_wanted).map(value).unwrap_or_default();
    let content = html! {
        (card::heading("Console", html! {}, html! {}))
        @if let Some(problem) = problem { (notice::error("No console", problem)) }
        @if !open.is_empty() { (card::card("open", "Open consoles", html! {}, open_consoles(&app.name, open))) }
        @if instances.is_empty() {
            (card::empty("No instance runs", "A console opens in a running instance of a service, a worker or a job.",
                button::link(Look::Plain, "Overview", &format!("/apps/{}", app.name))))
        } @else {
            (card::card("new", "Open a console", html! {}, form(request, &app.name, &instances, &chosen)))
        }
    };
    Ok(request.page(&format!("Console of {}", app.name), Place::App(&app.name, Section::Console), content))
}

fn may_run(instance: &InstanceView) -> bool {
    let has_process =
        !matches!(instance.phase, Some(InstancePhase::Intended | InstancePhase::Created | InstancePhase::Stopped));
    instance.component_type != "DATABASE" && has_process
}

fn value(instance: &InstanceView) -> String {
    format!("{}:{}", instance.component_name, instance.instance_name)
}

fn form(request: &PageRequest, app: &str, instances: &[InstanceView], chosen: &str) -> Markup {
    let options: Vec<_> = instances.iter().map(|it| (value(it), label(it))).collect();
    let options: Vec<_> = options.iter().map(|(value, label)| (value.as_str(), label.as_str())).collect();
    let field = Field {
        name: "instance",
        label: "Instance",
        hint: "Opens a shell in it. What you do there is lost when the instance is replaced.",
        value: chosen,
        input: Input::Choice(&options),
        ..Field::default()
    };
    let action = format!("/apps/{app}/console");
    let may_write = request.access.identity.may_write();
    html! {
        @if may_write {
            (Form { action: &action, csrf: &request.session.csrf, preview: None }.markup(html! {
                (field.markup())
                (button::submit(Look::Primary, "Open console"))
            }))
        } @else { p { "This session may only read, and a console needs scope write." } }
    }
}

fn label(instance: &InstanceView) -> String {
    let phase = web::view::instance(instance).boatyard.phase.unwrap_or_else(|| "runs".into());
    format!("{} ({}, {})", instance.instance_alias, instance.component_type.to_lowercase(), phase.replace('_', " "))
}

fn open_consoles(app: &str, open: &[Arc<OpenConsole>]) -> Markup {
    html! { ul { @for it in open { li { a href=(address(app, &it.id)) { "Console of " (it.target.alias) } } } } }
}

/// The page with the screen.
pub(super) fn console(request: &PageRequest, app: &AppView, console: &OpenConsole) -> Response {
    let screen = console.screen.borrow().clone();
    let alias = &console.target.alias;
    let here = address(&app.name, &console.id);
    let close = Form { action: &format!("{here}/close"), csrf: &request.session.csrf, preview: None };
    let another = format!("/apps/{}/console?component={}", app.name, console.target.component);
    let actions = html! {
        button class="button with-script" type="button" id="console-earlier" { "Earlier output" }
        (button::link(Look::Plain, "Another console", &another))
        (close.markup(button::submit(Look::Danger, "Close")))
    };
    let content = html! {
        (card::heading("Console", html! { (alias) }, actions))
        p class="without-script" { "A console needs JavaScript. This is its screen when the page was loaded." }
        p id="console-hint" class="hint" {
            "All keys go to the shell, Tab too. To leave the screen with the keyboard, press " kbd { "Ctrl" } "+" kbd { "Alt" } "+" kbd { "M" } ". "
            "Reloading keeps the console. It ends a minute after you leave this page."
        }
        div id="console-note" role="status" {
            @if let Some(why) = &screen.ended { (notice::error("The console has ended", why)) }
        }
        div data-socket=(format!("{here}/socket")) { (log::terminal(&format!("Console of {alias}"), "console-hint", &screen.rows)) }
        script src=(assets::CONSOLE_SCRIPT.path()) defer {}
    };
    request.page(&format!("Console of {alias}"), Place::App(&app.name, Section::Console), content)
}
