//! The task of one app. It works in turns, with one snapshot per turn.

use std::sync::Arc;
use std::time::Duration;

use store::StoreError;
use store::records::{AppState, Deployment};
use tokio::sync::{OwnedMutexGuard, mpsc, watch};
use tracing::{error, info};

use super::actions::{ActionResult, Report};
use super::context::Context;
use super::databases::Databases;
use super::gc::Gc;
use super::images::Images;
use super::instances::Instances;
use super::observe::Snapshot;
use super::repair::Repairs;
use super::restart_counter::RestartCounter;
use super::routing::Routing;
use super::{
    AppCommand, COUNT_DOWN_EVERY, LOOK_AT_LEAST_EVERY, STORE_PAUSE, Shared, Waits, databases, deletion, deployments,
    images, instances, jobs, newer, repair, rollout_report, strays,
};
use crate::clock;

/// Only the records are persistent. After a restart the task observes everything else again.
pub(super) struct AppTask {
    pub(super) cx: Context,
    pub(super) images: Images,
    pub(super) routing: Routing,
    pub(super) databases: Databases,
    instances: Instances,
    restarts: RestartCounter,
    repairs: Repairs,
    gc: Gc,
    commands: OwnedMutexGuard<mpsc::Receiver<AppCommand>>,
    waiting: watch::Sender<Arc<Waits>>,
    clock_jumps: clock::ClockJumps,
}

/// What starts a turn.
enum TurnInput {
    Report(Box<Report>),
    Command(AppCommand),
    /// Neither a report nor a command: the turn checks everything.
    Nothing,
}

impl AppTask {
    pub fn new(
        shared: Arc<Shared>,
        state: AppState,
        commands: OwnedMutexGuard<mpsc::Receiver<AppCommand>>,
        waiting: watch::Sender<Arc<Waits>>,
    ) -> Self {
        Self {
            images: Images::default(),
            routing: Routing::new(shared.clone()),
            databases: Databases::default(),
            instances: Instances::default(),
            restarts: RestartCounter::default(),
            repairs: Repairs::default(),
            gc: Gc::default(),
            cx: Context::new(shared, state),
            commands,
            waiting,
            clock_jumps: clock::ClockJumps::new(),
        }
    }

    pub async fn run(mut self) {
        let stop = self.cx.shared.stop.clone();
        let mut input = TurnInput::Nothing;
        while !self.cx.records.is_forgotten && !stop.is_cancelled() {
            let pause = match self.turn(input).await {
                Ok(true) => {
                    input = self.input_at_hand();
                    continue;
                }
                Ok(false) => None,
                Err(problem) => {
                    error!(error = %problem, "cannot write to the store; trying again");
                    Some(STORE_PAUSE)
                }
            };
            self.publish_waits();
            input = tokio::select! {
                // Check `stop` first: handling the input may write to the store.
                biased;
                () = stop.cancelled() => return,
                next = self.next_input(pause) => next,
            };
        }
    }

    /// Does at most one thing. Returns whether it did something. Errors: the store refused a write, and nothing was
    /// begun.
    async fn turn(&mut self, input: TurnInput) -> Result<bool, StoreError> {
        self.follow_clock();
        let Context { records, observer, actions, .. } = &mut self.cx;
        let snapshot = observer.observe(records, actions, &self.routing);
        match input {
            TurnInput::Report(report) => return self.finish(&snapshot, *report).await.map(|()| true),
            TurnInput::Command(command) => {
                // A restart assigns a name to an instance. Find the containers that are newer than the records first,
                // because one of them may have that name.
                let noted = newer::note(&mut self.cx, &snapshot).await;
                self.answer(&snapshot, command).await;
                return noted.map(|_| true);
            }
            TurnInput::Nothing => {}
        }
        self.restarts.follow(&mut self.cx, &snapshot);
        if newer::note(&mut self.cx, &snapshot).await? || self.advance_deployments(&snapshot).await? {
            return Ok(true);
        }
        let is_checking = self.images.is_checking(&self.cx);
        if !newer::hold_everything(&self.cx, &snapshot)
            && (!is_checking && self.instances.advance(&mut self.cx, &snapshot).await?
                || self.routing.advance(&mut self.cx, &snapshot))
        {
            return Ok(true);
        }
        Ok(!is_checking && rollout_report::advance(&mut self.cx, &self.routing, &snapshot).await?
            || self.images.write_late(&mut self.cx).await?
            || repair::note_containers(&mut self.cx, &snapshot).await?
            || self.repairs.advance(&mut self.cx, &snapshot)
            || self.run_maintenance(&snapshot).await?)
    }

    /// Does one piece of maintenance, which comes after all rollout work. Returns whether there was one.
    async fn run_maintenance(&mut self, snapshot: &Snapshot) -> Result<bool, StoreError> {
        let cx = &mut self.cx;
        if self.databases.keep(cx, snapshot) || jobs::collect(cx) || strays::remove(cx, &self.routing, snapshot) {
            return Ok(true);
        }
        match cx.records.app.deleting {
            true => deletion::advance(cx).await,
            false => self.gc.advance(cx, &self.routing).await,
        }
    }

