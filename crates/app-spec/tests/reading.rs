//! The different ways in which people and clients write the same spec.
#![allow(clippy::unwrap_used)]

use app_spec::{
    AppSpec, EnvKind, EnvScope, EnvValue, JobKind, Parsed, SecretText, SecretValue, Source, image_reference,
};
use serde_json::json;

fn read(text: &str) -> Parsed {
    AppSpec::from_yaml(text).unwrap_or_else(|e| panic!("{}", e.render("spec", text)))
}

fn open(_: &str, secret: &SecretText) -> String {
    secret.expose().to_owned()
}

const PLAIN: &str =
    "name: shop\nservices:\n- name: web\n  github:\n    repo: example/shop\n    branch: main\n  http_port: 80\n";

#[test]
fn wrappers_marks_line_ends_json_and_anchors_make_no_difference() {
    let wanted = read(PLAIN).spec;
    let indented: String = PLAIN.lines().map(|line| format!("  {line}\n")).collect();
    let forms = [
        format!("spec:\n{indented}"),
        format!("# deploy template\nx-note: 1\nspec:\n{indented}"),
        format!("\u{feff}{PLAIN}"),
        PLAIN.replace('\n', "\r\n"),
        format!("---\n{PLAIN}...\n"),
        PLAIN.trim_end().to_owned(),
        wanted.to_json_value(&open).to_string(),
        format!("{}\n", serde_json::to_string_pretty(&json!({"spec": wanted.to_json_value(&open)})).unwrap()),
        "x-repo: &r {repo: example/shop, branch: dev}\nname: shop\nservices:\n- name: web\n  github: {<<: *r, branch: main}\n  \
         http_port: 80\n"
            .to_owned(),
        "x-a: &a {github: {repo: example/shop, branch: main}}\nx-b: &b {http_port: 80, name: other}\nname: shop\n\
         services:\n- name: web\n  <<: [*a, *b]\n"
            .to_owned(),
    ];
    for form in forms {
        let parsed = read(&form);
        assert_eq!(parsed.spec, wanted, "{form}");
        assert!(parsed.warnings.is_empty(), "{form}");
    }
}

#[test]
fn escapes_that_only_json_allows_are_read() {
    let text = r#"{"name": "shop", "envs": [{"key": "A", "value": "\ud83d\ude00 \/"}], "databases": [{"name": "db"}]}"#;
    assert_eq!(read(text).spec.envs[0].value, EnvValue::Plain("😀 /".to_owned()));
}

#[test]
fn the_last_value_of_a_duplicate_key_counts_with_a_warning() {
    let compact = r#"{"name": "shop", "databases": [{"name": "db", "name": "eb"}]}"#;
    let with_escape = r#"{"name": "shop", "envs": [{"key": "A", "value": "\ud83d\ude00"}], "databases": [{"name": "db", "name": "eb"}]}"#;
    let yaml = "name: shop\ndatabases:\n- name: db\n  name: eb\n";
    let read =
        [compact, with_escape, yaml].map(AppSpec::from_yaml).into_iter().chain([AppSpec::from_json_text(compact)]);
    for parsed in read.map(Result::unwrap) {
        assert_eq!(parsed.spec.databases[0].name, "eb");
        let paths: Vec<&str> = parsed.warnings.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["databases[0].name"]);
    }
}

#[test]
fn a_variable_cannot_contain_nul() {
    let sent = json!({"name": "shop", "databases": [{"name": "db"}], "envs": [{"key": "A", "value": "a\0b"}]});
    let problems = AppSpec::from_json(&sent).unwrap_err();
    assert_eq!((problems[0].code.as_str(), problems[0].path.as_str()), ("bad_format", "envs[0].value"));
}

#[test]
fn absent_and_zero_are_the_same() {
    let zeros = "name: shop\nregion: ''\nfeatures: []\nenvs:\ndisable_edge_cache: false\nservices:\n- name: web\n  \
                 git: {repo_clone_url: /x, branch: ~}\n  instance_count: 0\n  http_port: 0\n  \
                 health_check: {initial_delay_seconds: 0}\n  envs: [{key: A, value: null}, {key: B, value: ''}]\n";
    let json = read(zeros).spec.to_json_value(&open);
    let wanted = json!({"name": "shop", "services": [{"name": "web", "git": {"repo_clone_url": "/x"},
        "health_check": {}, "envs": [{"key": "A"}, {"key": "B"}]}]});
    assert_eq!(json, wanted);
}

#[test]
fn empty_text_is_neither_a_number_nor_a_boolean() {
    let parsed = read(&format!("{PLAIN}  instance_count: ''\n  routes: [{{path: /, preserve_path_prefix: ''}}]\n"));
    assert!(parsed.warnings.is_empty(), "{}", parsed.warnings);
    assert_eq!(parsed.spec.services[0].common.instance_count, None);
}

