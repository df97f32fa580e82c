//! Manual changes to Boatyard's containers: the engine crate recognises and reports them, and can undo them.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, ContainerUpdateBody, EndpointIpamConfig, EndpointSettings, HostConfig, Mount, MountType,
    NetworkConnectRequest, NetworkDisconnectRequest, NetworkingConfig,
};
use bollard::query_parameters::{CreateContainerOptionsBuilder, RenameContainerOptionsBuilder, StartContainerOptions};
use engine::*;
use futures::StreamExt;

use crate::support::{ENDS_WITHIN, World, socket};

impl World {
    async fn rename(&self, id: &str, called: &str) {
        let options = RenameContainerOptionsBuilder::default().name(called).build();
        self.other.rename_container(id, options).await.expect("others may rename");
    }

    async fn disconnect(&self, network: &Network, id: &str) {
        let request = NetworkDisconnectRequest { container: id.into(), force: Some(true) };
        self.other.disconnect_network(&network.id, request).await.expect("others may disconnect");
    }

    /// A running container of another owner, on this installation's network or with its volume.
    async fn foreign_container(
        &self,
        what: &str,
        image: &str,
        join: Option<&NetworkJoin>,
        volume: Option<&str>,
    ) -> String {
        let name = self.name(what);
        let endpoint = |join: &NetworkJoin| EndpointSettings {
            ipam_config: Some(EndpointIpamConfig {
                ipv4_address: Some(join.address.to_string()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let mount = |volume: &str| Mount {
            typ: Some(MountType::VOLUME),
            source: Some(volume.into()),
            target: Some("/foreign".into()),
            ..Default::default()
        };
        let body = ContainerCreateBody {
            image: Some(image.into()),
            entrypoint: Some(vec!["/bin/sh".into(), "serve".into()]),
            // Lets the test's guard find it.
            labels: Some(HashMap::from([("io.boatyard.installation".to_owned(), self.installation.id.clone())])),
            host_config: Some(HostConfig {
                network_mode: join.map(|join| join.network_id.clone()),
                mounts: volume.map(|volume| vec![mount(volume)]),
                ..Default::default()
            }),
            networking_config: join.map(|join| NetworkingConfig {
                endpoints_config: Some(HashMap::from([(join.network_id.clone(), endpoint(join))])),
            }),
            ..Default::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let id = self.other.create_container(Some(options), body).await.expect("others may create").id;
        self.other.start_container(&id, None::<StartContainerOptions>).await.expect("others may start");
        name
    }
}

#[tokio::test]
async fn a_renamed_container_is_found_by_its_original_name_and_gets_it_back() {
    let world = World::new().await;
    let image = world.image().await;
    let spec = world.spec("web", &image, &["serve"]);
    let engine = &world.engine;
    let id = engine.create(&spec).await.unwrap();
    engine.start(&spec.name).await.unwrap();
    let called = world.name("debug");
    world.rename(&id, &called).await;
    let listed = engine.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].id, &listed[0].name, &listed[0].called), (&id, &spec.name, &called));
    assert_eq!(engine.create(&spec).await.unwrap(), id, "no second one is made");
    assert_eq!(engine.start(&spec.name).await.unwrap(), Changed::AlreadySo);
    assert_eq!(engine.inspect(&spec.name).await.unwrap().expect("it is there").container, listed[0]);
    assert_eq!(engine.inspect(&called).await.unwrap(), None, "it was not made under that name");
    assert_eq!(engine.set_restart_policy(&spec.name, RestartPolicy::Always).await.unwrap(), Changed::Done);
    assert_eq!(engine.restore_name(&spec.name).await.unwrap(), Changed::Done);
    assert_eq!(engine.restore_name(&spec.name).await.unwrap(), Changed::AlreadySo);
    assert_eq!(engine.list().await.unwrap()[0].called, spec.name);
    world.rename(&id, &called).await;
    assert_eq!(engine.remove(&spec.name).await.unwrap(), Changed::Done, "it also ends under another name");
    assert_eq!(engine.list().await.unwrap(), vec![]);
}

#[tokio::test]
async fn a_new_process_recognises_a_renamed_container_by_a_remembered_id() {
    let world = World::new().await;
    let image = world.image().await;
    let spec = world.spec("web", &image, &["serve"]);
    let id = world.engine.create(&spec).await.unwrap();
    world.rename(&id, &world.name("debug")).await;
    let fresh = DockerEngine::connect(&socket(), world.installation.clone()).unwrap();
    assert_eq!(fresh.list().await.unwrap(), vec![], "labels alone do not prove it");
    fresh.remember(vec![MadeContainer { id: id.clone(), name: spec.name.clone() }]);
    assert_eq!(fresh.list().await.unwrap()[0].name, spec.name);
    assert_eq!(fresh.create(&spec).await.unwrap(), id);
}

#[tokio::test]
async fn two_containers_that_swapped_names_are_still_distinguished() {
    let world = World::new().await;
    let image = world.image().await;
    let (one, two) = (world.spec("one", &image, &["serve"]), world.spec("two", &image, &["serve"]));
    let engine = &world.engine;
    let (one_id, two_id) = (engine.create(&one).await.unwrap(), engine.create(&two).await.unwrap());
    world.rename(&one_id, &world.name("aside")).await;
    world.rename(&two_id, &one.name).await;
    world.rename(&one_id, &two.name).await;
    for (spec, id) in [(&one, &one_id), (&two, &two_id)] {
        assert_eq!(engine.inspect(&spec.name).await.unwrap().expect("there").container.id, *id);
        assert_eq!(engine.create(spec).await.unwrap(), *id);
    }
    let error = engine.restore_name(&one.name).await.unwrap_err();
    assert!(matches!(error, EngineError::NameTaken { .. }), "{error}");
    engine.remove(&one.name).await.unwrap();
    assert_eq!(engine.list().await.unwrap()[0].id, two_id);
    assert_eq!(engine.restore_name(&two.name).await.unwrap(), Changed::Done);
}

#[tokio::test]
async fn the_holder_of_an_address_is_named_and_a_container_that_never_ran_can_get_another_address() {
    let world = World::new().await;
    let image = world.image().await;
    let (network, net) = world.network("net").await;
    let join = world.join(&network, &net, 7);
    let foreign = world.foreign_container("foreign", &image, Some(&join), None).await;
    let spec = ContainerSpec { network: Some(join.clone()), ..world.spec("web", &image, &["serve"]) };
    world.engine.create(&spec).await.unwrap();
    let error = world.engine.start(&spec.name).await.unwrap_err();
    let EngineError::AddressTaken { holder: Some(holder), .. } = &error else { panic!("{error}") };
    assert_eq!((&holder.container, holder.address), (&foreign, join.address));
    let members = world.engine.network_members(&net.name).await.unwrap();
    assert!(members.iter().any(|it| it.called == foreign && it.address == Some(join.address)), "{members:?}");
    let free = world.join(&network, &net, 8);
    assert_eq!(world.engine.connect(&spec.name, &free).await.unwrap(), Changed::Done);
    assert_eq!(world.engine.connect(&spec.name, &free).await.unwrap(), Changed::AlreadySo);
    assert_eq!(world.engine.start(&spec.name).await.unwrap(), Changed::Done);
    assert_eq!(world.engine.list().await.unwrap()[0].addresses, vec![free.address]);
    assert_eq!(world.engine.connect(&spec.name, &free).await.unwrap(), Changed::AlreadySo);
    let error = world.engine.connect(&spec.name, &join).await.unwrap_err();
    assert!(matches!(&error, EngineError::AddressTaken { holder: Some(it), .. } if it.container == foreign), "{error}");
    let error = world.engine.remove_network(&net.name).await.unwrap_err();
    assert!(matches!(&error, EngineError::NetworkInUse { by, .. } if by.contains(&foreign)), "{error}");
}

#[tokio::test]
async fn a_container_connected_at_another_address_or_without_its_alias_gets_its_endpoint_back() {
    let world = World::new().await;
    let image = world.image().await;
    let (network, net) = world.network("net").await;
    let join = world.join(&network, &net, 9);
    let spec = ContainerSpec { network: Some(join.clone()), ..world.spec("web", &image, &["serve"]) };
    let id = world.engine.create(&spec).await.unwrap();
    world.engine.start(&spec.name).await.unwrap();
    for host in [10, 9] {
        world.disconnect(&network, &id).await;
        let by_hand = NetworkConnectRequest {
            container: id.clone(),
            endpoint_config: Some(EndpointSettings {
                ipam_config: Some(EndpointIpamConfig {
                    ipv4_address: Some(world.join(&network, &net, host).address.to_string()),
                    ..Default::default()
                }),
                ..Default::default()
            }),
        };
        world.other.connect_network(&network.id, by_hand).await.unwrap();
        assert_eq!(world.engine.connect(&spec.name, &join).await.unwrap(), Changed::Done);
        let details = world.engine.inspect(&spec.name).await.unwrap().expect("there");
        assert_eq!(details.container.addresses, vec![join.address]);
        assert!(details.aliases.contains(&"web".to_owned()), "{:?}", details.aliases);
    }
}

#[tokio::test]
async fn a_container_whose_network_was_removed_starts_again_on_the_new_one() {
    let world = World::new().await;
    let image = world.image().await;
    let (network, net) = world.network("net").await;
    let join = world.join(&network, &net, 9);
    let spec = ContainerSpec { network: Some(join), ..world.spec("web", &image, &["serve"]) };
    let id = world.engine.create(&spec).await.unwrap();
    world.engine.start(&spec.name).await.unwrap();
    world.engine.stop(&spec.name, std::time::Duration::ZERO).await.unwrap();
    world.engine.remove_network(&net.name).await.unwrap();
    let again = world.engine.ensure_network(&net).await.unwrap();
    let error = world.engine.start(&spec.name).await.unwrap_err();
    assert!(matches!(&error, EngineError::NotFound { .. }), "{error}");
    let join = world.join(&again, &net, 9);
    assert_eq!(world.engine.connect(&spec.name, &join).await.unwrap(), Changed::Done);
    assert_eq!(world.engine.start(&spec.name).await.unwrap(), Changed::Done);
    let listed = world.engine.list().await.unwrap();
    assert_eq!((&listed[0].id, &listed[0].addresses), (&id, &vec![join.address]));
}

#[tokio::test]
async fn limits_changed_by_hand_are_visible_and_can_be_reset_while_the_container_runs() {
    let world = World::new().await;
    let image = world.image().await;
    let spec = world.spec("web", &image, &["serve"]);
    let id = world.engine.create(&spec).await.unwrap();
    world.engine.start(&spec.name).await.unwrap();
    let limits = async || world.engine.inspect(&spec.name).await.unwrap().expect("there").limits;
    let made = limits().await;
    assert_eq!(made.memory_bytes, spec.limits.memory_bytes);
    assert_eq!(world.engine.set_limits(&spec.name, spec.limits).await.unwrap(), Changed::AlreadySo);
    let bytes = Some(32 << 20);
    let by_hand = ContainerUpdateBody { memory: bytes, memory_swap: bytes, ..Default::default() };
    world.other.update_container(&id, by_hand).await.unwrap();
    assert_eq!(limits().await.memory_bytes, 32 << 20);
    assert_eq!(world.engine.set_limits(&spec.name, spec.limits).await.unwrap(), Changed::Done);
    assert_eq!(limits().await, made);
}

#[tokio::test]
async fn all_containers_that_mount_a_volume_are_listed_even_a_renamed_one_without_a_record() {
    let world = World::new().await;
    let image = world.image().await;
    let volume = world.name("data");
    world.engine.ensure_volume(&volume, &world.identity(Role::Volume, "db")).await.unwrap();
    let mount = VolumeMount { volume: volume.clone(), path: "/data".into() };
    let spec = ContainerSpec { volume: Some(mount), ..world.spec("db", &image, &["serve"]) };
    assert_eq!(world.engine.volume_users(&volume, &spec.name).await.unwrap(), vec![]);
    let id = world.engine.create(&spec).await.unwrap();
    let called = world.name("aside");
    world.rename(&id, &called).await;
    let foreign = world.foreign_container("foreign", &image, None, Some(&volume)).await;
    let fresh = DockerEngine::connect(&socket(), world.installation.clone()).unwrap();
    let users = fresh.volume_users(&volume, &spec.name).await.unwrap();
    let mut users: Vec<_> = users.iter().map(|it| (it.called.clone(), it.runs, it.container.is_some())).collect();
    users.sort();
    assert_eq!(users, vec![(called, false, true), (foreign, true, false)]);
    assert_eq!(fresh.create(&spec).await.unwrap(), id, "create finds the renamed container");
    assert_eq!(fresh.volume_users("/data", &spec.name).await.unwrap(), vec![], "a path is no volume");
}

#[tokio::test]
async fn a_pause_and_a_rename_send_events() {
    let world = World::new().await;
    let image = world.image().await;
    let spec = world.spec("web", &image, &["serve"]);
    let id = world.engine.create(&spec).await.unwrap();
    world.engine.start(&spec.name).await.unwrap();
    let mut events = world.engine.events().await.unwrap();
    let events_arrive = tokio::spawn(async move {
        let mut missing = vec!["pause", "unpause", "rename"];
        while !missing.is_empty() {
            let event = events.next().await.expect("the engine is up");
            missing.retain(|action| *action != event.action);
        }
    });
    // The streams send their requests at the first poll.
    tokio::task::yield_now().await;
    world.other.pause_container(&id).await.unwrap();
    assert_eq!(world.engine.start(&spec.name).await.unwrap(), Changed::Done, "it continues");
    world.rename(&id, &world.name("aside")).await;
    tokio::time::timeout(ENDS_WITHIN, events_arrive).await.expect("all events arrive").unwrap();
}
