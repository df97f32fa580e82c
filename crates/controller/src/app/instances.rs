//! Carrying out the planner's steps on instances.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use engine::{
    ContainerSpec, Engine, EngineError, Identity, Limits, LogQuery, NetworkJoin, NetworkSpec, RestartPolicy, Role,
};
use futures::StreamExt;
use rollout::ids::{ComponentName, InstanceName, RevisionId};
use rollout::instance::{InstanceEvent, InstancePhase};
use rollout::observed::ContainerSeen;
use rollout::plan::plan;
use rollout::step::{Reason, Step};
use store::StoreError;
use store::records::{Change, Instance, Restarts, Revision};
use tokio::time::Instant;
use tracing::{debug, info};

use super::drift::Expected;
use super::reports::ActionResult;
use super::{AppTask, Shared};
use crate::clock;
use crate::logbook::Lines;
use crate::process::{Process, process};
use crate::redact::Secrets;

/// Lines of a failed instance's log that its deployment keeps.
const TAIL: usize = 60;
/// An address that something else held is not given for this long.
pub(super) const HELD_FOR: Duration = Duration::from_secs(600);
/// For reading them.
const TAIL_WITHIN: Duration = Duration::from_secs(5);

impl AppTask {
    /// Plans and begins the next step. Returns whether there was one.
    pub(super) async fn advance_instances(&mut self) -> Result<bool, StoreError> {
        let observed = self.observe();
        let targets = self.targets();
        let now = clock::now();
        let plan = plan(&targets, &observed, now);
        self.why = plan.waiting.iter().map(|it| it.why(now)).collect();
        self.look_again = plan.look_again_at();
        // Routes are compared as a whole, rules included, by `routing`.
        let Some(step) = plan.steps.into_iter().find(|it| !matches!(it, Step::Route { .. })) else { return Ok(false) };
        debug!(?step, "next step");
        if let Step::Add { component, slot, revision, generation } = step {
            return self.add(component, slot, revision, generation).await;
        }
        self.carry_out(step).await?;
        Ok(true)
    }

    async fn carry_out(&mut self, step: Step) -> Result<(), StoreError> {
        match step {
            Step::Create { instance } => self.create(&instance).await,
            Step::Start { instance } => self.start(&instance),
            Step::MarkReady { instance } => self.record_event(&instance, InstanceEvent::Passed).await,
            Step::MarkUnready { instance } => self.record_event(&instance, InstanceEvent::Lost).await,
            Step::Drain { instance } => self.record_event(&instance, InstanceEvent::DrainBegan).await,
            Step::KeepAlive { instance } => self.keep_alive(&instance),
            Step::Revive { instance } => self.revive(&instance),
            Step::Stop { instance, grace } => self.stop(&instance, grace).await,
            Step::Remove { instance } => self.remove(&instance),
            Step::GiveUp { instance, reason } => self.give_up(&instance, reason),
            Step::Add { .. } | Step::Route { .. } => Ok(()),
        }
    }

    /// Name, address and row come first; the container follows from them. Returns whether there was an address to give.
    async fn add(
        &mut self,
        component: ComponentName,
        slot: u32,
        revision: RevisionId,
        generation: u64,
    ) -> Result<bool, StoreError> {
        let targets = self.targets();
        let Some(target) = targets.iter().find(|it| it.component == component) else { return Ok(false) };
        let mut app = self.state.app.clone();
        app.serial += 1;
        let Some(address) = self.free_address() else {
            self.why.push(format!("waiting for a free address in the app's network for {component}.{slot}"));
            return Ok(false);
        };
        let now = clock::now();
        let deployment =
            self.rolling().or_else(|| self.active()).map(|it| it.id.clone()).expect("targets come from one");
        let instance = Instance {
            name: self.shared.names.instance(&app, &component, slot, app.serial),
            app: app.id.clone(),
            kind: target.kind,
            component,
            slot,
            revision,
            generation,
            deployment,
            phase: InstancePhase::Intended,
            since: now,
            address,
            stop_times: Some(target.timing.stop_times()),
            kept_alive: false,
            refused: None,
            created: now,
            container_id: None,
            restarts: Restarts::default(),
        };
        self.commit(vec![Change::App(app), Change::Instance(instance)]).await?;
        Ok(true)
    }

