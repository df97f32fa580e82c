//! Paths of App Platform that this version does not implement. They answer 501, after which no client retries.

use axum::extract::Request;
use axum::routing::{get, post};

use super::{Route, route};
use crate::access::Access;
use crate::error::ApiError;

pub(super) fn table() -> Vec<Route> {
    let get_paths = [
        "/v2/apps/{app}/components/{component}/exec",
        "/v2/apps/{app}/deployments/{deployment}/components/{component}/exec",
        "/v2/apps/{app}/health",
        "/v2/apps/{app}/jobs/{job}/invocations/{invocation}/logs",
        "/v2/apps/{app}/metrics/bandwidth_daily",
        "/v2/apps/{app}/database_connection_details",
    ];
    let post_paths = [
        "/v2/apps/detect",
        "/v2/apps/metrics/bandwidth_daily",
        "/v2/apps/{app}/upgrade_buildpack",
        "/v2/apps/{app}/job-invocations/{invocation}/cancel",
        "/v2/apps/{app}/components/{component}/reset_password",
        "/v2/apps/{app}/components/{component}/trusted_sources",
    ];
    let get_routes = get_paths.map(|path| route("GET", path, get(not_implemented)));
    let post_routes = post_paths.map(|path| route("POST", path, post(not_implemented)));
    get_routes.into_iter().chain(post_routes).collect()
}

async fn not_implemented(_: Access, request: Request) -> ApiError {
    let (method, path) = (request.method(), request.uri().path());
    ApiError::not_implemented(format!(
        "this version of Boatyard does not implement {method} {path} of App Platform's API"
    ))
}
