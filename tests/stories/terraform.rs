//! What Terraform's provider sends for an app, in the order in which it sends it.

use boatyard_tests::installation::Installation;
use serde_json::{Value, json};

use crate::clients::{Client, Session};
use crate::support::*;

/// The spec that the provider makes of a configuration: it spells out defaults.
fn spec(count: u8, level: &str) -> Value {
    json!({
        "name": "sample",
        "services": [{
            "name": "web",
            "image": {
                "registry_type": "DOCKER_HUB",
                "registry": "boatyard-local",
                "repository": "testapp",
                "tag": "1",
            },
            "envs": [
                { "key": "LEVEL", "value": level, "scope": "RUN_AND_BUILD_TIME" },
                { "key": "S", "value": "s3cret", "scope": "RUN_TIME", "type": "SECRET" },
            ],
            "instance_size_slug": "apps-s-1vcpu-0.5gb",
            "instance_count": count,
            "http_port": 8080,
            "health_check": { "http_path": "/health" },
        }],
        "region": "local",
        "alerts": [{ "rule": "DEPLOYMENT_FAILED" }],
        "ingress": { "rules": [{
            "component": { "name": "web" },
            "match": { "path": { "prefix": "/" } },
        }] },
    })
}

/// The spec as the provider compares it with its configuration. Secrets come back encrypted.
fn compared(mut spec: Value) -> Value {
    for env in spec["services"][0]["envs"].as_array_mut().unwrap() {
        if env["type"] == "SECRET" {
            env["value"] = "(secret)".into();
        }
    }
    spec
}

struct Terraform<'a> {
    session: Session<'a>,
}

impl<'a> Terraform<'a> {
    async fn new(at: &'a Installation) -> Self {
        Self { session: Session::open(Client::Terraform, at).await }
    }

    /// Creates the app and returns its id.
    async fn create(&mut self, spec: &Value, project: Option<&str>) -> String {
        let mut body = json!({ "spec": spec });
        if let Some(project) = project {
            body["project_id"] = project.into();
        }
        let answer = self.session.ok("POST", "/v2/apps", &format!("{body}\n")).await;
        self.complete(&answer).await
    }

    async fn update(&mut self, app: &str, spec: &Value) {
        let body = format!("{}\n", json!({ "spec": spec, "update_all_source_versions": false }));
        let answer = self.session.ok("PUT", &format!("/v2/apps/{app}"), &body).await;
        self.complete(&answer).await;
    }

    /// What follows a create and an update: waits, and sends the destinations of the alert, changed or not.
    async fn complete(&mut self, answer: &Value) -> String {
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
        let (app, deployment) = (text("/app/id"), text("/app/pending_deployment/id"));
        loop {
            let answer = self.session.ok("GET", &format!("/v2/apps/{app}/deployments/{deployment}"), "").await;
            let progress = &answer["deployment"]["progress"];
            let steps = progress["steps"].as_array().expect("Terraform crashes without steps");
            if !steps.is_empty() && steps.iter().all(|it| it["status"] == "SUCCESS") {
                break;
            }
            assert_eq!(progress["error_steps"].as_u64().unwrap_or_default(), 0, "{answer:#}");
        }
        let deployments = self.deployments(&app).await;
        let alerts = self.session.ok("GET", &format!("/v2/apps/{app}/alerts"), "").await;
        let alert = alerts["alerts"].as_array().unwrap().iter().find(|it| it["spec"]["rule"] == "DEPLOYMENT_FAILED");
        let path = format!("/v2/apps/{app}/alerts/{}/destinations", alert.unwrap()["id"].as_str().unwrap());
        let body = "{\"emails\":[\"a@example.com\"],\"slack_webhooks\":null}\n";
        assert_eq!(self.session.ok("POST", &path, body).await["alert"]["emails"], json!(["a@example.com"]));
        assert_eq!(self.deployments(&app).await, deployments, "destinations start no deployment");
        app
    }

    async fn deployments(&mut self, app: &str) -> u64 {
        let answer = self.session.ok("GET", &format!("/v2/apps/{app}/deployments?per_page=20"), "").await;
        answer["meta"]["total"].as_u64().unwrap()
    }

    /// Reads the app, as `plan` does, and checks that it is what the configuration says.
    async fn no_changes(&mut self, app: &str, spec: &Value, project: Option<&str>) {
        let found = self.session.ok("GET", &format!("/v2/apps/{app}"), "").await["app"].clone();
        assert_eq!(compared(found["spec"].clone()), compared(spec.clone()));
        for name in ["id", "default_ingress", "live_url", "live_domain", "created_at", "updated_at", "project_id"] {
            assert!(found[name].as_str().is_some_and(|it| !it.is_empty()), "{name} in {found:#}");
        }
        assert!(found["active_deployment"]["id"].is_string(), "{found:#}");
        if let Some(project) = project {
            assert_eq!(found["project_id"], project);
        }
        let alerts = self.session.ok("GET", &format!("/v2/apps/{app}/alerts"), "").await;
        assert_eq!(alerts["alerts"][0]["emails"], json!(["a@example.com"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn terraform_creates_updates_replaces_and_destroys_an_app_without_eternal_differences() {
    let at = installation().await;
    let mut terraform = Terraform::new(&at).await;
    let project = at.ok("GET", "/v2/projects", None).await.unwrap()["projects"][0]["id"].as_str().unwrap().to_owned();

    let first = spec(1, "low");
    let app = terraform.create(&first, Some(&project)).await;
    terraform.no_changes(&app, &first, Some(&project)).await;

    // A secret in clear text is a difference for ever, as on App Platform. The update that follows starts nothing.
    let before = terraform.deployments(&app).await;
    terraform.update(&app, &first).await;
    assert_eq!(terraform.deployments(&app).await, before);

    let second = spec(2, "high");
    terraform.update(&app, &second).await;
    terraform.no_changes(&app, &second, Some(&project)).await;

    // A change of the project replaces the app: the name is free at once.
    assert_eq!(terraform.session.ok("DELETE", &format!("/v2/apps/{app}"), "").await["id"], app);
    let replaced = terraform.create(&second, None).await;
    assert_ne!(replaced, app);
    terraform.no_changes(&replaced, &second, None).await;
    let gone = terraform.session.send("GET", &format!("/v2/apps/{app}"), "").await;
    assert_eq!(gone.0, 404, "Terraform drops an app that vanished from its state");

    terraform.session.ok("DELETE", &format!("/v2/apps/{replaced}"), "").await;
    let (status, again) = terraform.session.send("DELETE", &format!("/v2/apps/{replaced}"), "").await;
    assert_eq!((status, again["id"].as_str()), (404, Some("not_found")));
}
