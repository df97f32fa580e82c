//! Every sample is read without warnings, survives writing and reading, and fits the JSON Schema.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use app_spec::{AppSpec, Code, SecretText, json_schema, routes};
use serde_json::Value;

fn samples() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../app-spec-samples");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "yaml" || e == "json"));
    files.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn open(_: &str, secret: &SecretText) -> String {
    secret.expose().to_owned()
}

/// Samples that cause warnings, with the codes of the warnings.
const REMARKS: &[(&str, &[Code])] =
    &[("14-values-to-give.yaml", &[Code::NeedsValue, Code::NeedsValue, Code::NeedsValue])];

/// Samples that this version runs.
const RUNNING: [&str; 13] = ["01", "02", "04", "05", "06", "07", "08", "09", "13", "14", "24", "25", "27"];

#[test]
fn every_sample_is_read_without_unexpected_warnings() {
    let samples = samples();
    assert!(samples.len() >= 25);
    println!("{:<40}{:<10}no effect", "sample", "not yet");
    for (name, text) in samples {
        let parsed = AppSpec::from_yaml(&text).unwrap_or_else(|e| panic!("{}", e.render(&name, &text)));
        let remarks: Vec<Code> = parsed.warnings.iter().map(|d| d.code).collect();
        let expected = REMARKS.iter().find(|(sample, _)| *sample == name).map_or(&[][..], |(_, codes)| *codes);
        assert_eq!(remarks, expected, "{}", parsed.warnings.render(&name, &text));
        assert_eq!(parsed.spec.check().len(), expected.len(), "{name}");
        let not_yet = parsed.not_yet();
        assert!(not_yet.is_empty() || !RUNNING.contains(&&name[..2]), "{}", not_yet.render(&name, &text));
        println!("{name:<40}{:<10}{}", not_yet.len(), parsed.no_effect().len());
    }
}

#[test]
fn each_field_without_effect_is_reported_once() {
    let (name, text) = samples().into_iter().find(|(name, _)| name.starts_with("24")).unwrap();
    let parsed = AppSpec::from_yaml(&text).unwrap();
    let paths: Vec<String> = parsed.no_effect().into_iter().map(|d| d.path).collect();
    let wanted = [
        "region",
        "features",
        "egress",
        "vpc",
        "disable_edge_cache",
        "disable_email_obfuscation",
        "enhanced_threat_control_enabled",
    ];
    assert_eq!(paths, wanted, "{name}");
    let json = parsed.spec.to_json_value(&open);
    assert_eq!(json["vpc"]["id"], "11111111-2222-3333-4444-555555555555");
    assert_eq!(json["egress"]["type"], "DEDICATED_IP");
}

/// Text that the reader accepts fits the schema, as does what the writer writes.
#[test]
fn every_sample_follows_the_schema() {
    for (name, text) in samples() {
        let written = value_of(&name, &text);
        let spec = written.get("spec").unwrap_or(&written);
        assert_eq!(marked(spec), Vec::<String>::new(), "{name}");
        let read = AppSpec::from_yaml(&text).unwrap().spec.to_json_value(&open);
        assert_eq!(marked(&read), Vec::<String>::new(), "{name}");
    }
}

/// Absent, null and zero values mean the same.
#[test]
fn absent_zero_and_lower_case_values_follow_the_schema() {
    let text = "name: shop\nregion: ''\nworkers:\ningress: null\nenvs: [{key: A, value: , type: secret}, {key: B}]\n\
                services:\n- name: web\n  image: {registry_type: docr, registry: '', repository: web, tag: ''}\n  \
                instance_count: 0\n  instance_size_slug: ''\n  http_port: 0\n  protocol: ''\n  internal_ports: []\n  \
                routes: [{path: ''}]\n  termination: {drain_seconds: 0}\n  health_check: {http_path: , port: 0}\n\
                databases: [{name: db, version: '', num_nodes: 0, engine: pg}]\n";
    let parsed = AppSpec::from_yaml(text).unwrap();
    let remarks: Vec<Code> = parsed.warnings.iter().map(|d| d.code).collect();
    let three_words = [Code::NeedsValue, Code::Converted, Code::Converted, Code::Converted];
    assert_eq!(remarks, three_words, "{}", parsed.warnings);
    assert_eq!(marked(&serde_yaml::from_str(text).unwrap()), Vec::<String>::new());
}

