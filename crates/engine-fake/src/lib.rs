//! An in-memory engine, for tests of the code above the port.
//!
//! It follows the rules that matter there: unique names, addresses that clash at start, images that must exist, restart
//! policies, processes that end. Tests can make it fail the n-th call of a verb before or after its effect, hang,
//! answer late, go down and come back, and change behind Boatyard's back. It runs no process and opens no port: a
//! test's prober calls [`FakeEngine::listening`].

mod build;
mod containers;
mod images;
mod script;
mod shells;
mod verbs;
mod world;

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::RegistryLogin;
use engine::port::{Container, ContainerSpec, Event, Limits, LogStream, NetworkSpec, RestartPolicy, Usage};
use engine::shell::TerminalSize;
use tokio::sync::{broadcast, watch};

pub use script::{Call, Verb};
use world::World;

/// How containers of an image behave.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Behaviour {
    /// Time from start until it listens; with `exits_with`, from start until it ends.
    pub ready_after: Duration,
    /// Runs, and never listens.
    pub never_ready: bool,
    /// Exits by itself with this code.
    pub exits_with: Option<i64>,
    /// Ignores the stop signal, so that a stop takes the whole grace.
    pub ignores_stop: bool,
    /// Its image has no shell.
    pub without_shell: bool,
}

/// The fake engine. Clones share one engine.
#[derive(Clone)]
pub struct FakeEngine {
    state: Arc<Mutex<World>>,
    /// Notifies waiting tasks of every change, so that they check again.
    changed: watch::Sender<u64>,
}

/// How many events a slow watcher may lag behind before it misses some, as with a real engine.
const KEPT_EVENTS: usize = 256;

impl Default for FakeEngine {
    fn default() -> FakeEngine {
        FakeEngine::new()
    }
}

impl FakeEngine {
    /// An empty engine with 4 CPUs and 8 GiB that is up and answers.
    pub fn new() -> FakeEngine {
        let world = World::new(broadcast::Sender::new(KEPT_EVENTS));
        FakeEngine { state: Arc::new(Mutex::new(world)), changed: watch::Sender::new(0) }
    }

    // Setting up what exists.

    /// Makes an image available, locally and in its registry. Returns its id. Calling it again with the same reference
    /// keeps the id and changes how new containers behave.
    pub fn add_image(&self, reference: &str, behaviour: Behaviour) -> String {
        self.change(|world| world.add_image(reference, behaviour))
    }

    /// The registry with this host now gives its images only to this login.
    pub fn require_login(&self, host: &str, login: RegistryLogin) {
        self.change(|world| drop(world.registry_logins.insert(host.to_owned(), login)));
    }

    /// Whether registries refuse pulls because there were too many. They still say which image a tag names.
    pub fn limit_pulls(&self, limited: bool) {
        self.change(|world| world.pulls_are_limited = limited);
    }

    /// Moves a tag in its registry to another image with this content. The local image stays. Returns the digest.
    pub fn push_image(&self, reference: &str, content: &str, behaviour: Behaviour) -> String {
        self.change(|world| world.push_image(reference, content, behaviour))
    }

    /// How containers of images built from now on behave.
    pub fn builds_behave(&self, behaviour: Behaviour) {
        self.change(|world| world.builds.behaviour = behaviour);
    }

    /// The containers of all images have this directory from now on. `stream`: its files, as a tar stream.
    pub fn add_directory(&self, path: &str, stream: Vec<u8>) {
        self.change(|world| drop(world.directories.insert(path.to_owned(), stream)));
    }

    /// The next build fails in this step with this message.
    pub fn fail_build(&self, step: &str, message: &str) {
        self.change(|world| world.builds.failure = Some((step.to_owned(), message.to_owned())));
    }

    /// While held, builds begin and do not finish.
    pub fn hold_builds(&self, held: bool) {
        self.change(|world| world.builds.held = held);
    }

    /// Adds a container of another owner.
    pub fn add_foreign_container(&self, name: &str) {
        self.change(|world| drop(world.foreign.insert(name.to_owned(), world::Foreign::default())));
    }

