//! Settings that the controller starts with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use detect::Bases;
pub use ingress::{AccessLogFormat, TrustedProxies};
pub use rollout::limits;
pub use source::SpecialNetwork;

/// Settings of one installation.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data directory, which holds the database, the keys and the logs.
    pub data_dir: PathBuf,
    /// Socket of the container engine. Default `/var/run/docker.sock`.
    pub engine_socket: PathBuf,
    /// Address that the ingress listens on. Default `127.0.0.1:8080`.
    pub http: SocketAddr,
    /// Address that the ingress listens on for HTTPS. Default: none.
    pub https: Option<SocketAddr>,
    /// The access log of the ingress. Default: off.
    pub access_log: AccessLogFormat,
    /// The proxies in front of the ingress that may say where a request comes from. Default: none.
    pub proxies: TrustedProxies,
    /// The authority that certifies the domains of apps. Default: none.
    pub acme: Option<AcmeSettings>,
    /// Address of the API, used for URLs in answers. Default `127.0.0.1:7080`.
    pub api: SocketAddr,
    /// Directories whose git repositories a spec may name by path or by file URL. Default: none.
    pub local_sources: Vec<PathBuf>,
    /// Special networks that repositories may be fetched from. Services in such networks often trust every client that
    /// can connect, so the default is none.
    pub allow_sources_from: Vec<SpecialNetwork>,
    /// A PEM file with certificates of authorities to trust for repositories by https, besides the system's.
    pub sources_ca: Option<PathBuf>,
    /// The base images of Dockerfiles that are generated for detected languages. Default: the official ones.
    pub base_images: Bases,
    /// Database images by engine, e.g. `("PG", "postgres:17")`. Default: `postgres:<version>`.
    pub database_images: Vec<(String, String)>,
    /// The pool from which each app gets its `/24` network. Default `10.192.0.0/12`.
    pub network_pool: NetworkPool,
    /// How this host connects to instances and databases. Default: as the first start found out.
    pub reach: Option<ReachChoice>,
    /// Path of this program. The controller runs it as the ingress and as source workers.
    pub program: PathBuf,
    /// The longest time that a deployment may take. Default: [`rollout::limits::DEPLOYMENT`].
    pub deployment_limit: Duration,
    /// The longest time that a job may run. Default: [`rollout::limits::JOB`].
    pub job_limit: Duration,
    /// How many images are built in parallel. Default 2. Other builds wait in a queue.
    pub parallel_builds: usize,
    /// The longest time that one build may run. Default: [`rollout::limits::BUILD`].
    pub build_limit: Duration,
    /// How hosts of repositories reach this installation. Default: they do not.
    pub webhooks: Option<WebhookSettings>,
    /// The interval at which sources are looked up without a push. Default: never.
    pub poll: Option<Duration>,
}

/// A certificate authority that speaks ACME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSettings {
    /// The address of its directory.
    pub directory: String,
    /// Where it may send warnings about certificates.
    pub email: Option<String>,
    /// A PEM file with the certificate of the authority that certifies the directory's server, in place of the system's.
    pub authority: Option<PathBuf>,
    /// How it checks that this host serves a name. `None`: attempts alternate.
    pub challenge: Option<AcmeChallenge>,
}

/// A check by which an authority finds out whether a host serves a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// A request by HTTP, to port 80.
    Http01,
    /// A TLS handshake, on port 443.
    TlsAlpn01,
}

/// How deliveries to webhooks come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSettings {
    /// The host name under which the ingress accepts them, in lower case. No app may have it.
    pub host: String,
    /// The absolute path of the socket to which the ingress forwards them. It is in the data directory, so that no other user
    /// of this host can take its place while this process does not run.
    pub socket: PathBuf,
}

/// How this host connects to instances and databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// At their addresses in the engine's networks.
    Direct,
    /// At ports that they publish on 127.0.0.1, because the engine's networks are not on this host: rootless engines and
    /// Docker Desktop.
    Published,
}

/// The value of `serve --reach`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReachChoice {
    /// Try which one works.
    Auto,
    /// This one, without trying.
    Fixed(Reach),
}

/// A block of addresses cut into `/24` networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkPool {
    /// First address of the block.
    pub base: std::net::Ipv4Addr,
    /// Prefix length of the block, 8 to 24.
    pub prefix: u8,
}
