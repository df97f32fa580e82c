//! Sessions of the panel: people who signed in with a token in a browser. All of them are in memory, as tokens are, so that
//! no request waits for the store.

use std::collections::HashMap;
use std::time::Duration;

use rollout::time::Timestamp;
use store::records::Session;
use tokio::sync::{Mutex, MutexGuard, watch};

/// A session ends if it is not used for this long. Our choice: a working day.
pub(crate) const IDLE_LIMIT: Duration = Duration::from_secs(8 * 60 * 60);
/// A session ends this long after the sign-in, however often it is used. Our choice: one sign-in a week.
pub const LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Uses that follow a recorded one within this time are not recorded. So an idle session may end this much too early.
const RECORD_USE_EVERY: Duration = Duration::from_secs(5 * 60);
/// Most sessions of one token. One more ends the least recently used one. Our choice.
pub(crate) const MAX_PER_TOKEN: usize = 32;

/// The sessions on record, by hash. They may have ended. As with tokens, the time of a lookup reveals nothing.
pub(crate) struct Sessions {
    known: watch::Sender<HashMap<String, Session>>,
    changing: Mutex<()>,
}

impl Sessions {
    pub fn new(all: Vec<Session>) -> Self {
        let known = all.into_iter().map(|it| (it.hash.clone(), it)).collect();
        Self { known: watch::channel(known).0, changing: Mutex::new(()) }
    }

    /// Held while the record of a session is written or deleted.
    pub async fn lock(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    pub fn by_hash(&self, hash: &str) -> Option<Session> {
        self.known.borrow().get(hash).cloned()
    }

    pub fn by_id(&self, id: &str) -> Option<Session> {
        self.known.borrow().values().find(|it| it.id == id).cloned()
    }

    /// All sessions, least recently used first.
    pub fn all(&self) -> Vec<Session> {
        let mut all: Vec<_> = self.known.borrow().values().cloned().collect();
        all.sort_by(|a, b| (a.used, &a.id).cmp(&(b.used, &b.id)));
        all
    }

    pub fn add(&self, session: Session) {
        self.known.send_modify(|known| drop(known.insert(session.hash.clone(), session)));
    }

    pub fn remove(&self, id: &str) {
        self.known.send_modify(|known| known.retain(|_, it| it.id != id));
    }

    /// Notes that the session is used now. Returns whether the use has to be recorded.
    pub fn note_use(&self, hash: &str, now: Timestamp) -> bool {
        self.known.send_if_modified(|known| match known.get_mut(hash) {
            Some(session) if now.since(session.used) >= RECORD_USE_EVERY => {
                session.used = now;
                true
            }
            _ => false,
        })
    }

    /// Ticks whenever a session is added, used or removed.
    pub fn changes(&self) -> watch::Receiver<HashMap<String, Session>> {
        self.known.subscribe()
    }
}
