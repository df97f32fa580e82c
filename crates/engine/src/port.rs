//! The port: every verb Boatyard needs from a container engine, in Boatyard's words.
//!
//! Each verb is idempotent (asking twice is harmless) and ends by its own deadline. The port knows containers, networks,
//! volumes and images; it knows nothing of apps, routes or deployments beyond the [`Identity`] it writes as labels.

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

/// What a container is to Boatyard. Written as labels with a MAC over all of it; what lacks a valid MAC is not ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// What it does for the app.
    pub role: Role,
    /// The app's id (a UUID); for the fence and other installation-wide objects, empty.
    pub app: String,
    /// Component name; empty where none applies (a network).
    pub component: String,
    /// Slot of an instance, counted from 0; 0 where none applies.
    pub slot: u32,
    /// Revision that an instance runs; empty where none applies.
    pub revision: String,
    /// Restart generation that an instance was made for; 0 where none applies.
    pub generation: u64,
    /// The deployment that made it; empty where none applies.
    pub deployment: String,
}

/// The roles of what we create on an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A container of a service or a worker.
    Instance,
    /// One run of a job.
    Job,
    /// A database container.
    Database,
    /// A created, never started container that keeps an image from being pruned.
    Pin,
    /// The object that fences two controllers of one installation.
    Fence,
    /// An app's network.
    Network,
    /// A database's volume.
    Volume,
}

/// Everything a container is made from. A closed struct: there is no way to name a host path, a device or a privilege.
#[derive(Clone, PartialEq)]
pub struct ContainerSpec {
    /// Unique on the engine, deterministic: our compare-and-swap.
    pub name: String,
    pub identity: Identity,
    /// Image id (`sha256:…`), never a tag: a tag may move between two starts.
    pub image: String,
    /// Replaces the image's entrypoint and command where given.
    pub command: Option<Vec<String>>,
    /// `KEY=value` pairs in order; may hold secrets, so this type has no `Debug` of its own (see the manual one).
    pub env: Vec<(String, String)>,
    /// Network to join, the address to have there, and the names under which others find it.
    pub network: Option<NetworkJoin>,
    /// Named volume to mount at a path inside.
    pub volume: Option<VolumeMount>,
    /// Ceilings; clamped to what the host has.
    pub limits: Limits,
    /// From the stop signal to KILL when the engine stops the container on its own behalf: `docker stop`, engine shutdown.
    pub stop_grace: Duration,
    /// Signal that asks the process to end; `None`: SIGTERM, whatever the image says.
    pub stop_signal: Option<String>,
}

/// Env keys only: values may be secrets.
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
            .field("volume", &self.volume)
            .field("limits", &self.limits)
            .field("stop_grace", &self.stop_grace)
            .field("stop_signal", &self.stop_signal)
            .finish()
    }
}

/// A container's place on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkJoin {
    /// Engine's id of the network, from [`Engine::ensure_network`].
    pub network_id: String,
    /// Its name. Newer engines connect a container only while a network of this name exists.
    pub network_name: String,
    pub address: Ipv4Addr,
    pub aliases: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMount {
    pub volume: String,
    pub path: String,
}

/// CPU in thousandths of a core, memory in bytes (swap is held equal to it, so none is used).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub cpu_millis: u32,
    pub memory_bytes: u64,
}

impl Limits {
    /// The same, and in nothing more than `most`.
    pub fn at_most(self, most: Limits) -> Limits {
        Limits {
            cpu_millis: self.cpu_millis.min(most.cpu_millis),
            memory_bytes: self.memory_bytes.min(most.memory_bytes),
        }
    }
}

/// What the engine will do by itself when the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    No,
    Always,
}

/// A container of this installation as the engine reports it. The MAC has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    pub id: String,
    /// The name it was made under. Verbs and records go by it, also after somebody renamed the container.
    pub name: String,
    /// The name that the engine shows for it now. Differs from `name` after `docker rename`.
    pub called: String,
    pub identity: Identity,
    pub image: String,
    pub state: ContainerState,
    /// Its addresses, one for each network; of a stopped container those that were chosen for it. Empty when it is on none.
    pub addresses: Vec<Ipv4Addr>,
}

impl Container {
    /// Whether it has this address on one of its networks. Subnets do not overlap, so the address also tells the network.
    pub fn has_address(&self, address: Ipv4Addr) -> bool {
        self.addresses.contains(&address)
    }
}

/// Container states that matter to us. From the engine's *list*, which stays quick when one container is wedged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    Created,
    Running,
    Paused,
    /// The engine is between two tries of a crashing process.
    Restarting,
    /// Ended; the code when the list tells it.
    Exited {
        code: Option<i64>,
    },
    /// Being removed, or dead and not removable yet.
    Removing,
}

