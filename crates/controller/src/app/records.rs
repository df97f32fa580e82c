//! The task's copy of its app's records. It changes only after the store has committed the change.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use app_spec::AppSpec;
use rollout::deployment::Stage;
use rollout::ids::{DeploymentId, InstanceName, RevisionId};
use rollout::queue::Queued;
use rollout::target::Target;
use rollout::time::Timestamp;
use store::StoreError;
use store::records::{AppState, Change, Deployment, Instance, JobRun, Revision};

use super::Shared;
use super::actions::Subject;
use super::timeline::{self, NewlyRouted};
use crate::clock;
use crate::redact::Secrets;
use crate::specs::Specs;
use crate::supervise::lock;

/// Reads like [`AppState`]. Only [`Records::commit`] changes it, together with the store.
pub(super) struct Records {
    shared: Arc<Shared>,
    state: AppState,
    /// Specs of deployments, with their secrets.
    specs: Mutex<HashMap<DeploymentId, Arc<AppSpec>>>,
    /// See [`NewlyRouted`].
    pub newly_routed: NewlyRouted,
    /// The app is deleted, and none of its records are left.
    pub is_forgotten: bool,
}

impl Deref for Records {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.state
    }
}

impl Records {
    pub fn new(shared: Arc<Shared>, mut state: AppState) -> Self {
        clock::not_after(clock::now(), &mut state);
        Self { shared, state, specs: Mutex::default(), newly_routed: NewlyRouted::default(), is_forgotten: false }
    }

    /// Writes all changes or none, and with them the transitions of instances. Errors: the store refused them, and this
    /// copy is unchanged as well.
    pub async fn commit(&mut self, mut changes: Vec<Change>) -> Result<(), StoreError> {
        let transitions = timeline::transitions(&self.state, &self.newly_routed, &changes, clock::now());
        changes.extend(transitions.into_iter().map(|it| Change::Transition(Box::new(it))));
        self.shared.store.commit(changes.clone()).await?;
        self.newly_routed.clear();
        let ends = |it: &Change| matches!(it, Change::Deployment(deployment) if deployment.stage.is_ended());
        let deployment_ended = changes.iter().any(ends);
        self.shared.events.count(&self.state, &changes);
        for change in changes {
            match &change {
                Change::ForgetInstance(name) => self.shared.ports.free(name),
                Change::ForgetApp(id) => self.shared.call_checks.forget(id),
                _ => {}
            }
            self.apply(change);
        }
        self.shared.changed();
        if deployment_ended {
            self.shared.deployment_ends.send_modify(|ticks| *ticks += 1);
        }
        Ok(())
    }

