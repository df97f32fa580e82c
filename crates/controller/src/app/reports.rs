//! What acts beside the task report, and what is written down of it.

use std::time::Duration;

use builder::Built;
use engine::{ContainerDetails, EngineError};
use ingress::protocol::AppRoutes;
use rollout::deployment::{Failure, Stage};
use rollout::ids::{ComponentName, DeploymentId, InstanceName};
use rollout::instance::{InstanceEvent, InstancePhase};
use rollout::job::JobPhase;
use rollout::observed::{ContainerSeen, RetryBackoff, Routes, StopAttempt};
use rollout::plan::stuck;
use rollout::step::Reason;
use rollout::target::ComponentKind;
use source::CommitId;
use store::StoreError;
use store::records::{Change, Database, Deployment, Instance};
use tokio::task::JoinError;
use tracing::{error, info, warn};

use super::databases::Down;
use super::{AppTask, Trouble};
use crate::clock;

/// The report of an act.
pub(crate) enum ActionResult {
    Created {
        instance: InstanceName,
        result: Result<(), EngineError>,
    },
    Started {
        instance: InstanceName,
        result: Result<(), EngineError>,
    },
    KeptAlive {
        instance: InstanceName,
        result: Result<(), EngineError>,
    },
    Revived {
        instance: InstanceName,
        result: Result<(), EngineError>,
    },
    Stopped {
        instance: InstanceName,
        result: Result<(), EngineError>,
    },
    Removed {
        instance: InstanceName,
        result: Result<(), EngineError>,
    },
    GivenUp {
        instance: InstanceName,
        reason: Reason,
        tail: Vec<String>,
    },
    Routed {
        routes: Routes,
        sent: AppRoutes,
        result: Result<(), String>,
    },
    Resolved {
        deployment: DeploymentId,
        component: ComponentName,
        commit: CommitId,
    },
    ImageReady {
        deployment: DeploymentId,
        component: ComponentName,
        result: Result<ImageReady, String>,
    },
    /// An image that a restart needs is on the engine, or it is not.
    ImageChecked {
        deployment: DeploymentId,
        component: ComponentName,
        result: Result<(), String>,
    },
    DatabaseUp {
        about: InstanceName,
        name: ComponentName,
        result: Result<Database, Down>,
    },
    DatabaseGone {
        about: InstanceName,
        database: Box<Database>,
        result: Result<(), EngineError>,
    },
    JobMoved {
        about: InstanceName,
        deployment: DeploymentId,
        job: ComponentName,
        result: Result<JobPhase, EngineError>,
    },
    JobCollected {
        about: InstanceName,
        deployment: DeploymentId,
        job: ComponentName,
        result: Result<(), EngineError>,
    },
    Mended {
        about: InstanceName,
        result: Result<(), EngineError>,
    },
    HouseCleared {
        about: InstanceName,
        result: Result<(), EngineError>,
    },
    /// A serving instance whose process may have ended and been started again.
    LookedAt {
        instance: InstanceName,
        /// As events told.
        code: Option<i64>,
        out_of_memory: bool,
        result: Result<Option<ContainerDetails>, EngineError>,
    },
    Paused {
        about: InstanceName,
    },
}

impl ActionResult {
    /// The instance, job, database or network that an act was about, where its failure is told as such.
    fn about(&self) -> Option<&InstanceName> {
        match self {
            Self::Created { instance, .. }
            | Self::Started { instance, .. }
            | Self::KeptAlive { instance, .. }
            | Self::Revived { instance, .. }
            | Self::Stopped { instance, .. }
            | Self::Removed { instance, .. }
            | Self::GivenUp { instance, .. } => Some(instance),
            Self::DatabaseUp { about, .. }
            | Self::DatabaseGone { about, .. }
            | Self::JobMoved { about, .. }
            | Self::JobCollected { about, .. }
            | Self::Mended { about, .. }
            | Self::HouseCleared { about, .. } => Some(about),
            Self::Routed { .. } | Self::Resolved { .. } | Self::ImageReady { .. } | Self::ImageChecked { .. } => None,
            Self::LookedAt { .. } | Self::Paused { .. } => None,
        }
    }
}

/// An image that was had, built or found.
#[derive(Clone)]
pub(crate) struct ImageReady {
    pub image: store::records::Image,
    /// To be remembered for later builds.
    pub built: Option<Built>,
}

impl AppTask {
    /// As [`Self::finish`], for callers that cannot hand an error on: it is told, and the turn that follows repairs.
    pub(super) async fn finish_or_retry(&mut self, done: Result<ActionResult, JoinError>) {
        if let Err(problem) = self.finish(done).await {
            error!(error = %problem, "cannot write the result of an act to the store; it is looked at again");
            tokio::time::sleep(super::STORE_PAUSE).await;
        }
    }

