//! One instance behind the front door: what is open there, whether it drains, and its idle connections.
//!
//! Admission is the heart of draining. A request counts itself first and looks at the draining flag second; a drain
//! sets the flag first and reads the count second. So of any two, at least one sees the other: a request either is
//! counted in the drain, or turns back and routes again by the newer table.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use tokio::sync::Notify;

use crate::pool::Pool;
use crate::protocol::Open;

#[derive(Debug)]
pub(crate) struct Upstream {
    pub id: String,
    pub address: SocketAddr,
    pub pool: Pool,
    requests: AtomicU64,
    upgraded: AtomicU64,
    draining: AtomicBool,
    /// Woken when something ended here while draining.
    ended: Arc<Notify>,
}

impl Upstream {
    pub fn new(wanted: &crate::protocol::Upstream, ended: Arc<Notify>) -> Self {
        Upstream {
            id: wanted.id.clone(),
            address: wanted.address,
            pool: Pool::default(),
            requests: AtomicU64::new(0),
            upgraded: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            ended,
        }
    }

    /// Takes a place for one request, unless this upstream drains.
    pub fn admit(self: &Arc<Self>) -> Option<Admission> {
        self.requests.fetch_add(1, SeqCst);
        let admission = Admission { upstream: Arc::clone(self), upgraded: AtomicBool::new(false) };
        // Dropping the admission gives the place back.
        (!self.draining.load(SeqCst)).then_some(admission)
    }

    /// No new request from here on; idle connections are closed.
    pub fn drain(&self) {
        self.draining.store(true, SeqCst);
        self.pool.close();
        self.ended.notify_one();
    }

    /// A table names it again.
    pub fn route(&self) {
        self.pool.open();
        self.draining.store(false, SeqCst);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    pub fn open(&self) -> Open {
        Open { requests: self.requests.load(SeqCst), upgraded: self.upgraded.load(SeqCst) }
    }

    pub fn load(&self) -> u64 {
        self.requests.load(Relaxed) + self.upgraded.load(Relaxed)
    }
}

/// A place at an upstream: held until the request, its answer or its tunnel has ended.
#[derive(Debug)]
pub(crate) struct Admission {
    upstream: Arc<Upstream>,
    upgraded: AtomicBool,
}

impl Admission {
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// From now on this place is an upgraded connection's. The upstream never looks empty in between.
    pub fn upgrade(&self) {
        if !self.upgraded.swap(true, SeqCst) {
            self.upstream.upgraded.fetch_add(1, SeqCst);
            self.upstream.requests.fetch_sub(1, SeqCst);
            self.upstream.notify_if_draining();
        }
    }
}

impl Upstream {
    fn notify_if_draining(&self) {
        if self.draining.load(SeqCst) {
            self.ended.notify_one();
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let place = if *self.upgraded.get_mut() { &self.upstream.upgraded } else { &self.upstream.requests };
        place.fetch_sub(1, SeqCst);
        self.upstream.notify_if_draining();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream() -> Arc<Upstream> {
        let wanted = crate::protocol::Upstream { id: "web.0".to_owned(), address: ([127, 0, 0, 1], 1).into() };
        Arc::new(Upstream::new(&wanted, Arc::default()))
    }

    #[test]
    fn a_draining_upstream_admits_nobody_and_keeps_what_is_open() {
        let web = upstream();
        let open = web.admit().expect("it serves");
        web.drain();
        assert!(web.admit().is_none());
        assert_eq!(web.open(), Open { requests: 1, upgraded: 0 });
        drop(open);
        assert_eq!(web.open(), Open::default());
    }

    #[test]
    fn an_upgrade_moves_the_place_and_its_end_gives_it_back() {
        let web = upstream();
        let open = web.admit().expect("it serves");
        open.upgrade();
        open.upgrade();
        assert_eq!(web.open(), Open { requests: 0, upgraded: 1 });
        drop(open);
        assert_eq!(web.open(), Open::default());
    }
}
