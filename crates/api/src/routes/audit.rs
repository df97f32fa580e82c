//! The audit trail.

use axum::Json;
use web::Access;

use super::JsonResult;
use crate::query::QueryParams;
use crate::render;

/// A page of the audit trail, newest first. `app`: only rows of the apps with this id or name.
pub(super) async fn list(access: Access, params: QueryParams) -> JsonResult {
    let query = params.page()?;
    let page = access.control.audit(params.get("app"), query).await?;
    let items = page.items.iter().map(render::audit_entry).collect();
    let url = format!("{}/v2/boatyard/audit", access.base);
    Ok(Json(render::paged("audit", items, page.total, query, &url, &params.for_links(&["app"]))))
}
