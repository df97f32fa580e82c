//! The disk with the data directory is full: everything starts again and serves, and changes work once there is space.

use boatyard_tests::by_hand::ByHand;
use boatyard_tests::installation::Installation;

use crate::support::*;

/// Space for the database, the logs and the ballast.
const DISK: u64 = 24 << 20;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "mounts a disk, which needs root: make sweep"]
async fn a_controller_killed_on_a_full_disk_starts_again_and_apps_keep_serving() {
    let mut at = Installation::start_on_small_disk(PROGRAM, DISK).await.unwrap();
    at.create(&shop()).await.unwrap();
    let app = app_id(&at, "shop").await;
    let load = traffic(&at, 4);
    at.disk().unwrap().fill().unwrap();
    at.kill_serve();
    // Uses up the space that was reserved for clean-ups, too.
    std::fs::remove_file(at.data().join("ballast")).ok();
    at.disk().unwrap().fill().unwrap();
    at.serve().await.unwrap();
    assert!(page(&at, "/").await.contains("web"));
    some_traffic(&load).await;
    let lost = at.container_ids(&app, "web").await.unwrap()[0].clone();
    let report = load.stop().await;
    assert_eq!(report.failed_count, 0, "{report}");
    ByHand::on(&lost).unwrap().kill().await.unwrap();
    at.kill_serve();
    at.kill_ingress().unwrap();
    at.disk().unwrap().fill().unwrap();
    at.serve().await.unwrap();
    for _ in 0..20 {
        assert!(page(&at, "/").await.contains("web"));
    }
    at.disk().unwrap().free().unwrap();
    let deployment = at.restart(&app, &[]).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();
    at.check_explained(&[&app]).await.unwrap();
}
