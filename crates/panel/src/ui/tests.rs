//! Every component in one page, as the style sheet's author sees it.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};
use present::{Leaf, Status, Transition};

use super::button::{Entry, Look};
use super::chart::Bar;
use super::editor::Problem;
use super::form::{Check, Field, Form, Input};
use super::icon::Icon;
use super::lane::{Instance, Lane, When};
use super::log::{Line, Run};
use super::notice::Notice;
use super::page::{Account, Page, Place, Section};
use super::table::{Column, Kind};
use super::{Tone, button, card, chart, dialog, editor, form, lane, log, notice, status, steps, table, time};
use crate::tests::HOSTILE;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_359_293, 0).expect("a time within chrono's range")
}

fn gallery(text: &str, with_dialog: bool) -> Markup {
    let account = Account { name: "ci", limit: Some("may read"), csrf: "0123" };
    let page = Page {
        title: text,
        account: Some(account),
        here: Place::App("shop", Section::Overview),
        engine_problem: Some("Running apps and the ingress go on. Check it: systemctl status docker"),
        live: Some("/apps/shop/events"),
        now: now(),
    };
    page.markup(html! {
        @if with_dialog { (dialogue(text)) }
        (card::heading("shop", html! { (status::phase("DEPLOYING")) a href="https://shop.example.com" { "shop.example.com" (Icon::External.markup()) } },
            html! { (button::menu("actions", "Actions", &menu())) (button::link(Look::Primary, "Deploy", "?action=deploy")) }))
        p class="row" { @for it in ["PENDING_BUILD", "BUILDING", "PENDING_DEPLOY", "DEPLOYING", "ACTIVE", "SUPERSEDED", "ERROR", "CANCELED", "", text] { (status::phase(it)) } }
        (notices(text))
        (deployment(text))
        div class="columns" {
            (card::card("web", "web", button::open(Look::Plain, "Restart", "?action=restart", "restart-web"), component(text)))
            (card::card("requests", "Requests", html! {}, html! { p { strong { "1,204" } " in the last 5 minutes, 2 failed" } (chart::bars("1,204 requests, 2 failed", &requests())) }))
        }
        (card::card("deployments", "Deployments", button::link(Look::Plain, "All", "/apps/shop/activity"), activity(text)))
        (logs(text))
        (card::card("spec", "App spec", html! {}, settings(text)))
        (card::alone(text, html! {}))
        (card::empty("No apps yet", text, button::link(Look::Primary, "Create an app", "/new-app")))
    })
}

fn menu() -> [Entry<'static>; 3] {
    [
        Entry { label: "Restart", href: "?action=restart", dialog: true, marked: false },
        Entry { label: "Force rebuild and deploy", href: "?action=rebuild", dialog: true, marked: false },
        Entry { label: "Delete", href: "?action=delete", dialog: true, marked: true },
    ]
}

fn notices(text: &str) -> Markup {
    let tail = ["listening on :8080".to_owned(), text.to_owned()];
    html! {
        (Notice { tone: Tone::Bad, title: "Deployment 42 failed and was rolled back", text: "web.2 was not healthy after 30 s; web.1 still serves.", log_tail: &tail }
            .markup(button::link(Look::Plain, "Open the log", "/apps/shop/logs?deployment=42")))
        (Notice { tone: Tone::Warning, title: text, text: "Commit or revert it.", log_tail: &[] }.markup(html! {}))
        (Notice { tone: Tone::Good, title: "shop serves deployment 43", text: "after 4.2 s: served 48,211 requests, 0 failed", log_tail: &[] }.markup(html! {}))
        (Notice { tone: Tone::Plain, title: "Nothing to do", text: "", log_tail: &[] }.markup(html! {}))
        (notice::error(text, text))
        (time::announce(text))
    }
}

