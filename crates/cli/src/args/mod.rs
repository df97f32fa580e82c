//! Commands and flags. Those under `apps` are doctl's, so that its users know them.

mod apps;
mod auth;
mod certificates;
mod detect;
mod dev;
#[cfg(test)]
mod doctl;
mod registries;
mod rollback;
mod sources;
mod spec;
mod tokens;
mod webhooks;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use controller::config::AccessLogFormat;
use controller::{AcmeChallenge, NetworkPool, Reach, ReachChoice, SpecialNetwork};
use ipnet::IpNet;

#[cfg(test)]
pub use apps::LogType;
pub use apps::{Apps, DeployArgs, EventType, InstanceSizes, LogSource, Tiers, WaitArgs};
pub use auth::{Auth, Shell};
pub use certificates::Certificates;
pub use detect::{Detect, DetectKind};
pub use dev::Dev;
pub use registries::Registries;
pub use rollback::{Rollback, RollbackAction};
pub use sources::{AddSource, Sources};
pub use spec::{Spec, SpecArgs, SpecFormat};
pub use tokens::{Audit, Scope, Tokens};
pub use webhooks::Webhooks;

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

/// Where the API is. A flag takes precedence over a variable, a variable over the current context, and the current context
/// over the server of this host.
#[derive(Clone, Default, Args)]
#[command(next_help_heading = "Server")]
pub struct Connection {
    /// Address of the API, such as http://127.0.0.1:7080 [default: that of the context, else of the server on this host]
    #[arg(long, short = 'u', global = true, env = "BOATYARD_API_URL", value_name = "URL")]
    pub api_url: Option<String>,
    /// Token for the API [default: that of the context, else the file admin-token in the data directory]
    #[arg(
        long,
        short = 't',
        alias = "access-token",
        global = true,
        env = "BOATYARD_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub token: Option<String>,
    /// Server that `boatyard auth init` saved under this name [default: the one that `auth switch` chose]
    #[arg(long, global = true, env = "BOATYARD_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,
    /// Data directory of the installation [default: /var/lib/boatyard as root, else $XDG_DATA_HOME/boatyard]
    // Unlike the parser for paths, this one accepts an empty variable.
    #[arg(
        long,
        global = true,
        env = "BOATYARD_DATA_DIR",
        value_name = "DIR",
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    pub data_dir: Option<PathBuf>,
    /// The settings above that a flag set. The others come from variables.
    #[arg(skip)]
    pub flags: Vec<Setting>,
}

/// One of the settings of a [`Connection`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    ApiUrl,
    Token,
    Context,
    DataDir,
}

impl Setting {
    const ALL: [Self; 4] = [Self::ApiUrl, Self::Token, Self::Context, Self::DataDir];

    fn id(self) -> &'static str {
        match self {
            Self::ApiUrl => "api_url",
            Self::Token => "token",
            Self::Context => "context",
            Self::DataDir => "data_dir",
        }
    }
}

impl std::fmt::Debug for Connection {
    /// Leaves out the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { api_url, token: _, context, data_dir, flags } = self;
        let shown = (api_url, context, data_dir, flags);
        f.debug_tuple("Connection").field(&shown).finish()
    }
}

impl Arguments {
    /// Reads the command line. Exits if it is wrong, or asks for help.
    pub fn read() -> Self {
        Self::from(&Self::command().get_matches()).unwrap_or_else(|error| error.exit())
    }

    fn from(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut arguments = Self::from_arg_matches(matches)?;
        arguments.connection.flags = Setting::ALL
            .into_iter()
            .filter(|it| matches.value_source(it.id()) == Some(ValueSource::CommandLine))
            .collect();
        arguments.connection.drop_empty_variables();
        if let Command::Serve(options) = &mut arguments.command {
            // The environment variable of the global flag names the server that other commands use.
            let source = matches.subcommand_matches("serve").and_then(|it| it.value_source("api_url"));
            if source != Some(ValueSource::CommandLine) {
                options.outside = None;
            }
        }
        Ok(arguments)
    }
}

impl Connection {
    /// Whether a flag set it.
    pub fn is_flag(&self, setting: Setting) -> bool {
        self.flags.contains(&setting)
    }

    /// An empty variable counts as one that is not set. An empty flag is a mistake, which its use reports.
    fn drop_empty_variables(&mut self) {
        let [url, token, context, directory] = Setting::ALL.map(|it| self.is_flag(it));
        self.api_url = self.api_url.take().filter(|it| url || !it.is_empty());
        self.token = self.token.take().filter(|it| token || !it.is_empty());
        self.context = self.context.take().filter(|it| context || !it.is_empty());
        self.data_dir = self.data_dir.take().filter(|it| directory || !it.as_os_str().is_empty());
    }

