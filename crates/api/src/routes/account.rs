//! Who the token belongs to: asked by `doctl auth init` and `doctl account get`.

use axum::Json;

use super::Answer;
use crate::access::Access;
use crate::show;

pub(super) async fn account(access: Access) -> Answer {
    Ok(Json(show::account(&access.control.installation_id())))
}

pub(super) async fn token_info(access: Access) -> Answer {
    Ok(Json(show::token_info(&access.control.installation_id())))
}
