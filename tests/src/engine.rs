//! The engine seen without Boatyard: what is really there, and how fast raw API calls are.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, EventsOptionsBuilder, ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
    ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
};
use futures::TryStreamExt;
use tokio::net::TcpStream;

const LABEL: &str = "io.boatyard.installation";
const COMPONENT: &str = "io.boatyard.component";

/// Connects to the machine's engine.
pub fn connect() -> Result<Docker> {
    Docker::connect_with_unix_defaults().context("no engine answers; run scripts/engine first")
}

/// Names of an installation's containers, whatever their state.
pub async fn containers_of(installation: &str) -> Result<Vec<String>> {
    let filters = HashMap::from([("label", vec![format!("{LABEL}={installation}")])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let found = connect()?.list_containers(Some(options)).await?;
    let mut names: Vec<String> = found.into_iter().filter_map(|it| it.names?.into_iter().next()).collect();
    names.sort();
    Ok(names.into_iter().map(|it| it.trim_start_matches('/').to_owned()).collect())
}

/// Names of an installation's networks and volumes.
pub async fn networks_and_volumes_of(installation: &str) -> Result<(Vec<String>, Vec<String>)> {
    let docker = connect()?;
    let filters = HashMap::from([("label", vec![format!("{LABEL}={installation}")])]);
    let networks = docker.list_networks(Some(ListNetworksOptionsBuilder::new().filters(&filters).build())).await?;
    let volumes = docker.list_volumes(Some(ListVolumesOptionsBuilder::new().filters(&filters).build())).await?;
    let networks = networks.into_iter().filter_map(|it| it.name).collect();
    let volumes = volumes.volumes.unwrap_or_default().into_iter().map(|it| it.name).collect();
    Ok((networks, volumes))
}

/// How many containers of each component the engine started since a moment. It remembers its last 256 events only: ask soon.
pub async fn starts_since(installation: &str, since: SystemTime) -> Result<BTreeMap<String, usize>> {
    let seconds = |at: SystemTime| {
        let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        format!("{}.{:09}", at.as_secs(), at.subsec_nanos())
    };
    let filters = HashMap::from([
        ("type", vec!["container".to_owned()]),
        ("event", vec!["start".to_owned()]),
        ("label", vec![format!("{LABEL}={installation}")]),
    ]);
    let (since, until) = (seconds(since), seconds(SystemTime::now()));
    let options = EventsOptionsBuilder::new().since(&since).until(&until).filters(&filters).build();
    let mut events = connect()?.events(Some(options));
    let mut counts = BTreeMap::new();
    while let Some(event) = events.try_next().await? {
        let attributes = event.actor.and_then(|it| it.attributes).unwrap_or_default();
        *counts.entry(attributes.get(COMPONENT).cloned().unwrap_or_default()).or_default() += 1;
    }
    Ok(counts)
}

/// The engine's floor: create, start, first answer of one container by raw API calls, the least of `tries`. The container
/// joins the default network and is configured as lightly as ours are.
pub async fn floor(image: &str, env: &[&str], port: u16, tries: usize) -> Result<Duration> {
    least(image, env, Some(port), tries).await
}

/// The floor of what never answers: create and start, the least of `tries`.
pub async fn floor_of_start(image: &str, env: &[&str], tries: usize) -> Result<Duration> {
    least(image, env, None, tries).await
}

async fn least(image: &str, env: &[&str], port: Option<u16>, tries: usize) -> Result<Duration> {
    let docker = connect()?;
    let mut best = Duration::MAX;
    for _ in 0..tries {
        best = best.min(once(&docker, image, env, port).await?);
    }
    Ok(best)
}

async fn once(docker: &Docker, image: &str, env: &[&str], port: Option<u16>) -> Result<Duration> {
    let name = format!("by-floor-{}", uuid::Uuid::new_v4().simple());
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        env: Some(env.iter().map(|it| (*it).to_owned()).collect()),
        host_config: Some(HostConfig { init: Some(true), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let began = Instant::now();
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let mut left_behind = LeftBehind(Some(name.clone()));
    docker.create_container(Some(options), body).await?;
    let measured = answered(docker, &name, port, began).await;
    remove(docker, &name).await?;
    left_behind.0 = None;
    measured
}

/// Whether it was there.
async fn remove(docker: &Docker, name: &str) -> Result<bool> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker.remove_container(name, Some(options)).await {
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
        // 409: it is being removed.
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. }) => Ok(true),
        removed => Ok(removed.map(|()| true)?),
    }
}

/// Removes a container of ours if the measurement is given up half-way, as by Ctrl-C.
struct LeftBehind(Option<String>);

impl Drop for LeftBehind {
    fn drop(&mut self) {
        let Some(name) = self.0.take() else { return };
        // A thread and a runtime of its own: the one we are dropped in may be about to end.
        let removal = std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(remove_even_if_it_comes_late(&name))
        });
        if !matches!(removal.join(), Ok(Ok(()))) {
            eprintln!("a container by-floor-… may be left behind");
        }
    }
}

/// The engine carries out a create that nobody waits for any more, a moment later.
async fn remove_even_if_it_comes_late(name: &str) -> Result<()> {
    let (docker, deadline) = (connect()?, Instant::now() + Duration::from_secs(2));
    while !remove(&docker, name).await? && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn answered(docker: &Docker, name: &str, port: Option<u16>, began: Instant) -> Result<Duration> {
    docker.start_container(name, None).await?;
    let Some(port) = port else { return Ok(began.elapsed()) };
    let details = docker.inspect_container(name, None).await?;
    let networks = details.network_settings.and_then(|it| it.networks).unwrap_or_default();
    let address =
        networks.into_values().find_map(|it| it.ip_address.filter(|it| !it.is_empty())).context("an address")?;
    while TcpStream::connect((address.as_str(), port)).await.is_err() {
        ensure!(began.elapsed() < Duration::from_secs(30), "{name} did not answer");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(began.elapsed())
}
