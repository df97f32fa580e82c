//! An engine in memory, for tests of what stands above the port.
//!
//! It keeps the rules that matter there: unique names, addresses that clash at start, images that must exist, restart
//! policies, processes that end. It can be told to fail the n-th call of a verb before or after its effect, to hang, to answer
//! late, to go down and come back, and to have things changed behind our back. It runs nothing and opens no port: a test's
//! prober asks [`FakeEngine::listening`].

mod build;
mod containers;
mod images;
mod script;
mod verbs;
mod world;

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::port::{Container, ContainerSpec, Event, Limits, LogStream, NetworkSpec, ProcessCount, RestartPolicy};
use tokio::sync::{broadcast, watch};

pub use script::{Call, Verb};
use world::World;

/// How containers of an image behave.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Behaviour {
    /// From start until it listens; with `exits_with`, from start until it ends.
    pub ready_after: Duration,
    /// Runs, and never listens.
    pub never_ready: bool,
    /// Ends by itself with this code.
    pub exits_with: Option<i64>,
    /// Does not end at the stop signal, so that a stop takes its whole grace.
    pub ignores_stop: bool,
}

/// The fake engine. Clones are the same engine.
#[derive(Clone)]
pub struct FakeEngine {
    state: Arc<Mutex<World>>,
    /// Ticks at every change of the world: what waits, looks again.
    changed: watch::Sender<u64>,
}

/// Events that a slow watcher may lag behind before it misses some, as with a real engine.
const KEPT_EVENTS: usize = 256;

impl Default for FakeEngine {
    fn default() -> FakeEngine {
        FakeEngine::new()
    }
}

impl FakeEngine {
    /// An empty engine with 4 CPUs and 8 GiB, up and answering.
    pub fn new() -> FakeEngine {
        let world = World::new(broadcast::Sender::new(KEPT_EVENTS));
        FakeEngine { state: Arc::new(Mutex::new(world)), changed: watch::Sender::new(0) }
    }

    // What is there.

    /// Makes an image available, here and from its registry. Returns its id; the same reference has the same id, and its
    /// containers behave so from now on.
    pub fn add_image(&self, reference: &str, behaviour: Behaviour) -> String {
        self.change(|world| world.add_image(reference, behaviour))
    }

    /// How containers of images built from now on behave.
    pub fn builds_behave(&self, behaviour: Behaviour) {
        self.change(|world| world.builds.behaviour = behaviour);
    }

    /// The next build fails in this step with this message.
    pub fn fail_build(&self, step: &str, message: &str) {
        self.change(|world| world.builds.failure = Some((step.to_owned(), message.to_owned())));
    }

    /// While held, builds begin and do not end.
    pub fn hold_builds(&self, held: bool) {
        self.change(|world| world.builds.held = held);
    }

    /// A container that belongs to somebody else.
    pub fn add_foreign_container(&self, name: &str) {
        self.change(|world| drop(world.foreign.insert(name.to_owned(), world::Foreign::default())));
    }

    /// One that is on a network of ours.
    pub fn add_foreign_on_network(&self, name: &str, network: &str, address: Ipv4Addr) {
        self.change(|world| {
            let id = world.networks.get(network).map(|(id, _)| id.clone()).unwrap_or_default();
            world.foreign.entry(name.to_owned()).or_default().place = Some((id, address));
        });
    }

    /// One that runs and has a volume of ours mounted.
    pub fn add_foreign_on_volume(&self, name: &str, volume: &str) {
        self.change(|world| world.foreign.entry(name.to_owned()).or_default().volume = Some(volume.to_owned()));
    }

    pub fn remove_foreign_container(&self, name: &str) {
        self.change(|world| world.foreign.remove(name));
    }

    /// A subnet that somebody else's network has.
    pub fn add_foreign_subnet(&self, subnet: &str) {
        self.change(|world| world.foreign_subnets.insert(subnet.to_owned()));
    }

    // What goes wrong.

    /// While full, nothing is created, started, pulled or built; what runs goes on.
    pub fn fill_disk(&self, full: bool) {
        self.change(|world| world.disk_full = full);
    }

    /// The `nth` call of this verb from now on (1 is the next) fails without an effect.
    pub fn fail(&self, verb: Verb, nth: usize) {
        self.change(|world| world.script.plan(verb, nth, script::Fault::Before));
    }

    /// The `nth` call has its effect, and its reply is lost.
    pub fn fail_after_effect(&self, verb: Verb, nth: usize) {
        self.change(|world| world.script.plan(verb, nth, script::Fault::After));
    }

    /// The `nth` call has no effect and never answers.
    pub fn hang(&self, verb: Verb, nth: usize) {
        self.change(|world| world.script.plan(verb, nth, script::Fault::Hang));
    }

    /// The `nth` call has its effect at once and answers this much later.
    pub fn answer_late(&self, verb: Verb, nth: usize, delay: Duration) {
        self.change(|world| world.script.plan(verb, nth, script::Fault::Late(delay)));
    }

    /// From now on a container can be neither stopped nor removed, as when its shim hangs.
    pub fn wedge(&self, name: &str) {
        self.change(|world| world.wedged.insert(name.to_owned()));
    }

