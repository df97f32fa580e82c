//! Compares two specs field by field, to show what an update would change.
//!
//! Defaults count as written, so leaving out a default is not a change. A changed secret is reported without its
//! values. A sealed or missing secret never counts as changed, because its value is unknown.

use std::collections::HashMap;
use std::fmt;

use crate::secret::SecretText;
use crate::spec::{AppSpec, EnvValue, EnvVar};
use crate::suggest::shown;
use crate::tree::{Kind, Node};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The path, with names instead of positions where items have names: `services.web.instance_count`. `envs.A (2)` is
    /// the second item named `A`.
    pub path: String,
    /// The old value. `None` if there was none, empty for a value that has fields.
    pub before: Option<String>,
    /// The new value. `None` if there is none, empty for a value that has fields.
    pub after: Option<String>,
}

impl fmt::Display for Change {
    /// `~ services.web.instance_count: 1 → 2`, `+ services.api`, `- services.web.run_command: ./web`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |sign: char, value: &str| match value {
            "" => format!("{sign} {}", self.path),
            value => format!("{sign} {}: {value}", self.path),
        };
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "~ {}: {before} → {after}", self.path),
            (Some(before), None) => f.write_str(&one('-', before)),
            (None, Some(after)) => f.write_str(&one('+', after)),
            (None, None) => Ok(()),
        }
    }
}

/// The differences between `before` and `after`: first in the order of `after`, then what was removed.
pub fn changes(before: &AppSpec, after: &AppSpec) -> Vec<Change> {
    let mut found = Vec::new();
    compare(Some(&comparable(before)), Some(&comparable(after)), "", &mut found);
    found
}

/// Marks the text of a secret during the comparison. No other text in a spec may contain this character.
const SECRET: char = '\0';

/// The completed spec as a tree with every secret marked. A secret whose value is unknown becomes an empty one.
fn comparable(spec: &AppSpec) -> Node {
    let mut spec = spec.completed();
    spec.unseal(&|_, _| Some(SecretText::new("")));
    let fill = |env: &mut EnvVar| {
        if env.value == EnvValue::Missing {
            env.value = EnvValue::Secret(SecretText::new(""));
        }
    };
    spec.envs.iter_mut().for_each(fill);
    spec.components_mut().flat_map(|component| component.envs).for_each(fill);
    spec.to_node(&|_, secret| format!("{SECRET}{}", secret.expose()))
}

/// The text of a secret, empty if its value is unknown. `None` if the node is not a secret.
fn secret(node: &Node) -> Option<&str> {
    if let Kind::Scalar(scalar) = &node.kind { scalar.text.strip_prefix(SECRET) } else { None }
}

fn compare(before: Option<&Node>, after: Option<&Node>, path: &str, found: &mut Vec<Change>) {
    if let (Some(old), Some(new)) = (before.and_then(secret), after.and_then(secret)) {
        if old != new && !old.is_empty() && !new.is_empty() {
            let (before, after) = (Some("(secret)".to_owned()), Some("(another secret)".to_owned()));
            found.push(Change { path: path.to_owned(), before, after });
        }
        return;
    }
    let [old, new] = match (before, after) {
        // The first item of a list, or the last one, is a change of its own.
        (None, Some(list)) if has_names(list) => [Some(Vec::new()), parts(list)],
        (Some(list), None) if has_names(list) => [parts(list), Some(Vec::new())],
        _ => [before.and_then(parts), after.and_then(parts)],
    };
    let (Some(old), Some(new)) = (old, new) else {
        let (before, after) = (before.map(shown_value), after.map(shown_value));
        if before != after {
            found.push(Change { path: path.to_owned(), before, after });
        }
        return;
    };
    let [by_name_before, by_name] = [&old, &new].map(|parts| parts.iter().cloned().collect::<HashMap<_, _>>());
    let removed = old.iter().filter(|(name, _)| !by_name.contains_key(name));
    for (name, _) in new.iter().chain(removed) {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        compare(by_name_before.get(name).copied(), by_name.get(name).copied(), &path, found);
    }
}

/// The fields of an object, or the items of a list keyed by name or else by position.
fn parts(node: &Node) -> Option<Vec<(String, &Node)>> {
    match &node.kind {
        Kind::Mapping(fields) => Some(fields.iter().map(|field| (field.key.to_string(), &field.value)).collect()),
        Kind::Sequence(items) => Some(labelled(items)),
        Kind::Scalar(_) => None,
    }
}

/// The items with their labels. A repeated label gets a number.
fn labelled(items: &[Node]) -> Vec<(String, &Node)> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let numbered = |(index, item): (usize, _)| {
        let label = name(item).map_or_else(|| index.to_string(), str::to_owned);
        let count = counts.entry(label.clone()).and_modify(|count| *count += 1).or_insert(1);
        (if *count > 1 { format!("{label} ({count})") } else { label }, item)
    };
    items.iter().enumerate().map(numbered).collect()
}

/// Whether the node is a list of items with names.
fn has_names(node: &Node) -> bool {
    matches!(&node.kind, Kind::Sequence(items) if items.iter().all(|item| name(item).is_some()))
}

