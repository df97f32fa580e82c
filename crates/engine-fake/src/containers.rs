//! Containers of the fake engine: the effects of each verb, and of manual changes.

use std::net::Ipv4Addr;
use std::time::Duration;

use engine::EngineError;
use engine::port::*;
use tokio::time::Instant;

use crate::Behaviour;
use crate::world::World;

/// First back-off of a crashing container. Doubles up to a minute, as in Docker.
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LAST_BACK_OFF: Duration = Duration::from_secs(60);
/// Exit code of a killed process.
pub(super) const KILLED: i64 = 137;

pub(super) struct Process {
    pub id: String,
    pub spec: ContainerSpec,
    /// Its current name.
    pub called: String,
    pub limits: Limits,
    pub behaviour: Behaviour,
    pub state: ContainerState,
    pub policy: RestartPolicy,
    pub network: Option<NetworkJoin>,
    pub log: Vec<LogLine>,
    pub restarts: u32,
    /// The kernel killed its last process for lack of memory.
    pub out_of_memory: bool,
    /// `None` unless a test sets it.
    pub usage: Option<Usage>,
    /// Until this time the list shows it as running.
    listed_as_running_until: Option<Instant>,
    /// Counts starts, so that the end of one run is not mistaken for the end of the next.
    run: u64,
    pub started: Option<Instant>,
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
}

impl Process {
    pub(super) fn as_container(&self) -> Container {
        Container {
            id: self.id.clone(),
            name: self.spec.name.clone(),
            called: self.called.clone(),
            identity: self.spec.identity.clone(),
            image: self.spec.image.clone(),
            state: self.state,
            addresses: self.network.iter().map(|join| join.address).collect(),
            published: self.published(),
        }
    }

    /// The ports that were chosen at create. For the others, the fake's engine chooses the container's port.
    fn published(&self) -> Vec<PublishedPort> {
        let is_live = self.is_live();
        let ports = self.spec.published.iter().filter(|it| it.host.is_some() || is_live);
        ports.map(|it| PublishedPort { host: it.host.or(Some(it.container)), ..*it }).collect()
    }

    pub(super) fn is_renamed(&self) -> bool {
        self.called != self.spec.name
    }

    /// As the engine's list shows it, which may be out of date.
    pub(super) fn as_listed(&self) -> Container {
        let is_late = self.listed_as_running_until.is_some_and(|until| Instant::now() < until);
        let state = if is_late { ContainerState::Running } else { self.state };
        Container { state, ..self.as_container() }
    }

    /// Has a process, or will have one soon, and so holds its address.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.state, ContainerState::Running | ContainerState::Paused | ContainerState::Restarting)
    }

    pub(super) fn exit_code(&self) -> Option<i64> {
        match self.state {
            ContainerState::Exited { code } => code,
            ContainerState::Created
            | ContainerState::Running
            | ContainerState::Paused
            | ContainerState::Restarting
            | ContainerState::Removing => None,
        }
    }
}

impl World {
    pub(super) fn create(&mut self, spec: &ContainerSpec) -> Result<String, EngineError> {
        if let Some(holder) = self.find(&spec.name) {
            let same = holder.spec.identity == spec.identity;
            return if same { Ok(holder.id.clone()) } else { Err(name_taken(&spec.name)) };
        }
        if self.is_called(&spec.name) {
            return Err(name_taken(&spec.name));
        }
        if let Some(renamed) = self.containers.remove(&spec.name) {
            // The port does not remember it: it continues beside the new container, under its new name.
            self.containers.insert(renamed.called.clone(), renamed);
        }
        let image = self.find_image(&spec.image).and_then(|id| self.images.get(&id));
        let Some(image) = image else {
            return Err(EngineError::ImageMissing { reference: spec.image.clone() });
        };
        let behaviour = image.behaviour.clone();
        if let Some(mount) = spec.volume.as_ref().filter(|mount| !self.volumes.contains_key(&mount.volume)) {
            return Err(EngineError::NotFound { what: format!("volume {}", mount.volume) });
        }
        self.check_ports(spec, false)?;
        let id = self.next_id();
        let process = Process {
            id: id.clone(),
            spec: spec.clone(),
            called: spec.name.clone(),
            limits: spec.limits,
            behaviour,
            state: ContainerState::Created,
            policy: RestartPolicy::No,
            network: spec.network.clone(),
            log: Vec::new(),
            restarts: 0,
            out_of_memory: false,
            usage: None,
            listed_as_running_until: None,
            run: 0,
            started: None,
            started_at: None,
            finished_at: None,
        };
        self.containers.insert(spec.name.clone(), process);
        self.remembered.insert(id.clone());
        self.report(&spec.name, "create");
        Ok(id)
    }

