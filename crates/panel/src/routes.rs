//! All paths with their handlers, in one table. The router is built from it, and tests iterate over it.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn;
use axum::routing::MethodRouter;
use controller::Control;
use web::{Gate, HttpError, Needs, Stop};

use crate::console::Consoles;
use crate::error_page::error_pages;
use crate::limit::Limit;
use crate::session::SessionCookie;
use crate::{apps, assets, console, logs, session};

/// What all handlers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PanelState {
    pub control: Arc<dyn Control>,
    /// Ends live pages and consoles when the server stops.
    pub stop: Stop,
    pub consoles: Arc<Consoles>,
    pub log_streams: Arc<Limit>,
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
    [apps::routes(), logs::routes(), console::routes()].into_iter().flatten().collect()
}

/// The control panel. `stop` ends its live pages and consoles.
pub fn router(control: Arc<dyn Control>, stop: Stop) -> Router {
    let (consoles, log_streams) = (Consoles::new(stop.clone()), logs::limit());
    let state = PanelState { control: control.clone(), stop, consoles, log_streams };
    let gated = |route: Route| {
        let authenticate = SessionCookie::new(control.clone());
        let gate = Gate { control: control.clone(), authenticate, needs: route.needs };
        gate.in_front_of(route.handler)
    };
    table()
        .into_iter()
        .fold(Router::new(), |router, route| router.route(route.path, gated(route)))
        .merge(session::router())
        .merge(assets::router())
        .fallback(async |request: Request| HttpError::not_found(format!("There is no page {}", request.uri().path())))
        .layer(from_fn(error_pages))
        .with_state(state)
}
