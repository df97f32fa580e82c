//! All paths with their handlers, in one table. The router is built from it, and tests iterate over it.

mod account;
mod alerts;
mod apps;
mod audit;
mod boatyard;
mod catalog;
mod certificates;
mod console;
mod databases;
mod deployments;
mod detect;
mod events;
mod job_invocations;
mod logs;
mod metrics;
mod not_implemented;
mod projects;
mod registries;
mod rollback;
mod sources;
mod tokens;
mod webhooks;

use axum::Json;
use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::MethodRouter;
use axum::routing::{delete, get, post, put};
use serde_json::Value;
use web::access::trust;
use web::{Authenticate, Bearer, Gate, HttpError, Needs};

use crate::state::ApiState;
use tower::ServiceExt;

/// The result of a handler. Success is always 200 with JSON, because pydo accepts nothing else; only a commit of a
/// rollback has no body.
pub(crate) type JsonResult = Result<Json<Value>, HttpError>;

/// A path with one method.
pub(crate) struct Route {
    #[cfg_attr(not(test), expect(dead_code, reason = "only the tests read it; `handler` includes it"))]
    pub method: &'static str,
    pub path: &'static str,
    pub needs: Needs,
    handler: MethodRouter<ApiState>,
}

fn route(method: &'static str, path: &'static str, needs: Needs, handler: MethodRouter<ApiState>) -> Route {
    Route { method, path, needs, handler }
}

/// The path that clients poll while they wait for a deployment.
pub(crate) const DEPLOYMENT: &str = "/v2/apps/{app}/deployments/{deployment}";

/// The path that Prometheus reads.
pub(crate) const METRICS: &str = "/metrics";

/// The path that creates links to sign in to the panel. Every token may use it, for itself.
pub(crate) const PANEL_LINKS: &str = "/v2/boatyard/panel-links";