    fn apply(&mut self, change: Change) {
        let state = &mut self.state;
        match change {
            Change::App(app) => state.app = app,
            Change::ForgetApp(_) => self.is_forgotten = true,
            Change::Deployment(deployment) => {
                let known = state.deployments.iter().find(|it| it.id == deployment.id);
                if known.is_some_and(|it| it.spec != deployment.spec) {
                    lock(&self.specs).remove(&deployment.id);
                }
                put(&mut state.deployments, *deployment, |it| it.id.clone());
            }
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

    pub fn deployment(&self, id: &DeploymentId) -> Option<&Deployment> {
        self.deployments.iter().find(|it| it.id == *id)
    }

    /// The deployment that serves.
    pub fn active(&self) -> Option<&Deployment> {
        super::active(&self.state)
    }

    /// The deployment that controls the instances, if one rolls.
    pub fn rolling(&self) -> Option<&Deployment> {
        self.deployments.iter().find(|it| it.stage.rolls())
    }

    pub fn instance(&self, name: &InstanceName) -> Option<&Instance> {
        self.instances.iter().find(|it| it.name == *name)
    }

    pub fn revision(&self, id: &RevisionId) -> Option<&Revision> {
        self.revisions.iter().find(|it| it.id == *id)
    }

    pub fn job_run(&self, name: &InstanceName) -> Option<&JobRun> {
        self.job_runs.iter().find(|it| it.name == *name)
    }

    /// The current targets of services and workers.
    pub fn targets(&self) -> &[Target] {
        if self.app.deleting {
            return &[];
        }
        let rolling = self.rolling().filter(|it| matches!(it.stage, Stage::Rolling | Stage::Finishing));
        match rolling {
            Some(deployment) => deployment.targets.as_deref().unwrap_or_default(),
            None => self.targets_in_force(),
        }
    }

    pub fn specs(&self) -> Specs<'_> {
        Specs::of(&self.app.id, &self.shared.sealer)
    }

    /// The spec of a deployment, with its secrets. `None` if this version cannot read it.
    pub fn spec_of(&self, deployment: &Deployment) -> Option<Arc<AppSpec>> {
        let mut opened = lock(&self.specs);
        if let Some(spec) = opened.get(&deployment.id) {
            return Some(spec.clone());
        }
        opened.retain(|id, _| self.deployment(id).is_some());
        let spec = Arc::new(self.specs().open(&deployment.spec)?);
        opened.insert(deployment.id.clone(), spec.clone());
        Some(spec)
    }

    /// Addresses in the app's network that the records use.
    pub fn addresses(&self) -> BTreeSet<Ipv4Addr> {
        let instances = self.instances.iter().map(|it| it.address);
        let jobs = self.job_runs.iter().filter(|it| !it.collected).map(|it| it.address);
        let databases = self.databases.iter().map(|it| it.address);
        instances.chain(jobs).chain(databases).collect()
    }

    /// Secret values, which no log may show.
    pub fn secrets(&self) -> Secrets {
        Secrets::new(&secret_values(&self.state))
    }

    /// The name that people use: `web.0`, `database db`, `job migrate`.
    pub fn title(&self, subject: &Subject) -> String {
        let Some(name) = subject.container() else { return format!("app {}", self.app.name) };
        let instance = || self.instance(name).map(|it| format!("{}.{}", it.component, it.slot));
        let database = || self.databases.iter().find(|it| it.container == *name);
        let database = || database().map(|it| format!("database {}", it.name));
        let job = || self.job_run(name).map(|it| format!("job {}", it.job));
        instance().or_else(database).or_else(job).unwrap_or_else(|| name.to_string())
    }

    /// After the clock was set or the host slept: shifts all open waits, but none past `now`.
    pub fn follow_clock(&mut self, by: i64, now: Timestamp) {
        clock::move_waits(by, &mut self.state);
        clock::not_after(now, &mut self.state);
    }

    /// Drops ended deployments that the task no longer needs. The store keeps them.
    pub fn drop_old_deployments(&mut self) {
        let state = &mut self.state;
        let newest = state.deployments.iter().map(|it| it.number).max();
        let app = &state.app;
        let is_needed = |it: &Deployment| app.needs().any(|id| *id == it.id);
        state.deployments.retain(|it| !it.stage.is_ended() || Some(it.number) == newest || is_needed(it));
        let kept: BTreeSet<_> = state.deployments.iter().map(|it| &it.id).collect();
        state.job_runs.retain(|it| !it.collected || kept.contains(&it.deployment));
    }
}

/// Deployments of an app that have not ended, in the form that the queue takes.
pub(crate) fn queued(state: &AppState) -> Vec<Queued<'_>> {
    let open = state.deployments.iter().filter(|it| !it.stage.is_ended());
    open.map(|it| Queued {
        number: it.number,
        stage: it.stage,
        request: &it.request,
        cancel_requested: it.cancel_requested,
    })
    .collect()
}

fn put<T, K: PartialEq>(list: &mut Vec<T>, new: T, key: impl Fn(&T) -> K) {
    match list.iter_mut().find(|it| key(it) == key(&new)) {
        Some(place) => *place = new,
        None => list.push(new),
    }
}

/// Secret values, which no log of an app may show.
pub(crate) fn secret_values(state: &AppState) -> Vec<String> {
    let secret = |it: &Revision| -> Vec<String> {
        it.env.iter().filter(|(key, _)| it.secret_keys.contains(key)).map(|(_, value)| value.clone()).collect()
    };
    let envs = state.revisions.iter().flat_map(secret);
    let passwords = state.databases.iter().map(|it| it.password.clone());
    envs.chain(passwords).collect::<BTreeSet<_>>().into_iter().collect()
}
