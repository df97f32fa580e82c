//! Which commits an update deploys: those that serve, or the newest with `--update-sources`.

use boatyard_tests::installation::Installation;
use boatyard_tests::repo::Repo;
use serde_json::{Value, json};

use crate::support::*;

/// The commits of `web` and `api` in a deployment, as the API reports them.
fn commits(deployment: &Value) -> [String; 2] {
    let commit = |service: usize| deployment["services"][service]["source_commit_hash"].as_str().unwrap().to_owned();
    [commit(0), commit(1)]
}

/// The app `shop` with two services, each built from its repository.
struct Deployed {
    at: Installation,
    web: Repo,
    api: Repo,
    spec: String,
    app: String,
}

async fn deployed() -> Deployed {
    let at = installation().await;
    let (web, api) = (versioned(&at, "web"), versioned(&at, "api"));
    let spec = built_shop(&web, &api);
    at.create(&spec).await.unwrap();
    let app = app_id(&at, "shop").await;
    Deployed { at, web, api, spec, app }
}

async fn newest(at: &Installation, app: &str) -> Value {
    let list = at.ok("GET", &format!("/v2/apps/{app}/deployments"), None).await.unwrap();
    list["deployments"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_keeps_every_commit_unless_it_asks_for_the_newest_sources() {
    let Deployed { at, web, api, spec, app } = deployed().await;
    let before = commits(&newest(&at, &app).await);
    let mut pushed = Vec::new();
    for repo in [&web, &api] {
        write_version(repo, "2", "");
        pushed.push(repo.commit("the second version").unwrap());
    }

    // One variable changes.
    let changed = spec.replace("value: web, scope: RUN_TIME", "value: shopfront, scope: RUN_TIME");
    let file = spec_file(&at, &changed);
    let update = ["apps", "update", "shop", "--spec", &file];
    let plan = run_cli(&at, &[&update[..], &["--dry-run"]].concat()).await;
    for (name, commit) in [("web", &before[0]), ("api", &before[1])] {
        let line = format!("keep commit {} of {name} and its image", &commit[..12]);
        assert!(plan.out.contains(&line), "{}", plan.out);
    }
    let updated = run_cli(&at, &[&update[..], &["--wait"]].concat()).await;
    assert_eq!(updated.code, Some(0), "{}", updated.err);
    let deployment = newest(&at, &app).await;
    assert_eq!(commits(&deployment), before);
    assert_eq!(deployment["boatyard"]["images"]["web"]["built"], false, "{deployment:#}");
    assert!(page(&at, "/").await.contains("shopfront 1"), "{}", page(&at, "/").await);

    // The same spec again changes nothing. With the flag it deploys what was pushed.
    let number = deployment["boatyard"]["number"].clone();
    assert_eq!(run_cli(&at, &update).await.code, Some(0));
    assert_eq!(newest(&at, &app).await["boatyard"]["number"], number);
    let flag = ["--update-sources", "--wait"];
    let updated = run_cli(&at, &[&update[..], &flag].concat()).await;
    assert_eq!(updated.code, Some(0), "{}", updated.err);
    assert_eq!(commits(&newest(&at, &app).await).to_vec(), pushed);
    assert!(page(&at, "/").await.contains("shopfront 2"), "{}", page(&at, "/").await);
}

/// A force-push removes the commit that serves. An update still works while nothing has to be built from it; otherwise
/// it fails before it touches anything, and says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_whose_commit_is_gone_fails_before_it_changes_anything() {
    let Deployed { at, web, spec, app, .. } = deployed().await;
    let before = commits(&newest(&at, &app).await);
    web.remove().unwrap();
    let web = Repo::init(at.sources().join("web")).unwrap();
    write_version(&web, "2", "");
    web.write("other/Dockerfile", "FROM boatyard-local/testapp:1\n").unwrap();
    let pushed = web.commit("another history").unwrap();

    let changed = spec.replace("value: web, scope: RUN_TIME", "value: shopfront, scope: RUN_TIME");
    let file = spec_file(&at, &changed);
    let updated = run_cli(&at, &["apps", "update", "shop", "--spec", &file, "--wait"]).await;
    assert_eq!(updated.code, Some(0), "{}", updated.err);
    assert_eq!(commits(&newest(&at, &app).await), before, "its image is still there");

    let containers = at.container_ids(&app, "web").await.unwrap();
    let other = changed.replacen("  instance_count: 2", "  dockerfile_path: other/Dockerfile\n  instance_count: 2", 1);
    let file = spec_file(&at, &other);
    let failed = run_cli(&at, &["apps", "update", "shop", "--spec", &file, "--wait"]).await;
    assert_eq!(failed.code, Some(1), "{}", failed.err);
    for part in ["web", before[0].as_str(), "boatyard apps update shop --spec FILE --update-sources"] {
        assert!(failed.err.contains(part), "{part}: {}", failed.err);
    }
    assert_eq!(at.container_ids(&app, "web").await.unwrap(), containers);
    let updated = run_cli(&at, &["apps", "create", "--spec", &file, "--upsert", "--update-sources", "--wait"]).await;
    assert_eq!(updated.code, Some(0), "{}", updated.err);
    assert_eq!(commits(&newest(&at, &app).await)[0], pushed);
}

/// `doctl apps update --update-sources` and Terraform send the field beside the spec.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_takes_the_field_that_clients_send() {
    let Deployed { at, web, app, .. } = deployed().await;
    let path = format!("/v2/apps/{app}");
    write_version(&web, "2", "");
    let pushed = web.commit("the second version").unwrap();
    let stored = at.ok("GET", &path, None).await.unwrap()["app"]["spec"].clone();
    let put = async |update: Value| {
        let body = json!({ "spec": stored, "update_all_source_versions": update });
        at.call("PUT", &path, Some(&body)).await.unwrap()
    };
    let (_, unchanged) = put(json!(false)).await;
    assert_eq!(unchanged["boatyard"]["deployment_started"], false, "{unchanged:#}");
    assert_eq!(put(json!("yes")).await.0, 400);
    let (_, updated) = put(json!(true)).await;
    assert_eq!(updated["boatyard"]["deployment_started"], true, "{updated:#}");
    let id = updated["app"]["pending_deployment"]["id"].as_str().unwrap();
    assert_eq!(commits(&at.wait_active(&app, id).await.unwrap())[0], pushed);
}
