//! Apps: list, create, get, update, delete, propose.

use app_spec::{AppSpec, Parsed, SecretText};
use axum::Json;
use controller::ControlError;
use controller::view::{AppView, Preview, UpdateOptions};
use rollout::ids::AppId;
use serde_json::{Value, json};
use uuid::Uuid;
use web::{Access, HttpError, PathParams};

use super::{JsonResult, projects};
use crate::body::RequestBody;
use crate::query::QueryParams;
use crate::render::{self, PendingDeployment};

pub(super) async fn list(access: Access, params: QueryParams) -> JsonResult {
    let (installation, with_projects) = (access.control.installation_id(), params.flag("with_projects")?);
    let as_json = |view: &AppView| render::listed_app(view, installation, with_projects);
    let url = format!("{}/v2/apps", access.base);
    let query = params.page()?;
    if let Some(name) = params.get("name") {
        let found: Vec<_> = access.find_app(name).await?.iter().map(as_json).collect();
        let total = found.len() as u64;
        return Ok(Json(render::paged("apps", found, total, query, &url, "")));
    }
    let page = access.apps(query).await?;
    // doctl reads only `page` and `per_page` from a link and adds this parameter itself.
    let extra = if with_projects { "&with_projects=true" } else { "" };
    Ok(Json(render::paged("apps", page.items.iter().map(as_json).collect(), page.total, query, &url, extra)))
}

pub(super) async fn create(access: Access, params: QueryParams, content: RequestBody) -> JsonResult {
    let parsed = content.spec()?;
    if let Some(audit) = &access.caller.audit {
        audit.set_app_name(&parsed.spec.name);
    }
    projects::check(&access, content.text("project_id")?.as_deref())?;
    if params.is_dry_run(&access)? {
        return plan_response(access.control.preview_update(None, parsed.spec, UpdateOptions::default()).await?);
    }
    let view = access.control.create_app(parsed.spec.clone(), &access.caller).await?;
    Ok(Json(app_with_deployment(&access, &view, &parsed, true)))
}

pub(super) async fn get(access: Access, PathParams(app): PathParams<String>) -> JsonResult {
    let view = access.app(&app).await?;
    Ok(Json(json!({ "app": render::app(&view, access.control.installation_id(), PendingDeployment::Waiting) })))
}

pub(super) async fn update(
    access: Access,
    PathParams(app): PathParams<String>,
    params: QueryParams,
    content: RequestBody,
) -> JsonResult {
    let before = access.app(&app).await?;
    let parsed = content.spec()?;
    let options = UpdateOptions { update_sources: content.flag("update_all_source_versions")?, replaces: None };
    if params.is_dry_run(&access)? {
        return plan_response(access.control.preview_update(Some(&before.id), parsed.spec, options).await?);
    }
    let view = access.control.update_app(&before.id, parsed.spec.clone(), options, &access.caller).await?;
    let started = newest(&before) != newest(&view);
    Ok(Json(app_with_deployment(&access, &view, &parsed, started)))
}

fn newest(view: &AppView) -> Option<u64> {
    view.newest.as_ref().map(|it| it.number)
}

/// The app with its newest deployment as the pending one, which clients wait for, and whether this request started it.
fn app_with_deployment(access: &Access, view: &AppView, parsed: &Parsed, started: bool) -> Value {
    json!({
        "app": render::app(view, access.control.installation_id(), PendingDeployment::Newest),
        "boatyard": { "deployment_started": started, "warnings": parsed.warnings, "no_effect": parsed.no_effect() },
    })
}

pub(super) async fn delete(access: Access, PathParams(app): PathParams<String>) -> JsonResult {
    let view = access.app(&app).await?;
    access.control.delete_app(&view.id).await?;
    Ok(Json(json!({ "id": view.id })))
}

