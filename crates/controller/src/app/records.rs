//! The task's copy of its records: changed only after the store has the change.

use rollout::ids::{DeploymentId, InstanceName, RevisionId};
use store::StoreError;
use store::records::{Change, Deployment, Instance, Revision};

use super::AppTask;

impl AppTask {
    /// Writes all of it or nothing, then remembers it.
    pub(super) async fn commit(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.shared.store.commit(changes.clone()).await?;
        for change in changes {
            self.remember(change);
        }
        self.changed();
        Ok(())
    }

    fn remember(&mut self, change: Change) {
        let state = &mut self.state;
        match change {
            Change::App(app) => state.app = app,
            Change::ForgetApp(_) => self.ended = true,
            Change::Deployment(deployment) => put(&mut state.deployments, *deployment, |it| it.id.clone()),
            Change::ForgetDeployment(id) => {
                state.deployments.retain(|it| it.id != id);
                state.job_runs.retain(|it| it.deployment != id);
            }
            Change::Instance(instance) => put(&mut state.instances, instance, |it| it.name.clone()),
            Change::ForgetInstance(name) => state.instances.retain(|it| it.name != name),
            Change::Revision(revision) => put(&mut state.revisions, revision, |it| it.id.clone()),
            Change::ForgetRevision(_, id) => state.revisions.retain(|it| it.id != id),
            Change::JobRun(run) => put(&mut state.job_runs, run, |it| (it.deployment.clone(), it.job.clone())),
            Change::Database(database) => put(&mut state.databases, database, |it| it.name.clone()),
            Change::ForgetDatabase(_, name) => state.databases.retain(|it| it.name != name),
            _ => {}
        }
    }

    pub(super) fn deployment(&self, id: &DeploymentId) -> Option<&Deployment> {
        self.state.deployments.iter().find(|it| it.id == *id)
    }

    /// The deployment that serves.
    pub(super) fn active(&self) -> Option<&Deployment> {
        super::active(&self.state)
    }

    /// The deployment that owns the instances, if one rolls.
    pub(super) fn rolling(&self) -> Option<&Deployment> {
        self.state.deployments.iter().find(|it| it.stage.rolls())
    }

    pub(super) fn instance(&self, name: &InstanceName) -> Option<&Instance> {
        self.state.instances.iter().find(|it| it.name == *name)
    }

    pub(super) fn revision(&self, id: &RevisionId) -> Option<&Revision> {
        self.state.revisions.iter().find(|it| it.id == *id)
    }
}

fn put<T, K: PartialEq>(list: &mut Vec<T>, new: T, key: impl Fn(&T) -> K) {
    match list.iter_mut().find(|it| key(it) == key(&new)) {
        Some(place) => *place = new,
        None => list.push(new),
    }
}
