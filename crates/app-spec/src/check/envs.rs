//! Variables: no duplicates, references that resolve, and a `PORT` that agrees with `http_port`.

use std::collections::{HashMap, HashSet};

use super::references::References;
use super::templates;
use crate::diagnostic::{Code, Diagnostic};
use crate::needed::{Why, in_force};
use crate::spec::{AppSpec, Component, EnvValue, EnvVar, Service};
use crate::suggest::shown;

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    let references = References::of(spec);
    list(&references, None, "envs", &spec.envs, found);
    for (path, component) in spec.components_with_paths() {
        list(&references, Some(component), &format!("{path}.envs"), component.envs(), found);
        if let Component::Service(service) = component {
            port(spec, &path, service, found);
        }
    }
    found.extend(spec.needed_credentials().map(|credentials| {
        let message = match credentials.why {
            Why::SealedElsewhere => {
                "the registry credentials are sealed, and only the installation that sealed them can open them"
            }
            Why::Placeholder | Why::Empty => "the registry credentials hold a placeholder that nothing has replaced",
        };
        Diagnostic::warning(Code::NeedsValue, credentials.path, message).help("give them as `user:token`")
    }));
}

fn list<'a>(
    references: &References<'a>,
    holder: Option<Component<'a>>,
    path: &str,
    envs: &'a [EnvVar],
    found: &mut Vec<Diagnostic>,
) {
    let counts: HashSet<usize> = in_force(envs).into_iter().map(|(i, _)| i).collect();
    let (mut of_runs, mut of_builds) = (HashMap::new(), HashMap::new());
    for (i, env) in envs.iter().enumerate().filter(|(_, env)| !env.key.is_empty()) {
        let in_runs = env.scope().is_run_time().then(|| of_runs.insert(&env.key, i)).flatten();
        let in_builds = env.scope().is_build_time().then(|| of_builds.insert(&env.key, i)).flatten();
        if let Some(before) = in_runs.max(in_builds).filter(|before| !counts.contains(before)) {
            let message = format!("the variable `{}` is given twice; the last one counts", shown(&env.key));
            let twice = Diagnostic::warning(Code::Doubtful, format!("{path}[{i}].key"), message);
            found.push(twice.related(format!("{path}[{before}].key"), None, "given before here"));
        }
        if !counts.contains(&i) {
            continue;
        }
        match references.spec.why_needed(env, holder.is_some()) {
            Some(why) => found.push(needed(&format!("{path}[{i}]"), &env.key, why)),
            None => {
                let path = format!("{path}[{i}].value");
                references.check(holder, &path, env, found);
                templates::check(&path, env, found);
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
            "give it at create; an update keeps the stored value",
        ),
        Why::Placeholder => (
            "value",
            format!("`${{{key}}}` is a placeholder for the value of this variable"),
            "give the value, or let a deploy tool fill it in",
        ),
        Why::SealedElsewhere => (
            "key",
            format!("the value of `{key}` is sealed, and only the installation that sealed it can open it"),
            "give it again at create; an app keeps the values that were sealed for it here",
        ),
    };
    Diagnostic::warning(Code::NeedsValue, format!("{path}.{field}"), message).help(help)
}

/// Warns if `PORT` differs from `http_port`: the ingress sends requests to `http_port`, whatever `PORT` says.
fn port(spec: &AppSpec, path: &str, service: &Service, found: &mut Vec<Diagnostic>) {
    let is_port = |env: &EnvVar| env.key == "PORT" && env.scope().is_run_time();
    let last = |envs: &'_ [EnvVar], list: String| envs.iter().rposition(is_port).map(|i| format!("{list}[{i}].value"));
    let own = last(&service.common.envs, format!("{path}.envs"));
    let requests = if own.is_some() { String::new() } else { format!(" to `{}`", shown(&service.common.name)) };
    let Some(path) = own.or_else(|| last(&spec.envs, "envs".to_owned())) else { return };
    let own_or_app = service.common.envs.iter().rev().chain(spec.envs.iter().rev()).find(|env| is_port(env));
    let Some(EnvValue::Plain(text)) = own_or_app.map(|env| &env.value) else { return };
    let (Ok(set), Some(port)) = (text.trim().parse::<u16>(), spec.http_port(service)) else { return };
    if set != port {
        let message = format!("PORT is {set}, but requests{requests} go to port {port}");
        found.push(Diagnostic::warning(Code::Doubtful, path, message).help(format!("set `http_port: {set}`")));
    }
}
