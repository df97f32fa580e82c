//! Advice for what is not misspelt but misunderstood: that it says what is meant, and can be followed.
#![allow(clippy::unwrap_used)]

mod support;

use app_spec::AppSpec;
use support::{problems, service};

/// `message | help` of each problem.
fn said(text: &str) -> Vec<String> {
    let line = |d: &app_spec::Diagnostic| {
        let help = d.help.as_ref().map_or_else(String::new, |help| format!(" | {help}"));
        format!("{}{help}", d.message)
    };
    problems(text).iter().map(line).collect()
}

#[test]
fn what_other_tools_call_otherwise_is_known() {
    let cases = [
        ("domains: [{name: foo.com}]\n", "a domain has no field `name` | did you mean `domain`?"),
        ("  health_check: {timeout: 5}\n", "a health check has no field `timeout` | did you mean `timeout_seconds`?"),
        ("  health_check: {interval: 5}\n", "a health check has no field `interval` | did you mean `period_seconds`?"),
        ("  health_check: {period: 5}\n", "a health check has no field `period` | did you mean `period_seconds`?"),
        (
            "  health_check: {initial_delay: 5}\n",
            "a health check has no field `initial_delay` | did you mean `initial_delay_seconds`?",
        ),
        (
            "  instance_size: apps-s-1vcpu-1gb\n",
            "a service has no field `instance_size` | did you mean `instance_size_slug`?",
        ),
        ("  env_vars: []\n", "a service has no field `env_vars` | did you mean `envs`?"),
        ("  envVars: []\n", "a service has no field `envVars` | did you mean `envs`?"),
        (
            "  image: ghcr.io/o/api@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n",
            "expected an image source (a mapping of fields), found text | write `image: {registry_type: GHCR, \
             registry: o, repository: api, digest: \
             sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}`",
        ),
    ];
    for (more, wanted) in cases {
        let found = said(&service(more));
        assert!(found.iter().any(|line| line == wanted), "{more}{found:?}");
    }
}

#[test]
fn a_field_in_the_wrong_place_is_sent_where_it_works() {
    let rules = "ingress: {rules: [{component: {name: web}, match: ";
    let cases = [
        (
            "  health_check: {http_port: 80}\n".to_owned(),
            "a health check has no field `http_port` | `http_port` belongs one level up, beside `health_check`",
        ),
        (
            format!("{rules}{{prefix: /foo}}}}]}}\n"),
            "a match has no field `prefix` | `prefix` belongs under `path` or `authority`",
        ),
        (
            "workers: [{name: ww, git: {repo_clone_url: /x}, termination: {drain_seconds: 5}}]\n".to_owned(),
            "termination has no field `drain_seconds` | `drain_seconds` is a field of termination in services",
        ),
        ("  type: web\n".to_owned(), "a service has no field `type`"),
        (
            format!("{rules}{{authority: example.com}}}}]}}\n"),
            "expected a match of path or authority (a mapping of fields), found text | \
             write `authority: {exact: example.com}`",
        ),
        (
            format!("{rules}{{path: /foo}}}}]}}\n"),
            "expected a match of path or authority (a mapping of fields), found text | write `path: {prefix: /foo}`",
        ),
        (
            "ingress:\n- component: {name: web}\n- component: {name: web}\n  match: {path: {prefix: /a}}\n".to_owned(),
            "expected ingress (a mapping of fields), found a list | put `rules:` above the list",
        ),
        (
            "features: {buildpack-stack: ubuntu-22}\n".to_owned(),
            "expected a list, found a mapping | write it as a list: `[buildpack-stack=ubuntu-22]`",
        ),
        ("  internal_ports: 5000\n".to_owned(), "expected a list, found a number | write it as a list: `[5000]`"),
        (
            "egress: DEDICATED_IP\n".to_owned(),
            "expected egress (a mapping of fields), found text | write `egress: {type: DEDICATED_IP}`",
        ),
        (
            "maintenance: true\n".to_owned(),
            "expected maintenance (a mapping of fields), found a boolean | write `maintenance: {enabled: true}`",
        ),
        ("vpc: abc\n".to_owned(), "expected vpc (a mapping of fields), found text | write `vpc: {id: abc}`"),
    ];
    for (more, wanted) in cases {
        assert_eq!(said(&service(&more)), [wanted], "{more}");
    }
}

