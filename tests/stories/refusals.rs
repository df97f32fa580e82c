//! Bad input gets a clear answer, and nothing is lost.

use boatyard_tests::installation::{ENDS_WITHIN, Installation};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

fn message(answer: &Value) -> String {
    answer["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_names_the_problem_and_the_correct_name() {
    let at = installation().await;
    at.create(&shop()).await.unwrap();
    let app = app_id(&at, "shop").await;
    let restart = format!("/v2/apps/{app}/restart");
    let before = at.instances(&app).await.unwrap();
    let cases = [
        ("POST", restart.clone(), json!({"components": ["mil"]}), 400, "mill"),
        ("POST", restart.clone(), json!({"components": "web"}), 400, "components"),
        ("POST", "/v2/apps/shpo/restart".into(), json!({}), 404, "shop"),
        ("POST", format!("/v2/apps/{app}/deployments"), json!({"force_build": "yes"}), 400, "force_build"),
        ("POST", "/v2/apps".into(), json!({"spec": {"name": "shop", "servicse": []}}), 400, "services"),
        ("GET", format!("/v2/apps/{app}/deployments/none"), Value::Null, 404, "none"),
    ];
    for (method, path, body, status, word) in cases {
        let body = (!body.is_null()).then_some(body);
        let (got, answer) = at.call(method, &path, body.as_ref()).await.unwrap();
        assert_eq!(got, status, "{method} {path}: {answer}");
        assert!(message(&answer).contains(word), "{method} {path}: {answer}");
    }
    let (status, _) = boatyard_tests::http::json(at.api(), "GET", "/v2/apps", "wrong", None).await.unwrap();
    assert_eq!(status, 401);
    assert_eq!(at.instances(&app).await.unwrap(), before, "nothing was changed");
}

/// Jobs run only in deployments, and a restart never puts a database at risk. A restart that names one is refused with
/// the reason and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_names_a_job_or_a_database_is_refused_with_the_reason() {
    let at = installation().await;
    let spec = format!(
        "
name: shop
databases: [{{name: db, engine: PG}}]
services: [{{name: web, image: {TESTAPP}}}]
jobs: [{{name: migrate, kind: PRE_DEPLOY, image: {TESTAPP}, run_command: /bin/testapp job}}]
"
    );
    at.create(&spec).await.unwrap();
    let app = app_id(&at, "shop").await;
    let before = without_jobs(&at, &app).await;
    for (named, word) in [("migrate", "jobs run in deployments only"), ("db", "leaves databases alone")] {
        let body = json!({"components": ["web", named]});
        let (status, answer) = at.call("POST", &format!("/v2/apps/{app}/restart"), Some(&body)).await.unwrap();
        assert_eq!(status, 400, "{answer}");
        assert!(message(&answer).contains(word), "{answer}");
    }
    assert_eq!(at.instances(&app).await.unwrap(), before, "web was not restarted either");
}

/// The app's instances once its job runs are collected, which may be after their deployment has ended.
async fn without_jobs(at: &Installation, app: &str) -> Vec<Value> {
    let deadline = tokio::time::Instant::now() + ENDS_WITHIN;
    loop {
        let all = at.instances(app).await.unwrap();
        if all.iter().all(|it| it["component_type"] != "JOB") {
            return all;
        }
        assert!(tokio::time::Instant::now() < deadline, "not collected: {all:#?}\n{}", at.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Answers every request as an engine of 2019 describes itself, which is all that `serve` asks for. Runs until it is
/// aborted, and panics if a connection ends without a request.
fn serve_as_an_old_engine(socket: &std::path::Path) -> tokio::task::JoinHandle<()> {
    let listener = tokio::net::UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "a request has a head");
            }
            let body = json!({
                "ServerVersion": "19.03.15", "Version": "19.03.15", "ApiVersion": "1.40", "NCPU": 2, "MemTotal": 4u64 << 30,
            });
            let body = body.to_string();
            let head =
                format!("HTTP/1.1 200 OK\r\nApi-Version: 1.40\r\nConnection: close\r\nContent-Length: {}", body.len());
            stream
                .write_all(format!("{head}\r\nContent-Type: application/json\r\n\r\n{body}").as_bytes())
                .await
                .unwrap();
        }
    })
}

