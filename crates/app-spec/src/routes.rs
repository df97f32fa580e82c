//! Which component serves which path, as a list that is tried from the top.
//!
//! Ingress rules override the routes of components. If a spec has neither, the first HTTP component gets `/` and each
//! further one gets `/<name>`.

use std::cmp::Reverse;

use crate::spec::{AppSpec, Component, Cors, IngressRule, Match, Redirect, Route, RouteMatch, Scheme, Service};

/// One routing rule of the ingress.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteRule {
    /// The host names that match. `None`: all host names of the app.
    pub authority: Option<Authority>,
    /// The paths that match.
    pub path: RoutePath,
    /// What happens to the requests.
    pub target: RouteTarget,
    /// Which pages of other origins may read the answers: the rule's policy, else the component's.
    pub cors: Option<Cors>,
}

/// The host names that a rule matches, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Authority {
    /// This host name only.
    Exact(String),
    /// Host names that begin with this text.
    Prefix(String),
}

/// What happens to the requests that a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// A component serves them.
    Component {
        /// Its name.
        name: String,
        /// How the path is changed before the request goes to the component.
        forward: Forward,
    },
    /// The client is sent to another address.
    Redirect(RedirectTo),
}

/// The address that a redirect leads to. What is `None` stays as in the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectTo {
    /// The scheme.
    pub scheme: Scheme,
    /// The host name.
    pub authority: Option<String>,
    /// The port. `None`: the scheme's default port.
    pub port: Option<u16>,
    /// The path, which begins with `/`. It may contain a query, which then replaces that of the request.
    pub uri: Option<String>,
    /// The status code, one of [`Redirect`]'s.
    pub code: u16,
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

impl RouteRule {
    /// The component that serves the requests. `None` for a redirect.
    pub fn component(&self) -> Option<&str> {
        match &self.target {
            RouteTarget::Component { name, .. } => Some(name),
            RouteTarget::Redirect(_) => None,
        }
    }
}

impl RoutePath {
    /// The path without the kind of match.
    pub fn as_str(&self) -> &str {
        match self {
            RoutePath::Prefix(path) | RoutePath::Exact(path) => path,
        }
    }
}