    /// Adds a container of another owner on one of this installation's networks.
    pub fn add_foreign_on_network(&self, name: &str, network: &str, address: Ipv4Addr) {
        self.change(|world| {
            let id = world.networks.get(network).map(|(id, _)| id.clone()).unwrap_or_default();
            world.foreign.entry(name.to_owned()).or_default().place = Some((id, address));
        });
    }

    /// Adds a running container of another owner that mounts one of this installation's volumes.
    pub fn add_foreign_on_volume(&self, name: &str, volume: &str) {
        self.change(|world| world.foreign.entry(name.to_owned()).or_default().volume = Some(volume.to_owned()));
    }

    pub fn remove_foreign_container(&self, name: &str) {
        self.change(|world| world.foreign.remove(name));
    }

    /// Adds a network of another owner with this subnet.
    pub fn add_foreign_subnet(&self, subnet: &str) {
        self.change(|world| world.foreign_subnets.insert(subnet.to_owned()));
    }

    /// A program on the host takes a port of 127.0.0.1.
    pub fn take_port(&self, port: u16) {
        self.change(|world| world.foreign_ports.insert(port));
    }

    // Causing failures.

    /// While the disk is full, the engine creates, starts, pulls and builds nothing; running containers continue.
    pub fn fill_disk(&self, full: bool) {
        self.change(|world| world.disk_full = full);
    }

    /// The `nth` call of this verb from now on (1 is the next) fails without an effect.
    pub fn fail(&self, verb: Verb, nth: usize) {
        self.change(|world| world.script.plan(verb, nth, script::Fault::Before));
    }

    /// The `nth` call takes effect, and its reply is lost.
    pub fn fail_after_effect(&self, verb: Verb, nth: usize) {
        self.change(|world| world.script.plan(verb, nth, script::Fault::After));
    }

    /// The `nth` call has no effect and never returns.
    pub fn hang(&self, verb: Verb, nth: usize) {
        self.change(|world| world.script.plan(verb, nth, script::Fault::Hang));
    }

    /// The `nth` call takes effect immediately and returns after this delay.
    pub fn answer_late(&self, verb: Verb, nth: usize, delay: Duration) {
        self.change(|world| world.script.plan(verb, nth, script::Fault::Late(delay)));
    }

    /// From now on, stopping or removing the container fails, as when its shim hangs.
    pub fn wedge(&self, name: &str) {
        self.change(|world| world.wedged.insert(name.to_owned()));
    }

    /// Undoes `wedge`.
    pub fn free(&self, name: &str) {
        self.change(|world| world.wedged.remove(name));
    }

    /// While frozen, the engine accepts calls and answers none, so that they run into the deadlines of the real port.
    /// Containers keep running.
    pub fn freeze(&self, frozen: bool) {
        self.change(|world| world.frozen = frozen);
    }

    /// The engine goes down: calls fail, event streams end, and containers keep running.
    pub fn go_down(&self) {
        self.change(World::go_down);
    }

    /// The engine answers again, with everything as it was (live-restore).
    pub fn come_back(&self) {
        self.change(|world| world.down = false);
    }

    /// The engine restarts: all processes end, those with policy `Always` start again, and event streams end.
    pub fn restart_engine(&self) {
        self.change(World::go_down);
        let started = self.change(World::boot);
        started.into_iter().for_each(|name| self.running(&name));
    }

    /// The process of a running container exits. The engine follows its restart policy after the back-off.
    pub fn exit(&self, name: &str, code: i64) {
        let back_off = self.change(|world| world.exit(name, code, None));
        self.after_exit(name, back_off);
    }

    /// The kernel kills the process of a running container for exceeding its memory limit.
    pub fn run_out_of_memory(&self, name: &str) {
        let back_off = self.change(|world| world.run_out_of_memory(name));
        self.after_exit(name, back_off);
    }

    /// Sets what the engine reports that a container uses.
    pub fn set_usage(&self, name: &str, usage: Usage) {
        self.change(|world| {
            world.get_mut(name).expect("a container that the test made").usage = Some(usage);
        });
    }

    /// From now on, the list shows an ended process as running for this long after the event of its end, as a real
    /// engine does while it unmounts and disconnects.
    pub fn list_late(&self, late: Duration) {
        self.change(|world| world.list_late = late);
    }

    pub fn remove_by_hand(&self, name: &str) {
        self.change(|world| world.delete(name));
    }

