//! Many apps on one engine: Boatyard assigns networks and addresses, and removes them with the apps.

use boatyard_tests::engine::app_networks_and_volumes_of;
use boatyard_tests::http;
use futures::{StreamExt, stream};

use crate::support::*;

/// Boatyard supports 100 apps. The test takes minutes, so only `make sweep` runs it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make sweep"]
async fn a_hundred_apps_are_created_and_deleted_without_remains() {
    create_and_delete(100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_apps_are_created_and_deleted_without_remains() {
    create_and_delete(8).await;
}

async fn create_and_delete(count: usize) {
    let at = installation().await;
    let spec = |number: usize| {
        format!(
            "name: tiny-{number}\nservices:\n- name: web\n  image: {TESTAPP}\n  envs: [{{key: NAME, value: tiny-{number}}}]\n"
        )
    };
    let created = stream::iter(0..count).map(|number| {
        let (at, spec) = (&at, spec(number));
        async move { at.create(&spec).await.map(|_| number) }
    });
    let created: Vec<_> = created.buffer_unordered(count).collect().await;
    for it in created {
        let number = it.unwrap();
        let host = format!("tiny-{number}.localhost");
        let (status, text) = http::page(at.http(), &host, "/").await.unwrap();
        assert!(status == 200 && text.contains(&format!("tiny-{number} ")), "{host}: {status} {text}");
    }
    let deleted = stream::iter(0..count).map(|number| {
        let at = &at;
        async move { at.delete(&app_id(at, &format!("tiny-{number}")).await).await }
    });
    let deleted: Vec<_> = deleted.buffer_unordered(count).collect().await;
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    assert_eq!(at.engine_containers().await.unwrap(), Vec::<String>::new());
    let (networks, volumes) = app_networks_and_volumes_of(&at.id().unwrap()).await.unwrap();
    assert_eq!(networks, Vec::<String>::new());
    assert_eq!(volumes.len(), 1, "only the fence: {volumes:?}");
}