/// What one container looks like in full: asked for single containers only, since it may hang with a wedged one.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerDetails {
    pub container: Container,
    /// RFC 3339 as the engine gives it; `None` before the first start.
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    pub exit_code: Option<i64>,
    pub oom_killed: bool,
    pub restart_count: u64,
    pub restart_policy: RestartPolicy,
    /// What the engine holds it to; 0 where the engine holds it to nothing.
    pub limits: Limits,
    /// Names under which others on its networks find it.
    pub aliases: Vec<String>,
}

/// How many processes and threads a container has, and how many it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ProcessCount {
    pub running: u64,
    pub limit: u64,
}

impl ProcessCount {
    /// Starting one more process or thread fails in the container.
    pub fn is_at_limit(self) -> bool {
        self.running >= self.limit
    }
}

/// A container that this installation made, as its records remember it. An id is never given twice, so it proves which
/// container is meant when the name no longer does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeContainer {
    pub id: String,
    /// The name it was made under.
    pub name: String,
}

/// A container that mounts a volume, whoever made it.
#[derive(Debug, Clone, PartialEq)]
pub struct VolumeUser {
    pub id: String,
    /// The name that the engine shows for it.
    pub called: String,
    /// It has a process, or the engine is about to start one again.
    pub runs: bool,
    /// Set when this installation made it.
    pub container: Option<Container>,
}

/// An endpoint on a network, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkMember {
    pub id: String,
    /// The name that the engine shows for it.
    pub called: String,
    pub address: Option<Ipv4Addr>,
}

/// What an image says about the process of its containers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageDefaults {
    /// Entrypoint and command, joined as the engine joins them.
    pub command: Vec<String>,
    /// `STOPSIGNAL`, by name or number, unchecked.
    pub stop_signal: Option<String>,
}

/// The outcome of a verb that may find its work done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    Done,
    AlreadySo,
}

/// A network to have: one `/24` per app, chosen by us.
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

/// What kind of engine answers, and what it can do for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    pub version: String,
    pub api_version: String,
    pub cpus: u32,
    pub memory_bytes: u64,
    pub rootless: bool,
    /// Runs in a VM of Docker Desktop: container addresses are out of reach.
    pub desktop: bool,
    pub live_restore: bool,
    pub operating_system: String,
    /// Where the engine keeps its data, for disk checks; as the engine names it.
    pub data_root: PathBuf,
}

impl EngineInfo {
    /// Why this engine cannot serve as one of ours, as a sentence with the next move; `None` when it can.
    pub fn refusal(&self) -> Option<String> {
        crate::info::refusal(self)
    }
}

/// Something happened; look again. Events are hints, a full list is the truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// App id of the container's label as it stands (not MAC-checked: it only wakes somebody up).
    pub app: String,
    pub container: String,
    pub action: String,
    /// Of the process that ended; with the action `die` only.
    pub exit_code: Option<i64>,
}

/// One line of a container's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub stream: LogStream,
    /// RFC 3339 with nanoseconds, as the engine stamps it.
    pub timestamp: String,
    /// Without its line end; invalid UTF-8 replaced; cut at 64 KiB.
    pub text: String,
    /// So many bytes of the line were cut off.
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
    /// Last n lines; `None`: all that is kept.
    pub tail: Option<usize>,
}

/// What to build. The context is a tar stream; an error inside it ends the build.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildSpec {
    /// Tag to give the result.
    pub tag: String,
    /// Path of the Dockerfile inside the context.
    pub dockerfile: String,
    /// Build arguments: never secrets.
    pub args: BTreeMap<String, String>,
    /// Run every step again, reuse nothing.
    pub no_cache: bool,
    pub labels: BTreeMap<String, String>,
}

/// What a build reports while it runs. The last event of a good build is [`BuildEvent::Built`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildEvent {
    /// A step began, ended or came from the cache.
    Step {
        name: String,
        state: BuildStepState,
    },
    /// Output of a step, or a note of the builder; one line.
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
pub type Context = BoxStream<'static, Result<Bytes, std::io::Error>>;

