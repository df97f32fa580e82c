//! Requests recorded from doctl, pydo and Terraform, sent to the real server. Each row has the status and the fields that
//! the client needs in the answer.

use boatyard_tests::installation::Installation;
use serde_json::Value;

use crate::clients::Client::{self, Doctl, Pydo, Terraform};
use crate::clients::Session;
use crate::support::*;

/// A recorded request. Words in capitals stand for ids of the installation.
struct Recorded {
    client: Client,
    request: &'static str,
    body: &'static str,
    status: u16,
    /// Type and place of fields: `text /app/id`.
    fields: &'static str,
}

const fn row(client: Client, request: &'static str, body: &'static str, status: u16, fields: &'static str) -> Recorded {
    Recorded { client, request, body, status, fields }
}

const APP_FIELDS: &str = "text /app/id, text /app/spec/name, text /app/default_ingress, text /app/live_url, \
    text /app/live_domain, text /app/project_id, time /app/created_at, time /app/updated_at, text /app/owner_uuid, \
    text /app/region/slug, text /app/tier_slug";
const PENDING: &str = "text /app/id, text /app/spec/name, text /app/pending_deployment/id";
const DEPLOYMENT: &str = "text /deployment/id, text /deployment/cause, text /deployment/phase, \
    time /deployment/created_at, time /deployment/updated_at, time /deployment/phase_last_updated_at, \
    text /deployment/spec/name, text /deployment/cause_details/type, number /deployment/progress/total_steps, \
    text /deployment/progress/steps/0/name, text /deployment/progress/steps/0/status";
const DEPLOYMENTS: &str = "text /deployments/0/id, text /deployments/0/phase, number /meta/total, object /links/pages";
const INVOCATION: &str = "text /job_invocation/id, text /job_invocation/job_name, text /job_invocation/phase, \
    time /job_invocation/created_at, time /job_invocation/started_at, time /job_invocation/completed_at";
const INVOCATIONS: &str = "text /job_invocations/0/id, number /meta/total, object /links/pages";
const EVENT: &str = "text /event/id, text /event/type, text /event/deployment_id, time /event/created_at";
const LOGS: &str = "text /live_url, text /historic_urls/0";
const ALERTS: &str = "text /alerts/0/id, text /alerts/0/spec/rule";
const SIZE: &str = "text /instance_size/slug, text /instance_size/cpus, text /instance_size/memory_bytes, \
    text /instance_size/usd_per_month, text /instance_size/usd_per_second, text /instance_size/tier_slug";
const PROPOSAL: &str = "text /spec/name, bool /app_name_available, text /existing_static_apps, number /app_cost";
const ERROR: &str = "text /id, text /message, text /request_id";
const NONE: &str = "";

/// The spec that doctl makes of a file.
const SPEC: &str = r#"{"name":"sample","services":[{"name":"web","git":{"repo_clone_url":"https://example.invalid/web.git","branch":"main"},"envs":[{"key":"A","value":"1"},{"key":"S","value":"s3cret","scope":"RUN_TIME","type":"SECRET"}],"http_port":8080,"routes":[{"path":"/"}]}],"jobs":[{"name":"mig","image":{"registry_type":"DOCKER_HUB","registry":"library","repository":"busybox","tag":"1.36"},"run_command":"true","kind":"PRE_DEPLOY"}],"region":"fra"}"#;
/// The spec that Terraform's provider makes of a configuration.
const TERRAFORM_SPEC: &str = r#"{"name":"sample","services":[{"name":"web","git":{"repo_clone_url":"https://example.invalid/web.git","branch":"main"},"envs":[{"key":"A","value":"1","scope":"RUN_AND_BUILD_TIME"},{"key":"S","value":"s3cret","scope":"RUN_TIME","type":"SECRET"}],"instance_size_slug":"apps-s-1vcpu-0.5gb","instance_count":1,"http_port":8080}],"region":"fra","alerts":[{"rule":"DEPLOYMENT_FAILED"}]}"#;

/// The name is free: each of these creates the app.
const CREATES: &[Recorded] = &[
    row(Doctl, "POST /v2/apps", "{\"spec\":SPEC}\n", 200, PENDING),
    row(Doctl, "POST /v2/apps", "{\"spec\":SPEC,\"project_id\":\"PROJ\"}\n", 200, PENDING),
    row(Pydo, "POST /v2/apps", "{\"spec\": SPEC}", 200, PENDING),
    row(Terraform, "POST /v2/apps", "{\"spec\":TERRAFORM_SPEC}\n", 200, PENDING),
];

