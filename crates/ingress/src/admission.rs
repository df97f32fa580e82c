//! Finds an upstream for a host and a path, by the table in force at that moment.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use hyper::{StatusCode, Uri};

use crate::access_log::AccessLogEntry;
use crate::component_counters::ComponentCounters;
use crate::cors::CorsRequest;
use crate::counters::{CutKind, RequestRecord};
use crate::error_response::ProxyError;
use crate::internal::{self, CallListener};
use crate::limits::Limits;
use crate::path::NormalPath;
use crate::redirect;
use crate::routing_state::RoutingState;
use crate::table::{App, CompiledRule, RouteMatch, Table};
use crate::upload::Exchange;
use crate::upstream::{Admission, Upstream};

/// A request that was admitted at an upstream.
#[derive(Debug)]
pub(crate) struct Admitted {
    app: Arc<App>,
    rule: RuleIndex,
    pub exchange: Arc<Exchange>,
}

/// The rule of an app that a request matched.
#[derive(Debug, Clone, Copy)]
enum RuleIndex {
    Public(usize),
    /// Another component calls this service.
    Service(usize),
}

impl Admitted {
    pub fn rule(&self) -> &CompiledRule {
        match self.rule {
            RuleIndex::Public(rule) => &self.app.rules[rule],
            RuleIndex::Service(service) => &self.app.services[service].rule,
        }
    }

    pub fn app(&self) -> &App {
        &self.app
    }

    /// Whether another component of the app calls.
    pub fn is_internal(&self) -> bool {
        matches!(self.rule, RuleIndex::Service(_))
    }

    pub fn upstream(&self) -> &Arc<Upstream> {
        self.exchange.admission.upstream()
    }
}

/// The search for an upstream: what was requested and what has been tried.
#[derive(Debug)]
pub(crate) struct RouteSearch<'a> {
    pub host: &'a str,
    pub path: &'a NormalPath<'a>,
    pub uri: &'a Uri,
    pub cors: Option<&'a CorsRequest>,
    /// The host name in the TLS handshake, if there was one.
    pub server_name: Option<&'a str>,
    /// The listener on which another component of the app calls, and the address of the caller.
    pub internal: Option<(&'a CallListener, IpAddr)>,
    /// If present, the request is redirected to HTTPS on this port.
    pub https: Option<u16>,
    /// The method is GET or HEAD.
    pub is_safe: bool,
    /// The page that the app wants browsers to show if it cannot be reached. Set as soon as a table contains the app.
    pub error_page: Option<Arc<str>>,
    pub started: Instant,
    /// Upstreams that could not be reached.
    pub tried: Vec<Arc<Upstream>>,
    /// Set as soon as a table contains the app.
    pub record: Option<RequestRecord>,
    /// Set if a stopping instance cut off the request.
    pub cut: Option<CutKind>,
    /// An instance has got the request before.
    pub was_admitted: bool,
    /// The line in the access log, if that is on.
    pub entry: Option<&'a mut AccessLogEntry>,
}

enum Attempt {
    Admitted(Admitted),
    /// The upstream began to drain between reading the table and admitting the request. A newer table is in force.
    Retry,
    NoneReady {
        component: String,
    },
}

