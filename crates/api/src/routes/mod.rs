//! All paths with their handlers, in one table. The router is built from it, and tests iterate over it.

mod account;
mod alerts;
mod apps;
mod boatyard;
mod catalog;
mod deployments;
mod events;
mod job_invocations;
mod logs;
mod not_implemented;
mod projects;
mod rollback;

use axum::Json;
use axum::Router;
use axum::extract::Request;
use axum::routing::MethodRouter;
use axum::routing::{delete, get, post, put};
use serde_json::Value;

use crate::access::Access;
use crate::error::ApiError;
use crate::state::ApiState;

/// The result of a handler. Success is always 200 with JSON, because pydo accepts nothing else; only a commit of a
/// rollback has no body.
pub(crate) type JsonResult = Result<Json<Value>, ApiError>;

/// A path with one method.
pub(crate) struct Route {
    #[cfg_attr(not(test), expect(dead_code, reason = "only the tests read it; `handler` includes it"))]
    pub method: &'static str,
    pub path: &'static str,
    handler: MethodRouter<ApiState>,
}

fn route(method: &'static str, path: &'static str, handler: MethodRouter<ApiState>) -> Route {
    Route { method, path, handler }
}

/// The paths that need the token. Literal names under `/v2/apps/` take precedence over `{app}`.
pub(crate) fn table() -> Vec<Route> {
    let mut all = vec![
        route("GET", "/v2/apps", get(apps::list)),
        route("POST", "/v2/apps", post(apps::create)),
        route("POST", "/v2/apps/propose", post(apps::propose)),
        route("GET", "/v2/apps/{app}", get(apps::get)),
        route("PUT", "/v2/apps/{app}", put(apps::update)),
        route("DELETE", "/v2/apps/{app}", delete(apps::delete)),
        route("GET", "/v2/apps/{app}/instances", get(apps::instances)),
        route("GET", "/v2/apps/{app}/alerts", get(alerts::list)),
        route("POST", "/v2/apps/{app}/alerts/{alert}/destinations", post(alerts::set_destinations)),
        route("POST", "/v2/apps/{app}/restart", post(deployments::restart)),
        route("GET", "/v2/apps/{app}/deployments", get(deployments::list)),
        route("POST", "/v2/apps/{app}/deployments", post(deployments::create)),
        route("GET", "/v2/apps/{app}/deployments/{deployment}", get(deployments::get)),
        route("POST", "/v2/apps/{app}/deployments/{deployment}/cancel", post(deployments::cancel)),
        route("POST", "/v2/apps/{app}/rollback", post(rollback::create)),
        route("POST", "/v2/apps/{app}/rollback/validate", post(rollback::validate)),
        route("POST", "/v2/apps/{app}/rollback/commit", post(rollback::commit)),
        route("POST", "/v2/apps/{app}/rollback/revert", post(rollback::revert)),
        route("GET", "/v2/apps/{app}/logs", get(logs::of_app)),
        route("GET", "/v2/apps/{app}/components/{component}/logs", get(logs::of_component)),
        route("GET", "/v2/apps/{app}/deployments/{deployment}/logs", get(logs::of_deployment)),
        route(
            "GET",
            "/v2/apps/{app}/deployments/{deployment}/components/{component}/logs",
            get(logs::of_component_in_deployment),
        ),
        route("GET", "/v2/apps/{app}/events", get(events::list)),
        route("GET", "/v2/apps/{app}/events/{event}", get(events::get)),
        route("GET", "/v2/apps/{app}/events/{event}/logs", get(events::logs)),
        route("POST", "/v2/apps/{app}/events/{event}/cancel", post(events::cancel)),
        route("GET", "/v2/apps/{app}/job-invocations", get(job_invocations::list)),
        route("GET", "/v2/apps/{app}/job-invocations/{invocation}", get(job_invocations::get)),
        route("GET", "/v2/apps/regions", get(catalog::regions)),
        route("GET", "/v2/apps/buildpacks", get(catalog::buildpacks)),
        route("GET", "/v2/apps/tiers", get(catalog::tiers)),
        route("GET", "/v2/apps/tiers/{tier}", get(catalog::tier)),
        route("GET", "/v2/apps/tiers/instance_sizes", get(catalog::instance_sizes)),
        route("GET", "/v2/apps/tiers/instance_sizes/{size}", get(catalog::instance_size)),
        route("GET", "/v2/projects", get(projects::list)),
        route("GET", "/v2/projects/{project}", get(projects::get)),
        route("GET", "/v2/projects/{project}/resources", get(projects::resources)),
        route("GET", "/v2/account", get(account::account)),
        route("GET", "/v1/oauth/token/info", get(account::token_info)),
        route("GET", "/v2/boatyard/apps/{app}/status", get(boatyard::status)),
        route("POST", "/v2/boatyard/down", post(boatyard::down)),
        route("GET", "/v2/boatyard/unknown", get(boatyard::unknown)),
        route("DELETE", "/v2/boatyard/unknown/{app}", delete(boatyard::delete_unknown)),
    ];
    all.extend(not_implemented::table());
    all
}

/// The router for the table and for log streams, which need a ticket instead of the token.
pub(crate) fn router() -> Router<ApiState> {
    let router = table().into_iter().fold(Router::new(), |router, route| router.route(route.path, route.handler));
    router
        .route(logs::STREAM, get(crate::stream::open))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
}

async fn unknown_path(_: Access, request: Request) -> ApiError {
    ApiError::not_found(format!("no such path: {}", request.uri().path()))
}

async fn unknown_method(_: Access, request: Request) -> ApiError {
    ApiError::method_not_allowed(format!("{} is not allowed for {}", request.method(), request.uri().path()))
}
