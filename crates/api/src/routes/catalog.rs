//! Regions, tiers, sizes.

use axum::Json;
use serde_json::json;

use super::Answer;
use crate::access::{Access, Named};
use crate::error::ApiError;
use crate::show;

pub(super) async fn regions(_: Access) -> Answer {
    Ok(Json(show::regions()))
}

pub(super) async fn tiers(_: Access) -> Answer {
    Ok(Json(show::tiers()))
}

pub(super) async fn tier(_: Access, Named(slug): Named<String>) -> Answer {
    show::tier(&slug).map(Json).ok_or_else(|| ApiError::not_found(format!("no tier {slug:?}")))
}

pub(super) async fn instance_sizes(_: Access) -> Answer {
    Ok(Json(show::instance_sizes()))
}

pub(super) async fn instance_size(_: Access, Named(slug): Named<String>) -> Answer {
    let missing = || ApiError::not_found(format!("no instance size {slug:?}. See: /v2/apps/tiers/instance_sizes"));
    show::instance_size(&slug).map(Json).ok_or_else(missing)
}

/// None: images are built from Dockerfiles.
pub(super) async fn buildpacks(_: Access) -> Answer {
    Ok(Json(json!({ "buildpacks": [] })))
}
