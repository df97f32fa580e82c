//! Static sites: built in each form, served by the ingress, rebuilt and rolled back under load.

use boatyard_tests::browser::{Browser, css};
use boatyard_tests::installation::{ENDS_WITHIN, Installation};
use boatyard_tests::load::{Load, LoadPlan, Request};
use boatyard_tests::repo::Repo;
use serde_json::{Value, json};

use crate::support::*;

/// Generated Dockerfiles are built on the local image of the tests.
async fn with_local_base() -> Installation {
    Installation::start_with(PROGRAM, &["--base-image", "debian=boatyard-local/python:3"]).await.unwrap()
}

fn git(repo: &Repo) -> String {
    format!("git: {{repo_clone_url: '{}', branch: main}}", repo.url())
}

/// A site whose Dockerfile only copies files, so that its build takes no time.
fn copied(at: &Installation, name: &str) -> Repo {
    let repo = Repo::init(at.sources().join(name)).unwrap();
    repo.write("Dockerfile", "FROM scratch\nCOPY site /files/site\n").unwrap();
    repo
}

/// Writes version `version` of a site: a page that refers to a script whose name contains the version.
fn write_site(repo: &Repo, version: u32) {
    let page = format!(
        "<!doctype html><title>site {version}</title><link rel=icon href=data:,><p id=text>page {version}</p>\
         <script src=app-{version}.js></script>"
    );
    // The files of the version before are gone, as after a build.
    let _ = std::fs::remove_dir_all(format!("{}/site", repo.url()));
    repo.write("site/index.html", &page).unwrap();
    let script = format!("document.getElementById('text').textContent += ' with script {version}'");
    repo.write(&format!("site/app-{version}.js"), &script).unwrap();
    repo.commit(&format!("version {version}")).unwrap();
}

async fn get(at: &Installation, path: &str) -> (u16, String) {
    boatyard_tests::http::page(at.http(), "shop.localhost", path).await.unwrap()
}

async fn deployed(at: &Installation, app: &str, options: Value) -> Value {
    let deployment = at.deploy(app, options).await.unwrap();
    at.wait_active(app, &deployment).await.unwrap()
}

