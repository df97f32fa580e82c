//! The port: every verb that Boatyard needs from a container engine, in Boatyard's terms.
//!
//! Each verb is idempotent (calling it twice is harmless) and has a deadline. The port knows containers,
//! networks, volumes and images. Of apps, routes and deployments it knows only the [`Identity`] that it writes as
//! labels.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::error::EngineError;
use crate::secret::{RegistryLogin, Secret};
use crate::shell::{Shell, ShellMark, TerminalSize};

/// What an engine object is used for in Boatyard. Written as labels with a MAC over all fields; an object without a
/// valid MAC does not belong to this installation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// Its purpose in the app.
    pub role: Role,
    /// The app's id (a UUID); empty for the fence and other installation-wide objects.
    pub app: String,
    /// Component name; empty if there is none (a network).
    pub component: String,
    /// Slot of an instance, counted from 0; 0 if there is none.
    pub slot: u32,
    /// Revision that an instance runs; empty if there is none.
    pub revision: String,
    /// Restart generation of an instance; 0 if there is none.
    pub generation: u64,
    /// The deployment that created it; empty if there is none.
    pub deployment: String,
}

/// The roles of the objects that Boatyard creates on an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A container of a service or a worker.
    Instance,
    /// One run of a job.
    Job,
    /// A database container.
    Database,
    /// A container that is created and never started, to read files of its image.
    Pin,
    /// The object that prevents two controllers from running for one installation.
    Fence,
    /// An app's network.
    Network,
    /// A database's volume.
    Volume,
}

/// Everything from which a container is created. It has no field for a host path, a device or a privilege.
#[derive(Clone, PartialEq)]
pub struct ContainerSpec {
    /// Unique on the engine and deterministic, so that only one of several concurrent creates succeeds.
    pub name: String,
    pub identity: Identity,
    /// Image id (`sha256:…`), never a tag: a tag may move between two starts.
    pub image: String,
    /// Replaces the image's entrypoint and command, if given.
    pub command: Option<Vec<String>>,
    /// `KEY=value` pairs in order. May contain secrets, so `Debug` is implemented by hand below and shows only keys.
    pub env: Vec<(String, String)>,
    /// Network to join, the address on it, and the names by which other containers find it.
    pub network: Option<NetworkJoin>,
    /// Names in its `/etc/hosts`, which most programs look up before they ask the engine's DNS.
    pub hosts: Vec<(String, Ipv4Addr)>,
    /// Ports that programs on the engine's host reach on 127.0.0.1.
    pub published: Vec<PublishedPort>,
    /// Named volume, and the path at which to mount it.
    pub volume: Option<VolumeMount>,
    /// Resource limits. The engine crate reduces them to the host's size.
    pub limits: Limits,
    /// Time from the stop signal to KILL when a client other than Boatyard stops the container: `docker stop`, engine
    /// shutdown.
    pub stop_grace: Duration,
    /// Signal that asks the process to end. `None` means SIGTERM, whatever the image says.
    pub stop_signal: Option<String>,
}

/// Shows only the keys of `env`: values may be secrets.
impl fmt::Debug for ContainerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let env_keys: Vec<&str> = self.env.iter().map(|(key, _)| key.as_str()).collect();
        f.debug_struct("ContainerSpec")
            .field("name", &self.name)
            .field("identity", &self.identity)
            .field("image", &self.image)
            .field("command", &self.command)
            .field("env", &env_keys)
            .field("network", &self.network)
            .field("hosts", &self.hosts)
            .field("published", &self.published)
            .field("volume", &self.volume)
            .field("limits", &self.limits)
            .field("stop_grace", &self.stop_grace)
            .field("stop_signal", &self.stop_signal)
            .finish()
    }
}

/// A container's endpoint on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkJoin {
    /// The engine's id of the network, from [`Engine::ensure_network`].
    pub network_id: String,
    /// The network's name. Newer engines connect a container only while a network of this name exists.
    pub network_name: String,
    pub address: Ipv4Addr,
    pub aliases: Vec<String>,
}