fn deployment(text: &str) -> Markup {
    let instance = |name: &str, old, latest, seconds| Instance {
        name: name.into(),
        origin: if old { "deployment 42" } else { text }.into(),
        old,
        latest,
        when: When::Since(now() - TimeDelta::seconds(seconds)),
        history: text.into(),
    };
    let web = vec![
        instance("web.3", false, Transition::Routed, 8),
        instance("web.4", false, Transition::Starting, 2),
        instance("web.5", false, Transition::Ready, 1),
        instance("web.1", true, Transition::Gone, 4),
        instance("web.2", true, Transition::Draining, 2),
    ];
    let told = Instance { when: When::After(text.into()), ..instance("worker.3", true, Transition::Stopping, 1) };
    let worker = vec![
        instance("worker.2", false, Transition::Created, 1),
        instance(text, false, Transition::Unready, 1),
        instance("worker.1", true, Transition::Existed, 86_400),
        instance("worker.4", false, Transition::Intended, 1),
        told,
    ];
    let lanes = [
        Lane {
            component: "web".into(),
            kind: "service".into(),
            summary: "1 of 3 replaced".into(),
            waiting: vec!["web.4 has 26 s left to become healthy".into(), text.into()],
            instances: web,
        },
        Lane {
            component: text.into(),
            kind: "worker".into(),
            summary: "after web".into(),
            waiting: Vec::new(),
            instances: worker,
        },
    ];
    let leaf = |title: &str, status, started: Option<i64>, ended: Option<i64>, reason: Option<&str>| Leaf {
        title: title.into(),
        status,
        started: started.map(|it| now() - TimeDelta::seconds(it)),
        ended: ended.map(|it| now() - TimeDelta::seconds(it)),
        reason: reason.map(Into::into),
    };
    let leaves = [
        leaf("preparing to build", Status::Success, Some(48), Some(47), None),
        leaf("web: building service", Status::Success, Some(47), Some(12), Some("reused the image of deployment 41")),
        leaf("web: deploying service", Status::Running, Some(12), None, Some(text)),
        leaf("web: waiting for service", Status::Error, Some(11), Some(3), None),
        leaf("finishing", Status::Pending, None, None, None),
    ];
    html! {
        div class="columns wide-left" {
            (card::card("lanes", "Deployment 43", button::open(Look::Danger, "Cancel", "?action=cancel", "cancel"), lane::lanes(&lanes)))
            (card::card("steps", "Steps", html! {}, steps::steps(&leaves)))
        }
    }
}

fn component(text: &str) -> Markup {
    let load: Vec<Option<f64>> =
        (0..120).map(|it| (it % 50 != 7).then(|| 30.0 + 20.0 * f64::from(it * it % 97).sin())).collect();
    html! {
        (table::facts(&[
            ("Image", html! { code { "registry.example.com/shop/web:4f1c2a9" } (button::copy(text, "the image")) }),
            ("Commit", html! { code { "4f1c2a9" } " Show the total in the basket" }),
            ("Started", time::ago(now() - TimeDelta::minutes(95))),
            ("CPU", chart::sparkline("CPU of web in the last hour: now 12 %, at most 48 %", &load, Some(100.0))),
            ("Memory", chart::sparkline(text, &[Some(1.0), Some(2.0), None, Some(4.0)], None)),
        ]))
    }
}

fn requests() -> Vec<Bar> {
    (0..60).map(|it| Bar { good: 20 + it * 7 % 13, bad: u64::from(it == 40) * 2 }).collect()
}

fn activity(text: &str) -> Markup {
    const COLUMNS: [Column; 5] = [
        Column("Deployment", Kind::Text),
        Column("Phase", Kind::Text),
        Column("Cause", Kind::Text),
        Column("Requests", Kind::Number),
        Column("Actions", Kind::Actions),
    ];
    let row = |number: &str, phase, cause: &str, requests: &str| {
        vec![
            html! { a href={ "/apps/shop/deployments/" (number) } { (number) } },
            status::phase(phase),
            html! { (cause) },
            html! { (requests) },
            button::open(Look::Plain, "Roll back", "?action=rollback", &format!("rollback-{number}")),
        ]
    };
    table::table(
        "Deployments, newest first",
        &COLUMNS,
        &[
            row("43", "DEPLOYING", "restart of web, by ci", "48,211"),
            row("42", "ERROR", text, "1,022"),
            row("41", "ACTIVE", "app spec updated", "1,204,772"),
        ],
    )
}

