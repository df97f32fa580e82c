//! Requests for logs. The answer is an address that works once, for one minute, without the token.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use controller::view::LogRequest;
use serde_json::json;
use web::{Access, HttpError, PathParams};

use super::JsonResult;
use crate::query::QueryParams;
use crate::state::ApiState;

/// Path of log streams.
pub(crate) const STREAM: &str = "/v2/boatyard/logs";

pub(super) async fn of_app(
    access: Access,
    State(state): State<ApiState>,
    PathParams(app): PathParams<String>,
    params: QueryParams,
) -> JsonResult {
    of(&access, &state, &app, None, params.get("component_name"), &params).await
}

pub(super) async fn of_component(
    access: Access,
    State(state): State<ApiState>,
    PathParams((app, component)): PathParams<(String, String)>,
    params: QueryParams,
) -> JsonResult {
    of(&access, &state, &app, None, Some(&component), &params).await
}

pub(super) async fn of_deployment(
    access: Access,
    State(state): State<ApiState>,
    PathParams((app, deployment)): PathParams<(String, String)>,
    params: QueryParams,
) -> JsonResult {
    of(&access, &state, &app, Some(&deployment), params.get("component_name"), &params).await
}

pub(super) async fn of_component_in_deployment(
    access: Access,
    State(state): State<ApiState>,
    PathParams((app, deployment, component)): PathParams<(String, String, String)>,
    params: QueryParams,
) -> JsonResult {
    of(&access, &state, &app, Some(&deployment), Some(&component), &params).await
}

async fn of(
    access: &Access,
    state: &ApiState,
    app: &str,
    deployment: Option<&str>,
    component: Option<&str>,
    params: &QueryParams,
) -> JsonResult {
    let (kind, follow, tail) = (params.log_kind()?, params.flag("follow")?, params.tail()?);
    let view = access.app(app).await?;
    let deployment = match deployment {
        Some(id_or_number) => Some(access.deployment(&view.id, id_or_number).await?.id),
        None => None,
    };
    let component = component.map(str::to_owned);
    addresses(access, state, LogRequest { app: view.id, deployment, component, kind, follow, tail }).await
}

/// `historic_urls` end after the existing lines. `live_url` does too, unless the request has `follow`.
pub(super) async fn addresses(access: &Access, state: &ApiState, query: LogRequest) -> JsonResult {
    let historic = LogRequest { follow: false, ..query.clone() };
    // Requests no lines, so that an unknown component is an error here and not in the stream.
    drop(access.control.logs(LogRequest { tail: Some(0), ..historic.clone() }).await?);
    Ok(Json(json!({ "live_url": url(access, state, query)?, "historic_urls": [url(access, state, historic)?] })))
}

fn url(access: &Access, state: &ApiState, query: LogRequest) -> Result<String, HttpError> {
    let full = || {
        HttpError::too_many("too many addresses of log streams are unused. They expire after a minute; then try again")
    };
    let token = access.identity.token().map(|it| it.id.clone());
    let secret = state.tickets.issue(query, token, Instant::now()).ok_or_else(full)?;
    Ok(format!("{}{STREAM}?token={secret}", access.base))
}
