//! Builds specs and collects their problems.

use app_spec::{AppSpec, Code, Diagnostics};

/// A spec with one service. Adds the lines in `more` to the service.
pub fn service(more: &str) -> String {
    format!("name: shop\nservices:\n- name: web\n  git: {{repo_clone_url: https://example.com/r.git}}\n{more}")
}

/// Errors and warnings of a text, without the "not yet" errors.
pub fn problems(text: &str) -> Diagnostics {
    match AppSpec::from_yaml(text) {
        Ok(parsed) => parsed.warnings,
        Err(problems) => problems.without(Code::NotYet),
    }
}
