//! CORS policies: each origin is given in exactly one way.

use crate::diagnostic::{Code, Diagnostic};
use crate::spec::{AppSpec, Cors, StringMatch};

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    let rules = spec.ingress.iter().flat_map(|ingress| &ingress.rules).enumerate();
    for (i, rule) in rules {
        origins(&format!("ingress.rules[{i}].cors"), rule.cors.as_ref(), found);
    }
    for (path, component) in spec.components_with_paths() {
        origins(&format!("{path}.cors"), component.cors(), found);
    }
}

/// The most memory that one expression may take.
const PATTERN_BYTES: usize = 256 * 1024;

/// Compiles the regular expression of an allowed origin. It has to match the whole origin, as on App Platform, and takes
/// time linear in the length of the origin.
///
/// # Errors
/// The text is not a regular expression, or takes too much memory.
pub fn origin_pattern(text: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(&format!("^(?:{text})$")).size_limit(PATTERN_BYTES).build()
}

fn origins(path: &str, cors: Option<&Cors>, found: &mut Vec<Diagnostic>) {
    for (i, StringMatch { exact, prefix, regex }) in cors.iter().flat_map(|cors| &cors.allow_origins).enumerate() {
        let count = [exact, prefix, regex].into_iter().filter(|given| given.is_some()).count();
        if count != 1 {
            let code = if count == 0 { Code::Missing } else { Code::Conflict };
            let message = format!("an origin needs exactly one of `exact`, `prefix` and `regex`, found {count}");
            found.push(Diagnostic::error(code, format!("{path}.allow_origins[{i}]"), message));
        }
        if let Some(Err(error)) = regex.as_deref().map(origin_pattern) {
            let message = match error {
                regex::Error::CompiledTooBig(_) => "the expression needs too much memory",
                _ => "this is not a regular expression that can be used here",
            };
            let problem = Diagnostic::error(Code::BadFormat, format!("{path}.allow_origins[{i}].regex"), message);
            found.push(problem.help("the syntax is that of RE2: no look-around and no back-references"));
        }
    }
}
