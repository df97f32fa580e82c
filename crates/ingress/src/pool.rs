//! Idle connections to one upstream: kept, reused, and closed before the instance closes them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::Limits;
use crate::upstream::Upstream;
use crate::upstream_http1::Connection;
use crate::worker;

/// Idle connections of one worker to one upstream.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: Mutex<IdleConnections>,
}

#[derive(Debug, Default)]
struct IdleConnections {
    connections: VecDeque<(Connection, Instant)>,
    closed: bool,
    sweeping: bool,
}

impl Pool {
    /// The most recently used connection that is open. Expired ones and those that the instance closed are dropped on the
    /// way.
    pub fn take(&self, idle_limit: Duration) -> Option<Connection> {
        let mut idle = self.lock();
        loop {
            let (connection, since) = idle.connections.pop_back()?;
            if since.elapsed() < idle_limit && connection.is_usable() {
                return Some(connection);
            }
        }
    }

    /// Returns a connection whose response has been read to its end.
    pub fn put(upstream: &Arc<Upstream>, connection: Connection, limits: &Arc<Limits>) {
        let mut idle = upstream.pool().lock();
        if idle.closed || idle.connections.len() >= limits.upstream_idle_count.div_ceil(worker::count()) {
            return;
        }
        idle.connections.push_back((connection, Instant::now()));
        if !std::mem::replace(&mut idle.sweeping, true) {
            tokio::spawn(sweep(Arc::clone(upstream), Arc::clone(limits)));
        }
    }

    /// Drops idle connections, and every connection that is returned from now on.
    pub fn close(&self) {
        let mut idle = self.lock();
        idle.closed = true;
        idle.connections.clear();
    }

    pub fn open(&self) {
        self.lock().closed = false;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, IdleConnections> {
        // Code under this lock leaves nothing half done, so a panic elsewhere cannot have broken it.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops connections that expired or that the instance closed. Returns when to check again, or `None` if nothing is
    /// left.
    fn drop_overdue(&self, idle_limit: Duration) -> Option<Duration> {
        let mut idle = self.lock();
        idle.connections.retain(|(connection, since)| since.elapsed() < idle_limit && connection.is_usable());
        let Some((_, oldest)) = idle.connections.front() else {
            idle.sweeping = false;
            return None;
        };
        Some(idle_limit.saturating_sub(oldest.elapsed()))
    }
}

/// Runs on the worker that has the pool, while the pool holds connections.
async fn sweep(upstream: Arc<Upstream>, limits: Arc<Limits>) {
    while let Some(next) = upstream.pool().drop_overdue(limits.upstream_idle) {
        tokio::time::sleep(next).await;
    }
}
