//! What a repository or an app would be built with.

use axum::http::StatusCode;
use serde_json::json;

use super::client::Server;

const REPOSITORY: &str = r#"{"git": {"repo_clone_url": "https://example.com/shop.git"}, "source_dir": ""}"#;

#[tokio::test]
async fn a_repository_is_detected_with_the_fields_of_app_platform() {
    let server = Server::start().await;
    let answer = server.send("POST", "/v2/apps/detect", REPOSITORY).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let found = answer.json();
    let component = &found["components"][0];
    assert_eq!((&component["strategy"], &component["environment_slug"]), (&json!("HTML"), &json!("html")));
    assert_eq!((&component["http_ports"], &component["run_command"]), (&json!([8080]), &json!("")));
    assert_eq!((&found["pending"], &found["template_found"]), (&json!(false), &json!(false)));
}

#[tokio::test]
async fn a_body_without_a_repository_or_with_a_commit_is_refused() {
    let server = Server::start().await;
    let with_commit = REPOSITORY.replacen('{', "{\"commit_sha\": \"abc\", ", 1);
    for (body, part) in [("{}", "needs a source"), (&with_commit, "commit_sha"), ("[]", "must be an object")] {
        let answer = server.send("POST", "/v2/apps/detect", body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {}", answer.text);
        assert!(answer.message().contains(part), "{body}: {}", answer.message());
    }
}

#[tokio::test]
async fn the_components_of_an_app_are_shown_with_their_dockerfiles() {
    let server = Server::start().await;
    let plans = server.send("POST", "/v2/boatyard/apps/shop/detect", "").await.json();
    assert_eq!(plans["build_plans"][0]["component"], "web");
    assert_eq!(plans["build_plans"][0]["language"], "static files");
    assert!(plans["build_plans"][0]["dockerfile"].as_str().is_some_and(|it| it.contains("FROM nginx:1")), "{plans:#}");
    assert_eq!(plans["problems"], json!([]));
    assert_eq!(server.send("POST", "/v2/boatyard/apps/nowhere/detect", "").await.status, StatusCode::NOT_FOUND);
}
