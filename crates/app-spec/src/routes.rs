//! Which component serves which path, as a list that is tried from the top.
//!
//! Ingress rules override the routes of components. If a spec has neither, the first HTTP component gets `/` and each
//! further one gets `/<name>`. Rules that redirect or match a host name are left out, because a spec that has them is
//! refused as "not yet".

use crate::spec::{AppSpec, Component, IngressRule, Match, Route, Service};

/// One routing rule of the ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRule {
    /// Which requests match.
    pub path: RoutePath,
    /// The component that serves them.
    pub component: String,
    /// How the path is changed before the request goes to the component.
    pub forward: Forward,
}

/// The paths that a rule matches. Begins with `/`. A prefix has no final `/`, unless it is only `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RoutePath {
    /// Matches whole segments: `/api` matches `/api` and `/api/x`, not `/apix`.
    Prefix(String),
    /// Matches this path only.
    Exact(String),
}

/// What happens to the matched prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forward {
    /// The prefix is cut off. This is the default.
    Strip,
    /// The path stays unchanged.
    Preserve,
    /// This text replaces the prefix; the rest of the path follows it.
    Rewrite(String),
}

impl RoutePath {
    /// The path without the kind of match.
    pub fn as_str(&self) -> &str {
        match self {
            RoutePath::Prefix(path) | RoutePath::Exact(path) => path,
        }
    }
}

/// The rules in the order they are tried: exact before prefix, longer before shorter, then in the order of the spec.
pub fn routes(spec: &AppSpec) -> Vec<RouteRule> {
    let mut rules: Vec<RouteRule> = match origin(spec) {
        Origin::Ingress(rules) => rules.iter().filter_map(from_ingress).collect(),
        Origin::Routes => from_components(spec),
        Origin::Nothing => by_default(spec),
    };
    rules.sort_by_key(|rule| {
        let is_prefix = matches!(rule.path, RoutePath::Prefix(_));
        (is_prefix, std::cmp::Reverse(rule.path.as_str().len()))
    });
    rules
}

/// Where the rules of a spec come from.
pub(crate) enum Origin<'a> {
    Ingress(&'a [IngressRule]),
    Routes,
    Nothing,
}

pub(crate) fn origin(spec: &AppSpec) -> Origin<'_> {
    match &spec.ingress {
        Some(ingress) if !ingress.rules.is_empty() => Origin::Ingress(&ingress.rules),
        _ if spec.components().any(|c| !c.routes().is_empty()) => Origin::Routes,
        _ => Origin::Nothing,
    }
}

fn from_ingress(rule: &IngressRule) -> Option<RouteRule> {
    let target = rule.component.as_ref()?;
    let on = rule.on.as_ref();
    if on.is_some_and(|on| on.authority().is_some()) {
        return None;
    }
    let forward = match &target.rewrite {
        Some(rewrite) => Forward::Rewrite(rewrite.clone()),
        None => forward(target.preserve_path_prefix),
    };
    let path = route_path(on.and_then(|on| on.path.as_ref()));
    Some(RouteRule { path, component: target.name.clone(), forward })
}

/// An absent match and an empty prefix match every path.
pub(crate) fn route_path(path: Option<&Match>) -> RoutePath {
    match path {
        Some(Match { exact: Some(exact), .. }) if !exact.is_empty() => RoutePath::Exact(exact.clone()),
        Some(Match { prefix, .. }) => RoutePath::Prefix(prefix_of(prefix.as_deref().unwrap_or_default())),
        None => RoutePath::Prefix("/".to_owned()),
    }
}

/// A prefix in normal form: `/api`, never `api/` or `/api/`.
pub(crate) fn prefix_of(path: &str) -> String {
    format!("/{}", path.trim_matches('/'))
}

pub(crate) fn forward(preserve_path_prefix: bool) -> Forward {
    if preserve_path_prefix { Forward::Preserve } else { Forward::Strip }
}

fn from_components(spec: &AppSpec) -> Vec<RouteRule> {
    let of = |component: Component<'_>, route: &Route| RouteRule {
        path: RoutePath::Prefix(prefix_of(route.path.as_deref().unwrap_or_default())),
        component: component.name().to_owned(),
        forward: forward(route.preserve_path_prefix),
    };
    spec.components().flat_map(|c| c.routes().iter().map(move |route| of(c, route))).collect()
}