    /// The absolute path of the data directory. Errors: the flag is missing and the environment has no home directory.
    pub fn data_dir(&self) -> anyhow::Result<PathBuf> {
        let chosen = match &self.data_dir {
            Some(chosen) => chosen.clone(),
            None => crate::discover::default_data_dir()?,
        };
        std::path::absolute(&chosen).with_context(|| format!("{} is not a valid path", chosen.display()))
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller and the API, and start the ingress if it is not running
    Serve(Box<Serve>),
    /// Run the ingress. `serve` starts it, and it keeps running after `serve` exits
    Ingress {
        /// Take over the sockets of the running ingress, which finishes its open requests and exits. No connection is refused
        #[arg(long, hide = true)]
        replace: bool,
    },
    /// Stop the ingress, and with --apps also all apps. Records and volumes are kept
    Down(Down),
    /// Remove everything that Boatyard created in the engine and on disk
    Uninstall(Uninstall),
    /// Save, list and choose the servers that commands use
    #[command(subcommand)]
    Auth(Auth),
    /// Create, update, restart, rebuild and watch apps
    #[command(subcommand, visible_aliases = ["app", "a"])]
    Apps(Apps),
    /// Work with app specs
    #[command(subcommand)]
    Spec(Spec),
    /// Show what a directory or an app is built with, and write the Dockerfile that is generated for it
    Detect(Detect),
    /// Run a directory as it is, uncommitted changes included, as an app on this host
    Dev(Dev),
    /// List the certificates of apps' host names, and add and remove your own
    #[command(subcommand, visible_alias = "certs")]
    Certificates(Certificates),
    /// Make the system and browsers of this host trust the local certificate authority
    ///
    /// It certifies the names of apps below localhost, and other local names, and can certify no others.
    Trust {
        /// Remove it from where this command has added it
        #[arg(long)]
        remove: bool,
        /// Change only the store of the system, or only those of browsers
        #[arg(long, value_name = "STORE")]
        only: Option<TrustStore>,
    },
    /// Add, list and remove logins for registries of images
    #[command(subcommand, visible_alias = "registry")]
    Registries(Registries),
    /// Add, list and remove logins for private git repositories
    #[command(subcommand, visible_alias = "source")]
    Sources(Sources),
    /// Create, list and revoke tokens for the API, beside the admin token
    #[command(subcommand, visible_alias = "token")]
    Tokens(Tokens),
    /// Add, list and remove addresses at which GitHub, GitLab, Gitea, Forgejo and Bitbucket report pushes
    #[command(subcommand, visible_alias = "webhook")]
    Webhooks(Webhooks),
    /// Sign in to the control panel in a browser, with a link that works once
    Panel {
        /// Only print the link
        #[arg(long)]
        no_open: bool,
    },
    /// Show who changed apps, opened consoles or read passwords, newest first
    Audit(Audit),
    /// Find what runs without a record in the database, for example after restoring a backup
    #[command(subcommand)]
    Unknown(Unknown),
    /// Print a script that completes commands and flags in a shell
    Completion {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub enum Unknown {
    /// List apps and containers without a record, which keep running, and volumes that no database uses
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Stop and remove the unknown containers, networks and routes of an app. Volumes are kept
    #[command(visible_alias = "rm")]
    Delete {
        /// The app's id, as `boatyard unknown list` shows it
        app: String,
        /// Confirm: this cannot be undone
        #[arg(long, short)]
        force: bool,
    },
}

#[derive(Debug, Args)]
pub struct Serve {
    /// Address for the API
    #[arg(long, default_value = "127.0.0.1:7080", value_name = "ADDR")]
    pub api: SocketAddr,
    /// Allow an --api address that other hosts can reach. The token is then sent over the network unencrypted
    #[arg(long)]
    pub api_insecure: bool,
    /// Address for the API over HTTPS. It may be one that other hosts can reach
    #[arg(long, value_name = "ADDR")]
    pub api_tls: Option<SocketAddr>,
    /// Certificate chain for --api-tls, in PEM format [default: one of an authority in the data directory]
    #[arg(long, value_name = "FILE", requires = "api_tls", requires = "api_tls_key")]
    pub api_tls_cert: Option<PathBuf>,
    /// Key of --api-tls-cert, in PEM format
    #[arg(long, value_name = "FILE", requires = "api_tls_cert")]
    pub api_tls_key: Option<PathBuf>,
    /// Another address under which clients reach the API, such as https://api.example.com behind a proxy. It may have any
    /// port, and answers to requests under its name contain it
    // It replaces the global flag of this name, with which other commands find the server.
    #[arg(id = "api_url", long = "api-url", value_name = "URL")]
    pub outside: Option<String>,
    /// Answer doctl and Terraform at once while they wait for a deployment, instead of when it ends, at most 45 s later.
    /// For a proxy in front of the API that gives up earlier
    #[arg(long)]
    pub no_held_polls: bool,
    /// Address for the traffic of apps. [::]:8080 means all IPv6 and IPv4 addresses of this host, 0.0.0.0:8080 those of IPv4
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub http: SocketAddr,
    /// Address for the traffic of apps by HTTPS [default: none]
    #[arg(long, value_name = "ADDR", env = "BOATYARD_HTTPS")]
    pub https: Option<SocketAddr>,
    /// Write a line for each request to access.log in the data directory: off, text or json
    #[arg(long, value_name = "FORMAT", default_value = "off", env = "BOATYARD_ACCESS_LOG")]
    pub access_log: AccessLog,
    /// Network of a proxy in front of --http or --https, such as 10.1.0.0/16 or 127.0.0.1, whose X-Forwarded-For, -Proto,
    /// -Host and -Port headers are believed; can be repeated [default: none, and apps see the proxy as the client]
    #[arg(long, value_name = "CIDR", value_parser = network)]
    pub trusted_proxy: Vec<IpNet>,
    /// Network of a load balancer that begins each connection with a PROXY protocol header, version 1 or 2. Its connections
    /// without one are closed; can be repeated
    #[arg(long, value_name = "CIDR", value_parser = network)]
    pub proxy_protocol: Vec<IpNet>,
    /// Get certificates for the domains of apps from Let's Encrypt, whose terms of service you accept with it. It may send
    /// warnings to this address
    #[arg(long, value_name = "EMAIL", env = "BOATYARD_ACME_EMAIL", requires = "https")]
    pub acme_email: Option<String>,
    /// Get certificates from another authority, by the address of its ACME directory
    #[arg(long, value_name = "URL", env = "BOATYARD_ACME_DIRECTORY", requires = "https")]
    pub acme_directory: Option<String>,
    /// Certificate of the authority that certifies the server of --acme-directory, in PEM format [default: the system's]
    #[arg(long, value_name = "FILE", requires = "acme_directory")]
    pub acme_ca: Option<PathBuf>,
    /// How the authority checks that a domain leads here: http-01 by port 80, tls-alpn-01 by port 443 [default: in turns]
    #[arg(long, value_name = "CHALLENGE", value_parser = acme_challenge)]
    pub acme_challenge: Option<AcmeChallenge>,
    /// Host name under which hosts of repositories report pushes, such as hooks.example.com. It must lead to the address for
    /// the traffic of apps [default: webhooks are not accepted]
    #[arg(long, value_name = "HOST", env = "BOATYARD_WEBHOOK_HOST")]
    pub webhook_host: Option<String>,
    /// Look for new commits of components with `deploy_on_push` at this interval, such as 5m, at least 30s, or off
    #[arg(long, value_name = "INTERVAL", default_value = "off", env = "BOATYARD_POLL")]
    pub poll: String,
    /// Directory with git repositories that specs may clone by path or file URL; can be repeated
    #[arg(long, value_name = "DIR")]
    pub local_sources: Vec<PathBuf>,
    /// Also allow repositories on `loopback` (this host) or `link-local` (where clouds serve credentials of the machine);
    /// can be repeated
    #[arg(long, value_name = "NETWORK")]
    pub allow_sources_from: Vec<SpecialNetwork>,
    /// Certificates of authorities, in PEM format, to trust besides the system's when repositories are fetched by https
    #[arg(long, value_name = "FILE")]
    pub sources_ca: Option<PathBuf>,
    /// Base image of generated Dockerfiles, such as node=registry.example.com/node:22, or node:22=… for one version; can be
    /// repeated, and separated by commas in the variable
    #[arg(long, value_name = "NAME=IMAGE", env = "BOATYARD_BASE_IMAGES", value_delimiter = ',')]
    pub base_image: Vec<String>,
    /// How many images are built at once. Other builds wait in a queue
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub parallel_builds: u16,
    /// Longest time that one build may run, without its time in the queue
    #[arg(long, default_value_t = 60, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..))]
    pub build_time_limit: u32,
    /// Image of a database engine, such as PG=postgres:17 [default: postgres:<version>]; can be repeated
    #[arg(long, value_name = "ENGINE=REF", value_parser = database_image)]
    pub database_image: Vec<(String, String)>,
    /// How this host connects to instances: direct (at their addresses), published (at ports on 127.0.0.1, for rootless
    /// engines and Docker Desktop), or auto, which tries again [default: what the first start found out]
    #[arg(long, value_name = "HOW", value_parser = reach)]
    pub reach: Option<ReachChoice>,
    #[command(flatten)]
    pub host: EngineArgs,
}

/// Flags for commands that use the container engine.
#[derive(Debug, Clone, Args)]
pub struct EngineArgs {
    /// Address block from which each app gets a /24 network
    #[arg(long, default_value = "10.192.0.0/12", value_name = "CIDR", value_parser = network_pool)]
    pub network_pool: NetworkPool,
    /// Socket of the container engine [default: from DOCKER_HOST, else /var/run/docker.sock]
    #[arg(long, value_name = "PATH")]
    pub engine_socket: Option<PathBuf>,
}

impl EngineArgs {
    /// The socket of the engine. Errors: DOCKER_HOST names an engine on another host.
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
            "DOCKER_HOST is {docker_host}, but the engine must be on this host, because Boatyard connects to containers. Unset DOCKER_HOST, or name a socket with --engine-socket"
        ))),
    }
}

