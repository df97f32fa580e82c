//! Carries out the planner's steps on instances, and records their results.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::{Container, ContainerSpec, Engine, EngineError, Identity, LogQuery, NetworkSpec, RestartPolicy, Role};
use futures::StreamExt;
use rollout::deployment::{Failure, Stage};
use rollout::ids::{ComponentName, DeploymentId, InstanceName};
use rollout::instance::{InstanceEvent, InstancePhase};
use rollout::observed::ContainerSeen;
use rollout::plan::plan;
use rollout::step::{Reason, Step};
use rollout::target::{ComponentKind, Target};
use rollout::time::Timestamp;
use store::StoreError;
use store::records::{App, Change, Deployment, Instance, Restarts};
use tracing::{debug, info, warn};

use super::actions::{ActionResult, InstanceAction, Subject};
use super::calls;
use super::containers::{
    container_spec, create_again_if_other_ports, create_process, network_spec, ran_out_of_memory, start_at,
};
use super::context::Context;
use super::network_move::move_network;
use super::observe::Snapshot;
use crate::clock;
use crate::config::Reach;
use crate::logbook::Lines;
use crate::redact::Secrets;

/// How many lines of a failed instance's log its deployment keeps.
const TAIL: usize = 60;
/// Why an instance is refused for lack of ports.
const NO_PORT: &str = "no port from 20000 to 29999 is free on 127.0.0.1 for it to publish";
/// Time limit for reading these lines.
const TAIL_WITHIN: Duration = Duration::from_secs(5);

/// What the last plan waits for.
#[derive(Default)]
pub(super) struct Instances {
    /// In sentences, for people.
    pub waiting: Vec<String>,
    /// When to plan again if nothing else wakes the task.
    pub look_again: Option<Timestamp>,
}

impl Instances {
    /// Plans and begins the next step. Returns whether there was one.
    pub async fn advance(&mut self, cx: &mut Context, snapshot: &Snapshot) -> Result<bool, StoreError> {
        let now = snapshot.now;
        let plan = plan(&snapshot.targets, &snapshot.observed, now);
        self.waiting = plan.waiting.iter().map(|it| it.why(clock::whole_second(now))).collect();
        self.look_again = plan.look_again_at();
        // `routing` compares the routes as a whole, including their rules.
        let is_next = |it: &Step| match it {
            Step::Route { .. } => false,
            // A container calls the ingress from its first moment on.
            Step::Create { .. } => snapshot.routes.listens,
            _ => true,
        };
        let is_held = !snapshot.routes.listens && plan.steps.iter().any(|it| matches!(it, Step::Create { .. }));
        self.waiting.extend(is_held.then(|| "waiting for the ingress to listen in the app's network".to_owned()));
        let Some(step) = plan.steps.into_iter().find(is_next) else { return Ok(false) };
        debug!(?step, "next step");
        if let Step::Add { component, slot, .. } = step {
            return self.add(cx, snapshot, component, slot).await;
        }
        carry_out(cx, snapshot, step).await?;
        Ok(true)
    }

    /// Records the instance with its name and its address. A later step creates its container. Returns whether there
    /// was a free address.
    async fn add(
        &mut self,
        cx: &mut Context,
        snapshot: &Snapshot,
        component: ComponentName,
        slot: u32,
    ) -> Result<bool, StoreError> {
        let Some(target) = snapshot.targets.iter().find(|it| it.component == component) else { return Ok(false) };
        let made_by = cx.records.rolling().or_else(|| cx.records.active()).expect("targets come from a deployment");
        let mut app = cx.records.app.clone();
        let Some(instance) = new(cx, snapshot, &mut app, &made_by.id, target, slot) else {
            self.waiting.push(format!("waiting for a free address in the app's network for {component}.{slot}"));
            return Ok(false);
        };
        cx.commit(vec![Change::App(app), Change::Instance(instance)]).await?;
        Ok(true)
    }

    /// After the clock was set or the host slept: shifts the wait.
    pub fn follow_clock(&mut self, by: i64) {
        self.look_again = self.look_again.map(|at| clock::moved(at, by));
    }
}

/// The first instance that a deployment will create, if the planner can begin with it now. It is not recorded yet.
pub(super) fn first_of(cx: &Context, snapshot: &Snapshot, app: &mut App, deployment: &Deployment) -> Option<Instance> {
    let targets = deployment.targets.as_deref().filter(|_| snapshot.has_engine())?;
    let plan = plan(targets, &snapshot.observed, snapshot.now);
    plan.steps.iter().find_map(|step| {
        let Step::Add { component, slot, .. } = step else { return None };
        let target = targets.iter().find(|it| it.component == *component)?;
        new(cx, snapshot, app, &deployment.id, target, *slot)
    })
}