/// What a spec would do. Errors: those of creating the app or, with `app_id`, of updating it; but as in App Platform, a
/// name that is taken is not an error. A token that may not write does not learn whether a secret in the spec is the right
/// one: any counts as changed. With `?report_only=true`, neither are a feature that this version cannot run, which
/// is reported in place of a plan, and a missing value.
pub(super) async fn propose(access: Access, params: QueryParams, content: RequestBody) -> JsonResult {
    let parsed = content.spec()?;
    let only_app = only_app(&access, &parsed.spec.name).await?;
    let report_only = params.flag("report_only")?;
    let app = match content.text("app_id")? {
        Some(id) => Some(access.app(&id).await?),
        None => only_app,
    };
    let same_name = app_named(&access, &parsed.spec.name).await?;
    let own = app.as_ref().map(|it| &it.id);
    let mut spec = parsed.spec.clone();
    if !access.identity.may_write() {
        spec.replace_secrets(&SecretText::new(Uuid::new_v4().to_string()));
    }
    let available = same_name.is_none() || same_name.as_ref().map(|it| &it.id) == own;
    let plan = match (available, report_only) {
        (true, true) if parsed.not_yet().is_empty() => Some(access.control.propose(own, spec).await?),
        (_, true) => None,
        (true, false) => Some(preview(&access, own, spec).await?),
        (false, false) => {
            // The spec may belong to the app of this name, which then has the values that the spec omits.
            let app = app.as_ref().or(same_name.as_ref());
            preview(&access, app.map(|it| &it.id), spec).await.map(drop).or_else(taken_name)?;
            None
        }
    };
    let suggestion = match available {
        true => None,
        false => Some(free_name(&access, &parsed.spec.name).await?),
    };
    Ok(Json(render::proposal(&parsed, suggestion, plan.as_ref())))
}

async fn preview(access: &Access, app: Option<&AppId>, spec: AppSpec) -> Result<Preview, ControlError> {
    access.control.preview_update(app, spec, UpdateOptions::default()).await
}

/// The app of a token for one app. Such a token proposes updates of this app only: any other proposal, or a free name,
/// would show which other apps exist. Errors: the spec has the name of another app.
async fn only_app(access: &Access, name: &str) -> Result<Option<AppView>, HttpError> {
    let Some(only) = access.identity.only_app() else { return Ok(None) };
    if let Some(found) = access.find_app(name).await? {
        return Ok(Some(found));
    }
    let token = &access.caller.actor.name;
    Err(HttpError::forbidden(format!(
        "token {token:?} may only use app {}, and this is a spec of app {name:?}. To create a token for all apps, with the \
         admin token: boatyard tokens create NAME",
        only.name
    )))
}

/// The answer says that a name is taken.
fn taken_name(error: ControlError) -> Result<(), ControlError> {
    if matches!(error, ControlError::Conflict(_)) { Ok(()) } else { Err(error) }
}

async fn app_named(access: &Access, name: &str) -> Result<Option<AppView>, ControlError> {
    match access.control.find_app(name).await {
        Ok(view) => Ok(Some(view)),
        Err(ControlError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Longest name of an app.
const MAX_NAME: usize = 32;

/// A name like `name` that no app has: `shop-2`.
async fn free_name(access: &Access, name: &str) -> Result<String, ControlError> {
    let mut number = 2u64;
    loop {
        let suffix = format!("-{number}");
        // Names are ASCII.
        let stem = name.get(..MAX_NAME - suffix.len()).unwrap_or(name).trim_end_matches('-');
        let candidate = format!("{stem}{suffix}");
        if app_named(access, &candidate).await?.is_none() {
            return Ok(candidate);
        }
        number += 1;
    }
}

pub(super) async fn instances(access: Access, PathParams(app): PathParams<String>) -> JsonResult {
    let view = access.app(&app).await?;
    let all = access.control.instances(&view.id).await?;
    Ok(Json(json!({ "instances": render::instances(&all) })))
}

/// The answer to `?dry_run=true`.
pub(super) fn plan_response(plan: Preview) -> Result<Json<Value>, HttpError> {
    Ok(Json(json!({ "boatyard": { "plan": plan } })))
}
