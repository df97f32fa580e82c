//! In which instance a console opens. Pure.

use app_spec::AppSpec;
use rollout::ids::{ComponentName, DeploymentId, InstanceName};
use rollout::instance::InstancePhase;
use rollout::job::JobPhase;
use store::records::AppState;

use crate::error::{ControlError, closest};

/// A container in which a console might open: an instance or a run of a job that was started and has not ended, according
/// to the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunningInstance {
    pub component: ComponentName,
    pub instance: InstanceName,
    pub alias: String,
    pub deployment: DeploymentId,
    /// Lower ones are preferred: those that serve, then those that start, then those that end.
    rank: u8,
}

/// The components of an app, and where a console might open.
pub(crate) struct RunningInstances {
    pub app: String,
    /// From the app's newest spec.
    pub spec: AppSpec,
    pub instances: Vec<RunningInstance>,
}

impl RunningInstances {
    pub fn of(state: &AppState) -> Self {
        let instances = state.instances.iter().filter_map(|row| {
            Some(RunningInstance {
                component: row.component.clone(),
                instance: row.name.clone(),
                alias: format!("{}-{}", row.component, row.slot),
                deployment: row.deployment.clone(),
                rank: rank(row.phase)?,
            })
        });
        let is_running = |phase: &JobPhase| matches!(phase, JobPhase::Created { .. });
        let runs = state.job_runs.iter().filter(|it| !it.collected && is_running(&it.phase));
        let runs = runs.map(|run| RunningInstance {
            component: run.job.clone(),
            instance: run.name.clone(),
            alias: run.job.to_string(),
            deployment: run.deployment.clone(),
            rank: 0,
        });
        Self {
            app: state.app.name.clone(),
            spec: AppSpec::from_stored(&state.app.spec).unwrap_or_default(),
            instances: instances.chain(runs).collect(),
        }
    }
}

/// `None`: the instance has no process.
fn rank(phase: InstancePhase) -> Option<u8> {
    match phase {
        InstancePhase::Ready => Some(0),
        InstancePhase::Unready => Some(1),
        InstancePhase::Starting => Some(2),
        InstancePhase::Draining => Some(3),
        InstancePhase::Stopping => Some(4),
        InstancePhase::Intended | InstancePhase::Created | InstancePhase::Stopped => None,
    }
}

/// The instances for a request, the best one first, and never none. Errors: the component does not exist, has no
/// instances, or none runs; no instance has this name or alias.
pub(crate) fn choose<'a>(
    running: &'a RunningInstances,
    component: &str,
    instance: Option<&str>,
) -> Result<Vec<&'a RunningInstance>, ControlError> {
    let mut of_component: Vec<_> = running.instances.iter().filter(|it| it.component.as_str() == component).collect();
    of_component.sort_by(|a, b| (a.rank, &a.alias).cmp(&(b.rank, &b.alias)));
    if of_component.is_empty() {
        return Err(why_none(running, component));
    }
    let Some(wanted) = instance else { return Ok(of_component) };
    let is_it = |it: &&&RunningInstance| it.alias == wanted || it.instance.as_str() == wanted;
    let found: Vec<_> = of_component.iter().filter(is_it).copied().collect();
    if found.is_empty() {
        let mut aliases: Vec<_> = of_component.iter().map(|it| it.alias.as_str()).collect();
        aliases.dedup();
        let aliases = aliases.join(", ");
        let message = format!("{component} has no instance {wanted:?}. These run: {aliases}");
        return Err(ControlError::NotFound(message));
    }
    Ok(found)
}