/// A new instance with a unique name and address. `None` if no address is free.
fn new(
    cx: &Context,
    snapshot: &Snapshot,
    app: &mut App,
    deployment: &DeploymentId,
    target: &Target,
    slot: u32,
) -> Option<Instance> {
    let address = cx.free_address(snapshot)?;
    let spec = cx.records.deployment(deployment).and_then(|it| cx.records.spec_of(it));
    let calls = spec.filter(|_| cx.shared.reach == Reach::Direct).map(|it| calls::called(&it));
    app.serial += 1;
    let now = clock::now();
    Some(Instance {
        name: cx.shared.names.instance(app, &target.component, slot, app.serial),
        app: app.id.clone(),
        kind: target.kind,
        component: target.component.clone(),
        slot,
        revision: target.revision.clone(),
        generation: target.generation,
        deployment: deployment.clone(),
        phase: InstancePhase::Intended,
        since: now,
        address,
        published: BTreeMap::new(),
        stop_times: Some(target.timing.stop_times()),
        calls: calls.unwrap_or_default(),
        kept_alive: false,
        refused: None,
        created: now,
        container_id: None,
        restarts: Restarts::default(),
    })
}

async fn carry_out(cx: &mut Context, snapshot: &Snapshot, step: Step) -> Result<(), StoreError> {
    match step {
        Step::Create { instance } => create(cx, snapshot, &instance).await?,
        Step::Start { instance } => start(cx, snapshot, instance),
        Step::MarkReady { instance } => cx.record_event(&instance, InstanceEvent::Passed).await?,
        Step::MarkUnready { instance } => cx.record_event(&instance, InstanceEvent::Lost).await?,
        Step::Drain { instance } => cx.record_event(&instance, InstanceEvent::DrainBegan).await?,
        Step::KeepAlive { instance } => keep_alive(cx, instance),
        Step::Revive { instance } => revive(cx, snapshot, instance),
        Step::Stop { instance, grace } => stop(cx, instance, grace).await?,
        Step::Remove { instance } => remove(cx, instance),
        Step::GiveUp { instance, reason } => give_up(cx, snapshot, instance, reason),
        Step::Add { .. } | Step::Route { .. } => {}
    }
    Ok(())
}

/// Begins an action on an instance's container.
fn begin(
    cx: &mut Context,
    name: InstanceName,
    action: InstanceAction,
    work: impl Future<Output = Result<(), EngineError>> + Send + 'static,
) {
    cx.actions.begin(Subject::Instance(name.clone()), async move {
        let result = work.await;
        ActionResult::Instance { name, action, result }
    });
}

async fn create(cx: &mut Context, snapshot: &Snapshot, name: &InstanceName) -> Result<(), StoreError> {
    let Some(row) = cx.records.instance(name).cloned() else { return Ok(()) };
    let has_ports = !row.published.is_empty() || cx.shared.reach == Reach::Direct;
    if !has_ports && !cx.give_ports(name).await? {
        return cx.refuse(name, NO_PORT.into()).await;
    }
    let Some((network, spec)) = container_of(cx, name) else {
        return cx.refuse(name, format!("revision {} is not on record", row.revision)).await;
    };
    let (shared, mut calls) = (cx.shared.clone(), calls::of_new_container(cx, snapshot.routes.calls()));
    calls.hosts.retain(|(service, _)| row.calls.contains(service));
    begin(cx, row.name, InstanceAction::Create, async move {
        create_process(&shared, network, spec, calls).await.map(drop)
    });
    Ok(())
}

/// What an instance's container is created from. `None` if the instance or its revision is not on record.
fn container_of(cx: &Context, name: &InstanceName) -> Option<(NetworkSpec, ContainerSpec)> {
    let row = cx.records.instance(name)?;
    let revision = cx.records.revision(&row.revision)?;
    let identity = Identity {
        role: Role::Instance,
        app: row.app.to_string(),
        component: row.component.to_string(),
        slot: row.slot,
        revision: row.revision.to_string(),
        generation: row.generation,
        deployment: row.deployment.to_string(),
    };
    let grace = cx.records.stop_times(row).grace;
    let spec = container_spec(revision, &row.name, row.address, &row.published, identity, grace);
    Some((network_spec(&cx.shared, &cx.records), spec))
}

