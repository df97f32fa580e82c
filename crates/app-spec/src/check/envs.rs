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
                "the registry credentials were sealed by another installation, and only that installation can open them"
            }
            Why::Placeholder | Why::Empty => "the registry credentials contain a placeholder that nothing has replaced",
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
            let message = format!("the variable `{}` is given twice; the last one applies", shown(&env.key));
            let twice = Diagnostic::warning(Code::Doubtful, format!("{path}[{i}].key"), message);
            found.push(twice.related(format!("{path}[{before}].key"), None, "first given here"));
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
            "give it when you create the app; an update keeps the stored value",
        ),
        Why::Placeholder => (
            "value",
            format!("`${{{key}}}` is a placeholder for the value of this variable"),
            "give the value, or let a deploy tool fill it in",
        ),
        Why::SealedElsewhere => (
            "key",
            format!("the value of `{key}` was sealed by another installation, and only that installation can open it"),
            "give it again when you create the app; an update keeps the stored value",
        ),
    };
    Diagnostic::warning(Code::NeedsValue, format!("{path}.{field}"), message).help(help)
}

/// Warns if `PORT` differs from `http_port`: the ingress sends requests to `http_port`, whatever `PORT` says.
fn port(spec: &AppSpec, path: &str, service: &Service, found: &mut Vec<Diagnostic>) {
    let is_port = |env: &EnvVar| env.key == "PORT" && env.scope().is_run_time();
    let is_own = service.common.envs.iter().any(is_port);
    let (list, envs) =
        if is_own { (format!("{path}.envs"), &service.common.envs) } else { ("envs".into(), &spec.envs) };
    let Some(i) = envs.iter().rposition(is_port) else { return };
    let EnvValue::Plain(text) = &envs[i].value else { return };
    let (Ok(set), Some(port)) = (text.trim().parse::<u16>(), spec.http_port(service)) else { return };
    if set != port {
        let requests = if is_own { String::new() } else { format!(" to `{}`", shown(&service.common.name)) };
        let message = format!("PORT is {set}, but requests{requests} go to port {port}");
        let doubtful = Diagnostic::warning(Code::Doubtful, format!("{list}[{i}].value"), message);
        found.push(doubtful.help(format!("set `http_port: {set}`")));
    }
}
