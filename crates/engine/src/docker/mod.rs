//! Implements the port on a Docker Engine. Only this module names Docker types.
//!
//! It remembers only what the engine cannot contradict: the size of the host, which networks it has seen, and under
//! which name a container was created ([`made`]). It acts only on objects whose labels carry this installation's MAC.
//! It finds them through the engine's *list*, which stays fast when one container hangs, and then uses their ids. It
//! has no archive endpoint. Only a build sends requests of its own ([`http`]). It runs no shell and no `docker` command on this host; the shells
//! of consoles run inside containers.

mod build;
mod changes;
mod events;
mod failure;
mod files;
mod http;
mod images;
mod lifecycle;
mod logs;
mod lookup;
mod made;
mod networks;
mod profile;
mod progress;
mod published;
mod session;
mod shells;
mod volumes;

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::{SystemInfo, SystemInfoCgroupDriverEnum};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures::stream::BoxStream;
use tokio::sync::OnceCell;

use crate::error::EngineError;
use crate::identity::{INSTALLATION, Installation};
use crate::port::*;
use crate::secret::RegistryLogin;
use crate::shell::{Shell, ShellMark, TerminalSize};

/// Default deadline of a verb.
const DEADLINE: Duration = Duration::from_secs(30);
/// Deadline of a list. Shorter, because reconciliation waits for it.
const LIST_DEADLINE: Duration = Duration::from_secs(15);
/// How long a build or a pull may continue without any activity.
const STALL_DEADLINE: Duration = Duration::from_secs(600);
/// bollard's timeout, long enough never to apply: every call here has a separate deadline.
const CLIENT_TIMEOUT_SECONDS: u64 = 7 * 24 * 3600;

/// A Docker Engine at a Unix socket, seen by one installation. Share it through an `Arc`.
pub struct DockerEngine {
    docker: Docker,
    socket: PathBuf,
    installation: Installation,
    host: OnceCell<Host>,
    known_networks: KnownNetworks,
    made: made::MadeNames,
    /// Held while an image is tagged or a tag is removed. If both happen at the same time, the engine may remove the image
    /// with its new tag, although it has confirmed the tag.
    tagging: Arc<tokio::sync::Mutex<()>>,
}

/// Networks of this installation seen so far: app by network id. Needed because network events carry no labels. Shared
/// with event streams.
#[derive(Debug, Clone, Default)]
struct KnownNetworks(Arc<Mutex<HashMap<String, String>>>);