fn logs(text: &str) -> Markup {
    let line = |from, text| Line { at: Some(now()), from, text };
    let lines = [
        line("web.3", "GET /basket 200 12 ms"),
        line("worker.1", text),
        line("web.4", "listening on :8080"),
        Line { at: None, from: "", text: "end of the log" },
    ];
    let run = |text: &str, foreground, bold| Run { text: text.into(), foreground, bold, ..Run::default() };
    let rows = [
        vec![
            run("root@web", Some(10), true),
            run(":", None, false),
            run("/app", Some(12), true),
            run("$ ls ", None, false),
            run(text, Some(9), false),
        ],
        vec![Run { text: " ".into(), inverse: true, ..Run::default() }],
    ];
    html! {
        div class="columns" {
            (card::card("log", "Log", html! {}, log::log("lines", "Log lines", &lines)))
            (card::card("console", "Console", html! {}, log::terminal("Console of web.1", "log-title", &rows)))
        }
    }
}

fn settings(text: &str) -> Markup {
    let spec = format!("name: shop\nservices:\n  - name: web\n    instance_cuont: 2\n    # {text}\n");
    let problems = [
        Problem {
            line: 4,
            column: 5,
            error: true,
            message: "unknown field \"instance_cuont\"",
            help: "Did you mean \"instance_count\"?",
        },
        Problem { line: 5, column: 1, error: false, message: text, help: "" },
    ];
    let form = Form { action: "/apps/shop/settings", csrf: "0123", preview: None };
    form.markup(html! {
        (editor::editor("spec-text", "Spec", &spec, &problems))
        (Field { name: "repository", label: "Repository", hint: "An https address", error: text, value: text, required: true, ..Field::default() }.markup())
        (Field { name: "secret", label: "API_KEY", hint: "The value is not shown again", input: Input::Secret, ..Field::default() }.markup())
        (Field { name: "port", label: "Port", value: "8080", input: Input::Number, ..Field::default() }.markup())
        (Field { name: "type", label: "Scope", value: "b", input: Input::Choice(&[("a", "Run time"), ("b", "Build time")]), ..Field::default() }.markup())
        (Field { name: "note", label: "Note", value: text, input: Input::Lines(2), ..Field::default() }.markup())
        (form::confirm("shop", text))
        p class="row" { (button::submit(Look::Primary, "Save and deploy")) (button::submit_as(Look::Danger, "Delete", "what", "all")) }
    })
}

fn dialogue(text: &str) -> Markup {
    let check =
        |value, label, note, checked, disabled| Check { name: "component", value, label, note, checked, disabled };
    let form =
        Form { action: "/apps/shop/restart", csrf: "0123", preview: Some(("/apps/shop?action=restart", "plan")) };
    dialog::Dialog { title: "Restart or Deploy", page: "/apps/shop" }.markup(html! {
        (button::tabs("Restart or Deploy", &[
            Entry { label: "Restart", href: "?action=restart", dialog: true, marked: true },
            Entry { label: "Force rebuild and deploy", href: "?action=rebuild", dialog: true, marked: false },
        ]))
        (form.markup(html! {
            (form::checks("Components", "All", &[
                check("web", "web", "service, 2 instances", true, false),
                check("worker", "worker", "1 instance", true, false),
                check("nightly", text, "job, left alone", false, true),
            ]))
            div id="plan" class="plan" { h3 { "Plan" } ol { li { "web: 2 instances, one at a time" } li { "then worker: 1 instance" } } }
            (dialog::buttons("/apps/shop", html! { (button::submit(Look::Primary, "Restart 2 components")) }))
        }))
    })
}

#[test]
fn no_component_writes_inline_style_script_or_event_handler() {
    let page = gallery("plain", true).into_string();
    assert!(!page.contains(" style="));
    let handler = page.split('<').flat_map(|tag| tag.split(['>']).next()).find(|tag| tag.contains(" on"));
    assert_eq!(handler, None, "no attribute begins with on");
    for script in page.split("<script").skip(1) {
        let content = script.split_once('>').expect("a complete tag").1;
        assert!(content.starts_with("</script>"), "a script has an address, and no content");
    }
    if let Ok(path) = std::env::var("GALLERY") {
        std::fs::write(path, page).expect("the file can be written");
    }
}

#[test]
fn text_is_escaped_in_every_component() {
    let (plain, hostile) = (gallery("plain", true).into_string(), gallery(HOSTILE, true).into_string());
    assert!(!hostile.contains("<img src=x"));
    // Text that left an attribute or an element would add quotes or tags.
    for character in ['<', '>', '"'] {
        assert_eq!(hostile.matches(character).count(), plain.matches(character).count(), "unescaped {character}");
    }
}
