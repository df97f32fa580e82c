//! What the engine shows: a full list every 10 s and after every hint, for all apps together; and of single containers what
//! the list leaves out, once at the start and after every hint that it changed.
//!
//! Events only make it quick, the list is the truth (M15). A list that cannot be had leaves the last one in place, with
//! the reason beside it: nothing is concluded from silence.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{Container, ContainerDetails, ContainerState, Engine, EngineError, Event, Limits, RestartPolicy};
use futures::{StreamExt, stream};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::supervise::{lock, supervise};

/// The truth is looked up this often: DESIGN §4.
const FULL_LIST: Duration = Duration::from_secs(10);
/// Hints come in bursts (create, connect, start); one list answers them all.
const BURST: Duration = Duration::from_millis(20);
/// Events after which something of a container may be different that the list does not show.
const SETTINGS_CHANGE: [&str; 2] = ["update", "network connect"];
/// Containers that are inspected at a time: 4, ours.
const AT_ONCE: usize = 4;
/// For one inspection. One that hangs is left out until the next hint.
const INSPECT_WITHIN: Duration = Duration::from_secs(5);
/// The longest pause between two lists while one of them has not shown yet what an event told.
const SETTLING: Duration = Duration::from_secs(1);
/// After an engine that could not be reached.
const RETRY: Duration = Duration::from_millis(500);

/// One look at the engine.
#[derive(Debug, Clone, Default)]
pub(crate) struct EngineView {
    /// When it was asked: what happened later may be missing here. `None`: never answered yet.
    pub asked: Option<Instant>,
    /// By the name that they were made under.
    pub containers: Arc<HashMap<String, Container>>,
    /// What can be changed by hand and is not in the list, by container id. Missing for one that nobody is known to have
    /// changed since it was made.
    pub settings: Arc<HashMap<String, Settings>>,
    /// Why the newest question had no answer.
    pub unreachable: Option<String>,
    /// What was heard of processes that ended, by container: those that the engine started again at once are in no list.
    pub ends: Arc<HashMap<String, Ends>>,
    /// Grows whenever ends may have been missed.
    pub missed: u64,
}

/// Ends of one container's processes, as far as events told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ends {
    pub count: u64,
    /// How often the kernel ended a process of it for lack of memory.
    pub out_of_memory: u64,
    /// Exit code of the newest.
    pub code: Option<i64>,
}

/// What the engine's inspection shows of one container.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// When it was asked.
    pub asked: Instant,
    pub limits: Limits,
    pub restart_policy: RestartPolicy,
    pub aliases: Vec<String>,
}

/// Containers to be inspected.
#[derive(Debug, Default)]
struct Suspects {
    /// All that there are: nobody knows what happened to them.
    all: bool,
    /// By id or by the name that the engine shows.
    some: HashSet<String>,
}

/// Keeps the newest look.
#[derive(Clone)]
pub(crate) struct EngineWatch {
    view: watch::Receiver<Arc<EngineView>>,
    look: Arc<Notify>,
}

impl EngineWatch {
    /// Starts watching; ends when `stop` does.
    pub fn start(engine: Arc<dyn Engine>, stop: tokio_util::sync::CancellationToken) -> Self {
        let (sender, view) = watch::channel(Arc::new(EngineView::default()));
        let look = Arc::new(Notify::new());
        let (sender, suspects, suspected) = (Arc::new(sender), Arc::new(Mutex::default()), Arc::new(Notify::new()));
        let heard = Arc::new(Mutex::new(Heard::default()));
        let list = {
            let (engine, sender, look, heard) = (engine.clone(), sender.clone(), look.clone(), heard.clone());
            move || list_forever(engine.clone(), sender.clone(), look.clone(), heard.clone())
        };
        let listen = {
            let (engine, look) = (engine.clone(), look.clone());
            let (suspects, suspected) = (suspects.clone(), suspected.clone());
            move || hear_hints(engine.clone(), look.clone(), heard.clone(), suspects.clone(), suspected.clone())
        };
        let seen = view.clone();
        let inspect =
            move || inspect_suspects(engine.clone(), sender.clone(), seen.clone(), suspects.clone(), suspected.clone());
        tokio::spawn(supervise("engine list", stop.clone(), list));
        tokio::spawn(supervise("engine events", stop.clone(), listen));
        tokio::spawn(supervise("engine inspections", stop, inspect));
        Self { view, look }
    }

    /// The newest look, and its changes.
    pub fn view(&self) -> watch::Receiver<Arc<EngineView>> {
        self.view.clone()
    }

    /// Asks for a look soon.
    pub fn look(&self) {
        self.look.notify_one();
    }
}

/// What events told.
#[derive(Default)]
struct Heard {
    ends: HashMap<String, Ends>,
    missed: u64,
    /// Containers whose process ended, and since when the list may still show it as running: the engine tells the event
    /// first, then unmounts and disconnects, and only then changes its list.
    unsettled: HashMap<String, Instant>,
}

impl Heard {
    fn hear(&mut self, event: &Event) {
        let name = &event.container;
        match event.action.as_str() {
            "die" => {
                let ends = self.ends.entry(name.clone()).or_default();
                ends.count += 1;
                ends.code = event.exit_code;
                self.unsettled.insert(name.clone(), Instant::now());
            }
            "oom" => self.ends.entry(name.clone()).or_default().out_of_memory += 1,
            "start" | "destroy" => drop(self.unsettled.remove(name)),
            _ => {}
        }
    }

