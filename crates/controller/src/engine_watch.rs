//! Observing the engine for all apps: a full list every 10 s and after every event. The list omits some settings, so
//! the controller also inspects all containers whenever the event stream starts, and single ones after events that
//! change those settings.
//!
//! Events only speed things up; the controller acts on the list alone. If the engine does not answer, the last list
//! stays in place and the error is stored beside it, so that silence is not read as missing containers.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{Container, ContainerDetails, ContainerState, Engine, EngineError, Event, Limits, RestartPolicy};
use futures::{StreamExt, stream};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::supervise::{lock, supervise};

/// The pause between two full lists.
const FULL_LIST: Duration = Duration::from_secs(10);
/// Events come in bursts (create, connect, start). One list after this pause covers the whole burst.
const BURST: Duration = Duration::from_millis(20);
/// Events that may change settings of a container that the list does not show.
const SETTINGS_CHANGE: [&str; 2] = ["update", "network connect"];
/// How many containers are inspected in parallel. Four keeps the load on the engine low.
const AT_ONCE: usize = 4;
/// Timeout of one inspection. A container whose inspection hangs is skipped until its next event.
const INSPECT_WITHIN: Duration = Duration::from_secs(5);
/// The longest pause between two lists while a list does not yet show what an event reported.
const SETTLING: Duration = Duration::from_secs(1);
/// The pause after a failed call to the engine.
const RETRY: Duration = Duration::from_millis(500);
/// How long a person waits for details without which a page or a preview can be shown.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long a person waits for an answer without which the request fails. Longer, because a busy engine may be slow.
pub(crate) const NEEDED_WITHIN: Duration = Duration::from_secs(5);

/// One observation of the engine.
#[derive(Debug, Clone, Default)]
pub(crate) struct EngineView {
    /// When the list was requested: it may not show later changes. `None`: the engine has not answered yet.
    pub asked: Option<Instant>,
    /// All containers, by the name that they were created with.
    pub containers: Arc<HashMap<String, Container>>,
    /// Settings that the list does not show and that people can change by hand, by container id. A container is missing
    /// here if nothing suggests that its settings changed since it was created.
    pub settings: Arc<HashMap<String, Settings>>,
    /// Why the last list failed; `None` if it succeeded.
    pub unreachable: Option<String>,
    /// Exits that events reported, by container. No list shows an exit after which the engine restarted the container
    /// at once.
    pub ends: Arc<HashMap<String, Ends>>,
    /// A counter that grows whenever exits may have been missed.
    pub missed: u64,
}

/// Exits of one container's processes, as events reported them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ends {
    pub count: u64,
    /// How often the kernel killed a process of the container because memory ran out.
    pub out_of_memory: u64,
    /// Exit code of the last exit.
    pub code: Option<i64>,
}

/// What an inspection shows of one container.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// When the inspection was requested.
    pub asked: Instant,
    pub limits: Limits,
    pub restart_policy: RestartPolicy,
    pub aliases: Vec<String>,
}

/// Containers to inspect.
#[derive(Debug, Default)]
struct Suspects {
    /// Inspect all containers, because events may have been missed.
    all: bool,
    /// Ids, or names as the engine shows them.
    some: HashSet<String>,
}

/// Keeps the newest observation.
#[derive(Clone)]
pub(crate) struct EngineWatch {
    view: watch::Receiver<Arc<EngineView>>,
    look: Arc<Notify>,
}

impl EngineWatch {
    /// Starts watching until `stop` is cancelled. `changes` ticks when the engine stops answering, and when it answers again.
    pub fn start(
        engine: Arc<dyn Engine>,
        changes: watch::Sender<u64>,
        stop: tokio_util::sync::CancellationToken,
    ) -> Self {
        let (sender, view) = watch::channel(Arc::new(EngineView::default()));
        let look = Arc::new(Notify::new());
        let (sender, suspects, suspected) = (Arc::new(sender), Arc::new(Mutex::default()), Arc::new(Notify::new()));
        let reports = Arc::new(Mutex::new(EventReports::default()));
        let list = {
            let (engine, sender, look, reports) = (engine.clone(), sender.clone(), look.clone(), reports.clone());
            move || list_forever(engine.clone(), sender.clone(), changes.clone(), look.clone(), reports.clone())
        };
        let listen = {
            let (engine, look) = (engine.clone(), look.clone());
            let (suspects, suspected) = (suspects.clone(), suspected.clone());
            move || follow_events(engine.clone(), look.clone(), reports.clone(), suspects.clone(), suspected.clone())
        };
        let seen = view.clone();
        let inspect =
            move || inspect_suspects(engine.clone(), sender.clone(), seen.clone(), suspects.clone(), suspected.clone());
        tokio::spawn(supervise("engine list", stop.clone(), list));
        tokio::spawn(supervise("engine events", stop.clone(), listen));
        tokio::spawn(supervise("engine inspections", stop, inspect));
        Self { view, look }
    }

