//! A registry of images with a login, as a process of the test on a free port of the loopback address. The engine uses such a
//! registry without TLS.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bollard::auth::DockerCredentials;
use bollard::models::{ContainerConfig, ContainerCreateBody};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptions, ListImagesOptions, PushImageOptionsBuilder,
    RemoveContainerOptions, RemoveImageOptionsBuilder,
};
use futures::TryStreamExt;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::engine;
use crate::installation::ENDS_WITHIN;

/// The only login.
pub const USERNAME: &str = "ada";
pub const PASSWORD: &str = "correct-horse-battery";
/// `PASSWORD`, hashed with bcrypt.
const HASH: &str = "$2b$05$KZHuNfuGa4IjOkUn./urtuR76VvVUNk/UEwWrDS7GV0vkd8BNavI.";

/// The image that [`Registry::push`] changes.
const BASE: &str = "boatyard-local/testapp:1";

/// A running registry. Dropping it stops it, and removes the images that are named after it from the engine.
pub struct Registry {
    directory: TempDir,
    address: SocketAddr,
    process: Option<Child>,
}

impl Registry {
    /// `None` if the engine is rootless: it has a loopback address of its own.
    pub async fn start() -> Result<Option<Self>> {
        if engine::is_rootless().await? {
            eprintln!("skipped: a rootless engine does not reach a registry on this host's loopback address");
            return Ok(None);
        }
        let directory = tempfile::tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let root = directory.path().display();
        let config = format!(
            "version: 0.1
storage: {{filesystem: {{rootdirectory: {root}/images}}, delete: {{enabled: true}}}}
http: {{addr: '{address}', secret: tests}}
auth: {{htpasswd: {{realm: tests, path: {root}/htpasswd}}}}
"
        );
        std::fs::write(directory.path().join("config.yml"), config)?;
        std::fs::write(directory.path().join("htpasswd"), format!("{USERNAME}:{HASH}\n"))?;
        let mut registry = Self { directory, address, process: None };
        registry.resume().await?;
        Ok(Some(registry))
    }

    /// Starts the process again after [`Registry::stop`].
    pub async fn resume(&mut self) -> Result<()> {
        let log = std::fs::File::create(self.directory.path().join("log"))?;
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(self.directory.path().join("config.yml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("docker-registry does not start; run scripts/setup")?;
        self.process = Some(process);
        let deadline = Instant::now() + ENDS_WITHIN;
        while TcpStream::connect(self.address).await.is_err() {
            let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            ensure!(Instant::now() < deadline, "the registry does not answer: {log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Ends the process. Its port refuses connections then.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("a child can be killed");
            process.wait().expect("a killed child ends");
        }
    }

    /// The host, as in the name of an image.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Pushes the image of the tests with this version as `team/app:TAG`, and removes it from the engine. Returns the
    /// digest, `sha256:…`.
    pub async fn push(&self, version: &str, tag: &str) -> Result<String> {
        let docker = engine::connect()?;
        let repository = format!("{}/team/app", self.host());
        let body = ContainerCreateBody { image: Some(BASE.to_owned()), ..ContainerCreateBody::default() };
        let container = docker.create_container(None::<CreateContainerOptions>, body).await?.id;
        let config = ContainerConfig { env: Some(vec![format!("VERSION={version}")]), ..ContainerConfig::default() };
        let options = CommitContainerOptionsBuilder::new().container(&container).repo(&repository).tag(tag).build();
        let committed = docker.commit_container(options, config).await;
        docker.remove_container(&container, None::<RemoveContainerOptions>).await?;
        committed?;
        let login = DockerCredentials {
            username: Some(USERNAME.to_owned()),
            password: Some(PASSWORD.to_owned()),
            ..DockerCredentials::default()
        };
        let options = PushImageOptionsBuilder::new().tag(tag).build();
        docker.push_image(&repository, Some(options), Some(login)).try_for_each(async |_| Ok(())).await?;
        let name = format!("{repository}:{tag}");
        let digests = docker.inspect_image(&name).await?.repo_digests.unwrap_or_default();
        let digest = digests.iter().find_map(|it| it.strip_prefix(&format!("{repository}@")));
        let digest = digest.context("a pushed image has a digest")?.to_owned();
        self.forget(&name).await?;
        Ok(digest)
    }

    /// Removes an image from the engine by its name, even if a container uses it.
    pub async fn forget(&self, name: &str) -> Result<()> {
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        engine::connect()?.remove_image(name, Some(options), None).await?;
        Ok(())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
        let host = self.host();
        // Uses a separate thread and runtime, because the current runtime may be about to end.
        let removal = std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(remove_images_of(&host))
        });
        if !matches!(removal.join(), Ok(Ok(()))) {
            eprintln!("images of the registry {} may be left behind", self.host());
        }
    }
}

async fn remove_images_of(host: &str) -> Result<()> {
    let docker = engine::connect()?;
    let names = docker.list_images(None::<ListImagesOptions>).await?;
    let names = names.into_iter().flat_map(|it| it.repo_tags.into_iter().chain(it.repo_digests));
    for name in names.filter(|it| it.starts_with(&format!("{host}/"))) {
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        // The last name takes the others of its image with it.
        let _ = docker.remove_image(&name, Some(options), None).await;
    }
    Ok(())
}
