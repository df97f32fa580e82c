//! Specs that people committed to public repositories, where the workspace has them beside it: nothing panics, every
//! file is read or diagnosed with a place, and what was read survives writing.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use app_spec::{AppSpec, SecretText};

#[test]
fn every_file_of_the_corpus_is_read_or_diagnosed() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/app-specs");
    let Ok(folder) = std::fs::read_dir(&corpus) else {
        println!("skipped: no corpus beside the workspace (../shared/corpus/app-specs)");
        return;
    };
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut read, mut runnable, mut refused) = (0, 0, 0);
    let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
    for path in &files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        match AppSpec::from_yaml(&text) {
            Ok(parsed) => {
                read += 1;
                runnable += usize::from(parsed.not_yet().is_empty());
                assert!(parsed.not_yet().iter().all(|d| d.place.is_some()), "{name}");
                survives(&name, &parsed.spec);
            }
            Err(problems) => {
                refused += 1;
                assert!(problems.has_errors(), "{name}");
                for problem in problems.iter().filter(|d| d.is_error()) {
                    *codes.entry(problem.code.as_str()).or_default() += 1;
                    assert!(problem.place.is_some(), "{name}: {problem} has no place");
                }
                let drawn = problems.render(&name, &text);
                assert!(drawn.contains(&format!("{name}:")), "{drawn}");
                if std::env::var_os("SHOW_CORPUS").is_some() {
                    println!("{drawn}");
                }
            }
        }
    }
    println!("corpus: {} files, {read} read ({runnable} can run here), {refused} refused: {codes:?}", files.len());
    // The corpus was chosen for its oddities, so most of it is refused; this many were read when it was first looked at.
    assert!(files.is_empty() || read >= 30, "fewer files are read than before");
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
