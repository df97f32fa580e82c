//! Health checks of this app's instances.

use std::collections::HashMap;

use rollout::ids::InstanceName;
use rollout::instance::InstancePhase;
use store::records::Instance;
use tokio::sync::mpsc;

use super::Shared;
use super::records::Records;
use crate::probe::{Health, HealthChange, HealthCheck, Prober};

pub(super) struct Probes {
    probers: HashMap<InstanceName, Prober>,
    health: HashMap<InstanceName, Health>,
    sender: mpsc::UnboundedSender<HealthChange>,
    news: mpsc::UnboundedReceiver<HealthChange>,
}

impl Probes {
    pub fn new() -> Self {
        let (sender, news) = mpsc::unbounded_channel();
        Self { probers: HashMap::new(), health: HashMap::new(), sender, news }
    }

    /// Probes every started instance that has a health check, and no others. Also takes the results that the probers
    /// have so far.
    pub fn follow(&mut self, shared: &Shared, records: &Records) {
        let is_probed =
            |phase| matches!(phase, InstancePhase::Starting | InstancePhase::Ready | InstancePhase::Unready);
        let rows: Vec<_> = records.instances.iter().filter(|it| is_probed(it.phase)).collect();
        self.probers.retain(|name, _| rows.iter().any(|it| it.name == *name));
        self.health.retain(|name, _| rows.iter().any(|it| it.name == *name));
        while let Ok(HealthChange { instance, health }) = self.news.try_recv() {
            if self.probers.contains_key(&instance) {
                self.health.insert(instance, health);
            }
        }
        for row in rows {
            if self.probers.contains_key(&row.name) {
                continue;
            }
            let Some(check) = check(shared, records, row) else { continue };
            let (name, served) = (row.name.clone(), row.phase.has_served());
            let prober = Prober::start(shared.health_checker.clone(), name.clone(), check, served, self.sender.clone());
            self.probers.insert(name.clone(), prober);
            self.health.insert(name, Health::default());
        }
    }

    /// Returns when a prober found something new.
    pub async fn changed(&mut self) {
        if let Some(HealthChange { instance, health }) = self.news.recv().await {
            self.health.insert(instance, health);
        }
    }

    pub fn health(&self, name: &InstanceName) -> Option<&Health> {
        self.health.get(name)
    }

    /// Stops probing an instance. [`Self::follow`] starts again.
    pub fn forget(&mut self, name: &InstanceName) {
        self.probers.remove(name);
        self.health.remove(name);
    }
}

/// What a health check asks an instance. The host is the name that callers use: the app's host, or the component's name
/// inside the app if no route leads to it.
fn check(shared: &Shared, records: &Records, row: &Instance) -> Option<HealthCheck> {
    let revision = records.revision(&row.revision)?;
    let probe = revision.probe.clone()?;
    let host = match revision.port {
        Some(_) => shared.ingress.authority(&records.app.name),
        None => format!("{}:{}", row.component, probe.port),
    };
    let (address, dialed) = ((row.address, probe.port).into(), row.reached_at(probe.port));
    // Another port may be one for health checks alone, which commonly speaks HTTP/1.1.
    let http2 = revision.http2 && revision.port == Some(probe.port);
    Some(HealthCheck { address, dialed, probe, host, http2 })
}
