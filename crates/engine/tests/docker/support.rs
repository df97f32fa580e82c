//! Gives each test on the real engine an installation, names, a network, and a guard that removes everything.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::*;
use bytes::Bytes;
use engine::*;
use futures::StreamExt;

const INSTALLATION: &str = "io.boatyard.installation";

/// Deadline of every wait. It only ends a wait for something that never happens: even a slow machine is much faster.
pub const ENDS_WITHIN: Duration = Duration::from_secs(300);

/// Everything that one test creates carries the test's installation id.
pub struct World {
    pub engine: DockerEngine,
    pub installation: Installation,
    /// A second client, which acts as another user of the engine.
    pub other: Docker,
}

impl World {
    pub async fn new() -> World {
        let socket = socket();
        let id = format!("t{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let installation =
            Installation { id, key: *uuid::Uuid::new_v4().as_bytes().repeat(2).first_chunk().expect("32") };
        let engine =
            DockerEngine::connect(&socket, installation.clone()).unwrap_or_else(|error| no_engine(&socket, &error));
        if let Err(error) = engine.info().await {
            no_engine(&socket, &error);
        }
        World { engine, installation, other: client(&socket) }
    }

    /// A name that is unique to this test.
    pub fn name(&self, what: &str) -> String {
        format!("by-{}-{what}", self.installation.id)
    }

    pub fn tag(&self, what: &str) -> String {
        format!("boatyard-test/{}:{what}", self.installation.id)
    }

    /// An image with the helper program as its shell, its server and its command.
    pub async fn image(&self) -> String {
        self.build("image", "FROM scratch\nCOPY helper /bin/sh\nCMD [\"/bin/sh\", \"serve\"]\n")
            .await
            .expect("it builds")
    }

    pub async fn build(&self, what: &str, dockerfile: &str) -> Result<String, EngineError> {
        self.build_events(what, dockerfile, false).await.map(|(image, _)| image)
    }

    pub async fn build_events(
        &self,
        what: &str,
        dockerfile: &str,
        no_cache: bool,
    ) -> Result<(String, Vec<BuildEvent>), EngineError> {
        let context = context(&[("Dockerfile", dockerfile.as_bytes()), ("helper", helper())]);
        collect(self.engine.build(&self.build_spec(what, no_cache), context).await?).await
    }

    pub fn build_spec(&self, what: &str, no_cache: bool) -> BuildSpec {
        BuildSpec {
            tag: self.tag(what),
            dockerfile: "Dockerfile".into(),
            no_cache,
            labels: BTreeMap::from([(INSTALLATION.to_owned(), self.installation.id.clone())]),
            ..BuildSpec::default()
        }
    }

    pub fn spec(&self, what: &str, image: &str, command: &[&str]) -> ContainerSpec {
        let words = ["/bin/sh"].into_iter().chain(command.iter().copied());
        ContainerSpec {
            name: self.name(what),
            identity: self.identity(Role::Instance, what),
            image: image.to_owned(),
            command: Some(words.map(String::from).collect()),
            env: vec![],
            network: None,
            hosts: Vec::new(),
            published: Vec::new(),
            volume: None,
            limits: Limits { cpu_millis: 500, memory_bytes: 64 << 20 },
            stop_grace: Duration::from_secs(1),
            stop_signal: None,
        }
    }

    pub fn identity(&self, role: Role, component: &str) -> Identity {
        Identity {
            role,
            app: "5e7b".into(),
            component: component.into(),
            slot: 0,
            revision: "r1".into(),
            generation: 1,
            deployment: "d1".into(),
        }
    }

    /// A network on a free subnet, and the subnet's first three bytes.
    pub async fn network(&self, what: &str) -> (Network, NetworkSpec) {
        for _ in 0..20 {
            let spec = self.network_spec(what);
            match self.engine.ensure_network(&spec).await {
                Ok(network) => return (network, spec),
                Err(EngineError::SubnetTaken { .. }) => {}
                Err(error) => panic!("no network: {error}"),
            }
        }
        panic!("twenty subnets at random, all taken");
    }

    /// A random subnet in 10.208.0.0/12.
    pub fn network_spec(&self, what: &str) -> NetworkSpec {
        let [a, b, ..] = *uuid::Uuid::new_v4().as_bytes();
        let (a, b) = (208 + a % 16, b);
        NetworkSpec {
            name: self.name(what),
            identity: self.identity(Role::Network, ""),
            subnet: format!("10.{a}.{b}.0/24"),
            gateway: Ipv4Addr::new(10, a, b, 1),
        }
    }

    pub fn join(&self, network: &Network, spec: &NetworkSpec, host: u8) -> NetworkJoin {
        let [a, b, c, _] = spec.gateway.octets();
        NetworkJoin {
            network_id: network.id.clone(),
            network_name: network.name.clone(),
            address: Ipv4Addr::new(a, b, c, host),
            aliases: vec!["web".into()],
        }
    }

    /// Waits until the helper serves: before that, it has no handler for a stop signal.
    pub async fn serving(&self, name: &str) {
        let query = LogQuery { follow: true, tail: None };
        let mut lines = self.engine.logs(name, &query).await.expect("it has a log");
        assert_eq!(lines.next().await.expect("a line").expect("a line").text, "serving");
    }

    /// All lines that a container wrote, after it has ended.
    pub async fn output(&self, name: &str) -> Vec<String> {
        self.engine.wait(name).await.expect("it ends");
        let query = LogQuery { follow: false, tail: None };
        let lines: Vec<_> = self.engine.logs(name, &query).await.expect("it has a log").collect().await;
        lines.into_iter().map(|line| line.expect("a line").text).collect()
    }
}

/// Removes what the test created, even if the test failed. Uses another thread, because the test's runtime may have
/// shut down.
impl Drop for World {
    fn drop(&mut self) {
        let id = self.installation.id.clone();
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(remove_all(&client(&socket()), &id));
        });
        cleaning.join().expect("cleaning does not panic");
    }
}

