//! Variables: given once, references that name something, a `PORT` that is the port.

use std::collections::HashMap;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::needed::Why;
use crate::reference::{Meaning, OF_APP, Part, Reference, meaning, parts, without_pool};
use crate::spec::{AppSpec, Component, EnvScope, EnvValue, EnvVar, Service};
use crate::suggest::{nearest, one_of, shown};

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    list(spec, None, "envs", &spec.envs, found);
    for (path, component) in spec.components_with_paths() {
        list(spec, Some(component), &format!("{path}.envs"), component.envs(), found);
        if let Component::Service(service) = component {
            own_port(spec, &path, service, found);
        }
    }
    found.extend(spec.needed_credentials().map(|credentials| {
        let message = match credentials.why {
            Why::SealedElsewhere => "the registry credentials are sealed, and only whoever sealed them can open them",
            Why::Placeholder | Why::Empty => "the registry credentials hold a placeholder that nothing has replaced",
        };
        Diagnostic::warning(Code::NeedsValue, credentials.path, message).help("give them as `user:token`")
    }));
}

fn list(spec: &AppSpec, holder: Option<Component<'_>>, path: &str, envs: &[EnvVar], found: &mut Vec<Diagnostic>) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (i, env) in envs.iter().enumerate().filter(|(_, env)| !env.key.is_empty()) {
        if let Some(before) = first.insert(&env.key, i) {
            let message = format!("the variable `{}` is given twice; the last one counts", shown(&env.key));
            let twice = Diagnostic::warning(Code::Doubtful, format!("{path}[{i}].key"), message);
            found.push(twice.related(format!("{path}[{before}].key"), None, "given before here"));
        }
        match spec.why_needed(env, holder.is_some()) {
            Some(why) => found.push(needed(&format!("{path}[{i}]"), &env.key, why)),
            None => {
                let path = format!("{path}[{i}].value");
                references(spec, holder, &path, &env.value, found);
                in_a_build(spec, holder, &path, env, found);
                stand_in(&path, env, found);
            }
        }
    }
}

fn needed(path: &str, key: &str, why: Why) -> Diagnostic {
    let key = shown(key);
    let (field, message, help) = match why {
        Why::Empty => (
            "key",
            format!("the secret `{key}` has no value yet"),
            "give it when the app is created, or it is kept from before",
        ),
        Why::Placeholder => (
            "value",
            format!("`${{{key}}}` is a placeholder for the value of this very variable"),
            "give the value, or let a deploy tool fill it in",
        ),
        Why::SealedElsewhere => (
            "key",
            format!("the value of `{key}` is sealed, and only whoever sealed it can open it"),
            "give it again when the app is created; an app keeps those that it sealed itself",
        ),
    };
    Diagnostic::warning(Code::NeedsValue, format!("{path}.{field}"), message).help(help)
}

fn references(
    spec: &AppSpec,
    holder: Option<Component<'_>>,
    path: &str,
    value: &EnvValue,
    found: &mut Vec<Diagnostic>,
) {
    for part in parts(shown_part(value)) {
        let Part::Reference(reference) = part else { continue };
        if found.len() >= Diagnostics::LIMIT {
            return;
        }
        let Some(help) = complaint(spec, holder, reference) else { continue };
        let message = format!("`{}` names nothing and stays as text", shown(reference.written));
        found.push(Diagnostic::warning(Code::UnknownReference, path, message).help(help));
    }
}

/// Databases are not there while something is built.
fn in_a_build(spec: &AppSpec, holder: Option<Component<'_>>, path: &str, env: &EnvVar, found: &mut Vec<Diagnostic>) {
    let only_in_builds = matches!(holder, Some(Component::StaticSite(_))) || env.scope() == EnvScope::BuildTime;
    if !only_in_builds {
        return;
    }
    for part in parts(shown_part(&env.value)) {
        let Part::Reference(reference) = part else { continue };
        if let Meaning::Database(database, _) = meaning(spec, holder, reference) {
            let message = format!("database `{}` has no values while something is built", database.name);
            found.push(Diagnostic::warning(Code::Doubtful, path, message).help("give the variable `scope: RUN_TIME`"));
            return;
        }
    }
}