    /// Compares with a new list. Returns whether the list is still behind.
    fn settle(&mut self, containers: &HashMap<String, Container>) -> bool {
        let runs = |name: &String| containers.get(name).is_some_and(|it| it.state == ContainerState::Running);
        self.unsettled.retain(|name, since| runs(name) && since.elapsed() < FULL_LIST);
        let unsettled = &self.unsettled;
        self.ends.retain(|name, _| containers.contains_key(name) || unsettled.contains_key(name));
        !self.unsettled.is_empty()
    }
}

type SharedHeard = Arc<Mutex<Heard>>;

async fn list_forever(
    engine: Arc<dyn Engine>,
    sender: Arc<watch::Sender<Arc<EngineView>>>,
    look: Arc<Notify>,
    heard: SharedHeard,
) {
    let mut settling = BURST;
    loop {
        let asked = Instant::now();
        let before = sender.borrow().clone();
        let pause = match engine.list().await {
            Ok(containers) => {
                if before.unreachable.is_some() {
                    info!("the engine answers again");
                }
                let containers: HashMap<_, _> = containers.into_iter().map(|it| (it.name.clone(), it)).collect();
                let (is_behind, ends, missed) = {
                    let mut heard = lock(&heard);
                    (heard.settle(&containers), Arc::new(heard.ends.clone()), heard.missed)
                };
                settling = if is_behind { (settling * 2).min(SETTLING) } else { BURST };
                let settings = sender.borrow().settings.clone();
                sender.send_replace(Arc::new(EngineView {
                    asked: Some(asked),
                    containers: Arc::new(containers),
                    settings,
                    unreachable: None,
                    ends,
                    missed,
                }));
                if is_behind { settling } else { FULL_LIST }
            }
            Err(error) => {
                tell_once(&before, &error);
                let unreachable = Some(error.to_string());
                let last = EngineView::clone(&sender.borrow());
                sender.send_replace(Arc::new(EngineView { unreachable, ..last }));
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = look.notified() => tokio::time::sleep(BURST).await,
        }
    }
}

fn tell_once(before: &EngineView, error: &EngineError) {
    match before.unreachable {
        None => {
            warn!(%error, "the engine does not answer; what runs goes on running, nothing is changed until it does")
        }
        Some(_) => debug!(%error, "the engine still does not answer"),
    }
}

async fn hear_hints(
    engine: Arc<dyn Engine>,
    look: Arc<Notify>,
    heard: SharedHeard,
    suspects: Arc<Mutex<Suspects>>,
    suspected: Arc<Notify>,
) {
    loop {
        if let Ok(mut events) = engine.events().await {
            // What happened before is not told again, and what was changed before is not known.
            lock(&heard).missed += 1;
            lock(&suspects).all = true;
            suspected.notify_one();
            look.notify_one();
            while let Some(event) = events.next().await {
                debug!(container = %event.container, action = %event.action, "engine event");
                lock(&heard).hear(&event);
                if SETTINGS_CHANGE.contains(&event.action.as_str()) {
                    lock(&suspects).some.insert(event.container);
                    suspected.notify_one();
                }
                look.notify_one();
            }
        }
        // Whatever was missed meanwhile is in the next list.
        look.notify_one();
        tokio::time::sleep(RETRY).await;
    }
}

/// Inspects what may have been changed, apart from the lists: an inspection may hang with a wedged container.
async fn inspect_suspects(
    engine: Arc<dyn Engine>,
    sender: Arc<watch::Sender<Arc<EngineView>>>,
    mut view: watch::Receiver<Arc<EngineView>>,
    suspects: Arc<Mutex<Suspects>>,
    suspected: Arc<Notify>,
) {
    loop {
        suspected.notified().await;
        if view.wait_for(|it| it.asked.is_some()).await.is_err() {
            return;
        }
        let Suspects { all, some } = std::mem::take(&mut *lock(&suspects));
        let is_suspect = |it: &Container| all || some.contains(&it.id) || some.contains(&it.called);
        let containers = view.borrow().containers.clone();
        let asked: Vec<_> = containers.values().filter(|it| is_suspect(it)).map(|it| it.name.clone()).collect();
        let inspected = stream::iter(asked).map(|name| inspect(engine.as_ref(), name)).buffer_unordered(AT_ONCE);
        let inspected: Vec<_> = inspected.filter_map(std::future::ready).collect().await;
        let last = EngineView::clone(&sender.borrow());
        let mut settings = HashMap::clone(&last.settings);
        settings.retain(|id, _| last.containers.values().any(|it| it.id == *id));
        settings.extend(inspected);
        sender.send_replace(Arc::new(EngineView { settings: Arc::new(settings), ..last }));
    }
}

async fn inspect(engine: &dyn Engine, name: String) -> Option<(String, Settings)> {
    let asked = Instant::now();
    let details = tokio::time::timeout(INSPECT_WITHIN, engine.inspect(&name)).await.ok()?.ok()??;
    let ContainerDetails { container, limits, restart_policy, aliases, .. } = details;
    Some((container.id, Settings { asked, limits, restart_policy, aliases }))
}