/// The paths that need a token, and what each needs. Literal names under `/v2/apps/` take precedence over `{app}`.
pub(crate) fn table() -> Vec<Route> {
    let mut all = vec![
        route("GET", "/v2/apps", Needs::ReadLimited, get(apps::list)),
        route("POST", "/v2/apps", Needs::Write("create"), post(apps::create)),
        route("POST", "/v2/apps/propose", Needs::ReadLimited, post(apps::propose)),
        // Detection changes nothing, but fetches repositories.
        route("POST", "/v2/apps/detect", Needs::Write("detect"), post(detect::of_repository)),
        route("GET", "/v2/apps/{app}", Needs::Read, get(apps::get)),
        route("PUT", "/v2/apps/{app}", Needs::Write("update"), put(apps::update)),
        route("DELETE", "/v2/apps/{app}", Needs::Write("delete"), delete(apps::delete)),
        route("GET", "/v2/apps/{app}/instances", Needs::Read, get(apps::instances)),
        route("GET", "/v2/apps/{app}/alerts", Needs::Read, get(alerts::list)),
        route(
            "POST",
            "/v2/apps/{app}/alerts/{alert}/destinations",
            Needs::Write("set alert destinations"),
            post(alerts::set_destinations),
        ),
        route("POST", "/v2/apps/{app}/restart", Needs::Write("restart"), post(deployments::restart)),
        route("GET", "/v2/apps/{app}/deployments", Needs::Read, get(deployments::list)),
        route("POST", "/v2/apps/{app}/deployments", Needs::Write("deploy"), post(deployments::create)),
        route("GET", DEPLOYMENT, Needs::Read, get(deployments::get)),
        route(
            "POST",
            "/v2/apps/{app}/deployments/{deployment}/cancel",
            Needs::Write("cancel deployment"),
            post(deployments::cancel),
        ),
        route("POST", "/v2/apps/{app}/rollback", Needs::Write("rollback"), post(rollback::create)),
        route("POST", "/v2/apps/{app}/rollback/validate", Needs::Read, post(rollback::validate)),
        route("POST", "/v2/apps/{app}/rollback/commit", Needs::Write("commit rollback"), post(rollback::commit)),
        route("POST", "/v2/apps/{app}/rollback/revert", Needs::Write("revert rollback"), post(rollback::revert)),
        route("GET", "/v2/apps/{app}/logs", Needs::Read, get(logs::of_app)),
        route("GET", "/v2/apps/{app}/components/{component}/logs", Needs::Read, get(logs::of_component)),
        route("GET", "/v2/apps/{app}/deployments/{deployment}/logs", Needs::Read, get(logs::of_deployment)),
        route(
            "GET",
            "/v2/apps/{app}/deployments/{deployment}/components/{component}/logs",
            Needs::Read,
            get(logs::of_component_in_deployment),
        ),
        route("GET", "/v2/apps/{app}/components/{component}/exec", Needs::Console, get(console::of_app)),
        route(
            "GET",
            "/v2/apps/{app}/deployments/{deployment}/components/{component}/exec",
            Needs::Console,
            get(console::of_deployment),
        ),
        route("GET", "/v2/apps/{app}/events", Needs::Read, get(events::list)),
        route("GET", "/v2/apps/{app}/events/{event}", Needs::Read, get(events::get)),
        route("GET", "/v2/apps/{app}/events/{event}/logs", Needs::Read, get(events::logs)),
        route("POST", "/v2/apps/{app}/events/{event}/cancel", Needs::Write("cancel event"), post(events::cancel)),
        route("GET", "/v2/apps/{app}/job-invocations", Needs::Read, get(job_invocations::list)),
        route("GET", "/v2/apps/{app}/job-invocations/{invocation}", Needs::Read, get(job_invocations::get)),
        route(
            "POST",
            "/v2/apps/{app}/job-invocations/{invocation}/cancel",
            Needs::Write("cancel job"),
            post(job_invocations::cancel),
        ),
        route(
            "GET",
            "/v2/apps/{app}/jobs/{job}/invocations/{invocation}/logs",
            Needs::Read,
            get(job_invocations::logs),
        ),
        route("GET", "/v2/apps/{app}/health", Needs::Read, get(metrics::health)),
        route("GET", "/v2/apps/{app}/metrics/bandwidth_daily", Needs::Read, get(metrics::bandwidth)),
        route("POST", "/v2/apps/metrics/bandwidth_daily", Needs::ReadLimited, post(metrics::bandwidth_of_apps)),
        route("GET", "/v2/apps/{app}/database_connection_details", Needs::Password, get(databases::connection_details)),
        route(
            "POST",
            "/v2/apps/{app}/upgrade_buildpack",
            Needs::Write("upgrade buildpack"),
            post(catalog::upgrade_buildpack),
        ),
        route("GET", "/v2/apps/regions", Needs::Nothing, get(catalog::regions)),
        route("GET", "/v2/apps/buildpacks", Needs::Nothing, get(catalog::buildpacks)),
        route("GET", "/v2/apps/tiers", Needs::Nothing, get(catalog::tiers)),
        route("GET", "/v2/apps/tiers/{tier}", Needs::Nothing, get(catalog::tier)),
        route("GET", "/v2/apps/tiers/instance_sizes", Needs::Nothing, get(catalog::instance_sizes)),
        route("GET", "/v2/apps/tiers/instance_sizes/{size}", Needs::Nothing, get(catalog::instance_size)),
        route("GET", "/v2/projects", Needs::Nothing, get(projects::list)),
        route("GET", "/v2/projects/{project}", Needs::Nothing, get(projects::get)),
        route("GET", "/v2/projects/{project}/resources", Needs::ReadLimited, get(projects::resources)),
        route("GET", METRICS, Needs::Read, get(metrics::prometheus)),
        route("GET", "/v2/account", Needs::Nothing, get(account::account)),
        route("GET", "/v1/oauth/token/info", Needs::Nothing, get(account::token_info)),
        route("GET", "/v2/boatyard/apps/{app}/status", Needs::Read, get(boatyard::status)),
        route("POST", "/v2/boatyard/apps/{app}/detect", Needs::Write("detect"), post(detect::of_app)),
        route("GET", "/v2/boatyard/apps/{app}/deployments/{deployment}/timeline", Needs::Read, get(boatyard::timeline)),
        route(
            "PUT",
            "/v2/boatyard/build-secrets/{app}",
            Needs::AdminWrite("set build secrets"),
            put(boatyard::set_build_secrets),
        ),
        route("POST", "/v2/boatyard/down", Needs::AdminWrite("down"), post(boatyard::down)),
        route("GET", "/v2/boatyard/unknown", Needs::AdminRead, get(boatyard::unknown)),
        route(
            "DELETE",
            "/v2/boatyard/unknown/{app}",
            Needs::AdminWrite("delete unknown"),
            delete(boatyard::delete_unknown),
        ),
        route("GET", "/v2/boatyard/certificates", Needs::AdminRead, get(certificates::list)),
        route("POST", "/v2/boatyard/certificates", Needs::AdminWrite("add certificate"), post(certificates::add)),
        route(
            "DELETE",
            "/v2/boatyard/certificates/{name}",
            Needs::AdminWrite("remove certificate"),
            delete(certificates::remove),
        ),
        route("GET", "/v2/boatyard/registries", Needs::AdminRead, get(registries::list)),
        route("POST", "/v2/boatyard/registries", Needs::AdminWrite("add registry login"), post(registries::add)),
        route(
            "DELETE",
            "/v2/boatyard/registries/{host}",
            Needs::AdminWrite("remove registry login"),
            delete(registries::remove),
        ),
        route("GET", "/v2/boatyard/tokens", Needs::AdminRead, get(tokens::list)),
        route("POST", "/v2/boatyard/tokens", Needs::AdminWrite("create token"), post(tokens::create)),
        route("DELETE", "/v2/boatyard/tokens/{token}", Needs::AdminWrite("revoke token"), delete(tokens::revoke)),
        route("GET", "/v2/boatyard/sources", Needs::AdminRead, get(sources::list)),
        route("POST", "/v2/boatyard/sources", Needs::AdminWrite("add source login"), post(sources::add)),
        route(
            "DELETE",
            "/v2/boatyard/sources/{host}",
            Needs::AdminWrite("remove source login"),
            delete(sources::remove),
        ),
        // Connects to the host.
        route("POST", "/v2/boatyard/sources/host-key", Needs::AdminWrite("look up host key"), post(sources::host_key)),
        route("GET", "/v2/boatyard/webhooks", Needs::AdminRead, get(webhooks::list)),
        route("POST", "/v2/boatyard/webhooks", Needs::AdminWrite("add webhook"), post(webhooks::create)),
        route(
            "DELETE",
            "/v2/boatyard/webhooks/{webhook}",
            Needs::AdminWrite("remove webhook"),
            delete(webhooks::delete),
        ),
        route("GET", "/v2/boatyard/audit", Needs::AdminRead, get(audit::list)),
        route("POST", PANEL_LINKS, Needs::Own("create sign-in link"), post(boatyard::create_panel_link)),
    ];
    all.extend(not_implemented::table());
    all
}

