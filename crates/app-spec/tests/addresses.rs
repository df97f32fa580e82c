//! Addresses, paths and commands that no host could use are refused, with a place.
#![allow(clippy::unwrap_used)]

use app_spec::{AppSpec, Diagnostics};

fn read(line: &str) -> Result<app_spec::Parsed, Diagnostics> {
    AppSpec::from_yaml(&format!("name: shop\nservices:\n- name: web\n  {line}\n"))
}

#[test]
fn a_login_in_a_clone_address_is_refused_with_a_place_and_advice() {
    for address in [
        "https://user:hunter2@github.com/a/b.git",
        "https://github.com/a/b.git?token=hunter2",
        "ssh://git:hunter2@github.com/a/b.git",
        "https:/user:hunter2@github.com/a/b.git",
    ] {
        let text =
            format!("name: shop\nservices:\n- name: web\n  git: {{repo_clone_url: '{address}', branch: main}}\n");
        let problems = AppSpec::from_yaml(&text).unwrap_err();
        let problem = problems.first_error().unwrap();
        assert_eq!((problem.path.as_str(), problem.line()), ("services[0].git.repo_clone_url", Some(4)), "{address}");
        assert!(problem.help.as_deref().unwrap().contains("boatyard sources add"), "{address}");
        let drawn = problems.render("app.yaml", &text);
        assert!(drawn.contains("^^^") && !drawn.contains("hunter2"), "{drawn}");
        let json = serde_json::to_string(&problems).unwrap();
        assert!(!json.contains("hunter2"), "{json}");
        assert!(!problem.api_message().contains("hunter2"), "{}", problem.api_message());
    }
}

#[test]
fn a_placeholder_for_an_address_is_reported_as_such() {
    let template = read("git: {repo_clone_url: '<your repository>'}").unwrap_err();
    assert!(template.first_error().unwrap().message.contains("placeholder"), "{template:?}");
}

#[test]
fn repositories_by_https_by_ssh_and_of_every_hosting_service_can_be_deployed() {
    for source in [
        "git: {repo_clone_url: 'https://github.com/a/b.git'}",
        "git: {repo_clone_url: 'git@github.com:a/b.git'}",
        "git: {repo_clone_url: 'ssh://git@github.com/a/b.git'}",
        "github: {repo: a/b}",
        "gitlab: {repo: a/b/c, branch: main}",
        "bitbucket: {repo: a/b}",
    ] {
        assert!(read(source).unwrap().not_yet().is_empty(), "{source}");
    }
}

#[test]
fn text_that_is_invalid_in_a_request_or_a_command_is_refused() {
    let source = "git: {repo_clone_url: 'https://github.com/a/b.git'}\n  ";
    for (line, path) in [
        (r#"health_check: {http_path: "/he alth"}"#, "health_check.http_path"),
        (r#"health_check: {http_path: "/health\r\nX: y"}"#, "health_check.http_path"),
        (r#"health_check: {path: "/health\n"}"#, "health_check.path"),
        (r#"liveness_health_check: {http_path: "/a b"}"#, "liveness_health_check.http_path"),
        (r#"routes: [{path: "/a\nb"}]"#, "routes[0].path"),
        (r#"run_command: "x\0y""#, "run_command"),
        (r#"envs: [{key: A, value: "x\0y"}]"#, "envs[0].value"),
        (r#"source_dir: "a\0b""#, "source_dir"),
    ] {
        let problems = read(&format!("{source}{line}")).unwrap_err();
        let path = format!("services[0].{path}");
        assert!(problems.iter().any(|it| it.is_error() && it.path == path), "{line}: {problems:?}");
    }
    let rule = "name: shop\nservices: [{name: web, git: {repo_clone_url: /x}}]\ningress: {rules: [{match: {path: {prefix: \
                \"/a\\nb\"}}, component: {name: web}}]}\n";
    assert_eq!(AppSpec::from_yaml(rule).unwrap_err().first_error().unwrap().path, "ingress.rules[0].match.path.prefix");
    for line in ["health_check: {http_path: '/health?full=1'}", "run_command: \"a\\nb\"", "routes: [{path: '/a b'}]"] {
        assert!(read(&format!("{source}{line}")).is_ok(), "{line}");
    }
}

#[test]
fn a_stored_spec_with_a_refused_address_stays_readable() {
    let stored = serde_json::json!({"name": "shop", "services": [{"name": "web", "run_command": "a\u{0}b",
        "git": {"repo_clone_url": "https://user:token@github.com/a/b.git"}}]});
    assert!(AppSpec::from_stored(&stored).is_ok());
}
