//! Reads objects and reports unknown fields.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Field, Object, Reader, Shape, form};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::suggest::{nearest, one_of, shown_key};
use crate::tree::{Entry, Kind, Node, Plain};

impl Reader {
    /// Reads an object and reports every unknown field.
    pub fn object<T: Object>(&mut self, node: &Node) -> Option<T> {
        let Kind::Mapping(entries) = &node.kind else {
            self.not_an_object::<T>(node);
            return None;
        };
        self.enclosing.push(T::fields());
        let mut object = T::default();
        let mut given: Vec<&str> = Vec::new();
        let last = self.last_of_each(entries);
        for (_, entry) in entries.iter().enumerate().filter(|(i, entry)| last[&*entry.key] == *i) {
            let name = if object.read_field(entry, self) {
                Some(&*entry.key)
            } else {
                self.unknown_field(&mut object, entry, entries)
            };
            given.extend(name.filter(|name| !is_absent(&entry.value, T::fields(), name)));
        }
        self.report_missing::<T>(&given, node);
        object.finish(T::WHAT, node, self);
        self.enclosing.pop();
        Some(object)
    }

    /// The position of the last entry of each key. As on the platform, a duplicate key is only a warning.
    fn last_of_each<'e>(&mut self, entries: &'e [Entry]) -> HashMap<&'e str, usize> {
        let mut last = HashMap::with_capacity(entries.len());
        for (i, entry) in entries.iter().enumerate() {
            let Some(before) = last.insert(&*entry.key, i) else { continue };
            self.hide(&entries[before].value);
            let name = shown_key(&entry.key);
            let line = entries[before].key_place.map(|place| format!(", first in line {}", place.line));
            let message = format!("`{name}` is given twice{}; the last one applies", line.unwrap_or_default());
            let twice = Diagnostic::warning(Code::DuplicateKey, self.path_of(&name), message).at(entry.key_place);
            self.report(twice.related("", entries[before].key_place, "first given here").help("keep one of them"));
        }
        last
    }

    fn not_an_object<T: Object>(&mut self, node: &Node) {
        self.hide(node);
        let message = format!("expected {} (a mapping of fields), found {}", T::WHAT, node.what());
        let problem = Diagnostic::error(Code::WrongType, "", message).at(self.place_of(node));
        self.report(match &node.kind {
            Kind::Sequence(_) => problem.help("leave out the `- ` before the fields"),
            Kind::Mapping(_) | Kind::Scalar(_) => {
                let fields = T::fields().iter().take(MOST_FIELDS).map(|field| format!("`{}`", field.name));
                problem.help(format!("its fields are {}", fields.collect::<Vec<_>>().join(", ")))
            }
        });
    }

    fn report_missing<T: Object>(&mut self, given: &[&str], node: &Node) {
        let path = self.path();
        let is_missing = |field: &&Field| field.rule.required && !given.contains(&field.name);
        let missing: Vec<&str> = T::fields().iter().filter(is_missing).map(|field| field.name).collect();
        let start = node.place.map(|p| Place { end: p.start, ..p });
        let mut report = |path: String, names: &str| {
            let message = format!("{} needs `{names}`", T::WHAT);
            self.report(Diagnostic::error(Code::Missing, path, message).at(start));
        };
        if given.is_empty() && missing.len() > 1 {
            return report(path, &missing.join("`, `"));
        }
        for name in missing {
            report(if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }, name);
        }
    }

    /// Reports an unknown field. If it looks like a misspelt field, reads its value as that field, so that all errors
    /// are reported at once, and returns the field's name.
    fn unknown_field<T: Object>(&mut self, object: &mut T, entry: &Entry, all: &[Entry]) -> Option<&'static str> {
        let is_extension = self.is_at_root() && entry.key.starts_with("x-");
        if is_extension {
            return None;
        }
        if let Err(complaint) = form::unsubstituted(&entry.key) {
            self.report(complaint.into_problem(self.path()).at(entry.key_place));
            return None;
        }
        let shown = shown_key(&entry.key);
        if shown != *entry.key {
            self.hide_place(entry.key_place);
        }
        let message = format!("{} has no field `{shown}`", T::WHAT);
        let problem = Diagnostic::error(Code::UnknownField, self.path(), message).at(entry.key_place);
        let Some(near) = nearest(&entry.key, T::fields().iter().map(|f| f.name)) else {
            self.hide(&entry.value);
            let help = self.where_it_belongs::<T>(entry);
            self.report(help.into_iter().fold(problem, Diagnostic::help));
            return None;
        };
        if all.iter().any(|entry| *entry.key == *near) {
            self.hide(&entry.value);
            self.report(problem.help(format!("`{near}` is given too; remove this one")));
            return None;
        }
        self.report(problem.help(format!("did you mean `{near}`?")));
        object.read_field(&Entry { key: Arc::from(near), ..entry.clone() }, self);
        Some(near)
    }

    /// Advice on which object has a field of that name.
    fn where_it_belongs<T: Object>(&self, entry: &Entry) -> Option<String> {
        let name = &*entry.key;
        let has = |fields: &[Field]| fields.iter().any(|field| field.name == name);
        if ANYWHERE.contains(&name) {
            return None;
        }
        let inner = T::fields().iter().filter(|field| has(field.shape.fields()));
        let inner: Vec<String> = inner.map(|field| format!("`{}`", field.name)).collect();
        if (1..=MOST_OWNERS).contains(&inner.len()) {
            return Some(format!("`{name}` belongs under {}", one_of(inner.iter().map(String::as_str))));
        }
        let outer = self.enclosing.iter().rev().nth(1)?;
        let object = self.field_name().filter(|object| has(outer) && *object != name)?;
        Some(format!("`{name}` belongs one level up, beside `{object}`"))
    }
}

/// Fields that occur in too many objects to suggest one of them.
const ANYWHERE: [&str; 5] = ["id", "key", "name", "type", "value"];

/// The most objects named in one message.
const MOST_OWNERS: usize = 3;

/// The most fields named in one message.
const MOST_FIELDS: usize = 8;

/// Whether a value counts as absent: null, empty text, or 0 for a number field. Clients leave such fields out.
fn is_absent(node: &Node, fields: &[Field], name: &str) -> bool {
    let Kind::Scalar(scalar) = &node.kind else { return false };
    let is_integer = fields.iter().any(|field| field.name == name && matches!(field.shape, Shape::Integer));
    node.is_null() || scalar.text.is_empty() || is_integer && Plain::of(&scalar.text) == Plain::Integer(0)
}