#[test]
fn lists_and_mappings_where_a_variable_has_its_text_are_to_be_quoted() {
    let quotes = "to make it text, put it in quotes";
    for (value, found) in [("{\"a\": 1}", "a mapping"), ("[\"a\",\"b\"]", "a list"), ("[a]", "a list")] {
        let text = service(&format!("  envs:\n  - key: A\n    value: {value}\n"));
        assert_eq!(said(&text), [format!("expected text, found {found} | {quotes}")], "{value}");
        assert_eq!(problems(&text)[0].column(), Some(12), "{value}");
    }
    assert_eq!(said(&service("  envs:\n  - key: A\n    value:\n    - a\n    - b\n")), ["expected text, found a list"]);
}

#[test]
fn a_static_site_is_not_told_to_wait_for_a_run() {
    let site = "static_sites: [{name: docs, git: {repo_clone_url: /x}, routes: [{path: /docs}], envs: [{key: A, scope: \
                RUN_TIME, value: '${db.PORT}'}]}]\ndatabases: [{name: db}]\n";
    let found = said(&service(&format!("  routes: [{{path: /}}]\n{site}")));
    let wanted =
        "database `db` has no values while something is built | a static site is only built: write the value out";
    assert_eq!(found, [wanted]);
}

#[test]
fn the_path_of_an_address_is_offered_for_it() {
    let found = said(&service("  health_check: {http_path: 'https://x/y'}\n"));
    assert_eq!(found, ["the path `https://x/y` does not begin with `/` | did you mean `/y`?"]);
}

#[test]
fn what_is_accepted_and_hardly_meant_is_told() {
    let otherwise = "taken as text as it is written; older YAML readers take it for something else | put it in quotes";
    for url in ["https://x/y", "ssh://git@x/y", "git@x:y/z", "/srv/git/x", "file:///srv/git/x"] {
        let text = format!("name: shop\nservices: [{{name: web, git: {{repo_clone_url: '{url}'}}}}]\n");
        assert_eq!(said(&text), [""; 0], "{url}");
    }
    let octal = "taken as 10; older YAML readers take it for an octal number | write 10";
    assert_eq!(said(&service("  http_port: 010\n")), [octal]);
    assert_eq!(said(&service("region: no\n")), [otherwise]);
    assert_eq!(said(&service("  envs: [{key: A, value: no}]\n")), [otherwise]);
    assert_eq!(said(&service("region: 'no'\n")), [""; 0]);
    let nothing = "`&` begins a name for the value behind it, and there is none | quote text that begins with `&`";
    assert_eq!(said(&service("  envs: [{key: A, value: &pw }]\n")), [nothing]);
    assert_eq!(said(&service("  envs: [{key: A, value: &pw x}, {key: B, value: *pw}]\n")), [""; 0]);
}

