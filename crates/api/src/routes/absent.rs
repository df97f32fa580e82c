//! What App Platform has and this version has not: said plainly, with the one 5xx that clients do not repeat.

use axum::extract::Request;
use axum::routing::{get, post};

use super::{Route, route};
use crate::access::Access;
use crate::error::ApiError;

pub(super) fn table() -> Vec<Route> {
    let reading = [
        "/v2/apps/{app}/components/{component}/exec",
        "/v2/apps/{app}/deployments/{deployment}/components/{component}/exec",
        "/v2/apps/{app}/health",
        "/v2/apps/{app}/job-invocations",
        "/v2/apps/{app}/job-invocations/{invocation}",
        "/v2/apps/{app}/jobs/{job}/invocations/{invocation}/logs",
        "/v2/apps/{app}/events",
        "/v2/apps/{app}/events/{event}",
        "/v2/apps/{app}/events/{event}/logs",
        "/v2/apps/{app}/metrics/bandwidth_daily",
        "/v2/apps/{app}/database_connection_details",
    ];
    let writing = [
        "/v2/apps/detect",
        "/v2/apps/metrics/bandwidth_daily",
        "/v2/apps/{app}/alerts/{alert}/destinations",
        "/v2/apps/{app}/rollback",
        "/v2/apps/{app}/rollback/validate",
        "/v2/apps/{app}/rollback/commit",
        "/v2/apps/{app}/rollback/revert",
        "/v2/apps/{app}/upgrade_buildpack",
        "/v2/apps/{app}/job-invocations/{invocation}/cancel",
        "/v2/apps/{app}/events/{event}/cancel",
        "/v2/apps/{app}/components/{component}/reset_password",
        "/v2/apps/{app}/components/{component}/trusted_sources",
    ];
    let reading = reading.map(|path| route("GET", path, get(not_yet)));
    let writing = writing.map(|path| route("POST", path, post(not_yet)));
    reading.into_iter().chain(writing).collect()
}

async fn not_yet(_: Access, request: Request) -> ApiError {
    let (method, path) = (request.method(), request.uri().path());
    ApiError::not_implemented(format!(
        "{method} {path} is part of App Platform's API and not of this version of Boatyard"
    ))
}