/// A TCP port of a container, and the port of 127.0.0.1 on the engine's host that leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublishedPort {
    pub container: u16,
    /// `None` in a [`ContainerSpec`]: the engine chooses one at each start.
    pub host: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMount {
    pub volume: String,
    pub path: String,
}

/// CPU in thousandths of a core, memory in bytes (the swap limit is the same, so no swap is used).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub cpu_millis: u32,
    pub memory_bytes: u64,
}

impl Limits {
    /// These limits, each at most the one in `most`.
    pub fn at_most(self, most: Limits) -> Limits {
        Limits {
            cpu_millis: self.cpu_millis.min(most.cpu_millis),
            memory_bytes: self.memory_bytes.min(most.memory_bytes),
        }
    }
}

/// What the engine does when the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    No,
    Always,
}

/// A container of this installation, as the engine reports it. Its MAC is valid.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    pub id: String,
    /// The name under which it was created. Verbs and records use this name, even after a user renamed the container.
    pub name: String,
    /// The name that the engine shows now. Differs from `name` after `docker rename`.
    pub called: String,
    pub identity: Identity,
    pub image: String,
    pub state: ContainerState,
    /// Its addresses, one per network. For a stopped container, the addresses that it gets at the next start. Empty if
    /// it is on no network.
    pub addresses: Vec<Ipv4Addr>,
    /// Its published ports with the host's port: those that the container was created with, and those that the engine
    /// chose for the running process.
    pub published: Vec<PublishedPort>,
}

impl Container {
    /// Whether it has this address on one of its networks. Subnets do not overlap, so the address also identifies the
    /// network.
    pub fn has_address(&self, address: Ipv4Addr) -> bool {
        self.addresses.contains(&address)
    }
}

/// Container states that Boatyard distinguishes. They come from the engine's *list*, which stays fast when one
/// container hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    Created,
    Running,
    Paused,
    /// The engine waits before it restarts a crashing process.
    Restarting,
    /// Ended, with the exit code if the list shows it.
    Exited {
        code: Option<i64>,
    },
    /// Being removed, or dead and not removable yet.
    Removing,
}

/// All details of one container. Only requested for single containers, because the request may hang if the container
/// hangs.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerDetails {
    pub container: Container,
    /// RFC 3339, as the engine reports it; `None` before the first start.
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    pub exit_code: Option<i64>,
    pub oom_killed: bool,
    pub restart_count: u64,
    pub restart_policy: RestartPolicy,
    /// The limits that the engine enforces; 0 means no limit.
    pub limits: Limits,
    /// Names by which other containers on its networks find it.
    pub aliases: Vec<String>,
}

/// What a running container uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// `None` if the engine does not count processes.
    pub processes: Option<ProcessCount>,
    /// CPU time of its processes since it was started.
    pub cpu_time: Duration,
    /// Memory, without files in the page cache that the kernel can drop.
    pub memory_bytes: u64,
}

/// How many processes and threads a container has, and its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ProcessCount {
    pub running: u64,
    pub limit: u64,
}

impl ProcessCount {
    /// Whether starting one more process or thread would fail in the container.
    pub fn is_at_limit(self) -> bool {
        self.running >= self.limit
    }
}

/// A container that this installation created, from the installation's records. An engine never reuses an id, so the id
/// identifies the container even after a rename.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeContainer {
    pub id: String,
    /// The name under which it was created.
    pub name: String,
}

/// A container that mounts a volume, of any owner.
#[derive(Debug, Clone, PartialEq)]
pub struct VolumeUser {
    pub id: String,
    /// The name that the engine shows.
    pub called: String,
    /// It has a process, or the engine is about to restart one.
    pub runs: bool,
    /// Set if this installation created it.
    pub container: Option<Container>,
}

/// An endpoint on a network, of any owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkMember {
    pub id: String,
    /// The name that the engine shows.
    pub called: String,
    pub address: Option<Ipv4Addr>,
}

/// A tag of a local image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaggedImage {
    /// The tag: `NAME:TAG`.
    pub reference: String,
    /// The image's id, `sha256:…`.
    pub id: String,
    /// Size of all its layers. Images that share layers count them once each.
    pub size_bytes: u64,
    /// When the image was built, in seconds since 1970.
    pub created_seconds: u64,
}

