//! The page with the logs of an app. Its script (`assets/logs.js`) follows them; without it the page shows the last lines.

mod choice;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use controller::ControlError;
use controller::view::{LogEntry, LogRequest};
use futures::StreamExt;
use maud::{Markup, html};
use tokio::time::timeout;
use web::{HttpError, Needs, PathParams};

use crate::assets;
use crate::limit::Limit;
use crate::request::{PageRequest, PageResult};
use crate::routes::{PanelState, Route, route};
use crate::ui::page::{Place, Section};
use crate::ui::{button, card, log, notice};
use choice::Choice;

/// How many of the last lines the page shows before its script follows the log. Each instance then sends this many of its last lines.
const FIRST_LINES: usize = 500;
/// Limit of these lines, so that the page with its assets stays below 100 KB.
const FIRST_BYTES: usize = 36 * 1024;
/// About as much as the markup of a line adds to its text.
const LINE_MARKUP: usize = 110;
/// How much text is in memory while the page's lines are chosen.
const MAX_READ_BYTES: usize = 1024 * 1024;
/// Open streams, and pages whose first lines are read. Each stream holds a connection and a stream of the engine, and up to
/// 6 MB for a slow client.
const STREAMS: usize = 64;
const STREAMS_PER_QUOTA: usize = 16;
/// How long the page waits for these lines.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route("/apps/{app}/logs", Needs::Read, get(page)),
        route("/apps/{app}/logs/stream", Needs::Read, get(follow)),
        route("/apps/{app}/logs/download", Needs::Read, get(download)),
    ]
}

/// The limit of open streams.
pub(crate) fn limit() -> Arc<Limit> {
    Limit::new("log streams", STREAMS, STREAMS_PER_QUOTA)
}

async fn page(
    request: PageRequest,
    State(state): State<PanelState>,
    PathParams(app): PathParams<String>,
) -> PageResult {
    let choice = Choice::find(&request.access, &app, &request.query).await?;
    // The engine reads as much for these lines as for a stream.
    let lines = match state.log_streams.open(request.session.quota()) {
        Ok(_permit) => first_lines(&request, choice.request(false, Some(choice.tail))).await,
        Err(why) => Err(why),
    };
    let name = choice.app.name.clone();
    let content = html! {
        (card::heading("Logs", html! {}, html! {}))
        (choice.form(&request.access).await?)
        (tools(&choice))
        (log_box(&choice, lines))
        script src=(assets::LOGS_SCRIPT.path()) defer {}
    };
    Ok(request.page(&format!("Logs of {name}"), Place::App(&name, Section::Logs), content))
}

/// What the script does with the log, and the download, which needs no script.
fn tools(choice: &Choice) -> Markup {
    html! {
        div class="log-tools" role="group" aria-label="Log" {
            button class="button with-script" type="button" id="log-follow" aria-pressed="true" { "Follow" }
            button class="button with-script" type="button" id="log-pause" aria-pressed="false" { "Pause" }
            input class="with-script" id="log-filter" type="search" placeholder="Show only lines with …" aria-label="Show only lines with this text"
                autocomplete="off" spellcheck="false";
            input class="with-script" id="log-search" type="search" placeholder="Find …" aria-label="Find this text. Enter: next, Shift and Enter: previous"
                autocomplete="off" spellcheck="false";
            button class="button with-script" type="button" id="log-previous" aria-label="Previous match" { "↑" }
            button class="button with-script" type="button" id="log-next" aria-label="Next match" { "↓" }
            span class="with-script" id="log-found" role="status" {}
            (button::link(button::Look::Plain, "Download", &choice.address("/download")))
        }
    }
}

