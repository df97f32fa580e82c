//! Specs to go wrong, and what is said of them.

use app_spec::{AppSpec, Code, Diagnostics};

/// A spec with one service, and `more` lines in it.
pub fn service(more: &str) -> String {
    format!("name: shop\nservices:\n- name: web\n  git: {{repo_clone_url: https://example.com/r.git}}\n{more}")
}

/// Errors and warnings of a text, whatever this version can run of it.
pub fn problems(text: &str) -> Diagnostics {
    match AppSpec::from_yaml(text) {
        Ok(parsed) => parsed.warnings,
        Err(problems) => problems.without(Code::NotYet),
    }
}
