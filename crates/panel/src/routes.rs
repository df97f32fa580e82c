//! All paths with their handlers, in one table. The router is built from it, and tests iterate over it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::MethodRouter;
use controller::Control;
use web::{Gate, HttpError, Needs, Stop};

use crate::console::Consoles;
use crate::error_page::error_pages;
use crate::limit::Limit;
use crate::live::LivePages;
use crate::security_headers::security_headers;
use crate::session::{MAX_FORM, SessionCookie, guard};
use crate::{actions, app, apps, assets, console, deployment, logs, new_app, session};

/// What all handlers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PanelState {
    /// Ends live pages and consoles when the server stops.
    pub stop: Stop,
    pub consoles: Arc<Consoles>,
    pub log_streams: Arc<Limit>,
    /// Answers with the events of live pages.
    pub live: LivePages,
}

/// A path with its methods.
pub(crate) struct Route {
    pub path: &'static str,
    pub needs: Needs,
    handler: MethodRouter<PanelState>,
}

/// A row of the table. A path that a person may read and change has two rows, one for each method.
pub(crate) fn route(path: &'static str, needs: Needs, handler: MethodRouter<PanelState>) -> Route {
    Route { path, needs, handler }
}

/// The paths that need a session, and what each needs.
pub(crate) fn table() -> Vec<Route> {
    let pages = [
        session::routes(),
        apps::routes(),
        app::routes(),
        new_app::routes(),
        deployment::routes(),
        actions::routes(),
        logs::routes(),
        console::routes(),
    ];
    pages.into_iter().flatten().collect()
}

/// The control panel. `stop` ends its live pages and consoles.
pub fn router(control: Arc<dyn Control>, stop: Stop) -> Router {
    let live = LivePages::new(control.clone(), stop.clone());
    let (consoles, log_streams) = (Consoles::new(stop.clone()), logs::limit());
    let state = PanelState { live, stop, consoles, log_streams };
    let gated = |route: Route| {
        let gate = Gate { control: control.clone(), authenticate: SessionCookie, needs: route.needs };
        gate.in_front_of(route.handler)
    };
    table()
        .into_iter()
        .fold(Router::new(), |router, route| router.route(route.path, gated(route)))
        .merge(session::router(control.clone()))
        .merge(assets::router())
        .fallback(async |request: Request| HttpError::not_found(format!("There is no page {}", request.uri().path())))
        .method_not_allowed_fallback(async |request: Request| {
            let (method, path) = (request.method(), request.uri().path());
            HttpError::method_not_allowed(format!("{path} does not accept {method}"))
        })
        .layer(from_fn_with_state(control, guard))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(from_fn(error_pages))
        .layer(from_fn(security_headers))
        .with_state(state)
}
