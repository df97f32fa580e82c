//! Every sample is read without a remark, runs in this version, and survives writing and reading.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use app_spec::{AppSpec, SecretText, routes};

fn samples() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../app-spec-samples");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn open(_: &str, secret: &SecretText) -> String {
    secret.expose().to_owned()
}

#[test]
fn every_sample_is_read_without_a_remark_and_runs_here() {
    let samples = samples();
    assert!(samples.len() >= 8);
    for (name, text) in samples {
        let parsed = AppSpec::from_yaml(&text).unwrap_or_else(|e| panic!("{}", e.render(&name, &text)));
        assert!(parsed.warnings.is_empty(), "{}", parsed.warnings.render(&name, &text));
        assert!(parsed.not_yet().is_empty(), "{}", parsed.not_yet().render(&name, &text));
        assert!(parsed.spec.check().is_empty(), "{name}");
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
        assert!(again.not_yet().is_empty(), "{name}");
    }
}
