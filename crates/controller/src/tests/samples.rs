//! A container as the engine describes it, for tests of single functions.

use engine::{Container, ContainerDetails, ContainerState, Identity, Limits, RestartPolicy, Role};

/// The running container of an instance, whose process never ended.
pub fn container_details() -> ContainerDetails {
    let identity = Identity {
        role: Role::Instance,
        app: "a".into(),
        component: "web".into(),
        slot: 0,
        revision: "r".into(),
        generation: 1,
        deployment: "d".into(),
    };
    let (id, name, called, image) = ("c1".into(), "web".into(), "web".into(), "i".into());
    let state = ContainerState::Running;
    ContainerDetails {
        container: Container { id, name, called, identity, image, state, addresses: Vec::new(), published: Vec::new() },
        started_at: Some("t0".into()),
        finished_at: None,
        exit_code: None,
        oom_killed: false,
        restart_count: 0,
        restart_policy: RestartPolicy::Always,
        limits: Limits { cpu_millis: 1000, memory_bytes: 512 << 20 },
        aliases: Vec::new(),
    }
}
