//! Messages between controller and ingress: one JSON value per line, over a unix socket in the data directory.
//!
//! The controller sends whole route tables; the ingress swaps one pointer and acknowledges the version. The protocol
//! has no deployments, specs or environments: an upstream is an address with a name, a window is a name to count under.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Increase it only when a message changes its meaning. A new ingress cannot take over from one of another number without
/// refusing connections for a moment. A new field with `#[serde(default)]` needs no new number, so an
/// upgrade keeps the running ingress until a table needs the field: see [`crate::features`].
pub const PROTOCOL_VERSION: u32 = 2;

/// The routes of all apps. Replaced as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RouteTable {
    /// Increases with every table that the controller sends, also across controller restarts.
    pub version: u64,
    pub apps: Vec<AppRoutes>,
    /// Listeners that accept only containers of apps, which reach the public host names of their own app there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub for_containers: Vec<Listener>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRoutes {
    /// The app's id.
    pub app: String,
    /// Host names, lower case, without port. `*.example.com` stands for all names one level below that no app has.
    pub hosts: Vec<String>,
    /// Requests, and ends of open requests, are counted under this name from now on: the id of the deployment that is
    /// rolling out or active.
    pub window: String,
    /// Most specific first; the first match wins.
    pub rules: Vec<Rule>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub policy: AppPolicy,
    /// How the app's containers call its services. `None`: not by way of the ingress.
    #[serde(default, skip_serializing_if = "is_default")]
    pub internal: Option<InternalRoutes>,
}

impl AppRoutes {
    /// All instances that requests are sent to. An instance may occur several times.
    pub fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        let called = self.internal.iter().flat_map(|it| &it.services).flat_map(|it| &it.upstreams);
        self.rules.iter().flat_map(Rule::upstreams).chain(called)
    }
}

/// Calls between the components of an app. The ingress listens for them in the app's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternalRoutes {
    /// The address of this host in the app's network. It need not exist yet.
    pub gateway: Ipv4Addr,
    /// The prefix length of the app's network. Connections from other networks are refused.
    pub prefix: u8,
    pub services: Vec<InternalService>,
}

/// A service that the app's containers call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternalService {
    /// The host name under which they call it.
    pub name: String,
    /// The ports on which they call it.
    pub ports: Vec<u16>,
    /// Ready instances. If empty, calls get a 503.
    pub upstreams: Vec<Upstream>,
    /// The addresses of all its containers, also of those that start or drain. A call from one of them that names no service
    /// is for another service.
    #[serde(default)]
    pub containers: BTreeSet<Ipv4Addr>,
}

/// What holds for all requests to an app.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AppPolicy {
    /// If present, every request gets a 503 page that says that the app is in maintenance.
    pub maintenance: Option<Maintenance>,
    /// The `https` URL of a page that browsers show in place of the ingress's page if the app cannot be reached.
    pub error_page: Option<String>,
    /// Added to requests to the app, in place of a client's value.
    pub request_header: Option<RequestHeader>,
    /// The oldest version of TLS by host name. The controller passes it on with the certificate of the name.
    pub minimum_tls_versions: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Maintenance {
    /// The URL of a page that browsers show in place of the ingress's page.
    pub page: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestHeader {
    pub name: String,
    /// May be a secret.
    pub value: String,
}

impl std::fmt::Debug for RequestHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestHeader").field("name", &self.name).finish_non_exhaustive()
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The host names that match; `None`: all of the app.
    #[serde(default, skip_serializing_if = "is_default")]
    pub authority: Option<HostMatch>,
    #[serde(rename = "match")]
    pub path: PathMatch,
    pub rewrite: Rewrite,
    /// The target component, for messages and logs. Empty if the target is none.
    pub component: String,
    /// Which pages of other origins may read the answers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cors: Option<CorsPolicy>,
    /// Its fields are fields of the rule.
    #[serde(flatten)]
    pub target: Target,
}

