//! From git to a served page: rebuilds, reuse, and a failure that loses no request.

use boatyard_tests::engine;
use boatyard_tests::installation::Installation;
use serde_json::json;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_serves_the_new_commit_and_a_restart_needs_no_repository() {
    let at = installation().await;
    let (web, api) = (versioned(&at, "web"), versioned(&at, "api"));
    at.create(&built_shop(&web, &api)).await.unwrap();
    let app = app_id(&at, "shop").await;
    assert!(page(&at, "/").await.contains("web 1"), "{}", page(&at, "/").await);
    let load = steady_traffic(&at, 16, 150.0);

    write_version(&web, "2", "");
    let commit = web.commit("the second version").unwrap();
    let deployment = at.deploy(&app, json!({"force_build": true, "clear_cache": true})).await.unwrap();
    let ended = at.wait_active(&app, &deployment).await.unwrap();
    assert_eq!(ended["services"][0]["source_commit_hash"], commit.as_str());
    assert!(page(&at, "/").await.contains("web 2"));
    // Every step ran again, and the build tried to pull the base image.
    for component in ["web", "api"] {
        let log = build_log(&at, component, &deployment).await;
        assert!(log.contains("COPY page /page") && !log.contains("COPY page /page (cached)"), "{log}");
        assert!(log.contains("Pulling base image boatyard-local/testapp:1"), "{log}");
        assert!(log.contains("using the local image"), "{log}");
    }

    // git reaches no repository, because both are removed.
    web.remove().unwrap();
    api.remove().unwrap();
    let before = at.container_ids(&app, "web").await.unwrap();
    let deployment = at.restart(&app, &[]).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();
    assert_ne!(at.container_ids(&app, "web").await.unwrap(), before);
    assert!(page(&at, "/").await.contains("web 2"));
    let report = load.stop().await;
    assert_eq!(report.failed_count, 0, "{report}");
}

