//! The proof that a deployment shows: what was served while it rolled, and what stayed the same; and the leaves of its
//! progress that follow from its instances.

use ingress::protocol::AppRoutes;
use rollout::deployment::Stage;
use rollout::instance::InstancePhase;
use rollout::plan::RolloutStatus;
use rollout::progress::{LeafKey, Progress};
use rollout::target::Target;
use rollout::time::Timestamp;
use store::StoreError;
use store::records::{Change, Counted, Deployment, Instance, Record, Served, Unchanged};

use super::AppTask;
use crate::clock;

impl AppTask {
    /// Which ingress begins to count, and from where.
    pub(super) fn begin_counting(&self, deployment: &mut Deployment) {
        let counted = self.shared.front.counted(self.state.app.id.as_str(), deployment.id.as_str());
        counted.into_iter().for_each(|it| keep_count(&mut deployment.record, it));
    }

    /// Remembers what was counted until this table was acknowledged; [`Self::show_rollout`] writes it down.
    pub(super) fn counted(&mut self, sent: &AppRoutes) {
        let counted = self.shared.front.counted(&sent.app, &sent.window);
        self.counted = counted.map(|it| (sent.window.clone(), it));
    }

    /// Sums up what was served. Of an ingress that died it is what was last read.
    pub(super) async fn settle_record(&mut self, deployment: &mut Deployment) {
        // What was read with a table is older than what is read now.
        self.counted = None;
        let counted = self.shared.front.count(self.state.app.id.as_str(), deployment.id.as_str()).await;
        let answered = counted.is_some();
        counted.into_iter().for_each(|it| keep_count(&mut deployment.record, it));
        let all = &deployment.record.counted;
        let at_least = !answered || all.len() > 1;
        let sum = all.iter().map(|it| it.served).reduce(add);
        deployment.record.served = sum.map(|it| Served { at_least, ..it });
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

    /// Writes down how far the rollout is: leaves of the tree, the moment from which the new instances serve alone, and
    /// what was counted so far.
    pub(super) async fn show_rollout(&mut self) -> Result<bool, StoreError> {
        let Some(mut deployment) = self.rolling().cloned() else { return Ok(false) };
        let before = (deployment.progress.clone(), deployment.record.clone());
        let counted = self.counted.as_ref().filter(|(window, _)| window == deployment.id.as_str());
        counted.into_iter().for_each(|(_, it)| keep_count(&mut deployment.record, it.clone()));
        if deployment.stage == Stage::Rolling {
            let now = clock::now();
            for target in deployment.targets.iter().flatten() {
                self.move_leaves(target, &mut deployment.progress, now);
            }
            if deployment.record.serving_since.is_none() && self.serves_alone() {
                deployment.record.serving_since = Some(now);
            }
        }
        let changed = (&deployment.progress, &deployment.record) != (&before.0, &before.1);
        if changed {
            self.commit(vec![Change::Deployment(Box::new(deployment))]).await?;
        }
        Ok(changed)
    }

    /// Every wanted instance is ready and routed, and no other is: replaced ones may still be on their way out.
    fn serves_alone(&mut self) -> bool {
        let observed = self.observe();
        matches!(self.rollout_status(&observed), RolloutStatus::Draining | RolloutStatus::Complete)
            && self.routes_stand()
    }

    /// Leaves of a component that stands are done; of one that has instances to wait for, running.
    fn move_leaves(&self, target: &Target, progress: &mut Progress, now: Timestamp) {
        let rows: Vec<_> = self.state.instances.iter().filter(|it| it.component == target.component).collect();
        let current = |it: &&&Instance| target.wants(&it.revision, it.generation);
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

/// The newest reading of each ingress process counts.
fn keep_count(record: &mut Record, counted: Counted) {
    match record.counted.iter_mut().find(|it| it.boot_id == counted.boot_id) {
        Some(before) => *before = counted,
        None => record.counted.push(counted),
    }
}

fn add(one: Served, other: Served) -> Served {
    Served {
        requests: one.requests + other.requests,
        open_at_start: one.open_at_start + other.open_at_start,
        failed: one.failed + other.failed,
        app_errors: one.app_errors + other.app_errors,
        client_gone: one.client_gone + other.client_gone,
        requests_cut: one.requests_cut + other.requests_cut,
        uploads_cut: one.uploads_cut + other.uploads_cut,
        upgraded: one.upgraded + other.upgraded,
        upgraded_cut: one.upgraded_cut + other.upgraded_cut,
        slowest_us: one.slowest_us.max(other.slowest_us),
        at_least: one.at_least || other.at_least,
    }
}
