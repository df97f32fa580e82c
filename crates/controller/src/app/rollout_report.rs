//! The report of a rollout: the requests served, what stayed the same, what was left behind, and the leaves of the
//! progress that depend on its instances.

use rollout::deployment::Stage;
use rollout::instance::InstancePhase;
use rollout::plan::{RolloutStatus, stuck};
use rollout::progress::{LeafKey, Progress};
use rollout::target::Target;
use rollout::time::Timestamp;
use store::StoreError;
use store::records::{Change, Deployment, IngressCounts, Instance, Record, Served, Unchanged};
use tracing::warn;

use super::calls;
use super::context::Context;
use super::observe::Snapshot;
use super::records::Records;
use super::routing::Routing;

/// Notes which ingress process starts to count, and its current count.
pub(super) fn begin_counting(cx: &Context, deployment: &mut Deployment) {
    let counted = cx.shared.ingress.counted(cx.records.app.id.as_str(), deployment.id.as_str());
    counted.into_iter().for_each(|it| keep_count(&mut deployment.record, it));
}

/// Sums up the requests served. For an ingress process that died, uses its last reading.
pub(super) async fn settle(cx: &Context, routing: &mut Routing, deployment: &mut Deployment) {
    routing.forget_counted();
    let counted = cx.shared.ingress.count(cx.records.app.id.as_str(), deployment.id.as_str()).await;
    let answered = counted.is_some();
    counted.into_iter().for_each(|it| keep_count(&mut deployment.record, it));
    let all = &deployment.record.counted;
    let at_least = !answered || all.len() > 1;
    let sum = all.iter().map(|it| it.served).reduce(add);
    deployment.record.served = sum.map(|it| Served { at_least, ..it });
}

/// What a restart leaves unchanged in each component.
pub(super) fn unchanged(records: &Records, targets: &[Target], deployment: &Deployment) -> Vec<Unchanged> {
    let named = targets.iter().filter(|it| deployment.request.restart.names(&it.component));
    let of = |target: &Target| {
        let revision = records.revision(&target.revision)?;
        Some(Unchanged {
            component: target.component.clone(),
            image: revision.image.clone(),
            environment_hash: revision.environment_hash.clone(),
            revision: revision.id.clone(),
        })
    };
    named.filter_map(of).collect()
}

/// Notes instances that the engine cannot stop or remove. The deployment does not wait for them.
pub(super) fn note_stuck(snapshot: &Snapshot, deployment: &mut Deployment) {
    for it in stuck(&snapshot.observed, snapshot.now) {
        let (component, slot, name) = (&it.component, it.slot, &it.name);
        warn!(instance = %name, "the engine cannot stop or remove it; left behind");
        let note = format!(
            "the engine cannot stop or remove {name} ({component}.{slot}): it was left behind, and Boatyard keeps trying to remove it"
        );
        if !deployment.record.notes.contains(&note) {
            deployment.record.notes.push(note);
        }
    }
}

/// Records how far the rollout is: the leaves of the progress, the moment from which only the new instances serve, and
/// the requests counted so far. Returns whether anything changed.
pub(super) async fn advance(cx: &mut Context, routing: &Routing, snapshot: &Snapshot) -> Result<bool, StoreError> {
    let Some(mut deployment) = cx.records.rolling().cloned() else { return Ok(false) };
    let before = (deployment.progress.clone(), deployment.record.clone());
    let counted = routing.counted(&deployment).cloned();
    counted.into_iter().for_each(|it| keep_count(&mut deployment.record, it));
    if deployment.stage == Stage::Rolling {
        for note in calls::notes(cx, snapshot.routes.calls()).into_iter().filter(|_| snapshot.routes.listens) {
            if !deployment.record.notes.contains(&note) {
                deployment.record.notes.push(note);
            }
        }
        for target in deployment.targets.iter().flatten() {
            move_leaves(&cx.records, target, &mut deployment.progress, snapshot.now);
        }
        // Every wanted instance is ready and routed, and no other is routed. Replaced instances may still be draining.
        let serves = matches!(snapshot.status, RolloutStatus::Draining | RolloutStatus::Complete);
        if serves && snapshot.routes.is_acknowledged {
            deployment.record.serving_since.get_or_insert(snapshot.now);
        }
    }
    let changed = (&deployment.progress, &deployment.record) != (&before.0, &before.1);
    if changed {
        cx.commit(vec![Change::Deployment(Box::new(deployment))]).await?;
    }
    Ok(changed)
}

/// Completes the leaves of a component that has all its instances, and starts those of a component that has some.
fn move_leaves(records: &Records, target: &Target, progress: &mut Progress, now: Timestamp) {
    let is_current = |it: &&Instance| it.component == target.component && target.wants(&it.revision, it.generation);
    let current = || records.instances.iter().filter(is_current);
    let started = current().filter(|it| it.phase >= InstancePhase::Starting).count();
    let ready = current().filter(|it| it.phase == InstancePhase::Ready).count();
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

/// Keeps the newest reading of each ingress process.
fn keep_count(record: &mut Record, counted: IngressCounts) {
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
