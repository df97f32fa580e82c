//! CPU and memory of an app's instances and databases over the last hour.

use engine::Role;
use rollout::ids::AppId;

use super::Controller;
use super::health::load;
use crate::clock;
use crate::error::ControlError;
use crate::usage::ContainerReadings;
use crate::view::{InstanceUsage, UsageSample};

impl Controller {
    pub(super) async fn usage_history_of(&self, app: &AppId) -> Result<Vec<InstanceUsage>, ControlError> {
        self.record(app).await?;
        let containers = self.0.shared.usage.of(app);
        Ok(containers.into_iter().map(|(name, it)| instance_usage(name, &it)).collect())
    }
}

fn instance_usage(name: String, container: &ContainerReadings) -> InstanceUsage {
    let ContainerReadings { identity, limits, readings } = container;
    let samples = readings.iter().zip(readings.iter().skip(1)).map(|((began, before), (ended, after))| {
        let load = load(*before, *after, *ended - *began, *limits);
        UsageSample {
            at: clock::time_of(*ended),
            cpu_percent: load.cpu_percent,
            memory_bytes: after.memory_bytes,
            memory_percent: load.memory_percent,
        }
    });
    InstanceUsage {
        samples: samples.collect(),
        instance_name: name.as_str().into(),
        component_name: identity.component.as_str().into(),
        instance_alias: match identity.role {
            Role::Database => identity.component.clone(),
            _ => format!("{}-{}", identity.component, identity.slot),
        },
        memory_limit_bytes: limits.memory_bytes,
    }
}