fn start(cx: &mut Context, snapshot: &Snapshot, name: InstanceName) {
    let (shared, place, container) = (cx.shared.clone(), cx.place_if_moved(snapshot, &name), name.clone());
    let published = container_of(cx, &name).filter(|(_, spec)| !spec.published.is_empty());
    begin(cx, name, InstanceAction::Start, async move {
        if let Some((network, spec)) = published {
            create_again_if_other_ports(&shared, network, spec).await?;
        }
        start_at(shared.engine.as_ref(), container.as_str(), place).await
    });
}

fn keep_alive(cx: &mut Context, name: InstanceName) {
    let (engine, container) = (cx.shared.engine.clone(), name.clone());
    begin(cx, name, InstanceAction::KeepAlive, async move {
        engine.set_restart_policy(container.as_str(), RestartPolicy::Always).await.map(drop)
    });
}

/// Starts an instance that a person stopped, unpauses a paused one, and reconnects one at its place on the network. Removes
/// one whose published port something else has taken meanwhile, so that another instance with another port replaces it.
fn revive(cx: &mut Context, snapshot: &Snapshot, name: InstanceName) {
    let Some(place) = cx.place(&name) else { return };
    info!(instance = %name, seen = ?snapshot.container(&name), "a person changed the instance; bringing it back");
    let (engine, container) = (cx.shared.engine.clone(), name.clone());
    begin(cx, name, InstanceAction::Revive, async move {
        let started = start_at(engine.as_ref(), container.as_str(), Some(place)).await;
        if let Err(EngineError::PortTaken { .. }) = started {
            engine.remove(container.as_str()).await?;
        }
        started
    });
}

/// Clears the restart policy first: an engine that is killed during the stop would otherwise start the container again.
async fn stop(cx: &mut Context, name: InstanceName, grace: Duration) -> Result<(), StoreError> {
    if cx.records.instance(&name).is_some_and(|it| it.phase != InstancePhase::Stopping) {
        cx.record_event(&name, InstanceEvent::StopBegan).await?;
    }
    cx.observer.begin_stop_attempt(&name);
    let (engine, container) = (cx.shared.engine.clone(), name.clone());
    begin(cx, name, InstanceAction::Stop, async move {
        engine.set_restart_policy(container.as_str(), RestartPolicy::No).await?;
        engine.stop(container.as_str(), grace).await.map(drop)
    });
    Ok(())
}

fn remove(cx: &mut Context, name: InstanceName) {
    cx.observer.begin_stop_attempt(&name);
    let (engine, container) = (cx.shared.engine.clone(), name.clone());
    begin(cx, name, InstanceAction::Remove, async move { engine.remove(container.as_str()).await.map(drop) });
}

/// Lines of a failed instance that its deployment keeps: the end, which tells why the instance failed. The rollback waits for the copy.
const KEPT_LINES: usize = 10_000;

/// Reads the last lines of the log, keeps the end of the log if the rollout fails by this instance, and checks whether the
/// instance ran out of memory. The report records the failure.
fn give_up(cx: &mut Context, snapshot: &Snapshot, name: InstanceName, reason: Reason) {
    let (engine, secrets, logbook) = (cx.shared.engine.clone(), cx.records.secrets(), cx.shared.logbook.clone());
    let failing = failing(cx).map(|it| it.id.clone());
    let kept_for = failing.zip(cx.records.instance(&name).map(|it| (it.app.clone(), it.component.clone())));
    let revision = cx.records.instance(&name).and_then(|it| cx.records.revision(&it.revision));
    let container = snapshot.engine.containers.get(name.as_str()).cloned();
    let memory = revision.map(|it| it.memory_bytes.min(cx.shared.host.memory_bytes));
    cx.actions.begin(Subject::Instance(name.clone()), async move {
        let tail = tail(engine.as_ref(), name.as_str(), &secrets).await;
        if let Some((deployment, (app, component))) = kept_for {
            let container = name.as_str();
            let lines = Some(KEPT_LINES);
            logbook
                .keep_container_log(engine.as_ref(), &app, &deployment, &component, container, lines, &secrets)
                .await;
        }
        let reason = match (&reason, memory) {
            (Reason::Exited { .. }, Some(limit)) if ran_out_of_memory(engine.as_ref(), name.as_str()).await => {
                Reason::OutOfMemory { limit }
            }
            (Reason::NotReady { within, check, .. }, _) => {
                let process_limit = process_limit_reached(engine.as_ref(), container).await;
                Reason::NotReady { within: *within, check: check.clone(), process_limit }
            }
            _ => reason,
        };
        ActionResult::GivenUp { name, reason, tail }
    });
}

