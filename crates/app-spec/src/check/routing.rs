//! Routing: rules that name an unknown component, paths that clash, and routes that another route overrides.

use std::collections::HashMap;

use super::{not_both, record_use};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::routes::{Origin, RoutePath, default_components, origin, prefix_of, route_path};
use crate::spec::{AppSpec, Component, IngressRule, Match, REDIRECT_CODES, Redirect, RouteMatch};
use crate::suggest::{nearest, one_of, shown};

/// `partial` means that a field may be missing because it could not be read.
pub(super) fn check(spec: &AppSpec, partial: bool, found: &mut Vec<Diagnostic>) {
    component_routes(spec, found);
    match origin(spec) {
        Origin::Ingress(rules) => ingress(spec, rules, found),
        Origin::Routes => {}
        Origin::Nothing if partial => {}
        Origin::Nothing => defaults(spec, found),
    }
}

/// Legacy routes: ignored beside ingress rules, otherwise unique.
fn component_routes(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    let is_ignored = matches!(origin(spec), Origin::Ingress(_));
    let mut uses = HashMap::new();
    for (path, component) in spec.components_with_paths().filter(|(_, it)| !it.routes().is_empty()) {
        if is_ignored {
            let message = "the app has ingress rules, so these routes have no effect";
            found.push(Diagnostic::warning(Code::Doubtful, format!("{path}.routes"), message));
            continue;
        }
        for (i, route) in component.routes().iter().enumerate() {
            let path = format!("{path}.routes[{i}].path");
            let prefix = prefix_of(route.path.as_deref().unwrap_or_default());
            if let Some(before) = prefix.strip_suffix('*') {
                let message = "a path is a prefix, and `*` is an ordinary character in it";
                let doubtful = Diagnostic::warning(Code::Doubtful, path.clone(), message);
                found.push(doubtful.help(format!("write `{}`", shown(&prefix_of(before.trim_end_matches('*'))))));
            }
            clash(&mut uses, prefix.clone(), &prefix, path, found);
        }
    }
}

/// Reports a path that was used before. `key` is the path and what else distinguishes the routes.
fn clash(uses: &mut HashMap<String, String>, key: String, shown_as: &str, path: String, found: &mut Vec<Diagnostic>) {
    if let Some(first) = record_use(uses, key, &path) {
        let message = format!("the path `{}` is already used by `{first}`", shown(shown_as));
        found.push(Diagnostic::error(Code::RouteClash, path, message).related(first, None, "first used here"));
    }
}

fn ingress(spec: &AppSpec, rules: &[IngressRule], found: &mut Vec<Diagnostic>) {
    let mut uses = HashMap::new();
    for (i, rule) in rules.iter().enumerate() {
        if found.len() >= Diagnostics::LIMIT {
            return;
        }
        let path = format!("ingress.rules[{i}]");
        target(spec, &path, rule, found);
        matches(&path, rule, found);
        let on = rule.on.as_ref();
        let by_path = route_path(on.and_then(|on| on.path.as_ref()));
        let kind = if matches!(by_path, RoutePath::Exact(_)) { "exact" } else { "prefix" };
        let authority = on.and_then(RouteMatch::authority);
        let key = format!("{kind} {} {authority:?}", by_path.as_str());
        clash(&mut uses, key, by_path.as_str(), path, found);
    }
}

fn target(spec: &AppSpec, path: &str, rule: &IngressRule, found: &mut Vec<Diagnostic>) {
    match (&rule.component, &rule.redirect) {
        (None, None) => {
            let message = "an ingress rule needs `component` or `redirect`";
            found.push(Diagnostic::error(Code::Missing, path, message));
        }
        (Some(_), Some(_)) => not_both(path, ("component", true), ("redirect", true), found),
        (None, Some(redirect)) => check_redirect(&format!("{path}.redirect"), redirect, found),
        (Some(component), None) => {
            let path = format!("{path}.component");
            let preserve = ("preserve_path_prefix", component.preserve_path_prefix);
            not_both(&path, preserve, ("rewrite", component.rewrite.is_some()), found);
            names_a_component(spec, format!("{path}.name"), &component.name, found);
        }
    }
}

