//! Values that look like templates but that nothing replaces, so they stay as text.

use crate::diagnostic::{Code, Diagnostic};
use crate::reference::{Part, parts};
use crate::secret::is_sealed;
use crate::spec::{EnvValue, EnvVar};
use crate::suggest::shown;

/// Adds at most one warning per value.
pub(super) fn check(path: &str, env: &EnvVar, found: &mut Vec<Diagnostic>) {
    let remark = match &env.value {
        EnvValue::Plain(text) => sealed(&env.key, text).or_else(|| template(text)),
        EnvValue::Secret(secret) => secret_template(&env.key, secret.expose()),
        EnvValue::Sealed(_) | EnvValue::Missing => None,
    };
    found.extend(remark.map(|(message, help)| Diagnostic::warning(Code::Doubtful, path, message).help(help)));
}

/// A message and its advice.
type Remark = Option<(String, &'static str)>;

fn sealed(key: &str, text: &str) -> Remark {
    let message = || {
        format!(
            "the value of `{}` is sealed, and without `type: SECRET` the sealed text itself is passed on",
            shown(key)
        )
    };
    is_sealed(text).then(|| (message(), "add `type: SECRET`"))
}

fn template(text: &str) -> Remark {
    let found = templates(text);
    let quoted: Vec<String> = found.iter().take(MOST_QUOTED).map(|part| format!("`{}`", shown(part))).collect();
    let message = match found.len() {
        0 => return None,
        1 => format!("{} is not a reference and stays as text", quoted[0]),
        _ => format!("{} are not references and stay as text", quoted.join(", ")),
    };
    Some((message, FORM))
}

/// The most templates quoted in one message.
const MOST_QUOTED: usize = 5;

/// Reports a secret only if the whole value is a template. A message never quotes a secret, and a secret may contain
/// any characters.
fn secret_template(key: &str, text: &str) -> Remark {
    let is_template = templates(text) == [text] && text.ends_with('}');
    is_template.then(|| (format!("the value of `{}` is a template that nothing replaces", shown(key)), FORM))
}

const FORM: &str = "references are `${NAME}` and `${component.NAME}`";

/// Every `${…}` that is not a reference, and every `{{ … }}`.
fn templates(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for part in parts(text) {
        let Part::Text(mut text) = part else { continue };
        while let Some(template) = dollar(text).or_else(|| double_braces(text)) {
            found.push(template);
            text = &text[text.find(template).map_or(0, |at| at + template.len())..];
        }
    }
    found
}

fn dollar(text: &str) -> Option<&str> {
    let start = text.find("${")?;
    let rest = &text[start..];
    let closing = if rest.starts_with("${{") { "}}" } else { "}" };
    Some(rest.find(closing).map_or(rest, |end| &rest[..end + closing.len()]))
}

/// Finds `{{ name }}` or `{{ .Name }}`, but not the braces of other languages.
fn double_braces(text: &str) -> Option<&str> {
    let start = text.find("{{")?;
    let inner = text[start + 2..].trim_start();
    let length = text[start..].find("}}")? + 2;
    inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.' || c == '_').then(|| &text[start..start + length])
}

#[cfg(test)]
mod tests {
    use super::templates;

    #[test]
    fn templates_of_other_tools_are_found() {
        let cases: [(&str, &[&str]); 8] = [
            ("${FOO:-bar} ${FOO:-baz}", &["${FOO:-bar}", "${FOO:-baz}"]),
            ("a ${A} ${db.DATABASE_URL", &["${db.DATABASE_URL"]),
            ("x${ db.DATABASE_URL }y", &["${ db.DATABASE_URL }"]),
            ("${{ secrets.S }}", &["${{ secrets.S }}"]),
            ("pre {{ db_url }} post", &["{{ db_url }}"]),
            ("${A} $B $(C) {a} }}", &[]),
            ("{{1, 2}, {3}}", &[]),
            ("{{ open", &[]),
        ];
        for (text, wanted) in cases {
            assert_eq!(templates(text), wanted, "{text}");
        }
    }
}