async fn remove_all(docker: &Docker, id: &str) {
    let label = HashMap::from([("label", vec![format!("{INSTALLATION}={id}")])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&label).build();
    for container in docker.list_containers(Some(options)).await.unwrap_or_default() {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let _ = docker.remove_container(&container.id.unwrap_or_default(), Some(options)).await;
    }
    let options = ListNetworksOptionsBuilder::default().filters(&label).build();
    for network in docker.list_networks(Some(options)).await.unwrap_or_default() {
        let _ = docker.remove_network(&network.id.unwrap_or_default()).await;
    }
    let options = ListVolumesOptionsBuilder::default().filters(&label).build();
    if let Ok(answer) = docker.list_volumes(Some(options)).await {
        for volume in answer.volumes.unwrap_or_default() {
            let _ = docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await;
        }
    }
    // By label, since a second build under a tag leaves the first image without a tag.
    let options = ListImagesOptionsBuilder::default().filters(&label).build();
    for image in docker.list_images(Some(options)).await.unwrap_or_default() {
        let options = RemoveImageOptionsBuilder::default().force(true).build();
        let _ = docker.remove_image(&image.id, Some(options), None).await;
    }
}

/// Reads a build to its end.
pub async fn collect(mut events: BuildEvents) -> Result<(String, Vec<BuildEvent>), EngineError> {
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        match event? {
            BuildEvent::Built { image } => return Ok((image, seen)),
            event => seen.push(event),
        }
    }
    panic!("the build ended without an image or an error: {seen:?}");
}

/// The names of the steps that ended in this state.
pub fn steps(events: &[BuildEvent], wanted: BuildStepState) -> Vec<&str> {
    let name = |event| match event {
        &BuildEvent::Step { ref name, state } if state == wanted => Some(name.as_str()),
        _ => None,
    };
    events.iter().filter_map(name).collect()
}

/// A build context that contains these files.
pub fn context(files: &[(&str, &[u8])]) -> Context {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, path, *content).expect("a tar in memory");
    }
    let bytes = archive.into_inner().expect("a tar in memory");
    let chunks: Vec<_> = bytes.chunks(64 * 1024).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    futures::stream::iter(chunks).boxed()
}

/// The helper program, compiled once per run of the tests.
pub fn helper() -> &'static [u8] {
    static HELPER: OnceLock<Vec<u8>> = OnceLock::new();
    HELPER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = folder.path().join("helper");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docker/helper.rs");
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
        let mut command = Command::new(rustc);
        command.args([
            "--edition",
            "2021",
            "-C",
            "target-feature=+crt-static",
            "-C",
            "opt-level=s",
            "-C",
            "strip=symbols",
        ]);
        let status = command.arg("-o").arg(&program).arg(source).status().expect("rustc runs");
        assert!(status.success(), "the helper program does not compile");
        std::fs::read(program).expect("rustc wrote it")
    })
}

/// The engine's socket: from `DOCKER_HOST` if set, else the usual path.
pub fn socket() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").into()
}

fn client(socket: &Path) -> Docker {
    Docker::connect_with_unix(&socket.to_string_lossy(), 120, bollard::API_DEFAULT_VERSION)
        .expect("the socket is there")
}

fn no_engine(socket: &Path, error: &EngineError) -> ! {
    panic!("these tests need a Docker Engine at {}: {error}", socket.display())
}
