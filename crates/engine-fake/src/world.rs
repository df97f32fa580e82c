//! The state of the fake engine: ids, events, networks, volumes, and the engine going down and up. Pure apart from the
//! runtime's clock, which tests may pause.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use engine::port::*;
use engine::{EngineError, Holder, RegistryLogin};
use tokio::sync::broadcast;

use crate::containers::{KILLED, Process};
use crate::images::Image;
use crate::script::Script;
use crate::shells::FakeShell;
use crate::{Behaviour, KEPT_EVENTS, publish};

pub(super) struct World {
    pub script: Script,
    pub down: bool,
    pub frozen: bool,
    pub disk_full: bool,
    pub containers: BTreeMap<String, Process>,
    pub networks: BTreeMap<String, (String, NetworkSpec)>,
    pub volumes: BTreeMap<String, Identity>,
    pub images: BTreeMap<String, Image>,
    /// The contents of registries: reference to image id.
    pub registry: BTreeMap<String, (String, Behaviour)>,
    /// The logins that registries ask for, by host.
    pub registry_logins: BTreeMap<String, RegistryLogin>,
    pub pulls_are_limited: bool,
    /// The directories that the images of builds have: by path, a tar stream.
    pub directories: BTreeMap<String, Vec<u8>>,
    pub builds: crate::build::Builds,
    pub foreign: BTreeMap<String, Foreign>,
    /// Ids of containers whose original name the port knows. A new process knows none until it lists containers or a
    /// caller names them.
    pub remembered: BTreeSet<String>,
    /// Containers that cannot be stopped or removed.
    pub wedged: BTreeSet<String>,
    pub foreign_subnets: BTreeSet<String>,
    /// Ports of 127.0.0.1 that other programs have.
    pub foreign_ports: BTreeSet<u16>,
    /// How long the list keeps showing an ended process as running.
    pub list_late: Duration,
    pub events: broadcast::Sender<Event>,
    /// Running shells, by mark.
    pub shells: BTreeMap<String, FakeShell>,
    /// For ids and log timestamps.
    counter: u64,
}

/// A running container of another owner.
#[derive(Default)]
pub(super) struct Foreign {
    pub place: Option<(String, Ipv4Addr)>,
    pub volume: Option<String>,
}

impl World {
    pub(super) fn new(events: broadcast::Sender<Event>) -> World {
        World {
            script: Script::default(),
            down: false,
            frozen: false,
            disk_full: false,
            containers: BTreeMap::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            images: BTreeMap::new(),
            registry: BTreeMap::new(),
            registry_logins: BTreeMap::new(),
            pulls_are_limited: false,
            directories: BTreeMap::new(),
            builds: Default::default(),
            foreign: BTreeMap::new(),
            remembered: BTreeSet::new(),
            wedged: BTreeSet::new(),
            foreign_subnets: BTreeSet::new(),
            foreign_ports: BTreeSet::new(),
            list_late: Duration::ZERO,
            events,
            shells: BTreeMap::new(),
            counter: 0,
        }
    }

    pub(super) fn next_id(&mut self) -> String {
        self.counter += 1;
        format!("{:064x}", self.counter)
    }

    /// A timestamp later than all earlier ones.
    pub(super) fn stamp(&mut self) -> String {
        self.counter += 1;
        format!("2026-01-01T00:{:02}:{:02}.000000000Z", self.counter / 60 % 60, self.counter % 60)
    }

    pub(super) fn report(&self, name: &str, action: &str) {
        let app = self.containers.get(name).map(|process| process.spec.identity.app.as_str()).unwrap_or_default();
        publish(&self.events, app, name, action, None);
    }

    pub(super) fn report_end(&self, name: &str, code: i64) {
        let app = self.containers.get(name).map(|process| process.spec.identity.app.as_str()).unwrap_or_default();
        publish(&self.events, app, name, "die", Some(code));
    }

    pub(super) fn go_down(&mut self) {
        self.down = true;
        // Dropping the old sender ends all event streams.
        self.events = broadcast::Sender::new(KEPT_EVENTS);
    }

    /// Starts the engine without live-restore; returns the containers that it started.
    pub(super) fn boot(&mut self) -> Vec<String> {
        self.down = false;
        let stamp = self.stamp();
        let mut again = Vec::new();
        for (name, process) in &mut self.containers {
            if process.is_live() {
                process.state = ContainerState::Exited { code: Some(KILLED) };
                process.finished_at = Some(stamp.clone());
            }
            // `Always` restarts even containers that were stopped before.
            if process.policy == RestartPolicy::Always && process.started.is_some() {
                again.push(name.clone());
            }
        }
        again.retain(|name| self.begin(name).is_ok());
        again
    }

