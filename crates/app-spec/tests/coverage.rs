//! What specs in the wild use, row by row, and what this version does with it: `docs/app-spec.md` is written from the
//! samples and the capability table. `UPDATE_DOCS=1` writes it anew.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use app_spec::{AppSpec, Diagnostics, Support, capabilities};

/// What people use, most needed first, with the samples that show it.
const ROWS: &[(&str, &[&str])] = &[
    ("a service from git with a Dockerfile, variables for builds and containers, a health check", &["02", "04", "08"]),
    ("settings of the platform around the app", &["22", "24"]),
    ("a language that is detected", &["03"]),
    ("static sites, built or as they are", &["10", "11"]),
    ("routing by path, with rules or with routes of components", &["07", "09"]),
    ("host names of one's own", &["17"]),
    ("references to the app, and from one variable to another", &["04", "14"]),
    ("PostgreSQL and its references", &["05"]),
    ("a `spec:` around everything", &["25"]),
    ("images by tag or digest, with and without logging in", &["01", "15"]),
    ("workers, and jobs around a deployment", &["06"]),
    ("references to other components and to oneself", &["09"]),
    ("sealed values, secrets without a value, placeholders", &["14"]),
    ("the other database engines, databases of a cluster", &["12", "13"]),
    ("redirects, CORS", &["18"]),
    ("HTTP/2, ports for other components", &["19"]),
    ("functions", &["23"]),
    ("jobs by the clock, jobs after a failure", &["16"]),
    ("autoscaling", &["20"]),
    ("liveness checks", &["21"]),
    ("repositories of GitLab and Bitbucket", &["26"]),
    ("JSON in place of YAML", &["27"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Each sample's name by its number, with what it cannot have and what it has in vain.
fn samples() -> BTreeMap<String, (String, Diagnostics, Diagnostics)> {
    let folder = std::fs::read_dir(root().join("app-spec-samples")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).filter(|n| n != "README.md");
    let read = |name: String| {
        let text = std::fs::read_to_string(root().join("app-spec-samples").join(&name)).unwrap();
        let parsed = AppSpec::from_yaml(&text).unwrap();
        (name[..2].to_owned(), (name, parsed.not_yet(), parsed.no_effect()))
    };
    names.map(read).collect()
}

fn document() -> String {
    let mut out = String::from(
        "# App specs: what works\n\n\
         Written by a test from the samples and from the table in `crates/app-spec/src/capability.rs`; do not edit by hand.\n\
         `boatyard spec validate FILE` says the same about one spec, with lines.\n\n\
         ## What people use\n\n\
         Most needed first.\n\n\
         | use | samples | here |\n|---|---|---|\n",
    );
    let samples = samples();
    for (what, numbers) in ROWS {
        let shown = numbers.iter().map(|n| format!("`{}`", samples[*n].0)).collect::<Vec<_>>().join(", ");
        writeln!(out, "| {what} | {shown} | {} |", verdict(numbers, &samples)).unwrap();
    }
    out.push_str(
        "\n## Field by field\n\nWhat is not listed is covered by the field around it.\n\n| field | here |\n|---|---|\n",
    );
    for capability in capabilities().iter().filter(|it| is_told(&it.path)) {
        let here = match capability.support {
            Support::Works => "works".to_owned(),
            Support::NoEffectHere(why) => format!("kept, no effect: {why}"),
            Support::NotYet(why) => format!("refused, not yet: {why}"),
        };
        writeln!(out, "| `{}` | {here} |", capability.path).unwrap();
    }
    out
}

/// `works`, or what is refused and what has no effect, without its position in a list.
fn verdict(numbers: &[&str], samples: &BTreeMap<String, (String, Diagnostics, Diagnostics)>) -> String {
    let paths = |pick: fn(&(String, Diagnostics, Diagnostics)) -> &Diagnostics| {
        let found = numbers.iter().flat_map(|n| pick(&samples[*n]).iter());
        let mut paths: Vec<String> = found.map(|d| format!("`{}`", without_positions(&d.path))).collect();
        paths.sort();
        paths.dedup();
        paths.join(", ")
    };
    let (refused, vain) = (paths(|it| &it.1), paths(|it| &it.2));
    match (refused.is_empty(), vain.is_empty()) {
        (true, true) => "works".to_owned(),
        (true, false) => format!("works; without effect: {vain}"),
        (false, true) => format!("refused, not yet: {refused}"),
        (false, false) => format!("refused, not yet: {refused}; without effect: {vain}"),
    }
}

fn without_positions(path: &str) -> String {
    path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect::<Vec<_>>().join("[]")
}

/// A field below one that has the same to say is left out.
fn is_told(path: &str) -> bool {
    let of = |path: &str| capabilities().iter().find(|it| it.path == path).map(|it| it.support);
    let Some((parent, _)) = path.rsplit_once('.').filter(|_| !path.contains('=')) else { return true };
    let parent = parent.strip_suffix("[]").unwrap_or(parent);
    of(parent) == Some(Support::Works) || of(parent) != of(path)
}

#[test]
fn every_row_has_samples_and_every_sample_a_row() {
    let mut shown: Vec<&str> = ROWS.iter().flat_map(|(_, numbers)| numbers.iter().copied()).collect();
    shown.sort_unstable();
    shown.dedup();
    let known: Vec<String> = samples().into_keys().collect();
    assert_eq!(shown, known);
}

#[test]
fn the_document_says_what_the_code_does() {
    let path = root().join("docs/app-spec.md");
    let wanted = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &wanted).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == wanted, "docs/app-spec.md is old: UPDATE_DOCS=1 cargo test -p app-spec --test coverage");
}
