//! How a spec is read: strictly, leniently, or by its form alone, from a text or from a client's JSON.

use super::app::AppSpec;
use super::outer::{gathered, of_another_tool};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::repeated::repeated_keys;
use crate::tree::{self, Node};
use crate::veil;
use crate::wire::misread::Misread;
use crate::wire::{Leniency, Places, Reader};

/// A spec that was read, with what there is to say about it.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The spec.
    pub spec: AppSpec,
    /// What was converted or is doubtful. Errors are among them after a lenient reading alone: what is wrong and was
    /// kept.
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

    /// Everything there is to say, in the order of the text: the warnings, what has no effect, what cannot run.
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
    /// Reads a spec as people write it: YAML 1.2 or JSON, with or without a `spec:` around it.
    ///
    /// Errors: everything that is wrong, in the order of the text, together with the warnings.
    pub fn from_yaml(text: &str) -> Result<Parsed, Diagnostics> {
        AppSpec::from_text(text, Leniency::Strict)
    }

    /// Reads what can be read: what would refuse the spec is left out, mended or left as it is, and each such thing is
    /// among the warnings with its [`Remedy`](crate::Remedy); what is left as it is stays an error. For looking at a
    /// spec, never for running it.
    ///
    /// Errors: the text is no YAML, breaks a limit, is not a mapping at all, or is a file of another tool.
    pub fn from_yaml_leniently(text: &str) -> Result<Parsed, Diagnostics> {
        AppSpec::from_text(text, Leniency::Lenient)
    }

    /// Reads a spec as a client reads it that knows the fields and their types and leaves the rules to the server: a word
    /// that is not allowed, a name that breaks the rule, a missing source or a template still to be filled in is a
    /// warning, and the value may be left out. For looking at a spec, never for running it.
    ///
    /// Errors: what has the wrong form, [`Code::is_of_form`], with everything else as warnings.
    pub fn from_yaml_schema_only(text: &str) -> Result<Parsed, Diagnostics> {
        AppSpec::from_text(text, Leniency::SchemaOnly)
    }

    fn from_text(text: &str, leniency: Leniency) -> Result<Parsed, Diagnostics> {
        let mut outcome = AppSpec::from_yaml_or_json(text, leniency);
        let found = match &mut outcome {
            Ok(parsed) => &mut parsed.warnings,
            Err(problems) => problems,
        };
        veil::hide_comments_behind(text, &mut found.hidden);
        found.quote_first_lines(text);
        found.point_at_references(text);
        outcome
    }

    fn from_yaml_or_json(text: &str, leniency: Leniency) -> Result<Parsed, Diagnostics> {
        match tree::parse(text) {
            Ok((root, mut problems)) => {
                problems.hidden.extend(veil::credentials(text));
                problems.hidden.extend(veil::comments_for_values(text));
                AppSpec::from_tree(&root, problems, leniency)
                    .map_err(|problems| tree::misleading(text).unwrap_or(problems))
            }
            // JSON may hold escapes that YAML has not; such a text has no places.
            Err(problems) if problems.iter().all(|p| p.code == Code::Syntax) => {
                AppSpec::from_json_parts(text.trim_start_matches('\u{feff}'), leniency).unwrap_or(Err(problems))
            }
            Err(problems) => Err(problems),
        }
    }

    /// Reads a spec as an API client sent it: JSON, where a key that is given twice is an error, too. The problems have
    /// paths but no places.
    ///
    /// Errors: everything that is wrong, together with the warnings.
    pub fn from_json_text(text: &str) -> Result<Parsed, Diagnostics> {
        let no_json = |error| Diagnostic::error(Code::Syntax, "", format!("the spec is not JSON: {error}"));
        AppSpec::from_json_parts(text, Leniency::Strict).unwrap_or_else(|error| Err(no_json(error).into()))
    }

    /// The outer error: the text is no JSON.
    fn from_json_parts(text: &str, leniency: Leniency) -> serde_json::Result<Result<Parsed, Diagnostics>> {
        let json = serde_json::from_str(text)?;
        let read = |tree| AppSpec::from_tree(&tree, repeated_keys(text), leniency);
        Ok(tree::from_json(&json).map_err(Diagnostics::from).and_then(read))
    }

    /// Reads a spec from a JSON value. The same rules; the problems have paths but no places.
    pub fn from_json(value: &serde_json::Value) -> Result<Parsed, Diagnostics> {
        AppSpec::from_tree(&tree::from_json(value)?, Diagnostics::default(), Leniency::Strict)
    }

    /// Reads a spec as it is stored and as the API answers it. It is held against no rule: whatever checks come later, what
    /// was stored stays readable, with all its fields.
    ///
    /// Errors: what this version has no place for, such as a field, a word or a type that it does not know; no name, without
    /// which nothing was ever stored.
    pub fn from_stored(value: &serde_json::Value) -> Result<AppSpec, Diagnostics> {
        let mut reader = Reader::new(Leniency::Stored, Diagnostics::default());
        let spec: Option<AppSpec> = reader.object(&tree::from_stored(value)?);
        if spec.as_ref().is_some_and(|spec| spec.name.is_empty()) {
            reader.report(Diagnostic::error(Code::Missing, "name", "the app has no name"));
        }
        let mut problems = reader.problems;
        problems.harden();
        spec.filter(|_| problems.is_empty()).ok_or(problems)
    }

    fn from_tree(root: &Node, problems: Diagnostics, leniency: Leniency) -> Result<Parsed, Diagnostics> {
        let mut reader = Reader::new(leniency, problems);
        reader.problems.hidden.extend(veil::secrets(root));
        if let Some(problem) = of_another_tool(root) {
            return Err(Diagnostics::refusal(problem, reader.problems.hidden));
        }
        let (root, apart) = gathered(root);
        reader.problems.extend(apart);
        let spec: Option<AppSpec> = reader.object(&root);
        let Reader { problems: mut found, places, lost_items, misread, .. } = reader;
        let of_text = |d: &&mut Diagnostic| TEXTUAL.contains(&d.code);
        places.name(found.iter_mut().filter(of_text));
        // Where items are lost, positions are not those of the text.
        if !lost_items {
            let mut checks = checks(spec.as_ref().unwrap_or(&AppSpec::default()), &found, &misread);
            if leniency == Leniency::Strict && (found.has_errors() || checks.iter().any(Diagnostic::is_error)) {
                // Whoever mends the rest should not find out only then that it cannot run.
                let is_wrong = |d: &Diagnostic| found.iter().chain(&checks).any(|f| f.is_error() && f.path == d.path);
                let not_yet = spec.iter().flat_map(AppSpec::not_yet).filter(|d| !is_wrong(d)).collect::<Vec<_>>();
                checks.extend(not_yet);
            }
            places.locate(checks.iter_mut());
            found.extend(checks);
        }
        found.sort();
        found.tell_once();
        match (leniency, &spec) {
            (Leniency::Lenient, Some(_)) => found.soften(),
            (Leniency::SchemaOnly, Some(_)) => found.keep_to_form(),
            (Leniency::Lenient | Leniency::SchemaOnly, None) | (Leniency::Strict | Leniency::Stored, _) => {
                found.harden()
            }
        }
        match spec {
            Some(spec) if leniency == Leniency::Lenient || !found.has_errors() => {
                Ok(Parsed { spec, warnings: found, places })
            }
            _ => Err(found),
        }
    }
}

