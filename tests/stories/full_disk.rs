//! The disk with the data directory is full: everything starts again and serves, and changes work once there is space.

use boatyard_tests::by_hand::ByHand;
use boatyard_tests::installation::Installation;
use boatyard_tests::repo::Repo;
use serde_json::json;

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

#[tokio::test(flavor = "multi_thread")]
#[ignore = "mounts a disk, which needs root: make sweep"]
async fn a_site_that_does_not_fit_on_the_disk_fails_its_deployment_and_the_one_that_serves_stays() {
    let at = Installation::start_on_small_disk(PROGRAM, DISK).await.unwrap();
    let repo = Repo::init(at.sources().join("site")).unwrap();
    repo.write("Dockerfile", "FROM scratch\nCOPY site /files/site\n").unwrap();
    repo.write("site/index.html", "a small site").unwrap();
    repo.commit("a small site").unwrap();
    let spec = "name: shop\nstatic_sites:\n- name: pages\n  dockerfile_path: Dockerfile\n  output_dir: /files/site\n";
    at.create(&format!("{spec}  git: {{repo_clone_url: '{}', branch: main}}\n", repo.url())).await.unwrap();
    let app = app_id(&at, "shop").await;
    let stored = || {
        let entries = std::fs::read_dir(at.data().join("sites").join(&app)).unwrap();
        entries.map(|it| it.unwrap().file_name()).collect::<Vec<_>>()
    };
    let before = stored();

    let large = |number: u8| format!("{}/site/{number}.bin", repo.url());
    for number in 1..=12 {
        // Mostly zeros, which take no space in the repository.
        let mut bytes = vec![0; 4 << 20];
        bytes[0] = number;
        std::fs::write(large(number), bytes).unwrap();
    }
    repo.commit("a large site").unwrap();
    let deployment = at.deploy(&app, json!({})).await.unwrap();
    let ended = at.wait(&app, &deployment).await.unwrap();
    assert_eq!(ended["phase"], "ERROR", "{ended:#}");
    let text = ended.to_string();
    assert!(text.contains("cannot store the files of the site") && text.contains("No space left"), "{ended:#}");
    assert!(page(&at, "/").await.contains("a small site"));
    assert_eq!(stored(), before, "nothing of the large site is left");

    (1..=12).for_each(|number| std::fs::remove_file(large(number)).unwrap());
    repo.write("site/index.html", "another small site").unwrap();
    repo.commit("another small site").unwrap();
    let deployment = at.deploy(&app, json!({})).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();
    assert!(page(&at, "/").await.contains("another small site"));
}
