//! Finds the values that a spec still needs before the app can run, and fills them in.

use std::collections::HashSet;

use crate::secret::{SecretText, SecretValue};
use crate::spec::{AppSpec, EnvValue, EnvVar, ImageSource, Source};

/// A value that the user must supply before the app can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededValue {
    /// The component, or `None` for a variable of the whole app.
    pub component: Option<String>,
    /// The name of the variable, or `registry_credentials`.
    pub key: String,
    /// Its path in the spec.
    pub path: String,
    /// Why the value is needed.
    pub why: Why,
    /// Whether a prompt should hide the input.
    pub secret: bool,
}

impl NeededValue {
    /// Decides by the path, because a component may also have a variable named `registry_credentials`.
    fn is_credentials(&self) -> bool {
        self.path.ends_with(".registry_credentials")
    }

    /// The position of the variable in its list.
    fn position(&self) -> Option<usize> {
        self.path.strip_suffix("].value")?.rsplit_once('[')?.1.parse().ok()
    }
}

/// Why the user must supply a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A secret has no value.
    Empty,
    /// `KEY: ${KEY}`, a placeholder for a deploy tool.
    Placeholder,
    /// An `EV[…]` value that another installation sealed.
    SealedElsewhere,
}

impl AppSpec {
    /// The values that the user must supply: missing secrets, secrets sealed by another installation, and `KEY: ${KEY}`
    /// where the app has no variable of that name to inherit from. If a variable is defined twice, only the effective
    /// definition counts.
    pub fn needed_values(&self) -> Vec<NeededValue> {
        let mut needed = Vec::new();
        let mut look = |component: Option<&str>, list: &str, envs: &[EnvVar]| {
            for (i, env) in in_force(envs) {
                let why = self.why_needed(env, component.is_some());
                needed.extend(why.map(|why| NeededValue {
                    component: component.map(str::to_owned),
                    key: env.key.clone(),
                    path: format!("{list}[{i}].value"),
                    why,
                    secret: env.is_secret(),
                }));
            }
        };
        look(None, "envs", &self.envs);
        for (path, component) in self.components_with_paths() {
            look(Some(component.name()), &format!("{path}.envs"), component.envs());
        }
        needed.extend(self.needed_credentials());
        needed
    }

    /// The registry credentials that the user must supply.
    pub(crate) fn needed_credentials(&self) -> impl Iterator<Item = NeededValue> {
        self.components_with_paths().filter_map(|(path, component)| {
            let Source::Image(image) = component.source() else { return None };
            let why = match image.registry_credentials.as_ref()? {
                SecretValue::Sealed(_) => Why::SealedElsewhere,
                SecretValue::Open(secret) if holds_placeholder(secret.expose()) => Why::Placeholder,
                SecretValue::Open(_) => return None,
            };
            let path = format!("{path}.image.registry_credentials");
            let component = Some(component.name().to_owned());
            Some(NeededValue { component, key: "registry_credentials".to_owned(), path, why, secret: true })
        })
    }

    /// Why a variable needs a value, or `None` if it does not. With `of_component`, the variable may inherit the app's
    /// variable of that name.
    pub(crate) fn why_needed(&self, env: &EnvVar, of_component: bool) -> Option<Why> {
        match &env.value {
            EnvValue::Missing => Some(Why::Empty),
            EnvValue::Sealed(_) => Some(Why::SealedElsewhere),
            EnvValue::Plain(text) => self.is_placeholder(&env.key, text, of_component).then_some(Why::Placeholder),
            EnvValue::Secret(secret) => {
                self.is_placeholder(&env.key, secret.expose(), of_component).then_some(Why::Placeholder)
            }
        }
    }