fn by_default(spec: &AppSpec) -> Vec<RouteRule> {
    let to = |component: &str, path: String| RouteRule {
        path: RoutePath::Prefix(path),
        component: component.to_owned(),
        forward: Forward::Strip,
    };
    let named = default_components(spec);
    let paths = named.iter().enumerate();
    paths.map(|(i, name)| to(name, if i == 0 { "/".to_owned() } else { format!("/{name}") })).collect()
}

/// The HTTP components that get a default path if a spec has no rules and no routes.
pub(crate) fn default_components(spec: &AppSpec) -> Vec<&str> {
    let answers = |component: &Component<'_>| match component {
        Component::Service(service) => !wants_to_be_internal(service),
        Component::StaticSite(_) | Component::Function(_) => true,
        Component::Worker(_) | Component::Job(_) => false,
    };
    spec.components().filter(answers).map(Component::name).collect()
}

/// Whether the service has internal ports and no HTTP port, so that only other components use it.
fn wants_to_be_internal(service: &Service) -> bool {
    service.http_port.is_none() && !service.internal_ports.is_empty()
}

impl AppSpec {
    /// The port on which the ingress and other components reach a service: `http_port`, else 8080. `None` for an
    /// internal service: it has `internal_ports`, no `http_port`, and no route.
    pub fn http_port(&self, service: &Service) -> Option<u16> {
        let is_routed = || routes(self).iter().any(|rule| rule.component == service.common.name);
        match service.http_port {
            Some(port) => Some(port),
            None if wants_to_be_internal(service) && !is_routed() => None,
            None => Some(8080),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn spec(text: &str) -> AppSpec {
        AppSpec::from_yaml(text).unwrap().spec
    }

    fn service(name: &str, more: &str) -> String {
        format!("- {{name: {name}, git: {{repo_clone_url: 'https://example.com/r.git'}}, {more}}}\n")
    }

    fn table(spec: &AppSpec) -> Vec<(String, String, Forward)> {
        let text = |path: RoutePath| match path {
            RoutePath::Prefix(p) => p,
            RoutePath::Exact(p) => format!("={p}"),
        };
        routes(spec).into_iter().map(|r| (text(r.path), r.component, r.forward)).collect()
    }

    fn row(path: &str, component: &str, forward: Forward) -> (String, String, Forward) {
        (path.to_owned(), component.to_owned(), forward)
    }

    #[test]
    fn a_single_service_without_routes_gets_every_path() {
        let spec = spec(&format!("name: shop\nservices:\n{}", service("web", "")));
        assert_eq!(table(&spec), [row("/", "web", Forward::Strip)]);
        assert_eq!(spec.http_port(&spec.services[0]), Some(8080));
    }

    #[test]
    fn several_services_without_routes_get_their_names_as_paths_and_internal_ones_get_none() {
        let services =
            [service("web", ""), service("api", "http_port: 3000"), service("rpc", "internal_ports: [9000]")];
        let spec = spec(&format!("name: shop\nservices:\n{}", services.concat()));
        assert_eq!(table(&spec), [row("/api", "api", Forward::Strip), row("/", "web", Forward::Strip)]);
        assert_eq!(spec.http_port(&spec.services[1]), Some(3000));
        assert_eq!(spec.http_port(&spec.services[2]), None);
    }

    #[test]
    fn a_route_makes_an_internal_service_public() {
        let rpc = service("rpc", "internal_ports: [9000], routes: [{path: /rpc/, preserve_path_prefix: true}]");
        let spec = spec(&format!("name: shop\nservices:\n{rpc}"));
        assert_eq!(table(&spec), [row("/rpc", "rpc", Forward::Preserve)]);
        assert_eq!(spec.http_port(&spec.services[0]), Some(8080));
    }

    #[test]
    fn ingress_rules_override_routes_and_are_ordered_most_specific_first() {
        let text = format!(
            "name: shop\nservices:\n{}{}ingress:\n  rules:\n  - component: {{name: web}}\n  \
             - {{match: {{path: {{prefix: /api}}}}, component: {{name: api}}}}\n  \
             - {{match: {{path: {{prefix: /api/v2}}}}, component: {{name: api, rewrite: /v3/}}}}\n  \
             - {{match: {{path: {{exact: /ok}}}}, component: {{name: web, preserve_path_prefix: true}}}}\n",
            service("web", "routes: [{path: /old}]"),
            service("api", "")
        );
        let wanted = [
            row("=/ok", "web", Forward::Preserve),
            row("/api/v2", "api", Forward::Rewrite("/v3/".to_owned())),
            row("/api", "api", Forward::Strip),
            row("/", "web", Forward::Strip),
        ];
        assert_eq!(table(&spec(&text)), wanted);
    }
}