    /// Writes the result of an act down. What cannot be written is seen on the engine by the next look.
    pub(super) async fn finish(&mut self, done: Result<ActionResult, JoinError>) -> Result<(), StoreError> {
        let done = match done {
            Ok(done) => done,
            // Ended by us: a build or a job that nobody waits for any more.
            Err(ended) if ended.is_cancelled() => return Ok(()),
            // Which one it was is not known, and the others must not be begun twice: the task begins again from its
            // records.
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        };
        self.follow_clock();
        let about = done.about().cloned();
        let before = about.as_ref().and_then(|it| self.troubles.get(it)).map(|it| it.failures);
        let written = self.write_down(done).await;
        // What failed before and did not fail again is over.
        if let (Some(about), Some(before)) = (about, before)
            && self.troubles.get(&about).is_some_and(|it| it.failures == before)
        {
            self.troubles.remove(&about);
        }
        written
    }

    async fn write_down(&mut self, done: ActionResult) -> Result<(), StoreError> {
        match done {
            ActionResult::Created { instance, result } => {
                self.busy.remove(&instance);
                self.came_up(&instance, result, InstanceEvent::Created, ContainerSeen::Created).await
            }
            ActionResult::Started { instance, result } => {
                self.busy.remove(&instance);
                self.came_up(&instance, result, InstanceEvent::Started, ContainerSeen::Running).await
            }
            ActionResult::KeptAlive { instance, result } => self.kept_alive(&instance, result).await,
            ActionResult::Revived { instance, result } => self.revived(&instance, result).await,
            ActionResult::Stopped { instance, result } => self.stopped(&instance, result).await,
            ActionResult::Removed { instance, result } => self.removed(&instance, result).await,
            ActionResult::GivenUp { instance, reason, tail } => self.given_up(&instance, &reason, tail).await,
            ActionResult::Routed { routes, sent, result } => self.routed(routes, sent, result).await,
            ActionResult::Resolved { deployment, component, commit } => {
                self.resolved(&deployment, component, commit).await
            }
            ActionResult::ImageReady { deployment, component, result } => {
                self.had(&deployment, component, result).await
            }
            ActionResult::ImageChecked { deployment, component, result } => {
                self.image_checked((deployment, component), result);
                Ok(())
            }
            ActionResult::DatabaseUp { about, name, result } => {
                self.busy.remove(&about);
                self.database_up(about, name, result).await
            }
            ActionResult::DatabaseGone { about, database, result } => {
                self.busy.remove(&about);
                self.database_gone(*database, result).await
            }
            ActionResult::JobMoved { about, deployment, job, result } => {
                self.busy.remove(&about);
                self.job_moved(&deployment, &job, result).await
            }
            ActionResult::JobCollected { about, deployment, job, result } => {
                self.busy.remove(&about);
                self.job_collected(&deployment, &job, result).await
            }
            ActionResult::Mended { about, result } => {
                self.busy.remove(&about);
                self.mended(&about, result);
                Ok(())
            }
            ActionResult::HouseCleared { about, result } => {
                self.busy.remove(&about);
                self.house_cleared(&about, result).await
            }
            ActionResult::LookedAt { instance, code, out_of_memory, result } => {
                self.looked_at(&instance, (code, out_of_memory), result).await
            }
            ActionResult::Paused { about } => {
                self.busy.remove(&about);
                Ok(())
            }
        }
    }

    async fn came_up(
        &mut self,
        name: &InstanceName,
        result: Result<(), EngineError>,
        event: InstanceEvent,
        seen: ContainerSeen,
    ) -> Result<(), StoreError> {
        match result {
            Ok(()) => {
                self.acted(name, seen);
                self.record_event(name, event).await
            }
            Err(error) if error.is_transient() => {
                self.hold_off(name, "could not be brought up yet", &error);
                Ok(())
            }
            Err(error @ EngineError::SubnetTaken { .. }) => match self.move_network(&error).await? {
                None => {
                    self.hold_off(name, "its network is taken", &error);
                    Ok(())
                }
                Some(why) => self.refuse(name, why).await,
            },
            Err(error @ EngineError::AddressTaken { .. }) => {
                warn!(instance = %name, %error, "could not be brought up");
                match self.give_another_address(name).await? {
                    true => Ok(()),
                    false => self.refuse(name, error.to_string()).await,
                }
            }
            Err(error) => self.refuse(name, error.to_string()).await,
        }
    }

