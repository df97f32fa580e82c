//! Logs of instances that were replaced or restarted.

use boatyard_tests::engine;
use boatyard_tests::installation::{ENDS_WITHIN, Installation};

use crate::support::*;

async fn logs(at: &Installation, arguments: &[&str]) -> Output {
    run_cli(at, &[&["apps", "logs", "shop"], arguments].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_distinguish_deployments_and_processes() {
    let at = installation().await;
    let spec = shop().replacen("value: api}", "value: api}, {key: PRINT, value: open-for-business}", 1);
    at.create(&spec).await.unwrap();
    let app = app_id(&at, "shop").await;
    let deployment = at.restart(&app, &["api"]).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();

    let now = logs(&at, &["api", "--deployment", "2"]).await;
    assert!(now.out.contains("open-for-business"), "{}", now.err);
    assert_eq!(logs(&at, &["api", "--tail", "0"]).await.out, "");
    let before = logs(&at, &["api", "--deployment", "1"]).await;
    assert_eq!((before.code, before.out.as_str()), (Some(1), ""));
    assert!(before.err.contains("of deployment 1 runs any more"), "{}", before.err);

    assert_eq!(logs(&at, &["api", "--type", "run_restarted"]).await.out, "");
    let docker = engine::connect().unwrap();
    docker.kill_container(&at.container_ids(&app, "api").await.unwrap()[0], None).await.unwrap();
    let deadline = std::time::Instant::now() + ENDS_WITHIN;
    loop {
        let (all, old) = (logs(&at, &["api"]).await.out, logs(&at, &["api", "--type", "run_restarted"]).await.out);
        let count = |text: &str| text.matches("open-for-business").count();
        if count(&all) == 2 && count(&old) == 1 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{all}\n{old}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
