//! Asking for logs: the answer is an address that opens once, within a minute, without a token.

use std::time::Instant;

use axum::Json;
use controller::view::LogQuestion;
use serde_json::json;

use super::Answer;
use crate::access::{Access, Named};
use crate::error::ApiError;
use crate::query::Params;

/// Where the streams are.
pub(crate) const STREAM: &str = "/v2/boatyard/logs";

pub(super) async fn of_app(access: Access, Named(app): Named<String>, params: Params) -> Answer {
    ask(&access, &app, None, params.get("component_name"), &params).await
}

pub(super) async fn of_component(
    access: Access,
    Named((app, component)): Named<(String, String)>,
    params: Params,
) -> Answer {
    ask(&access, &app, None, Some(&component), &params).await
}

pub(super) async fn of_deployment(
    access: Access,
    Named((app, deployment)): Named<(String, String)>,
    params: Params,
) -> Answer {
    ask(&access, &app, Some(&deployment), params.get("component_name"), &params).await
}

pub(super) async fn of_component_in_deployment(
    access: Access,
    Named((app, deployment, component)): Named<(String, String, String)>,
    params: Params,
) -> Answer {
    ask(&access, &app, Some(&deployment), Some(&component), &params).await
}

/// `live_url` ends after what exists, unless `follow` was asked for; `historic_urls` always do.
async fn ask(access: &Access, app: &str, deployment: Option<&str>, component: Option<&str>, params: &Params) -> Answer {
    let (kind, follow, tail) = (params.log_kind()?, params.flag("follow")?, params.tail()?);
    let view = access.app(app).await?;
    let deployment = match deployment {
        Some(wanted) => Some(access.deployment(&view.app.id, wanted).await?.deployment.id),
        None => None,
    };
    let component = component.map(str::to_owned);
    let question = LogQuestion { app: view.app.id, deployment, component, kind, follow, tail };
    let historic = LogQuestion { follow: false, ..question.clone() };
    // Asked once for nothing, so that an unknown component is told here and not in the middle of a stream.
    drop(access.control.logs(LogQuestion { tail: Some(0), ..historic.clone() }).await?);
    Ok(Json(json!({ "live_url": url(access, question)?, "historic_urls": [url(access, historic)?] })))
}

fn url(access: &Access, question: LogQuestion) -> Result<String, ApiError> {
    let full = || ApiError::too_many("too many log addresses wait to be opened; they are forgotten after a minute");
    let secret = access.state.tickets.issue(question, Instant::now()).ok_or_else(full)?;
    Ok(format!("{}{STREAM}?token={secret}", access.base))
}