/// Why no console can open in a component of which nothing runs.
fn why_none(running: &RunningInstances, component: &str) -> ControlError {
    let (app, spec) = (&running.app, &running.spec);
    let only = "A console opens in services, workers and running jobs";
    if spec.static_sites.iter().any(|it| it.name == component) {
        return ControlError::Invalid(format!("{component} is a static site and has no instances. {only}"));
    }
    if spec.databases.iter().any(|it| it.name == component) {
        return ControlError::Invalid(format!(
            "{component} is a database. {only}. To reach the database, run a client in one of them"
        ));
    }
    if spec.jobs.iter().any(|it| it.common.name == component) {
        return ControlError::Conflict(format!(
            "job {component} does not run now, and a console opens only during a run. Its output: boatyard apps logs {app} {component}"
        ));
    }
    let names: Vec<String> = spec.components().map(|it| it.name().to_owned()).collect();
    if names.iter().any(|it| it == component) {
        return ControlError::Conflict(format!(
            "no instance of {component} runs now. See: boatyard apps list-instances {app}"
        ));
    }
    ControlError::NotFound(format!("app {app} has no component {component:?}.{}", closest(component, &names)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> AppSpec {
        let spec = serde_json::json!({
            "name": "shop",
            "services": [{ "name": "web" }, { "name": "api" }],
            "workers": [{ "name": "mill" }],
            "jobs": [{ "name": "migrate" }],
            "static_sites": [{ "name": "docs" }],
            "databases": [{ "name": "db" }],
        });
        AppSpec::from_stored(&spec).expect("a spec")
    }

    fn instance(component: &str, slot: u32, serial: u32, phase: InstancePhase) -> RunningInstance {
        RunningInstance {
            component: component.into(),
            instance: InstanceName::new(format!("by-1-shop-{component}-{slot}-{serial}")),
            alias: format!("{component}-{slot}"),
            deployment: "d".into(),
            rank: rank(phase).expect("it has a process"),
        }
    }

    /// `web-0` is being replaced by one that is ready; `web-1` starts.
    fn running() -> RunningInstances {
        let (spec, app) = (spec(), "shop".to_owned());
        let instances = vec![
            instance("web", 0, 1, InstancePhase::Draining),
            instance("web", 1, 2, InstancePhase::Starting),
            instance("web", 0, 3, InstancePhase::Ready),
            instance("mill", 0, 4, InstancePhase::Ready),
        ];
        RunningInstances { app, spec, instances }
    }

    #[test]
    fn an_instance_that_serves_comes_first_and_one_that_ends_comes_last() {
        for (instance, expected) in [
            (None, vec!["web-0-3", "web-1-2", "web-0-1"]),
            (Some("web-0"), vec!["web-0-3", "web-0-1"]),
            (Some("web-1"), vec!["web-1-2"]),
            (Some("by-1-shop-web-0-1"), vec!["web-0-1"]),
        ] {
            let running = running();
            let found = choose(&running, "web", instance).expect("they run");
            let names: Vec<_> = found.iter().map(|it| it.instance.as_str().trim_start_matches("by-1-shop-")).collect();
            assert_eq!(names, expected, "{instance:?}");
        }
    }

    #[test]
    fn the_refusal_says_what_is_there_instead() {
        for (component, instance, expected) in [
            ("web", Some("web-7"), "web has no instance \"web-7\". These run: web-0, web-1"),
            ("web", Some("mill-0"), "web has no instance \"mill-0\""),
            ("mil", None, "has no component \"mil\". Did you mean \"mill\"?"),
            ("api", None, "no instance of api runs now. See: boatyard apps list-instances shop"),
            ("migrate", None, "job migrate does not run now"),
            ("docs", None, "docs is a static site and has no instances"),
            ("db", None, "db is a database. A console opens in services, workers and running jobs"),
        ] {
            let message = choose(&running(), component, instance).expect_err("refused").to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn the_kind_of_a_refusal_says_whether_waiting_helps() {
        let refusal = |component| choose(&running(), component, None).expect_err("refused");
        assert!(matches!(refusal("nothing"), ControlError::NotFound(_)));
        assert!(matches!(refusal("docs"), ControlError::Invalid(_)));
        assert!(matches!(refusal("db"), ControlError::Invalid(_)));
        assert!(matches!(refusal("api"), ControlError::Conflict(_)));
        assert!(matches!(refusal("migrate"), ControlError::Conflict(_)));
        assert!(matches!(choose(&running(), "web", Some("web-7")), Err(ControlError::NotFound(_))));
    }

    #[test]
    fn instances_without_a_process_are_left_out() {
        for phase in InstancePhase::ALL {
            let has_none = [InstancePhase::Intended, InstancePhase::Created, InstancePhase::Stopped].contains(&phase);
            assert_eq!(rank(phase).is_none(), has_none, "{phase:?}");
        }
    }
}
