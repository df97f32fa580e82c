//! No error shows a secret in a drawing, a message or JSON, whatever else is wrong in the text.
#![allow(clippy::unwrap_used)]

use app_spec::{AppSpec, Diagnostics};

const SECRET: &str = "s3cr3t";

/// Lines of a service, each with a secret and a mistake.
const LINES: &[&str] = &[
    "envs: [{key: A, Value: s3cr3t, type: SECRET}]",
    "envs: [{key: A, vlaue: s3cr3t, type: SECRET}]",
    "envs: [{key: A, value: s3cr3t, typ: SECRET}]",
    "envs: [{key: A, value: s3cr3t, type: SECRT}]",
    "envs: [{key: A, value: s3cr3t, Type: SECRET}]",
    "envs: [{key: A, value: s3cr3t, type: [SECRET]}]",
    "envs: [{key: A, value: s3cr3t, secret: true}]",
    "envs: [{key: A, value: s3cr3t, value: s3cr3t2, type: SECRET}]",
    "envs: [{key: A, value: {s3cr3t: s3cr3t}, type: SECRET}]",
    "envs: [{key: DB_PASSWORD, value: s3cr3t, scoop: RUN_TIME}]",
    "envs: [{kye: DB_PASSWORD, value: s3cr3t}]",
    "envs: [{keys: DB_PASSWORD, value: s3cr3t}]",
    "envs: [{nam: DB_PASSWORD, value: s3cr3t}]",
    "envs: {DB_PASSWORD: s3cr3t}",
    "environment: {FOO: s3cr3t}",
    "envs: [SECRET_TOKEN=s3cr3t]",
    "envs: [FOO=s3cr3t]",
    "envs: [s3cr3t]",
    "envs: [FOO: s3cr3t]",
    "envs: [{key: TOKEN=s3cr3t}]",
    "envs:\n  - key: A\n    value: s3cr3t: foo",
    "envs:\n  - key: A\n    value: @s3cr3t",
    "envs:\n  - key: A\n    value: %s3cr3t",
    "envs:\n  - key: A\n    value: `s3cr3t`",
    "envs:\n  - key: A\n    value: \"s3cr3t\n    type: SECRET",
    "envs:\n  - key: A\n    value: \"s3cr3t\\passw0rd\"",
    "envs:\n  - key: A\n    value: *s3cr3t",
    "envs:\n  - key: A\n    value: !s3cr3t\n    type: SECRET",
    "envs:\n  - key: A\n    value: !s3cr3t",
    "envs:\n  - key: A\n    value: !s3cr3t more",
    "envs:\n  - key: A\n   value: s3cr3t",
    "envs:\n  - {key: A, value: s3cr3t",
    "git: https://user:s3cr3t@github.com/a/b.git",
    "git: {repo_clone_url: 'https://user:s3cr3t@github.com/a/b.git', brnch: main}",
    "git: {repo_clone_url: 'https://s3cr3t@github.com/a/b.git', brnch: main}",
    "git: {repo_clone_url: 'https:/user:s3cr3t@github.com/a/b.git'}",
    "git: {repo_clone_url: 'https://user:x/s3cr3t@github.com/a/b.git'}",
    "git: {repo_clone_url: 'https://user:s3cr3t/github.com/a/b.git'}",
    "git: {repo_clone_url: 'https://github.com/a/b.git?x=s3cr3t'}",
    "git: {repo_clone_url: 'https://github.com/a/b.git?x=s3cr3t', brnch: main}",
    "git: {repo_clone_url: 'https://github.com/a/b.git#s3cr3t'}",
    "git: {repo_clone_url: 'ssh://git:s3cr3t@github.com/a/b.git'}",
    "git: {repo_clone_url: 'user:s3cr3t@github.com/a/b.git'}",
    "git: {repo_clon_url: 'https:/user:s3cr3t@github.com/a/b.git'}",
    "git: 'https:/user:s3cr3t@github.com/a/b.git'",
    "github: {repo: 'user:s3cr3t@a/b'}",
    "github: {repo: 'a/b?t=s3cr3t'}",
    "gitlab: {repo: 's3cr3t@gitlab.com:a/b'}",
    "image: {registry_type: GHCR, registry: 'user:s3cr3t@docker.io', repository: x}",
    "http_port: https://user:s3cr3t@host",
    "registryCredentials: s3cr3t",
    "routes: [{path: 'https://u:s3cr3t@x.example/api'}]",
    "github: {repo: s3cr3t@github.com/a/b.git}",
    "envs: [{key: PW=s3cr3t, type: SECRET}]",
    "envs:\n  - key: A\n    vaule: x # s3cr3t\n    type: SECRET",
    "log_destinations: [s3cr3t]",
    "git: {repo_clone_url: /x}\ndatabases: [{name: 'postgres://u:s3cr3t@x/y'}]",
    "credentials: s3cr3t",
    "password: s3cr3t",
    "tokn: {a: [s3cr3t]}",
    "log_destinations: [{name: logs, datadog: {apiKey: s3cr3t}}]",
    "log_destinations: [{name: logs, logtail: s3cr3t}]",
    "run_command: {TOKEN=s3cr3t npm start}",
    "envs: [{key: A, type: SECRET, value: 'abc${top.s3cr3t}${s3cr3t}def'}]",
    "log_destinations: [{name: logs, headers: [{name: Authorization, val: s3cr3t}]}]",
    "log_destinations: [{name: logs, headers: ['Authorization: Bearer s3cr3t']}]",
    "log_destinations: [{name: logs, headers: [{key: X, val: s3cr3t}]}]",
    "log_destinations: [{name: logs, headers: [{key: 'X: s3cr3t'}]}]",
    "log_destinations: [{name: logs, headers: {X: s3cr3t}}]",
    "log_destinations: [{name: logs, header: [X: s3cr3t]}]",
    "secure_header: 'X: s3cr3t'",
    "secure_header: {name: X, val: s3cr3t}",
    "run_command: [x, --token, s3cr3t]",
    "run_command: [x, --token, 's3cr3t s3cr3t']",
    "alerts: [{rule: CPU_UTILIZATION, slack_webhooks: [{url: 'https://hooks.slack.com/services/T/B/s3cr3t'}]}]",
    "alerts: [{rule: CPU_UTILIZATION, slack: [{url: 'https://hooks.slack.com/services/T/B/s3cr3t'}]}]",
    "envs: [{key: DB_PASSWORD, value: x, type: SECRET, scop: RUN_TIME}] # before: s3cr3t",
    "envs: [{key: A, value: 'x # y', type: SECRET, scop: RUN_TIME}] # before: s3cr3t",
    "image:\n    repository: u: s3cr3t",
    // Typing errors that join a secret to a name, or put it in place of a name.
    "envs: [{key: A, value:* s3cr3t, type: SECRET}]",
    "envs: [{key: A, value: &s3cr3t, type: SECRET, x: 1}]",
    "envs: [{key: A s3cr3t}]",
    "envs:\n  - key: A\n    type: SECRET\n    value: #s3cr3t\n    scopo: x",
    "log_destinations:\n  - name: logs\n    logtail:\n      token: # s3cr3t",
    "envs: {[s3cr3t]: s3cr3t}",
    "envs:\n  - key: A\n    type: SECRET\n      s3cr3t",
    "envs:\n  - key: A\n      s3cr3t",
    "image: {value: s3cr3t}",
    "log_destinations: [{name: logs, datadog: {api_key s3cr3t}}]",
    "log_destinations: [{name: logs, logtail: {to://en: s3cr3t}}]",
    "log_destinations: [{name: logs, open_search: {basic_auth: {password:, s3cr3t}}}]",
];

