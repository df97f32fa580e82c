//! The problems reported for wrong and doubtful specs. Each file in `cases` contains cases: a line with `====` and the
//! purpose of the case, the text, a line with `----`, and each problem as `line:column severity code path: message |
//! help`. `UPDATE_CASES=1` rewrites the recorded problems; review the difference before you commit it.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use app_spec::{AppSpec, Code, Diagnostic};

fn line(d: &Diagnostic) -> String {
    let at = d.place.map_or_else(|| "-".to_owned(), |place| format!("{}:{}", place.line, place.column));
    let help = d.help.as_ref().map_or_else(String::new, |help| format!(" | {help}"));
    format!("{at} {} {} {}: {}{help}\n", d.severity.as_str(), d.code, d.path, d.message)
}

#[test]
fn wrong_and_doubtful_specs_are_explained() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut wrong = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let whole = std::fs::read_to_string(&path).unwrap();
        let cases = whole.strip_prefix("==== ").unwrap().split("\n==== ");
        let shown = cases.map(|case| {
            let (title, rest) = case.split_once('\n').unwrap();
            let (text, _) = rest.split_once("----").unwrap();
            let problems = AppSpec::from_yaml(text).map_or_else(|it| it.without(Code::NotYet), |it| it.warnings);
            let said: String = problems.iter().map(line).collect();
            format!("==== {title}\n{text}----\n{said}")
        });
        let shown: String = shown.collect();
        if std::env::var_os("UPDATE_CASES").is_some() {
            std::fs::write(&path, shown).unwrap();
        } else if shown.trim_end() != whole.trim_end() {
            let changed = shown.lines().zip(whole.lines()).find(|(now, before)| now != before);
            wrong.push(format!("{}: {changed:?}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
