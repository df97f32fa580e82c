//! Events that this process counts for metrics. They are lost with it, as counters of Prometheus may be.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rollout::deployment::Stage;
use rollout::ids::{AppId, ComponentName};
use store::records::{AppState, Change};

use crate::supervise::lock;

#[derive(Default)]
pub(crate) struct EventCounts(Mutex<Counts>);

#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// Ends of deployments by their result.
    pub deployments: BTreeMap<(AppId, &'static str), u64>,
    /// Processes that exited by themselves and were restarted.
    pub restarts: BTreeMap<(AppId, ComponentName), u64>,
}

impl EventCounts {
    pub fn read(&self) -> Counts {
        lock(&self.0).clone()
    }

    /// Counts what these changes, which were committed, show. `before`: the records before them.
    pub fn count(&self, before: &AppState, changes: &[Change]) {
        let app = &before.app.id;
        let mut counts = lock(&self.0);
        for change in changes {
            match change {
                Change::Deployment(deployment) => {
                    let known = before.deployments.iter().find(|it| it.id == deployment.id).map(|it| it.stage);
                    if let Some(result) = result_of(known, deployment.stage) {
                        *counts.deployments.entry((app.clone(), result)).or_default() += 1;
                    }
                }
                Change::Instance(row) => {
                    let known = before.instances.iter().find(|it| it.name == row.name);
                    let new = row.restarts.count.saturating_sub(known.map_or(0, |it| it.restarts.count));
                    if new > 0 {
                        *counts.restarts.entry((app.clone(), row.component.clone())).or_default() += new;
                    }
                }
                Change::ForgetApp(forgotten) => {
                    counts.deployments.retain(|(app, _), _| app != forgotten);
                    counts.restarts.retain(|(app, _), _| app != forgotten);
                }
                _ => {}
            }
        }
    }
}

/// The result that a deployment has from now on, if it had none before.
fn result_of(before: Option<Stage>, after: Stage) -> Option<&'static str> {
    if before == Some(after) {
        return None;
    }
    match after {
        Stage::Active => Some("active"),
        Stage::Failed => Some("failed"),
        Stage::Canceled => Some("canceled"),
        // It was active, which was its result.
        Stage::Superseded if before == Some(Stage::Active) => None,
        Stage::Superseded => Some("superseded"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_has_one_result() {
        for (before, after, result) in [
            (Some(Stage::Rolling), Stage::Active, Some("active")),
            (Some(Stage::Active), Stage::Active, None),
            (Some(Stage::Active), Stage::Superseded, None),
            (Some(Stage::Pending), Stage::Superseded, Some("superseded")),
            (Some(Stage::Building), Stage::Failed, Some("failed")),
            (Some(Stage::RollingBack), Stage::Failed, Some("failed")),
            (Some(Stage::Pending), Stage::Canceled, Some("canceled")),
            (Some(Stage::Building), Stage::Rolling, None),
            (None, Stage::Pending, None),
        ] {
            assert_eq!(result_of(before, after), result, "{before:?} {after:?}");
        }
    }
}