/// What is wrong between fields, unless it is so only because something could not be read. Of a template that the text
/// itself shows to be one, no field need say more.
fn checks(spec: &AppSpec, found: &Diagnostics, misread: &Misread) -> Vec<Diagnostic> {
    let is_told = |d: &Diagnostic| found.iter().any(|f| f.code == Code::Unsubstituted && f.path == d.path);
    let mut checks = crate::check::check(spec, found.has_errors());
    checks.retain(|check| !misread.explains(check) && !is_told(check));
    checks
}

/// What is found in the text before anyone knows a field.
const TEXTUAL: [Code; 3] = [Code::DuplicateKey, Code::TagNotAllowed, Code::Unsubstituted];

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::wire::{Shape, Wire};

    /// A value that no rule allows, with every field that there is; of the five sources, of which one is read, the last.
    fn filled(shape: &Shape) -> Value {
        match shape {
            Shape::Text => "§ like no rule ".repeat(400).into(),
            Shape::Boolean => true.into(),
            Shape::Integer => 64_999.into(),
            Shape::Number => json!(0.5),
            Shape::Word(words) => words.first().copied().into(),
            Shape::List(items) => json!([filled(items), filled(items)]),
            Shape::Object(fields) => {
                let is_read = |name: &str| !["git", "github", "gitlab", "bitbucket"].contains(&name);
                let fields = fields.iter().filter(|field| is_read(field.name));
                fields.map(|field| (field.name.to_owned(), filled(&field.shape))).collect::<Map<_, _>>().into()
            }
        }
    }

    #[test]
    fn every_field_of_a_stored_spec_is_read_whatever_it_holds() {
        let stored = filled(&AppSpec::shape());
        let spec = AppSpec::from_stored(&stored).expect("no rule holds");
        assert_eq!(spec.to_json_value(&|_, secret| secret.expose().to_owned()), stored);
    }
}
