//! The commits that a deployment would build.

use controller::view::{CommitView, SourceHeadView, SourceLocation};
use maud::{Markup, html};
use present::BuildPlan;
use web::PathParams;

use crate::request::{PageRequest, PageResult};
use crate::ui::page::{Place, Section};
use crate::ui::table::{Column, Kind, table};
use crate::ui::{card, notice, time};

/// The newest commit of each source beside what serves now, or why it could not be looked up. Its id is `sources`.
pub(crate) fn sources(heads: &[SourceHeadView]) -> Markup {
    let serves = heads.iter().any(|it| it.components.iter().any(|(_, commit)| commit.is_some()));
    let mut columns =
        vec![Column("Component", Kind::Text), Column("Source", Kind::Text), Column("Would be built", Kind::Text)];
    columns.extend(serves.then_some(Column("Serves now", Kind::Text)));
    let rows: Vec<_> = heads.iter().map(row).collect();
    html! {
        div id="sources" class="stack" {
            (table("Sources", &columns, &rows))
            @for it in heads.iter().flat_map(|it| &it.builds) { (build(&web::view::build_plan(it))) }
            @for it in heads.iter().flat_map(|it| &it.problems) { (notice::error("This build would fail", it)) }
        }
    }
}

/// What a component would be built with. A generated Dockerfile unfolds.
fn build(plan: &BuildPlan) -> Markup {
    html! {
        @if let Some(text) = &plan.dockerfile {
            details {
                summary { (plan.summary()) }
                ul { @for it in &plan.findings { li { (it) } } }
                @if let Some(start) = &plan.start { p { "It starts with " code { (start) } } }
                pre class="plan" tabindex="0" aria-label={ "Dockerfile of " (plan.component) } { (text) }
            }
        } @else {
            p { (plan.summary()) }
        }
    }
}

pub(super) const PATH: &str = "/apps/{app}/sources";

/// The sources of an app. The script takes the table out of the page.
pub(super) async fn page(request: PageRequest, PathParams(app): PathParams<String>) -> PageResult {
    request.access.dismiss_audit();
    let app = request.access.app(&app).await?;
    let sources = match request.access.control.source_heads(&app.id).await {
        Ok(heads) => sources(&heads),
        Err(error) => {
            html! { div id="sources" { (notice::error("The sources cannot be looked up", &error.to_string())) } }
        }
    };
    let content = html! { (card::heading("Sources", html! {}, html! {})) (sources) };
    Ok(request.page("Sources", Place::App(&app.name, Section::Overview), content))
}

/// In place of the table until the script has loaded it, because a slow git server must not delay the dialogue.
pub(super) fn sources_later(app: &str) -> Markup {
    let address = PATH.replace("{app}", app);
    html! {
        div id="sources" data-load=(address) {
            p class="with-script" role="status" { "Looking up the newest commits …" }
            p class="without-script" { a href=(address) { "Look up the newest commits" } }
        }
    }
}

fn row(head: &SourceHeadView) -> Vec<Markup> {
    let names: Vec<_> = head.components.iter().map(|(name, _)| name.as_str()).collect();
    let (place, built) = match &head.location {
        SourceLocation::Repository { address, branch, newest } => (
            html! { (address) @if let Some(branch) = branch { ", branch " code { (branch) } } },
            match newest {
                Ok(commit) => newest_commit(commit, head),
                Err(why) => html! { strong { "Unknown: " } (why) },
            },
        ),
        SourceLocation::Image { name, version } => {
            let kind = if version.contains(':') { "digest" } else { "tag" };
            (html! { "image " code { (name) } ", " (kind) " " code { (version) } }, html! { "nothing" })
        }
    };
    let mut serving: Vec<_> = head.components.iter().filter_map(|(_, commit)| commit.as_deref()).map(short).collect();
    serving.dedup();
    vec![html! { (names.join(", ")) }, place, built, html! { @for it in serving { code { (it) } " " } }]
}

fn newest_commit(commit: &CommitView, head: &SourceHeadView) -> Markup {
    let serves = head.components.iter().all(|(_, serving)| serving.as_deref() == Some(&commit.id));
    html! {
        code { (short(&commit.id)) } " " (commit.subject)
        @if let Some(at) = web::view::time(commit.authored) { " " small { (time::ago(at)) } }
        @if serves { " " small { "serves already" } }
        @if commit.uncommitted { " " small { "without the uncommitted changes of its work tree" } }
    }
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}
