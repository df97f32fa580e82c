//! A lenient reading: what would refuse a spec is left out, mended or kept, and each such thing is told.
#![allow(clippy::unwrap_used)]

use app_spec::{AppSpec, Code, Remedy, SecretText};
use serde_json::json;

/// The `services` of a spec with one service and `more` lines in it, and what was done: `code remedy`.
fn read(more: &str) -> (serde_json::Value, Vec<String>) {
    let text =
        format!("name: shop\nservices:\n- name: web\n  git: {{repo_clone_url: https://example.com/r.git}}\n{more}");
    assert!(AppSpec::from_yaml(&text).is_err(), "a strict reading takes it: {more}");
    let parsed = AppSpec::from_yaml_leniently(&text).unwrap_or_else(|e| panic!("{}", e.render("spec", &text)));
    let kept = |d: &&app_spec::Diagnostic| d.remedy.as_deref() == Some(&Remedy::Kept);
    assert_eq!(parsed.warnings.iter().filter(|d| d.is_error()).count(), parsed.warnings.iter().filter(kept).count());
    let told = parsed.warnings.iter().filter_map(|d| d.remedy.as_deref().map(|r| format!("{} {r}", d.code))).collect();
    let mut json = parsed.spec.to_json_value(&|_, secret: &SecretText| secret.expose().to_owned());
    let service = json["services"][0].as_object_mut().unwrap();
    service.remove("name");
    service.remove("git");
    if service.is_empty() {
        json.as_object_mut().unwrap().remove("services");
    }
    json.as_object_mut().unwrap().remove("name");
    (json, told)
}

#[test]
fn what_is_meant_is_taken_and_what_is_not_understood_is_left_out() {
    let cases = [
        ("  htp_port: 80\n", json!({"services": [{"http_port": 80}]}), "unknown_field taken as `http_port`"),
        ("  http_prt: 81\n  http_port: 80\n", json!({"services": [{"http_port": 80}]}), "unknown_field left out"),
        ("  volumes: [a]\n", json!({}), "unknown_field left out"),
        ("  http_port: 70000\n", json!({"services": [{"http_port": 65535}]}), "out_of_range taken as 65535"),
        ("  http_port: web\n", json!({}), "wrong_type left out"),
        ("  instance_count: ${N}\n", json!({}), "unsubstituted left out"),
        ("  protocol: HTTTP2\n", json!({"services": [{"protocol": "HTTP2"}]}), "unknown_value taken as `HTTP2`"),
        ("  protocol: GOPHER\n", json!({}), "unknown_value left out"),
        (
            "  envs: {A: b, C: 1}\n",
            json!({"services": [{"envs": [{"key": "A", "value": "b"}, {"key": "C", "value": "1"}]}]}),
            "wrong_type taken as a list of them",
        ),
        (
            "  envs: {key: A, value: b}\n",
            json!({"services": [{"envs": [{"key": "A", "value": "b"}]}]}),
            "wrong_type taken as a list of one",
        ),
        (
            "  internal_ports: 90\n",
            json!({"services": [{"internal_ports": [90]}]}),
            "wrong_type taken as a list of one",
        ),
        (
            "  health_check: /ok\n",
            json!({"services": [{"health_check": {"http_path": "/ok"}}]}),
            "wrong_type taken as `http_path: /ok`",
        ),
        (
            "  health_check: [{http_path: /ok}]\n",
            json!({"services": [{"health_check": {"http_path": "/ok"}}]}),
            "wrong_type taken as its only item",
        ),
        (
            "  routes: [{path: api}]\n",
            json!({"services": [{"routes": [{"path": "/api"}]}]}),
            "bad_format taken as `/api`",
        ),
        ("  run_command: !sh go\n", json!({"services": [{"run_command": "go"}]}), "tag_not_allowed left out"),
        (
            "  run_command: {{ go }}  # of the template\n",
            json!({"services": [{"run_command": "{{ go }}"}]}),
            "unsubstituted taken as text",
        ),
        (
            "  http_port: 80\n  http_port: 81\n",
            json!({"services": [{"http_port": 81}]}),
            "duplicate_key taken as the last one",
        ),
        ("  image: {registry_type: GHCR, repository: x}\n", json!({}), "conflict left out"),
        (
            "features: [buildpack-stack: ubuntu-22]\n",
            json!({"features": ["buildpack-stack=ubuntu-22"]}),
            "wrong_type taken as `buildpack-stack=ubuntu-22`",
        ),
        (
            "  routes: /api\n",
            json!({"services": [{"routes": [{"path": "/api"}]}]}),
            "wrong_type taken as a list of one",
        ),
        (
            "  envs: [A=b]\n",
            json!({"services": [{"envs": [{"key": "A", "value": "b"}]}]}),
            "wrong_type taken as `{key: A, value: …}`",
        ),
        (
            "  envs: [A: b]\n",
            json!({"services": [{"envs": [{"key": "A", "value": "b"}]}]}),
            "unknown_field taken as `- {key: A, value: …}`",
        ),
        (
            "databases: {db: {engine: PG}}\n",
            json!({"databases": [{"name": "db", "engine": "PG"}]}),
            "wrong_type taken as a list of them, each with its name",
        ),
        ("databases: [{nmae: db}]\n", json!({"databases": [{"name": "db"}]}), "unknown_field taken as `name`"),
        ("databases: [db]\n", json!({"databases": [{"name": "db"}]}), "wrong_type taken as `name: db`"),
        ("databases: [{name: My DB}]\n", json!({"databases": [{"name": "my-db"}]}), "bad_name taken as `my-db`"),
        ("databases: [{name: '!'}]\n", json!({"databases": [{"name": "!"}]}), "bad_name left as it is"),
    ];
    for (more, wanted, told) in cases {
        assert_eq!(read(more), (wanted, vec![told.to_owned()]), "{more}");
    }
}

