//! How a spec is read: from a text, from a client's JSON, from what was stored.

use serde::Deserialize;

use super::app::AppSpec;
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::tree::{self, Entry, Kind, Node};
use crate::value::{Places, Reader};

/// A spec that was read, with what there is to say about it.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The spec.
    pub spec: AppSpec,
    /// What was converted or is doubtful.
    pub warnings: Diagnostics,
    places: Places,
}

impl Parsed {
    /// What this version cannot run, each with its place. Not empty: refuse to create the app.
    pub fn not_yet(&self) -> Diagnostics {
        self.located(self.spec.not_yet())
    }

    /// What is kept and returned but changes nothing here, each with its place.
    pub fn no_effect(&self) -> Diagnostics {
        self.located(self.spec.no_effect())
    }

    /// Everything there is to say, errors first: the warnings, what has no effect, what cannot run.
    pub fn remarks(&self) -> Diagnostics {
        let mut remarks = self.warnings.clone();
        remarks.extend(self.spec.no_effect());
        remarks.extend(self.spec.not_yet());
        let components = self.spec.components_with_paths();
        remarks
            .extend(components.filter_map(|(path, component)| crate::build_kind::needs_dockerfile(&path, component)));
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
    /// Reads a spec as people write it: YAML 1.2 or JSON, with or without a `spec:` around it.
    ///
    /// Errors: everything that is wrong, together with the warnings.
    pub fn from_yaml(text: &str) -> Result<Parsed, Diagnostics> {
        AppSpec::from_text(text, Rules::All)
    }

    /// Reads a spec without the rules between fields: fields, their types, limits and forms alone. For looking at a spec,
    /// never for running it.
    ///
    /// Errors: everything that is wrong with single fields, together with the warnings.
    pub fn from_yaml_schema_only(text: &str) -> Result<Parsed, Diagnostics> {
        AppSpec::from_text(text, Rules::OfFields)
    }

    fn from_text(text: &str, rules: Rules) -> Result<Parsed, Diagnostics> {
        match tree::parse(text) {
            Ok((root, problems)) => AppSpec::from_tree(&root, problems, rules),
            // JSON may hold escapes that YAML has not; such a text has no places.
            Err(problems) if problems.iter().all(|p| p.code == Code::Syntax) => {
                let root: Node = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|_| problems)?;
                AppSpec::from_tree(&root.within_limits()?, Diagnostics::default(), rules)
            }
            Err(problems) => Err(problems),
        }
    }

    /// Reads a spec as an API client sent it. The problems have paths but no places.
    ///
    /// Errors: everything that is wrong, together with the warnings.
    pub fn from_json_text(text: &str) -> Result<Parsed, Diagnostics> {
        let not_json = |error| Diagnostic::error(Code::Syntax, "", format!("the spec is not JSON: {error}"));
        let root: Node = serde_json::from_str(text).map_err(not_json)?;
        AppSpec::from_tree(&root.within_limits()?, Diagnostics::default(), Rules::All)
    }

    /// Reads a spec from a JSON value. The same rules; the problems have paths but no places.
    pub fn from_json(value: &serde_json::Value) -> Result<Parsed, Diagnostics> {
        AppSpec::from_tree(&node_of(value).within_limits()?, Diagnostics::default(), Rules::All)
    }

    /// Reads a spec as it is stored and as the API answers it. No rule is applied, so that what was stored stays readable,
    /// with all its fields, whatever rules come later.
    ///
    /// Errors: what this version has no place for, such as a field, a word or a type that it does not know; no name, without
    /// which nothing was ever stored.
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
                // Otherwise it would only be found once everything else is right.
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

/// Which rules a spec is held against.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// Those of single fields and those between fields.
    All,
    /// Those of single fields.
    OfFields,
}

/// What is wrong between fields, but for errors that come only from a field that could not be read.
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

/// The spec in a mapping with `spec:`, the form of `deploy.template.yaml`. Nothing but `x-…` may stand beside it.
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
