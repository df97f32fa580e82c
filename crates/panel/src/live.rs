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
use controller::view::{Caller, TokenApp, TokenScope, TokenView};
use futures::future::{BoxFuture, FutureExt};
use futures::{Stream, StreamExt, stream};
use maud::{Markup, PreEscaped};
use rollout::time::Timestamp;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;
use web::{Access, HttpError, Identity, Stop};

use crate::limit::Limit;
use crate::request::PageRequest;
use crate::ui::page::{engine_banner, outdated_banner};

/// Shortest time between two renderings of a page. Changes in between become one event.
const SPACING: Duration = Duration::from_millis(50);
/// The pause after a rendering is at least this many times as long as the rendering, so that each page takes at most a fifth
/// of a core.
const PAUSE_RATIO: u32 = 4;
/// A rendering that takes longer counts as failed.
const RENDER_WITHIN: Duration = Duration::from_secs(10);
/// Time to the next attempt after a failed rendering.
const RETRY: Duration = Duration::from_secs(1);
/// A comment this often shows the browser and proxies that the connection is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Open streams of one session, or of all sessions of a created token.
const STREAMS_PER_QUOTA: usize = 256;
/// Open streams of all sessions. The server accepts 1,024 connections.
const STREAMS: usize = 512;

/// The last event of a page about something that no longer exists.
const DELETED: &str = "What this page shows was deleted.";

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

type Render = Box<dyn Fn(Access) -> BoxFuture<'static, Result<Fragments, HttpError>> + Send>;

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
            streams: Limit::new("live pages", STREAMS, STREAMS_PER_QUOTA),
        }))
    }

    /// Answers with the events of a page. `page` identifies what `render` shows; all viewers with the same rights get the
    /// same rendering. `render` gets an access with these rights, which names no token. The stream ends when the session or
    /// its token ends, when the server stops, and after `render` has answered 404. If too many streams are open, its only
    /// event says so. The banners about the engine, and about a page that cannot be rendered, are fragments of every page.
    pub fn events<F, R>(&self, request: &PageRequest, page: String, render: F) -> Response
    where
        F: Fn(Access) -> R + Send + 'static,
        R: Future<Output = Result<Fragments, HttpError>> + Send + 'static,
    {
        let permit = match self.0.streams.open(request.session.quota()) {
            Ok(permit) => permit,
            Err(why) => {
                return answer(stream::iter([LiveEvent::End(format!("This page is not kept up to date. {why}."))]));
            }
        };
        let key = Key { page, rights: Rights::of(&request.access.identity) };
        let (stop, session_ended) = (self.0.stop.clone(), request.ended());
        let ended = async move {
            tokio::select! {
                () = stop.requested() => {}
                () = session_ended => {}
            }
        };
        let events = self.view(key, Box::new(move |access| render(access).boxed())).take_until(Box::pin(ended));
        answer(events.map(move |event| {
            let _permit = &permit;
            event
        }))
    }

    /// The events for one viewer.
    fn view(&self, key: Key, render: Render) -> impl Stream<Item = LiveEvent> + Send + use<> {
        let renderer = self.renderer(key, render);
        let viewer = Viewer { shown: renderer.shown.clone(), seen: 0, has_ended: false, _renderer: renderer };
        stream::unfold(viewer, async |mut viewer| Some((viewer.next().await?, viewer)))
    }

    fn renderer(&self, key: Key, render: Render) -> Arc<Renderer> {
        let mut renderers = lock(&self.0.renderers);
        renderers.retain(|_, it| it.strong_count() > 0);
        if let Some(shared) = renderers.get(&key).and_then(Weak::upgrade) {
            return shared;
        }
        let (sender, shown) = watch::channel(Shown::default());
        let task = tokio::spawn(keep_rendered(sender, key.rights.access(self.0.control.clone()), render));
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
    /// Id and name.
    only_app: Option<(String, String)>,
}

impl Rights {
    fn of(identity: &Identity) -> Self {
        Self {
            admin: matches!(identity, Identity::Admin),
            may_write: identity.may_write(),
            only_app: identity.only_app().map(|it| (it.id.to_string(), it.name.clone())),
        }
    }

    /// An access with these rights. It has no other fact about a viewer, so no rendering can show one to another viewer.
    fn access(&self, control: Arc<dyn Control>) -> Access {
        let token = TokenView {
            id: String::new(),
            name: String::new(),
            scope: if self.may_write { TokenScope::Write } else { TokenScope::Read },
            app: self.only_app.clone().map(|(id, name)| TokenApp { id: id.as_str().into(), name }),
            created: Timestamp(0),
            expires: None,
            remaining: None,
        };
        let identity = if self.admin { Identity::Admin } else { Identity::Token(token) };
        let caller = Caller { token_hash: String::new(), idempotency_key: None, actor: identity.actor(), audit: None };
        Access { control, caller, identity, base: String::new() }
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
async fn keep_rendered(shown: watch::Sender<Shown>, access: Access, render: Render) {
    let mut changes = access.control.changes();
    let mut is_failing = false;
    loop {
        // A change during the rendering may be missing in it, so it causes another one.
        changes.mark_unchanged();
        let began = Instant::now();
        let (mut fragments, problem) = match timeout(RENDER_WITHIN, render(access.clone())).await {
            Ok(Ok(fragments)) => (fragments, None),
            Ok(Err(error)) if error.status == StatusCode::NOT_FOUND => {
                // The message of the error may contain names of other apps.
                shown.send_modify(|it| it.has_ended = true);
                return;
            }
            Ok(Err(error)) => (Fragments::new(RETRY), Some(error)),
            Err(_) => (Fragments::new(RETRY), Some(HttpError::gateway_timeout("The server did not read it in time"))),
        };
        if let Some(error) = problem.as_ref().filter(|_| !is_failing) {
            warn!(cause = error.cause, "a live page keeps its last state: {}", error.message);
        }
        is_failing = problem.is_some();
        fragments.add("engine", engine_banner(access.control.engine_problem().as_deref()));
        fragments.add("outdated", outdated_banner(problem.as_ref().map(|it| it.message.as_str())));
        let again_after = fragments.again_after;
        shown.send_if_modified(|it| it.update(fragments));
        sleep(SPACING.max(began.elapsed() * PAUSE_RATIO)).await;
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
    /// What the page shows was deleted.
    has_ended: bool,
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
    has_ended: bool,
    _renderer: Arc<Renderer>,
}

/// What a viewer gets.
#[derive(Debug, PartialEq, Eq)]
enum LiveEvent {
    /// JSON: the fragments that changed, by id.
    Fragments(String),
    /// Why nothing follows. For people.
    End(String),
}

impl From<LiveEvent> for Event {
    fn from(event: LiveEvent) -> Self {
        match event {
            LiveEvent::Fragments(data) => Event::default().event("fragments").data(data),
            LiveEvent::End(message) => Event::default().event("end").data(json!({ "message": message }).to_string()),
        }
    }
}

fn answer(events: impl Stream<Item = LiveEvent> + Send + 'static) -> Response {
    let events = events.map(|event| Ok::<_, Infallible>(event.into()));
    let answer = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // A proxy that collects the answer would delay the events.
    ([("x-accel-buffering", "no")], answer).into_response()
}

impl Viewer {
    /// Waits for the next event. `None`: nothing follows.
    async fn next(&mut self) -> Option<LiveEvent> {
        if self.has_ended {
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
        if shown.has_ended {
            self.has_ended = true;
            return Some(LiveEvent::End(DELETED.to_owned()));
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
