//! Variables that refer to each other in a circle: they stay as text, which nobody means.

use std::collections::{HashMap, HashSet};

use crate::diagnostic::{Code, Diagnostic};
use crate::reference::{OF_APP, Part, parts};
use crate::spec::{AppSpec, EnvValue, EnvVar};
use crate::suggest::shown;

/// References followed in one spec. Real ones have a few dozen.
const MOST_STEPS: usize = 50_000;
/// Names of a circle that are told.
const MOST_SHOWN: usize = 6;

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    let of_app = by_key(&spec.envs);
    let mut search = Search { app: &of_app, own: &of_app, done: HashSet::new(), steps: 0 };
    found.extend(search.circles(&spec.envs, "envs"));
    for (path, component) in spec.components_with_paths() {
        let own = by_key(component.envs());
        let mut search = Search { app: &of_app, own: &own, done: HashSet::new(), steps: search.steps };
        found.extend(search.circles(component.envs(), &format!("{path}.envs")));
    }
}

type ByKey<'a> = HashMap<&'a str, &'a EnvVar>;

fn by_key(envs: &[EnvVar]) -> ByKey<'_> {
    envs.iter().map(|env| (env.key.as_str(), env)).collect()
}

/// Follows references from the variables of one list.
struct Search<'a> {
    app: &'a ByKey<'a>,
    own: &'a ByKey<'a>,
    /// Variables from which everything was followed.
    done: HashSet<&'a str>,
    steps: usize,
}

impl<'a> Search<'a> {
    /// One warning for each circle, at the variable where it was entered.
    fn circles(&mut self, envs: &'a [EnvVar], list: &str) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for (i, env) in envs.iter().enumerate() {
            if let Some(circle) = self.circle_from(&env.key).filter(|circle| circle.contains(&env.key.as_str())) {
                found.push(warning(format!("{list}[{i}].value"), &circle));
            }
        }
        found
    }

    /// Follows references depth first, without recursion. Returns the names of the first circle.
    fn circle_from(&mut self, start: &'a str) -> Option<Vec<&'a str>> {
        let mut trail: Vec<(&str, Vec<&str>)> = vec![(start, self.names_in(start))];
        let mut circle = None;
        while let Some((key, names)) = trail.last_mut() {
            let Some(next) = names.pop() else {
                self.done.insert(*key);
                trail.pop();
                continue;
            };
            if let Some(at) = trail.iter().position(|(key, _)| *key == next) {
                circle.get_or_insert_with(|| trail[at..].iter().map(|(key, _)| *key).collect());
            } else if !self.done.contains(next) && self.steps < MOST_STEPS {
                self.steps += 1;
                trail.push((next, self.names_in(next)));
            }
        }
        circle
    }

    /// The other variables that the value of `key` names, last one first.
    fn names_in(&self, key: &str) -> Vec<&'a str> {
        let Some(env) = self.own.get(key).or_else(|| self.app.get(key)) else { return Vec::new() };
        let text = match &env.value {
            EnvValue::Plain(text) => text.as_str(),
            EnvValue::Secret(secret) => secret.expose(),
            EnvValue::Sealed(_) | EnvValue::Missing => return Vec::new(),
        };
        let name = |part| match part {
            Part::Reference(reference) if reference.owner.is_none() => Some(reference.name),
            Part::Reference(_) | Part::Text(_) => None,
        };
        let is_variable =
            |name: &&str| !OF_APP.contains(name) && (self.own.contains_key(name) || self.app.contains_key(name));
        // `KEY: ${KEY}` is a placeholder, or hands on the app's variable.
        parts(text).into_iter().filter_map(name).filter(|name| *name != key).filter(is_variable).rev().collect()
    }
}

fn warning(path: String, circle: &[&str]) -> Diagnostic {
    let shown_names = circle.iter().take(MOST_SHOWN).map(|name| shown(name));
    let mut names: Vec<String> = shown_names.collect();
    if circle.len() > MOST_SHOWN {
        names.push("…".to_owned());
    }
    names.push(shown(circle[0]));
    let message = format!("these variables refer to each other in a circle and stay as text: {}", names.join(" → "));
    Diagnostic::warning(Code::CircularReference, path, message).help("write one of them out")
}
