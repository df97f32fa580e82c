//! The app's visitors: a steady stream at a fixed rate, whatever becomes of it, and a crowd that comes all at once every two
//! seconds. The crowd makes the front door open more connections to the app than the stream needs; the app closes
//! those after two idle seconds, just when the crowd comes again. That is where a front door loses requests easily.

use std::net::SocketAddr;
use std::time::Duration;

use super::harbor::HOST;
use crate::load::{Expected, Load, LoadPlan, Request, Snapshot};

/// Requests per second of the stream.
pub(super) const RATE: f64 = 250.0;
const STREAM_CONNECTIONS: usize = 32;
const CROWD_CONNECTIONS: usize = 12;
/// As long as the app keeps an idle connection.
const CROWD_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Traffic {
    stream: Load,
    crowd: Load,
}

/// A moment in both counts.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    stream: Snapshot,
    crowd: Snapshot,
}

/// What both came to in a window.
#[derive(Clone)]
pub(super) struct Visits {
    pub sent: usize,
    pub failed: usize,
    pub per_second: f64,
    /// Of the stream, counted from the moment each request was due.
    pub p99: Duration,
    pub slowest: Duration,
    /// The first failures in words.
    pub failures: Vec<String>,
}

impl Traffic {
    pub fn start(front_door: SocketAddr) -> Self {
        let plan = || LoadPlan::new(front_door, HOST);
        let stream = mix(plan()).connections(STREAM_CONNECTIONS).rate(RATE);
        let crowd = mix(plan()).connections(CROWD_CONNECTIONS).think_time(CROWD_PAUSE);
        Self { stream: Load::start(stream), crowd: Load::start(crowd) }
    }

    pub fn now(&self) -> Moment {
        Moment { stream: self.stream.snapshot(), crowd: self.crowd.snapshot() }
    }

    pub fn since(&self, from: Moment) -> Visits {
        let (stream, crowd) = (self.stream.since(from.stream), self.crowd.since(from.crowd));
        Visits {
            sent: stream.sent + crowd.sent,
            failed: stream.failed_count + crowd.failed_count,
            per_second: stream.per_second + crowd.per_second,
            p99: stream.p99,
            slowest: stream.max.max(crowd.max),
            failures: stream.failed.into_iter().chain(crowd.failed).take(5).collect(),
        }
    }

    /// Sends nothing new and waits for what is under way; returns requests sent and failed from first to last.
    pub async fn stop(self) -> (usize, usize) {
        let (stream, crowd) = (self.stream.stop().await, self.crowd.stop().await);
        (stream.sent + crowd.sent, stream.failed_count + crowd.failed_count)
    }
}

/// Five GETs and two POSTs with bodies of 2 KiB, over both services; each answer is checked.
fn mix(plan: LoadPlan) -> LoadPlan {
    let containing = |text: &str| Expected::Containing(text.to_owned());
    let note = format!("moored at berth 7 {}", "=".repeat(2 * 1024));
    let post = || Request::post("/notes", note.clone()).answered(Expected::Containing(note.clone()));
    let page = || Request::get("/").answered(containing("<h1>Welcome to"));
    plan.with(page())
        .with(post())
        .with(Request::get("/api").answered(containing("metres")))
        .with(page())
        .with(Request::get("/api/tides").answered(containing("in_hours")))
        .with(post())
        .with(Request::get("/heartbeat").answered(containing("beats")))
}
