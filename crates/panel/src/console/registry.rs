//! The open consoles of all sessions.

use std::sync::{Arc, Mutex, MutexGuard};

use controller::ControlError;
use controller::console::{ConsoleTarget, SHUTTING_DOWN};
use rollout::ids::AppId;
use uuid::Uuid;
use web::{HttpError, Stop};

use super::open::{OpenConsole, Viewer};
use crate::limit::Limit;

/// Consoles of all sessions. Each holds an exec of the engine, processes in an instance, and up to 9 MB.
const MAX_CONSOLES: usize = 16;
/// Consoles of one session, or of all sessions of a created token.
const MAX_PER_QUOTA: usize = 4;
/// Pages that show consoles. Each holds a connection.
const MAX_PAGES: usize = 64;
const MAX_PAGES_PER_QUOTA: usize = 16;

/// The open consoles, and those that have ended and whose page may still read why.
pub(crate) struct Consoles {
    limit: Arc<Limit>,
    pages: Arc<Limit>,
    all: Mutex<Vec<Arc<OpenConsole>>>,
    stop: Stop,
}

impl Consoles {
    pub fn new(stop: Stop) -> Arc<Self> {
        let limit = Limit::new("consoles", MAX_CONSOLES, MAX_PER_QUOTA);
        let pages = Limit::new("pages with consoles", MAX_PAGES, MAX_PAGES_PER_QUOTA);
        Arc::new(Self { limit, pages, all: Mutex::default(), stop })
    }

    /// Opens a console for a session, which counts in this quota. `console` starts the shell, and `signed_out` completes when the session ends. Errors:
    /// the limit is reached; the shell does not start.
    pub(super) async fn open(
        self: &Arc<Self>,
        session: &str,
        quota: &str,
        target: ConsoleTarget,
        console: impl Future<Output = Result<controller::console::Console, ControlError>>,
        signed_out: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Arc<OpenConsole>, HttpError> {
        let held = (self.limit.open(quota).map_err(HttpError::too_many)?, self.stop.delay());
        let console = console.await?;
        let stop = self.stop.clone();
        let over = async move {
            tokio::select! {
                () = signed_out => "The session that opened it, or its token, has ended.".into(),
                () = stop.requested() => format!("{SHUTTING_DOWN}."),
            }
        };
        let id = Uuid::new_v4().simple().to_string();
        let (open, task) = OpenConsole::start(id, session.to_owned(), target, console, over, held);
        let mut all = self.lock();
        // So that a session keeps few of them.
        all.retain(|it| it.session != session || !it.has_ended() || it.is_shown());
        all.push(open.clone());
        drop(all);
        let (all, ended) = (self.clone(), open.id.clone());
        tokio::spawn(async move {
            // Also after a panic of the task.
            let _ = task.await;
            all.lock().retain(|it| it.id != ended);
        });
        Ok(open)
    }

    /// The console with this id, for the session that opened it.
    pub(super) fn find(&self, id: &str, session: &str, app: &AppId) -> Option<Arc<OpenConsole>> {
        self.lock().iter().find(|it| it.id == id && it.is_of(session, app)).cloned()
    }

    /// Shows the console in one more page, which counts in this quota. Errors: the limit is reached. For people.
    pub(super) fn view(&self, console: &Arc<OpenConsole>, quota: &str) -> Result<Viewer, String> {
        Ok(console.view(self.pages.open(quota)?))
    }

    /// The consoles of a session in an app that have not ended, oldest first.
    pub(super) fn of(&self, session: &str, app: &AppId) -> Vec<Arc<OpenConsole>> {
        let is_open = |it: &&Arc<OpenConsole>| it.is_of(session, app) && !it.has_ended();
        self.lock().iter().filter(is_open).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<OpenConsole>>> {
        self.all.lock().expect("no code panics while it holds this lock")
    }
}