/// One container engine, seen by one installation: every list holds this installation's objects only.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    async fn info(&self) -> Result<EngineInfo, EngineError>;

    /// Tells the engine port which containers this installation made, so that it recognises those that somebody renamed.
    /// Containers that were created or listed through this port since it was opened are known to it already.
    fn remember(&self, made: Vec<MadeContainer>);

    /// All containers of this installation, whatever their state.
    async fn list(&self) -> Result<Vec<Container>, EngineError>;
    /// One container by name; `None` when there is none, or one that is not ours.
    async fn inspect(&self, name: &str) -> Result<Option<ContainerDetails>, EngineError>;
    /// `None` for a container that does not run, that does not exist, or whose processes the engine does not count.
    async fn process_count(&self, name: &str) -> Result<Option<ProcessCount>, EngineError>;
    /// Creates it, or finds the one with this name that carries our MAC and the same identity. Returns the container's id.
    /// A container of that name that is not ours is [`EngineError::NameTaken`]; a volume that is not there is
    /// [`EngineError::NotFound`], since the engine would make an empty one.
    async fn create(&self, spec: &ContainerSpec) -> Result<String, EngineError>;
    /// Starts it, or lets it go on when somebody paused it. Succeeds even when the image lacks the command: see
    /// [`crate::exit_message`].
    async fn start(&self, name: &str) -> Result<Changed, EngineError>;
    async fn set_restart_policy(&self, name: &str, policy: RestartPolicy) -> Result<Changed, EngineError>;
    /// The spec's stop signal, then KILL after `grace`. Returns when the process has ended; the deadline is grace + 30 s.
    async fn stop(&self, name: &str, grace: Duration) -> Result<Changed, EngineError>;
    /// Kills what still runs, removes the container and its anonymous volumes.
    async fn remove(&self, name: &str) -> Result<Changed, EngineError>;
    /// Waits for the process to end and returns its exit code; at once when it has ended. No deadline of its own: an engine
    /// that goes away ends it. One that never was started is [`EngineError::Conflict`].
    async fn wait(&self, name: &str) -> Result<i64, EngineError>;
    async fn logs(&self, name: &str, query: &LogQuery) -> Result<LogLines, EngineError>;
    /// Puts a container, running or not, at this place: on this network, at this address, under these aliases. Where it has
    /// another place on a network of this name or id, it leaves that first. Its other networks stay.
    async fn connect(&self, name: &str, join: &NetworkJoin) -> Result<Changed, EngineError>;
    /// Gives a container that somebody renamed the name back that it was made under. [`EngineError::NameTaken`] when another
    /// container has that name by now.
    async fn restore_name(&self, name: &str) -> Result<Changed, EngineError>;
    /// Sets CPU and memory of a container, running or not; clamped as in [`Engine::create`].
    async fn set_limits(&self, name: &str, limits: Limits) -> Result<Changed, EngineError>;

    async fn networks(&self) -> Result<Vec<Network>, EngineError>;
    /// Creates it, or finds ours of that name. A subnet in use elsewhere is [`EngineError::SubnetTaken`].
    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<Network, EngineError>;
    /// [`EngineError::NetworkInUse`] names the containers that are on it.
    async fn remove_network(&self, name: &str) -> Result<Changed, EngineError>;
    /// Every endpoint on a network of ours, whoever made it. Empty when there is no such network.
    async fn network_members(&self, name: &str) -> Result<Vec<NetworkMember>, EngineError>;
    async fn volumes(&self) -> Result<Vec<Volume>, EngineError>;
    async fn ensure_volume(&self, name: &str, identity: &Identity) -> Result<Changed, EngineError>;
    async fn remove_volume(&self, name: &str) -> Result<Changed, EngineError>;
    /// Every container that mounts a volume, running or not, whatever its name and whoever made it. One whose labels prove
    /// that it was made under the name `owner` is recognised as ours even if nothing remembers its id.
    async fn volume_users(&self, volume: &str, owner: &str) -> Result<Vec<VolumeUser>, EngineError>;

    /// The id of a local image, by reference or id; `None` when it is not here.
    async fn image(&self, reference: &str) -> Result<Option<String>, EngineError>;
    /// What a local image says. One that is not here is [`EngineError::ImageMissing`].
    async fn image_defaults(&self, image: &str) -> Result<ImageDefaults, EngineError>;
    async fn pull(&self, reference: &str) -> Result<String, EngineError>;
    async fn tag(&self, image: &str, reference: &str) -> Result<(), EngineError>;
    /// Tags of this repository prefix, with their image ids: what garbage collection looks at.
    async fn tags(&self, prefix: &str) -> Result<Vec<(String, String)>, EngineError>;
    async fn remove_image(&self, reference: &str) -> Result<Changed, EngineError>;
    /// Dropping the stream cancels the build; nothing of it stays behind.
    async fn build(&self, spec: &BuildSpec, context: Context) -> Result<BuildEvents, EngineError>;

    /// A stream of hints that ends when the engine's connection does; ask again then.
    async fn events(&self) -> Result<BoxStream<'static, Event>, EngineError>;
}