/// The app exists and serves deployment DEP. It served deployment OLD before.
const OF_A_RUNNING_APP: &[Recorded] = &[
    row(Doctl, "GET /v1/oauth/token/info", "", 200, "list /scopes, number /resource_owner_id"),
    row(
        Doctl,
        "GET /v2/account",
        "",
        200,
        "text /account/uuid, text /account/email, text /account/status, \
        text /account/team/name, bool /account/email_verified, number /account/droplet_limit",
    ),
    row(Doctl, "GET /v2/projects?page=1&per_page=200", "", 200, "text /projects/0/id"),
    row(
        Doctl,
        "GET /v2/apps?page=1&per_page=200",
        "",
        200,
        "text /apps/0/id, text /apps/0/spec/name, number /meta/total",
    ),
    row(Doctl, "GET /v2/apps?page=1&per_page=200&with_projects=true", "", 200, "text /apps/0/project_id"),
    row(Doctl, "GET /v2/apps?page=2&per_page=200", "", 200, "list /apps, number /meta/total"),
    row(Doctl, "GET /v2/apps?page=3&per_page=200&with_projects=true", "", 200, "list /apps"),
    row(Doctl, "GET /v2/apps/APP", "", 200, APP_FIELDS),
    // The name is taken, which `create --upsert` acts on. The others are refused as well.
    row(Doctl, "POST /v2/apps", "{\"spec\":SPEC}\n", 409, ERROR),
    row(Doctl, "POST /v2/apps", "{\"spec\":SPEC,\"project_id\":\"PROJ\"}\n", 409, ERROR),
    row(Doctl, "POST /v2/apps", "{\"spec\":{\"name\":\"\"}}\n", 400, ERROR),
    row(Doctl, "GET /v2/apps/APP/deployments/", "", 404, ERROR),
    row(Doctl, "GET /v2/apps/APP/deployments?page=1&per_page=200", "", 200, DEPLOYMENTS),
    row(Doctl, "GET /v2/apps/APP/deployments/DEP", "", 200, DEPLOYMENT),
    row(Doctl, "POST /v2/apps/propose", "{\"spec\":SPEC}\n", 200, PROPOSAL),
    row(Doctl, "POST /v2/apps/propose", "{\"spec\":SPEC,\"app_id\":\"APP\"}\n", 200, PROPOSAL),
    row(Doctl, "GET /v2/apps/APP/job-invocations", "", 200, INVOCATIONS),
    row(Doctl, "GET /v2/apps/APP/job-invocations?deployment_id=DEP&job_names=cron", "", 200, INVOCATIONS),
    row(Doctl, "GET /v2/apps/APP/job-invocations/INV", "", 200, INVOCATION),
    row(Doctl, "POST /v2/apps/APP/job-invocations/INV/cancel", "", 409, ERROR),
    row(Doctl, "GET /v2/apps/APP/events", "", 200, "text /events/0/id, number /meta/total"),
    row(Doctl, "GET /v2/apps/APP/events?event_types=AUTOSCALING&event_types=DEPLOYMENT", "", 200, "text /events/0/id"),
    row(Doctl, "GET /v2/apps/APP/events/EVT", "", 200, EVENT),
    // As on App Platform: only an autoscaling event can be canceled, or has logs.
    row(Doctl, "POST /v2/apps/APP/events/EVT/cancel", "", 400, ERROR),
    row(Doctl, "GET /v2/apps/APP/events/EVT/logs?type=AUTOSCALE_EVENT", "", 400, ERROR),
    row(
        Doctl,
        "GET /v2/apps/APP/instances",
        "",
        200,
        "text /instances/0/component_name, \
        text /instances/0/component_type, text /instances/0/instance_name, text /instances/0/instance_alias",
    ),
    row(
        Doctl,
        "GET /v2/apps/regions",
        "",
        200,
        "text /regions/0/slug, text /regions/0/label, list /regions/0/data_centers",
    ),
    row(Doctl, "GET /v2/apps/buildpacks", "", 200, "list /buildpacks"),
    row(
        Doctl,
        "GET /v2/apps/tiers/instance_sizes",
        "",
        200,
        "text /instance_sizes/0/slug, \
        text /instance_sizes/0/cpus, text /instance_sizes/0/memory_bytes, text /instance_sizes/0/usd_per_month",
    ),
    row(Doctl, "GET /v2/apps/tiers/instance_sizes/apps-s-1vcpu-0.5gb", "", 200, SIZE),
    row(Doctl, "GET /v2/apps/tiers", "", 200, "text /tiers/0/slug, text /tiers/0/egress_bandwidth_bytes"),
    row(Doctl, "GET /v2/apps/tiers/basic", "", 200, "text /tier/slug, text /tier/build_seconds"),
    row(
        Doctl,
        "POST /v2/apps/APP/upgrade_buildpack",
        "{\"buildpack_id\":\"digitalocean/node\",\"trigger_deployment\":true}\n",
        200,
        "list /affected_components",
    ),
    row(
        Doctl,
        "POST /v2/apps/APP/upgrade_buildpack",
        "{\"buildpack_id\":\"digitalocean/node\",\"major_version\":3}\n",
        200,
        "list /affected_components",
    ),
    row(Doctl, "GET /v2/apps/APP/alerts", "", 200, ALERTS),
    row(
        Doctl,
        "POST /v2/apps/APP/alerts/ALERT/destinations",
        "{\"emails\":[\"b@example.com\"],\
        \"slack_webhooks\":[{\"url\":\"https://example.invalid/h\",\"channel\":\"#x\"}]}\n",
        200,
        "text /alert/spec/rule, text /alert/emails/0, text /alert/slack_webhooks/0/channel",
    ),
    row(
        Doctl,
        "POST /v2/apps/APP/alerts/ALERT/destinations",
        "{\"emails\":null,\"slack_webhooks\":null}\n",
        200,
        "text /alert/spec/rule",
    ),
    row(
        Doctl,
        "GET /v2/apps/APP/deployments/DEP/logs?type=BUILD&follow=false&tail_lines=-1&component_name=web",
        "",
        200,
        LOGS,
    ),
    row(Doctl, "GET /v2/apps/APP/deployments/DEP/logs?type=DEPLOY&follow=false&tail_lines=-1", "", 200, LOGS),
    row(Doctl, "GET /v2/apps/APP/logs?type=RUN&follow=false&tail_lines=5", "", 200, LOGS),
    row(Doctl, "GET /v2/apps/APP/logs?type=RUN_RESTARTED&follow=false&tail_lines=-1&component_name=web", "", 200, LOGS),
    row(Doctl, "GET /v2/apps/APP/logs?type=RUN&follow=true&tail_lines=-1&component_name=web", "", 200, LOGS),
    row(
        Doctl,
        "GET /v2/apps/APP/jobs/cron/invocations/INV/logs?type=JOB_INVOCATION&follow=true&tail_lines=7",
        "",
        200,
        LOGS,
    ),
    row(Doctl, "GET /v2/apps/APP/components/web/exec", "", 200, "text /url"),
    row(Doctl, "GET /v2/apps/APP/components/web/exec?instance_name=INSTANCE", "", 200, "text /url"),
    row(Doctl, "GET /v2/apps/APP/deployments/DEP/components/web/exec", "", 200, "text /url"),
    row(Pydo, "GET /v2/apps?page=1&per_page=20", "", 200, "text /apps/0/id, object /links/pages"),
    row(Pydo, "GET /v2/apps?page=1&per_page=20&with_projects=true", "", 200, "text /apps/0/project_id"),
    row(Pydo, "GET /v2/apps/APP", "", 200, APP_FIELDS),
    row(Pydo, "GET /v2/apps/APP?name=sample", "", 200, APP_FIELDS),
    row(Pydo, "POST /v2/apps", "{\"spec\": SPEC}", 409, ERROR),
    row(Pydo, "GET /v2/apps/APP/deployments?page=1&per_page=20", "", 200, DEPLOYMENTS),
    row(
        Pydo,
        "GET /v2/apps/APP/deployments?page=1&per_page=20&deployment_types=MANUAL&deployment_types=DEPLOY_ON_PUSH",
        "",
        200,
        DEPLOYMENTS,
    ),
    row(Pydo, "GET /v2/apps/APP/deployments/DEP", "", 200, DEPLOYMENT),
    row(Pydo, "POST /v2/apps/APP/deployments/DEP/cancel", "", 409, ERROR),
    row(Pydo, "GET /v2/apps/APP/deployments/DEP/components/web/logs?type=UNSPECIFIED", "", 200, LOGS),
    row(
        Pydo,
        "GET /v2/apps/APP/deployments/DEP/components/web/logs?follow=true&type=BUILD&pod_connection_timeout=3m",
        "",
        200,
        LOGS,
    ),
    row(Pydo, "GET /v2/apps/APP/components/web/logs?type=RUN", "", 200, LOGS),
    row(Pydo, "GET /v2/apps/APP/deployments/DEP/logs?type=DEPLOY", "", 200, LOGS),
    row(Pydo, "GET /v2/apps/APP/logs?follow=false&type=RUN_RESTARTED", "", 200, LOGS),
    row(Pydo, "GET /v2/apps/APP/components/web/exec?instance_name=INSTANCE", "", 200, "text /url"),
    row(Pydo, "GET /v2/apps/APP/deployments/DEP/components/web/exec", "", 200, "text /url"),
    row(Pydo, "GET /v2/apps/APP/instances", "", 200, "text /instances/0/instance_alias"),
    row(
        Pydo,
        "GET /v2/apps/APP/health",
        "",
        200,
        "text /app_health/components/0/name, \
        number /app_health/components/0/replicas_ready, text /app_health/components/0/state",
    ),
    row(Pydo, "GET /v2/apps/regions", "", 200, "text /regions/0/slug"),
    row(Pydo, "GET /v2/apps/tiers/instance_sizes", "", 200, "text /instance_sizes/0/slug"),
    row(Pydo, "GET /v2/apps/tiers/instance_sizes/apps-s-1vcpu-0.5gb", "", 200, SIZE),
    row(Pydo, "POST /v2/apps/propose", "{\"spec\": SPEC}", 200, PROPOSAL),
    row(Pydo, "GET /v2/apps/APP/alerts", "", 200, ALERTS),
    row(
        Pydo,
        "POST /v2/apps/APP/alerts/ALERT/destinations",
        "{\"emails\": [\"a@example.com\"]}",
        200,
        "text /alert/emails/0",
    ),
    row(
        Pydo,
        "POST /v2/apps/APP/rollback/validate",
        "{\"deployment_id\": \"OLD\", \"skip_pin\": false}",
        200,
        "bool /valid",
    ),
    row(
        Pydo,
        "GET /v2/apps/APP/job-invocations?job_names=cron&job_names=b&deployment_id=DEP&page=1&per_page=20",
        "",
        200,
        INVOCATIONS,
    ),
    row(Pydo, "GET /v2/apps/APP/job-invocations/INV?job_name=cron", "", 200, INVOCATION),
    row(Pydo, "POST /v2/apps/APP/job-invocations/INV/cancel?job_name=cron", "", 409, ERROR),
    row(
        Pydo,
        "GET /v2/apps/APP/jobs/cron/invocations/INV/logs?follow=true&type=JOB_INVOCATION&tail_lines=5",
        "",
        200,
        LOGS,
    ),
    row(
        Pydo,
        "GET /v2/apps/APP/events?page=1&per_page=20&event_types=DEPLOYMENT&event_types=AUTOSCALING",
        "",
        200,
        "text /events/0/id, object /links/pages",
    ),
    row(Pydo, "GET /v2/apps/APP/events/EVT", "", 200, EVENT),
    row(Pydo, "POST /v2/apps/APP/events/EVT/cancel", "", 400, ERROR),
    row(Pydo, "GET /v2/apps/APP/events/EVT/logs?type=UNSPECIFIED", "", 400, ERROR),
    row(
        Pydo,
        "GET /v2/apps/APP/metrics/bandwidth_daily",
        "",
        200,
        "text /app_bandwidth_usage/0/bandwidth_bytes, time /date",
    ),
    row(
        Pydo,
        "GET /v2/apps/APP/metrics/bandwidth_daily?date=2026-01-02T00%3A00%3A00.000Z",
        "",
        200,
        "text /app_bandwidth_usage/0/app_id, time /date",
    ),
    row(
        Pydo,
        "POST /v2/apps/metrics/bandwidth_daily",
        "{\"app_ids\": [\"APP\"]}",
        200,
        "text /app_bandwidth_usage/0/app_id",
    ),
    row(Terraform, "GET /v2/apps/APP/deployments?per_page=20", "", 200, DEPLOYMENTS),
    row(Terraform, "GET /v2/apps/APP/deployments/DEP", "", 200, DEPLOYMENT),
    row(Terraform, "GET /v2/apps/APP/alerts", "", 200, ALERTS),
    row(
        Terraform,
        "POST /v2/apps/APP/alerts/ALERT/destinations",
        "{\"emails\":[\"a@example.com\"],\"slack_webhooks\":null}\n",
        200,
        "text /alert/emails/0",
    ),
    row(Terraform, "GET /v2/apps/APP", "", 200, APP_FIELDS),
    // Each of these starts a deployment, or repeats one that has just begun.
    row(Doctl, "POST /v2/apps/APP/restart", "{\"components\":[]}\n", 200, DEPLOYMENT),
    row(Doctl, "POST /v2/apps/APP/restart", "{\"components\":[\"web\"]}\n", 200, DEPLOYMENT),
    row(Doctl, "POST /v2/apps/APP/restart", "{\"components\":[\"web\",\"worker\"]}\n", 200, DEPLOYMENT),
    row(Doctl, "POST /v2/apps/APP/deployments", "{\"force_build\":false}\n", 200, DEPLOYMENT),
    row(Doctl, "POST /v2/apps/APP/deployments", "{\"force_build\":true}\n", 200, DEPLOYMENT),
    row(Pydo, "POST /v2/apps/APP/restart", "{\"components\": [\"web\"]}", 200, DEPLOYMENT),
    row(Pydo, "POST /v2/apps/APP/restart", "{}", 200, DEPLOYMENT),
    row(Pydo, "POST /v2/apps/APP/restart", "", 200, DEPLOYMENT),
    row(Pydo, "POST /v2/apps/APP/deployments", "{\"force_build\": true}", 200, DEPLOYMENT),
    row(Pydo, "POST /v2/apps/APP/deployments", "{}", 200, DEPLOYMENT),
    row(Pydo, "POST /v2/apps/APP/rollback", "{\"deployment_id\": \"OLD\", \"skip_pin\": false}", 200, DEPLOYMENT),
    row(Pydo, "POST /v2/apps/APP/rollback/revert", "", 200, DEPLOYMENT),
    row(Pydo, "POST /v2/apps/APP/rollback", "{\"deployment_id\": \"OLD\", \"skip_pin\": false}", 200, DEPLOYMENT),
    row(Pydo, "POST /v2/apps/APP/rollback/commit", "", 200, NONE),
    // Deployments of these specs fail, because their repositories do not exist.
    row(
        Terraform,
        "PUT /v2/apps/APP",
        "{\"spec\":TERRAFORM_SPEC,\"update_all_source_versions\":false}\n",
        200,
        PENDING,
    ),
    row(Doctl, "PUT /v2/apps/APP", "{\"spec\":SPEC,\"update_all_source_versions\":false}\n", 200, PENDING),
    row(Doctl, "PUT /v2/apps/APP", "{\"spec\":SPEC,\"update_all_source_versions\":true}\n", 200, PENDING),
    row(Pydo, "PUT /v2/apps/APP", "{\"spec\": SPEC}", 200, PENDING),
    row(Pydo, "DELETE /v2/apps/APP", "", 200, "text /id"),
    row(Terraform, "DELETE /v2/apps/APP", "", 404, ERROR),
];

