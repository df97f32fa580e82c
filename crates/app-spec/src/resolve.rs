//! Computes the environment of a component: merges variables and replaces references by values.
//!
//! Values that are not in the spec come from [`Facts`]. As on App Platform, a reference stays as text if it names
//! nothing, is circular, or belongs to a build with a Dockerfile.

use std::fmt;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::facts::Facts;
use crate::reference::{Meaning, Part, Reference, meaning, parts, without_pool};
use crate::routes::{Authority, RouteRule, routes};
use crate::spec::{AppSpec, Component, Database, EnvValue, EnvVar};
use crate::suggest::shown;

/// The longest string that Linux passes to a process, in bytes (`MAX_ARG_STRLEN`).
const LONGEST: usize = 128 * 1024;
/// The most references followed for one value. `DEEPEST` limits how deeply they nest.
const MOST_REFERENCES: usize = 1000;
const DEEPEST: usize = 32;

/// Where the environment is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A container. Every reference has a value.
    Run,
    /// A build with a Dockerfile. References are not replaced.
    Build,
    /// A build for a detected language. References have values, except those to databases.
    DetectedBuild,
}

/// The final value of a variable.
#[derive(Clone, PartialEq, Eq)]
pub struct ResolvedValue {
    /// The text. Show it only if `secret` is false.
    pub text: String,
    /// Whether the value is a secret or contains one.
    pub secret: bool,
}

impl fmt::Debug for ResolvedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.secret {
            true => f.write_str("ResolvedValue(secret)"),
            false => write!(f, "ResolvedValue({:?})", self.text),
        }
    }
}

/// The environment of a component.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment {
    /// Each name once: the variables of the app, then those of the component, then `PORT` if no variable sets it.
    pub vars: Vec<(String, ResolvedValue)>,
    /// Warnings for references that stay as text.
    pub warnings: Diagnostics,
}

impl Environment {
    /// The value of one variable.
    pub fn get(&self, key: &str) -> Option<&ResolvedValue> {
        self.vars.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}

/// Computes the environment of `component` in `scope`.
///
/// A variable of the component overrides one of the app. A service with an HTTP port gets `PORT` if no variable sets
/// it. Errors: `unknown_component`; `needs_value` for each secret that is missing or sealed; `missing` for a database
/// that `facts` does not contain; `too_large` for a value longer than a process can take.
pub fn resolve_envs(spec: &AppSpec, component: &str, scope: Scope, facts: &Facts) -> Result<Environment, Diagnostics> {
    let Some(holder) = spec.component(component) else {
        let message = format!("the app has no component `{}`", shown(component));
        return Err(Diagnostic::error(Code::UnknownComponent, "", message).into());
    };
    let mut resolver = Resolver::new(spec, holder, scope, facts);
    let mut vars: Vec<(String, ResolvedValue)> = Vec::with_capacity(resolver.in_force.len() + 1);
    for index in 0..resolver.in_force.len() {
        if resolver.in_force[index].shadowed {
            continue;
        }
        if let Some(value) = resolver.top_level(index) {
            vars.push((resolver.in_force[index].env.key.clone(), value));
        }
    }
    vars.extend(resolver.port_by_default());
    match resolver.problems.is_empty() {
        true => Ok(Environment { vars, warnings: resolver.warnings }),
        false => Err(resolver.problems),
    }
}

/// A variable that the component has in this scope.
struct InForce<'a> {
    env: &'a EnvVar,
    path: String,
    of_app: bool,
    /// A variable of the component overrides this one of the app, but may refer to it.
    shadowed: bool,
}

struct Resolver<'a> {
    spec: &'a AppSpec,
    holder: Component<'a>,
    scope: Scope,
    facts: &'a Facts,
    in_force: Vec<InForce<'a>>,
    /// Positions in `in_force` of the variables being resolved, outermost first.
    stack: Vec<usize>,
    references_left: usize,
    problems: Diagnostics,
    warnings: Diagnostics,
}

/// Why a reference has no value.
enum Unresolved {
    /// Unresolved as text with a warning.
    Warn(String),
    /// The reference is circular: it leads back to the variable at this position, where it stays as text.
    Circle(usize),
    /// The value cannot be computed, and a problem was reported.
    Failed,
}

