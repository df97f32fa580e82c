//! Problems as people see them. Each file in `rendered` contains a text, a line of dashes, and the drawing of its
//! problems. `UPDATE_RENDERED=1` rewrites the drawings; review the difference before you commit it.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use app_spec::AppSpec;

const BORDER: &str = "\n----\n";

fn files() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/rendered");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The drawing of all problems of a text, as the command line prints it.
fn drawn(text: &str) -> String {
    let found = AppSpec::from_yaml(text).map_or_else(|problems| problems, |parsed| parsed.remarks());
    if found.is_empty() { String::new() } else { found.render("app.yaml", text) }
}

#[test]
fn problems_are_drawn_as_recorded() {
    let update = std::env::var_os("UPDATE_RENDERED").is_some();
    let files = files();
    assert!(files.len() >= 60, "{} files", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let whole = std::fs::read_to_string(&path).unwrap();
        let (text, wanted) = whole.split_once(BORDER).unwrap_or((whole.trim_end(), ""));
        let text = format!("{text}\n");
        let found = drawn(&text);
        assert!(!found.is_empty(), "{}: no problem is reported", path.display());
        if update {
            std::fs::write(&path, format!("{}{BORDER}{found}", text.trim_end())).unwrap();
        } else if found != wanted {
            wrong.push(format!("{}\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