    /// The newest observation, which notifies of changes.
    pub fn view(&self) -> watch::Receiver<Arc<EngineView>> {
        self.view.clone()
    }

    /// Waits for the answer to a question that a person waits for. An engine that hangs accepts questions and does not
    /// answer, so the deadlines of the verbs are too long. Errors: the answer takes longer than `within`; the last list failed.
    pub async fn answer<T>(
        &self,
        within: Duration,
        question: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        if let Some(why) = self.view.borrow().unreachable.clone() {
            return Err(EngineError::NoAnswer { why });
        }
        let late = || EngineError::NoAnswer { why: format!("the engine did not answer within {} s", within.as_secs()) };
        tokio::time::timeout(within, question).await.unwrap_or_else(|_| Err(late()))
    }

    /// Requests a list soon.
    pub fn look(&self) {
        self.look.notify_one();
    }
}

/// What events reported.
#[derive(Default)]
struct EventReports {
    ends: HashMap<String, Ends>,
    missed: u64,
    /// Containers whose process exited, with the time of the event. The list may still show them as running: the engine
    /// sends the event first, then unmounts and disconnects, and only then updates its list.
    unsettled: HashMap<String, Instant>,
}

impl EventReports {
    fn record(&mut self, event: &Event) {
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

    /// Drops the entries that a new list confirms. Returns whether the list is still behind the events.
    fn settle(&mut self, containers: &HashMap<String, Container>) -> bool {
        let runs = |name: &String| containers.get(name).is_some_and(|it| it.state == ContainerState::Running);
        self.unsettled.retain(|name, since| runs(name) && since.elapsed() < FULL_LIST);
        let unsettled = &self.unsettled;
        self.ends.retain(|name, _| containers.contains_key(name) || unsettled.contains_key(name));
        !self.unsettled.is_empty()
    }
}

type SharedReports = Arc<Mutex<EventReports>>;

async fn list_forever(
    engine: Arc<dyn Engine>,
    sender: Arc<watch::Sender<Arc<EngineView>>>,
    changes: watch::Sender<u64>,
    look: Arc<Notify>,
    reports: SharedReports,
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
                    let mut reports = lock(&reports);
                    (reports.settle(&containers), Arc::new(reports.ends.clone()), reports.missed)
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
                log_once(&before, &error);
                let unreachable = Some(error.to_string());
                let last = EngineView::clone(&sender.borrow());
                sender.send_replace(Arc::new(EngineView { unreachable, ..last }));
                RETRY
            }
        };
        if before.unreachable.is_some() != sender.borrow().unreachable.is_some() {
            changes.send_modify(|ticks| *ticks += 1);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = look.notified() => tokio::time::sleep(BURST).await,
        }
    }
}

fn log_once(before: &EngineView, error: &EngineError) {
    match before.unreachable {
        None => {
            warn!(%error, "the engine does not answer; containers keep running, and nothing changes until it does")
        }
        Some(_) => debug!(%error, "the engine still does not answer"),
    }
}

async fn follow_events(
    engine: Arc<dyn Engine>,
    look: Arc<Notify>,
    reports: SharedReports,
    suspects: Arc<Mutex<Suspects>>,
    suspected: Arc<Notify>,
) {
    loop {
        if let Ok(mut events) = engine.events().await {
            // The event stream does not repeat older events, so exits and changes may have been missed.
            lock(&reports).missed += 1;
            lock(&suspects).all = true;
            suspected.notify_one();
            look.notify_one();
            while let Some(event) = events.next().await {
                debug!(container = %event.container, action = %event.action, "engine event");
                lock(&reports).record(&event);
                if SETTINGS_CHANGE.contains(&event.action.as_str()) {
                    lock(&suspects).some.insert(event.container);
                    suspected.notify_one();
                }
                look.notify_one();
            }
        }
        // The next list shows everything that was missed meanwhile.
        look.notify_one();
        tokio::time::sleep(RETRY).await;
    }
}

/// Inspects suspects in a separate task, because an inspection of a wedged container may hang.
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