    /// An address that nothing has, neither on record nor on the engine as far as it was met lately; the one after the newest,
    /// so that an address rests long.
    pub(super) fn free_address(&self) -> Option<Ipv4Addr> {
        let network = self.shared.config.network_pool.network(self.state.app.network);
        let instances = self.state.instances.iter().map(|it| it.address);
        let jobs = self.state.job_runs.iter().filter(|it| !it.collected).map(|it| it.address);
        let databases = self.state.databases.iter().map(|it| it.address);
        let held = self.held.keys().copied();
        let taken = instances.chain(jobs).chain(databases).chain(held).chain(self.addresses_on_engine());
        let taken: BTreeSet<_> = taken.collect();
        let newest = self.state.instances.iter().max_by_key(|it| it.created).map(|it| it.address);
        network.free(&taken, newest)
    }

    /// Something else holds the address of this instance. It gets another one, and joins the network there at its next
    /// start. Returns whether there was one to give.
    pub(super) async fn give_another_address(&mut self, name: &InstanceName) -> Result<bool, StoreError> {
        let Some(mut row) = self.instance(name).cloned() else { return Ok(false) };
        self.held.insert(row.address, Instant::now());
        let Some(address) = self.free_address() else { return Ok(false) };
        info!(instance = %name, held = %row.address, %address, "its address is held by something else; using another one");
        row.address = address;
        // It was asked at the old one.
        self.probers.remove(name);
        self.health.remove(name);
        self.commit(vec![Change::Instance(row)]).await?;
        Ok(true)
    }

    /// Where a container belongs.
    pub(super) fn place(&self, expected: &Expected) -> Place {
        Place { network: self.network_spec(), address: expected.address, aliases: expected.aliases.clone() }
    }

    /// Its place, where it may be made for another one.
    pub(super) fn place_if_moved(&self, name: &InstanceName) -> Option<Place> {
        let expected = self.expected(name)?;
        let view = self.engine_view.borrow().clone();
        let container = view.containers.get(name.as_str());
        let is_elsewhere = container.is_some_and(|it| !it.addresses.is_empty() && !it.has_address(expected.address));
        (is_elsewhere || !self.held.is_empty()).then(|| self.place(&expected))
    }

    async fn create(&mut self, name: &InstanceName) -> Result<(), StoreError> {
        let Some(row) = self.instance(name).cloned() else { return Ok(()) };
        let Some(revision) = self.revision(&row.revision).cloned() else {
            return self.refuse(name, format!("revision {} is not on record", row.revision)).await;
        };
        let spec = self.container_spec(
            &revision,
            &row.name,
            row.address,
            Identity {
                role: Role::Instance,
                app: row.app.to_string(),
                component: row.component.to_string(),
                slot: row.slot,
                revision: row.revision.to_string(),
                generation: row.generation,
                deployment: row.deployment.to_string(),
            },
            self.state.stop_times(&row).grace,
        );
        let (shared, network) = (self.shared.clone(), self.network_spec());
        self.begin(row.name.clone(), async move {
            let result = create_process(&shared, network, spec).await;
            ActionResult::Created { instance: row.name, result: result.map(drop) }
        });
        Ok(())
    }

    /// The closed description of a container of this app. Network id, command and stop signal are completed by
    /// [`create_process`], which asks the engine.
    pub(super) fn container_spec(
        &self,
        revision: &Revision,
        name: &InstanceName,
        address: Ipv4Addr,
        identity: Identity,
        grace: Duration,
    ) -> ContainerSpec {
        let aliases = if identity.role == Role::Instance { vec![identity.component.clone()] } else { Vec::new() };
        ContainerSpec {
            name: name.to_string(),
            identity,
            image: revision.image.clone(),
            command: revision.command.clone(),
            env: revision.env.clone(),
            network: Some(NetworkJoin { network_id: String::new(), address, aliases }),
            volume: None,
            limits: Limits { cpu_millis: revision.cpu_millis, memory_bytes: revision.memory_bytes },
            stop_grace: grace,
            stop_signal: None,
        }
    }