impl KnownNetworks {
    fn learn<'a>(&self, networks: impl IntoIterator<Item = &'a Network>) {
        let known = networks.into_iter().map(|network| (network.id.clone(), network.identity.app.clone()));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(known);
    }

    fn app(&self, id: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn forget(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// The size of the host, which limits may not exceed.
#[derive(Debug, Clone, Copy)]
struct Host {
    cpus: u32,
    memory_bytes: u64,
    /// The limits that the engine can apply. It refuses to create a container with a CPU quota that it cannot apply.
    supported: SupportedLimits,
    /// Whether containers have cgroups. Without them, the engine reports the usage of the whole host for each container.
    has_cgroups: bool,
    /// The highest open-files limit that a container may get.
    open_files: i64,
}

fn supported_limits(info: &SystemInfo) -> SupportedLimits {
    SupportedLimits {
        cpu: info.cpu_cfs_quota.unwrap_or(true),
        memory: info.memory_limit.unwrap_or(true),
        processes: info.pids_limit.unwrap_or(true),
    }
}

/// The hard limit of this process. The engine does not report its limit, but both usually get theirs from the same
/// service manager or, in a confined environment, from the same parent. An engine that may not raise its limit refuses
/// to start a container with a higher one.
fn open_files_here() -> i64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    limit.and_then(|files| i64::try_from(files).ok()).unwrap_or(i64::MAX)
}

impl DockerEngine {
    /// Prepares a client for the socket. It sends nothing yet, so an engine that is down is noticed at the first verb.
    ///
    /// Errors: [`EngineError::Unreachable`] if there is no such socket.
    pub fn connect(socket: &Path, installation: Installation) -> Result<DockerEngine, EngineError> {
        let docker = Docker::connect_with_unix(&socket.to_string_lossy(), CLIENT_TIMEOUT_SECONDS, API_DEFAULT_VERSION)
            .map_err(|error| failure::translate(socket, "connect", error))?;
        Ok(DockerEngine {
            docker,
            socket: socket.to_owned(),
            installation,
            host: OnceCell::new(),
            known_networks: KnownNetworks::default(),
            made: made::MadeNames::default(),
            tagging: Arc::default(),
        })
    }

    /// Makes one request under a deadline and translates its failure.
    async fn call<T>(
        &self,
        verb: &'static str,
        deadline: Duration,
        request: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        match tokio::time::timeout(deadline, request).await {
            Ok(answer) => answer.map_err(|error| failure::translate(&self.socket, verb, error)),
            Err(_) => Err(EngineError::Timeout { verb, after: deadline }),
        }
    }

    /// Filter for this installation's objects. Only a first selection: the MAC decides.
    fn installation_filter(&self) -> HashMap<&'static str, Vec<String>> {
        HashMap::from([("label", vec![format!("{INSTALLATION}={}", self.installation.id)])])
    }

    async fn host(&self) -> Result<Host, EngineError> {
        let ask = async {
            let info = self.call("info", DEADLINE, self.docker.info()).await?;
            Ok(Host {
                cpus: info.ncpu.and_then(|count| u32::try_from(count).ok()).unwrap_or(1).max(1),
                memory_bytes: info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(u64::MAX),
                supported: supported_limits(&info),
                has_cgroups: info.cgroup_driver != Some(SystemInfoCgroupDriverEnum::NONE),
                open_files: open_files_here(),
            })
        };
        self.host.get_or_try_init(|| ask).await.copied()
    }

    async fn describe(&self) -> Result<EngineInfo, EngineError> {
        let version = self.call("version", DEADLINE, self.docker.version()).await?;
        let info = self.call("info", DEADLINE, self.docker.info()).await?;
        let limits = supported_limits(&info);
        let operating_system = info.operating_system.unwrap_or_default();
        let security = info.security_options.unwrap_or_default();
        Ok(EngineInfo {
            version: version.version.unwrap_or_default(),
            api_version: version.api_version.unwrap_or_default(),
            cpus: info.ncpu.and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
            memory_bytes: info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
            rootless: security.iter().any(|option| option.split(',').any(|part| part == "name=rootless")),
            desktop: operating_system.contains("Docker Desktop"),
            limits,
            live_restore: info.live_restore_enabled.unwrap_or_default(),
            operating_system,
            data_root: info.docker_root_dir.unwrap_or_default().into(),
        })
    }
}

