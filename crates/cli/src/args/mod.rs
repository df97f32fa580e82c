//! Everything that can be typed. The grammar under `apps` is doctl's, so that what people know works here.

mod apps;
mod spec;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use controller::{NetworkPool, SpecialNetwork};

pub use apps::{Acting, Apps, LogType, Waiting};
pub use spec::{Spec, SpecFile, SpecForm};

use crate::exit::UsageError;

/// App Platform on your own Docker host.
#[derive(Debug, Parser)]
#[command(name = "boatyard", version, about, max_term_width = 100, disable_help_subcommand = true)]
pub struct Arguments {
    #[command(flatten)]
    pub connection: Connection,
    #[command(subcommand)]
    pub command: Command,
}

/// How the API is found.
#[derive(Debug, Clone, Default, Args)]
pub struct Connection {
    /// Address of the API, for example http://127.0.0.1:7080 [default: as the running serve left it in the data directory]
    #[arg(long, global = true, env = "BOATYARD_API_URL", value_name = "URL")]
    pub api_url: Option<String>,
    /// Token for the API [default: the data directory's admin-token]
    #[arg(long, global = true, env = "BOATYARD_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Where everything is kept [default: /var/lib/boatyard as root, else $XDG_DATA_HOME/boatyard]
    #[arg(long, global = true, env = "BOATYARD_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl Connection {
    /// The data directory, absolute. Errors: none was given and the environment names no home.
    pub fn data_dir(&self) -> anyhow::Result<PathBuf> {
        let chosen = match &self.data_dir {
            Some(chosen) => chosen.clone(),
            None => crate::discover::default_data_dir()?,
        };
        std::path::absolute(&chosen).with_context(|| format!("{} is no usable path", chosen.display()))
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller and the API; start the ingress if it does not run
    Serve(Serve),
    /// Run the front door by itself; `serve` starts it, and it outlives `serve`
    Ingress,
    /// Stop the front door, and with --apps everything that runs; records and volumes stay
    Down(Down),
    /// Remove everything that is ours from the engine and the disk
    Uninstall(Uninstall),
    /// Apps: create, update, restart, rebuild, watch
    #[command(subcommand, visible_aliases = ["app", "a"])]
    Apps(Apps),
    /// App specs
    #[command(subcommand)]
    Spec(Spec),
    /// What runs here and is not in the database, for example after a backup was put back
    #[command(subcommand)]
    Unknown(Unknown),
}

#[derive(Debug, Subcommand)]
pub enum Unknown {
    /// List apps and containers that no record explains (they go on running), and volumes that no database uses
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Stop and remove what is unknown of an app: containers, networks and routes. Volumes stay
    #[command(visible_alias = "rm")]
    Delete {
        /// The app's id, as `boatyard unknown list` shows it
        app: String,
        /// Really: what is removed cannot be brought back
        #[arg(long, short)]
        force: bool,
    },
}

#[derive(Debug, Args)]
pub struct Serve {
    /// Where the API listens
    #[arg(long, default_value = "127.0.0.1:7080", value_name = "ADDR")]
    pub api: SocketAddr,
    /// Let --api be an address that others can reach: the token then crosses the network in the clear
    #[arg(long)]
    pub api_insecure: bool,
    /// Where the front door listens
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub http: SocketAddr,
    /// A directory whose git repositories specs may clone by path or file URL; may be repeated
    #[arg(long, value_name = "DIR")]
    pub local_sources: Vec<PathBuf>,
    /// Also fetch repositories from `loopback` (this host itself) or `link-local` (where clouds answer with the machine's
    /// credentials); may be repeated
    #[arg(long, value_name = "NETWORK")]
    pub allow_sources_from: Vec<SpecialNetwork>,
    /// Image of a database engine, for example PG=postgres:17 [default: postgres:<version>]; may be repeated
    #[arg(long, value_name = "ENGINE=REF", value_parser = database_image)]
    pub database_image: Vec<(String, String)>,
    #[command(flatten)]
    pub host: Host,
}

/// What commands that touch the engine need.
#[derive(Debug, Clone, Args)]
pub struct Host {
    /// Block of addresses from which each app gets a /24
    #[arg(long, default_value = "10.192.0.0/12", value_name = "CIDR", value_parser = network_pool)]
    pub network_pool: NetworkPool,
    /// Socket of the container engine; by default the one that DOCKER_HOST names, else /var/run/docker.sock
    #[arg(long, value_name = "PATH")]
    pub engine_socket: Option<PathBuf>,
}

impl Host {
    /// The engine's socket. Errors: DOCKER_HOST names an engine that is not on this host.
    pub fn socket(&self) -> Result<PathBuf, UsageError> {
        let docker_host = std::env::var("DOCKER_HOST").unwrap_or_default();
        self.engine_socket.clone().map_or_else(|| socket_of(&docker_host), Ok)
    }
}

fn socket_of(docker_host: &str) -> Result<PathBuf, UsageError> {
    match docker_host.strip_prefix("unix://") {
        Some(path) => Ok(path.into()),
        None if docker_host.is_empty() => Ok("/var/run/docker.sock".into()),
        None => Err(UsageError(format!(
            "DOCKER_HOST is {docker_host}, but Boatyard connects to container addresses, so the engine must be on this \
             host: unset it, or name a socket with --engine-socket"
        ))),
    }
}

#[derive(Debug, Args)]
pub struct Down {
    /// Stop the apps and databases too; `serve` brings them back
    #[arg(long)]
    pub apps: bool,
    #[command(flatten)]
    pub host: Host,
}

#[derive(Debug, Args)]
pub struct Uninstall {
    /// Really: containers, networks, images, volumes with all their data, and the data directory
    #[arg(long)]
    pub purge: bool,
    #[command(flatten)]
    pub host: Host,
}

#[derive(Debug, Default, Args)]
pub struct Output {
    /// Columns to show, for example ID,Status
    #[arg(long, value_delimiter = ',', value_name = "COLUMNS")]
    pub format: Vec<String>,
    /// Leave out the headings
    #[arg(long)]
    pub no_header: bool,
    /// How to print results
    #[arg(long, short, default_value = "text", value_name = "FORM")]
    pub output: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Form {
    #[default]
    Text,
    Json,
    Yaml,
}

impl Form {
    /// The value in this form. `None`: as text, which each command lays out itself.
    pub fn document(self, value: &serde_json::Value) -> Option<String> {
        match self {
            Form::Text => None,
            Form::Json => Some(format!("{value:#}\n")),
            Form::Yaml => Some(serde_yaml::to_string(value).expect("every JSON value can be written as YAML")),
        }
    }
}

fn database_image(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((engine, image)) if !engine.is_empty() && !image.is_empty() => Ok((engine.to_owned(), image.to_owned())),
        _ => Err("give it as ENGINE=REF, for example PG=postgres:17".into()),
    }
}

fn network_pool(text: &str) -> Result<NetworkPool, String> {
    let help = || "give it as ADDRESS/PREFIX with a prefix from 8 to 24, for example 10.192.0.0/12".to_owned();
    let (base, prefix) = text.split_once('/').ok_or_else(help)?;
    let base: std::net::Ipv4Addr = base.parse().map_err(|_| help())?;
    let prefix: u8 = prefix.parse().ok().filter(|it| (8..=24).contains(it)).ok_or_else(help)?;
    match base.to_bits() & (u32::MAX >> prefix) {
        0 => Ok(NetworkPool { base, prefix }),
        rest => Err(format!("the block begins at {}/{prefix}", std::net::Ipv4Addr::from_bits(base.to_bits() & !rest))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn apps(line: &str) -> Apps {
        let words = ["boatyard", "apps"].into_iter().chain(line.split(' '));
        match Arguments::try_parse_from(words).map(|it| it.command) {
            Ok(Command::Apps(command)) => command,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_grammar_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_engine_is_the_one_that_docker_host_names_if_it_is_on_this_host() {
        let socket = |docker_host| socket_of(docker_host).map_err(|error| error.0);
        assert_eq!(socket(""), Ok("/var/run/docker.sock".into()));
        assert_eq!(socket("unix:///run/user/docker.sock"), Ok("/run/user/docker.sock".into()));
        assert!(socket("tcp://10.0.0.1:2375").is_err_and(|why| why.contains("--engine-socket")));
    }

    #[test]
    fn the_guides_commands_are_understood() {
        let Apps::Restart { app, components, acting, output } =
            apps("restart shop --components web,api --components worker --wait --format ID,Status")
        else {
            panic!("not a restart")
        };
        assert_eq!((app.as_str(), components.join("+").as_str()), ("shop", "web+api+worker"));
        assert!(acting.waiting.wait && !acting.dry_run);
        assert_eq!(output.format, ["ID", "Status"]);
        let Apps::CreateDeployment { force_rebuild, clear_cache, .. } =
            apps("create-deployment shop --force-rebuild --clear-cache")
        else {
            panic!("not a deployment")
        };
        assert!(force_rebuild && clear_cache);
        let Apps::Logs { kind, follow, tail, .. } = apps("logs shop web --type run_restarted -f --tail 5") else {
            panic!("no logs")
        };
        assert_eq!((kind, follow, tail), (LogType::RunRestarted, true, Some(5)));
    }

    #[test]
    fn a_plan_is_not_waited_for() {
        let words = ["boatyard", "apps", "restart", "shop", "--dry-run", "--wait"];
        assert!(Arguments::try_parse_from(words).is_err());
    }

    #[test]
    fn a_pool_begins_where_its_prefix_says() {
        assert_eq!(network_pool("10.192.0.0/12").map(|it| it.prefix), Ok(12));
        assert_eq!(network_pool("10.193.0.0/12"), Err("the block begins at 10.192.0.0/12".into()));
        for wrong in ["10.0.0.0", "10.0.0.0/7", "10.0.0.0/25", "ten/8"] {
            assert!(network_pool(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_database_image_names_its_engine() {
        assert_eq!(database_image("PG=localhost:5000/pg:17").as_ref().map(|it| it.0.as_str()), Ok("PG"));
        assert!(database_image("postgres:17").is_err());
    }
}
