//! Paths of App Platform that this version does not implement. They answer 501, after which no client retries.

use axum::extract::Request;
use axum::routing::post;
use web::{Access, HttpError, Needs};

use super::{Route, route};

pub(super) fn table() -> Vec<Route> {
    let paths = [
        ("/v2/apps/{app}/components/{component}/reset_password", Needs::Write("reset database password")),
        ("/v2/apps/{app}/components/{component}/trusted_sources", Needs::Write("update trusted sources")),
    ];
    paths.map(|(path, needs)| route("POST", path, needs, post(not_implemented))).into()
}

async fn not_implemented(_: Access, request: Request) -> HttpError {
    let (method, path) = (request.method(), request.uri().path());
    HttpError::not_implemented(format!(
        "this version of Boatyard does not implement {method} {path} of App Platform's API"
    ))
}