/// The app with the components that the requests name. A console needs an image with a shell.
fn sample() -> String {
    format!(
        "
name: sample
services:
- name: web
  image: {{registry_type: DOCKER_HUB, registry: boatyard-local, repository: python, tag: '3'}}
  run_command: python3 -m http.server 8080
  routes: [{{path: /}}]
  health_check: {{http_path: /, period_seconds: 1}}
workers:
- {{name: worker, image: {TESTAPP}, run_command: /bin/testapp work}}
jobs:
- {{name: cron, image: {TESTAPP}, kind: PRE_DEPLOY, run_command: /bin/testapp job}}
alerts:
- rule: DEPLOYMENT_FAILED
"
    )
}

/// What the words in capitals stand for.
struct Words(Vec<(&'static str, String)>);

impl Words {
    async fn of(at: &Installation) -> Self {
        let get = async |path: &str, pointer: &str| {
            let answer = at.ok("GET", path, None).await.unwrap();
            answer.pointer(pointer).and_then(Value::as_str).unwrap().to_owned()
        };
        let deployment = get("/v2/apps/sample", "/app/active_deployment/id").await;
        let instances = at.instances("sample").await.unwrap();
        let web = instances.iter().find(|it| it["component_name"] == "web").unwrap();
        Self(vec![
            ("TERRAFORM_SPEC", TERRAFORM_SPEC.to_owned()),
            ("SPEC", SPEC.to_owned()),
            ("INSTANCE", web["instance_name"].as_str().unwrap().to_owned()),
            ("INV", get("/v2/apps/sample/job-invocations", "/job_invocations/0/id").await),
            ("ALERT", get("/v2/apps/sample/alerts", "/alerts/0/id").await),
            ("PROJ", get("/v2/projects", "/projects/0/id").await),
            ("APP", get("/v2/apps/sample", "/app/id").await),
            ("OLD", get("/v2/apps/sample/deployments?per_page=1&page=2", "/deployments/0/id").await),
            ("EVT", deployment.clone()),
            ("DEP", deployment),
        ])
    }

    /// Replaces whole words only: `DEPLOYMENT` contains `DEP`.
    fn fill(&self, text: &str) -> String {
        let is_part = |c: char| c.is_ascii_uppercase() || c == '_';
        let mut filled = String::new();
        let mut rest = text;
        while let Some(start) = rest.find(is_part) {
            let end = rest[start..].find(|c| !is_part(c)).map_or(rest.len(), |length| start + length);
            let word = &rest[start..end];
            let known = self.0.iter().find(|(name, _)| *name == word);
            filled.push_str(&rest[..start]);
            filled.push_str(known.map_or(word, |(_, value)| value));
            rest = &rest[end..];
        }
        filled + rest
    }
}

/// Sends a request and returns what is wrong with the answer, and the answer.
async fn send(at: &Installation, words: &Words, recorded: &Recorded) -> (Vec<String>, Value) {
    let Recorded { client, request, body, status, fields } = recorded;
    let (method, path) = request.split_once(' ').unwrap();
    let mut session = Session::open(*client, at).await;
    let (answered, answer) = session.send(method, &words.fill(path), &words.fill(body)).await;
    let mut wrong = Vec::new();
    if answered != *status {
        wrong.push(format!("{client:?} {request} {body:?}: {answered} instead of {status}: {answer}"));
    } else {
        let fields = fields.split(',').map(str::trim).filter(|it| !it.is_empty());
        let bad = fields.filter(|field| !has(&answer, field));
        wrong.extend(bad.map(|field| format!("{client:?} {request}: no {field} in {answer}")));
    }
    (wrong, answer)
}

/// Whether the answer has this field with this type. The types are those that the clients parse.
fn has(answer: &Value, field: &str) -> bool {
    let (kind, pointer) = field.split_once(' ').unwrap();
    let value = answer.pointer(pointer).unwrap_or(&Value::Null);
    match kind {
        "text" => value.as_str().is_some_and(|it| !it.is_empty()),
        "time" => value.as_str().is_some_and(|it| chrono::DateTime::parse_from_rfc3339(it).is_ok()),
        "number" => value.is_number(),
        "bool" => value.is_boolean(),
        "list" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("unknown type {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_request_of_the_clients_gets_the_status_and_the_fields_that_it_needs() {
    let at = installation().await;
    let project = at.ok("GET", "/v2/projects", None).await.unwrap()["projects"][0]["id"].as_str().unwrap().to_owned();
    let words =
        Words(vec![("SPEC", SPEC.to_owned()), ("TERRAFORM_SPEC", TERRAFORM_SPEC.to_owned()), ("PROJ", project)]);
    let mut wrong = Vec::new();
    for create in CREATES {
        let (problems, answer) = send(&at, &words, create).await;
        wrong.extend(problems);
        at.ok("DELETE", &format!("/v2/apps/{}", answer["app"]["id"].as_str().unwrap_or("sample")), None).await.unwrap();
    }

    let created = at.create(&sample()).await.unwrap();
    let mut spec = created["spec"].clone();
    spec["services"][0]["envs"] = serde_json::json!([{ "key": "NAME", "value": "second" }]);
    let update = at.update("sample", spec).await.unwrap();
    at.wait_active("sample", &update).await.unwrap();
    let words = Words::of(&at).await;
    for recorded in OF_A_RUNNING_APP {
        wrong.extend(send(&at, &words, recorded).await.0);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
