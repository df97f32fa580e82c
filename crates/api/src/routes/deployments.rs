//! Deployments: restart, create, list, read, cancel. All answer at once; what follows is watched by polling.

use axum::Json;
use controller::view::DeployOptions;
use serde_json::json;

use super::Answer;
use super::apps::planned;
use crate::access::{Access, Named};
use crate::body::Content;
use crate::query::Params;
use crate::show;

pub(super) async fn restart(access: Access, Named(app): Named<String>, params: Params, content: Content) -> Answer {
    let view = access.app(&app).await?;
    let components = content.components()?;
    if params.flag("dry_run")? {
        return planned(access.control.preview_restart(&view.app.id, &components).await?);
    }
    let deployment = access.control.restart(&view.app.id, &components, &access.caller).await?;
    Ok(Json(json!({ "deployment": show::deployment(&deployment) })))
}

pub(super) async fn create(access: Access, Named(app): Named<String>, params: Params, content: Content) -> Answer {
    let view = access.app(&app).await?;
    let clear_cache = content.any(&["clear_cache"])?;
    // The official guide's prose calls it force_rebuild.
    let force_build = content.any(&["force_build", "force_rebuild"])? || clear_cache;
    let options = DeployOptions { force_build, clear_cache };
    if params.flag("dry_run")? {
        return planned(access.control.preview_deploy(&view.app.id, options).await?);
    }
    let deployment = access.control.deploy(&view.app.id, options, &access.caller).await?;
    Ok(Json(json!({ "deployment": show::deployment(&deployment) })))
}

pub(super) async fn list(access: Access, Named(app): Named<String>, params: Params) -> Answer {
    let query = params.page()?;
    let view = access.app(&app).await?;
    let page = access.control.deployments(&view.app.id, query).await?;
    let url = format!("{}/v2/apps/{}/deployments", access.base, view.app.id);
    let items = page.items.iter().map(show::deployment).collect();
    Ok(Json(show::paged("deployments", items, page.total, query, &url, "")))
}

pub(super) async fn one(access: Access, Named((app, deployment)): Named<(String, String)>) -> Answer {
    let view = access.app(&app).await?;
    let deployment = access.deployment(&view.app.id, &deployment).await?;
    Ok(Json(json!({ "deployment": show::deployment(&deployment) })))
}

pub(super) async fn cancel(access: Access, Named((app, deployment)): Named<(String, String)>) -> Answer {
    let view = access.app(&app).await?;
    let wanted = access.deployment(&view.app.id, &deployment).await?;
    let deployment = access.control.cancel(&view.app.id, &wanted.deployment.id).await?;
    Ok(Json(json!({ "deployment": show::deployment(&deployment) })))
}
