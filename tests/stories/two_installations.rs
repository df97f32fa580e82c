//! Two installations on one engine: neither sees the other's apps.

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn two_installations_on_one_engine_do_not_affect_each_other() {
    let (one, other) = tokio::join!(installation(), installation());
    let deploy_and_restart = async |at: &boatyard_tests::installation::Installation| {
        at.create(&shop()).await.unwrap();
        let app = app_id(at, "shop").await;
        for _ in 0..2 {
            let deployment = at.restart(&app, &[]).await.unwrap();
            at.wait_active(&app, &deployment).await.unwrap();
        }
        app
    };
    let (app, other_app) = tokio::join!(deploy_and_restart(&one), deploy_and_restart(&other));
    let containers = other.container_ids(&other_app, "web").await.unwrap();
    one.delete(&app).await.unwrap();
    assert_eq!(one.engine_containers().await.unwrap(), Vec::<String>::new());
    assert_eq!(other.container_ids(&other_app, "web").await.unwrap(), containers);
    assert!(page(&other, "/").await.contains("web"));
}
