//! The rules of a spec in the form that the ingress takes.

use app_spec::{AppSpec, Authority, Cors, Forward, RedirectTo, RoutePath, RouteRule, RouteTarget, Scheme, StringMatch};
use ingress::protocol::{
    AppPolicy, CorsPolicy, HostMatch, Maintenance, OriginMatch, PathMatch, Redirect, RequestHeader, Rewrite, Rule,
    Target,
};

use crate::ingress_client::PublicPorts;

/// `hosts`: the host names of the app. `target`: where the requests for a component go.
pub(super) fn rules(
    spec: &AppSpec,
    hosts: &[String],
    ports: PublicPorts,
    target: impl Fn(&str) -> Target,
) -> Vec<Rule> {
    let rule = |it: RouteRule| {
        let (rewrite, component, target) = match it.target {
            RouteTarget::Component { name, forward } => {
                let target = target(&name);
                (rewrite(forward), name, target)
            }
            RouteTarget::Redirect(to) => {
                (Rewrite::Keep, String::new(), Target::Redirect { redirect: redirect(to, hosts, ports) })
            }
        };
        let authority = it.authority.map(|authority| match authority {
            Authority::Exact(host) => HostMatch::Exact(host),
            Authority::Prefix(text) => HostMatch::Prefix(text),
        });
        let path = match it.path {
            RoutePath::Prefix(path) => PathMatch::Prefix(path),
            RoutePath::Exact(path) => PathMatch::Exact(path),
        };
        Rule { authority, path, rewrite, component, cors: it.cors.as_ref().map(cors), target }
    };
    app_spec::routes(spec).into_iter().map(rule).collect()
}

/// What holds for all requests to the app.
pub(super) fn policy(spec: &AppSpec) -> AppPolicy {
    let maintenance = spec.maintenance.as_ref().filter(|it| it.enabled);
    let ingress = spec.ingress.as_ref();
    let versions = spec.domains.iter().filter_map(|it| Some((it, it.minimum_tls_version.clone()?)));
    let versions =
        versions.flat_map(|(it, version)| it.host_names().into_iter().map(move |name| (name, version.clone())));
    AppPolicy {
        minimum_tls_versions: versions.collect(),
        maintenance: maintenance.map(|it| Maintenance { page: it.offline_page_url.clone() }),
        error_page: ingress.and_then(|it| it.custom_error_page_url.clone()),
        request_header: ingress
            .and_then(|it| it.secure_header.as_ref())
            .map(|it| RequestHeader { name: it.key.clone(), value: it.value.clone() }),
    }
}

fn rewrite(forward: Forward) -> Rewrite {
    match forward {
        Forward::Strip => Rewrite::Strip,
        Forward::Preserve => Rewrite::Keep,
        Forward::Rewrite(path) => Rewrite::Replace(path),
    }
}

/// On App Platform every host answers on the default ports, with and without TLS. Here the ingress may listen on others. So a
/// redirect within the app that names no port leads to the listener for its scheme, or to HTTP if there is none for HTTPS.
fn redirect(to: RedirectTo, hosts: &[String], ports: PublicPorts) -> Redirect {
    let within_app = to.authority.as_ref().is_none_or(|host| hosts.iter().any(|it| it.eq_ignore_ascii_case(host)));
    let (scheme, port) = match (to.scheme, ports.https) {
        (scheme, _) if !within_app || to.port.is_some() => (scheme, to.port),
        (Scheme::Https, Some(https)) => (Scheme::Https, Some(https)),
        (Scheme::Https, None) | (Scheme::Http, _) => (Scheme::Http, Some(ports.http)),
    };
    let scheme = match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    Redirect { scheme: scheme.to_owned(), host: to.authority, port, path: to.uri, status: to.code }
}

