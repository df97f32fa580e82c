//! What a change would do.

use serde::Deserialize;

use crate::text::counted;

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
    /// The services and workers whose instances change, in the order in which a deployment takes them.
    pub instances: Vec<InstanceChanges>,
}

/// How the instances of a service or worker would change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct InstanceChanges {
    /// The component.
    pub component: String,
    /// How many instances are created.
    pub created: u64,
    /// How many instances are stopped and removed.
    pub removed: u64,
}

impl InstanceChanges {
    /// For example `web: 2 instances, one at a time`. A planner adds each new instance before it removes an old one.
    fn summary(&self) -> String {
        let Self { component, created, removed } = self;
        match (*created, *removed) {
            (0, removed) => format!("{component}: {} removed", counted(removed, "instance")),
            (created, 0) => format!("{component}: {} added", counted(created, "instance")),
            (1, 1) => component.clone(),
            (created, removed) if created > removed => {
                format!("{component}: {}, and {} added", one_by_one(removed), created - removed)
            }
            (created, removed) if created < removed => {
                format!("{component}: {}, and {} removed", one_by_one(created), removed - created)
            }
            (created, _) => format!("{component}: {}", one_by_one(created)),
        }
    }
}

fn one_by_one(count: u64) -> String {
    match count {
        1 => "1 instance replaced".into(),
        _ => format!("{}, one at a time", counted(count, "instance")),
    }
}

impl Plan {
    /// One line for each field that would change.
    pub fn change_lines(&self) -> Vec<String> {
        match self.changes.is_empty() {
            true => vec!["No field differs.".into()],
            false => self.changes.clone(),
        }
    }

    /// Which instances change, in order: `web: 2 instances, one at a time, then worker`. `None`: none does.
    pub fn summary(&self) -> Option<String> {
        let all: Vec<_> = self.instances.iter().map(InstanceChanges::summary).collect();
        (!all.is_empty()).then(|| all.join(", then "))
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
            ..Plan::default()
        };
        assert_eq!(plan.change_lines(), ["~ services.web.instance_count: 3 → 1", "+ workers.mill"]);
        assert_eq!(plan.step_lines(), ["  1. create web.0"]);
        let needed = plan.needed_line().expect("two values");
        assert!(needed.ends_with(": A of web (services[0].envs[0].value), B (envs[0].value)"), "{needed}");
    }

    #[test]
    fn the_summary_names_the_components_in_order_and_counts_their_instances() {
        /// Components with what is created and removed, and the summary.
        type Case<'a> = (&'a [(&'a str, u64, u64)], Option<&'a str>);
        let cases: [Case<'_>; 9] = [
            (&[], None),
            (&[("web", 1, 1)], Some("web")),
            (&[("web", 2, 2), ("worker", 1, 1)], Some("web: 2 instances, one at a time, then worker")),
            (&[("web", 1, 1), ("worker", 3, 3)], Some("web, then worker: 3 instances, one at a time")),
            (&[("web", 2, 0)], Some("web: 2 instances added")),
            (&[("web", 0, 1)], Some("web: 1 instance removed")),
            (&[("web", 3, 2)], Some("web: 2 instances, one at a time, and 1 added")),
            (&[("web", 2, 1)], Some("web: 1 instance replaced, and 1 added")),
            (&[("web", 2, 4)], Some("web: 2 instances, one at a time, and 2 removed")),
        ];
        for (changes, expected) in cases {
            let changes = changes.iter().map(|(name, created, removed)| InstanceChanges {
                component: (*name).into(),
                created: *created,
                removed: *removed,
            });
            let plan = Plan { instances: changes.collect(), ..Plan::default() };
            assert_eq!(plan.summary().as_deref(), expected);
        }
    }

    #[test]
    fn a_plan_without_changes_reports_that_no_field_differs() {
        assert_eq!(Plan::default().change_lines(), ["No field differs."]);
        assert_eq!(Plan::default().needed_line(), None);
    }
}
