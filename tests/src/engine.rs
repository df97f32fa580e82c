//! The engine as seen without Boatyard: what really exists, and how fast raw API calls are.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, Ipam, IpamConfig, NetworkCreateRequest,
    NetworkingConfig, SystemInfoCgroupDriverEnum, VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    ListImagesOptions, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveImageOptions, RemoveVolumeOptions,
};
use futures::TryStreamExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::installation::ENDS_WITHIN;

const LABEL: &str = "io.boatyard.installation";
const COMPONENT: &str = "io.boatyard.component";

/// Connects to the machine's engine.
pub fn connect() -> Result<Docker> {
    Docker::connect_with_unix_defaults().context("no engine answers; run scripts/engine first")
}

/// Whether the engine runs without root, in a network namespace of its own.
pub async fn is_rootless() -> Result<bool> {
    let options = connect()?.info().await?.security_options.unwrap_or_default();
    Ok(options.iter().any(|it| it.split(',').any(|field| field == "name=rootless")))
}

/// The address of this host's network card, where containers of a rootless engine reach this host. Their gateway is not on it.
pub fn outgoing_address() -> Result<IpAddr> {
    // Sends nothing. The address is one for documentation, so it is reached by the default route.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("198.51.100.1:9").context("this host has no route to other hosts")?;
    Ok(socket.local_addr()?.ip())
}