/// An image's defaults for the process of its containers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageDefaults {
    /// Entrypoint and command, joined as the engine joins them.
    pub command: Vec<String>,
    /// `STOPSIGNAL`, a name or a number, not validated.
    pub stop_signal: Option<String>,
    /// `WORKDIR`. Empty if the image has none.
    pub working_dir: String,
}

/// The outcome of a verb that may find its work already done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    Done,
    AlreadySo,
}

/// The network to create: one `/24` per app, which Boatyard chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSpec {
    pub name: String,
    pub identity: Identity,
    /// CIDR, e.g. `10.192.7.0/24`; the gateway is its first address.
    pub subnet: String,
    pub gateway: Ipv4Addr,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub id: String,
    pub name: String,
    pub identity: Identity,
    pub subnet: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub name: String,
    pub identity: Identity,
}

/// The kind of engine, and its features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    pub version: String,
    pub api_version: String,
    pub cpus: u32,
    pub memory_bytes: u64,
    pub rootless: bool,
    /// Runs in Docker Desktop's VM.
    pub desktop: bool,
    /// The limits that it can apply to containers.
    pub limits: SupportedLimits,
    pub live_restore: bool,
    pub operating_system: String,
    /// The engine's data directory, for disk checks; the path is the engine's.
    pub data_root: PathBuf,
}

/// The limits that an engine can apply. A rootless engine needs cgroup v2 with delegation for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupportedLimits {
    pub cpu: bool,
    pub memory: bool,
    /// The number of processes and threads.
    pub processes: bool,
}

impl SupportedLimits {
    pub const ALL: Self = Self { cpu: true, memory: true, processes: true };

    /// Names of the limits that the engine cannot apply.
    pub fn missing(self) -> Vec<&'static str> {
        let all = [("CPU", self.cpu), ("memory", self.memory), ("processes", self.processes)];
        all.into_iter().filter(|(_, supported)| !supported).map(|(name, _)| name).collect()
    }
}

impl EngineInfo {
    /// Why Boatyard cannot use this engine, as a sentence with the next action; `None` if it can.
    pub fn refusal(&self) -> Option<String> {
        crate::info::refusal(self)
    }
}

/// A hint that something changed. The receiver must check the full list, because hints may be late or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// App id from the container's label. The MAC is not checked, because the event only triggers another look.
    pub app: String,
    pub container: String,
    pub action: String,
    /// The exit code of the process; only with the action `die`.
    pub exit_code: Option<i64>,
}

/// One line of a container's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub stream: LogStream,
    /// RFC 3339 with nanoseconds, from the engine.
    pub timestamp: String,
    /// Without its line end; with invalid UTF-8 replaced; cut at 64 KiB.
    pub text: String,
    /// Number of bytes that were cut off.
    pub cut: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    Out,
    Err,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    pub follow: bool,
    /// Only the last n lines; `None` means all that the engine keeps.
    pub tail: Option<usize>,
}

/// What to build. The context is a tar stream; an error in the stream ends the build.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BuildSpec {
    /// Tag for the resulting image.
    pub tag: String,
    /// Path of the Dockerfile inside the context.
    pub dockerfile: String,
    /// Build arguments. They are part of the image's history, and readable in it.
    pub args: BTreeMap<String, String>,
    /// Secrets by their id. A step that mounts one (`RUN --mount=type=secret,id=ID`) gets it as a file in memory; neither
    /// the image nor the build cache contains it.
    pub secrets: BTreeMap<String, Secret>,
    /// `RUN` steps are cached only for builds with the same key. The builder ignores the values of secrets when it looks for
    /// cached steps, so the caller derives a key from them. Lowercase letters and digits, at most 63.
    pub cache_key: Option<String>,
    /// Logins for base images, by the host of their registry as in [`crate::reference::host`].
    pub logins: BTreeMap<String, RegistryLogin>,
    /// Run every step again, without the cache.
    pub no_cache: bool,
    pub labels: BTreeMap<String, String>,
}

