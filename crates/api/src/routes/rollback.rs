//! Rollbacks of an app to an earlier deployment: start, validate, commit, revert.

use axum::Json;
use axum::http::StatusCode;
use controller::view::RollbackOptions;
use rollout::ids::{AppId, DeploymentId};
use web::{Access, HttpError, PathParams};

use super::JsonResult;
use super::apps::plan_response;
use super::deployments::answer;
use crate::body::RequestBody;
use crate::query::QueryParams;
use crate::render;

pub(super) async fn create(
    access: Access,
    PathParams(app): PathParams<String>,
    params: QueryParams,
    content: RequestBody,
) -> JsonResult {
    let view = access.app(&app).await?;
    let options = RollbackOptions { skip_pin: content.any(&["skip_pin"])? };
    let to = target(&access, &view.id, &content).await?;
    if params.is_dry_run(&access)? {
        return plan_response(access.control.preview_rollback(&view.id, &to).await?);
    }
    answer(&access.control.roll_back(&view.id, &to, options, &access.caller).await?)
}

/// Status 200 even if the rollback would be refused: the answer says so.
pub(super) async fn validate(access: Access, PathParams(app): PathParams<String>, content: RequestBody) -> JsonResult {
    let view = access.app(&app).await?;
    content.any(&["skip_pin"])?;
    let to = target(&access, &view.id, &content).await?;
    Ok(Json(render::rollback_check(&access.control.validate_rollback(&view.id, &to).await?)))
}

/// Status 200 with an empty body, as App Platform declares it. Clients send no body either.
pub(super) async fn commit(access: Access, PathParams(app): PathParams<String>) -> Result<StatusCode, HttpError> {
    let view = access.app(&app).await?;
    access.control.commit_rollback(&view.id).await?;
    Ok(StatusCode::OK)
}

pub(super) async fn revert(access: Access, PathParams(app): PathParams<String>) -> JsonResult {
    let view = access.app(&app).await?;
    answer(&access.control.revert_rollback(&view.id, &access.caller).await?)
}

/// The deployment in the body, by id or number. The controller decides about one that is not on record.
async fn target(access: &Access, app: &AppId, content: &RequestBody) -> Result<DeploymentId, HttpError> {
    let Some(asked) = content.text("deployment_id")? else {
        return Err(HttpError::bad_request(format!(
            "the body has no field \"deployment_id\". Send the deployment to return to. See: {}",
            present::command::list_deployments(app.as_str())
        )));
    };
    match access.deployment(app, &asked).await {
        Ok(deployment) => Ok(deployment.id),
        Err(error) if error.status == StatusCode::NOT_FOUND => Ok(DeploymentId::new(asked)),
        Err(error) => Err(error),
    }
}
