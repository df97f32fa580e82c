//! Two installations on one engine: neither sees the other's apps.

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn two_installations_deploy_restart_and_delete_side_by_side() {
    let (one, other) = tokio::join!(installation(), installation());
    let life = async |at: &boatyard_tests::installation::Installation| {
        at.create(&shop()).await.unwrap();
        let app = app_id(at, "shop").await;
        for _ in 0..2 {
            let deployment = at.restart(&app, &[]).await.unwrap();
            at.wait_active(&app, &deployment).await.unwrap();
        }
        app
    };
    let (app, others_app) = tokio::join!(life(&one), life(&other));
    let others = other.container_ids(&others_app, "web").await.unwrap();
    one.delete(&app).await.unwrap();
    assert_eq!(one.engine_containers().await.unwrap(), Vec::<String>::new());
    assert_eq!(other.container_ids(&others_app, "web").await.unwrap(), others);
    assert!(page(&other, "/").await.contains("web"));
}
