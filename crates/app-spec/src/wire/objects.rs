//! Reading objects: the fields they know, those they do not, and what else may stand in their place.

use std::rc::Rc;

use super::{Field, Object, Reader, Shape};
use crate::diagnostic::{Code, Diagnostic, Place, Remedy};
use crate::suggest::{nearest, shown};
use crate::tree::{Entry, Kind, Node, Plain};

impl Reader {
    /// Reads an object: every field it knows, a problem for every field it does not.
    pub fn object<T: Object>(&mut self, node: &Node) -> Option<T> {
        let Kind::Mapping(entries) = &node.kind else {
            return self.not_an_object::<T>(node);
        };
        let mut object = T::default();
        let mut meant = Vec::new();
        for entry in entries.iter() {
            if !object.read_field(entry, self) {
                meant.extend(self.unknown_field::<T>(&mut object, entry, entries));
            }
        }
        for field in T::fields().iter().filter(|f| f.rule.required) {
            let is_given = |e: &Entry| &*e.key == field.name && !is_absent(&e.value, &field.shape);
            if !entries.iter().chain(&meant).any(is_given) {
                self.missing::<T>(field.name, node);
            }
        }
        object.finish(node, self);
        Some(object)
    }

    /// Says what is wrong. A lenient reader takes a bare text for the field that it stands for, and a list of one for
    /// its only item.
    fn not_an_object<T: Object>(&mut self, node: &Node) -> Option<T> {
        let message = format!("expected {} (a mapping of fields), found {}", T::WHAT, node.what());
        let problem =
            Diagnostic::error(Code::WrongType, "", message).at(self.places.nearest(&self.path()).or(node.place));
        match (&node.kind, T::SHORTHAND) {
            (Kind::Scalar(scalar), Some(field)) if !scalar.text.is_empty() => {
                let written = format!("`{field}: {}`", shown(&scalar.text));
                self.report(problem.help(format!("write {written} in it")).taken_as(&written));
                let entry = Entry { key: Rc::from(field), key_place: node.place, value: node.clone() };
                let meant = Node { place: node.place, kind: Kind::Mapping(Rc::new(vec![entry])) };
                if self.is_lenient() { self.object(&meant) } else { None }
            }
            (Kind::Sequence(items), _) => {
                let problem = problem.help("leave out the `- ` before the fields");
                match &items[..] {
                    [only @ Node { kind: Kind::Mapping(_), .. }] if self.is_lenient() => {
                        self.report(problem.taken_as("its only item"));
                        self.object(only)
                    }
                    _ => {
                        self.report(problem);
                        None
                    }
                }
            }
            (Kind::Mapping(_) | Kind::Scalar(_), _) => {
                self.report(problem);
                None
            }
        }
    }

    fn missing<T: Object>(&mut self, name: &'static str, node: &Node) {
        let here = self.path();
        let path = if here.is_empty() { name.to_owned() } else { format!("{here}.{name}") };
        let message = format!("{} needs `{name}`", T::WHAT);
        let start = node.place.map(|p| Place { end: p.start, ..p });
        self.report(Diagnostic::error(Code::Missing, path, message).at(start).remedied(Remedy::Kept));
    }

    /// A lenient reader takes a misspelt field for the one that is meant, unless that one is given too. Returns the field
    /// as it was meant: whoever misspelt it need not be told that it is missing as well.
    fn unknown_field<T: Object>(&mut self, object: &mut T, entry: &Entry, entries: &[Entry]) -> Option<Entry> {
        let is_extension = self.is_at_root() && entry.key.starts_with("x-");
        if is_extension || self.is_full() {
            return None;
        }
        let message = format!("{} has no field `{}`", T::WHAT, shown(&entry.key));
        let problem = Diagnostic::error(Code::UnknownField, self.path(), message).at(entry.key_place);
        let Some(near) = nearest(&entry.key, T::fields().iter().map(|f| f.name)) else {
            self.report(match owners(&entry.key) {
                Some(owners) => problem.help(format!("`{}` is a field of {owners}", entry.key)),
                None => problem,
            });
            return None;
        };
        let problem = problem.help(format!("did you mean `{near}`?"));
        if entries.iter().any(|e| &*e.key == near) {
            self.report(problem);
            return None;
        }
        self.report(problem.taken_as(format!("`{near}`")));
        let meant = Entry { key: Rc::from(near), ..entry.clone() };
        if self.is_lenient() {
            object.read_field(&meant, self);
        }
        Some(meant)
    }
}

/// Nothing, empty text, or a number that is 0: what clients leave out.
fn is_absent(node: &Node, shape: &Shape) -> bool {
    let Kind::Scalar(scalar) = &node.kind else { return false };
    let is_zero = || matches!(shape, Shape::Integer) && Plain::of(&scalar.text) == Plain::Integer(0);
    node.is_null() || scalar.text.is_empty() || is_zero()
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
