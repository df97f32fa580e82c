//! What every part of an app's task works with: the records, the observer and the running actions.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use engine::EngineError;
use rollout::ids::InstanceName;
use rollout::instance::InstanceEvent;
use rollout::observed::ContainerSeen;
use store::StoreError;
use store::records::{AppState, Change, Instance};
use tracing::{info, warn};

use super::actions::{Actions, Subject};
use super::containers::Place;
use super::observe::{Observer, Snapshot};
use super::records::Records;
use super::{STORE_PAUSE, Shared};
use crate::clock;

pub(super) struct Context {
    pub shared: Arc<Shared>,
    pub records: Records,
    pub observer: Observer,
    pub actions: Actions,
}

impl Context {
    pub fn new(shared: Arc<Shared>, state: AppState) -> Self {
        Self {
            records: Records::new(shared.clone(), state),
            observer: Observer::new(shared.clone()),
            actions: Actions::default(),
            shared,
        }
    }

    /// See [`Records::commit`].
    pub async fn commit(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.records.commit(changes).await
    }

    /// Applies an event to an instance's phase and records the new phase.
    pub async fn record_event(&mut self, name: &InstanceName, event: InstanceEvent) -> Result<(), StoreError> {
        let Some(mut row) = self.records.instance(name).cloned() else { return Ok(()) };
        match row.phase.next(event) {
            Ok(phase) => {
                info!(instance = %name, from = ?row.phase, to = ?phase, "instance moved");
                if phase.is_alive() {
                    // The instance is wanted again, so an earlier stop attempt no longer counts.
                    self.observer.forget_stop_attempt(name);
                }
                (row.phase, row.since) = (phase, clock::now());
                self.commit(vec![Change::Instance(row)]).await
            }
            Err(illegal) => {
                tracing::error!(instance = %name, %illegal, "ignored an illegal move");
                Ok(())
            }
        }
    }

    /// Records that the engine refused an instance. The next plan gives the instance up.
    pub async fn refuse(&mut self, name: &InstanceName, message: String) -> Result<(), StoreError> {
        let Some(mut row) = self.records.instance(name).cloned() else { return Ok(()) };
        row.refused = Some(message);
        self.commit(vec![Change::Instance(row)]).await
    }

    /// The engine could not carry out an action now. The next plan tries again, after a pause and with a new list from
    /// the engine.
    pub fn hold_off(&mut self, subject: Subject, what: &str, error: &EngineError) {
        if let Some(name) = subject.container() {
            // The action may have taken effect anyway. Only a list that is requested from now on shows whether it did.
            self.observer.acted(name, ContainerSeen::Unknown);
        }
        let title = self.records.title(&subject);
        warn!(subject = %title, %error, "{what}; trying again");
        let pause = self.actions.failed(&subject, format!("{title}: {what}: {error}"), STORE_PAUSE, STORE_PAUSE);
        self.shared.watch.look();
        self.actions.pause(subject, pause);
    }

    /// A free address, which neither a record nor the engine uses. Takes the one after the newest instance's, so that an
    /// address stays unused as long as possible before it is assigned again. `None` if all addresses are taken.
    pub fn free_address(&self, snapshot: &Snapshot) -> Option<Ipv4Addr> {
        let network = self.shared.config.network_pool.network(self.records.app.network);
        let mut taken = self.records.addresses();
        taken.extend(self.observer.held_addresses());
        taken.extend(self.addresses_on_engine(snapshot));
        let newest = self.records.instances.iter().max_by_key(|it| it.created).map(|it| it.address);
        network.free(&taken, newest)
    }

    /// Addresses of all containers of this app, including containers that no record explains.
    fn addresses_on_engine(&self, snapshot: &Snapshot) -> BTreeSet<Ipv4Addr> {
        let app = self.records.app.id.as_str();
        let of_app = snapshot.engine.containers.values().filter(|it| it.identity.app == app);
        of_app.flat_map(|it| it.addresses.iter().copied()).collect()
    }

    /// Assigns another address to an instance, because something else holds the old one. The instance joins the network
    /// at the new address at its next start. Returns whether there was a free address.
    pub async fn give_another_address(&mut self, snapshot: &Snapshot, name: &InstanceName) -> Result<bool, StoreError> {
        let Some(row) = self.records.instance(name).cloned() else { return Ok(false) };
        self.observer.hold_address(row.address);
        let Some(address) = self.free_address(snapshot) else { return Ok(false) };
        info!(instance = %name, held = %row.address, %address, "another container holds its address; using another one");
        // Its health check still uses the old address.
        self.observer.probes.forget(name);
        self.commit(vec![Change::Instance(Instance { address, ..row })]).await?;
        Ok(true)
    }

    /// Gives an instance ports to publish, in place of those that it has. Its container is created with them. Returns
    /// whether there were free ports.
    pub async fn give_ports(&mut self, name: &InstanceName) -> Result<bool, StoreError> {
        let Some(row) = self.records.instance(name).cloned() else { return Ok(false) };
        // Without its revision, the instance is refused anyway.
        let Some(revision) = self.records.revision(&row.revision) else { return Ok(true) };
        let Some(published) = self.shared.ports.give(name, revision) else { return Ok(false) };
        // Its health check still uses the old ports.
        self.observer.probes.forget(name);
        self.commit(vec![Change::Instance(Instance { published, ..row })]).await?;
        Ok(true)
    }

    /// The place of a container on the network. `None` if no record names the container.
    pub fn place(&self, name: &InstanceName) -> Option<Place> {
        let expected = self.records.expected(name, self.shared.host)?;
        Some(Place::of(&self.shared, &self.records, &expected))
    }

    /// The place of a container that is about to start, if the container may have been created for another place.
    pub fn place_if_moved(&self, snapshot: &Snapshot, name: &InstanceName) -> Option<Place> {
        let place = self.place(name)?;
        let container = snapshot.engine.containers.get(name.as_str());
        let is_elsewhere = container.is_some_and(|it| !it.addresses.is_empty() && !it.has_address(place.address));
        (is_elsewhere || self.observer.held_addresses().next().is_some()).then_some(place)
    }
}