    /// It can be again.
    pub fn free(&self, name: &str) {
        self.change(|world| world.wedged.remove(name));
    }

    /// The engine goes down: nobody answers, event streams end, containers run on.
    pub fn go_down(&self) {
        self.change(World::go_down);
    }

    /// The engine answers again, everything as it was (live-restore).
    pub fn come_back(&self) {
        self.change(|world| world.down = false);
    }

    /// The engine restarts: all processes end, those with policy `Always` are started again, event streams end.
    pub fn restart_engine(&self) {
        self.change(World::go_down);
        let started = self.change(World::boot);
        started.into_iter().for_each(|name| self.running(&name));
    }

    /// The process of a running container ends. Its restart policy is honoured after the engine's back-off.
    pub fn exit(&self, name: &str, code: i64) {
        let back_off = self.change(|world| world.exit(name, code, None));
        self.after_exit(name, back_off);
    }

    /// The kernel ends the process of a running container, which took more memory than it may.
    pub fn run_out_of_memory(&self, name: &str) {
        let back_off = self.change(|world| world.run_out_of_memory(name));
        self.after_exit(name, back_off);
    }

    /// What the engine counts in a running container from now on.
    pub fn set_process_count(&self, name: &str, count: ProcessCount) {
        self.change(|world| {
            world.get_mut(name).expect("a container that the test made").process_count = Some(count);
        });
    }

    /// From now on the list shows a process that ended as running for this long after the event of its end, as an engine
    /// does while it unmounts and disconnects.
    pub fn list_late(&self, late: Duration) {
        self.change(|world| world.list_late = late);
    }

    pub fn remove_behind_our_back(&self, name: &str) {
        self.change(|world| world.delete(name));
    }

    /// Takes a container off its network while it runs.
    pub fn disconnect_behind_our_back(&self, name: &str) {
        self.change(|world| world.disconnect(name));
    }

    /// Gives a container another name, as `docker rename` does. Tests go on naming it as it was made.
    pub fn rename_behind_our_back(&self, name: &str, called: &str) {
        self.change(|world| world.rename(name, called));
    }

    /// Freezes the process of a running container.
    pub fn pause_behind_our_back(&self, name: &str) {
        self.change(|world| world.pause(name));
    }

    /// Joins a container to its network at another address and without aliases, as `docker network connect` does.
    pub fn move_behind_our_back(&self, name: &str, address: Ipv4Addr) {
        self.change(|world| world.move_to(name, address));
    }

    /// Changes limits or restart policy of a container, as `docker update` does.
    pub fn update_behind_our_back(&self, name: &str, limits: Limits, policy: RestartPolicy) {
        self.change(|world| world.update(name, limits, policy));
    }

    /// Takes a network away with all its endpoints, as somebody can who disconnects everything first.
    pub fn remove_network_behind_our_back(&self, name: &str) {
        self.change(|world| world.remove_network(name));
    }

    /// Forgets which containers were made under which name, as a new process has.
    pub fn forget_made_names(&self) {
        self.change(|world| world.remembered.clear());
    }

    /// Takes an image away, in use or not, as a forced prune does.
    pub fn remove_image_behind_our_back(&self, reference: &str) {
        self.change(|world| world.forget_image(reference));
    }

    /// Writes one line to a container's output.
    pub fn say(&self, name: &str, stream: LogStream, text: &str) {
        self.change(|world| world.say(name, stream, text));
    }

    // What tests look at. None of these counts as a call, nor fails.

    /// Whether the container's process would accept a connection now, on its network.
    pub fn listening(&self, name: &str) -> bool {
        self.lock().listening(name)
    }

    /// Whether it would accept one at this address.
    pub fn listening_at(&self, name: &str, address: Ipv4Addr) -> bool {
        self.lock().listening_at(name, address)
    }

    /// All containers, by name.
    pub fn containers(&self) -> Vec<Container> {
        self.lock().containers.values().map(containers::Process::as_container).collect()
    }

    /// What a container was made from.
    pub fn spec(&self, name: &str) -> Option<ContainerSpec> {
        self.lock().containers.get(name).map(|process| process.spec.clone())
    }

    /// Networks that exist, by name.
    pub fn network_specs(&self) -> Vec<NetworkSpec> {
        self.lock().networks.values().map(|(_, spec)| spec.clone()).collect()
    }

    /// Every call so far, in order, failed ones included.
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

    /// Changes the world and wakes who waits for a change.
    fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let outcome = change(&mut self.lock());
        self.changed.send_modify(|ticks| *ticks += 1);
        outcome
    }

    /// To be called after a process began: sees to its end, if its image ends by itself.
    fn running(&self, name: &str) {
        let Some((run, after, code)) = self.lock().own_end(name) else { return };
        let (fake, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let back_off = fake.change(|world| world.exit(&name, code, Some(run)));
            fake.after_exit(&name, back_off);
        });
    }

    /// To be called after a process ended: starts it again after the back-off, if the engine would.
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

/// Sends an event to all watchers; none is fine.
fn publish(events: &broadcast::Sender<Event>, app: &str, container: &str, action: &str, exit_code: Option<i64>) {
    let (app, container, action) = (app.to_owned(), container.to_owned(), action.to_owned());
    let _ = events.send(Event { app, container, action, exit_code });
}