/// Whether containers have cgroups. A rootless engine gives them none on a host with cgroup v1.
pub async fn has_cgroups() -> Result<bool> {
    Ok(connect()?.info().await?.cgroup_driver != Some(SystemInfoCgroupDriverEnum::NONE))
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

/// The ids of an installation's running containers, sorted, by component.
pub async fn running_of(installation: &str) -> Result<BTreeMap<String, Vec<String>>> {
    let filters = HashMap::from([("label", vec![format!("{LABEL}={installation}")])]);
    let options = ListContainersOptionsBuilder::new().filters(&filters).build();
    let mut running = BTreeMap::<String, Vec<String>>::new();
    for container in connect()?.list_containers(Some(options)).await? {
        let component = container.labels.unwrap_or_default().remove(COMPONENT).unwrap_or_default();
        running.entry(component).or_default().extend(container.id);
    }
    running.values_mut().for_each(|ids| ids.sort());
    Ok(running)
}

/// The environment of a container, each variable as `KEY=value`.
pub async fn environment_of(container: &str) -> Result<Vec<String>> {
    let found = connect()?.inspect_container(container, None::<InspectContainerOptions>).await?;
    Ok(found.config.and_then(|it| it.env).unwrap_or_default())
}

/// Like [`networks_and_volumes_of`], without the network in which containers reach the public host names of their app. It stays
/// while there are no apps.
pub async fn app_networks_and_volumes_of(installation: &str) -> Result<(Vec<String>, Vec<String>)> {
    let (mut networks, volumes) = networks_and_volumes_of(installation).await?;
    networks.retain(|it| *it != format!("by-{installation}-public"));
    Ok((networks, volumes))
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

/// Like [`tags_of`], without the image of connection checks.
pub async fn app_tags_of(installation: &str) -> Result<Vec<String>> {
    let tags = tags_of(installation).await?;
    Ok(tags.into_iter().filter(|it| !it.ends_with("/connect-check:1")).collect())
}

/// Names of the images that an installation has built.
pub async fn tags_of(installation: &str) -> Result<Vec<String>> {
    let images = connect()?.list_images(None::<ListImagesOptions>).await?;
    let prefix = format!("boatyard-{installation}/");
    let mut tags: Vec<String> = images.into_iter().flat_map(|it| it.repo_tags).collect();
    tags.retain(|tag| tag.starts_with(&prefix));
    tags.sort();
    Ok(tags)
}

/// Removes an image by its tag, as `docker rmi` does.
pub async fn remove_image(tag: &str) -> Result<()> {
    connect()?
        .remove_image(tag, None::<RemoveImageOptions>, None)
        .await
        .with_context(|| format!("cannot remove {tag}"))?;
    Ok(())
}

/// Counts the containers that the engine starts for an installation, by component. It reads events as they arrive,
/// because the engine keeps only its last 256 events, including those of other users.
pub struct Starts {
    docker: Docker,
    /// Name of a volume. Its creation event ends the count.
    end: String,
    counting: JoinHandle<Result<BTreeMap<String, usize>>>,
}

impl Starts {
    /// Starts to count.
    pub fn watch(installation: String) -> Result<Self> {
        let (docker, end) = (connect()?, format!("by-count-end-{}", uuid::Uuid::new_v4().simple()));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let since = format!("{}.{:09}", now.as_secs(), now.subsec_nanos());
        let kinds = HashMap::from([("type", vec!["container", "volume"]), ("event", vec!["start", "create"])]);
        let options = EventsOptionsBuilder::new().since(&since).filters(&kinds).build();
        let mut events = docker.events(Some(options));
        let last = end.clone();
        let counting = tokio::spawn(async move {
            let mut counts = BTreeMap::new();
            while let Some(event) = events.try_next().await? {
                let Some(actor) = event.actor else { continue };
                let attributes = actor.attributes.unwrap_or_default();
                if actor.id.as_deref() == Some(&last) {
                    return Ok(counts);
                }
                if event.action.as_deref() == Some("start") && attributes.get(LABEL) == Some(&installation) {
                    *counts.entry(attributes.get(COMPONENT).cloned().unwrap_or_default()).or_default() += 1;
                }
            }
            bail!("the engine's events ended")
        });
        Ok(Self { docker, end, counting })
    }

    /// The containers started so far.
    pub async fn count(self) -> Result<BTreeMap<String, usize>> {
        let volume = VolumeCreateRequest { name: Some(self.end.clone()), ..VolumeCreateRequest::default() };
        self.docker.create_volume(volume).await?;
        self.docker.remove_volume(&self.end, None::<RemoveVolumeOptions>).await?;
        tokio::time::timeout(ENDS_WITHIN, self.counting).await.context("the engine sends no events")??
    }
}

/// The engine's floor: create, start and first answer of one container by raw API calls, the minimum of `tries`. The
/// container is on a separate bridge network at a chosen address, as every app's containers are, because that costs the
/// engine time (about 45 ms per start, measured on 20.10). Limits and security settings cost no time and are left out.
pub async fn floor(image: &str, env: &[&str], port: u16, tries: usize) -> Result<Duration> {
    least(image, env, Some(port), tries).await
}

/// The floor of a container that never answers: create and start, the minimum of `tries`.
pub async fn floor_of_start(image: &str, env: &[&str], tries: usize) -> Result<Duration> {
    least(image, env, None, tries).await
}

async fn least(image: &str, env: &[&str], port: Option<u16>, tries: usize) -> Result<Duration> {
    let docker = connect()?;
    let network = FloorNetwork::make(&docker).await?;
    let mut best = Duration::MAX;
    let mut failed = None;
    for _ in 0..tries {
        match once(&docker, &network, image, env, port).await {
            Ok(time) => best = best.min(time),
            Err(error) => failed = Some(error),
        }
    }
    docker.remove_network(&network.name).await?;
    failed.map_or(Ok(best), Err)
}

/// A network with a separate subnet.
struct FloorNetwork {
    name: String,
    /// The only address that is used in it.
    address: String,
}

impl FloorNetwork {
    async fn make(docker: &Docker) -> Result<Self> {
        let name = format!("by-floor-{}", uuid::Uuid::new_v4().simple());
        let mut refused = None;
        for _ in 0..16 {
            let third: u8 = rand::random();
            let ipam = IpamConfig { subnet: Some(format!("10.254.{third}.0/24")), ..IpamConfig::default() };
            let request = NetworkCreateRequest {
                name: name.clone(),
                ipam: Some(Ipam { config: Some(vec![ipam]), ..Ipam::default() }),
                ..NetworkCreateRequest::default()
            };
            match docker.create_network(request).await {
                Ok(_) => return Ok(Self { name, address: format!("10.254.{third}.2") }),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.expect("sixteen tries were refused").into())
    }

    fn joined(&self) -> NetworkingConfig {
        let ipam = EndpointIpamConfig { ipv4_address: Some(self.address.clone()), ..EndpointIpamConfig::default() };
        let endpoint = EndpointSettings { ipam_config: Some(ipam), ..EndpointSettings::default() };
        NetworkingConfig { endpoints_config: Some(HashMap::from([(self.name.clone(), endpoint)])) }
    }
}

async fn once(
    docker: &Docker,
    network: &FloorNetwork,
    image: &str,
    env: &[&str],
    port: Option<u16>,
) -> Result<Duration> {
    let name = format!("by-floor-{}", uuid::Uuid::new_v4().simple());
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        env: Some(env.iter().map(|it| (*it).to_owned()).collect()),
        host_config: Some(HostConfig {
            init: Some(true),
            network_mode: Some(network.name.clone()),
            ..HostConfig::default()
        }),
        networking_config: Some(network.joined()),
        ..ContainerCreateBody::default()
    };
    let began = Instant::now();
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let mut remove_on_drop = RemoveOnDrop(Some(name.clone()));
    docker.create_container(Some(options), body).await?;
    let measured = answered(docker, &name, &network.address, port, began).await;
    remove(docker, &name).await?;
    remove_on_drop.0 = None;
    measured
}

/// Returns whether the container existed.
async fn remove(docker: &Docker, name: &str) -> Result<bool> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker.remove_container(name, Some(options)).await {
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
        // 409: the engine is removing it already.
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. }) => Ok(true),
        removed => Ok(removed.map(|()| true)?),
    }
}

/// Removes the measured container if the measurement is interrupted, as by Ctrl-C.
struct RemoveOnDrop(Option<String>);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        let Some(name) = self.0.take() else { return };
        // Uses a separate thread and runtime, because the current runtime may be about to end.
        let removal = std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(remove_even_if_created_late(&name))
        });
        if !matches!(removal.join(), Ok(Ok(()))) {
            eprintln!("a container by-floor-… may be left behind");
        }
    }
}

/// Removes the container, and tries again for a while: the engine may still create the container after its client has gone.
async fn remove_even_if_created_late(name: &str) -> Result<()> {
    let (docker, deadline) = (connect()?, Instant::now() + Duration::from_secs(2));
    while !remove(&docker, name).await? && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn answered(docker: &Docker, name: &str, address: &str, port: Option<u16>, began: Instant) -> Result<Duration> {
    docker.start_container(name, None).await?;
    let Some(port) = port else { return Ok(began.elapsed()) };
    while TcpStream::connect((address, port)).await.is_err() {
        ensure!(began.elapsed() < ENDS_WITHIN, "{name} did not answer");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(began.elapsed())
}
