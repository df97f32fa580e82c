//! The ingress is suspended while a deployment rolls, and then resumes: the deployment ends, and everything serves
//! again.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::*;

/// The log line of `serve` for each ingress connection that it closed after 10 s without an answer.
const GIVEN_UP: &str = "connection to the ingress is lost";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute, since the ingress is given up only after 10 s: make sweep"]
async fn an_ingress_suspended_during_a_rollout_accepts_new_routes_once_it_resumes() {
    let at = installation().await;
    at.create(&shop()).await.unwrap();
    let app = app_id(&at, "shop").await;
    let deployment = at.restart(&app, &[]).await.unwrap();
    at.freeze_ingress().unwrap();
    // `serve` gives up the first connection when its table gets no answer, the others when their hello gets none. The
    // ingress reads these messages once it resumes.
    let deadline = Instant::now() + Duration::from_secs(180);
    while at.count_in_log(GIVEN_UP) + at.count_in_log("did not answer hello") < 2 {
        assert!(Instant::now() < deadline, "nothing was given up:\n{}", at.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A third hello is under way now, and one more operation waits.
    tokio::time::sleep(Duration::from_secs(12)).await;
    at.thaw_ingress().unwrap();
    let thawed = Instant::now();
    let ended = at.wait(&app, &deployment).await.unwrap();
    println!("the deployment ended {} s after the ingress resumed: {}", thawed.elapsed().as_secs_f32(), ended["phase"]);
    assert!(page(&at, "/").await.contains("web"));

    let canceled = at.restart(&app, &[]).await.unwrap();
    at.ok("POST", &format!("/v2/apps/{app}/deployments/{canceled}/cancel"), Some(&json!({}))).await.unwrap();
    at.wait(&app, &canceled).await.unwrap();
    let other = shop().replace("name: shop", "name: other");
    at.create(&other).await.unwrap();
    at.delete(&app_id(&at, "other").await).await.unwrap();
    println!("cancel, create and delete ended {} s after the ingress resumed", thawed.elapsed().as_secs_f32());
    at.check_explained(&[&app]).await.unwrap();
}
