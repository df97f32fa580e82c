//! The layout of every page.

use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, html};

use super::icon::Icon;
use crate::assets;

/// A page. `Page { title: "Apps", account: Some(account), here: Place::Apps, now, … }.markup(content)`.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// Title of the browser's tab, without the product's name.
    pub title: &'a str,
    /// Who is signed in. Without an account, the page has no navigation: sign-in, errors.
    pub account: Option<Account<'a>>,
    pub here: Place<'a>,
    /// Why the engine does not answer, for the banner.
    pub engine_problem: Option<&'a str>,
    /// Address of the page's server-sent events, for a page with live parts: `/apps/shop/events`.
    pub live: Option<&'a str>,
    /// The server's time, so that relative times are right although the browser's clock may be wrong.
    pub now: DateTime<Utc>,
}

/// Who is signed in.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// Name of the token: `admin`, or that of a created token.
    pub name: &'a str,
    /// Why this token may change nothing, if so: "may read". Shown beside the name.
    pub limit: Option<&'a str>,
    /// The session's CSRF token, for the form that signs out.
    pub csrf: &'a str,
}

/// A place in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// The list of apps, and the page for a new one.
    Apps,
    /// Tokens and sessions.
    Tokens,
    /// Engine, disk, images, versions.
    Host,
    /// Inside an app, named as in the address. The layout shows the app's own navigation.
    App(&'a str, Section),
    /// None of these: sign-in, errors.
    Elsewhere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Components and what they use.
    Overview,
    /// Deployments, and the live page of one.
    Activity,
    Logs,
    /// A shell in an instance.
    Console,
    /// Spec, variables, deletion.
    Settings,
}

impl Section {
    const ALL: [(Section, &'static str, &'static str); 5] = [
        (Section::Overview, "Overview", ""),
        (Section::Activity, "Activity", "/activity"),
        (Section::Logs, "Logs", "/logs"),
        (Section::Console, "Console", "/console"),
        (Section::Settings, "Settings", "/settings"),
    ];
}

impl Page<'_> {
    /// The whole document around `content`, which begins with the page's `h1`.
    pub fn markup(&self, content: Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" data-now=(self.now.timestamp_millis()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Boatyard" }
                    link rel="icon" href=(assets::ICON.path());
                    link rel="stylesheet" href=(assets::STYLE.path());
                    script src=(assets::SCRIPT.path()) defer {}
                }
                body {
                    a class="skip" href="#content" { "Skip to content" }
                    @if let Some(account) = self.account { (top_bar(account, self.here)) }
                    (engine_banner(self.engine_problem))
                    (outdated_banner(None))
                    p id="connection" class="banner warning" role="status" hidden {}
                    @if let Place::App(app, section) = self.here { (app_navigation(app, section)) }
                    main id="content" tabindex="-1" data-live=[self.live] { (content) }
                    p id="announcements" class="unseen" role="status" {}
                }
            }
        }
    }
}

/// The banner for an engine that does not answer, and an empty element while it does. Its id is `engine`, so live pages
/// can send it as a fragment.
pub fn engine_banner(problem: Option<&str>) -> Markup {
    html! {
        div id="engine" role="status" {
            @if let Some(problem) = problem {
                p class="banner bad" { (Icon::Warning.markup()) span { strong { "The engine does not answer." } " " (problem) } }
            }
        }
    }
}

/// The banner of a live page that cannot be rendered now, and an empty element otherwise. Its id is `outdated`.
pub fn outdated_banner(problem: Option<&str>) -> Markup {
    html! {
        div id="outdated" role="status" {
            @if let Some(problem) = problem {
                p class="banner warning" { (Icon::Warning.markup()) span { strong { "This page cannot be updated now." } " " (problem) } }
            }
        }
    }
}

fn top_bar(account: Account<'_>, here: Place<'_>) -> Markup {
    let in_apps = matches!(here, Place::Apps | Place::App(..));
    html! {
        header class="top" {
            a class="brand" href="/" { img src=(assets::ICON.path()) alt="" width="24" height="24"; "Boatyard" }
            nav aria-label="Main" {
                a href="/" aria-current=[in_apps.then_some("page")] { "Apps" }
                a href="/tokens" aria-current=[(here == Place::Tokens).then_some("page")] { "Tokens" }
                a href="/host" aria-current=[(here == Place::Host).then_some("page")] { "Host" }
            }
            form class="account" method="post" action="/sign-out" {
                input type="hidden" name="csrf" value=(account.csrf);
                span { (account.name) @if let Some(limit) = account.limit { " (" (limit) ")" } }
                button class="quiet" { "Sign out" }
            }
        }
    }
}

fn app_navigation(app: &str, here: Section) -> Markup {
    html! {
        nav class="app-nav" aria-label={ "App " (app) } {
            a class="app" href="/" { "Apps" }
            strong { (app) }
            @for (section, label, path) in Section::ALL {
                a href={ "/apps/" (app) (path) } aria-current=[(section == here).then_some("page")] { (label) }
            }
        }
    }
}
