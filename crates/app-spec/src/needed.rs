//! Which values someone must give before an app can run.

use crate::spec::{AppSpec, EnvValue, EnvVar};

/// A secret that someone must give before the app can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeededValue {
    /// The component, or `None` for a variable of the whole app.
    pub component: Option<String>,
    /// The variable.
    pub key: String,
    /// Its path in the spec.
    pub path: String,
}

impl AppSpec {
    /// The variables that wait for a value: secrets without one or sealed elsewhere, and `KEY: ${KEY}`, which a deploy
    /// tool was to fill in.
    pub fn needed_values(&self) -> Vec<NeededValue> {
        let mut needed = Vec::new();
        let mut look = |component: Option<&str>, list: String, envs: &[EnvVar]| {
            let waiting = envs.iter().enumerate().filter(|(_, env)| waits(env));
            needed.extend(waiting.map(|(i, env)| NeededValue {
                component: component.map(str::to_owned),
                key: env.key.clone(),
                path: format!("{list}[{i}].value"),
            }));
        };
        look(None, "envs".to_owned(), &self.envs);
        for (path, component) in self.components_with_paths() {
            look(Some(component.name()), format!("{path}.envs"), component.envs());
        }
        needed
    }
}

fn waits(env: &EnvVar) -> bool {
    let itself = format!("${{{}}}", env.key);
    let is_bindable = crate::reference::OF_APP.contains(&env.key.as_str());
    match &env.value {
        EnvValue::Missing | EnvValue::Sealed(_) => true,
        EnvValue::Plain(text) => *text == itself && !is_bindable,
        EnvValue::Secret(secret) => secret.expose() == itself && !is_bindable,
    }
}