#[test]
fn an_image_is_taken_apart() {
    let text = "name: shop\nservices:\n- {name: web, image: 'nginx:1.25'}\n";
    let spec = AppSpec::from_yaml_leniently(text).unwrap().spec;
    assert_eq!(app_spec::image_reference(spec.services[0].common.source.image().unwrap()), "library/nginx:1.25");
}

#[test]
fn a_rule_with_a_component_name_is_understood() {
    let text = "name: shop\nservices:\n- {name: web, git: {repo_clone_url: /x}}\n\
                ingress: {rules: [{component_name: web, match: {path: /a}}]}\n";
    let spec = AppSpec::from_yaml_leniently(text).unwrap().spec;
    let rule = spec.to_json_value(&|_, _| String::new())["ingress"]["rules"][0].clone();
    assert_eq!(rule, json!({"component": {"name": "web"}, "match": {"path": {"prefix": "/a"}}}));
}

#[test]
fn what_stays_wrong_is_told_as_kept_and_found_again_by_the_check() {
    let text = "name: shop\nservices:\n- name: web\n- name: web\n  git: {repo_clone_url: /x}\n";
    let parsed = AppSpec::from_yaml_leniently(text).unwrap();
    let kept: Vec<Code> =
        parsed.warnings.iter().filter(|d| d.remedy.as_deref() == Some(&Remedy::Kept)).map(|d| d.code).collect();
    assert_eq!(kept, [Code::Missing, Code::NameClash]);
    assert!(parsed.spec.check().has_errors());
}

#[test]
fn a_text_without_a_spec_in_it_stays_refused() {
    for text in ["", "just text", "a: [", "- a\n- b\n", "name: a\n---\nname: b\n"] {
        let problems = AppSpec::from_yaml_leniently(text).unwrap_err();
        assert!(problems.has_errors(), "{text}");
        assert!(problems.iter().all(|d| d.remedy.is_none()), "{text}");
    }
}

#[test]
fn a_strict_reading_mends_nothing() {
    let problems = AppSpec::from_yaml("name: Shop\nhtp: 1\nname: shop\n").unwrap_err();
    assert!(problems.iter().all(|d| d.remedy.is_none()));
}

#[test]
fn the_remedy_is_drawn_and_written() {
    let text = "name: shop\nregoin: fra\ndatabases: [{name: db}]\n";
    let warnings = AppSpec::from_yaml_leniently(text).unwrap().warnings;
    let wanted = "\
warning[unknown_field]: an app spec has no field `regoin`
 --> app.yaml:2:1
  |
2 | regoin: fra
  | ^^^^^^
  = help: did you mean `region`?
  = done: taken as `region`

0 errors, 1 warning
";
    assert_eq!(warnings.render("app.yaml", text), wanted);
    assert_eq!(serde_json::to_value(&warnings).unwrap()[0]["remedy"], "taken as `region`");
}

#[test]
fn of_two_sources_the_same_one_is_kept_in_whatever_order_they_stand() {
    let sources = [
        "  git: {repo_clone_url: 'https://example.com/r.git'}\n",
        "  github: {repo: a/b}\n",
        "  image: {registry_type: GHCR, registry: a, repository: b}\n",
    ];
    let text = |order: [usize; 3]| {
        format!("name: shop\nservices:\n- name: web\n{}", order.map(|index| sources[index]).concat())
    };
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let text = text(order);
        let parsed = AppSpec::from_yaml_leniently(&text).unwrap();
        assert_eq!(parsed.spec.services[0].common.source.field(), "git", "{text}");
        let left_out: Vec<&str> = parsed.warnings.iter().map(|d| d.path.as_str()).collect();
        assert!(!left_out.contains(&"services[0].git") && left_out.len() == 2, "{left_out:?} in {text}");
    }
}