    /// Whether a running container may have this endpoint: the network exists, and no other live container has the
    /// address.
    pub(super) fn check_place(&self, name: &str, join: &NetworkJoin) -> Result<(), EngineError> {
        if !self.networks.values().any(|(id, _)| *id == join.network_id) {
            return Err(EngineError::NotFound { what: format!("network {}", join.network_id) });
        }
        let same = |foreign: &NetworkJoin| (&foreign.network_id, foreign.address) == (&join.network_id, join.address);
        let clash =
            |other: &&Process| other.spec.name != name && other.is_live() && other.network.as_ref().is_some_and(same);
        let is_there = |it: &Foreign| it.place.as_ref() == Some(&(join.network_id.clone(), join.address));
        let foreign = self.foreign.iter().find(|(_, it)| is_there(it)).map(|(name, _)| name);
        let holder = self.containers.values().find(clash).map(|it| &it.called).or(foreign);
        match holder {
            Some(holder) => Err(EngineError::AddressTaken {
                name: name.to_owned(),
                holder: Some(Holder {
                    container: holder.clone(),
                    network: self.network_name(&join.network_id),
                    address: join.address,
                }),
                detail: "Address already in use".into(),
            }),
            None => Ok(()),
        }
    }

    /// Whether nothing else has a port that this container publishes. At create all other containers count, at start
    /// those that run, and other programs.
    pub(super) fn check_ports(&self, spec: &ContainerSpec, at_start: bool) -> Result<(), EngineError> {
        let counts = |it: &&Process| it.spec.name != spec.name && (!at_start || it.is_live());
        let others = self.containers.values().filter(counts).flat_map(|it| &it.spec.published);
        let mut taken: BTreeSet<u16> = others.filter_map(|it| it.host).collect();
        if at_start {
            taken.extend(&self.foreign_ports);
        }
        match spec.published.iter().filter_map(|it| it.host).find(|port| taken.contains(port)) {
            Some(port) => Err(EngineError::PortTaken {
                name: spec.name.clone(),
                port: Some(port),
                detail: "port is already allocated".into(),
            }),
            None => Ok(()),
        }
    }

    fn network_name(&self, id: &str) -> String {
        let by_id = self.networks.iter().find(|(_, (known, _))| known == id);
        by_id.map(|(name, _)| name.clone()).unwrap_or_default()
    }

    /// Every current endpoint on a network.
    pub(super) fn members(&self, network_id: &str) -> Vec<NetworkMember> {
        let owned = self.containers.values().filter(|it| it.is_live()).filter_map(|it| {
            let join = it.network.as_ref().filter(|join| join.network_id == network_id)?;
            Some(NetworkMember { id: it.id.clone(), called: it.called.clone(), address: Some(join.address) })
        });
        let foreign = self.foreign.iter().filter_map(|(name, it)| {
            let (_, address) = it.place.as_ref().filter(|(id, _)| id == network_id)?;
            Some(NetworkMember { id: format!("foreign-{name}"), called: name.clone(), address: Some(*address) })
        });
        owned.chain(foreign).collect()
    }

    /// Every running or stopped container that mounts a volume.
    pub(super) fn volume_users(&mut self, volume: &str, owner: &str) -> Vec<VolumeUser> {
        let mounts = |it: &Process| it.spec.volume.as_ref().is_some_and(|mount| mount.volume == volume);
        let owned: Vec<_> = self.containers.values().filter(|it| mounts(it)).map(|it| it.id.clone()).collect();
        // The labels prove the owner, as on a real engine.
        let proven = self.containers.values().filter(|it| mounts(it) && it.spec.name == owner);
        self.remembered.extend(proven.map(|it| it.id.clone()).collect::<Vec<_>>());
        let user = |it: &Process| VolumeUser {
            id: it.id.clone(),
            called: it.called.clone(),
            runs: it.is_live(),
            container: self.is_recognised(it).then(|| it.as_container()),
        };
        let owned = self.containers.values().filter(|it| owned.contains(&it.id)).map(user);
        let foreign = self.foreign.iter().filter(|(_, it)| it.volume.as_deref() == Some(volume));
        let foreign = foreign.map(|(name, _)| VolumeUser {
            id: format!("foreign-{name}"),
            called: name.clone(),
            runs: true,
            container: None,
        });
        owned.chain(foreign).collect()
    }

    pub(super) fn remove_network(&mut self, name: &str) {
        let Some((id, spec)) = self.networks.remove(name) else { return };
        for process in self.containers.values_mut() {
            process.network.take_if(|join| join.network_id == id);
        }
        publish(&self.events, &spec.identity.app, "", "network destroy", None);
    }
}
