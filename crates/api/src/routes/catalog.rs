//! Regions, tiers and sizes.

use axum::Json;
use serde_json::json;
use web::{Access, HttpError, PathParams};

use super::JsonResult;
use crate::body::RequestBody;
use crate::render;

pub(super) async fn regions(_: Access) -> JsonResult {
    Ok(Json(render::regions()))
}

pub(super) async fn tiers(_: Access) -> JsonResult {
    Ok(Json(render::tiers()))
}

pub(super) async fn tier(_: Access, PathParams(slug): PathParams<String>) -> JsonResult {
    render::tier(&slug).map(Json).ok_or_else(|| HttpError::not_found(format!("no tier {slug:?}. See: /v2/apps/tiers")))
}

pub(super) async fn instance_sizes(_: Access) -> JsonResult {
    Ok(Json(render::instance_sizes()))
}

pub(super) async fn instance_size(_: Access, PathParams(slug): PathParams<String>) -> JsonResult {
    let missing = || HttpError::not_found(format!("no instance size {slug:?}. See: /v2/apps/tiers/instance_sizes"));
    render::instance_size(&slug).map(Json).ok_or_else(missing)
}

/// Upgrades nothing and starts no deployment, because no component is built by a buildpack.
pub(super) async fn upgrade_buildpack(
    access: Access,
    PathParams(app): PathParams<String>,
    content: RequestBody,
) -> JsonResult {
    access.app(&app).await?;
    match content.text("buildpack_id")? {
        Some(_) => Ok(Json(json!({ "affected_components": [] }))),
        None => Err(HttpError::bad_request("the body has no field \"buildpack_id\"")),
    }
}

/// An empty list, because images are built from Dockerfiles, written by people or generated.
pub(super) async fn buildpacks(_: Access) -> JsonResult {
    Ok(Json(json!({ "buildpacks": [] })))
}
