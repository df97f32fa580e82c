//! The proof that a deployment shows: what was served while it rolled, and what stayed the same; and the leaves of its
//! progress that follow from its instances.

use rollout::deployment::Stage;
use rollout::instance::InstancePhase;
use rollout::plan::Standing;
use rollout::progress::{LeafKey, Progress};
use rollout::target::Target;
use rollout::time::Timestamp;
use store::StoreError;
use store::records::{Change, Deployment, Instance, Served, Unchanged};

use super::AppTask;
use crate::clock;

impl AppTask {
    /// Reads the ingress's counters of the deployment's window.
    pub(super) async fn settle_record(&self, deployment: &mut Deployment) {
        let counters = self.shared.front.counters(self.state.app.id.as_str(), deployment.id.as_str()).await;
        deployment.record.served = counters.map(|it| Served {
            requests: it.requests,
            failed: it.failed,
            app_errors: it.app_errors,
            client_gone: it.client_gone,
            upgraded_cut: it.upgraded_cut,
            slowest_us: it.slowest_us,
        });
    }

    /// What a restart leaves as it is, component by component.
    pub(super) fn unchanged(&self, targets: &[Target], deployment: &Deployment) -> Vec<Unchanged> {
        let named = targets.iter().filter(|it| deployment.request.restart.names(&it.component));
        let of = |target: &Target| {
            let revision = self.revision(&target.revision)?;
            Some(Unchanged {
                component: target.component.clone(),
                image: revision.image.clone(),
                environment_hash: revision.environment_hash.clone(),
                revision: revision.id.clone(),
            })
        };
        named.filter_map(of).collect()
    }

    /// Writes down how far the rollout is: leaves of the tree, and the moment from which the new instances serve alone.
    pub(super) async fn show_rollout(&mut self) -> Result<bool, StoreError> {
        let Some(mut deployment) = self.rolling().filter(|it| it.stage == Stage::Rolling).cloned() else {
            return Ok(false);
        };
        let before = deployment.progress.clone();
        let now = clock::now();
        for target in deployment.targets.iter().flatten() {
            self.move_leaves(target, &mut deployment.progress, now);
        }
        let serves = deployment.record.serving_since.is_none() && self.serves_alone();
        if serves {
            deployment.record.serving_since = Some(now);
        }
        let changed = serves || deployment.progress != before;
        if changed {
            self.commit(vec![Change::Deployment(Box::new(deployment))]).await?;
        }
        Ok(changed)
    }

    /// Every wanted instance is ready and routed, and no other is: replaced ones may still be on their way out.
    fn serves_alone(&mut self) -> bool {
        let observed = self.observe();
        matches!(self.standing(&observed), Standing::Serving | Standing::Done) && self.routes_stand()
    }

    /// Leaves of a component that stands are done; of one that has instances to wait for, running.
    fn move_leaves(&self, target: &Target, progress: &mut Progress, now: Timestamp) {
        let rows: Vec<_> = self.state.instances.iter().filter(|it| it.component == target.component).collect();
        let current = |it: &&&Instance| it.revision == target.revision && it.generation >= target.min_generation;
        let started = rows.iter().filter(current).filter(|it| it.phase >= InstancePhase::Starting).count();
        let ready = rows.iter().filter(current).filter(|it| it.phase == InstancePhase::Ready).count();
        let wanted = target.count as usize;
        let (deploy, wait) = (LeafKey::Deploy(target.component.clone()), LeafKey::Wait(target.component.clone()));
        if started > 0 {
            progress.start(&deploy, now);
            progress.start(&wait, now);
        }
        if started >= wanted {
            progress.succeed(&deploy, None, now);
        }
        if ready >= wanted {
            progress.succeed(&wait, None, now);
        }
    }
}