/// Where a rule sends requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Target {
    Instances {
        /// Ready instances. If empty, requests get a 503.
        upstreams: Vec<Upstream>,
    },
    Redirect {
        redirect: Redirect,
    },
    Files {
        /// The ingress answers from these files by itself.
        files: SiteFiles,
    },
    /// The fields of a target that this version does not know, because a newer version wrote them. The ingress leaves
    /// the rule out and lists it in [`Status::refused`].
    Unknown(Map<String, Value>),
}

impl Rule {
    /// The instances that the rule sends requests to.
    pub fn upstreams(&self) -> &[Upstream] {
        match &self.target {
            Target::Instances { upstreams } => upstreams,
            Target::Redirect { .. } | Target::Files { .. } | Target::Unknown(_) => &[],
        }
    }
}

/// The files of a static site, and what a request for a missing file gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteFiles {
    /// Directories that `site-files` filled. The first is the site. The others are earlier versions of it, newest first:
    /// a page that a browser still shows may refer to a file that only they have.
    pub directories: Vec<String>,
    /// The document of a directory.
    pub index: String,
    pub missing: MissingFile,
}

/// What a request gets for which there is no file. Without the document, it gets a page of the ingress with status 404.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingFile {
    /// This document, with status 404.
    Error(String),
    /// This document, with status 200.
    CatchAll(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    /// Matches whole segments: `/api` matches `/api`, `/api/` and `/api/x`, but not `/apix`.
    Prefix(String),
    Exact(String),
}

/// Host names, in lower case and without port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostMatch {
    Exact(String),
    /// Matches names that begin with this text.
    Prefix(String),
}

/// The address that clients are sent to. What is `None` stays as in the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: String,
    #[serde(default)]
    pub host: Option<String>,
    /// `None`: the default port of the scheme.
    #[serde(default)]
    pub port: Option<u16>,
    /// Replaces the whole path, and the query if it contains one.
    #[serde(default)]
    pub path: Option<String>,
    pub status: u16,
}

/// Which pages of other origins may read the answers of a rule (CORS).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CorsPolicy {
    pub allow_origins: Vec<OriginMatch>,
    pub allow_methods: Vec<String>,
    pub allow_headers: Vec<String>,
    pub expose_headers: Vec<String>,
    pub max_age_seconds: Option<u64>,
    pub allow_credentials: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OriginMatch {
    /// `*` matches every origin.
    Exact(String),
    Prefix(String),
    /// A regular expression for the whole origin, in the syntax of RE2.
    Regex(String),
}

/// What the ingress does with the matched prefix before it forwards the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rewrite {
    Keep,
    Strip,
    Replace(String),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Upstream {
    /// Instance name. Never reused for another instance.
    pub id: String,
    pub address: Address,
}

/// Where an upstream listens, and what it speaks there. An ingress that does not know a form other than the first leaves
/// the rule out, as [`Target::Unknown`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Address {
    /// HTTP/1.1.
    Tcp(SocketAddr),
    /// HTTP/2 without TLS, from the first byte.
    Http2 { http2: SocketAddr },
    /// A socket in the file system. Only processes that may open the file can take its place.
    Unix {
        /// Absolute.
        unix: PathBuf,
    },
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Tcp(address)
    }
}

/// An address to listen on, and the protocol spoken there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listener {
    pub address: SocketAddr,
    pub kind: ListenerKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerKind {
    Http,
    /// HTTP/2 and HTTP/1.1 over TLS.
    Https,
}

/// The proxies in front of the ingress that may say where a request comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TrustedProxies {
    /// Proxies whose `X-Forwarded-*` headers are believed.
    pub by_header: Vec<IpNet>,
    /// Load balancers that begin each connection with a header of the PROXY protocol, version 1 or 2. A connection from one of
    /// them without such a header is closed.
    pub by_proxy_protocol: Vec<IpNet>,
}

/// The certificates of the HTTPS listeners, and answers to the challenges of certificate authorities.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateSet {
    /// If two are for the same name, the first one wins.
    pub certificates: Vec<Certificate>,
    /// For TLS-ALPN-01 (RFC 8737): what a client that offers only `acme-tls/1` gets for a name.
    pub challenges: Vec<Certificate>,
    /// For HTTP-01 (RFC 8555, 8.3): the answer by token, under every host name.
    pub answers: BTreeMap<String, String>,
}

