//! Fills in the defaults that App Platform adds to a spec before it returns the spec.
//!
//! Leaves out termination on purpose, because its defaults here differ from the platform's and belong to the
//! controller. Also leaves out region and features, which have no meaning on one host.

use crate::routes::{Forward, Origin, RoutePath, RouteRule, RouteTarget, origin, routes};
use crate::size::DEFAULT;
use crate::spec::{
    AppSpec, Autoscaling, Common, EnvKind, EnvVar, HealthCheck, ImageSource, Ingress, IngressComponent, IngressRule,
    LivenessHealthCheck, Match, Redirect, RouteMatch, Scheme, Source,
};

impl AppSpec {
    /// The spec with every default written out. Routes of components become ingress rules. Completing a completed spec
    /// changes nothing.
    pub fn completed(&self) -> AppSpec {
        let mut spec = self.clone();
        let ports: Vec<Option<u16>> = self.services.iter().map(|service| self.http_port(service)).collect();
        for (service, port) in spec.services.iter_mut().zip(ports) {
            service.http_port = port;
            common(&mut service.common, service.autoscaling.as_ref());
            service.health_check.iter_mut().for_each(health_check);
            service.liveness_health_check.iter_mut().for_each(liveness);
        }
        for worker in &mut spec.workers {
            common(&mut worker.common, worker.autoscaling.as_ref());
            worker.liveness_health_check.iter_mut().for_each(liveness);
        }
        for job in &mut spec.jobs {
            common(&mut job.common, None);
            job.kind = Some(job.kind());
        }
        for site in &mut spec.static_sites {
            site.envs.iter_mut().for_each(env);
            site.index_document.get_or_insert_with(|| "index.html".to_owned());
            if site.catchall_document.is_none() {
                site.error_document.get_or_insert_with(|| "404.html".to_owned());
            }
        }
        spec.functions.iter_mut().flat_map(|function| &mut function.envs).for_each(env);
        spec.envs.iter_mut().for_each(env);
        ingress(self, &mut spec);
        spec
    }
}

fn common(common: &mut Common, autoscaling: Option<&Autoscaling>) {
    if autoscaling.is_none() {
        common.instance_count.get_or_insert(1);
    }
    common.instance_size_slug.get_or_insert_with(|| DEFAULT.to_owned());
    common.envs.iter_mut().for_each(env);
    if let Source::Image(ImageSource { tag, digest: None, .. }) = &mut common.source {
        tag.get_or_insert_with(|| "latest".to_owned());
    }
}

fn env(env: &mut EnvVar) {
    env.scope = Some(env.scope());
    env.kind.get_or_insert(EnvKind::General);
}

/// Does not fill in the delay: its default is 0, which is the same as absent.
fn health_check(check: &mut HealthCheck) {
    check.period_seconds = Some(check.period_seconds());
    check.timeout_seconds = Some(check.timeout_seconds());
    check.success_threshold = Some(check.success_threshold());
    check.failure_threshold = Some(check.failure_threshold());
}

fn liveness(check: &mut LivenessHealthCheck) {
    check.initial_delay_seconds.get_or_insert(5);
    check.period_seconds.get_or_insert(10);
    check.timeout_seconds.get_or_insert(1);
    check.success_threshold.get_or_insert(1);
    check.failure_threshold.get_or_insert(18);
}

fn redirect(redirect: &mut Redirect) {
    redirect.scheme.get_or_insert(Scheme::Https);
    redirect.redirect_code.get_or_insert(302);
}

fn ingress(given: &AppSpec, spec: &mut AppSpec) {
    if !matches!(origin(given), Origin::Ingress(_)) {
        let rules: Vec<IngressRule> = routes(given).into_iter().filter_map(rule).collect();
        if !rules.is_empty() {
            spec.ingress.get_or_insert_with(Ingress::default).rules = rules;
        }
    }
    if let Some(ingress) = &mut spec.ingress {
        ingress.rules.iter_mut().filter_map(|rule| rule.redirect.as_mut()).for_each(redirect);
    }
    spec.services.iter_mut().for_each(|service| service.routes.clear());
    spec.static_sites.iter_mut().for_each(|site| site.routes.clear());
    spec.functions.iter_mut().for_each(|function| function.routes.clear());
}

