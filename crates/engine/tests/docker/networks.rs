//! Networks and volumes, and addresses that do not change.

use std::net::Ipv4Addr;
use std::time::Duration;

use bollard::models::NetworkDisconnectRequest;
use engine::*;
use futures::StreamExt;

use crate::support::{ENDS_WITHIN, World};

#[tokio::test]
async fn many_concurrent_ensures_of_one_network_give_one_network() {
    let world = World::new().await;
    let (network, spec) = world.network("net").await;
    let again = futures::future::join_all((0..8).map(|_| world.engine.ensure_network(&spec))).await;
    assert!(again.iter().all(|again| again.as_ref().is_ok_and(|again| *again == network)), "{again:?}");
    assert_eq!(world.engine.networks().await.unwrap(), vec![network]);
    assert_eq!(world.engine.remove_network(&spec.name).await.unwrap(), Changed::Done);
    assert_eq!(world.engine.remove_network(&spec.name).await.unwrap(), Changed::AlreadySo);
}

#[tokio::test]
async fn many_concurrent_creates_of_a_new_network_give_one_network() {
    let world = World::new().await;
    for _ in 0..20 {
        let spec = world.network_spec("net");
        let made = futures::future::join_all((0..8).map(|_| world.engine.ensure_network(&spec))).await;
        if made.iter().any(|made| matches!(made, Err(EngineError::SubnetTaken { .. }))) {
            continue;
        }
        assert!(made.iter().all(Result::is_ok), "{made:?}");
        assert_eq!(world.engine.networks().await.unwrap().len(), 1);
        return;
    }
    panic!("twenty subnets at random, all taken");
}

#[tokio::test]
async fn a_subnet_in_use_is_named() {
    let world = World::new().await;
    let (_, spec) = world.network("net").await;
    let second = NetworkSpec { name: world.name("second"), ..spec.clone() };
    let error = world.engine.ensure_network(&second).await.unwrap_err();
    assert!(matches!(&error, EngineError::SubnetTaken { subnet, .. } if *subnet == spec.subnet), "{error}");
}

#[tokio::test]
async fn an_address_stays_with_its_container_and_another_cannot_use_it() {
    let world = World::new().await;
    let image = world.image().await;
    let (network, net) = world.network("net").await;
    let join = world.join(&network, &net, 7);
    let spec = ContainerSpec { network: Some(join.clone()), ..world.spec("web", &image, &["serve"]) };
    world.engine.create(&spec).await.unwrap();
    let address = async || world.engine.inspect(&spec.name).await.unwrap().expect("there").container.addresses;
    for _ in 0..2 {
        world.engine.start(&spec.name).await.unwrap();
        assert_eq!(address().await, vec![join.address]);
        assert_eq!(world.engine.list().await.unwrap()[0].addresses, vec![join.address]);
        world.engine.stop(&spec.name, Duration::from_secs(5)).await.unwrap();
    }
    world.engine.start(&spec.name).await.unwrap();
    let rival = ContainerSpec { name: world.name("rival"), ..spec.clone() };
    world.engine.create(&rival).await.unwrap();
    let error = world.engine.start(&rival.name).await.unwrap_err();
    assert!(matches!(error, EngineError::AddressTaken { .. }), "{error}");
}

#[tokio::test]
async fn a_container_disconnected_by_hand_reconnects_at_its_address() {
    let world = World::new().await;
    let image = world.image().await;
    let (network, net) = world.network("net").await;
    let join = world.join(&network, &net, 9);
    let spec = ContainerSpec { network: Some(join.clone()), ..world.spec("web", &image, &["serve"]) };
    let id = world.engine.create(&spec).await.unwrap();
    world.engine.start(&spec.name).await.unwrap();
    assert_eq!(world.engine.connect(&spec.name, &join).await.unwrap(), Changed::AlreadySo);
    let by_hand = NetworkDisconnectRequest { container: id, force: Some(true) };
    world.other.disconnect_network(&network.id, by_hand).await.unwrap();
    assert_eq!(world.engine.list().await.unwrap()[0].addresses, Vec::<Ipv4Addr>::new());
    assert_eq!(world.engine.connect(&spec.name, &join).await.unwrap(), Changed::Done);
    assert_eq!(world.engine.list().await.unwrap()[0].addresses, vec![join.address]);
}

#[tokio::test]
async fn a_published_port_stays_with_its_container_and_nothing_else_gets_it() {
    let world = World::new().await;
    let image = world.image().await;
    let (network, net) = world.network("net").await;
    let port = free_port();
    let published =
        vec![PublishedPort { container: 8080, host: Some(port) }, PublishedPort { container: 9090, host: None }];
    let join = Some(world.join(&network, &net, 9));
    let spec = ContainerSpec { network: join, published, ..world.spec("web", &image, &["serve"]) };
    world.engine.create(&spec).await.unwrap();
    let chosen = [PublishedPort { container: 8080, host: Some(port) }];
    assert_eq!(world.engine.list().await.unwrap()[0].published, chosen, "a container that does not run has its ports");

    let rival = ContainerSpec {
        name: world.name("rival"),
        network: Some(world.join(&network, &net, 10)),
        published: chosen.into(),
        ..spec.clone()
    };
    let error = world.engine.create(&rival).await.unwrap_err();
    assert!(matches!(&error, EngineError::PortTaken { port: Some(it), .. } if *it == port), "{error}");

    world.engine.start(&spec.name).await.unwrap();
    let running = world.engine.inspect(&spec.name).await.unwrap().unwrap().container.published;
    assert_eq!(running, world.engine.list().await.unwrap()[0].published);
    assert!(running.contains(&chosen[0]) && running.len() == 2 && running.iter().all(|it| it.host.is_some()));

    world.engine.stop(&spec.name, Duration::from_secs(5)).await.unwrap();
    let _other = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let error = world.engine.start(&spec.name).await.unwrap_err();
    assert!(matches!(&error, EngineError::PortTaken { port: Some(it), .. } if *it == port), "{error}");
}