fn cors(policy: &Cors) -> CorsPolicy {
    let origin = |it: &StringMatch| match it {
        StringMatch { exact: Some(text), .. } => Some(OriginMatch::Exact(text.clone())),
        StringMatch { prefix: Some(text), .. } => Some(OriginMatch::Prefix(text.clone())),
        StringMatch { regex: Some(text), .. } => Some(OriginMatch::Regex(text.clone())),
        StringMatch { exact: None, prefix: None, regex: None } => None,
    };
    CorsPolicy {
        allow_origins: policy.allow_origins.iter().filter_map(origin).collect(),
        allow_methods: policy.allow_methods.clone(),
        allow_headers: policy.allow_headers.clone(),
        expose_headers: policy.expose_headers.clone(),
        max_age_seconds: policy.max_age_seconds(),
        allow_credentials: policy.allow_credentials,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rules_of(ingress: &str, https: Option<u16>) -> Vec<Rule> {
        let text = format!(
            "name: shop\nservices:\n- {{name: web, git: {{repo_clone_url: /x}}}}\ningress:\n  rules:\n  \
             - component: {{name: web}}\n  - {ingress}\n"
        );
        let spec = AppSpec::from_yaml(&text).unwrap().spec;
        rules(&spec, &["shop.localhost".to_owned()], PublicPorts { http: 8080, https }, |_| Target::Instances {
            upstreams: Vec::new(),
        })
    }

    #[test]
    fn a_redirect_within_the_app_leads_to_a_listener_of_the_ingress() {
        let address = |given: &str, https| {
            let rules = rules_of(&format!("{{match: {{path: {{exact: /old}}}}, redirect: {given}}}"), https);
            let Target::Redirect { redirect } = rules[0].target.clone() else { panic!("{rules:?}") };
            let port = redirect.port.map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{}{port}", redirect.scheme, redirect.host.unwrap_or_default())
        };
        let table = [
            ("{uri: /new}", None, "http://:8080"),
            ("{uri: /new}", Some(8443), "https://:8443"),
            ("{uri: /new, scheme: http}", Some(8443), "http://:8080"),
            ("{uri: /new, port: 9000}", None, "https://:9000"),
            ("{authority: Shop.localhost}", None, "http://Shop.localhost:8080"),
            ("{authority: example.com}", None, "https://example.com"),
            ("{authority: example.com, scheme: http}", Some(8443), "http://example.com"),
        ];
        for (given, https, wanted) in table {
            assert_eq!(address(given, https), wanted, "{given} {https:?}");
        }
    }

    #[test]
    fn rules_keep_their_host_names_and_their_cors_policy() {
        let rules = rules_of(
            "{match: {authority: {exact: WWW.example}, path: {prefix: /a}}, component: {name: web, rewrite: /b}, cors: \
             {allow_origins: [{prefix: 'https://a'}, {regex: 'b.*'}], max_age: 2m, allow_methods: [GET]}}",
            None,
        );
        let cors = CorsPolicy {
            allow_origins: vec![OriginMatch::Prefix("https://a".to_owned()), OriginMatch::Regex("b.*".to_owned())],
            allow_methods: vec!["GET".to_owned()],
            max_age_seconds: Some(120),
            ..CorsPolicy::default()
        };
        let wanted = Rule {
            authority: Some(HostMatch::Exact("www.example".to_owned())),
            path: PathMatch::Prefix("/a".to_owned()),
            rewrite: Rewrite::Replace("/b".to_owned()),
            component: "web".to_owned(),
            cors: Some(cors),
            target: Target::Instances { upstreams: Vec::new() },
        };
        assert_eq!(rules[0], wanted);
    }

    #[test]
    fn maintenance_counts_only_if_it_is_enabled() {
        let policy_of = |text: &str| policy(&AppSpec::from_yaml(&format!("name: shop\n{text}\n")).unwrap().spec);
        assert_eq!(policy_of("maintenance: {offline_page_url: 'https://x.example'}"), AppPolicy::default());
        let page = Some("https://x.example".to_owned());
        let wanted = AppPolicy { maintenance: Some(Maintenance { page }), ..AppPolicy::default() };
        assert_eq!(policy_of("maintenance: {enabled: true, offline_page_url: 'https://x.example'}"), wanted);
        let text = "ingress: {custom_error_page_url: 'https://e.example', secure_header: {key: X-A, value: b}}";
        let wanted = AppPolicy {
            error_page: Some("https://e.example".to_owned()),
            request_header: Some(RequestHeader { name: "X-A".to_owned(), value: "b".to_owned() }),
            ..AppPolicy::default()
        };
        assert_eq!(policy_of(text), wanted);
    }
}
