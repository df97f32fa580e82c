//! The security profile of every container that Boatyard creates: what an app may do on the host, and which engine
//! defaults are off.
//!
//! A spec cannot ask for a bind mount, a device, a privilege or a host namespace: neither [`ContainerSpec`] nor this
//! file has a field for them. Ports are published only on 127.0.0.1.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfig, HostConfigLogConfig, Mount,
    MountType, NetworkingConfig, PortBinding, PortMap, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};

use super::{Host, published};
use crate::identity::{Installation, Kind};
use crate::port::{ContainerSpec, Limits, NetworkJoin, PublishedPort, VolumeMount};

/// Capabilities that ordinary images need to switch to another user, own their files and bind port 80.
const CAPABILITIES: [&str; 7] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID", "KILL", "NET_BIND_SERVICE"];
/// Memory for each allowed process or thread: 512 KiB. A thread takes 16 KiB of kernel memory and, in most runtimes,
/// more of its own memory. So ordinary programs reach the memory limit first, and a fork bomb is stopped early.
const MEMORY_PER_PROCESS: u64 = 512 << 10;
/// Lowest and highest process limit, for any memory limit or none.
const PROCESSES: std::ops::RangeInclusive<u64> = 1024..=32_768;
const OPEN_FILES: i64 = 65_536;
const STOP_SIGNAL: &str = "SIGTERM";

/// The create request for a spec on a host of this size.
pub(super) fn create_body(spec: &ContainerSpec, installation: &Installation, host: Host) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        // The command is set as the entrypoint: the engine then ignores the image's entrypoint and command.
        entrypoint: spec.command.clone(),
        // Docker sends the list as a JSON array, so a value may contain line breaks.
        env: Some(spec.env.iter().map(|(key, value)| format!("{key}={value}")).collect()),
        labels: Some(labels(spec, installation)),
        exposed_ports: (!spec.published.is_empty()).then(|| spec.published.iter().map(port_name).collect()),
        // Off: the image's health check would run in addition to our probes, and we do not use its result.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".into()]), ..Default::default() }),
        // Always set, never left to the image: a SIGSTOP there would turn every stop into a kill. The caller that
        // builds the spec has checked the image's signal.
        stop_signal: Some(spec.stop_signal.clone().unwrap_or_else(|| STOP_SIGNAL.into())),
        stop_timeout: Some(whole_seconds(spec.stop_grace)),
        host_config: Some(host_config(spec, host)),
        networking_config: spec.network.as_ref().map(|join| NetworkingConfig {
            endpoints_config: Some(HashMap::from([(join.network_name.clone(), endpoint(join))])),
        }),
        ..Default::default()
    }
}

fn labels(spec: &ContainerSpec, installation: &Installation) -> HashMap<String, String> {
    let mut labels = installation.labels(Kind::Container, &spec.name, &spec.identity);
    labels.insert(published::LABEL.into(), published::label(&spec.published));
    labels
}

fn port_name(port: &PublishedPort) -> String {
    format!("{}/tcp", port.container)
}

fn port_bindings(ports: &[PublishedPort]) -> PortMap {
    let binding = |host: Option<u16>| PortBinding {
        host_ip: Some("127.0.0.1".into()),
        host_port: Some(host.map_or_else(String::new, |port| port.to_string())),
    };
    ports.iter().map(|it| (port_name(it), Some(vec![binding(it.host)]))).collect()
}

/// A container's endpoint on a network, for create and for a later connect.
pub(super) fn endpoint(join: &NetworkJoin) -> EndpointSettings {
    EndpointSettings {
        ipam_config: Some(EndpointIpamConfig { ipv4_address: Some(join.address.to_string()), ..Default::default() }),
        aliases: Some(join.aliases.clone()),
        ..Default::default()
    }
}

/// Rounded up: the engine counts whole seconds, and a container must get at least its grace.
pub(super) fn whole_seconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(i64::MAX)
}