    /// Remembers for people that something failed, and when it is tried again. Returns the pause: it begins with `first` and
    /// doubles up to `longest`.
    pub(super) fn trouble(
        &mut self,
        about: &InstanceName,
        what: String,
        first: Duration,
        longest: Duration,
    ) -> Duration {
        let failures = self.troubles.get(about).map_or(0, |it| it.failures) + 1;
        let pause = first.saturating_mul(1 << (failures - 1).min(16)).min(longest);
        let again_at = clock::now().plus(pause);
        self.troubles.insert(about.clone(), Trouble { what, again_at, failures });
        pause
    }

    /// What people call it: `web.0`, `database db`, `job migrate`.
    fn name_for_people(&self, about: &InstanceName) -> String {
        let state = &self.state;
        let instance = state.instances.iter().find(|it| it.name == *about);
        let database = state.databases.iter().find(|it| it.container == *about);
        let job = state.job_runs.iter().find(|it| it.name == *about);
        let instance = instance.map(|it| format!("{}.{}", it.component, it.slot));
        let database = || database.map(|it| format!("database {}", it.name));
        let job = || job.map(|it| format!("job {}", it.job));
        instance.or_else(database).or_else(job).unwrap_or_else(|| about.to_string())
    }

    /// The engine did not do it now; the next look plans it again. A look is asked for, so that it is not too soon.
    pub(super) fn hold_off(&mut self, name: &InstanceName, what: &str, error: &EngineError) {
        warn!(instance = %name, %error, "{what}; trying again");
        let told = format!("{}: {what}: {error}", self.name_for_people(name));
        let pause = self.trouble(name, told, super::STORE_PAUSE, super::STORE_PAUSE);
        // It may have happened all the same: only a list that is asked for from now on tells.
        self.acted(name, ContainerSeen::Unknown);
        self.shared.watch.look();
        self.pause(name.clone(), pause);
    }

    /// Whoever stopped it may have changed its restart policy, as `down --apps` does: that is set anew.
    async fn revived(&mut self, name: &InstanceName, result: Result<(), EngineError>) -> Result<(), StoreError> {
        self.busy.remove(name);
        if let Err(error) = result {
            self.hold_off(name, "cannot be brought back", &error);
            if let EngineError::AddressTaken { .. } = error {
                self.give_another_address(name).await?;
            }
            return Ok(());
        }
        self.acted(name, ContainerSeen::Running);
        let Some(mut row) = self.instance(name).cloned() else { return Ok(()) };
        row.kept_alive = false;
        self.commit(vec![Change::Instance(row)]).await
    }

    /// It is asked to end; how long that takes counts from the first time.
    pub(super) fn begin_stop_attempt(&mut self, name: &InstanceName) {
        self.stop_attempts.entry(name.clone()).or_insert(StopAttempt { since: clock::now(), failed: None });
    }

    fn stop_failed(&mut self, name: &InstanceName, what: &str, error: &EngineError) {
        self.begin_stop_attempt(name);
        if let Some(stop_attempt) = self.stop_attempts.get_mut(name) {
            stop_attempt.failed = Some(clock::now());
        }
        self.hold_off(name, what, error);
    }

    /// For the record of a deployment that does not wait for them (F28).
    pub(super) fn note_stuck(&mut self, deployment: &mut Deployment) {
        let observed = self.observe();
        for it in stuck(&observed, clock::now()) {
            let (component, slot, name) = (&it.component, it.slot, &it.name);
            warn!(instance = %name, "does not end; left behind");
            let note = format!(
                "the engine cannot stop or remove {name} ({component}.{slot}): it was left behind, and is tried again until it goes"
            );
            if !deployment.record.notes.contains(&note) {
                deployment.record.notes.push(note);
            }
        }
    }

    async fn kept_alive(&mut self, name: &InstanceName, result: Result<(), EngineError>) -> Result<(), StoreError> {
        self.busy.remove(name);
        if let Err(error) = result {
            self.hold_off(name, "its restart policy could not be set", &error);
            return Ok(());
        }
        self.touched.insert(name.clone(), tokio::time::Instant::now());
        let Some(mut row) = self.instance(name).cloned() else { return Ok(()) };
        row.kept_alive = true;
        self.commit(vec![Change::Instance(row)]).await
    }

