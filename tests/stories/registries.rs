//! Prebuilt images from a registry with a login: by tag and digest, with the right and a wrong login, and without the
//! registry.

use boatyard_tests::installation::Installation;
use boatyard_tests::registry::{PASSWORD, Registry, USERNAME};
use boatyard_tests::repo::Repo;
use serde_json::{Value, json};

use crate::support::*;

/// `more`: fields of the image.
fn spec(registry: &Registry, name: &str, more: &str) -> String {
    let host = registry.host();
    format!(
        "name: {name}
services:
- name: web
  image: {{registry_type: DOCKER_HUB, registry: '{host}/team', repository: app, {more}}}
  envs: [{{key: NAME, value: {name}}}]
  health_check: {{http_path: /health, period_seconds: 1}}
"
    )
}

fn password_file(at: &Installation, password: &str) -> String {
    let path = at.sources().join("password");
    std::fs::write(&path, format!("{password}\n")).unwrap();
    path.display().to_string()
}

async fn add_login(at: &Installation, registry: &Registry, password: &str) {
    let (host, file) = (registry.host(), password_file(at, password));
    let words = ["registries", "add", &host, "--username", USERNAME, "--password-file", &file];
    let added = run_cli(at, &words).await;
    assert_eq!(added.code, Some(0), "{}", added.err);
    assert!(!format!("{}{}", added.out, added.err).contains(password), "{}{}", added.out, added.err);
}

async fn build_log(at: &Installation, app: &str, deployment: &str) -> String {
    run_cli(at, &["apps", "logs", app, "web", "--type", "build", "--deployment", deployment]).await.out
}

/// Deploys the newest version.
async fn deploy(at: &Installation, app: &str) -> Value {
    let deployment = at.deploy(app, json!({})).await.unwrap();
    at.wait(app, &deployment).await.unwrap()
}

fn id(deployment: &Value) -> &str {
    deployment["id"].as_str().unwrap()
}