/// `<REQUIRED>`, `CHANGE_ME`, `TODO`: what a template's author wanted to be replaced.
fn stand_in(path: &str, env: &EnvVar, found: &mut Vec<Diagnostic>) {
    let text = match &env.value {
        EnvValue::Plain(text) => text.as_str(),
        EnvValue::Secret(secret) => secret.expose(),
        EnvValue::Sealed(_) | EnvValue::Missing => return,
    };
    let is_bracketed = text.starts_with('<') && text.ends_with('>') && !text.contains(' ');
    if is_bracketed || text == "TODO" || text.contains("CHANGE_ME") || text.contains("CHANGEME") {
        let message = format!("the value of `{}` looks like a stand-in for the real one", shown(&env.key));
        found.push(Diagnostic::warning(Code::Doubtful, path, message));
    }
}

/// What may be quoted of a value: of a secret only what is nothing but a reference.
fn shown_part(value: &EnvValue) -> &str {
    match value {
        EnvValue::Plain(text) => text,
        EnvValue::Secret(secret) => match parts(secret.expose())[..] {
            [Part::Reference(_)] => secret.expose(),
            _ => "",
        },
        EnvValue::Sealed(_) | EnvValue::Missing => "",
    }
}

/// Why a reference will stay text, if it will.
fn complaint(spec: &AppSpec, holder: Option<Component<'_>>, reference: Reference<'_>) -> Option<String> {
    match meaning(spec, holder, reference) {
        Meaning::App => None,
        Meaning::Variable => variable(spec, holder, reference.name),
        Meaning::Component(_, known) if known.contains(&reference.name) => None,
        Meaning::Database(database, known) if known.contains(&without_pool(database.engine(), reference.name)) => None,
        Meaning::Database(database, known) => {
            Some(format!("database `{}` has {}", database.name, one_of(known.iter().copied())))
        }
        Meaning::Component(component, known) => {
            let kind = component.kind().as_str();
            Some(format!("{kind} `{}` has {}", component.name(), one_of(known.iter().copied())))
        }
        // Every component has a `_self` of its own.
        Meaning::NoOwner if holder.is_none() && reference.owner == Some("_self") => None,
        Meaning::NoOwner => Some(no_owner(spec, reference.owner.unwrap_or_default())),
    }
}

/// A variable of the app may name one that only some components have.
fn variable(spec: &AppSpec, holder: Option<Component<'_>>, name: &str) -> Option<String> {
    let known = || {
        let of_holder = holder.into_iter().flat_map(|c| c.envs().iter());
        let of_others = spec.components().filter(|_| holder.is_none()).flat_map(|c| c.envs().iter());
        of_holder.chain(&spec.envs).chain(of_others).map(|env| env.key.as_str())
    };
    if known().any(|key| key == name) {
        return None;
    }
    let mut keys: Vec<&str> = known().collect();
    keys.extend(OF_APP);
    Some(match nearest(name, keys) {
        Some(near) => format!("did you mean `${{{near}}}`?"),
        None => "no variable of this component or of the app has that name".to_owned(),
    })
}

fn no_owner(spec: &AppSpec, owner: &str) -> String {
    let databases = spec.databases.iter().map(|d| d.name.as_str());
    let names: Vec<&str> = spec.components().map(Component::name).chain(databases).collect();
    match nearest(owner, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("no component or database is named `{}`", shown(owner)),
    }
}

/// Requests go to `http_port`, whatever `PORT` says.
fn own_port(spec: &AppSpec, path: &str, service: &Service, found: &mut Vec<Diagnostic>) {
    let Some(i) = service.common.envs.iter().rposition(|e| e.key == "PORT" && e.scope().is_run_time()) else { return };
    let EnvValue::Plain(text) = &service.common.envs[i].value else { return };
    let (Ok(own), Some(port)) = (text.trim().parse::<u16>(), spec.http_port(service)) else { return };
    if own != port {
        let message = format!("PORT is {own}, but requests go to port {port}");
        let path = format!("{path}.envs[{i}].value");
        found.push(Diagnostic::warning(Code::Doubtful, path, message).help(format!("set `http_port: {own}`")));
    }
}
