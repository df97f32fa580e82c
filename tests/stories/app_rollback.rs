//! An app returns to an earlier deployment: with its images, from its commits, or not at all.

use boatyard_tests::engine;
use boatyard_tests::installation::{Container, ENDS_WITHIN, Installation};
use boatyard_tests::repo::Repo;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::*;

/// `shop` after three deployments, each of another commit of `web` and of `api`.
struct Released {
    at: Installation,
    app: String,
    spec: String,
}

async fn released() -> Released {
    let at = installation().await;
    let repos = [versioned(&at, "web"), versioned(&at, "api")];
    let spec = built_shop(&repos[0], &repos[1]);
    at.create(&spec).await.unwrap();
    let app = app_id(&at, "shop").await;
    for version in ["2", "3"] {
        release(&repos, version);
        let deployment = at.deploy(&app, json!({})).await.unwrap();
        at.wait_active(&app, &deployment).await.unwrap();
    }
    assert!(page(&at, "/").await.contains("web 3"));
    Released { at, app, spec }
}

fn release(repos: &[Repo], version: &str) {
    for repo in repos {
        write_version(repo, version, "");
        repo.commit("the next version").unwrap();
    }
}

/// Moves the repositories away, or back.
fn move_repositories(at: &Installation, from: &str, to: &str) {
    for name in ["web", "api"] {
        let path = |prefix: &str| at.sources().join(format!("{prefix}{name}"));
        std::fs::rename(path(from), path(to)).unwrap();
    }
}

impl Released {
    async fn deployment(&self, number: u64) -> Value {
        let path = format!("/v2/apps/{}/deployments/{number}", self.app);
        self.at.ok("GET", &path, None).await.unwrap()["deployment"].clone()
    }

    /// Removes the images of a deployment. Both repositories have the same content, so both tags may name one image.
    async fn remove_images(&self, number: u64) {
        let deployment = self.deployment(number).await;
        for name in ["web", "api"] {
            let tag = deployment["boatyard"]["images"][name]["reference"].as_str().unwrap();
            engine::remove_image(tag).await.unwrap();
        }
    }

    async fn pinned(&self) -> Value {
        let app = self.at.ok("GET", &format!("/v2/apps/{}", self.app), None).await.unwrap();
        app["app"]["pinned_deployment"]["boatyard"]["number"].clone()
    }

    /// Runs `boatyard apps` with `rollback` and these words.
    async fn rollback(&self, words: &[&str]) -> Output {
        run_cli(&self.at, &[&["apps", "rollback"][..], words].concat()).await
    }

    async fn containers(&self) -> Vec<Container> {
        self.at.containers(&self.app).await.unwrap()
    }
}

