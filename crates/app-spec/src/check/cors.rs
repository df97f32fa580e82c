//! CORS policies: each origin is given in exactly one way, and its regular expression is well formed.

use crate::diagnostic::{Code, Diagnostic};
use crate::spec::{AppSpec, Component, Cors, StringMatch};
use crate::suggest::shown;

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    let rules = spec.ingress.iter().flat_map(|ingress| &ingress.rules).enumerate();
    for (i, rule) in rules {
        origins(&format!("ingress.rules[{i}].cors"), rule.cors.as_ref(), found);
    }
    for (path, component) in spec.components_with_paths() {
        let cors = match component {
            Component::Service(service) => service.cors.as_ref(),
            Component::StaticSite(site) => site.cors.as_ref(),
            Component::Function(function) => function.cors.as_ref(),
            Component::Worker(_) | Component::Job(_) => None,
        };
        origins(&format!("{path}.cors"), cors, found);
    }
}

fn origins(path: &str, cors: Option<&Cors>, found: &mut Vec<Diagnostic>) {
    for (i, origin) in cors.iter().flat_map(|cors| &cors.allow_origins).enumerate() {
        let StringMatch { exact, prefix, regex } = origin;
        let count = [exact, prefix, regex].into_iter().filter(|given| given.is_some()).count();
        if count != 1 {
            let code = if count == 0 { Code::Missing } else { Code::Conflict };
            let message = format!("an origin is given in exactly one way, here are {count}");
            let diagnostic = Diagnostic::error(code, format!("{path}.allow_origins[{i}]"), message);
            found.push(diagnostic.help("one of `exact`, `prefix`, `regex`"));
        }
        if let Some(regex) = regex.as_deref().filter(|regex| !closes_what_it_opens(regex)) {
            let message = format!("`{}` is no regular expression: a bracket has no partner", shown(regex));
            found.push(Diagnostic::error(Code::BadFormat, format!("{path}.allow_origins[{i}].regex"), message));
        }
    }
}

/// Whether all groups and character classes are closed. This is all that can be checked without parsing the expression.
fn closes_what_it_opens(regex: &str) -> bool {
    let (mut groups, mut in_class) = (0_u32, false);
    let mut characters = regex.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => _ = characters.next(),
            ']' if in_class => in_class = false,
            _ if in_class => {}
            '[' => {
                in_class = true;
                // A `]` at the start of a class, or after `^`, is a literal character.
                characters.next_if_eq(&'^');
                characters.next_if_eq(&']');
            }
            '(' => groups += 1,
            ')' if groups == 0 => return false,
            ')' => groups -= 1,
            _ => {}
        }
    }
    groups == 0 && !in_class
}

#[cfg(test)]
mod tests {
    use super::closes_what_it_opens;

    #[test]
    fn brackets_of_a_regular_expression_must_be_closed() {
        for good in ["", "^https://(www|app)\\.example\\.com$", "[^]()]+", "\\(", "a]", "[(]"] {
            assert!(closes_what_it_opens(good), "{good}");
        }
        for bad in ["(", "a)", "([a-z]", "[", "[]", "(\\)"] {
            assert!(!closes_what_it_opens(bad), "{bad}");
        }
    }
}
