//! The messages for wrong specs. Each case is a text and the exact messages for it.
#![allow(clippy::unwrap_used)]

mod support;

use app_spec::{AppSpec, Code, Diagnostics, Severity};
use support::{problems, service};

#[test]
fn fields_that_cannot_run_yet_are_reported_together_with_errors() {
    let text = service("  http_prt: 80\ndatabases: [{name: db, engine: REDIS}]\n");
    let problems = AppSpec::from_yaml(&text).unwrap_err();
    let codes: Vec<&str> = problems.iter().map(|d| d.code.as_str()).collect();
    assert_eq!(codes, ["unknown_field", "not_yet"]);
    assert_eq!(problems[1].line(), Some(6));
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_text() {
    let text = "name: Shop\nservices:\n- name: web\n  http_port: 0x1FFFF\n  envs:\n  - {key: A, scope: never}\n  \
                bogus: 1\nworkers:\n- git: {repo_clone_url: /x}\n";
    let codes: Vec<(Code, u32)> = problems(text).iter().map(|d| (d.code, d.line().unwrap())).collect();
    let wanted = [
        (Code::BadName, 1),
        (Code::Missing, 3),
        (Code::OutOfRange, 4),
        (Code::UnknownValue, 6),
        (Code::UnknownField, 7),
        (Code::Missing, 9),
    ];
    assert_eq!(codes, wanted);
}

#[test]
fn api_messages_have_the_form_of_app_platform() {
    let problems = problems(&service("  http_port: 70000\n"));
    let wanted =
        "error validating app spec field \"services.http_port\": 70000 is out of range; allowed: 1 to 65535 (line 5)";
    assert_eq!(problems.first_error().unwrap().api_message(), wanted);
    let json = serde_json::json!({"name": "shop", "bogus": true});
    let problems = AppSpec::from_json(&json).unwrap_err();
    assert_eq!(problems[0].api_message(), "error validating app spec: an app spec has no field `bogus`");
    let written = serde_json::to_value(&problems).unwrap();
    let wanted = serde_json::json!([{"severity": "error", "code": "unknown_field", "path": "", "line": null,
        "column": null, "message": "an app spec has no field `bogus`", "help": null}]);
    assert_eq!(written, wanted);
}

#[test]
fn problems_beyond_the_limit_are_counted_but_not_kept() {
    let text = service(&(0..500).map(|i| format!("  bogus{i}: 1\n")).collect::<String>());
    let problems = problems(&text);
    assert_eq!(problems.len(), Diagnostics::LIMIT);
    assert_eq!(problems.omitted(), 300);
    assert!(problems.render("app.yaml", &text).ends_with("200 errors, 0 warnings, 300 more not shown\n"));
}

#[test]
fn an_error_after_more_warnings_than_the_limit_refuses_the_spec() {
    let envs: String = (0..300).map(|i| format!("  - {{key: K{i}, value: {i}}}\n")).collect();
    let text = service(&format!("  envs:\n{envs}  bogus: 1\n  protocol: FTP\n"));
    let problems = problems(&text);
    let errors: Vec<Code> = problems.iter().filter(|d| d.is_error()).map(|d| d.code).collect();
    assert_eq!(errors, [Code::UnknownField, Code::UnknownValue]);
    assert_eq!((problems.len(), problems.omitted(), problems.omitted_errors()), (200, 102, 0));
}

#[test]
fn warnings_alone_refuse_nothing() {
    let parsed = AppSpec::from_yaml(&service("  http_port: '80'\n")).unwrap();
    assert!(parsed.warnings.iter().all(|d| d.severity == Severity::Warning));
    assert_eq!(parsed.spec.services[0].http_port, Some(80));
}
