//! What every part of an app's task works with: the records, what is seen, and the actions under way.

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

    /// Writes one move of an instance down.
    pub async fn record_event(&mut self, name: &InstanceName, event: InstanceEvent) -> Result<(), StoreError> {
        let Some(mut row) = self.records.instance(name).cloned() else { return Ok(()) };
        match row.phase.next(event) {
            Ok(phase) => {
                info!(instance = %name, from = ?row.phase, to = ?phase, "instance moved");
                if phase.is_alive() {
                    // It is wanted again: an earlier attempt to stop it does not count any more.
                    self.observer.forget_stop_attempt(name);
                }
                (row.phase, row.since) = (phase, clock::now());
                self.commit(vec![Change::Instance(row)]).await
            }
            Err(illegal) => {
                tracing::error!(instance = %name, %illegal, "left out a move that does not exist");
                Ok(())
            }
        }
    }

    /// Writes down that the engine refused an instance: the next plan gives it up.
    pub async fn refuse(&mut self, name: &InstanceName, message: String) -> Result<(), StoreError> {
        let Some(mut row) = self.records.instance(name).cloned() else { return Ok(()) };
        row.refused = Some(message);
        self.commit(vec![Change::Instance(row)]).await
    }

    /// The engine did not do it now. The next plan does it again, after a new list of the engine and a pause.
    pub fn hold_off(&mut self, subject: Subject, what: &str, error: &EngineError) {
        if let Some(name) = subject.container() {
            // The action may have had its effect all the same: only a list that is asked for from now on can say.
            self.observer.acted(name, ContainerSeen::Unknown);
        }
        let title = self.records.title(&subject);
        warn!(subject = %title, %error, "{what}; trying again");
        let pause = self.actions.failed(&subject, format!("{title}: {what}: {error}"), STORE_PAUSE, STORE_PAUSE);
        self.shared.watch.look();
        self.actions.pause(subject, pause);
    }

    /// An address that nothing has, neither on record nor on the engine: the one after the newest, so that an address rests
    /// as long as possible before it is given again. `None`: all are taken.
    pub fn free_address(&self, snapshot: &Snapshot) -> Option<Ipv4Addr> {
        let network = self.shared.config.network_pool.network(self.records.app.network);
        let mut taken = self.records.addresses();
        taken.extend(self.observer.held_addresses());
        taken.extend(self.addresses_on_engine(snapshot));
        let newest = self.records.instances.iter().max_by_key(|it| it.created).map(|it| it.address);
        network.free(&taken, newest)
    }

    /// Addresses of every container of this app: those that no record explains have one, too.
    fn addresses_on_engine(&self, snapshot: &Snapshot) -> BTreeSet<Ipv4Addr> {
        let app = self.records.app.id.as_str();
        let of_app = snapshot.engine.containers.values().filter(|it| it.identity.app == app);
        of_app.flat_map(|it| it.addresses.iter().copied()).collect()
    }

    /// Something else holds the address of this instance. It gets another one, and joins the network there at its next start.
    /// Returns whether there was one to give.
    pub async fn give_another_address(&mut self, snapshot: &Snapshot, name: &InstanceName) -> Result<bool, StoreError> {
        let Some(row) = self.records.instance(name).cloned() else { return Ok(false) };
        self.observer.hold_address(row.address);
        let Some(address) = self.free_address(snapshot) else { return Ok(false) };
        info!(instance = %name, held = %row.address, %address, "another container holds its address; using another one");
        // Its health check asks at the old one.
        self.observer.probes.forget(name);
        self.commit(vec![Change::Instance(Instance { address, ..row })]).await?;
        Ok(true)
    }

    /// Where a container belongs. `None`: it is on no record.
    pub fn place(&self, name: &InstanceName) -> Option<Place> {
        let expected = self.records.expected(name, self.shared.host)?;
        Some(Place::of(&self.shared, &self.records, &expected))
    }

    /// Where a container that is about to start belongs, if it may have been made for another place.
    pub fn place_if_moved(&self, snapshot: &Snapshot, name: &InstanceName) -> Option<Place> {
        let place = self.place(name)?;
        let container = snapshot.engine.containers.get(name.as_str());
        let is_elsewhere = container.is_some_and(|it| !it.addresses.is_empty() && !it.has_address(place.address));
        (is_elsewhere || self.observer.held_addresses().next().is_some()).then_some(place)
    }
}
