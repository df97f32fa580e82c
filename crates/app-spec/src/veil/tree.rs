//! Secrets in a text that was parsed, by the fields around them.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use super::{is_secret_name, name_in};
use crate::address::RepoAddress;
use crate::suggest::{flat, nearest};
use crate::tree::{Entry, Kind, Node};
use crate::wire::form::may_hold_login;

/// Names that are looked at closely. A text with more of them is no spec, and all others count as secret.
const MOST_NAMES: usize = 500;

/// Objects that are there for the secret in them.
const KEYED: [&str; 2] = ["datadog", "logtail"];

/// Fields that hold a repository, or its address in place of it.
const REPOSITORIES: [&str; 4] = ["git", "github", "gitlab", "bitbucket"];

/// The byte ranges of all values that are secrets or may be.
pub(crate) fn secrets(root: &Node) -> Vec<Range<usize>> {
    let mut search = Search { hidden: Vec::new(), names: HashMap::new() };
    // A bare text may be anything.
    search.walk(root, if matches!(root.kind, Kind::Scalar(_)) { Role::Secret } else { Role::Open });
    search.hidden
}

/// What a name makes of the value below it.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Open,
    /// The address of a repository. One that is refused may hold a login in a place that nothing tells.
    Address,
    /// Environment variables, in whatever form.
    Variables,
    /// Headers, in whatever form: whose value is often a token.
    Headers,
    /// A list of objects; where a text stands in place of one, it may be the secret that belongs in it.
    Destinations,
    Secret,
}

/// What must not be shown of an address that is refused: what stands before its last `@` and behind a `?` or `#`; without
/// any of them, or where the text is written with escapes, all of it.
fn hidden_in_address(text: &str, place: Range<usize>) -> Vec<Range<usize>> {
    if !may_hold_login(text) || RepoAddress::parse(text).is_ok() {
        return Vec::new();
    }
    let quotes = place.len().saturating_sub(text.len());
    let login = text.rfind('@').map(|end| text.find("://").map_or(0, |scheme| scheme + 3).min(end)..end);
    let query = text.find(['?', '#']).map(|start| start..text.len());
    if !matches!(quotes, 0 | 2) || (login.is_none() && query.is_none()) {
        return vec![place];
    }
    let start = place.start + quotes / 2;
    login.into_iter().chain(query).map(|hidden| start + hidden.start..start + hidden.end).collect()
}

struct Search {
    hidden: Vec<Range<usize>>,
    names: HashMap<Rc<str>, Role>,
}

impl Search {
    fn walk(&mut self, node: &Node, role: Role) {
        if let Kind::Mapping(entries) = &node.kind {
            entries.iter().for_each(|entry| self.key(entry));
        }
        match (&node.kind, role) {
            (Kind::Scalar(_), Role::Open) => {}
            (Kind::Scalar(scalar), Role::Address) => {
                let place = node.place.map(|p| p.start..p.end);
                self.hidden.extend(place.into_iter().flat_map(|place| hidden_in_address(&scalar.text, place)));
            }
            (Kind::Scalar(_), Role::Secret | Role::Destinations | Role::Headers) => {
                self.hidden.extend(node.place.map(|p| p.start..p.end))
            }
            (Kind::Scalar(scalar), Role::Variables) => {
                let named = scalar.text.find('=').map_or(0, |at| at + 1);
                self.hidden.extend(node.place.map(|p| (p.start + named).min(p.end)..p.end));
            }
            (Kind::Sequence(items), _) => items.iter().for_each(|item| self.walk(item, role)),
            (Kind::Mapping(entries), Role::Open | Role::Address | Role::Destinations) => self.fields(entries),
            (Kind::Mapping(entries), Role::Variables) => self.variable(entries),
            (Kind::Mapping(entries), Role::Headers) => self.header(entries),
            (Kind::Mapping(entries), Role::Secret) => {
                for entry in entries.iter() {
                    self.hidden.extend(entry.key_place.map(|p| p.start..p.end));
                    self.walk(&entry.value, Role::Secret);
                }
            }
        }
    }