#[test]
fn values_that_the_reader_refuses_violate_the_schema() {
    let rule = |redirect: &str| format!("ingress: {{rules: [{{redirect: {redirect}}}]}}");
    let service = |more: &str| format!("services: [{{name: web, git: {{repo_clone_url: /x}}, {more}}}]");
    let cases = [
        (service("http_port: 70000"), ".services[0].http_port: 70000"),
        (service("protocol: HTTP9"), ".services[0].protocol: \"HTTP9\""),
        (service("bogus: 1"), ".services[0] has no bogus"),
        (service("instance_size_slug: huge"), ".services[0].instance_size_slug: \"huge\""),
        (service("internal_ports: [0]"), ".services[0].internal_ports[0]: 0"),
        ("services: [{name: web}]".to_owned(), ".services[0] has none of several"),
        ("workers: [{git: {repo_clone_url: /x}}]".to_owned(), ".workers[0] lacks name"),
        ("envs: [{key: A, scope: RUNTIME}]".to_owned(), ".envs[0].scope: \"RUNTIME\""),
        (rule("{redirect_code: 305}"), ".ingress.rules[0].redirect.redirect_code: 305"),
        (
            "domains: [{domain: example.com, minimum_tls_version: '1.1'}]".to_owned(),
            ".domains[0].minimum_tls_version: \"1.1\"",
        ),
    ];
    for (more, wanted) in cases {
        let text = format!("name: shop\n{more}\n");
        assert!(AppSpec::from_yaml(&text).is_err(), "{text}");
        assert_eq!(marked(&serde_yaml::from_str(&text).unwrap()), [wanted], "{text}");
    }
}

/// The value that another parser reads, with merge keys applied.
fn value_of(name: &str, text: &str) -> Value {
    if name.ends_with(".json") {
        return serde_json::from_str(text).unwrap();
    }
    let mut value: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    value.apply_merge().unwrap();
    serde_json::to_value(value).unwrap()
}

fn marked(spec: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    follow(&json_schema()["definitions"]["app"], spec, "", &mut wrong);
    wrong
}

/// Checks a value against the parts of JSON Schema that the schema of specs uses. Leaves out patterns, which need a
/// regular expression engine.
fn follow(schema: &Value, value: &Value, path: &str, wrong: &mut Vec<String>) {
    if schema.get("type").is_none() {
        return;
    }
    let types = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
    let fits = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        other => panic!("{path}: type {other}"),
    };
    let least = schema["minimum"].as_f64().unwrap_or(f64::MIN);
    let most = schema["maximum"].as_f64().unwrap_or(f64::MAX);
    let in_range = value.as_f64().is_none_or(|number| (least..=most).contains(&number));
    let known = schema["enum"].as_array().is_none_or(|words| words.contains(value));
    if !types.iter().any(fits) || !in_range || !known {
        wrong.push(format!("{path}: {value}"));
    }
    let Some(fields) = value.as_object() else {
        for (i, item) in value.as_array().into_iter().flatten().enumerate() {
            follow(&schema["items"], item, &format!("{path}[{i}]"), wrong);
        }
        return;
    };
    let lacks = |schema: &Value| {
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        required.filter(|field| !fields.contains_key(*field)).map(str::to_owned).collect::<Vec<_>>()
    };
    wrong.extend(lacks(schema).into_iter().map(|required| format!("{path} lacks {required}")));
    if schema["anyOf"].as_array().is_some_and(|one_of| one_of.iter().all(|it| !lacks(it).is_empty())) {
        wrong.push(format!("{path} has none of several"));
    }
    for (field, value) in fields {
        match schema["properties"].get(field) {
            Some(property) => follow(property, value, &format!("{path}.{field}"), wrong),
            None if field.starts_with("x-") && schema["patternProperties"]["^x-"] == true => {}
            None => wrong.push(format!("{path} has no {field}")),
        }
    }
}

#[test]
fn every_sample_survives_writing_and_reading() {
    for (name, text) in samples() {
        let spec = AppSpec::from_yaml(&text).unwrap().spec;
        let yaml = spec.to_yaml(&open);
        let json = spec.to_json_value(&open);
        assert_eq!(AppSpec::from_yaml(&yaml).unwrap().spec, spec, "{name}: {yaml}");
        assert_eq!(AppSpec::from_json(&json).unwrap().spec, spec, "{name}");
        assert_eq!(AppSpec::from_yaml(&json.to_string()).unwrap().spec, spec, "{name}: JSON as text");
        let second_opinion: serde_json::Value = serde_yaml::from_str(&yaml).unwrap();
        assert_eq!(second_opinion, json, "{name}");
    }
}

#[test]
fn every_sample_means_the_same_when_completed() {
    for (name, text) in samples() {
        let spec = AppSpec::from_yaml(&text).unwrap().spec;
        let completed = spec.completed();
        assert_eq!(routes(&completed), routes(&spec), "{name}");
        assert_eq!(completed.completed(), completed, "{name}");
        let again = AppSpec::from_json(&completed.to_json_value(&open)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(again.spec, completed, "{name}");
        let not_yet = AppSpec::from_yaml(&text).unwrap().not_yet();
        assert_eq!(again.not_yet().is_empty(), not_yet.is_empty(), "{name}");
    }
}