impl<'a> Resolver<'a> {
    fn new(spec: &'a AppSpec, holder: Component<'a>, scope: Scope, facts: &'a Facts) -> Resolver<'a> {
        let mut resolver = Resolver {
            spec,
            holder,
            scope,
            facts,
            in_force: Vec::new(),
            stack: Vec::new(),
            references_left: 0,
            problems: Diagnostics::default(),
            warnings: Diagnostics::default(),
        };
        let path = spec.components_with_paths().find(|(_, c)| c.name() == holder.name()).map(|(path, _)| path);
        resolver.put_in_force(&spec.envs, "envs", true);
        resolver.put_in_force(holder.envs(), &format!("{}.envs", path.unwrap_or_default()), false);
        resolver
    }

    /// Adds variables. A later definition replaces an earlier one but keeps its position.
    fn put_in_force(&mut self, envs: &'a [EnvVar], list: &str, of_app: bool) {
        for (i, env) in envs.iter().enumerate() {
            let exists = match self.scope {
                Scope::Run => env.scope().is_run_time(),
                Scope::Build | Scope::DetectedBuild => env.scope().is_build_time(),
            };
            if !exists {
                continue;
            }
            let new = InForce { env, path: format!("{list}[{i}].value"), of_app, shadowed: false };
            let Some(old) = self.in_force.iter_mut().find(|old| old.env.key == env.key) else {
                self.in_force.push(new);
                continue;
            };
            let old = std::mem::replace(old, new);
            if old.of_app && !of_app {
                self.in_force.push(InForce { shadowed: true, ..old });
            }
        }
    }

    fn top_level(&mut self, index: usize) -> Option<ResolvedValue> {
        self.references_left = MOST_REFERENCES;
        self.stack.clear();
        self.variable(index).ok()
    }

    fn variable(&mut self, index: usize) -> Result<ResolvedValue, Unresolved> {
        let env = self.in_force[index].env;
        let (text, secret) = match &env.value {
            EnvValue::Plain(text) => (text.as_str(), false),
            EnvValue::Secret(secret) => (secret.expose(), true),
            EnvValue::Missing => return self.fail(index, Code::NeedsValue, "the secret has no value", GIVE_IT),
            EnvValue::Sealed(_) => {
                return self.fail(
                    index,
                    Code::NeedsValue,
                    "the secret was sealed by another installation and cannot be opened",
                    GIVE_IT,
                );
            }
        };
        if self.scope == Scope::Build {
            return Ok(ResolvedValue { text: text.to_owned(), secret });
        }
        self.stack.push(index);
        let value = self.expand(index, text, secret);
        self.stack.pop();
        value
    }

    fn expand(&mut self, index: usize, value: &str, secret: bool) -> Result<ResolvedValue, Unresolved> {
        let mut out = ResolvedValue { text: String::with_capacity(value.len()), secret };
        for part in parts(value) {
            match part {
                Part::Text(text) => out.text.push_str(text),
                Part::Reference(reference) => self.insert(index, reference, &mut out)?,
            }
            if out.text.len() > LONGEST {
                let message = format!("the value is longer than {LONGEST} bytes once its references are replaced");
                return self.fail(index, Code::TooLarge, &message, "Linux limits the length of a variable");
            }
        }
        Ok(out)
    }

    fn insert(&mut self, index: usize, reference: Reference<'_>, out: &mut ResolvedValue) -> Result<(), Unresolved> {
        if self.references_left == 0 {
            let message = format!("the value contains more than {MOST_REFERENCES} references");
            return self.fail(index, Code::TooLarge, &message, "replace some of them by their values");
        }
        self.references_left -= 1;
        match self.lookup(reference) {
            Ok(value) => {
                out.text.push_str(&value.text);
                out.secret |= value.secret;
                return Ok(());
            }
            Err(Unresolved::Failed) => return Err(Unresolved::Failed),
            Err(Unresolved::Circle(target)) if target != index => return Err(Unresolved::Circle(target)),
            Err(Unresolved::Circle(_)) => self.warn(index, reference, "it is circular"),
            Err(Unresolved::Warn(why)) => self.warn(index, reference, &why),
        }
        out.text.push_str(reference.written);
        Ok(())
    }

    fn lookup(&mut self, reference: Reference<'_>) -> Result<ResolvedValue, Unresolved> {
        let known = match meaning(self.spec, Some(self.holder), reference) {
            Meaning::App => return Ok(plain(self.of_app(reference.name))),
            Meaning::Variable => return self.of_variable(reference.name),
            Meaning::NoOwner => return Err(Unresolved::Warn("no component or database has that name".to_owned())),
            Meaning::Database(..) if self.scope == Scope::DetectedBuild => {
                return Err(Unresolved::Warn("a database has no values during a build".to_owned()));
            }
            Meaning::Database(database, known) => {
                let what = without_pool(database.engine(), reference.name);
                if known.contains(&what) {
                    return self.of_database(database, what);
                }
                known
            }
            Meaning::Component(component, known) if known.contains(&reference.name) => {
                return self.of_component(component, reference.name);
            }
            Meaning::Component(_, known) => known,
        };
        Err(Unresolved::Warn(format!("allowed: {}", crate::suggest::one_of(known.iter().copied()))))
    }

    fn of_variable(&mut self, key: &str) -> Result<ResolvedValue, Unresolved> {
        let Some(index) = self.named(key) else {
            return Err(Unresolved::Warn("no variable has that name".to_owned()));
        };
        if self.stack.contains(&index) {
            return Err(Unresolved::Circle(index));
        }
        if self.stack.len() >= DEEPEST {
            return Err(Unresolved::Warn(format!("variables refer to each other more than {DEEPEST} deep")));
        }
        self.variable(index)
    }

    /// The position of the variable with that name. A variable of a component that refers to its own name gets the
    /// app's variable.
    fn named(&self, key: &str) -> Option<usize> {
        let position = |shadowed: bool| self.in_force.iter().position(|e| e.env.key == key && e.shadowed == shadowed);
        let own = position(false)?;
        match self.stack.last() == Some(&own) {
            true => position(true).or(Some(own)),
            false => Some(own),
        }
    }

    fn of_app(&self, name: &str) -> String {
        match name {
            "APP_ID" => self.facts.app_id.clone(),
            "APP_URL" => self.facts.app_url.clone(),
            _ => self.facts.app_domain.clone(),
        }
    }

    fn of_database(&mut self, database: &Database, what: &str) -> Result<ResolvedValue, Unresolved> {
        let name = &database.name;
        match self.facts.databases.get(name) {
            Some(facts) => Ok(facts.value(database.engine(), what)),
            None => {
                let index = self.stack.last().copied().unwrap_or_default();
                let message = format!("the database `{name}` does not exist yet");
                self.fail(index, Code::Missing, &message, "wait until it has been created")
            }
        }
    }

    fn of_component(&self, component: Component<'_>, what: &str) -> Result<ResolvedValue, Unresolved> {
        let name = component.name();
        if what == "COMMIT_HASH" {
            return Ok(plain(self.facts.commits.get(name).cloned().unwrap_or_default()));
        }
        if what.starts_with("PUBLIC_") {
            return self.public_address(name, what);
        }
        let Component::Service(service) = component else {
            return Err(Unresolved::Warn("the component does not run".to_owned()));
        };
        let port = self.spec.http_port(service).or_else(|| service.internal_ports.first().copied());
        let port = port.map(|p| p.to_string()).unwrap_or_default();
        Ok(plain(match what {
            "PRIVATE_DOMAIN" => name.to_owned(),
            "PRIVATE_PORT" => port,
            _ => format!("http://{name}:{port}"),
        }))
    }

    fn public_address(&self, name: &str, what: &str) -> Result<ResolvedValue, Unresolved> {
        let rules = routes(self.spec);
        // A component's main route is its shortest path. Longer ones are special cases of it.
        let Some(rule) = rules.iter().rfind(|rule| rule.component() == Some(name)) else {
            return Err(Unresolved::Warn("the component has no public route".to_owned()));
        };
        let path = rule.path.as_str();
        Ok(plain(match what {
            "PUBLIC_ROUTE_PATH" => path.to_owned(),
            _ => format!("{}{}", self.url_of_rule(rule), if path == "/" { "" } else { path }),
        }))
    }

    /// The app's URL, with the host name of the rule if the rule is only for one.
    fn url_of_rule(&self, rule: &RouteRule) -> String {
        let app_url = self.facts.app_url.trim_end_matches('/');
        match &rule.authority {
            Some(Authority::Exact(host)) => app_url.replacen(&self.facts.app_domain, host, 1),
            Some(Authority::Prefix(_)) | None => app_url.to_owned(),
        }
    }

    /// The `PORT` that the platform sets for services without one.
    fn port_by_default(&self) -> Option<(String, ResolvedValue)> {
        let Component::Service(service) = self.holder else { return None };
        let is_set =
            self.spec.envs.iter().chain(self.holder.envs()).any(|e| e.key == "PORT" && e.scope().is_run_time());
        if self.scope != Scope::Run || is_set {
            return None;
        }
        self.spec.http_port(service).map(|port| ("PORT".to_owned(), plain(port.to_string())))
    }

    fn fail<T>(&mut self, index: usize, code: Code, message: &str, help: &str) -> Result<T, Unresolved> {
        let InForce { env, path, .. } = &self.in_force[index];
        let known = self.problems.iter().any(|p| p.path == *path && p.code == code);
        if !known {
            let message = format!("{}: {message}", env.key);
            self.problems.push(Diagnostic::error(code, path.clone(), message).help(help));
        }
        Err(Unresolved::Failed)
    }

    fn warn(&mut self, index: usize, reference: Reference<'_>, why: &str) {
        let InForce { env, path, .. } = &self.in_force[index];
        let message = format!("{}: `{}` stays as text: {why}", env.key, shown(reference.written));
        let warning = Diagnostic::warning(Code::UnknownReference, path.clone(), message);
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

const GIVE_IT: &str = "give it in the spec or when the app is created";

pub(crate) fn plain(text: String) -> ResolvedValue {
    ResolvedValue { text, secret: false }
}