fn name(item: &Node) -> Option<&str> {
    let Kind::Mapping(fields) = &item.kind else { return None };
    match &fields.iter().find(|field| matches!(&*field.key, "name" | "key" | "domain"))?.value.kind {
        Kind::Scalar(scalar) => Some(&scalar.text),
        _ => None,
    }
}

fn shown_value(node: &Node) -> String {
    match &node.kind {
        _ if secret(node).is_some() => "(secret)".to_owned(),
        Kind::Scalar(scalar) => shown(&scalar.text),
        Kind::Sequence(_) | Kind::Mapping(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BEFORE: &str = "
name: shop
services:
- name: web
  git: {repo_clone_url: 'https://example.com/r.git', branch: main}
  envs:
  - {key: A, value: one}
  - {key: TOKEN, value: 'EV[1:a:b]', type: SECRET}
  routes: [{path: /}]
- name: old
  git: {repo_clone_url: 'https://example.com/r.git'}
  routes: [{path: /old}]
";
    const AFTER: &str = "
name: shop
services:
- name: api
  image: {registry_type: GHCR, registry: a, repository: b}
  routes: [{path: /api}]
- name: web
  git: {repo_clone_url: 'https://example.com/r.git'}
  instance_count: 2
  http_port: 8080
  envs:
  - {key: TOKEN, type: SECRET}
  - {key: A, value: two}
  - {key: KEY, value: hunter2, type: SECRET}
  routes: [{path: /}]
";

    fn changed(before: &str, after: &str) -> Vec<String> {
        let read = |text| AppSpec::from_yaml(text).unwrap().spec;
        changes(&read(before), &read(after)).iter().map(Change::to_string).collect()
    }

    #[test]
    fn differences_are_reported_by_names_and_without_secrets() {
        let wanted = [
            "+ services.api",
            "- services.web.git.branch: main",
            "~ services.web.envs.A.value: one → two",
            "+ services.web.envs.KEY",
            "~ services.web.instance_count: 1 → 2",
            "- services.old",
            "~ ingress.rules.0.match.path.prefix: /old → /api",
            "~ ingress.rules.0.component.name: old → api",
        ];
        assert_eq!(changed(BEFORE, AFTER), wanted);
    }

    #[test]
    fn a_changed_secret_is_reported_but_not_shown() {
        let with = |value: &str| BEFORE.replace("EV[1:a:b]", value);
        let wanted = ["~ services.web.envs.TOKEN.value: (secret) → (another secret)"];
        assert_eq!(changed(&with("hunter2"), &with("hunter3")), wanted);
        assert_eq!(changed(&with("hunter2"), &with("hunter2")), [""; 0]);
        assert_eq!(changed(&with("hunter2"), BEFORE), [""; 0], "the old one is not known");
        let plain = with("hunter2").replace(", type: SECRET", "");
        let wanted =
            ["~ services.web.envs.TOKEN.value: (secret) → hunter2", "~ services.web.envs.TOKEN.type: SECRET → GENERAL"];
        assert_eq!(changed(&with("hunter2"), &plain), wanted);
    }

    #[test]
    fn duplicate_items_are_compared_separately() {
        let envs = |envs: &str| BEFORE.replace("  - {key: A, value: one}\n", envs);
        let twice = envs("  - {key: A, value: one}\n  - {key: A, value: two}\n");
        let other = envs("  - {key: A, value: one}\n  - {key: A, value: three}\n");
        assert_eq!(changed(&twice, &other), ["~ services.web.envs.A (2).value: two → three"]);
        assert_eq!(changed(BEFORE, &twice), ["+ services.web.envs.A (2)"]);
        assert_eq!(changed(&twice, BEFORE), ["- services.web.envs.A (2)"]);
    }

    #[test]
    fn the_first_and_the_last_item_of_a_list_are_named() {
        let one = |more: &str| {
            format!(
                "{{name: shop, workers: [{{name: mill, image: {{registry_type: GHCR, registry: a, repository: b}}}}]{more}}}"
            )
        };
        let mill = |more: &str| one("").replace("name: mill,", &format!("name: mill, {more},"));
        let secret = "envs: [{key: A, value: hunter2, type: SECRET}, {key: B, value: hunter3}]";
        for (with, wanted) in [
            (mill(secret), &["workers.mill.envs.A", "workers.mill.envs.B"][..]),
            (one(&format!(", {secret}")), &["envs.A", "envs.B"]),
            (one(", databases: [{name: db, engine: PG}]"), &["databases.db"]),
            (one(", alerts: [{rule: DEPLOYMENT_FAILED}]"), &["alerts"]),
        ] {
            let signed = |sign: char| wanted.iter().map(|it| format!("{sign} {it}")).collect::<Vec<_>>();
            assert_eq!(changed(&one(""), &with), signed('+'), "{with}");
            assert_eq!(changed(&with, &one("")), signed('-'), "{with}");
        }
    }

    #[test]
    fn filling_in_defaults_is_not_a_change() {
        let spec = AppSpec::from_yaml(BEFORE).unwrap().spec;
        assert_eq!(changes(&spec, &spec.completed()), []);
    }
}