/// A certificate with its key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The host names that get it, in lower case. `*.example.com` stands for all names one level below.
    pub names: Vec<String>,
    /// The certificate and those of its issuers, in PEM format.
    pub chain: String,
    /// The private key, in PEM format.
    pub key: String,
    /// `1.3` refuses TLS 1.2.
    #[serde(default)]
    pub minimum_tls_version: Option<String>,
    /// Whether requests to these names by HTTP are redirected to HTTPS.
    #[serde(default)]
    pub redirect_http: bool,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("names", &self.names).finish_non_exhaustive()
    }
}

/// How the access log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessLogFormat {
    #[default]
    Off,
    /// Words separated by spaces.
    Text,
    Json,
}

/// Controller → ingress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// Takes control. The first message on a connection.
    Hello {
        protocol: u32,
        listeners: Vec<Listener>,
        #[serde(default, skip_serializing_if = "is_default")]
        proxies: TrustedProxies,
    },
    /// Answered by [`Message::Acknowledged`] once no new request can see an older table.
    SetTable { table: RouteTable },
    /// Replaces all certificates. Answered by [`Message::Acknowledged`] with the version in force, once new connections
    /// get them.
    SetCertificates { certificates: CertificateSet },
    /// Sets the format of the access log, and saves it. Answered by [`Message::Acknowledged`] with the version in force.
    SetAccessLog { format: AccessLogFormat },
    /// Answered by [`Message::Status`].
    Status,
    /// From a new ingress process. Answered by [`Message::HandedOver`]. From now on the ingress refuses changes, until the
    /// connection ends.
    HandOver,
    /// From the process that was handed over to, once it serves: stop accepting connections, let open requests finish
    /// within `drain_seconds`, exit. Answered by [`Message::Acknowledged`] with the version in force.
    Retire { drain_seconds: u64 },
    /// Stop accepting connections, let open requests finish within `drain_seconds`, exit. Answered by
    /// [`Message::Acknowledged`] with the version in force.
    Shutdown { drain_seconds: u64 },
}

/// Ingress → controller: answers and events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// Answers [`Request::Hello`].
    Welcome {
        protocol: u32,
        status: Status,
        refused: Vec<ListenerRefused>,
        /// The table in force. Apps keep their routes from it until the controller sends new ones. Protocol 1 did not
        /// have this field.
        #[serde(default)]
        table: RouteTable,
    },
    Acknowledged {
        version: u64,
    },
    /// Answers [`Request::HandOver`]. Descriptors come with the bytes before it: the lock of the data directory, and the
    /// socket of each listener in this order.
    HandedOver {
        listeners: Vec<Listener>,
        table: RouteTable,
        certificates: Vec<Certificate>,
        access_log: AccessLogFormat,
        #[serde(default)]
        proxies: TrustedProxies,
    },
    /// The counts of a draining upstream changed. Sent at most every 250 ms, and at once when they reach zero.
    Draining {
        upstream: String,
        open: Open,
    },
    Status {
        status: Status,
    },
    /// The ingress did not carry out the request. The reason is a sentence.
    Refused {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerRefused {
    pub listener: Listener,
    /// Why; appended to the address in messages.
    pub reason: String,
}

/// An address for containers on which the ingress cannot listen. The rest of the table is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternalRefused {
    pub address: SocketAddr,
    /// Why; appended to the address in messages.
    pub reason: String,
}