/// The directories of files in the data directory.
fn stored(at: &Installation, app: &str) -> Vec<String> {
    let entries = std::fs::read_dir(at.data().join("sites").join(app)).unwrap();
    let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_deployed_rebuilt_restarted_and_rolled_back_under_load() {
    let mut at = installation().await;
    let repo = copied(&at, "site");
    write_site(&repo, 1);
    let spec = format!(
        "name: shop\nstatic_sites:\n- name: pages\n  {}\n  dockerfile_path: Dockerfile\n  output_dir: /files/site\n",
        git(&repo)
    );
    let first = at.create(&spec).await.unwrap();
    let app = app_id(&at, "shop").await;
    assert!(page(&at, "/").await.contains("page 1"));
    assert!(at.containers(&app).await.unwrap().is_empty(), "the files are read without a running container");
    assert_eq!(first["static_sites"][0]["name"], "pages", "{first:#}");
    assert!(first["static_sites"][0]["source_commit_hash"].is_string(), "{first:#}");

    let plan = LoadPlan::new(at.http(), "shop.localhost").with(Request::get("/")).connections(4);
    let load = Load::start(plan.with(Request::get("/app-1.js")).rate(200.0));
    some_traffic(&load).await;
    for version in 2..=3 {
        write_site(&repo, version);
        let deployment = deployed(&at, &app, json!({})).await;
        assert!(page(&at, "/").await.contains(&format!("page {version}")));
        assert_eq!(failed_in_record(&deployment), 0, "{deployment:#}");
    }
    // A page of the first version is still open, and may load its script.
    assert!(page(&at, "/app-1.js").await.contains("script 1"));

    // A restart leaves the site alone.
    let before = stored(&at, &app);
    let restart = at.restart(&app, &[]).await.unwrap();
    at.wait_active(&app, &restart).await.unwrap();
    assert!(page(&at, "/").await.contains("page 3"));
    assert_eq!(stored(&at, &app), before);
    let named = run_cli(&at, &["apps", "restart", "shop", "--components", "pages"]).await;
    assert!(named.code != Some(0) && named.err.contains("pages is a static site"), "{}", named.err);

    // The controller is killed, and the ingress serves on. So does an ingress that starts again.
    at.kill_serve();
    assert!(page(&at, "/").await.contains("page 3"));
    at.serve().await.unwrap();

    let back = run_cli(&at, &["apps", "rollback", "shop", "--deployment", "1", "--wait"]).await;
    assert_eq!(back.code, Some(0), "{}", back.err);
    assert!(page(&at, "/").await.contains("page 1"));
    assert!(page(&at, "/app-3.js").await.contains("script 3"), "pages of the third version are open");
    let report = load.stop().await;
    assert_eq!(report.failed_count, 0, "{:?}", report.failed);

    at.kill_ingress().unwrap();
    let (deadline, mut answers) = (tokio::time::Instant::now() + ENDS_WITHIN, false);
    while !answers && tokio::time::Instant::now() < deadline {
        answers =
            boatyard_tests::http::page(at.http(), "shop.localhost", "/").await.is_ok_and(|it| it.1.contains("page 1"));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(answers, "the new ingress serves the files");

    at.delete(&app).await.unwrap();
    at.until_gone(&app).await.unwrap();
    assert!(!at.data().join("sites").join(&app).exists());
    assert_eq!(at.engine_containers().await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_site_is_served_beside_a_service() {
    let at = with_local_base().await;
    let repo = Repo::init(at.sources().join("shop")).unwrap();
    // Served as it is, with documents of other names.
    repo.write("plain/start.html", "plain start").unwrap();
    repo.write("plain/missing.html", "plain missing").unwrap();
    repo.write("plain/a b.txt", "plain file").unwrap();
    // Built, into one of the platform's directories.
    repo.write("built/index.html", "the source").unwrap();
    repo.write("built/build.sh", "mkdir dist && echo \"built in $MODE\" >dist/index.html").unwrap();
    // One page for all paths, and a compressed file that the build makes.
    repo.write("one-page/index.html", "one page").unwrap();
    repo.write("one-page/app.css", "body {}").unwrap();
    repo.write("one-page/app.css.gz", "in short").unwrap();
    repo.commit("three sites").unwrap();
    let git = git(&repo);
    let spec = format!(
        "
name: shop
services:
- name: api
  image: {TESTAPP}
  routes: [{{path: /api}}]
  envs: [{{key: NAME, value: api}}, {{key: SITE, value: '${{built.PUBLIC_URL}}'}}]
static_sites:
- name: plain
  {git}
  source_dir: plain
  environment_slug: html
  index_document: start.html
  error_document: missing.html
  routes: [{{path: /plain}}]
- name: built
  {git}
  source_dir: built
  build_command: sh build.sh
  envs: [{{key: MODE, value: '${{api.PUBLIC_URL}}', scope: BUILD_TIME}}]
  routes: [{{path: /built}}]
- name: one
  {git}
  source_dir: one-page
  catchall_document: index.html
  routes: [{{path: /}}]
"
    );
    let created = at.create(&spec).await.unwrap();
    assert_eq!(created["static_sites"].as_array().map(Vec::len), Some(3), "{created:#}");
    let port = at.http().port();
    for (path, status, text) in [
        ("/", 200, "one page".to_owned()),
        ("/carts/7", 200, "one page".into()),
        ("/app.css", 200, "body {}".into()),
        ("/plain/", 200, "plain start".into()),
        ("/plain/a%20b.txt", 200, "plain file".into()),
        ("/plain/none", 404, "plain missing".into()),
        ("/built/", 200, format!("built in http://shop.localhost:{port}/api")),
        ("/built/none", 404, String::new()),
    ] {
        let answer = get(&at, path).await;
        assert!(answer.0 == status && answer.1.contains(&text), "{path}: {answer:?}");
    }
    assert!(page(&at, "/api/").await.contains("api"));

    // The log of a build says where the files come from.
    let id = created["id"].as_str().unwrap();
    let log = run_cli(&at, &["apps", "logs", "shop", "built", "--type", "build", "--deployment", id]).await.out;
    for part in [
        "Detected: static files",
        "FROM scratch",
        "Taking the files of the site from /workspace/dist",
        "The site has 1 files",
    ] {
        assert!(log.contains(part), "{part:?} is missing: {log}");
    }
    let shown = run_cli(&at, &["apps", "get", "shop"]).await;
    assert_eq!(shown.code, Some(0), "{}", shown.err);

    // An update that changes only a document serves the same files.
    let app = app_id(&at, "shop").await;
    let stored_before = stored(&at, &app);
    let updated = spec_file(&at, &spec.replace("  catchall_document: index.html\n", ""));
    let updated = run_cli(&at, &["apps", "update", "shop", "--spec", &updated, "--wait"]).await;
    assert_eq!(updated.code, Some(0), "{}", updated.err);
    assert_eq!(get(&at, "/carts/7").await.0, 404);
    assert_eq!(stored(&at, &app), stored_before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_without_files_fails_and_the_site_that_serves_stays() {
    let at = installation().await;
    let repo = copied(&at, "site");
    write_site(&repo, 1);
    let spec = format!("name: shop\nstatic_sites:\n- name: pages\n  {}\n  output_dir: /files/site\n", git(&repo));
    at.create(&spec).await.unwrap();
    let app = app_id(&at, "shop").await;
    let deploy = async |dockerfile: &str| {
        repo.write("Dockerfile", dockerfile).unwrap();
        repo.commit("another Dockerfile").unwrap();
        let deployment = at.deploy(&app, json!({})).await.unwrap();
        let ended = at.wait(&app, &deployment).await.unwrap();
        assert_eq!(ended["phase"], "ERROR", "{ended:#}");
        assert!(page(&at, "/").await.contains("page 1"));
        ended.to_string()
    };
    let nowhere = deploy("FROM scratch\nCOPY site /other\n").await;
    assert!(nowhere.contains("the image has no directory"), "{nowhere}");
    let link =
        "FROM boatyard-local/testapp:1 AS build\nFROM scratch\nCOPY site /files/site\nCOPY link /files/site/passwd\n";
    std::os::unix::fs::symlink("/etc/passwd", format!("{}/link", repo.url())).unwrap();
    // The engine follows a link that a Dockerfile names, so the link lies in a directory.
    std::fs::create_dir_all(format!("{}/site/links", repo.url())).unwrap();
    std::fs::rename(format!("{}/link", repo.url()), format!("{}/site/links/passwd", repo.url())).unwrap();
    let link = link.replace("COPY link /files/site/passwd\n", "");
    let leaves = deploy(&link).await;
    assert!(leaves.contains("links/passwd is a link to /etc/passwd, which is outside"), "{leaves}");
    assert_eq!(at.engine_containers().await.unwrap(), Vec::<String>::new(), "no container stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_a_site_and_an_open_page_loads_its_files_after_a_deployment() {
    let Some(browser) = Browser::start().await.unwrap() else { return };
    let at = installation().await;
    let repo = copied(&at, "site");
    write_site(&repo, 1);
    at.create(&format!("name: shop\nstatic_sites:\n- name: pages\n  {}\n  output_dir: /files/site\n", git(&repo)))
        .await
        .unwrap();
    let app = app_id(&at, "shop").await;
    browser.go(&format!("http://shop.localhost:{}/", at.http().port())).await.unwrap();
    browser.until_shows(css("#text"), "page 1 with script 1").await.unwrap();
    write_site(&repo, 2);
    deployed(&at, &app, json!({})).await;
    let load =
        "const script = document.createElement('script'); script.src = 'app-1.js?again'; document.body.append(script)";
    browser.run(load, &[]).await.unwrap();
    browser.until_shows(css("#text"), "page 1 with script 1 with script 1").await.unwrap();
    browser.reload().await.unwrap();
    browser.until_shows(css("#text"), "page 2 with script 2").await.unwrap();
}
