//! Compares specs from public repositories with `corpus/expected.tsv`, which was written by reading the files. Runs
//! only if the corpus is next to the workspace. No file causes a panic, every problem has a place, and a spec that was
//! read survives writing.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use app_spec::{AppSpec, Code, Diagnostics, SecretText};

/// The expected result of reading a file.
#[derive(Debug, PartialEq)]
struct Expected {
    /// `parsed`, `needs values` or `diagnosed`.
    class: String,
    /// How many values the user must supply before the app can run.
    needs: usize,
    /// `line:code` of every error, in the order of the text.
    errors: String,
}

/// One line of `expected.tsv`.
struct Row {
    /// Whether a client that knows only the fields and their types refuses the file. Determined with Go, the language
    /// of App Platform's client: convert the file to JSON with sigs.k8s.io/yaml, then decode it with encoding/json into
    /// types with the fields that this crate knows, with unknown fields disallowed.
    client_refuses: bool,
    expected: Expected,
}

fn expectations() -> BTreeMap<String, Row> {
    let rows = include_str!("corpus/expected.tsv").lines().filter(|line| !line.starts_with('#'));
    let row = |line: &str| {
        let mut cells = line.split('\t').map(str::to_owned);
        let mut next = || cells.next().unwrap_or_default();
        let (file, client, class, needs, errors) = (next(), next(), next(), next(), next());
        let expected = Expected { class, needs: needs.parse().unwrap(), errors };
        (file, Row { client_refuses: client == "refuses", expected })
    };
    rows.map(row).collect()
}

/// The corpus next to the workspace, or the directory in `APP_SPEC_CORPUS`.
fn corpus() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/app-specs");
    let folder = std::env::var_os("APP_SPEC_CORPUS").map_or(beside, PathBuf::from);
    if !folder.is_dir() {
        println!("skipped: no corpus beside the workspace (../shared/corpus/app-specs)");
        return None;
    }
    Some(folder)
}

fn files(folder: &Path) -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned())).collect()
}

/// The result of reading a file, and how many features in it this version cannot run.
fn looked_at(text: &str) -> (Expected, usize) {
    match AppSpec::from_yaml(text) {
        Ok(parsed) => {
            let needs = parsed.spec.needed_values().len();
            let class = if needs == 0 { "parsed" } else { "needs values" };
            let not_yet = parsed.not_yet();
            assert!(not_yet.iter().all(|d| d.place.is_some()));
            (Expected { class: class.to_owned(), needs, errors: String::new() }, not_yet.len())
        }
        Err(problems) => {
            let not_yet = problems.iter().filter(|d| d.code == Code::NotYet).count();
            (Expected { class: "diagnosed".to_owned(), needs: 0, errors: errors(&problems) }, not_yet)
        }
    }
}

fn errors(problems: &Diagnostics) -> String {
    let errors = problems.iter().filter(|d| d.is_error() && d.code != Code::NotYet);
    errors.map(|d| format!("{}:{}", d.line().unwrap_or(0), d.code)).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_corpus_file_gives_the_expected_result() {
    let Some(folder) = corpus() else { return };
    let expected = expectations();
    let mut classes: BTreeMap<String, usize> = BTreeMap::new();
    let (mut codes, mut wrong, mut not_here) = (BTreeMap::<String, usize>::new(), Vec::new(), 0);
    let files = files(&folder);
    println!("{:<6}{:<9}{:<14}{:<8}{:<10}errors (line:code)", "file", "client", "class", "needs", "not yet");
    for (name, text) in &files {
        let (found, not_yet) = looked_at(text);
        let row = expected.get(name).unwrap_or_else(|| panic!("{name} has no row"));
        let client = if row.client_refuses { "refuses" } else { "reads" };
        println!("{name:<6}{client:<9}{:<14}{:<8}{not_yet:<10}{}", found.class, found.needs, found.errors);
        *classes.entry(found.class.clone()).or_default() += 1;
        not_here += usize::from(not_yet > 0);
        for code in found.errors.split(' ').filter_map(|e| e.split(':').nth(1)) {
            *codes.entry(code.to_owned()).or_default() += 1;
        }
        if row.expected != found {
            wrong.push(format!("{name}: expected {:?}, found {found:?}", row.expected));
        }
    }
    println!(
        "corpus: {} files, {classes:?}, {not_here} not supported here as they stand; errors {codes:?}",
        files.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(files.len(), expected.len(), "rows without a file");
}

/// Why a spec with an error at this path does not run here yet.
fn reason(path: &str) -> &'static str {
    let (top, field) = (path.split(['.', '[']).next().unwrap_or(path), path.rsplit('.').next().unwrap_or(path));
    match (top, field) {
        ("static_sites", _) => "static sites",
        ("functions", _) => "functions",
        ("domains", _) => "domains",
        _ if path.contains(".authority") => "domains",
        ("databases", _) => "database engines",
        _ if path.contains(".image.") => "registries",
        ("jobs", "kind" | "schedule" | "timeout") => "kinds of jobs",
        (_, "environment_slug" | "build_command") => "languages are not detected",
        _ => "other fields",
    }
}

/// The reasons why a spec does not run, or `run`.
fn reasons(text: &str) -> BTreeSet<&'static str> {
    let Ok(parsed) = AppSpec::from_yaml(text) else { return BTreeSet::from(["have mistakes"]) };
    let found: BTreeSet<_> = parsed.not_yet().iter().map(|it| reason(&it.path)).collect();
    if found.is_empty() { BTreeSet::from(["run"]) } else { found }
}