    pub(super) fn network_spec(&self) -> NetworkSpec {
        let network = self.shared.config.network_pool.network(self.state.app.network);
        NetworkSpec {
            name: self.shared.names.network(&self.state.app.id),
            identity: Identity {
                role: Role::Network,
                app: self.state.app.id.to_string(),
                component: String::new(),
                slot: 0,
                revision: String::new(),
                generation: 0,
                deployment: String::new(),
            },
            subnet: network.subnet(),
            gateway: network.gateway(),
        }
    }

    fn start(&mut self, name: &InstanceName) -> Result<(), StoreError> {
        let (engine, name) = (self.shared.engine.clone(), name.clone());
        let moved = self.place_if_moved(&name);
        self.begin(name.clone(), async move {
            let result = start_at(engine.as_ref(), name.as_str(), moved).await;
            ActionResult::Started { instance: name, result }
        });
        Ok(())
    }

    fn keep_alive(&mut self, name: &InstanceName) -> Result<(), StoreError> {
        let (engine, name) = (self.shared.engine.clone(), name.clone());
        self.begin(name.clone(), async move {
            let result = engine.set_restart_policy(name.as_str(), RestartPolicy::Always).await;
            ActionResult::KeptAlive { instance: name, result: result.map(drop) }
        });
        Ok(())
    }

    /// Starts what was stopped by hand, lets a frozen one go on, and brings one back to its place on the network.
    fn revive(&mut self, name: &InstanceName) -> Result<(), StoreError> {
        let Some(expected) = self.expected(name) else { return Ok(()) };
        let seen = self.container(name, &self.engine_view.borrow().clone());
        info!(instance = %name, ?seen, "found changed by somebody else; bringing it back");
        let (engine, name, place) = (self.shared.engine.clone(), name.clone(), self.place(&expected));
        self.begin(name.clone(), async move {
            let result = start_at(engine.as_ref(), name.as_str(), Some(place)).await;
            ActionResult::Revived { instance: name, result }
        });
        Ok(())
    }

    /// The policy goes first: an engine killed in the middle of a stop would bring the container back (M4).
    async fn stop(&mut self, name: &InstanceName, grace: Duration) -> Result<(), StoreError> {
        if self.instance(name).is_some_and(|it| it.phase != InstancePhase::Stopping) {
            self.record_event(name, InstanceEvent::StopBegan).await?;
        }
        self.begin_stop_attempt(name);
        let (engine, name) = (self.shared.engine.clone(), name.clone());
        self.begin(name.clone(), async move {
            let result = async {
                engine.set_restart_policy(name.as_str(), RestartPolicy::No).await?;
                engine.stop(name.as_str(), grace).await
            };
            let result = result.await.map(drop);
            ActionResult::Stopped { instance: name, result }
        });
        Ok(())
    }

    fn remove(&mut self, name: &InstanceName) -> Result<(), StoreError> {
        self.begin_stop_attempt(name);
        let (engine, name) = (self.shared.engine.clone(), name.clone());
        self.begin(name.clone(), async move {
            let result = engine.remove(name.as_str()).await;
            ActionResult::Removed { instance: name, result: result.map(drop) }
        });
        Ok(())
    }

    fn give_up(&mut self, name: &InstanceName, reason: Reason) -> Result<(), StoreError> {
        let (engine, name) = (self.shared.engine.clone(), name.clone());
        let (row, secrets) = (self.instance(&name), self.secrets());
        let memory =
            row.and_then(|it| self.revision(&it.revision)).map(|it| it.memory_bytes.min(self.shared.host.memory_bytes));
        self.begin(name.clone(), async move {
            let tail = tail(engine.as_ref(), name.as_str(), &secrets).await;
            let reason = match (&reason, memory) {
                (Reason::Exited { .. }, Some(limit)) if ran_out_of_memory(engine.as_ref(), name.as_str()).await => {
                    Reason::OutOfMemory { limit }
                }
                (Reason::NotReady { within, check, .. }, _) => {
                    let process_limit = process_limit_reached(engine.as_ref(), name.as_str()).await;
                    Reason::NotReady { within: *within, check: check.clone(), process_limit }
                }
                _ => reason,
            };
            ActionResult::GivenUp { instance: name, reason, tail }
        });
        Ok(())
    }

