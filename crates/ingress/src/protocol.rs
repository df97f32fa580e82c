//! What control and ingress say to each other: one JSON message a line, over a unix socket in the data directory.
//!
//! ControlClient steers with whole route tables; ingress swaps one pointer and acknowledges the version. Nothing here knows
//! deployments, specs or environments: upstreams are addresses with a name, windows are names to count under.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Raised only when a message changes its meaning. The controller then replaces the running ingress, which write_closed new
/// connections until the next one listens. A new field with `#[serde(default)]` needs no new number, so an upgrade keeps the
/// running ingress.
pub const PROTOCOL_VERSION: u32 = 2;

/// Where to send what: swapped whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RouteTable {
    /// Grows with every table that control sends, across its own restarts too.
    pub version: u64,
    pub apps: Vec<AppRoutes>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRoutes {
    /// The app's id.
    pub app: String,
    /// Host names, lower case, without port.
    pub hosts: Vec<String>,
    /// Name under which requests, and the ends of those that are open, are counted from now on: the id of the deployment that is rolling or serving.
    pub window: String,
    /// Most specific first; the first match takes the request.
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    #[serde(rename = "match")]
    pub path: PathMatch,
    pub rewrite: Rewrite,
    /// The component behind, for messages and logs.
    pub component: String,
    /// Ready instances. Empty: the component has none, and its requests get a 503.
    pub upstreams: Vec<Upstream>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    /// Whole segments: `/api` takes `/api`, `/api/` and `/api/x`, not `/apix`.
    Prefix(String),
    Exact(String),
}

/// What happens to the matched prefix before the request goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rewrite {
    Keep,
    Strip,
    Replace(String),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Upstream {
    /// Instance name: never used for another instance.
    pub id: String,
    pub address: SocketAddr,
}

/// A front door: data, so that more kinds can come.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listener {
    pub address: SocketAddr,
    pub kind: ListenerKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerKind {
    Http,
}

/// ControlClient → ingress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// First message on a connection.
    Hello { protocol: u32, listeners: Vec<Listener> },
    /// Answered by [`Message::Acknowledged`] once no new request can see an older table.
    SetTable { table: RouteTable },
    /// Answered by [`Message::Status`].
    Status,
    /// Stop accepting, let open requests end within `drain_seconds`, exit. Answered by [`Message::Acknowledged`] with
    /// the version in force.
    Shutdown { drain_seconds: u64 },
}

/// Ingress → control; answers, and news that nobody asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// ResponseBody to [`Request::Hello`].
    Welcome {
        protocol: u32,
        status: Status,
        refused: Vec<ListenerRefused>,
        /// In force: what control does not know better stays so. Protocol 1 did not tell it.
        #[serde(default)]
        table: RouteTable,
    },
    Acknowledged {
        version: u64,
    },
    /// The counts of a draining upstream changed (at most every 250 ms, and at once when they reach zero).
    Draining {
        upstream: String,
        open: Open,
    },
    Status {
        status: Status,
    },
    /// The request could not be carried out; the sentence says why.
    Refused {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerRefused {
    pub listener: Listener,
    /// Why, in words that go after its address.
    pub reason: String,
}

/// A part of a table that the ingress leaves out: a host that another app has, or a rule without a usable path. The rest of
/// the table is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRefused {
    pub app: String,
    /// Why, and what to do.
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {
    /// New at every start of the process: counters of another boot id started at zero.
    pub boot_id: String,
    pub pid: u32,
    /// Version of the table in force.
    pub version: u64,
    pub listeners: Vec<Listener>,
    /// What of the table in force is left out.
    #[serde(default)]
    pub refused: Vec<RouteRefused>,
    /// Why the table in force is not on disk, for example since the disk is full. It is in force all the same.
    #[serde(default)]
    pub unsaved: Option<String>,
    /// Open work of every upstream that has some, routed or draining. Absent: none.
    pub open: BTreeMap<String, Open>,
    /// By app id, then by window.
    pub counters: BTreeMap<String, BTreeMap<String, Counters>>,
}

/// Open requests and upgraded connections of one upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Open {
    pub requests: u64,
    pub upgraded: u64,
}

/// Counted since the process started. A request is counted in the window in force for its app when it came, and its
/// outcome in the one in force when it ends. Counters that an older ingress does not have are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Requests routed to this app, whatever came of them.
    pub requests: u64,
    /// Requests that were open when the window began. They are not among `requests`.
    pub open_at_start: u64,
    /// A 502, 503 or 504 of ours, or a body cut by us or by the instance.
    pub failed: u64,
    /// 5xx answers of the application itself.
    pub app_errors: u64,
    /// Clients that left before their answer was whole.
    pub client_gone: u64,
    /// Of the failed ones: those whose instance was stopped while they waited for their answer or received it.
    pub requests_cut: u64,
    /// Of the failed ones: those whose instance was stopped while their body was being sent.
    pub uploads_cut: u64,
    /// Connections upgraded (websockets): those that were open when the window began, and those that came.
    pub upgraded: u64,
    /// Of those: the ones ended by us or by a stopping instance.
    pub upgraded_cut: u64,
    /// Longest time from a request's head to the end of its answer's head, in microseconds.
    pub slowest_us: u64,
}
