//! The compiled route table: immutable, swapped as a whole. Finds the rule for a request; sends nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use hyper::Uri;
use hyper::http::uri::PathAndQuery;

use crate::component_counters::ComponentCounters;
use crate::cors::Cors;
use crate::counters::AppCounters;
use crate::files::Site;
use crate::host;
use crate::internal::{self, Network, Service};
use crate::path::{NormalPath, has_prefix, rewritten};
use crate::policy::CompiledPolicy;
use crate::protocol::{AppRoutes, HostMatch, PathMatch, Rewrite, RouteRefused, RouteTable, Rule, Target};
use crate::redirect::CompiledRedirect;
use crate::routing_state::Registry;
use crate::upstream::Upstream;

#[derive(Debug, Default)]
pub(crate) struct Table {
    pub version: u64,
    /// The parts of the submitted table that were left out.
    pub refused: Vec<RouteRefused>,
    /// Whether there is a rule of which the ingress serves files.
    pub has_files: bool,
    hosts: HashMap<Box<str>, Arc<App>>,
    has_wildcards: bool,
    /// Apps whose containers reach the ingress, by id, and their networks.
    networks: HashMap<Box<str>, (Network, Arc<App>)>,
}

#[derive(Debug)]
pub(crate) struct App {
    pub id: String,
    pub counters: Arc<AppCounters>,
    /// Counts requests that match no rule.
    pub unmatched: Arc<ComponentCounters>,
    pub rules: Vec<CompiledRule>,
    pub policy: CompiledPolicy,
    /// What the app's containers call.
    pub services: Vec<Service>,
}

#[derive(Debug)]
pub(crate) struct CompiledRule {
    authority: Option<HostMatch>,
    matcher: Matcher,
    rewrite: Rewrite,
    pub component: String,
    pub counters: Arc<ComponentCounters>,
    /// If present, the rule has no upstreams.
    pub redirect: Option<CompiledRedirect>,
    pub cors: Option<Cors>,
    pub upstreams: Vec<Arc<Upstream>>,
    /// Set if the ingress answers from files. Then there are no upstreams.
    pub files: Option<Site>,
    next: AtomicUsize,
}

#[derive(Debug)]
enum Matcher {
    /// Without trailing slash; empty for the root.
    Prefix {
        prefix: String,
        segments: usize,
    },
    Exact {
        path: String,
        segments: usize,
    },
}

/// The result of matching a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RouteMatch {
    Rule(usize),
    None,
    /// Two interpretations of the path lead to different rules.
    Ambiguous,
}

impl Table {
    /// Compiles `wanted`. Parts that cannot be used are left out and listed in [`Table::refused`]; the rest takes
    /// effect. If two apps claim a host, the app that has it in `before` keeps it.
    pub fn compile(wanted: &RouteTable, before: &Table, registry: &mut Registry) -> Self {
        let owners = owners(wanted, before);
        let mut table = Table { version: wanted.version, ..Table::default() };
        for routes in &wanted.apps {
            let app = Arc::new(App::compile(routes, registry, &mut table.refused));
            table.has_files |= app.rules.iter().any(|rule| rule.files.is_some());
            if let Some(internal) = &routes.internal {
                table.networks.insert(app.id.as_str().into(), (Network::of(internal), Arc::clone(&app)));
            }
            for given in &routes.hosts {
                let Some(name) = host::normal_entry(given) else {
                    table.refuse(&app, given, format!("{given:?} is not a host name"));
                    continue;
                };
                let owner = owners.get(name.as_ref()).copied().unwrap_or(&app.id);
                if owner == app.id {
                    table.has_wildcards |= name.starts_with('*');
                    table.hosts.insert(name.into_owned().into_boxed_str(), Arc::clone(&app));
                } else {
                    table.refuse(&app, given, format!("host {name} belongs to app {owner}; give it to one of the two"));
                }
            }
        }
        table
    }

    fn refuse(&mut self, app: &App, host: &str, reason: String) {
        self.refused.push(RouteRefused { app: app.id.clone(), host: Some(host.to_owned()), reason });
    }

    /// Whether the TLS connection was opened for a host name of another app. `server_name`: the name in the handshake, in
    /// normal form; `None`: there is no TLS.
    pub fn is_misdirected(&self, app: &App, server_name: Option<&str>) -> bool {
        server_name.is_some_and(|name| self.app(name).is_none_or(|other| other.id != app.id))
    }

    /// The app with this id, if its containers call services by way of the ingress.
    pub fn calling(&self, app: &str) -> Option<&Arc<App>> {
        self.networks.get(app).map(|(_, app)| app)
    }

    /// The app that a container belongs to.
    pub fn app_of_container(&self, peer: IpAddr) -> Option<&Arc<App>> {
        self.networks.values().find(|(network, _)| network.contains(peer)).map(|(_, app)| app)
    }

    /// `host` must be in normal form.
    pub fn app(&self, host: &str) -> Option<&Arc<App>> {
        if let Some(app) = self.hosts.get(host) {
            return Some(app);
        }
        if !self.has_wildcards {
            return None;
        }
        self.hosts.get(host::wildcard_for(host)?.as_str())
    }
}

/// The app that gets each host, by normalized host name.
fn owners<'a>(wanted: &'a RouteTable, before: &Table) -> HashMap<String, &'a str> {
    let mut owners: HashMap<String, &str> = HashMap::new();
    for app in &wanted.apps {
        for name in app.hosts.iter().filter_map(|given| host::normal_entry(given)) {
            let is_current_owner = before.hosts.get(name.as_ref()).is_some_and(|holder| holder.id == app.app);
            if is_current_owner || !owners.contains_key(name.as_ref()) {
                owners.insert(name.into_owned(), &app.app);
            }
        }
    }
    owners
}

