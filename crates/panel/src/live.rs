//! Live pages: server-sent events with the parts of a page that changed.
//!
//! A page consists of fragments, which are elements with an id. One task renders the fragments of a page for all viewers
//! with the same rights, and ends with the last of them. So neither the reads of the store nor the rendering grow with the
//! number of viewers. The first event of a stream has all fragments, and later ones have those that changed.
//!
//! A fragment contains no form and no field, because a new version would discard what a person has typed.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use controller::Control;
use futures::future::{BoxFuture, FutureExt};
use futures::{Stream, StreamExt, stream};
use maud::{Markup, PreEscaped};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tracing::debug;
use web::{HttpError, Identity, Stop};

use crate::limit::Limit;
use crate::request::PageRequest;
use crate::ui::page::engine_banner;

/// Shortest time between two renderings of a page. Changes in between become one event.
const SPACING: Duration = Duration::from_millis(50);
/// Waits this many times as long as the rendering took, so that pages take at most a fifth of a core each.
const SPARING: u32 = 4;
/// Time to the next attempt if a page cannot be rendered now.
const RETRY: Duration = Duration::from_secs(1);
/// A comment this often shows the browser and proxies that the connection is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Open streams of one session.
const STREAMS_PER_SESSION: usize = 256;
/// Open streams of all sessions. The server accepts 1,024 connections.
const STREAMS: usize = 512;

/// The live parts of a page.
pub(crate) struct Fragments {
    parts: BTreeMap<String, Markup>,
    again_after: Duration,
}

impl Fragments {
    /// No fragments yet. The page is rendered again after this time even if no record has changed.
    pub fn new(again_after: Duration) -> Self {
        Self { parts: BTreeMap::new(), again_after }
    }

    /// Adds the element with this id. An element that is on the page stays there if a later rendering lacks it, so put
    /// whatever may disappear inside an element that stays.
    pub fn add(&mut self, id: impl Into<String>, element: Markup) {
        self.parts.insert(id.into(), element);
    }

    /// The element with this id, for the page itself.
    pub fn get(&self, id: &str) -> PreEscaped<&str> {
        PreEscaped(self.parts.get(id).map_or("", |it| it.0.as_str()))
    }
}

type Render = Box<dyn Fn() -> BoxFuture<'static, Result<Fragments, HttpError>> + Send>;

/// The live pages of all sessions. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LivePages(Arc<Shared>);

struct Shared {
    control: Arc<dyn Control>,
    stop: Stop,
    /// The renderers that have viewers.
    renderers: Mutex<HashMap<Key, Weak<Renderer>>>,
    streams: Arc<Limit>,
}

impl LivePages {
    /// `stop` ends all streams.
    pub fn new(control: Arc<dyn Control>, stop: Stop) -> Self {
        Self(Arc::new(Shared {
            control,
            stop,
            renderers: Mutex::default(),
            streams: Limit::new("live pages", STREAMS, STREAMS_PER_SESSION),
        }))
    }

    /// Answers with the events of a page. `page` identifies what `render` shows to a token with these rights; other
    /// viewers may get the same rendering. Ends when the session or its token ends, when the server stops, and after
    /// `render` has answered 404. The banner about the engine is a fragment of every page. Errors: too many streams are open.
    pub fn events<F, R>(&self, request: &PageRequest, page: String, render: F) -> Result<Response, HttpError>
    where
        F: Fn() -> R + Send + 'static,
        R: Future<Output = Result<Fragments, HttpError>> + Send + 'static,
    {
        let permit = self.0.streams.open(&request.session.id).map_err(HttpError::too_many)?;
        let key = Key { page, rights: Rights::of(&request.access.identity) };
        let (stop, session_ended) = (self.0.stop.clone(), request.ended());
        let ended = async move {
            tokio::select! {
                () = stop.requested() => {}
                () = session_ended => {}
            }
        };
        let events = self.view(key, Box::new(move || render().boxed())).take_until(Box::pin(ended)).map(move |event| {
            let _permit = &permit;
            Ok::<_, Infallible>(event.into())
        });
        let answer = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
        // A proxy that collects the answer would delay the events.
        Ok(([("x-accel-buffering", "no")], answer).into_response())
    }

    /// The events for one viewer.
    fn view(&self, key: Key, render: Render) -> impl Stream<Item = LiveEvent> + Send + use<> {
        let renderer = self.renderer(key, render);
        let viewer = Viewer { shown: renderer.shown.clone(), seen: 0, is_gone: false, _renderer: renderer };
        stream::unfold(viewer, async |mut viewer| Some((viewer.next().await?, viewer)))
    }