fn everything(found: &Diagnostics, text: &str) -> String {
    let api: Vec<String> = found.iter().map(app_spec::Diagnostic::api_message).collect();
    format!("{}{found}{}{api:?}", found.render("app.yaml", text), serde_json::to_string(found).unwrap())
}

#[test]
fn no_error_contains_a_secret_whatever_the_mistake() {
    for line in LINES {
        let text = format!("name: shop\nservices:\n- name: web\n  {line}\n");
        let said =
            everything(&AppSpec::from_yaml(&text).map_or_else(|problems| problems, |parsed| parsed.remarks()), &text);
        assert!(!said.contains(SECRET), "{text}\n{said}");
    }
}

#[test]
fn no_error_for_an_api_client_contains_a_secret() {
    for line in LINES {
        let text = format!("name: shop\nservices:\n- name: web\n  {line}\n");
        let Ok(json) = serde_yaml::from_str::<serde_json::Value>(&text) else { continue };
        let problems = AppSpec::from_json(&json).map_or_else(|problems| problems, |parsed| parsed.remarks());
        let said = format!("{problems}{}", serde_json::to_string(&problems).unwrap());
        assert!(!said.contains(SECRET), "{text}\n{said}");
    }
}

#[test]
fn a_mask_covers_only_the_secret() {
    let item = "  - key: A\n    type: SECRET\n    value: |\n      s3cr3t\n    scoope: RUN_TIME\n";
    let text = format!("name: shop\nenvs:\n{item}");
    let drawn = AppSpec::from_yaml(&text).unwrap_err().render("app.yaml", &text);
    assert!(drawn.contains("7 |     scoope: ********\n"), "{drawn}");
}
