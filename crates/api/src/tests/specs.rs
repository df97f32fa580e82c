//! Every sample spec, sent as JSON and as YAML.

use std::path::PathBuf;

use app_spec::AppSpec;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::client::Server;

fn samples() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../app-spec-samples");
    let entries = std::fs::read_dir(folder).expect("the samples").map(|entry| entry.expect("a sample").path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|it| it != "md")).collect();
    files.sort();
    let read = |path: &PathBuf| std::fs::read_to_string(path).expect("readable");
    files.iter().map(|path| (path.display().to_string(), read(path))).collect()
}

fn as_json(text: &str) -> Value {
    let spec = AppSpec::from_yaml(text).expect("a good sample").spec;
    spec.to_json_value(&|_, secret| secret.expose().to_owned())
}

#[tokio::test]
async fn create_and_propose_read_every_sample() {
    let samples = samples();
    assert!(samples.len() >= 25);
    for (name, text) in samples {
        let server = Server::start().await;
        let spec = as_json(&text);
        for path in ["/v2/apps", "/v2/apps/propose?report_only=true"] {
            let answer = server.send("POST", path, &json!({ "spec": spec }).to_string()).await;
            assert_eq!(answer.status, StatusCode::OK, "{name} to {path}: {:?}", answer.json());
        }
        let yaml = [("authorization", "Bearer tok"), ("content-type", "application/yaml")];
        assert_eq!(server.send_with("POST", "/v2/apps", &text, &yaml).await.status, StatusCode::OK, "{name} as YAML");
        let calls = server.control.calls();
        let create = format!("create {} ", spec["name"].as_str().expect("a name"));
        let created = calls.iter().filter(|call| call.starts_with(&create)).count();
        assert_eq!(created, 2, "{name}: {calls:?}");
    }
}
