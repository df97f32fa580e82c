//! What happened to each instance during a deployment.

use std::collections::BTreeMap;

use rollout::ids::{AppId, DeploymentId};
use rollout::target::ComponentKind;

use super::{Control, Controller};
use crate::error::ControlError;
use crate::view::InstanceTransition;

impl Controller {
    pub(super) async fn timeline_of(
        &self,
        app: &AppId,
        id: &DeploymentId,
    ) -> Result<Vec<InstanceTransition>, ControlError> {
        self.deployment(app, id).await?;
        let store = &self.0.shared.store;
        let rows = store.transitions(id).await?;
        let mut numbers = BTreeMap::new();
        for it in &rows {
            if !numbers.contains_key(&it.created_by) {
                let number = store.deployment(&it.created_by).await?.map(|it| it.number);
                numbers.insert(it.created_by.clone(), number);
            }
        }
        let view = |it: store::records::InstanceTransition| InstanceTransition {
            component_type: match it.kind {
                ComponentKind::Service => "SERVICE",
                ComponentKind::Worker => "WORKER",
            },
            instance_alias: format!("{}-{}", it.component, it.slot),
            existed_before: it.created_by != it.deployment,
            deployment_number: numbers.get(&it.created_by).copied().flatten(),
            instance_name: it.instance,
            component_name: it.component,
            slot: it.slot,
            revision: it.revision,
            generation: it.generation,
            transition: it.transition,
            at: it.at,
        };
        Ok(rows.into_iter().map(view).collect())
    }
}
