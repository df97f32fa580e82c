//! One instance as the ingress sees it: its open requests, whether it drains, and its idle connections.
//!
//! Draining depends on the order of two operations. A request increments the count first and reads the draining flag
//! second; a drain sets the flag first and reads the count second. So at least one of the two sees the other: either
//! the drain counts the request, or the request turns back and is routed again by the newer table.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use tokio::sync::Notify;

use crate::http2_upstream::Http2Connections;
use crate::pool::Pool;
use crate::protocol::{Address, Open};
use crate::worker;

#[derive(Debug)]
pub(crate) struct Upstream {
    pub id: String,
    pub address: Address,
    /// Idle connections, for each worker.
    pools: Box<[Pool]>,
    /// Connections by HTTP/2, for each worker. Empty if the instance speaks HTTP/1.1.
    http2: Box<[Http2Connections]>,
    requests: AtomicU64,
    upgraded: AtomicU64,
    draining: AtomicBool,
    /// Notified when a request ends while the upstream drains.
    ended: Arc<Notify>,
}

impl Upstream {
    pub fn new(wanted: &crate::protocol::Upstream, ended: Arc<Notify>) -> Self {
        Upstream {
            id: wanted.id.clone(),
            address: wanted.address.clone(),
            pools: (0..worker::count()).map(|_| Pool::default()).collect(),
            http2: match wanted.address {
                Address::Http2 { .. } => (0..worker::count()).map(|_| Http2Connections::default()).collect(),
                Address::Tcp(_) | Address::Unix { .. } => Box::default(),
            },
            requests: AtomicU64::new(0),
            upgraded: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            ended,
        }
    }

    /// The idle connections of the worker that runs this code.
    pub fn pool(&self) -> &Pool {
        &self.pools[worker::current()]
    }

    /// The connections by HTTP/2 of the worker that runs this code. `None`: the instance speaks HTTP/1.1.
    pub fn http2(&self) -> Option<&Http2Connections> {
        self.http2.get(worker::current())
    }

    /// Admits one request, unless this upstream drains.
    pub fn admit(self: &Arc<Self>) -> Option<Admission> {
        self.requests.fetch_add(1, SeqCst);
        let admission = Admission { upstream: Arc::clone(self), upgraded: AtomicBool::new(false) };
        // If the upstream drains, dropping the admission undoes the count.
        (!self.draining.load(SeqCst)).then_some(admission)
    }

    /// Admits no further requests and closes idle connections.
    pub fn drain(&self) {
        self.draining.store(true, SeqCst);
        self.pools.iter().for_each(Pool::close);
        self.http2.iter().for_each(Http2Connections::close);
        self.ended.notify_one();
    }

    /// A newer table contains this upstream again.
    pub fn route(&self) {
        self.pools.iter().for_each(Pool::open);
        self.http2.iter().for_each(Http2Connections::reopen);
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

/// One open request at an upstream. Held until the request, its response or its tunnel has ended.
#[derive(Debug)]
pub(crate) struct Admission {
    upstream: Arc<Upstream>,
    upgraded: AtomicBool,
}

impl Admission {
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Counts this request as an upgraded connection from now on. The upstream never looks idle in between.
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
    use std::net::SocketAddr;

    use super::*;

    fn upstream() -> Arc<Upstream> {
        let wanted =
            crate::protocol::Upstream { id: "web.0".to_owned(), address: SocketAddr::from(([127, 0, 0, 1], 1)).into() };
        Arc::new(Upstream::new(&wanted, Arc::default()))
    }

    #[test]
    fn a_draining_upstream_admits_no_request_and_keeps_open_ones() {
        let web = upstream();
        let open = web.admit().expect("it serves");
        web.drain();
        assert!(web.admit().is_none());
        assert_eq!(web.open(), Open { requests: 1, upgraded: 0 });
        drop(open);
        assert_eq!(web.open(), Open::default());
    }

    #[test]
    fn an_upgraded_request_is_counted_as_upgraded_until_it_ends() {
        let web = upstream();
        let open = web.admit().expect("it serves");
        open.upgrade();
        open.upgrade();
        assert_eq!(web.open(), Open { requests: 0, upgraded: 1 });
        drop(open);
        assert_eq!(web.open(), Open::default());
    }
}
