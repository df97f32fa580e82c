//! CORS policies: each origin is given in exactly one way.

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
    for (i, StringMatch { exact, prefix, regex }) in cors.iter().flat_map(|cors| &cors.allow_origins).enumerate() {
        let count = [exact, prefix, regex].into_iter().filter(|given| given.is_some()).count();
        if count != 1 {
            let code = if count == 0 { Code::Missing } else { Code::Conflict };
            let message = format!("an origin needs exactly one of `exact`, `prefix` and `regex`, found {count}");
            found.push(Diagnostic::error(code, format!("{path}.allow_origins[{i}]"), message));
        }
    }
}
