//! The load on the app: a steady stream at a fixed rate, and a burst every two seconds. The burst makes the ingress
//! open more connections to the app than the stream needs. The app closes those after two idle seconds, just when the
//! next burst arrives. A proxy easily loses requests at that moment.

use std::net::SocketAddr;
use std::time::Duration;

use super::harbor::HOST;
use crate::load::{Expected, Load, LoadPlan, LoadReport, Request, Snapshot};

/// Requests per second of the stream.
pub(super) const RATE: f64 = 250.0;
const STREAM_CONNECTIONS: usize = 32;
const BURST_CONNECTIONS: usize = 12;
/// How long the app keeps an idle connection.
const BURST_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Traffic {
    stream: Load,
    bursts: Load,
}

/// The results of both in a window.
pub(super) struct Visits {
    pub stream: LoadReport,
    pub bursts: LoadReport,
}

impl Traffic {
    pub fn start(ingress: SocketAddr) -> Self {
        let plan = plan(ingress);
        Self {
            stream: Load::start(plan.clone().connections(STREAM_CONNECTIONS).rate(RATE)),
            bursts: Load::start(plan.connections(BURST_CONNECTIONS).think_time(BURST_PAUSE)),
        }
    }

    pub fn now(&self) -> [Snapshot; 2] {
        [self.stream.snapshot(), self.bursts.snapshot()]
    }

    pub fn since(&self, [stream, bursts]: [Snapshot; 2]) -> Visits {
        Visits { stream: self.stream.since(stream), bursts: self.bursts.since(bursts) }
    }

    /// Waits for open requests. Returns the results from start to end.
    pub async fn stop(self) -> Visits {
        Visits { stream: self.stream.stop().await, bursts: self.bursts.stop().await }
    }
}

impl Visits {
    pub fn sent(&self) -> usize {
        self.stream.sent + self.bursts.sent
    }

    pub fn failed(&self) -> usize {
        self.stream.failed_count + self.bursts.failed_count
    }
}

/// Five GETs and two POSTs with bodies of 2 KiB, over both services; each answer is checked.
fn plan(ingress: SocketAddr) -> LoadPlan {
    let get = |path, text: &str| Request::get(path).answered(Expected::Containing(text.to_owned()));
    let note = format!("moored at berth 7 {}", "=".repeat(2 * 1024));
    let post = || Request::post("/notes", note.clone()).answered(Expected::Containing(note.clone()));
    LoadPlan::new(ingress, HOST)
        .with(get("/", "<h1>Welcome to"))
        .with(post())
        .with(get("/api", "metres"))
        .with(get("/", "<h1>Welcome to"))
        .with(get("/api/tides", "in_hours"))
        .with(post())
        .with(get("/heartbeat", "beats"))
}
