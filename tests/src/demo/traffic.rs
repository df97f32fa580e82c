//! The load on the app: a steady stream at a fixed rate, and a burst every two seconds. The burst makes the ingress
//! open more connections to the app than the stream needs. The app closes those after two idle seconds, just when the
//! next burst arrives. A proxy easily loses requests at that moment.

use std::net::SocketAddr;
use std::time::Duration;

use super::harbor::HOST;
use crate::load::{Expected, Load, LoadPlan, Request, Snapshot};

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

/// The totals of both in a window.
pub(super) struct Visits {
    pub sent: usize,
    pub failed: usize,
    pub per_second: f64,
    /// Times of the stream, counted from the moment each request was due.
    pub p99: Duration,
    pub slowest: Duration,
    /// The first failures.
    pub failures: Vec<String>,
}

impl Traffic {
    pub fn start(ingress: SocketAddr) -> Self {
        let stream = requests(LoadPlan::new(ingress, HOST)).connections(STREAM_CONNECTIONS).rate(RATE);
        let bursts = requests(LoadPlan::new(ingress, HOST)).connections(BURST_CONNECTIONS).think_time(BURST_PAUSE);
        Self { stream: Load::start(stream), bursts: Load::start(bursts) }
    }

    pub fn now(&self) -> [Snapshot; 2] {
        [self.stream.snapshot(), self.bursts.snapshot()]
    }

    pub fn since(&self, from: [Snapshot; 2]) -> Visits {
        let (stream, bursts) = (self.stream.since(from[0]), self.bursts.since(from[1]));
        Visits {
            sent: stream.sent + bursts.sent,
            failed: stream.failed_count + bursts.failed_count,
            per_second: stream.per_second + bursts.per_second,
            p99: stream.p99,
            slowest: stream.max.max(bursts.max),
            failures: stream.failed.into_iter().chain(bursts.failed).take(5).collect(),
        }
    }

    /// Waits for open requests. Returns how many requests were sent and failed in total.
    pub async fn stop(self) -> (usize, usize) {
        let (stream, bursts) = (self.stream.stop().await, self.bursts.stop().await);
        (stream.sent + bursts.sent, stream.failed_count + bursts.failed_count)
    }
}

/// Five GETs and two POSTs with bodies of 2 KiB, over both services; each answer is checked.
fn requests(plan: LoadPlan) -> LoadPlan {
    let get = |path, text: &str| Request::get(path).answered(Expected::Containing(text.to_owned()));
    let note = format!("moored at berth 7 {}", "=".repeat(2 * 1024));
    let post = || Request::post("/notes", note.clone()).answered(Expected::Containing(note.clone()));
    plan.with(get("/", "<h1>Welcome to"))
        .with(post())
        .with(get("/api", "metres"))
        .with(get("/", "<h1>Welcome to"))
        .with(get("/api/tides", "in_hours"))
        .with(post())
        .with(get("/heartbeat", "beats"))
}
