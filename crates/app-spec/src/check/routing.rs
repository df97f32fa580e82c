//! Routing: rules that name an unknown component, paths that clash, and routes that another route overrides.

use std::collections::HashMap;

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

fn component_routes(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    let ingress_wins = matches!(origin(spec), Origin::Ingress(_));
    let mut first: HashMap<String, String> = HashMap::new();
    for (path, component) in spec.components_with_paths() {
        if ingress_wins && !component.routes().is_empty() {
            let message = "the app has ingress rules, so these routes have no effect";
            found.push(Diagnostic::warning(Code::Doubtful, format!("{path}.routes"), message));
        }
        if ingress_wins {
            continue;
        }
        for (i, route) in component.routes().iter().enumerate() {
            let path = format!("{path}.routes[{i}].path");
            let prefix = prefix_of(route.path.as_deref().unwrap_or_default());
            if prefix.ends_with('*') {
                let doubtful =
                    Diagnostic::warning(Code::Doubtful, path.clone(), "a path is a prefix, and `*` is taken literally");
                found.push(doubtful.help(format!("write `{}`", shown(&prefix_of(prefix.trim_end_matches('*'))))));
            }
            clash(&mut first, prefix.clone(), &prefix, path, found);
        }
    }
}

/// Reports a key that was used before.
fn clash(first: &mut HashMap<String, String>, key: String, shown_as: &str, path: String, found: &mut Vec<Diagnostic>) {
    match first.get(&key) {
        None => _ = first.insert(key, path),
        Some(before) => {
            let message = format!("the path `{}` is taken by `{before}`", shown(shown_as));
            let clash = Diagnostic::error(Code::RouteClash, path, message);
            found.push(clash.related(before.clone(), None, "first used here"));
        }
    }
}

fn ingress(spec: &AppSpec, rules: &[IngressRule], found: &mut Vec<Diagnostic>) {
    let mut first: HashMap<String, String> = HashMap::new();
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
        clash(&mut first, key, by_path.as_str(), path, found);
    }
}

fn target(spec: &AppSpec, path: &str, rule: &IngressRule, found: &mut Vec<Diagnostic>) {
    match (&rule.component, &rule.redirect) {
        (None, None) => {
            let message = "an ingress rule needs `component` or `redirect`";
            found.push(Diagnostic::error(Code::Missing, path, message));
        }
        (Some(_), Some(_)) => {
            let message = "an ingress rule has either `component` or `redirect`, not both";
            found.push(Diagnostic::error(Code::Conflict, format!("{path}.redirect"), message));
        }
        (None, Some(redirect)) => {
            elsewhere(&format!("{path}.redirect"), redirect, found);
        }
        (Some(component), None) => {
            if component.preserve_path_prefix && component.rewrite.is_some() {
                let path = format!("{path}.component.rewrite");
                let message = "`preserve_path_prefix` and `rewrite` exclude each other";
                found.push(Diagnostic::error(Code::Conflict, path, message));
            }
            names_a_component(spec, format!("{path}.component.name"), &component.name, found);
        }
    }
}

fn elsewhere(path: &str, redirect: &Redirect, found: &mut Vec<Diagnostic>) {
    if redirect.redirect_code.is_some_and(|code| !REDIRECT_CODES.contains(&i64::from(code))) {
        let help = format!("allowed: {}", REDIRECT_CODES.map(|code| code.to_string()).join(", "));
        let path = format!("{path}.redirect_code");
        found.push(Diagnostic::error(Code::OutOfRange, path, "not a code for redirects").help(help));
    }
    let authority = redirect.authority.as_deref().and_then(|text| text.rsplit_once(':'));
    if let Some((host, port)) = authority.filter(|(_, port)| port.parse::<u16>().is_ok()) {
        let problem = Diagnostic::error(Code::BadFormat, format!("{path}.authority"), "the host stands without a port");
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
            let message = format!("`{name}` is a {}: it takes no requests", other.kind().as_str());
            found.push(Diagnostic::error(Code::UnknownComponent, path, message));
        }
        None if spec.database(name).is_some() => {
            let message = format!("`{name}` is a database: it takes no requests");
            found.push(Diagnostic::error(Code::UnknownComponent, path, message));
        }
        None => {
            let message = format!("there is no component `{}`", shown(name));
            let names: Vec<&str> = spec.components().filter(|c| c.kind().has_routes()).map(Component::name).collect();
            let diagnostic = Diagnostic::error(Code::UnknownComponent, path, message);
            found.push(match nearest(name, names.iter().copied()) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None if names.is_empty() => diagnostic,
                None => diagnostic.help(format!("there is {}", shown(&one_of(names)))),
            });
        }
    }
}

fn matches(path: &str, rule: &IngressRule, found: &mut Vec<Diagnostic>) {
    let Some(on) = &rule.on else { return };
    for (field, text) in [("path", &on.path), ("authority", &on.authority)] {
        let Some(by) = text else { continue };
        let path = format!("{path}.match.{field}");
        if by.prefix.is_some() && by.exact.is_some() {
            let message = "`prefix` and `exact` exclude each other";
            found.push(Diagnostic::error(Code::Conflict, format!("{path}.exact"), message));
        }
        if field == "path" {
            if by.prefix.is_none() && by.exact.is_none() {
                let message = "neither `prefix` nor `exact` is given, so every path matches";
                found.push(Diagnostic::warning(Code::Doubtful, path.clone(), message).help("give one of them"));
            }
            begins_with_slash(&path, by, found);
        }
    }
}

fn begins_with_slash(path: &str, by: &Match, found: &mut Vec<Diagnostic>) {
    for (field, text) in [("prefix", &by.prefix), ("exact", &by.exact)] {
        let complaint = text.as_deref().and_then(|text| crate::value::form::request_path(text).err());
        found.extend(complaint.map(|complaint| complaint.into_problem(format!("{path}.{field}"))));
    }
}

/// Warns about default paths. The platform does not document them, so a spec should not rely on them.
fn defaults(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    let [first, others @ ..] = &default_components(spec)[..] else { return };
    // The reader reports a missing name.
    let all_named = !first.is_empty() && others.iter().all(|name| !name.is_empty());
    if !others.is_empty() && all_named {
        let paths = others.iter().map(|name| format!("`/{name}`")).collect::<Vec<_>>().join(", ");
        let rest = if others.len() == 1 { "the other gets" } else { "the others get" };
        let message = format!("no routes are given: `{first}` gets `/`, {rest} {paths}");
        let named = |(path, component): (String, Component<'_>)| (component.name() == *first).then_some(path);
        let path = spec.components_with_paths().find_map(named).unwrap_or_default();
        found.push(Diagnostic::warning(Code::Doubtful, path, shown_whole(message)).help("write it as ingress rules"));
    }
}

/// Limits the length of the message: each name is short, but there may be many.
fn shown_whole(message: String) -> String {
    if message.chars().count() <= 300 { message } else { message.chars().take(299).chain(['…']).collect() }
}