#[derive(Debug, Args)]
pub struct Down {
    /// Also stop all apps and databases. `serve` starts them again
    #[arg(long)]
    pub apps: bool,
    #[command(flatten)]
    pub host: EngineArgs,
}

#[derive(Debug, Args)]
pub struct Uninstall {
    /// Confirm: removes containers, networks, images, volumes with all data, and the data directory
    #[arg(long)]
    pub purge: bool,
    #[command(flatten)]
    pub host: EngineArgs,
}

#[derive(Debug, Default, Args)]
pub struct Output {
    /// Columns to show, such as ID,Status
    #[arg(long, value_delimiter = ',', value_name = "COLUMNS")]
    pub format: Vec<String>,
    /// Print no headings
    #[arg(long)]
    pub no_header: bool,
    /// Format of the result
    #[arg(long, short, default_value = "text", value_name = "FORMAT")]
    pub output: OutputFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    #[default]
    Text,
    Json,
    Yaml,
}

impl OutputFormat {
    /// The value in this form. `None`: as text, which each command lays out itself.
    pub fn document(self, value: &serde_json::Value) -> Option<String> {
        match self {
            OutputFormat::Text => None,
            OutputFormat::Json => Some(format!("{value:#}\n")),
            OutputFormat::Yaml => Some(serde_yaml::to_string(value).expect("every JSON value can be written as YAML")),
        }
    }
}