    /// Writes one move of an instance down.
    pub(super) async fn record_event(&mut self, name: &InstanceName, event: InstanceEvent) -> Result<(), StoreError> {
        let Some(mut row) = self.instance(name).cloned() else { return Ok(()) };
        match row.phase.next(event) {
            Ok(phase) => {
                info!(instance = %name, from = ?row.phase, to = ?phase, "instance moved");
                if phase.is_alive() {
                    // Wanted again after all: what was begun to end it is of the past.
                    self.stop_attempts.remove(name);
                }
                (row.phase, row.since) = (phase, clock::now());
                self.commit(vec![Change::Instance(row)]).await
            }
            Err(illegal) => {
                tracing::error!(instance = %name, %illegal, "a move that does not exist was left out");
                Ok(())
            }
        }
    }

    /// The engine will not have it: the planner gives it up next turn.
    pub(super) async fn refuse(&mut self, name: &InstanceName, message: String) -> Result<(), StoreError> {
        let Some(mut row) = self.instance(name).cloned() else { return Ok(()) };
        row.refused = Some(message);
        self.commit(vec![Change::Instance(row)]).await
    }

    /// What an act of ours just made true, until a newer list says otherwise.
    pub(super) fn acted(&mut self, name: &InstanceName, seen: ContainerSeen) {
        self.acted.insert(name.clone(), (seen, Instant::now()));
        self.touched.insert(name.clone(), Instant::now());
    }
}

/// As [`create_in_network`], for what runs an app's image: its command passes the stop signal on.
pub(super) async fn create_process(
    shared: &Shared,
    network: NetworkSpec,
    spec: ContainerSpec,
) -> Result<String, EngineError> {
    let defaults = shared.engine.image_defaults(&spec.image).await?;
    let Process { command, stop_signal } = process(spec.command.as_deref(), &defaults);
    create_in_network(shared, network, ContainerSpec { command, stop_signal: Some(stop_signal.full_name()), ..spec })
        .await
}

/// Has the network, then the container in it.
pub(super) async fn create_in_network(
    shared: &Shared,
    network: NetworkSpec,
    mut spec: ContainerSpec,
) -> Result<String, EngineError> {
    let network = shared.engine.ensure_network(&network).await?;
    if let Some(join) = &mut spec.network {
        join.network_id = network.id;
    }
    shared.engine.create(&spec).await
}

/// Where a container belongs: a network, an address there, and the names under which others find it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub network: NetworkSpec,
    pub address: Ipv4Addr,
    pub aliases: Vec<String>,
}

/// Starts a container that may run already, after putting it at its place where one is given.
pub(super) async fn start_at(engine: &dyn Engine, name: &str, place: Option<Place>) -> Result<(), EngineError> {
    if let Some(place) = place {
        place.take(engine, name).await?;
    }
    engine.start(name).await.map(drop)
}

/// Whether the kernel ended the container's process for lack of memory, as far as the engine tells.
pub(super) async fn ran_out_of_memory(engine: &dyn Engine, name: &str) -> bool {
    matches!(engine.inspect(name).await, Ok(Some(details)) if details.oom_killed)
}

/// The container's limit of processes and threads, if it has reached it.
async fn process_limit_reached(engine: &dyn Engine, name: &str) -> Option<u64> {
    let count = engine.process_count(name).await.ok().flatten()?;
    count.is_at_limit().then_some(count.limit)
}

/// The last lines of a container's log, as people may see them; what can be had in a few seconds.
pub(super) async fn tail(engine: &dyn Engine, name: &str, secrets: &Secrets) -> Vec<String> {
    let mut shown = Lines::new(secrets);
    let read = async {
        let lines = engine.logs(name, &LogQuery { follow: false, tail: Some(TAIL) }).await.ok()?;
        Some(
            lines
                .filter_map(async |line| line.ok())
                .map(|line| shown.shown(&line))
                .take(TAIL)
                .collect::<Vec<_>>()
                .await,
        )
    };
    tokio::time::timeout(TAIL_WITHIN, read).await.ok().flatten().unwrap_or_default()
}