/// Below the ports that the system gives to outgoing connections.
fn free_port() -> u16 {
    let port = || 10_000 + u16::from(uuid::Uuid::new_v4().as_bytes()[0]) * 30;
    std::iter::repeat_with(port).find(|it| std::net::TcpListener::bind(("127.0.0.1", *it)).is_ok()).expect("endless")
}

#[tokio::test]
async fn a_network_in_use_is_not_removed() {
    let world = World::new().await;
    let image = world.image().await;
    let (network, net) = world.network("net").await;
    let join = world.join(&network, &net, 7);
    let spec = ContainerSpec { network: Some(join), ..world.spec("web", &image, &["serve"]) };
    world.engine.create(&spec).await.unwrap();
    world.engine.start(&spec.name).await.unwrap();
    let error = world.engine.remove_network(&net.name).await.unwrap_err();
    assert!(matches!(&error, EngineError::NetworkInUse { by, .. } if *by == [spec.name.clone()]), "{error}");
}

#[tokio::test]
async fn a_start_on_a_removed_network_names_what_is_missing() {
    let world = World::new().await;
    let image = world.image().await;
    let (network, net) = world.network("net").await;
    let join = world.join(&network, &net, 7);
    let spec = ContainerSpec { network: Some(join), ..world.spec("web", &image, &["serve"]) };
    world.engine.create(&spec).await.unwrap();
    world.engine.remove_network(&net.name).await.unwrap();
    let error = world.engine.start(&spec.name).await.unwrap_err();
    assert!(matches!(&error, EngineError::NotFound { what } if what.contains("network")), "{error}");
}

#[tokio::test]
async fn a_container_is_not_created_on_a_missing_volume() {
    let world = World::new().await;
    let image = world.image().await;
    let volume = Some(VolumeMount { volume: world.name("data"), path: "/data".into() });
    let spec = ContainerSpec { volume, ..world.spec("db", &image, &["serve"]) };
    let error = world.engine.create(&spec).await.unwrap_err();
    assert!(matches!(&error, EngineError::NotFound { what } if what.contains("volume")), "{error}");
    assert_eq!(world.engine.list().await.unwrap(), vec![]);
}

#[tokio::test]
async fn events_report_a_container_that_leaves_a_network() {
    let world = World::new().await;
    let image = world.image().await;
    let mut events = world.engine.events().await.unwrap();
    let (network, net) = world.network("net").await;
    let join = world.join(&network, &net, 9);
    let spec = ContainerSpec { network: Some(join), ..world.spec("web", &image, &["serve"]) };
    let id = world.engine.create(&spec).await.unwrap();
    world.engine.start(&spec.name).await.unwrap();
    let by_hand = NetworkDisconnectRequest { container: id.clone(), force: Some(true) };
    world.other.disconnect_network(&network.id, by_hand).await.unwrap();
    let next = async {
        loop {
            let event = events.next().await.expect("the engine is up");
            if event.action == "network disconnect" {
                return event;
            }
        }
    };
    // Containers of other tests leave their networks all the time, and this stream must not report those.
    let event = tokio::time::timeout(ENDS_WITHIN, next).await.expect("the event arrives");
    assert_eq!((event.app.as_str(), event.container), ("5e7b", id));
}

#[tokio::test]
async fn a_volume_is_created_once_and_removed_only_when_unused() {
    let world = World::new().await;
    let image = world.image().await;
    let (name, identity) = (world.name("data"), world.identity(Role::Volume, "db"));
    assert_eq!(world.engine.ensure_volume(&name, &identity).await.unwrap(), Changed::Done);
    assert_eq!(world.engine.ensure_volume(&name, &identity).await.unwrap(), Changed::AlreadySo);
    assert_eq!(world.engine.volumes().await.unwrap(), vec![Volume { name: name.clone(), identity }]);
    let volume = Some(VolumeMount { volume: name.clone(), path: "/data".into() });
    let spec = ContainerSpec { volume, ..world.spec("db", &image, &["serve"]) };
    world.engine.create(&spec).await.unwrap();
    let error = world.engine.remove_volume(&name).await.unwrap_err();
    assert!(matches!(error, EngineError::Conflict { .. }), "{error}");
    world.engine.remove(&spec.name).await.unwrap();
    // Removing the container removes its anonymous volumes, never this one.
    assert_eq!(world.engine.volumes().await.unwrap().len(), 1);
    assert_eq!(world.engine.remove_volume(&name).await.unwrap(), Changed::Done);
    assert_eq!(world.engine.remove_volume(&name).await.unwrap(), Changed::AlreadySo);
}
