//! Specs sent to the API and read back: an accepted spec is returned unchanged, and its secrets work only in its app.

use std::path::PathBuf;

use app_spec::{AppSpec, SecretText};
use boatyard_tests::http;
use boatyard_tests::installation::Installation;
use serde_json::{Value, json};

use crate::support::*;

/// Every sample by the name of its file.
fn samples() -> Vec<(String, AppSpec)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../app-spec-samples");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|it| it == "yaml" || it == "json"));
    files.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let read = |path: &PathBuf| AppSpec::from_yaml(&std::fs::read_to_string(path).unwrap()).unwrap().spec;
    files.iter().map(|path| (name(path), read(path))).collect()
}

/// The request body that API clients send.
fn body(spec: &AppSpec) -> Value {
    json!({ "spec": spec.to_json_value(&|_, secret| secret.expose().to_owned()) })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_is_accepted_by_serve() {
    let at = installation().await;
    let samples = samples();
    assert!(samples.len() >= 25);
    for (file, mut spec) in samples {
        let path = "/v2/apps/propose?report_only=true";
        let proposal = at.ok("POST", path, Some(&body(&spec))).await.expect(&file);
        let count = proposal["boatyard"]["not_yet"].as_array().map(Vec::len);
        assert_eq!(count, Some(spec.not_yet().len()), "{file}: {proposal}");
        for needed in spec.needed_values() {
            spec.give(None, &needed.key, "given");
        }
        match spec.not_yet().is_empty() {
            true => comes_back_equal(&at, &file, &spec).await,
            false => is_refused_by_name(&at, &file, &spec).await,
        }
    }
    at.check_explained(&[]).await.unwrap();
}

/// Deletes the app at once, because its deployment contacts hosts that cannot be reached.
async fn comes_back_equal(at: &Installation, file: &str, sent: &AppSpec) {
    let created = at.ok("POST", "/v2/apps", Some(&body(sent))).await.expect(file);
    let app = created["app"]["id"].as_str().unwrap();
    let back = AppSpec::from_json(&spec_of(at, app).await).expect(file).spec;
    at.delete(app).await.unwrap();
    assert_eq!(comparable(&back), comparable(sent), "{file}");
    back.to_json_value(&|path, _| panic!("{file}: {path} is returned unsealed"));
}

/// The spec with every default written out, and one text for all secrets.
fn comparable(spec: &AppSpec) -> Value {
    let mut spec = spec.completed();
    spec.unseal(&|_, _| Some(SecretText::new("(secret)")));
    spec.to_json_value(&|_, _| "(secret)".into())
}

/// Also by a proposal, which `doctl apps spec validate` sends.
async fn is_refused_by_name(at: &Installation, file: &str, spec: &AppSpec) {
    for path in ["/v2/apps", "/v2/apps/propose"] {
        let (status, answer) = at.call("POST", path, Some(&body(spec))).await.unwrap();
        assert_eq!(status, 400, "{file} to {path}: {answer}");
        for missing in spec.not_yet() {
            assert!(message(&answer).contains(&missing.api_message()), "{file} to {path}: {answer}");
        }
    }
}

fn message(answer: &Value) -> &str {
    answer["message"].as_str().unwrap_or_default()
}

/// An app whose service has one secret, TOKEN.
fn vault(name: &str, token: &str) -> String {
    format!(
        "
name: {name}
services:
- name: web
  image: {TESTAPP}
  envs: [{{key: NAME, value: first}}, {{key: TOKEN, value: '{token}', type: SECRET}}]
  health_check: {{http_path: /health, period_seconds: 1}}
"
    )
}

/// The spec that the API returns.
async fn spec_of(at: &Installation, app: &str) -> Value {
    at.ok("GET", &format!("/v2/apps/{app}"), None).await.unwrap()["app"]["spec"].take()
}

fn token_in(spec: &Value) -> &str {
    let envs = spec["services"][0]["envs"].as_array().unwrap();
    envs.iter().find(|it| it["key"] == "TOKEN").unwrap()["value"].as_str().unwrap()
}

/// The value in the app's container.
async fn env(at: &Installation, app: &str, key: &str) -> String {
    let page = http::page(at.http(), &format!("{app}.localhost"), &format!("/env?key={key}")).await;
    let (status, value) = page.unwrap();
    assert_eq!(status, 200, "{app} {key}: {value}");
    value
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_value_is_accepted_only_by_its_own_app() {
    let at = installation().await;
    at.create(&vault("shop", "open-sesame")).await.unwrap();
    only_the_container_reads_the_secret(&at).await;
    a_spec_that_was_read_can_be_sent_back(&at).await;

    let other = http::yaml(at.api(), "/v2/apps", at.token(), &vault("other", "abracadabra")).await.unwrap();
    let of_other = token_in(&other.1["app"]["spec"]).to_owned();
    for foreign in [&of_other, "EV[1:c2FtcGxl:c2FtcGxl]"] {
        a_foreign_value_is_refused(&at, foreign).await;
    }
    a_proposal_lists_the_missing_value(&at, &of_other).await;
    an_option_replaces_the_foreign_value(&at, &of_other).await;
}

async fn only_the_container_reads_the_secret(at: &Installation) {
    assert!(token_in(&spec_of(at, "shop").await).starts_with("EV[1:"));
    for path in ["/v2/apps", "/v2/apps/shop", "/v2/apps/shop/deployments", "/v2/boatyard/apps/shop/status"] {
        let answer = at.ok("GET", path, None).await.unwrap().to_string();
        assert!(!answer.contains("open-sesame"), "{path}: {answer}");
    }
    assert_eq!(env(at, "shop", "TOKEN").await, "open-sesame");
}

async fn a_spec_that_was_read_can_be_sent_back(at: &Installation) {
    let put = at.ok("PUT", "/v2/apps/shop", Some(&json!({ "spec": spec_of(at, "shop").await }))).await.unwrap();
    assert_eq!(put["boatyard"]["deployment_started"], false, "an equal spec changes nothing: {put}");

    let got = run_cli(at, &["spec", "get", "shop"]).await.out;
    let unchanged = run_cli(at, &["apps", "update", "shop", "--spec", &spec_file(at, &got), "--wait"]).await;
    assert_eq!(unchanged.code, Some(0), "{}", unchanged.err);
    assert!(unchanged.err.contains("Nothing to do"), "{}", unchanged.err);

    let renamed = spec_file(at, &got.replace("value: first", "value: second"));
    let updated = run_cli(at, &["apps", "update", "shop", "--spec", &renamed, "--wait"]).await;
    assert_eq!(updated.code, Some(0), "{}", updated.err);
    assert_eq!(env(at, "shop", "NAME").await, "second");
    assert_eq!(env(at, "shop", "TOKEN").await, "open-sesame", "opened for the new container");
}

/// Commands for a new app and for one that has a value, each with the app's name.
const COMMANDS: [(&[&str], &str); 2] = [(&["apps", "create"], "third"), (&["apps", "update", "shop"], "shop")];

/// The API and the command line both ask for the value, for a new app and for one that has a value.
async fn a_foreign_value_is_refused(at: &Installation, foreign: &str) {
    let ask = ["TOKEN of web", "--env KEY=value"];
    let (status, refused) = http::yaml(at.api(), "/v2/apps", at.token(), &vault("third", foreign)).await.unwrap();
    assert_eq!(status, 400, "{refused}");
    assert!(ask.iter().all(|words| message(&refused).contains(words)), "{refused}");

    let mut spec = spec_of(at, "shop").await;
    spec["services"][0]["envs"][1]["value"] = foreign.into();
    let (status, refused) = at.call("PUT", "/v2/apps/shop", Some(&json!({ "spec": spec }))).await.unwrap();
    assert_eq!(status, 400, "{refused}");
    assert!(ask.iter().all(|words| message(&refused).contains(words)), "{refused}");

    for (words, app) in COMMANDS {
        let file = spec_file(at, &vault(app, foreign));
        let refused = run_cli(at, &[words, &["--spec", &file]].concat()).await;
        assert_eq!(refused.code, Some(1), "{words:?}: {}", refused.err);
        assert!(ask.iter().all(|words| refused.err.contains(words)), "{words:?}: {}", refused.err);
    }
}

/// The CLI's proposal needs no value. A proposal of a new app fails if the name is taken. The API's proposal, which
/// `doctl apps spec validate` sends, is refused like the update.
async fn a_proposal_lists_the_missing_value(at: &Installation, foreign: &str) {
    for app in ["third", "shop"] {
        let spec = AppSpec::from_yaml(&vault(app, foreign)).unwrap().spec;
        let (status, answer) = at.call("POST", "/v2/apps/propose", Some(&body(&spec))).await.unwrap();
        assert_eq!(status, 400, "{app}: {answer}");
        assert!(message(&answer).contains("TOKEN of web"), "{app}: {answer}");
    }
    for (words, app) in [(&["apps", "propose"][..], "third"), (&["apps", "propose", "--app", "shop"], "shop")] {
        let file = spec_file(at, &vault(app, foreign));
        let output = run_cli(at, &[words, &["--spec", &file]].concat()).await;
        assert_eq!(output.code, Some(0), "{words:?}: {}", output.err);
        assert!(
            output.err.contains("TOKEN of web") && output.out.contains("create web.0"),
            "{}{}",
            output.err,
            output.out
        );
    }
    let file = spec_file(at, &vault("shop", foreign));
    for words in [&["apps", "propose"][..], &["apps", "create", "--dry-run", "--env", "TOKEN=hocus-pocus"]] {
        let refused = run_cli(at, &[words, &["--spec", &file]].concat()).await;
        assert_eq!(refused.code, Some(1), "{words:?}: {}", refused.out);
        assert!(refused.err.contains("exists already"), "{words:?}: {}", refused.err);
    }
}

async fn an_option_replaces_the_foreign_value(at: &Installation, foreign: &str) {
    let give = ["--env", "TOKEN=hocus-pocus", "--wait", "--spec"];
    for (words, app) in COMMANDS {
        let file = spec_file(at, &vault(app, foreign));
        let given = run_cli(at, &[words, &give, &[file.as_str()]].concat()).await;
        assert_eq!(given.code, Some(0), "{words:?}: {}", given.err);
        assert_eq!(env(at, app, "TOKEN").await, "hocus-pocus");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_prints_the_plan_and_changes_nothing() {
    let at = installation().await;
    at.create(&vault("shop", "open-sesame")).await.unwrap();
    let before = all_of_shop(&at).await;
    let changed = vault("shop", "hocus-pocus").replace("value: first", "value: second") + "  instance_count: 2\n";
    let file = spec_file(&at, &changed);
    let output = run_cli(&at, &["apps", "update", "shop", "--spec", &file, "--dry-run"]).await;
    assert_eq!(output.code, Some(0), "{}", output.err);
    let lines = [
        "~ services.web.envs.NAME.value: first → second",
        "~ services.web.instance_count: 1 → 2",
        "start web.1 and wait until it is ready",
        "drain the old web.0",
    ];
    for line in lines {
        assert!(output.out.contains(line), "{line}: {}", output.out);
    }
    assert!(output.err.contains("Nothing was done."), "{}", output.err);
    for secret in ["open-sesame", "hocus-pocus", "EV["] {
        assert!(!output.out.contains(secret) && !output.err.contains(secret), "{}{}", output.out, output.err);
    }
    assert_eq!(all_of_shop(&at).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_of_what_cannot_run_yet_names_the_field() {
    let at = installation().await;
    let spec = vault("shop", "open-sesame")
        .replace("- name: web\n", "- name: web\n  inactivity_sleep: {after_seconds: 600}\n");
    let refused = run_cli(&at, &["apps", "propose", "--spec", &spec_file(&at, &spec)]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    assert!(refused.err.contains("services[0].inactivity_sleep: "), "{}", refused.err);
}

/// The app with its spec, its deployments, and its instances with their containers.
async fn all_of_shop(at: &Installation) -> (Value, Value, Vec<Value>) {
    let app = at.ok("GET", "/v2/apps/shop", None).await.unwrap();
    let deployments = at.ok("GET", "/v2/apps/shop/deployments", None).await.unwrap();
    (app, deployments, at.instances("shop").await.unwrap())
}

const CANARY: &str = "canary-7f3e91";

/// Destinations survive a restart of the server, and no file and no log contains the address of a webhook.
#[tokio::test(flavor = "multi_thread")]
async fn destinations_of_an_alert_are_stored_encrypted_and_not_sent() {
    let mut at = installation().await;
    let spec = format!("{}alerts: [{{rule: DEPLOYMENT_FAILED}}]\n", shop());
    at.create(&spec).await.unwrap();
    let listed = run_cli(&at, &["apps", "list-alerts", "shop", "--format", "ID,Spec.Rule", "--no-header"]).await;
    assert!(listed.out.trim_end().ends_with("DEPLOYMENT_FAILED"), "{}", listed.out);
    assert!(listed.err.contains("sends nothing"), "{}", listed.err);
    let alert = listed.out.split_whitespace().next().unwrap();

    let file = at.sources().join("destinations.yaml");
    let address = format!("https://hooks.example.com/{CANARY}");
    let destinations = format!("emails: [a@example.com]\nslack_webhooks: [{{url: '{address}', channel: '#x'}}]\n");
    std::fs::write(&file, destinations).unwrap();
    let file = file.display().to_string();
    let update = ["apps", "update-alert-destinations", "shop", alert, "--app-alert-destinations", &file];
    let updated = run_cli(&at, &[&update[..], &["--format", "Emails,SlackWebhooks", "--no-header"]].concat()).await;
    assert_eq!(updated.out.split_whitespace().collect::<Vec<_>>(), ["1", "1"], "{}", updated.err);

    at.kill_serve();
    at.serve().await.unwrap();
    let alerts = at.ok("GET", "/v2/apps/shop/alerts", None).await.unwrap();
    assert_eq!(alerts["alerts"][0]["slack_webhooks"], json!([{ "url": address, "channel": "#x" }]));
    assert_eq!(at.count_in_log(CANARY), 0);
    let files = std::fs::read_dir(at.data()).unwrap().map(|it| it.unwrap().path()).filter(|it| it.is_file());
    for file in files {
        let content = std::fs::read(&file).unwrap();
        assert!(!content.windows(CANARY.len()).any(|it| it == CANARY.as_bytes()), "{file:?}");
    }
}
