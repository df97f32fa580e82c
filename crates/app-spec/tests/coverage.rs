//! Which features public specs use, and what this version does with each. Generates `docs/app-spec.md` from the samples
//! and the capability table. `UPDATE_DOCS=1` rewrites the document.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use app_spec::{AppSpec, Diagnostics, Support, capabilities};

/// One feature, and the samples that use it.
struct Row {
    use_: &'static str,
    /// How many of a hundred specs use the feature. Measured in 2026 on 207 public repositories, one spec each.
    of_hundred: u8,
    samples: &'static [&'static str],
}

const fn row(use_: &'static str, of_hundred: u8, samples: &'static [&'static str]) -> Row {
    Row { use_, of_hundred, samples }
}

/// Ordered so that each row, together with those above it, covers as many specs as possible.
const ROWS: &[Row] = &[
    row(
        "services from git with a Dockerfile, variables for builds and containers, a health check",
        87,
        &["02", "04", "08"],
    ),
    row("alerts, VPC, edge settings: taken and kept", 27, &["24"]),
    row("Node.js, detected", 30, &["03"]),
    row("Python, detected", 8, &["03"]),
    row("static sites, built or as they are", 17, &["10", "11"]),
    row("routing by path, with rules or with routes of components", 23, &["07", "09"]),
    row("domains", 20, &["17"]),
    row("`${APP_URL}`, `${APP_DOMAIN}`, `${KEY}` of another variable", 30, &["04", "14"]),
    row("PostgreSQL and `${db.…}`", 28, &["05"]),
    row("a `spec:` around everything", 13, &["25"]),
    row("images of Docker Hub, DOCR and GHCR, by tag or digest, with credentials", 14, &["01", "15"]),
    row("workers, jobs around a deployment", 15, &["06"]),
    row("`${component.…}` and `${_self.…}`", 10, &["09"]),
    row("`EV[…]` of another installation: the value must be given", 5, &["14"]),
    row("MySQL, Redis, Valkey", 5, &["12"]),
    row("PHP, Go, Ruby and Rust, detected", 9, &["03"]),
    row(
        "several instances, internal ports, rules by host name, CORS, rewrite, redirect, HTTP/2",
        11,
        &["07", "08", "17", "18", "19"],
    ),
    row("wrong fields, names, types and texts: each reported with its line", 11, &[]),
    row("functions", 3, &["23"]),
    row("jobs by the clock, autoscaling, liveness and termination, Kafka", 3, &["08", "12", "16", "20", "21"]),
    row("a managed database", 11, &["13"]),
    row("log destinations, alerts with destinations", 0, &["22"]),
    row("repositories of GitLab and Bitbucket", 0, &["26"]),
    row("JSON in place of YAML", 1, &["27"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The name of each sample by its number, with its "not yet" errors and its fields without effect.
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
         Of 100: how many of a hundred public specs need it, measured on those of 207 repositories in 2026.\n\n\
         | use | samples | of 100 | here |\n|---|---|---|---|\n",
    );
    let samples = samples();
    for Row { use_, of_hundred, samples: numbers } in ROWS {
        let shown = match numbers {
            [] => "tests of diagnostics".to_owned(),
            _ => numbers.iter().map(|n| format!("`{}`", samples[*n].0)).collect::<Vec<_>>().join(", "),
        };
        writeln!(out, "| {use_} | {shown} | {of_hundred} | {} |", verdict(numbers, &samples)).unwrap();
    }
    out.push_str(&public_specs());
    out.push_str(
        "\n## Field by field\n\nWhat is not listed is covered by the field around it.\n\n| field | here |\n|---|---|\n",
    );
    for capability in capabilities().iter().filter(|it| is_listed(&it.path)) {
        let here = match capability.support {
            Support::Works => "works".to_owned(),
            Support::NoEffectHere(why) => format!("kept, no effect: {why}"),
            Support::NotYet(why) => format!("refused, not yet: {why}"),
        };
        writeln!(out, "| `{}` | {here} |", capability.path).unwrap();
    }
    out
}

/// How many public specs run, from what the test of the corpus counted.
fn public_specs() -> String {
    let counts = std::fs::read_to_string(root().join("crates/app-spec/tests/corpus/runs.tsv")).unwrap();
    let mut out = String::from(
        "\n## Public specs\n\n\
         Of 80 specs from public repositories, as they are: how many run here, and why others do not. Values that only the owner\n\
         knows are taken as given, and sources as reachable. In brackets: specs without another reason.\n\n\
         | | before languages were detected | now |\n|---|---|---|\n",
    );
    for line in counts.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<_> = line.split('\t').collect();
        let [name, before, alone_before, now, alone] = cells[..] else { panic!("{line}") };
        match name {
            "run" | "have mistakes" => writeln!(out, "| {name} | {before} | {now} |").unwrap(),
            _ => writeln!(out, "| {name} | {before} ({alone_before}) | {now} ({alone}) |").unwrap(),
        }
    }
    out
}

/// `works`, or the refused fields and the fields without effect, without list positions.
fn verdict(numbers: &[&str], samples: &BTreeMap<String, (String, Diagnostics, Diagnostics)>) -> String {
    let paths = |pick: fn(&(String, Diagnostics, Diagnostics)) -> &Diagnostics| {
        let found = numbers.iter().flat_map(|n| pick(&samples[*n]).iter());
        let mut paths: Vec<String> = found.map(|d| format!("`{}`", without_positions(&d.path))).collect();
        paths.sort();
        paths.dedup();
        paths.join(", ")
    };
    let (refused, without_effect) = (paths(|it| &it.1), paths(|it| &it.2));
    match (refused.is_empty(), without_effect.is_empty()) {
        (true, true) => "works".to_owned(),
        (true, false) => format!("works; without effect: {without_effect}"),
        (false, true) => format!("refused, not yet: {refused}"),
        (false, false) => format!("refused, not yet: {refused}; without effect: {without_effect}"),
    }
}

fn without_positions(path: &str) -> String {
    path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect::<Vec<_>>().join("[]")
}

/// Whether the document lists a field. It leaves out a field with the same support as its parent.
fn is_listed(path: &str) -> bool {
    let of = |path: &str| capabilities().iter().find(|it| it.path == path).map(|it| it.support);
    let Some((parent, _)) = path.rsplit_once('.').filter(|_| !path.contains('=')) else { return true };
    let parent = parent.strip_suffix("[]").unwrap_or(parent);
    of(parent) == Some(Support::Works) || of(parent) != of(path)
}

#[test]
fn every_row_has_samples_and_every_sample_a_row() {
    let mut shown: Vec<&str> = ROWS.iter().flat_map(|row| row.samples.iter().copied()).collect();
    shown.sort_unstable();
    shown.dedup();
    let known: Vec<String> = samples().into_keys().collect();
    assert_eq!(shown, known);
}

#[test]
fn the_document_matches_the_code() {
    let path = root().join("docs/app-spec.md");
    let wanted = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &wanted).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == wanted, "docs/app-spec.md is old: UPDATE_DOCS=1 cargo test -p app-spec --test coverage");
}
