//! What the controller is started with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use rollout::limits;
pub use source::SpecialNetwork;

/// Settings of one installation.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Socket of the container engine. Default `/var/run/docker.sock`.
    pub engine_socket: PathBuf,
    /// The address of the ingress. Default `127.0.0.1:8080`.
    pub http: SocketAddr,
    /// Address of the API, for URLs in answers. Default `127.0.0.1:7080`.
    pub api: SocketAddr,
    /// Directories whose git repositories specs may name by path or file URL. Default: none.
    pub local_sources: Vec<PathBuf>,
    /// Networks that repositories are fetched from although services there trust whoever can connect. Default: none.
    pub allow_sources_from: Vec<SpecialNetwork>,
    /// Images of databases by engine, e.g. `("PG", "postgres:17")`. Default: `postgres:<version>`.
    pub database_images: Vec<(String, String)>,
    /// `/24` networks of apps are taken from here. Default `10.192.0.0/12`.
    pub network_pool: NetworkPool,
    /// This program, to start the ingress and source workers with.
    pub program: PathBuf,
    /// How long a whole deployment may take. Default: [`rollout::limits::DEPLOYMENT`].
    pub deployment_limit: Duration,
    /// How long one job may run. Default: [`rollout::limits::JOB`].
    pub job_limit: Duration,
    /// Images built at once. Default 2 (T11).
    pub parallel_builds: usize,
}

/// A block of addresses cut into `/24` networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkPool {
    /// First address of the block.
    pub base: std::net::Ipv4Addr,
    /// Its prefix length, 8 to 24.
    pub prefix: u8,
}
