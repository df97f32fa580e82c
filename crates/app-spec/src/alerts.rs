//! The alerts of a spec, of the app and of its components.

use serde_json::Value;

use crate::spec::{AppSpec, Component, Opaque};

/// An alert rule of a spec.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// The component that the rule watches. `None`: the app.
    pub component: Option<String>,
    /// What it watches: `DEPLOYMENT_FAILED`, `CPU_UTILIZATION`.
    pub rule: String,
    /// How many alerts of the same component with the same rule come before it.
    pub occurrence: usize,
    /// The alert as the spec has it.
    pub spec: Value,
}

impl AppSpec {
    /// All alerts: those of the app, then those of each component. Leaves out what is not an object with a rule.
    pub fn alerts(&self) -> Vec<Alert> {
        let mut all = Vec::new();
        add(&mut all, None, &self.alerts);
        for component in self.components() {
            let alerts = match component {
                Component::Service(it) => &it.common.alerts,
                Component::Worker(it) => &it.common.alerts,
                Component::Job(it) => &it.common.alerts,
                Component::Function(it) => &it.alerts,
                Component::StaticSite(_) => continue,
            };
            add(&mut all, Some(component.name()), alerts);
        }
        all
    }
}

fn add(all: &mut Vec<Alert>, component: Option<&str>, alerts: &Opaque) {
    let Some(Value::Array(items)) = alerts.to_json() else { return };
    for spec in items {
        let Some(rule) = spec.get("rule").and_then(Value::as_str).map(str::to_owned) else { continue };
        let is_alike = |it: &&Alert| it.component.as_deref() == component && it.rule == rule;
        let occurrence = all.iter().filter(is_alike).count();
        all.push(Alert { component: component.map(str::to_owned), rule, occurrence, spec });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(alerts: &str) -> AppSpec {
        let text = format!(
            "name: shop\nservices:\n- name: web\n  image: {{registry_type: DOCKER_HUB, registry: library, repository: nginx}}\n{alerts}"
        );
        AppSpec::from_yaml(&text).expect("a good spec").spec
    }

    #[test]
    fn alerts_of_the_app_and_of_components_are_told_apart() {
        let found = spec(
            "  alerts:\n  - {rule: CPU_UTILIZATION, operator: GREATER_THAN, value: 85, window: FIVE_MINUTES}\n  \
             - {rule: CPU_UTILIZATION, operator: LESS_THAN, value: 1, window: ONE_HOUR}\n  - {rule: RESTART_COUNT}\n\
             alerts:\n- rule: DEPLOYMENT_FAILED\n- {rule: RESTART_COUNT, disabled: true}\n",
        )
        .alerts();
        let found: Vec<_> =
            found.iter().map(|it| (it.component.as_deref(), it.rule.as_str(), it.occurrence, &it.spec)).collect();
        let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        let wanted = [
            (None, "DEPLOYMENT_FAILED", 0, r#"{"rule":"DEPLOYMENT_FAILED"}"#),
            (None, "RESTART_COUNT", 0, r#"{"rule":"RESTART_COUNT","disabled":true}"#),
            (
                Some("web"),
                "CPU_UTILIZATION",
                0,
                r#"{"rule":"CPU_UTILIZATION","operator":"GREATER_THAN","value":85,"window":"FIVE_MINUTES"}"#,
            ),
            (
                Some("web"),
                "CPU_UTILIZATION",
                1,
                r#"{"rule":"CPU_UTILIZATION","operator":"LESS_THAN","value":1,"window":"ONE_HOUR"}"#,
            ),
            (Some("web"), "RESTART_COUNT", 0, r#"{"rule":"RESTART_COUNT"}"#),
        ];
        assert_eq!(found.len(), wanted.len());
        for (found, (component, rule, occurrence, spec)) in found.into_iter().zip(wanted) {
            assert_eq!(found, (component, rule, occurrence, &json(spec)));
        }
    }

    #[test]
    fn what_is_not_an_alert_is_left_out() {
        for alerts in
            ["", "alerts: []\n", "alerts: none\n", "alerts: {rule: A}\n", "alerts: [A, {value: 1}, {rule: 7}]\n"]
        {
            assert_eq!(spec(alerts).alerts(), [], "{alerts}");
        }
    }
}