/// The log, and what happened to it. The script replaces the lines, and adds to the notes.
fn log_box(choice: &Choice, lines: Result<Vec<LogEntry>, String>) -> Markup {
    let label = format!("Log of {}", choice.app.name);
    let (lines, problem) = match lines {
        Ok(lines) => (lines, None),
        Err(problem) => (Vec::new(), Some(problem)),
    };
    let shown: Vec<_> =
        lines.iter().map(|it| log::Line { at: time_of(it), from: &it.component, text: &it.text }).collect();
    html! {
        div id="log-stream" data-stream=(choice.address("/stream")) {
            (log::log("log", &label, &shown))
            div id="log-note" role="status" {
                @if let Some(problem) = &problem { (notice::error("The log cannot be shown", problem)) }
                @else if shown.is_empty() { p { "No lines yet." } }
                @else { p class="without-script" { "The last " (shown.len()) " lines. Reload the page for newer ones." } }
            }
        }
    }
}

/// The newest existing lines, in order. Errors: for people, why there are none.
async fn first_lines(request: &PageRequest, wanted: LogRequest) -> Result<Vec<LogEntry>, String> {
    let limit = wanted.tail.unwrap_or_default();
    let read = async {
        let mut stream = request.access.control.logs(wanted).await?;
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while let Some(line) = stream.next().await.transpose()? {
            bytes += line.text.len();
            lines.push(line);
            // An app may write long lines, and have many instances.
            if bytes > MAX_READ_BYTES {
                (lines, bytes) = (newest(lines, limit), 0);
            }
        }
        Ok::<_, ControlError>(newest(lines, limit))
    };
    let lines = timeout(READ_TIMEOUT, read).await.map_err(|_| "It was not read in time. Reload the page".to_owned())?;
    lines.map_err(|error| error.to_string())
}

/// The newest lines within the limits, of which a single line that is longer is cut. Each instance sends its lines in order, and all of them at the same time.
fn newest(mut lines: Vec<LogEntry>, limit: usize) -> Vec<LogEntry> {
    lines.sort_by_key(time_of);
    let mut bytes = 0;
    let fits = |line: &&LogEntry| {
        let is_newest = bytes == 0;
        bytes += LINE_MARKUP + line.text.len();
        is_newest || bytes <= FIRST_BYTES
    };
    let count = lines.iter().rev().take(limit.min(FIRST_LINES)).take_while(fits).count();
    let mut newest = lines.split_off(lines.len() - count);
    newest.iter_mut().for_each(|line| cut(&mut line.text));
    newest
}

/// Cuts a line that alone exceeds the limit, and says so.
fn cut(text: &mut String) {
    if text.len() + LINE_MARKUP <= FIRST_BYTES {
        return;
    }
    let kept = (0..=FIRST_BYTES - 2 * LINE_MARKUP).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let missing = text.len() - kept;
    text.truncate(kept);
    text.push_str(&format!("… ({missing} more bytes. The download has the whole line)"));
}

fn time_of(line: &LogEntry) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(&line.timestamp).ok().map(|it| it.to_utc())
}

async fn follow(
    request: PageRequest,
    State(state): State<PanelState>,
    PathParams(app): PathParams<String>,
) -> Response {
    let lines = async {
        let permit = state.log_streams.open(request.session.quota()).map_err(HttpError::too_many)?;
        let choice = Choice::find(&request.access, &app, &request.query).await?;
        let wanted = choice.request(true, Some(choice.tail));
        Ok::<_, HttpError>((request.access.control.logs(wanted).await?, permit))
    };
    // The script cannot read an answer with another status.
    match lines.await {
        Ok((lines, permit)) => stream::events(lines, request.ended(), state.stop, permit).into_response(),
        Err(problem) => stream::refusal(problem.message).into_response(),
    }
}

async fn download(
    request: PageRequest,
    State(state): State<PanelState>,
    PathParams(app): PathParams<String>,
) -> PageResult {
    let permit = state.log_streams.open(request.session.quota()).map_err(HttpError::too_many)?;
    let choice = Choice::find(&request.access, &app, &request.query).await?;
    let lines = request.access.control.logs(choice.request(false, None)).await?;
    Ok(stream::file(&choice.file_name(), lines, request.ended(), state.stop, permit))
}
