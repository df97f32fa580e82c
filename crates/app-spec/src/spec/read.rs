//! Reads a spec from a text, from a client's JSON or from stored JSON.

use serde::Deserialize;

use super::app::AppSpec;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::tree::{self, Entry, Kind, Node};
use crate::value::{Places, Reader};

/// A spec with the warnings found while reading it.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The spec.
    pub spec: AppSpec,
    /// Values that were converted, and values that may be mistakes.
    pub warnings: Diagnostics,
    places: Places,
}

impl Parsed {
    /// Errors for what this version cannot run, with places. If there are any, refuse to create the app.
    pub fn not_yet(&self) -> Diagnostics {
        self.located(self.spec.not_yet())
    }

    /// Warnings for what Boatyard stores but that has no effect, with places.
    pub fn no_effect(&self) -> Diagnostics {
        self.located(self.spec.no_effect())
    }

    /// All warnings, fields without effect and fields that cannot run, errors first.
    pub fn remarks(&self) -> Diagnostics {
        let mut remarks = self.warnings.clone();
        remarks.extend(self.spec.no_effect());
        remarks.extend(self.spec.not_yet());
        self.located(remarks)
    }

    fn located(&self, mut diagnostics: Diagnostics) -> Diagnostics {
        self.places.locate(diagnostics.iter_mut());
        diagnostics.hidden = self.warnings.hidden.clone();
        diagnostics.sort();
        diagnostics
    }
}

impl AppSpec {
    /// Reads a spec as people write it: YAML 1.2 or JSON, with or without an enclosing `spec:`.
    ///
    /// Errors: all errors, together with the warnings.
    pub fn from_yaml(text: &str) -> Result<Parsed, Diagnostics> {
        AppSpec::from_text(text, Rules::All)
    }

    /// Reads a spec and checks single fields only: names, types, limits and forms. Use it to inspect a spec, never to
    /// run it.
    ///
    /// Errors: all errors of single fields, together with the warnings.
    pub fn from_yaml_schema_only(text: &str) -> Result<Parsed, Diagnostics> {
        AppSpec::from_text(text, Rules::OfFields)
    }

    fn from_text(text: &str, rules: Rules) -> Result<Parsed, Diagnostics> {
        match tree::parse(text) {
            Ok((root, problems)) => AppSpec::from_tree(&root, problems, rules),
            // JSON allows escapes that YAML does not. Problems of such a text have no places.
            Err(problems) if problems.iter().all(|p| p.code == Code::Syntax) => {
                let root: Node = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|_| problems)?;
                AppSpec::from_tree(&root.within_limits()?, Diagnostics::default(), rules)
            }
            Err(problems) => Err(problems),
        }
    }

    /// Reads a spec that an API client sent. The problems have paths but no places.
    ///
    /// Errors: all errors, together with the warnings.
    pub fn from_json_text(text: &str) -> Result<Parsed, Diagnostics> {
        let not_json = |error| Diagnostic::error(Code::Syntax, "", format!("the spec is not JSON: {error}"));
        let root: Node = serde_json::from_str(text).map_err(not_json)?;
        AppSpec::from_tree(&root.within_limits()?, Diagnostics::default(), Rules::All)
    }

    /// Reads a spec from a JSON value, by the same rules. The problems have paths but no places.
    pub fn from_json(value: &serde_json::Value) -> Result<Parsed, Diagnostics> {
        AppSpec::from_tree(&node_of(value).within_limits()?, Diagnostics::default(), Rules::All)
    }

    /// Reads a stored spec, in the form of API responses. Applies no rules, so that a stored spec stays readable with
    /// all its fields after the rules change.
    ///
    /// Errors: anything that the types cannot hold, such as an unknown field, word or type; a missing name, because
    /// every stored spec has one.
    pub fn from_stored(value: &serde_json::Value) -> Result<AppSpec, Diagnostics> {
        let mut reader = Reader::of_stored();
        let spec: Option<AppSpec> = reader.object(&node_of(value));
        if spec.as_ref().is_some_and(|spec| spec.name.is_empty()) {
            reader.problems.push(Diagnostic::error(Code::Missing, "name", "the app has no name"));
        }
        let problems = reader.problems;
        spec.filter(|_| problems.is_empty()).ok_or(problems)
    }

    fn from_tree(root: &Node, problems: Diagnostics, rules: Rules) -> Result<Parsed, Diagnostics> {
        let mut reader = Reader::new(problems);
        let root = unwrapped(root, &mut reader.problems);
        let spec: Option<AppSpec> = reader.object(root);
        let Reader { problems: mut found, places, .. } = reader;
        if let (Some(spec), Rules::All) = (&spec, rules) {
            let mut checks = checks(spec, &found);
            if found.has_errors() || checks.iter().any(Diagnostic::is_error) {
                // Without these, the user would see these errors only after fixing all others.
                let is_wrong = |d: &Diagnostic| found.iter().chain(&checks).any(|f| f.is_error() && f.path == d.path);
                let not_yet = spec.not_yet().into_iter().filter(|d| !is_wrong(d)).collect::<Vec<_>>();
                checks.extend(not_yet);
            }
            places.locate(checks.iter_mut());
            found.extend(checks);
        }
        found.sort();
        found.drop_repetitions();
        match spec {
            Some(spec) if !found.has_errors() => Ok(Parsed { spec, warnings: found, places }),
            _ => Err(found),
        }
    }
}

fn node_of(value: &serde_json::Value) -> Node {
    Node::deserialize(value).expect("every JSON value is a node")
}

/// Which rules to check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// Rules for single fields and rules between fields.
    All,
    /// Rules for single fields only.
    OfFields,
}

/// Problems between fields, without errors that come only from a field that could not be read.
fn checks(spec: &AppSpec, found: &Diagnostics) -> Vec<Diagnostic> {
    let is_inside = |path: &str, outer: &str| {
        path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let could_not_be_read = |outer: &str| {
        found
            .iter()
            .any(|d| d.is_error() && is_inside(&d.path, outer) && (d.code != Code::UnknownField || d.path == outer))
    };
    let mut checks = crate::check::check(spec, found.has_errors());
    checks.retain(|check| {
        let related = check.related.as_ref().is_some_and(|related| could_not_be_read(&related.path));
        !could_not_be_read(&check.path) && !related
    });
    checks
}

/// The spec inside an enclosing `spec:`, the form of `deploy.template.yaml`. Only `x-…` keys may stand beside `spec`.
fn unwrapped<'n>(root: &'n Node, problems: &mut Diagnostics) -> &'n Node {
    let Kind::Mapping(entries) = &root.kind else { return root };
    let Some(spec) = entries.iter().find(|entry| &*entry.key == "spec") else { return root };
    let others = entries.iter().filter(|entry| &*entry.key != "spec" && !entry.key.starts_with("x-"));
    problems.extend(others.map(|Entry { key, key_place, .. }| {
        let message = format!("`{}` does not belong beside `spec`", crate::suggest::shown_key(key));
        let problem = Diagnostic::error(Code::UnknownField, "", message).at(*key_place);
        problem.help("move it under `spec`, or leave it out")
    }));
    &spec.value
}