/// `serve` refuses before it changes anything, and says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn serve_does_not_start_without_a_suitable_engine_and_a_free_ingress_port() {
    let directory = tempfile::tempdir().unwrap();
    let run = async |more: &[&str]| {
        let mut command = tokio::process::Command::new(PROGRAM);
        command.args(["serve", "--api", "127.0.0.1:0", "--data-dir"]).arg(directory.path().join("data")).args(more);
        let output = command.stdin(std::process::Stdio::null()).output();
        let output = tokio::time::timeout(ENDS_WITHIN, output).await.unwrap().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let nowhere = directory.path().join("no.sock").display().to_string();
    let (code, said) = run(&["--http", "127.0.0.1:0", "--engine-socket", &nowhere]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&nowhere) && said.contains("no engine answers"), "{said}");

    let old = directory.path().join("old.sock");
    let engine = serve_as_an_old_engine(&old);
    let (code, said) = run(&["--http", "127.0.0.1:0", "--engine-socket", &old.display().to_string()]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("1.40") && said.contains("20.10 or later"), "{said}");
    engine.abort();
    assert!(engine.await.unwrap_err().is_cancelled(), "the engine answered to the end");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = run(&["--http", &address]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&address) && said.contains("--http"), "{said}");
    let purge = ["uninstall", "--purge", "--data-dir"];
    let data = directory.path().join("data");
    let purged = tokio::process::Command::new(PROGRAM).args(purge).arg(&data).output().await.unwrap();
    assert!(purged.status.success(), "{}", String::from_utf8_lossy(&purged.stderr));
    assert!(!data.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_names_a_source_that_does_not_exist_or_is_refused() {
    let at = installation().await;
    let repo = versioned(&at, "web");
    let spec = |url: &str, branch: &str| {
        format!("name: shop\nservices:\n- name: web\n  git: {{repo_clone_url: '{url}', branch: {branch}}}\n")
    };
    let missing = at.sources().join("nowhere").display().to_string();
    // URLs that must not be fetched from here are refused at once, whatever they point to, and the message does not
    // repeat a login.
    for (url, word) in [
        ("/etc", "--local-sources"),
        ("http://example.com/a/b.git", "https://"),
        ("https://user:hunter2@example.com/a.git", "contains a login"),
        ("https:/user:hunter2@example.com/a.git", "contains a login"),
    ] {
        let (status, answer) =
            boatyard_tests::http::yaml(at.api(), "/v2/apps", at.token(), &spec(url, "main")).await.unwrap();
        let answer = answer.to_string();
        assert!((400..500).contains(&status) && answer.contains(word), "{url}: {status} {answer}");
        assert!(!answer.contains("hunter2"), "{answer}");
    }
    for (url, branch, word) in [(missing.as_str(), "main", "nowhere"), (&repo.url(), "mian", "main")] {
        let (status, answer) =
            boatyard_tests::http::yaml(at.api(), "/v2/apps", at.token(), &spec(url, branch)).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        let (app, id) =
            (answer["app"]["id"].as_str().unwrap(), answer["app"]["pending_deployment"]["id"].as_str().unwrap());
        let ended = at.wait(app, id).await.unwrap();
        assert_eq!(ended["phase"], "ERROR");
        let why = ended["boatyard"]["failure"]["message"].as_str().unwrap().to_owned();
        assert!(why.contains(word), "{url} {branch}: {why}");
        // The app was never active, so there is nothing to restart.
        let (status, answer) = at.call("POST", &format!("/v2/apps/{app}/restart"), Some(&json!({}))).await.unwrap();
        assert_eq!(status, 409, "{answer}");
        at.delete(app).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_serve_on_the_same_data_directory_is_refused() {
    let at = installation().await;
    let output = at.cli(&["serve", "--api", "127.0.0.1:0", "--http", "127.0.0.1:0"]).await.unwrap();
    assert_eq!(output.status.code(), Some(75));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let pid = at.serve_pid().unwrap().to_string();
    assert!(said.contains(&pid), "the holder is named: {said}");
}
