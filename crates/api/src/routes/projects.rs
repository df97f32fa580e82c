//! Projects. An installation has exactly one, and every app belongs to it.

use axum::Json;
use serde_json::json;
use uuid::Uuid;
use web::{Access, HttpError, PathParams};

use super::JsonResult;
use crate::query::QueryParams;
use crate::render;

pub(super) async fn list(access: Access, params: QueryParams) -> JsonResult {
    let query = params.page()?;
    let all = if query.page == 1 { vec![render::project(access.control.installation_id())] } else { Vec::new() };
    Ok(Json(render::paged("projects", all, 1, query, &format!("{}/v2/projects", access.base), "")))
}

/// The project by its id, or as `default`.
pub(super) async fn get(access: Access, PathParams(project): PathParams<String>) -> JsonResult {
    check_path(&access, &project)?;
    Ok(Json(json!({ "project": render::project(access.control.installation_id()) })))
}

/// The apps of the project that the token may use.
pub(super) async fn resources(
    access: Access,
    PathParams(project): PathParams<String>,
    params: QueryParams,
) -> JsonResult {
    check_path(&access, &project)?;
    let query = params.page()?;
    let page = access.apps(query).await?;
    let items = page.items.iter().map(|it| render::resource(it, &access.base)).collect();
    let url = format!("{}/v2/projects/{project}/resources", access.base);
    Ok(Json(render::paged("resources", items, page.total, query, &url, "")))
}

/// Checks the `project_id` of a request. Errors: it is no UUID, or no project has it.
pub(super) fn check(access: &Access, project: Option<&str>) -> Result<(), HttpError> {
    let Some(given) = project else { return Ok(()) };
    if Uuid::parse_str(given).is_err() {
        return Err(HttpError::bad_request(format!("project_id must be a UUID, not {given:?}")));
    }
    let only = render::project_id(access.control.installation_id());
    match given == only {
        true => Ok(()),
        false => Err(HttpError::not_found(format!(
            "there is no project {given}. All apps on this host belong to one project: {only}"
        ))),
    }
}

fn check_path(access: &Access, project: &str) -> Result<(), HttpError> {
    if project == "default" { Ok(()) } else { check(access, Some(project)) }
}