#[test]
fn each_mistake_is_told_once() {
    let cases = [
        (
            "  Http_Port: 80\n  HTTP_PORT: 80\n",
            vec![
                "a service has no field `Http_Port` | did you mean `http_port`?",
                "a service has no field `HTTP_PORT` | `http_port`, which may be meant, stands here under another name, \
                 too: keep one of them",
            ],
        ),
        (
            "  instance_size_slug: apps-d-1vcpu-1gb\n  autoscaling: {}\n",
            vec!["autoscaling needs `min_instance_count`, `max_instance_count`, `metrics`"],
        ),
        (
            "workers: [{name: ww, image: {registry_type:GHCR, registry: a, repository: b}}]\n",
            vec!["an image source has no field `registry_type…` | put a space after the first `:`"],
        ),
        (
            "domains:\n- {{ .Domain }}\n",
            vec!["`{{ .Domain }}` is a placeholder that nothing has replaced | replace it before the spec is applied"],
        ),
        (
            "ingress: {rules: [{match: {path: {regex: /foo}}, component: {name: web}}]}\n",
            vec!["a match of path or authority has no field `regex` | `regex` is a field of allow_origins"],
        ),
        (
            "  log_destinations: [{name: logs, open_search: {endpoint: 'https://x:9'}}]\n",
            vec!["an OpenSearch destination with an `endpoint` needs `basic_auth` with `user` and `password`"],
        ),
        (
            "databases: [{name: db, engine: MYSQL, version: '5.7'}]\n",
            vec!["App Platform has no MYSQL of version `5.7` | known: 8 or 8.4"],
        ),
        ("  alerts: [{rule: CPU_UTILIZATION, value: -1}]\n", vec!["expected a number that is not negative, found -1"]),
    ];
    for (more, wanted) in cases {
        assert_eq!(said(&service(more)), wanted, "{more}");
    }
}

#[test]
fn a_variable_is_given_twice_only_where_one_replaces_the_other() {
    let told = |envs: &str| {
        let text = format!(
            "name: shop\nservices:\n- name: web\n  git: {{repo_clone_url: 'https://example.com/r.git'}}\n  envs:\n{envs}"
        );
        let warnings = AppSpec::from_yaml(&text).unwrap().warnings;
        warnings.iter().filter(|it| it.path.contains("envs")).map(|it| it.path.clone()).collect::<Vec<_>>()
    };
    let apart = "  - {key: A, value: one, scope: BUILD_TIME}\n  - {key: A, value: two, scope: RUN_TIME}\n";
    assert_eq!(told(apart), [""; 0]);
    let replaced = "  - {key: A, value: one, scope: RUN_TIME}\n  - {key: A, value: built, scope: BUILD_TIME}\n  - {key: A, value: two, scope: RUN_TIME}\n";
    assert_eq!(told(replaced), ["services[0].envs[2].key"]);
    let waits_for_nothing = "  - {key: A, type: SECRET}\n  - {key: A, value: real}\n";
    assert_eq!(told(waits_for_nothing), ["services[0].envs[1].key"], "the first one counts for nothing");
}

#[test]
fn methods_that_are_said_to_be_true_are_a_list() {
    let text = "name: shop\ningress:\n  rules:\n  - {component: {name: web}, cors: {allow_methods: {GET: true}}}\n";
    let help = problems(text).into_iter().find(|it| it.path.contains("allow_methods")).unwrap();
    assert!(help.help.as_deref().unwrap_or_default().contains("`[GET]`"), "{help:?}");
}

#[test]
fn a_zero_before_a_number_is_told_where_it_changes_the_number() {
    let told = |port: &str| {
        let text = service(&format!("  http_port: {port}\n"));
        problems(&text).into_iter().any(|it| it.message.contains("octal"))
    };
    assert!(told("010") && !told("08080") && !told("00") && !told("07"));
}

#[test]
fn a_missing_comma_behind_a_quote_is_told() {
    for text in ["{\"name\": \"w\" \"region\": \"nyc\"}", "name: shop\nfeatures: [\"a\" \"b\"]\n"] {
        assert!(problems(text)[0].message.contains("a `,` is missing before this"), "{:?}", problems(text));
    }
}

#[test]
fn only_the_variable_that_counts_is_looked_at() {
    let twice = "name: shop\nenvs:\n- {key: C, value: '${C}'}\n- {key: C, value: text}\n";
    let told = problems(twice);
    assert_eq!(told.iter().filter(|it| it.path.contains("envs")).count(), 1, "{told:?}");
}
