//! A stored spec stays readable when the rules change.
#![allow(clippy::unwrap_used)]

use app_spec::{AppSpec, Code};
use serde_json::{Value, json};

fn stored_again(spec: &AppSpec) -> Value {
    spec.to_json_value(&|_, secret| secret.expose().to_owned())
}

/// A spec that breaks every kind of rule: forms, limits, required fields, rules between fields.
fn of_other_times() -> Value {
    json!({
        "name": "Shop!",
        "region": "r".repeat(5000),
        "domains": [{"domain": "not a domain"}],
        "envs": [{"key": "9 lives", "value": "a\u{0}b"}, {"key": "9 lives", "value": "${missing.URL}"}],
        "databases": [{"name": "db", "version": "sixteen or so"}, {"name": "db"}],
        "services": [
            {
                "name": "web",
                "image": {"repository": "nginx:1.27", "tag": "a", "digest": "b", "registry_credentials": "EV[1:a:b]"},
                "instance_count": 1_000_000,
                "http_port": 65535,
                "health_check": {"http_path": "no slash", "period_seconds": 4_000_000},
                "envs": [{"key": "A", "type": "SECRET"}]
            },
            {"name": "web"}
        ],
        "jobs": [{"name": "j", "kind": "SCHEDULED", "schedule": {"cron": "whenever"}}]
    })
}

#[test]
fn a_stored_spec_that_breaks_current_rules_is_read_with_all_its_fields() {
    let stored = of_other_times();
    assert!(AppSpec::from_json(&stored).unwrap_err().len() > 8, "they are broken");
    let spec = AppSpec::from_stored(&stored).unwrap();
    assert_eq!(stored_again(&spec), stored);
    assert_eq!(AppSpec::from_stored(&stored_again(&spec)).unwrap(), spec);
}

#[test]
fn a_stored_spec_beyond_the_limits_of_a_text_is_read() {
    let envs: Vec<Value> = (0..5_000).map(|i| json!({"key": format!("K{i}"), "value": "v".repeat(200)})).collect();
    let stored = json!({"name": "shop", "envs": envs});
    assert_eq!(AppSpec::from_json(&stored).unwrap_err()[0].code, Code::TooLarge);
    assert_eq!(stored_again(&AppSpec::from_stored(&stored).unwrap()), stored);
}

#[test]
fn unknown_content_of_a_stored_spec_is_refused_rather_than_dropped() {
    let cases = [
        (json!({"name": "shop", "of_tomorrow": true}), Code::UnknownField),
        (json!({"name": "shop", "nmae": "web"}), Code::UnknownField),
        (json!({"name": "shop", "services": [{"name": "web", "http_port": 70_000}]}), Code::OutOfRange),
        (json!({"name": "shop", "services": [{"name": "web", "http_port": "many"}]}), Code::WrongType),
        (json!({"name": "shop", "services": {"web": {}}}), Code::WrongType),
        (json!({"name": "shop", "databases": [{"name": "db", "engine": "ORACLE"}]}), Code::UnknownValue),
        (json!({"name": "shop", "services": [{"name": "w", "git": {}, "github": {}}]}), Code::Conflict),
        (json!({}), Code::Missing),
        (json!(7), Code::WrongType),
    ];
    for (stored, code) in cases {
        let problems = AppSpec::from_stored(&stored).unwrap_err();
        assert_eq!(problems.first_error().map(|it| it.code), Some(code), "{stored}: {problems}");
    }
}