fn digest(deployment: &Value) -> &str {
    deployment["services"][0]["source_image_digest"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_image_is_pulled_with_the_login_of_its_registry_and_its_digest_is_kept() {
    let Some(registry) = Registry::start().await.unwrap() else { return };
    let at = installation().await;
    let host = registry.host();
    let first = registry.push("1", "stable").await.unwrap();

    // Without a login, and with a wrong one.
    let file = spec_file(&at, &spec(&registry, "shop", "tag: stable"));
    let created = run_cli(&at, &["apps", "create", "--spec", &file, "--wait"]).await;
    assert_eq!(created.code, Some(1), "{}", created.err);
    let next = format!("boatyard registries add {host} --username");
    assert!(created.err.contains("only after a login") && created.err.contains(&next), "{}", created.err);
    let app = app_id(&at, "shop").await;
    add_login(&at, &registry, "wrong-horse-battery").await;
    let refused = deploy(&at, &app).await;
    let log = build_log(&at, "shop", id(&refused)).await;
    assert!(log.contains(&format!("{host} refused the login of {USERNAME}")) && log.contains(&next), "{log}");
    assert!(!log.contains("wrong-horse"), "{log}");

    // With the right one.
    add_login(&at, &registry, PASSWORD).await;
    let listed = run_cli(&at, &["registries", "list"]).await.out;
    assert!(listed.contains(&host) && listed.contains(USERNAME) && !listed.contains(PASSWORD), "{listed}");
    assert_eq!(listed.lines().count(), 2, "one login for the host: {listed}");
    let active = deploy(&at, &app).await;
    assert_eq!((&active["phase"], digest(&active)), (&json!("ACTIVE"), first.as_str()), "{active:#}");
    assert!(page(&at, "/").await.contains("shop 1"), "{}", page(&at, "/").await);

    // The tag moves. A restart stays with the image, and a deployment takes the new one.
    let second = registry.push("2", "stable").await.unwrap();
    let restart = at.restart(&app, &[]).await.unwrap();
    at.wait_active(&app, &restart).await.unwrap();
    assert!(page(&at, "/").await.contains("shop 1"));
    let active = deploy(&at, &app).await;
    assert_eq!(digest(&active), second);
    assert!(page(&at, "/").await.contains("shop 2"));

    // A digest names the first version for good.
    let file = spec_file(&at, &spec(&registry, "shop", &format!("digest: '{first}'")));
    let updated = run_cli(&at, &["apps", "update", "shop", "--spec", &file, "--wait"]).await;
    assert_eq!(updated.code, Some(0), "{}", updated.err);
    assert!(page(&at, "/").await.contains("shop 1"));

    let missing = run_cli(&at, &["registries", "remove", "ghcr.io"]).await;
    assert_eq!(missing.code, Some(1), "{}", missing.err);
    let removed = run_cli(&at, &["registries", "remove", &host]).await;
    assert_eq!(removed.code, Some(0), "{}", removed.err);
    assert_eq!(run_cli(&at, &["registries", "list", "--output", "json"]).await.out.trim(), "[]");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_registry_an_app_goes_on_with_the_image_on_the_host() {
    let Some(mut registry) = Registry::start().await.unwrap() else { return };
    let at = installation().await;
    registry.push("1", "stable").await.unwrap();
    let login = format!("tag: stable, registry_credentials: '{USERNAME}:{PASSWORD}'");
    at.create(&spec(&registry, "shop", &login)).await.unwrap();
    let app = app_id(&at, "shop").await;
    assert!(page(&at, "/").await.contains("shop 1"));
    registry.stop();

    let active = deploy(&at, &app).await;
    assert_eq!(active["phase"], "ACTIVE", "{active:#}");
    let log = build_log(&at, "shop", id(&active)).await;
    assert!(log.contains("cannot be reached") && log.contains("the local image is used"), "{log}");
    assert!(active["boatyard"].to_string().contains("the local image is used"), "{active:#}");

    // What the host does not have needs the registry.
    let file = spec_file(&at, &spec(&registry, "shop", &login.replace("stable", "other")));
    let updated = run_cli(&at, &["apps", "update", "shop", "--spec", &file, "--wait"]).await;
    assert_ne!(updated.code, Some(0), "{}", updated.err);
    assert!(updated.err.contains("cannot be reached"), "{}", updated.err);
    assert!(page(&at, "/").await.contains("shop 1"), "what served goes on");

    // The registry is back, without such a tag.
    registry.resume().await.unwrap();
    let updated = run_cli(&at, &["apps", "update", "shop", "--spec", &file, "--wait", "--update-sources"]).await;
    assert!(updated.err.contains("does not have it"), "{}", updated.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_pulls_its_base_image_with_the_login_of_the_registry() {
    let Some(registry) = Registry::start().await.unwrap() else { return };
    let at = installation().await;
    registry.push("base", "base").await.unwrap();
    let repo = Repo::init(at.sources().join("shop")).unwrap();
    let host = registry.host();
    repo.write("Dockerfile", &format!("FROM {host}/team/app:base\nCOPY page /page\n")).unwrap();
    repo.write("page", "1").unwrap();
    repo.commit("on a private base").unwrap();
    let url = repo.url();
    let spec = format!(
        "name: shop\nservices:\n- name: web\n  git: {{repo_clone_url: '{url}', branch: main}}\n  envs: [{{key: NAME, value: shop}}]\n"
    );
    let created = run_cli(&at, &["apps", "create", "--spec", &spec_file(&at, &spec), "--wait"]).await;
    assert_eq!(created.code, Some(1), "{}", created.err);
    assert!(created.err.contains(&format!("boatyard registries add {host}")), "{}", created.err);
    add_login(&at, &registry, PASSWORD).await;
    let app = app_id(&at, "shop").await;
    for options in [json!({}), json!({"force_build": true, "clear_cache": true})] {
        let deployment = at.deploy(&app, options).await.unwrap();
        at.wait_active(&app, &deployment).await.unwrap();
        let log = build_log(&at, "shop", &deployment).await;
        assert!(!log.contains("cannot pull"), "{log}");
        assert!(page(&at, "/").await.contains("shop base"), "{}", page(&at, "/").await);
    }
}