#[test]
fn empty_match_strings_are_kept_because_clients_send_them() {
    let text = format!("{PLAIN}ingress: {{rules: [{{match: {{path: {{prefix: ''}}}}, component: {{name: web}}}}]}}\n");
    let json = read(&text).spec.to_json_value(&open);
    assert_eq!(json["ingress"]["rules"][0]["match"]["path"], json!({"prefix": ""}));
}

#[test]
fn words_are_read_in_any_case_and_written_in_upper_case() {
    let text = "name: shop\njobs:\n- name: tidy\n  kind: pre_deploy\n  image: {registry_type: docr, registry: acme, \
                repository: tidy}\n  envs: [{key: A, value: x, type: secret, scope: run_time}]\n";
    let spec = read(text).spec;
    let job = &spec.jobs[0];
    assert_eq!(job.kind(), JobKind::PreDeploy);
    assert_eq!(job.common.envs[0].kind, Some(EnvKind::Secret));
    assert_eq!(job.common.envs[0].scope(), EnvScope::RunTime);
    let json = spec.to_json_value(&open);
    assert_eq!(json["jobs"][0]["kind"], "PRE_DEPLOY");
    assert_eq!(json["jobs"][0]["image"]["registry_type"], "DOCR");
}

#[test]
fn values_of_variables_stay_as_written() {
    for written in ["012", "1.10", "on", "0x1F", "true", "~user", "1e3", "+5"] {
        let text = format!("name: shop\ndatabases: [{{name: db}}]\nenvs:\n- key: A\n  value: {written}\n");
        assert_eq!(read(&text).spec.envs[0].value, EnvValue::Plain(written.to_owned()));
    }
}

#[test]
fn secrets_are_recognised_by_type_in_any_order_of_fields() {
    let text = "name: shop\ndatabases: [{name: db}]\nenvs:\n- {key: A, value: x, type: SECRET}\n\
                - {type: SECRET, value: 'EV[1:AA==:BB==]', key: B}\n- {key: C, type: SECRET}\n- {key: D, value: y}\n";
    let values: Vec<EnvValue> = read(text).spec.envs.into_iter().map(|env| env.value).collect();
    let sealed = EnvValue::Sealed("EV[1:AA==:BB==]".to_owned());
    let wanted = [EnvValue::Secret(SecretText::new("x")), sealed, EnvValue::Missing, EnvValue::Plain("y".to_owned())];
    assert_eq!(values, wanted);
}

const SECRETS: &str = "name: shop\nenvs:\n- {key: TOP, value: s1, type: SECRET}\nservices:\n- name: web\n  \
    image: {registry_type: GHCR, registry: a, repository: b, registry_credentials: 'u:s2'}\n  envs:\n  \
    - {key: PLAIN, value: p}\n  - {key: OWN, value: s3, type: SECRET}\n";

#[test]
fn secrets_are_written_only_sealed_and_their_paths_do_not_depend_on_positions() {
    let spec = read(SECRETS).spec;
    let json = spec.to_json_value(&|path, _| format!("EV[1:{path}]"));
    assert_eq!(json["envs"][0]["value"], "EV[1:envs.TOP.value]");
    let web = &json["services"][0];
    assert_eq!(web["image"]["registry_credentials"], "EV[1:services.web.image.registry_credentials]");
    assert_eq!(web["envs"][1]["value"], "EV[1:services.web.envs.OWN.value]");
    let seen = format!("{spec:?}{json}{}", spec.to_yaml(&|_, _| "EV[1:x]".to_owned()));
    for secret in ["s1", "s2", "s3"] {
        assert!(!seen.contains(&format!("\"{secret}\"")) && !seen.contains(&format!(":{secret}")), "{secret}: {seen}");
    }
}

#[test]
fn sealed_values_are_returned_unchanged_and_can_be_opened() {
    let spec = read(SECRETS).spec;
    let sealed = spec.to_json_value(&|path, _| format!("EV[1:{path}]"));
    let mut again = AppSpec::from_json(&sealed).unwrap().spec;
    assert!(matches!(again.envs[0].value, EnvValue::Sealed(_)));
    assert_eq!(again.to_json_value(&|_, _| panic!("nothing is open")), sealed);
    let closed = again.unseal(&|path, text| {
        assert_eq!(text, format!("EV[1:{path}]"));
        match path {
            "envs.TOP.value" => Some(SecretText::new("s1")),
            "services.web.image.registry_credentials" => Some(SecretText::new("u:s2")),
            _ => None,
        }
    });
    assert_eq!(closed, ["services.web.envs.OWN.value"]);
    assert_eq!(again.envs, spec.envs);
    assert_eq!(again.services[0].common.source, spec.services[0].common.source);
    let Source::Image(image) = &again.services[0].common.source else { panic!("an image") };
    assert_eq!(image.registry_credentials, Some(SecretValue::Open(SecretText::new("u:s2"))));
}

