//! The route table in force: compiled once, never changed, swapped whole. Finds the rule of a request; sends nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use hyper::Uri;
use hyper::http::uri::PathAndQuery;

use crate::counters::Account;
use crate::host;
use crate::path::{NormalPath, has_prefix, rewritten};
use crate::protocol::{AppRoutes, PathMatch, Rewrite, RouteTable, Rule};
use crate::upstream::Upstream;

/// Why a table is refused as a whole.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum TableError {
    #[error("app {app}: {host:?} is not a host name")]
    BadHost { app: String, host: String },
    #[error("host {host} is claimed by app {first} and by app {second}; give it to one of them")]
    HostTwice { host: String, first: String, second: String },
    #[error("app {app}: route {path:?} does not start with a slash")]
    BadPath { app: String, path: String },
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    pub version: u64,
    hosts: HashMap<Box<str>, Arc<App>>,
}

#[derive(Debug)]
pub(crate) struct App {
    pub account: Arc<Account>,
    pub rules: Vec<CompiledRule>,
}

#[derive(Debug)]
pub(crate) struct CompiledRule {
    matcher: Matcher,
    rewrite: Rewrite,
    pub component: String,
    pub upstreams: Vec<Arc<Upstream>>,
    turn: AtomicUsize,
}

#[derive(Debug)]
enum Matcher {
    /// Without trailing slash; the root is empty.
    Prefix {
        prefix: String,
        segments: usize,
    },
    Exact {
        path: String,
        segments: usize,
    },
}

/// The rule that a path belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Rule(usize),
    Nothing,
    /// Two readers of this path would take it to two rules.
    Ambiguous,
}

/// What a table needs from outside to be compiled: the live objects behind its names.
pub(crate) trait Parts {
    fn account(&mut self, app: &str, window: &str) -> Arc<Account>;
    fn upstream(&mut self, wanted: &crate::protocol::Upstream) -> Arc<Upstream>;
}

/// Checks everything that [`Table::compile`] takes for granted.
pub(crate) fn check(table: &RouteTable) -> Result<(), TableError> {
    let mut owners: HashMap<String, &str> = HashMap::new();
    for app in &table.apps {
        for given in &app.hosts {
            let name = host::normal(given)
                .ok_or_else(|| TableError::BadHost { app: app.app.clone(), host: given.clone() })?
                .into_owned();
            if let Some(first) = owners.insert(name.clone(), &app.app)
                && first != app.app
            {
                return Err(TableError::HostTwice { host: name, first: first.to_owned(), second: app.app.clone() });
            }
        }
        for rule in &app.rules {
            let (PathMatch::Prefix(path) | PathMatch::Exact(path)) = &rule.path;
            if !path.starts_with('/') {
                return Err(TableError::BadPath { app: app.app.clone(), path: path.clone() });
            }
        }
    }
    Ok(())
}

impl Table {
    /// `table` has passed [`check`].
    pub fn compile(table: &RouteTable, parts: &mut dyn Parts) -> Self {
        let mut hosts = HashMap::new();
        for routes in &table.apps {
            let app = Arc::new(App::compile(routes, parts));
            for name in routes.hosts.iter().filter_map(|given| host::normal(given)) {
                hosts.insert(name.into_owned().into_boxed_str(), Arc::clone(&app));
            }
        }
        Table { version: table.version, hosts }
    }

    /// `host` is normal.
    pub fn app(&self, host: &str) -> Option<&Arc<App>> {
        self.hosts.get(host)
    }
}

impl App {
    fn compile(routes: &AppRoutes, parts: &mut dyn Parts) -> Self {
        let account = parts.account(&routes.app, &routes.window);
        let rules = routes.rules.iter().map(|rule| CompiledRule::compile(rule, parts)).collect();
        App { account, rules }
    }

    pub fn find(&self, path: &NormalPath<'_>) -> Found {
        let rule_for = |path: &str| self.rules.iter().position(|rule| rule.takes(path));
        let rule = match path {
            NormalPath::Plain(path) => rule_for(path),
            NormalPath::TwoReadings { kept, decoded } => {
                let rule = rule_for(kept);
                if rule != rule_for(decoded) {
                    return Found::Ambiguous;
                }
                rule
            }
        };
        rule.map_or(Found::Nothing, Found::Rule)
    }
}

impl CompiledRule {
    fn compile(rule: &Rule, parts: &mut dyn Parts) -> Self {
        let matcher = match &rule.path {
            PathMatch::Prefix(prefix) => {
                let prefix = prefix.trim_end_matches('/').to_owned();
                Matcher::Prefix { segments: prefix.matches('/').count(), prefix }
            }
            PathMatch::Exact(path) => Matcher::Exact { segments: path.matches('/').count(), path: path.clone() },
        };
        CompiledRule {
            matcher,
            rewrite: rule.rewrite.clone(),
            component: rule.component.clone(),
            upstreams: rule.upstreams.iter().map(|wanted| parts.upstream(wanted)).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    fn takes(&self, path: &str) -> bool {
        match &self.matcher {
            Matcher::Prefix { prefix, .. } => has_prefix(path, prefix),
            Matcher::Exact { path: wanted, .. } => path == wanted,
        }
    }

    /// The request target for the upstream: origin form, path rewritten, query untouched.
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
                // Made of a path that was parsed and a checked replacement; should it not parse, the root is harmless.
                PathAndQuery::try_from(text).map_or_else(|_| Uri::default(), Uri::from)
            }
        }
    }

    /// The upstream with the fewest open requests that was not tried yet; equal ones take turns.
    pub fn pick(&self, tried: &[Arc<Upstream>]) -> Option<&Arc<Upstream>> {
        let count = self.upstreams.len();
        if count <= 1 {
            return self.upstreams.first().filter(|only| !was_tried(only, tried));
        }
        let first = self.turn.fetch_add(1, Relaxed);
        let in_turn = (0..count).map(|step| &self.upstreams[first.wrapping_add(step) % count]);
        in_turn.filter(|upstream| !was_tried(upstream, tried)).min_by_key(|upstream| upstream.load())
    }
}

fn was_tried(upstream: &Arc<Upstream>, tried: &[Arc<Upstream>]) -> bool {
    tried.iter().any(|other| Arc::ptr_eq(other, upstream))
}
