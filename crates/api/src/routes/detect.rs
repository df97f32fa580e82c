//! What components are built with: a Dockerfile of the repository, or one for the detected language.

use axum::Json;
use controller::view::{SourceHeadView, SourceLocation};
use serde_json::json;
use web::{Access, HttpError, PathParams};

use super::JsonResult;
use crate::body::RequestBody;
use crate::render;

/// App Platform's detection of a repository. A repository in which nothing is detected has no components.
pub(super) async fn of_repository(access: Access, content: RequestBody) -> JsonResult {
    access.dismiss_audit();
    if content.text("commit_sha")?.is_some() {
        let message = "this version of Boatyard detects only the newest commit of a branch: leave out \"commit_sha\"";
        return Err(HttpError::bad_request(message));
    }
    let heads = access.control.source_heads_of(&content.source()?.spec).await;
    reachable(&heads)?;
    Ok(Json(render::detected(&heads)))
}

/// What each component of an app would be built with at its newest commit.
pub(super) async fn of_app(access: Access, PathParams(app): PathParams<String>) -> JsonResult {
    access.dismiss_audit();
    let view = access.app(&app).await?;
    let heads = access.control.source_heads(&view.id).await?;
    reachable(&heads)?;
    let plans: Vec<_> = heads.iter().flat_map(|it| &it.builds).map(web::view::build_plan).collect();
    let problems: Vec<_> = heads.iter().flat_map(|it| &it.problems).collect();
    Ok(Json(json!({ "build_plans": plans, "problems": problems })))
}

/// Errors: a repository could not be fetched.
fn reachable(heads: &[SourceHeadView]) -> Result<(), HttpError> {
    let mut failed = heads.iter().filter_map(|it| match &it.location {
        SourceLocation::Repository { newest: Err(why), .. } => Some(why),
        SourceLocation::Repository { newest: Ok(_), .. } | SourceLocation::Image { .. } => None,
    });
    failed.next().map_or(Ok(()), |why| Err(HttpError::bad_request(why.clone())))
}
