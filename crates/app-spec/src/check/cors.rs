//! CORS policies: an origin says in one way which origins it means.

use crate::diagnostic::{Code, Diagnostic};
use crate::spec::{AppSpec, Component, Cors, StringMatch};

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    let rules = spec.ingress.iter().flat_map(|ingress| &ingress.rules).enumerate();
    for (i, rule) in rules {
        origins(&format!("ingress.rules[{i}].cors"), rule.cors.as_ref(), found);
    }
    for (path, component) in spec.components_with_paths() {
        let cors = match component {
            Component::Service(service) => service.cors.as_ref(),
            Component::StaticSite(site) => site.cors.as_ref(),
            Component::Function(function) => function.cors.as_ref(),
            Component::Worker(_) | Component::Job(_) => None,
        };
        origins(&format!("{path}.cors"), cors, found);
    }
}

fn origins(path: &str, cors: Option<&Cors>, found: &mut Vec<Diagnostic>) {
    for (i, origin) in cors.iter().flat_map(|cors| &cors.allow_origins).enumerate() {
        let StringMatch { exact, prefix, regex } = origin;
        let count = [exact, prefix, regex].into_iter().filter(|given| given.is_some()).count();
        if count != 1 {
            let code = if count == 0 { Code::Missing } else { Code::Conflict };
            let message = format!("an origin is given in exactly one way, here are {count}");
            let diagnostic = Diagnostic::error(code, format!("{path}.allow_origins[{i}]"), message);
            found.push(diagnostic.help("one of `exact`, `prefix`, `regex`"));
        }
    }
}