/// The value of `serve --access-log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccessLog {
    Off,
    Text,
    Json,
}

impl From<AccessLog> for AccessLogFormat {
    fn from(chosen: AccessLog) -> Self {
        match chosen {
            AccessLog::Off => AccessLogFormat::Off,
            AccessLog::Text => AccessLogFormat::Text,
            AccessLog::Json => AccessLogFormat::Json,
        }
    }
}

/// Where certificate authorities are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TrustStore {
    System,
    Browsers,
}

fn acme_challenge(text: &str) -> Result<AcmeChallenge, String> {
    match text {
        "http-01" => Ok(AcmeChallenge::Http01),
        "tls-alpn-01" => Ok(AcmeChallenge::TlsAlpn01),
        _ => Err("must be http-01 or tls-alpn-01".into()),
    }
}

fn database_image(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((engine, image)) if !engine.is_empty() && !image.is_empty() => Ok((engine.to_owned(), image.to_owned())),
        _ => Err("must be ENGINE=REF, such as PG=postgres:17".into()),
    }
}

fn reach(text: &str) -> Result<ReachChoice, String> {
    match text {
        "auto" => Ok(ReachChoice::Auto),
        "direct" => Ok(ReachChoice::Fixed(Reach::Direct)),
        "published" => Ok(ReachChoice::Fixed(Reach::Published)),
        _ => Err("must be auto, direct or published".into()),
    }
}

/// A network, or a single address.
fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network
        .map(|it| it.trunc())
        .ok_or_else(|| "must be ADDRESS or ADDRESS/PREFIX, such as 10.1.0.0/16 or fd00::/8".to_owned())
}

