//! Apps: list, create, read, replace, delete, propose.

use app_spec::Parsed;
use axum::Json;
use controller::ControlError;
use controller::view::{AppView, Preview};
use serde_json::{Value, json};

use super::Answer;
use crate::access::{Access, Named};
use crate::body::Content;
use crate::error::ApiError;
use crate::query::Params;
use crate::show::{self, Pending};

pub(super) async fn list(access: Access, params: Params) -> Answer {
    let owner = access.control.installation_id();
    let shown = |view: &AppView| show::app(view, &owner, Pending::Waiting);
    let url = format!("{}/v2/apps", access.base);
    let query = params.page()?;
    if let Some(name) = params.get("name") {
        let found = match access.control.find_app(name).await {
            Ok(view) => vec![shown(&view)],
            Err(ControlError::NotFound(_)) => vec![],
            Err(error) => return Err(error.into()),
        };
        let total = found.len() as u64;
        return Ok(Json(show::paged("apps", found, total, query, &url, "")));
    }
    let page = access.control.apps(query).await?;
    // doctl keeps only `page` and `per_page` of a link and adds this one itself.
    let extra = if params.flag("with_projects")? { "&with_projects=true" } else { "" };
    Ok(Json(show::paged("apps", page.items.iter().map(shown).collect(), page.total, query, &url, extra)))
}

pub(super) async fn create(access: Access, params: Params, content: Content) -> Answer {
    let parsed = content.spec()?;
    if params.flag("dry_run")? {
        return planned(access.control.preview_update(None, parsed.spec).await?);
    }
    let view = access.control.create_app(parsed.spec.clone(), &access.caller).await?;
    Ok(Json(put_answer(&access, &view, &parsed, true)))
}

pub(super) async fn one(access: Access, Named(app): Named<String>) -> Answer {
    let view = access.app(&app).await?;
    Ok(Json(json!({ "app": show::app(&view, &access.control.installation_id(), Pending::Waiting) })))
}

pub(super) async fn update(access: Access, Named(app): Named<String>, params: Params, content: Content) -> Answer {
    let before = access.app(&app).await?;
    let parsed = content.spec()?;
    if params.flag("dry_run")? {
        return planned(access.control.preview_update(Some(&before.app.id), parsed.spec).await?);
    }
    let view = access.control.update_app(&before.app.id, parsed.spec.clone(), &access.caller).await?;
    let started = newest(&before) != newest(&view);
    Ok(Json(put_answer(&access, &view, &parsed, started)))
}

fn newest(view: &AppView) -> Option<u64> {
    view.newest.as_ref().map(|it| it.number)
}

/// The app with the deployment to wait for, in which there always is one; and whether it is a new one.
fn put_answer(access: &Access, view: &AppView, parsed: &Parsed, started: bool) -> Value {
    json!({
        "app": show::app(view, &access.control.installation_id(), Pending::Caused),
        "boatyard": { "deployment_started": started, "warnings": parsed.warnings, "no_effect": parsed.no_effect() },
    })
}

pub(super) async fn remove(access: Access, Named(app): Named<String>) -> Answer {
    let view = access.app(&app).await?;
    access.control.delete_app(&view.app.id).await?;
    Ok(Json(json!({ "id": view.app.id })))
}

/// What would become of a spec. A taken name is no error here, in App Platform as well, and neither is what this version
/// cannot run yet: it is told, and there is no plan. Nor is a value that is still to be given.
pub(super) async fn propose(access: Access, content: Content) -> Answer {
    let parsed = content.spec()?;
    let app = match content.text("app_id")? {
        Some(id) => Some(access.app(&id).await?),
        None => None,
    };
    let same_name = match access.control.find_app(&parsed.spec.name).await {
        Ok(view) => Some(view.app.id),
        Err(ControlError::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let own = app.as_ref().map(|it| &it.app.id);
    let available = same_name.is_none() || same_name.as_ref() == own;
    let plan = match available && parsed.not_yet().is_empty() {
        true => Some(access.control.propose(own, parsed.spec.clone()).await?),
        false => None,
    };
    Ok(Json(show::proposal(&parsed, available, plan.as_ref())))
}

pub(super) async fn instances(access: Access, Named(app): Named<String>) -> Answer {
    let view = access.app(&app).await?;
    let all = access.control.instances(&view.app.id).await?;
    Ok(Json(json!({ "instances": show::instances(&all) })))
}

/// None are kept in this version; Terraform asks.
pub(super) async fn alerts(access: Access, Named(app): Named<String>) -> Answer {
    access.app(&app).await?;
    Ok(Json(json!({ "alerts": [] })))
}

/// The answer to `?dry_run=true`: nothing was changed.
pub(super) fn planned(plan: Preview) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({ "boatyard": { "plan": plan } })))
}
