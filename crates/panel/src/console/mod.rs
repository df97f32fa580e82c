//! Consoles: shells in running instances, shown in a page.
//!
//! The server keeps the screen of a console (`emulator`) in a task (`open`), so a reload of the page keeps it, and the page
//! needs no terminal library. `socket` connects a page with it, and `registry` knows all open consoles. A console belongs
//! to the session that opened it, and ends a minute after its last page was left.

mod emulator;
mod open;
mod page;
#[cfg(test)]
mod page_tests;
mod registry;
mod socket;
#[cfg(test)]
mod tests;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use controller::console::ConsoleRequest;
use web::{ClientConnection, HttpError, Needs, PathParams};

use crate::request::{Fields, PageRequest, PageResult};
use crate::routes::{PanelState, Route, route};
use crate::session::is_own_origin;
pub(crate) use registry::Consoles;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        route("/apps/{app}/console", Needs::Read, get(choose)),
        route("/apps/{app}/console", Needs::Console, post(open_console)),
        route("/apps/{app}/console/{console}", Needs::Read, get(show)),
        route("/apps/{app}/console/{console}/socket", Needs::Console, get(connect)),
        route("/apps/{app}/console/{console}/close", Needs::Write("close console"), post(close)),
    ]
}

/// A component and an instance: `component` and `instance` in the address, or both in `instance` of the form, separated by a
/// colon.
fn wanted(fields: &Fields) -> (Option<&str>, Option<&str>) {
    let instance = fields.get("instance");
    match instance.and_then(|it| it.split_once(':')) {
        Some((component, instance)) => (Some(component), Some(instance)),
        None => (fields.get("component"), instance),
    }
}

async fn choose(
    request: PageRequest,
    State(state): State<PanelState>,
    PathParams(app): PathParams<String>,
) -> PageResult {
    let app = request.access.app(&app).await?;
    let open = state.consoles.of(&request.session.id, &app.id);
    page::choice(&request, &app, wanted(&request.query), &open, None).await
}

async fn open_console(
    request: PageRequest,
    State(state): State<PanelState>,
    PathParams(app): PathParams<String>,
    form: Fields,
) -> PageResult {
    let app = request.access.app(&app).await?;
    let (Some(component), instance) = wanted(&form) else {
        return Err(HttpError::bad_request("choose an instance"));
    };
    let control = &request.access.control;
    let (component, instance) = (component.to_owned(), instance.map(str::to_owned));
    let target = control.find_console(ConsoleRequest { app: app.id.clone(), component, instance, deployment: None });
    let opened = async {
        let target = target.await?;
        if let Some(audit) = &request.access.caller.audit {
            audit.set_subject(target.component.as_str());
        }
        let console = control.open_console(target.clone());
        state.consoles.open(&request.session.id, request.session.quota(), target, console, request.ended()).await
    };
    match opened.await {
        Ok(console) => Ok(Redirect::to(&page::address(&app.name, &console.id)).into_response()),
        // Shown where the person can choose again.
        Err(problem) if problem.status.is_client_error() || problem.status == StatusCode::SERVICE_UNAVAILABLE => {
            let open = state.consoles.of(&request.session.id, &app.id);
            let page = page::choice(&request, &app, wanted(&form), &open, Some(&problem.message)).await?;
            Ok((problem.status, page).into_response())
        }
        Err(problem) => Err(problem),
    }
}

async fn show(
    request: PageRequest,
    State(state): State<PanelState>,
    PathParams((app, console)): PathParams<(String, String)>,
) -> PageResult {
    let app = request.access.app(&app).await?;
    match state.consoles.find(&console, &request.session.id, &app.id) {
        Some(console) => Ok(page::console(&request, &app, &console)),
        None => {
            let why = "There is no such console in this session: a console ends a minute after its page was left, and when \
                       boatyard serve stops. Open another one.";
            let open = state.consoles.of(&request.session.id, &app.id);
            let page = page::choice(&request, &app, (None, None), &open, Some(why)).await?;
            Ok((StatusCode::NOT_FOUND, page).into_response())
        }
    }
}

/// Any page of another origin could open the WebSocket with the session's cookie, so the page's origin is checked before.
async fn connect(
    request: PageRequest,
    State(state): State<PanelState>,
    PathParams((app, console)): PathParams<(String, String)>,
    connection: Option<Extension<ClientConnection>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> PageResult {
    if !is_own_origin(&headers, &request.access.base) {
        return Err(HttpError::forbidden("only a page of this panel may connect to a console"));
    }
    let app = request.access.app(&app).await?;
    let console = state.consoles.find(&console, &request.session.id, &app.id);
    let console = console.ok_or_else(|| HttpError::not_found("there is no such console in this session"))?;
    let upgrade = upgrade.map_err(|_| HttpError::bad_request("this address is that of a WebSocket"))?;
    // The audit trail has a row for the opening.
    request.access.dismiss_audit();
    let upgrade = upgrade.max_message_size(socket::MAX_MESSAGE_BYTES).max_write_buffer_size(socket::MAX_WAITING_BYTES);
    let viewer = state.consoles.view(&console, request.session.quota());
    Ok(upgrade.on_upgrade(async move |socket| {
        match viewer {
            Ok(viewer) => socket::serve(socket, viewer).await,
            // A page cannot read another answer than an open WebSocket.
            Err(why) => socket::refuse(socket, &why).await,
        }
        // Until here it counts as open.
        drop(connection);
    }))
}

async fn close(
    request: PageRequest,
    State(state): State<PanelState>,
    PathParams((app, console)): PathParams<(String, String)>,
) -> PageResult {
    let app = request.access.app(&app).await?;
    if let Some(console) = state.consoles.find(&console, &request.session.id, &app.id) {
        console.close().await;
    }
    Ok(Redirect::to(&format!("/apps/{}/console", app.name)).into_response())
}
