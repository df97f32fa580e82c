//! The account of the token, for `doctl auth init` and `doctl account get`.

use axum::Json;
use web::Access;

use super::JsonResult;
use crate::render;

pub(super) async fn account(access: Access) -> JsonResult {
    Ok(Json(render::account(access.control.installation_id(), &access.caller.actor.name)))
}

pub(super) async fn token_info(access: Access) -> JsonResult {
    Ok(Json(render::token_info(access.control.installation_id(), access.identity.token())))
}
