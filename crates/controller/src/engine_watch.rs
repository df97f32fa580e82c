//! What the engine shows: a full list every 10 s and after every hint, for all apps together.
//!
//! Events only make it quick, the list is the truth (M15). A list that cannot be had leaves the last one standing, with
//! the reason beside it: nothing is concluded from silence.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use engine::{Container, ContainerState, Engine, EngineError, Event};
use futures::StreamExt;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// The truth is looked up this often: DESIGN §4.
const FULL_LIST: Duration = Duration::from_secs(10);
/// Hints come in bursts (create, connect, start); one list answers them all.
const BURST: Duration = Duration::from_millis(20);
/// The longest pause between two lists while one of them has not shown yet what an event told.
const SETTLING: Duration = Duration::from_secs(1);
/// After an engine that could not be reached.
const RETRY: Duration = Duration::from_millis(500);

/// One look at the engine.
#[derive(Debug, Clone, Default)]
pub(crate) struct EngineView {
    /// When it was asked: what happened later may be missing here. `None`: never answered yet.
    pub asked: Option<Instant>,
    /// By name.
    pub containers: Arc<HashMap<String, Container>>,
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
        let heard = Arc::new(Mutex::new(Heard::default()));
        let lister = list_forever(engine.clone(), sender, look.clone(), heard.clone());
        let listener = hear_hints(engine, look.clone(), heard);
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = lister => {}
                () = listener => {}
            }
        });
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

fn lock(heard: &SharedHeard) -> MutexGuard<'_, Heard> {
    heard.lock().expect("no code panics while it holds this lock")
}

async fn list_forever(
    engine: Arc<dyn Engine>,
    sender: watch::Sender<Arc<EngineView>>,
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
                let containers = Arc::new(containers);
                sender.send_replace(Arc::new(EngineView {
                    asked: Some(asked),
                    containers,
                    unreachable: None,
                    ends,
                    missed,
                }));
                if is_behind { settling } else { FULL_LIST }
            }
            Err(error) => {
                tell_once(&before, &error);
                let unreachable = Some(error.to_string());
                sender.send_replace(Arc::new(EngineView { unreachable, ..EngineView::clone(&before) }));
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

async fn hear_hints(engine: Arc<dyn Engine>, look: Arc<Notify>, heard: SharedHeard) {
    loop {
        if let Ok(mut events) = engine.events().await {
            // What happened before is not told again.
            lock(&heard).missed += 1;
            look.notify_one();
            while let Some(event) = events.next().await {
                debug!(container = %event.container, action = %event.action, "engine event");
                lock(&heard).hear(&event);
                look.notify_one();
            }
        }
        // Whatever was missed meanwhile is in the next list.
        look.notify_one();
        tokio::time::sleep(RETRY).await;
    }
}