    fn renderer(&self, key: Key, render: Render) -> Arc<Renderer> {
        let mut renderers = lock(&self.0.renderers);
        renderers.retain(|_, it| it.strong_count() > 0);
        if let Some(shared) = renderers.get(&key).and_then(Weak::upgrade) {
            return shared;
        }
        let (sender, shown) = watch::channel(Shown::default());
        let task = tokio::spawn(keep_rendered(sender, self.0.control.clone(), render));
        let renderer = Arc::new(Renderer { shown, task });
        renderers.insert(key, Arc::downgrade(&renderer));
        renderer
    }
}

/// What viewers must have in common to share a rendering.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    page: String,
    rights: Rights,
}

/// What decides which apps and buttons a page shows.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Rights {
    admin: bool,
    may_write: bool,
    only_app: Option<String>,
}

impl Rights {
    fn of(identity: &Identity) -> Self {
        Self {
            admin: matches!(identity, Identity::Admin),
            may_write: identity.may_write(),
            only_app: identity.only_app().map(|it| it.id.to_string()),
        }
    }
}

/// The task that renders a page, which ends with the last viewer.
struct Renderer {
    shown: watch::Receiver<Shown>,
    task: JoinHandle<()>,
}

impl Drop for Renderer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Renders at each change, and after the time that the page itself names.
async fn keep_rendered(shown: watch::Sender<Shown>, control: Arc<dyn Control>, render: Render) {
    let mut changes = control.changes();
    loop {
        // A change during the rendering may be missing in it, so it causes another one.
        changes.mark_unchanged();
        let began = Instant::now();
        let again_after = match render().await {
            Ok(mut fragments) => {
                fragments.add("engine", engine_banner(control.engine_problem().as_deref()));
                let again_after = fragments.again_after;
                shown.send_if_modified(|it| it.update(fragments));
                again_after
            }
            Err(error) if error.status == StatusCode::NOT_FOUND => {
                shown.send_modify(|it| it.gone = Some(error.message));
                return;
            }
            Err(error) => {
                debug!(error = error.message, cause = error.cause, "a live page keeps its last state");
                RETRY
            }
        };
        sleep(SPACING.max(began.elapsed() * SPARING)).await;
        tokio::select! {
            Ok(()) = changes.changed() => {}
            () = sleep(again_after) => {}
        }
    }
}

/// The newest rendering of a page.
#[derive(Default)]
struct Shown {
    version: u64,
    fragments: BTreeMap<String, Fragment>,
    /// Why the page no longer exists.
    gone: Option<String>,
}

struct Fragment {
    /// The entry of the event's data: `"id":"html"`.
    entry: String,
    /// The version since which it is so.
    since: u64,
}

impl Shown {
    /// Replaces the fragments that differ. Returns whether any does.
    fn update(&mut self, new: Fragments) -> bool {
        let version = self.version + 1;
        for (id, element) in new.parts {
            let entry = format!("{}:{}", json!(id), json!(element.0));
            if self.fragments.get(&id).is_none_or(|it| it.entry != entry) {
                self.fragments.insert(id, Fragment { entry, since: version });
                self.version = version;
            }
        }
        self.version == version
    }

    /// The data of an event for a viewer who has seen this version; 0: who has seen nothing.
    fn since(&self, seen: u64) -> String {
        let new = self.fragments.values().filter(|it| it.since > seen);
        format!("{{{}}}", new.map(|it| it.entry.as_str()).collect::<Vec<_>>().join(","))
    }
}

/// One open stream.
struct Viewer {
    shown: watch::Receiver<Shown>,
    seen: u64,
    is_gone: bool,
    _renderer: Arc<Renderer>,
}

/// What a viewer gets.
#[derive(Debug, PartialEq, Eq)]
enum LiveEvent {
    /// JSON: the fragments that changed, by id.
    Fragments(String),
    /// Why the page no longer exists. Nothing follows.
    Gone(String),
}

impl From<LiveEvent> for Event {
    fn from(event: LiveEvent) -> Self {
        match event {
            LiveEvent::Fragments(data) => Event::default().event("fragments").data(data),
            LiveEvent::Gone(message) => Event::default().event("gone").data(json!({ "message": message }).to_string()),
        }
    }
}

impl Viewer {
    /// Waits for the next event. `None`: nothing follows.
    async fn next(&mut self) -> Option<LiveEvent> {
        if self.is_gone {
            return None;
        }
        loop {
            if let Some(event) = self.unseen() {
                return Some(event);
            }
            self.shown.changed().await.ok()?;
        }
    }

    fn unseen(&mut self) -> Option<LiveEvent> {
        let shown = self.shown.borrow_and_update();
        if let Some(message) = &shown.gone {
            self.is_gone = true;
            return Some(LiveEvent::Gone(message.clone()));
        }
        let data = (shown.version > self.seen).then(|| shown.since(self.seen));
        self.seen = shown.version;
        data.map(LiveEvent::Fragments)
    }
}

/// No code leaves the map half changed, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