/// The router for the table, with the gate in front of each handler, and for log streams and consoles, which need a ticket
/// instead of a token. `pages` answers all paths outside of `/v1` and `/v2`.
pub(crate) fn router(state: &ApiState, pages: Option<Router>) -> Router<ApiState> {
    let bearer = Bearer::new(state.control.clone());
    let gated = |route: Route| {
        let gate = Gate { control: state.control.clone(), authenticate: bearer.clone(), needs: route.needs };
        gate.in_front_of(route.handler)
    };
    let router = table().into_iter().fold(Router::new(), |router, route| router.route(route.path, gated(route)));
    let for_method = bearer.clone();
    router
        .route(logs::STREAM, get(crate::stream::open))
        .route(console::SOCKET, get(crate::console::open))
        .fallback(async move |request: Request| match pages {
            Some(pages) if !is_of_api(request.uri().path()) => {
                pages.oneshot(request).await.unwrap_or_else(|never| match never {})
            }
            _ => unknown_path(&bearer, request).into_response(),
        })
        .method_not_allowed_fallback(async move |request: Request| unknown_method(&for_method, request))
}

fn is_of_api(path: &str) -> bool {
    path.split('/').nth(1).is_some_and(|it| it == "v1" || it == "v2")
}

fn unknown_path(bearer: &Bearer, request: Request) -> HttpError {
    let error = HttpError::not_found(format!("no such path: {}", request.uri().path()));
    with_token(bearer, request).err().unwrap_or(error)
}

fn unknown_method(bearer: &Bearer, request: Request) -> HttpError {
    let error =
        HttpError::method_not_allowed(format!("{} is not allowed for {}", request.method(), request.uri().path()));
    with_token(bearer, request).err().unwrap_or(error)
}

/// Errors: the request has no valid token.
fn with_token(bearer: &Bearer, request: Request) -> Result<(), HttpError> {
    let (mut parts, _) = request.into_parts();
    bearer.authenticate(&mut parts)?;
    trust(&parts);
    Ok(())
}
