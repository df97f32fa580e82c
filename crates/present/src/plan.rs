//! What a change would do.

use serde::Deserialize;

/// The answer to a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// One line for each field that would change: `~ services.web.instance_count: 1 → 2`.
    pub changes: Vec<String>,
    /// One sentence for each step, in order.
    pub steps: Vec<String>,
    /// The values that the user must provide first, each with its path.
    pub needs_values: Vec<String>,
}

impl Plan {
    /// One line for each field that would change.
    pub fn change_lines(&self) -> Vec<String> {
        match self.changes.is_empty() {
            true => vec!["No field differs.".into()],
            false => self.changes.clone(),
        }
    }

    /// One numbered line for each step.
    pub fn step_lines(&self) -> Vec<String> {
        self.steps.iter().zip(1..).map(|(step, number)| format!("{number:>3}. {step}")).collect()
    }

    /// The values that the user must provide first; `None` if there are none.
    pub fn needed_line(&self) -> Option<String> {
        let values = self.needs_values.join(", ");
        (!values.is_empty())
            .then(|| format!("Provide these values first, in the spec or with `--env KEY=value`: {values}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_a_line_for_each_change_and_step() {
        let plan = Plan {
            changes: vec!["~ services.web.instance_count: 3 → 1".into(), "+ workers.mill".into()],
            steps: vec!["create web.0".into()],
            needs_values: vec!["A of web (services[0].envs[0].value)".into(), "B (envs[0].value)".into()],
        };
        assert_eq!(plan.change_lines(), ["~ services.web.instance_count: 3 → 1", "+ workers.mill"]);
        assert_eq!(plan.step_lines(), ["  1. create web.0"]);
        let needed = plan.needed_line().expect("two values");
        assert!(needed.ends_with(": A of web (services[0].envs[0].value), B (envs[0].value)"), "{needed}");
    }

    #[test]
    fn a_plan_without_changes_reports_that_no_field_differs() {
        assert_eq!(Plan::default().change_lines(), ["No field differs."]);
        assert_eq!(Plan::default().needed_line(), None);
    }
}
