//! A repository without a Dockerfile: its language is detected, its Dockerfile is generated, and it is rebuilt as any
//! other.
//!
//! The programs use only Python's standard library, so that no build needs a package registry.

use boatyard_tests::installation::Installation;
use boatyard_tests::repo::Repo;
use serde_json::{Value, json};

use crate::support::*;

/// Generated Dockerfiles are built on the local image of the tests.
async fn with_local_python() -> Installation {
    Installation::start_with(PROGRAM, &["--base-image", "python=boatyard-local/python:3"]).await.unwrap()
}

/// A server that answers with this text on the port of the platform.
fn write_server(repo: &Repo, text: &str) {
    let server = format!(
        "import http.server, os
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = '{text} by user %d with MODE=%s' % (os.getuid(), os.environ.get('MODE'))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.encode())
http.server.ThreadingHTTPServer(('', int(os.environ['PORT'])), Page).serve_forever()
"
    );
    repo.write("web/server.py", &server).unwrap();
}

fn spec(repo: &Repo, more: &str) -> String {
    let url = repo.url();
    format!(
        "name: shop\nservices:\n- name: web\n  git: {{repo_clone_url: '{url}', branch: main}}\n  source_dir: web\n  {more}\n"
    )
}

async fn build_log(at: &Installation, deployment: &str) -> String {
    run_cli(at, &["apps", "logs", "shop", "web", "--type", "build", "--deployment", deployment]).await.out
}

fn id(deployment: &Value) -> &str {
    deployment["id"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_without_a_dockerfile_is_detected_built_and_rebuilt() {
    let at = with_local_python().await;
    let repo = Repo::init(at.sources().join("shop")).unwrap();
    write_server(&repo, "first");
    repo.write("web/Procfile", "web: python3 server.py\n").unwrap();
    repo.commit("the first version").unwrap();
    let spec = spec(&repo, "environment_slug: python\n  envs: [{key: MODE, value: fast}]");
    let first = at.create(&spec).await.unwrap();
    let app = app_id(&at, "shop").await;
    let answer = page(&at, "/").await;
    assert!(answer.starts_with("first by user ") && answer.ends_with("MODE=fast"), "{answer}");
    assert!(!answer.contains("user 0 "), "the program does not run as root: {answer}");

    // The log says what was detected, and why.
    let log = build_log(&at, id(&first)).await;
    for part in [
        "Detecting the language, because environment_slug is \"python\"",
        "Detected: Python (",
        "The generated Dockerfile:",
        "  FROM boatyard-local/python:3 AS build",
        "To keep it in the repository: boatyard detect shop --component web --write",
    ] {
        assert!(log.contains(part), "{part:?} is missing: {log}");
    }

    // A forced rebuild after a change of one line.
    write_server(&repo, "second");
    repo.commit("the second version").unwrap();
    let deployment = at.deploy(&app, json!({"force_build": true})).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();
    assert!(page(&at, "/").await.starts_with("second by user "));
    let log = build_log(&at, &deployment).await;
    assert!(log.contains("(cached)"), "the steps before the sources are reused: {log}");

    // A restart builds nothing, and an update that keeps the commit keeps the image.
    let image = |deployment: &Value| deployment["boatyard"]["images"]["web"]["id"].clone();
    let built = at.ok("GET", &format!("/v2/apps/{app}/deployments/{deployment}"), None).await.unwrap();
    let restart = at.restart(&app, &[]).await.unwrap();
    let restarted = at.wait_active(&app, &restart).await.unwrap();
    assert_eq!(image(&restarted), image(&built["deployment"]));
    let file = spec_file(&at, &spec.replace("value: fast", "value: slow"));
    let updated = run_cli(&at, &["apps", "update", "shop", "--spec", &file, "--wait"]).await;
    assert_eq!(updated.code, Some(0), "{}", updated.err);
    assert!(page(&at, "/").await.ends_with("MODE=slow"));

    // The Dockerfile can be looked at and kept.
    let shown = run_cli(&at, &["detect", "shop"]).await;
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    assert!(shown.out.contains("FROM boatyard-local/python:3"), "{}", shown.out);
    assert!(shown.err.contains("web is built with a generated Dockerfile for Python."), "{}", shown.err);
    let kept = at.sources().join("Kept");
    let written = run_cli(&at, &["detect", "shop", &format!("--write={}", kept.display())]).await;
    assert_eq!(written.code, Some(0), "{}", written.err);
    assert!(written.err.contains("dockerfile_path: web/Dockerfile"), "{}", written.err);
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), shown.out);
    // The same from the work tree, without a server.
    let directory = at.sources().join("shop/web").display().to_string();
    let local = run_cli(&at, &["detect", &directory, "--base-image", "python=boatyard-local/python:3"]).await;
    assert!(local.out.contains("FROM boatyard-local/python:3"), "{} {}", local.out, local.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_in_which_nothing_is_detected_is_refused_with_what_helps() {
    let at = with_local_python().await;
    let repo = Repo::init(at.sources().join("shop")).unwrap();
    repo.write("web/README.md", "nothing to run").unwrap();
    repo.commit("only a text").unwrap();
    let file = spec_file(&at, &spec(&repo, ""));
    let created = run_cli(&at, &["apps", "create", "--spec", &file, "--wait"]).await;
    assert_eq!(created.code, Some(1), "{}", created.err);
    for part in ["web", "build", "in web: no language was recognized", "Add a Dockerfile", "`run_command`", "`image`"] {
        assert!(created.err.contains(part), "{part:?} is missing: {}", created.err);
    }
    // What a later commit adds is detected.
    write_server(&repo, "later");
    repo.commit("a server").unwrap();
    let app = app_id(&at, "shop").await;
    let deployment = at.deploy(&app, json!({})).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();
    assert!(page(&at, "/").await.starts_with("later by user "));
}

/// App Platform's clients ask with these fields.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_detects_a_repository_before_an_app_exists() {
    let at = with_local_python().await;
    let repo = Repo::init(at.sources().join("shop")).unwrap();
    write_server(&repo, "first");
    repo.write("api/Dockerfile", "FROM boatyard-local/testapp:1\n").unwrap();
    repo.commit("two directories").unwrap();
    let detect = async |directory: &str| {
        let body = json!({"git": {"repo_clone_url": repo.url(), "branch": "main"}, "source_dir": directory});
        at.call("POST", "/v2/apps/detect", Some(&body)).await.unwrap()
    };
    let (status, web) = detect("web").await;
    assert_eq!((status, &web["components"][0]["strategy"]), (200, &json!("BUILDPACK")), "{web:#}");
    assert_eq!(web["components"][0]["environment_slug"], "python");
    assert_eq!(web["components"][0]["http_ports"], json!([8080]));
    let (_, api) = detect("api").await;
    assert_eq!(api["components"][0]["strategy"], "DOCKERFILE", "{api:#}");
    assert_eq!(api["components"][0]["dockerfiles"], json!(["api/Dockerfile"]));
    let (status, missing) = detect("missing").await;
    assert_eq!((status, &missing["components"]), (200, &json!([])), "{missing:#}");
    assert!(missing["boatyard"]["problems"].to_string().contains("missing"), "{missing:#}");
    assert_eq!(at.call("POST", "/v2/apps/detect", Some(&json!({}))).await.unwrap().0, 400, "no repository");
}