    async fn stopped(&mut self, name: &InstanceName, result: Result<(), EngineError>) -> Result<(), StoreError> {
        self.busy.remove(name);
        match result {
            Ok(()) | Err(EngineError::NotFound { .. }) => {
                self.stop_attempts.remove(name);
                self.acted(name, ContainerSeen::Exited { code: None });
                self.record_event(name, InstanceEvent::Ended).await
            }
            Err(error) => {
                self.stop_failed(name, "could not be stopped yet", &error);
                Ok(())
            }
        }
    }

    async fn removed(&mut self, name: &InstanceName, result: Result<(), EngineError>) -> Result<(), StoreError> {
        self.busy.remove(name);
        if let Err(error) = result {
            self.stop_failed(name, "could not be removed yet", &error);
            return Ok(());
        }
        self.stop_attempts.remove(name);
        info!(instance = %name, "instance removed");
        self.acted(name, ContainerSeen::Missing);
        self.commit(vec![Change::ForgetInstance(name.clone())]).await
    }

    /// A rollout fails by it; a repair is tried again later. The row goes when the container is gone.
    async fn given_up(&mut self, name: &InstanceName, reason: &Reason, tail: Vec<String>) -> Result<(), StoreError> {
        self.busy.remove(name);
        let Some(row) = self.instance(name).cloned() else { return Ok(()) };
        warn!(instance = %name, %reason, "new instance given up");
        let why = why(&format!("{}.{}", row.component, row.slot), reason, &tail);
        let mut changes = Vec::new();
        match self.rolling().filter(|it| it.stage == Stage::Rolling && it.failure.is_none()).cloned() {
            Some(mut deployment) => {
                let message = format!("{why}; {}", self.what_still_serves(&row));
                deployment.failure =
                    Some(Failure { component: Some(row.component.clone()), code: code(reason).into(), message });
                deployment.log_tail = tail;
                changes.push(Change::Deployment(Box::new(deployment)));
            }
            None => {
                if self.rolling().is_some_and(|it| it.stage == Stage::RollingBack) {
                    self.restore_failed = Some(why.clone());
                }
                self.set_back(&row.component, row.slot, why);
            }
        }
        let mut row = row;
        // On its way out like any other, whatever phase it was in: what runs gets its signal and its grace.
        let seen = self.container(name, &self.engine_view.borrow().clone());
        let has_ended = matches!(seen, ContainerSeen::Missing | ContainerSeen::Created | ContainerSeen::Exited { .. });
        row.phase = if has_ended { InstancePhase::Stopped } else { InstancePhase::Stopping };
        row.since = clock::now();
        changes.push(Change::Instance(row));
        self.commit(changes).await
    }

    /// Which instances of a component serve while a new one of it does not.
    fn what_still_serves(&self, failed: &Instance) -> String {
        let component = &failed.component;
        let ready =
            self.state.instances.iter().filter(|it| it.component == *component && it.phase == InstancePhase::Ready);
        let names: Vec<_> = ready.map(|it| format!("{component}.{}", it.slot)).collect();
        let (one, many) = match failed.kind {
            ComponentKind::Service => ("serves", "serve"),
            ComponentKind::Worker => ("runs", "run"),
        };
        match names.as_slice() {
            [] if self.active().is_none() => format!("no instance of {component} {one} yet"),
            [] => format!("no instance of {component} {one}"),
            [name] => format!("{name} still {one}"),
            names => format!("{} still {many}", names.join(", ")),
        }
    }

    fn set_back(&mut self, component: &ComponentName, slot: u32, reason: String) {
        let last = clock::now();
        match self.retry_backoffs.iter_mut().find(|it| it.component == *component && it.slot == slot) {
            Some(backoff) => {
                *backoff = RetryBackoff { failures: backoff.failures + 1, last, reason, ..backoff.clone() }
            }
            None => {
                self.retry_backoffs.push(RetryBackoff { component: component.clone(), slot, failures: 1, last, reason })
            }
        }
    }
}

/// The reason in words; where the container's last line tells that nothing could be run, that.
fn why(alias: &str, reason: &Reason, tail: &[String]) -> String {
    let told = match reason {
        Reason::Exited { code: Some(code) } => {
            tail.last().and_then(|line| engine::exit_message::explain(alias, *code, line))
        }
        _ => None,
    };
    told.map_or_else(|| format!("{alias} {reason}"), |error| error.to_string())
}

/// As App Platform writes them.
fn code(reason: &Reason) -> &'static str {
    match reason {
        Reason::NotReady { .. } => "DeployContainerHealthChecksFailed",
        Reason::Exited { .. } | Reason::OutOfMemory { .. } => "DeployContainerExitNonZero",
        Reason::Gone => "DeployContainerTerminated",
        Reason::Refused { .. } => "DeployContainerCreateFailed",
    }
}