    /// A value may be glued to a key, or stand where a key belongs.
    fn key(&mut self, entry: &Entry) {
        let name = if false { "" } else { name_in(&entry.key) };
        if name.len() < entry.key.len() {
            self.hidden.extend(entry.key_place.map(|p| (p.start + name.len()).min(p.end)..p.end));
        }
    }

    fn fields(&mut self, entries: &[Entry]) {
        // A header, or what belongs to a variable; an alert has a number.
        let is_alert = entries.iter().any(|e| matches!(&*e.key, "rule" | "operator"));
        for entry in entries {
            let is_value = !is_alert && nearest(&entry.key, ["value"]).is_some();
            let is_odd = name_in(&entry.key).len() < entry.key.len();
            let role = if is_value || is_odd { Role::Secret } else { self.role(&entry.key) };
            self.walk(&entry.value, role);
        }
    }

    /// `{key, value, type}`, or else a mapping from names to values.
    fn variable(&mut self, entries: &[Entry]) {
        let is_item = entries.iter().any(|e| matches!(&*flat(&e.key), "key" | "name" | "value" | "scope" | "type"));
        let is_named = entries.iter().any(|e| nearest(&e.key, ["key", "name"]).is_some());
        let is_secret = !is_item || !is_named || entries.iter().any(|entry| self.tells_secret(entry));
        for entry in entries {
            let is_open = is_item && nearest(&entry.key, ["key", "name", "scope", "type"]).is_some();
            let is_value = is_secret || !matches!(entry.value.kind, Kind::Scalar(_));
            if is_open {
                self.hide_behind_name(&entry.value);
            }
            let role = match is_open {
                true => Role::Open,
                false if is_value => Role::Secret,
                false => self.role(&entry.key),
            };
            self.walk(&entry.value, role);
        }
    }

    /// `{key, value}`, or else a mapping from names to values.
    fn header(&mut self, entries: &[Entry]) {
        for entry in entries {
            let is_open = nearest(&entry.key, ["key", "name", "remove_header"]).is_some();
            if is_open {
                self.hide_behind_name(&entry.value);
            }
            self.walk(&entry.value, if is_open { Role::Open } else { Role::Secret });
        }
    }

    /// A value may be glued to the name of its variable.
    fn hide_behind_name(&mut self, node: &Node) {
        let Kind::Scalar(scalar) = &node.kind else { return };
        let name = name_in(&scalar.text).len();
        if name < scalar.text.len() {
            // A quote may stand before it.
            self.hidden.extend(node.place.map(|p| (p.start + name + 1).min(p.end)..p.end));
        }
    }

    /// Whether an entry says that the variable beside it is secret, in whatever spelling.
    fn tells_secret(&mut self, entry: &Entry) -> bool {
        let text = if let Kind::Scalar(scalar) = &entry.value.kind { &*scalar.text } else { "[]" };
        if nearest(&entry.key, ["key", "name"]).is_some() {
            return self.role(text) == Role::Secret;
        }
        match &*flat(&entry.key) {
            "scope" | "value" => false,
            "type" => !text.is_empty() && !entry.value.is_null() && !text.eq_ignore_ascii_case("GENERAL"),
            other => {
                let names_secret = ["secr", "encr", "sens"].iter().any(|stem| other.contains(stem));
                names_secret || nearest(text, ["secret"]).is_some() || nearest(other, ["type"]).is_some()
            }
        }
    }

    fn role(&mut self, name: &str) -> Role {
        if let Some(role) = self.names.get(name) {
            return *role;
        }
        if self.names.len() >= MOST_NAMES {
            return Role::Secret;
        }
        let role = match is_secret_name(name) || nearest(name, KEYED).is_some() {
            true => Role::Secret,
            false if nearest(name, ["envs"]).is_some() => Role::Variables,
            false if REPOSITORIES.contains(&name) || nearest(name, ["repo_clone_url"]).is_some() => Role::Address,
            false if nearest(name, ["headers", "secure_header"]).is_some() => Role::Headers,
            false if nearest(name, ["log_destinations"]).is_some() => Role::Destinations,
            false => Role::Open,
        };
        self.names.insert(Rc::from(name), role);
        role
    }
}
