//! Boatyard never lists, adopts, stops or removes another owner's objects, whatever their labels say.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, NetworkCreateRequest, VolumeCreateRequest};
use bollard::query_parameters::{CreateContainerOptionsBuilder, InspectContainerOptions};
use engine::identity::Kind;
use engine::*;

use crate::support::World;

impl World {
    /// A container that another client creates. Its label lets the test's guard find it.
    async fn foreign(&self, name: &str, image: &str, labels: HashMap<String, String>) -> String {
        let mut labels = labels;
        labels.entry("io.boatyard.installation".into()).or_insert_with(|| self.installation.id.clone());
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let body = ContainerCreateBody { image: Some(image.into()), labels: Some(labels), ..Default::default() };
        self.other.create_container(Some(options), body).await.expect("others may create").id
    }
}

#[tokio::test]
async fn a_name_of_another_owners_container_is_not_taken() {
    let world = World::new().await;
    let image = world.image().await;
    let spec = world.spec("web", &image, &["serve"]);
    let theirs = world.foreign(&spec.name, &image, HashMap::new()).await;
    let error = world.engine.create(&spec).await.unwrap_err();
    assert!(matches!(&error, EngineError::NameTaken { name } if *name == spec.name), "{error}");
    assert_eq!(world.engine.list().await.unwrap(), vec![]);
    assert_eq!(world.engine.inspect(&spec.name).await.unwrap(), None);
    assert_eq!(world.engine.stop(&spec.name, Duration::ZERO).await.unwrap(), Changed::AlreadySo);
    assert_eq!(world.engine.remove(&spec.name).await.unwrap(), Changed::AlreadySo);
    world.other.inspect_container(&theirs, None::<InspectContainerOptions>).await.expect("theirs is still there");
}

#[tokio::test]
async fn a_container_with_another_identity_keeps_its_name() {
    let world = World::new().await;
    let image = world.image().await;
    let spec = world.spec("web", &image, &["serve"]);
    world.engine.create(&spec).await.unwrap();
    let other = ContainerSpec { identity: Identity { generation: 2, ..spec.identity.clone() }, ..spec.clone() };
    let error = world.engine.create(&other).await.unwrap_err();
    assert!(matches!(error, EngineError::NameTaken { .. }), "{error}");
}

#[tokio::test]
async fn labels_forged_by_an_image_or_copied_to_another_name_are_not_recognised() {
    let world = World::new().await;
    // Valid labels of a Boatyard container, in an image, as `docker commit` would put them there.
    let labels = world.installation.labels(Kind::Container, &world.name("web"), &world.identity(Role::Instance, "web"));
    let lines: String = labels.iter().map(|(key, value)| format!("LABEL {key}={value:?}\n")).collect();
    let image = world.build("forged", &format!("FROM scratch\nCOPY helper /bin/sh\n{lines}")).await.unwrap();
    let options = CreateContainerOptionsBuilder::default().name(&world.name("forged")).build();
    let body = ContainerCreateBody { image: Some(image), cmd: Some(vec!["/bin/sh".into()]), ..Default::default() };
    world.other.create_container(Some(options), body).await.unwrap();
    assert_eq!(world.engine.list().await.unwrap(), vec![]);
    assert_eq!(world.engine.remove(&world.name("forged")).await.unwrap(), Changed::AlreadySo);
}

#[tokio::test]
async fn an_image_with_boatyards_labels_does_not_change_a_containers_identity() {
    let world = World::new().await;
    let liar = "FROM scratch\nCOPY helper /bin/sh\nLABEL io.boatyard.app=evil io.boatyard.revision=evil\n";
    let image = world.build("liar", liar).await.unwrap();
    let spec = world.spec("web", &image, &["serve"]);
    world.engine.create(&spec).await.unwrap();
    assert_eq!(world.engine.list().await.unwrap()[0].identity, spec.identity);
}

#[tokio::test]
async fn two_installations_do_not_see_each_other() {
    let (one, two) = (World::new().await, World::new().await);
    let image = one.image().await;
    let spec = one.spec("web", &image, &["serve"]);
    one.engine.create(&spec).await.unwrap();
    assert_eq!(two.engine.list().await.unwrap(), vec![]);
    assert_eq!(two.engine.remove(&spec.name).await.unwrap(), Changed::AlreadySo);
    assert_eq!(one.engine.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn networks_and_volumes_of_other_owners_are_not_taken() {
    let world = World::new().await;
    let label = HashMap::from([("io.boatyard.installation".to_owned(), world.installation.id.clone())]);
    let (network, volume) = (world.network_spec("net"), world.name("data"));
    let theirs = NetworkCreateRequest { name: network.name.clone(), labels: Some(label.clone()), ..Default::default() };
    world.other.create_network(theirs).await.unwrap();
    let theirs = VolumeCreateRequest { name: Some(volume.clone()), labels: Some(label), ..Default::default() };
    world.other.create_volume(theirs).await.unwrap();
    let error = world.engine.ensure_network(&network).await.unwrap_err();
    assert!(matches!(error, EngineError::NameTaken { .. }), "{error}");
    let error = world.engine.ensure_volume(&volume, &world.identity(Role::Volume, "db")).await.unwrap_err();
    assert!(matches!(error, EngineError::NameTaken { .. }), "{error}");
    assert_eq!(world.engine.remove_network(&network.name).await.unwrap(), Changed::AlreadySo);
    assert_eq!(world.engine.remove_volume(&volume).await.unwrap(), Changed::AlreadySo);
    assert!(world.other.inspect_volume(&volume).await.is_ok());
}