    pub(super) fn start(&mut self, name: &str) -> Result<Changed, EngineError> {
        let process = self.get(name)?;
        match process.state {
            ContainerState::Running | ContainerState::Restarting => Ok(Changed::AlreadySo),
            ContainerState::Paused => {
                self.get_mut(name)?.state = ContainerState::Running;
                Ok(Changed::Done)
            }
            ContainerState::Created | ContainerState::Exited { .. } | ContainerState::Removing => {
                self.begin(name).map(|()| Changed::Done)
            }
        }
    }

    /// Starts a process, if its address and network allow it.
    pub(super) fn begin(&mut self, name: &str) -> Result<(), EngineError> {
        if let Some(join) = &self.get(name)?.network {
            self.check_place(name, join)?;
        }
        self.check_ports(&self.get(name)?.spec, true)?;
        let stamp = self.stamp();
        let process = self.get_mut(name)?;
        process.state = ContainerState::Running;
        process.run += 1;
        process.out_of_memory = false;
        process.listed_as_running_until = None;
        process.started = Some(Instant::now());
        process.started_at = Some(stamp);
        self.report(name, "start");
        Ok(())
    }

    /// Ends the process of `run`, or the current one. Returns the back-off if the engine will restart it.
    pub(super) fn exit(&mut self, name: &str, code: i64, run: Option<u64>) -> Option<Duration> {
        let process = self.containers.get(name)?;
        if !process.is_live() || run.is_some_and(|run| run != process.run) {
            return None;
        }
        self.end(name, code);
        let process = self.containers.get_mut(name)?;
        if process.policy == RestartPolicy::No {
            return None;
        }
        process.state = ContainerState::Restarting;
        let back_off = FIRST_BACK_OFF.saturating_mul(1 << process.restarts.min(16)).min(LAST_BACK_OFF);
        process.restarts += 1;
        Some(back_off)
    }

    pub(super) fn run_out_of_memory(&mut self, name: &str) -> Option<Duration> {
        let process = self.containers.get_mut(name).filter(|process| process.is_live())?;
        process.out_of_memory = true;
        self.report(name, "oom");
        self.exit(name, KILLED, None)
    }

    /// The process ends, and the engine does not restart it.
    pub(super) fn end(&mut self, name: &str, code: i64) {
        let (stamp, late) = (self.stamp(), self.list_late);
        if let Some(process) = self.containers.get_mut(name) {
            process.state = ContainerState::Exited { code: Some(code) };
            process.finished_at = Some(stamp);
            process.listed_as_running_until = Some(Instant::now() + late);
            self.report_end(name, code);
        }
    }

    /// Restarts the process after the back-off, unless the container was stopped, removed, or lost its policy
    /// meanwhile.
    pub(super) fn start_again(&mut self, name: &str) -> bool {
        match self.containers.get_mut(name) {
            Some(process) if process.state == ContainerState::Restarting => {
                process.state = ContainerState::Exited { code: Some(1) };
                process.policy == RestartPolicy::Always && self.begin(name).is_ok()
            }
            _ => false,
        }
    }

    /// When and how the process of a container will end by itself: its run, the time from its start, its exit code.
    pub(super) fn own_end(&self, name: &str) -> Option<(u64, Duration, i64)> {
        let process = self.containers.get(name).filter(|process| process.is_live())?;
        Some((process.run, process.behaviour.ready_after, process.behaviour.exits_with?))
    }

