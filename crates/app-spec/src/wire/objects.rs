//! Reading objects: the fields they know, those they do not, and what else may stand in their place.
//!
//! What is meant is read in place of what was written, so that everything else that is wrong is told at once. A strict
//! reading refuses the spec all the same.

use std::rc::Rc;

use super::meant::{as_item, as_object, between_braces};
use super::{Field, Meant, Object, Reader, Shape};
use crate::diagnostic::{Code, Diagnostic, Place, Remedy};
use crate::suggest::{nearest, one_of, shown_key};
use crate::tree::{Entry, Kind, Node, Plain, Scalar};
use crate::veil::name_in;

impl Reader {
    /// Reads an object: every field it knows, a problem for every field it does not.
    pub fn object<T: Object>(&mut self, node: &Node) -> Option<T> {
        let Kind::Mapping(entries) = &node.kind else {
            return self.not_an_object::<T>(node);
        };
        self.around.push(T::fields());
        let mut object = T::default();
        let mut meant = Vec::new();
        for entry in entries.iter() {
            if !object.read_field(entry, self) {
                let field = self.unknown_field::<T>(&mut object, entry, entries, &meant);
                meant.extend(field);
            }
        }
        let given: Vec<&Entry> = entries.iter().chain(&meant).collect();
        self.tell_missing::<T>(&given, node);
        object.finish(node, self);
        self.around.pop();
        Some(object)
    }

    /// Says what is wrong. A bare text is taken for the fields that it stands for, and a list of one for its only item.
    fn not_an_object<T: Object>(&mut self, node: &Node) -> Option<T> {
        let message = format!("expected {} (a mapping of fields), found {}", T::WHAT, node.what());
        let problem = Diagnostic::error(Code::WrongType, "", message).at(self.place_of(node));
        match &node.kind {
            Kind::Scalar(scalar) => {
                let Some(meant) = T::meant(scalar) else {
                    self.report(problem);
                    return None;
                };
                let help = format!("write `{}`", self.written_out(&meant, T::PAIR));
                let fields = between_braces(&meant, T::PAIR);
                let fields = if meant.len() == 1 { fields } else { format!("{{{fields}}}") };
                self.report(problem.help(help).taken_as(format!("`{fields}`")));
                self.object(&as_object(&meant, node.place))
            }
            Kind::Sequence(items) => self.list_for_object::<T>(items, node, problem),
            Kind::Mapping(_) => None,
        }
    }

    /// A list is meant for the field whose items look like those of the list, else for the fields of its only item.
    fn list_for_object<T: Object>(&mut self, items: &[Node], node: &Node, problem: Diagnostic) -> Option<T> {
        if let Some(field) = field_for_items::<T>(items) {
            self.report(problem.help(format!("put `{field}:` above the list")).taken_as(format!("its `{field}`")));
            let list = Entry { key: Rc::from(field), key_place: node.place, value: node.clone() };
            return self.object(&Node { place: node.place, kind: Kind::Mapping(Rc::new(vec![list])) });
        }
        let problem = problem.help("leave out the `- ` before the fields");
        let [only @ Node { kind: Kind::Mapping(_), .. }] = items else {
            self.report(problem);
            return None;
        };
        self.report(problem.taken_as("its only item"));
        self.object(only)
    }

    /// `image: {repository: web}`, or `- path: /` for an item of a list.
    fn written_out(&self, meant: &Meant, pair: Option<(&str, &str)>) -> String {
        match self.field_name() {
            Some(name) if !self.is_at_item() => format!("{name}: {{{}}}", between_braces(meant, pair)),
            _ => as_item(meant, pair),
        }
    }

    /// Of an object without any field what is missing is told at once.
    fn tell_missing<T: Object>(&mut self, given: &[&Entry], node: &Node) {
        let is_given = |field: &Field| {
            given.iter().any(|entry| *entry.key == *field.name && !is_absent(&entry.value, &field.shape))
        };
        let required = T::fields().iter().filter(|field| field.rule.required);
        let missing: Vec<&str> = required.filter(|field| !is_given(field)).map(|field| field.name).collect();
        if given.is_empty() && missing.len() > 1 {
            return self.missing::<T>(self.path(), &missing.join("`, `"), node);
        }
        for name in missing {
            self.missing::<T>(self.path_of(name), name, node);
        }
    }

    fn missing<T: Object>(&mut self, path: String, names: &str, node: &Node) {
        let message = format!("{} needs `{names}`", T::WHAT);
        let start = node.place.map(|p| Place { end: p.start, ..p });
        self.report(Diagnostic::error(Code::Missing, path, message).at(start).remedied(Remedy::Kept));
    }

    /// Takes a misspelt field for the one that is meant, unless that one is given too. Returns the field as it was meant:
    /// whoever misspelt it need not be told that it is missing as well.
    fn unknown_field<T: Object>(
        &mut self,
        object: &mut T,
        entry: &Entry,
        given: &[Entry],
        meant: &[Entry],
    ) -> Option<Entry> {
        let is_extension = self.is_at_root() && entry.key.starts_with("x-");
        if is_extension || self.is_full() {
            return None;
        }
        let problem = self.no_such_field::<T>(entry);
        if let Some((field, help)) = missing_mark::<T>(&entry.key) {
            self.report(problem.help(help));
            self.misread.note_field(self.path_of(field));
            return Some(standing_for(field, entry));
        }
        let Some(near) = nearest(&entry.key, T::fields().iter().map(|f| f.name)) else {
            let help = self.where_it_belongs::<T>(&entry.key);
            self.report(help.into_iter().fold(problem, Diagnostic::help));
            return None;
        };
        let is_near = |entry: &Entry| &*entry.key == near;
        if given.iter().any(is_near) {
            self.report(problem.help(format!("`{near}`, which may be meant, is given too: leave this out")));
            return None;
        }
        if meant.iter().any(is_near) {
            let help = format!("`{near}`, which may be meant, stands here under another name, too: keep one of them");
            self.report(problem.help(help));
            return None;
        }
        let index = self.problems.len();
        self.report(problem.help(format!("did you mean `{near}`?")).taken_as(format!("`{near}`")));
        let meant = Entry { key: Rc::from(near), ..entry.clone() };
        object.read_field(&meant, self);
        self.problems.join_advice(index, &self.path_of(near));
        Some(meant)
    }