/// Records the result of an action on an instance.
pub(super) async fn finish(
    cx: &mut Context,
    snapshot: &Snapshot,
    name: InstanceName,
    action: InstanceAction,
    result: Result<(), EngineError>,
) -> Result<(), StoreError> {
    match action {
        InstanceAction::Create => {
            came_up(cx, snapshot, name, result, InstanceEvent::Created, ContainerSeen::Created).await
        }
        InstanceAction::Start => {
            came_up(cx, snapshot, name, result, InstanceEvent::Started, ContainerSeen::Running).await
        }
        InstanceAction::KeepAlive => kept_alive(cx, name, result).await,
        InstanceAction::Revive => revived(cx, snapshot, name, result).await,
        InstanceAction::Stop => stopped(cx, name, result).await,
        InstanceAction::Remove => removed(cx, name, result).await,
    }
}

async fn came_up(
    cx: &mut Context,
    snapshot: &Snapshot,
    name: InstanceName,
    result: Result<(), EngineError>,
    event: InstanceEvent,
    seen: ContainerSeen,
) -> Result<(), StoreError> {
    match result {
        Ok(()) => {
            cx.observer.acted(&name, seen);
            cx.record_event(&name, event).await
        }
        Err(error) if error.is_transient() => {
            cx.hold_off(Subject::Instance(name), "could not be created or started yet", &error);
            Ok(())
        }
        Err(error @ EngineError::SubnetTaken { .. }) => match move_network(cx, &error).await? {
            None => {
                cx.hold_off(Subject::Instance(name), "its network is taken", &error);
                Ok(())
            }
            Some(why) => cx.refuse(&name, why).await,
        },
        Err(error @ EngineError::AddressTaken { .. }) => {
            warn!(instance = %name, %error, "could not be created or started");
            match cx.give_another_address(snapshot, &name).await? {
                true => Ok(()),
                false => cx.refuse(&name, error.to_string()).await,
            }
        }
        Err(error @ EngineError::PortTaken { .. }) => {
            warn!(instance = %name, %error, "could not be created or started; giving it another port");
            match cx.give_ports(&name).await? {
                true => Ok(()),
                false => cx.refuse(&name, error.to_string()).await,
            }
        }
        Err(error) => cx.refuse(&name, error.to_string()).await,
    }
}

async fn kept_alive(cx: &mut Context, name: InstanceName, result: Result<(), EngineError>) -> Result<(), StoreError> {
    if let Err(error) = result {
        cx.hold_off(Subject::Instance(name), "its restart policy could not be set", &error);
        return Ok(());
    }
    cx.observer.touched(&name);
    let Some(row) = cx.records.instance(&name).cloned() else { return Ok(()) };
    cx.commit(vec![Change::Instance(Instance { kept_alive: true, ..row })]).await
}

/// The restart policy may have changed when the instance was stopped, as with `down --apps`. The next plan sets it
/// again.
async fn revived(
    cx: &mut Context,
    snapshot: &Snapshot,
    name: InstanceName,
    result: Result<(), EngineError>,
) -> Result<(), StoreError> {
    if let Err(error) = result {
        cx.hold_off(Subject::Instance(name.clone()), "cannot be brought back", &error);
        if let EngineError::AddressTaken { .. } = error {
            cx.give_another_address(snapshot, &name).await?;
        }
        return Ok(());
    }
    cx.observer.acted(&name, ContainerSeen::Running);
    let Some(row) = cx.records.instance(&name).cloned() else { return Ok(()) };
    cx.commit(vec![Change::Instance(Instance { kept_alive: false, ..row })]).await
}

async fn stopped(cx: &mut Context, name: InstanceName, result: Result<(), EngineError>) -> Result<(), StoreError> {
    match result {
        Ok(()) | Err(EngineError::NotFound { .. }) => {
            cx.observer.forget_stop_attempt(&name);
            cx.observer.acted(&name, ContainerSeen::Exited { code: None });
            cx.record_event(&name, InstanceEvent::Ended).await
        }
        Err(error) => {
            cx.observer.stop_attempt_failed(&name);
            cx.hold_off(Subject::Instance(name), "could not be stopped yet", &error);
            Ok(())
        }
    }
}

async fn removed(cx: &mut Context, name: InstanceName, result: Result<(), EngineError>) -> Result<(), StoreError> {
    if let Err(error) = result {
        cx.observer.stop_attempt_failed(&name);
        cx.hold_off(Subject::Instance(name), "could not be removed yet", &error);
        return Ok(());
    }
    cx.observer.forget_stop_attempt(&name);
    info!(instance = %name, "instance removed");
    cx.observer.acted(&name, ContainerSeen::Missing);
    cx.commit(vec![Change::ForgetInstance(name)]).await
}

