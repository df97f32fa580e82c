//! Requests for a console. The answer is the address of a WebSocket that works once, for one minute, without the token.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use controller::console::ConsoleRequest;
use serde_json::json;
use web::{Access, HttpError, PathParams};

use super::JsonResult;
use crate::query::QueryParams;
use crate::state::ApiState;

/// Path of consoles.
pub(crate) const SOCKET: &str = "/v2/boatyard/console";

pub(super) async fn of_app(
    access: Access,
    State(state): State<ApiState>,
    PathParams((app, component)): PathParams<(String, String)>,
    params: QueryParams,
) -> JsonResult {
    address(&access, &state, &app, None, component, &params).await
}

pub(super) async fn of_deployment(
    access: Access,
    State(state): State<ApiState>,
    PathParams((app, deployment, component)): PathParams<(String, String, String)>,
    params: QueryParams,
) -> JsonResult {
    address(&access, &state, &app, Some(&deployment), component, &params).await
}

async fn address(
    access: &Access,
    state: &ApiState,
    app: &str,
    deployment: Option<&str>,
    component: String,
    params: &QueryParams,
) -> JsonResult {
    let app = access.app(app).await?.id;
    let deployment = match deployment {
        Some(id_or_number) => Some(access.deployment(&app, id_or_number).await?.id),
        None => None,
    };
    let instance = params.get("instance_name").filter(|it| !it.is_empty()).map(str::to_owned);
    // Checked here as far as possible: a client that has the address takes over the terminal, and doctl hangs for ever if
    // the WebSocket does not open.
    let token = access.identity.token().map(|it| it.id.clone());
    state.consoles.check(token.as_deref()).map_err(HttpError::too_many)?;
    let target = access.control.find_console(ConsoleRequest { app, component, instance, deployment }).await?;
    // Clients of App Platform read only the address.
    let instance = json!({ "instance_name": target.instance, "instance_alias": target.alias });
    let full = || HttpError::too_many("too many addresses are unused. They expire after a minute; then try again");
    let secret = state.tickets.issue(target, token, Instant::now()).ok_or_else(full)?;
    // The scheme of a WebSocket: `ws` for `http`, `wss` for `https`.
    let base = access.base.replacen("http", "ws", 1);
    Ok(Json(json!({ "url": format!("{base}{SOCKET}?token={secret}"), "boatyard": instance })))
}