fn network_pool(text: &str) -> Result<NetworkPool, String> {
    let help = || "must be ADDRESS/PREFIX with a prefix from 8 to 24, such as 10.192.0.0/12".to_owned();
    let (base, prefix) = text.split_once('/').ok_or_else(help)?;
    let base: std::net::Ipv4Addr = base.parse().map_err(|_| help())?;
    let prefix: u8 = prefix.parse().ok().filter(|it| (8..=24).contains(it)).ok_or_else(help)?;
    match base.to_bits() & (u32::MAX >> prefix) {
        0 => Ok(NetworkPool { base, prefix }),
        rest => Err(format!(
            "the block with this prefix starts at {}/{prefix}",
            std::net::Ipv4Addr::from_bits(base.to_bits() & !rest)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trusted_proxy_is_a_network_or_an_address() {
        for (text, expected) in [
            ("127.0.0.1", Some("127.0.0.1/32")),
            ("10.1.2.3/16", Some("10.1.0.0/16")),
            ("fd00::/8", Some("fd00::/8")),
            ("::1", Some("::1/128")),
            ("10.1.0.0/33", None),
            ("proxy", None),
            ("", None),
        ] {
            assert_eq!(network(text).ok().map(|it| it.to_string()).as_deref(), expected, "{text}");
        }
    }

    fn apps(line: &str) -> Apps {
        let words = ["boatyard", "apps"].into_iter().chain(line.split(' '));
        match Arguments::try_parse_from(words).map(|it| it.command) {
            Ok(Command::Apps(command)) => command,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    fn serve(line: &str) -> Result<Serve, String> {
        let words = ["boatyard"].into_iter().chain(line.split(' '));
        let matches = Arguments::command().try_get_matches_from(words).map_err(|error| error.to_string())?;
        match Arguments::from(&matches).map(|it| it.command) {
            Ok(Command::Serve(options)) => Ok(*options),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn serve_takes_its_outside_address_from_the_flag_only() {
        let outside = |line: &str| serve(line).expect("accepted").outside;
        assert_eq!(outside("serve"), None);
        assert_eq!(outside("serve --api-url https://api.example.com").as_deref(), Some("https://api.example.com"));
        // The flag of other commands may stand before the command, and the environment variable sets it there.
        let global = Arguments::command().mut_arg("api_url", |it| it.default_value("http://elsewhere"));
        let matches = global.try_get_matches_from(["boatyard", "serve"]).expect("accepted");
        let Ok(Arguments { command: Command::Serve(options), .. }) = Arguments::from(&matches) else {
            panic!("not serve")
        };
        assert_eq!(options.outside, None);
    }

    #[test]
    fn a_certificate_needs_its_key_and_a_listener() {
        assert!(serve("serve --api-tls 127.0.0.1:7443").is_ok());
        assert!(serve("serve --api-tls 127.0.0.1:7443 --api-tls-cert c.pem --api-tls-key k.pem").is_ok());
        for (line, missing) in [
            ("serve --api-tls 127.0.0.1:7443 --api-tls-cert c.pem", "--api-tls-key"),
            ("serve --api-tls 127.0.0.1:7443 --api-tls-key k.pem", "--api-tls-cert"),
            ("serve --api-tls-cert c.pem --api-tls-key k.pem", "--api-tls <ADDR>"),
        ] {
            let error = serve(line).map(|_| ()).expect_err("refused");
            assert!(error.contains(missing), "{line}: {error}");
        }
    }

    #[test]
    fn docker_host_must_name_a_socket_on_this_host() {
        let socket = |docker_host| socket_of(docker_host).map_err(|error| error.0);
        assert_eq!(socket(""), Ok("/var/run/docker.sock".into()));
        assert_eq!(socket("unix:///run/user/docker.sock"), Ok("/run/user/docker.sock".into()));
        assert!(socket("tcp://10.0.0.1:2375").is_err_and(|why| why.contains("--engine-socket")));
    }

    #[test]
    fn the_commands_of_digitaloceans_guide_are_accepted() {
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
        let Apps::Logs { source, follow, tail, .. } = apps("logs shop web --type run_restarted -f --tail 5") else {
            panic!("no logs")
        };
        assert_eq!((source.kind, follow, tail), (LogType::RunRestarted, true, Some(5)));
    }

    #[test]
    fn a_dry_run_cannot_wait() {
        let words = ["boatyard", "apps", "restart", "shop", "--dry-run", "--wait"];
        assert!(Arguments::try_parse_from(words).is_err());
    }

    #[test]
    fn a_pool_must_start_on_its_prefix() {
        assert_eq!(network_pool("10.192.0.0/12").map(|it| it.prefix), Ok(12));
        assert_eq!(network_pool("10.193.0.0/12"), Err("the block with this prefix starts at 10.192.0.0/12".into()));
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
