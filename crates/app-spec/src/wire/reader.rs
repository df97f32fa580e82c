//! The reader: walks the located tree, knows where it is, collects every problem.

use std::collections::HashMap;

use super::{Field, Object, Rule};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Place};
use crate::suggest::{nearest, shown};
use crate::tree::{Entry, Kind, Node};

/// Walks a tree and collects problems.
#[derive(Default)]
pub(crate) struct Reader {
    path: Vec<Step>,
    pub problems: Diagnostics,
    pub places: Places,
    /// An object of a list could not be read at all, so that positions in the result are not those in the text.
    pub lost_items: bool,
}

enum Step {
    Field(&'static str),
    Item(usize),
}

impl Reader {
    /// Where the reader stands, as in `services[0].http_port`.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => path.push_str(&format!(".{name}")),
                Step::Item(index) => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }

    /// Reads the value of a field.
    pub fn field<T>(&mut self, name: &'static str, entry: &Entry, read: impl FnOnce(&mut Reader) -> T) -> T {
        self.path.push(Step::Field(name));
        self.remember(&entry.value, entry.key_place);
        let value = read(self);
        self.path.pop();
        value
    }

    /// Reads an item of a list.
    pub fn item<T>(&mut self, index: usize, node: &Node, read: impl FnOnce(&mut Reader) -> T) -> T {
        self.path.push(Step::Item(index));
        self.remember(node, None);
        let value = read(self);
        self.path.pop();
        value
    }

    fn remember(&mut self, node: &Node, key_place: Option<Place>) {
        let written = node.place.filter(|p| p.end > p.start && matches!(node.kind, Kind::Scalar(_)));
        if let Some(place) = written.or(key_place).or(node.place) {
            self.places.0.insert(self.path(), place);
        }
    }

    /// Reports a problem with the value at hand.
    pub fn report(&mut self, mut diagnostic: Diagnostic) {
        if diagnostic.path.is_empty() {
            diagnostic.path = self.path();
        }
        if diagnostic.place.is_none() {
            diagnostic.place = self.places.nearest(&diagnostic.path);
        }
        self.problems.push(diagnostic);
    }

    pub fn wrong_type(&mut self, wanted: &str, node: &Node) {
        self.report(Diagnostic::error(Code::WrongType, "", format!("expected {wanted}, found {}", node.what())));
    }

    /// Reads an object: every field it knows, a problem for every field it does not.
    pub fn object<T: Object>(&mut self, node: &Node) -> Option<T> {
        let Kind::Mapping(entries) = &node.kind else {
            self.not_an_object::<T>(node);
            return None;
        };
        let mut object = T::default();
        for entry in entries.iter() {
            if !object.read_field(entry, self) {
                self.unknown_field::<T>(entry);
            }
        }
        for field in T::fields().iter().filter(|f| f.rule.required) {
            let given = entries.iter().any(|e| &*e.key == field.name && !is_absent(&e.value));
            if !given {
                self.missing::<T>(field.name, node);
            }
        }
        object.finish(node, self);
        Some(object)
    }

    fn not_an_object<T: Object>(&mut self, node: &Node) {
        let message = format!("expected {} (a mapping of fields), found {}", T::WHAT, node.what());
        let diagnostic =
            Diagnostic::error(Code::WrongType, "", message).at(self.places.nearest(&self.path()).or(node.place));
        self.report(match node.kind {
            Kind::Sequence(_) => diagnostic.help("leave out the `- ` before the fields"),
            Kind::Mapping(_) | Kind::Scalar(_) => diagnostic,
        });
    }

    fn missing<T: Object>(&mut self, name: &'static str, node: &Node) {
        let here = self.path();
        let path = if here.is_empty() { name.to_owned() } else { format!("{here}.{name}") };
        let message = format!("{} needs `{name}`", T::WHAT);
        let start = node.place.map(|p| Place { end: p.start, ..p });
        self.report(Diagnostic::error(Code::Missing, path, message).at(start));
    }

    /// Whether there are more problems than anyone reads. The next one is then only counted: wording it costs time, and
    /// a hostile text has thousands.
    pub fn is_full(&mut self) -> bool {
        let is_full = self.problems.is_full();
        if is_full {
            self.problems.count();
        }
        is_full
    }

    fn unknown_field<T: Object>(&mut self, entry: &Entry) {
        let is_extension = self.path.is_empty() && entry.key.starts_with("x-");
        if is_extension || self.is_full() {
            return;
        }
        let diagnostic = Diagnostic::error(
            Code::UnknownField,
            self.path(),
            format!("{} has no field `{}`", T::WHAT, shown(&entry.key)),
        )
        .at(entry.key_place);
        let known = T::fields().iter().map(|f| f.name);
        self.report(match nearest(&entry.key, known).map(|n| format!("did you mean `{n}`?")) {
            Some(help) => diagnostic.help(help),
            None => match owners(&entry.key) {
                Some(owners) => diagnostic.help(format!("`{}` is a field of {owners}", entry.key)),
                None => diagnostic,
            },
        });
    }

    /// Checks a number against the limits of its field. Zero is absent and always allowed.
    pub fn in_range(&mut self, number: i64, rule: &Rule) -> bool {
        if number == 0 || (rule.min..=rule.max).contains(&number) {
            return true;
        }
        let limits = match (rule.min, rule.max) {
            (min, i64::MAX) => format!("at least {min}"),
            (min, max) => format!("{min} to {max}"),
        };
        let message = format!("{number} is out of range");
        self.report(Diagnostic::error(Code::OutOfRange, "", message).help(format!("allowed: {limits}")));
        false
    }

    /// Never shows these bytes to anyone.
    pub fn hide(&mut self, node: &Node) {
        self.problems.hidden.extend(node.place.map(|p| p.start..p.end));
    }
}

fn is_absent(node: &Node) -> bool {
    node.is_null() || matches!(&node.kind, Kind::Scalar(scalar) if scalar.text.is_empty())
}

/// What has a field of that name, when the one at hand has not: it may only stand in the wrong place. The nearest to the
/// top of the spec are named, at most three.
fn owners(name: &str) -> Option<String> {
    let mut level: Vec<(&'static str, &'static [Field])> = vec![("the app", crate::spec::AppSpec::fields())];
    while !level.is_empty() {
        let mut owners: Vec<&str> = Vec::new();
        for (owner, fields) in &level {
            if fields.iter().any(|f| f.name == name) && !owners.contains(owner) {
                owners.push(owner);
            }
        }
        if !owners.is_empty() {
            owners.truncate(3);
            return Some(crate::suggest::one_of(owners));
        }
        level = level.iter().flat_map(|(_, fields)| fields.iter().map(|f| (f.name, f.shape.fields()))).collect();
    }
    None
}

/// Where each field of a text stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(HashMap<String, Place>);

impl Places {
    /// The place of a field, or of the nearest thing around it.
    pub fn nearest(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.0.get(path) {
                return Some(*place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// Gives places to diagnostics that only know a path.
    pub fn locate<'d>(&self, diagnostics: impl IntoIterator<Item = &'d mut Diagnostic>) {
        for diagnostic in diagnostics {
            diagnostic.place = diagnostic.place.or_else(|| self.nearest(&diagnostic.path));
            if let Some(related) = &mut diagnostic.related {
                related.place = related.place.or_else(|| self.nearest(&related.path));
            }
        }
    }
}
