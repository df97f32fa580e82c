//! Images: find, tag, list, remove, and failed pulls with a reason.

use engine::*;

use crate::support::World;

#[tokio::test]
async fn an_image_is_found_by_tag_and_by_id_and_does_not_exist_after_its_last_tag_is_removed() {
    let world = World::new().await;
    let image = world.image().await;
    let (first, second) = (world.tag("image"), world.tag("second"));
    let engine = &world.engine;
    assert_eq!(engine.image(&first).await.unwrap(), Some(image.clone()));
    assert_eq!(engine.image(&image).await.unwrap(), Some(image.clone()));
    engine.tag(&image, &second).await.unwrap();
    engine.tag(&image, &second).await.unwrap();
    let prefix = first.trim_end_matches("image").to_owned();
    let tags = engine.tags(&prefix).await.unwrap();
    let both: Vec<_> = tags.iter().map(|it| (&it.reference, &it.id)).collect();
    assert_eq!(both, [(&first, &image), (&second, &image)]);
    assert!(tags.iter().all(|it| it.size_bytes > 0 && it.created_seconds > 0), "{tags:?}");
    assert!(engine.tags("").await.unwrap().iter().any(|it| it.reference == first), "an empty prefix selects all");
    assert_eq!(engine.remove_image(&first).await.unwrap(), Changed::Done);
    assert_eq!(engine.remove_image(&first).await.unwrap(), Changed::AlreadySo);
    assert_eq!(engine.image(&second).await.unwrap(), Some(image));
    assert_eq!(engine.remove_image(&second).await.unwrap(), Changed::Done);
    assert_eq!(engine.image(&second).await.unwrap(), None);
}

#[tokio::test]
async fn an_image_in_use_is_not_removed() {
    let world = World::new().await;
    let image = world.build("used", "FROM scratch\nCOPY helper /bin/used\n").await.unwrap();
    // A container that only keeps the image: created, never started.
    world.engine.create(&world.spec("pin", &image, &["serve"])).await.unwrap();
    let error = world.engine.remove_image(&world.tag("used")).await.unwrap_err();
    assert!(matches!(error, EngineError::Conflict { .. }), "{error}");
    assert_eq!(world.engine.image(&image).await.unwrap(), Some(image));
}

#[tokio::test]
async fn tagging_a_missing_image_names_it() {
    let world = World::new().await;
    let error = world.engine.tag(&world.tag("nothing"), &world.tag("new")).await.unwrap_err();
    assert!(matches!(error, EngineError::ImageMissing { .. }), "{error}");
}

#[tokio::test]
async fn a_missing_image_has_no_digest() {
    let world = World::new().await;
    assert_eq!(world.engine.image_digest(&world.tag("nothing")).await.unwrap(), None);
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_named_with_the_cause() {
    let world = World::new().await;
    // Nothing listens on that port of the engine's host.
    let reference = "127.0.0.1:1/nothing:1";
    let error = world.engine.registry_digest(reference, None).await.unwrap_err();
    assert!(matches!(&error, EngineError::RegistryQueryFailed { cause, .. } if !cause.is_empty()), "{error}");
    assert!(error.to_string().contains(reference) && !error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_pull_that_fails_names_the_image_and_the_cause() {
    let world = World::new().await;
    // Nothing listens on that port of the engine's host.
    let reference = "127.0.0.1:1/nothing:1";
    let error = world.engine.pull(reference, None).await.unwrap_err();
    assert!(
        matches!(&error, EngineError::PullFailed { problem: PullProblem::Unreachable, cause, .. } if !cause.is_empty()),
        "{error}"
    );
    assert!(error.to_string().contains(reference));
}

#[tokio::test]
async fn a_missing_socket_or_one_without_a_listener_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let installation = Installation { id: "t".into(), key: [0; 32] };
    let missing = folder.path().join("missing.sock");
    let error = DockerEngine::connect(&missing, installation.clone()).err().expect("there is no socket");
    assert!(matches!(error, EngineError::Unreachable { .. }), "{error}");
    let dead = folder.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let engine = DockerEngine::connect(&dead, installation).unwrap();
    for error in [engine.list().await.unwrap_err(), engine.events().await.err().expect("no events")] {
        assert!(matches!(error, EngineError::Unreachable { .. }) && error.is_transient(), "{error}");
        assert!(error.to_string().contains("dead.sock"));
    }
}