/// A part of a table that the ingress leaves out: a host that belongs to another app, or a rule without a usable path or
/// with an unknown target. The rest of the table is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRefused {
    pub app: String,
    /// The host that is left out, as in the table. `None`: it is no host, or the ingress is an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Why, and what to do about it.
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {
    /// Changes at every start of the process. Counters with a new boot id started at zero.
    pub boot_id: String,
    pub pid: u32,
    /// Version of the table in force.
    pub version: u64,
    pub listeners: Vec<Listener>,
    /// Where the ingress listens for containers of apps. Empty in versions that cannot.
    #[serde(default)]
    pub internal: Vec<SocketAddr>,
    /// Where it should listen for them and cannot.
    #[serde(default)]
    pub internal_refused: Vec<InternalRefused>,
    /// An ingress that is older than this field trusts none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub proxies: TrustedProxies,
    /// The parts of the table in force that were left out.
    #[serde(default)]
    pub refused: Vec<RouteRefused>,
    /// Why the table in force could not be saved, for example because the disk is full. The table is in force anyway.
    #[serde(default)]
    pub unsaved: Option<String>,
    /// Open requests by upstream id, routed or draining. Upstreams without open requests are absent.
    pub open: BTreeMap<String, Open>,
    /// By app id, then by window.
    pub counters: BTreeMap<String, BTreeMap<String, Counters>>,
    /// Requests that the ingress refused without an app, since the process started, by the code of the refusal.
    #[serde(default)]
    pub refusals: BTreeMap<String, u64>,
    /// Bytes sent to clients since the process started, by app id: response bodies, and what upgraded connections carry
    /// to the client. Heads of responses and pages of the ingress are not counted.
    #[serde(default)]
    pub sent_bytes: BTreeMap<String, u64>,
    /// Counts for metrics, by app id and component. The component of what matches no rule is empty.
    #[serde(default)]
    pub components: BTreeMap<String, BTreeMap<String, ComponentCounts>>,
    /// Lines of the access log that were dropped since the process started, because the disk was too slow.
    #[serde(default)]
    pub log_lines_dropped: u64,
    /// Which program file the process runs: see [`crate::launch::program_identity`].
    #[serde(default)]
    pub program: String,
    /// See [`crate::features::FEATURES`].
    #[serde(default)]
    pub features: u32,
}

/// Upper bounds of the buckets of [`ComponentCounts::latencies`], in microseconds: the defaults of Prometheus' clients.
pub const LATENCY_BOUNDS_US: [u64; 11] =
    [5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000];

/// What the ingress counted for one component since a table first named it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ComponentCounts {
    /// Responses by the class of their status, from 1xx to 5xx, including those of the ingress itself.
    pub statuses: [u64; 5],
    /// Responses by the time from the request head to the response head. Each response counts in the first bucket whose
    /// bound it does not exceed. The last bucket has no bound.
    pub latencies: [u64; LATENCY_BOUNDS_US.len() + 1],
    pub latency_sum_us: u64,
    /// Errors with which the ingress itself answered, by their code.
    pub errors: BTreeMap<String, u64>,
    /// Requests that were sent again, to another instance or on another connection.
    pub retries: u64,
    /// Requests and upgraded connections that a stopping instance cut off.
    pub cut: u64,
    /// Drains that ended without an open request.
    pub drained: u64,
    /// Instances that drain now.
    pub draining: u64,
    /// Requests that are open now.
    pub open_requests: u64,
    /// Upgraded connections that are open now.
    pub open_upgraded: u64,
}

/// Open requests and upgraded connections of one upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Open {
    pub requests: u64,
    pub upgraded: u64,
}

impl std::ops::AddAssign for Open {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.upgraded += other.upgraded;
    }
}

/// Counted since the process started. A request counts in the window in force when it arrives, and its outcome in the
/// window in force when it ends. Counters that an older ingress does not send are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Requests routed to this app, whatever their outcome.
    pub requests: u64,
    /// Requests that were open when the window began. Not included in `requests`.
    pub open_at_start: u64,
    /// 502, 503 and 504 responses of the ingress, and bodies that the ingress or the instance cut off.
    pub failed: u64,
    /// 5xx responses of the application.
    pub app_errors: u64,
    /// Clients that disconnected before the response was complete.
    pub client_gone: u64,
    /// Failed requests whose instance was stopped while they waited for the response or received it.
    pub requests_cut: u64,
    /// Failed requests whose instance was stopped while their body was being sent.
    pub uploads_cut: u64,
    /// Upgraded connections (WebSocket): those open when the window began, and new ones.
    pub upgraded: u64,
    /// Upgraded connections that were ended by the ingress or by a stopping instance.
    pub upgraded_cut: u64,
    /// Longest time from the request head to the end of the response head, in microseconds.
    pub slowest_us: u64,
}