/// The table in `docs/app-spec.md` is made from `corpus/runs.tsv`, because the corpus is not part of the repository.
#[test]
fn the_table_of_specs_that_run_matches_the_corpus() {
    let Some(folder) = corpus() else { return };
    let all: Vec<_> = files(&folder).iter().map(|(_, text)| reasons(text)).collect();
    let row = |line: &str| {
        let cells: Vec<_> = line.split('\t').collect();
        let [name, before, alone_before, ..] = cells[..] else { return line.to_owned() };
        let with = all.iter().filter(|it| it.contains(name));
        let alone = with.clone().filter(|it| it.len() == 1).count();
        format!("{name}\t{before}\t{alone_before}\t{}\t{alone}", with.count())
    };
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/runs.tsv");
    let written = std::fs::read_to_string(&path).unwrap();
    let wanted = written.lines().map(row).fold(String::new(), |all, line| all + &line + "\n");
    let named = |it: &&str| wanted.lines().any(|line| line.split('\t').next() == Some(it));
    assert!(all.iter().flatten().all(named), "a reason has no row: {all:?}");
    println!("{wanted}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    } else {
        assert_eq!(written, wanted, "corpus/runs.tsv is old: UPDATE_DOCS=1 cargo test -p app-spec --test corpus");
    }
}

/// Misspelt words in corpus files that do not refuse the spec: file, line, field, the correct word.
const MISSPELT: [(&str, u32, &str, &str); 2] =
    [("010", 19, "type", "`SECRET`"), ("090", 20, "registry_type", "`DOCR`")];

#[test]
fn misspelt_words_are_reported_on_their_lines() {
    let Some(folder) = corpus() else { return };
    let files: BTreeMap<String, String> = files(&folder).into_iter().collect();
    for (name, line, field, meant) in MISSPELT {
        let text = &files[name];
        let found = AppSpec::from_yaml(text).map_or_else(|problems| problems, |parsed| parsed.warnings);
        let is_reported = |d: &app_spec::Diagnostic| {
            let says = d.help.as_ref().is_some_and(|help| help.contains(meant));
            d.line() == Some(line) && d.path.ends_with(field) && says
        };
        assert!(found.iter().any(is_reported), "{name}: {}", found.render(name, text));
    }
}

/// Errors in the form of a spec. A client that knows only the fields and their types finds these too.
const OF_FORM: [Code; 5] = [Code::Syntax, Code::TooLarge, Code::TagNotAllowed, Code::UnknownField, Code::WrongType];

#[test]
fn a_file_that_a_client_reads_has_no_errors_of_form() {
    let Some(folder) = corpus() else { return };
    let expected = expectations();
    for (name, text) in files(&folder) {
        match (AppSpec::from_yaml_schema_only(&text), AppSpec::from_yaml(&text)) {
            (Ok(by_fields), Ok(by_all)) => assert_eq!(by_fields.spec, by_all.spec, "{name}"),
            (Err(problems), Ok(_)) => panic!("{name}: {problems}"),
            (Ok(_), Err(_)) => {}
            (Err(problems), Err(_)) => {
                let is_of_form = problems.iter().any(|d| OF_FORM.contains(&d.code));
                assert!(!is_of_form || expected[&name].client_refuses, "{name}: {problems}");
            }
        }
    }
}

#[test]
fn every_corpus_file_can_be_rendered_and_survives_writing() {
    let Some(folder) = corpus() else { return };
    for (name, text) in files(&folder) {
        match AppSpec::from_yaml(&text) {
            Ok(parsed) => survives(&name, &parsed.spec),
            Err(problems) => {
                assert_eq!(problems.iter().find(|d| d.place.is_none()), None, "{name}");
                let drawn = problems.render(&name, &text);
                assert!(drawn.contains(&format!("{name}:")), "{drawn}");
                if std::env::var_os("SHOW_CORPUS").is_some() {
                    println!("{drawn}");
                }
            }
        }
    }
}

fn survives(name: &str, spec: &AppSpec) {
    let open = |_: &str, secret: &SecretText| secret.expose().to_owned();
    let yaml = spec.to_yaml(&open);
    let again = AppSpec::from_yaml(&yaml).unwrap_or_else(|e| panic!("{name}: {}", e.render(name, &yaml)));
    assert_eq!(again.spec, *spec, "{name}");
    assert_eq!(AppSpec::from_json(&spec.to_json_value(&open)).unwrap().spec, *spec, "{name}");
    let completed = spec.completed();
    let problems: Vec<_> = completed.check().into_iter().filter(|d| d.is_error()).collect();
    assert!(problems.is_empty(), "{name}: completing breaks a rule: {problems:?}");
}