fn host_config(spec: &ContainerSpec, host: Host) -> HostConfig {
    let limits = clamp(spec.limits, host);
    let memory = memory(limits);
    HostConfig {
        cap_drop: Some(vec!["ALL".into()]),
        cap_add: Some(CAPABILITIES.map(String::from).into()),
        security_opt: Some(vec!["no-new-privileges".into()]),
        pids_limit: host.supported.processes.then(|| processes(limits)),
        port_bindings: (!spec.published.is_empty()).then(|| port_bindings(&spec.published)),
        memory,
        memory_swap: memory,
        nano_cpus: nano_cpus(limits),
        ulimits: Some(vec![ResourcesUlimits {
            name: Some("nofile".into()),
            soft: Some(OPEN_FILES.min(host.open_files)),
            hard: Some(OPEN_FILES.min(host.open_files)),
        }]),
        // An init process forwards TERM and reaps zombies, so a program without a signal handler ends immediately.
        init: Some(true),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".into()),
            config: Some(HashMap::from([("max-size".into(), "10m".into()), ("max-file".into(), "3".into())])),
        }),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        extra_hosts: (!spec.hosts.is_empty())
            .then(|| spec.hosts.iter().map(|(name, at)| format!("{name}:{at}")).collect()),
        network_mode: Some(spec.network.as_ref().map_or_else(|| "none".into(), |join| join.network_name.clone())),
        mounts: spec.volume.as_ref().map(|volume| vec![mount(volume)]),
        ..Default::default()
    }
}

fn mount(volume: &VolumeMount) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume.volume.clone()),
        target: Some(volume.path.clone()),
        ..Default::default()
    }
}

/// The limit for processes and threads together, as the kernel counts them. It grows with the memory limit.
fn processes(limits: Limits) -> i64 {
    let allowed = match limits.memory_bytes {
        0 => *PROCESSES.end(),
        bytes => (bytes / MEMORY_PER_PROCESS).clamp(*PROCESSES.start(), *PROCESSES.end()),
    };
    i64::try_from(allowed).unwrap_or(i64::MAX)
}

/// Limits the request to the host's size: the engine refuses more CPUs, and more memory would be no limit. Leaves out
/// limits that the engine cannot apply.
pub(super) fn clamp(wanted: Limits, host: Host) -> Limits {
    let most = Limits {
        cpu_millis: if host.supported.cpu { host.cpus.saturating_mul(1000) } else { 0 },
        memory_bytes: if host.supported.memory { host.memory_bytes } else { 0 },
    };
    let limits = wanted.at_most(most);
    if limits != wanted {
        tracing::debug!(?wanted, ?limits, "limits clamped to what the host has and the engine can apply");
    }
    limits
}

/// Memory as the engine expects it. The swap limit is the same, so no swap is used.
pub(super) fn memory(limits: Limits) -> Option<i64> {
    (limits.memory_bytes > 0).then(|| i64::try_from(limits.memory_bytes).unwrap_or(i64::MAX))
}