/// Events of a running build. The last event of a successful build is [`BuildEvent::Built`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildEvent {
    /// A step began, ended, or came from the cache.
    Step {
        name: String,
        state: BuildStepState,
    },
    /// One line of a step's output or of the builder's messages.
    Log(String),
    Built {
        image: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildStepState {
    Started,
    Cached,
    Done,
    Failed,
}

pub type LogLines = BoxStream<'static, Result<LogLine, EngineError>>;
pub type BuildEvents = BoxStream<'static, Result<BuildEvent, EngineError>>;
/// A tar stream.
pub type TarStream = BoxStream<'static, Result<Bytes, EngineError>>;
pub type Context = BoxStream<'static, Result<Bytes, std::io::Error>>;

/// One container engine, seen by one installation: every list contains only this installation's objects.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    async fn info(&self) -> Result<EngineInfo, EngineError>;

    /// Tells the port which containers this installation created, so that it recognises renamed ones. The port already
    /// knows the containers that were created or listed through it.
    fn remember(&self, made: Vec<MadeContainer>);

    /// All containers of this installation, in any state.
    async fn list(&self) -> Result<Vec<Container>, EngineError>;
    /// One container by name; `None` if there is none, or if it belongs to another owner.
    async fn inspect(&self, name: &str) -> Result<Option<ContainerDetails>, EngineError>;
    /// What a container that this port listed or inspected uses. `None` for a container that does not run or no longer
    /// exists, and on an engine without cgroups.
    async fn usage(&self, container: &Container) -> Result<Option<Usage>, EngineError>;
    /// Creates the container, or finds the one of this name with a valid MAC and the same identity. Returns the
    /// container's id. Errors: [`EngineError::NameTaken`] if another owner's container has the name;
    /// [`EngineError::NotFound`] if the volume does not exist, because the engine would create an empty one.
    async fn create(&self, spec: &ContainerSpec) -> Result<String, EngineError>;
    /// Starts the container, or resumes it if a user paused it. Succeeds even if the image lacks the command: see
    /// [`crate::exit_message`].
    async fn start(&self, name: &str) -> Result<Changed, EngineError>;
    async fn set_restart_policy(&self, name: &str, policy: RestartPolicy) -> Result<Changed, EngineError>;
    /// Sends the spec's stop signal, then KILL after `grace`. Returns when the process has ended. The deadline is
    /// 30 s after the grace.
    async fn stop(&self, name: &str, grace: Duration) -> Result<Changed, EngineError>;
    /// Kills the process if it still runs, and removes the container and its anonymous volumes.
    async fn remove(&self, name: &str) -> Result<Changed, EngineError>;
    /// Waits for the process to end and returns its exit code; returns immediately if it has ended. Has no deadline,
    /// but fails if the connection to the engine breaks. Errors: [`EngineError::Conflict`] if the container was never
    /// started.
    async fn wait(&self, name: &str) -> Result<i64, EngineError>;
    async fn logs(&self, name: &str, query: &LogQuery) -> Result<LogLines, EngineError>;
    /// A directory of a running or stopped container, with all files below it, as a tar stream. The first entry is the
    /// directory. `path`: absolute; a symbolic link is followed. `None`: there is no such directory. Errors:
    /// [`EngineError::NotFound`] if there is no such container.
    async fn directory(&self, name: &str, path: &str) -> Result<Option<TarStream>, EngineError>;
    /// Whether a shell can be opened in a running container. Errors: [`EngineError::Conflict`] if it does not run.
    async fn has_shell(&self, name: &str) -> Result<bool, EngineError>;
    /// Opens a shell on a terminal of this size in a running container, as the container's user and in its working
    /// directory: bash if the image has it, else sh. Not idempotent. The caller records the mark first and calls
    /// [`Engine::end_shell`] in any case, also after an error. Errors: those of [`Engine::has_shell`].
    async fn open_shell(&self, name: &str, mark: &ShellMark, size: TerminalSize) -> Result<Shell, EngineError>;
    /// Sets the size of a shell's terminal. Succeeds if the shell has ended. `id`: [`Shell::id`].
    async fn resize_shell(&self, id: &str, size: TerminalSize) -> Result<(), EngineError>;
    /// Ends every process of a shell: those with its mark in their environment, and those in their sessions. Each gets
    /// SIGHUP, and SIGKILL half a second later. Succeeds if the container does not run or no longer exists. Errors:
    /// [`EngineError::Conflict`] if processes remain, or the container is paused.
    async fn end_shell(&self, name: &str, mark: &ShellMark) -> Result<Changed, EngineError>;
    /// Gives a running or stopped container this network, address and aliases. If the container has another endpoint on
    /// a network of this name or id, it leaves that first. Its other networks stay.
    async fn connect(&self, name: &str, join: &NetworkJoin) -> Result<Changed, EngineError>;
    /// Restores the original name of a renamed container. Errors: [`EngineError::NameTaken`] if another container has
    /// that name by now.
    async fn restore_name(&self, name: &str) -> Result<Changed, EngineError>;
    /// Sets CPU and memory of a running or stopped container; limited to the host's size as in [`Engine::create`].
    async fn set_limits(&self, name: &str, limits: Limits) -> Result<Changed, EngineError>;

    async fn networks(&self) -> Result<Vec<Network>, EngineError>;
    /// Creates the network, or finds this installation's network of that name. Errors: [`EngineError::SubnetTaken`] if
    /// the subnet is in use elsewhere.
    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<Network, EngineError>;
    /// Errors: [`EngineError::NetworkInUse`], with the names of the containers on the network.
    async fn remove_network(&self, name: &str) -> Result<Changed, EngineError>;
    /// Every endpoint on a network of this installation, of any owner. Empty if there is no such network.
    async fn network_members(&self, name: &str) -> Result<Vec<NetworkMember>, EngineError>;
    async fn volumes(&self) -> Result<Vec<Volume>, EngineError>;
    async fn ensure_volume(&self, name: &str, identity: &Identity) -> Result<Changed, EngineError>;
    async fn remove_volume(&self, name: &str) -> Result<Changed, EngineError>;
    /// Every running or stopped container that mounts a volume, of any name and owner. A container whose labels prove
    /// that it was created under the name `owner` counts as this installation's, even if the port does not remember its
    /// id.
    async fn volume_users(&self, volume: &str, owner: &str) -> Result<Vec<VolumeUser>, EngineError>;

    /// The id of a local image, by reference or id; `None` if the engine does not have it.
    async fn image(&self, reference: &str) -> Result<Option<String>, EngineError>;
    /// `NAME@sha256:…`, under which a registry has the local image with this tag. `None` if the image was built here and
    /// never pushed, or if the engine does not have it.
    async fn image_digest(&self, reference: &str) -> Result<Option<String>, EngineError>;
    /// `sha256:…`, which this tag names in its registry now. Nothing is pulled. `login`: for the registry. Errors:
    /// [`EngineError::RegistryQueryFailed`].
    async fn registry_digest(&self, reference: &str, login: Option<&RegistryLogin>) -> Result<String, EngineError>;
    /// The defaults of a local image. Errors: [`EngineError::ImageMissing`] if the engine does not have it.
    async fn image_defaults(&self, image: &str) -> Result<ImageDefaults, EngineError>;
    /// Pulls an image by tag or digest, and returns its id. `login`: for its registry. Errors:
    /// [`EngineError::PullFailed`].
    async fn pull(&self, reference: &str, login: Option<&RegistryLogin>) -> Result<String, EngineError>;
    async fn tag(&self, image: &str, reference: &str) -> Result<(), EngineError>;
    /// Tags that begin with this prefix, of any owner, sorted. An empty prefix selects all tags on the engine.
    async fn tags(&self, prefix: &str) -> Result<Vec<TaggedImage>, EngineError>;
    async fn remove_image(&self, reference: &str) -> Result<Changed, EngineError>;
    /// Starts a build. Dropping the stream cancels it and leaves nothing behind.
    async fn build(&self, spec: &BuildSpec, context: Context) -> Result<BuildEvents, EngineError>;

    /// A stream of hints. It ends when the connection to the engine ends; subscribe again then.
    async fn events(&self) -> Result<BoxStream<'static, Event>, EngineError>;
}