    /// Disconnects a running container from its network.
    pub fn disconnect_by_hand(&self, name: &str) {
        self.change(|world| world.disconnect(name));
    }

    /// Renames a container, as `docker rename` does. Tests keep using its original name.
    pub fn rename_by_hand(&self, name: &str, called: &str) {
        self.change(|world| world.rename(name, called));
    }

    /// Freezes the process of a running container.
    pub fn pause_by_hand(&self, name: &str) {
        self.change(|world| world.pause(name));
    }

    /// Connects a container to its network at another address and without aliases, as `docker network connect` does.
    pub fn move_by_hand(&self, name: &str, address: Ipv4Addr) {
        self.change(|world| world.move_to(name, address));
    }

    /// Changes a container's limits and restart policy, as `docker update` does.
    pub fn update_by_hand(&self, name: &str, limits: Limits, policy: RestartPolicy) {
        self.change(|world| world.update(name, limits, policy));
    }

    /// Removes a network and all its endpoints, as a person can who disconnects everything first.
    pub fn remove_network_by_hand(&self, name: &str) {
        self.change(|world| world.remove_network(name));
    }

    /// Forgets under which names containers were created, as a new process does.
    pub fn forget_made_names(&self) {
        self.change(|world| world.remembered.clear());
    }

    /// Removes an image, even if it is in use, as a forced prune does.
    pub fn remove_image_by_hand(&self, reference: &str) {
        self.change(|world| world.forget_image(reference));
    }

    /// Writes one line to a container's output.
    pub fn say(&self, name: &str, stream: LogStream, text: &str) {
        self.change(|world| world.say(name, stream, text));
    }

    // Inspection for tests. None of these functions counts as a call or fails.

    /// Whether the container's process would accept a connection now, on its network.
    pub fn listening(&self, name: &str) -> bool {
        self.lock().listening(name)
    }

    /// Whether the process would accept a connection at this address.
    pub fn listening_at(&self, name: &str, address: Ipv4Addr) -> bool {
        self.lock().listening_at(name, address)
    }

    /// All containers, by name.
    pub fn containers(&self) -> Vec<Container> {
        self.lock().containers.values().map(containers::Process::as_container).collect()
    }

    /// The spec from which a container was created.
    pub fn spec(&self, name: &str) -> Option<ContainerSpec> {
        self.lock().containers.get(name).map(|process| process.spec.clone())
    }

    /// Existing networks, by name.
    pub fn network_specs(&self) -> Vec<NetworkSpec> {
        self.lock().networks.values().map(|(_, spec)| spec.clone()).collect()
    }

    /// Running shells, each with its container and the size of its terminal.
    pub fn shells(&self) -> Vec<(String, TerminalSize)> {
        self.lock().shells.values().map(|it| (it.container.clone(), it.size)).collect()
    }

    /// Every call so far, in order, including failed ones.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().script.journal.clone()
    }

    /// Empties the journal.
    pub fn forget_calls(&self) {
        self.lock().script.journal.clear();
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the world and wakes the tasks that wait for a change.
    fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let outcome = change(&mut self.lock());
        self.changed.send_modify(|ticks| *ticks += 1);
        outcome
    }

    /// Call this after a process starts: it schedules the end if the image exits by itself.
    fn running(&self, name: &str) {
        let Some((run, after, code)) = self.lock().own_end(name) else { return };
        let (fake, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let back_off = fake.change(|world| world.exit(&name, code, Some(run)));
            fake.after_exit(&name, back_off);
        });
    }

    /// Call this after a process ends: it restarts the process after the back-off, if the engine would.
    fn after_exit(&self, name: &str, back_off: Option<Duration>) {
        let Some(back_off) = back_off else { return };
        let (fake, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(back_off).await;
            if fake.change(|world| world.start_again(&name)) {
                fake.running(&name);
            }
        });
    }
}

/// Sends an event to all watchers, if there are any.
fn publish(events: &broadcast::Sender<Event>, app: &str, container: &str, action: &str, exit_code: Option<i64>) {
    let (app, container, action) = (app.to_owned(), container.to_owned(), action.to_owned());
    let _ = events.send(Event { app, container, action, exit_code });
}