    pub(super) fn delete(&mut self, name: &str) -> Changed {
        self.report(name, "destroy");
        match self.containers.remove(name) {
            Some(_) => Changed::Done,
            None => Changed::AlreadySo,
        }
    }

    pub(super) fn say(&mut self, name: &str, stream: LogStream, text: &str) {
        let timestamp = self.stamp();
        if let Some(process) = self.containers.get_mut(name) {
            process.log.push(LogLine { stream, timestamp, text: text.to_owned(), cut: 0 });
        }
    }

    /// Whether its process would accept a connection at this address.
    pub(super) fn listening_at(&self, name: &str, address: Ipv4Addr) -> bool {
        let join = self.containers.get(name).and_then(|it| it.network.as_ref());
        self.listening(name) && join.is_some_and(|join| join.address == address)
    }

    pub(super) fn listening(&self, name: &str) -> bool {
        let Some(process) = self.containers.get(name) else { return false };
        let Some(started) = process.started else { return false };
        let behaviour = &process.behaviour;
        process.state == ContainerState::Running
            && process.network.is_some()
            && !behaviour.never_ready
            && behaviour.exits_with.is_none()
            && started.elapsed() >= behaviour.ready_after
    }

    /// The container that was created under this name, if the port recognises it.
    pub(super) fn find(&self, name: &str) -> Option<&Process> {
        self.containers.get(name).filter(|it| it.spec.name == name && self.is_recognised(it))
    }

    pub(super) fn get(&self, name: &str) -> Result<&Process, EngineError> {
        self.find(name).ok_or_else(|| missing(name))
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Result<&mut Process, EngineError> {
        self.get(name)?;
        self.containers.get_mut(name).ok_or_else(|| missing(name))
    }

    pub(super) fn list(&mut self) -> Vec<Container> {
        let listed: Vec<_> =
            self.containers.values().filter(|it| self.is_recognised(it)).map(Process::as_listed).collect();
        self.remembered.extend(listed.iter().map(|it| it.id.clone()));
        listed
    }

    /// Has its original name, or the port remembers its id.
    pub(super) fn is_recognised(&self, process: &Process) -> bool {
        !process.is_renamed() || self.remembered.contains(&process.id)
    }

    fn is_called(&self, name: &str) -> bool {
        self.foreign.contains_key(name) || self.containers.values().any(|it| it.called == name)
    }

    pub(super) fn restore_name(&mut self, name: &str) -> Result<Changed, EngineError> {
        if !self.get(name)?.is_renamed() {
            return Ok(Changed::AlreadySo);
        }
        if self.is_called(name) {
            return Err(name_taken(name));
        }
        self.rename(name, name);
        Ok(Changed::Done)
    }

    // Manual changes.

    pub(super) fn rename(&mut self, name: &str, called: &str) {
        if let Some(process) = self.containers.get_mut(name) {
            process.called = called.to_owned();
            self.report(name, "rename");
        }
    }

    pub(super) fn disconnect(&mut self, name: &str) {
        if let Some(process) = self.containers.get_mut(name) {
            process.network = None;
            self.report(name, "network disconnect");
        }
    }

    pub(super) fn pause(&mut self, name: &str) {
        if let Some(process) = self.containers.get_mut(name) {
            process.state = ContainerState::Paused;
            self.report(name, "pause");
        }
    }

    pub(super) fn move_to(&mut self, name: &str, address: Ipv4Addr) {
        if let Some(join) = self.containers.get_mut(name).and_then(|it| it.network.as_mut()) {
            *join = NetworkJoin { address, aliases: Vec::new(), ..join.clone() };
            self.report(name, "network connect");
        }
    }

    pub(super) fn update(&mut self, name: &str, limits: Limits, policy: RestartPolicy) {
        if let Some(process) = self.containers.get_mut(name) {
            (process.limits, process.policy) = (limits, policy);
            self.report(name, "update");
        }
    }
}

fn name_taken(name: &str) -> EngineError {
    EngineError::NameTaken { name: name.to_owned() }
}

fn missing(name: &str) -> EngineError {
    EngineError::NotFound { what: format!("container {name}") }
}