/// CPU as the engine expects it.
pub(super) fn nano_cpus(limits: Limits) -> Option<i64> {
    (limits.cpu_millis > 0).then(|| i64::from(limits.cpu_millis) * 1_000_000)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::port::{Identity, Role, SupportedLimits};

    const HOST: Host = Host {
        cpus: 2,
        memory_bytes: 4 << 30,
        supported: SupportedLimits::ALL,
        has_cgroups: true,
        open_files: i64::MAX,
    };

    fn spec() -> ContainerSpec {
        ContainerSpec {
            name: "by-web-0".into(),
            identity: Identity {
                role: Role::Instance,
                app: "a".into(),
                component: "web".into(),
                slot: 0,
                revision: "r".into(),
                generation: 1,
                deployment: "d".into(),
            },
            image: "sha256:00".into(),
            command: Some(vec!["/serve".into(), "-v".into()]),
            env: vec![("TWO".into(), "a\nb".into())],
            network: Some(NetworkJoin {
                network_id: "id1".into(),
                network_name: "net1".into(),
                address: Ipv4Addr::new(10, 208, 1, 7),
                aliases: vec!["web".into()],
            }),
            hosts: vec![("api".into(), Ipv4Addr::new(10, 208, 1, 1))],
            published: Vec::new(),
            volume: Some(VolumeMount { volume: "by-db".into(), path: "/data".into() }),
            limits: Limits { cpu_millis: 500, memory_bytes: 256 << 20 },
            stop_grace: Duration::from_millis(1500),
            stop_signal: None,
        }
    }

    fn body(spec: &ContainerSpec) -> ContainerCreateBody {
        create_body(spec, &Installation { id: "i".into(), key: [1; 32] }, HOST)
    }

    #[test]
    fn the_create_request_names_no_host_path_device_privilege_or_published_port() {
        let json = serde_json::to_value(body(&spec())).expect("a request serialises");
        let host = json["HostConfig"].as_object().expect("an object");
        for key in
            ["Binds", "Devices", "Privileged", "PidMode", "IpcMode", "UTSMode", "PortBindings", "PublishAllPorts"]
        {
            assert!(!host.contains_key(key), "{key}");
        }
        assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
        assert_eq!(host["SecurityOpt"], serde_json::json!(["no-new-privileges"]));
        assert_eq!(host["Mounts"][0]["Type"], "volume");
        assert_eq!(host["RestartPolicy"]["Name"], "no");
        assert_eq!(host["ExtraHosts"], serde_json::json!(["api:10.208.1.1"]));
        assert_eq!(json["Healthcheck"]["Test"], serde_json::json!(["NONE"]));
        assert_eq!(json["StopSignal"], "SIGTERM");
    }

    #[test]
    fn ports_are_published_on_loopback_only() {
        let published =
            vec![PublishedPort { container: 8080, host: Some(20_001) }, PublishedPort { container: 9090, host: None }];
        let body = body(&ContainerSpec { published, ..spec() });
        let json = serde_json::to_value(&body).expect("a request serialises");
        let binding = |port: &str| serde_json::json!([{ "HostIp": "127.0.0.1", "HostPort": port }]);
        assert_eq!(json["HostConfig"]["PortBindings"]["8080/tcp"], binding("20001"));
        assert_eq!(json["HostConfig"]["PortBindings"]["9090/tcp"], binding(""), "the engine chooses");
        assert_eq!(json["Labels"][published::LABEL], "8080:20001");
    }

    #[test]
    fn the_swap_limit_equals_the_memory_limit_and_no_limit_exceeds_the_host() {
        let host = body(&spec()).host_config.expect("set");
        assert_eq!((host.memory, host.memory_swap), (Some(256 << 20), Some(256 << 20)));
        assert_eq!(host.nano_cpus, Some(500_000_000));
        let greedy = ContainerSpec { limits: Limits { cpu_millis: 64_000, memory_bytes: 1 << 50 }, ..spec() };
        let host = body(&greedy).host_config.expect("set");
        assert_eq!((host.memory, host.nano_cpus), (Some(4 << 30), Some(2_000_000_000)));
    }

    #[test]
    fn limits_respect_a_confined_host_and_zero_means_no_limit() {
        let installation = Installation { id: "i".into(), key: [1; 32] };
        let supported = SupportedLimits { cpu: false, memory: false, processes: false };
        let bare = create_body(&spec(), &installation, Host { supported, ..HOST }).host_config.expect("set");
        assert_eq!((bare.nano_cpus, bare.memory, bare.memory_swap, bare.pids_limit), (None, None, None, None));
        let confined = create_body(&spec(), &installation, Host { open_files: 20_000, ..HOST });
        assert_eq!(confined.host_config.and_then(|host| host.ulimits).expect("set")[0].hard, Some(20_000));
        let free = ContainerSpec { limits: Limits { cpu_millis: 0, memory_bytes: 0 }, ..spec() };
        let host = body(&free).host_config.expect("set");
        assert_eq!((host.memory, host.memory_swap, host.nano_cpus), (None, None, None));
    }

    #[test]
    fn the_process_limit_grows_with_the_memory() {
        let of = |memory_bytes| processes(Limits { cpu_millis: 0, memory_bytes });
        assert_eq!(
            [128 << 20, 512 << 20, 1 << 30, 8 << 30, 64 << 30, 0].map(of),
            [1024, 1024, 2048, 16_384, 32_768, 32_768]
        );
        assert_eq!(body(&spec()).host_config.expect("set").pids_limit, Some(1024));
    }

    #[test]
    fn a_grace_is_rounded_up_to_whole_seconds() {
        assert_eq!(body(&spec()).stop_timeout, Some(2));
        assert_eq!(whole_seconds(Duration::ZERO), 0);
        assert_eq!(whole_seconds(Duration::from_secs(3)), 3);
    }

    #[test]
    fn a_spec_without_a_network_disables_networking() {
        let body = body(&ContainerSpec { network: None, ..spec() });
        assert_eq!(body.host_config.expect("set").network_mode.as_deref(), Some("none"));
        assert!(body.networking_config.is_none());
    }
}