async fn build_log(at: &Installation, component: &str, deployment: &str) -> String {
    let words = ["apps", "logs", "shop", component, "--type", "build", "--deployment", deployment];
    String::from_utf8_lossy(&at.cli(&words).await.unwrap().stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_tree_builds_nothing_and_replaces_nothing() {
    let at = installation().await;
    let (web, api) = (versioned(&at, "web"), versioned(&at, "api"));
    at.create(&built_shop(&web, &api)).await.unwrap();
    let app = app_id(&at, "shop").await;
    let before = at.container_ids(&app, "web").await.unwrap();
    let deployment = at.deploy(&app, json!({})).await.unwrap();
    let ended = at.wait_active(&app, &deployment).await.unwrap();
    assert_eq!(at.container_ids(&app, "web").await.unwrap(), before);
    let steps = ended["progress"]["steps"].to_string();
    assert!(steps.contains("PreviousBuildReused"), "{steps}");
    let log = build_log(&at, "web", &deployment).await;
    assert!(log.contains("Nothing to build"), "{log}");

    // One commit in one repository replaces one component.
    let api_before = at.container_ids(&app, "api").await.unwrap();
    write_version(&api, "2", "");
    api.commit("the second version").unwrap();
    let deployment = at.deploy(&app, json!({})).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();
    assert_eq!(at.container_ids(&app, "web").await.unwrap(), before);
    assert_ne!(at.container_ids(&app, "api").await.unwrap(), api_before);
}

/// `web` has been replaced when `api` fails: `web` is rolled back, and no request is lost.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_service_is_rolled_back_when_the_second_is_broken() {
    let at = installation().await;
    let (web, api) = (versioned(&at, "web"), versioned(&at, "api"));
    at.create(&built_shop(&web, &api)).await.unwrap();
    let app = app_id(&at, "shop").await;
    let load = steady_traffic(&at, 16, 150.0);
    write_version(&web, "2", "");
    web.commit("good").unwrap();
    write_version(&api, "2", "ENV EXIT_AFTER_MS=1 EXIT_CODE=7 NO_LISTEN=1 PRINT=cannot-open-the-till");
    api.commit("broken").unwrap();

    let deployment = at.deploy(&app, json!({"force_build": true})).await.unwrap();
    let ended = at.wait(&app, &deployment).await.unwrap();
    assert_eq!(ended["phase"], "ERROR", "{ended:#}");
    assert!(ended["progress"]["error_steps"].as_u64().unwrap() >= 1);
    assert!(ended["boatyard"]["failure"]["message"].as_str().unwrap().contains("api.0"), "{ended:#}");
    assert!(ended["boatyard"]["log_tail"].to_string().contains("cannot-open-the-till"), "{ended:#}");
    assert!(page(&at, "/").await.contains("web 1"), "web serves its old version again");
    assert!(page(&at, "/api/").await.contains("api 1"));
    let report = load.stop().await;
    println!("a deployment that failed at its second service: {report}");
    assert_eq!((report.failed_count, failed_in_record(&ended)), (0, 0), "{report}");
    // A restart afterwards copies what serves, not what failed.
    let deployment = at.restart(&app, &[]).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();
    assert!(page(&at, "/").await.contains("web 1"));
    assert_eq!(at.engine_containers().await.unwrap().len(), 3, "nothing of the broken version is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_build_leaves_the_old_version_serving() {
    let at = installation().await;
    let (web, api) = (versioned(&at, "web"), versioned(&at, "api"));
    at.create(&built_shop(&web, &api)).await.unwrap();
    let app = app_id(&at, "shop").await;
    let before = at.container_ids(&app, "web").await.unwrap();
    for (name, dockerfile, expected) in [
        ("a file that is not there", "FROM boatyard-local/testapp:1\nCOPY missing /missing\n", "missing"),
        ("a base that is nowhere", "FROM boatyard-local/no-such-base:9\n", "no-such-base"),
        ("no Dockerfile at all", "", "Dockerfile"),
    ] {
        if dockerfile.is_empty() {
            std::fs::remove_file(at.sources().join("web/Dockerfile")).unwrap();
        } else {
            web.write("Dockerfile", dockerfile).unwrap();
        }
        web.commit(name).unwrap();
        let deployment = at.deploy(&app, json!({})).await.unwrap();
        let ended = at.wait(&app, &deployment).await.unwrap();
        assert_eq!(ended["phase"], "ERROR", "{name}");
        let why = ended["boatyard"]["failure"]["message"].as_str().unwrap().to_owned();
        assert!(why.contains(expected), "{name}: {why}");
        assert_eq!(at.container_ids(&app, "web").await.unwrap(), before, "{name}");
    }
    assert!(page(&at, "/").await.contains("web 1"));
}

/// Staging and production use one repository: the second app reuses the image, and each app removes only its tag.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_works_after_an_app_with_the_same_image_is_deleted() {
    let at = installation().await;
    let repo = versioned(&at, "web");
    let spec = |name: &str| {
        let source = format!("git: {{repo_clone_url: '{}', branch: main}}", repo.url());
        format!("name: {name}\nservices:\n- name: web\n  {source}\n  routes: [{{path: /}}]\n")
    };
    at.create(&spec("staging")).await.unwrap();
    let ended = at.create(&spec("shop")).await.unwrap();
    assert_eq!(ended["boatyard"]["images"]["web"]["built"], false, "{ended:#}");
    let (staging, app) = (app_id(&at, "staging").await, app_id(&at, "shop").await);
    let tags = async || engine::app_tags_of(&at.id().unwrap()).await.unwrap();
    assert_eq!(tags().await.len(), 2, "{:?}", tags().await);

    at.delete(&staging).await.unwrap();
    assert_eq!(tags().await.len(), 1, "{:?}", tags().await);
    let deployment = at.restart(&app, &[]).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();
    at.delete(&app).await.unwrap();
    assert_eq!(tags().await, Vec::<String>::new());
}

/// A build with a cleared cache builds the same as an ordinary build, whatever names the Dockerfile uses for its bases,
/// and its cache mounts are empty.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_with_a_cleared_cache_pulls_each_base_image_that_the_dockerfile_names() {
    let at = installation().await;
    let (web, api) = (versioned(&at, "web"), versioned(&at, "api"));
    // The name of the first argument is a prefix of the second's.
    web.write(
        "Dockerfile",
        &format!(
            "ARG PYTHON=3\nARG PYTHON_IMAGE=boatyard-local/python:3\nFROM $PYTHON_IMAGE AS tools\n\
             RUN --mount=type=cache,id={},target=/c echo x >> /c/log && echo \"runs: $(wc -l < /c/log)\"\n\
             FROM boatyard-local/testapp:1\nCOPY --from=tools /etc/hostname /page\n",
            at.id().unwrap()
        ),
    )
    .unwrap();
    web.commit("arguments before FROM").unwrap();
    // The default names no existing image; the build argument decides.
    let dockerfile = "ARG BASE_IMAGE=registry.invalid/team/testapp:1\nFROM ${BASE_IMAGE}\nCOPY page /page\n";
    api.write("Dockerfile", dockerfile).unwrap();
    api.commit("a base from outside").unwrap();
    let env = "envs: [{key: BASE_IMAGE, value: 'boatyard-local/testapp:1', scope: BUILD_TIME}, ";
    let spec =
        built_shop(&web, &api).replace("envs: [{key: NAME, value: api", &format!("{env}{{key: NAME, value: api"));
    at.create(&spec).await.unwrap();

    let app = app_id(&at, "shop").await;
    let deployment = at.deploy(&app, json!({"force_build": true, "clear_cache": true})).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();
    let (web, api) = (build_log(&at, "web", &deployment).await, build_log(&at, "api", &deployment).await);
    assert!(web.contains("Pulling base image boatyard-local/python:3") && web.contains("runs: 1"), "{web}");
    assert!(api.contains("Pulling base image boatyard-local/testapp:1"), "{api}");
    assert!(!api.contains("registry.invalid"), "{api}");
}