/// The port, verb by verb. Each verb is implemented in the module of the objects on which it acts.
#[async_trait]
impl Engine for DockerEngine {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        self.describe().await
    }

    fn remember(&self, made: Vec<MadeContainer>) {
        made.into_iter().for_each(|it| self.made.learn(it.id, it.name));
    }

    async fn list(&self) -> Result<Vec<Container>, EngineError> {
        self.list_containers().await
    }

    async fn inspect(&self, name: &str) -> Result<Option<ContainerDetails>, EngineError> {
        self.inspect_container(name).await
    }

    async fn usage(&self, container: &Container) -> Result<Option<Usage>, EngineError> {
        self.usage_of(&container.id).await
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<String, EngineError> {
        self.create_container(spec).await
    }

    async fn start(&self, name: &str) -> Result<Changed, EngineError> {
        self.start_container(name).await
    }

    async fn set_restart_policy(&self, name: &str, policy: RestartPolicy) -> Result<Changed, EngineError> {
        self.update_restart_policy(name, policy).await
    }

    async fn stop(&self, name: &str, grace: Duration) -> Result<Changed, EngineError> {
        self.stop_container(name, grace).await
    }

    async fn remove(&self, name: &str) -> Result<Changed, EngineError> {
        self.remove_container(name).await
    }

    async fn wait(&self, name: &str) -> Result<i64, EngineError> {
        self.wait_for_exit(name).await
    }

    async fn logs(&self, name: &str, query: &LogQuery) -> Result<LogLines, EngineError> {
        self.container_logs(name, query).await
    }

    async fn directory(&self, name: &str, path: &str) -> Result<Option<TarStream>, EngineError> {
        self.container_directory(name, path).await
    }

    async fn has_shell(&self, name: &str) -> Result<bool, EngineError> {
        self.has_shell_in(name).await
    }

    async fn open_shell(&self, name: &str, mark: &ShellMark, size: TerminalSize) -> Result<Shell, EngineError> {
        self.start_shell(name, mark, size).await
    }

    async fn resize_shell(&self, id: &str, size: TerminalSize) -> Result<(), EngineError> {
        self.set_shell_size(id, size).await
    }

    async fn end_shell(&self, name: &str, mark: &ShellMark) -> Result<Changed, EngineError> {
        self.hang_up(name, mark).await
    }

    async fn connect(&self, name: &str, join: &NetworkJoin) -> Result<Changed, EngineError> {
        self.join_network(name, join).await
    }

    async fn restore_name(&self, name: &str) -> Result<Changed, EngineError> {
        self.rename_back(name).await
    }

    async fn set_limits(&self, name: &str, limits: Limits) -> Result<Changed, EngineError> {
        self.update_limits(name, limits).await
    }

    async fn networks(&self) -> Result<Vec<Network>, EngineError> {
        self.list_networks().await
    }

    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<Network, EngineError> {
        self.find_or_create_network(spec).await
    }

    async fn remove_network(&self, name: &str) -> Result<Changed, EngineError> {
        self.delete_network(name).await
    }

    async fn network_members(&self, name: &str) -> Result<Vec<NetworkMember>, EngineError> {
        match self.find_network(name).await? {
            Some(network) => self.members(&network.id).await,
            None => Ok(Vec::new()),
        }
    }

    async fn volumes(&self) -> Result<Vec<Volume>, EngineError> {
        self.list_volumes().await
    }

    async fn ensure_volume(&self, name: &str, identity: &Identity) -> Result<Changed, EngineError> {
        self.find_or_create_volume(name, identity).await
    }

    async fn remove_volume(&self, name: &str) -> Result<Changed, EngineError> {
        self.delete_volume(name).await
    }

    async fn volume_users(&self, volume: &str, owner: &str) -> Result<Vec<VolumeUser>, EngineError> {
        self.mounting(volume, owner).await
    }

    async fn image(&self, reference: &str) -> Result<Option<String>, EngineError> {
        self.image_id(reference).await
    }

    async fn image_digest(&self, reference: &str) -> Result<Option<String>, EngineError> {
        self.digest_of(reference).await
    }

    async fn registry_digest(&self, reference: &str, login: Option<&RegistryLogin>) -> Result<String, EngineError> {
        self.digest_in_registry(reference, login).await
    }

    async fn image_defaults(&self, image: &str) -> Result<ImageDefaults, EngineError> {
        self.defaults_of(image).await
    }

    async fn pull(&self, reference: &str, login: Option<&RegistryLogin>) -> Result<String, EngineError> {
        self.pull_image(reference, login).await
    }

    async fn tag(&self, image: &str, reference: &str) -> Result<(), EngineError> {
        self.tag_image(image, reference).await
    }

    async fn tags(&self, prefix: &str) -> Result<Vec<TaggedImage>, EngineError> {
        self.image_tags(prefix).await
    }

    async fn remove_image(&self, reference: &str) -> Result<Changed, EngineError> {
        self.delete_image(reference).await
    }

    async fn build(&self, spec: &BuildSpec, context: Context) -> Result<BuildEvents, EngineError> {
        Ok(self.build_image(spec, context))
    }

    async fn events(&self) -> Result<BoxStream<'static, Event>, EngineError> {
        self.watch().await
    }
}