impl App {
    fn compile(routes: &AppRoutes, registry: &mut Registry, refused: &mut Vec<RouteRefused>) -> Self {
        let counters = registry.app_counters(&routes.app, &routes.window);
        let unmatched = registry.component(&routes.app, "");
        let mut refuse = |reason| refused.push(RouteRefused { app: routes.app.clone(), host: None, reason });
        let mut rules = Vec::new();
        for rule in &routes.rules {
            match CompiledRule::compile(&routes.app, rule, registry) {
                Ok(compiled) => rules.push(compiled),
                Err(reason) => refuse(reason),
            }
        }
        let (policy, unusable) = CompiledPolicy::compile(&routes.policy);
        unusable.into_iter().for_each(&mut refuse);
        let (services, unusable) =
            routes.internal.as_ref().map(|it| internal::compile(&routes.app, it, registry)).unwrap_or_default();
        unusable.into_iter().for_each(refuse);
        App { id: routes.app.clone(), counters, unmatched, rules, policy, services }
    }

    /// `host` must be in normal form.
    pub fn find(&self, host: &str, path: &NormalPath<'_>) -> RouteMatch {
        let rule_for = |path: &str| self.rules.iter().position(|rule| rule.matches(host, path));
        let rule = match path {
            NormalPath::Plain(path) => rule_for(path),
            NormalPath::TwoReadings { kept, decoded } => {
                let rule = rule_for(kept);
                if rule != rule_for(decoded) {
                    return RouteMatch::Ambiguous;
                }
                rule
            }
        };
        rule.map_or(RouteMatch::None, RouteMatch::Rule)
    }
}

impl CompiledRule {
    /// Errors: a sentence that says why the rule cannot be used.
    pub fn compile(app: &str, rule: &Rule, registry: &mut Registry) -> Result<Self, String> {
        let (PathMatch::Prefix(path) | PathMatch::Exact(path)) = &rule.path;
        if !path.starts_with('/') {
            return Err(format!("route {path:?} does not start with a slash"));
        }
        let of_route = |reason| format!("route {path:?}: {reason}");
        let redirect = match &rule.target {
            Target::Instances { .. } | Target::Files { .. } => None,
            Target::Redirect { redirect } => Some(CompiledRedirect::compile(redirect).map_err(of_route)?),
            Target::Unknown(_) => {
                return Err(format!(
                    "route {path:?} needs a newer ingress. Run `boatyard down`, then `boatyard serve`, which starts one"
                ));
            }
        };
        let matcher = match &rule.path {
            PathMatch::Prefix(prefix) => {
                let prefix = prefix.trim_end_matches('/').to_owned();
                Matcher::Prefix { segments: prefix.matches('/').count(), prefix }
            }
            PathMatch::Exact(path) => Matcher::Exact { segments: path.matches('/').count(), path: path.clone() },
        };
        let counters = registry.component(app, &rule.component);
        Ok(CompiledRule {
            authority: rule.authority.clone(),
            matcher,
            rewrite: rule.rewrite.clone(),
            component: rule.component.clone(),
            counters: Arc::clone(&counters),
            redirect,
            cors: rule.cors.as_ref().map(Cors::compile).transpose().map_err(of_route)?,
            upstreams: rule.upstreams().iter().map(|wanted| registry.upstream(wanted, &counters)).collect(),
            files: match &rule.target {
                Target::Files { files } => Some(Site::new(files, &registry.sites)),
                Target::Instances { .. } | Target::Redirect { .. } | Target::Unknown(_) => None,
            },
            next: AtomicUsize::new(0),
        })
    }

    fn matches(&self, host: &str, path: &str) -> bool {
        let is_host = match &self.authority {
            None => true,
            Some(HostMatch::Exact(wanted)) => host == wanted,
            Some(HostMatch::Prefix(prefix)) => host.starts_with(prefix.as_str()),
        };
        is_host
            && match &self.matcher {
                Matcher::Prefix { prefix, .. } => has_prefix(path, prefix),
                Matcher::Exact { path: wanted, .. } => path == wanted,
            }
    }

    /// The request target for the upstream: origin form, path rewritten, query unchanged.
    pub fn target(&self, uri: &Uri) -> Uri {
        let (Matcher::Prefix { segments, .. } | Matcher::Exact { segments, .. }) = &self.matcher;
        match rewritten(uri.path(), *segments, &self.rewrite) {
            None if uri.scheme().is_none() && uri.authority().is_none() => uri.clone(),
            None => uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from),
            Some(path) => {
                let text = match uri.query() {
                    Some(query) => format!("{path}?{query}"),
                    None => path,
                };
                // Built from a parsed path and a checked replacement. If it does not parse anyway, the root is
                // harmless.
                PathAndQuery::try_from(text).map_or_else(|_| Uri::default(), Uri::from)
            }
        }
    }

    /// The untried upstream with the fewest open requests. Equally loaded ones take turns.
    pub fn pick(&self, tried: &[Arc<Upstream>]) -> Option<&Arc<Upstream>> {
        let count = self.upstreams.len();
        if count <= 1 {
            return self.upstreams.first().filter(|only| !is_tried(only, tried));
        }
        let first = self.next.fetch_add(1, Relaxed);
        let in_turn = (0..count).map(|step| &self.upstreams[first.wrapping_add(step) % count]);
        in_turn.filter(|upstream| !is_tried(upstream, tried)).min_by_key(|upstream| upstream.load())
    }
}

fn is_tried(upstream: &Arc<Upstream>, tried: &[Arc<Upstream>]) -> bool {
    tried.iter().any(|other| Arc::ptr_eq(other, upstream))
}