/// `None` for a redirect, which only an ingress rule can declare. A component's CORS policy stays with the component.
fn rule(rule: RouteRule) -> Option<IngressRule> {
    let RouteTarget::Component { name, forward } = rule.target else { return None };
    let path = match rule.path {
        RoutePath::Prefix(prefix) => Match { prefix: Some(prefix), exact: None },
        RoutePath::Exact(exact) => Match { prefix: None, exact: Some(exact) },
    };
    let (preserve_path_prefix, rewrite) = match forward {
        Forward::Strip => (false, None),
        Forward::Preserve => (true, None),
        Forward::Rewrite(rewrite) => (false, Some(rewrite)),
    };
    Some(IngressRule {
        on: Some(RouteMatch { path: Some(path), authority: None }),
        component: Some(IngressComponent { name, preserve_path_prefix, rewrite }),
        redirect: None,
        cors: None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::Value;

    use super::*;
    use crate::value::rule::Fallback;
    use crate::value::{Field, Object};

    const TEXT: &str = "
name: shop
services:
- name: web
  image: {registry_type: DOCKER_HUB, registry: library, repository: nginx}
  envs: [{key: A, value: b}]
  health_check: {http_path: /health}
- name: api
  git: {repo_clone_url: 'https://example.com/r.git'}
  internal_ports: [9000]
jobs:
- name: migrate
  git: {repo_clone_url: 'https://example.com/r.git'}
";

    #[test]
    fn completing_writes_out_the_defaults() {
        let json = AppSpec::from_yaml(TEXT).unwrap().spec.completed().to_json_value(&|_, _| String::new());
        let web = &json["services"][0];
        assert_eq!(web["http_port"], 8080);
        assert_eq!(web["instance_count"], 1);
        assert_eq!(web["instance_size_slug"], "apps-s-1vcpu-0.5gb");
        assert_eq!(web["image"]["tag"], "latest");
        assert_eq!(web["envs"][0]["scope"], "RUN_AND_BUILD_TIME");
        assert_eq!(web["health_check"]["failure_threshold"], 9);
        assert_eq!(json["services"][1].get("http_port"), None);
        assert_eq!(json["jobs"][0]["kind"], "POST_DEPLOY");
        assert_eq!(json["ingress"]["rules"].as_array().unwrap().len(), 1);
        assert_eq!(json["ingress"]["rules"][0]["match"]["path"]["prefix"], "/");
        assert_eq!(json["ingress"]["rules"][0]["component"]["name"], "web");
    }

    /// The schema gives editors the same defaults that `completed` writes out.
    #[test]
    fn completed_defaults_match_the_declarations() {
        let text = TEXT.to_owned()
            + "  schedule: {cron: '0 1 * * *'}\n  kind: SCHEDULED\n"
            + "workers:\n- {name: work, git: {repo_clone_url: /x}, liveness_health_check: {port: 90}}\n"
            + "static_sites:\n- {name: docs, git: {repo_clone_url: /x}, envs: [{key: B}]}\n"
            + "ingress: {rules: [{redirect: {uri: /x}}, {match: {path: {prefix: /y}}, component: {name: web}}]}\n";
        let spec = AppSpec::from_yaml(&text).unwrap().spec;
        let json = |spec: &AppSpec| spec.to_json_value(&|_, _| String::new());
        let mut compared = 0;
        compare(AppSpec::fields(), &json(&spec), &json(&spec.completed()), "", &mut compared);
        assert!(compared >= 20, "only {compared} defaults were looked at");
    }

    fn compare(fields: &[Field], given: &Value, completed: &Value, path: &str, compared: &mut usize) {
        if let Value::Array(items) = completed {
            for (i, item) in items.iter().enumerate() {
                compare(fields, &given[i], item, &format!("{path}[]"), compared);
            }
            return;
        }
        for field in fields {
            let (before, after) = (&given[field.name], &completed[field.name]);
            let path = format!("{path}.{}", field.name);
            match field.rule.fallback {
                Some(fallback) if before.is_null() && !after.is_null() => {
                    let wanted = match fallback {
                        Fallback::Text(text) => Value::from(text),
                        Fallback::Integer(integer) => Value::from(integer),
                    };
                    assert_eq!(*after, wanted, "{path}");
                    *compared += 1;
                }
                _ => compare(field.shape.fields(), before, after, &path, compared),
            }
        }
    }

    #[test]
    fn completing_does_not_change_routing_and_is_idempotent() {
        let spec = AppSpec::from_yaml(TEXT).unwrap().spec;
        let completed = spec.completed();
        assert_eq!(routes(&completed), routes(&spec));
        assert_eq!(completed.http_port(&completed.services[1]), None);
        assert_eq!(completed.completed(), completed);
    }
}
