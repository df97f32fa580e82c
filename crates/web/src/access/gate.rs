//! The gate in front of every handler: it authenticates the request, checks what the route needs, and completes the row
//! of the request in the audit trail.

use std::sync::Arc;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use controller::Control;
use controller::view::{AuditDraft, Caller};

use super::{Access, Authenticated, Needs, idempotency_key, trust, unreadable_path};
use crate::error::HttpError;
use crate::server::{BaseUrl, ClientConnection};

/// How a gate finds the token of a request.
pub trait Authenticate: Clone + Send + Sync + 'static {
    /// Finds the token. May add extensions to the request for its handler. Errors: 401, and for people what to do.
    fn authenticate(&self, parts: &mut Parts) -> Result<Authenticated, HttpError>;
}

/// The gate of one route.
#[derive(Clone)]
pub struct Gate<A> {
    /// The controller.
    pub control: Arc<dyn Control>,
    /// Finds the token.
    pub authenticate: A,
    /// What the token must be allowed to do.
    pub needs: Needs,
}

impl<A: Authenticate> Gate<A> {
    /// Puts the gate in front of a handler.
    pub fn in_front_of<S: Clone + Send + Sync + 'static>(self, handler: MethodRouter<S>) -> MethodRouter<S> {
        handler.route_layer(from_fn_with_state(self, gate))
    }
}

/// Hands the request to its handler together with its [`Access`], or refuses it.
async fn gate<A: Authenticate>(
    State(gate): State<Gate<A>>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let authenticated = match gate.authenticate.authenticate(&mut parts) {
        Ok(authenticated) => authenticated,
        Err(error) => return error.into_response(),
    };
    trust(&parts);
    let params = match params {
        Ok(params) => params,
        Err(error) => return unreadable_path(&error.body_text()).into_response(),
    };
    let param = |name: &str| params.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
    let draft = gate.draft(&authenticated, &parts, param("app"), param("component"));
    let admitted = gate.admit(authenticated, &parts, param("app"), draft.clone()).await;
    // Until here a request that is dropped had no effect, and leaves no row.
    let row = AuditRow { control: gate.control.clone(), draft };
    let response = match admitted {
        Ok(access) => {
            parts.extensions.insert(access);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) => error.into_response(),
    };
    row.write(response.status().as_u16()).await;
    response
}

impl<A> Gate<A> {
    /// The row for the audit trail, if the route has one.
    fn draft(
        &self,
        authenticated: &Authenticated,
        parts: &Parts,
        app: Option<&str>,
        component: Option<&str>,
    ) -> Option<AuditDraft> {
        let source = parts.extensions.get::<ClientConnection>().map(ClientConnection::peer);
        let draft = AuditDraft::new(authenticated.identity.actor(), self.needs.action()?, source);
        if let Some(app) = app.filter(|it| is_plain(it)) {
            draft.set_app_name(app);
        }
        if let Some(component) = component.filter(|it| is_plain(it)) {
            draft.set_subject(component);
        }
        Some(draft)
    }

    async fn admit(
        &self,
        authenticated: Authenticated,
        parts: &Parts,
        app: Option<&str>,
        audit: Option<AuditDraft>,
    ) -> Result<Access, HttpError> {
        let Authenticated { identity, token_hash } = authenticated;
        self.needs.check(&identity, app.is_some()).map_err(HttpError::forbidden)?;
        let idempotency_key = idempotency_key(&parts.headers)?;
        let access = Access {
            control: self.control.clone(),
            caller: Caller { token_hash, idempotency_key, actor: identity.actor(), audit },
            base: parts.extensions.get::<BaseUrl>().cloned().map(|it| it.0).unwrap_or_default(),
            identity,
        };
        if let (Some(only), Some(app)) = (access.identity.only_app(), app) {
            // By its id the app is also found while it is being deleted.
            if app != only.id.as_str() {
                access.app(app).await?;
            }
        }
        Ok(access)
    }
}

/// Whether a part of the path can be the name of an app or a component, or an id. Other texts are not recorded, because
/// they may be secrets that were pasted by mistake.
fn is_plain(text: &str) -> bool {
    text.len() <= 36 && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
}

/// Writes the row of a request when the request was answered. If the request is dropped while its handler runs, because
/// the client disconnected or the deadline passed, it may still take effect, and the row says so.
struct AuditRow {
    control: Arc<dyn Control>,
    draft: Option<AuditDraft>,
}

impl AuditRow {
    async fn write(self, status: u16) {
        if let Some(entry) = self.draft.as_ref().and_then(|it| it.finish(Some(status))) {
            self.control.record_request(entry).await;
        }
    }
}

impl Drop for AuditRow {
    fn drop(&mut self) {
        let Some(entry) = self.draft.as_ref().and_then(|it| it.finish(None)) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let control = self.control.clone();
            runtime.spawn(async move { control.record_request(entry).await });
        }
    }
}
