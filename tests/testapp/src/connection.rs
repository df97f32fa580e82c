//! The connections that are open, and how they end when the server is told to stop: the ones between two requests at once,
//! the others after the answer they are giving.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// All open connections of one server.
#[derive(Debug, Default)]
pub struct Connections {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<u64, Open>,
    last: u64,
    draining: bool,
}

#[derive(Debug)]
struct Open {
    stream: Arc<TcpStream>,
    busy: bool,
}

/// One connection's entry; gone from the list when dropped.
#[derive(Debug)]
pub struct Entry {
    connections: Arc<Connections>,
    number: u64,
}

impl Connections {
    /// Enters a connection. None once the server drains: it came too late.
    pub fn enter(self: &Arc<Self>, stream: &Arc<TcpStream>) -> Option<Entry> {
        let mut state = self.lock();
        if state.draining {
            return None;
        }
        state.last += 1;
        let number = state.last;
        state.open.insert(number, Open { stream: Arc::clone(stream), busy: false });
        Some(Entry { connections: Arc::clone(self), number })
    }

    /// Ends idle connections and waits until the busy ones have ended. False if `deadline` was too short for them.
    pub fn drain(&self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        let mut state = self.lock();
        state.draining = true;
        for connection in state.open.values().filter(|connection| !connection.busy) {
            // Only reading ends: a request that has arrived already is still read, and answered.
            let _ = connection.stream.shutdown(Shutdown::Read);
        }
        while !state.open.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    pub fn draining(&self) -> bool {
        self.lock().draining
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked left at worst its own entry behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Between the first byte of a request and the last of its answer a connection is busy, and left in peace.
    pub fn set_busy(&self, busy: bool) {
        if let Some(connection) = self.connections.lock().open.get_mut(&self.number) {
            connection.busy = busy;
        }
    }

    pub fn draining(&self) -> bool {
        self.connections.draining()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.lock().open.remove(&self.number);
        self.connections.changed.notify_all();
    }
}