fn check_redirect(path: &str, redirect: &Redirect, found: &mut Vec<Diagnostic>) {
    if redirect.redirect_code.is_some_and(|code| !REDIRECT_CODES.contains(&i64::from(code))) {
        let help = format!("allowed: {}", REDIRECT_CODES.map(|code| code.to_string()).join(", "));
        let path = format!("{path}.redirect_code");
        found.push(Diagnostic::error(Code::OutOfRange, path, "this is not a status code for redirects").help(help));
    }
    let authority = redirect.authority.as_deref().and_then(|text| text.rsplit_once(':'));
    if let Some((host, port)) = authority.filter(|(_, port)| port.parse::<u16>().is_ok()) {
        let problem =
            Diagnostic::error(Code::BadFormat, format!("{path}.authority"), "`authority` is a host without a port");
        found.push(problem.help(format!("write `authority: {}` and `port: {port}`", shown(host))));
    }
}

fn names_a_component(spec: &AppSpec, path: String, name: &str, found: &mut Vec<Diagnostic>) {
    // The reader has already reported a name that it could not read, and that name may be the one meant here.
    if name.is_empty() || spec.components().any(|c| c.name().is_empty()) {
        return;
    }
    match spec.component(name) {
        Some(Component::Service(_) | Component::StaticSite(_) | Component::Function(_)) => {}
        Some(other @ (Component::Worker(_) | Component::Job(_))) => {
            let message = format!("`{name}` is a {}, which does not receive requests", other.kind().as_str());
            found.push(Diagnostic::error(Code::UnknownComponent, path, message));
        }
        None if spec.database(name).is_some() => {
            let message = format!("`{name}` is a database, which does not receive requests");
            found.push(Diagnostic::error(Code::UnknownComponent, path, message));
        }
        None => {
            let message = format!("there is no component `{}`", shown(name));
            let names: Vec<&str> = spec.components().filter(|c| c.kind().has_routes()).map(Component::name).collect();
            let diagnostic = Diagnostic::error(Code::UnknownComponent, path, message);
            found.push(match nearest(name, names.iter().copied()) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None if names.is_empty() => diagnostic,
                None => diagnostic.help(format!("allowed: {}", shown(&one_of(names)))),
            });
        }
    }
}

fn matches(path: &str, rule: &IngressRule, found: &mut Vec<Diagnostic>) {
    let Some(on) = &rule.on else { return };
    for (field, text) in [("path", &on.path), ("authority", &on.authority)] {
        let Some(by) = text else { continue };
        let path = format!("{path}.match.{field}");
        not_both(&path, ("prefix", by.prefix.is_some()), ("exact", by.exact.is_some()), found);
        if field == "path" {
            if by.prefix.is_none() && by.exact.is_none() {
                let message = "neither `prefix` nor `exact` is given, so every path matches";
                found.push(Diagnostic::warning(Code::Doubtful, path.clone(), message).help("give one of them"));
            }
            begins_with_slash(&path, by, found);
        } else {
            names_hosts(&path, by, found);
        }
    }
}

fn begins_with_slash(path: &str, by: &Match, found: &mut Vec<Diagnostic>) {
    for (field, text) in [("prefix", &by.prefix), ("exact", &by.exact)] {
        let complaint = text.as_deref().and_then(|text| crate::value::form::request_path(text).err());
        found.extend(complaint.map(|complaint| complaint.into_problem(format!("{path}.{field}"))));
    }
}

/// A host name without a port, or its beginning. Empty text stands for every host name.
fn names_hosts(path: &str, by: &Match, found: &mut Vec<Diagnostic>) {
    let is_host = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    for (field, text) in [("prefix", &by.prefix), ("exact", &by.exact)] {
        let Some(text) = text.as_deref().filter(|text| !is_host(text)) else { continue };
        let message = format!("`{}` is not a host name", shown(text));
        let problem = Diagnostic::error(Code::BadFormat, format!("{path}.{field}"), message);
        found.push(match text.starts_with("*.") {
            true => problem.help("leave the authority out to match all host names of the app"),
            false => problem.help("write it without scheme, port and path, such as `example.com`"),
        });
    }
}

/// Warns about default paths. The platform does not document them, so a spec should not rely on them.
fn defaults(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    let [first, second, ..] = &default_components(spec)[..] else { return };
    // The reader reports a missing name.
    if spec.components().any(|component| component.name().is_empty()) {
        return;
    }
    let (first, second) = (first.name(), second.name());
    let message = format!("no routes are given: `{first}` gets `/`, and each other one its name, such as `/{second}`");
    let path = spec.components_with_paths().find(|(_, it)| it.name() == first).map(|(path, _)| path);
    let doubtful = Diagnostic::warning(Code::Doubtful, path.unwrap_or_default(), message);
    found.push(doubtful.help("write the paths as ingress rules"));
}