/// The deployment that fails if a new instance is given up now.
fn failing(cx: &Context) -> Option<&Deployment> {
    cx.records.rolling().filter(|it| it.stage == Stage::Rolling && it.failure.is_none())
}

/// During a rollout, an instance that does not start makes the rollout fail. Otherwise the task tries again later.
pub(super) async fn given_up(
    cx: &mut Context,
    snapshot: &Snapshot,
    name: InstanceName,
    reason: Reason,
    tail: Vec<String>,
) -> Result<(), StoreError> {
    let Some(mut row) = cx.records.instance(&name).cloned() else { return Ok(()) };
    warn!(instance = %name, %reason, "new instance given up");
    let why = why(&format!("{}.{}", row.component, row.slot), &reason, &tail);
    let rolls_back = cx.records.rolling().is_some_and(|it| it.stage == Stage::RollingBack);
    let mut changes = Vec::new();
    match failing(cx).cloned() {
        Some(mut deployment) => {
            let message = format!("{why}; {}", what_still_serves(cx, &row));
            let component = Some(row.component.clone());
            deployment.failure = Some(Failure { component, code: code(&reason).into(), message });
            deployment.log_tail = tail;
            changes.push(Change::Deployment(Box::new(deployment)));
        }
        None => {
            if rolls_back {
                cx.observer.start_failures.restore_failed = Some(why.clone());
            }
            cx.observer.start_failures.add(&row.component, row.slot, why);
        }
    }
    // The instance ends like any other, whatever its phase was: a running process gets its stop signal and grace
    // period.
    let seen = snapshot.container(&name);
    let has_ended = matches!(seen, ContainerSeen::Missing | ContainerSeen::Created | ContainerSeen::Exited { .. });
    row.phase = if has_ended { InstancePhase::Stopped } else { InstancePhase::Stopping };
    row.since = clock::now();
    changes.push(Change::Instance(row));
    cx.commit(changes).await
}

/// Says which instances of a component still serve while a new one does not.
fn what_still_serves(cx: &Context, failed: &Instance) -> String {
    let component = &failed.component;
    let is_ready = |it: &&Instance| it.component == *component && it.phase == InstancePhase::Ready;
    let ready = cx.records.instances.iter().filter(is_ready);
    let names: Vec<_> = ready.map(|it| format!("{component}.{}", it.slot)).collect();
    let (one, many) = match failed.kind {
        ComponentKind::Service => ("serves", "serve"),
        ComponentKind::Worker => ("runs", "run"),
    };
    match names.as_slice() {
        [] if cx.records.active().is_none() => format!("no instance of {component} {one} yet"),
        [] => format!("no instance of {component} {one}"),
        [name] => format!("{name} still {one}"),
        names => format!("{} still {many}", names.join(", ")),
    }
}

/// The reason in words. If the last log line shows that the container could not run its command, explains that line.
fn why(alias: &str, reason: &Reason, tail: &[String]) -> String {
    let explained = match reason {
        Reason::Exited { code: Some(code) } => {
            tail.last().and_then(|line| engine::exit_message::explain(alias, *code, line))
        }
        _ => None,
    };
    explained.map_or_else(|| format!("{alias} {reason}"), |error| error.to_string())
}

/// The codes that App Platform uses.
fn code(reason: &Reason) -> &'static str {
    match reason {
        Reason::NotReady { .. } => "DeployContainerHealthChecksFailed",
        Reason::Exited { .. } | Reason::OutOfMemory { .. } => "DeployContainerExitNonZero",
        Reason::Gone => "DeployContainerTerminated",
        Reason::Refused { .. } => "DeployContainerCreateFailed",
    }
}

/// The container's limit of processes and threads, if the container has reached it.
async fn process_limit_reached(engine: &dyn Engine, container: Option<Container>) -> Option<u64> {
    let count = engine.usage(&container?).await.ok().flatten()?.processes?;
    count.is_at_limit().then_some(count.limit)
}

/// The last lines of a container's log, without secrets. Empty if they cannot be read in time.
async fn tail(engine: &dyn Engine, name: &str, secrets: &Secrets) -> Vec<String> {
    let mut shown = Lines::new(secrets);
    let read = async {
        let lines = engine.logs(name, &LogQuery { follow: false, tail: Some(TAIL) }).await.ok()?;
        let lines = lines.filter_map(async |line| line.ok()).map(|line| shown.shown(&line));
        Some(lines.take(TAIL).collect::<Vec<_>>().await)
    };
    tokio::time::timeout(TAIL_WITHIN, read).await.ok().flatten().unwrap_or_default()
}