/// The rules in the order they are tried: with a host name before without, exact before prefix, longer before shorter,
/// then in the order of the spec.
pub fn routes(spec: &AppSpec) -> Vec<RouteRule> {
    let mut rules: Vec<RouteRule> = match origin(spec) {
        Origin::Ingress(rules) => rules.iter().filter_map(|rule| from_ingress(spec, rule)).collect(),
        Origin::Routes => from_components(spec),
        Origin::Nothing => by_default(spec),
    };
    rules.sort_by_key(|rule| {
        let host = match &rule.authority {
            Some(Authority::Exact(_)) => (0, Reverse(0)),
            Some(Authority::Prefix(text)) => (1, Reverse(text.len())),
            None => (2, Reverse(0)),
        };
        let is_prefix = matches!(rule.path, RoutePath::Prefix(_));
        (host, is_prefix, Reverse(rule.path.as_str().len()))
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

fn from_ingress(spec: &AppSpec, rule: &IngressRule) -> Option<RouteRule> {
    let on = rule.on.as_ref();
    let target = match (&rule.component, &rule.redirect) {
        (Some(target), _) => {
            let forward = match &target.rewrite {
                Some(rewrite) => Forward::Rewrite(rewrite.clone()),
                None => forward(target.preserve_path_prefix),
            };
            RouteTarget::Component { name: target.name.clone(), forward }
        }
        (None, Some(redirect)) => RouteTarget::Redirect(redirect_to(redirect)),
        (None, None) => return None,
    };
    let of_component =
        rule.component.as_ref().and_then(|target| spec.component(&target.name)).and_then(Component::cors);
    Some(RouteRule {
        authority: on.and_then(RouteMatch::authority).map(authority),
        path: route_path(on.and_then(|on| on.path.as_ref())),
        target,
        cors: rule.cors.as_ref().or(of_component).cloned(),
    })
}

/// Exact text wins over a prefix; a spec that has both is refused.
fn authority(by: &Match) -> Authority {
    let text = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(str::to_ascii_lowercase);
    match (text(&by.exact), text(&by.prefix)) {
        (Some(exact), _) => Authority::Exact(exact),
        (None, prefix) => Authority::Prefix(prefix.unwrap_or_default()),
    }
}

fn redirect_to(redirect: &Redirect) -> RedirectTo {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    RedirectTo {
        scheme: redirect.scheme.unwrap_or(Scheme::Https),
        authority: given(&redirect.authority),
        port: redirect.port,
        uri: given(&redirect.uri).map(|uri| if uri.starts_with('/') { uri } else { format!("/{uri}") }),
        code: redirect.redirect_code.unwrap_or(302),
    }
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
    let of = |component: Component<'_>, route: &Route| {
        let path = RoutePath::Prefix(prefix_of(route.path.as_deref().unwrap_or_default()));
        of_component(component, path, forward(route.preserve_path_prefix))
    };
    spec.components().flat_map(|c| c.routes().iter().map(move |route| of(c, route))).collect()
}

fn by_default(spec: &AppSpec) -> Vec<RouteRule> {
    let path = |i, name: &str| RoutePath::Prefix(if i == 0 { "/".to_owned() } else { format!("/{name}") });
    let rule = |(i, it): (usize, Component<'_>)| of_component(it, path(i, it.name()), Forward::Strip);
    default_components(spec).into_iter().enumerate().map(rule).collect()
}

/// A rule for all host names that sends requests to a component.
fn of_component(component: Component<'_>, path: RoutePath, forward: Forward) -> RouteRule {
    let target = RouteTarget::Component { name: component.name().to_owned(), forward };
    RouteRule { authority: None, path, target, cors: component.cors().cloned() }
}

/// The HTTP components that get a default path if a spec has no rules and no routes.
pub(crate) fn default_components(spec: &AppSpec) -> Vec<Component<'_>> {
    let answers = |component: &Component<'_>| match component {
        Component::Service(service) => !wants_to_be_internal(service),
        Component::StaticSite(_) | Component::Function(_) => true,
        Component::Worker(_) | Component::Job(_) => false,
    };
    spec.components().filter(answers).collect()
}

/// Whether the service has internal ports and no HTTP port, so that only other components use it.
fn wants_to_be_internal(service: &Service) -> bool {
    service.http_port.is_none() && !service.internal_ports.is_empty()
}

impl AppSpec {
    /// The port on which the ingress and other components reach a service: `http_port`, else 8080. `None` for an
    /// internal service: it has `internal_ports`, no `http_port`, and no route.
    pub fn http_port(&self, service: &Service) -> Option<u16> {
        let is_routed = || routes(self).iter().any(|rule| rule.component() == Some(service.common.name.as_str()));
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
        let component = |target| match target {
            RouteTarget::Component { name, forward } => (name, forward),
            RouteTarget::Redirect(_) => panic!("a redirect"),
        };
        let row = |rule: RouteRule| (text(rule.path), component(rule.target));
        routes(spec).into_iter().map(row).map(|(path, (name, forward))| (path, name, forward)).collect()
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

    /// The rules of a spec with components `web` and `api`, in short form.
    fn ingress(rules: &str) -> Vec<String> {
        let services = [service("web", "cors: {allow_origins: [{exact: 'https://web.example'}]}"), service("api", "")];
        let spec = spec(&format!("name: shop\nservices:\n{}ingress:\n  rules:\n{rules}", services.concat()));
        let short = |rule: RouteRule| {
            let host = match rule.authority {
                None => String::new(),
                Some(Authority::Exact(host)) => format!("={host}"),
                Some(Authority::Prefix(host)) => format!("{host}*"),
            };
            let target = match &rule.target {
                RouteTarget::Component { name, .. } => name.clone(),
                RouteTarget::Redirect(to) => format!("{} {:?}", to.code, to),
            };
            let origins = rule.cors.iter().flat_map(|cors| &cors.allow_origins).filter_map(|it| it.exact.as_deref());
            let origins: Vec<&str> = origins.collect();
            format!("{host}{} → {target} {}", rule.path.as_str(), origins.join(",")).trim_end().to_owned()
        };
        routes(&spec).into_iter().map(short).collect()
    }

    #[test]
    fn rules_for_a_host_name_come_first_and_exact_names_before_prefixes() {
        let rules = "  - {match: {path: {prefix: /very/long}}, component: {name: api}}\n  \
                     - {match: {authority: {prefix: a}}, component: {name: api}}\n  \
                     - {match: {authority: {prefix: API.}, path: {prefix: /x}}, component: {name: api}}\n  \
                     - {match: {authority: {exact: Api.Example.com}}, component: {name: api}}\n  \
                     - {match: {authority: {exact: ''}}, component: {name: api}}\n";
        let wanted = ["=api.example.com/ → api", "api.*/x → api", "a*/ → api", "/very/long → api", "/ → api"];
        assert_eq!(ingress(rules), wanted);
    }

    #[test]
    fn a_rules_own_cors_policy_wins_over_the_components() {
        let rules = "  - {match: {path: {prefix: /own}}, component: {name: web}, \
                     cors: {allow_origins: [{exact: 'https://rule.example'}]}}\n  \
                     - {match: {path: {prefix: /api}}, component: {name: api}}\n  - {component: {name: web}}\n";
        let wanted = ["/own → web https://rule.example", "/api → api", "/ → web https://web.example"];
        assert_eq!(ingress(rules), wanted);
    }

    #[test]
    fn redirects_have_app_platforms_defaults() {
        let redirect = |given: &str| {
            let text = format!(
                "name: shop\nservices:\n{}ingress:\n  rules:\n  - {{component: {{name: web}}}}\n  \
                 - {{match: {{path: {{exact: /old}}}}, redirect: {given}}}\n",
                service("web", "")
            );
            let RouteTarget::Redirect(to) = routes(&spec(&text)).remove(0).target else { panic!("a redirect") };
            to
        };
        let default =
            RedirectTo { scheme: Scheme::Https, authority: None, port: None, uri: Some("/new".to_owned()), code: 302 };
        assert_eq!(redirect("{uri: /new}"), default);
        assert_eq!(redirect("{uri: new}"), default);
        let full = redirect("{uri: '/a?b', authority: example.com, port: 8443, scheme: http, redirect_code: 308}");
        let wanted = RedirectTo {
            scheme: Scheme::Http,
            authority: Some("example.com".to_owned()),
            port: Some(8443),
            uri: Some("/a?b".to_owned()),
            code: 308,
        };
        assert_eq!(full, wanted);
    }
}
