//! The route table in force: compiled once, never changed, swapped whole. Finds the rule of a request; sends nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use hyper::Uri;
use hyper::http::uri::PathAndQuery;

use crate::counters::Account;
use crate::host;
use crate::path::{NormalPath, has_prefix, rewritten};
use crate::protocol::{AppRoutes, PathMatch, Rewrite, RouteRefused, RouteTable, Rule};
use crate::upstream::Upstream;

#[derive(Debug, Default)]
pub(crate) struct Table {
    pub version: u64,
    /// What of the wanted table is not in this one.
    pub refused: Vec<RouteRefused>,
    hosts: HashMap<Box<str>, Arc<App>>,
}

#[derive(Debug)]
pub(crate) struct App {
    pub id: String,
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

impl Table {
    /// What cannot be used of `wanted` is left out and kept in [`Table::refused`]; all the rest counts. Of two apps that
    /// claim one host, the one that has it in the table before keeps it.
    pub fn compile(wanted: &RouteTable, before: &Table, parts: &mut dyn Parts) -> Self {
        let owners = owners(wanted, before);
        let mut table = Table { version: wanted.version, ..Table::default() };
        for routes in &wanted.apps {
            let app = Arc::new(App::compile(routes, parts, &mut table.refused));
            for given in &routes.hosts {
                let Some(name) = host::normal(given) else {
                    table.refuse(&app, format!("{given:?} is not a host name"));
                    continue;
                };
                let owner = owners.get(name.as_ref()).copied().unwrap_or(&app.id);
                if owner == app.id {
                    table.hosts.insert(name.into_owned().into_boxed_str(), Arc::clone(&app));
                } else {
                    table.refuse(&app, format!("host {name} belongs to app {owner}; give it to one of the two"));
                }
            }
        }
        table
    }

    fn refuse(&mut self, app: &App, reason: String) {
        self.refused.push(RouteRefused { app: app.id.clone(), reason });
    }

    /// `host` is normal.
    pub fn app(&self, host: &str) -> Option<&Arc<App>> {
        self.hosts.get(host)
    }
}

/// Who gets each host, by its normal name.
fn owners<'a>(wanted: &'a RouteTable, before: &Table) -> HashMap<String, &'a str> {
    let mut owners: HashMap<String, &str> = HashMap::new();
    for app in &wanted.apps {
        for name in app.hosts.iter().filter_map(|given| host::normal(given)) {
            let had_it = before.app(&name).is_some_and(|holder| holder.id == app.app);
            if had_it || !owners.contains_key(name.as_ref()) {
                owners.insert(name.into_owned(), &app.app);
            }
        }
    }
    owners
}

impl App {
    fn compile(routes: &AppRoutes, parts: &mut dyn Parts, refused: &mut Vec<RouteRefused>) -> Self {
        let account = parts.account(&routes.app, &routes.window);
        let mut usable = |rule: &&Rule| {
            let (PathMatch::Prefix(path) | PathMatch::Exact(path)) = &rule.path;
            let usable = path.starts_with('/');
            if !usable {
                let reason = format!("route {path:?} does not start with a slash");
                refused.push(RouteRefused { app: routes.app.clone(), reason });
            }
            usable
        };
        let usable: Vec<&Rule> = routes.rules.iter().filter(|rule| usable(rule)).collect();
        let rules = usable.into_iter().map(|rule| CompiledRule::compile(rule, parts)).collect();
        App { id: routes.app.clone(), account, rules }
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
