//! What the engine shows: a full list every 10 s and after every hint, for all apps together.
//!
//! Events only make it quick, the list is the truth (M15). A list that cannot be had leaves the last one standing, with
//! the reason beside it: nothing is concluded from silence.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use engine::{Container, Engine, EngineError};
use futures::StreamExt;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::supervise::supervise;

/// The truth is looked up this often: DESIGN §4.
const FULL_LIST: Duration = Duration::from_secs(10);
/// Hints come in bursts (create, connect, start); one list answers them all.
const BURST: Duration = Duration::from_millis(20);
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
        {
            let (engine, look) = (engine.clone(), look.clone());
            let list = move || list_forever(engine.clone(), sender.clone(), look.clone());
            tokio::spawn(supervise("engine list", stop.clone(), list));
        }
        {
            let look = look.clone();
            let listen = move || hear_hints(engine.clone(), look.clone());
            tokio::spawn(supervise("engine events", stop, listen));
        }
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

async fn list_forever(engine: Arc<dyn Engine>, sender: watch::Sender<Arc<EngineView>>, look: Arc<Notify>) {
    loop {
        let asked = Instant::now();
        let before = sender.borrow().clone();
        let pause = match engine.list().await {
            Ok(containers) => {
                if before.unreachable.is_some() {
                    info!("the engine answers again");
                }
                let containers = containers.into_iter().map(|it| (it.name.clone(), it)).collect();
                sender.send_replace(Arc::new(EngineView {
                    asked: Some(asked),
                    containers: Arc::new(containers),
                    unreachable: None,
                }));
                FULL_LIST
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

async fn hear_hints(engine: Arc<dyn Engine>, look: Arc<Notify>) {
    loop {
        if let Ok(mut events) = engine.events().await {
            while let Some(event) = events.next().await {
                debug!(container = %event.container, action = %event.action, "engine event");
                look.notify_one();
            }
        }
        // Whatever was missed meanwhile is in the next list.
        look.notify_one();
        tokio::time::sleep(RETRY).await;
    }
}