impl RouteSearch<'_> {
    /// Admits the request. If no instance is ready, waits a moment for a table that has one.
    pub async fn admit(&mut self, routing: &RoutingState, limits: &Limits) -> Result<Admitted, ProxyError> {
        loop {
            match self.step(&routing.table())? {
                Attempt::Admitted(admitted) => return Ok(admitted),
                Attempt::Retry => {}
                Attempt::NoneReady { component } if self.tried.is_empty() => {
                    return self.wait(routing, limits, component).await;
                }
                Attempt::NoneReady { component } => return Err(ProxyError::NoInstance { component }),
            }
        }
    }

    async fn wait(
        &mut self,
        routing: &RoutingState,
        limits: &Limits,
        component: String,
    ) -> Result<Admitted, ProxyError> {
        let mut changes = routing.changes();
        let deadline = tokio::time::sleep(limits.first_upstream);
        tokio::pin!(deadline);
        loop {
            // Marked as seen before the table is read, so that no change is missed in between.
            changes.borrow_and_update();
            match self.step(&routing.table())? {
                Attempt::Admitted(admitted) => return Ok(admitted),
                Attempt::Retry => continue,
                Attempt::NoneReady { .. } => {}
            }
            tokio::select! {
                () = &mut deadline => return Err(ProxyError::NoInstance { component }),
                changed = changes.changed() => if changed.is_err() {
                    return Err(ProxyError::NoInstance { component });
                },
            }
        }
    }

    fn step(&mut self, table: &Table) -> Result<Attempt, ProxyError> {
        match self.internal {
            None => self.public_step(table),
            Some((listener, peer)) => self.internal_step(table, listener, peer),
        }
    }

    fn internal_step(&mut self, table: &Table, listener: &CallListener, peer: IpAddr) -> Result<Attempt, ProxyError> {
        let no_service = || ProxyError::NoService { port: listener.port };
        let app = table.calling(&listener.app).ok_or_else(no_service)?;
        self.count(app);
        self.belongs_to(&app.unmatched);
        let service = internal::choose(&app.services, listener.port, self.host, peer)?;
        let compiled = &app.services[service].rule;
        if let Some(entry) = &mut self.entry {
            entry.matched(&app.id, &compiled.component);
        }
        self.belongs_to(&compiled.counters);
        Ok(self.attempt(app, RuleIndex::Service(service), compiled))
    }

    fn public_step(&mut self, table: &Table) -> Result<Attempt, ProxyError> {
        let app = table.app(self.host).ok_or(ProxyError::NoSuchHost)?;
        if table.is_misdirected(app, self.server_name) {
            return Err(ProxyError::Misdirected);
        }
        self.count(app);
        if let Some(entry) = &mut self.entry {
            entry.matched(&app.id, "");
        }
        if let Some(port) = self.https {
            self.belongs_to(&app.unmatched);
            let location = redirect::to_https(self.host, port, self.uri).ok_or(ProxyError::NoSuchPath)?;
            return Err(ProxyError::Redirected { status: self.https_status(), location });
        }
        if let Some(maintenance) = &app.policy.maintenance {
            self.belongs_to(&app.unmatched);
            self.error_page = maintenance.page.as_deref().map(Arc::from);
            return Err(ProxyError::Maintenance);
        }
        self.error_page.clone_from(&app.policy.error_page);
        let rule = match app.find(self.host, self.path) {
            RouteMatch::Rule(rule) => rule,
            RouteMatch::None => {
                self.belongs_to(&app.unmatched);
                return Err(ProxyError::NoSuchPath);
            }
            RouteMatch::Ambiguous => {
                self.belongs_to(&app.unmatched);
                return Err(ProxyError::BadRequest("The path has two readings, and they match different routes."));
            }
        };
        let compiled = &app.rules[rule];
        if let Some(entry) = &mut self.entry {
            entry.matched(&app.id, &compiled.component);
        }
        self.belongs_to(&compiled.counters);
        if let (Some(cors), Some(request)) = (&compiled.cors, self.cors)
            && request.is_preflight
            && cors.allows(request)
        {
            return Err(ProxyError::Preflight(Box::new(cors.preflight_response(request))));
        }
        if let Some(redirect) = &compiled.redirect {
            let location = redirect.location(self.host, self.uri).ok_or(ProxyError::NoSuchPath)?;
            return Err(ProxyError::Redirected { status: redirect.status, location });
        }
        Ok(self.attempt(app, RuleIndex::Public(rule), compiled))
    }

    fn attempt(&mut self, app: &Arc<App>, rule: RuleIndex, compiled: &CompiledRule) -> Attempt {
        let Some(upstream) = compiled.pick(&self.tried) else {
            return Attempt::NoneReady { component: compiled.component.clone() };
        };
        upstream.admit().map_or(Attempt::Retry, |admission: Admission| {
            if let Some(entry) = &mut self.entry {
                entry.admitted(&upstream.id);
            }
            if std::mem::replace(&mut self.was_admitted, true) {
                compiled.counters.retried();
            }
            Attempt::Admitted(Admitted { app: Arc::clone(app), rule, exchange: Exchange::new(admission) })
        })
    }

    fn belongs_to(&mut self, component: &Arc<ComponentCounters>) {
        if let Some(record) = &mut self.record {
            record.belongs_to(component);
        }
    }

    /// A client repeats GET and HEAD anyway; 308 keeps the other methods and their bodies.
    fn https_status(&self) -> StatusCode {
        if self.is_safe { StatusCode::MOVED_PERMANENTLY } else { StatusCode::PERMANENT_REDIRECT }
    }

    fn count(&mut self, app: &App) {
        match &mut self.record {
            None if self.internal.is_some() => {
                self.record = Some(RequestRecord::internal(&app.counters, self.started));
            }
            None => self.record = Some(RequestRecord::new(&app.counters, self.started)),
            Some(record) => record.move_to(&app.counters),
        }
    }
}