    fn is_placeholder(&self, key: &str, text: &str, of_component: bool) -> bool {
        let is_itself = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) == Some(key);
        let is_bindable = crate::reference::OF_APP.contains(&key);
        let is_handed_on = || of_component && self.envs.iter().any(|env| env.key == key);
        is_itself && !is_bindable && !is_handed_on()
    }

    /// Sets every needed value named `key` to `value`: variables of the app and its components, and registry
    /// credentials. With `component`, sets only those of that component. Returns how many it set.
    pub fn give(&mut self, component: Option<&str>, key: &str, value: &str) -> usize {
        let needed = self.needed_values();
        let is_meant =
            |it: &&NeededValue| it.key == key && (component.is_none() || it.component.as_deref() == component);
        let meant: Vec<&NeededValue> = needed.iter().filter(is_meant).collect();
        for needed in &meant {
            self.fill(needed, value);
        }
        meant.len()
    }

    /// Copies needed values from `before`, an earlier spec of the same app. A secret is copied only to a secret, and
    /// credentials only for the same registry. A value sealed by another installation is not replaced, because the user
    /// meant a different value.
    pub fn keep_values(&mut self, before: &AppSpec) {
        let needed = self.needed_values();
        for needed in needed.into_iter().filter(|it| it.why != Why::SealedElsewhere) {
            if let Some(value) = before.kept_for(self, &needed) {
                self.fill(&needed, &value);
            }
        }
    }

    /// The value in this spec for the value that `new` needs.
    fn kept_for(&self, new: &AppSpec, needed: &NeededValue) -> Option<String> {
        let component = needed.component.as_deref();
        if needed.is_credentials() {
            let (old, new) = (self.image_of(component?)?, new.image_of(component?)?);
            let same = old.registry_type == new.registry_type && old.registry == new.registry;
            return match &old.registry_credentials {
                Some(SecretValue::Open(secret)) if same && !holds_placeholder(secret.expose()) => {
                    Some(secret.expose().to_owned())
                }
                Some(SecretValue::Open(_) | SecretValue::Sealed(_)) | None => None,
            };
        }
        let waiting = new.envs_of(component)?.get(needed.position()?)?;
        let of_key = || self.envs_of(component).into_iter().flatten().rev().filter(|env| env.key == needed.key);
        let old = of_key().find(|env| share_a_scope(env, waiting)).or_else(|| of_key().next())?;
        match &old.value {
            _ if self.why_needed(old, component.is_some()).is_some() => None,
            EnvValue::Plain(text) => Some(text.clone()),
            EnvValue::Secret(secret) => needed.secret.then(|| secret.expose().to_owned()),
            EnvValue::Missing | EnvValue::Sealed(_) => None,
        }
    }

    fn image_of(&self, component: &str) -> Option<&ImageSource> {
        match self.component(component)?.source() {
            Source::Image(image) => Some(image),
            _ => None,
        }
    }

    fn fill(&mut self, needed: &NeededValue, value: &str) {
        let envs = match &needed.component {
            None => &mut self.envs,
            Some(name) => {
                let Some(component) = self.components_mut().find(|it| it.name == name) else { return };
                if needed.is_credentials() {
                    if let Source::Image(image) = component.source {
                        image.registry_credentials = Some(SecretValue::Open(SecretText::new(value)));
                    }
                    return;
                }
                component.envs
            }
        };
        let env = needed.position().and_then(|position| envs.get_mut(position));
        if let Some(env) = env.filter(|env| env.key == needed.key) {
            env.value = match env.is_secret() {
                true => EnvValue::Secret(SecretText::new(value)),
                false => EnvValue::Plain(value.to_owned()),
            };
        }
    }

    /// The variables of a component, or of the app.
    fn envs_of(&self, component: Option<&str>) -> Option<&[EnvVar]> {
        component.map_or(Some(&self.envs[..]), |name| self.component(name).map(|it| it.envs()))
    }
}

/// The effective definitions and their positions: those that no later definition of the same name replaces in every
/// scope.
pub(crate) fn in_force(envs: &[EnvVar]) -> Vec<(usize, &EnvVar)> {
    let (mut of_runs, mut of_builds) = (HashSet::new(), HashSet::new());
    let counts = |(_, env): &(usize, &'_ EnvVar)| {
        let in_runs = env.scope().is_run_time() && of_runs.insert(env.key.clone());
        let in_builds = env.scope().is_build_time() && of_builds.insert(env.key.clone());
        in_runs || in_builds
    };
    let mut in_force: Vec<(usize, &EnvVar)> = envs.iter().enumerate().rev().filter(counts).collect();
    in_force.reverse();
    in_force
}

fn share_a_scope(one: &EnvVar, other: &EnvVar) -> bool {
    let (one, other) = (one.scope(), other.scope());
    (one.is_run_time() && other.is_run_time()) || (one.is_build_time() && other.is_build_time())
}

/// Whether the credentials contain a placeholder for a deploy tool, such as `${USER}:${TOKEN}`.
fn holds_placeholder(credentials: &str) -> bool {
    let is_reference = |part: &crate::reference::Part<'_>| matches!(part, crate::reference::Part::Reference(_));
    crate::reference::parts(credentials).iter().any(is_reference)
}