#[test]
fn sources_give_the_clone_address_or_the_image() {
    let source = |text: &str| {
        let text = format!("name: shop\nservices: [{{name: web, {text}}}]\n");
        read(&text).spec.services.remove(0).common.source
    };
    let github = source("github: {repo: example/shop}");
    assert_eq!(github.repository(), Some(("https://github.com/example/shop.git".to_owned(), None)));
    let git = source("git: {repo_clone_url: /srv/repos/shop, branch: dev}");
    assert_eq!(git.repository(), Some(("/srv/repos/shop".to_owned(), Some("dev"))));
    let image = source("image: {registry_type: DOCKER_HUB, registry: boatyard-local, repository: app, tag: v1}");
    assert_eq!(image.image().map(image_reference).as_deref(), Some("boatyard-local/app:v1"));
    assert_eq!(image.repository(), None);
}

#[test]
fn every_field_of_the_reference_is_returned_as_it_was_sent() {
    let sent = json!({
        "name": "shop", "region": "fra", "features": ["buildpack-stack=ubuntu-22"],
        "envs": [{"key": "A", "value": "x", "scope": "RUN_TIME", "type": "GENERAL"}],
        "services": [{"name": "web", "gitlab": {"repo": "a/b/c", "branch": "main", "deploy_on_push": true},
            "source_dir": "/web", "dockerfile_path": "web/Dockerfile", "build_command": "b", "run_command": "r",
            "environment_slug": "go", "instance_size_slug": "basic-xs", "http_port": 80, "protocol": "HTTP2",
            "internal_ports": [90], "health_check": {"http_path": "/", "port": 81, "initial_delay_seconds": 1,
            "period_seconds": 2, "timeout_seconds": 3, "success_threshold": 4, "failure_threshold": 5, "path": "/x"},
            "liveness_health_check": {"http_path": "/l", "port": 82, "success_threshold": 1},
            "routes": [{"path": "/", "preserve_path_prefix": true}],
            "cors": {"allow_origins": [{"exact": "a"}, {"prefix": "b"}, {"regex": "c"}], "allow_methods": ["GET"],
            "allow_headers": ["x"], "expose_headers": ["y"], "max_age": "5h", "allow_credentials": true},
            "autoscaling": {"min_instance_count": 1, "max_instance_count": 3, "metrics": {"cpu": {"percent": 80},
            "requests_per_second": {"per_instance": 9}, "request_duration": {"p95_milliseconds": 7}}},
            "termination": {"drain_seconds": 10, "grace_period_seconds": 20},
            "inactivity_sleep": {"after_seconds": 600, "loading_page": {"enabled": true, "custom_url": "u"}},
            "alerts": [{"rule": "CPU_UTILIZATION", "disabled": true, "operator": "GREATER_THAN", "value": 80.5,
            "window": "FIVE_MINUTES"}]}],
        "workers": [{"name": "work", "bitbucket": {"repo": "a/b"}, "instance_count": 2,
            "termination": {"grace_period_seconds": 9}}],
        "jobs": [{"name": "tidy", "git": {"repo_clone_url": "/u"}, "kind": "SCHEDULED", "timeout": "1h30m",
            "schedule": {"cron": "0 1 * * *", "time_zone": "Asia/Kolkata"}}],
        "static_sites": [{"name": "docs", "github": {"repo": "a/b"}, "output_dir": "dist", "index_document": "i.html",
            "catchall_document": "i.html", "routes": [{"path": "/docs"}]}],
        "functions": [{"name": "fn", "github": {"repo": "a/b"}, "source_dir": "f"}],
        "databases": [{"name": "db", "engine": "PG", "version": "16", "production": true, "cluster_name": "c",
            "db_name": "d", "db_user": "u", "size": "s", "num_nodes": 2}],
        "domains": [{"domain": "example.com", "type": "PRIMARY", "wildcard": true, "zone": "example.com",
            "minimum_tls_version": "1.3", "certificate": "c"}],
        "ingress": {"rules": [
            {"match": {"path": {"prefix": "/a"}, "authority": {"exact": ""}}, "component": {"name": "web",
            "rewrite": "/b"}, "cors": {"allow_origins": [{"exact": "a"}]}},
            {"match": {"path": {"exact": "/c"}}, "redirect": {"uri": "/d", "authority": "e", "port": 1,
            "scheme": "http", "redirect_code": 307}}], "custom_error_page_url": "https://e",
            "secure_header": {"key": "k", "value": "v", "remove_header": true}, "load_balancer": "DIGITALOCEAN",
            "load_balancer_size": 2},
        "egress": {"type": "DEDICATED_IP"}, "alerts": [{"rule": "DEPLOYMENT_FAILED"}],
        "maintenance": {"enabled": true, "archive": true, "offline_page_url": "o"},
        "vpc": {"id": "v", "egress_ips": [{"ip": "1.2.3.4"}]},
        "disable_edge_cache": true, "disable_email_obfuscation": true, "enhanced_threat_control_enabled": true
    });
    let parsed = AppSpec::from_json(&sent).unwrap();
    assert_eq!(parsed.spec.to_json_value(&open), sent);
    assert_eq!(read(&parsed.spec.to_yaml(&open)).spec, parsed.spec);
    assert!(!parsed.not_yet().is_empty() && !parsed.no_effect().is_empty());
}