    /// Records the result of an action. If that fails, the next snapshot shows the result on the engine.
    async fn finish(&mut self, snapshot: &Snapshot, report: Report) -> Result<(), StoreError> {
        let Report { subject, result, failures_before } = report;
        let is_pause = matches!(result, ActionResult::Paused);
        let written = self.write_down(snapshot, result).await;
        self.cx.actions.handled(&subject, is_pause, failures_before);
        written
    }

    async fn write_down(&mut self, snapshot: &Snapshot, result: ActionResult) -> Result<(), StoreError> {
        let cx = &mut self.cx;
        match result {
            ActionResult::Instance { name, action, result } => {
                instances::finish(cx, snapshot, name, action, result).await
            }
            ActionResult::GivenUp { name, reason, tail } => instances::given_up(cx, snapshot, name, reason, tail).await,
            ActionResult::Inspected { name, code, out_of_memory, result } => {
                self.restarts.inspected(cx, &name, (code, out_of_memory), result).await
            }
            ActionResult::Routed { routes, part, result } => {
                let new = self.routing.sent(routes, part, result);
                cx.records.newly_routed.note(new, clock::now());
                Ok(())
            }
            ActionResult::CommitResolved { deployment, component, commit } => {
                images::commit_resolved(cx, &deployment, component, commit).await
            }
            ActionResult::ImageReady { deployment, component, result } => {
                self.images.ready(cx, (deployment, component), result).await
            }
            ActionResult::ImageChecked { deployment, component, result } => {
                self.images.checked((deployment, component), result);
                Ok(())
            }
            ActionResult::DatabaseUp { container, name, result } => {
                self.databases.came_up(cx, container, name, result).await
            }
            ActionResult::DatabaseStopped { database, result } => databases::stopped(cx, *database, result).await,
            ActionResult::JobMoved { name, result } => jobs::moved(cx, snapshot, name, result).await,
            ActionResult::JobCollected { name, result } => jobs::collected(cx, name, result).await,
            ActionResult::Repaired { name, result } => {
                repair::repaired(cx, &name, result);
                Ok(())
            }
            ActionResult::StrayRemoved { name, result } => {
                strays::removed(cx, name, result);
                Ok(())
            }
            ActionResult::AppRemoved { result } => deletion::removed(cx, result).await,
            ActionResult::GcEnded | ActionResult::Paused => Ok(()),
        }
    }

    /// If the system clock jumped, shifts the start of every open wait by the same amount. Must run before the turn
    /// writes anything.
    fn follow_clock(&mut self) {
        let by = self.clock_jumps.jump();
        if by == 0 {
            return;
        }
        info!(seconds = by / 1000, "the system clock jumped; waits continue as before");
        // A time written at the moment of the jump must not move past `now`: its wait would never end.
        let now = clock::now();
        self.cx.records.follow_clock(by, now);
        self.cx.observer.follow_clock(by, now);
        self.cx.actions.follow_clock(by);
        self.instances.follow_clock(by);
    }

    /// The next report or command, without waiting for one.
    fn input_at_hand(&mut self) -> TurnInput {
        if let Some(report) = self.cx.actions.try_next() {
            return TurnInput::Report(Box::new(report));
        }
        self.commands.try_recv().map_or(TurnInput::Nothing, TurnInput::Command)
    }

    /// Waits for anything that may change the plan. After an error of the store, waits for `pause` instead.
    async fn next_input(&mut self, pause: Option<Duration>) -> TurnInput {
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
            return self.input_at_hand();
        }
        let at_least_every = if self.waiting.borrow().app.is_empty() { LOOK_AT_LEAST_EVERY } else { COUNT_DOWN_EVERY };
        let until_look = self
            .instances
            .look_again
            .map_or(at_least_every, |at| at.since(clock::now()).min(at_least_every) + Duration::from_millis(1));
        tokio::select! {
            report = self.cx.actions.next() => TurnInput::Report(Box::new(report)),
            Some(command) = self.commands.recv() => TurnInput::Command(command),
            () = self.cx.observer.changed() => TurnInput::Nothing,
            () = self.routing.changed() => TurnInput::Nothing,
            () = tokio::time::sleep(until_look) => TurnInput::Nothing,
        }
    }

    /// Publishes what the app waits for, if that has changed. All countdowns change at the start of a second, so they
    /// cause one change per second.
    fn publish_waits(&mut self) {
        let cx = &self.cx;
        let now = clock::whole_second(clock::now());
        let app: Vec<_> = self.instances.waiting.iter().cloned().chain(cx.actions.failures(now)).collect();
        let under_way = cx.records.deployments.iter().filter(|it| !it.stage.is_ended());
        let lines = |it: &Deployment| match it.stage.rolls() {
            true => [deployments::why_beside_rolling(cx), app.clone()].concat(),
            false => deployments::why_not_rolling(cx, it),
        };
        let deployments = under_way.map(|it| (it.id.clone(), lines(it))).collect();
        let waits = Waits { deployments, app };
        if **self.waiting.borrow() != waits {
            self.waiting.send_replace(Arc::new(waits));
            cx.shared.changed();
        }
    }
}