fn commit(deployment: &Value) -> &str {
    deployment["services"][0]["source_commit_hash"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_returns_to_an_earlier_deployment_by_its_image_or_its_commit_or_stays_as_it_is() {
    let shop = released().await;
    let at = &shop.at;
    let load = steady_traffic(at, 8, 100.0);

    // The repositories are gone, and the engine has the images.
    move_repositories(at, "", "away-");
    let checked = shop.rollback(&["shop", "--deployment", "1", "--validate"]).await;
    assert_eq!((checked.code, checked.out.as_str()), (Some(0), "valid\n"), "{}", checked.err);
    let serves = shop.rollback(&["shop", "--deployment", "3", "--validate", "-o", "json"]).await;
    assert!(serves.code == Some(1) && serves.err.contains("already serves"), "{}", serves.err);
    assert!(serves.out.contains("incompatible_phase"), "{}", serves.out);
    let plan = shop.rollback(&["shop", "--deployment", "1", "--dry-run"]).await;
    assert!(plan.out.contains("return to commit") && plan.out.contains("of web and its image"), "{}", plan.out);
    let back = shop.rollback(&["shop", "--deployment", "1", "--wait"]).await;
    assert_eq!(back.code, Some(0), "{}", back.err);
    for part in ["shop is pinned to deployment 4", "apps rollback commit shop", "apps rollback revert shop"] {
        assert!(back.err.contains(part), "{part}: {}", back.err);
    }
    assert!(page(at, "/").await.contains("web 1") && page(at, "/api/").await.contains("api 1"));
    let (first, fourth) = (shop.deployment(1).await, shop.deployment(4).await);
    assert_eq!((&fourth["cloned_from"], commit(&fourth)), (&first["id"], commit(&first)));
    assert_eq!(fourth["cause_details"]["type"], "MANUAL_ROLLBACK");
    assert_eq!(fourth["boatyard"]["images"]["web"]["built"], false);
    assert_eq!(failed_in_record(&fourth), 0, "{fourth:#}");

    // Pinned: nothing new is deployed, except a restart.
    let (status, refused) =
        at.call("POST", &format!("/v2/apps/{}/deployments", shop.app), Some(&json!({}))).await.unwrap();
    assert_eq!(status, 409, "{refused}");
    let shown = run_cli(at, &["apps", "get", "shop"]).await;
    assert!(shown.err.contains("shop is pinned to deployment 4"), "{}", shown.err);
    let restart = at.restart(&shop.app, &["api"]).await.unwrap();
    at.wait_active(&shop.app, &restart).await.unwrap();
    assert_eq!(shop.pinned().await, 4);

    let reverted = shop.rollback(&["revert", "shop", "--wait"]).await;
    assert_eq!(reverted.code, Some(0), "{}", reverted.err);
    assert!(page(at, "/").await.contains("web 3") && page(at, "/api/").await.contains("api 3"));
    assert_eq!(shop.pinned().await, Value::Null);
    let again = shop.rollback(&["revert", "shop"]).await;
    assert!(again.code == Some(1) && again.err.contains("not pinned"), "{}", again.err);

    // The images are gone, and the repositories are there.
    move_repositories(at, "away-", "");
    shop.remove_images(1).await;
    let rebuilt = shop.rollback(&["shop", "--deployment", "1", "--wait"]).await;
    assert_eq!(rebuilt.code, Some(0), "{}", rebuilt.err);
    let newest = shop.deployment(7).await;
    assert_eq!(commit(&newest), commit(&first));
    // Both repositories have the same content, so the second of the two builds reuses the image of the first.
    let built = |name: &str| newest["boatyard"]["images"][name]["built"] == true;
    assert!(built("web") || built("api"), "{newest:#}");
    assert!(page(at, "/").await.contains("web 1"));
    let committed = shop.rollback(&["commit", "shop"]).await;
    assert_eq!(committed.code, Some(0), "{}", committed.err);

    // An update keeps the commits that the rollback brought back.
    let file = spec_file(at, &shop.spec.replace("value: web, scope: RUN_TIME", "value: shopfront, scope: RUN_TIME"));
    let updated = run_cli(at, &["apps", "update", "shop", "--spec", &file, "--wait"]).await;
    assert_eq!(updated.code, Some(0), "{}", updated.err);
    assert_eq!(commit(&shop.deployment(8).await), commit(&first));
    assert!(page(at, "/").await.contains("shopfront 1"));

    // Both are gone.
    move_repositories(at, "", "away-");
    shop.remove_images(3).await;
    let before = shop.containers().await;
    let failed = shop.rollback(&["shop", "--deployment", "3", "--wait"]).await;
    assert_eq!(failed.code, Some(1), "{}", failed.err);
    // The message names the component whose build failed first.
    assert!(
        failed.err.contains("failed: web: the image") || failed.err.contains("failed: api: the image"),
        "{}",
        failed.err
    );
    for part in ["of deployment 3", "nothing was changed", "boatyard apps list-deployments shop"] {
        assert!(failed.err.contains(part), "{part}: {}", failed.err);
    }
    assert!(!failed.err.contains("is pinned"), "{}", failed.err);
    assert_eq!(shop.containers().await, before);
    assert!(page(at, "/").await.contains("shopfront 1"));

    some_traffic(&load).await;
    let report = load.stop().await;
    println!("rollbacks: {report}");
    assert_eq!(report.failed_count, 0, "{report}");
    at.check_explained(&[&shop.app]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_killed_half_way_through_a_rollback_completes_it_and_its_revert() {
    let mut shop = released().await;
    move_repositories(&shop.at, "", "away-");
    let load = steady_traffic(&shop.at, 8, 100.0);
    let path = format!("/v2/apps/{}/rollback", shop.app);
    let first = shop.deployment(1).await["id"].clone();
    let rollback = shop.at.ok("POST", &path, Some(&json!({ "deployment_id": first }))).await.unwrap();
    kill_half_way(&mut shop, &rollback["deployment"]).await;
    assert!(page(&shop.at, "/").await.contains("web 1"));
    assert_eq!(shop.pinned().await, 4);

    let revert = shop.at.ok("POST", &format!("{path}/revert"), None).await.unwrap();
    kill_half_way(&mut shop, &revert["deployment"]).await;
    assert!(page(&shop.at, "/").await.contains("web 3"));
    assert_eq!(shop.pinned().await, Value::Null);

    some_traffic(&load).await;
    let report = load.stop().await;
    println!("a rollback and its revert with the controller killed: {report}");
    assert_eq!(report.failed_count, 0, "{report}");
    shop.at.check_explained(&[&shop.app]).await.unwrap();
}

/// Kills `serve` as soon as a deployment has created a container, starts it again, and waits until the deployment serves.
async fn kill_half_way(shop: &mut Released, deployment: &Value) {
    let before = shop.containers().await;
    let number = deployment["boatyard"]["number"].as_u64().unwrap();
    let deadline = Instant::now() + ENDS_WITHIN;
    while shop.containers().await.iter().all(|it| before.contains(it)) {
        let phase = shop.deployment(number).await["phase"].clone();
        assert!(phase != "ERROR" && Instant::now() < deadline, "no container was created: {phase}\n{}", shop.at.log());
    }
    shop.at.kill_serve();
    shop.at.serve().await.unwrap();
    println!("killed while {}", shop.deployment(number).await["phase"]);
    shop.at.wait_active(&shop.app, deployment["id"].as_str().unwrap()).await.unwrap();
}
