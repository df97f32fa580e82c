//! Values that look as if something were to be replaced in them, and will not be: they stay as text.

use crate::diagnostic::{Code, Diagnostic};
use crate::reference::{Part, parts};
use crate::secret::is_sealed;
use crate::spec::{EnvValue, EnvVar};
use crate::suggest::shown;
use crate::veil::is_secret_name;

/// One warning for a value at most.
pub(super) fn check(path: &str, env: &EnvVar, found: &mut Vec<Diagnostic>) {
    let remark = match &env.value {
        EnvValue::Plain(text) => {
            sealed(&env.key, text).or_else(|| stand_in(&env.key, text)).or_else(|| template(&env.key, text))
        }
        EnvValue::Secret(secret) => {
            stand_in(&env.key, secret.expose()).or_else(|| secret_template(&env.key, secret.expose()))
        }
        EnvValue::Sealed(_) | EnvValue::Missing => None,
    };
    found.extend(remark.map(|(message, help)| {
        let doubtful = Diagnostic::warning(Code::Doubtful, path, message);
        if help.is_empty() { doubtful } else { doubtful.help(help) }
    }));
}

/// What is said, and the advice, which may be empty.
type Remark = Option<(String, &'static str)>;

fn sealed(key: &str, text: &str) -> Remark {
    let message =
        || format!("the value of `{}` is sealed, and without a type it is passed on as it stands", shown(key));
    is_sealed(text).then(|| (message(), "add `type: SECRET`"))
}

/// `<REQUIRED>`, `CHANGE_ME`, `TODO`: what a template's author wanted to be replaced.
fn stand_in(key: &str, text: &str) -> Remark {
    let is_bracketed = text.starts_with('<') && text.ends_with('>') && !text.contains(' ');
    let is_one = is_bracketed || text == "TODO" || text.contains("CHANGE_ME") || text.contains("CHANGEME");
    is_one.then(|| (format!("the value of `{}` looks like a stand-in for the real one", shown(key)), ""))
}

/// Nothing is quoted of a value whose name tells a secret.
fn template(key: &str, text: &str) -> Remark {
    let part = looks_replaceable(text)?;
    let message = match is_secret_name(key) {
        true => format!("the value of `{}` holds what is no reference and stays as text", shown(key)),
        false => format!("`{}` is no reference and stays as text", shown(part)),
    };
    Some((message, FORM))
}

/// A secret is not quoted, and may hold any characters: only one that is all template is told.
fn secret_template(key: &str, text: &str) -> Remark {
    let is_one = looks_replaceable(text) == Some(text) && text.ends_with('}');
    is_one.then(|| (format!("the value of `{}` is a template that nobody replaces", shown(key)), FORM))
}

const FORM: &str = "references are `${NAME}` and `${component.NAME}`";

/// The first `${…}` that is no reference, or `{{ … }}`.
fn looks_replaceable(text: &str) -> Option<&str> {
    parts(text).into_iter().find_map(|part| match part {
        Part::Text(text) => dollar(text).or_else(|| double_braces(text)),
        Part::Reference(_) => None,
    })
}

fn dollar(text: &str) -> Option<&str> {
    let start = text.find("${")?;
    let rest = &text[start..];
    let closing = if rest.starts_with("${{") { "}}" } else { "}" };
    Some(rest.find(closing).map_or(rest, |end| &rest[..end + closing.len()]))
}

/// `{{ name }}` or `{{ .Name }}`; not the braces of other languages.
fn double_braces(text: &str) -> Option<&str> {
    let start = text.find("{{")?;
    let inner = text[start + 2..].trim_start();
    let length = text[start..].find("}}")? + 2;
    inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.' || c == '_').then(|| &text[start..start + length])
}

#[cfg(test)]
mod tests {
    use super::looks_replaceable;

    #[test]
    fn templates_of_other_tools_are_found() {
        let cases = [
            ("${FOO:-bar}", Some("${FOO:-bar}")),
            ("a ${A} ${db.DATABASE_URL", Some("${db.DATABASE_URL")),
            ("x${ db.DATABASE_URL }y", Some("${ db.DATABASE_URL }")),
            ("${{ secrets.S }}", Some("${{ secrets.S }}")),
            ("pre {{ db_url }} post", Some("{{ db_url }}")),
            ("{{.Name}}", Some("{{.Name}}")),
            ("${A} $B $(C) {a} }}", None),
            ("{{1, 2}, {3}}", None),
            ("{{ open", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(looks_replaceable(text), wanted, "{text}");
        }
    }
}
