//! Jobs with their runs, and the dialogue that cancels one.

use app_spec::{Job, JobKind};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use controller::view::{AppView, JobInvocationPhase, JobInvocationView};
use maud::{Markup, html};
use present::text::duration;
use web::{HttpError, Needs, PathParams, view};

use super::dialog_page;
use super::facts::Facts;
use crate::request::{PageRequest, PageResult};
use crate::routes::{Route, route};
use crate::ui::button::{self, Look};
use crate::ui::dialog::{Dialog, buttons};
use crate::ui::form::Form;
use crate::ui::icon::Icon;
use crate::ui::table::{Column, Kind, table};
use crate::ui::{Tone, card, notice, status, time};

/// The newest runs are shown.
const SHOWN: usize = 10;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route("/apps/{app}/jobs/{run}", Needs::Read, get(cancel_dialog)),
        route("/apps/{app}/jobs/{run}/cancel", Needs::Write("cancel job"), post(cancel)),
    ]
}

pub(super) fn markup(facts: &Facts) -> Markup {
    if facts.spec.jobs.is_empty() {
        return card::nothing("jobs");
    }
    let columns = [
        Column("Job", Kind::Text),
        Column("State", Kind::Text),
        Column("Began", Kind::Text),
        Column("Took", Kind::Number),
        Column("Deployment", Kind::Text),
        Column("Actions", Kind::Actions),
    ];
    let rows: Vec<_> = facts.invocations.iter().take(SHOWN).map(|it| row(facts, it)).collect();
    let total = facts.invocations.len();
    let content = html! {
        p class="about" { @for it in &facts.spec.jobs { span { strong { (it.common.name) } " " (runs_when(it)) } } }
        @if rows.is_empty() { p class="hint" { "No job has run so far." } } @else { (table("Runs of jobs", &columns, &rows)) }
        @if total > SHOWN { p class="hint" { "The newest " (SHOWN) " of " (total) " runs." } }
    };
    card::card("jobs", "Jobs", html! {}, content)
}

fn runs_when(job: &Job) -> &'static str {
    match job.kind() {
        JobKind::PreDeploy => "runs before the first instance is replaced",
        JobKind::Unspecified | JobKind::PostDeploy => "runs after all instances serve",
        JobKind::FailedDeploy | JobKind::Scheduled => "does not run: only PRE_DEPLOY and POST_DEPLOY jobs run",
    }
}

fn row(facts: &Facts, it: &JobInvocationView) -> Vec<Markup> {
    let began = it.started.or(Some(it.created)).and_then(view::time);
    let took =
        began.zip(it.completed.and_then(view::time)).map(|(from, until)| (until - from).num_milliseconds().max(0));
    let has_ended = !matches!(it.phase, JobInvocationPhase::Pending | JobInvocationPhase::Running);
    let deployment = facts.number(&it.deployment).map_or("earlier".to_owned(), |it| format!("Deployment {it}"));
    let logs = facts.address(&format!("/logs?component={}&type=deploy&deployment={}", it.job, it.deployment));
    vec![
        html! { (it.job) },
        phase(it.phase),
        html! { @if let Some(began) = began { (time::ago(began)) } },
        html! { @match (took, began) {
            (Some(took), _) => (duration(took)),
            (None, Some(began)) if !has_ended => (time::since(began)),
            _ => {},
        } },
        html! { a href=(facts.address(&format!("/deployments/{}", it.deployment))) { (deployment) } },
        html! {
            (button::link(Look::Plain, "Logs", &logs))
            @if facts.may_write && !has_ended {
                " " (button::open(Look::Plain, "Cancel", &facts.address(&format!("/jobs/{}", it.id)), &format!("cancel-{}", it.id)))
            }
        },
    ]
}

fn phase(phase: JobInvocationPhase) -> Markup {
    let (tone, icon, text) = match phase {
        JobInvocationPhase::Pending => (Tone::Plain, Icon::Pending, "pending"),
        JobInvocationPhase::Running => (Tone::Busy, Icon::Running, "running"),
        JobInvocationPhase::Succeeded => (Tone::Good, Icon::Done, "succeeded"),
        JobInvocationPhase::Failed => (Tone::Bad, Icon::Failed, "failed"),
        JobInvocationPhase::Canceled => (Tone::Plain, Icon::Stopped, "canceled"),
    };
    status::badge(tone, icon, text)
}

async fn cancel_dialog(request: PageRequest, PathParams((app, run)): PathParams<(String, String)>) -> PageResult {
    let app = request.access.app(&app).await?;
    let it = request.access.control.job_invocation(&app.id, &run).await?;
    Ok(dialog_page(&request, &app.name, "Cancel a job", dialog(&request, &app, &it, None)))
}

async fn cancel(request: PageRequest, PathParams((app, run)): PathParams<(String, String)>) -> PageResult {
    let app = request.access.app(&app).await?;
    let Err(refusal) = request.access.control.cancel_job_invocation(&app.id, &run).await else {
        return Ok(Redirect::to(&format!("/apps/{}", app.name)).into_response());
    };
    let refusal = HttpError::from(refusal);
    // A run that does not exist has no dialogue, so the refusal becomes a page.
    let Ok(it) = request.access.control.job_invocation(&app.id, &run).await else { return Err(refusal) };
    let (status, dialog): (StatusCode, _) = (refusal.status, dialog(&request, &app, &it, Some(&refusal)));
    Ok((status, dialog_page(&request, &app.name, "Cancel a job", dialog)).into_response())
}

fn dialog(request: &PageRequest, app: &AppView, it: &JobInvocationView, refusal: Option<&HttpError>) -> Markup {
    let (page, action) = (format!("/apps/{}", app.name), format!("/apps/{}/jobs/{}/cancel", app.name, it.id));
    let form = Form { action: &action, csrf: &request.session.csrf, preview: None };
    let content = html! {
        @if let Some(refusal) = refusal { (notice::error("The job was not canceled", &refusal.message)) }
        p { "Stops the process of " strong { (it.job) } ". The deployment that runs it fails then." }
        @match Needs::Write("cancel job").check(&request.access.identity, true) {
            Ok(()) => (form.markup(buttons(&page, button::submit(Look::Danger, "Cancel the job")))),
            Err(why) => p class="hint" { (why) },
        }
    };
    Dialog { title: "Cancel a job", page: &page }.markup(content)
}