    fn no_such_field<T: Object>(&self, entry: &Entry) -> Diagnostic {
        let message = match entry.is_bare() && !T::fields().iter().any(|field| name_in(&entry.key) == field.name) {
            true => format!("{} has fields, and here is a text without a `:`", T::WHAT),
            false => format!("{} has no field `{}`", T::WHAT, shown_key(&entry.key)),
        };
        Diagnostic::error(Code::UnknownField, self.path(), message).at(entry.key_place)
    }

    /// What has a field of that name, when the object at hand has not.
    fn where_it_belongs<T: Object>(&self, name: &str) -> Option<String> {
        let has = |fields: &[Field]| fields.iter().any(|field| field.name == name);
        let inner = T::fields().iter().filter(|f| has(f.shape.fields()) && !ANYWHERE.contains(&name));
        let inner: Vec<String> = inner.map(|field| format!("`{}`", field.name)).collect();
        if (1..=MOST_OWNERS).contains(&inner.len()) {
            return Some(format!("`{name}` belongs under {}", one_of(inner.iter().map(String::as_str))));
        }
        let outer = self.around.len().checked_sub(2).and_then(|outer| self.around.get(outer));
        match (outer, self.field_name()) {
            (Some(outer), Some(beside)) if has(outer) && beside != name => {
                Some(format!("`{name}` belongs one level up, beside `{beside}`"))
            }
            (_, here) => owners(name, here).map(|owners| format!("`{name}` is a field of {owners}")),
        }
    }
}

/// Fields of so many objects that having one tells nothing.
const ANYWHERE: [&str; 5] = ["id", "key", "name", "type", "value"];

/// Objects named in one message.
const MOST_OWNERS: usize = 3;

/// The field that takes a list of such items, when the object itself has none of their fields.
fn field_for_items<T: Object>(items: &[Node]) -> Option<&'static str> {
    let Some(Node { kind: Kind::Mapping(entries), .. }) = items.first() else { return None };
    let has_any = |fields: &[Field]| entries.iter().any(|entry| fields.iter().any(|field| *field.name == *entry.key));
    let takes_them = |field: &&Field| matches!(field.shape, Shape::List(_)) && has_any(field.shape.fields());
    let mut fields = T::fields().iter().filter(takes_them).map(|field| field.name);
    fields.next().filter(|_| !has_any(T::fields()))
}

/// A field that lacks its mark, with the whole text as its value.
fn standing_for(field: &str, entry: &Entry) -> Entry {
    let value = Kind::Scalar(Scalar { text: entry.key.clone(), plain: false });
    Entry { key: Rc::from(field), key_place: entry.key_place, value: Node { place: entry.key_place, kind: value } }
}

/// `image:{…`, `-name`, `repo a/b`: a key that would be a field with a space or a `:` in it. Returns the field, and what to do.
fn missing_mark<T: Object>(key: &str) -> Option<(&'static str, &'static str)> {
    let bare = key.strip_prefix('-').unwrap_or(key);
    let name = name_in(bare);
    let help = match &bare[name.len()..] {
        _ if key.starts_with('-') => "put a space after the `-`",
        rest if rest.starts_with(':') => "put a space after the first `:`",
        rest if rest.starts_with(' ') => "put a `:` after the first word",
        _ => return None,
    };
    let fields = T::fields().iter().chain(T::fields().iter().flat_map(|field| field.shape.fields()));
    fields.map(|field| field.name).find(|field| *field == name).map(|field| (field, help))
}

/// Nothing, empty text, or a number that is 0: what clients leave out.
fn is_absent(node: &Node, shape: &Shape) -> bool {
    let Kind::Scalar(scalar) = &node.kind else { return false };
    let is_zero = || matches!(shape, Shape::Integer) && Plain::of(&scalar.text) == Plain::Integer(0);
    node.is_null() || scalar.text.is_empty() || is_zero()
}

/// What has a field of that name, when the one at hand has not: it may only stand in the wrong place. The nearest to the
/// top of the spec are named. One that is called as the one at hand, `here`, is told by what it belongs to.
fn owners(name: &str, here: Option<&str>) -> Option<String> {
    if ANYWHERE.contains(&name) {
        return None;
    }
    let mut level: Vec<(&str, &str, &'static [Field])> = vec![("", "the app", crate::spec::AppSpec::fields())];
    while !level.is_empty() {
        let mut owners: Vec<String> = Vec::new();
        for (around, owner, _) in level.iter().filter(|(.., fields)| fields.iter().any(|field| field.name == name)) {
            let owner = if here == Some(*owner) { format!("{owner} in {around}") } else { (*owner).to_owned() };
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        if !owners.is_empty() {
            owners.truncate(MOST_OWNERS);
            return Some(one_of(owners.iter().map(String::as_str)));
        }
        let inner = |(_, owner, fields): &(&'static str, &'static str, &'static [Field])| {
            let owner = *owner;
            fields.iter().map(move |field| (owner, field.name, field.shape.fields()))
        };
        level = level.iter().flat_map(inner).collect();
    }
    None
}
