//! Which values someone must give before an app can run, and giving them.

use crate::secret::{SecretText, SecretValue};
use crate::spec::{AppSpec, EnvValue, EnvVar, Source};

/// A value that someone must give before the app can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededValue {
    /// The component, or `None` for a variable of the whole app.
    pub component: Option<String>,
    /// The variable, or `registry_credentials`.
    pub key: String,
    /// Its path in the spec.
    pub path: String,
    /// What there is in its place.
    pub why: Why,
    /// Whether it should not be shown while it is typed.
    pub secret: bool,
}

/// Why a value must be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A secret without a value.
    Empty,
    /// `KEY: ${KEY}`, which a deploy tool was to fill in.
    Placeholder,
    /// `EV[…]` that was sealed by someone else.
    SealedElsewhere,
}

impl AppSpec {
    /// The values that must be given: secrets without one or sealed elsewhere, and `KEY: ${KEY}` where the app has no
    /// variable of that name to hand on.
    pub fn needed_values(&self) -> Vec<NeededValue> {
        let mut needed = Vec::new();
        let mut look = |component: Option<&str>, list: &str, envs: &[EnvVar]| {
            for (i, env) in envs.iter().enumerate() {
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

    /// Registry credentials that must be given.
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

    /// Why a variable waits for a value, if it does. `of_component`: it may hand on the app's variable of that name.
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

    /// Gives `value` to every variable of that name that waits for one, in the app and in its components. Returns how
    /// many there were.
    pub fn give(&mut self, key: &str, value: &str) -> usize {
        let waiting: Vec<(Option<String>, String)> =
            self.needed_values().into_iter().map(|needed| (needed.component, needed.key)).collect();
        let waits = |component: Option<&str>| waiting.iter().any(|(c, k)| c.as_deref() == component && k == key);
        let mut given = 0;
        let mut fill = |envs: &mut Vec<EnvVar>| {
            for env in envs.iter_mut().filter(|env| env.key == key) {
                env.value = match env.is_secret() {
                    true => EnvValue::Secret(SecretText::new(value)),
                    false => EnvValue::Plain(value.to_owned()),
                };
                given += 1;
            }
        };
        if waits(None) {
            fill(&mut self.envs);
        }
        self.component_envs_mut().filter(|(name, _)| waits(Some(name))).for_each(|(_, envs)| fill(envs));
        given
    }

    /// Every variable of the app and of its components.
    pub(crate) fn all_envs_mut(&mut self) -> impl Iterator<Item = &mut EnvVar> {
        let AppSpec { envs, services, workers, jobs, static_sites, functions, .. } = self;
        let of_services = services.iter_mut().flat_map(|it| &mut it.common.envs);
        let of_workers = workers.iter_mut().flat_map(|it| &mut it.common.envs);
        let of_jobs = jobs.iter_mut().flat_map(|it| &mut it.common.envs);
        let of_sites = static_sites.iter_mut().flat_map(|it| &mut it.envs);
        let of_functions = functions.iter_mut().flat_map(|it| &mut it.envs);
        envs.iter_mut().chain(of_services).chain(of_workers).chain(of_jobs).chain(of_sites).chain(of_functions)
    }

    /// Each component's name with its variables.
    fn component_envs_mut(&mut self) -> impl Iterator<Item = (&str, &mut Vec<EnvVar>)> {
        let services = self.services.iter_mut().map(|it| &mut it.common);
        let workers = self.workers.iter_mut().map(|it| &mut it.common);
        let jobs = self.jobs.iter_mut().map(|it| &mut it.common);
        let commons = services.chain(workers).chain(jobs).map(|it| (it.name.as_str(), &mut it.envs));
        let sites = self.static_sites.iter_mut().map(|it| (it.name.as_str(), &mut it.envs));
        let functions = self.functions.iter_mut().map(|it| (it.name.as_str(), &mut it.envs));
        commons.chain(sites).chain(functions)
    }
}

/// `${USER}:${TOKEN}`: what a deploy tool was to fill in.
fn holds_placeholder(credentials: &str) -> bool {
    let is_reference = |part: &crate::reference::Part<'_>| matches!(part, crate::reference::Part::Reference(_));
    crate::reference::parts(credentials).iter().any(is_reference)
}
